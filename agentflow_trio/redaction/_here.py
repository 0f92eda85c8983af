"""What may be shown of a text here: inside of a node by what its run hides, elsewhere by what is hidden always.

Layer: redaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from .._typing import TypeIs
from ..types import RUNS
from ._redactor import Redactor

__all__ = ["hide", "hide_fields"]

_DEEP: Final = 8
"""Containers within containers that are looked into; what is deeper is shown as its ``repr``."""


def hide(text: str, /) -> str:
    """Return *text* with ``***`` in place of what must not be shown where this is called.

    Inside of a node, its child tasks and its threads that is what the run hides: every living `Secret` and each made in
    the run, values of ``sensitive`` fields, and what the engine's `Redactor` hides; elsewhere what ``Redactor()`` does. For
    your own log lines and messages; not a checkpoint, from any thread.
    """
    veil = None if RUNS.veil is None else RUNS.veil()
    return _usual().text(text) if veil is None else veil(text)


@lru_cache(maxsize=1)
def _usual() -> Redactor:
    return Redactor()


def hide_fields(fields: Mapping[str, object], /) -> dict[str, object]:
    """Return *fields* as they may be shown: every text in them, and in their containers, as `hide` makes it.

    A text under a name that says so (``password="..."``) is hidden as a whole. What is neither text nor container is
    itself if neither its ``str`` nor its ``repr`` hides anything, else what is left of it. Nothing is changed in place.
    """
    return {name: _entry(name, one, _DEEP) for name, one in fields.items()}


def _hidden(value: object, deep: int) -> object:
    if type(value) is str:
        return hide(value)
    if value is None or isinstance(value, bool):
        return value
    if deep:
        with contextlib.suppress(
            Exception
        ):  # one of somebody else's that cannot be read has a text, perhaps
            if _is_mapping(value):
                return {_hidden(key, 0): _entry(key, one, deep) for key, one in value.items()}
            if _is_list(value) or _is_tuple(value):
                parts = [_hidden(one, deep - 1) for one in value]
                return parts if isinstance(value, list) else tuple(parts)
    for text in dict.fromkeys(_texts(value)):
        shown = hide(text)
        if shown != text:
            return shown
    return value


def _entry(key: object, value: object, deep: int) -> object:
    """*value* as it may be shown under *key*."""
    if type(key) is str and type(value) is str and value:
        shown = hide(f"{key}={_PROBE}")
        if not shown.endswith(_PROBE):
            return shown.removeprefix(f"{key}=")
    return _hidden(value, deep - 1)


_PROBE: Final = "-"
"""Stands for any text: whether it is hidden depends on the name before it."""


def _texts(value: object) -> Iterator[str]:
    for make in (str, repr):
        with contextlib.suppress(
            Exception
        ):  # whoever logs it must not fail over a class of somebody else's
            yield make(value)


def _is_mapping(value: object) -> TypeIs[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeIs[list[object]]:
    return type(value) is list


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return type(value) is tuple
