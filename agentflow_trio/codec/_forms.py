"""How the values of one type are written, and read: the forms of single values, containers and unions.

Layer: codec. Rule: a form is immutable and knows nothing of how it was chosen.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final, TypeAlias

import attrs
from typing_extensions import override

from ._unfit import UnfitError, each, told

__all__ = [
    "Choice",
    "Data",
    "Dict",
    "Dynamic",
    "Float",
    "Form",
    "Items",
    "Leaf",
    "Plain",
    "Refused",
    "Row",
    "Tagged",
    "Thing",
    "Union",
]

Data: TypeAlias = Any
"""What stands for a value in JSON: None, bool, int, float, str, list, dict."""

Thing: TypeAlias = Any
"""A value of any type."""

TAG: Final = "$type"
"""The key under which a member of a union has its name."""


@attrs.frozen(eq=False)
class Form(ABC):
    """How the values of one type are written and read.

    Attributes:
        expected: the type in words.
        shapes: the classes of the data that may stand for such a value.
    """

    expected: str
    shapes: frozenset[type]

    @property
    def sensitive(self) -> bool:
        """Whether no error may say what was found."""
        return False

    @abstractmethod
    def fits(self, value: object) -> bool:
        """Whether *value* is of the type, as far as a union must know."""

    def takes(self, data: object) -> bool:
        """Whether *data* may stand for such a value, as far as a union must know."""
        return type(data) in self.shapes

    def write(self, value: Thing) -> Data:
        """Return the data that stands for *value*, or raise one of `FAILURES`."""
        if not self.fits(value):
            raise self.unfit(value)
        return self.written(value)

    def read(self, data: Data) -> Thing:
        """Return the value that *data* stands for, or raise one of `FAILURES`."""
        if not self.takes(data):
            raise self.unfit(data)
        return self.value(data)

    @abstractmethod
    def written(self, value: Thing) -> Data:
        """`write`, of a value that fits."""

    @abstractmethod
    def value(self, data: Data) -> Thing:
        """`read`, of data that this form takes."""

    def unfit(self, found: object) -> UnfitError:
        """The error of a value or of data that is of another type."""
        kind = f"{type(found).__name__}, not shown: it is sensitive"
        return UnfitError(self.expected, kind if self.sensitive else told(found))


@attrs.frozen(eq=False)
class Tagged(Form):
    """A class whose values, in a union with others, carry its name."""

    @property
    @abstractmethod
    def tag(self) -> str:
        """The name."""


@attrs.frozen(eq=False)
class Leaf(Form):
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


@attrs.frozen(eq=False)
class Float(Form):
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


@attrs.frozen(eq=False)
class Choice(Form):
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


@attrs.frozen(eq=False)
class Items(Form):
    """Any number of items of one type, in a container of class *kind*."""

    kind: type
    item: Form

    @override
    def fits(self, value: object) -> bool:
        return type(value) is self.kind

    @override
    def written(self, value: Iterable[Thing]) -> Data:
        items = each(self.item.write, enumerate(value))
        return sorted(items, key=json.dumps) if issubclass(self.kind, AbstractSet) else items

    @override
    def value(self, data: list[Data]) -> Thing:
        items = each(self.item.read, enumerate(data))
        try:
            value: Thing = self.kind(items)
        except TypeError:
            raise UnfitError(self.expected, "items that no set can hold") from None
        if len(value) < len(items):
            raise UnfitError(self.expected, "an item twice")
        return value


@attrs.frozen(eq=False)
class Row(Form):
    """A tuple of a certain length."""

    items: tuple[Form, ...]

    @override
    def fits(self, value: object) -> bool:
        return type(value) is tuple

    @override
    def written(self, value: tuple[Thing, ...]) -> Data:
        return each(_write_item, self._pairs(value))

    @override
    def value(self, data: list[Data]) -> Thing:
        return tuple(each(_read_item, self._pairs(data)))

    def _pairs(self, found: Sequence[Any]) -> Iterable[tuple[int, tuple[Form, Any]]]:
        if len(found) != len(self.items):
            raise UnfitError(self.expected, f"{len(found)} items")
        return enumerate(zip(self.items, found, strict=True))


def _write_item(pair: tuple[Form, Thing]) -> Data:
    form, value = pair
    return form.write(value)


def _read_item(pair: tuple[Form, Data]) -> Thing:
    form, data = pair
    return form.read(data)


@attrs.frozen(eq=False)
class Dict(Form):
    key: Form
    item: Form

    @override
    def fits(self, value: object) -> bool:
        return type(value) is dict

    @override
    def written(self, value: dict[Thing, Thing]) -> Data:
        keys = each(self._write_key, ((str(key), key) for key in value))
        if len(dict.fromkeys(keys)) < len(keys):
            raise UnfitError(self.expected, "two keys that are written alike")
        items = each(self.item.write, zip(keys, value.values(), strict=True))
        return dict(zip(keys, items, strict=True))

    @override
    def value(self, data: dict[str, Data]) -> Thing:
        keys = each(self._read_key, ((key, key) for key in data))
        items = each(self.item.read, data.items())
        return dict(zip(keys, items, strict=True))

    def _write_key(self, key: Thing) -> str:
        data = self.key.write(key)
        if not _is(data, str) and not _is(data, int):
            raise UnfitError(
                "a key that is a str, an int, an enum or else one string", told(key)
            )
        return str(data)

    def _read_key(self, text: str) -> Thing:
        # An int in the one way it is written: two keys such as "3" and "03" would become one.
        is_int = int in self.key.shapes and re.fullmatch("0|-?[1-9][0-9]*", text)
        return self.key.read(int(text) if is_int else text)


def _plain_json(data: Data) -> bool:
    """Whether JSON gives back just this."""
    if _is(data, list):
        return all(map(_plain_json, data))
    if _is(data, dict):
        return all(_is(key, str) and _plain_json(item) for key, item in data.items())
    return type(data) in _WORDS or (_is(data, float) and math.isfinite(data))


_WORDS: Final = frozenset({type(None), bool, int, str})


def _is(found: object, kind: type) -> bool:
    # A subclass would come back as its base. (A function, so that checkers do not narrow what was Any.)
    return type(found) is kind


@attrs.frozen(eq=False)
class Plain(Form):
    """What is annotated as Any, or not at all: plain JSON data, as it is."""

    @override
    def fits(self, value: object) -> bool:
        return _plain_json(value)

    @override
    def takes(self, data: object) -> bool:
        return _plain_json(data)

    @override
    def written(self, value: Thing) -> Data:
        return value

    @override
    def value(self, data: Data) -> Thing:
        return data


@attrs.frozen(eq=False)
class Dynamic(Form):
    """A value whose class says how it is written; there is nothing to read it by."""

    form_of: Callable[[type], Form]

    @override
    def fits(self, value: object) -> bool:
        return True

    @override
    def takes(self, data: object) -> bool:
        return True

    @override
    def written(self, value: object) -> Data:
        kind: type = type(value)
        if kind is dict:
            return Dict(self.expected, frozenset({dict}), self, self).write(value)
        if kind in {list, tuple, set, frozenset}:
            return Items(self.expected, frozenset({list}), kind, self).write(value)
        return self.form_of(kind).write(value)

    @override
    def value(self, data: Data) -> Thing:
        raise UnfitError(f"a type in place of {self.expected}, as in Box[int]", told(data))


@attrs.frozen(eq=False)
class Refused(Form):
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
        raise UnfitError(self.expected, self.got)

    @override
    def value(self, data: Data) -> Thing:
        raise UnfitError(self.expected, self.got)


@attrs.frozen(eq=False)
class Union(Form):
    """One of several types that can be told apart in JSON; *members* in the order in which to ask them."""

    members: tuple[Form, ...]

    @property
    @override
    def sensitive(self) -> bool:
        return any(member.sensitive for member in self.members)

    @override
    def fits(self, value: object) -> bool:
        return any(member.fits(value) for member in self.members)

    @override
    def written(self, value: Thing) -> Data:
        member = next(member for member in self.members if member.fits(value))
        data = member.write(value)
        tagged = (
            {TAG: member.tag, **data} if isinstance(member, Tagged) and self._tags else data
        )
        if self._member_for(tagged) is not member:  # nan, where a str may stand too
            raise UnfitError(
                f"a value that cannot be taken for another of {self.expected}", told(value)
            )
        return tagged

    @override
    def takes(self, data: object) -> bool:
        return any(member.takes(data) for member in self.members)

    @override
    def value(self, data: Data) -> Thing:
        member = self._member_for(data)
        if member is None:
            got = told(data[TAG]) if TAG in data else "nothing"
            raise UnfitError(f"{' or '.join(map(repr, self._tags))} as {TAG!r}", got)
        if isinstance(member, Tagged) and self._tags:
            data = {key: item for key, item in data.items() if key != TAG}
        return member.read(data)

    @cached_property
    def _tags(self) -> Mapping[str, Form]:
        """The members that need a tag: attrs classes, if there are several."""
        records = {member.tag: member for member in self.members if isinstance(member, Tagged)}
        return records if len(records) > 1 else {}

    def _member_for(self, data: Data) -> Form | None:
        if self._tags and _is(data, dict):
            tag = data.get(TAG)
            return self._tags.get(tag) if isinstance(tag, str) else None
        return next(member for member in self.members if member.takes(data))
