"""States, results and records to JSON and back: strictly, and with every mistake at once.

What `dump` writes, `load` reads back equal, for every type of the table; anything else is refused
by name when it is met, and never written in a way that would come back different. Nothing is
coerced: ``"3"`` is not an int, ``true`` is not 1, a tuple of two is not one of three. The one
widening is Python's own: an int may stand for a float.

=========================== ==================================================================
None, bool, int, str        as they are
float                       a number; ``"nan"``, ``"inf"``, ``"-inf"`` (JSON has no word for them)
bytes, bytearray            base64
datetime, date, time        ISO 8601
timedelta                   ISO 8601, in days and seconds: ``"P1DT0.5S"``
Decimal, UUID, Path         a string
Enum                        its value if all values are str or int, else its name
Flag                        its number
Literal                     its value
list, tuple                 a list
set, frozenset              a list, sorted: the same set always gives the same text
dict                        an object; keys are str, int, enums, or what else is one string
attrs class                 an object, with the names ``__init__`` takes as keys
union                       as its member; attrs classes of one union carry ``"$type"``, their name
`Keyed` (SharedState)       an object of the keys that the class declares
=========================== ==================================================================

``Sequence`` is read as a tuple, ``Mapping`` as a dict, ``collections.abc.Set`` as a frozenset; under
``Any`` and ``object`` stands plain JSON only.

Layer: beside state, which it meets through `Keyed`; the only home of cattrs. Rules: annotations
are evaluated when a class is first written or read, not before; a class is looked at once.
"""

from __future__ import annotations

