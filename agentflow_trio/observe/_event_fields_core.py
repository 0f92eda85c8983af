"""The fields of each kind of event as values of JSON, and back.

Layer: observe. Rules: no value is changed on the way; what does not fit the type of its field is refused.
"""

from __future__ import annotations

import functools
import json
import math
import types
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, final, get_args, get_origin, get_type_hints

import attrs

from .._typing import TypeIs
from ..events import EVENT_TYPES

__all__ = ["HEAD", "Read", "WrongKindError", "is_object", "own_fields", "plain", "readers"]

HEAD: Final = ("run_id", "seq", "path", "timestamp", "duration_ms")
"""The fields that every event has."""

Read: TypeAlias = Callable[[object], object]
"""Reads a value of JSON as that of a field. `WrongKindError`: it is none."""

_ENDLESS: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@final
class WrongKindError(Exception):
    """A value is not what a field holds. Attributes: expected: what it holds, with its article."""

    def __init__(self, expected: str) -> None:
        self.expected: Final = expected


def plain(value: object) -> object:
    """What JSON can say of *value* without loss: it has no numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


@functools.cache
def own_fields(event_type: str) -> tuple[str, ...]:
    """The names of the fields that only this kind of event has."""
    fields = attrs.fields(EVENT_TYPES[event_type])
    return tuple(field.name for field in fields if field.name not in HEAD)


@functools.cache
def readers(event_type: str) -> Mapping[str, Read]:
    """Each field of this kind of event -> what reads it."""
    hints = get_type_hints(EVENT_TYPES[event_type])
    return {name: _reader(hints[name]) for name in (*HEAD, *own_fields(event_type))}


def is_object(value: object) -> TypeIs[Mapping[str, object]]:
    """Whether *value*, as read from JSON, is an object."""
    return isinstance(value, dict)


def _reader(hint: object) -> Read:
    """What reads a value of the type *hint*: those that fields of events have, and no others."""
    if isinstance(hint, types.UnionType):
        (one,) = (each for each in get_args(hint) if each is not type(None))
        return functools.partial(_read_optional, _reader(one))
    if get_origin(hint) is Literal:
        return functools.partial(_read_word, get_args(hint))
    return _PLAIN_READERS[hint]


def _read_optional(read: Read, value: object) -> object:
    try:
        return None if value is None else read(value)
    except WrongKindError as error:
        raise WrongKindError(f"{error.expected} or null") from None


def _read_word(words: tuple[str, ...], value: object) -> object:
    if value not in words:
        raise WrongKindError(f"one of {', '.join(json.dumps(word) for word in words)}")
    return value


def _read_text(value: object) -> object:
    if not isinstance(value, str):
        raise WrongKindError("a text")
    return value


def _read_whole(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongKindError("a whole number")
    return value


def _read_number(value: object) -> object:
    if isinstance(value, str) and value in _ENDLESS:
        return _ENDLESS[value]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongKindError("a number")
    return value


def _read_truth(value: object) -> object:
    if not isinstance(value, bool):
        raise WrongKindError("true or false")
    return value


def _read_texts(value: object) -> object:
    if not _is_list(value) or not all(isinstance(each, str) for each in value):
        raise WrongKindError("a list of texts")
    return tuple(value)


def _is_list(value: object) -> TypeIs[list[object]]:
    return isinstance(value, list)


_PLAIN_READERS: Final[Mapping[object, Read]] = {
    str: _read_text,
    int: _read_whole,
    float: _read_number,
    bool: _read_truth,
    tuple[str, ...]: _read_texts,
}
