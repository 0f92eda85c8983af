"""The language: nodes, steps, wiring, definition checks. Compiles a flow to a plan; the engine runs plans."""

from ._flow import Flow, Wiring, flow
from ._node import Node, Work, exits_of
from ._step import Edge, Step, step

__all__ = ["Edge", "Flow", "Node", "Step", "Wiring", "Work", "exits_of", "flow", "step"]
