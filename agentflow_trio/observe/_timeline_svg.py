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
from ._timeline_core import SLACK, Bar, bars_of, occupancy
from ._timeline_path import strip
from ._timeline_scale import CHARACTER, HIGH, ROW, TOP, WIDE, Scale, length, thinned

__all__ = ["timeline"]

_SHORTEST: Final = 4  # letters of a name that say something
_FIRST: Final = TOP + ROW + 22.0  # where bars begin, below the critical path
_COLUMNS: Final = 120  # of the picture of how many went on at once
_LINE: Final = 4.0  # pixels below what is on the critical path


def timeline(run: RunSpans, critical: Sequence[PathLink]) -> Markup:
    """Return the picture of *run*: its *critical* path as a strip on top, and underlined in the bars."""
    bars = bars_of(run.root)
    scale = Scale(run.root)
    lanes = 1 + max(bar.lane for bar in bars)
    high = _FIRST + lanes * ROW + 4.0
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
        *strip(critical, scale, TOP + 16.0),
        *(_bar(bar, scale, _room(bar, bars, scale), links) for bar in bars),
        role="img",
        aria_labelledby="timeline-title timeline-desc",
        viewBox=f"0 0 {WIDE:g} {high:g}",
        class_="timeline",
        data_bars=len(bars),
    )


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


def _axis(scale: Scale, high: float) -> Iterator[Markup]:
    for tick, said in scale.ticks():
        x = scale.x(scale.start + tick)
        yield tag("line", x1=x, x2=x, y1=TOP - 6, y2=high, class_="grid")
        yield tag("text", said, x=x, y=TOP - 12, class_="tick")


# ---------------------------------------------------------------- bars


def _bar(bar: Bar, scale: Scale, room: float, links: dict[int, list[PathLink]]) -> Markup:
    left, width = scale.stretch(bar.start, bar.end)
    top = round(_FIRST + bar.lane * ROW + (ROW - HIGH) / 2, 2)
    many = len(bar.spans) > 1
    mine = [link for span in bar.spans for link in links.get(id(span), ())]
    first = bar.spans[0]
    kind = "many" if many else "around" if first.children else first.kind
    frame = {"x": left, "y": top, "width": width, "height": HIGH}
    return tag(
        "g",
        tag("title", _told(bar)),
        tag("rect", **frame, rx=2, class_=f"body {kind} {bar.outcome}"),
        *(_crowd(bar, scale, top) if many else _waits(first, scale, top)),
        *_ending(bar, left, width, top),
        _label(bar, left, width, top, room),
        *_underlines(mine, scale, top),
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


def _waits(span: Span, scale: Scale, top: float) -> Iterator[Markup]:
    for retry, pattern in ((False, "waiting"), (True, "pausing")):
        waits = [(wait.start, wait.end) for wait in span.waits if wait.retry is retry]
        for start, end in thinned(waits):
            x, width = scale.stretch(start, end)
            yield tag("rect", x=x, y=top, width=width, height=HIGH, class_=pattern)


def _failed_attempts(span: Span, scale: Scale, top: float) -> Iterator[Markup]:
    failed = [attempt for attempt in span.attempts if attempt.outcome == "error"]
    for _, end in thinned((each.end, each.end) for each in failed):
        x = scale.x(end)
        yield tag("path", d=f"M{x - 4:g},{top:g} h8 l-4,7 z", class_="failed-attempt")


def _crowd(bar: Bar, scale: Scale, top: float) -> Iterator[Markup]:
    """How many went on at once, as a profile in the bar, if that changes."""
    low, high = bar.start, bar.end
    if high <= low:
        return
    busy = occupancy([(span.start, span.end) for span in bar.spans], low, high, _COLUMNS)
    most, step = max(busy), (scale.x(high) - scale.x(low)) / _COLUMNS
    left, bottom = scale.x(low), top + HIGH
    line = "".join(
        f"L{left + number * step:.1f},{bottom - HIGH * part / most:.1f}h{step:.1f}"
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
        yield tag("rect", x=x, y=top, width=size, height=HIGH, class_=pattern)


def _underlines(links: Iterable[PathLink], scale: Scale, top: float) -> Iterator[Markup]:
    y = top + HIGH - _LINE / 2.0
    for start, end in thinned((link.start, link.end) for link in links):
        x, width = scale.stretch(start, end, least=1.0)
        yield tag("rect", x=x, y=y, width=width, height=_LINE, class_="critical")


def _label(bar: Bar, left: float, width: float, top: float, room: float) -> Markup:
    """The name, how it ended and how long it took, as far as there is space: in the bar, or beside it where there is *room*."""
    names = [bar.label]
    if bar.tried and bar.outcome == "success":
        names.insert(0, f"{bar.label}: first to end")
    if bar.outcome != "success":
        many = f"{bar.outcomes[bar.outcome]:,} " if len(bar.spans) > 1 else ""
        names.insert(0, f"{bar.label}: {many}{_WORDS[bar.outcome]}")
    inside, beside = (int((space - 8) / CHARACTER) for space in (width, room))
    took = f" {length(bar.end - bar.start)}"
    for name in names:
        for after in (took, ""):
            size = len(name) + len(after)
            if size <= inside or size <= beside:
                within = size <= inside
                return tag(
                    "text",
                    name,
                    tag("tspan", after, class_="took") if after else joined(),
                    x=round(left + 5 if within else left + width + 5, 2),
                    y=top + 13.0,
                    class_="name" if within else "name beside",
                )
    if inside < _SHORTEST:
        return joined()  # the pointer is told, and the tables say it
    cut = f"{bar.label[: inside - 1]}\N{HORIZONTAL ELLIPSIS}"
    return tag("text", cut, x=round(left + 5, 2), y=top + 13.0, class_="name")


_WORDS: Final = {
    "error": "failed",
    "cancelled": "cancelled",
    "unfinished": "unfinished",
}


def _room(bar: Bar, bars: Sequence[Bar], scale: Scale) -> float:
    """How many pixels beside *bar* are free in its lane."""
    after = (
        other.start
        for other in bars
        if other.lane == bar.lane and other is not bar and other.start > bar.end - SLACK
    )
    return min(map(scale.x, after), default=WIDE) - scale.x(bar.end)


def _by_span(links: Iterable[PathLink]) -> dict[int, list[PathLink]]:
    """The links of each span, by its identity: an item may be tried again under the same path."""
    found: dict[int, list[PathLink]] = {}
    for link in links:
        found.setdefault(id(link.span), []).append(link)
    return found
