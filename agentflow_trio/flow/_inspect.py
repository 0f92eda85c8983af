"""Reading signatures: which exits a node names, and what no checker would have let pass.

Layer: flow. Looks at parameters only; annotations are never evaluated.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Literal

from .._typing import TypeIs
from ..errors import Problem
from ._words import snake_case

__all__ = [
    "defaulted_exits",
    "function_problems",
    "helper_problems",
    "name_of",
    "phase_problems",
    "source_problems",
    "ways_out",
    "wiring_problems",
]

_PHASES = {"prep": 1, "exec": 1, "post": 3}
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_AWAITABLE = re.compile(r"(<class )?['\"]?([\w.]*\.)?(Awaitable|Coroutine|Future)\b")


def ways_out(function: Callable[..., object], *, skip: int) -> tuple[str, ...]:
    """The names of the parameters after the first *skip*: the exits."""
    return tuple(each.name for each in _beyond(function, skip) if each.kind in _NAMED)


def defaulted_exits(function: Callable[..., object], *, skip: int) -> tuple[str, ...]:
    """Exits that have a default, so that a route could be left out in silence."""
    return tuple(each.name for each in _beyond(function, skip) if _has_default(each))


def name_of(function: object) -> str:
    """What *function* is called: its own name, or its class in snake_case."""
    *_, innermost, _ = _layers(function)
    name: object = getattr(innermost, "__name__", None)
    return name if isinstance(name, str) else snake_case(type(innermost).__name__)


def phase_problems(step: str, node: object) -> Iterator[Problem]:
    """What is wrong with the three phases of *node*."""
    kind = type(node).__name__
    for phase, arguments in _PHASES.items():
        method: object = getattr(node, phase, None)
        if callable(method):
            what = f"{phase} of {kind}"
            yield from _async_problems(step, what, phase, method)
            yield from _signature_problems(step, what, method, arguments, exits=phase == "post")
        else:
            hint = f"write 'async def {phase}(self, ...)'"
            yield Problem("missing_phase", step, f"{kind} has no {phase}", hint)


def function_problems(name: str, function: object) -> Iterator[Problem]:
    """What is wrong with *function* as a step."""
    if callable(function):
        yield from _async_problems(name, name, name, function)
        yield from _signature_problems(name, name, function, 1, exits=True)
    else:
        hint = "@step goes over 'async def name(state: State) -> None: ...'"
        yield Problem("not_a_function", name, f"{function!r} is not a function", hint)


def helper_problems(
    name: str, function: object, *, arguments: int, step: str = ""
) -> Iterator[Problem]:
    """Whether *function*, called *name*, is called with so many *arguments* and not awaited."""
    if not callable(function) or _nature(function) != "plain":
        sentence = f"{name} must be a plain function, not {function!r}"
        yield Problem("not_a_function", step, sentence, "what has to wait is a step of its own")
    elif not _may_take(function, arguments):
        yield Problem("bad_signature", step, f"{name} must take {_many(arguments)}")


def source_problems(name: str, function: object) -> Iterator[Problem]:
    """Whether *function*, called *name*, gives items of the one thing it is called with; it may be a generator."""
    if callable(function) and _nature(function) == "generator":
        if not _may_take(function, 1):
            yield Problem("bad_signature", "", f"{name} must take {_many(1)}")
    else:
        yield from helper_problems(name, function, arguments=1)


def wiring_problems(flow: str, wiring: object) -> Iterator[Problem]:
    """Whether *wiring* is a plain function whose parameters are all exits."""
    hint = "@flow goes over 'def name(*, done: Next) -> Wiring[State]: return [...]'"
    if not callable(wiring) or isinstance(wiring, type):
        yield Problem("not_a_function", "", f"{wiring!r} is not a wiring function", hint)
    elif inspect.iscoroutinefunction(wiring) or _is_generator(wiring):
        sentence = f"{flow} must be a plain function that returns its lines"
        yield Problem("not_a_function", "", sentence, hint)
    else:
        problems = [*_signature_problems("", flow, wiring, 0, exits=True)]
        yield from problems
        for name in () if problems else defaulted_exits(wiring, skip=0):
            sentence = f"exit {name!r} of flow {flow!r} has a default"
            yield Problem("exit_default", "", sentence, f"write '*, {name}: Next'")


# ---------------------------------------------------------------- one function


def _async_problems(
    step: str, what: str, name: str, function: Callable[..., object]
) -> Iterator[Problem]:
    nature = _nature(function)
    if nature == "generator":
        sentence = f"{what} is a generator"
        yield Problem("generator_phase", step, sentence, "let it return instead of yield")
    elif nature == "plain":
        yield Problem("sync_phase", step, f"{what} is not async", f"write 'async def {name}'")


def _signature_problems(
    step: str, what: str, function: Callable[..., object], arguments: int, *, exits: bool
) -> Iterator[Problem]:
    """Whether *function* takes *arguments* by position, and then only named exits, if any."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        sentence = f"the parameters of {what} cannot be read"
        yield Problem("bad_signature", step, sentence, "wrap it in a function of your own")
        return
    try:
        signature.bind_partial(*range(arguments))
    except TypeError:
        yield Problem("bad_signature", step, f"{what} does not take {_many(arguments)}")
        return
    for parameter in _beyond(function, arguments):
        if exits and parameter.kind not in _NAMED:
            hint = (
                "name each exit as a keyword-only parameter; let decorators use functools.wraps"
            )
            bare = parameter.replace(default=Parameter.empty, annotation=Parameter.empty)
            sentence = f"{what} takes {str(bare)!r}"
            yield Problem("bad_signature", step, sentence, hint)
        elif not exits and parameter.kind in _NAMED and not _has_default(parameter):
            sentence = f"{what} takes {parameter.name!r}, which nothing will pass"
            yield Problem("bad_signature", step, sentence)


