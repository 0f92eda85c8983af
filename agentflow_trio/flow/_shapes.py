"""Shapes: combinators that make a node of steps or of another node; `Step` gives it a name and policies.

Layer: flow. Rule: what runs at once works on forks of the state; the engine merges them, or keeps one.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    final,
    overload,
)

import attrs
from outcome import Maybe
from typing_extensions import override

from ..engine import Branch, Items, Kind, PlanStep, execute
from ..errors import Problem
from ..state import fork
from ..types import Count, Exit, Next, RunResult, Share
from ._bind import bind_exits
from ._inspect import phase_problems, ways_out
from ._node import BuiltIn, Node, overwrite, passed_exit
from ._step import Step, refuse
from ._words import snake_case

__all__ = [
    "AtOnce",
    "BatchNode",
    "EachNode",
    "Fold",
    "ItemNode",
    "Source",
    "StreamBatchNode",
    "StreamNode",
    "batch",
    "each",
    "fold",
    "parallel",
    "race",
]

State = TypeVar("State")
State_contra = TypeVar("State_contra", contravariant=True)
Item = TypeVar("Item")
Output = TypeVar("Output")
Output_co = TypeVar("Output_co", covariant=True)
Received = TypeVar("Received")
Received_contra = TypeVar("Received_contra", contravariant=True)
Total = TypeVar("Total")
Exits = ParamSpec("Exits")

Source: TypeAlias = Iterable[Item] | AsyncIterable[Item]
"""What ``prep`` of a folded ``each`` or ``batch`` may give."""


# ---------------------------------------------------------------- steps at once


def _compiled(node: AtOnce[Any, ...]) -> tuple[Branch, ...]:
    return tuple(Branch(step.name, step.plan, step.condition) for step in node.branches)


@final
@attrs.frozen(eq=False, kw_only=True)
class AtOnce(BuiltIn, Generic[State, Exits]):
    """Several steps at once, as a node.

    Attributes:
        branches: the steps, as declared.
        kind: whether all of them count, or the first that ends well.
        arms: what they were compiled to; here, so that depth costs no stack.
    """

    branches: tuple[Step[State, Exits], ...]
    kind: Kind
    arms: tuple[Branch, ...] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_compiled, takes_self=True)
    )

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        return PlanStep(name=name, kind=self.kind, branches=self.arms, exits=exits)

    async def prep(self, shared: State, /) -> State:
        """Fork the state. Not a checkpoint."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run the branches on forks of the fork; errors as for `Step.run`. Always a checkpoint."""
        alone: Step[State, ...] = Step(self)
        return await execute(alone.plan, prepared)

    async def post(
        self,
        shared: State,
        _prepared: State,
        result: RunResult[State],
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """Keep what became of the fork and take the exit of the race. Not a checkpoint."""
        overwrite(shared, result.state)
        return passed_exit(result.exit, self.exits, args, kwargs)


def parallel(*branches: Step[State, []]) -> Node[State, State, RunResult[State], []]:
    """Make a node that runs steps at once: ``Step(parallel(web, papers), name="research")``.

    Each branch works on a fork of the state, and its step has its whole life there. When all have
    ended well, the forks are merged in declared order, by the rules of `merge`; when one fails,
    the others are cancelled and none is merged. What comes of it does not depend on timing.
    ``branch.when(predicate)`` leaves a branch out.

    A branch has no exits; one that branches goes inside a small flow.
    """
    return AtOnce(name="parallel", exits=(), branches=branches, kind=Kind.PARALLEL)


def race(*branches: Step[State, Exits]) -> Node[State, State, RunResult[State], Exits]:
    """Make a node that runs steps at once and keeps what the first one to end well did.

    Of several at one moment the first declared wins. Its exit is the exit of the race; all branches
    have the same. The others are cancelled and waited for; what failed in them is in
    ``RunResult.suppressed``. If all fail, all of it is raised.
    """
    exits = branches[0].exits if branches else ()
    return AtOnce(name="race", exits=exits, branches=branches, kind=Kind.RACE)


# ---------------------------------------------------------------- a node for every item


class EachNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For `each`: prep gives the items, exec handles one, post gets what became of them."""

    def prep(self, shared: State_contra, /) -> Awaitable[Sequence[Item]]:
        """Give the items; once per visit."""
        ...

    def exec(self, item: Item, /) -> Awaitable[Output_co]:
        """Handle one item, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        items: Sequence[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class StreamNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For a folded `each`: prep may give any iterable, also an asynchronous one."""

    def prep(self, shared: State_contra, /) -> Awaitable[Source[Item]]:
        """Give the source of the items; once per visit."""
        ...

    def exec(self, item: Item, /) -> Awaitable[Output_co]:
        """Handle one item, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        source: Source[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class BatchNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For `batch`: as `EachNode`, but exec handles several items and gives as many outputs."""

    def prep(self, shared: State_contra, /) -> Awaitable[Sequence[Item]]:
        """Give the items; once per visit."""
        ...

    def exec(self, items: Sequence[Item], /) -> Awaitable[Sequence[Output_co]]:
        """Handle some items, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        items: Sequence[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class StreamBatchNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For a folded `batch`: prep may give any iterable, also an asynchronous one."""

    def prep(self, shared: State_contra, /) -> Awaitable[Source[Item]]:
        """Give the source of the items; once per visit."""
        ...

    def exec(self, items: Sequence[Item], /) -> Awaitable[Sequence[Output_co]]:
        """Handle some items, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        source: Source[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


@final
@attrs.frozen
class Fold(Generic[Output, Total]):
    """How outputs become a total; made with `fold`."""

    start: Callable[[], Total]
    add: Callable[[Total, Output], Total]
    ordered: bool


def fold(
    start: Callable[[], Total],
    add: Callable[[Total, Output], Total],
    /,
    *,
    order: Literal["input", "completion"] = "input",
) -> Fold[Output, Total]:
    """Say how ``each`` and ``batch`` fold outputs: ``into=fold(float, operator.add)``.

    Args:
        start: a plain function that gives the total of nothing; called once per visit.
        add: a plain function of the total so far and one output; returns the next total.
        order: in which outputs are added. In that of the input an item waits for those before it,
            and none is begun that is more than twice ``concurrent`` ahead.
    """
    return Fold(start, add, order == "input")


_Unchecked: TypeAlias = Any
"""What the overloads have compared already."""


class _AnyItems(Protocol[State_contra, Exits]):
    def prep(self, shared: State_contra, /) -> Awaitable[Any]: ...
    def exec(self, items: _Unchecked, /) -> Awaitable[Any]: ...
    def post(
        self,
        shared: State_contra,
        source: _Unchecked,
        received: _Unchecked,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]: ...


@final
@attrs.frozen(eq=False, kw_only=True)
class ItemNode(BuiltIn, Generic[State, Received, Exits]):
    """A node whose exec is called for every item, as a node.

    Attributes:
        node: what handles the items.
        items: how.
    """

    node: _AnyItems[State, Exits]
    items: Items

    @property
    @override
    def takes_fallback(self) -> bool:
        """What post gets instead of outputs or a total."""
        return True

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        return PlanStep(
            name=name,
            kind=Kind.ITEMS,
            prep=self.node.prep,
            exec=self.node.exec,
            post=bind_exits(self.node.post, exits),
            items=self.items,
            exits=exits,
        )

    async def prep(self, shared: State, /) -> object:
        """As the node's."""
        return await self.node.prep(shared)

    async def exec(self, prepared: object, /) -> Received:
        """Handle all items; errors as for `Step.run`. Always a checkpoint."""
        received = list[Received]()

        async def give(_: object) -> object:
            return prepared

        async def take(_: object, __: object, result: Received) -> None:
            received.append(result)

        node = _Alone(give, self.node.exec, take)
        alone: ItemNode[_Nothing, Received, []]
        alone = ItemNode(name=self.name, exits=(), node=node, items=self.items)
        await Step(alone).run(_Nothing())
        return received[0]

    async def post(
        self,
        shared: State,
        prepared: object,
        result: Received,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """As the node's."""
        return await self.node.post(shared, prepared, result, *args, **kwargs)


@attrs.frozen
class _Nothing:
    """The state of items that are handled alone."""


@attrs.frozen(eq=False)
class _Alone:
    prep: Callable[[object], Awaitable[Any]]
    exec: Callable[[Any], Awaitable[Any]]
    post: Callable[[object, Any, Any], Awaitable[None]]


Tolerance: TypeAlias = Count | Share


@overload
def each(
    node: EachNode[State, Item, Output, Sequence[Output], Exits], /, *, concurrent: int
) -> Node[State, object, Sequence[Output], Exits]: ...
@overload
def each(
    node: EachNode[State, Item, Output, Sequence[Maybe[Output]], Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance,
) -> Node[State, object, Sequence[Maybe[Output]], Exits]: ...
@overload
def each(
    node: StreamNode[State, Item, Output, Total, Exits],
    /,
    *,
    concurrent: int,
    into: Fold[Output, Total],
) -> Node[State, object, Total, Exits]: ...
@overload
def each(
    node: StreamNode[State, Item, Output, Total, Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance,
    into: Fold[Maybe[Output], Total],
) -> Node[State, object, Total, Exits]: ...
def each(
    node: _AnyItems[State, Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance | None = None,
    into: Fold[Any, Any] | None = None,
) -> Node[State, object, Any, Exits]:
    """Make a node whose ``exec`` is called for every item that ``prep`` gave, several at once.

    ``post`` gets the outputs in the order of the items; with *tolerate* each as ``outcome.Value``
    or ``outcome.Error``; with *into* the total.

    Args:
        node: prep gives a sequence of items, or with *into* any iterable, also an asynchronous one,
            which is pulled only when a call can begin.
        concurrent: at most so many calls at once, >= 1.
        tolerate: how many may fail; none by default. `Count` ends the step at once, `Share` as soon
            as it is lost.
        into: what the outputs are folded into; they are collected by default.

    Raises:
        StepDefinitionError: the node has not three async phases, or a number makes no sense.
    """
    return _items_node(node, "each", None, concurrent, tolerate, into)


@overload
def batch(
    node: BatchNode[State, Item, Output, Sequence[Output], Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
) -> Node[State, object, Sequence[Output], Exits]: ...
@overload
def batch(
    node: BatchNode[State, Item, Output, Sequence[Maybe[Output]], Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    tolerate: Tolerance,
) -> Node[State, object, Sequence[Maybe[Output]], Exits]: ...
@overload
def batch(
    node: StreamBatchNode[State, Item, Output, Total, Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    into: Fold[Output, Total],
) -> Node[State, object, Total, Exits]: ...
@overload
def batch(
    node: StreamBatchNode[State, Item, Output, Total, Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    tolerate: Tolerance,
    into: Fold[Maybe[Output], Total],
) -> Node[State, object, Total, Exits]: ...
def batch(
    node: _AnyItems[State, Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    tolerate: Tolerance | None = None,
    into: Fold[Any, Any] | None = None,
) -> Node[State, object, Any, Exits]:
    """Make a node whose ``exec`` gets the items that ``prep`` gave in parts, several parts at once.

    As `each`, but exec gets a sequence of items and returns one output for each, in their order.
    If it fails, all items of the part have failed.

    Args:
        node: as for `each`.
        size: at most so many items in a part, >= 1.
        concurrent: at most so many calls at once, >= 1; one by default.
        tolerate: how many items may fail; none by default.
        into: what the outputs are folded into; they are collected by default.

    Raises:
        StepDefinitionError: the node has not three async phases, or a number makes no sense.
    """
    return _items_node(node, "batch", size, concurrent, tolerate, into)


def _items_node(
    node: _AnyItems[State, Exits],
    what: str,
    size: int | None,
    concurrent: int,
    tolerate: Tolerance | None,
    into: Fold[Any, Any] | None,
) -> Node[State, object, Any, Exits]:
    name = snake_case(type(node).__name__)
    numbers: dict[str, object] = {"concurrent": concurrent}
    if what == "batch":
        numbers = {"size": size, **numbers}
    wrong = [
        Problem(
            "bad_number", name, f"{what}: {each_} must be a whole number >= 1, not {value!r}"
        )
        for each_, value in numbers.items()
        if not _is_count(value)
    ]
    refuse(name, phase_problems(name, node), wrong)
    items = Items(
        size=size,
        concurrent=concurrent,
        tolerated=tolerate,
        start=None if into is None else into.start,
        add=None if into is None else into.add,
        ordered=into is None or into.ordered,
    )
    made: ItemNode[State, Any, Exits] = ItemNode(
        name=name, exits=ways_out(node.post, skip=3), node=node, items=items
    )
    return made


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
