"""Cleanup is shielded and bounded: one budget when a run is cancelled, a fresh one otherwise, and never silent when it is over."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from agentflow_trio import (
    END,
    CleanupOverrunError,
    DeadlineExceededError,
    Engine,
    FlowFailedError,
    Step,
    Wiring,
    current_step,
    flow,
)
from agentflow_trio.errors import Failure
from agentflow_trio.events import CleanupOverrun, ExecutionEvent

from .engine_kit import Act, Acts, Notes, Opened, Recorder, chain, doing, saying, sleeping

OBSERVED_OR_NOT = pytest.mark.parametrize("observed", [False, True])


def cleaning(seconds: float, log: list[str], name: str) -> Act:
    """A cleanup that takes some seconds and notes when it began and ended."""

    async def clean() -> None:
        log.append(f"{name} begins at {trio.current_time():g}")
        await trio.sleep(seconds)
        log.append(f"{name} ended at {trio.current_time():g}")

    return clean


def registering(*cleanups: Act, then: float = 0.0) -> Act:
    async def register() -> None:
        for clean in cleanups:
            current_step().on_cleanup(clean)
        await trio.sleep(then)

    return register


# ---------------------------------------------------------------- within the budget


@OBSERVED_OR_NOT
async def test_cleanup_is_shielded_from_the_cancellation_that_causes_it(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    work = registering(cleaning(2, log, "it"), then=99)
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with trio.move_on_after(1) as scope:
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert scope.cancelled_caught
    assert log == ["it begins at 1", "it ended at 3"]


@OBSERVED_OR_NOT
async def test_a_cancellation_during_cleanup_waits_for_it(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    first = doing(registering(cleaning(2, log, "it")), "a")
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with trio.move_on_after(1) as scope:
            await engine.run(chain("f", first, saying("b")), Notes())
    assert scope.cancelled_caught
    assert log == ["it begins at 0", "it ended at 2"]
    assert trio.current_time() == 2.0


@OBSERVED_OR_NOT
async def test_when_cancelled_all_cleanups_share_one_budget(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    node = Step(
        Acts(
            prep=registering(cleaning(2, log, "prep 1"), cleaning(2, log, "prep 2")),
            work=registering(cleaning(2, log, "exec"), then=99),
        ),
        name="node",
    )
    inner = Step(chain("inner", node))
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught, trio.move_on_after(10):
            await engine.run(chain("f", inner), Notes())
    assert log == [
        "exec begins at 10",
        "exec ended at 12",
        "prep 2 begins at 12",
        "prep 2 ended at 14",
        "prep 1 begins at 14",
    ]
    assert trio.current_time() == 15.0
    error = caught.value.only()
    assert isinstance(error, CleanupOverrunError)
    assert (error.path, error.grace) == ("f/inner/node", 5.0)
    assert error.callback.endswith("cleaning.<locals>.clean")
    assert caught.value.find(error) == Failure("f/inner/node", "cleanup", 1, 15.0)


async def test_a_run_inside_a_cancelled_run_has_a_budget_of_its_own(
    autojump_clock: MockClock,
) -> None:
    """Two runs, two budgets: nested flows share one, a run() in a node does not."""
    log: list[str] = []
    inner = chain("other", doing(registering(cleaning(4, log, "inner"), then=99), "x"))

    async def outer() -> None:
        current_step().on_cleanup(cleaning(4, log, "outer"))
        await inner.run(Notes())

    with trio.move_on_after(1) as scope:
        await chain("f", doing(outer, "a")).run(Notes())
    assert scope.cancelled_caught
    assert log[-1] == "outer ended at 9"


@OBSERVED_OR_NOT
async def test_otherwise_every_cleanup_has_a_fresh_budget(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    work = registering(*(cleaning(4, log, str(number)) for number in range(3)))

    async def fail() -> None:
        await work()
        raise ValueError

    saved = saying("saved")
    bad, good = doing(fail, "bad"), doing(work, "good")

    @flow
    def f() -> Wiring[Notes]:
        return [
            good.then(bad),
            bad.then(END).catch(ValueError, to=saved),
            saved.then(END),
        ]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes())
    assert result.duration == 24.0
    assert len(log) == 12


@pytest.mark.parametrize("limit", ["timeout", "idle_timeout", "nested timeout"])
@OBSERVED_OR_NOT
async def test_a_limit_that_fired_and_was_caught_costs_later_steps_nothing(
    limit: str, observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    slow = doing(registering(cleaning(4, log, "slow"), then=99), "slow")
    if limit == "nested timeout":
        slow = Step(chain("inner", slow), timeout=1.0)
    elif limit == "timeout":
        slow = slow.with_(timeout=1.0)
    else:
        slow = slow.with_(idle_timeout=1.0)
    pause, later = sleeping(60, "pause"), doing(registering(cleaning(4, log, "later")), "later")

    @flow
    def f() -> Wiring[Notes]:
        return [
            slow.then(END).catch(DeadlineExceededError, to=pause),
            pause.then(later),
            later.then(END),
        ]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        await engine.run(f, Notes())
    assert log == [
        "slow begins at 1",
        "slow ended at 5",
        "later begins at 65",
        "later ended at 69",
    ]


async def test_a_limit_and_then_the_caller_share_what_is_left(
    autojump_clock: MockClock,
) -> None:
    """The caller cancels while a timed-out step still cleans up: that is one cancellation, one budget."""
    log: list[str] = []
    node = Step(
        Acts(
            prep=registering(cleaning(3, log, "prep")),
            work=registering(cleaning(3, log, "exec"), then=99),
        ),
        timeout=1.0,
    )
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(2):
        await chain("f", node).run(Notes())
    assert log == ["exec begins at 1", "exec ended at 4", "prep begins at 4"]
    assert trio.current_time() == 6.0
    assert [type(leaf) for leaf in caught.value.leaves()] == [CleanupOverrunError]


async def test_the_budget_is_the_engines(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with Engine(cleanup_grace=60.0) as engine:
        await engine.run(chain("f", doing(registering(cleaning(59, log, "x")), "a")), Notes())
    assert log == ["x begins at 0", "x ended at 59"]


@OBSERVED_OR_NOT
async def test_without_a_grace_a_cleanup_that_never_waits_still_runs(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []

    async def quick() -> None:
        log.append("quick")

    observers = [Recorder()] if observed else []
    async with Engine(cleanup_grace=0.0, observers=observers) as engine:
        await engine.run(chain("f", doing(registering(quick), "a")), Notes())
        assert log == ["quick"]
        work = registering(cleaning(1, log, "slow"))
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert isinstance(caught.value.only(), CleanupOverrunError)
    assert log == ["quick", "slow begins at 0"]


# ---------------------------------------------------------------- beyond it


async def where_it_hangs() -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("how", ["quiet", "observed", "cancelled"])
@pytest.mark.parametrize("attempt", range(8))  # whatever order the scheduler takes
async def test_an_overrun_says_where_it_stood(
    how: str, attempt: int, autojump_clock: MockClock
) -> None:
    recorder = Recorder()

    async def hang() -> None:
        await where_it_hangs()

    seconds, work = 99, registering(hang)
    if how == "cancelled":
        seconds, work = 1, registering(hang, then=99)
    async with Engine(observers=[recorder] if how == "observed" else []) as engine:
        with pytest.raises(FlowFailedError) as caught, trio.move_on_after(seconds):
            await engine.run(chain("f", doing(work, "a")), Notes())
    error = caught.value.only()
    assert isinstance(error, CleanupOverrunError)
    assert error.path == "f/a"
    assert [line.partition(" ")[0] for line in error.stack[-2:]] == ["hang", "where_it_hangs"]
    assert "test_cleanup_grace.py:" in error.stack[-1]
    assert str(error).startswith(
        f"cleanup {hang.__qualname__} of f/a did not end within 5 s at"
    )
    overruns = [event for event in recorder.events if isinstance(event, CleanupOverrun)]
    if how == "observed":
        (event,) = overruns
        assert (event.path, event.callback, event.grace, event.timestamp) == (
            "f/a",
            hang.__qualname__,
            5.0,
            5.0,
        )
        assert event.stack == error.stack


async def test_an_overrun_is_an_event_while_it_hangs(autojump_clock: MockClock) -> None:
    """A cleanup that swallows Cancelled cannot be ended; it is reported all the same, before it ends."""
    log: list[str] = []

    class Telling(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            if isinstance(event, CleanupOverrun):
                log.append(f"reported at {event.timestamp:g}")

    async def stubborn() -> None:
        for _ in range(3):
            with trio.CancelScope(shield=True):
                await trio.sleep(4)
        log.append(f"ended at {trio.current_time():g}")

    async with Engine(observers=[Telling()]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(registering(stubborn), "a")), Notes())
    assert log == ["reported at 5", "ended at 12"]
    error = caught.value.only()
    assert isinstance(error, CleanupOverrunError)
    assert error.stack[-1].startswith("stubborn ")


@OBSERVED_OR_NOT
async def test_a_cleanup_that_catches_cancelled_and_goes_on_has_overrun(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []

    async def deaf() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            log.append(f"swallowed at {trio.current_time():g}")

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(registering(deaf), "a")), Notes())
    assert log == ["swallowed at 5"]
    assert isinstance(caught.value.only(), CleanupOverrunError)


async def test_a_cleanup_in_a_thread_is_reported_with_where_it_stood(
    mock_clock: MockClock,
) -> None:
    gate = threading.Event()
    recorder = Recorder()

    def block() -> None:
        trio.from_thread.run_sync(mock_clock.jump, 6.0)
        trio.from_thread.run(wait_all_tasks_blocked)
        assert gate.wait(30)

    class Opener(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            if isinstance(event, CleanupOverrun):
                gate.set()

    async def clean() -> None:
        await trio.to_thread.run_sync(block)

    async with Engine(observers=[Opener(), recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(registering(clean), "a")), Notes())
    error = caught.value.only()
    assert isinstance(error, CleanupOverrunError)
    assert error.stack[-1].startswith("clean ")


@OBSERVED_OR_NOT
async def test_an_overrun_cuts_off_nobody_else_when_the_run_is_not_cancelled(
    observed: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []
    work = registering(cleaning(3, log, "second"), where_it_hangs)
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert log == ["second begins at 5", "second ended at 8"]
    assert isinstance(caught.value.only(), CleanupOverrunError)


@OBSERVED_OR_NOT
async def test_a_cleanup_that_overruns_and_fails_is_both(
    observed: bool, autojump_clock: MockClock
) -> None:
    error = ValueError("dirt")

    async def both() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(registering(both), "a")), Notes())
    leaves = list(caught.value.leaves())
    assert leaves[0] is error
    assert [type(leaf) for leaf in leaves] == [ValueError, CleanupOverrunError]


@pytest.mark.parametrize("how", ["quiet", "observed", "cancelled"])
async def test_no_cancelled_of_an_overrun_gets_out(how: str, autojump_clock: MockClock) -> None:
    """Nobody could catch it: its scope is gone."""
    error = ValueError("child")

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async def hang() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    seconds, work = 99, registering(hang)
    if how == "cancelled":
        seconds, work = 1, registering(hang, then=99)
    async with Engine(observers=[Recorder()] if how == "observed" else []) as engine:
        with pytest.raises(FlowFailedError) as caught, trio.move_on_after(seconds):
            await engine.run(chain("f", doing(work, "a")), Notes())
    group, overrun = caught.value.leaves()
    assert pytest.RaisesGroup(ValueError).matches(group)
    assert isinstance(overrun, CleanupOverrunError)


async def test_a_manager_that_hangs_is_reported_by_its_class(autojump_clock: MockClock) -> None:
    class Hanging(Opened):
        @override
        async def __aexit__(self, *_: object) -> bool:
            await trio.sleep_forever()
            raise AssertionError

    async def work() -> None:
        await current_step().enter(Hanging([]))

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    error = caught.value.only()
    assert isinstance(error, CleanupOverrunError)
    assert error.callback == "Hanging"


@pytest.mark.parametrize("how", ["quiet", "observed", "cancelled"])
@pytest.mark.parametrize("attempt", range(8))  # whatever order the scheduler takes
async def test_a_cleanup_that_ends_when_its_grace_does_has_overrun(
    how: str, attempt: int, autojump_clock: MockClock
) -> None:
    async def exact() -> None:
        await trio.sleep(5)

    seconds, work = 99, registering(exact)
    if how == "cancelled":
        seconds, work = 1, registering(exact, then=99)
    async with Engine(observers=[Recorder()] if how == "observed" else []) as engine:
        with pytest.raises(FlowFailedError) as caught, trio.move_on_after(seconds):
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert isinstance(caught.value.only(), CleanupOverrunError)
