"""`explore` finds a schedule under which a program fails, makes it short, and says how to see it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import attrs
import pytest
import trio
from trio.lowlevel import spawn_system_task

from agentflow_trio import END, RunResult, Wiring, current_step, flow, step
from agentflow_trio.testing import (
    DeadlockError,
    Exploration,
    Faults,
    Policy,
    ReplayCodeError,
    StepBudgetError,
    UnusedFaultError,
    always,
    explore,
    fault_point,
)
from agentflow_trio.testing._findings import same_failure


async def lost_update() -> int:
    """Three tasks add one, each in two steps."""
    total = 0

    async def add() -> None:
        nonlocal total
        seen = total
        await trio.lowlevel.checkpoint()
        total = seen + 1

    async def one_after_the_other() -> None:
        await add()
        await add()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one_after_the_other)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        await add()
    return total


def all_are_there(total: int) -> None:
    assert total == 3, f"{total} of 3"


async def correct() -> int:
    total = 0
    lock = trio.Lock()

    async def add() -> None:
        nonlocal total
        async with lock:
            seen = total
            await trio.lowlevel.checkpoint()
            total = seen + 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(add)
    return total


class PlannedError(Exception):
    pass


# ---------------------------------------------------------------- what is found


def test_a_race_is_found_made_short_and_can_be_repeated() -> None:
    found = explore(lost_update, seeds=200, check=all_are_there)
    (failure,) = found.failures
    assert isinstance(failure.error, AssertionError)
    assert failure.confirmed
    assert failure.tries == found.seeds < 200
    assert failure.policy != "portfolio"
    assert len(failure.code) <= 80
    assert 0 < failure.deviations <= failure.found_with
    again = explore(lost_update, check=all_are_there, replay=failure.code)
    assert again.seeds == 1
    assert str(again.failures[0].error) == str(failure.error)
    assert again.failures[0].code == failure.code
    assert again.failures[0].deviations == failure.deviations


def test_the_same_search_finds_the_same() -> None:
    def code() -> str:
        return explore(lost_update, seeds=200, check=all_are_there).failures[0].code

    assert code() == code()


@pytest.mark.parametrize("policy", ["batch", "one-at-a-time", "priorities", "preemptions"])
def test_every_policy_finds_what_it_can_and_its_code_repeats_it(policy: Policy) -> None:
    async def program() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(note, number)
        return order

    def not_reversed(order: list[int]) -> None:
        assert order != [2, 1, 0]

    found = explore(program, seeds=100, policy=policy, check=not_reversed)
    assert found.policy == policy
    (failure,) = found.failures
    assert failure.policy == policy
    assert failure.confirmed
    assert explore(program, check=not_reversed, replay=failure.code).failures


def test_a_failure_says_how_to_repeat_it() -> None:
    found = explore(lost_update, seeds=200, check=all_are_there)
    (failure,) = found.failures
    with pytest.raises(AssertionError) as caught:
        found.raise_on_failure()
    (note,) = caught.value.__notes__
    assert note == str(failure)
    assert f"schedule {failure.tries} fails ({failure.policy}, seed {failure.seed}; " in note
    assert f"\nreplay: {failure.command}" in note
    assert failure.code in failure.command
    assert str(found).startswith(f"{failure}\n")


def test_a_failure_that_the_usual_order_has_needs_no_deviation() -> None:
    async def program() -> None:
        raise PlannedError

    found = explore(program)
    (failure,) = found.failures
    assert (failure.tries, failure.deviations) == (1, 0)
    assert "Trio allows" not in str(failure)
    with pytest.raises(PlannedError):
        found.raise_on_failure()


def test_long_schedules_have_short_codes() -> None:
    async def program() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            for _ in range(6):
                await trio.lowlevel.checkpoint()
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(note, number)
        return order

    def never_far_from_sorted(order: list[int]) -> None:
        moved = sum(a > b for n, a in enumerate(order) for b in order[n + 1 :])
        assert moved < 330

    found = explore(program, seeds=200, policy="one-at-a-time", check=never_far_from_sorted)
    for failure in found.failures:
        assert len(failure.code) <= 80
        assert explore(program, check=never_far_from_sorted, replay=failure.code).failures


def test_shrinking_takes_less_than_a_second() -> None:
    began = time.process_time()
    explore(lost_update, seeds=200, policy="one-at-a-time", check=all_are_there)
    assert time.process_time() - began < 1


def test_what_does_not_fail_again_is_said_to_depend_on_something_else() -> None:
    calls: list[int] = []

    async def program() -> None:
        calls.append(1)
        await trio.lowlevel.checkpoint()
        if len(calls) == 3:
            raise PlannedError

    (failure,) = explore(program, seeds=10).failures
    assert not failure.confirmed
    assert failure.tries == 3
    assert "it did not fail again in a run of its own" in str(failure)
    assert isinstance(failure.error, PlannedError)


def test_deadlocks_are_found() -> None:
    async def program() -> None:
        a, b = trio.Lock(), trio.Lock()

        async def both(one: trio.Lock, other: trio.Lock) -> None:
            async with one, other:
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(both, a, b)
            nursery.start_soon(both, b, a)

    (failure,) = explore(program, seeds=100).failures
    assert isinstance(failure.error, DeadlockError)
    (again,) = explore(program, replay=failure.code).failures
    assert isinstance(again.error, DeadlockError)


def test_a_program_may_use_only_so_many_steps() -> None:
    async def program() -> None:
        count = 0
        while True:
            count += 1
            await trio.sleep(1)

    (failure,) = explore(program, seeds=1, max_steps=200).failures
    assert isinstance(failure.error, StepBudgetError)
    assert failure.error.steps == 200


def test_a_program_that_never_heeds_its_cancellation_is_a_failure_like_others() -> None:
    async def deaf() -> None:
        while True:
            with suppress(trio.Cancelled):
                await trio.lowlevel.checkpoint()

    (failure,) = explore(deaf, seeds=5, max_steps=300).failures
    assert isinstance(failure.error, StepBudgetError)
    assert "replay: " in failure.error.__notes__[0]


def test_schedules_with_threads_can_be_repeated() -> None:
    async def program() -> list[int]:
        order: list[int] = []

        async def work(number: int) -> None:
            await trio.to_thread.run_sync(int)
            order.append(number)

        async def count(number: int) -> None:
            for _ in range(4):
                await trio.lowlevel.checkpoint()
            order.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, 1)
            nursery.start_soon(count, 2)
            nursery.start_soon(count, 3)
        return order

    def in_order(order: list[int]) -> None:
        assert order.index(2) < order.index(3)

    policies: tuple[Policy, ...] = ("batch", "one-at-a-time")
    for policy in policies:
        (failure,) = explore(
            program, seeds=50, first_seed=3, policy=policy, check=in_order
        ).failures
        assert failure.confirmed


# ---------------------------------------------------------------- what is not found


def test_a_correct_program_never_fails() -> None:
    found = explore(correct, seeds=120, check=all_are_there)
    found.raise_on_failure()
    assert found.failures == ()
    assert found.seeds == 120
    assert found.steps > 120 * 6
    assert str(found) == f"120 schedules (portfolio), {found.steps} steps: no failure"


def test_a_schedule_that_does_not_fail_can_be_run_too() -> None:
    found = explore(correct, replay="os3:2,1.2")
    assert (found.seeds, found.failures) == (1, ())


def test_without_the_queue_whole_passes_are_shuffled() -> None:
    found = explore(correct, seeds=5, control="shuffle")
    assert found.policy == "batch"


# ---------------------------------------------------------------- arguments


def test_a_program_may_take_dice_and_each_seed_has_its_own() -> None:
    drawn: list[float] = []

    async def program(rng: Random) -> None:
        drawn.append(rng.random())

    explore(program, seeds=3, first_seed=40, policy="batch")
    assert drawn == [Random(seed).random() for seed in (40, 41, 42)]


def test_a_failure_of_data_is_repeated_with_the_same_data() -> None:
    async def program(rng: Random) -> None:
        await trio.lowlevel.checkpoint()
        assert rng.randrange(10) != 7

    (failure,) = explore(program, seeds=200, policy="one-at-a-time").failures
    assert failure.confirmed
    assert Random(failure.seed).randrange(10) == 7
    assert explore(program, replay=failure.code).failures


def test_optional_arguments_of_a_program_are_its_own() -> None:
    async def program(times: int = 2, *rest: int, **more: int) -> int:
        return times

    results: list[int] = []
    explore(program, seeds=1, check=results.append)
    assert results == [2]


def test_check_sees_what_the_program_returned_and_only_that() -> None:
    seen: list[int] = []
    explore(correct, seeds=4, check=seen.append)
    assert seen == [3, 3, 3, 3]


def test_faults_strike_in_every_execution_anew() -> None:
    async def program() -> int:
        failed = 0
        for _ in range(3):
            try:
                await fault_point("disk full")
            except PlannedError:
                failed += 1
        return failed

    def once(failed: int) -> None:
        assert failed == 3

    explore(
        program, seeds=5, check=once, faults=Faults(**{"disk full": always(PlannedError)})
    ).raise_on_failure()


def test_a_fault_that_no_execution_came_to_is_an_error() -> None:
    with pytest.raises(UnusedFaultError, match="'disc full'"):
        explore(correct, seeds=2, faults=Faults(**{"disc full": always(PlannedError)}))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (7, "a program is an async function or a flow, not 7"),
        (lambda a, b: None, r"<lambda>\(\) needs a, b; a program takes nothing, or dice"),
    ],
    ids=["number", "two arguments"],
)
def test_what_is_no_program_is_refused(program: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        explore(program)


def test_a_program_that_takes_a_keyword_only_argument_is_refused() -> None:
    async def program(*, times: int) -> None: ...

    refused: Any = program
    with pytest.raises(TypeError, match=r"program\(\) needs times; .* bind the rest"):
        explore(refused)


def test_a_number_of_seeds_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="seeds must be at least 1, not 0"):
        explore(correct, seeds=0)


def test_what_is_no_code_is_refused() -> None:
    with pytest.raises(ReplayCodeError):
        explore(correct, replay="os0:.")


def test_builtins_that_tell_nothing_of_themselves_take_nothing() -> None:
    builtin: Any = max
    (failure,) = explore(builtin, seeds=1).failures
    assert str(failure.error) == "max expected at least 1 argument, got 0"


# ---------------------------------------------------------------- one execution after another


def test_executions_do_not_see_what_others_left_behind() -> None:
    left: list[str] = []

    async def program() -> str:
        async def lasting() -> None:
            try:
                await trio.sleep_forever()
            finally:
                left.append("ended")

        spawn_system_task(lasting)
        await trio.sleep(1)
        return str(trio.current_time())

    times: list[str] = []
    found = explore(program, seeds=6, check=times.append)
    found.raise_on_failure()
    assert times == ["1.0"] * 6
    assert left == ["ended"] * 6


def test_a_schedule_is_the_same_alone_and_after_others() -> None:
    def orders(first: int, seeds: int) -> list[list[int]]:
        seen: list[list[int]] = []

        async def program() -> list[int]:
            order: list[int] = []

            async def note(number: int) -> None:
                await trio.lowlevel.checkpoint()
                order.append(number)
                await trio.sleep(0.5)
                order.append(number)

            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(note, number)
            return order

        explore(
            program, seeds=seeds, first_seed=first, policy="one-at-a-time", check=seen.append
        )
        return seen

    together = orders(0, 8)
    assert together == [order for seed in range(8) for order in orders(seed, 1)]


# ---------------------------------------------------------------- flows


@attrs.define
class Counter:
    count: int = 0
    ids: list[str] = attrs.field(factory=list[str])


def test_a_flow_is_explored_on_a_fork_of_its_state() -> None:
    @step
    async def count(counter: Counter) -> None:
        counter.count += 1
        counter.ids.append(current_step().run_id)

    @flow
    def counting() -> Wiring[Counter]:
        return [count.then(END)]

    counter = Counter()
    seen: list[RunResult[Counter]] = []
    found: Exploration = explore(
        counting, counter, seeds=3, first_seed=5, policy="batch", check=seen.append
    )
    found.raise_on_failure()
    assert [result.state.count for result in seen] == [1, 1, 1]
    assert [result.state.ids for result in seen] == [["sim-5-1"], ["sim-6-1"], ["sim-7-1"]]
    assert counter == Counter()


def test_a_race_between_two_flows_is_found() -> None:
    async def program() -> int:
        shared = Counter()

        @step
        async def add(counter: Counter) -> None:
            seen = shared.count
            await trio.lowlevel.checkpoint()
            shared.count = seen + 1

        @flow
        def adding() -> Wiring[Counter]:
            return [add.then(END)]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(adding.run, Counter())
            nursery.start_soon(adding.run, Counter())
        return shared.count

    def both(count: int) -> None:
        assert count == 2

    (failure,) = explore(program, seeds=20, check=both).failures
    assert failure.confirmed


# ---------------------------------------------------------------- the same failure


def grouped(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("some", errors)


def test_failures_are_the_same_if_their_kinds_are() -> None:
    same: Callable[[Exception, Exception], bool] = same_failure
    assert same(ValueError("a"), ValueError("b"))
    assert not same(ValueError("a"), LookupError("a"))
    assert not same(ValueError("a"), UnicodeError("a"))
    assert same(grouped(ValueError()), grouped(ValueError()))
    assert not same(grouped(ValueError()), grouped(LookupError()))
    assert not same(grouped(ValueError()), ValueError())
