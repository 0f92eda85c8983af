"""A program that does not come to its end is reported, by name and place, and then unwound."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random

import attrs
import pytest
import trio

from agentflow_trio import END, Wiring, flow, step
from agentflow_trio.testing import (
    DeadlockError,
    LivelockError,
    StepBudgetError,
    StuckError,
    TaskPicture,
    explore,
    simulate,
)


@attrs.define
class Waiting:
    """Nothing."""


def stuck(
    program: Callable[[], Awaitable[object]],
    *,
    services: tuple[str, ...] = (),
    max_steps: int = 50_000,
) -> StuckError:
    """What is reported of *program*."""
    with simulate(program, services=services, max_steps=max_steps) as sim:
        with pytest.raises(StuckError) as caught:
            sim.run()
        assert sim.ended
        assert sim.tasks() == ()
    return caught.value


def by_name(error: StuckError) -> dict[str, TaskPicture]:
    """What each task did."""
    return {picture.name: picture for picture in error.tasks}


class Ledger:
    """Two tasks that take two locks in turn, and note what they do."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def transfer(self, one: trio.Lock, other: trio.Lock, name: str) -> None:
        try:
            async with one:
                await trio.sleep(1)
                async with other:
                    self.lines.append(name)
        finally:
            self.lines.append(f"{name} gives back")

    async def tick(self) -> None:
        while True:  # noqa: ASYNC110 - a service
            await trio.sleep(0.3)

    async def crossed(self) -> None:
        a, b = trio.Lock(), trio.Lock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.transfer, a, b, "ab", name="there")
            nursery.start_soon(self.transfer, b, a, "ba", name="back")

    async def crossed_while_ticking(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.tick)
            nursery.start_soon(self.crossed)


# ---------------------------------------------------------------- deadlocks


def test_a_deadlock_of_two_locks_says_who_waits_for_what_and_who_holds_it() -> None:
    ledger = Ledger()
    error = stuck(ledger.crossed)
    assert isinstance(error, DeadlockError)
    assert error.time == 1.0
    assert [picture.name for picture in error.tasks] == ["main", "there", "back"]
    known = by_name(error)
    assert known["main"].waits_for == "its children there, back"
    assert known["there"].waits_for == "Lock held by back"
    assert known["back"].waits_for == "Lock held by there"
    assert known["there"].limit == math.inf
    assert not known["there"].shielded
    assert not known["there"].service
    (line,) = known["there"].stack
    place, _, code = line.partition(" in ")
    assert place.startswith("test_stuck.py:")
    assert code == "transfer: async with other:"


def test_the_report_shows_every_task_with_its_stack() -> None:
    text = str(stuck(Ledger().crossed))
    assert text.startswith("deadlock: no task can ever go on at 1 s, after ")
    assert "\n  there: waits for Lock held by back\n      test_stuck.py:" in text


def test_what_was_deadlocked_is_unwound() -> None:
    ledger = Ledger()
    stuck(ledger.crossed)
    assert sorted(ledger.lines) == ["ab gives back", "ba gives back"]


def test_a_service_that_ticks_hides_no_deadlock() -> None:
    ledger = Ledger()
    error = stuck(ledger.crossed_while_ticking, services=("tick",))
    assert isinstance(error, DeadlockError)
    assert error.time == 1.0
    known = by_name(error)
    assert known["tick"].service
    assert known["tick"].waits_for == "sleep"
    assert "tick: waits for sleep (a service)" in str(error)
    assert known["there"].waits_for == "Lock held by back"


def test_services_may_be_given_by_their_whole_names() -> None:
    ledger = Ledger()
    whole = f"{__name__}.Ledger.tick"
    assert isinstance(stuck(ledger.crossed_while_ticking, services=(whole,)), DeadlockError)


