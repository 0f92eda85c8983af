"""What an attrs class consists of: its fields, their keys in JSON, and their types.

Layer: codec, the lowest of it. Rule: annotations are evaluated when a class is first written or
read, not before, and once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import attrs

from ..errors import CodecError, Mismatch
from ..types import is_sensitive, sensitive

__all__ = ["Hint", "called", "class_of", "fields_of"]

Hint: TypeAlias = Any
"""A type, as annotations say it; many are no classes."""


def called(hint: Hint) -> str:
    """The type in words."""
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def class_of(hint: Hint) -> Hint:
    """The class in ``Box[int]``; a type without brackets itself."""
    origin: Hint = get_origin(hint)
    return hint if origin is None else origin


@cache
def fields_of(kind: Hint) -> tuple[tuple[str, str, Hint], ...]:
    """The name, the key and the type of each field; the key is the name that ``__init__`` takes.

    Raises:
        CodecError: an annotation cannot be evaluated; the error names class and field.
    """
    owner = class_of(kind)
    try:
        attrs.resolve_types(owner)
    except Exception as error:
        odd = Mismatch(called(kind), "annotations that can be evaluated", str(error))
        raise CodecError(kind=called(kind), mismatches=_unresolved(owner) or (odd,)) from error
    bounds = dict(_bounds(kind))
    return tuple(
        (
            field.name,
            str(field.alias) if field.init else field.name,
            _marked(
                field, _filled(field.type or Any, bounds.get(_home(owner, field.name), {}))
            ),
        )
        for field in attrs.fields(owner)
    )


def _marked(field: attrs.Attribute[Any], hint: Hint) -> Hint:
    return Annotated[hint, sensitive] if is_sensitive(field) else hint


def _home(owner: type, name: str) -> type:
    """The class that a field was written in; its type variables are meant by the annotation."""
    return next(
        (parent for parent in owner.__mro__ if name in vars(parent).get("__annotations__", ())),
        owner,
    )


def _unresolved(owner: type) -> tuple[Mismatch, ...]:
    found: list[Mismatch] = []
    for parent in reversed(owner.__mro__):
        for name, hint in vars(parent).get("__annotations__", {}).items():
            names = {"__annotations__": {name: hint}, "__module__": parent.__module__}
            try:
                get_type_hints(type("alone", (), names))
            except Exception as error:  # noqa: BLE001 - an annotation may be any expression
                got = f"{hint!r} ({type(error).__name__}: {error})"
                place = f"{owner.__name__}.{name}"
                found.append(Mismatch(place, "a type that its module knows", got))
    return tuple(found)


def _bounds(kind: Hint) -> Iterator[tuple[type, Mapping[Any, Hint]]]:
    """What the type variables of a generic class and of each of its bases stand for."""
    owner = class_of(kind)
    bound = dict(zip(_parameters(owner), get_args(kind), strict=False))
    yield owner, bound
    for base in _bases(owner):
        if attrs.has(class_of(base)):
            yield from _bounds(_filled(base, bound))


def _bases(owner: type) -> tuple[Hint, ...]:
    bases: tuple[Hint, ...] = vars(owner).get("__orig_bases__", owner.__bases__)
    return bases


def _filled(hint: Hint, bound: Mapping[Any, Hint]) -> Hint:
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    names = () if _is_class(hint) else _parameters(hint)
    return hint[tuple(bound.get(name, name) for name in names)] if names else hint


def _is_class(hint: object) -> bool:
    return isinstance(hint, type)


def _parameters(hint: object) -> tuple[Any, ...]:
    return getattr(hint, "__parameters__", ())
