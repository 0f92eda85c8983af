"""Whether a branch changed a value. Pure: no clock, no I/O.

Layer: state. Rule: in doubt it changed. A write must never be lost; a conflict too many is only a nuisance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, TypeAlias

from ._kinds_core import MISSING, SHARED, Part, extras, is_record, is_tuple, names_of

__all__ = ["same"]

Seen: TypeAlias = dict[tuple[int, int], tuple[object, object]]
"""The pairs already looked at, by id; it holds them, since the id of a dead object may be given out again."""

_SIZED: Final = frozenset({tuple, list, deque, dict, set, frozenset})


def same(left: object, right: object) -> bool:
    """Whether two values say the same: one object, or of one class and equal, or of equal parts.

    The parts count because a fork's copy of an object that is compared by identity (or whose ``==`` raises,
    or gives an array) is never equal to the original, though nobody wrote it.
    """
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right) or (kind in _SIZED and _other_length(left, right)):
        return False  # 1 == True and 1 == 1.0, but to write one over the other is a change
    if _equal(left, right):
        return True
    if kind in SHARED:
        return False
    try:
        return _alike(left, right, {})
    except Exception:  # noqa: BLE001 - a class of the user's may raise anything when it is looked into
        return False


def _equal(left: object, right: object) -> bool:
    try:
        return (left == right) is True  # an array gives an array
    except Exception:  # noqa: BLE001 - a user's `__eq__` may raise anything; cyclic values RecursionError
        return False


def _alike(left: object, right: object, seen: Seen) -> bool:
    kind = type(left)
    if left is right or kind is not type(right) or kind in SHARED:
        return left is right or (kind is type(right) and _equal(left, right))
    pair = id(left), id(right)
    if pair in seen:
        return True
    seen[pair] = left, right
    if kind is list or kind is deque or is_tuple(kind):
        return _alike_items(left, right, seen)
    if kind is dict or kind is MappingProxyType:
        return _alike_mappings(left, right, seen)
    if is_record(kind):
        return _alike_records(left, right, seen)
    return _equal(left, right) or _alike(_pieces(left), _pieces(right), seen)


def _other_length(left: Part, right: Part) -> bool:
    return len(left) != len(right)


def _alike_items(left: Part, right: Part, seen: Seen) -> bool:
    if len(left) != len(right):
        return False
    if SHARED.issuperset(map(type, left)):
        return _equal(
            left, right
        )  # there are no copies inside: the last word, at the speed of C
    return all(_alike(mine, yours, seen) for mine, yours in zip(left, right, strict=True))


def _alike_mappings(left: Part, right: Part, seen: Seen) -> bool:
    return _equal(left.keys(), right.keys()) and all(
        _alike(left[key], right[key], seen) for key in left
    )


def _alike_records(left: object, right: object, seen: Seen) -> bool:
    names = dict.fromkeys((*names_of(type(left)), *extras(left), *extras(right)))
    return all(
        _alike(getattr(left, name, MISSING), getattr(right, name, MISSING), seen)
        for name in names
    )


def _pieces(value: object) -> object:
    """What ``copy`` and ``pickle`` would make it from."""
    pieces: Part = value.__reduce_ex__(4)
    return pieces if isinstance(pieces, str) else tuple(map(_listed, pieces))


def _listed(piece: Part) -> Part:
    return [*piece] if isinstance(piece, Iterator) else piece
