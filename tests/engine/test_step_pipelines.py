"""A pipeline among a step's guards is as if its guards stood there: entered, timed, checked, and struck by faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    Bulkhead,
    Chaos,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Fallback,
    FlowFailedError,
    RateLimiter,
    Step,
    Timeout,
    each,
    pipeline,
)
from agentflow_trio.robustness import Guard
from agentflow_trio.testing import Faults, first, simulate

from .engine_kit import Acts, Notes
from .policies_kit import EXACT, Tape, exact, playing

X = ValueError("x")


def circuit(name: str = "search", threshold: int = 9) -> CircuitBreaker:
    return CircuitBreaker(name, CircuitPolicy(failure_threshold=threshold))


def verdicts(breaker: CircuitBreaker) -> tuple[int, int, int]:
    """Successes, failures, cancelled."""
    seen = breaker.statistics()
    assert seen.running == 0
    return seen.succeeded, seen.failed, seen.cancelled


def told(compose: Callable[[Guard, Guard, Guard], tuple[Guard, ...]]) -> list[object]:
    """The events of three runs of a step behind what *compose* makes of three guards, and how they ended."""
    seen: list[object] = []
    breaker = CircuitBreaker("b", CircuitPolicy(failure_threshold=2), on_event=seen.append)
    tempo = RateLimiter("l", limit=1, window=2.0, on_event=seen.append)
    limit = Timeout(1.0, name="t", on_event=seen.append)

    async def program() -> None:
        tape = Tape([X, 3.0, None, 0.5])
        work = playing(tape, guards=compose(breaker, tempo, limit), retry=exact(max_attempts=2))
        for _ in range(3):
            result = await work.with_(name="again").run(Notes())
            seen.append((trio.current_time(), result.state.log, tape.starts))

    with simulate(program) as sim, suppress(FlowFailedError):
        sim.run()
    return [*seen, breaker.statistics(), limit.statistics(), sim.time]


def test_its_guards_are_entered_as_if_they_stood_there() -> None:
    flat = told(lambda *three: three)
    assert len(flat) > 6
    assert told(lambda a, b, c: (pipeline(a, b, c),)) == flat
    assert told(lambda a, b, c: (pipeline(a), pipeline(b, c))) == flat
    assert told(lambda a, b, c: (a, pipeline(b), c)) == flat
    assert told(lambda a, b, c: (pipeline(pipeline(a, b), pipeline(), c),)) == flat


async def test_slow_calls_are_timed_from_when_exec_begins(autojump_clock: MockClock) -> None:
    slow = CircuitBreaker("s", CircuitPolicy(slow_rate=1.0, slow_after=1.0, min_calls=2))
    tempo = RateLimiter("l", limit=1, window=5.0)
    work = playing(Tape([0.5]), guards=(pipeline(slow), tempo))
    for _ in range(3):
        await work.run(Notes())
    assert trio.current_time() == 10.5
    assert slow.statistics().opened == 0


async def test_what_chaos_delays_is_slow(autojump_clock: MockClock) -> None:
    slow = CircuitBreaker("s", CircuitPolicy(slow_rate=0.5, slow_after=1.0, min_calls=1))
    drill = Chaos("drill", ChaosPolicy(rate=1.0, latency=0.75))
    work = playing(Tape([0.5]), guards=(slow, drill))
    await work.run(Notes())
    assert slow.statistics().opened == 0
    drill.enable()
    await work.run(Notes())
    assert slow.statistics().opened == 1


async def test_its_timeout_is_a_failure_for_the_breaker_inside(
    autojump_clock: MockClock,
) -> None:
    for compose in (lambda *guards: (pipeline(*guards),), lambda *guards: guards):
        breaker = circuit()
        whole, call = Timeout(3.0, name="whole"), Timeout(2.0, name="call")
        waits = RateLimiter("l", limit=1, window=2.5)
        work = playing(Tape([1.0, 9.0]), guards=compose(whole, breaker, waits, call))
        await work.run(Notes())
        for _ in range(2):
            with pytest.raises(FlowFailedError) as caught:
                await work.run(Notes())
            assert str(caught.value.only()) == "whole (3 s) ran out"
        assert verdicts(breaker) == (1, 2, 0)


async def test_the_items_of_a_step_may_have_one_too(autojump_clock: MockClock) -> None:
    breaker, places = circuit(), Bulkhead("b", limit=1)

    class Waits:
        async def prep(self, notes: Notes, /) -> Sequence[float]:
            return [1.0, 2.0, 3.0]

        async def exec(self, seconds: float, /) -> float:
            await trio.sleep(seconds)
            return seconds

        async def post(
            self, notes: Notes, items: Sequence[float], done: Sequence[float], /
        ) -> None:
            notes.log.append(str(done))

    node = each(Waits(), concurrent=3, guards=(pipeline(breaker, places),))
    await Step(node, name="waits").run(Notes())
    assert trio.current_time() == 6.0
    assert verdicts(breaker) == (3, 0, 0)


def test_faults_strike_by_the_names_of_its_guards() -> None:
    breaker, tempo = circuit(), RateLimiter("tempo", limit=9, window=1.0)
    composed = pipeline(breaker, tempo)

    async def called() -> None:
        await composed.call(trio.sleep, 1.0)

    async def entered() -> None:
        await playing(Tape([None]), guards=(composed,), retry=EXACT).run(Notes())

    for name in ("search", "tempo"):
        with simulate(entered, faults=Faults({name: first(1, OSError)})) as sim:
            sim.run()
        assert sim.time == 1.0
        broken = Faults({name: first(1, OSError)})
        with simulate(called, faults=broken) as sim, suppress(OSError):
            sim.run()
        assert sim.time == 0.0


async def test_prep_post_and_the_fallback_are_outside(autojump_clock: MockClock) -> None:
    breaker = circuit()
    step = Step(Acts(work=Tape([X])), guards=(pipeline(breaker),), fallback=Fallback(None))
    await step.run(Notes())
    assert verdicts(breaker) == (0, 1, 0)
