"""Entering and leaving a circuit breaker: inside its own body, cancelled anywhere, in another run of Trio."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Never

import pytest
import trio
from breaker_kit import (
    CLOSED,
    OPEN,
    DownError,
    fail,
    quick,
    refused,
    state_of,
    succeed,
)
from trio.testing import MockClock

from agentflow_trio.errors import (
    GuardInUseError,
    GuardMisuseError,
)
from agentflow_trio.robustness._breaker import CircuitBreaker, CircuitPermit
from agentflow_trio.robustness._events import (
    GuardEvent,
)
from agentflow_trio.robustness._guard import Guard, Member
from agentflow_trio.robustness._private import Look, find_look, look_publicly
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere

# ---------------------------------------------------------------- inside its own body


async def test_entered_inside_its_own_body_it_passes_on_the_outer_permit() -> None:
    breaker = quick(failure_threshold=2)

    async def enter_again(outer: CircuitPermit) -> None:
        async with breaker as inner:
            assert inner is outer
            async with breaker as innermost:
                assert innermost is outer
            raise DownError

    async with breaker as outer:
        for _ in range(3):
            with pytest.raises(DownError):
                await enter_again(outer)
        assert breaker.statistics().running == 1
    seen = breaker.statistics()
    assert (seen.state, seen.succeeded, seen.failed, seen.running) == (CLOSED, 1, 0, 0)


async def test_the_outer_permit_holds_even_when_the_circuit_opens_meanwhile() -> None:
    breaker = quick()
    async with breaker as outer:
        breaker.open()
        async with breaker as inner:
            assert inner is outer
    assert (state_of(breaker), breaker.statistics().stale) == (OPEN, 1)


async def test_child_tasks_are_inside_if_their_nursery_was_opened_there() -> None:
    breaker = quick()
    got = dict[str, CircuitPermit]()

    async def child(name: str) -> None:
        async with breaker as permit:
            got[name] = permit
            if name == "child":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(child, "grandchild")

    async with trio.open_nursery() as before, breaker as outer, trio.open_nursery() as inside:
        inside.start_soon(child, "child")
        before.start_soon(child, "stranger")
    assert got["child"] is got["grandchild"] is outer
    assert got["stranger"] is not outer
    assert breaker.statistics().succeeded == 2


async def test_a_failing_child_is_judged_once_with_the_whole_body() -> None:
    breaker = quick(failure_threshold=3)

    async def two_children() -> None:
        async with breaker, trio.open_nursery() as nursery:
            nursery.start_soon(fail_inside, breaker)
            nursery.start_soon(fail_inside, breaker)

    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            await two_children()
    assert breaker.statistics().failed == 2


async def fail_inside(breaker: CircuitBreaker) -> None:
    async with breaker:
        raise DownError


async def test_a_task_that_moves_out_of_the_body_takes_nothing_with_it() -> None:
    breaker = quick()
    moved = trio.Event()

    async def service(task_status: trio.TaskStatus[None]) -> None:
        async with breaker:
            task_status.started()
            await moved.wait()
            async with breaker:
                await trio.lowlevel.checkpoint()
        await fail(breaker)

    async with trio.open_nursery() as nursery:
        async with breaker:
            await nursery.start(service)
        assert breaker.statistics().succeeded == 1
        moved.set()
    seen = breaker.statistics()
    assert (seen.state, seen.succeeded, seen.failed, seen.running) == (OPEN, 1, 1, 0)


async def test_a_thousand_tasks_at_once_never_take_each_others_permits(
    autojump_clock: MockClock,
) -> None:
    breaker = quick(failure_threshold=501)
    permits = list[CircuitPermit]()

    async def body(number: int) -> None:
        await trio.sleep(number % 7)
        if number % 2:
            raise DownError

    async def caller(number: int) -> None:
        with contextlib.suppress(DownError):
            async with breaker as permit:
                permits.append(permit)
                await body(number)

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(caller, number)
        await trio.testing.wait_all_tasks_blocked()
        assert breaker.statistics().running == 1000 - len(range(0, 1000, 7))
    assert len({id(permit) for permit in permits}) == 1000
    seen = breaker.statistics()
    assert (seen.succeeded, seen.failed, seen.running) == (500, 500, 0)


async def test_leaving_without_entering_is_a_mistake() -> None:
    breaker = quick()
    with pytest.raises(
        GuardMisuseError, match="'db': it is left in a task that did not enter it"
    ):
        await breaker.__aexit__(None, None, None)
    async with breaker:
        with pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(breaker.__aexit__, None, None, None)
    assert caught.group_contains(GuardMisuseError)
    assert breaker.statistics().succeeded == 1


# ---------------------------------------------------------------- entering and leaving


async def test_it_is_a_guard_and_a_member_of_pipelines() -> None:
    breaker = quick()
    guard: Guard = breaker
    member: Member[Never] = breaker
    assert guard.name == member.name == "db"
    async with guard:
        pass
    await member.call(trio.lowlevel.checkpoint)
    assert breaker.statistics().succeeded == 2


@pytest.mark.parametrize("find", [find_look, lambda: look_publicly], ids=["private", "public"])
async def test_a_caller_already_cancelled_consumes_nothing(
    find: Callable[[], Look], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr("agentflow_trio.robustness._breaker.find_look", find)
    breaker = quick()
    await fail(breaker)
    await trio.sleep(30.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with breaker:
            pytest.fail("the body ran")
    assert scope.cancelled_caught
    assert (state_of(breaker), breaker.statistics().running) == (OPEN, 0)
    await succeed(breaker)
    assert state_of(breaker) is CLOSED


async def test_entering_and_leaving_never_yield() -> None:
    breaker, easy = quick(failures_of_last=(2, 3)), quick()
    others = list[str]()

    async def other() -> None:
        others.append("ran")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for each in (breaker, easy):
            async with each:
                assert others == []
        breaker.open()
        await refused(breaker)
        assert others == []


def test_cancelled_at_every_step_it_leaks_nothing() -> None:
    ended: list[bool] = []

    async def use(breaker: CircuitBreaker) -> None:
        await fail(breaker, 2)
        await trio.sleep(30.0)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(succeed, breaker)
        async with breaker, breaker:
            await trio.sleep(1.0)

    async def program() -> None:
        breaker = quick(failure_threshold=2, half_open_max_calls=2, success_threshold=2)
        ended.append(False)
        try:
            with assert_no_leaks(breaker):
                await use(breaker)
            ended[-1] = True
        finally:
            told = breaker.statistics()
            assert (told.running, told.failed) in {(0, 2), (0, 0)}
            with trio.CancelScope(shield=True):  # whatever came before, it can close
                await trio.sleep(30.0)
                await succeed(breaker)
                await succeed(breaker)
            assert state_of(breaker) is CLOSED

    def check(cut: Cut[None]) -> None:
        assert cut.cancelled != ended[-1]  # it swallows no cancellation

    assert cancel_everywhere(program, check=check) >= 5


# ---------------------------------------------------------------- the run it belongs to


def test_in_another_run_it_starts_blank() -> None:
    breaker = quick()

    async def first() -> None:
        assert state_of(breaker) is CLOSED
        await fail(breaker)
        assert state_of(breaker) is OPEN

    async def look() -> None:
        assert state_of(breaker) is CLOSED

    async def enter() -> None:
        await succeed(breaker)
        assert breaker.statistics().succeeded == 1
        await fail(breaker)

    assert state_of(breaker) is CLOSED
    trio.run(first)
    assert state_of(breaker) is OPEN  # outside of any run: the last one's
    trio.run(enter)
    assert breaker.statistics().succeeded == 1
    trio.run(look)
    assert breaker.statistics().succeeded == 0


def test_under_a_second_run_its_times_are_the_new_clocks() -> None:
    breaker = quick(recovery_timeout=30.0)
    waits = list[float | None]()

    async def fail_and_wait(seconds: float) -> None:
        await fail(breaker)
        waits.append((await refused(breaker)).retry_after)
        await trio.sleep(seconds)

    for seconds in (25.0, 0.0):
        trio.run(fail_and_wait, seconds, clock=MockClock(autojump_threshold=0.0))
    assert waits == [30.0, 30.0]


async def test_under_two_runs_at_once_it_is_refused() -> None:
    breaker = quick()
    async with breaker:
        for body in (succeed, _look):
            with pytest.raises(GuardInUseError):
                await trio.to_thread.run_sync(trio.run, body, breaker)
    assert breaker.statistics().succeeded == 1


async def _look(breaker: CircuitBreaker) -> None:
    breaker.statistics()


def test_state_is_carried_over_on_purpose() -> None:
    breaker, other = quick(), quick()

    async def first() -> Any:
        await trio.sleep(3.0)
        await fail(breaker)
        await trio.sleep(10.0)
        return breaker.snapshot()

    async def second(snapshot: Any, told: list[GuardEvent]) -> None:
        await trio.sleep(100.0)
        other.restore(snapshot)
        assert (await refused(other)).retry_after == 20.0
        await trio.sleep(20.0)
        await succeed(other)
        assert state_of(other) is CLOSED

    clock = functools.partial(MockClock, autojump_threshold=0.0)
    snapshot = trio.run(first, clock=clock())
    trio.run(second, snapshot, [], clock=clock())


def test_by_hand_needs_a_run() -> None:
    breaker = quick()
    for act in (breaker.open, breaker.close, breaker.snapshot):
        with pytest.raises(RuntimeError, match="must be called from async context"):
            act()
