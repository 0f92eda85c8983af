"""What a page says that a block prints, beside what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["unlike"]

_VARIES: Final[Sequence[tuple[str, str]]] = (
    (r"(?<=after )[\d.]+(e-\d+)?(?= s\b)", "some"),
    # On a page the program is a file of its own.
    (r"[\w-]+\.(py|md):\d+(?= in )", "somewhere"),
    (r"replay: .*[ ='](o\w*:[^\s']*)'?\)?(?=\n)", r"replay: \1"),
)
"""What differs from run to run, or on a page, and what stands for it."""

_REST: Final = "…"
"""Stands on a page for the rest of a line, or of all, which is left out."""


def unlike(printed: str, shown: str) -> str | None:
    """The first line of *printed* that the page does not show, or the first one that only it shows; None if it is right."""
    lines, wanted = (_steady(text).rstrip("\n").split("\n") for text in (printed, shown))
    for number, want in enumerate(wanted):
        if want == _REST:
            return None
        got = lines[number] if number < len(lines) else "(nothing)"
        if got != want and not (want.endswith(_REST) and got.startswith(want[:-1].rstrip())):
            return got
    return lines[len(wanted)] if len(lines) > len(wanted) else None


def _steady(text: str) -> str:
    for pattern, stands_for in _VARIES:
        text = re.sub(pattern, stands_for, text)
    return text
