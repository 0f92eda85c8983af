"""Text on pictures of timelines: no more of it than there is room for.

Layer: testing. Nobody knows how wide letters are in the reader's font; these are rather wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .._markup import Markup, tag

__all__ = ["beside", "cut", "label", "wide"]

_LETTER: Final = 6.7
_SMALL: Final = 6.4
_SAYS_SOMETHING: Final = 8  # letters of something longer


def wide(text: str) -> float:
    """How many pixels small text takes."""
    return len(text) * _SMALL


def cut(text: str, width: float) -> str:
    """*text*, or as much of it as there is room for."""
    return _shortened(text, int(width / _LETTER))


def _shortened(text: str, letters: int) -> str:
    if len(text) <= letters:
        return text
    return f"{text[: max(letters - 1, 0)].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def label(
    texts: Sequence[str], left: float, right: float, y: float, kind: str = ""
) -> Iterator[Markup]:
    """The first of *texts* that fits, or the beginning of the last if there is room for that."""
    letters = int((right - left - 7) / _SMALL)
    fitting = [text for text in texts if text and len(text) <= letters]
    if not fitting and letters >= _SAYS_SOMETHING:
        fitting = [_shortened(text, letters) for text in texts[-1:]]
    for text in fitting[:1]:
        yield tag("text", text, class_=f"small {kind}".rstrip(), x=round(left + 4, 2), y=y)


def beside(text: str, left: float, right: float, y: float) -> Iterator[Markup]:
    """*text* where there is some room for it."""
    letters = int((right - left) / _SMALL)
    if letters >= min(_SAYS_SOMETHING, len(text)):
        said = _shortened(text, letters)
        yield tag("text", said, class_="failed-end small halo", x=round(left, 2), y=y)
