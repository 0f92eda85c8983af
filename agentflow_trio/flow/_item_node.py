"""A node whose exec is called for every item, as a node.

Layer: flow. The engine calls exec; prep and post are the node's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, final

import attrs

from .._typing import override
from ..engine import Items, Kind, PlanStep
from ..types import Count, Exit, Next
from ._bind import bind_exits
from ._inspect import defaulted_exits
from ._item_types import AnyItems
from ._node import BuiltIn, Node
from ._over import FlowPerItem
from ._step import Step

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["ItemFlow", "ItemNode"]

State = TypeVar("State")
Received = TypeVar("Received")
Exits = ParamSpec("Exits")


@attrs.frozen(eq=False, kw_only=True)
class ItemNode(BuiltIn, Generic[State, Received, Exits]):
    """A node whose exec is called for every item, as a node.

    Attributes:
        node: what handles the items.
        items: how.
    """

    node: AnyItems[State, Exits]
    items: Items

    @property
    @override
    def defaulted(self) -> tuple[str, ...]:
        """See `BuiltIn`."""
        return defaulted_exits(self.node.post, skip=3)

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        """See `BuiltIn`."""
        size, tolerated = self.items.size, self.items.tolerated
        shape = "each" if size is None else f"batch of {size}"
        said = f"{shape}, x {self.items.concurrent} at once"
        if tolerated is None:
            return (said,)
        many = tolerated.most if isinstance(tolerated, Count) else f"{100 * tolerated.most:g} %"
        return (said, f"{many} may fail")

    @property
    @override
    def takes_fallback(self) -> bool:
        """What post gets instead of outputs or a total."""
        return True

    @property
    @override
    def is_for_items(self) -> bool:
        """See `BuiltIn`."""
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

        async def give(_: object) -> object:  # noqa: ASYNC124 - a phase
            return prepared

        async def take(_: object, __: object, result: Received) -> None:  # noqa: ASYNC124 - too
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


@final
@attrs.frozen(eq=False, kw_only=True)
class ItemFlow(ItemNode[State, Received, Exits]):
    """A flow that is run for every item, as a node.

    Attributes:
        per_item: the flow, and where its items come from and go to.
    """

    per_item: FlowPerItem[Any, Any, Any, Any]

    @property
    @override
    def inner_flow(self) -> Flow[Any, ...]:
        """What every item goes through."""
        return self.per_item.flow

    @override
    def around(self, flow: Flow[Any, ...]) -> Node[Any, Any, Any, ...]:
        """See `BuiltIn`."""
        node = attrs.evolve(self.per_item, flow=flow)
        items = attrs.evolve(self.items, inner=flow.plan)
        made: ItemFlow[Any, Any, ...] = ItemFlow(
            name=self.name, exits=(), node=node, per_item=node, items=items
        )
        return made


@attrs.frozen
class _Nothing:
    """The state of items that are handled alone."""


@attrs.frozen(eq=False)
class _Alone:
    prep: Callable[[object], Awaitable[Any]]
    exec: Callable[[Any], Awaitable[Any]]
    post: Callable[[object, Any, Any], Awaitable[None]]
