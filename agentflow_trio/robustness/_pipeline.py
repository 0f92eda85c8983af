"""Pipeline: guards, and what repeats or replaces a body, composed in one place.

Layer: robustness. Rules: the first stands outermost; what makes no sense is refused where it is written, all at once; a
pipeline in a pipeline is as if its members were written there. It has no state: each member knows its own.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Final, Never, ParamSpec, TypeVar, TypeVarTuple, final, overload

from trio.lowlevel import enable_ki_protection

from .._typing import TypeIs, override
from ..errors import PipelineDefinitionError, Problem
from ._adaptive_limit import AdaptiveLimit
from ._bounds import named
from ._breaker import CircuitBreaker
from ._bulkhead import Bulkhead
from ._chaos import Chaos, ChaosOutcome
from ._fallback import Fallback
from ._guard import Guard, Member
from ._hedge import Hedge
from ._hedge_policy import HedgePolicy
from ._keyed_limiter import KeyedRateLimiter
from ._limiter import RateLimiter, WeightedEntry
from ._load_shedder import LoadShedder
from ._passage import Passage
from ._pipeline_core import Kind, Seat, order_problems
from ._pool import OpenPool, ResourcePool
from ._retry import Retry
from ._retry_policy import RetryPolicy
from ._timeout import Timeout

__all__ = [
    "Pipeline",
    "Repeating",
    "as_entered",
    "is_guard",
    "passage_of",
    "pipeline",
    "seats_of",
]

Arguments = ParamSpec("Arguments")
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

    def __call__(
        self, fn: Callable[Arguments, Awaitable[Value]], /
    ) -> Callable[Arguments, Coroutine[object, Never, Value | Instead_co]]:
        """Make an async function that is `call`-ed whenever it is called."""

        @functools.wraps(fn)
        async def through(
            *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> Value | Instead_co:
            return await self.call(lambda: fn(*args, **kwargs))

        return through


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
        await self._passage.__aexit__(kind, error, trace)

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
    known = [one for one in flat if _is_member(one)]
    problems = [_stranger(one) for one in flat if not _is_member(one)]
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
    return tuple(
        one.as_own_limit() if isinstance(one, Timeout) else one
        for one in _flat(guards)
        if is_guard(one)
    )


def passage_of(guards: Sequence[Guard]) -> Passage:
    """The way through *guards*, one after the other."""
    entered = as_entered(guards)
    timed = len(entered)
    # what chaos does, it does in the body's place
    while timed and isinstance(entered[timed - 1], Chaos):
        timed -= 1
    judging = [number for number, guard in enumerate(entered) if _judges_results(guard)]
    return Passage(entered, timed, judging)


def _judges_results(guard: Guard) -> bool:
    return (
        isinstance(guard, CircuitBreaker | AdaptiveLimit)
        and guard.policy.failed_result is not None
    )


def seats_of(members: Sequence[object]) -> Sequence[Seat]:
    """The places of *members* and of those in pipelines among them; of what is no member, none."""
    return [_seat(one) for one in _flat(members) if _is_member(one)]


def is_guard(value: object) -> TypeIs[Guard]:
    """Whether *value* can be entered around a body, and lends nothing."""
    phases = all(hasattr(value, name) for name in ("__aenter__", "__aexit__", "name"))
    return phases and not isinstance(value, type | OpenPool | ResourcePool)


def _is_member(value: object) -> TypeIs[Guard | Member[object]]:
    return isinstance(value, Member) or is_guard(value)


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


def _seat(member: Guard | Member[object]) -> Seat:
    seat = Seat(_kind_of(member), member.name, member)
    match member:
        case Fallback():
            return seat._replace(catches_all=Exception in member.on)
        case Timeout(adaptive=False):
            return seat._replace(seconds=member.seconds)
        case Retry() | Hedge() if member.policy.budget is not None:
            return seat._replace(budget=member.policy.budget.name)
        case _:
            return seat


def _kind_of(member: Guard | Member[object]) -> Kind:
    for sort, kind in _KINDS:
        if isinstance(member, sort):
            return kind
    return "guard" if is_guard(member) else "member"


_KINDS: Final[Sequence[tuple[type, Kind]]] = (
    (Fallback, "fallback"),
    (Chaos, "chaos"),
    (ChaosOutcome, "chaos"),
    (Timeout, "timeout"),
    (Retry, "retry"),
    (Hedge, "hedge"),
    (CircuitBreaker, "breaker"),
    (RateLimiter, "limiter"),
    (WeightedEntry, "limiter"),
    (Bulkhead, "bulkhead"),
    (AdaptiveLimit, "adaptive limit"),
    (LoadShedder, "load shedder"),
)


def _stranger(value: object) -> Problem:
    sentence = f"members must be guards, or what repeats or replaces a body, not {value!r}"
    return Problem("not_a_member", "", sentence, _instead_of(value))


def _instead_of(value: object) -> str:
    if isinstance(value, type):
        return f"write {value.__name__}(...)"
    if isinstance(value, RetryPolicy | HedgePolicy):
        return f"write {type(value).__name__.removesuffix('Policy')}(policy)"
    if isinstance(value, KeyedRateLimiter):
        return "say whose it is: limits.of(user)"
    if isinstance(value, OpenPool | ResourcePool):
        return "it lends something, which a pipeline cannot pass on: lend in the body"
    return "a guard has a name and is entered with 'async with'"


def _brief(member: object) -> str:
    return repr(getattr(member, "name", member))
