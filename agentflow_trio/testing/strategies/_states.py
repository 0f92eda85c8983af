"""States: from the fields of an attrs class, at any depth.

Layer: testing. What is said of a field wins; then what its annotation says; then its default.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from ...types import AttrsState, Secret, is_sensitive, sensitive
from ._hypothesis import DrawFn, SearchStrategy, st

__all__ = ["secrets", "states"]

State = TypeVar("State", bound=AttrsState)

_SIZE: Final = 3
"""At most so many elements in a container."""

_VALUES: Final = ("datetime", "decimal", "fractions", "ipaddress", "uuid")
"""Modules of the standard library of whose values Hypothesis knows."""

_UNIONS: Final = (Union, UnionType)
_MAPS: Final = (dict, Mapping, MutableMapping)
_COLLECTIONS: Final[Mapping[object, Callable[..., SearchStrategy[Any]]]] = {
    list: st.lists,
    Sequence: st.lists,
    MutableSequence: st.lists,
    set: st.sets,
    frozenset: st.frozensets,
}

_CONTAINERS: Final = (*_UNIONS, tuple, *_MAPS, *_COLLECTIONS)

_DEEP: Final = 3
"""So many objects of a class that holds itself may be in one another."""

_NOTHING: Final[SearchStrategy[Any]] = st.nothing()
"""What the last of them holds: nothing in a container, and None where that may be."""

_PLAIN: Final[Mapping[object, SearchStrategy[Any]]] = {
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    float: st.floats(allow_nan=False, width=32),
    int: st.integers(),
    NoneType: st.none(),
    object: st.integers(),
    str: st.text(max_size=8),
}


def states(kind: type[State], /, **fields: SearchStrategy[object]) -> SearchStrategy[State]:
    """States of the attrs class *kind*: ``states(Article, title=st.just("x"))``.

    Values are drawn for every field that ``__init__`` takes, as its annotation says: plain values, enums, literals,
    unions, lists, tuples, dicts and sets of such, other attrs classes, and what `hypothesis.strategies.from_type` knows.
    A field of another type has its default. Texts that are marked `sensitive`, and every `Secret`, are told by their looks
    (``secret-7``), so that a test can look for them where they must not be. Floats are no NaN, which equals nothing.
    Shrinks to empty and zero.

    Args:
        kind: the class.
        fields: what to draw for a field, or for a class of several, by the name that ``__init__`` takes.

    Raises:
        TypeError: *kind* is no attrs class, has no such field, or has one of a type of which nothing is known and
            that has no default. The error names it.
    """
    if not attrs.has(kind):
        raise TypeError(f"states() takes an attrs class, not {kind!r}")
    known = [field.alias or field.name for field in attrs.fields(kind) if field.init]
    for name in fields:
        if name not in known:
            raise TypeError(
                f"states({kind.__name__}, {name}=...): it takes {', '.join(known) or 'nothing'}"
            )
    return _record(kind, fields, ())


def secrets() -> SearchStrategy[Secret]:
    """Secrets with the texts ``secret-0``, ``secret-1`` and so on."""
    return _secrets()


@st.composite  # and no map, so that Hypothesis shows them as `_printing` says
def _secrets(draw: DrawFn) -> Secret:
    return Secret(draw(_texts()))


def _texts() -> SearchStrategy[str]:
    return st.integers(0, 9).map("secret-{}".format)


_Seen: TypeAlias = tuple[object, ...]
"""Classes that are being looked at, the outermost first: one that holds itself is there more than once."""


def _record(
    kind: type[Any], given: Mapping[str, SearchStrategy[object]], seen: _Seen
) -> SearchStrategy[Any]:
    """Objects of the attrs class *kind*."""
    seen = (*seen, kind)
    hints = get_type_hints(kind, include_extras=True)
    drawn: dict[str, SearchStrategy[object]] = {}
    for field in attrs.fields(kind):
        if field.init:
            name = field.alias or field.name
            found = given.get(name)
            if found is None:
                found = _hinted(hints[field.name], seen, is_sensitive(field))
            if found is not None:
                drawn[name] = found
            elif field.default is attrs.NOTHING:
                raise TypeError(_unknown(kind, name, hints[field.name]))
    return st.builds(kind, **drawn)


def _unknown(kind: type, name: str, hint: object) -> str:
    return (
        f"states({kind.__name__}): nothing is known of {hint!r}, and field {name!r} has no default; "
        f"say what to draw for it: states({kind.__name__}, {name}=...)"
    )


def _hinted(hint: Any, seen: _Seen, is_hidden: bool) -> SearchStrategy[Any] | None:  # noqa: ANN401, FBT001 - annotations are anything
    """Values of that annotation; None if nothing is known of it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _hinted(parts[0], seen, is_hidden or sensitive in parts)
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in _CONTAINERS:
        inner = [_hinted(part, seen, is_hidden) for part in parts if part is not ...]
        known = [each for each in inner if each is not None]
        return _container(origin, known, parts) if len(known) == len(inner) else None
    if is_hidden and hint is str:
        return _texts()
    if origin is not None or not isinstance(hint, type):
        return None
    return _PLAIN[hint] if hint in _PLAIN else _of_class(hint, seen)


def _of_class(kind: type[Any], seen: _Seen) -> SearchStrategy[Any] | None:
    if seen.count(kind) == _DEEP:
        return _NOTHING
    if kind is Secret:
        return secrets()
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if attrs.has(kind):
        return _record(kind, {}, seen)
    return st.from_type(kind) if kind.__module__ in _VALUES else None


def _container(
    origin: Any,  # noqa: ANN401 - of an annotation
    inner: Sequence[SearchStrategy[Any]],
    parts: Sequence[object],
) -> SearchStrategy[Any]:
    if origin in _UNIONS:
        # None is the simplest, and what ends a class that holds itself.
        return st.one_of(sorted(inner, key=lambda each: each is not _PLAIN[NoneType]))
    size = 0 if _NOTHING in inner else _SIZE
    if origin is tuple:
        if parts[-1:] == (...,):
            return st.lists(inner[0], max_size=size).map(tuple)
        return st.tuples(*inner)
    if origin in _MAPS:
        return st.dictionaries(*inner, max_size=size)
    return _COLLECTIONS[origin](inner[0], max_size=size)
