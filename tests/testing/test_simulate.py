"""`simulate` runs a program or a flow in virtual time, as far as plain code says."""

from __future__ import annotations

import math
from functools import partial
from random import Random
from typing import Any

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    FlowFailedError,
    Next,
    RunCancelledError,
    RunResult,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.events import RunEnded, RunStarted
from agentflow_trio.testing import (
    DeadlockError,
    Faults,
    NestedSimulationError,
    NotEndedError,
    ReplayCodeError,
    UnusedFaultError,
    always,
    explore,
    fault_point,
    simulate,
)


@attrs.define
class Article:
    drafts: list[str] = attrs.field(factory=list[str])


@step
async def draft(article: Article) -> None:
    article.drafts.append("draft")
    await trio.sleep(1)


@step
async def review(article: Article, *, again: Next, done: Next) -> Next:
    await trio.sleep(10)
    article.drafts.append(f"review {len(article.drafts)}")
    return again if len(article.drafts) < 4 else done


@flow(name="writing")
def writing() -> Wiring[Article]:
    return [draft.then(review), review.to(again=draft, done=END)]


class Bell:
    """A program that can be reached from outside."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.heard: list[float] = []

    async def __call__(self) -> str:
        self.event = trio.Event()
        self.heard.append(trio.current_time())
        await self.event.wait()
        self.heard.append(trio.current_time())
        return "heard"


async def three_naps() -> list[float]:
    times = [trio.current_time()]
    for _ in range(3):
        await trio.sleep(10)
        times.append(trio.current_time())
    return times


# ---------------------------------------------------------------- going on, and standing still


def test_it_says_where_it_stands() -> None:
    waiting = simulate(partial(trio.sleep, 3))
    assert repr(waiting) == "<simulate(...), to be entered: with simulate(...) as sim>"
    with waiting as sim:
        sim.run_until(1.5)
        assert repr(sim) == "<Simulation at 1.5 s>"
        sim.run()
        assert repr(sim) == "<Simulation at 3 s, ended>"


def test_nothing_runs_before_it_is_told_to() -> None:
    bell = Bell()
    with simulate(bell) as sim:
        assert bell.heard == []
        assert sim.time == 0.0
        assert sim.tasks() == ()
        assert not sim.ended
        sim.settle()
        assert bell.heard == [0.0]
        sim.cancel("enough")


def test_a_program_runs_to_its_end_in_no_time() -> None:
    with simulate(three_naps) as sim:
        sim.run()
        assert sim.ended
        assert sim.time == 30.0
        assert sim.result == [0.0, 10.0, 20.0, 30.0]
        assert sim.events == ()
        assert sim.state is None


def test_it_stops_before_what_is_due_and_settling_lets_that_happen() -> None:
    times: list[float] = []

    async def program() -> None:
        for _ in range(3):
            await trio.sleep(10)
            times.append(trio.current_time())

    with simulate(program) as sim:
        sim.run_until(10)
        assert (sim.time, times) == (10, [])
        sim.settle()
        assert (sim.time, times) == (10, [10.0])
        sim.run_until(10)
        assert times == [10.0]
        sim.run_until(29.5)
        assert (sim.time, times) == (29.5, [10.0, 20.0])
        sim.run()
        assert (sim.time, times) == (30.0, [10.0, 20.0, 30.0])


def test_the_past_cannot_be_run_to() -> None:
    with simulate(three_naps) as sim:
        sim.run_until(5)
        with pytest.raises(ValueError, match=r"^it is 5 s already: cannot run until 4\.5 s$"):
            sim.run_until(4.5)
        with pytest.raises(ValueError, match="cannot run until nan s"):
            sim.run_until(math.nan)
        sim.run()


def test_running_until_after_the_end_stands_at_the_end() -> None:
    with simulate(three_naps) as sim:
        sim.run_until(1_000)
        assert sim.ended
        assert sim.time == 30.0


def test_plain_code_may_wake_a_task_while_it_stands_still() -> None:
    bell = Bell()
    with simulate(bell) as sim:
        sim.run_until(7)
        bell.event.set()
        assert bell.heard == [0.0]
        sim.run()
        assert bell.heard == [0.0, 7]
        assert sim.result == "heard"


def test_while_a_service_ticks_plain_code_may_still_wake_a_task() -> None:
    bell = Bell()

    async def program() -> None:
        async def tick() -> None:
            while True:  # noqa: ASYNC110 - a service
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            await bell()
            nursery.cancel_scope.cancel()

    with simulate(program, services=["tick"]) as sim:
        sim.run_until(7.5)
        assert {picture.name: picture.service for picture in sim.tasks()} == {
            "main": False,
            "tick": True,
        }
        bell.event.set()
        sim.run()
    assert bell.heard == [0.0, 7.5]


def test_nothing_to_wake_it_is_a_deadlock_only_when_it_is_to_end() -> None:
    bell = Bell()
    with simulate(bell) as sim:
        sim.run_until(100)
        with pytest.raises(DeadlockError):
            sim.run()
        with pytest.raises(DeadlockError):
            _ = sim.result


def test_looking_at_the_tasks_changes_nothing() -> None:
    event = trio.Event()

    async def program() -> bool:
        with trio.move_on_after(1.0) as scope:
            await event.wait()
        return scope.cancelled_caught

    with simulate(program) as sim:
        sim.run_until(1.0)
        (picture,) = sim.tasks()
        assert picture.limit == 1.0
        assert picture.waits_for == "Event"
        event.set()
        sim.run()
        assert not sim.result


def test_dice_come_from_the_seed() -> None:
    async def program(rng: Random) -> float:
        return rng.random()

    for seed in (0, 7):
        with simulate(program, seed=seed) as sim:
            sim.run()
            assert sim.result == Random(seed).random()


# ---------------------------------------------------------------- how it ends


def test_a_result_is_there_only_at_the_end() -> None:
    with simulate(three_naps) as sim:
        sim.run_until(12.5)
        with pytest.raises(NotEndedError) as caught:
            _ = sim.result
        assert caught.value.time == 12.5
        assert str(caught.value) == "the program has not ended at 12.5 s: sim.run() lets it"
        sim.run()


def test_a_failure_is_raised_where_it_happens_and_once() -> None:
    async def program() -> None:
        await trio.sleep(3)
        raise ValueError("at three")

    with simulate(program) as sim:
        sim.run_until(3)
        with pytest.raises(ValueError, match="at three"):
            sim.settle()
        assert sim.ended
        sim.settle()
        with pytest.raises(ValueError, match="at three"):
            _ = sim.result


def test_a_failure_nobody_was_told_of_is_raised_on_leaving() -> None:
    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while it was cleaning up")

    def leave() -> None:
        with simulate(program) as sim:
            sim.settle()

    with pytest.raises(ValueError, match="while it was cleaning up"):
        leave()


def test_a_failure_that_was_told_is_not_raised_again() -> None:
    async def program() -> None:
        raise ValueError("told")

    with simulate(program) as sim, pytest.raises(ValueError, match="told"):
        sim.run()


def test_an_error_of_the_body_goes_first_and_notes_that_of_the_program() -> None:
    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("inside")

    def leave() -> None:
        with simulate(program) as sim:
            sim.settle()
            raise LookupError("outside")

    with pytest.raises(LookupError, match="outside") as caught:
        leave()
    assert caught.value.__notes__ == ["and the simulated program failed: ValueError('inside')"]


def test_leaving_early_cancels_the_program_and_waits_for_it() -> None:
    told: list[str] = []

    async def program() -> None:
        try:
            await trio.sleep(1_000)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            told.append(f"cleaned up at {trio.current_time()}")

    with simulate(program) as sim:
        sim.run_until(2)
    assert told == ["cleaned up at 7.0"]
    assert sim.ended
    with pytest.raises(RunCancelledError):
        _ = sim.result


def test_leaving_before_anything_ran_starts_nothing_that_lasts() -> None:
    with simulate(three_naps) as sim:
        assert not sim.ended
    told = sim.time, sim.ended
    assert told == (0.0, True)


def test_a_cancelled_program_says_so_and_has_not_failed() -> None:
    with simulate(three_naps) as sim:
        sim.run_until(15)
        sim.cancel("enough")
        assert sim.time == 15
        sim.run()
        assert sim.ended
        assert sim.time == 15
        with pytest.raises(RunCancelledError):
            _ = sim.result
        sim.cancel("again")


def test_what_fails_while_it_is_cancelled_has_failed() -> None:
    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("on the way out")

    with simulate(program) as sim:
        sim.settle()
        sim.cancel("enough")
        with pytest.raises(ValueError, match="on the way out"):
            sim.run()


def test_a_program_that_ends_although_it_was_cancelled_has_its_result() -> None:
    async def program() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        return "all the same"

    with simulate(program) as sim:
        sim.settle()
        sim.cancel("enough")
        sim.run()
        assert sim.result == "all the same"
        assert sim.time == 5.0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_must_end_everything_passes_through(kind: type[BaseException]) -> None:
    async def program() -> None:
        await trio.sleep(1)
        raise kind

    with simulate(program) as sim:
        with pytest.raises(kind):
            sim.run()
        assert sim.ended
        with pytest.raises(kind):
            _ = sim.result


# ---------------------------------------------------------------- flows


def test_a_flow_can_be_looked_at_on_its_way() -> None:
    article = Article()
    with simulate(writing, article) as sim:
        assert sim.state == Article()
        sim.run_until(5)
        assert sim.state.drafts == ["draft"]
        sim.run_until(22)
        assert sim.state.drafts == ["draft", "review 1", "draft"]
        assert isinstance(sim.events[0], RunStarted)
        before = len(sim.events)
        sim.run()
        assert len(sim.events) > before
        assert isinstance(sim.events[-1], RunEnded)
        result: RunResult[Article] = sim.result
        assert sim.time == 22.0
    assert result.state.drafts == ["draft", "review 1", "draft", "review 3"]
    assert sim.state == result.state
    assert article == Article()


def test_its_state_is_a_copy() -> None:
    with simulate(writing, Article()) as sim:
        sim.run_until(5)
        sim.state.drafts.append("scribble")
        assert sim.state.drafts == ["draft"]
        sim.run()


def test_ids_and_the_time_of_day_of_a_flow_come_from_the_simulation() -> None:
    with simulate(writing, Article(), seed=7) as sim:
        sim.run()
        started = sim.events[0]
        assert isinstance(started, RunStarted)
        assert started.run_id == "sim-7-1"
        assert started.wall_time == 946_684_800.0


def test_the_dice_of_a_flow_come_from_the_seed() -> None:
    @step
    async def roll(article: Article) -> None:
        article.drafts.append(f"{current_step().random.random()}")

    @flow
    def rolling() -> Wiring[Article]:
        return [roll.then(END)]

    def rolled(seed: int) -> list[str]:
        with simulate(rolling, Article(), seed=seed) as sim:
            sim.run()
            return sim.result.state.drafts

    assert rolled(7) == rolled(7)
    assert rolled(7) != rolled(8)


def test_a_flow_is_cancelled_as_a_run_is() -> None:
    with simulate(writing, Article()) as sim:
        sim.run_until(5)
        sim.cancel("the caller hung up")
        sim.run()
        with pytest.raises(RunCancelledError, match="the caller hung up") as caught:
            _ = sim.result
        assert caught.value.reason == "the caller hung up"
        assert sim.time == 5


def test_a_flow_is_cancelled_before_it_has_begun() -> None:
    with simulate(writing, Article()) as sim:
        sim.cancel("never mind")
        sim.run()
        assert sim.state == Article()


def test_a_flow_that_is_left_early_has_not_failed() -> None:
    with simulate(writing, Article()) as sim:
        sim.run_until(5)
    with pytest.raises(RunCancelledError, match="the simulation was left"):
        _ = sim.result


def test_a_flow_that_fails_raises_what_a_run_raises() -> None:
    with simulate(writing, Article(), faults=Faults(review=always(LookupError))) as sim:
        with pytest.raises(FlowFailedError) as caught:
            sim.run()
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        assert sim.state.drafts == ["draft"]


# ---------------------------------------------------------------- arguments


def test_faults_that_nothing_asked_for_are_an_error_at_the_end() -> None:
    with simulate(three_naps, faults=Faults(napp=always())) as sim:
        with pytest.raises(UnusedFaultError) as caught:
            sim.run()
        assert caught.value.names == ("napp",)


def test_faults_of_a_program_that_was_cancelled_need_not_be_asked_for() -> None:
    async def program() -> None:
        await trio.sleep(1)
        await fault_point("later")

    with simulate(program, faults=Faults(later=always())) as sim:
        sim.settle()
        sim.cancel("enough")
        sim.run()


def test_a_schedule_that_explore_found_can_be_stepped_through() -> None:
    async def program() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            await trio.lowlevel.checkpoint()
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(note, number)
        return order

    def unless_reversed(order: list[int]) -> None:
        assert order != [2, 1, 0]

    (failure,) = explore(program, seeds=200, check=unless_reversed).failures
    with simulate(program, replay=failure.code) as sim:
        sim.run()
        assert sim.result == [2, 1, 0]


def test_what_is_no_code_is_refused() -> None:
    with pytest.raises(ReplayCodeError, match="'seventeen' is no replay code"):
        simulate(three_naps, replay="seventeen")


def test_what_cannot_be_simulated_is_refused_before_anything_runs() -> None:
    untyped: Any = simulate
    with pytest.raises(TypeError, match="flow 'writing' needs the state it is to run on"):
        untyped(writing)
    with pytest.raises(TypeError, match=r"only a flow takes a state; three_naps\(\) is none"):
        untyped(three_naps, Article())


async def test_it_is_not_for_async_functions() -> None:
    with pytest.raises(NestedSimulationError, match="call it from plain code"):
        simulate(three_naps)
    with (
        pytest.raises(NestedSimulationError),
        simulate(three_naps, control="time"),
    ):
        pass
    with pytest.raises(NestedSimulationError):
        explore(three_naps)
    with pytest.raises(NestedSimulationError):
        explore(three_naps, control="time")


def test_while_one_simulation_stands_still_its_thread_begins_no_other() -> None:
    with simulate(three_naps) as sim:
        sim.run_until(5)
        with pytest.raises(NestedSimulationError), simulate(three_naps):
            pass
        with pytest.raises(NestedSimulationError):
            explore(three_naps, seeds=1)
        sim.run()
        assert sim.result == [0.0, 10.0, 20.0, 30.0]