def test_what_ticks_and_is_no_service_uses_up_the_steps() -> None:
    error = stuck(Ledger().crossed_while_ticking, services=("tock",), max_steps=2_000)
    assert isinstance(error, StepBudgetError)
    assert error.steps == 2_000
    assert str(error).startswith("the program used up its steps (max_steps) at ")


def test_a_service_whose_timer_wakes_somebody_else_is_let_go_on_while_others_have_timers() -> (
    None
):
    async def program() -> float:
        done = trio.Event()

        async def service() -> None:
            await trio.sleep(5)
            done.set()
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(service)
            with trio.move_on_after(60):
                await done.wait()
            nursery.cancel_scope.cancel()
        return trio.current_time()

    with simulate(program, services=["service"]) as sim:
        sim.run()
        assert sim.result == 5.0


def test_a_hang_under_a_shield_is_reported_and_the_shield_taken_off() -> None:
    cleaned: list[str] = []

    async def program() -> None:
        async def stubborn() -> None:
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
            finally:
                cleaned.append("stubborn")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stubborn)
            await trio.sleep(2)
            nursery.cancel_scope.cancel()

    error = stuck(program)
    assert isinstance(error, DeadlockError)
    assert error.time == 2.0
    picture = by_name(error)["stubborn"]
    assert picture.shielded
    assert picture.limit == math.inf
    assert "stubborn: waits for sleep_forever (a shield keeps its cancellation away)" in str(
        error
    )
    assert cleaned == ["stubborn"]


def test_a_cancelled_task_says_so_by_its_limit() -> None:
    async def program() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.Event().wait()

    with simulate(program) as sim:
        sim.settle()
        (picture,) = sim.tasks()
        assert picture.shielded
        assert picture.waits_for == "Event"
        with pytest.raises(DeadlockError):
            sim.run()


def test_cleanups_of_a_deadlocked_program_may_take_virtual_time() -> None:
    cleaned: list[float] = []

    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(30)
            cleaned.append(trio.current_time())

    assert stuck(program).time == 0.0
    assert cleaned == [30.0]


def test_a_second_hang_during_the_cleanup_is_ended_too() -> None:
    cleaned: list[str] = []

    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
            finally:
                cleaned.append("after all")

    assert isinstance(stuck(program), DeadlockError)
    assert cleaned == ["after all"]


def test_who_borrowed_the_tokens_of_a_limiter_is_told() -> None:
    async def program() -> None:
        limiter, full = trio.CapacityLimiter(1), trio.Condition()

        async def borrower() -> None:
            async with limiter:
                await trio.sleep_forever()

        async def waiter() -> None:
            await trio.sleep(1)
            async with limiter:
                pass

        async def holder() -> None:
            async with full:
                await trio.sleep_forever()

        async def second() -> None:
            await trio.sleep(1)
            async with full:
                pass

        async def sender() -> None:
            send, receive = trio.open_memory_channel[int](0)
            async with send, receive:
                await send.send(1)

        async with trio.open_nursery() as nursery:
            for task in (borrower, waiter, holder, second, sender):
                nursery.start_soon(task)

    known = by_name(stuck(program))
    assert known["waiter"].waits_for == "CapacityLimiter borrowed by borrower"
    assert known["second"].waits_for == "Condition held by holder"
    assert known["borrower"].waits_for == "sleep_forever"
    assert known["sender"].waits_for == "MemorySendChannel"


def test_a_limiter_with_tokens_of_no_task_names_nobody() -> None:
    async def program() -> None:
        limiter = trio.CapacityLimiter(1)
        limiter.acquire_on_behalf_of_nowait("somebody")
        await limiter.acquire()

    assert by_name(stuck(program))["main"].waits_for == "CapacityLimiter"


def test_tasks_of_one_name_are_numbered() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.sleep_forever)

    error = stuck(program)
    names = [picture.name for picture in error.tasks]
    assert names == ["main", "sleep_forever", "sleep_forever#2", "sleep_forever#3"]
    assert (
        error.tasks[0].waits_for
        == "its children sleep_forever, sleep_forever#2, sleep_forever#3"
    )
    assert error.tasks[1].stack == ()  # nothing there is the program's own


