"""How classes are written and read: attrs classes field by field, states of keys key by key.

Layer: codec. Rule: reading runs ``__init__``, so that validators and converters have their say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

import attrs
from cattrs import Converter
from cattrs import override as customized
from cattrs.gen import make_dict_structure_fn
from typing_extensions import override

from ..ports import Keyed
from ._fields import Hint, class_of, fields_of
from ._forms import Data, Form, Tagged, Thing
from ._hushed import hushed
from ._unfit import UnfitError, class_failure, named, no_such, tried

__all__ = ["Keys", "Record"]


# The other keywords of cattrs' function are flags; a checker takes a dict of overrides for those too.
_make_reader: Callable[..., Callable[[Any, Any], Any]] = make_dict_structure_fn


@cache
def _converter() -> Converter:
    return Converter(forbid_extra_keys=True, detailed_validation=True)


@attrs.frozen(eq=False)
class Record(Tagged):
    """An attrs class. cattrs generates what reads it; the forms of its fields do the rest."""

    kind: Hint
    form_of: Callable[[Hint], Form]

    @property
    @override
    def tag(self) -> str:
        return str(class_of(self.kind).__name__)

    @cached_property
    def _fields(self) -> tuple[tuple[str, str, Form], ...]:
        # Looked at when used, not when made: a class may hold others of its own kind.
        return tuple(
            (name, key, self.form_of(kind)) for name, key, kind in fields_of(self.kind)
        )

    @cached_property
    def _late(self) -> Mapping[str, tuple[attrs.Attribute[Any], Form]]:
        """The fields that ``__init__`` does not take, by key."""
        fields = attrs.fields_dict(class_of(self.kind))
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
        return _make_reader(self.kind, _converter(), **overrides)

    @override
    def fits(self, value: object) -> bool:
        return type(value) is class_of(self.kind)

    @override
    def written(self, value: Thing) -> Data:
        parts = ((name, (form, value)) for name, _, form in self._fields)
        data = named(self.kind, _write_field, parts)
        return {key: data[name] for name, key, _ in self._fields}

    @override
    def value(self, data: Data) -> Thing:
        if getattr(self.kind, "__parameters__", ()):
            raise UnfitError(
                f"a class with its types, as in {self.expected}[int]", self.expected
            )
        early = {key: item for key, item in data.items() if key not in self._late}
        value, wrong = tried(lambda: self._reader(early, self.kind))
        if any(form.sensitive for _, _, form in self._fields):
            wrong = hushed(wrong)
        late, more = tried(lambda: self._read_late(data))
        if wrong or more:
            raise class_failure([*wrong, *more], self.kind)
        for name, part in late.items():
            object.__setattr__(value, name, part)
        return value

    def _read_late(self, data: Mapping[str, Data]) -> dict[str, Thing]:
        # Not left to cattrs, which loses what is wrong with them, and cannot set those of a frozen class.
        due = [
            (field.name, (form, data.get(key, attrs.NOTHING)))
            for key, (field, form) in self._late.items()
            if key in data or field.default is attrs.NOTHING
        ]
        return named(self.kind, _read_field, due)


def _read_field(_name: str, part: tuple[Form, Data]) -> Thing:
    form, data = part
    if data is attrs.NOTHING:
        raise UnfitError(form.expected, "nothing")
    return form.read(data)


def _hook(form: Form) -> Callable[[Any, Any], Any]:
    return lambda data, _kind: form.read(data)


def _write_field(name: str, part: tuple[Form, object]) -> Data:
    form, value = part
    if not hasattr(value, name):
        raise UnfitError(form.expected, "nothing (the field was never set)")
    return form.write(getattr(value, name))


@attrs.frozen(eq=False)
class Keys(Form):
    """A state of keys; only those its class declares can be read back."""

    kind: type[Keyed]
    form_of: Callable[[Hint], Form]

    @cached_property
    def _forms(self) -> Mapping[str, Form]:
        try:
            return {
                name: self.form_of(kind)
                for name, kind in self.kind.__agentflow_keys__().items()
            }
        except TypeError as error:
            raise UnfitError("a class with keys only", str(error)) from None

    @override
    def fits(self, value: object) -> bool:
        return type(value) is self.kind

    @override
    def written(self, value: Thing) -> Data:
        return named(object, self._write_one, value.__agentflow_values__().items())

    @override
    def value(self, data: Data) -> Thing:
        return self.kind.__agentflow_make__(named(object, self._read_one, data.items()))

    def _write_one(self, name: str, value: Thing) -> Data:
        form = self._forms.get(name)
        if form is None:
            where = self.expected if self._forms else f"a subclass of {self.expected}"
            expected = f"a declared key; declare StateKey({name!r}, ...) in {where}"
            raise UnfitError(expected, f"the key {name!r}")
        return form.write(value)

    def _read_one(self, name: str, data: Data) -> Thing:
        form = self._forms.get(name)
        if form is None:
            raise UnfitError(no_such(name, self._forms), repr(name))
        return form.read(data)
