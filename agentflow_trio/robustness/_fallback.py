"""Fallback: another value in place of a failure.

Layer: robustness. Rule: cancellation is no failure, so a fallback never stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, final, overload

import attrs

__all__ = ["Fallback"]

Value_co = TypeVar("Value_co", covariant=True)


def _is_error_type(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


@final
@attrs.frozen(init=False)
class Fallback(Generic[Value_co]):
    """A value, or a function of the error, that stands in for a failed result.

    ``Fallback("nothing")`` or ``Fallback(by=apologise, on=(TimeoutError,))``.

    Attributes:
        on: the errors it stands in for, ``(Exception,)`` by default. A group counts only if every leaf does.
        name: what events call it.
    """

    _value: Value_co | None
    _by: Callable[[Exception], Value_co] | None
    on: tuple[type[Exception], ...]
    name: str

    @overload
    def __init__(self, value: Value_co, /, *, on: tuple[type[Exception], ...] = ..., name: str = ...) -> None: ...
    @overload
    def __init__(
        self, /, *, by: Callable[[Exception], Value_co], on: tuple[type[Exception], ...] = ..., name: str = ...
    ) -> None: ...
    def __init__(
        self,
        value: Value_co | None = None,
        /,
        *,
        by: Callable[[Exception], Value_co] | None = None,
        on: tuple[type[Exception], ...] = (Exception,),
        name: str = "fallback",
    ) -> None:
        """Make a fallback.

        Raises:
            TypeError: *by* cannot be called, or *on* holds something that is not an Exception class.
        """
        if by is not None and not callable(by):
            raise TypeError(f"Fallback: by must be a function of the error, got {by!r}")
        if not on or not all(map(_is_error_type, on)):
            raise TypeError(f"Fallback: on must be a tuple of Exception classes, got {on!r}")
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "_by", by)
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "name", name)

    def instead_of(self, error: Exception, /) -> Value_co | None:
        """Return what stands in for *error*. Not a checkpoint; what ``by`` raises is raised."""
        return self._value if self._by is None else self._by(error)
