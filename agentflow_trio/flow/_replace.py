"""The same wiring with other nodes.

Layer: flow. Rule: a replacement keeps the step's name, policies and exits, so no line has to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import Problem, StepDefinitionError
from ..types import Next
from ._node import BuiltIn, Node
from ._policies import did_you_mean
from ._step import Edge, Step

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["replaced"]


def replaced(
    flow: Flow[Any, ...], nodes: Mapping[Step[Any, ...], Node[Any, Any, Any, ...] | Step[Any, ...]]
) -> tuple[tuple[Edge[Any], ...], tuple[Problem, ...]]:
    """Return the lines of *flow* with *nodes* swapped in, also in nested flows, and what is wrong with that."""
    swap = _Swap(nodes)
    edges = swap.lines(flow)
    for step in nodes:
        if not any(step is used for used in swap.used):
            hint = did_you_mean(step.name, swap.names) or f"it has {', '.join(swap.names)}"
            swap.problems.append(Problem("unknown_step", step.name, f"flow {flow.name!r} has no such step {step.name!r}", hint))
    return edges, tuple(swap.problems)


class _Swap:
    def __init__(self, nodes: Mapping[Step[Any, ...], Node[Any, Any, Any, ...] | Step[Any, ...]]) -> None:
        self.nodes = nodes
        self.used: list[Step[Any, ...]] = []
        self.names: list[str] = []
        self.problems: list[Problem] = []

    def lines(self, flow: Flow[Any, ...]) -> tuple[Edge[Any], ...]:
        places: dict[Next, Next] = {edge.source: self.step(edge.source) for edge in flow.edges}
        return tuple(self.line(edge, places) for edge in flow.edges)

    def line(self, edge: Edge[Any], places: Mapping[Next, Next]) -> Edge[Any]:
        targets = {name: places.get(target, target) for name, target in edge.targets.items()}
        catches = tuple(attrs.evolve(one, target=places.get(one.target, one.target)) for one in edge.catches)
        source = places[edge.source]
        return Edge(source, targets, catches) if isinstance(source, Step) else edge

    def step(self, step: Step[Any, ...]) -> Step[Any, ...]:
        self.names.append(step.name)
        for known, node in self.nodes.items():
            if known is step:
                self.used.append(step)
                return self.swapped(step, node.node if isinstance(node, Step) else node)
        return step if step.flow is None else self.nested(step, step.flow)

    def nested(self, step: Step[Any, ...], inner: Flow[Any, ...]) -> Step[Any, ...]:
        before = len(self.used)
        lines = self.lines(inner)
        if len(self.used) == before or not isinstance(step.node, BuiltIn):
            return step
        return step.around(step.node.around(inner.rewired(lines)))

    def swapped(self, step: Step[Any, ...], node: Node[Any, Any, Any, ...]) -> Step[Any, ...]:
        try:
            new: Step[Any, ...] = Step(node, name=step.name)
        except StepDefinitionError as error:
            self.problems += error.problems
            return step
        if sorted(new.exits) != sorted(step.exits):
            exits = " and ".join(", ".join(one.exits) or "none" for one in (step, new))
            self.problems.append(Problem("other_exits", step.name, f"the replacement of {step.name!r} has other exits: {exits}"))
        return step.around(node)
