"""What the tests of pipelines share: members made anew, callers with a script, and everything that can be seen of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Final, TypeAlias

import attrs
import trio

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    AdaptiveTimeout,
    Bulkhead,
    BulkheadPolicy,
    Chaos,
    ChaosOutcome,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Fallback,
    Hedge,
    HedgePolicy,
    Pipeline,
    PipelineDefinitionError,
    RateLimiter,
    Repeating,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
    WindowPolicy,
    pipeline,
)
from agentflow_trio.testing import simulate

Recipe: TypeAlias = tuple[Any, ...]
"""How to make a member anew: its kind, and its settings."""

Composed: TypeAlias = Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]
Compose: TypeAlias = Callable[[Sequence[Any]], Composed]


BUDGET: Final = RetryBudget("shared", reserve=4)


class DownError(Exception):
    """The service is down."""


class SlowError(Exception):
    """The service asks for patience."""

    retry_after = 0.5


class Logged:
    """A guard of one's own, which may refuse, and may fail when it is left."""

    def __init__(
        self,
        name: str,
        log: list[str],
        *,
        waits: float = 0.0,
        refuses: BaseException | None = None,
        fails: BaseException | None = None,
    ) -> None:
        self.name = name
        self._log = log
        self._waits, self._refuses, self._fails = waits, refuses, fails

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._waits:
            await trio.sleep(self._waits)
        if self._refuses is not None:
            raise self._refuses
        self._log.append(f"in {self.name}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._log.append(f"out {self.name}: {kind and kind.__name__}")
        if self._fails is not None:
            raise self._fails


class Parity:
    """A guard without state that notes each body and how it ended."""

    def __init__(self, name: str, listen: Callable[[object], object]) -> None:
        self.name = name
        self._listen = listen

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._listen((trio.current_time(), self.name, "in"))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._listen((trio.current_time(), self.name, kind and kind.__name__))

    async def call(self, work: Callable[[], Awaitable[object]]) -> object:
        async with self:
            return await work()


def made(recipe: Recipe, listen: Callable[[object], object]) -> Any:
    """The member of that *recipe*, which tells what it does."""
    kind, name, *settings = recipe
    return MAKERS[kind](name, listen, *settings)


def _timeout(name: str, listen: Any, seconds: float) -> Timeout:
    return Timeout(seconds, name=name, on_event=listen)


def _adaptive(name: str, listen: Any, maximum: float) -> Timeout:
    learned = AdaptiveTimeout(maximum=maximum, min_samples=1, history=2)
    return Timeout(learned, name=name, on_event=listen)


def _breaker(name: str, listen: Any, failures: int, slow: float) -> CircuitBreaker:
    policy = CircuitPolicy(
        failure_threshold=failures,
        recovery_timeout=1.5,
        failed_result=is_busy,
        slow_after=slow,
        slow_rate=0.5,
        window=4.0,
        min_calls=2,
    )
    return CircuitBreaker(name, policy, on_event=listen, seed=3)


def _limiter(name: str, listen: Any, limit: int, max_wait: float) -> RateLimiter:
    window = WindowPolicy(limit=limit, window=1.0, max_wait=max_wait)
    return RateLimiter(name, window, on_event=listen)


def _bulkhead(name: str, listen: Any, limit: int, max_wait: float) -> Bulkhead:
    places = BulkheadPolicy(limit=limit, max_wait=max_wait, max_waiters=2)
    return Bulkhead(name, places, on_event=listen)


def _retry(name: str, listen: Any, attempts: int, on_rejected: Any) -> Retry:
    again = RetryPolicy(
        max_attempts=attempts,
        base_delay=0.25,
        on=(DownError, SlowError, TimeoutError),
        on_rejected=on_rejected,
        budget=BUDGET,
    )
    return Retry(again, name=name, seed="law", on_event=listen)


def _hedge(name: str, listen: Any, after: float) -> Hedge:
    beside = HedgePolicy(after=after, on=(DownError, TimeoutError), budget=BUDGET)
    return Hedge(beside, name=name, on_event=listen)


def _fallback(name: str, listen: Any, on: Any) -> Fallback[str]:
    return Fallback(by=repr, on=on, name=name, on_event=listen)


def _adaptive_limit(name: str, listen: Any, limit: int, waiters: int) -> AdaptiveLimit:
    policy = AdaptiveLimitPolicy(
        initial=limit,
        maximum=3,
        backoff=0.5,
        slow_after=0.75,
        max_waiters=waiters,
        max_wait=0.5,
        failed_result=is_busy,
    )
    return AdaptiveLimit(name, policy, on_event=listen)


def _chaos(name: str, listen: Any, rate: float, latency: float) -> Chaos:
    policy = ChaosPolicy(rate=rate, latency=latency, errors=DownError)
    return Chaos(name, policy, seed="law", on_event=listen)


def _outcome(name: str, listen: Any, rate: float) -> ChaosOutcome[str]:
    return ChaosOutcome(name, "busy", ChaosPolicy(rate=rate), seed="law", on_event=listen)


MAKERS: Final[Mapping[str, Callable[..., Any]]] = {
    "timeout": _timeout,
    "adaptive": _adaptive,
    "breaker": _breaker,
    "limiter": _limiter,
    "bulkhead": _bulkhead,
    "retry": _retry,
    "hedge": _hedge,
    "fallback": _fallback,
    "adaptive limit": _adaptive_limit,
    "parity": Parity,
    "chaos": _chaos,
    "outcome": _outcome,
}


def is_busy(result: object) -> bool:
    return result == "busy"


def names(members: Sequence[Any]) -> list[str]:
    return [member.name for member in members]


# ---------------------------------------------------------------- composed by hand


def by_hand(members: Sequence[Any]) -> Composed:
    """What a pipeline stands for, one inside the other, without it."""

    async def composed(work: Callable[[], Awaitable[object]]) -> object:
        return await _inside(members, [], work)

    return composed


async def _inside(
    members: Sequence[Any], permits: list[Any], work: Callable[[], Awaitable[object]]
) -> object:
    if not members:
        _let_time_count(permits)
        return await work()
    first, *others = members
    if isinstance(first, Chaos):  # it stands for what the body does
        _let_time_count(permits)
        permits = []
    if not hasattr(first, "__aenter__"):
        _let_time_count(permits)
        return await first.call(_inside, others, [], work)
    guard = first.as_own_limit() if isinstance(first, Timeout) else first
    async with guard as permit:
        result = await _inside(others, [*permits, permit], work)
        record: Any = getattr(permit, "record", None)
        if record is not None:
            record(result)
        return result


def _let_time_count(permits: Sequence[Any]) -> None:
    for permit in permits:
        if hasattr(permit, "start"):
            permit.start()


def piped(members: Sequence[Any]) -> Composed:
    """As one pipeline, which is called."""
    return composed_of(members).call


def composed_of(members: Sequence[Any]) -> Repeating[object]:
    composed: Repeating[object] = pipeline(*members)
    return composed


def entered(members: Sequence[Any]) -> Composed:
    """As one pipeline of guards, which is entered; nobody tells it of results."""
    composed = composed_of(members)
    assert isinstance(composed, Pipeline)

    async def through(work: Callable[[], Awaitable[object]]) -> object:
        async with composed:
            return await work()

    return through


def cut_at(places: Sequence[int], members: Sequence[Any]) -> list[Sequence[Any]]:
    """The *members*, cut into parts."""
    cuts = [0, *sorted(min(place, len(members)) for place in places), len(members)]
    return [members[begin:end] for begin, end in pairwise(cuts)]


def nested_at(places: Sequence[int]) -> Compose:
    """As pipelines in a pipeline, cut at these places."""

    def compose(members: Sequence[Any]) -> Composed:
        parts = enumerate(cut_at(places, members))
        return piped([pipeline(*part, name=str(at)) for at, part in parts])

    return compose


# ---------------------------------------------------------------- callers


@attrs.frozen
class Call:
    """One call of a caller.

    Attributes:
        after: seconds since its last one.
        takes: seconds of the body.
        ends: what the body returns, or raises.
        patience: seconds until the caller cancels it.
    """

    after: float
    takes: float
    ends: Callable[[], object]
    patience: float

    async def body(self) -> object:
        end = self.ends()
        if self.takes:
            await trio.sleep(self.takes)
        if isinstance(end, BaseException):
            raise end
        return end


@attrs.frozen
class Told:
    """Everything that can be seen of one program."""

    ends: list[tuple[object, ...]]
    events: list[object]
    statistics: list[object]
    bodies: list[tuple[float, str]]


def seen(
    compose: Compose, recipes: Sequence[Recipe], callers: Sequence[Sequence[Call]], seed: int
) -> Told:
    """Let *callers* call what *compose* makes of fresh members."""
    events: list[object] = []
    members = [made(recipe, events.append) for recipe in recipes]
    told = Told([], events, [], [])

    async def program() -> None:
        composed = compose(members)
        for member in members:
            if isinstance(member, Chaos | ChaosOutcome):
                member.enable()
        async with trio.open_nursery() as nursery:
            for number, calls in enumerate(callers):
                nursery.start_soon(_calling, composed, calls, number, told)
        told.statistics.extend(
            member.statistics() for member in members if hasattr(member, "statistics")
        )

    with simulate(program, seed=seed) as sim:
        sim.run()
    return told


async def _calling(composed: Composed, calls: Sequence[Call], number: int, told: Told) -> None:
    for call in calls:
        await trio.sleep(call.after)
        result: object = None
        failure: BaseException | None = None

        async def noted(call: Call = call) -> object:
            told.bodies.append((trio.current_time(), f"caller {number}"))
            return await call.body()

        with trio.move_on_after(call.patience) as scope:
            try:
                result = await composed(noted)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - compared below
                failure = error
        told.ends.append((
            number,
            trio.current_time(),
            result,
            chain(failure),
            getattr(failure, "__notes__", []),
            scope.cancelled_caught,
        ))


def chain(error: BaseException | None) -> list[str]:
    """The error, what it was raised in place of, and so on."""
    found: list[str] = []
    while error is not None:
        found.append(repr(error) if isinstance(error, Exception) else type(error).__name__)
        error = error.__context__
    return found


def fits(members: Sequence[Any]) -> set[str]:
    """The codes of what is wrong with this order."""
    try:
        pipeline(*members)
    except PipelineDefinitionError as error:
        return {problem.code for problem in error.problems}
    return set()
