"""Function steps: an async function of the state as a node.

Layer: flow. Rule: the function works on a fork of the state, kept only if it ends well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, Unpack, final, overload

import attrs

from .._typing import override
from ..engine import Kind, PlanStep
from ..errors import WrongExitError
from ..state import fork
from ..types import Exit, Next
from ._bind import bind_exits
from ._inspect import defaulted_exits, function_problems, name_of, ways_out
from ._node import BuiltIn, overwrite, passed_exit
from ._policies import StepOptions, option_problems
from ._step import Step, refuse
from ._words import name_problems

__all__ = ["FunctionNode", "step"]

State = TypeVar("State")
Exits = ParamSpec("Exits")


@final
@attrs.frozen(eq=False, kw_only=True)
class FunctionNode(BuiltIn, Generic[State, Exits]):
    """An async function of the state as a node.

    Attributes:
        function: what it calls, with the fork and one `Next` for each exit.
    """

    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]]

    @property
    @override
    def defaulted(self) -> tuple[str, ...]:
        """See `BuiltIn`."""
        return defaulted_exits(self.function, skip=1)

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        call = bind_exits(self.function, exits)
        return PlanStep(name=name, kind=Kind.FUNCTION, exec=call, exits=exits)

    async def prep(self, shared: State, /) -> State:
        """Fork the state. Not a checkpoint."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> tuple[State, str | None]:
        """Call the function with the fork; return what became of it and the exit taken.

        Raises:
            WrongExitError: the function did not return one of its exits.
        """
        exits = tuple(map(Exit, self.exits))
        chosen: object = await bind_exits(self.function, exits)(prepared)
        if chosen is None and not exits:
            return prepared, None
        for exit_ in exits:
            if chosen is exit_:
                return prepared, exit_.name
        raise WrongExitError(step=self.name, returned=repr(chosen), exits=self.exits)

    async def post(
        self,
        shared: State,
        _prepared: State,
        result: tuple[State, str | None],
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """Keep the fork and take the exit that the function took. Not a checkpoint."""
        overwrite(shared, result[0])
        return passed_exit(result[1], self.exits, args, kwargs)


@final
class _StepMaker:
    def __init__(self, options: StepOptions) -> None:
        self.options = options

    def __call__(
        self, function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], /
    ) -> Step[State, Exits]:
        return _function_step(function, self.options)


@overload
def step(
    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], /
) -> Step[State, Exits]: ...
@overload
def step(**options: Unpack[StepOptions]) -> _StepMaker: ...
def step(
    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]] | None = None,
    /,
    **options: Unpack[StepOptions],
) -> Step[State, Exits] | _StepMaker:
    """Make a step of an async function of the state and, if it branches, of its exits.

    ``@step`` or ``@step(timeout=3.0)``. The function writes to a fork of the state, which is
    kept only if it ends well.

    Args:
        function: ``async def archive(article: Article) -> None``, or with exits
            ``async def triage(article: Article, *, long: Next, short: Next) -> Next``.
        options: the name, by default the function's, and the policies, by default none.

    Raises:
        StepDefinitionError: the function is not async or does not take the state, or an option
            does not exist or makes no sense; all problems at once.
    """
    return _StepMaker(options) if function is None else _function_step(function, options)


def _function_step(
    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], options: StepOptions
) -> Step[State, Exits]:
    name = options.get("name", name_of(function))
    refuse(
        name,
        name_problems("a step", str(name), name),
        option_problems(name, {**options}),
        function_problems(name, function),
    )
    node: FunctionNode[State, Exits] = FunctionNode(
        name=name, exits=ways_out(function, skip=1), function=function
    )
    return Step(node, **options)
