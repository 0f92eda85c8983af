"""Words for people: names that can stand in a path, near misses, lists.

Layer: flow. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..errors import Problem

__all__ = ["did_you_mean", "listed", "name_problems", "snake_case"]

_NAME = re.compile(r"[^\s/#@\[\]\x00-\x1f]([^/#@\[\]\x00-\x1f]*[^\s/#@\[\]\x00-\x1f])?")


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint that names what *name* looks like among the *known*."""
    from difflib import get_close_matches  # noqa: PLC0415 - for who makes a mistake; 0.6 ms

    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else otherwise


def listed(names: Iterable[str]) -> str:
    """``'a', 'b' and 'c'``."""
    *most, last = map(repr, names)
    return f"{', '.join(most)} and {last}" if most else last


def name_problems(what: str, step: str, name: object) -> Iterator[Problem]:
    """Whether *name* can be a segment of a path; *what* is called so (``a step``)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = "a name is text without / # @ [ ] and without spaces at its ends"
        yield Problem("bad_name", step, f"{what} cannot be called {name!r}", hint)


def snake_case(name: str) -> str:
    """``WriteHTMLPage`` -> ``write_html_page``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
