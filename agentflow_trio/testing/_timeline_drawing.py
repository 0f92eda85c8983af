"""A sketch of a run as SVG.

Layer: testing. Rules: no text can become markup; the same sketch gives the same bytes; however much there is, no more than
some thousand things are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from .._markup import Markup, joined, tag
from ._picture_bands import bands, crowd
from ._picture_lanes import lanes as draw_lanes
from ._picture_layout_core import MARGIN, TOP, Canvas, Row, narrow_on, rows_of
from ._picture_marks import KEYS, badge, key
from ._picture_text import cut, wide
from ._time_scale_core import Break, Scale, spoken
from ._timeline_picture_core import LANES, Mark, Sketch
from ._timeline_style import style

__all__ = ["drawn"]

_NARROWEST: Final = 480
_NAMES: Final = (90.0, 200.0)  # pixels for names, at least and at most
_NOTES: Final = 12
_RIGHT: Final = 38.0

_Order: TypeAlias = tuple[Row, Mark]
"""A choice out of the usual order, and whose lane it is in."""


def drawn(sketch: Callable[[], Sketch], *, width: int, lanes: int) -> str:
    """Draw what *sketch* makes.

    Raises:
        ValueError: *width* or *lanes* makes no sense.
    """
    if width < _NARROWEST:
        raise ValueError(f"width is at least {_NARROWEST} pixels, not {width}")
    if not 1 <= lanes <= LANES:
        raise ValueError(f"lanes is 1 to {LANES}, not {lanes}")
    return f"{_svg(sketch(), float(width), lanes)}\n"


def _svg(sketch: Sketch, width: float, count: int) -> Markup:
    shown, rest = sketch.lanes[:count], sketch.lanes[count:]
    others = [*((lane.begin, lane.end) for lane in rest), *sketch.others]
    canvas = _canvas(sketch, width, count)
    rows = rows_of(shown)
    orders = sorted(
        ((row, mark) for row in rows for mark in row.lane.marks if mark.kind == "preemption"),
        key=lambda order: order[1].spot,
    )
    parts = [
        *draw_lanes(canvas, rows),
        *_badges(canvas, rows, orders),
        *crowd(canvas, others),
        *bands(canvas),
    ]
    ground, breaks = [*_ground(canvas)], [*_breaks(canvas)]
    below = [*_notes(canvas, orders), *_legend(canvas)]
    high = canvas.bottom + 8
    return tag(
        "svg",
        tag("title", f"Timeline of {sketch.title}", id="aft-title"),
        tag("desc", _described(sketch, orders), id="aft-desc"),
        tag("style", Markup(style())),
        _patterns(),
        tag("rect", class_="page", x=0.5, y=0.5, width=width - 1, height=high - 1, rx=8),
        *_head(sketch, width),
        *ground,
        *parts,
        *breaks,
        *below,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_labelledby="aft-title aft-desc",
        class_="aft",
        viewBox=f"0 0 {width:g} {high:g}",
        width=f"{width:g}",
        height=f"{high:g}",
    )


def _canvas(sketch: Sketch, width: float, count: int) -> Canvas:
    shown = sketch.lanes[:count]
    names = [*(lane.name for lane in shown), *(band.name for band in sketch.bands)]
    least, most = _NAMES
    left = MARGIN + min(max(least, *(wide(name) + 34 for name in names)), most)
    scale = Scale(sketch.instants, left, width - left - _RIGHT, endless=sketch.endless)
    return Canvas(sketch, scale, width, left, narrow_on(scale, shown))


# ---------------------------------------------------------------- around the lanes


def _head(sketch: Sketch, width: float) -> Iterator[Markup]:
    room = width - 2 * MARGIN
    yield tag("text", cut(sketch.title, room * 0.8), class_="title", x=MARGIN, y=27)
    kind = "failed-end" if sketch.failed else "quiet"
    yield tag("text", cut(_said(sketch), room), class_=kind, x=MARGIN, y=46)


def _said(sketch: Sketch) -> str:
    count = len(sketch.lanes) + len(sketch.others)
    tasks = f"{count:,} task{'s' * (count != 1)}"
    time = spoken(sketch.duration)
    return f"{sketch.origin}, {tasks}, {time} of virtual time: {sketch.end}"


def _described(sketch: Sketch, orders: Sequence[_Order]) -> str:
    turned = sum(mark.count for band in sketch.bands for mark in band.marks)
    told = [f"{number}. {_told(order)}" for number, order in enumerate(orders[:_NOTES], 1)]
    parts = [f"{_said(sketch)}."]
    parts += [f"Guards turned {turned:,} away."] if turned else []
    parts += [f"Out of the usual order: {'; '.join(told)}."] if told else []
    return " ".join(parts)


def _ground(canvas: Canvas) -> Iterator[Markup]:
    bottom = canvas.bottom
    for left, right in canvas.scale.wide:
        size = {"width": round(right - left, 2), "height": bottom - TOP}
        yield tag("rect", class_="instant", x=round(left, 2), y=TOP, **size)
    for tick in canvas.scale.ticks():
        yield tag("path", class_="grid", d=f"M{tick.x:g},{TOP - 6:g}V{bottom:g}")
        x = min(tick.x, canvas.width - MARGIN / 2 - wide(tick.words) / 2)
        yield tag("text", tick.words, class_="quiet small middle", x=round(x, 2), y=TOP - 11)


def _breaks(canvas: Canvas) -> Iterator[Markup]:
    last = 0.0
    for broken in canvas.scale.breaks:
        words = spoken(broken.seconds)
        x = (broken.left + broken.right) / 2
        has_room = x - wide(words) / 2 > last
        last = x + wide(words) / 2 + 4 if has_room else last
        yield _broken(canvas, broken, words if has_room else "")


def _broken(canvas: Canvas, broken: Break, words: str) -> Markup:
    x, top = round((broken.left + broken.right) / 2, 2), TOP - 4
    count = max(1, round((canvas.bottom - top) / 12))
    step = (canvas.bottom - top) / count
    down = "".join(f"l{-4 if number % 2 else 4},{step:.2f}" for number in range(count))
    up = "".join(f"l{4 if number % 2 else -4},{-step:.2f}" for number in reversed(range(count)))
    return tag(
        "g",
        tag("title", f"{spoken(broken.seconds)}, drawn shorter"),
        tag("path", class_="break-gap", d=f"M{x - 4:g},{top:g}{down}h8{up}z"),
        tag("path", class_="thread", d=f"M{x - 4:g},{top:g}{down}"),
        tag("path", class_="thread", d=f"M{x + 4:g},{top:g}{down}"),
        *([tag("text", words, class_="small middle", x=x, y=TOP - 26)] if words else []),
        class_="broken",
        data_seconds=broken.seconds,
    )


# ---------------------------------------------------------------- what is out of order


def _told(order: _Order) -> str:
    _, mark = order
    return f"at {spoken(mark.spot[0])}, step {mark.spot[1]:g}: {mark.words}"


def _badges(canvas: Canvas, rows: Sequence[Row], orders: Sequence[_Order]) -> Iterator[Markup]:
    for number, (row, mark) in enumerate(orders[:_NOTES], 1):
        x, line = canvas.scale.x(mark.spot), joined()
        if mark.other is not None and mark.other < len(rows):
            other = rows[mark.other].middle
            line = tag("path", class_="order-line", d=f"M{x:g},{other:g}V{row.middle:g}")
        yield tag(
            "g",
            tag("title", mark.words),
            line,
            badge(x, row.doing - 1, number),
            class_="preemption",
            data_number=number,
            data_time=mark.spot[0],
            data_step=mark.spot[1],
            data_words=mark.words,
        )


def _notes(canvas: Canvas, orders: Sequence[_Order]) -> Iterator[Markup]:
    canvas.bottom += 8
    for number, order in enumerate(orders[:_NOTES], 1):
        canvas.bottom += 20
        words = cut(_told(order), canvas.width - 2 * MARGIN - 24)
        yield badge(MARGIN + 8, canvas.bottom - 4, number)
        yield tag("text", words, x=MARGIN + 24, y=canvas.bottom)
    if len(orders) > _NOTES:
        canvas.bottom += 20
        words = f"and {len(orders) - _NOTES:,} more"
        yield tag("text", words, class_="quiet", x=MARGIN + 24, y=canvas.bottom)


def _legend(canvas: Canvas) -> Iterator[Markup]:
    x, canvas.bottom = MARGIN, canvas.bottom + 24
    for kind, words in KEYS.items():
        if kind not in canvas.kinds:
            continue
        width = 28 + wide(words) + 10
        if x + width > canvas.width - MARGIN:
            x, canvas.bottom = MARGIN, canvas.bottom + 20
        yield key(kind, x, canvas.bottom - 9)
        yield tag("text", words, class_="quiet small", x=round(x + 28, 2), y=canvas.bottom)
        x += width


def _patterns() -> Markup:
    return tag(
        "defs",
        tag(
            "pattern",
            tag("rect", class_="wait-ground", width=6, height=6),
            tag("path", class_="wait-hatch", d="M0,0V6"),
            id="aft-wait",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        ),
    )
