"""Observers: told every fact in order, inside the run; one that fails or is slow is switched off and reported once."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import Engine, FlowFailedError, current_step
from agentflow_trio.events import (
    ExecutionEvent,
    NodeStarted,
    ObserverFailed,
    RunEnded,
    RunStarted,
)

from .engine_kit import Notes, Recorder, chain, doing, failing, saying

ROW = [
    "run_start f",
    "node_start f/a",
    "node_success f/a",
    "routed f/a target=end",
    "run_end f outcome=success steps=1",
]


class Wanting(Recorder):
    """Wants some kinds of events only."""

    def __init__(self, *kinds: type[ExecutionEvent]) -> None:
        super().__init__()
        self._kinds = kinds

    @property
    def wants(self) -> Collection[type[ExecutionEvent]]:
        return self._kinds


class Failing(Recorder):
    """Raises at its n-th event; keeps what it was told all the same."""

    def __init__(self, at: int, name: str = "failing") -> None:
        super().__init__(name)
        self._at = at

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if len(self.events) == self._at:
            raise ValueError(f"at event {self._at}")


class Slow(Recorder):
    """Takes some seconds for its first event."""

    def __init__(self, clock: MockClock, seconds: float) -> None:
        super().__init__("slow")
        self._clock, self._seconds = clock, seconds

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if len(self.events) == 1:
            self._clock.jump(self._seconds)


async def test_an_observer_is_told_every_event_of_every_run_in_order() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
        async with engine.start(chain("f", saying("a")), Notes()) as run:
            await run.result()
    assert recorder.lines() == ROW + ROW
    assert [event.seq for event in recorder.events] == [0, 1, 2, 3, 4] * 2
    assert len({event.run_id for event in recorder.events}) == 2


async def test_all_observers_get_the_same_event_objects() -> None:
    one, other = Recorder(), Recorder()
    async with Engine(observers=[one, other]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert [a is b for a, b in zip(one.events, other.events, strict=True)] == [True] * 5


async def test_an_observer_is_told_at_once_in_the_task_of_the_run() -> None:
    log: list[str] = []

    class Logging(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            assert trio.lowlevel.current_task() is task
            log.append(event.event_type)

    async def note() -> None:
        log.append("working")

    task = trio.lowlevel.current_task()
    async with Engine(observers=[Logging()]) as engine:
        await engine.run(chain("f", doing(note, "a")), Notes())
    assert log == ["run_start", "node_start", "working", "node_success", "routed", "run_end"]


async def test_what_an_observer_does_not_want_is_counted_but_not_told() -> None:
    choosy, recorder = Wanting(NodeStarted, RunEnded), Recorder()
    async with Engine(observers=[choosy]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert [(event.seq, event.event_type) for event in choosy.events] == [
        (1, "node_start"),
        (4, "run_end"),
    ]
    async with Engine(observers=[choosy, recorder, Wanting()]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert recorder.lines() == ROW
    assert len(choosy.events) == 4


async def test_an_observer_that_raises_is_switched_off_and_reported_once() -> None:
    first, failing_one, last = Recorder(), Failing(2), Recorder()
    async with Engine(observers=[first, failing_one, last]) as engine:
        result = await engine.run(chain("f", saying("a")), Notes())
    assert result.state.log == ["a"]
    told = [*ROW[:2], "observer_failed f/a observer=failing reason=ValueError: at event 2"]
    assert first.lines() == last.lines() == told + ROW[2:]
    assert [event.seq for event in last.events] == [0, 1, 2, 3, 4, 5]
    assert failing_one.lines() == ROW[:2]


async def test_an_observer_that_was_switched_off_is_back_in_the_next_run() -> None:
    failing_one = Failing(1)
    async with Engine(observers=[failing_one]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
        await engine.run(chain("f", saying("a")), Notes())
    assert failing_one.lines() == [ROW[0], *ROW]


async def test_observers_that_fail_at_one_event_are_reported_one_after_the_other() -> None:
    recorder = Recorder()
    bad = [Failing(1, "one"), Failing(1, "two")]
    async with Engine(observers=[bad[0], recorder, bad[1]]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert recorder.lines()[:3] == [
        ROW[0],
        "observer_failed f observer=one reason=ValueError: at event 1",
        "observer_failed f observer=two reason=ValueError: at event 1",
    ]


async def test_an_observer_that_fails_at_the_report_of_another_is_reported_too() -> None:
    class Touchy(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            if isinstance(event, ObserverFailed):
                raise TypeError("touchy")

    recorder = Recorder()
    async with Engine(observers=[Failing(1), Touchy("touchy"), recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert recorder.lines()[:3] == [
        ROW[0],
        "observer_failed f observer=failing reason=ValueError: at event 1",
        "observer_failed f observer=touchy reason=TypeError: touchy",
    ]


async def test_an_observer_that_fails_at_the_last_event_is_reported_after_it() -> None:
    recorder = Recorder()
    async with Engine(observers=[Failing(5), recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert recorder.lines() == [
        *ROW,
        "observer_failed f observer=failing reason=ValueError: at event 5",
    ]


@pytest.mark.parametrize(("seconds", "is_slow"), [(0.1, False), (0.125, True)])
async def test_an_observer_that_takes_longer_than_its_budget_is_switched_off(
    seconds: float, is_slow: bool, mock_clock: MockClock
) -> None:
    slow, recorder = Slow(mock_clock, seconds), Recorder()
    async with Engine(observers=[slow, recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    if is_slow:
        reason = "took 0.125 s for one event; the budget is 0.1 s"
        assert recorder.lines()[1] == f"observer_failed f observer=slow reason={reason}"
        assert len(slow.events) == 1
    else:
        assert recorder.lines() == ROW
        assert len(slow.events) == 5


async def test_the_budget_of_observers_is_the_engines(mock_clock: MockClock) -> None:
    slow = Slow(mock_clock, 9.0)
    async with Engine(observers=[slow], observer_budget=10.0) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert len(slow.events) == 5


async def test_what_must_end_the_program_is_not_kept_from_an_observer() -> None:
    class Interrupted(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            if isinstance(event, NodeStarted):
                raise KeyboardInterrupt

    recorder = Recorder()
    async with Engine(observers=[recorder, Interrupted()]) as engine:
        with pytest.raises(KeyboardInterrupt):
            await engine.run(chain("f", saying("a")), Notes())
    assert [event.event_type for event in recorder.events] == [
        "run_start",
        "node_start",
        "node_error",
        "run_end",
    ]


async def test_emitting_is_no_checkpoint() -> None:
    """A run that is observed and cancelled by its node still ends at the next boundary, not before."""
    log: list[str] = []

    async def work() -> None:
        scope.cancel()
        current_step().report(0.5)
        log.append("still here")

    async with Engine(observers=[Recorder()]) as engine:
        with trio.CancelScope() as scope:
            await engine.run(chain("f", doing(work, "a"), saying("b")), Notes())
    assert log == ["still here"]


async def test_an_event_that_an_observer_causes_comes_after_the_one_it_was_told() -> None:
    """For every observer, whatever their order."""

    class Chatty(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            super().observe(event)
            if isinstance(event, NodeStarted):
                current_step().report(0.5, "hello")

    first, chatty, last = Recorder(), Chatty(), Recorder()
    async with Engine(observers=[first, chatty, last]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    told = [*ROW[:2], "progress f/a fraction=0.5 text=hello", *ROW[2:]]
    assert first.lines() == chatty.lines() == last.lines() == told
    assert [event.seq for event in last.events] == [0, 1, 2, 3, 4, 5]


async def test_an_observer_may_end_the_run_it_watches() -> None:
    class Killer(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            super().observe(event)
            if isinstance(event, RunStarted):
                scope.cancel()

    killer = Killer()
    async with Engine(observers=[killer]) as engine:
        with trio.CancelScope() as scope:
            await engine.run(chain("f", saying("a")), Notes())
    assert scope.cancelled_caught
    assert [event.event_type for event in killer.events] == ["run_start", "run_end"]


async def test_the_metadata_of_an_event_is_what_its_kind_says() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", failing(ValueError("no"), "a")), Notes())
    failed = recorder.events[2]
    assert failed.metadata == {
        "phase": "exec",
        "attempt": "1",
        "error": "ValueError",
        "message": "no",
    }
