"""What a picture of a flow shows: boxes, clusters, arrows, and what is said in them.

Layer: flow. Pure. Rule: the same flow gives the same picture, in the order of its lines.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, final

import attrs

from ..types import END, Exit, Next
from ._flow import Flow
from ._inspect import name_of
from ._node import BuiltIn
from ._step import Edge, Step

__all__ = ["Arrow", "Box", "Cluster", "Picture", "draw", "errors_of", "notes_of"]

Kind: TypeAlias = Literal["start", "step", "exit", "end"]
Look: TypeAlias = Literal["solid", "dashed", "hidden"]


@final
@attrs.frozen
class Box:
    """``name`` and ``notes`` are what it says; a start says nothing itself, its cluster has a name."""

    id: str
    kind: Kind
    name: str = ""
    notes: tuple[str, ...] = ()


@final
@attrs.frozen
class Cluster:
    """A flow: its start, its steps as written, its ways out (exit -> box; the key is ``""`` for ``END``).

    Or steps at once: the branches, and where they come together.
    """

    id: str
    name: str
    notes: tuple[str, ...]
    start: Box
    steps: tuple[Box | Cluster, ...]
    doors: Mapping[str, Box]

    def clusters(self) -> Iterator[Cluster]:
        """This one and all below it."""
        yield self
        for member in self.steps:
            if isinstance(member, Cluster):
                yield from member.clusters()


@final
@attrs.frozen
class Arrow:
    """From box to box. ``leaves`` and ``enters``: the nested flow at whose border it begins or ends instead."""

    source: str
    target: str
    look: Look
    label: str = ""
    leaves: str = ""
    enters: str = ""


@final
@attrs.frozen
class Picture:
    root: Cluster
    arrows: tuple[Arrow, ...]


def draw(flow: Flow[Any, ...]) -> Picture:
    arrows: list[Arrow] = []
    root = _cluster(flow, (), (), _Ids(), arrows)
    return Picture(root, tuple(_joined(arrows)))


def _cluster(
    flow: Flow[Any, ...],
    words: tuple[str, ...],
    notes: tuple[str, ...],
    ids: _Ids,
    arrows: list[Arrow],
) -> Cluster:
    """Draw *flow*, found under the steps *words*; its arrows and those of flows in it are added to *arrows*."""
    own = ids.new(*words) if words else "flow"
    start = Box(ids.new(*words, "start"), "start")
    steps = {edge.source: _member(edge.source, words, ids, arrows) for edge in flow.edges}
    doors = {name: Box(ids.new(*words, name), "exit", name) for name in flow.exits}
    doors = doors or {"": Box(ids.new(*words, "end"), "end", "end")}
    arrows.append(_arrow(start, steps[flow.start]))
    for edge in flow.edges:
        arrows.extend(_arrows(edge, steps, doors))
    return Cluster(
        own, words[-1] if words else flow.name, notes, start, tuple(steps.values()), doors
    )


def _member(
    step: Step[Any, ...], words: tuple[str, ...], ids: _Ids, arrows: list[Arrow]
) -> Box | Cluster:
    notes = notes_of(step)
    if step.branches:
        return _at_once(step, (*words, step.name), notes, ids, arrows)
    if step.flow is None:
        return Box(ids.new(*words, step.name), "step", step.name, notes)
    renamed = () if step.flow.name == step.name else (f"flow {step.flow.name}",)
    return _cluster(step.flow, (*words, step.name), renamed + notes, ids, arrows)


def _at_once(
    step: Step[Any, ...],
    words: tuple[str, ...],
    notes: tuple[str, ...],
    ids: _Ids,
    arrows: list[Arrow],
) -> Cluster:
    """Draw the branches of *step* side by side: all of them begin at its start, and all lead to its exits."""
    own = ids.new(*words)
    start = Box(ids.new(*words, "start"), "start")
    branches = [_member(branch, words, ids, arrows) for branch in step.branches]
    doors = {name: Box(ids.new(*words, name), "exit", name) for name in step.exits}
    doors = doors or {"": Box(ids.new(*words, "joined"), "exit", "joined")}
    for branch in branches:
        arrows.append(_arrow(start, branch))
        for name, door in doors.items():
            source = branch if isinstance(branch, Box) else branch.doors[name]
            arrows.append(_arrow(source, door))
    return Cluster(own, step.name, notes, start, tuple(branches), doors)


def _arrows(
    edge: Edge[Any], steps: Mapping[Step[Any, ...], Box | Cluster], doors: Mapping[str, Box]
) -> Iterator[Arrow]:
    """The arrows of one line of wiring."""
    member = steps[edge.source]
    goals = {name: _goal(target, steps, doors) for name, target in edge.targets.items()}
    caught = [
        (errors_of(catching.errors), _goal(catching.target, steps, doors))
        for catching in edge.catches
    ]
    if isinstance(member, Box):
        yield from (_arrow(member, goal, label=name) for name, goal in goals.items())
        yield from (_arrow(member, goal, "dashed", label=errors) for errors, goal in caught)
        return
    # The exits of a nested flow are boxes of their own: arrows begin there and need no label.
    yield from (
        _arrow(member.doors[name], goal, exit_of=member) for name, goal in goals.items()
    )
    last = list(member.doors.values())[-1]
    yield from (
        _arrow(last, goal, "dashed", label=errors, leaves=member) for errors, goal in caught
    )
    # Where a caught error leads is put below every exit: beside the nested flow its label would lie on the border.
    order = [*steps.values(), *doors.values()]
    later = order[order.index(member) + 1 :]
    for goal in dict.fromkeys(
        goal.start if isinstance(goal, Cluster) else goal for _, goal in caught if goal in later
    ):
        yield from (_arrow(door, goal, "hidden") for door in member.doors.values())


def _goal(
    target: Next, steps: Mapping[Step[Any, ...], Box | Cluster], doors: Mapping[str, Box]
) -> Box | Cluster:
    if isinstance(target, Step):
        return steps[target]
    return doors[target.name if isinstance(target, Exit) and target is not END else ""]


def _arrow(
    source: Box,
    goal: Box | Cluster,
    look: Look = "solid",
    *,
    label: str = "",
    exit_of: Cluster | None = None,
    leaves: Cluster | None = None,
) -> Arrow:
    """An arrow to *goal*; from an exit of a nested flow, or from the border of it as a whole.

    One that leads back to the nested flow it comes from stays inside: it crosses no border.
    """
    if isinstance(goal, Box):
        return Arrow(source.id, goal.id, look, label, leaves.id if leaves else "")
    if goal is exit_of or goal is leaves:
        return Arrow(source.id, goal.start.id, look, label)
    return Arrow(source.id, goal.start.id, look, label, leaves.id if leaves else "", goal.id)


def _joined(arrows: list[Arrow]) -> Iterator[Arrow]:
    """One arrow for all exits that lead the same way, so that their labels do not lie on each other."""
    labels: dict[Arrow, list[str]] = {}
    for arrow in arrows:
        labels.setdefault(attrs.evolve(arrow, label=""), []).append(arrow.label)
    seen = {
        (arrow.source, arrow.target)
        for arrow in labels
        if arrow.look != "hidden" and not arrow.leaves
    }
    for arrow, found in labels.items():
        if arrow.look != "hidden" or (arrow.source, arrow.target) not in seen:
            yield attrs.evolve(arrow, label=", ".join(filter(None, found)))


def errors_of(kinds: tuple[type[Exception], ...]) -> str:
    return ", ".join(kind.__name__ for kind in kinds)


def notes_of(step: Step[Any, ...]) -> tuple[str, ...]:
    """What the step's node, condition and policies say, one phrase each."""
    own = step.node.notes if isinstance(step.node, BuiltIn) else ()
    policies = step.policies
    fallback = None if policies.fallback is None else policies.fallback.name
    said = (
        *own,
        step.condition is not None and _when(step.condition),
        policies.timeout is not None and f"timeout {policies.timeout:g} s",
        policies.idle_timeout is not None and f"idle_timeout {policies.idle_timeout:g} s",
        policies.max_visits is not None and f"max_visits {policies.max_visits}",
        fallback is not None
        and ("fallback" if fallback == "fallback" else f"fallback {fallback}"),
        policies.uses and f"uses {', '.join(resource.name for resource in policies.uses)}",
    )
    return tuple(phrase for phrase in said if isinstance(phrase, str))


def _when(predicate: Callable[[Any], bool]) -> str:
    name = name_of(predicate)
    return "on a condition" if name == "<lambda>" else f"when {name}"


# Keywords of Mermaid and of Graphviz, and what JavaScript finds in every object.
_RESERVED = (
    "call class classdef click constructor default digraph direction edge end flow flowchart graph hasownproperty href "
    "interpolate length linkstyle node prototype strict style subgraph tostring valueof"
)


class _Ids:
    """Readable names that no format trips over, never the same one twice, whatever the case of its letters."""

    def __init__(self) -> None:
        self._taken: set[str] = set(_RESERVED.split())

    def new(self, *words: str) -> str:
        """Return a name made of *words* that was not given before."""
        plain = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_") or "step"
        plain = f"n{plain}" if plain[0].isdigit() else plain
        numbered = (f"{plain}_{number}" for number in itertools.count(2))
        found = next(
            name
            for name in itertools.chain([plain], numbered)
            if name.lower() not in self._taken
        )
        self._taken.add(found.lower())
        return found
