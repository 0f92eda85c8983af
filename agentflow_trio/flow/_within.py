"""A flow as a node for a state of another type: what ``flow.within(enter, leave)`` gives.

Layer: flow. Rule: the inner state is made for each visit, and written back as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, final

import attrs

from .._typing import override
from ..engine import PlanStep
from ..state import fork
from ..types import AttrsState, Next, RunResult
from ._node import BuiltIn, Node, passed_exit

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["Within"]

State = TypeVar("State", bound=AttrsState)
Outer = TypeVar("Outer")
Exits = ParamSpec("Exits")


@final
@attrs.frozen(eq=False, kw_only=True)
class Within(BuiltIn, Generic[Outer, State, Exits]):
    """A flow as a node for a state of another type."""

    flow: Flow[State, Exits]
    enter: Callable[[Outer], State]
    leave: Callable[[Outer, State], object]

    @property
    @override
    def inner_flow(self) -> Flow[State, Exits]:
        """The flow it runs."""
        return self.flow

    @override
    def around(self, flow: Flow[Any, ...]) -> Node[Any, Any, Any, ...]:
        """See `BuiltIn`."""
        return Within(
            name=self.name, exits=self.exits, flow=flow, enter=self.enter, leave=self.leave
        )

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        return attrs.evolve(self.flow.compile(name), enter=self.enter, leave=self.leave)

    async def prep(self, shared: Outer, /) -> State:
        """Fork the inner state. Not a checkpoint."""
        return fork(self.enter(shared))

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run the flow on the fork; errors as for `Flow.run`. Always a checkpoint."""
        return await self.flow.run(prepared)

    async def post(
        self,
        shared: Outer,
        _prepared: State,
        result: RunResult[State],
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """Write what became of it into the outer state and take its exit. Not a checkpoint."""
        self.leave(shared, result.state)
        return passed_exit(result.exit, self.exits, args, kwargs)
