"""Who goes on next: a schedule as a list of choices, and the ways to choose.

Layer: testing, sans-IO. A *point* is a moment at which more than one thing could happen next; points are counted from 0.
Choice 0 is the usual one: the task that ran last goes on, and if it cannot or ran long enough, the one that has waited
longest. The others follow in the order in which they were made. So a schedule is a short list of deviations.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from random import Random
from typing import Final, Protocol, TypeAlias, final

from typing_extensions import override

__all__ = [
    "TURN",
    "Chooser",
    "Deviations",
    "Fixed",
    "Priorities",
    "Sticky",
    "Uniform",
    "choice_of",
    "index_of",
]

TURN: Final = 300
"""Points in a row that one task may go on while others could, under any policy: more would be unfair, not just rare."""

Deviations: TypeAlias = Mapping[int, int]
"""Every choice of a schedule that was not 0, by point."""


class Chooser(Protocol):
    """Chooses at every point of one execution."""

    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        """Choose one of two or more *tasks*, of which the one at *usual* is choice 0."""
        ...

    def tie(self, point: int, options: int, /) -> int:
        """Choose how many of the timers that are almost due are late enough to fire together; 0 is none."""
        ...


def index_of(choice: int, usual: int) -> int:
    """Where the task of that choice stands."""
    if choice == 0:
        return usual
    return choice - 1 if choice <= usual else choice


def choice_of(index: int, usual: int) -> int:
    """The choice that means the task standing there."""
    if index == usual:
        return 0
    return index + 1 if index < usual else index


@final
class Fixed(Chooser):
    """Repeats a schedule; by itself the usual one."""

    def __init__(self, deviations: Deviations | None = None) -> None:
        self._deviations: Deviations = deviations or {}

    @override
    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        return min(self._deviations.get(point, 0), len(tasks) - 1)

    @override
    def tie(self, point: int, options: int, /) -> int:
        return min(self._deviations.get(point, 0), options - 1)


@final
class Uniform(Chooser):
    """Any task may go next, with equal chances."""

    def __init__(self, dice: Random) -> None:
        self._random = dice.random

    @override
    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        return int(self._random() * len(tasks))

    @override
    def tie(self, point: int, options: int, /) -> int:
        return int(self._random() * options)


@final
class Sticky(Chooser):
    """The task that ran last goes on with chance *stay*, so that tasks get several steps ahead of one another."""

    def __init__(self, dice: Random, stay: float) -> None:
        self._random = dice.random
        self._stay = stay

    @override
    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        random = self._random
        return 0 if random() < self._stay else int(random() * len(tasks))

    @override
    def tie(self, point: int, options: int, /) -> int:
        return int(self._random() * options)


@final
class Priorities(Chooser):
    """Tasks have random priorities; at *depth* - 1 random points the highest falls below all others.

    Finds a bug that needs *depth* ordered steps with a known least chance (PCT: Burckhardt, Kothari, Musuvathi and
    Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010). That a task falls
    after `TURN` points in a row is ours, since fair programs may spin until another task is done.

    Args:
        dice: for priorities and points.
        depth: how many ordered steps a bug may need.
        horizon: among how many first points the others are chosen.
    """

    def __init__(self, dice: Random, depth: int, horizon: int) -> None:
        self._dice = dice
        self._falls = frozenset(dice.randrange(horizon) for _ in range(depth - 1))
        self._priorities: dict[Hashable, float] = {}
        self._lowest = 0.0
        self._last: Hashable = None
        self._turn = 0

    @override
    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        priorities = self._priorities
        for task in tasks:
            if task not in priorities:
                priorities[task] = self._dice.random()
        best = max(tasks, key=priorities.__getitem__)
        self._turn = self._turn + 1 if best is self._last else 1
        if point in self._falls or self._turn > TURN:
            self._lowest -= 1.0
            priorities[best] = self._lowest
            best = max(tasks, key=priorities.__getitem__)
            self._turn = 1
        self._last = best
        return choice_of(tasks.index(best), usual)

    @override
    def tie(self, point: int, options: int, /) -> int:
        return int(self._dice.random() * options)
