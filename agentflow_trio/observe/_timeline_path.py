"""The critical path as one strip above a timeline: what the length of the run consists of, from its beginning to its end.

Layer: observe. Rules: neighbours that belong together are one stretch; one that is too thin to be seen is part of the one
before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from .._markup import Markup, tag
from ._critical_core import PathLink
from ._spans_core import RETRY, place_of
from ._timeline_scale import CHARACTER, HIGH, LEFT, Scale, length, thinned

__all__ = ["strip"]

_GAP: Final = 1.0  # pixels
_SEEN: Final = 4.0
Stretch: TypeAlias = tuple[str, float, float]


def strip(links: Sequence[PathLink], scale: Scale, top: float) -> Iterator[Markup]:
    """Yield the strip at *top*: a stretch for each step on the path, hatched where it waits."""
    told = "critical path: what the length of the run consists of"
    yield tag("text", told, x=LEFT, y=top - 5, class_="quiet")
    for name, start, end in _stretches(links, scale):
        x, width = scale.stretch(start, end)
        inside = [link for link in links if link.start >= start and link.end <= end]
        yield tag(
            "g",
            tag("title", f"critical path: {name}, {length(end - start)}"),
            tag("rect", x=x, y=top, width=width, height=HIGH, class_="link"),
            *_waits(inside, scale, top),
            *_name(name.rpartition("/")[2], length(end - start), x, width, top),
        )


def _waits(links: Iterable[PathLink], scale: Scale, top: float) -> Iterator[Markup]:
    waits: dict[str, list[tuple[float, float]]] = {}
    for link in links:
        if link.reason is not None:
            pattern = "pausing" if link.reason == RETRY else "waiting"
            waits.setdefault(pattern, []).append((link.start, link.end))
    for pattern, stretches in waits.items():
        for start, end in thinned(stretches):
            x, width = scale.stretch(start, end)
            yield tag("rect", x=x, y=top, width=width, height=HIGH, class_=pattern)


def _name(name: str, took: str, x: float, width: float, top: float) -> Iterator[Markup]:
    room = int((width - 8.0) / CHARACTER)
    for text in (f"{name} {took}", name):
        if len(text) <= room:
            yield tag("text", text, x=x + 5, y=top + 13.0, class_="name")
            return


def _stretches(links: Sequence[PathLink], scale: Scale) -> list[Stretch]:
    """The path in as few words as tell it apart: by the steps of the flow, or further in if it is all in one of them."""
    depth = 2
    while True:
        found = _at_depth(links, depth, scale)
        if len(found) > 1 or all(link.path.count("/") < depth for link in links):
            return found
        depth += 1


def _at_depth(links: Sequence[PathLink], depth: int, scale: Scale) -> list[Stretch]:
    joint: list[Stretch] = []
    for link in links:
        name = "/".join(place_of(link.path).split("/")[:depth]).removesuffix("[*]")
        start = joint.pop()[1] if joint and joint[-1][0] == name else link.start
        joint.append((name, start, link.end))
    found: list[Stretch] = []
    for one in joint:
        if not found or (_pixels(scale, one) >= _GAP and _pixels(scale, found[-1]) >= _SEEN):
            found.append(one)
            continue
        before = found.pop()
        longer = max(before, one, key=lambda each: each[2] - each[1])
        found.append((longer[0], before[1], one[2]))
    return found


def _pixels(scale: Scale, stretch: Stretch) -> float:
    return scale.stretch(stretch[1], stretch[2], least=0.0)[1]
