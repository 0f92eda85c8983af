"""Draw the pictures of the pages from the code they show: ``python tests/docs/draw.py``.

The test suite fails while a picture is not what this draws.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Final

from agentflow_trio.robustness._breaker_states_core import TRANSITIONS, BreakerState

PAGES: Final = Path(__file__).parents[2] / "docs"

_STYLE: Final = """
text { font: 14px system-ui, sans-serif; fill: #1a1a1a; text-anchor: middle }
.cause { font: 12px ui-monospace, monospace; fill: #444 }
rect { fill: #f4f6fa; stroke: #3b5b8c; stroke-width: 1.5 }
path { fill: none; stroke: #3b5b8c; stroke-width: 1.5; marker-end: url(#tip) }
marker path { fill: #3b5b8c; stroke: none; marker-end: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e8e8e8 } .cause { fill: #b8b8b8 }
  rect { fill: #1d2430; stroke: #8fb0e0 } path { stroke: #8fb0e0 }
  marker path { fill: #8fb0e0 }
}
"""

_WIDE, _HIGH = 120, 44

# where each state stands: the middle of its box
_PLACES: Final = {
    BreakerState.CLOSED: (110, 95),
    BreakerState.OPEN: (550, 95),
    BreakerState.HALF_OPEN: (330, 285),
    BreakerState.ISOLATED: (210, 370),
    BreakerState.DISABLED: (450, 370),
}
# how an arrow runs from one to another, and where its first cause stands
_ARROWS: Final = {
    (BreakerState.CLOSED, BreakerState.OPEN): ("M170,95 H488", 330, 36),
    (BreakerState.OPEN, BreakerState.HALF_OPEN): ("M515,117 Q470,205 391,267", 405, 170),
    (BreakerState.HALF_OPEN, BreakerState.OPEN): ("M390,295 Q560,260 565,119", 590, 240),
    (BreakerState.HALF_OPEN, BreakerState.CLOSED): ("M270,277 Q140,225 114,119", 100, 235),
}
_LINE: Final = 16


def circuit_breaker() -> str:
    """The states of a breaker and what leads from one to another."""
    by_itself: dict[tuple[BreakerState, BreakerState], list[str]] = {}
    by_hand: dict[BreakerState, list[str]] = {}
    for before, cause, after in TRANSITIONS:
        if cause == "reset" or cause.endswith("_by_hand"):
            by_hand.setdefault(after, [])
            by_hand[after] += [] if cause in by_hand[after] else [cause]
        else:
            by_itself.setdefault((before, after), []).append(cause)
    drawn = [_arrow(*_ARROWS[way], causes) for way, causes in by_itself.items()]
    boxes = [_box(*_PLACES[state], state.value) for state in BreakerState]
    notes = [
        _note(
            330, 425 + number * _LINE, f"from any state, {' or '.join(causes)}: {state.value}"
        )
        for number, (state, causes) in enumerate(by_hand.items())
    ]
    return _svg(660, 490, "The states of a circuit breaker", [*drawn, *boxes, *notes])


def _box(x: int, y: int, text: str) -> str:
    corner = f'x="{x - _WIDE // 2}" y="{y - _HIGH // 2}"'
    return (
        f'<rect {corner} width="{_WIDE}" height="{_HIGH}" rx="8"/>'
        f'<text x="{x}" y="{y + 5}">{escape(text)}</text>'
    )


def _arrow(path: str, x: int, y: int, causes: list[str]) -> str:
    lines = [
        f'<text class="cause" x="{x}" y="{y + number * _LINE}">{escape(cause)}</text>'
        for number, cause in enumerate(causes)
    ]
    return "".join([f'<path d="{path}"/>', *lines])


def _note(x: int, y: int, text: str) -> str:
    return f'<text class="cause" x="{x}" y="{y}">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker>'
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    lines = [
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f"<defs>{tip}</defs>",
    ]
    return "\n".join([head, *lines, *parts, "</svg>", ""])


GALLERY: Final = PAGES / "reference" / "gallery-of-timelines.md"


@functools.cache
def _timelines() -> Mapping[str, str]:
    """What the blocks of the gallery draw; each counts its lines from 1, as its readers do."""
    module = ModuleType("gallery")
    found: dict[str, str] = {}
    sys.modules[module.__name__] = module  # attrs looks there
    try:
        with TemporaryDirectory() as folder, chdir(folder):
            for block in re.findall(
                r"```python\n(.*?)```", GALLERY.read_text("utf-8"), re.DOTALL
            ):
                code = compile(block, "block", "exec")
                exec(code, vars(module))  # noqa: S102 - our own page
            for path in sorted(Path(folder).iterdir()):
                found[path.name] = path.read_text("utf-8")
    finally:
        del sys.modules[module.__name__]
    return found


def timeline(name: str) -> Callable[[], str]:
    """A picture of the gallery."""
    return lambda: _timelines()[name]


TIMELINES: Final = re.findall(r"\((timeline-[\w-]+\.svg)\)", GALLERY.read_text("utf-8"))
PICTURES: Final = {
    "reference/circuit-breaker.svg": circuit_breaker,
    **{f"reference/{name}": timeline(name) for name in TIMELINES},
}
"""What is drawn: file, below the folder of the pages -> how."""


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (PAGES / name).write_text(draw(), encoding="utf-8")
