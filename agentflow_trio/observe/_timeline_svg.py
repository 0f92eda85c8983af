"""The timeline of a run as SVG.

Layer: observe. Rules: what a colour says, a pattern or a word says as well; the scale is that of the run, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .._markup import Markup, joined, tag
from ._critical_core import PathLink
from ._spans_core import RunSpans, Span
from ._timeline_core import Bar, bars_of, occupancy

__all__ = ["timeline"]

_WIDE: Final = 1100.0
_LEFT: Final = 12.0
_RIGHT: Final = 28.0  # room for the last number of the axis
_TOP: Final = 30.0
_ROW: Final = 24.0
_HIGH: Final = 18.0
_CHARACTER: Final = 6.9  # how wide one is at 12 px, on average, rather more
_THINNEST: Final = 2.0
_SHORTEST: Final = 4  # letters of a name that say something
_MARKS: Final = 40  # of one kind in one bar
_COLUMNS: Final = 120  # of the picture of how many went on at once


def timeline(run: RunSpans, critical: Sequence[PathLink]) -> Markup:
    """Return the picture of *run*; what belongs to its *critical* path is outlined."""
    bars = bars_of(run.root)
    scale = _Scale(run.root)
    lanes = 1 + max(bar.lane for bar in bars)
    high = _TOP + lanes * _ROW + 4.0
    links = _by_span(critical)
    said = (
        f"{sum(len(bar.spans) for bar in bars):,} runs, visits and items in {len(bars)} bars "
        f"on {lanes} lanes, over {run.root.duration:.6g} s. The tables below say the same in words."
    )
    return tag(
        "svg",
        tag("title", f"Timeline of {run.root.path}, run {run.run_id}", id="timeline-title"),
        tag("desc", said, id="timeline-desc"),
        _patterns(),
        *_axis(scale, high),
        *(_bar(bar, scale, _room(bar, bars, scale), links) for bar in bars),
        role="img",
        aria_labelledby="timeline-title timeline-desc",
        viewBox=f"0 0 {_WIDE:g} {high:g}",
        class_="timeline",
        data_bars=len(bars),
    )


class _Scale:
    """Where a moment is on the picture."""

    def __init__(self, root: Span) -> None:
        self.start = root.start
        self.seconds = root.duration
        self._pixels = (_WIDE - _LEFT - _RIGHT) / self.seconds if self.seconds > 0.0 else 0.0

    def x(self, moment: float) -> float:
        """The number of pixels from the left edge."""
        return round(_LEFT + (moment - self.start) * self._pixels, 2)

    def stretch(self, start: float, end: float) -> tuple[float, float]:
        """Where a stretch begins, and how wide it is: wide enough to be seen."""
        left = self.x(start)
        return left, round(max(self.x(end) - left, _THINNEST), 2)


def _patterns() -> Markup:
    def hatched(name: str, turn: int, class_: str, gap: int) -> Markup:
        return tag(
            "pattern",
            tag("rect", width=gap, height=gap, class_=f"{class_}-ground"),
            tag("path", d=f"M0,0 V{gap}", class_=class_),
            id=name,
            width=gap,
            height=gap,
            patternUnits="userSpaceOnUse",
            patternTransform=f"rotate({turn})",
        )

    return tag(
        "defs",
        hatched("waiting", 45, "hatch-wait", 6),
        hatched("pausing", 0, "hatch-wait", 4),
        hatched("failing", -45, "hatch-error", 5),
        hatched("cut-off", -45, "hatch-cancelled", 8),
    )


def _axis(scale: _Scale, high: float) -> Iterator[Markup]:
    for tick in _ticks(scale.seconds):
        x = scale.x(scale.start + tick)
        yield tag("line", x1=x, x2=x, y1=_TOP - 6, y2=high, class_="grid")
        yield tag("text", f"{tick:g} s", x=x, y=_TOP - 12, class_="tick")


def _ticks(seconds: float) -> list[float]:
    """Round numbers from 0 on, about ten of them: multiples of 1, 2 or 5 times a power of ten."""
    if seconds <= 0.0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(seconds / 10.0))
    step = next(power * each for each in (1, 2, 5, 10, 20) if seconds <= 11.0 * power * each)
    # of multiples, sums would drift; rounded, since 3 * 0.1 is not 0.3
    return [round(number * step, 12) for number in range(math.floor(seconds / step + 1e-9) + 1)]


# ---------------------------------------------------------------- bars


def _bar(bar: Bar, scale: _Scale, room: float, links: dict[int, list[PathLink]]) -> Markup:
    left, width = scale.stretch(bar.start, bar.end)
    top = round(_TOP + bar.lane * _ROW + (_ROW - _HIGH) / 2, 2)
    many = len(bar.spans) > 1
    mine = [link for span in bar.spans for link in links.get(id(span), ())]
    first = bar.spans[0]
    kind = "many" if many else "around" if first.children else first.kind
    frame = {"x": left, "y": top, "width": width, "height": _HIGH}
    return tag(
        "g",
        tag("title", _told(bar)),
        tag("rect", **frame, rx=2, class_=f"body {kind} {bar.outcome}"),
        *(_crowd(bar, scale, top) if many else _waits(first, scale, top)),
        *_ending(bar, left, width, top),
        *_outlines(mine, scale, top),
        _label(bar, left, width, top, room),
        *(() if many else _failed_attempts(first, scale, top)),
        class_="bar",
        data_path=bar.path,
        data_start=bar.start,
        data_end=bar.end,
        data_outcome=bar.outcome,
        data_count=len(bar.spans),
        data_critical=math.fsum(link.seconds for link in mine) if mine else None,
    )


def _told(bar: Bar) -> str:
    """What a pointer that rests on a bar is told."""
    span, parts = bar.spans[0], [f"{bar.path}: {bar.end - bar.start:.6g} s"]
    if len(bar.spans) > 1:
        parts += [f"{number:,} {outcome}" for outcome, number in bar.outcomes.items()]
    else:
        parts.append(span.outcome if span.exit is None else f"{span.outcome}, exit {span.exit}")
        parts += [f"{len(span.attempts)} attempts"] if span.attempts else []
        parts += [f"{span.error}: {span.message}"[:200]] if span.error else []
        parts += [span.handled] if span.handled else []
        reasons = dict.fromkeys(wait.reason for wait in span.waits)
        parts += [f"waited for {reason}" for reason in reasons]
    if bar.inside:
        parts.append(f"and {bar.inside:,} inside that are not drawn")
    return "; ".join(parts)


def _waits(span: Span, scale: _Scale, top: float) -> Iterator[Markup]:
    for retry, pattern in ((False, "waiting"), (True, "pausing")):
        waits = [(wait.start, wait.end) for wait in span.waits if wait.retry is retry]
        for start, end in _thinned(waits):
            x, width = scale.stretch(start, end)
            yield tag("rect", x=x, y=top, width=width, height=_HIGH, class_=pattern)


def _failed_attempts(span: Span, scale: _Scale, top: float) -> Iterator[Markup]:
    failed = [attempt for attempt in span.attempts if attempt.outcome == "error"]
    for _, end in _thinned((each.end, each.end) for each in failed):
        x = scale.x(end)
        yield tag("path", d=f"M{x - 4:g},{top:g} h8 l-4,7 z", class_="failed-attempt")


def _thinned(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
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


def _crowd(bar: Bar, scale: _Scale, top: float) -> Iterator[Markup]:
    """How many went on at once, as a profile in the bar, if that changes."""
    low, high = bar.start, bar.end
    if high <= low:
        return
    busy = occupancy([(span.start, span.end) for span in bar.spans], low, high, _COLUMNS)
    most, step = max(busy), (scale.x(high) - scale.x(low)) / _COLUMNS
    left, bottom = scale.x(low), top + _HIGH
    line = "".join(
        f"L{left + number * step:.1f},{bottom - _HIGH * part / most:.1f}h{step:.1f}"
        for number, part in enumerate(busy)
    )
    yield tag("path", d=f"M{left:.1f},{bottom:.1f}{line}V{bottom:.1f}z", class_="crowd")


def _ending(bar: Bar, left: float, width: float, top: float) -> Iterator[Markup]:
    """The last stretch of a bar that did not end well, so that it is not told by its colour alone."""
    pattern = {"error": "failing", "cancelled": "cut-off", "unfinished": "cut-off"}.get(
        bar.outcome
    )
    if pattern is not None:
        size = min(width, 12.0)
        x = round(left + width - size, 2)
        yield tag("rect", x=x, y=top, width=size, height=_HIGH, class_=pattern)


def _outlines(links: Iterable[PathLink], scale: _Scale, top: float) -> Iterator[Markup]:
    for start, end in _thinned((link.start, link.end) for link in links):
        x, width = scale.stretch(start, end)
        yield tag(
            "rect", x=x, y=top - 1, width=width, height=_HIGH + 2, rx=2, class_="critical"
        )


def _label(bar: Bar, left: float, width: float, top: float, room: float) -> Markup:
    """The name, and how it ended if there is space: in the bar, or beside it where there is *room*."""
    names = [bar.label]
    if bar.outcome != "success":
        many = f"{bar.outcomes[bar.outcome]:,} " if len(bar.spans) > 1 else ""
        names.insert(0, f"{bar.label}: {many}{_WORDS[bar.outcome]}")
    inside, beside = (int((space - 8) / _CHARACTER) for space in (width, room))
    y = top + 13.0
    for name in names:
        if len(name) <= inside:
            return tag("text", name, x=left + 5, y=y, class_="name")
        if len(name) <= beside:
            return tag("text", name, x=round(left + width + 5, 2), y=y, class_="name beside")
    if inside < _SHORTEST:
        return joined()  # the pointer is told, and the tables say it
    cut = f"{bar.label[: inside - 1]}\N{HORIZONTAL ELLIPSIS}"
    return tag("text", cut, x=left + 5, y=y, class_="name")


_WORDS: Final = {
    "error": "failed",
    "cancelled": "cancelled",
    "unfinished": "unfinished",
}


def _room(bar: Bar, bars: Sequence[Bar], scale: _Scale) -> float:
    """How many pixels beside *bar* are free in its lane."""
    after = (
        other.start
        for other in bars
        if other.lane == bar.lane and other is not bar and other.start >= bar.end
    )
    return min(map(scale.x, after), default=_WIDE) - scale.x(bar.end)


def _by_span(links: Iterable[PathLink]) -> dict[int, list[PathLink]]:
    """The links of each span, by its identity: an item may be tried again under the same path."""
    found: dict[int, list[PathLink]] = {}
    for link in links:
        found.setdefault(id(link.span), []).append(link)
    return found
