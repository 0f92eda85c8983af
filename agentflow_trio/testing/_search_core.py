"""Which schedules are tried, in which order: the policies of `explore`.

Layer: testing, sans-IO. Every trial is made of its number alone, but for those of ``preemptions``, which enumerates and
learns from each execution where the next could differ.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from random import Random
from typing import Final, Literal, TypeAlias, final, get_args

import attrs

from ._choice_core import Chooser, Deviations, Fixed, Priorities, Sticky, Uniform

__all__ = ["POLICIES", "Mode", "Policy", "Search", "Trial", "trial"]

Policy: TypeAlias = Literal["portfolio", "batch", "one-at-a-time", "priorities", "preemptions"]
"""How schedules are searched.

* ``batch``: within each pass of Trio's scheduler the order is random. Real Trio can do all of it.
* ``one-at-a-time``: after every step any runnable task may go on.
* ``priorities``: random priorities that change at a few random points (PCT), fair after 300 steps in a row.
* ``preemptions``: all schedules with one deviation from the usual one, then with two, and so on.
* ``portfolio``: all of them in turn, since each finds bugs that the others miss.
"""

POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)

Mode: TypeAlias = Literal["one", "batch"]
"""Whether choices are made after every step, or for a whole pass of the scheduler."""

_TURNS: Final[tuple[Policy, ...]] = (
    "one-at-a-time",
    "priorities",
    "preemptions",
    "one-at-a-time",
    "priorities",
    "batch",
)
_STAYS: Final = (0.0, 0.5, 0.0, 0.9)
_HORIZONS: Final = (8, 24, 80, 240)
_WIDEST: Final = 5_000


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


def trial(policy: Policy, seed: int, *, slack: bool | None = None) -> Trial:
    """The trial that *policy* makes of *seed*; for ``portfolio`` and ``preemptions``, ask `Search`."""
    dice = Random(seed)
    if policy == "batch":
        late = bool(seed % 2) if slack is None else slack
        return Trial(policy, seed, "batch", late, Uniform(dice))
    chooser: Chooser
    if policy == "one-at-a-time":
        stay = _STAYS[seed % len(_STAYS)]
        chooser = Sticky(dice, stay) if stay else Uniform(dice)
    else:
        depth, horizon = dice.randrange(2, 5), dice.choice(_HORIZONS)
        chooser = Priorities(dice, depth, horizon)
    return Trial(policy, seed, "one", True, chooser)


@final
class Search:
    """Trial after trial of one policy.

    Args:
        policy: how schedules are searched.
        first: the first seed; the n-th trial has the seed ``first + n``.
    """

    def __init__(self, policy: Policy, first: int = 0) -> None:
        self._policy = policy
        self._seed = first - 1
        self._first = first
        self._count = -1
        self._enumeration: Generator[Deviations, Sequence[int], None] | None = None
        self._last: Trial | None = None

    def next(self) -> Trial:
        """The next trial."""
        self._seed += 1
        self._count += 1
        policy = self._policy
        if policy == "portfolio":
            policy = _TURNS[self._count % len(_TURNS)]
        if policy == "preemptions":
            made = self._enumerated()
        else:
            made = trial(policy, self._seed)
        self._last = made
        return made

    def learn(self, widths: Sequence[int]) -> None:
        """Tell how many options there were at each point of the last trial."""
        if self._last is not None and self._last.policy == "preemptions":
            self._widths = widths

    _widths: Sequence[int] = ()

    def _enumerated(self) -> Trial:
        try:
            if self._enumeration is None:
                self._enumeration = _by_deviations(Random(self._first))
                deviations = next(self._enumeration)
            else:
                deviations = self._enumeration.send(self._widths)
        except StopIteration:  # all were tried: other data then
            self._enumeration = None
            self._first = self._seed
            return self._enumerated()
        return Trial("preemptions", self._first, "one", True, Fixed(deviations))


def _by_deviations(dice: Random) -> Generator[Deviations, Sequence[int], None]:
    """Schedules by number of deviations; is sent the widths of each."""
    level: Sequence[Deviations] = ({},)
    while level:
        tried: list[tuple[Deviations, Sequence[int]]] = []
        for deviations in level:
            widths = yield deviations
            tried.append((deviations, widths))
        level = list(islice(_deeper(tried), _WIDEST))
        dice.shuffle(level)


def _deeper(
    tried: Sequence[tuple[Deviations, Sequence[int]]],
) -> Generator[Deviations, None, None]:
    """Every schedule with one deviation more than one of *tried*, after its last."""
    for deviations, widths in tried:
        first = max(deviations, default=-1) + 1
        for point in range(first, len(widths)):
            for choice in range(1, widths[point]):
                yield {**deviations, point: choice}
