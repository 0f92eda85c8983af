"""Binding exits into a function once, instead of passing them on every call.

Layer: flow.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TypeVar

from ..types import Exit

__all__ = ["bind_exits"]

Value = TypeVar("Value")


def bind_exits(function: Callable[..., Value], exits: tuple[Exit, ...]) -> Callable[..., Value]:
    """Return *function* with *exits* passed by keyword on every call.

    A plain function or method gets a twin whose keyword defaults are the exits: calling it
    costs 0.07 us instead of the 0.18 us of ``**exits``.
    """
    by_name = {exit_.name: exit_ for exit_ in exits}
    plain = function.__func__ if isinstance(function, MethodType) else function
    if not by_name:
        return function
    if isinstance(plain, FunctionType) and by_name.keys() <= _keyword_only(plain):
        twin = _twin(plain)
        twin.__kwdefaults__ = {**(plain.__kwdefaults__ or {}), **by_name}
        return MethodType(twin, function.__self__) if isinstance(function, MethodType) else twin

    def with_exits(*args: object) -> Value:
        return function(*args, **by_name)

    return with_exits


def _twin(plain: FunctionType) -> FunctionType:
    """A function with the same code and closure, whose defaults can be its own."""
    twin = FunctionType(
        plain.__code__,
        plain.__globals__,
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    twin.__qualname__ = plain.__qualname__
    return twin


def _keyword_only(function: FunctionType) -> frozenset[str]:
    """The keyword-only parameters of the function itself; one that it wraps may have others."""
    code = function.__code__
    first = code.co_argcount
    return frozenset(code.co_varnames[first : first + code.co_kwonlyargcount])
