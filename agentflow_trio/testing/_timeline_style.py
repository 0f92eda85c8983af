"""How pictures of timelines look, on light and on dark pages.

Layer: testing. Rules: what a colour says, a shape, a pattern or a word says as well; text has a contrast of at least 4.5
to what is behind it. Colours are written out, for not every viewer of SVG knows variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["style"]

_LIGHT: Final = {
    "page": "#ffffff", "edge": "#d5dbe4", "text": "#17202c", "quiet": "#566173", "grid": "#e8ecf1",
    "stripe": "#f6f8fa", "instant": "#eef1f6", "thread": "#aab4c3",
    "visit": "#cfe2fb", "visit-line": "#3c70b4", "work": "#3c70b4", "sleep": "#eef1f6", "sleep-line": "#b9c2cf",
    "wait": "#fff0c2", "wait-line": "#a77b00", "ready": "#ffffff", "busy": "#a9bfdc",
    "bad": "#b3261e", "bad-ground": "#ffdcd8", "cut": "#5d6470", "cut-ground": "#e6e7ea",
    "good": "#1d6b3a", "good-ground": "#d9ecdf", "order": "#7a2fa8", "order-text": "#ffffff",
}  # fmt: skip
_DARK: Final = {
    "page": "#161b22", "edge": "#38414d", "text": "#e8ecf2", "quiet": "#a5b0c0", "grid": "#242b35",
    "stripe": "#1b2129", "instant": "#232b36", "thread": "#5d6a7b",
    "visit": "#23406a", "visit-line": "#82b1f2", "work": "#82b1f2", "sleep": "#262e39", "sleep-line": "#4b5667",
    "wait": "#4b3c0b", "wait-line": "#e3b93f", "ready": "#161b22", "busy": "#42618c",
    "bad": "#ff9d94", "bad-ground": "#5e211d", "cut": "#b3bac6", "cut-ground": "#383e48",
    "good": "#6fd394", "good-ground": "#1f4a33", "order": "#cf9bf2", "order-text": "#23102f",
}  # fmt: skip

_RULES: Final = """\
.page {fill:@page;stroke:@edge}
text {fill:@text}
.quiet {fill:@quiet}
.failed-end {fill:@bad}
.grid {stroke:@grid}
.stripe {fill:@stripe;fill-opacity:.6}
.instant {fill:@instant}
.thread {stroke:@thread;fill:none}
.thread-dot {fill:@thread}
.visit {fill:@visit;stroke:@visit-line}
.visit.error {fill:@bad-ground;stroke:@bad}
.visit.cancelled, .visit.unfinished {fill:@cut-ground;stroke:@cut;stroke-dasharray:4 2}
.work {fill:@work}
.work-text {fill:@page}
.ready {fill:@ready;stroke:@thread;stroke-dasharray:2 2}
.sleep {fill:@sleep;stroke:@sleep-line}
.tasks {stroke:@thread;stroke-dasharray:1 3;fill:none}
.wait {fill:url(#aft-wait);stroke:@wait-line}
.wait-ground {fill:@wait}
.wait-hatch {stroke:@wait-line}
.busy {fill:@busy}
.break {fill:@page;stroke:@quiet}
.break-gap {fill:@page}
.halo {stroke:@page}
.bad {fill:@bad;stroke:@page}
.bad-line {stroke:@bad;fill:@page}
.cross {stroke:@bad;fill:none}
.cross.cut {stroke:@cut}
.retry {fill:@wait-line;stroke:@page}
.end {stroke:@thread}
.order {fill:@order;stroke:@page}
.order-line {stroke:@order;fill:none}
.order-text {fill:@order-text}
.closed {fill:@good-ground;stroke:@good}
.open {fill:@bad-ground;stroke:@bad}
.half_open {fill:url(#aft-wait);stroke:@wait-line}
.other-state {fill:@cut-ground;stroke:@cut}
.level {fill:@wait;stroke:@wait-line}
.crowd {fill:@busy}
"""

_SHAPES: Final = """\
.aft text {font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.aft text.title {font-size:15px;font-weight:600}
.aft text.small {font-size:11px}
.aft text.number {font-size:10px;font-weight:700;text-anchor:middle}
.aft text.middle {text-anchor:middle}
.aft .halo {paint-order:stroke;stroke-width:3px;stroke-linejoin:round}
.aft .wait-hatch {stroke-width:1;stroke-opacity:.55}
.aft .cross {stroke-width:2.5}
.aft .bad-line {stroke-width:1.8}
.aft .order-line {stroke-width:1.5;stroke-dasharray:3 2}
.aft .end {stroke-width:2}
"""


def style() -> str:
    """The style sheet of a picture."""
    light, dark = (_rules(colours) for colours in (_LIGHT, _DARK))
    return f"\n{_SHAPES}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n"


def _rules(colours: Mapping[str, str]) -> str:
    text = "".join(f".aft {line}\n".replace(", .", ", .aft .") for line in _RULES.splitlines())
    for name in sorted(
        colours, key=len, reverse=True
    ):  # so that no name is taken for a longer one's beginning
        text = text.replace(f"@{name}", colours[name])
    return text