def _may_take(function: Callable[..., object], arguments: int) -> bool:
    """Whether *function* can be called with so many, as far as can be known: that of a class of C cannot."""
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _many(arguments: int) -> str:
    if not arguments:
        return "no arguments"
    return f"{arguments} positional argument{'s' * (arguments > 1)}"


def _beyond(function: Callable[..., object], taken: int) -> list[Parameter]:
    """The parameters that are left when *taken* arguments are passed by position."""
    left: list[Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        if taken and parameter.kind in _POSITIONAL:
            taken -= 1
        elif taken and parameter.kind is Parameter.VAR_POSITIONAL:
            taken = 0
        else:
            left.append(parameter)
    return left


def _has_default(parameter: Parameter) -> bool:
    return parameter.default is not Parameter.empty


def _nature(function: object) -> Literal["async", "generator", "plain"]:
    """What calling *function* gives, as far as can be known without calling it.

    The outermost layer that tells decides. An annotation counts as the text it is written as.
    """
    for each in _layers(function):
        if inspect.iscoroutinefunction(each) or _says_awaitable(each):
            return "async"
        if _is_generator(each):
            return "generator"
    return "plain"


def _is_generator(function: object) -> bool:
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _says_awaitable(function: object) -> bool:
    returns = getattr(function, "__annotations__", {}).get("return", "")
    return _AWAITABLE.match(str(returns)) is not None


def _layers(function: object) -> Iterator[object]:
    """The function itself, what it wraps, and the ``__call__`` of an object, outermost first."""
    inside: object = function
    while inside is not None:
        yield inside
        function = inside
        inside = (
            function.func if _is_partial(function) else getattr(inside, "__wrapped__", None)
        )
    yield getattr(type(function), "__call__", None)  # noqa: B004 - not whether but how it is called


def _is_partial(function: object) -> TypeIs[functools.partial[object]]:
    return isinstance(function, functools.partial)
