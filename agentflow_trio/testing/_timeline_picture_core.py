"""What is drawn of a run: lanes of tasks, and bands of guards; bounded, however long the run is.

Layer: testing, sans-IO. What is shorter than the *grain* of a sketch is drawn together with its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, final

import attrs

from ._time_scale_core import Instant, Spot

__all__ = [
    "LANES",
    "Band",
    "Bar",
    "Doing",
    "Lane",
    "Mark",
    "MarkKind",
    "Outcome",
    "Sketch",
    "add_bar",
    "add_mark",
]

LANES: Final = 60
"""Tasks that are looked at; of the others it is known when they began and ended."""

Doing: TypeAlias = Literal["work", "ready", "sleep", "tasks", "wait", "busy"]
"""What a task does: makes a step, could make one, sleeps, waits for its children, for something else, or many of these."""

Outcome: TypeAlias = Literal["success", "error", "cancelled", "unfinished"]

MarkKind: TypeAlias = Literal[
    "rejected", "retry", "timeout", "failed", "cancelled", "preemption"
]


@final
@attrs.frozen
class Bar:
    """Something that lasts.

    Attributes:
        begin, end: from when to when.
        kind: a `Doing` of a task, an `Outcome` of a visit, or the state of a circuit.
        words: what it is.
        count: how many are drawn as one.
        depth: of a visit in other visits of its lane.
        label: what is written on it, if that is something else.
    """

    begin: Spot
    end: Spot
    kind: str
    words: str
    count: int = 1
    depth: int = 0
    label: str = ""


@final
@attrs.frozen
class Mark:
    """Something that happens.

    Attributes:
        spot: when.
        kind: what kind of thing.
        words: what.
        count: how many are drawn as one.
        other: of a preemption, the lane of the task that would have gone on.
    """

    spot: Spot
    kind: MarkKind
    words: str
    count: int = 1
    other: int | None = None


@final
@attrs.define(eq=False)
class Lane:
    """A task.

    Attributes:
        name: what it is called.
        parent: the number of the lane of the task that it was started in; None for the first.
        begin, end: of its life.
        how: it ended.
        why: what it raised.
        doing: one thing after the other.
        visits: of steps; the inner ones after those around them.
        marks: in order.
    """

    name: str
    parent: int | None
    begin: Spot
    end: Spot
    how: Outcome = "unfinished"
    why: str = ""
    doing: list[Bar] = attrs.field(factory=list[Bar])
    visits: list[Bar] = attrs.field(factory=list[Bar])
    marks: list[Mark] = attrs.field(factory=list[Mark])


@final
@attrs.define(eq=False)
class Band:
    """A guard.

    Attributes:
        name: of the guard.
        title: its kind and name.
        levels: what it was, from when on: the state of a circuit, or how many waited.
        marks: whom it turned away.
    """

    name: str
    title: str
    levels: list[tuple[Spot, str | int]]
    marks: list[Mark] = attrs.field(factory=list[Mark])

    @property
    def worth_drawing(self) -> bool:
        """Whether there is something to be seen."""
        return bool(self.marks) or any(level for _, level in self.levels)


@final
@attrs.frozen(kw_only=True)
class Sketch:
    """All that is drawn of a run.

    Attributes:
        title: of the program.
        origin: the seed, or the code of the schedule.
        end: how it ended, in words.
        failed: whether it failed.
        endless: whether its last state would last for ever.
        duration: virtual seconds.
        instants: when something happened.
        lanes: of tasks, in the order in which they were made.
        others: when the tasks without a lane began and ended.
        bands: of guards.
    """

    title: str
    origin: str
    end: str
    failed: bool
    endless: bool
    duration: float
    instants: Sequence[Instant]
    lanes: Sequence[Lane]
    others: Sequence[tuple[Spot, Spot]]
    bands: Sequence[Band]


def add_bar(bars: list[Bar], bar: Bar, grain: float) -> None:
    """Add *bar*; where that and the last are both within a grain, they become one."""
    if grain and bars:
        last = bars[-1]
        if bar.end[0] - last.begin[0] < grain and bar.depth == last.depth:
            kind = bar.kind if bar.kind == last.kind else _JOINT.get(bar.kind, "busy")
            count = last.count + bar.count
            # not evolve, which takes five times as long
            bars[-1] = Bar(last.begin, bar.end, kind, bar.words, count, bar.depth, bar.label)
            return
    bars.append(bar)


_JOINT = {"error": "error", "success": "error", "cancelled": "error"}
"""Visits that are drawn as one and ended differently: at least one did not end well."""


def add_mark(marks: list[Mark], mark: Mark, grain: float) -> None:
    """Add *mark*; of those of one kind within a grain, the first is drawn."""
    for number in range(len(marks) - 1, -1, -1):
        last = marks[number]
        if not grain or mark.spot[0] - last.spot[0] >= grain:
            break
        if last.kind == mark.kind:
            marks[number] = attrs.evolve(last, count=last.count + 1)
            return
    marks.append(mark)
