"""The language: nodes, steps, wiring and its checks. A flow is compiled to a plan for the engine.

- what is wired: `_node`, `_function` (functions as nodes), `_step`, `_flow`; `_bind` and `_state_type` serve them
- at once: `_at_once` (parallel, race); `_each` (each, batch) with `_item_types`, `_item_node` and `_over` (a flow per item)
- settings of a step: `_policies`, and what is wrong with retries and guards in `_guarding`
- checks: `_check_core` (wiring), `_shape_core` (branches and items), `_inspect` (signatures), `_words` (near misses)
- other uses of a finished flow: `_replace`, `_picture_core` and `pictures`
"""

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
