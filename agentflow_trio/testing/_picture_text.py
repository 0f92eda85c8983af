"""Text on pictures of timelines: no more of it than there is room for.

Layer: testing. Nobody knows how wide letters are in the reader's font; these are rather wide.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from .._markup import Markup, tag

__all__ = ["beside", "cut", "cut_name", "label", "wide"]

_LETTER: Final = 6.7
_SMALL: Final = 6.4
_SAYS_SOMETHING: Final = 8  # letters of something longer


def wide(text: str) -> float:
    """How many pixels small text takes."""
    return _letters(text) * _SMALL


def cut(text: str, width: float) -> str:
    """*text*, or as much of it as there is room for."""
    return _shortened(text, int(width / _LETTER))


def cut_name(name: str, width: float) -> str:
    """*name*, or as much of it as there is room for; the number of one of several stays."""
    number = _NUMBER.search(name)
    last = "" if number is None else number[0]
    first = name.removesuffix(last)
    return cut(first, width - _letters(last) * _LETTER) + last


_NUMBER: Final = re.compile(r"[#@]\d+$|\[\d+\]$")


def _letters(text: str) -> int:
    """How many letters of the usual width it is as wide as."""
    if text.isascii():
        return len(text)
    return sum(_WIDTHS.get(unicodedata.east_asian_width(letter), 1) for letter in text)


_WIDTHS: Final = {"W": 2, "F": 2}


def _shortened(text: str, letters: int) -> str:
    if _letters(text) <= letters:
        return text
    shorter = text[: max(letters - 1, 0)]
    while shorter and _letters(shorter) > letters - 1:
        shorter = shorter[:-1]
    return f"{shorter.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def label(
    texts: Sequence[str], left: float, right: float, y: float, kind: str = ""
) -> Iterator[Markup]:
    """The first of *texts* that fits, or the beginning of the last if there is room for that."""
    letters = int((right - left - 7) / _SMALL)
    fitting = [text for text in texts if text and _letters(text) <= letters]
    if not fitting and letters >= _SAYS_SOMETHING:
        fitting = [_shortened(text, letters) for text in texts[-1:]]
    for text in fitting[:1]:
        yield tag("text", text, class_=f"small {kind}".rstrip(), x=round(left + 4, 2), y=y)


def beside(text: str, left: float, right: float, y: float) -> Iterator[Markup]:
    """*text* where there is some room for it."""
    letters = int((right - left) / _SMALL)
    if letters >= min(_SAYS_SOMETHING, _letters(text)):
        said = _shortened(text, letters)
        yield tag("text", said, class_="failed-end small halo", x=round(left, 2), y=y)
