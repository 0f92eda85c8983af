"""Which classes can change, and which can be a state. Pure: no clock, no I/O.

Layer: state. Rule: a class is looked at once; what was found is kept as long as the process lives, as in attrs.
"""

from __future__ import annotations

import re
import types
from collections import deque
from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from ..errors import Problem, StateTypeError
from ..types import Secret

__all__ = [
    "CACHED_HASH",
    "MISSING",
    "SHARED",
    "Missing",
    "Part",
    "blank",
    "check_state",
    "extras",
    "is_frozen",
    "is_record",
    "is_shared",
    "is_tuple",
    "names_of",
    "put",
]

Part: TypeAlias = Any
"""Any value a state may hold."""


State = TypeVar("State")


class Missing:
    """Stands for the value of a field or key that is not set."""

    __slots__ = ()


MISSING: Final = Missing()

SHARED: Final[set[type]] = {
    *(
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        type(None),
        type(...),
        type(NotImplemented),
    ),
    *(re.Pattern, object, type, types.ModuleType, types.GenericAlias, types.UnionType),
    *(types.FunctionType, types.BuiltinFunctionType, Missing, Secret),
}
"""Classes whose instances cannot change, nor anything in them; enums, paths and the like are added when they are met.

A plain set, because ``type(value) in SHARED`` is then the whole price of a field that is shared.
"""

_SHARED_BASES: Final = (Enum, type, PurePath, BaseException)
_ATOMS: Final = (int, float, complex, str, bytes)
_NAMED: Final = {
    "datetime": ("date", "time", "timedelta", "tzinfo"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "ipaddress": ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network"),
    "uuid": ("UUID",),
}
"""More of them, by module and name: importing these for a program that may not use them takes 3 ms."""

_BUILT_IN: Final = (
    *_ATOMS,
    BaseException,
    type,
    tuple,
    list,
    dict,
    set,
    frozenset,
    deque,
    bytearray,
)
CACHED_HASH: Final = "_attrs_cached_hash"
"""Where attrs keeps the hash of an instance (``cache_hash=True``); reset in a copy, as by unpickling."""

_FROZEN: Final = Problem
"""A frozen attrs class: all have the same ``__setattr__``, and to make one for it alone takes 0.4 ms."""


def is_shared(kind: type) -> bool:
    """Whether every instance of *kind* is shared by forks.

    An exception is: it is its identity (``except*`` and ``find`` look for that very object). A class derived from
    ``int`` or ``str`` is, unless its instances have a ``__dict__``.
    """
    atom = (_is_named(kind) or issubclass(kind, _ATOMS)) and not kind.__dictoffset__
    return atom or issubclass(kind, _SHARED_BASES)


def _is_named(kind: type) -> bool:
    return any(base.__qualname__ in _NAMED.get(base.__module__, ()) for base in kind.__mro__)


def is_record(kind: type) -> bool:
    """Whether *kind* is an attrs class whose instances consist of their attributes only."""
    return attrs.has(kind) and not issubclass(kind, _BUILT_IN) and not _is_named(kind)


def is_tuple(kind: type) -> bool:
    """Whether instances of *kind* consist of their items, as tuples and named tuples do."""
    return issubclass(kind, tuple) and not kind.__dictoffset__


def is_frozen(kind: type) -> bool:
    """Whether attrs refuses to set the fields of instances of *kind*."""
    setter: object = kind.__setattr__
    return setter is _FROZEN.__setattr__


def names_of(kind: type) -> tuple[str, ...]:
    """The names of the fields of an attrs class, inherited ones first."""
    return tuple(field.name for field in attrs.fields(kind))


def extras(state: object) -> list[str]:
    """The names of the attributes in the ``__dict__`` of an attrs instance that are neither fields nor caches."""
    kind = type(state)
    fields = names_of(kind)
    held = vars(state) if kind.__dictoffset__ else {}
    return [name for name in held if name not in fields and not _is_cache(kind, name)]


def _is_cache(kind: type, name: str) -> bool:
    return name == CACHED_HASH or isinstance(getattr(kind, name, None), cached_property)


put: Final = object.__setattr__
"""Set a field of any attrs instance, frozen or not; no hook of its class runs."""


def blank(kind: type[State]) -> State:
    """Make an instance of an attrs class with no field set; no ``__new__`` or ``__init__`` of its class runs."""
    new = object.__new__(kind)
    if hasattr(kind, CACHED_HASH):
        put(new, CACHED_HASH, None)
    return new


# ---------------------------------------------------------------- what is no state


def check_state(state: object) -> None:
    """Refuse what is not an instance of an attrs class.

    Raises:
        StateTypeError: with a remedy that fits what was given.
    """
    if not is_record(type(state)):
        got = f"the class {state.__name__}" if isinstance(state, type) else type(state).__name__
        raise StateTypeError(got=got, remedy=_remedy(state))


def _remedy(state: object) -> str:
    kind = type(state)
    if isinstance(state, type):
        return f"give an instance: {state.__name__}(...)"
    if attrs.has(kind):
        return (
            f"let {kind.__name__} not derive from a built-in class; hold one in a field instead"
        )
    if isinstance(state, Mapping):
        return "define a class with @attrs.define that has a field for each key, or use SharedState"
    if hasattr(kind, "__dataclass_fields__"):
        return f"decorate {kind.__name__} with @attrs.define instead of @dataclass"
    if issubclass(kind, (*_BUILT_IN, type(None))) or _is_named(kind):
        return "define a class with @attrs.define and give it a field for this value"
    return f"decorate {kind.__name__} with @attrs.define"
