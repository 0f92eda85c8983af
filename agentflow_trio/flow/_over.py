"""A flow for every item: what ``flow.over(split, join)`` gives to `each`.

Layer: flow. Rule: every item is a state of its own; what becomes of them is joined into the outer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import attrs

from .._typing import TypeIs
from ..errors import Problem
from ..types import AttrsState

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["FlowPerItem", "is_per_item", "over_problems", "per_item"]

Outer = TypeVar("Outer")
States = TypeVar("States")
State = TypeVar("State", bound=AttrsState)
Received = TypeVar("Received")


@final
@attrs.frozen(eq=False, kw_only=True)
class FlowPerItem(Generic[Outer, States, State, Received]):
    """A flow as the node of an `each`: made with ``flow.over(split, join)``.

    Attributes:
        flow: what every item goes through.
        split: gives the items, states of the flow.
        join: writes what became of them into the outer state.
    """

    flow: Flow[State, []]
    split: Callable[[Outer], States]
    join: Callable[[Outer, Received], object]

    async def prep(self, shared: Outer, /) -> States:
        """Give the items. Not a checkpoint."""
        return self.split(shared)

    async def exec(self, item: State, /) -> State:
        """Run the flow on a fork of *item*; errors as for `Flow.run`. Always a checkpoint."""
        result = await self.flow.run(item)
        return result.state

    async def post(self, shared: Outer, _items: object, received: Received, /) -> None:
        """Write what became of the items into the outer state. Not a checkpoint."""
        self.join(shared, received)


def is_per_item(node: object) -> TypeIs[FlowPerItem[Any, Any, Any, Any]]:
    """Whether *node* is a flow for every item."""
    return isinstance(node, FlowPerItem)


def per_item(node: object) -> FlowPerItem[Any, Any, Any, Any] | None:
    """*node*, if it is a flow for every item."""
    return node if is_per_item(node) else None


def over_problems(flow: str, exits: Sequence[str]) -> Iterator[Problem]:
    """Whether a flow with these *exits* can be run for every item."""
    if exits:
        sentence = f"flow {flow!r} has exits, which each cannot follow for every item"
        ends = ", ".join(f"{name}=END" for name in exits)
        hint = f"wire it in a flow of its own that ends: Step({flow}).to({ends})"
        yield Problem("item_exits", "", sentence, hint)
