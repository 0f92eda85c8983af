"""The language: nodes, steps, wiring and its checks. A flow is compiled to a plan for the engine."""

from ._flow import Flow, Wiring, flow
from ._function import step
from ._node import BuiltIn, Node, Work, exits_of
from ._step import Edge, Step

__all__ = [
    "BuiltIn",
    "Edge",
    "Flow",
    "Node",
    "Step",
    "Wiring",
    "Work",
    "exits_of",
    "flow",
    "step",
]
