"""The lanes of a picture of a timeline: what each task did, the steps of the flow in it, and how it ended.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from .._markup import Markup, joined, tag
from ._picture_layout_core import BAR, DEPTHS, MARGIN, Canvas, Placed, Row, few, wide_enough
from ._picture_marks import cross, glyph
from ._picture_text import beside, cut_name, label
from ._time_scale_core import spoken
from ._timeline_picture_core import Lane, Mark

__all__ = ["lanes", "marked"]

_BESIDE: Final = 13.0  # pixels from one mark to the next
_INDENT: Final = 10.0
_INDENTS: Final = 3
_ENDED: Final = {"success": "ended", "error": "failed", "cancelled": "was cancelled"}
_INSETS: Final = {"work": 0.0, "busy": 2.0, "wait": 1.0}


def lanes(canvas: Canvas, rows: Sequence[Row]) -> Iterator[Markup]:
    """All of them; threads lead from tasks to those that they started."""
    for row in rows[1::2]:
        size = {"width": canvas.width - 3, "height": row.bottom - row.top}
        yield tag("rect", class_="stripe", x=1.5, y=row.top, **size)
    for row in rows:
        yield _thread(canvas, row, rows)
    for row in rows:
        yield _lane(canvas, row)
    canvas.bottom = rows[-1].bottom


def _thread(canvas: Canvas, row: Row, rows: Sequence[Row]) -> Markup:
    parent = row.lane.parent
    if parent is None:
        return joined()
    x, y = canvas.scale.x(row.lane.begin), rows[parent].middle
    return joined(
        tag("path", class_="thread", d=f"M{x:g},{y:g}V{row.middle:g}"),
        tag("circle", class_="thread-dot", cx=x, cy=y, r=2.5),
    )


def _lane(canvas: Canvas, row: Row) -> Markup:
    lane = row.lane
    indent = _INDENT * min(_generation(canvas, lane), _INDENTS)
    name = cut_name(lane.name, canvas.left - MARGIN - indent - 8)
    marks = _placed_marks(canvas, row)
    signs = [x for _, x in marks]
    signs += [canvas.scale.x(mark.spot) for mark in lane.marks if mark.kind == "preemption"]
    return tag(
        "g",
        tag("title", _told(lane)),
        tag("text", name, x=MARGIN + indent, y=(row.top + row.bottom) / 2 + 4),
        *_doing(canvas, row, signs),
        *_visits(canvas, row),
        *_end(canvas, row),
        *(marked(mark, x, row.doing + 1) for mark, x in marks),
        class_="lane",
        data_name=lane.name,
        data_begin=lane.begin[0],
        data_end=lane.end[0],
        data_outcome=lane.how,
    )


def _generation(canvas: Canvas, lane: Lane) -> int:
    count, parent = 0, lane.parent
    while parent is not None:
        count, parent = count + 1, canvas.sketch.lanes[parent].parent
    return count


def _told(lane: Lane) -> str:
    end = "had not ended"
    if lane.how in _ENDED:
        end = f"{_ENDED[lane.how]} at {spoken(lane.end[0])}"
    why = f", {lane.why}" if lane.why else ""
    return f"{lane.name}: began at {spoken(lane.begin[0])}, {end}{why}"


# ---------------------------------------------------------------- what it did


def _doing(canvas: Canvas, row: Row, marks: Sequence[float]) -> Iterator[Markup]:
    bars = row.lane.doing
    for bar, left, right in wide_enough(bars, canvas.scale, canvas.narrow):
        end = right
        if canvas.sketch.endless and bar is bars[-1] and row.lane.how == "unfinished":
            end = canvas.scale.right
        canvas.explain(bar.kind)
        yield _did(row, (bar, left, end), marks)


def _did(row: Row, placed: Placed, marks: Sequence[float]) -> Markup:
    bar, left, right = placed
    least = 2.0 if bar.kind == "work" else 1.0
    if bar.kind == "tasks":
        shape = tag("path", class_="tasks", d=f"M{left:g},{row.middle:g}H{right:g}")
    else:
        inset = _INSETS.get(bar.kind, 3.0)
        size = {"width": round(max(right - left, least), 2), "height": BAR - 2 * inset}
        corner = (
            None if bar.kind == "busy" else 2
        )  # those next to each other are one to the eye
        shape = tag("rect", class_=bar.kind, x=left, y=row.doing + inset, rx=corner, **size)
    lasted, words = spoken(bar.end[0] - bar.begin[0]), bar.words
    if bar.kind in {"wait", "tasks"}:
        words = f"waits for {words}"
    return tag(
        "g",
        tag("title", f"{words}, {lasted} from {spoken(bar.begin[0])}"),
        shape,
        *_label(row, placed, marks, lasted),
        class_="doing",
        data_kind=bar.kind,
        data_words=bar.words,
        data_begin=bar.begin[0],
        data_end=bar.end[0],
        data_count=bar.count,
    )


def _label(row: Row, placed: Placed, marks: Sequence[float], lasted: str) -> Iterator[Markup]:
    bar, left, right = placed
    beside_marks = [x + 6 for x in marks if left - 6 < x < left + 14]
    left = max([left, *beside_marks])
    match bar.kind:
        case "sleep":
            yield from label(
                [f"{bar.words} {lasted}", bar.words, ""], left, right, row.doing + 12
            )
        case "wait":
            yield from label([bar.words], left, right, row.doing + 12)
        case "work":
            yield from label([bar.label, ""], left, right, row.doing + 12, "work-text")
        case _:
            pass


# ---------------------------------------------------------------- steps of the flow


def _visits(canvas: Canvas, row: Row) -> Iterator[Markup]:
    visits = sorted(row.lane.visits, key=lambda visit: (visit.depth, visit.begin))
    for depth, group in groupby(visits, lambda visit: visit.depth):
        if depth < DEPTHS:
            for placed in wide_enough([*group], canvas.scale, canvas.narrow):
                canvas.explain(f"visit {placed[0].kind}")
                yield _visit(placed, row.visits(depth))


def _visit(placed: Placed, top: float) -> Markup:
    bar, left, right = placed
    many = f"{bar.count:,} visits, the last " if bar.count > 1 else ""
    name, _, why = bar.label.partition(": ")
    lasted = f"{spoken(bar.end[0] - bar.begin[0])} from {spoken(bar.begin[0])}"
    size = {"width": round(max(right - left, 2.0), 2), "height": BAR}
    return tag(
        "g",
        tag("title", f"{many}{bar.words}, {lasted}: {bar.kind}{f', {why}' if why else ''}"),
        tag("rect", class_=f"visit {bar.kind}", x=left, y=top, rx=3, **size),
        *label([bar.label, name], left, right, top + 12),
        class_="visit-bar",
        data_path=bar.words,
        data_outcome=bar.kind,
        data_begin=bar.begin[0],
        data_end=bar.end[0],
        data_count=bar.count,
    )


# ---------------------------------------------------------------- ends and marks


def _end(canvas: Canvas, row: Row) -> Iterator[Markup]:
    lane, x = row.lane, canvas.scale.x(row.lane.end)
    if lane.how == "success":
        yield tag("path", class_="end", d=f"M{x:g},{row.doing:g}v{BAR:g}")
    elif lane.how != "unfinished":
        canvas.explain("failed" if lane.how == "error" else "cancelled")
        yield cross(x + 7, row.middle, failed=lane.how == "error")
    if lane.why:
        yield from beside(lane.why, x + 16, canvas.width - MARGIN, row.middle + 4)


def _placed_marks(canvas: Canvas, row: Row) -> Sequence[tuple[Mark, float]]:
    """The marks, none over another, but those that are told otherwise."""
    lane, found, last = row.lane, list[tuple[Mark, float]](), -_BESIDE
    told = {"preemption"}
    if lane.how == "cancelled":
        told.add("cancelled")  # by its end
    for mark in few([mark for mark in lane.marks if mark.kind not in told]):
        last = max(canvas.scale.x(mark.spot), last + _BESIDE)
        canvas.explain(mark.kind)
        found.append((mark, round(last, 2)))
    return found


def marked(mark: Mark, x: float, y: float) -> Markup:
    """The sign of *mark*, around that point."""
    many = f", {mark.count:,} times" if mark.count > 1 else ""
    return tag(
        "g",
        tag("title", f"{spoken(mark.spot[0])}: {mark.words}{many}"),
        glyph(mark.kind, x, y),
        class_="mark",
        data_kind=mark.kind,
        data_time=mark.spot[0],
        data_words=mark.words,
        data_count=mark.count,
    )
