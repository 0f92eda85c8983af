"""Bounds of settings: each refuses nonsense (NaN and bool included) and names the field and the bound.

Layer: robustness. Used as attrs validators, ``attrs.field(default=5, validator=Whole(1))``, or by hand. Plain classes,
for every import of the package pays for making them.
"""

from __future__ import annotations

import math
from typing import TypeVar, final

import attrs

from .._typing import override

__all__ = ["Bound", "Number", "Whole", "named"]

Value = TypeVar("Value")


def named(owner: str, name: object) -> None:
    """Make sure that *name*, the name of a guard of the kind *owner*, is one.

    Raises:
        TypeError: it is no string, as when a policy is given in its place.
    """
    if not isinstance(name, str):
        raise TypeError(f"{owner}: name must be a string, not {name!r}")


class Bound:
    """Something a value must be."""

    __slots__ = ()

    def holds(self, value: object, /) -> bool:
        """Whether *value* is within."""
        raise NotImplementedError

    def check(self, owner: str, name: str, value: object, /) -> None:
        """Raise ValueError unless *value*, the field *name* of *owner*, is within."""
        if not self.holds(value):
            raise ValueError(f"{owner}: {name} must be {self}, not {value!r}")

    def __call__(
        self, instance: object, field: attrs.Attribute[Value], value: Value, /
    ) -> None:
        """Check as attrs asks."""
        if not self.holds(value):
            self.check(type(instance).__name__, field.name, value)


@final
class Whole(Bound):
    """A whole number, at least this. With *optional*, also None."""

    __slots__ = ("_at_least", "_optional")

    def __init__(self, at_least: int, *, optional: bool = False) -> None:
        self._at_least = at_least
        self._optional = optional

    @override
    def holds(self, value: object, /) -> bool:
        if type(value) is int:  # as it nearly always is
            return value >= self._at_least
        if value is None:
            return self._optional
        return (
            isinstance(value, int) and not isinstance(value, bool) and value >= self._at_least
        )

    @override
    def __str__(self) -> str:
        return f"a whole number >= {self._at_least}{' or None' if self._optional else ''}"


@final
class Number(Bound):
    """A number of *what*, above or at least something, at most or below something. ``inf`` only if *at_most* says so."""

    __slots__ = ("_above", "_at_least", "_at_most", "_below", "_optional", "_what")

    def __init__(
        self,
        *,
        what: str = "seconds",
        above: float | None = None,
        at_least: float = 0.0,
        at_most: float | None = None,
        below: float = math.inf,
        optional: bool = False,
    ) -> None:
        self._what = what
        self._above = above
        self._at_least = at_least
        self._at_most = at_most
        self._below = below
        self._optional = optional

    @override
    def holds(self, value: object, /) -> bool:
        if value is None:
            return self._optional
        if type(value) is not float and (  # as it nearly always is
            not isinstance(value, int | float) or isinstance(value, bool)
        ):
            return False
        big_enough = value >= self._at_least if self._above is None else value > self._above
        return big_enough and (
            value < self._below if self._at_most is None else value <= self._at_most
        )

    @override
    def __str__(self) -> str:
        low = f">= {self._at_least:g}" if self._above is None else f"> {self._above:g}"
        if self._below < math.inf:
            high = f" and < {self._below:g}"
        elif self._at_most is None:
            high = " and finite"
        else:
            high = "" if self._at_most == math.inf else f" and <= {self._at_most:g}"
        what = f"a number{f' of {self._what}' if self._what else ''}"
        return f"{what} {low}{high}{' or None' if self._optional else ''}"
