"""Pipeline: guards, and what repeats or replaces a body, composed in one place.

Layer: robustness. Rules: the first stands outermost; what makes no sense is refused where it is written, all at once; a
pipeline in a pipeline is as if its members were written there. It has no state: each member knows its own.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Never, TypeVar, TypeVarTuple, final, overload

from trio.lowlevel import enable_ki_protection

from .._typing import override
from ..errors import PipelineDefinitionError
from ._bounds import named
from ._guard import Guard, Member
from ._passage import Passage
from ._pipeline_core import Seat, order_problems
from ._seating import is_guard, is_member, judges_results, kind_of, own_limit, seat_of, stranger

__all__ = [
    "Pipeline",
    "Repeating",
    "as_entered",
    "passage_of",
    "pipeline",
    "seats_of",
]

Value = TypeVar("Value")
Instead = TypeVar("Instead")
Instead_co = TypeVar("Instead_co", covariant=True)
PosArgs = TypeVarTuple("PosArgs")


class Repeating(Member[Instead_co]):
    """A composition with a member that repeats or replaces the body: it can be called, not entered. `pipeline` makes it.

    ``await composed.call(fetch, url)``, or ``@composed`` above an async function. It may be used by any number of tasks at
    once, as its members may.

    Attributes:
        name: what errors call it.
        members: as they were given, the outermost first.
    """

    __slots__ = ("_layers", "members")

    def __init__(
        self, name: str, members: Sequence[object], layers: Sequence[Member[Instead_co]]
    ) -> None:
        """For `pipeline`, which knows that *members* go together, and their *layers*."""
        self.name = name
        self.members: tuple[object, ...] = tuple(members)
        self._layers = tuple(layers)

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {', '.join(map(_brief, self.members))}>"

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value | Instead_co:
        """Call ``await fn(*args)`` within all members: as ``outer.call(inner.call, fn, *args)`` would.

        A checkpoint if one of the members or *fn* is one. Errors are those of the members, and what *fn* raises.
        """
        return await self._within(0, functools.partial(fn, *args))

    async def _within(
        self, number: int, work: Callable[[], Awaitable[Value]]
    ) -> Value | Instead_co:
        """Do *work* within the layer of that *number* and those inside it."""
        if number == len(self._layers):
            return await work()
        return await self._layers[number].call(self._within, number + 1, work)


@final
class Pipeline(Repeating[Never]):
    """A composition of guards only: it can also be entered, and is a guard itself. `pipeline` makes it.

    ``async with composed:`` is ``async with`` all of its guards, the outermost first; it is left in the opposite order,
    also if a guard lets nobody in. Entering is a checkpoint if one of the guards' is; leaving never waits.
    """

    __slots__ = ("_passage",)

    def __init__(self, name: str, members: Sequence[object], passage: Passage) -> None:
        """For `pipeline`."""
        super().__init__(name, members, (passage,))
        self._passage = passage

    @enable_ki_protection
    async def __aenter__(self) -> None:  # noqa: ASYNC910 - as its guards do
        """Let the body run when all guards do.

        Raises:
            RejectedError: one of them does not; those around it were left again.
            GuardInUseError: one is in use under another run of Trio.
        """
        await self._passage.__aenter__()

    @enable_ki_protection
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Leave all guards, the innermost first. Never waits."""
        await self._passage.__aexit__(kind, error, trace)  # noqa: ASYNC102 - never waits

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Enter, return ``await fn(*args)``, leave. A checkpoint if entering or *fn* is one."""
        return await self._passage.call(fn, *args)


@overload
def pipeline(*members: Guard, name: str = ...) -> Pipeline: ...
@overload
def pipeline(*members: Guard | Member[Instead], name: str = ...) -> Repeating[Instead]: ...
def pipeline(*members: object, name: str = "pipeline") -> Repeating[object]:
    """Compose guards and members that repeat or replace the body, the outermost first.

    The order that makes sense for most: fallback, timeout, retry, hedge, breaker, rate limiter, bulkhead, the timeout of
    one attempt, chaos. Of guards only, the result can be entered, and is a guard itself; else it is called. Without
    members it lets everything through.

    Args:
        members: the outermost first; one may be a pipeline, as if its members stood there.
        name: what errors call it.

    Raises:
        PipelineDefinitionError: something is no member, or the order makes no sense; all mistakes at once.
        TypeError: *name* is no string.
    """
    named("pipeline", name)
    flat = [*_flat(members)]
    known = [one for one in flat if is_member(one)]
    problems = [stranger(one) for one in flat if not is_member(one)]
    problems += order_problems(seats_of(known))
    if problems:
        raise PipelineDefinitionError(name=name, problems=tuple(problems))
    layers = [*_layers(known)]
    match layers:
        case []:
            return Pipeline(name, members, passage_of(()))
        case [Passage() as passage]:
            return Pipeline(name, members, passage)
        case _:
            return Repeating(name, members, layers)


# ---------------------------------------------------------------- what it is made of


def as_entered(guards: Sequence[Guard]) -> tuple[Guard, ...]:
    """What is entered for *guards* of one step or pipeline: those in pipelines, and timeouts that are its own limits."""
    return tuple(own_limit(one) for one in _flat(guards) if is_guard(one))


def passage_of(guards: Sequence[Guard]) -> Passage:
    """The way through *guards*, one after the other."""
    entered = as_entered(guards)
    timed = len(entered)
    # what chaos does, it does in the body's place
    while timed and kind_of(entered[timed - 1]) == "chaos":
        timed -= 1
    judging = [number for number, guard in enumerate(entered) if judges_results(guard)]
    return Passage(entered, timed, judging)


def seats_of(members: Sequence[object]) -> Sequence[Seat]:
    """The places of *members* and of those in pipelines among them; of what is no member, none."""
    return [seat_of(one) for one in _flat(members) if is_member(one)]


def _flat(members: Sequence[object]) -> Iterator[object]:
    for one in members:
        if isinstance(one, Repeating):
            yield from _flat(one.members)
        else:
            yield one


def _layers(members: Sequence[Guard | Member[object]]) -> Iterator[Member[object]]:
    """Guards side by side as one layer, each other member as its own."""
    run: list[Guard] = []
    for one in members:
        if is_guard(one):
            run.append(one)
            continue
        if run:
            yield passage_of(run)
            run = []
        yield one
    if run:
        yield passage_of(run)


def _brief(member: object) -> str:
    return repr(getattr(member, "name", member))
