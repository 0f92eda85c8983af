"""Pipelines, entered and called: who is let in, in which order they are left, and whose limit counts as failure."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, TypeVarTuple, assert_type

import pytest
import trio
from pipeline_kit import DownError, Logged
from retry_kit import EXACT, Tape
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import (
    AdaptiveLimit,
    Bulkhead,
    BulkheadFullError,
    BulkheadPolicy,
    Chaos,
    ChaosOutcome,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    DeadlineExceededError,
    Fallback,
    GuardMisuseError,
    Hedge,
    HedgePolicy,
    KeyedRateLimiter,
    LoadShedder,
    Pipeline,
    PipelineDefinitionError,
    RateLimiter,
    Repeating,
    ResourcePool,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
    open_pool,
    pipeline,
)
from agentflow_trio.robustness import Member, has_own_limits, seats_of

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")

HANG = (
    "breaker 'db' stands inside timeout 'whole', "
    "so it would learn of a hang only when all the time is used up"
)


def circuit(name: str = "db", **settings: Any) -> CircuitBreaker:
    return CircuitBreaker(name, CircuitPolicy(**{"failure_threshold": 9, **settings}))


def verdicts(breaker: CircuitBreaker) -> tuple[int, int, int, int]:
    """Successes, failures, ignored, cancelled."""
    seen = breaker.statistics()
    assert seen.running == 0
    return seen.succeeded, seen.failed, seen.ignored, seen.cancelled


def problems(make: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(PipelineDefinitionError) as caught:
        make()
    return [(problem.sentence, problem.hint) for problem in caught.value.problems]


# ---------------------------------------------------------------- entering and leaving


async def test_the_first_is_outermost() -> None:
    log: list[str] = []
    composed = pipeline(Logged("a", log), Logged("b", log), Logged("c", log))
    async with composed as lent:
        assert lent is None
        log.append("body")
    assert log == ["in a", "in b", "in c", "body", "out c: None", "out b: None", "out a: None"]


async def test_who_was_entered_is_left_again_when_a_later_one_refuses() -> None:
    log: list[str] = []
    no = DownError("no")
    composed = pipeline(Logged("a", log), Logged("b", log), Logged("c", log, refuses=no))
    with pytest.raises(DownError) as caught:
        async with composed:
            log.append("body")
    assert caught.value is no
    assert log == ["in a", "in b", "out b: DownError", "out a: DownError"]


async def test_a_probe_that_is_rejected_further_inside_gives_its_place_back(
    autojump_clock: MockClock,
) -> None:
    breaker = circuit(failure_threshold=1, recovery_timeout=5.0)
    full = Bulkhead("full", BulkheadPolicy(limit=1, max_wait=0.0))
    composed = pipeline(breaker, full)
    with pytest.raises(DownError):
        await composed.call(Tape([DownError()]))
    await trio.sleep(5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(full.call, trio.sleep, 1.0)
        await trio.sleep(0.5)
        for _ in range(3):
            with pytest.raises(BulkheadFullError):
                await composed.call(Tape(["never"]))
    assert await composed.call(Tape(["probe"])) == "probe"
    assert verdicts(breaker) == (1, 1, 3, 0)


async def test_who_is_cancelled_while_entering_leaves_what_was_entered(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    composed = pipeline(Logged("a", log), Logged("b", log, waits=4.0))
    with trio.move_on_after(3.0) as scope:
        async with composed:
            log.append("body")
    assert scope.cancelled_caught
    assert trio.current_time() == 3.0
    assert log == ["in a", "out a: Cancelled"]


async def test_who_is_cancelled_already_consumes_nothing() -> None:
    limiter, breaker = RateLimiter("l", limit=1, window=9.0), circuit()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pipeline(breaker, limiter).call(Tape(["never"]))
    assert scope.cancelled_caught
    assert verdicts(breaker) == (0, 0, 0, 0)
    limiter.acquire_nowait()


async def test_cancelling_the_body_leaves_no_trace(autojump_clock: MockClock) -> None:
    breaker, patience, places = circuit(), Timeout(9.0), Bulkhead("b", limit=1)
    again, adapt = Retry(EXACT), AdaptiveLimit("m")
    composed = pipeline(Fallback("no"), again, breaker, adapt, places, patience)
    with trio.move_on_after(2.0) as scope:
        await composed.call(trio.sleep, 60.0)
    assert scope.cancelled_caught
    assert verdicts(breaker) == (0, 0, 0, 1)
    assert (patience.statistics().cancelled, patience.statistics().inside) == (1, 0)
    assert places.statistics().inside == 0
    assert (again.statistics().retries, dict(again.statistics().gave_up)) == (0, {})
    assert adapt.statistics().limit == adapt.policy.initial


@pytest.mark.parametrize(
    "error", [DownError("x"), ExceptionGroup("g", [DownError("x")]), KeyboardInterrupt()]
)
async def test_the_bodys_error_is_raised_itself(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    guards = pipeline(circuit(), RateLimiter("l", limit=9, window=1.0), Timeout(3.0))
    for composed in (guards, pipeline(Retry(RetryPolicy(max_attempts=1)), guards)):
        with pytest.raises(type(error)) as caught:
            await composed.call(fail)
        assert caught.value is error
        assert caught.value.__context__ is None


async def test_an_attempt_that_is_interrupted_ends_a_hedged_call() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await pipeline(Hedge(after=0.0), circuit()).call(interrupted)


async def test_what_fails_on_leaving_is_what_those_around_see_and_keeps_its_context() -> None:
    log: list[str] = []
    first, second = ValueError("first"), KeyError("second")
    composed = pipeline(
        Logged("a", log, fails=second), Logged("b", log), Logged("c", log, fails=first)
    )
    body = DownError("body")
    with pytest.raises(KeyError) as caught:
        async with composed:
            raise body
    assert caught.value is second
    assert second.__context__ is first
    assert first.__context__ is body
    assert log[3:] == ["out c: DownError", "out b: ValueError", "out a: ValueError"]


async def test_what_fails_on_leaving_after_a_refusal_keeps_its_context_too() -> None:
    log: list[str] = []
    no, late = DownError("no"), ValueError("late")
    composed = pipeline(
        Logged("a", log), Logged("b", log, fails=late), Logged("c", log, refuses=no)
    )
    with pytest.raises(ValueError) as caught:
        async with composed:
            log.append("body")
    assert caught.value is late
    assert late.__context__ is no
    assert log == ["in a", "in b", "out b: DownError", "out a: ValueError"]


async def test_no_error_is_kept_alive_by_the_frames_it_went_through() -> None:
    class Late(Logged):
        async def __aexit__(self, *_: object) -> None:
            raise ValueError("late")

    class No(Logged):
        async def __aenter__(self) -> None:
            raise DownError("no")

    late, no = Late("late", []), No("no", [])
    gone: list[weakref.ref[BaseException]] = []

    async def fail() -> None:
        error = DownError("body")
        gone.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()
    try:
        for guards in ((circuit(), Timeout(3.0)), (circuit(), late, Timeout(3.0))):
            with suppress(DownError, ValueError):
                await pipeline(*guards).call(fail)
        with suppress(ValueError):
            await pipeline(circuit(), late, no).call(fail)
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()


async def test_a_thousand_tasks_may_be_inside_at_once(autojump_clock: MockClock) -> None:
    breaker, places = circuit(), Bulkhead("b", limit=600)
    composed = pipeline(breaker, places, Timeout(9.0))
    ends: list[float] = []

    async def work(number: int) -> None:
        async with composed:
            await trio.sleep(1.0 + number % 2)
        ends.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(work, number)
        await trio.sleep(0.5)
        assert breaker.statistics().running == 1000
        assert places.statistics().inside == 600
    assert verdicts(breaker) == (1000, 0, 0, 0)
    assert places.statistics().inside == 0
    assert len(ends) == 1000


async def test_it_may_be_entered_inside_its_own_body() -> None:
    log: list[str] = []
    breaker = circuit()
    composed = pipeline(Logged("a", log), breaker, Timeout(9.0))
    async with composed:
        async with composed:
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    assert log == ["in a", "in a", "out a: None", "out a: None"]
    assert verdicts(breaker) == (1, 0, 0, 0)
    assert not has_own_limits()


async def test_leaving_it_in_a_task_that_did_not_enter_it_is_a_mistake() -> None:
    breaker = circuit()
    composed = pipeline(breaker, Timeout(3.0))
    await composed.__aenter__()
    async with trio.open_nursery() as nursery:

        async def elsewhere() -> None:
            with pytest.raises(GuardMisuseError):
                await composed.__aexit__(None, None, None)

        nursery.start_soon(elsewhere)
    assert breaker.statistics().running == 1
    await composed.__aexit__(None, None, None)
    assert verdicts(breaker) == (1, 0, 0, 0)


# ---------------------------------------------------------------- time


async def test_slow_calls_are_timed_from_when_the_body_begins(
    autojump_clock: MockClock,
) -> None:
    breaker = circuit(slow_rate=0.2, slow_after=1.0, min_calls=5)
    tempo, places = RateLimiter("l", limit=1, window=5.0), Bulkhead("b", limit=1)
    composed = pipeline(breaker, AdaptiveLimit("m"), tempo, places)
    for _ in range(4):
        await composed.call(trio.sleep, 0.5)
    assert trio.current_time() == 15.5
    async with composed:
        await trio.sleep(0.5)
    assert breaker.statistics().opened == 0
    async with composed:
        await trio.sleep(1.0)
    assert trio.current_time() == 26.0
    assert breaker.statistics().opened == 0
    async with composed:
        await trio.sleep(1.0)
    assert breaker.statistics().opened == 1


async def test_what_chaos_delays_is_slow(autojump_clock: MockClock) -> None:
    breaker = circuit(slow_rate=0.3, slow_after=1.0, min_calls=1)
    late, later = ChaosPolicy(rate=1.0, latency=0.5), ChaosPolicy(rate=1.0, latency=0.75)
    tempo, places = RateLimiter("l", limit=1, window=5.0), Bulkhead("b", limit=1)
    drill, more = Chaos("drill", late), Chaos("more", later)
    composed = pipeline(breaker, tempo, places, drill, more)
    drill.enable()
    await composed.call(trio.sleep, 0.25)
    await composed.call(trio.sleep, 0.25)
    assert breaker.statistics().opened == 0
    more.enable()
    await composed.call(trio.sleep, 0.0)
    assert breaker.statistics().opened == 1


async def test_its_own_timeout_is_a_failure_for_the_breaker_inside(
    autojump_clock: MockClock,
) -> None:
    breaker = circuit()
    whole, attempt = Timeout(5.0, name="whole"), Timeout(4.0, name="attempt")
    composed = pipeline(whole, Retry(EXACT), breaker, attempt)
    with pytest.raises(DeadlineExceededError) as caught:
        await composed.call(trio.sleep, 60.0)
    assert caught.value.limit == "attempt"
    assert trio.current_time() == 4.0
    with pytest.raises(DeadlineExceededError) as caught:
        await composed.call(Tape([DownError(), "late"], takes=3.5))
    assert caught.value.limit == "whole"
    assert verdicts(breaker) == (0, 3, 0, 0)
    assert not has_own_limits()


async def test_somebody_elses_timeout_is_no_verdict(autojump_clock: MockClock) -> None:
    breaker = circuit()
    composed = pipeline(Timeout(9.0), breaker, Timeout(5.0))
    with pytest.raises(DeadlineExceededError):
        await Timeout(2.0).call(composed.call, trio.sleep, 60.0)
    with trio.move_on_after(2.0):
        async with composed:
            await trio.sleep_forever()
    assert verdicts(breaker) == (0, 0, 0, 2)


async def test_a_timeout_that_has_been_left_is_nobodys_limit(autojump_clock: MockClock) -> None:
    breaker = circuit()
    limited = pipeline(Timeout(1.0))
    with pytest.raises(DeadlineExceededError):
        await limited.call(trio.sleep_forever)
    async with limited:
        assert has_own_limits()
    assert not has_own_limits()
    with trio.move_on_after(1.0):
        await pipeline(breaker).call(trio.sleep_forever)
    assert verdicts(breaker) == (0, 0, 0, 1)


async def test_a_hedged_attempt_that_is_cut_off_by_the_whole_is_a_failure_too(
    autojump_clock: MockClock,
) -> None:
    breaker = circuit()
    composed = pipeline(Timeout(3.0), Hedge(after=1.0), breaker, Timeout(2.5))
    with pytest.raises(DeadlineExceededError):
        await composed.call(trio.sleep, 60.0)
    assert trio.current_time() == 3.0
    assert verdicts(breaker) == (0, 2, 0, 0)


# ---------------------------------------------------------------- calling


async def test_a_result_may_count_as_failure() -> None:
    breaker = circuit(failed_result=lambda result: result == "busy")
    composed = pipeline(breaker, RateLimiter("l", limit=9, window=1.0))
    assert await composed.call(Tape(["busy"])) == "busy"
    assert await pipeline(circuit("plain"), composed).call(Tape(["done"])) == "done"
    async with composed:
        pass
    assert verdicts(breaker) == (2, 1, 0, 0)


async def test_each_attempt_goes_through_the_guards_inside(autojump_clock: MockClock) -> None:
    log: list[str] = []
    body = Tape([DownError(1), DownError(2), "done"])
    composed = pipeline(Logged("outer", log), Retry(EXACT), Logged("inner", log))
    assert isinstance(composed, Repeating)
    assert not isinstance(composed, Pipeline)
    assert await composed.call(body) == "done"
    assert body.starts == [0.0, 1.0, 3.0]
    once = ["in inner", "out inner: DownError"]
    assert log == ["in outer", *once, *once, "in inner", "out inner: None", "out outer: None"]


async def test_what_stands_in_is_returned(autojump_clock: MockClock) -> None:
    composed = pipeline(Fallback("cached"), Timeout(3.0))
    assert assert_type(await composed.call(trio.sleep, 1.0), str | None) is None
    assert await composed.call(trio.sleep, 9.0) == "cached"
    assert trio.current_time() == 4.0


async def test_a_decorated_function_keeps_its_name_and_keywords() -> None:
    log: list[str] = []
    for composed in (pipeline(Logged("a", log)), pipeline(Retry(), Logged("a", log))):

        @composed
        async def ask(question: str, *, model: str = "m") -> str:
            """Ask."""
            return question + model

        assert ask.__name__ == "ask"
        assert await ask("why", model="!") == "why!"
    assert log == ["in a", "out a: None"] * 2


async def test_a_member_of_ones_own_is_called() -> None:
    class Twice(Member[int]):
        def __init__(self) -> None:
            self.name = "twice"

        @override
        async def call(
            self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
        ) -> Value:
            await fn(*args)
            return await fn(*args)

    body = Tape([1, 2])
    assert await pipeline(circuit(), Twice()).call(body) == 2


async def test_nothing_at_all_lets_everything_through() -> None:
    composed = pipeline()
    async with composed:
        pass
    assert await composed.call(Tape([3])) == 3
    assert await pipeline(pipeline(), pipeline(Retry())).call(Tape([3])) == 3


# ---------------------------------------------------------------- what it is made of


def test_it_can_be_looked_at() -> None:
    breaker, limit = circuit(), Timeout(3.0)
    composed = pipeline(breaker, limit, name="web")
    assert composed.members == (breaker, limit)
    assert composed.name == "web"
    assert repr(composed) == "<Pipeline 'web': 'db', 'timeout'>"
    assert repr(pipeline(Retry(), composed)) == "<Repeating 'pipeline': 'retry', 'web'>"


def test_what_is_no_member_is_told_with_what_to_write() -> None:
    strangers: list[Any] = [
        Retry,
        RetryPolicy(),
        HedgePolicy(after=1.0),
        ResourcePool,
        KeyedRateLimiter("users", limit=1, window=1.0),
        "web",
    ]
    told = problems(lambda: pipeline(*strangers))
    assert [hint for _, hint in told] == [
        "write Retry(...)",
        "write Retry(policy)",
        "write Hedge(policy)",
        "write ResourcePool(...)",
        "say whose it is: limits.of(user)",
        "a guard has a name and is entered with 'async with'",
    ]
    assert (
        told[-1][0] == "members must be guards, or what repeats or replaces a body, not 'web'"
    )


async def test_a_pool_lends_something_that_would_be_lost() -> None:
    async def make() -> str:
        return "connection"

    pool: Any = open_pool(make, size=1)
    ((_, hint),) = problems(lambda: pipeline(pool))
    assert hint == "it lends something, which a pipeline cannot pass on: lend in the body"


def test_a_name_is_a_string() -> None:
    name: Any = 3
    with pytest.raises(TypeError, match="pipeline: name must be a string, not 3"):
        pipeline(name=name)


def test_all_mistakes_are_told_at_once_and_those_inside_pipelines_too() -> None:
    breaker, whole = circuit(), Timeout(3.0, name="whole")
    inner = pipeline(breaker)
    assert [sentence for sentence, _ in problems(lambda: pipeline(whole, inner, breaker))] == [
        "guard 'db' stands in the pipeline twice",
        HANG,
    ]
    with pytest.raises(PipelineDefinitionError) as caught:
        pipeline(whole, inner, name="web")
    assert str(caught.value) == (
        f"pipeline 'web': {HANG}: put a timeout inside the breaker: the limit of one call"
    )


def test_each_member_is_known_and_one_of_another_package_is_not_by_its_name() -> None:
    class Theirs(Logged):
        """Not ours, whatever it is called."""

    Theirs.__name__ = "Timeout"
    unknown = Member[int]()
    unknown.name = "mine"
    late, tempo = ChaosPolicy(rate=1.0, latency=1.0), RateLimiter("l", limit=9, window=1.0)
    members = [
        (AdaptiveLimit("m"), "adaptive limit"),
        (Bulkhead("b", limit=1), "bulkhead"),
        (Chaos("x", late), "chaos"),
        (ChaosOutcome("o", 3, late), "chaos"),
        (circuit(), "breaker"),
        (Fallback(3), "fallback"),
        (Hedge(after=1.0), "hedge"),
        (LoadShedder("s", load=lambda: 0.0, threshold=1.0), "load shedder"),
        (tempo, "limiter"),
        (tempo.weighing(2), "limiter"),
        (Retry(), "retry"),
        (Timeout(1.0), "timeout"),
        (Theirs("t", []), "guard"),
        (unknown, "member"),
    ]
    assert [seat.kind for seat in seats_of([member for member, _ in members])] == [
        kind for _, kind in members
    ]


def test_places_are_known_by_what_members_are_and_how_they_are_set() -> None:
    retry = functools.partial(Retry, RetryPolicy())
    assert problems(lambda: pipeline(retry(), retry()))[0][0].endswith("attempts multiply")
    assert problems(lambda: pipeline(Hedge(after=1.0), retry()))[0][1].startswith("put the")
    assert problems(lambda: pipeline(retry(), Fallback(1)))[0][0].endswith("see a failure")
    assert problems(lambda: pipeline(Timeout(1.0), Timeout(2.0)))[0][0].startswith("timeout")
    pipeline(retry(), Fallback(1, on=(OSError,)))
    paid = functools.partial(Retry, RetryPolicy(budget=RetryBudget("llm")))
    beside = Hedge(HedgePolicy(after=1.0, budget=RetryBudget("llm")))
    pipeline(beside, paid(), paid())
