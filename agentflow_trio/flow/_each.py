"""`each` and `batch`: nodes whose exec handles the items that prep gave, several calls at once.

Layer: flow. The overloads compare what exec takes and gives with what prep gives and post receives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar, Unpack, overload

from outcome import Maybe

from ..engine import Items
from ..types import Count, Share
from ._inspect import ways_out
from ._item_node import ItemFlow, ItemNode
from ._item_types import AnyItems, BatchNode, EachNode, Fold, StreamBatchNode, StreamNode
from ._node import Node
from ._over import per_item
from ._policies import (
    ItemPolicies,
    Policies,
    combination_problems,
    item_option_problems,
    trying_of,
)
from ._shape_core import item_problems, setting_problems
from ._step import node_name, refuse

__all__ = ["batch", "each"]

State = TypeVar("State")
Item = TypeVar("Item")
Output = TypeVar("Output")
Total = TypeVar("Total")
Exits = ParamSpec("Exits")

Tolerance: TypeAlias = Count | Share


@overload
def each(
    node: EachNode[State, Item, Output, Sequence[Output], Exits],
    /,
    *,
    concurrent: int,
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Sequence[Output], Exits]: ...
@overload
def each(
    node: EachNode[State, Item, Output, Sequence[Maybe[Output]], Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance,
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Sequence[Maybe[Output]], Exits]: ...
@overload
def each(
    node: StreamNode[State, Item, Output, Total, Exits],
    /,
    *,
    concurrent: int,
    into: Fold[Output, Total],
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Total, Exits]: ...
@overload
def each(
    node: StreamNode[State, Item, Output, Total, Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance,
    into: Fold[Maybe[Output], Total],
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Total, Exits]: ...
def each(
    node: AnyItems[State, Exits],
    /,
    *,
    concurrent: int,
    tolerate: Tolerance | None = None,
    into: Fold[Any, Any] | None = None,
    **item: Unpack[ItemPolicies],
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
        item: ``retry``, ``hedge``, ``guards`` and ``attempt_timeout`` of one call; by default none of them.

    Raises:
        StepDefinitionError: the node has not three async phases, or a number or a policy makes no
            sense.
    """
    return _items_node(node, "each", None, concurrent, tolerate, into, item)


@overload
def batch(
    node: BatchNode[State, Item, Output, Sequence[Output], Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Sequence[Output], Exits]: ...
@overload
def batch(
    node: BatchNode[State, Item, Output, Sequence[Maybe[Output]], Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    tolerate: Tolerance,
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Sequence[Maybe[Output]], Exits]: ...
@overload
def batch(
    node: StreamBatchNode[State, Item, Output, Total, Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    into: Fold[Output, Total],
    **item: Unpack[ItemPolicies],
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
    **item: Unpack[ItemPolicies],
) -> Node[State, object, Total, Exits]: ...
def batch(
    node: AnyItems[State, Exits],
    /,
    *,
    size: int,
    concurrent: int = 1,
    tolerate: Tolerance | None = None,
    into: Fold[Any, Any] | None = None,
    **item: Unpack[ItemPolicies],
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
        item: ``retry``, ``hedge``, ``guards`` and ``attempt_timeout`` of one call; by default none of them.

    Raises:
        StepDefinitionError: the node has not three async phases, or a number or a policy makes no
            sense.
    """
    return _items_node(node, "batch", size, concurrent, tolerate, into, item)


def _items_node(
    node: AnyItems[State, Exits],
    shape: str,
    size: int | None,
    concurrent: int,
    tolerate: Tolerance | None,
    into: Fold[Any, Any] | None,
    policies: ItemPolicies,
) -> Node[State, object, Any, Exits]:
    name = node_name(node)
    numbers: dict[str, object] = {"size": size, "concurrent": concurrent}
    if shape == "each":
        del numbers["size"]
    refuse(
        name,
        item_problems(shape, name, node),
        setting_problems(shape, name, numbers, tolerate, into),
        item_option_problems(name, {**policies}),
    )
    item = Policies(
        retry=policies.get("retry"),
        hedge=policies.get("hedge"),
        guards=tuple(policies.get("guards", ())),
        attempt_timeout=policies.get("attempt_timeout"),
    )
    refuse(name, combination_problems(name, item))
    over = per_item(node)
    items = Items(
        size=size,
        concurrent=concurrent,
        tolerated=tolerate,
        start=None if into is None else into.start,
        add=None if into is None else into.add,
        ordered=into is None or into.order == "input",
        inner=None if over is None else over.flow.plan,
        trying=trying_of(item),
    )
    if over is not None:
        flows: ItemFlow[State, Any, Exits] = ItemFlow(
            name=name, exits=(), node=node, per_item=over, items=items
        )
        return flows
    made: ItemNode[State, Any, Exits] = ItemNode(
        name=name, exits=ways_out(node.post, skip=3), node=node, items=items
    )
    return made
