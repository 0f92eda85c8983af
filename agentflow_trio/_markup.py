"""HTML and SVG in which no text can become markup.

Layer: the lowest; it imports nothing of the package. Rule: whatever is not `Markup` is escaped.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final, final

__all__ = ["Markup", "joined", "tag"]

_UNSPEAKABLE: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
)
"""What neither HTML nor UTF-8 has."""

_VOID: Final = frozenset({"meta", "link", "rect", "path", "line", "circle", "col", "wbr"})


@final
class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | float | None) -> Markup:
    """Return the element *name*; ``class_`` and ``data_path`` are ``class`` and ``data-path``, None is left out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_safe(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not content:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{joined(*content)}</{name}>")


def joined(*content: str) -> Markup:
    """Return *content* one after the other."""
    return Markup(
        "".join(part if isinstance(part, Markup) else _safe(part) for part in content)
    )


def _safe(text: str) -> str:
    return escape(_UNSPEAKABLE.sub("\N{REPLACEMENT CHARACTER}", text))


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else repr(value)
