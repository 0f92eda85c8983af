"""Which schedules are tried, in which order: the policies of `explore`.

Layer: testing, sans-IO. Every trial is made of its number alone, but for those of ``preemptions``, which enumerates and
learns from each execution where the next could differ.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final, Literal, TypeAlias, final, get_args

import attrs

from ._choice_core import Chooser, Deviations, Fixed, Priorities, Walk

__all__ = ["POLICIES", "Mode", "Policy", "Search", "Trial", "trial"]

Policy: TypeAlias = Literal["portfolio", "batch", "one-at-a-time", "priorities", "preemptions"]
"""How schedules are searched.

* ``batch``: within each pass of Trio's scheduler the order is random. Real Trio can do all of it.
* ``one-at-a-time``: after every step any runnable task may go on.
* ``priorities``: random priorities; now and then the highest falls below all others (PCT), and nobody waits for ever.
* ``preemptions``: all schedules with one deviation from the usual one, then with two, and so on; with the same data.
* ``portfolio``: all of them in turn, since each finds bugs that the others miss; each time with other data.
"""

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)

Mode: TypeAlias = Literal["one", "batch"]
"""Whether choices are made after every step, or for a whole pass of the scheduler."""

_QUARTER: Final[tuple[Policy, ...]] = (
    "priorities",
    "one-at-a-time",
    "priorities",
    "preemptions",
)
# Preemptions have as large a share as walks: what chance finds seldom often needs a single deviation, and those are few.
# Batch has one turn in sixteen, since what it finds the others do, too, and for being what Trio does today.
_TURNS: Final[tuple[Policy, ...]] = (
    *(_QUARTER + _QUARTER),
    "priorities",
    "one-at-a-time",
    "batch",
    "preemptions",
    *_QUARTER,
)
# Measured with tests/corpus: far better than staying longer or falling less often, and flat around here. That one in
# four falls rarely is for programs longer than those.
_STAYS: Final = (0.0, 0.25, 0.5)
_APART: Final = (2.0, 3.0, 4.0, 10.0)

_WIDEST: Final = 5_000
"""Schedules that are tried with each number of deviations at most."""


@final
@attrs.frozen
class Trial:
    """One schedule to try.

    Attributes:
        policy: what it is of; never ``portfolio``.
        seed: for the program's own dice.
        mode: when choices are made.
        slack: whether timers that are almost due together may fire together.
        chooser: who chooses.
    """

    policy: Policy
    seed: int
    mode: Mode
    slack: bool
    chooser: Chooser


def trial(policy: Policy, seed: int, *, slack: bool = True) -> Trial:
    """The trial that *policy* makes of *seed*; for ``portfolio`` and ``preemptions``, ask `Search`."""
    dice = Random(f"{policy} {seed}")  # not those of the program, which has the seed itself
    if policy == "batch":
        return Trial(policy, seed, "batch", slack, Walk(dice))
    chooser: Chooser
    if policy == "one-at-a-time":
        chooser = Walk(dice, dice.choice(_STAYS))
    else:
        chooser = Priorities(dice, dice.choice(_APART))
    return Trial(policy, seed, "one", slack, chooser)


@final
class Search:
    """Trial after trial of one policy.

    Args:
        policy: how schedules are searched.
        first: the first seed. The n-th trial has the seed ``first + n``; one of ``preemptions`` alone keeps the seed
            until all of its schedules were tried.
    """

    def __init__(self, policy: Policy, first: int = 0) -> None:
        self._policy: Policy = policy
        self._first = first
        self._count = 0
        self._enumeration = _Enumeration(first)
        self._enumerates = False

    def next(self) -> Trial:
        """The next trial."""
        seed = self._first + self._count
        policy = self._policy
        if policy == "portfolio":
            policy = _TURNS[self._count % len(_TURNS)]
        self._count += 1
        self._enumerates = policy == "preemptions"
        if not self._enumerates:
            return trial(policy, seed)
        deviations = self._enumeration.next()
        if deviations is None:
            self._enumeration = _Enumeration(seed)
            deviations = self._enumeration.next()
        data = seed if self._policy == "portfolio" else self._enumeration.seed
        return Trial(policy, data, "one", slack=True, chooser=Fixed(deviations))

    def learn(self, widths: Sequence[int]) -> None:
        """Tell how many options there were at each point of the last trial."""
        if self._enumerates:
            self._enumeration.learn(widths)


_Tried: TypeAlias = tuple[Deviations, Sequence[int]]


@final
class _Enumeration:
    """All schedules by number of deviations, in random order within that."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._dice = Random(seed)
        self._waiting: list[Deviations] = [{}]
        self._tried: list[_Tried] = []
        self._last: Deviations = {}

    def next(self) -> Deviations | None:
        """The next; None when all were tried."""
        if not self._waiting:
            self._waiting = _deeper(self._tried, self._dice)
            self._tried = []
        if not self._waiting:
            return None
        self._last = self._waiting.pop()
        return self._last

    def learn(self, widths: Sequence[int]) -> None:
        """Tell how many options there were at each point of the last; without that, none."""
        self._tried.append((self._last, widths))


def _deeper(tried: Sequence[_Tried], dice: Random) -> list[Deviations]:
    """Schedules with one deviation more than one of *tried*, after its last: all, or `_WIDEST` drawn from them."""
    starts = list(accumulate(map(_count, tried), initial=0))
    total = starts.pop()
    found: list[Deviations] = []
    for number in dice.sample(range(total), min(total, _WIDEST)):
        parent = bisect_right(starts, number) - 1
        found.append(_child(tried[parent], number - starts[parent]))
    return found


def _later(tried: _Tried) -> range:
    """The points after the last deviation."""
    deviations, widths = tried
    return range(max(deviations, default=-1) + 1, len(widths))


def _count(tried: _Tried) -> int:
    """How many schedules have one deviation more."""
    return sum(tried[1][point] - 1 for point in _later(tried))


def _child(tried: _Tried, number: int) -> Deviations:
    """The one of that number, from 0."""
    deviations, widths = tried
    point = _later(tried).start
    while number >= widths[point] - 1:
        number -= widths[point] - 1
        point += 1
    return {**deviations, point: number + 1}
