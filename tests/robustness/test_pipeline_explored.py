"""A pipeline holds nothing once it is left: in whatever order tasks go on, and wherever they are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
from pipeline_kit import DownError

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    CircuitPolicy,
    Fallback,
    Hedge,
    RateLimiter,
    RejectedError,
    Retry,
    RetryPolicy,
    Timeout,
    pipeline,
)
from agentflow_trio.robustness import has_own_limits
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, explore

BREAKER = CircuitBreaker("db", CircuitPolicy(failure_threshold=2, recovery_timeout=1.0))
TEMPO = RateLimiter("calls", limit=3, window=1.0)
PLACES, PATIENCE = Bulkhead("db", limit=2), Timeout(2.0)
GUARDED = pipeline(BREAKER, TEMPO, PLACES, PATIENCE)
AGAIN = Retry(RetryPolicy(max_attempts=2, base_delay=0.25), seed=1)
STRONG = pipeline(
    Fallback("none"), Timeout(9.0, name="whole"), AGAIN, Hedge(after=1.0), GUARDED
)


async def fail(*, only_if: bool = True) -> None:
    await trio.lowlevel.checkpoint()
    if only_if:
        raise DownError


async def crowd(work: Callable[[int], Awaitable[object]], many: int) -> None:
    async def one(number: int) -> None:
        await work(number)

    async with trio.open_nursery() as nursery:
        for number in range(many):
            nursery.start_soon(one, number, name=f"task {number}")


def test_a_shared_pipeline_lets_in_whom_its_guards_let_in_and_begins_anew_each_time() -> None:
    async def program() -> tuple[int, list[str]]:
        inside = most = 0
        ends: list[str] = []

        async def call(number: int) -> None:
            nonlocal inside, most
            try:
                async with GUARDED:
                    inside += 1
                    most = max(most, inside)
                    await trio.lowlevel.checkpoint()
                    inside -= 1
                    await fail(only_if=number < 2)
                    ends.append("done")
            except (DownError, RejectedError) as error:
                ends.append(type(error).__name__)

        with assert_no_leaks(BREAKER, TEMPO, PLACES, PATIENCE):
            await crowd(call, 5)
        assert BREAKER.statistics().failed == ends.count("DownError")
        return most, sorted(ends)

    def check(told: tuple[int, list[str]]) -> None:
        most, ends = told
        assert most <= 2
        assert len(ends) == 5
        assert ends.count("DownError") == 2

    explore(program, check=check, seeds=40).raise_on_failure()


def test_wherever_entering_or_the_body_is_cut_off_all_guards_are_left() -> None:
    async def program() -> str:
        with assert_no_leaks(BREAKER, TEMPO, PLACES, PATIENCE):
            with suppress(DownError):
                async with GUARDED:
                    await trio.lowlevel.checkpoint()
                    raise DownError
            async with GUARDED:
                await trio.sleep(0.5)
        return "done"

    def check(cut: Cut[str]) -> None:
        assert cut.cancelled or cut.result == "done"

    assert cancel_everywhere(program, check=check) > 6


def test_wherever_attempts_are_cut_off_nothing_stays_behind() -> None:
    async def program() -> object:
        calls = 0

        async def work() -> str:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise DownError
            await trio.sleep(1.5 if calls == 2 else 0.25)
            return f"call {calls}"

        with assert_no_leaks(BREAKER, TEMPO, PLACES, PATIENCE):
            try:
                return await STRONG.call(work)
            finally:
                assert not has_own_limits()
                assert BREAKER.statistics().running == 0

    def check(cut: Cut[object]) -> None:
        # an error that had come before the cancellation is replaced, without another attempt
        assert cut.cancelled or cut.result in {"call 2", "call 3", "none"}
        assert cut.reached or cut.result != "none"

    assert cancel_everywhere(program, check=check) > 8
