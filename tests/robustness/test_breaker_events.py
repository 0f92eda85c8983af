"""A circuit breaker by hand, and what it tells."""

from __future__ import annotations

import logging
import signal
from typing import Any

import pytest
import trio
from breaker_kit import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    fail,
    hang_in,
    quick,
    refused,
    state_of,
    succeed,
)
from trio.testing import MockClock

from agentflow_trio.robustness._breaker_states_core import BreakerState
from agentflow_trio.robustness._events import (
    CallRejected,
    CircuitChanged,
    GuardEvent,
)

# ---------------------------------------------------------------- by hand


async def test_acts_by_hand(autojump_clock: MockClock) -> None:
    breaker = quick(recovery_timeout=10.0)
    breaker.isolate()
    await trio.sleep(1000.0)
    error = await refused(breaker)
    assert (error.reason, error.retry_after) == ("isolated", None)
    assert str(error) == "circuit 'db' is isolated until it is closed by hand"
    breaker.close()
    await succeed(breaker)
    breaker.disable()
    await fail(breaker, 5)
    assert breaker.statistics().failed == 0
    breaker.open()
    assert (await refused(breaker)).retry_after == 10.0
    await trio.sleep(10.0)
    await succeed(breaker)
    assert (breaker.statistics().succeeded, breaker.statistics().opened) == (2, 1)
    breaker.reset()
    seen = breaker.statistics()
    assert (seen.state, seen.succeeded, seen.rejected, seen.opened) == (CLOSED, 0, 0, 0)
    assert seen.generation == 7


async def test_half_open_and_full_says_so(autojump_clock: MockClock) -> None:
    breaker = quick()
    breaker.open()
    await trio.sleep(30.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang_in, breaker)
        await trio.testing.wait_all_tasks_blocked()
        error = await refused(breaker)
        assert str(error) == "circuit 'db' is half-open and its probes are out"
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- events


async def test_every_change_and_every_rejection_is_told_in_order(
    autojump_clock: MockClock,
) -> None:
    told = list[GuardEvent]()
    breaker = quick(recovery_timeout=2.0, on_event=told.append)
    await fail(breaker)
    await trio.sleep(1.5)
    await refused(breaker)
    await trio.sleep(0.5)
    await succeed(breaker)
    breaker.isolate()
    await refused(breaker)
    db: dict[str, Any] = {"guard": "db"}
    assert told == [
        CircuitChanged(
            **db,
            timestamp=0.0,
            before="closed",
            state="open",
            generation=1,
            cause="failure_threshold",
            retry_after=2.0,
        ),
        CallRejected(**db, timestamp=1.5, reason="open", retry_after=0.5),
        CircuitChanged(
            **db,
            timestamp=2.0,
            before="open",
            state="half_open",
            generation=2,
            cause="recovery_timeout",
            retry_after=None,
        ),
        CircuitChanged(
            **db,
            timestamp=2.0,
            before="half_open",
            state="closed",
            generation=3,
            cause="probes_succeeded",
            retry_after=None,
        ),
        CircuitChanged(
            **db,
            timestamp=2.0,
            before="closed",
            state="isolated",
            generation=4,
            cause="isolated_by_hand",
            retry_after=None,
        ),
        CallRejected(**db, timestamp=2.0, reason="isolated", retry_after=None),
    ]


async def test_a_listener_that_raises_alters_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: GuardEvent) -> None:
        raise ValueError("broken")

    breaker = quick(on_event=broken)
    with caplog.at_level(logging.ERROR):
        await fail(breaker)
        await refused(breaker)
    assert [record.name for record in caplog.records] == ["agentflow_trio.robustness"]
    assert state_of(breaker) is OPEN


async def test_a_listener_may_act_and_the_order_stays(autojump_clock: MockClock) -> None:
    told = list[str]()

    def act(event: GuardEvent) -> None:
        assert isinstance(event, CircuitChanged)
        told.append(event.cause)
        if event.cause == "probes_hung":
            breaker.isolate()

    breaker = quick(half_open_max_duration=1.0, recovery_timeout=1.0, on_event=act)
    await fail(breaker)
    await trio.sleep(1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang_in, breaker)
        await trio.sleep(5.0)
        # hung at 2.0, open until 3.0: two changes are told when the next call is admitted at 6.0
        await succeed(breaker)
        nursery.cancel_scope.cancel()
    assert told[2:] == ["probes_hung", "recovery_timeout", "isolated_by_hand"]
    assert breaker.statistics().stale == 2


@pytest.mark.usefixtures("heeds_control_c")
def test_control_c_in_a_listener_leaks_nothing() -> None:
    def interrupt(event: GuardEvent) -> None:
        signal.raise_signal(signal.SIGINT)

    breaker = quick(on_event=interrupt)
    seen = list[tuple[BreakerState, int]]()

    async def probe() -> None:
        await fail(breaker)
        try:
            await trio.sleep(30.0)  # Trio waits with it for the next checkpoint
        except KeyboardInterrupt:
            await trio.sleep(30.0)
        try:
            await hang_in(breaker)
        finally:
            seen.append((state_of(breaker), breaker.statistics().running))

    with pytest.raises(KeyboardInterrupt):
        trio.run(probe, clock=MockClock(autojump_threshold=0.0))
    assert seen == [(HALF_OPEN, 0)]
