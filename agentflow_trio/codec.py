"""States, results and records to JSON and back: strictly, and with every mistake at once.

What ``dump`` writes, ``load`` reads back equal, for every type named below; anything else is refused by name when it
is met, never written in a way that would come back different. Nothing is coerced: ``"3"`` is not an int, ``true`` is
not 1, a list is not a tuple of another length. The one widening is that of Python: an int may stand for a float.

==============================  ====================================================================================
None, bool, int, str            as they are
float                           a number; ``"nan"``, ``"inf"`` and ``"-inf"`` as strings, since JSON has no word for them
bytes, bytearray                base64
datetime, date, time            ISO 8601
timedelta                       ISO 8601 in days and seconds: ``"P1DT0.5S"``
Decimal, UUID, Path             as strings
Enum                            its value if all values are str or int, else its name; a Flag its number
Literal                         its value
list, tuple, set, frozenset     a list; that of a set is sorted, so that the same set gives the same text
dict                            an object; keys may be str, int, enums and whatever else is written as a string
attrs classes                   an object with a key for each field: the name its ``__init__`` takes
unions                          as the member; attrs classes in one union carry ``"$type"``, the name of their class
SharedState                     an object of the keys its subclass declares
==============================  ====================================================================================

``Sequence`` is read as a tuple, ``Mapping`` as a dict, ``collections.abc.Set`` as a frozenset. Under ``Any`` and
``object`` stands plain JSON only.

Layer: beside state; it is the home of cattrs. Rules: annotations are evaluated when a class is first written or
read, not before; classes are looked at once and kept, as in cattrs; `Keyed` is how a state of keys takes part.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import Enum, Flag
from functools import cache, cached_property
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs
from cattrs import BaseValidationError, ClassValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError, override
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from .errors import CodecError, Mismatch
from .ports import Keyed

__all__ = ["dump", "from_data", "load", "to_data"]

Kind = TypeVar("Kind")
Thing: TypeAlias = Any
"""A value of any type, or the JSON data it is written as."""


# ---------------------------------------------------------------- the four functions


def dump(value: object) -> str:
    """Return *value* as JSON text, in an envelope with the ``__schema_version__`` of its class (1 if it has none).

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    envelope = {_VERSION: _version(type(value)), "value": to_data(value)}
    try:
        return json.dumps(envelope, allow_nan=False)
    except ValueError as error:
        raise _error(type(value), Mismatch("$", "what JSON text can hold", str(error))) from None


def load(kind: type[Kind], text: str) -> Kind:
    """Read *text*, as `dump` wrote it, as a value of *kind*.

    Raises:
        CodecError: it is not JSON (with line and column), has another schema version, or does not fit *kind* (with
            every place that does not).
    """
    data = _parsed(kind, text)
    if type(data) is not dict or set(data) != {_VERSION, "value"}:
        raise _error(kind, Mismatch("$", f'{{"{_VERSION}": ..., "value": ...}}', _told(data)))
    if data[_VERSION] != _version(kind) or type(data[_VERSION]) is not int:
        raise _error(kind, Mismatch(_VERSION, str(_version(kind)), _told(data[_VERSION])))
    return from_data(kind, data["value"])


