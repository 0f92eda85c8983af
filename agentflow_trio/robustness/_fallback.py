"""Fallback: another value in place of a failure.

Layer: robustness. Rule: cancellation is no failure, so a fallback never stands in for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, Generic, TypeVar, final, overload

import attrs

from .._typing import TypeIs, override

__all__ = ["Fallback"]

Value_co = TypeVar("Value_co", covariant=True)


@final
class _Missing:
    """No value was given; None is one."""


_MISSING: Final = _Missing()


@final
class _Always(Generic[Value_co]):
    """A function of the error that does not look at it. By hand: attrs would take 0.4 ms of every import."""

    __slots__ = ("value",)

    def __init__(self, value: Value_co) -> None:
        self.value: Value_co = value

    @override
    def __eq__(self, other: object) -> bool:
        return _is_always(other) and bool(self.value == other.value)

    @override
    def __hash__(self) -> int:
        return hash((_Always, self.value))

    @override
    def __repr__(self) -> str:
        return f"_Always(value={self.value!r})"

    def __call__(self, _error: Exception, /) -> Value_co:
        return self.value


def _is_always(value: object) -> TypeIs[_Always[object]]:
    return isinstance(value, _Always)


@final
@attrs.frozen(init=False)
class Fallback(Generic[Value_co]):
    """A value, or a function of the error, that stands in for a failed result.

    ``Fallback("nothing")`` or ``Fallback(by=apologise, on=(TimeoutError,))``. The value is
    handed out as it is, every time: one that can be changed is better made afresh,
    ``Fallback(by=lambda _: [])``.

    Attributes:
        by: what makes the stand-in.
        on: the errors it stands in for, ``(Exception,)`` by default. A group counts only if
            every leaf does; cancellation never does.
        name: what events and pictures call it, ``"fallback"`` by default.
    """

    by: Callable[[Exception], Value_co]
    on: tuple[type[Exception], ...]
    name: str

    @overload
    def __init__(
        self, value: Value_co, /, *, on: tuple[type[Exception], ...] = ..., name: str = ...
    ) -> None: ...
    @overload
    def __init__(
        self,
        /,
        *,
        by: Callable[[Exception], Value_co],
        on: tuple[type[Exception], ...] = ...,
        name: str = ...,
    ) -> None: ...
    def __init__(
        self,
        value: Value_co | _Missing = _MISSING,
        /,
        *,
        by: Callable[[Exception], Value_co] | None = None,
        on: tuple[type[Exception], ...] = (Exception,),
        name: str = "fallback",
    ) -> None:
        """Make a fallback.

        Args:
            value: what stands in; or instead of it
            by: a plain function of the error that returns what stands in.
            on: the errors it stands in for.
            name: what events and pictures call it.

        Raises:
            TypeError: there is not exactly one of *value* and *by*, *by* is no plain function,
                or *on* is no tuple of Exception classes.
        """
        if isinstance(value, _Missing) == (by is None):
            raise TypeError("Fallback: give either a value or by=, a function of the error")
        if by is not None and not _is_plain_function(by):
            raise TypeError(f"Fallback: by must be a plain function of the error, not {by!r}")
        if not _are_error_classes(on):
            raise TypeError(f"Fallback: on must be a tuple of Exception classes, not {on!r}")
        chosen = _Always(value) if not isinstance(value, _Missing) else by
        for field, content in (("by", chosen), ("on", on), ("name", name)):
            object.__setattr__(self, field, content)

    def instead_of(self, error: Exception, /) -> Value_co:
        """Return what stands in for *error*. Not a checkpoint; what ``by`` raises is raised."""
        return self.by(error)


def _is_plain_function(value: object) -> bool:
    layers = (value, getattr(type(value), "__call__", None))  # noqa: B004 - how it is called
    return callable(value) and not any(map(inspect.iscoroutinefunction, layers))


def _are_error_classes(kinds: object) -> bool:
    return _is_tuple(kinds) and bool(kinds) and all(map(_is_error_class, kinds))


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def _is_error_class(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)
