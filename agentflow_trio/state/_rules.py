"""What becomes of a field that several branches wrote: the rules a state's author can give it.

Layer: state. Rule: a rule is a pure function ``rule(base, theirs, mine)``; a branch is merged into what the branches
before it gave, in declared order. The rules of this module take all branches at once, since to add the
notes of n branches one by one would copy them n times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from ..errors import MergeConflictError
from ._kinds_core import MISSING, Part
from ._same_core import same

__all__ = [
    "RULE",
    "Rule",
    "UnmergeableError",
    "added",
    "combined",
    "latest",
    "merged_by",
    "summed",
]

Item = TypeVar("Item")
Value = TypeVar("Value")
if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal
    from fractions import Fraction

    Number = TypeVar("Number", int, float, Decimal, Fraction, timedelta)
else:
    Number = TypeVar("Number")  # their modules take 3 ms to import

Rule: TypeAlias = Callable[[Any, Any, Any], Any]

RULE: Final = "agentflow_trio.merge"
"""Where `merged_by` leaves the rule in the metadata of a field."""


class UnmergeableError(Exception):
    """The rule does not fit what the branches wrote; the text says why."""


def merged_by(
    rule: Callable[[Value, Value, Value], Value], /
) -> Mapping[str, Callable[[Value, Value, Value], Value]]:
    """Give a field a rule for concurrent writers: ``field(default=(), metadata=merged_by(added))``.

    Args:
        rule: `added`, `summed`, `latest`, or a pure function ``rule(base, theirs, mine)`` of the value before the
            branches began, the value merged so far, and the value of the next branch. It is asked only when two
            or more branches changed the field.

    Raises:
        TypeError: *rule* cannot be called.
    """
    if not callable(rule):
        raise TypeError(
            f"merged_by takes a rule (added, summed, latest or a function), not {rule!r}"
        )
    return {RULE: rule}


@overload
def added(
    base: tuple[Item, ...], theirs: tuple[Item, ...], mine: tuple[Item, ...]
) -> tuple[Item, ...]: ...
@overload
def added(base: list[Item], theirs: list[Item], mine: list[Item]) -> list[Item]: ...
@overload
def added(base: str, theirs: str, mine: str) -> str: ...
@overload
def added(base: bytes, theirs: bytes, mine: bytes) -> bytes: ...
def added(base: Part, theirs: Part, mine: Part) -> Part:
    """Keep what was there and everything the branches appended, in declared order. For tuples, lists, text and bytes.

    Raises:
        MergeConflictError: a branch did not only append (what was there is no longer the beginning).
        TypeError: the values are of another class.
    """
    return _alone(added, base, theirs, mine)


def summed(base: Number, theirs: Number, mine: Number) -> Number:
    """Add up what each branch added. For int, float, Decimal, Fraction and timedelta.

    Floats are summed exactly and rounded once (``math.fsum``), so that the order of the branches does not matter.
    """
    total: Number = _sum(base, (theirs, mine))
    return total


def latest(base: Value, theirs: Value, mine: Value) -> Value:  # noqa: ARG001 - a rule takes three values
    """Take the value of the branch declared last among those that changed it. Time plays no part."""
    return mine


def combined(rule: Rule, base: Part, values: Sequence[Part]) -> Part:
    """Merge what two or more branches wrote; *base* is `MISSING` where a key was not there before.

    Raises:
        UnmergeableError: the rule does not fit.
    """
    if rule is added:
        return _append(base, values)
    if rule is summed:
        return _sum(base, values)
    if rule is latest:
        return values[-1]
    if base is MISSING:
        raise UnmergeableError("there is no earlier value to give the rule")
    return reduce(lambda theirs, mine: rule(base, theirs, mine), values)


def _alone(rule: Rule, base: Part, theirs: Part, mine: Part) -> Part:
    try:
        return combined(rule, base, (theirs, mine))
    except UnmergeableError as error:
        raise MergeConflictError(
            field="the value", branches=("theirs", "mine"), reason=str(error)
        ) from None


_JOIN: Mapping[type, Callable[[Iterable[Any]], Any]] = {
    tuple: lambda parts: tuple(chain.from_iterable(parts)),
    list: lambda parts: list(chain.from_iterable(parts)),
    str: "".join,
    bytes: b"".join,
}


def _append(base: Part, values: Sequence[Part]) -> Part:
    first: object = values[0]
    join = _JOIN.get(type(first))
    if join is None:
        raise TypeError(
            f"added merges tuples, lists, text and bytes, not {type(first).__name__}"
        )
    start = join(()) if base is MISSING else base
    for value in values:
        if not same(value[: len(start)], start):
            raise UnmergeableError("added wants what was there to stay as the beginning")
    return join((first, *(value[len(start) :] for value in values[1:])))


def _sum(base: Part, values: Sequence[Part]) -> Part:
    start = type(values[0])() if base is MISSING else base
    kinds = dict.fromkeys(map(type, (start, *values)))  # a thousand at the speed of C
    if list(kinds) == [int]:
        return sum(values) - start * (len(values) - 1)
    if any(issubclass(kind, float) for kind in kinds):
        try:
            return math.fsum((*values, *(-start for _ in values[1:])))
        except (OverflowError, ValueError):
            pass  # an infinity, or a sum on the way to one; the arithmetic below has an answer for it
    return reduce(lambda total, value: total + (value - start), values)
