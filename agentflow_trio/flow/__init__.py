"""The language: nodes, steps, wiring and its checks. A flow is compiled to a plan for the engine."""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._flow import Flow, Wiring, flow
from ._function import step
from ._node import BuiltIn, Node, Work, exits_of
from ._policies import ItemPolicies
from ._step import Edge, Step

if TYPE_CHECKING:
    from ._at_once import parallel, race
    from ._each import batch, each
    from ._item_types import (
        BatchNode,
        EachNode,
        Fold,
        Source,
        StreamBatchNode,
        StreamNode,
        fold,
    )
    from ._over import FlowPerItem
else:  # 5 ms, and many programs have no use for them
    __getattr__ = lazily(
        __name__,
        {
            "BatchNode": "._item_types",
            "EachNode": "._item_types",
            "FlowPerItem": "._over",
            "Fold": "._item_types",
            "Source": "._item_types",
            "StreamBatchNode": "._item_types",
            "StreamNode": "._item_types",
            "batch": "._each",
            "each": "._each",
            "fold": "._item_types",
            "parallel": "._at_once",
            "race": "._at_once",
        },
    )

__all__ = [
    "BatchNode",
    "BuiltIn",
    "EachNode",
    "Edge",
    "Flow",
    "FlowPerItem",
    "Fold",
    "ItemPolicies",
    "Node",
    "Source",
    "Step",
    "StreamBatchNode",
    "StreamNode",
    "Wiring",
    "Work",
    "batch",
    "each",
    "exits_of",
    "flow",
    "fold",
    "parallel",
    "race",
    "step",
]