import base64
import json
import math
import re
import types
from abc import ABC, abstractmethod
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
    Set,
)
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum, Flag
from functools import cache, cached_property
from itertools import combinations
from pathlib import PurePath
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import attrs
from cattrs import (
    BaseValidationError,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs import override as customized
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn
from typing_extensions import override

from .errors import CodecError, Mismatch
from .ports import Keyed

__all__ = ["dump", "from_data", "load", "to_data"]

Value = TypeVar("Value")

Data: TypeAlias = Any
"""What stands for a value in JSON: None, bool, int, float, str, list, dict."""

Thing: TypeAlias = Any
"""A value of any type."""

Hint: TypeAlias = Any
"""A type, as annotations say it; many are no classes."""


# ---------------------------------------------------------------- the four functions


def dump(value: object) -> str:
    """Return *value* as JSON text, in an envelope with the ``__schema_version__`` of its class (1 if it has none).

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    kind = type(value)
    envelope = {_VERSION: _version_of(kind), "value": to_data(value)}
    try:
        return json.dumps(envelope, allow_nan=False)
    except ValueError as error:  # an int of more digits than Python turns into text
        raise _error(kind, Mismatch("$", "what can be text", str(error))) from None


def load(kind: type[Value], text: str) -> Value:
    """Return the value of *kind* that `dump` wrote as *text*.

    Raises:
        CodecError: it is not JSON (the path is the line and column), has another schema version,
            or does not fit *kind*; the error names every place that does not.
    """
    data = _parsed(kind, text)
    if type(data) is not dict or data.keys() != {_VERSION, "value"}:
        raise _error(kind, Mismatch("$", f'{{"{_VERSION}": ..., "value": ...}}', _told(data)))
    version = data[_VERSION]
    if type(version) is not int or version != _version_of(kind):
        raise _error(kind, Mismatch(_VERSION, str(_version_of(kind)), _told(version)))
    return from_data(kind, data["value"])


def to_data(value: object) -> Data:
    """Return *value* as JSON data (dict, list, str, int, float, bool, None), without an envelope.

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    try:
        return _DYNAMIC.write(value)
    except _FAILURES as failure:
        raise _error(type(value), *_mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(type(value), _TOO_DEEP) from None


def from_data(kind: type[Value], data: object) -> Value:
    """Return JSON data as a value of *kind*: no field unknown, none missing, nothing coerced.

    A field that has a default may be missing. Validators and converters of the classes run.

    Raises:
        CodecError: *data* does not fit *kind*; the error names every place that does not.
    """
    try:
        value: Value = _form_of(kind).read(data)
    except _FAILURES as failure:
        raise _error(kind, *_mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None
    return value


_VERSION: Final = "schema_version"
_TOO_DEEP: Final = Mismatch("$", "nesting within Python's recursion limit", "more")


def _version_of(kind: Hint) -> int:
    version: int = getattr(kind, "__schema_version__", 1)
    return version


def _parsed(kind: Hint, text: str) -> Data:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _error(kind, Mismatch(place, "JSON", error.msg)) from None
    except ValueError as error:
        raise _error(kind, Mismatch("$", "JSON", str(error))) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None


def _unique(pairs: list[tuple[str, Data]]) -> dict[str, Data]:
    keys = [key for key, _ in pairs]
    twice = (
        [key for at, key in enumerate(keys) if key in keys[:at]]
        if len(pairs) > len(dict(pairs))
        else []
    )
    if twice:
        raise ValueError(f"the key {twice[0]!r} twice in one object")
    return dict(pairs)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word}, which no JSON has")


# ---------------------------------------------------------------- what went wrong


class _UnfitError(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


_FAILURES: Final = (_UnfitError, BaseValidationError, CodecError)


def _error(kind: Hint, *mismatches: Mismatch) -> CodecError:
    return CodecError(kind=_called(kind), mismatches=mismatches)


def _mismatches(failure: Exception, path: str) -> Iterable[Mismatch]:
    """Every mismatch in what was raised by the forms below and by cattrs, with its path."""
    match failure:
        case CodecError():  # about a class as such; its path is that of the class
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
            keys = [key for _, key, _ in _fields_of(failure.cl)]
            for extra in sorted(failure.extra_fields):
                yield Mismatch(path + _dotted(extra), _no_such(extra, keys), repr(extra))
        case KeyError():
            yield Mismatch(path, "a value (the field has no default)", "nothing")
        case _:
            yield Mismatch(
                path, "what the class accepts", f"{type(failure).__name__}: {failure}"
            )


def _segment(kind: Hint, note: AttributeValidationNote | IterableValidationNote) -> str:
    if isinstance(note, IterableValidationNote):
        return f"[{json.dumps(note.index)}]"
    keys = {} if kind is object else {name: key for name, key, _ in _fields_of(kind)}
    return _dotted(keys.get(note.name, note.name))


def _dotted(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"


def _no_such(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, [*known], n=1)
    return f"no such field (did you mean {near[0]!r}?)" if near else "no such field"


def _called(kind: Hint) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def _told(found: object) -> str:
    if found is None:
        return "null"
    if isinstance(found, bool | int | float | str):
        text = repr(found)
        return f"{type(found).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
    return type(found).__name__


# ---------------------------------------------------------------- forms: how the values of a type are written


@attrs.frozen
class _Form(ABC):
    """How the values of one type are written and read.

    Attributes:
        expected: the type in words.
        shapes: the classes of the data that may stand for such a value.
    """

    expected: str
    shapes: frozenset[type]

    @abstractmethod
    def fits(self, value: object) -> bool:
        """Whether *value* is of the type, as far as a union must know."""

    def takes(self, data: object) -> bool:
        """Whether *data* may stand for such a value, as far as a union must know."""
        return type(data) in self.shapes

    def write(self, value: Thing) -> Data:
        """Return the data that stands for *value*, or raise one of `_FAILURES`."""
        if not self.fits(value):
            raise self.unfit(value)
        return self.written(value)

    def read(self, data: Data) -> Thing:
        """Return the value that *data* stands for, or raise one of `_FAILURES`."""
        if not self.takes(data):
            raise self.unfit(data)
        return self.value(data)

    @abstractmethod
    def written(self, value: Thing) -> Data:
        """`write`, of a value that fits."""

    @abstractmethod
    def value(self, data: Data) -> Thing:
        """`read`, of data that this form takes."""

    def unfit(self, found: object) -> _UnfitError:
        """The error of a value or of data that is of another type."""
        return _UnfitError(self.expected, _told(found))


@attrs.frozen
class _Leaf(_Form):
    """A value that is one word of JSON. *of* may raise what conversions raise."""

    kind: type
    to: Callable[[Any], Data]
    of: Callable[[Any], Any]

    @override
    def fits(self, value: object) -> bool:
        # The class of a path depends on the machine; a subclass of any other would come back as its base.
        return type(value) is self.kind or (
            isinstance(value, PurePath) and isinstance(value, self.kind)
        )

    @override
    def written(self, value: Thing) -> Data:
        return self.to(value)

    @override
    def value(self, data: Data) -> Thing:
        try:
            return self.of(data)
        except (ArithmeticError, TypeError, ValueError):
            raise self.unfit(data) from None


_NOT_FINITE: Final = ("nan", "inf", "-inf")


@attrs.frozen
class _Float(_Form):
    @override
    def fits(self, value: object) -> bool:
        return type(value) is float or (type(value) is int and _is_float(value))

    @override
    def takes(self, data: object) -> bool:
        return data in _NOT_FINITE if type(data) is str else self.fits(data)

    @override
    def written(self, value: Thing) -> Data:
        return value if math.isfinite(value) else str(value)

    @override
    def value(self, data: Data) -> Thing:
        if type(data) is float and not math.isfinite(data):
            raise self.unfit(data)  # a number like 1e999
        return float(data)


def _is_float(number: int) -> bool:
    """Whether there is a float of exactly this value."""
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


@attrs.frozen
class _Choice(_Form):
    """One of a few values: an Enum or a Literal. They are found by class and value, since 1 == True."""

    data: Mapping[tuple[type, object], Data]
    values: Mapping[tuple[type, object], Thing]
    kinds: frozenset[type]

    @override
    def fits(self, value: object) -> bool:
        return type(value) in self.kinds and (type(value), value) in self.data

    @override
    def takes(self, data: object) -> bool:
        return type(data) in self.shapes and (type(data), data) in self.values

    @override
    def written(self, value: Thing) -> Data:
        return self.data[type(value), value]

    @override
    def value(self, data: Data) -> Thing:
        return self.values[type(data), data]


@attrs.frozen
class _Items(_Form):
    """Any number of items of one type, in a container of class *kind*."""

    kind: type
    item: _Form

    @override
    def fits(self, value: object) -> bool:
        return type(value) is self.kind

    @override
    def written(self, value: Thing) -> Data:
        items = _each(self.item.write, enumerate(value))
        return sorted(items, key=json.dumps) if issubclass(self.kind, Set) else items

    @override
    def value(self, data: Data) -> Thing:
        items = _each(self.item.read, enumerate(data))
        try:
            value = self.kind(items)
        except TypeError:
            raise _UnfitError(self.expected, "items that no set can hold") from None
        if len(value) < len(items):
            raise _UnfitError(self.expected, "an item twice")
        return value


@attrs.frozen
class _Row(_Form):
    """A tuple of a certain length."""

    items: tuple[_Form, ...]

    @override
    def fits(self, value: object) -> bool:
        return type(value) is tuple

    @override
    def written(self, value: Thing) -> Data:
        self._check(value)
        return _each(lambda at: self.items[at].write(value[at]), enumerate(range(len(value))))

    @override
    def value(self, data: Data) -> Thing:
        self._check(data)
        return tuple(
            _each(lambda at: self.items[at].read(data[at]), enumerate(range(len(data))))
        )

    def _check(self, found: Sequence[Any]) -> None:
        if len(found) != len(self.items):
            raise _UnfitError(self.expected, f"{len(found)} items")


@attrs.frozen
class _Dict(_Form):
    key: _Form
    item: _Form

    @override
    def fits(self, value: object) -> bool:
        return type(value) is dict

    @override
    def written(self, value: Thing) -> Data:
        keys = _each(self._write_key, ((str(key), key) for key in value))
        if len(dict.fromkeys(keys)) < len(keys):
            raise _UnfitError(self.expected, "two keys that are written alike")
        items = _each(self.item.write, zip(keys, value.values(), strict=True))
        return dict(zip(keys, items, strict=True))

    @override
    def value(self, data: Data) -> Thing:
        keys = _each(self._read_key, ((key, key) for key in data))
        items = _each(self.item.read, data.items())
        return dict(zip(keys, items, strict=True))

    def _write_key(self, key: Thing) -> str:
        data = self.key.write(key)
        if type(data) is not str and type(data) is not int:
            raise _UnfitError(
                "a key that is a str, an int, an enum or else one string", _told(key)
            )
        return str(data)

    def _read_key(self, text: str) -> Thing:
        # An int in the one way it is written: two keys such as "3" and "03" would become one.
        is_int = int in self.key.shapes and re.fullmatch("0|-?[1-9][0-9]*", text)
        return self.key.read(int(text) if is_int else text)


def _each(convert: Callable[[Any], Any], parts: Iterable[tuple[int | str, Any]]) -> list[Any]:
    """Convert all parts; what goes wrong is raised together, each noted with its place, as cattrs does."""
    done: list[Any] = []
    failures: list[Exception] = []
    for place, part in parts:
        try:
            done.append(convert(part))
        except _FAILURES as failure:
            failure.add_note(IterableValidationNote(f"at {place!r}", place, None))
            failures.append(failure)
    if failures:
        raise IterableValidationError("items", failures, list)
    return done


def _plain_json(data: object) -> bool:
    """Whether JSON gives back just this."""
    if type(data) is list:
        return all(map(_plain_json, data))
    if type(data) is dict:
        return all(type(key) is str and _plain_json(item) for key, item in data.items())
    return type(data) in {type(None), bool, int, str} or (
        type(data) is float and math.isfinite(data)
    )


@attrs.frozen
class _Plain(_Form):
    """What is annotated as Any, or not at all: plain JSON data, as it is."""

    @override
    def fits(self, value: object) -> bool:
        return _plain_json(value)

    @override
    def written(self, value: Thing) -> Data:
        return value

    @override
    def value(self, data: Data) -> Thing:
        return data


@attrs.frozen
class _Dynamic(_Form):
    """A value whose class says how it is written; there is nothing to read it by."""

    @override
    def fits(self, value: object) -> bool:
        return True

    @override
    def takes(self, data: object) -> bool:
        return True

    @override
    def written(self, value: Thing) -> Data:
        kind = type(value)
        if kind is dict:
            return _Dict(self.expected, _OBJECT, self, self).written(value)
        if kind in {list, tuple, set, frozenset}:
            return _Items(self.expected, _LIST, kind, self).written(value)
        return _form_of(kind).write(value)

    @override
    def value(self, data: Data) -> Thing:
        raise _UnfitError(f"a type in place of {self.expected}, as in Box[int]", _told(data))


@attrs.frozen
class _Refused(_Form):
    """A type that cannot be written, or not told from another: an error where a value of it is met."""

    got: str

    @override
    def fits(self, value: object) -> bool:
        return True

    @override
    def takes(self, data: object) -> bool:
        return True

    @override
    def written(self, value: Thing) -> Data:
        raise _UnfitError(self.expected, self.got)

    @override
    def value(self, data: Data) -> Thing:
        raise _UnfitError(self.expected, self.got)


@attrs.frozen
class _Union(_Form):
    """One of several types that can be told apart in JSON; *members* in the order in which to ask them."""

    members: tuple[_Form, ...]

    @override
    def fits(self, value: object) -> bool:
        return any(member.fits(value) for member in self.members)

    @override
    def written(self, value: Thing) -> Data:
        member = next(member for member in self.members if member.fits(value))
        data = member.write(value)
        tagged = (
            {_TAG: member.tag, **data} if isinstance(member, _Record) and self._tags else data
        )
        if self._member_for(tagged) is not member:  # nan, where a str may stand too
            raise _UnfitError(
                f"a value that cannot be taken for another of {self.expected}", _told(value)
            )
        return tagged

    @override
    def takes(self, data: object) -> bool:
        return any(member.takes(data) for member in self.members)

    @override
    def value(self, data: Data) -> Thing:
        member = self._member_for(data)
        if member is None:
            got = _told(data[_TAG]) if _TAG in data else "nothing"
            raise _UnfitError(f"{' or '.join(map(repr, self._tags))} as {_TAG!r}", got)
        if isinstance(member, _Record) and self._tags:
            data = {key: item for key, item in data.items() if key != _TAG}
        return member.read(data)

    @cached_property
    def _tags(self) -> Mapping[str, _Form]:
        """The members that need a tag: attrs classes, if there are several."""
        records = {member.tag: member for member in self.members if isinstance(member, _Record)}
        return records if len(records) > 1 else {}

    def _member_for(self, data: Data) -> _Form | None:
        if type(data) is dict and self._tags:
            tag = data.get(_TAG)
            return self._tags.get(tag) if isinstance(tag, str) else None
        return next(member for member in self.members if member.takes(data))


# ---------------------------------------------------------------- classes


@attrs.frozen
class _Record(_Form):
    """An attrs class. cattrs generates what reads it; the forms of its fields do the rest."""

    kind: Hint

    @property
    def tag(self) -> str:
        """What tells its values from those of other classes in a union."""
        return str(_class_of(self.kind).__name__)

    @cached_property
    def _fields(self) -> tuple[tuple[str, str, _Form], ...]:
        # Looked at when used, not when made: a class may hold others of its own kind.
        return tuple((name, key, _form_of(kind)) for name, key, kind in _fields_of(self.kind))

    @cached_property
    def _late(self) -> Mapping[str, tuple[attrs.Attribute[Any], _Form]]:
        """The fields that ``__init__`` does not take, by key."""
        fields = attrs.fields_dict(_class_of(self.kind))
        return {
            key: (fields[name], form)
            for name, key, form in self._fields
            if not fields[name].init
        }

    @cached_property
    def _reader(self) -> Callable[[Any, Any], Any]:
        overrides = {
            name: customized(rename=key, omit=key in self._late, struct_hook=_hook(form))
            for name, key, form in self._fields
        }
        return make_dict_structure_fn(
            self.kind,
            _converter(),
            _cattrs_forbid_extra_keys=True,
            _cattrs_detailed_validation=True,
            **overrides,
        )

    @override
    def fits(self, value: object) -> bool:
        return type(value) is _class_of(self.kind)

    @override
    def written(self, value: Thing) -> Data:
        parts = ((name, (form, value)) for name, _, form in self._fields)
        data = _named(self.kind, _write_field, parts)
        return {key: data[name] for name, key, _ in self._fields}

    @override
    def value(self, data: Data) -> Thing:
        if getattr(self.kind, "__parameters__", ()):
            raise _UnfitError(
                f"a class with its types, as in {self.expected}[int]", self.expected
            )
        early = {key: item for key, item in data.items() if key not in self._late}
        value, wrong = _tried(lambda: self._reader(early, self.kind))
        # Not left to cattrs, which loses what is wrong with them, and cannot set those of a frozen class.
        due = [
            (field.name, (key, form))
            for key, (field, form) in self._late.items()
            if key in data or _required(field)
        ]
        late, more = _tried(
            lambda: _named(self.kind, lambda _, part: part[1].read(data[part[0]]), due)
        )
        if wrong or more:
            raise ClassValidationError(self.expected, [*wrong, *more], self.kind)
        for name, part in late.items():
            object.__setattr__(value, name, part)
        return value


def _hook(form: _Form) -> Callable[[Any, Any], Any]:
    return lambda data, _kind: form.read(data)


def _required(field: attrs.Attribute[Any]) -> bool:
    return field.default is attrs.NOTHING


def _write_field(name: str, part: tuple[_Form, object]) -> Data:
    form, value = part
    if not hasattr(value, name):
        raise _UnfitError(form.expected, "nothing (the field was never set)")
    return form.write(getattr(value, name))


def _tried(read: Callable[[], Thing]) -> tuple[Thing, Sequence[Exception]]:
    try:
        return read(), ()
    except ClassValidationError as failure:
        return {}, failure.exceptions


def _named(
    kind: Hint, convert: Callable[[str, Any], Any], parts: Iterable[tuple[str, Any]]
) -> dict[str, Any]:
    """Like `_each`, for the fields of *kind* by name."""
    done: dict[str, Any] = {}
    failures: list[Exception] = []
    for name, part in parts:
        try:
            done[name] = convert(name, part)
        except (*_FAILURES, KeyError) as failure:
            failure.add_note(AttributeValidationNote(f"at {name}", name, None))
            failures.append(failure)
    if failures:
        raise ClassValidationError("fields", failures, kind)
    return done


@attrs.frozen
class _Keys(_Form):
    """A state of keys; only those its class declares can be read back."""

    kind: type[Keyed]

    @cached_property
    def _forms(self) -> Mapping[str, _Form]:
        try:
            return {
                name: _form_of(kind) for name, kind in self.kind.__agentflow_keys__().items()
            }
        except TypeError as error:
            raise _UnfitError("a class with keys only", str(error)) from None

    @override
    def fits(self, value: object) -> bool:
        return type(value) is self.kind

    @override
    def written(self, value: Thing) -> Data:
        return _named(object, self._write_one, value.__agentflow_values__().items())

    @override
    def value(self, data: Data) -> Thing:
        return self.kind.__agentflow_make__(_named(object, self._read_one, data.items()))

    def _write_one(self, name: str, value: Thing) -> Data:
        form = self._forms.get(name)
        if form is None:
            where = self.expected if self._forms else f"a subclass of {self.expected}"
            raise _UnfitError(
                f"a declared key; declare StateKey({name!r}, ...) in {where}",
                f"the key {name!r}",
            )
        return form.write(value)

    def _read_one(self, name: str, data: Data) -> Thing:
        form = self._forms.get(name)
        if form is None:
            raise _UnfitError(_no_such(name, self._forms), repr(name))
        return form.read(data)


@cache
def _fields_of(kind: Hint) -> tuple[tuple[str, str, Hint], ...]:
    """The name, the key and the type of each field of an attrs class."""
    owner = _class_of(kind)
    try:
        attrs.resolve_types(owner)
    except Exception as error:
        odd = Mismatch(_called(kind), "annotations that can be evaluated", str(error))
        raise _error(kind, *_unresolved(owner) or [odd]) from None
    bound = _bound(kind)
    return tuple(
        (field.name, str(field.alias) if field.init else field.name, _filled(field.type, bound))
        for field in attrs.fields(owner)
    )


def _unresolved(owner: type) -> list[Mismatch]:
    """The fields of a class whose annotations cannot be evaluated."""
    found: list[Mismatch] = []
    for parent in reversed(owner.__mro__):
        for name, hint in vars(parent).get("__annotations__", {}).items():
            alone = type(
                "alone", (), {"__annotations__": {name: hint}, "__module__": parent.__module__}
            )
            try:
                get_type_hints(alone)
            except Exception as error:  # noqa: BLE001 - an annotation is any expression
                got = f"{hint!r} ({type(error).__name__}: {error})"
                found.append(
                    Mismatch(f"{owner.__name__}.{name}", "a type that its module knows", got)
                )
    return found


def _class_of(kind: Hint) -> Any:
    return get_origin(kind) or kind


def _bound(kind: Hint) -> dict[Any, Hint]:
    """What the type variables of a generic class stand for, those of its bases included."""
    owner = _class_of(kind)
    bound = dict(zip(getattr(owner, "__parameters__", ()), get_args(kind), strict=False))
    for base in vars(owner).get("__orig_bases__", ()):
        bound |= {name: _filled(hint, bound) for name, hint in _bound(base).items()}
    return bound


def _filled(hint: Hint, bound: Mapping[Any, Hint]) -> Hint:
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    open_ = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
    return hint[tuple(bound.get(name, name) for name in open_)] if open_ else hint


# ---------------------------------------------------------------- the form of a type

_FORMS: Final[dict[Hint, _Form]] = {}
_TAG: Final = "$type"
_LIST: Final = frozenset({list})
_OBJECT: Final = frozenset({dict})
_STR: Final = frozenset({str})
_DYNAMIC: Final = _Dynamic("Any", frozenset())
_CONTAINERS: Final[Mapping[Hint, type]] = {
    list: list,
    MutableSequence: list,
    tuple: tuple,
    Sequence: tuple,
    set: set,
    MutableSet: set,
    frozenset: frozenset,
    Set: frozenset,
    dict: dict,
    Mapping: dict,
    MutableMapping: dict,
}


@cache
def _converter() -> Converter:
    return Converter(forbid_extra_keys=True, detailed_validation=True)


def _form_of(hint: Hint) -> _Form:
    try:
        form = _FORMS.get(hint)
    except TypeError:  # Annotated with something that has no hash
        return _made(hint)
    if form is None:
        form = _FORMS[hint] = _made(hint)
    return form


def _made(hint: Hint) -> _Form:
    """Decide how the values of a type are written."""
    origin, args, name = _class_of(hint), get_args(hint), _called(hint)
    if origin is Annotated:
        return _form_of(args[0])
    if isinstance(hint, NewType):
        return _form_of(hint.__supertype__)
    if (
        type(hint).__name__ == "TypeAliasType"
    ):  # typing has one from 3.12 on, typing_extensions its own
        return _form_of(hint.__value__)
    if hint is None or hint in _LEAVES:
        return _LEAVES[hint or type(None)]
    if hint is Any or hint is object:
        return _Plain(name, frozenset({type(None), bool, int, float, str, list, dict}))
    if isinstance(hint, TypeVar):
        return _DYNAMIC
    if origin is Literal:
        return _choice(name, [(_form_of(type(arg)).write(arg), arg) for arg in args])
    if origin is Union or origin is types.UnionType:
        return _union(name, args)
    if origin in _CONTAINERS:
        return _container(name, _CONTAINERS[origin], args, bare=not args and hint != tuple[()])
    return _class_form(hint, origin, name) if isinstance(origin, type) else _unknown(name)


def _unknown(name: str) -> _Form:
    return _Refused("a type that has a place in JSON", frozenset(), name)


def _class_form(hint: Hint, kind: type, name: str) -> _Form:
    if callable(getattr(kind, "__agentflow_keys__", None)):
        return _Keys(name, _OBJECT, kind)
    if attrs.has(kind):
        return _Record(name, _OBJECT, hint)
    if issubclass(kind, Flag):
        return _Leaf(name, frozenset({int}), kind, _value_of, kind)
    if issubclass(kind, Enum):
        by_value = all(type(member.value) in {str, int} for member in kind)
        return _choice(
            name, [(member.value if by_value else member.name, member) for member in kind]
        )
    if issubclass(kind, PurePath):
        return _Leaf(name, _STR, kind, str, kind)
    return _unknown(name)


def _value_of(member: Enum) -> Data:
    return member.value


def _choice(name: str, pairs: Sequence[tuple[Data, object]]) -> _Form:
    data = {(type(value), value): datum for datum, value in pairs}
    values = {(type(datum), datum): value for datum, value in pairs}
    if len(values) < len(data):
        return _Refused("values that are not written alike", frozenset(), name)
    shapes = frozenset(type(datum) for datum, _ in pairs)
    return _Choice(name, shapes, data, values, frozenset(type(value) for _, value in pairs))


def _container(name: str, kind: type, args: tuple[Hint, ...], *, bare: bool) -> _Form:
    if kind is dict:
        key, item = map(_form_of, (Any, Any) if bare else args)
        if key.shapes in {_STR, frozenset({int})}:
            return _Dict(name, _OBJECT, key, item)
        return _Refused(
            "a dict with keys that are str, int, an enum or else one string", frozenset(), name
        )
    if kind is tuple and not bare and args[-1:] != (...,):
        return _Row(name, _LIST, tuple(map(_form_of, args)))
    return _Items(name, _LIST, kind, _form_of(Any if bare else args[0]))


def _union(name: str, hints: tuple[Hint, ...]) -> _Form:
    members: list[_Form] = []
    for form in map(_form_of, hints):
        if isinstance(form, _Plain):
            return form
        members += form.members if isinstance(form, _Union) else [form]
    if any(_clash(one, other) for one, other in combinations(members, 2)):
        return _Refused("a union whose members can be told apart in JSON", frozenset(), name)
    shapes = frozenset[type]().union(*(member.shapes for member in members))
    return _Union(name, shapes, tuple(sorted(members, key=_rank)))


def _rank(form: _Form) -> int:
    """When to ask a member of a union: first those that take certain words, last those that take much or all."""
    kinds = (
        _Choice,
        _Leaf | _Items | _Row | _Dict | _Record | _Keys,
        _Float,
        _Dynamic | _Refused,
    )
    return next(at for at, kind in enumerate(kinds) if isinstance(form, kind))


def _clash(one: _Form, other: _Form) -> bool:
    """Whether data of one form may be taken for that of another, and give another value."""
    if isinstance(other, _Choice):
        one, other = other, one
    if isinstance(one, _Choice):
        literal = all(
            type(datum) is kind and datum == value for (kind, value), datum in one.data.items()
        )
        return not literal and any(map(other.takes, one.data.values()))
    if isinstance(one, _Record) and isinstance(other, _Record):
        return one.tag == other.tag
    return not one.shapes.isdisjoint(other.shapes)


# ---------------------------------------------------------------- leaves


def _itself(value: Thing) -> Thing:
    return value


def _to_base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _of_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _to_duration(value: timedelta) -> str:
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    return f"P{value.days}DT{value.seconds}{fraction}S"


def _of_duration(text: str) -> timedelta:
    found = re.fullmatch(r"P(?:(-?\d+)D)?T(\d+)(?:\.(\d{1,6}))?S", text)
    if found is None:
        raise ValueError(text)
    days, seconds, fraction = found.groups(default="0")
    return timedelta(int(days), int(seconds), int(fraction.ljust(6, "0")))


def _of_uuid(text: str) -> UUID:
    value = UUID(text)
    if str(value) != text.lower():
        raise ValueError(text)
    return value


def _leaf(
    kind: type, shape: type, to: Callable[[Any], Data], of: Callable[[Any], Any]
) -> tuple[type, _Form]:
    name = "None" if kind is type(None) else kind.__name__
    return kind, _Leaf(name, frozenset({shape}), kind, to, of)


_LEAVES: Final[Mapping[Hint, _Form]] = dict([
    *(_leaf(kind, kind, _itself, _itself) for kind in (type(None), bool, int, str)),
    (float, _Float("float", frozenset({float}))),
    _leaf(bytes, str, _to_base64, _of_base64),
    _leaf(bytearray, str, _to_base64, lambda text: bytearray(_of_base64(text))),
    _leaf(datetime, str, datetime.isoformat, datetime.fromisoformat),
    _leaf(date, str, date.isoformat, date.fromisoformat),
    _leaf(time, str, time.isoformat, time.fromisoformat),
    _leaf(timedelta, str, _to_duration, _of_duration),
    _leaf(Decimal, str, str, Decimal),
    _leaf(UUID, str, str, _of_uuid),
])
