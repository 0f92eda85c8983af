"""Observers with a task of their own: it begins with the engine, ends after the last run, and harms nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import Engine
from agentflow_trio.events import AlertFired, ExecutionEvent, ObserverFailed, RunEnded
from agentflow_trio.ports import BackgroundObserver
from agentflow_trio.testing import assert_no_leaks, simulate

from .engine_kit import Notes, Recorder, chain, saying, sleeping


@pytest.fixture(autouse=True)
def virtual_time(autojump_clock: MockClock) -> None:
    """Or a busy machine would take an observer's budget."""


def alert(name: str = "hot", now: float = 0.0) -> AlertFired:
    return AlertFired(
        timestamp=now, alert=name, severity="warning", condition="x", value=1.0, threshold=0.0
    )


class Ticking(Recorder):
    """Fires every second, and notes when it began and how it ended."""

    def __init__(self, name: str = "ticking") -> None:
        super().__init__(name)
        self.notes: list[tuple[float, str]] = []

    async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
        self.notes.append((trio.current_time(), "begun"))
        try:
            while True:
                await trio.sleep(1.0)
                tell(alert(now=trio.current_time()))
        finally:
            self.notes.append((trio.current_time(), "over"))

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if isinstance(event, RunEnded):
            self.notes.append((event.timestamp, "a run ended"))


def alerts(recorder: Recorder) -> list[float]:
    return [event.timestamp for event in recorder.events if isinstance(event, AlertFired)]


async def test_it_watches_from_the_engines_opening_until_its_last_run_has_ended(
    autojump_clock: MockClock,
) -> None:
    ticking, recorder = Ticking(), Recorder()
    assert isinstance(ticking, BackgroundObserver)
    with assert_no_leaks():
        async with Engine(observers=[ticking, recorder]) as engine:
            await trio.sleep(1.5)
            async with engine.start(chain("f", sleeping(2.0, "a")), Notes()):
                pass
            assert engine.statistics().runs == 0
            await trio.sleep(1.0)
    assert ticking.notes == [(0.0, "begun"), (3.5, "a run ended"), (4.5, "over")]
    assert alerts(ticking) == alerts(recorder) == [1.0, 2.0, 3.0, 4.0]


async def test_it_sees_the_runs_end_that_leaving_the_engine_cancels(
    autojump_clock: MockClock,
) -> None:
    ticking = Ticking()
    with trio.move_on_after(1.5):
        async with Engine(observers=[ticking]) as engine:
            await engine.run(chain("f", sleeping(9.0, "a")), Notes())
    assert ticking.notes == [(0.0, "begun"), (1.5, "a run ended"), (1.5, "over")]


async def test_it_ends_with_an_engine_whose_body_failed(autojump_clock: MockClock) -> None:
    ticking = Ticking()

    async def body() -> None:
        async with Engine(observers=[ticking]):
            await trio.sleep(1.5)
            raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        await body()
    assert ticking.notes == [(0.0, "begun"), (1.5, "over")]


async def test_what_it_tells_belongs_to_no_run_and_reaches_only_who_wants_it(
    autojump_clock: MockClock,
) -> None:
    class Wanting(Recorder):
        @property
        def wants(self) -> Collection[type[ExecutionEvent]]:
            return [RunEnded]

    ticking, choosy = Ticking(), Wanting()
    async with Engine(observers=[ticking, choosy]) as engine:
        await engine.run(chain("f", sleeping(1.5, "a")), Notes())
    fired = next(event for event in ticking.events if isinstance(event, AlertFired))
    assert (fired.run_id, fired.seq, fired.path) == ("", -1, "")
    assert [event.seq for event in ticking.events if event.run_id] == [0, 1, 2, 3, 4]
    assert choosy.lines() == ["run_end f outcome=success steps=1"]


async def test_one_that_raises_is_reported_once_and_harms_nothing(
    autojump_clock: MockClock,
) -> None:
    class Breaking(Recorder):
        async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
            await trio.sleep(1.0)
            raise ValueError("broken")

    breaking, recorder, ticking = Breaking("breaking"), Recorder(), Ticking()
    async with Engine(observers=[breaking, recorder, ticking]) as engine:
        result = await engine.run(chain("f", sleeping(2.5, "a")), Notes())
    assert result.state.log == ["a"]
    failed = [event for event in recorder.events if isinstance(event, ObserverFailed)]
    assert [(event.run_id, event.seq, event.path, event.timestamp) for event in failed] == [
        ("", -1, "", 1.0)
    ]
    assert failed[0].metadata == {"observer": "breaking", "reason": "ValueError: broken"}
    assert alerts(recorder) == [1.0, 2.0]
    assert breaking.events[-1].event_type == "run_end"  # it is an observer still


async def test_one_that_returns_is_done_and_one_that_fails_on_being_cancelled_is_reported() -> (
    None
):
    class Done(Recorder):
        async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
            tell(alert())

    class Sour(Recorder):
        async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("sour")

    done, sour = Done("done"), Sour("sour")
    async with Engine(observers=[done, sour]):
        await trio.testing.wait_all_tasks_blocked()
    assert done.events[0] == alert()
    assert done.lines()[1:] == ["observer_failed  observer=sour reason=OSError: sour"]


async def test_an_observer_that_fails_over_what_is_told_is_told_no_more_of_that(
    autojump_clock: MockClock,
) -> None:
    class Touchy(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            super().observe(event)
            if isinstance(event, AlertFired):
                raise TypeError("touchy")

    touchy, ticking, recorder = Touchy("touchy"), Ticking(), Recorder()
    async with Engine(observers=[touchy, ticking, recorder]) as engine:
        await engine.run(chain("f", sleeping(2.5, "a")), Notes())
    assert alerts(touchy) == [1.0]
    assert alerts(recorder) == [1.0, 2.0]
    reports = [event for event in recorder.events if isinstance(event, ObserverFailed)]
    assert [event.metadata["reason"] for event in reports] == ["TypeError: touchy"]
    assert touchy.events[-1].event_type == "run_end"  # runs are told to it as ever


async def test_what_nobody_wants_is_told_to_nobody() -> None:
    class Deaf(Recorder):
        wants = ()

        async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
            tell(alert())

    deaf = Deaf()
    async with Engine(observers=[deaf]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert deaf.events == []


async def test_an_engine_without_runs_leaves_at_once() -> None:
    ticking = Ticking()
    async with Engine(observers=[ticking]):
        pass
    assert [what for _, what in ticking.notes] == ["begun", "over"]


def test_it_ticks_in_virtual_time_in_a_simulation() -> None:
    ticked: list[list[float]] = []

    async def program() -> None:
        ticking = Ticking()
        async with Engine(observers=[ticking]) as engine:
            await engine.run(chain("f", sleeping(3.5, "a"), saying("b")), Notes())
        ticked.append(alerts(ticking))

    for seed in range(5):
        with simulate(program, seed=seed) as sim:
            sim.run()
    assert ticked == [[1.0, 2.0, 3.0]] * 5
