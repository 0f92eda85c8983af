"""Where a strand has been: one list append for each visit; paths, counts and the tail are made when asked for.

Layer: engine. Rule: memory is flat. Above 400 entries the log is folded into counts and the last 100 places.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from ._plan import Kind, Plan, PlanStep

__all__ = ["FOLD_ABOVE", "LEFT", "Place", "Trail"]

FOLD_ABOVE: Final = 400
TAIL: Final = 100

LEFT: Final = PlanStep(name="", kind=Kind.WAY_OUT)
"""The log entry for leaving a nested flow."""


@final
@attrs.frozen
class Place:
    """One visit: the path of the flow it is in (with visit numbers, and without), the step, and how often it has come here."""

    prefix: str
    key: str
    step: PlanStep
    visit: int

    @property
    def path(self) -> str:
        """As text, with the visit number from the second on; the flow's path where no step was visited yet."""
        return (self.prefix + segment(self.step.name, self.visit)).removesuffix("/")


def segment(name: str, visit: int) -> str:
    """A path's segment: the number is left out for the first visit."""
    return name if visit == 1 else f"{name}#{visit}"


@final
class _Level:
    """A flow that is being run: where it is, and how often each of its steps was visited."""

    __slots__ = ("counts", "key", "last", "prefix")

    def __init__(self, prefix: str, key: str) -> None:
        self.prefix = prefix
        self.key = key
        self.counts: dict[PlanStep, int] = {}
        self.last: PlanStep = LEFT


@final
class Trail:
    """The log of one strand. ``entries.append`` is all that the hot path does."""

    __slots__ = ("_levels", "_root", "_tail", "_totals", "entries")

    def __init__(self, plan: Plan[Any]) -> None:
        self.entries: list[PlanStep] = []
        self._root = plan.name
        # made at the first fold: most runs end before one is needed, and a deque alone is 0.7 KB
        self._levels: list[_Level] = []
        self._totals: dict[str, int]
        self._tail: deque[tuple[str, PlanStep, int]]

    def _unfold(self) -> None:
        root = f"{self._root}/" if self._root else ""
        self._levels.append(_Level(root, root))
        self._totals = {}
        self._tail = deque(maxlen=TAIL)

    def fold(self) -> None:
        """Turn the log into counts. After this, the levels say where the strand is."""
        if not self._levels:
            self._unfold()
        level = self._levels[-1]
        counts, tail = level.counts, self._tail
        for step in self.entries:
            if step is LEFT:
                self._settle(self._levels.pop())
                level = self._levels[-1]
                counts = level.counts
                continue
            visit = counts[step] = counts.get(step, 0) + 1
            level.last = step
            tail.append((level.prefix, step, visit))
            if step.inner is not None:
                level = _Level(
                    f"{level.prefix}{segment(step.name, visit)}/", f"{level.key}{step.name}/"
                )
                counts = level.counts
                self._levels.append(level)
        self.entries.clear()

    def _settle(self, level: _Level) -> None:
        for step, visits in level.counts.items():
            path = level.key + step.name
            self._totals[path] = self._totals.get(path, 0) + visits

    def here(self) -> Place:
        """The visit that is going on: the innermost one whose step is not itself a flow that was entered."""
        self.fold()
        level = self._levels[-1]
        if level.last is LEFT and len(self._levels) > 1:
            level = self._levels[-2]
        return Place(level.prefix, level.key, level.last, level.counts.get(level.last, 1))

    @property
    def flow_path(self) -> str:
        """The path of the innermost flow that is being run."""
        self.fold()
        return self._levels[-1].prefix.removesuffix("/")

    @property
    def visits(self) -> Mapping[str, int]:
        """Visits per step, by path without visit numbers."""
        self.fold()
        totals = dict(self._totals)
        for level in self._levels:
            for step, visits in level.counts.items():
                path = level.key + step.name
                totals[path] = totals.get(path, 0) + visits
        return totals

    @property
    def tail(self) -> tuple[str, ...]:
        """The last 100 places, oldest first."""
        self.fold()
        return tuple(prefix + segment(step.name, visit) for prefix, step, visit in self._tail)