def test_who_waits_for_a_run_says_for_which() -> None:
    @step
    async def wait(state: Waiting) -> None:
        await trio.Event().wait()

    @flow
    def waiting() -> Wiring[Waiting]:
        return [wait.then(END)]

    with simulate(waiting, Waiting()) as sim, pytest.raises(DeadlockError) as caught:
        sim.run()
    known = by_name(caught.value)
    assert str(known["main"]) == "main: waits for run sim-0-1"
    assert known["agentflow run sim-0-1"].waits_for == "Event"


def test_a_nursery_without_children_is_waited_for_by_what_it_is() -> None:
    async def program() -> None:
        async with trio.open_nursery():
            await trio.Event().wait()

    assert by_name(stuck(program))["main"].waits_for == "Event"


# ---------------------------------------------------------------- livelocks


async def never_mind(flag: list[int]) -> None:
    while not flag:
        await trio.lowlevel.checkpoint()


async def after_you() -> None:
    flag: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(never_mind, flag)
        nursery.start_soon(never_mind, flag)


def test_tasks_that_yield_to_each_other_for_ever_are_a_livelock() -> None:
    error = stuck(after_you)
    assert isinstance(error, LivelockError)
    assert error.time == 0.0
    assert error.steps < 5_000
    known = by_name(error)
    assert known["never_mind"].waits_for == ""
    assert known["never_mind#2"].waits_for == ""
    assert "  never_mind#2: can go on\n" in str(error)
    assert str(error).startswith(
        "livelock: tasks go on without getting anywhere at 0 s, after "
    )


def test_a_livelock_is_found_under_every_order() -> None:
    for policy in ("priorities", "preemptions"):
        found = explore(after_you, seeds=1, policy=policy)
        assert isinstance(found.failures[0].error, LivelockError)


def test_a_livelock_that_begins_late_is_found_soon_after() -> None:
    async def program() -> None:
        for _ in range(5_000):
            await trio.lowlevel.checkpoint()
        await never_mind([])

    error = stuck(program)
    assert isinstance(error, LivelockError)
    assert 5_000 < error.steps < 10_000


def test_a_livelock_after_time_has_passed_is_found() -> None:
    async def program() -> None:
        for _ in range(400):
            await trio.sleep(1)
        await never_mind([])

    error = stuck(program)
    assert isinstance(error, LivelockError)
    assert error.time == 400.0


class Slotted:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


MODULE = Slotted()


async def over_equal_items() -> None:
    for _ in ["same"] * 4_000:
        await trio.lowlevel.checkpoint()


async def emptying_a_queue() -> None:
    queue = deque([None] * 4_000)
    while queue:
        queue.popleft()
        await trio.lowlevel.checkpoint()


async def counting_in_slots() -> None:
    slotted = Slotted()
    while slotted.count < 4_000:
        slotted.count += 1
        await trio.lowlevel.checkpoint()


async def counting_in_the_module() -> None:
    MODULE.count = 0
    while MODULE.count < 4_000:
        MODULE.count += 1
        await trio.lowlevel.checkpoint()


async def counting_around_a_closure() -> None:
    count = 0

    async def more() -> None:
        nonlocal count
        count += 1
        await trio.lowlevel.checkpoint()

    while count < 4_000:
        await more()


async def drawing() -> None:
    dice = Random(1)
    while dice.random() > 0.0003:  # 3,918 times
        await trio.lowlevel.checkpoint()


async def from_a_generator() -> None:
    def nothing() -> Iterator[None]:
        for _ in [None] * 4_000:
            yield None

    for _ in nothing():
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "program",
    [
        over_equal_items,
        emptying_a_queue,
        counting_in_slots,
        counting_in_the_module,
        counting_around_a_closure,
        drawing,
        from_a_generator,
    ],
)
def test_what_gets_on_at_one_instant_is_no_livelock(
    program: Callable[[], Awaitable[None]],
) -> None:
    with simulate(program) as sim:
        sim.run()
        assert sim.time == 0.0


