"""The circuit breaker in virtual time: who is let through when."""

from __future__ import annotations

import contextlib

import pytest
import trio
from breaker_kit import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    DownError,
    fail,
    hang_in,
    quick,
    refused,
    state_of,
    succeed,
)
from trio.testing import MockClock

from agentflow_trio.errors import (
    CircuitOpenError,
    RejectedError,
)
from agentflow_trio.robustness._breaker import CircuitBreaker
from agentflow_trio.robustness._circuit_policy import CircuitPolicy
from agentflow_trio.robustness._dice import Dice
from agentflow_trio.robustness._events import (
    CircuitChanged,
    GuardEvent,
)

# ---------------------------------------------------------------- the seed's figure


async def test_the_walk_through_the_seeds_figure(autojump_clock: MockClock) -> None:
    """CLOSED --failures--> OPEN --timeout--> HALF_OPEN --failure--> OPEN --timeout--> HALF_OPEN --success--> CLOSED."""
    breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=3, recovery_timeout=10.0))
    await succeed(breaker)
    await fail(breaker, 2)
    await succeed(breaker)
    assert state_of(breaker) is CLOSED
    await fail(breaker, 3)
    assert state_of(breaker) is OPEN
    await trio.sleep(10.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, breaker)
    assert state_of(breaker) is OPEN
    await trio.sleep(10.0)
    async with breaker:
        assert state_of(breaker) is HALF_OPEN
    assert state_of(breaker) is CLOSED


@pytest.mark.parametrize(("failure_threshold", "opens_at"), [(5, 5), (6, 6)])
async def test_both_readings_of_the_seeds_threshold(
    failure_threshold: int, opens_at: int
) -> None:
    """With the seed's threshold 5, its code opens at failure 5 (>=), its figure at failure 6 (>): `failure_threshold`
    is the failure that opens, so the figure's reading is 6."""
    breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=failure_threshold))
    await fail(breaker, opens_at - 1)
    assert state_of(breaker) is CLOSED
    await fail(breaker)
    assert state_of(breaker) is OPEN


# ---------------------------------------------------------------- times


async def test_the_probe_is_admitted_exactly_when_the_recovery_timeout_ends(
    autojump_clock: MockClock,
) -> None:
    breaker = quick(recovery_timeout=30.0)
    await trio.sleep(5.3)
    await fail(breaker)
    assert breaker.statistics().until == 5.3 + 30.0
    await trio.sleep(29.0)
    error = await refused(breaker)
    assert str(error) == "circuit 'db' is open; retry in 1 s"
    assert (error.guard, error.reason) == ("db", "open")
    assert error.retry_after is not None
    assert error.retry_after == (5.3 + 30.0) - (5.3 + 29.0)
    await trio.sleep(error.retry_after)
    await succeed(breaker)
    assert state_of(breaker) is CLOSED
    assert breaker.statistics().until is None


async def test_each_opening_in_a_row_lasts_longer_up_to_the_cap(
    autojump_clock: MockClock,
) -> None:
    breaker = quick(recovery_timeout=1.0, multiplier=2.0, max_recovery_timeout=5.0)
    waits = list[float | None]()
    for _ in range(5):
        await fail(breaker)
        waits.append((await refused(breaker)).retry_after)
        await trio.sleep_until(breaker.statistics().until or 0.0)
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert breaker.statistics().trips == 5
    await succeed(breaker)
    await fail(breaker)
    assert (await refused(breaker)).retry_after == 1.0


async def test_jitter_is_repeatable_by_seed_and_differs_by_name(
    autojump_clock: MockClock,
) -> None:
    async def wait_of(name: str, seed: int | str | None) -> float:
        breaker = CircuitBreaker(
            name, CircuitPolicy(failure_threshold=1, jitter=0.1), seed=seed
        )
        await fail(breaker)
        return (await refused(breaker)).retry_after or 0.0

    waits = [
        await wait_of(*each) for each in (("a", 7), ("a", 7), ("b", 7), ("a", 8), ("a", None))
    ]
    assert all(27.0 <= wait < 33.0 for wait in waits)
    assert waits[0] == waits[1]
    assert len({*waits}) == 4


async def test_without_a_seed_of_its_own_it_asks_for_the_dice_around_it(
    autojump_clock: MockClock,
) -> None:
    async def wait() -> float:
        breaker = quick(jitter=1.0)
        await fail(breaker)
        return (await refused(breaker)).retry_after or 0.0

    waits = list[float]()
    for seed in (1, 1, 2):
        with Dice(seed):
            waits.append(await wait())
    assert waits[0] == waits[1] != waits[2]


