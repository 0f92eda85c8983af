"""What runs do is what their metrics say: exact values, in virtual time; the same by events and by lines in a ledger."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitPolicy,
    Count,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    RateLimiter,
    RetryPolicy,
    Step,
    Timeout,
    WindowPolicy,
    Wiring,
    batch,
    each,
    flow,
    open_pool,
    parallel,
)
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.testing import simulate

from .metrics_kit import Notes, choosing, raising, row, shown, taking

EXACT: Final = RetryPolicy(base_delay=1.0, jitter_kind="none")
"""Delays of 1, 2, 4 ... seconds, three attempts."""


class ByEvents:
    """A collector that is told everything by events: it shows no ledger."""

    name = "by events"

    def __init__(self) -> None:
        self.metrics = MetricsCollector()

    def observe(self, event: ExecutionEvent, /) -> None:
        self.metrics.observe(event)


class Hearing:
    """An observer that keeps every event."""

    name = "hearing"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent, /) -> None:
        self.events.append(event)


class Failing:
    """A node that fails so many times; each attempt takes a second."""

    def __init__(self, times: int) -> None:
        self._left = times

    async def prep(self, shared: Notes, /) -> None: ...

    async def exec(self, prepared: None, /) -> None:
        await trio.sleep(1.0)
        self._left -= 1
        if self._left >= 0:
            raise OSError("down")

    async def post(self, shared: Notes, prepared: None, result: None, /) -> None: ...


class Texts:
    """A node for items 0 to 4: each takes a second, the fourth fails."""

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return range(5)

    async def exec(self, number: int, /) -> int:
        await trio.sleep(1.0)
        if number == 3:
            raise ValueError("three")
        return number

    async def post(self, shared: Notes, prepared: object, result: object, /) -> None: ...


class Parts:
    """A node for batches of numbers 0 to 4; its first attempt at the last part fails."""

    def __init__(self) -> None:
        self.tries = 0

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return range(5)

    async def exec(self, numbers: Sequence[int], /) -> Sequence[int]:
        await trio.sleep(1.0)
        self.tries += 1
        if self.tries == 3:
            raise OSError("busy")
        return numbers

    async def post(self, shared: Notes, prepared: object, result: object, /) -> None: ...


async def measured(
    observed: Flow[Notes, []], *, times: int = 1, fails: bool = False
) -> MetricsCollector:
    """The metrics of some runs, one after the other, which are the same by events and by lines."""
    metrics, other = MetricsCollector(), ByEvents()
    async with Engine(observers=[metrics, other]) as engine:
        for _ in range(times):
            with pytest.raises(FlowFailedError) if fails else nullcontext():
                await engine.run(observed, Notes())
    assert shown(metrics) == shown(other.metrics)
    return metrics


async def test_a_run_counts_for_its_flow_and_each_of_its_steps(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    async with Engine(observers=[metrics]) as engine:
        await engine.run(row("editorial", taking(1.0, "write"), taking(2.0, "review")), Notes())
    assert shown(metrics) == {
        "flow_executions_total{editorial,success}": 1,
        "flow_duration_seconds_count{editorial}": 1,
        "flow_duration_seconds_sum{editorial}": 3.0,
        "flow_active{editorial}": 0,
        "flow_steps_total{editorial}": 2,
        "node_executions_total{editorial,review,success}": 1,
        "node_executions_total{editorial,write,success}": 1,
        "node_duration_seconds_count{editorial,review}": 1,
        "node_duration_seconds_sum{editorial,review}": 2.0,
        "node_duration_seconds_count{editorial,write}": 1,
        "node_duration_seconds_sum{editorial,write}": 1.0,
    }


async def test_the_names_of_the_design_are_answered(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    flow = row("editorial", taking(1.0, "write"), raising(OSError("no ink"), "print"))
    async with Engine(observers=[metrics]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(flow, Notes())
    assert metrics.get_metric("editorial.execution_count") == 1
    assert metrics.get_metric("editorial.success_count") == 0
    assert metrics.get_metric("editorial.error_count") == 1
    assert metrics.get_metric("editorial.duration_ms") == 2000.0
    assert metrics.get_metric("write.success_count") == 1
    assert metrics.get_metric("print.error_count") == 1
    assert metrics.get_metric("editorial.print.duration_ms") == 1000.0
    assert metrics.get_metric("proof.error_count") is None
    assert metrics.get_metric("nonsense") is None


async def test_a_run_is_active_until_it_ends(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    flow = row("f", taking(2.0, "a"))
    async with Engine(observers=[metrics]) as engine:
        async with engine.start(flow, Notes()), engine.start(flow, Notes()):
            await trio.sleep(1.0)
            assert metrics.get_metric("f.active") == 2
            assert metrics.get_metric("f.execution_count") is None
        assert metrics.get_metric("f.active") == 0
        assert metrics.get_metric("f.execution_count") == 2


async def test_retries_are_counted_for_the_step_that_makes_them(
    autojump_clock: MockClock,
) -> None:
    metrics = await measured(row("f", Step(Failing(2), name="ask", retry=EXACT)))
    assert metrics.get_metric("ask.attempt_failed_count") == 2
    assert metrics.get_metric("ask.retry_count") == 2
    assert metrics.get_metric("ask.gave_up_count") is None
    assert metrics.get_metric("ask.success_count") == 1
    assert metrics.get_metric("ask.execution_count") == 1
    assert metrics.get_metric("ask.duration_ms") == 6000.0


async def test_giving_up_is_counted_by_its_reason(autojump_clock: MockClock) -> None:
    failing = row("f", Step(Failing(9), name="ask", retry=EXACT))
    metrics = await measured(failing, times=2, fails=True)
    assert metrics.get_metric("ask.attempt_failed_count") == 6
    assert metrics.get_metric("ask.gave_up_count.attempts") == 2
    assert metrics.get_metric("f.error_count") == 2
    assert metrics.get_metric("f.ask.error_count") == 2


async def test_a_circuit_is_seen_to_open_reject_and_probe(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=2, recovery_timeout=10.0))
    ask = Step(Failing(2), name="ask", guards=(breaker,))
    metrics = MetricsCollector()
    async with Engine(observers=[metrics]) as engine:
        for _ in range(3):
            with pytest.raises(FlowFailedError):
                await engine.run(row("f", ask), Notes())
        assert metrics.get_metric("db.circuit_open") == 1
        assert metrics.get_metric("db.circuit_closed") == 0
        assert metrics.get_metric("db.rejected_count") == 1
        await trio.sleep(10.0)
        await engine.run(row("f", ask), Notes())
    assert metrics.get_metric("db.circuit_closed") == 1
    assert metrics.get_metric("db.circuit_change_count") == 3
    assert metrics.get_metric("db.circuit_change_count.half_open") == 1
    assert metrics.get_metric("f.ask.error_count") == 3


async def test_waits_for_a_limiter_are_counted_and_timed(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("api", WindowPolicy(limit=1, window=4.0, max_wait=60.0))
    ask = Step(Failing(0), name="ask", guards=(limiter,))
    metrics = MetricsCollector()
    async with Engine(observers=[metrics]) as engine, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(engine.run, row("f", ask), Notes())
        await trio.sleep(1.0)
        assert metrics.get_metric("api.waiting") == 2
        await trio.sleep(4.0)
        assert metrics.get_metric("api.waiting") == 1
    assert metrics.get_metric("api.waiting") == 0
    assert metrics.get_metric("api.wait_count.admitted") == 2
    assert metrics.get_metric("api.wait_ms") == 12_000.0
    assert metrics.get_metric("api.wait_ms.p50") == 5_000.0


async def test_a_pool_tells_through_its_own_events(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()

    async def make() -> object:
        await trio.lowlevel.checkpoint()
        return object()

    async def borrow() -> None:
        async with pool.lend():
            await trio.sleep(1.0)

    async with (
        open_pool(make, size=1, name="sessions", on_event=metrics.observe) as pool,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(borrow)
        nursery.start_soon(borrow)
    assert metrics.get_metric("sessions.opened_count") == 1
    assert metrics.get_metric("sessions.closed_count") == 1
    assert metrics.get_metric("sessions.wait_count.admitted") == 1
    assert metrics.get_metric("sessions.wait_ms") == 1000.0


async def test_timeouts_fallbacks_and_caught_errors_are_counted(
    autojump_clock: MockClock,
) -> None:
    limit = Timeout(0.5, name="patience")
    slow = Step(Failing(0), name="slow", guards=(limit,), fallback=Fallback(None))
    bad = raising(OSError("no ink"), "print")
    mend = taking(1.0, "mend")

    @flow(name="f")
    def printing() -> Wiring[Notes]:
        return [slow.then(bad), bad.then(END).catch(OSError, to=mend), mend.then(END)]

    metrics = await measured(printing)
    assert metrics.get_metric("patience.timeout_count") == 1
    assert metrics.get_metric("slow.fallback_count") == 1
    assert metrics.get_metric("slow.success_count") == 1
    assert metrics.get_metric("print.caught_count") == 1
    assert metrics.get_metric("print.error_count") == 1
    assert metrics.get_metric("mend.success_count") == 1
    assert metrics.get_metric("f.success_count") == 1


async def test_visits_are_counted_by_the_exit_they_took(autojump_clock: MockClock) -> None:
    review = choosing(4, "review")

    @flow(name="f")
    def reviewing() -> Wiring[Notes]:
        return [review.to(again=review, done=END)]

    metrics = await measured(reviewing)
    assert metrics.get_metric("review.routed_count.again") == 3
    assert metrics.get_metric("review.routed_count.done") == 1
    assert metrics.get_metric("review.execution_count") == 4
    assert metrics.get_metric("f.step_count") == 4
    assert metrics.get_metric("review.duration_ms") == 2000.0


async def test_items_are_counted_by_how_they_ended(autojump_clock: MockClock) -> None:
    texts = Step(each(Texts(), concurrent=2, tolerate=Count(1)), name="texts")
    metrics = await measured(row("f", texts), times=2)
    assert metrics.get_metric("texts.part_done_count") == 8
    assert metrics.get_metric("texts.part_tolerated_count") == 2
    assert metrics.get_metric("texts.part_failed_count") == 0
    assert metrics.get_metric("texts.part_duration_ms") == 10_000.0
    assert metrics.get_metric("texts.batch_size") == 8
    assert metrics.get_metric("texts.batch_size.count") == 8


async def test_parts_of_a_batch_have_sizes_also_when_it_is_begun_again(
    autojump_clock: MockClock,
) -> None:
    parts = Step(batch(Parts(), size=2), name="parts", retry=EXACT)
    metrics = await measured(row("f", parts), times=1)
    assert metrics.get_metric("parts.part_done_count") == 5
    assert metrics.get_metric("parts.part_failed_count") == 1
    assert metrics.get_metric("parts.batch_size") == 4 + 5
    assert metrics.get_metric("parts.batch_size.count") == 5


async def test_nested_flows_and_branches_have_places_of_their_own(
    autojump_clock: MockClock,
) -> None:
    inner = Step(row("inner", taking(1.0, "work")), name="inner")
    both = Step(parallel(inner, taking(2.0, "beside")), name="both")
    metrics = await measured(row("f", both, taking(1.0, "work")))
    assert metrics.get_metric("f.both.inner.work.success_count") == 1
    assert metrics.get_metric("f.both.inner.success_count") == 1
    assert metrics.get_metric("both.beside.duration_ms") == 2000.0
    assert metrics.get_metric("work.success_count") == 2
    assert metrics.get_metric("inner.execution_count") == 1


async def test_a_cancelled_run_is_neither_success_nor_failure(
    autojump_clock: MockClock,
) -> None:
    metrics, other = MetricsCollector(), ByEvents()
    async with Engine(observers=[metrics, other]) as engine:
        with trio.move_on_after(1.5):
            await engine.run(row("f", taking(1.0, "a"), taking(1.0, "b")), Notes())
    assert shown(metrics) == shown(other.metrics)
    assert metrics.get_metric("f.cancelled_count") == 1
    assert metrics.get_metric("b.cancelled_count") == 1
    assert metrics.get_metric("b.duration_ms") == 500.0
    assert metrics.get_metric("f.execution_count") == 1
    assert metrics.get_metric("f.active") == 0


async def test_one_collector_observes_many_engines(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    for _ in range(2):
        async with Engine(observers=[metrics]) as engine, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(engine.run, row("f", taking(1.0, "a")), Notes())
    assert metrics.get_metric("f.execution_count") == 6
    assert metrics.get_metric("f.a.duration_ms.count") == 6


def test_a_simulated_run_has_the_same_metrics_under_every_schedule() -> None:
    async def program() -> MetricsCollector:
        both = Step(parallel(taking(1.0, "a"), taking(1.0, "b")), name="both")
        texts = Step(each(Texts(), concurrent=2, tolerate=Count(1)), name="texts")
        ask = Step(Failing(2), name="ask", retry=EXACT)
        return await measured(row("f", both, texts, ask))

    def metrics(seed: int) -> object:
        with simulate(program, seed=seed) as sim:
            sim.run()
            return shown(sim.result)

    assert [metrics(seed) for seed in range(1, 5)] == [metrics(0)] * 4


MOVES: Final = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "error", "retried"])),
    min_size=1,
    max_size=6,
)


def made(name: str, how: str) -> Step[Notes, []]:
    if how == "ok":
        return taking(0.5, name)
    return Step(Failing(1), name=name, retry=EXACT if how == "retried" else None)


async def both_told(
    runs: Sequence[Sequence[tuple[str, str]]],
) -> tuple[MetricsCollector, Sequence[ExecutionEvent]]:
    """The metrics of some runs at once, and all their events."""
    metrics, heard = MetricsCollector(), Hearing()

    async def go(observed: Flow[Notes, []]) -> None:
        try:
            await engine.run(observed, Notes())
        except FlowFailedError:
            await trio.lowlevel.checkpoint()

    async with (
        Engine(observers=[metrics, heard]) as engine,
        trio.open_nursery() as nursery,
    ):
        for moves in runs:
            steps = [made(f"{name}{at}", how) for at, (name, how) in enumerate(moves)]
            nursery.start_soon(go, row("f", *steps))
    return metrics, heard.events


@given(st.lists(MOVES, min_size=1, max_size=3), st.integers(0, 1_000))
@settings(max_examples=25)
def test_totals_agree_with_the_events_whatever_their_order(
    runs: list[list[tuple[str, str]]], seed: int
) -> None:
    async def program() -> tuple[MetricsCollector, Sequence[ExecutionEvent]]:
        return await both_told(runs)

    with simulate(program, seed=seed) as sim:
        sim.run()
        metrics, heard = sim.result
    again = MetricsCollector()
    for event in sorted(heard, key=lambda event: (-event.seq, event.run_id)):
        again.observe(event)
    assert shown(metrics) == shown(again)
    for kind, suffix in (("node_success", "success"), ("node_error", "error")):
        places = sorted(event.path for event in heard if event.event_type == kind)
        for path, found in itertools.groupby(places):
            name = f"{path.replace('/', '.')}.{suffix}_count"
            assert metrics.get_metric(name) == len(list(found))
