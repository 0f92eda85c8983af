"""Timeout in virtual time: who is cut off and when, what is raised, and what is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio.errors import DeadlineExceededError, GuardInUseError, GuardMisuseError
from agentflow_trio.robustness import (
    AdaptiveTimeout,
    CallTimedOut,
    GuardEvent,
    Timeout,
    TimeoutStatistics,
)
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere


async def takes(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


async def fails_while_it_unwinds(error: Exception) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


def counts(timeout: Timeout) -> tuple[int, int, int, int, int]:
    seen = timeout.statistics()
    return seen.inside, seen.completed, seen.timed_out, seen.failed, seen.cancelled


# ---------------------------------------------------------------- whose cancellation


async def test_a_body_out_of_time_is_cut_off_with_the_timeouts_name(
    autojump_clock: MockClock,
) -> None:
    events: list[GuardEvent] = []
    timeout = Timeout(3.0, name="search", on_event=events.append)
    with pytest.raises(DeadlineExceededError) as caught:
        await timeout.call(takes, 9.0)
    assert (caught.value.limit, caught.value.seconds) == ("search", 3.0)
    assert str(caught.value) == "search (3 s) ran out"
    assert trio.current_time() == 3.0
    assert events == [CallTimedOut(guard="search", timestamp=3.0, seconds=3.0)]
    assert counts(timeout) == (0, 0, 1, 0, 0)


async def test_the_error_says_where_the_body_stood(autojump_clock: MockClock) -> None:
    with pytest.raises(DeadlineExceededError) as caught:
        await Timeout(3.0).call(takes, 9.0)
    cut_off = caught.value.__context__
    assert isinstance(cut_off, trio.Cancelled)
    names: list[str] = []
    trace = cut_off.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "takes" in names


async def test_a_body_in_time_keeps_its_result(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0)
    assert await timeout.call(takes, 2.0) == 2.0
    async with timeout:
        await trio.sleep(1.0)
    assert trio.current_time() == 3.0
    assert counts(timeout) == (0, 2, 0, 0, 0)


@pytest.mark.parametrize("late", [0.0, 5.0])
async def test_a_body_that_came_to_its_end_keeps_its_result_however_late(
    mock_clock: MockClock, late: float
) -> None:
    """Trio delivers cancellation at checkpoints only, and this body comes to none."""

    async def body() -> str:
        mock_clock.jump(3.0 + late)
        return "done"

    timeout = Timeout(3.0)
    assert await timeout.call(body) == "done"
    assert counts(timeout) == (0, 1, 0, 0, 0)


async def test_a_cancellation_from_outside_is_no_timeout(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0)
    with trio.move_on_after(2.0) as scope:
        await timeout.call(takes, 9.0)
    assert scope.cancelled_caught
    assert trio.current_time() == 2.0
    assert counts(timeout) == (0, 0, 0, 0, 1)


async def test_of_two_limits_that_end_together_the_outer_one_catches(
    autojump_clock: MockClock,
) -> None:
    outer, inner = Timeout(3.0, name="outer"), Timeout(3.0, name="inner")
    with pytest.raises(DeadlineExceededError) as caught:
        async with outer, inner:
            await trio.sleep_forever()
    assert caught.value.limit == "outer"
    assert (counts(outer), counts(inner)) == ((0, 0, 1, 0, 0), (0, 0, 0, 0, 1))


async def test_of_two_limits_the_shorter_one_catches(autojump_clock: MockClock) -> None:
    for outer, inner, limit in ((2.0, 3.0, "outer"), (3.0, 2.0, "inner")):
        with pytest.raises(DeadlineExceededError) as caught:
            async with Timeout(outer, name="outer"), Timeout(inner, name="inner"):
                await trio.sleep_forever()
        assert (caught.value.limit, caught.value.seconds) == (limit, 2.0)


async def test_a_cancelled_scope_of_the_body_is_no_timeout(autojump_clock: MockClock) -> None:
    """With `trio.fail_after` the body can reach the scope: cancelling that looks like a timeout."""
    timeout = Timeout(3.0)
    async with timeout:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep(9.0)
    assert counts(timeout) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()], ids=repr)
async def test_the_bodys_error_is_raised_itself(error: BaseException) -> None:
    async def body() -> None:
        raise error

    timeout = Timeout(3.0)
    with pytest.raises(type(error)) as caught:
        await timeout.call(body)
    assert caught.value is error
    assert counts(timeout) == (0, 0, 0, 1, 0)


async def test_what_fails_while_a_cut_off_body_unwinds_is_raised(
    autojump_clock: MockClock,
) -> None:
    """The clean-up error wins: the time ran out is what it was doing, in its context."""
    timeout, error = Timeout(3.0), ValueError("cleanup")
    with pytest.raises(ValueError) as caught:
        await timeout.call(fails_while_it_unwinds, error)
    assert caught.value is error
    assert isinstance(error.__context__, trio.Cancelled)
    assert counts(timeout) == (0, 0, 0, 1, 0)


async def test_a_group_keeps_the_failures_and_loses_the_cancellation(
    autojump_clock: MockClock,
) -> None:
    timeout, error = Timeout(3.0), ValueError("cleanup")

    async def body() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_while_it_unwinds, error)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await timeout.call(body)
    assert caught.value.exceptions == (error,)
    assert counts(timeout) == (0, 0, 1, 0, 0)


async def test_nothing_is_left_of_the_limit(autojump_clock: MockClock) -> None:
    with trio.fail_after(9.0):
        async with Timeout(3.0):
            assert trio.current_effective_deadline() == 3.0
        assert trio.current_effective_deadline() == 9.0
        with pytest.raises(DeadlineExceededError):
            await Timeout(3.0).call(takes, 5.0)
        assert trio.current_effective_deadline() == 9.0
    assert trio.current_effective_deadline() == math.inf


async def test_a_limit_starts_when_it_is_entered(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0)
    await trio.sleep(10.0)
    async with timeout:
        assert trio.current_effective_deadline() == 13.0


# ---------------------------------------------------------------- sharing


async def test_each_body_has_its_own_time(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0)
    ended: dict[str, float] = {}

    async def use(name: str, after: float, seconds: float) -> None:
        await trio.sleep(after)
        try:
            await timeout.call(takes, seconds)
        except DeadlineExceededError:
            name += " cut off"
        ended[name] = trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, "a", 0.0, 9.0)
        nursery.start_soon(use, "b", 1.0, 2.0)
        nursery.start_soon(use, "c", 2.0, 9.0)
        await trio.sleep(2.5)
        assert counts(timeout) == (3, 0, 0, 0, 0)
    assert ended == {"a cut off": 3.0, "b": 3.0, "c cut off": 5.0}
    assert counts(timeout) == (0, 1, 2, 0, 0)


async def test_a_timeout_may_be_entered_inside_itself(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0)
    async with timeout:
        await trio.sleep(2.0)
        with pytest.raises(DeadlineExceededError):
            async with Timeout(0.5), timeout:
                await trio.sleep(1.0)
    assert counts(timeout) == (0, 1, 0, 0, 1)


async def test_leaving_without_entering_is_an_error() -> None:
    with pytest.raises(GuardMisuseError):
        await Timeout(3.0).__aexit__(None, None, None)


def run(main: Callable[[], Any]) -> Any:
    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_timeout_starts_blank_in_a_new_run() -> None:
    timeout = Timeout(AdaptiveTimeout(maximum=8.0, min_samples=1), on_event=lambda _: 1 // 0)

    async def main() -> tuple[float, float]:
        before = timeout.seconds
        await timeout.call(takes, 2.0)
        return before, timeout.seconds

    assert run(main) == (8.0, 3.0)
    assert timeout.seconds == 3.0

    async def again() -> float:
        async with timeout:
            return timeout.seconds

    assert run(again) == 8.0
    assert counts(timeout) == (0, 1, 0, 0, 0)


async def test_a_timeout_cannot_be_used_under_two_runs_at_once() -> None:
    timeout = Timeout(3.0)
    await timeout.call(takes, 0.0)

    async def enter() -> None:
        async with timeout:
            pytest.fail("entered")

    def other() -> None:
        with pytest.raises(GuardInUseError):
            run(enter)

    await trio.to_thread.run_sync(other)


async def test_entering_does_not_yield_and_can_be_cancelled() -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("other task")

    timeout = Timeout(3.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        async with timeout:
            ran.append("body")
    with trio.CancelScope() as scope:
        scope.cancel()
        async with timeout:
            pytest.fail("entered")
    assert ran == ["body", "other task"]
    assert counts(timeout) == (0, 1, 0, 0, 0)


def test_every_await_can_be_cancelled() -> None:
    seen: list[tuple[int, int, int, int, int]] = []

    async def program() -> None:
        timeout = Timeout(3.0)
        try:
            with assert_no_leaks(timeout):
                await timeout.call(takes, 1.0)
                with pytest.raises(DeadlineExceededError):
                    await timeout.call(takes, 9.0)
        finally:
            seen.append(counts(timeout))

    def check(cut: Cut[None]) -> None:
        inside, completed, timed_out, failed, cancelled = seen[-1]
        assert (inside, failed) == (0, 0)
        assert cut.cancelled or cut.time == 4.0
        if not cut.reached:
            assert (completed, timed_out, cancelled) == (1, 1, 0)

    assert cancel_everywhere(program, check=check) >= 2


# ---------------------------------------------------------------- tables, learning


async def test_an_operation_may_have_a_limit_of_its_own(autojump_clock: MockClock) -> None:
    timeout = Timeout(3.0, name="tools", operations={"search": 5.0})
    with pytest.raises(DeadlineExceededError) as caught:
        await timeout.of("search").call(takes, 9.0)
    assert (caught.value.limit, trio.current_time()) == ("tools[search]", 5.0)
    assert timeout.of("other") is timeout
    assert timeout.of("search") is timeout.of("search")
    assert counts(timeout) == (0, 0, 0, 0, 0)
    assert counts(timeout.of("search")) == (0, 0, 1, 0, 0)


async def test_only_calls_that_complete_or_are_cut_off_teach(autojump_clock: MockClock) -> None:
    timeout = Timeout(AdaptiveTimeout(maximum=10.0, min_samples=2, history=3, factor=2.0))

    async def fail() -> None:
        raise ValueError

    await timeout.call(takes, 1.0)
    with pytest.raises(ValueError):
        await timeout.call(fail)
    with trio.move_on_after(0.5):
        await timeout.call(takes, 9.0)
    assert timeout.statistics() == TimeoutStatistics(
        name="timeout",
        seconds=10.0,
        samples=1,
        inside=0,
        completed=1,
        timed_out=0,
        failed=1,
        cancelled=1,
    )
    await timeout.call(takes, 1.5)
    assert (timeout.seconds, timeout.statistics().samples) == (3.0, 2)
    with pytest.raises(DeadlineExceededError) as caught:
        await timeout.call(takes, 9.0)
    assert caught.value.seconds == 3.0
    assert (timeout.seconds, timeout.statistics().samples) == (6.0, 3)


async def test_a_body_keeps_the_limit_it_was_entered_with(autojump_clock: MockClock) -> None:
    timeout = Timeout(AdaptiveTimeout(maximum=4.0, min_samples=1, factor=1.0))

    async def slow() -> None:
        with pytest.raises(DeadlineExceededError) as caught:
            await timeout.call(takes, 9.0)
        assert (caught.value.seconds, trio.current_time()) == (4.0, 4.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow)
        await timeout.call(takes, 0.5)
        assert timeout.seconds == 0.5


def test_a_limit_that_makes_no_sense_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="Timeout: seconds must be"):
        Timeout(0.0)
    with pytest.raises(ValueError, match="Timeout: seconds must be"):
        Timeout(1.0, operations={"search": -1.0})
