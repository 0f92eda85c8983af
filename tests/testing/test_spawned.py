"""Tasks that plain code starts in a simulation: they live with the program, fail aloud, and can be cancelled alone."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agentflow_trio import Bulkhead, RunCancelledError
from agentflow_trio.testing import (
    DeadlockError,
    Faults,
    InjectedError,
    LeakError,
    NotEndedError,
    SimulationOverError,
    fault_point,
    first,
    simulate,
)


async def nap(seconds: float) -> float:
    await trio.sleep(seconds)
    return trio.current_time()


async def fail_after(seconds: float) -> None:
    await trio.sleep(seconds)
    raise OSError(f"after {seconds:g} s")


def test_it_begins_when_time_goes_on() -> None:
    with simulate(nap_of_five) as sim:
        early = sim.spawn(nap, 1.0)
        sim.run_until(2.0)
        late = sim.spawn(nap, 1.0, name="late")
        assert (early.name, early.since, early.ended, early.result) == ("nap", 0.0, True, 1.0)
        assert (late.name, late.since, late.ended) == ("late", 2.0, False)
        assert (repr(early), repr(late)) == (
            "<Spawned 'nap', ended>",
            "<Spawned 'late', alive>",
        )
        assert tuple(sim.spawned) == (early, late)
        with pytest.raises(NotEndedError, match="has not ended at 2 s"):
            _ = late.result
        sim.run()
        assert late.result == 3.0
        assert sim.result == 5.0
    sim.assert_no_leaks()


async def nap_of_five() -> float:
    return await nap(5.0)


def test_the_end_of_the_program_waits_for_it() -> None:
    with simulate(nap_of_five) as sim:
        longer = sim.spawn(nap, 8.0)
        sim.run_until(6.0)
        assert not sim.ended
        assert [picture.name for picture in sim.tasks()] == ["main", "nap"]
        also = sim.spawn(nap, 1.0)
        sim.run()
        assert (sim.time, longer.result, also.result) == (8.0, 8.0, 7.0)
        with pytest.raises(
            SimulationOverError, match="ended at 8 s, so nothing can be spawned"
        ):
            sim.spawn(nap, 1.0)


def test_it_is_cancelled_alone() -> None:
    with simulate(nap_of_five) as sim:
        one, other = sim.spawn(nap, 3.0), sim.spawn(nap, 4.0)
        sim.run_until(1.0)
        one.cancel()
        assert not one.ended
        sim.settle()
        assert one.cancelled
        assert one.error is None
        with pytest.raises(RunCancelledError, match="nap was told to"):
            _ = one.result
        sim.run()
        assert other.result == 4.0
        one.cancel()


def test_what_it_raises_is_raised_where_time_went_on_and_once() -> None:
    with simulate(nap_of_five) as sim:
        failing = sim.spawn(fail_after, 2.0)
        other = sim.spawn(fail_after, 2.0, name="other")
        sim.run_until(2.0)
        with pytest.raises(OSError, match=r"^after 2 s") as caught:
            sim.settle()
        assert caught.value in {failing.error, other.error}
        assert len(caught.value.__notes__) == 2
        assert "spawned at 0 s" in caught.value.__notes__[0]
        assert caught.value.__notes__[1].startswith("then OSError('after 2 s') in ")
        with pytest.raises(OSError, match="after 2 s"):
            _ = failing.result
        sim.run()
        assert sim.result == 5.0


def test_a_failure_that_nobody_was_told_of_is_raised_on_leaving() -> None:
    async def defiant() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cut:
            raise OSError("on the way out") from cut

    def leave() -> None:
        with simulate(nap_of_five) as sim:
            sim.spawn(defiant)
            sim.run_until(1.0)

    with pytest.raises(OSError, match="on the way out"):
        leave()


def test_a_program_that_fails_cancels_it_and_raises_what_it_raised() -> None:
    async def program() -> None:
        await fail_after(1.0)

    with simulate(program) as sim:
        spawned = sim.spawn(nap, 3.0)
        with pytest.raises(OSError, match="after 1 s"):
            sim.run()
        assert spawned.cancelled
        assert sim.time == 1.0


def test_cancelling_the_program_cancels_it() -> None:
    with simulate(trio.sleep_forever) as sim:
        spawned = sim.spawn(nap, 3.0)
        sim.run_until(1.0)
        sim.cancel("enough")
        sim.run()
        assert spawned.cancelled


def test_its_calls_meet_the_faults_of_the_simulation() -> None:
    async def save() -> None:
        await fault_point("save")

    with simulate(nap_of_five, faults=Faults(save=first(1))) as sim:
        sim.spawn(save)
        with pytest.raises(InjectedError):
            sim.settle()
        assert sim.spawn(save).error is None
        sim.run()


def test_a_name_that_is_not_reached_is_no_error_if_the_faults_say_so() -> None:
    lenient = Faults(nowhere=first(1)).if_reached()
    assert repr(lenient).endswith(".if_reached()")
    with simulate(nap_of_five, faults=lenient) as sim:
        sim.run()


def test_one_that_waits_for_ever_is_a_deadlock_that_names_it() -> None:
    with simulate(nap_of_five) as sim:
        sim.spawn(trio.sleep_forever, name="waiter")
        with pytest.raises(DeadlockError) as caught:
            sim.run()
    assert [task.name for task in caught.value.tasks] == ["main", "waiter"]


# ---------------------------------------------------------------- from one timer to the next


def test_advancing_goes_to_the_next_timer_and_stops_before_it() -> None:
    times = [0.1, 0.7, 5.0]
    with simulate(nap_of_five) as sim:
        for seconds in times[:2]:
            sim.spawn(nap, seconds)
        seen: list[float] = []
        while sim.advance():
            seen.append(sim.time)
        assert seen == times
        assert sim.ended
        assert not sim.advance()


def test_there_is_no_next_time_if_all_wait_for_somebody() -> None:
    with simulate(trio.sleep_forever) as sim:
        assert not sim.advance()
        assert sim.time == 0.0
        sim.cancel("enough")


# ---------------------------------------------------------------- leaks


def test_what_is_still_held_at_the_end_is_named() -> None:
    bulkhead = Bulkhead("db", limit=2)

    async def careless() -> None:
        await bulkhead.__aenter__()

    with simulate(careless) as sim:
        with pytest.raises(NotEndedError):
            sim.assert_no_leaks()
        sim.run()
    with pytest.raises(LeakError, match="BulkheadStatistics of 'db'"):
        sim.assert_no_leaks()


def test_a_task_that_is_left_alive_is_a_leak() -> None:
    async def program() -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        await trio.lowlevel.checkpoint()

    with simulate(program) as sim:
        sim.run()
    with pytest.raises(LeakError, match="a task is alive"):
        sim.assert_no_leaks()


# ---------------------------------------------------------------- mistakes


def test_what_is_spawned_is_a_function_and_no_call_of_it() -> None:
    async def ask() -> None:
        await trio.lowlevel.checkpoint()

    nonsense: Any = ask()
    with simulate(trio.sleep_forever) as sim:
        with pytest.raises(TypeError, match=r"spawn\(ask\), not spawn\(ask\(\)\)"):
            sim.spawn(nonsense)
        assert sim.spawned == ()


def test_what_is_spawned_is_async() -> None:
    plain: Any = len
    with simulate(trio.sleep_forever) as sim:
        sim.spawn(plain, "abc", name="count")
        with pytest.raises(TypeError, match="it is not async: it returned 3") as caught:
            sim.settle()
    assert "in 'count', spawned at 0 s" in caught.value.__notes__
