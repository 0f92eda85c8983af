"""The language: nodes, steps, wiring and its checks. A flow is compiled to a plan for the engine."""

from ._at_once import parallel, race
from ._each import batch, each
from ._flow import Flow, Wiring, flow
from ._function import step
from ._item_types import Fold, Source, fold
from ._node import BuiltIn, Node, Work, exits_of
from ._step import Edge, Step

__all__ = [
    "BuiltIn",
    "Edge",
    "Flow",
    "Fold",
    "Node",
    "Source",
    "Step",
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
