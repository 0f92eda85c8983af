"""The language: nodes, steps, wiring and its checks. A flow is compiled to a plan for the engine."""

from ._flow import Flow, Wiring, flow
from ._function import step
from ._node import BuiltIn, Node, Work, exits_of
from ._shapes import Fold, Source, batch, each, fold, parallel, race
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
