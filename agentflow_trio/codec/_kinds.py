"""Which form the values of a type have.

Layer: codec, above the forms. Rule: a type is decided on once.
"""

from __future__ import annotations

import base64
import re
import types
import typing
from collections.abc import (
    Callable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from itertools import combinations
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, get_args
from uuid import UUID

import attrs

from ..types import Secret
from ._fields import Hint, called, class_of
from ._forms import (
    Choice,
    Data,
    Dict,
    Dynamic,
    Float,
    Form,
    Items,
    Leaf,
    Plain,
    Refused,
    Row,
    Thing,
    Union,
)
from ._hushed import MASK, Hushed, is_marked
from ._records import Keys, Record

__all__ = ["DYNAMIC", "form_of"]


_FORMS: Final[dict[Hint, Form]] = {}
_LIST: Final = frozenset({list})
_OBJECT: Final = frozenset({dict})
_STR: Final = frozenset({str})
_CONTAINERS: Final[Mapping[Hint, type]] = {
    list: list,
    MutableSequence: list,
    tuple: tuple,
    Sequence: tuple,
    set: set,
    MutableSet: set,
    frozenset: frozenset,
    AbstractSet: frozenset,
    dict: dict,
    Mapping: dict,
    MutableMapping: dict,
}


def form_of(hint: Hint) -> Form:
    """The form of a type; one that cannot be written has one too, which says so when it is used."""
    # A union equals the same one in another order, which is called otherwise.
    key = hint if isinstance(hint, type) else (hint, get_args(hint))
    try:
        form = _FORMS.get(key)
    except TypeError:  # Annotated with something that has no hash
        return _made(hint)
    if form is None:
        form = _FORMS[key] = _made(hint)
    return form


DYNAMIC: Final = Dynamic("Any", frozenset(), form_of)
"""A value is written as its own class says."""


def _made(hint: Hint) -> Form:  # noqa: PLR0911 - a table of rules; the first that fits decides
    """Decide how the values of a type are written."""
    origin, args, name = class_of(hint), get_args(hint), called(hint)
    if origin is Annotated:
        return _hushed(form_of(args[0])) if is_marked(args[1:]) else form_of(args[0])
    if isinstance(hint, NewType):
        return form_of(hint.__supertype__)
    if (
        type(hint).__name__ == "TypeAliasType"
    ):  # typing has one from 3.12 on, and so have others
        return form_of(hint.__value__)
    if hint is None or hint in _LEAVES:
        return _LEAVES[hint or type(None)]
    if hint is Any or hint is object:
        return Plain(name, frozenset())
    if isinstance(hint, TypeVar):
        return DYNAMIC
    if origin is Literal:
        return _choice(name, [(form_of(type(arg)).write(arg), arg) for arg in args])
    if origin is typing.Union or origin is types.UnionType:
        return _union(name, args)
    if origin in _CONTAINERS:
        return _container(name, _CONTAINERS[origin], args, bare=not args and hint != tuple[()])
    return _class_form(hint, origin, name) if isinstance(origin, type) else _unknown(name)


def _hushed(form: Form) -> Form:
    return form if isinstance(form, Hushed) else Hushed(form.expected, form.shapes, form)


def _unknown(name: str) -> Form:
    return Refused("a type that has a place in JSON", frozenset(), name)


def _class_form(hint: Hint, kind: type, name: str) -> Form:
    if callable(getattr(kind, "__agentflow_keys__", None)):
        return Keys(name, _OBJECT, kind, form_of)
    if attrs.has(kind):
        return Record(name, _OBJECT, hint, form_of)
    if issubclass(kind, Flag):
        return Leaf(name, frozenset({int}), kind, _value_of, kind)
    if issubclass(kind, Enum):
        by_value = all(type(member.value) in {str, int} for member in kind)
        return _choice(
            name, [(member.value if by_value else member.name, member) for member in kind]
        )
    if issubclass(kind, PurePath):
        return Leaf(name, _STR, kind, str, kind)
    return _unknown(name)


def _value_of(member: Enum) -> Data:
    return member.value


def _choice(name: str, pairs: Sequence[tuple[object, object]]) -> Form:
    data = {(type(value), value): datum for datum, value in pairs}
    values = {(type(datum), datum): value for datum, value in pairs}
    if len(values) < len(data):
        return Refused("values that are not written alike", frozenset(), name)
    shapes = frozenset(type(datum) for datum, _ in pairs)
    return Choice(name, shapes, data, values, frozenset(type(value) for _, value in pairs))


def _container(name: str, kind: type, args: tuple[Hint, ...], *, bare: bool) -> Form:
    if kind is dict:
        key, item = map(form_of, (str, Any) if bare else args)
        if key.shapes in {_STR, frozenset({int})}:
            return Dict(name, _OBJECT, key, item)
        return Refused(
            "a dict with keys that are str, int, an enum or else one string", frozenset(), name
        )
    if kind is tuple and not bare and args[-1:] != (...,):
        return Row(name, _LIST, tuple(map(form_of, args)))
    return Items(name, _LIST, kind, form_of(Any if bare else args[0]))


def _union(name: str, hints: tuple[Hint, ...]) -> Form:
    members: list[Form] = []
    for form in map(form_of, hints):
        if isinstance(form, Plain):
            return form
        members += form.members if isinstance(form, Union) else [form]
    if any(_clash(one, other) for one, other in combinations(members, 2)):
        return Refused("a union whose members can be told apart in JSON", frozenset(), name)
    shapes = frozenset[type]().union(*(member.shapes for member in members))
    return Union(name, shapes, tuple(sorted(members, key=_rank)))


def _rank(form: Form) -> int:
    """When to ask a member of a union: first those that take certain words, last those that take much or all."""
    kinds = (
        Choice,
        Leaf | Items | Row | Dict | Record | Keys | Hushed,
        Float,
        Dynamic | Refused,
    )
    return next(at for at, kind in enumerate(kinds) if isinstance(form, kind))


def _clash(one: Form, other: Form) -> bool:
    """Whether data of one form may be taken for that of another, and give another value."""
    if isinstance(other, Choice):
        one, other = other, one
    if isinstance(one, Choice):
        literal = all(
            type(datum) is kind and datum == value for (kind, value), datum in one.data.items()
        )
        return not literal and any(map(other.takes, one.data.values()))
    if isinstance(one, Record) and isinstance(other, Record):
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
) -> tuple[type, Form]:
    name = "None" if kind is type(None) else kind.__name__
    return kind, Leaf(name, frozenset({shape}), kind, to, of)


_LEAVES: Final[Mapping[Hint, Form]] = dict([
    *(_leaf(kind, kind, _itself, _itself) for kind in (type(None), bool, int, str)),
    (float, Float("float", frozenset({float}))),
    _leaf(bytes, str, _to_base64, _of_base64),
    _leaf(bytearray, str, _to_base64, lambda text: bytearray(_of_base64(text))),
    _leaf(datetime, str, datetime.isoformat, datetime.fromisoformat),
    _leaf(date, str, date.isoformat, date.fromisoformat),
    _leaf(time, str, time.isoformat, time.fromisoformat),
    _leaf(timedelta, str, _to_duration, _of_duration),
    _leaf(Decimal, str, str, Decimal),
    _leaf(UUID, str, str, _of_uuid),
    (Secret, Hushed("Secret", _STR, Leaf("Secret", _STR, Secret, lambda _: MASK, Secret))),
])
