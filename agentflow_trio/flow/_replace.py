"""The same wiring with other nodes.

Layer: flow. Rule: a step keeps its name, policies and exits, so no line has to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, final

import attrs

from .._typing import TypeIs
from ..errors import Problem
from ..types import Next
from ._node import BuiltIn, Node, exits_of
from ._policies import Policies
from ._step import Edge, Step, node_problems, with_node
from ._words import did_you_mean

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["replaced"]

AnyStep: TypeAlias = Step[Any, ...]
AnyNode: TypeAlias = Node[Any, Any, Any, ...]
State = TypeVar("State")


def replaced(
    flow: Flow[Any, ...], nodes: Mapping[AnyStep, AnyNode | AnyStep]
) -> tuple[tuple[Edge[Any], ...], tuple[Problem, ...]]:
    """Return the lines of *flow*, of flows in it and of branches with *nodes*, and what is wrong with that."""
    swap = _Swap(nodes)
    edges = swap.lines(flow)
    problems = [*swap.problems, *swap.unknown(flow.name)]
    return edges, tuple(problems)


@final
class _Swap:
    def __init__(self, nodes: Mapping[AnyStep, AnyNode | AnyStep]) -> None:
        self.nodes = nodes
        self.met: dict[AnyStep, None] = {}
        self.problems: list[Problem] = []

    def lines(self, flow: Flow[Any, ...]) -> tuple[Edge[Any], ...]:
        steps: dict[Next, AnyStep] = {
            edge.source: self.step(edge.source) for edge in flow.edges
        }
        return tuple(_line(edge, steps) for edge in flow.edges)

    def step(self, step: AnyStep) -> AnyStep:
        origin = step.origin or step
        self.met[step] = self.met[origin] = None
        key = step if step in self.nodes else origin
        if key in self.nodes:
            other = self.nodes[key]
            if not (isinstance(other, Step) and other.node is key.node):
                return self.swapped(step, other.node if isinstance(other, Step) else other)
            step = self.swapped(step, step.node, other.policies)  # made by with_: the options
        node = step.node
        if not isinstance(node, BuiltIn):
            return step
        if node.inner_flow is not None:
            return self.nested(step, node, node.inner_flow)
        return self.at_once(step, node) if node.inner_steps else step

    def swapped(
        self, step: AnyStep, node: AnyNode, policies: Policies | None = None
    ) -> AnyStep:
        policies = policies or step.policies
        problems = list(node_problems(step.name, node, policies.fallback, policies.hedge))
        if not problems:
            problems = list(_exit_problems(step, exits_of(node)))
        if problems:
            self.problems += problems
            return step
        return with_node(step, node, policies)

    def nested(self, step: AnyStep, node: BuiltIn, inner: Flow[Any, ...]) -> AnyStep:
        lines = self.lines(inner)
        if all(new is old for new, old in zip(lines, inner.edges, strict=True)):
            return step
        return with_node(step, node.around(inner.rewired(lines)))

    def at_once(self, step: AnyStep, node: BuiltIn) -> AnyStep:
        steps = [self.step(branch) for branch in node.inner_steps]
        if all(new is old for new, old in zip(steps, node.inner_steps, strict=True)):
            return step
        return with_node(step, node.among(steps))

    def unknown(self, flow: str) -> Iterator[Problem]:
        names = [step.name for step in self.met]
        given: Sequence[object] = [*self.nodes]
        for step in given:
            if not _is_step(step):
                sentence = f"{step!r} is not a step"
                yield Problem("unknown_step", "", sentence, "write replacing({step: node})")
            elif step not in self.met:
                hint = did_you_mean(step.name, names, otherwise=f"it has {', '.join(names)}")
                if step.name in names:
                    hint = "it has another one of that name; name that very object"
                sentence = f"step {step.name!r} is not in flow {flow!r}"
                yield Problem("unknown_step", step.name, sentence, hint)


def _line(edge: Edge[State], steps: Mapping[Next, AnyStep]) -> Edge[State]:
    """The same line between other steps; *edge* itself if they are the same."""
    targets = {name: steps.get(target, target) for name, target in edge.targets.items()}
    catches = tuple(
        attrs.evolve(each, target=steps.get(each.target, each.target)) for each in edge.catches
    )
    new: Edge[State] = Edge(steps[edge.source], targets, catches)
    unchanged = (
        new.source is edge.source and targets == edge.targets and catches == edge.catches
    )
    return edge if unchanged else new


def _exit_problems(step: AnyStep, exits: tuple[str, ...]) -> Iterator[Problem]:
    if sorted(exits) != sorted(step.exits):
        had, has = (", ".join(names) or "none" for names in (step.exits, exits))
        sentence = f"the replacement of step {step.name!r} has other exits"
        yield Problem("other_exits", step.name, sentence, f"the step has {had}, the node {has}")


def _is_step(value: object) -> TypeIs[AnyStep]:
    return isinstance(value, Step)
