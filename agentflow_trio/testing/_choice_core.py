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
    "Walk",
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
class Walk(Chooser):
    """A random walk: the task that ran last goes on with chance *stay*, or else any, with equal chances.

    The greater *stay*, the further tasks get ahead of one another, and the fewer are the moments at which they meet.
    """

    def __init__(self, dice: Random, stay: float = 0.0) -> None:
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
    """Tasks have random priorities; now and then the highest falls below all others.

    Finds a bug that needs few steps in a certain order with a known least chance, however long others must be kept
    waiting for it (PCT: Burckhardt, Kothari, Musuvathi and Nagarakatte, "A Randomized Scheduler with Probabilistic
    Guarantees of Finding Bugs", ASPLOS 2010). Two things are ours. Nobody knows how long the program will be, so a fall
    comes at each point with the same chance, instead of at points drawn from its length. And every `TURN` points, all
    tasks that can go on taken together, the one that has waited longest rises above the others: fair programs may spin
    until another task is done.

    Args:
        dice: for priorities and falls.
        apart: points from one fall to the next on average; more than 1.
    """

    def __init__(self, dice: Random, apart: float) -> None:
        self._random = dice.random
        self._chance = 1.0 / apart
        self._priorities: dict[Hashable, float] = {}
        self._ran: dict[Hashable, int] = {}
        self._highest, self._lowest = 1.0, 0.0
        self._rose = 0

    @override
    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        priorities, ran = self._priorities, self._ran
        for task in tasks:
            if task not in priorities:
                priorities[task] = self._random()
                ran[task] = point
        if (point - self._rose) * len(tasks) >= TURN:
            self._rose = point
            self._highest += 1.0
            priorities[min(tasks, key=ran.__getitem__)] = self._highest
        elif self._random() < self._chance:
            self._lowest -= 1.0
            priorities[max(tasks, key=priorities.__getitem__)] = self._lowest
        best = max(tasks, key=priorities.__getitem__)
        ran[best] = point
        return choice_of(tasks.index(best), usual)

    @override
    def tie(self, point: int, options: int, /) -> int:
        return int(self._random() * options)
