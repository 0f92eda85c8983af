"""`cancel_everywhere` cancels a program before each of its steps in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import trio

from agentflow_trio.testing import (
    Cut,
    DeadlockError,
    Faults,
    LeakError,
    LivelockError,
    NestedSimulationError,
    ReplayCodeError,
    StepBudgetError,
    UnusedFaultError,
    always,
    assert_no_leaks,
    cancel_everywhere,
    cancel_with,
    fault_point,
)


class Pool:
    """One permit, made anew by each program."""

    def __init__(self) -> None:
        self.permits = trio.Semaphore(1)

    async def leaking(self) -> str:
        with assert_no_leaks(self.permits):
            await self.permits.acquire()
            await trio.sleep(1)
            self.permits.release()
        return "done"

    async def correct(self) -> str:
        with assert_no_leaks(self.permits):
            async with self.permits:
                await trio.sleep(1)
        return "done"


async def leaking() -> str:
    return await Pool().leaking()


async def correct() -> str:
    return await Pool().correct()


def assert_noted(error: BaseException, where: str, code: str) -> None:
    """Make sure that *error* says where it happened, and how to repeat it."""
    (note,) = error.__notes__
    assert note.startswith(f"{where}; replay: ")
    assert note.endswith(f"--agentflow-replay={code}")


# ---------------------------------------------------------------- what it finds


def test_a_permit_that_a_cancellation_leaks_is_found_and_can_be_found_again() -> None:
    with pytest.raises(LeakError, match="Semaphore: value was 1, is 0") as caught:
        cancel_everywhere(leaking)
    assert_noted(caught.value, "cancelled before step 1", "o0x1:")
    with pytest.raises(LeakError):
        cancel_everywhere(leaking, replay="o0x1:")
    assert cancel_everywhere(leaking, replay="o0x0:") == 1


def test_a_correct_program_is_cancelled_at_each_step() -> None:
    assert cancel_everywhere(correct) == 3


def test_the_first_wait_is_cancelled_too() -> None:
    taken: list[int] = []

    async def program() -> None:
        taken.append(1)
        await trio.sleep(1)
        taken.pop()

    def all_was_given_back(cut: Cut[None]) -> None:
        left, taken[:] = taken[:], []
        assert not left

    with pytest.raises(AssertionError) as caught:
        cancel_everywhere(program, check=all_was_given_back)
    assert_noted(caught.value, "cancelled before step 0", "o0x0:")


def test_check_is_told_exactly_how_each_ended() -> None:
    async def program() -> str:
        await trio.sleep(1)
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        return "done"

    cuts: list[Cut[str]] = []
    assert cancel_everywhere(program, check=cuts.append) == 3
    assert cuts == [
        Cut(step=0, reached=True, cancelled=True, result=None, time=0.0),
        Cut(step=1, reached=True, cancelled=True, result=None, time=1.0),
        Cut(step=2, reached=True, cancelled=False, result="done", time=3.0),
        Cut(step=3, reached=False, cancelled=False, result="done", time=3.0),
    ]


def test_other_orders_of_the_tasks_can_be_tried_as_well() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.sleep, 1)

    usual = cancel_everywhere(program)
    assert cancel_everywhere(program, seeds=3) >= 3 * (usual - 1)


def test_what_fails_under_another_order_names_it() -> None:
    async def program(rng: Random) -> None:
        await trio.sleep(1)
        assert rng.random() == Random(0).random()

    with pytest.raises(AssertionError) as caught:
        cancel_everywhere(program, seeds=2)
    assert_noted(caught.value, "not cancelled", "os1:")
    with pytest.raises(AssertionError):
        cancel_everywhere(program, replay="os1:")


def test_late_steps_are_cancelled_as_early_ones_are() -> None:
    steps: list[int] = []

    async def program() -> None:
        steps.clear()
        for number in range(1_000):
            steps.append(number)
            await trio.lowlevel.checkpoint()

    cancel_everywhere(program, replay="o0x750:")
    assert len(steps) == 750


def test_a_program_that_fails_by_itself_fails() -> None:
    async def program() -> None:
        await trio.sleep(1)
        raise ValueError("by itself")

    with pytest.raises(ValueError, match="by itself") as caught:
        cancel_everywhere(program)
    assert_noted(caught.value, "not cancelled", "o0:")


def test_a_task_that_is_left_behind_is_a_leak() -> None:
    async def program() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        await trio.lowlevel.checkpoint()

    with pytest.raises(LeakError):
        cancel_everywhere(program)


def test_a_program_that_hangs_when_cancelled_is_found() -> None:
    async def program() -> None:
        try:
            await trio.sleep(1)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    with pytest.raises(DeadlockError):
        cancel_everywhere(program)


async def never_ends() -> None:
    count = 0
    while True:
        count += 1
        await trio.sleep(1)


async def deaf() -> None:
    while True:
        with suppress(trio.Cancelled):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("program", [deaf])
def test_a_program_that_never_heeds_its_cancellation_is_given_up(
    program: Callable[[], Awaitable[None]],
) -> None:
    with pytest.raises((StepBudgetError, LivelockError)):
        cancel_everywhere(program, max_steps=400)


def test_a_program_without_end_uses_up_its_steps() -> None:
    with pytest.raises(StepBudgetError):
        cancel_everywhere(never_ends, max_steps=20)


# ---------------------------------------------------------------- arguments


def test_a_cancellation_of_ones_own_can_be_tried_instead() -> None:
    cancelled: list[bool] = []

    async def program() -> bool:
        with trio.CancelScope() as mine:
            cancel_with(mine.cancel)
            await trio.sleep(1)
            await trio.sleep(1)
        return mine.cancelled_caught

    def check(cut: Cut[bool]) -> None:
        cancelled.append(bool(cut.result))

    assert cancel_everywhere(program, check=check) == 3
    assert cancelled == [False, True, True, False]


async def test_elsewhere_that_does_nothing() -> None:
    cancel_with(list)


def test_faults_are_in_force() -> None:
    async def program() -> str:
        try:
            await fault_point("reply lost")
        except ConnectionError:
            return "noticed"
        return "not noticed"

    results: list[str | None] = []

    def check(cut: Cut[str]) -> None:
        results.append(cut.result)

    cancel_everywhere(
        program, check=check, faults=Faults(**{"reply lost": always(ConnectionError)})
    )
    assert results == ["noticed", "noticed"]


def test_faults_that_nothing_asked_for_are_an_error() -> None:
    with pytest.raises(UnusedFaultError):
        cancel_everywhere(correct, faults=Faults(reply_lost=always()))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="seeds must be at least 1, not 0"):
        cancel_everywhere(correct, seeds=0)
    with pytest.raises(ReplayCodeError):
        cancel_everywhere(correct, replay="nonsense")
    number: Any = 7
    with pytest.raises(TypeError, match="not 7"):
        cancel_everywhere(number)


async def test_it_is_not_for_async_functions() -> None:
    with pytest.raises(NestedSimulationError):
        cancel_everywhere(correct)
