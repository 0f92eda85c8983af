"""Every guard keeps its promise in whatever order tasks go on, wherever they are cancelled, and begins anew in each execution."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    DeadlineExceededError,
    RateLimiter,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
    open_pool,
)
from agentflow_trio.testing import Cut, LeakError, assert_no_leaks, cancel_everywhere, explore

SEEDS = 60


async def crowd(*works: Callable[[], Awaitable[object]]) -> None:
    """Do all at once."""

    async def one(work: Callable[[], Awaitable[object]]) -> None:
        await work()

    async with trio.open_nursery() as nursery:
        for number, work in enumerate(works):
            nursery.start_soon(one, work, name=f"task {number}")


# ---------------------------------------------------------------- circuit breaker

BREAKER = CircuitBreaker(
    "shared", CircuitPolicy(failure_threshold=2, recovery_timeout=10.0, half_open_max_calls=1)
)


async def fails() -> None:
    await trio.lowlevel.checkpoint()
    raise ValueError


async def fail_in(breaker: CircuitBreaker, seen: list[str]) -> None:
    try:
        async with breaker:
            await fails()
    except CircuitOpenError:
        seen.append("refused")
    except ValueError:
        seen.append("failed")


def test_a_shared_breaker_begins_closed_in_each_execution() -> None:
    async def program() -> list[str]:
        seen: list[str] = []
        for _ in range(4):
            await fail_in(BREAKER, seen)
        return seen

    def check(seen: list[str]) -> None:
        assert seen == ["failed", "failed", "refused", "refused"]

    explore(program, check=check, seeds=20).raise_on_failure()


def test_half_open_lets_one_probe_in() -> None:
    async def program() -> tuple[int, int]:
        breaker, seen = CircuitBreaker("b", BREAKER.policy), list[str]()
        await fail_in(breaker, seen)
        await fail_in(breaker, seen)
        await trio.sleep(10.0)
        inside = most = 0

        async def probe() -> None:
            nonlocal inside, most
            with suppress(CircuitOpenError):
                async with breaker:
                    inside += 1
                    most = max(most, inside)
                    await trio.lowlevel.checkpoint()
                    inside -= 1

        with assert_no_leaks(breaker):
            await crowd(*[probe] * 5)
        return most, breaker.statistics().running

    def check(counts: tuple[int, int]) -> None:
        assert counts[0] >= 1
        assert counts[1] == 0

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_a_probe_cancelled_anywhere_gives_its_place_back() -> None:
    async def program() -> str:
        breaker, seen = CircuitBreaker("b", BREAKER.policy), list[str]()
        with trio.CancelScope(shield=True):
            await fail_in(breaker, seen)
            await fail_in(breaker, seen)
            await trio.sleep(10.0)
        with assert_no_leaks(breaker):
            async with breaker:
                await trio.sleep(1.0)
        return breaker.statistics().state.value

    def check(cut: Cut[str]) -> None:
        assert cut.cancelled or cut.result == "closed"

    assert cancel_everywhere(program, check=check) > 4


# ---------------------------------------------------------------- rate limiter


def admitted_in_any_window(times: list[float], window: float) -> int:
    return max(sum(begin <= time < begin + window for time in times) for begin in times)


def test_no_window_admits_more_than_its_limit_and_nobody_waits_for_nothing() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter("l", limit=3, window=1.0)
        times: list[float] = []

        async def call() -> None:
            async with limiter:
                times.append(trio.current_time())

        with assert_no_leaks(limiter):
            await crowd(*[call] * 8)
        return times

    def check(times: list[float]) -> None:
        assert admitted_in_any_window(times, 1.0) <= 3
        assert times == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0]

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_a_waiter_cancelled_anywhere_delays_nobody() -> None:
    ends: list[float] = []

    async def program() -> None:
        limiter = RateLimiter("l", limit=1, window=1.0)
        ends.clear()

        async def call() -> None:
            async with limiter:
                pass

        async def last() -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
                async with limiter:
                    ends.append(trio.current_time())

        with assert_no_leaks(limiter):
            await crowd(call, call, last)

    def check(cut: Cut[None]) -> None:
        assert ends == [] or ends[0] <= 2.0
        assert not cut.reached or cut.time <= 2.0

    assert cancel_everywhere(program, check=check, seeds=3) > 6


# ---------------------------------------------------------------- bulkhead


def test_a_bulkhead_is_never_too_full_and_serves_in_order() -> None:
    async def program() -> tuple[int, list[float]]:
        bulkhead = Bulkhead("b", limit=2)
        inside = most = 0
        asked: list[int] = []
        served: dict[int, float] = {}

        async def call(number: int) -> None:
            nonlocal inside, most
            asked.append(number)
            async with bulkhead:
                served[number] = trio.current_time()
                inside += 1
                most = max(most, inside)
                await trio.sleep(1.0)
                inside -= 1

        with assert_no_leaks(bulkhead):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(call, number)
        return most, [served[number] for number in asked]

    def check(seen: tuple[int, list[float]]) -> None:
        assert seen == (2, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0])

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_place_in_a_bulkhead_is_given_back_wherever_its_user_is_cancelled(seeds: int) -> None:
    async def program() -> None:
        bulkhead = Bulkhead("b", limit=1)

        async def call() -> None:
            async with bulkhead:
                await trio.sleep(1.0)

        with assert_no_leaks(bulkhead):
            await crowd(*[call] * 3)

    assert cancel_everywhere(program, seeds=seeds) > 5


# ---------------------------------------------------------------- pool


def test_an_object_of_a_pool_has_one_holder_and_none_is_lost() -> None:
    async def program() -> tuple[int, int]:
        made = 0
        holders: dict[int, int] = {}
        worst = 0

        async def make() -> int:
            nonlocal made
            await trio.lowlevel.checkpoint()
            made += 1
            return made

        with assert_no_leaks():
            async with open_pool(make, size=2) as pool:

                async def use() -> None:
                    nonlocal worst
                    async with pool.lend() as one:
                        holders[one] = holders.get(one, 0) + 1
                        worst = max(worst, holders[one])
                        await trio.lowlevel.checkpoint()
                        holders[one] -= 1

                await crowd(*[use] * 5)
        return made, worst

    def check(seen: tuple[int, int]) -> None:
        assert seen[0] <= 2
        assert seen[1] == 1

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_every_object_is_closed_wherever_the_owner_is_cancelled() -> None:
    alive: list[int] = []

    async def program() -> None:
        alive.clear()

        async def make() -> int:
            await trio.lowlevel.checkpoint()
            alive.append(len(alive))
            return alive[-1]

        async def close(one: int) -> None:
            await trio.lowlevel.checkpoint()
            alive.remove(one)

        with assert_no_leaks():
            async with open_pool(make, size=2, close=close) as pool:

                async def use() -> None:
                    async with pool.lend():
                        await trio.sleep(1.0)

                await crowd(*[use] * 3)

    def check(_: Cut[None]) -> None:
        assert alive == []

    assert cancel_everywhere(program, check=check) > 6


# ---------------------------------------------------------------- retry and timeout


def test_a_budget_is_shared_in_an_execution_and_begins_anew_in_the_next() -> None:
    budget = RetryBudget("shared", reserve=2, ratio=0.0)
    retry = Retry(RetryPolicy(max_attempts=5, base_delay=1.0, budget=budget))

    async def program() -> int:
        calls = 0

        async def fetch() -> None:
            nonlocal calls
            calls += 1
            await trio.lowlevel.checkpoint()
            raise OSError

        async def one() -> None:
            with suppress(OSError):
                await retry.call(fetch)

        with assert_no_leaks(retry):
            await crowd(*[one] * 3)
        return calls

    def check(calls: int) -> None:
        assert calls == 5  # three first attempts, two retries

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_a_timeout_and_a_result_at_the_same_instant_give_one_of_the_two() -> None:
    async def program() -> tuple[str, int]:
        timeout, ended = Timeout(1.0), "result"
        try:
            async with timeout:
                await trio.sleep(1.0)
        except DeadlineExceededError:
            ended = "cut off"
        counts = timeout.statistics()
        assert counts.inside == 0
        return ended, counts.timed_out

    def check(seen: tuple[str, int]) -> None:
        assert seen in {("result", 0), ("cut off", 1)}

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_a_retry_cancelled_anywhere_is_over() -> None:
    async def program() -> None:
        retry = Retry(RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0))

        async def fetch() -> None:
            await trio.lowlevel.checkpoint()
            raise OSError

        with assert_no_leaks(retry), suppress(OSError):
            await retry.call(fetch)

    def check(cut: Cut[None]) -> None:
        assert cut.cancelled or cut.time == 3.0

    assert cancel_everywhere(program, check=check) > 3


# ---------------------------------------------------------------- leaks


@pytest.mark.parametrize(
    ("guard", "told"),
    [
        (Bulkhead("b", limit=2), "Bulkhead: inside was 0, is 1"),
        (CircuitBreaker("c"), "CircuitBreaker: running was 0, is 1"),
        (Timeout(1.0), "Timeout: inside was 0, is 1"),
    ],
)
async def test_a_guard_that_is_not_left_is_told(
    guard: Bulkhead | CircuitBreaker | Timeout, told: str
) -> None:
    with pytest.raises(LeakError) as caught, assert_no_leaks(guard):
        await guard.__aenter__()
    assert caught.value.leaks == (told,)
    await guard.__aexit__(None, None, None)
    with assert_no_leaks(guard):
        async with guard:
            await trio.lowlevel.checkpoint()


async def test_an_object_that_is_not_given_back_is_told() -> None:
    async def make() -> object:
        await trio.lowlevel.checkpoint()
        return object()

    async with open_pool(make, size=1) as pool:
        loan = pool.lend()
        with pytest.raises(LeakError) as caught, assert_no_leaks(pool):
            await loan.__aenter__()
        assert caught.value.leaks == ("ResourcePool: lent was 0, is 1",)
        await loan.__aexit__(None, None, None)
