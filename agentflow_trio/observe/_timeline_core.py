"""What a timeline shows of a run, and in which lane.

Layer: observe. Pure. Rules: a small run is drawn whole; of a large one what is alike is one bar, and of the rest the longest
are drawn, so that a picture has at most `MAX_BARS` bars, however many items there were. Nothing is left out in silence:
a bar says how many spans it stands for.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, final

import attrs

from ._spans_core import Outcome, Span, place_of

__all__ = ["MAX_BARS", "SLACK", "Bar", "bars_of", "occupancy"]

MAX_BARS: Final = 200
_ALIKE: Final = 8
"""So many visits or items at one place are drawn one by one in a large run."""

SLACK: Final = 1e-9
"""Seconds; see `critical_path`."""


@final
@attrs.frozen(kw_only=True)
class Bar:
    """A bar of a timeline: a span, or several that are alike.

    Attributes:
        lane: its row, from 0.
        label: the last segment of its path; of several, their number as well.
        path: the path, or the common place.
        spans: what it stands for; one, unless they are alike.
        inside: how many spans inside of these have no bar of their own.
        tried: it is one of the attempts of a hedge, as if that were a visit of its own.
    """

    lane: int
    label: str
    path: str
    spans: tuple[Span, ...]
    inside: int = 0
    tried: bool = False

    @property
    def start(self) -> float:
        """When the first of them began."""
        return min(span.start for span in self.spans)

    @property
    def end(self) -> float:
        """When the last of them ended."""
        return max(span.end for span in self.spans)

    @property
    def outcome(self) -> Outcome:
        """How it ended; the worst, if there are several."""
        found = {span.outcome for span in self.spans}
        return next(each for each in _WORST_FIRST if each in found)

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many ended how."""
        return Counter(span.outcome for span in self.spans)


_WORST_FIRST: Final[tuple[Outcome, ...]] = ("error", "unfinished", "cancelled", "success")


@final
@attrs.define(eq=False)
class _Node:
    """A bar that has no lane yet."""

    spans: tuple[Span, ...]
    label: str
    path: str
    children: list[_Node] = attrs.field(factory=list["_Node"])
    inside: int = 0
    tried: bool = False

    @property
    def start(self) -> float:
        return min(span.start for span in self.spans)

    @property
    def end(self) -> float:
        return max(span.end for span in self.spans)


def bars_of(root: Span) -> tuple[Bar, ...]:
    """Return the bars of a run, each below what it is inside of, at most `MAX_BARS`."""
    bars: list[Bar] = []
    _place(_chosen(root), 0, bars)
    return tuple(bars)


def occupancy(
    stretches: Iterable[tuple[float, float]], low: float, high: float, columns: int
) -> list[float]:
    """Return how many of *stretches* there were at once, on average, in each of so many equal columns from *low* to *high*."""
    width = (high - low) / columns
    busy = [0.0] * (columns + 1)
    steps = [0.0] * (columns + 1)  # where one begins or ends to fill whole columns
    for start, end in stretches:
        first, last = int((start - low) / width), int((end - low) / width)
        if first == last:
            busy[first] += end - start
            continue
        busy[first] += low + (first + 1) * width - start
        busy[last] += end - (low + last * width)
        steps[first + 1] += width
        steps[last] -= width
    filled = itertools.accumulate(steps)
    return [(part + whole) / width for part, whole in zip(busy, filled, strict=True)][:columns]


# ---------------------------------------------------------------- what is drawn


def _chosen(root: Span) -> _Node:
    """The tree of what is drawn: from the outside in, as far as there is room."""
    everything = sum(1 for _ in itertools.islice(root.walk(), MAX_BARS + 1))
    alike = MAX_BARS if everything <= MAX_BARS else _ALIKE
    node = _single(root)
    waiting, room = deque([node]), MAX_BARS - 1
    while waiting:
        around = waiting.popleft()
        (span,) = around.spans
        nodes = _grouped(span.children, alike)
        tries = _tries(span)
        if len(nodes) + len(tries) <= room:
            nodes += tries
        if len(nodes) > room:
            nodes = _longest(nodes, room)
        if span.children and not nodes:
            around.inside = _size(span) - 1
        room -= len(nodes)
        around.children = sorted(nodes, key=lambda each: round(each.start, 9))  # see SLACK
        waiting += (each for each in around.children if len(each.spans) == 1)
        for each in nodes:
            if len(each.spans) > 1:
                each.inside = sum(_size(one) - 1 for one in each.spans)
    return node


def _tries(span: Span) -> list[_Node]:
    """The attempts of hedges in *span*, beside each other."""
    spans = [
        Span(
            kind=span.kind,
            path=span.path,
            start=one.start,
            end=one.end,
            outcome=one.outcome,
            error=one.error,
        )
        for one in span.hedges
    ]
    return [
        _Node((each,), f"try {one.number}", f"{span.path}, try {one.number}", tried=True)
        for each, one in zip(spans, span.hedges, strict=True)
    ]


def _size(span: Span) -> int:
    return sum(1 for _ in span.walk())


def _single(span: Span) -> _Node:
    name = span.path.rpartition("/")[2]
    return _Node((span,), name[name.rindex("[") :] if span.kind == "item" else name, span.path)


def _grouped(spans: Sequence[Span], alike: int) -> list[_Node]:
    """Those at one place as one, if they are too many."""
    places: dict[str, list[Span]] = {}
    for span in spans:
        places.setdefault(span.place, []).append(span)
    nodes: list[_Node] = []
    for place, here in places.items():
        if len(here) <= alike:
            nodes += map(_single, here)
            continue
        name = place.rpartition("/")[2].removesuffix("[*]")
        what = (
            f"{len(here):,} items"
            if here[0].kind == "item"
            else f"{name}, {len(here):,} visits"
        )
        nodes.append(_Node(tuple(here), what, place))
    return nodes


def _longest(nodes: list[_Node], room: int) -> list[_Node]:
    """Those of *nodes* that last longest, the others together as one bar; none without room for two."""
    if room < 2:  # noqa: PLR2004 - one of them, and one for the others
        return []
    by_length = sorted(nodes, key=lambda each: each.start - each.end)
    kept, rest = by_length[: room - 1], by_length[room - 1 :]
    spans = tuple(itertools.chain.from_iterable(each.spans for each in rest))
    around = place_of(spans[0].parent)
    return [*kept, _Node(spans, f"{len(spans):,} shorter ones", around)]


# ---------------------------------------------------------------- where


def _place(node: _Node, lane: int, bars: list[Bar]) -> int:
    """Give *node* and what is inside their lanes, *lane* and those below; return how many they take."""
    bars.append(
        Bar(
            lane=lane,
            label=node.label,
            path=node.path,
            spans=node.spans,
            inside=node.inside,
            tried=node.tried,
        )
    )
    free: list[float] = []  # from when on each lane below is
    for child in node.children:
        inside: list[Bar] = []
        height = _place(child, 0, inside)
        at = _lane_for(child, height, free)
        free += [child.start] * (at + height - len(free))
        free[at : at + height] = [child.end] * height
        bars += (attrs.evolve(bar, lane=bar.lane + lane + 1 + at) for bar in inside)
    return 1 + len(free)


def _lane_for(node: _Node, height: int, free: Sequence[float]) -> int:
    """The first lane from which on so many are free when *node* begins."""
    start = node.start + SLACK
    lanes = itertools.count()
    return next(at for at in lanes if all(until <= start for until in free[at : at + height]))
