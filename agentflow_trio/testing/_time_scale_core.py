"""Where a moment of a run is on a picture: time from left to right, with long idle stretches broken, and steps in order.

Layer: testing, sans-IO. Within an instant no time passes, yet much may happen: where there is room, an instant is as wide
as the steps that were made in it. What is much longer than the rest is cut to the same width each, and marked as broken.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias, final

import attrs

__all__ = ["Break", "Instant", "Scale", "Spot", "Tick", "spoken"]

Spot: TypeAlias = tuple[float, float]
"""A time, and how many steps had been made in all."""

_BROKEN: Final = 46.0  # pixels of a broken stretch: its length is written on it
_MOST_BREAKS: Final = 12
_PRICE: Final = 0.4  # how many visible stretches one broken one must bring
_VISIBLE: Final = 3.0
_FAR: Final = (
    4.0  # how many times longer the shortest broken stretch is than the longest other, at least
)
_WIDEST_STEP: Final = 130.0
_STEP: Final = 12.0
_NARROWEST_STEP: Final = 6.0
_SHARE: Final = 0.35  # of the width, for what is within instants
_APART: Final = 40.0  # pixels between the middles of two labels, besides what their text takes
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_LETTER: Final = 3.3  # half of one
_ENDLESS: Final = 0.28  # of the width, for what lasts for ever


@final
@attrs.frozen
class Instant:
    """A time at which something happened.

    Attributes:
        time: virtual seconds.
        first: how many steps had been made before it.
        steps: how many were made in it.
        shown: whether their order matters, so that it should be seen.
    """

    time: float
    first: int
    steps: int
    shown: bool = False


@final
@attrs.frozen
class Break:
    """A stretch that is drawn shorter than it was: from *left* to *right*, *seconds* long; infinite if it never ended."""

    left: float
    right: float
    seconds: float


@final
@attrs.frozen
class Tick:
    """A label of the axis."""

    x: float
    words: str


@final
class Scale:
    """Where moments are.

    Args:
        instants: in order; at least one.
        left, width: of the picture's plane, pixels.
        endless: whether the last state lasts for ever.

    Attributes:
        breaks: stretches that are drawn shorter.
        wide: instants that have a width: from, to.
    """

    def __init__(
        self, instants: Sequence[Instant], left: float, width: float, *, endless: bool = False
    ) -> None:
        self.right: float = left + width
        if endless:
            width *= 1 - _ENDLESS
        self._instants = instants
        self._times = [instant.time for instant in instants]
        gaps = [later - earlier for earlier, later in pairwise(self._times)]
        self._widths = _step_widths(instants, width, timeless=not gaps)
        inside = [at.steps * each for at, each in zip(instants, self._widths, strict=True)]
        room = width - math.fsum(inside)
        limit = _limit(gaps, room)
        drawn = _drawn(gaps, room, limit)
        self._lefts, self._ends = [left], [left + inside[0]]
        self.breaks: list[Break] = []
        for gap, long, each in zip(gaps, drawn, inside[1:], strict=True):
            at = self._ends[-1] + long
            if gap > limit:
                self.breaks.append(Break(self._ends[-1], at, gap))
            self._lefts.append(at)
            self._ends.append(at + each)
        self.wide: Sequence[tuple[float, float]] = [
            (at, end) for at, end in zip(self._lefts, self._ends, strict=True) if end > at
        ]
        self.end: float = self._ends[-1]
        if endless:
            self.breaks.append(Break(self.right - _BROKEN, self.right, math.inf))
            self.end = self.right

    def x(self, spot: Spot) -> float:
        """Where it is; between two instants, as far as time has gone on."""
        time, step = spot
        number = max(0, bisect_right(self._times, time) - 1)
        instant = self._instants[number]
        if time > instant.time:
            return self._between(number, time)
        inside = (step - instant.first) * self._widths[number]
        return round(min(self._lefts[number] + max(0.0, inside), self._ends[number]), 2)

    def _between(self, number: int, time: float) -> float:
        if number + 1 == len(self._times):
            return round(self.end, 2)
        begin, end = self._times[number : number + 2]
        left, right = self._ends[number], self._lefts[number + 1]
        return round(left + (right - left) * (time - begin) / (end - begin), 2)

    def ticks(self) -> Sequence[Tick]:
        """The labels: of the ends, of what follows a break or, without one, of round numbers, then of instants; as there is room."""
        found: list[tuple[float, float, str]] = []
        for x, time in self._candidates():
            words = spoken(time)
            if all(abs(left - x) >= _apart(said, words) for left, _, said in found):
                found.append((x, time, words))
        begun: dict[
            str, float
        ] = {}  # long times are not told to the second, so two may read the same
        made: list[Tick] = []
        for x, time, words in sorted(found):
            since = time - begun.setdefault(words, time)
            made.append(Tick(round(x, 2), f"+{spoken(since)}" if since else words))
        return made

    def _candidates(self) -> Iterator[tuple[float, float]]:
        spots = [
            ((left + end) / 2, time, end > left)
            for left, end, time in zip(self._lefts, self._ends, self._times, strict=True)
        ]
        yield spots[0][:2]
        yield spots[-1][:2]
        edges = [broken.right for broken in self.breaks]
        beside = [number for number, left in enumerate(self._lefts) if left in edges]
        for number in beside:
            yield spots[number][:2]
        if not self.breaks:
            yield from self._round()
        for x, time, is_wide in spots:
            if is_wide:
                yield x, time
        if self.breaks:
            yield from ((x, time) for x, time, _ in spots)

    def _round(self) -> Iterator[tuple[float, float]]:
        """Round numbers of seconds, far enough apart."""
        seconds = self._times[-1] - self._times[0]
        if not seconds:
            return
        least = seconds * _APART * 2.2 / (self.right - self._lefts[0])
        step = _round_step(least)
        for number in range(1, math.floor(seconds / step) + 1):
            time = round(number * step, 12)  # sums would drift
            number_of = bisect_right(self._times, time) - 1
            if self._times[number_of] == time:
                yield (self._lefts[number_of] + self._ends[number_of]) / 2, time
            else:
                yield self._between(number_of, time), time


def _apart(one: str, other: str) -> float:
    return max(_APART, (len(one) + len(other)) * _LETTER + 12)


def _step_widths(
    instants: Sequence[Instant], width: float, *, timeless: bool
) -> Sequence[float]:
    """How wide a step of each instant is; 0 where there is no room for them."""
    every = sum(instant.steps for instant in instants)
    if timeless:
        return [min(_WIDEST_STEP, width / max(every, 1))] * len(instants)
    room = width * _SHARE
    if every and room / every >= _NARROWEST_STEP:
        return [min(_STEP, room / every)] * len(instants)
    shown = sum(instant.steps for instant in instants if instant.shown)
    each = min(_STEP, room / max(shown, 1))
    return [each if instant.shown else 0.0 for instant in instants]


def _limit(gaps: Sequence[float], width: float) -> float:
    """Longer stretches are broken: so that as many as possible are wide enough to be seen, and few are broken."""
    lengths = sorted(gaps)
    best, most = math.inf, _visible(gaps, width, math.inf)
    for number, (one, longer) in enumerate(pairwise(lengths), 1):
        count = len(lengths) - number
        if longer < one * _FAR or count > _MOST_BREAKS:
            continue
        seen = _visible(lengths[:number], width - count * _BROKEN, one) + count * (1 - _PRICE)
        if seen > most:
            best, most = one, seen
    return best


def _visible(gaps: Sequence[float], width: float, limit: float) -> float:
    total = math.fsum(gap for gap in gaps if gap <= limit)
    return sum(gap * width >= _VISIBLE * total for gap in gaps)


def _drawn(gaps: Sequence[float], width: float, limit: float) -> Sequence[float]:
    """How wide each stretch is."""
    broken = sum(gap > limit for gap in gaps)
    total = math.fsum(gap for gap in gaps if gap <= limit)
    room = width - broken * _BROKEN
    return [_BROKEN if gap > limit else room * gap / total for gap in gaps]


_CLOCK: Final = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)


def _round_step(least: float) -> float:
    """The smallest step that is not below *least* and easy to count in: as on a clock from a second on."""
    if least < 1:
        unit = 1
    elif least > _CLOCK[-1]:
        unit = _CLOCK[-1]
    else:
        return next(float(step) for step in _CLOCK if step >= least)
    power = 10.0 ** math.floor(math.log10(least / unit))
    return next(each * power * unit for each in (1, 2, 5, 10) if each * power * unit >= least)


_UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def spoken(seconds: float) -> str:
    """``0.25 s``, ``1 min 30 s``, ``2 h 3 min``, ``1 d 2 h``: of long times no more than two parts; ``for ever``."""
    if seconds == math.inf:
        return "for ever"
    if seconds < _MINUTE:
        return f"{seconds:.4g} s"
    left = round(seconds, 2) if seconds < _HOUR else round(seconds / 60) * 60.0
    parts: list[str] = []
    for unit, name in _UNITS:
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count:.0f} {name}")
    if left:
        parts.append(f"{left:g} s")
    return " ".join(parts[:2])
