"""The small signs on pictures of timelines, and what the legend says of them.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .._markup import Markup, joined, tag

__all__ = ["KEYS", "badge", "cross", "glyph", "key"]

KEYS: Final[Mapping[str, str]] = {
    "visit success": "a step of the flow",
    "visit error": "a step that failed",
    "visit cancelled": "a step that was cut off",
    "visit unfinished": "a step that did not end",
    "work": "the task goes on",
    "ready": "could go on",
    "sleep": "sleeps",
    "wait": "waits",
    "tasks": "waits for its tasks",
    "busy": "too much to draw",
    "retry": "tries again",
    "rejected": "turned away by a guard",
    "timeout": "timed out",
    "failed": "failed",
    "cancelled": "cancelled",
    "closed": "circuit closed",
    "open": "circuit open",
    "half_open": "circuit half-open",
    "other-state": "circuit set by hand",
    "level": "how many wait",
    "band-mark": "turned away",
}
"""What a sign means; the legend explains those that were drawn, in this order."""

_SIGNS: Final = ("retry", "rejected", "timeout", "failed", "cancelled")


def glyph(kind: str, x: float, y: float) -> Markup:
    """The sign of a mark, around that point."""
    match kind:
        case "rejected":
            return joined(
                tag("circle", class_="bad-line", cx=x, cy=y, r=5),
                tag("path", class_="bad-line", d=f"M{x - 3.5:g},{y + 3.5:g}l7,-7"),
            )
        case "retry":
            return tag("path", class_="retry", d=f"M{x - 4:g},{y - 5.5:g}l9,5.5l-9,5.5z")
        case "timeout":
            return tag("path", class_="bad", d=f"M{x - 5:g},{y - 5.5:g}h10l-10,11h10z")
        case _:
            return cross(x, y, failed=kind == "failed")


def cross(x: float, y: float, *, failed: bool) -> Markup:
    """The sign of what did not end well."""
    kind = "cross" if failed else "cross cut"
    return tag("path", class_=kind, d=f"M{x - 4:g},{y - 4:g}l8,8m0,-8l-8,8")


def badge(x: float, y: float, number: int) -> Markup:
    """The number of a choice out of the usual order."""
    return joined(
        tag("circle", class_="order", cx=x, cy=y, r=8),
        tag("text", f"{number}", class_="number order-text", x=x, y=y + 3.5),
    )


def key(kind: str, x: float, y: float) -> Markup:
    """The sign of *kind* in a legend."""
    if kind in _SIGNS:
        return glyph(kind, x + 11, y + 5)
    if kind == "tasks":
        return tag("path", class_="tasks", d=f"M{x:g},{y + 5:g}h22")
    if kind == "band-mark":
        return tag("rect", class_="bad", x=x + 10, y=y + 1, width=3, height=7)
    return tag("rect", class_=kind, x=x, y=y, width=22, height=10, rx=2)
