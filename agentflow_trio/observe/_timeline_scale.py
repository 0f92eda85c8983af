"""Where moments are on the picture of a run, and how long they are said to be.

Layer: observe. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, final

from ._profile_table_core import unit_of
from ._spans_core import Span
from ._timeline_core import occupancy

__all__ = [
    "CHARACTER",
    "HIGH",
    "LEFT",
    "RIGHT",
    "ROW",
    "TOP",
    "WIDE",
    "Scale",
    "length",
    "thinned",
]

WIDE: Final = 1100.0
LEFT: Final = 18.0
RIGHT: Final = 28.0
"""Room for the last number of the axis."""
TOP: Final = 30.0
ROW: Final = 24.0
HIGH: Final = 18.0
CHARACTER: Final = 6.9
"""How wide one is at 12 px, on average, rather more."""
_THINNEST: Final = 2.0
_MARKS: Final = 40  # of one kind in one bar
_HUNDRED: Final = 100.0


@final
class Scale:
    """Where a moment is on the picture."""

    def __init__(self, root: Span) -> None:
        self.start = root.start
        self.seconds = root.duration
        self._pixels = (WIDE - LEFT - RIGHT) / self.seconds if self.seconds > 0.0 else 0.0

    def x(self, moment: float) -> float:
        """The number of pixels from the left edge."""
        return round(LEFT + (moment - self.start) * self._pixels, 2)

    def stretch(
        self, start: float, end: float, *, least: float = _THINNEST
    ) -> tuple[float, float]:
        """Where a stretch begins, and how wide it is: wide enough to be seen."""
        left = self.x(start)
        return left, round(max(self.x(end) - left, least), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Moments with round numbers from 0 on, about ten of them: multiples of 1, 2 or 5 times a power of ten."""
        unit, times = unit_of(self.seconds)
        return [(tick / times, f"{tick:g} {unit}") for tick in _round(self.seconds * times)]


def _round(whole: float) -> list[float]:
    if whole <= 0.0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(whole / 10.0))
    step = next(power * each for each in (1, 2, 5, 10, 20) if whole <= 11.0 * power * each)
    # of multiples, sums would drift; rounded, since 3 * 0.1 is not 0.3
    return [round(number * step, 12) for number in range(math.floor(whole / step + 1e-9) + 1)]


def length(seconds: float) -> str:
    """*seconds* in three digits, for a place where there is room for no more."""
    unit, times = unit_of(seconds)
    value = seconds * times
    return f"{value:,.0f} {unit}" if value >= _HUNDRED else f"{value:.3g} {unit}"


def thinned(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """*stretches*, those that touch as one; of more than `_MARKS` there is one in each of so many columns, as long as they."""
    joint: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if joint and start <= joint[-1][1]:
            joint[-1] = joint[-1][0], max(joint[-1][1], end)
        else:
            joint.append((start, end))
    if len(joint) <= _MARKS:
        return joint
    low, high = joint[0][0], joint[-1][1]
    width = (high - low) / _MARKS
    shares = occupancy(joint, low, high, _MARKS)
    lefts = [low + number * width for number in range(_MARKS)]
    return [
        (left, left + share * width) for left, share in zip(lefts, shares, strict=True) if share
    ]