def to_data(value: object) -> Thing:
    """Return *value* as JSON data (dict, list, str, int, float, bool, None), without an envelope.

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    kind = type(value)
    try:
        return _DYNAMIC.write(value)
    except _FAILURES as failure:
        raise _error(kind, *_mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None


def from_data(kind: type[Kind], data: object) -> Kind:
    """Read JSON data as a value of *kind*, strictly: no unknown field, none missing, nothing coerced.

    A field with a default may be absent. Validators and converters of the classes run.

    Raises:
        CodecError: *data* does not fit *kind*; the error names every place that does not.
    """
    try:
        value: Kind = _form_of(kind).read(data)
    except _FAILURES as failure:
        raise _error(kind, *_mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None
    return value


_VERSION: Final = "schema_version"
_TOO_DEEP: Final = Mismatch("$", "less depth", "more nesting than Python's recursion limit")


def _version(kind: object) -> int:
    version: int = getattr(kind, "__schema_version__", 1)
    return version


def _error(kind: object, *mismatches: Mismatch) -> CodecError:
    return CodecError(kind=_called(kind), mismatches=mismatches)


def _parsed(kind: object, text: str) -> Thing:
    try:
        return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _error(kind, Mismatch(place, "JSON", error.msg)) from None
    except ValueError as error:
        raise _error(kind, Mismatch("$", "JSON", str(error))) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None


def _once_each(pairs: list[tuple[str, Thing]]) -> dict[str, Thing]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} twice in one object")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"the word {word}, which is not JSON")


# ---------------------------------------------------------------- what went wrong


class _UnfitError(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


_FAILURES: Final = (_UnfitError, BaseValidationError, CodecError)


def _mismatches(failure: BaseException, path: str) -> Iterable[Mismatch]:
    """Every mismatch in what the forms and cattrs raised, with its path."""
    match failure:
        case CodecError():
            yield from failure.mismatches
        case _UnfitError():
            yield Mismatch(path, failure.expected, failure.got)
        case ClassValidationError() | IterableValidationError():
            noted, rest = failure.group_exceptions()
            for inner, note in noted:
                yield from _mismatches(inner, path + _segment(failure.cl, note))
            for inner in rest:
                yield from _mismatches(inner, path)
        case ForbiddenExtraKeysError():
            known = [key for _, key, _ in _fields_of(failure.cl)]
            for name in sorted(failure.extra_fields):
                yield Mismatch(path + _dotted(name), _no_such(name, known), repr(name))
        case KeyError():
            yield Mismatch(path, "a value (the field has no default)", "nothing")
        case _:
            yield Mismatch(path, "what the class accepts", f"{type(failure).__name__}: {failure}")


def _segment(kind: object, note: AttributeValidationNote | IterableValidationNote) -> str:
    if isinstance(note, IterableValidationNote):
        return f"[{json.dumps(note.index)}]"
    return _dotted(next((key for name, key, _ in _fields_of(kind) if name == note.name), note.name))


def _dotted(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"


def _no_such(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [*known], n=1)
    return f"no such field (did you mean {near[0]!r}?)" if near else "no such field"


def _called(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def _told(data: object) -> str:
    if data is None or isinstance(data, dict | list | tuple | set | frozenset):
        return {type(None): "null"}.get(type(data), type(data).__name__)
    text = repr(data)
    return f"{type(data).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


# ---------------------------------------------------------------- forms: how the values of one type are written


class _Form(Protocol):
    """How the values of one type are written and read.

    Attributes:
        expected: the type in words.
        shapes: the Python types of the data it may be written as.
    """

    @property
    def expected(self) -> str: ...
    @property
    def shapes(self) -> frozenset[type]: ...
    def fits(self, value: object, /) -> bool:
        """Whether *value* is of the type, as far as a union must know."""
        ...

    def takes(self, data: object, /) -> bool:
        """Whether *data* may be a value of the type, as far as a union must know."""
        ...

    def write(self, value: Thing, /) -> Thing: ...
    def read(self, data: Thing, /) -> Thing: ...


class _Base:
    """What most forms have in common."""

    expected: str
    shapes: frozenset[type]

    def takes(self, data: object, /) -> bool:
        return type(data) in self.shapes

    def unfit(self, found: object) -> _UnfitError:
        return _UnfitError(self.expected, _told(found))


@attrs.frozen
class _Leaf(_Base):
    """A value that is one word of JSON: *to* writes it, *of* reads it back or raises ValueError."""

    kind: type
    shape: type
    to: Callable[[Any], Thing]
    of: Callable[[Any], Any]

    @property
    def expected(self) -> str:  # type: ignore
        return self.kind.__name__
