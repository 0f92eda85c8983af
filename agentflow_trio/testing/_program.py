"""What can be simulated: an async function, with or without dice, or a flow with its state.

Layer: testing. All become a `Body`, which makes everything anew from a seed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeAlias, TypeVar

from typing_extensions import TypeIs

from ..flow import Flow
from ._faults import Body

__all__ = ["Program", "body_of", "home_of", "is_flow", "title_of"]

T = TypeVar("T")

Program: TypeAlias = Callable[[], Awaitable[T]] | Callable[[Random], Awaitable[T]]
"""An async function; one that takes an argument gets dice of its own, seeded."""


def is_flow(thing: object) -> TypeIs[Flow[Any, ...]]:
    """Whether it is a flow, of whatever state and exits."""
    return isinstance(thing, Flow)


def body_of(program: Any, state: Any = None) -> Body[Any]:  # noqa: ANN401 - the public functions are typed
    """*program*, or the flow it is with *state*, as something that can be given a seed.

    Raises:
        TypeError: it is neither a flow with its state nor a function of at most one argument.
    """
    if is_flow(program):
        return _flow_body(program, state)
    _refuse_others(program, state)
    function: Callable[..., Awaitable[Any]] = program
    if _takes_dice(function):
        return lambda seed: function(Random(seed))
    return lambda _seed: function()


def _flow_body(flow: Flow[Any, ...], state: object) -> Body[Any]:
    if state is None:
        raise TypeError(
            f"flow {flow.name!r} needs the state it is to run on as second argument"
        )
    return lambda seed: flow.run(state, seed=seed)


def _refuse_others(program: object, state: object) -> None:
    if not callable(program):
        raise TypeError(f"a program is an async function or a flow, not {program!r}")
    if state is not None:
        raise TypeError(f"only a flow takes a state; {title_of(program)}() is none")


def title_of(program: object) -> str:
    """What reports call it."""
    name = getattr(program, "__qualname__", None) or getattr(program, "name", None)
    return str(name or type(program).__qualname__)


def home_of(program: object) -> str | None:
    """Where another process finds it, as ``file.py:name``; None if that is impossible."""
    name, module = getattr(program, "__qualname__", ""), inspect.getmodule(program)
    path = getattr(module, "__file__", None)
    if path is None or not name.isidentifier() or getattr(module, name, None) is not program:
        return None
    return f"{path}:{name}"


def _takes_dice(program: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(program).parameters.values()
    except ValueError:  # some builtins do not tell
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind not in _COLLECTING]
    if len(needed) > 1 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        names = ", ".join(p.name for p in needed)
        raise TypeError(
            f"{title_of(program)}() needs {names}; a program takes nothing, or dice: "
            "bind the rest with functools.partial"
        )
    return bool(needed)


_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