async def test_every_opening_draws_anew(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=1, jitter=1.0), seed=7)
    waits = list[float | None]()
    for _ in range(3):
        breaker.open()
        waits.append((await refused(breaker)).retry_after)
    assert len({*waits}) == 3


# ---------------------------------------------------------------- half-open


async def test_of_fifty_callers_one_is_the_probe(autojump_clock: MockClock) -> None:
    breaker = quick()
    await fail(breaker)
    await trio.sleep(30.0)
    seen = list[str]()

    async def caller() -> None:
        try:
            async with breaker:
                await trio.sleep(1.0)
                seen.append("probe")
        except CircuitOpenError as error:
            seen.append(f"{error.reason} {error.retry_after}")

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(caller)
    assert seen == ["half_open None"] * 49 + ["probe"]
    assert state_of(breaker) is CLOSED
    assert breaker.statistics().rejected == 49


async def test_no_more_probes_than_successes_still_needed(autojump_clock: MockClock) -> None:
    breaker = quick(half_open_max_calls=5, success_threshold=2)
    await fail(breaker)
    await trio.sleep(30.0)
    inside = list[int]()

    async def caller(number: int) -> None:
        with_this = inside.append
        try:
            async with breaker:
                with_this(number)
                await trio.sleep(1.0)
        except CircuitOpenError:
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(caller, number)
    assert len(inside) == 2
    assert state_of(breaker) is CLOSED


@pytest.mark.parametrize(
    "error", [RejectedError(guard="x", reason="full"), KeyError("not ours")]
)
async def test_an_ignored_probe_gives_its_place_back(
    error: Exception, autojump_clock: MockClock
) -> None:
    breaker = quick(ignore=KeyError)
    await fail(breaker)
    await trio.sleep(30.0)
    with pytest.raises(type(error)) as caught:
        async with breaker:
            raise error
    assert caught.value is error
    assert state_of(breaker) is HALF_OPEN
    await succeed(breaker)
    assert state_of(breaker) is CLOSED


async def test_a_cancelled_probe_gives_its_place_back_at_once(
    autojump_clock: MockClock,
) -> None:
    breaker = quick()
    await fail(breaker)
    await trio.sleep(30.0)
    with trio.move_on_after(2.0) as scope:
        async with breaker:
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert state_of(breaker) is HALF_OPEN
    await succeed(breaker)
    assert (state_of(breaker), trio.current_time()) == (CLOSED, 32.0)


async def test_a_hung_probe_cannot_wedge_it(autojump_clock: MockClock) -> None:
    told = list[GuardEvent]()
    breaker = quick(half_open_max_duration=10.0, on_event=told.append)
    await fail(breaker)
    await trio.sleep(30.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang_in, breaker)
        await trio.sleep(9.0)
        assert (await refused(breaker)).reason == "half_open"
        await trio.sleep(1.5)
        # as if a timer had opened it at 40.0
        assert (await refused(breaker)).retry_after == 29.5
        await trio.sleep(29.5)
        await succeed(breaker)
        assert state_of(breaker) is CLOSED
        nursery.cancel_scope.cancel()
    assert breaker.statistics().stale == 1
    assert [(e.cause, e.timestamp) for e in told if isinstance(e, CircuitChanged)] == [
        ("failure_threshold", 0.0),
        ("recovery_timeout", 30.0),
        ("probes_hung", 40.5),
        ("recovery_timeout", 70.0),
        ("probes_succeeded", 70.0),
    ]


# ---------------------------------------------------------------- results of another time


@pytest.mark.parametrize("late", ["success", "failure"])
async def test_a_late_result_of_a_past_state_changes_nothing(
    late: str, autojump_clock: MockClock
) -> None:
    breaker = quick()

    async def slow() -> None:
        async with breaker:
            await trio.sleep(5.0)
            if late == "failure":
                raise DownError

    async def slow_caller() -> None:
        with contextlib.suppress(DownError):
            await slow()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow_caller)
        await trio.sleep(1.0)
        await fail(breaker)
    before = breaker.statistics()
    assert (before.state, before.until, before.stale) == (OPEN, 31.0, 1)
    assert (before.succeeded, before.failed) == (0, 1)