def test_tasks_that_spin_until_another_is_done_are_no_livelock_under_unfair_orders() -> None:
    async def program() -> None:
        flag: list[int] = []

        async def last() -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            flag.append(1)

        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(never_mind, flag)
            nursery.start_soon(last)

    for policy in ("one-at-a-time", "priorities"):
        explore(program, seeds=8, policy=policy).raise_on_failure()


def test_spinning_until_a_thread_is_done_is_no_livelock() -> None:
    async def program() -> bool:
        flag: list[int] = []

        async def work() -> None:
            await trio.to_thread.run_sync(time.sleep, 0.02)
            flag.append(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(never_mind, flag)
        return True

    with simulate(program) as sim:
        sim.run()
        assert sim.result


# ---------------------------------------------------------------- without end


def test_a_program_that_goes_on_for_ever_uses_up_its_steps_and_is_unwound() -> None:
    cleaned: list[int] = []

    async def program() -> None:
        count = 0
        try:
            while True:
                count += 1
                await trio.sleep(0.5)
        finally:
            cleaned.append(count)

    error = stuck(program, max_steps=300)
    assert isinstance(error, StepBudgetError)
    assert error.steps == 300
    assert error.time == 150.0
    assert cleaned == [300]


async def deaf() -> None:
    count = 0
    while True:
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:  # noqa: ASYNC103 - that is the point
            count += 1


async def deaf_behind_shields() -> None:
    while True:
        with suppress(trio.Cancelled), trio.CancelScope(shield=True):
            await trio.sleep_forever()


@pytest.mark.parametrize("program", [deaf, deaf_behind_shields])
def test_a_program_that_never_heeds_its_cancellation_is_given_up_with_its_report(
    program: Callable[[], Awaitable[None]],
) -> None:
    error = stuck(program, max_steps=500)
    assert isinstance(error, StuckError)
    (picture,) = error.tasks
    assert picture.name == "main"


def test_a_system_task_that_spins_after_its_program_is_reported() -> None:
    async def spinning() -> None:
        while True:
            with suppress(trio.Cancelled):
                await trio.lowlevel.checkpoint()

    async def program() -> None:
        trio.lowlevel.spawn_system_task(spinning)
        await trio.sleep(1)

    error = stuck(program)
    assert isinstance(error, StepBudgetError)
    assert "spinning" in by_name(error)


def test_a_system_task_that_outlives_its_program_and_its_cancellation_is_reported() -> None:
    async def lasting() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def program() -> None:
        trio.lowlevel.spawn_system_task(lasting)
        await trio.sleep(1)

    error = stuck(program)
    assert isinstance(error, DeadlockError)
    assert by_name(error)["lasting"].waits_for == "sleep_forever"
    assert by_name(error)["lasting"].shielded
    (failure,) = explore(program, seeds=2).failures
    assert isinstance(failure.error, DeadlockError)


def test_after_a_program_was_given_up_trio_works_as_ever() -> None:
    stuck(deaf, max_steps=500)

    async def main() -> str:
        await trio.lowlevel.checkpoint()
        return "as ever"

    assert trio.run(main) == "as ever"


def test_a_program_that_was_given_up_is_not_closed_by_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stuck(deaf, max_steps=500)
    assert noise == []


def test_deadlocks_and_hangs_are_reported_within_ten_milliseconds_of_work() -> None:
    async def hang() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    ledger = Ledger()
    for program, services in (
        (ledger.crossed, ()),
        (ledger.crossed_while_ticking, ("tick",)),
        (hang, ()),
    ):
        took: list[float] = []
        for _ in range(4):
            began = time.thread_time()
            error = stuck(program, services=services)
            str(error)
            took.append(time.thread_time() - began)
        assert min(took) < 0.010
