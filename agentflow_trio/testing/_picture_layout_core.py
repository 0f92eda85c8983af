"""What fits on a picture of a timeline: rows for lanes, and what is too narrow to be seen alone.

Layer: testing, sans-IO.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, final

import attrs

from ._time_scale_core import Scale
from ._timeline_picture_core import Bar, Lane, Mark, Sketch

__all__ = [
    "BAR",
    "DEPTHS",
    "MARGIN",
    "ROW",
    "TOP",
    "Canvas",
    "Placed",
    "Row",
    "few",
    "most_at_once",
    "narrow_on",
    "profile",
    "rows_of",
    "wide_enough",
]

MARGIN: Final = 16.0
TOP: Final = 88.0
ROW: Final = 20.0  # of visits, and of what a task does
BAR: Final = 16.0
DEPTHS: Final = 3  # visits in visits that are drawn
_PAD: Final = 5.0  # above and below a lane
_SEEN: Final = 3.0  # pixels: what is narrower is drawn together
_BARS: Final = 2_500
_MARKS: Final = 200

Placed: TypeAlias = tuple[Bar, float, float]
"""A bar, and where it begins and ends."""


@final
@attrs.frozen
class Row:
    """Where a lane is drawn: from its *top*, with *depth* rows of visits above what its task does."""

    lane: Lane
    number: int
    top: float
    depth: int

    @property
    def doing(self) -> float:
        """The top of what its task does."""
        return self.top + _PAD + self.depth * ROW

    @property
    def middle(self) -> float:
        """Of what its task does."""
        return self.doing + BAR / 2

    @property
    def bottom(self) -> float:
        """Where the next one begins."""
        return self.doing + BAR + _PAD

    def visits(self, depth: int) -> float:
        """The top of the visits of that depth."""
        return self.top + _PAD + depth * ROW


@final
@attrs.define(eq=False)
class Canvas:
    """What is drawn on.

    Attributes:
        sketch: what is drawn.
        scale: where moments are.
        width: of all of it.
        left: where time begins.
        narrow: pixels; what is narrower is drawn together.
        kinds: what the legend has to explain, as keys.
        bottom: how far down it goes so far.
    """

    sketch: Sketch
    scale: Scale
    width: float
    left: float
    narrow: float
    kinds: dict[str, None] = attrs.field(factory=dict[str, None])
    bottom: float = TOP

    def explain(self, kind: str) -> None:
        """The legend has to."""
        self.kinds[kind] = None


def rows_of(lanes: Sequence[Lane]) -> Sequence[Row]:
    """One below the other."""
    rows: list[Row] = []
    top = TOP
    for number, lane in enumerate(lanes):
        depth = min(max((visit.depth + 1 for visit in lane.visits), default=0), DEPTHS)
        rows.append(Row(lane, number, top, depth))
        top = rows[-1].bottom
    return rows


def narrow_on(scale: Scale, lanes: Sequence[Lane]) -> float:
    """What is narrower is drawn together: three pixels, or more where there is much."""
    bars = [each for lane in lanes for each in (lane.doing, lane.visits)]
    width = _SEEN
    while sum(1 for each in bars for _ in wide_enough(each, scale, width)) > _BARS:
        width *= 2
    return width


def wide_enough(bars: Sequence[Bar], scale: Scale, least: float) -> Iterator[Placed]:
    """*bars* where they are; those in a row that are too narrow to be seen are one."""
    crowd: list[Placed] = []
    for bar in bars:
        left, right = scale.x(bar.begin), scale.x(bar.end)
        is_wide = right - left >= least
        if crowd and (is_wide or right - crowd[0][1] >= least * 2):
            yield _together(crowd)
            crowd = []
        if is_wide:
            yield bar, left, right
        else:
            crowd.append((bar, left, right))
    if crowd:
        yield _together(crowd)


def _together(crowd: Sequence[Placed]) -> Placed:
    steps = [item for item in crowd if item[0].kind == "work"]
    if len(crowd) == 1 or len(steps) == 1:  # a moment's work between two waits
        return (steps or crowd)[0]
    bars = [bar for bar, _, _ in crowd]
    kinds = dict.fromkeys(bar.kind for bar in bars)
    count = sum(bar.count for bar in bars)
    if len(kinds) == 1:
        kind, words = bars[0].kind, bars[0].words
    else:
        kind = "error" if "error" in kinds else "busy"
        words = f"{count:,} things too short to draw"
    bar = Bar(bars[0].begin, bars[-1].end, kind, words, count, bars[0].depth)
    return bar, crowd[0][1], crowd[-1][2]


def few(marks: Sequence[Mark]) -> Sequence[Mark]:
    """As many as can be told apart: of too many, those in a row that are of one kind are one."""
    size = 1 + len(marks) // _MARKS
    found: list[Mark] = []
    for start in range(0, len(marks), size):
        kinds: dict[str, Mark] = {}
        for mark in marks[start : start + size]:
            first = kinds.get(mark.kind)
            more = 0 if first is None else first.count
            kinds[mark.kind] = attrs.evolve(first or mark, count=more + mark.count)
        found += kinds.values()
    return found


def most_at_once(changes: Sequence[tuple[float, int]]) -> int:
    """How many there are at most, where one comes or goes; who goes makes room for who comes."""
    now = most = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def profile(changes: Sequence[tuple[float, int]]) -> Sequence[tuple[int, int]]:
    """How many there are from which pixel on."""
    now = 0
    columns: dict[int, int] = {}
    for x, change in sorted(changes):
        now += change
        columns[round(x)] = now
    return [*columns.items()]
