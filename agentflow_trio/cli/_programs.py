"""From ``file.py:program`` on the command line to an async function or a flow, and to what else is named beside it.

Layer: cli.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Any, final

import attrs
from typing_extensions import TypeIs

from ..flow import Flow
from ._exit import UsageError
from ._loading import Target, did_you_mean, find_module, readable_errors

__all__ = ["Beside", "find_program", "is_flow"]


@final
@attrs.frozen
class Beside:
    """The module that a target is in.

    Attributes:
        place: of it, as it was typed.
        names: what it has.
    """

    place: str
    names: Mapping[str, Any]

    def find(self, option: str, name: str) -> Any:  # noqa: ANN401 - whatever the user has written there
        """What *name* is there, which *option* asks for.

        Raises:
            UsageError: there is no such name.
        """
        if name not in self.names:
            near = did_you_mean(name, self.names)
            raise UsageError(problem=f"{option}: there is no {name!r} in {self.place}{near}")
        return self.names[name]


def find_program(text: str) -> tuple[Any, Beside]:
    """Import what *text* names, and return its async function or flow, and where that is.

    Raises:
        UsageError: there is no such module or name, it cannot be imported, or it is not clear which is meant.
    """
    target = Target.parse(text)
    with readable_errors(target):
        module = importlib.import_module(find_module(target).name)
    names: Mapping[str, Any] = vars(module)
    known = {
        name: thing
        for name, thing in names.items()
        if is_flow(thing) or _is_program(thing, module.__name__)
    }
    beside = Beside(target.place, names)
    if target.flow in names and target.flow not in known:
        kind = type(names[target.flow]).__name__
        raise UsageError(
            problem=f"{target.flow!r} in {target.place} is a {kind}, neither an async function nor a flow",
            hint="Write `async def`.",
        )
    if target.flow in known:
        return known[target.flow], beside
    listed = tuple(f"{target.place}:{name}" for name in known)
    if target.flow:
        near = did_you_mean(target.flow, known)
        problem = f"there is no {target.flow!r} in {target.place}{near}"
        raise UsageError(problem=problem, details=listed)
    if len(known) == 1:
        return next(iter(known.values())), beside
    if not known:
        raise UsageError(
            problem=f"there is neither an async function nor a flow in {target.place}"
        )
    problem = f"{target.place} has {len(known)} async functions and flows; say which one:"
    raise UsageError(problem=problem, details=listed)


def is_flow(thing: object) -> TypeIs[Flow[Any, ...]]:
    """Whether it is a flow, of whatever state and exits."""
    return isinstance(thing, Flow)


def _is_program(thing: object, home: str) -> bool:
    return iscoroutinefunction(thing) and getattr(thing, "__module__", "") == home
