"""Below the lanes of a picture of a timeline: how many other tasks there were, and what guards did.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from .._markup import Markup, tag
from ._picture_layout_core import (
    MARGIN,
    Canvas,
    Placed,
    few,
    most_at_once,
    profile,
    wide_enough,
)
from ._picture_text import cut_name, label
from ._time_scale_core import Spot, spoken
from ._timeline_picture_core import Band, Bar

__all__ = ["bands", "crowd"]

_CROWD: Final = 26.0
_HIGH: Final = 16.0
_STATES: Final = ("closed", "open", "half_open")


def crowd(canvas: Canvas, others: Sequence[tuple[Spot, Spot]]) -> Iterator[Markup]:
    """How many of the tasks without a lane lived at a time."""
    if not others:
        return
    x = canvas.scale.x
    changes = [(x(begin), 1) for begin, _ in others]
    changes += [(max(x(end), x(begin) + 1), -1) for begin, end in others]
    most, count = most_at_once(changes), len(others)
    top = canvas.bottom + 4
    canvas.bottom = top + _CROWD + 6
    left = min(changes)[0]
    yield tag(
        "g",
        tag("title", f"{count:,} more tasks, at most {most:,} at once"),
        tag("text", f"{count:,} more", class_="quiet", x=MARGIN, y=top + 17),
        tag("path", class_="crowd", d=_area(profile(changes), most, top)),
        tag("text", f"at most {most:,} at once", class_="small halo", x=left + 4, y=top + 17),
        class_="others",
        data_count=count,
        data_most=most,
    )


def _area(columns: Sequence[tuple[int, int]], most: int, top: float) -> str:
    """As high as many live at once."""
    bottom = top + _CROWD
    line = [f"H{x}V{bottom - _CROWD * level / most:.1f}" for x, level in columns]
    return "".join([f"M{columns[0][0]},{bottom:g}", *line, f"V{bottom:g}z"])


def bands(canvas: Canvas) -> Iterator[Markup]:
    """A band for each guard with which something happened: the state of a circuit, how many waited, whom it turned away."""
    for band in canvas.sketch.bands:
        top = canvas.bottom + 6
        canvas.bottom = top + 22
        yield tag(
            "g",
            tag("title", band.title),
            tag("text", cut_name(band.name, canvas.left - MARGIN - 8), x=MARGIN, y=top + 14),
            *(_level(canvas, band, placed, top) for placed in _levels(canvas, band)),
            *_turned_away(canvas, band, top),
            class_="guard",
            data_name=band.name,
        )


def _turned_away(canvas: Canvas, band: Band, top: float) -> Iterator[Markup]:
    for mark in few(band.marks):
        canvas.explain("band-mark")
        yield tag(
            "g",
            tag("title", f"{spoken(mark.spot[0])}: {mark.words}"),
            tag(
                "rect",
                class_="bad",
                x=canvas.scale.x(mark.spot) - 1.5,
                y=top + 13,
                width=3,
                height=6,
            ),
            class_="turned-away",
            data_time=mark.spot[0],
            data_count=mark.count,
        )


def _levels(canvas: Canvas, band: Band) -> Iterator[Placed]:
    sketch = canvas.sketch
    last = sketch.instants[-1]
    over: Spot = (sketch.duration, float(last.first + last.steps))
    stretches = [
        Bar(begin, end, str(level), "")
        for (begin, level), (end, _) in pairwise([*band.levels, (over, 0)])
        if level
    ]
    return wide_enough(stretches, canvas.scale, canvas.narrow)


def _level(canvas: Canvas, band: Band, placed: Placed, top: float) -> Markup:
    bar, left, right = placed
    level = int(bar.kind) if bar.kind.isdigit() else None
    if level is not None:
        most = max(level for _, level in band.levels if isinstance(level, int))
        kind, words, high = "level", f"{level} waiting", round(_HIGH * level / most, 2)
    else:
        kind, words, high = bar.kind, bar.kind.replace("_", "-"), _HIGH
        kind = kind if kind in _STATES else "busy" if kind == "busy" else "other-state"
    canvas.explain(kind)
    size = {"width": round(max(right - left, 1.5), 2), "height": high}
    times = f"from {spoken(bar.begin[0])} to {spoken(bar.end[0])}"
    return tag(
        "g",
        tag("title", f"{band.title}: {words} {times}"),
        tag("rect", class_=kind, x=left, y=top + 1 + _HIGH - high, rx=2, **size),
        *label([words, ""], left, right, top + 13, "halo"),
        class_="level-bar",
        data_state=words,
        data_begin=bar.begin[0],
        data_end=bar.end[0],
    )
