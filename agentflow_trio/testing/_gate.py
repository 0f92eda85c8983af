"""A step that is one node before a moment and another from then on.

Layer: testing. Rule: until that moment it does what the first node would have done, in as many steps of its task; a
visit that began before it ends as it began, a function's next attempt is the other's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, final

import attrs
import trio
from typing_extensions import override

from ..engine import Kind, PlanStep
from ..flow import BuiltIn, Node, Step
from ..types import Exit, Next
from ._errors import UnreplaceableStepError

__all__ = ["Gate", "gate"]

Passed: TypeAlias = Any
"""What one phase of a node hands to the next, or the state: typed where the node was wired."""

AnyNode: TypeAlias = Node[Any, Any, Any, ...]


def gate(
    step: Step[Any, ...],
    before: AnyNode,
    after: AnyNode,
    at: float,
) -> AnyNode:
    """A node for *step* that does what *before* does, and what *after* does from *at* on.

    Raises:
        UnreplaceableStepError: one of them is more than three phases or a function.
    """
    for node in (before, after):
        kind = _kind_of(node)
        if kind not in _SIMPLE:
            raise UnreplaceableStepError(step=step.name, kind=_CALLED[kind])
    return Gate(name=step.name, exits=step.exits, before=before, after=after, at=at)


_SIMPLE: Final = frozenset({Kind.PHASES, Kind.FUNCTION})
_CALLED: Final = {
    Kind.NESTED: "a flow",
    Kind.PARALLEL: "a parallel",
    Kind.RACE: "a race",
    Kind.ITEMS: "an each or batch",
}


def _kind_of(node: object) -> Kind:
    return node.compile("").kind if isinstance(node, BuiltIn) else Kind.PHASES


@final
@attrs.frozen(eq=False, repr=False, kw_only=True)
class Gate(BuiltIn):
    """Two nodes, of which the time tells the one."""

    before: AnyNode
    after: AnyNode
    at: float

    @property
    @override
    def takes_fallback(self) -> bool:
        """See `BuiltIn`."""
        return _kind_of(self.before) is Kind.PHASES

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        by_name = {exit_.name: exit_ for exit_ in exits}
        if _kind_of(self.before) is Kind.FUNCTION:
            first, second = (_as_function(node, by_name) for node in (self.before, self.after))

            def call(state: object) -> Awaitable[object]:
                return (second if self._is_open() else first)(state)

            return PlanStep(name=name, kind=Kind.FUNCTION, exec=call, exits=exits)

        def post(shared: object, prepared: Passed, result: object) -> Awaitable[Next | None]:
            return self.post(shared, prepared, result, **by_name)

        return PlanStep(
            name=name, kind=Kind.PHASES, prep=self.prep, exec=self.exec, post=post, exits=exits
        )

    def _is_open(self) -> bool:
        return trio.current_time() >= self.at

    async def prep(self, shared: Passed, /) -> tuple[AnyNode, Passed]:
        """Choose, and do its first phase."""
        node = self.after if self._is_open() else self.before
        return node, await node.prep(shared)

    async def exec(self, prepared: tuple[AnyNode, Passed], /) -> Passed:
        """Do the second phase of the one that was chosen."""
        node, own = prepared
        return await node.exec(own)

    async def post(
        self,
        shared: Passed,
        prepared: tuple[AnyNode, Passed],
        result: Passed,
        /,
        **exits: Next,
    ) -> Next | None:
        """Do its third."""
        node, own = prepared
        return await node.post(shared, own, result, **exits)


def _as_function(
    node: AnyNode, exits: dict[str, Exit]
) -> Callable[[Passed], Awaitable[object]]:
    """*node* as one call with the state it may change, which returns one of *exits*."""
    if isinstance(node, BuiltIn) and _kind_of(node) is Kind.FUNCTION:
        function = node.compile(node.name).exec

        async def called(state: object) -> object:
            chosen: object = await function(state)
            return exits[chosen.name] if isinstance(chosen, Exit) else chosen

        return called

    async def phase_by_phase(state: object) -> object:
        prepared = await node.prep(state)
        result = await node.exec(prepared)
        return await node.post(state, prepared, result, **exits)

    return phase_by_phase
