"""The watchdog: who keeps the loop from going round is named, with the line, and nothing of it is left.

The wall clock here is moved by hand. Nodes that block move it, and call what the watchdog's thread would: the real one
wakes up every 250 s with the limit that is used.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import Blocked, Engine, Secret, Step, each, parallel, step
from agentflow_trio.engine import _blocking
from agentflow_trio.engine._blocking import Watchdog
from agentflow_trio.engine._live import CURRENT
from agentflow_trio.engine._trail import LEFT, Trail
from agentflow_trio.events import ExecutionEvent, LoopBlocked
from agentflow_trio.testing import simulate

from .engine_kit import Act, Notes, Recorder, chain, doing, nothing, saying

LIMIT = 1000.0


class Wall:
    """A clock that is moved by hand, and whoever moves it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.engine: Engine | None = None

    def __call__(self) -> float:
        return self.time

    @property
    def dog(self) -> Watchdog:
        assert self.engine is not None
        assert self.engine._watchdog is not None
        return self.engine._watchdog

    def look(self) -> None:
        """What the thread does; in one, for the stack must be found from there too."""
        thread = threading.Thread(target=self.dog.look)
        thread.start()
        thread.join()

    def blocking(self, seconds: float) -> None:
        """Block, seen by the thread just before the end."""
        self.time += seconds
        self.look()

    def quietly(self, seconds: float) -> None:
        """Block, and nobody can look."""
        self.time += seconds

    def node(self, name: str, *seconds: float) -> Step[Notes, []]:
        """A step that never waits and blocks so long in each visit."""

        async def blocks() -> None:
            for one in seconds:
                self.blocking(one)

        return doing(blocks, name)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The clock of the watchdogs of this test."""
    wall = Wall()
    monkeypatch.setattr(_blocking, "Watchdog", partial(Watchdog, clock=wall))
    return wall


@asynccontextmanager
async def watched(wall: Wall, recorder: Recorder | None = None) -> AsyncGenerator[Engine]:
    async with Engine(observers=[recorder] if recorder else (), watchdog=LIMIT) as engine:
        wall.engine = engine
        yield engine


def blocks(recorder: Recorder) -> list[LoopBlocked]:
    return [event for event in recorder.events if isinstance(event, LoopBlocked)]


# ---------------------------------------------------------------- what is told


async def test_a_step_that_blocks_is_told_with_path_seconds_task_and_line(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", saying("a"), wall.node("b", 1500.0)), Notes())
        (event,) = blocks(recorder)
        assert (event.path, event.seconds) == ("f/b", 1500.0)
        assert "test_a_step_that_blocks" in event.task
        names = [line.partition(" ")[0] for line in event.stack]
        last = event.stack[-1]
        begin = names.index("blocks")
        assert names[begin : begin + 3] == ["blocks", "blocking", "look"]
        assert not any("/agentflow_trio/engine/" in line for line in event.stack)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("agentflow_trio.watchdog", logging.WARNING)
        assert record.message.startswith("f/b blocked the loop for 1.5e+03 s\n  ")
        assert record.message.endswith(last)
        assert engine.snapshot().blocked == (
            Blocked(
                place=last,
                path="f/b",
                task=event.task,
                times=1,
                total=1500.0,
                longest=1500.0,
                stack=event.stack,
            ),
        )
        assert "blocked the loop: f/b 1 time, at most 1500.0 s, at " in str(engine.snapshot())


async def test_what_takes_just_as_long_as_it_may_is_not_told(wall: Wall) -> None:
    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", wall.node("a", LIMIT)), Notes())
        await trio.lowlevel.checkpoint()
        await engine.run(chain("f", wall.node("a", LIMIT + 0.5)), Notes())
    assert [event.seconds for event in blocks(recorder)] == [LIMIT + 0.5]


async def test_a_place_is_logged_once_and_counted_every_time(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        for seconds in (1500.0, 3000.0, 2000.0):
            await engine.run(chain("f", wall.node("a", seconds)), Notes())
        (blocked,) = engine.snapshot().blocked
    assert (blocked.times, blocked.total, blocked.longest) == (3, 6500.0, 3000.0)
    assert len(blocks(recorder)) == 3
    assert len(caplog.records) == 1


async def test_waiting_is_not_blocking(wall: Wall, autojump_clock: MockClock) -> None:
    async def waits() -> None:
        wall.time += 900.0
        await trio.sleep(5.0)
        wall.time += 900.0  # a step of its own
        await trio.lowlevel.checkpoint()
        wall.time += 900.0

    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", doing(waits, "waits")), Notes())
        assert (engine.snapshot().blocked, blocks(recorder)) == ((), [])


async def test_without_a_look_the_step_is_named_all_the_same(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    async def holds_the_gil() -> None:
        wall.quietly(1500.0)

    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", saying("a"), doing(holds_the_gil, "b")), Notes())
    (event,) = blocks(recorder)
    assert (event.path, event.stack) == ("f/b", ())
    assert caplog.messages == ["f/b blocked the loop for 1.5e+03 s; no stack was taken"]


async def test_the_visit_that_blocked_is_named_though_the_task_went_on(wall: Wall) -> None:
    recorder = Recorder()
    steps = [saying("a"), wall.node("b", 1500.0), saying("c"), saying("d")]
    async with watched(wall, recorder) as engine:
        await engine.run(
            chain("f", Step(chain("g", *steps), name="nested"), saying("e")), Notes()
        )
    assert [event.path for event in blocks(recorder)] == ["f/nested/b"]


@pytest.mark.parametrize("before", [nothing, trio.lowlevel.checkpoint])
async def test_it_is_told_before_the_run_is_over(wall: Wall, before: Act) -> None:
    async def work() -> None:
        await before()  # then the run ends in the very step that blocks
        wall.blocking(1500.0)

    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", doing(work, "a")), Notes())
        await trio.lowlevel.checkpoint()
    kinds = [event.event_type for event in recorder.events]
    assert kinds[-2:] == ["loop_blocked", "run_end"]
    assert len(blocks(recorder)) == 1


async def test_of_two_lines_in_one_step_the_one_seen_more_often_is_named(wall: Wall) -> None:
    def short() -> None:
        wall.blocking(1100.0)

    def long() -> None:
        for _ in range(3):
            wall.blocking(1100.0)

    async def work() -> None:
        short()
        long()

    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", doing(work, "work")), Notes())
    (event,) = blocks(recorder)
    assert event.seconds == 4400.0
    names = [line.partition(" ")[0] for line in event.stack]
    assert names[names.index("work") + 1] == "long"


async def test_of_very_long_steps_the_first_hundred_looks_count(wall: Wall) -> None:
    async def work() -> None:
        for _ in range(150):
            wall.dog.look()  # in this thread: 150 others would take their time
            wall.time += 1100.0

    async with watched(wall) as engine:
        await engine.run(chain("f", doing(work, "work")), Notes())
        (blocked,) = engine.snapshot().blocked
    assert (blocked.times, blocked.total) == (1, 165_000.0)


# ---------------------------------------------------------------- whose it was


async def test_branches_items_and_tasks_of_a_node_are_told_by_their_path(wall: Wall) -> None:
    class Blocks:
        async def prep(self, notes: Notes, /) -> Sequence[int]:
            return range(3)

        async def exec(self, item: int, /) -> None:
            await trio.lowlevel.checkpoint()
            if item == 1:
                wall.blocking(1500.0)

        async def post(self, notes: Notes, prepared: Any, results: Any, /) -> None: ...

    async def child() -> None:
        wall.blocking(1500.0)

    async def own_task() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    @step
    async def branch(notes: Notes) -> None:
        wall.blocking(1500.0)

    items = Step(each(Blocks(), concurrent=2), name="items")
    recorder = Recorder()
    flow = chain("f", Step(parallel(branch, items), name="both"), doing(own_task, "own"))
    async with watched(wall, recorder) as engine:
        await engine.run(flow, Notes())
    assert sorted(event.path for event in blocks(recorder)) == [
        "f/both/branch",
        "f/both/items[1]",
        "f/own",
    ]


async def test_a_task_of_the_application_is_told_by_its_name_and_is_no_event(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    async def refresh() -> None:
        wall.blocking(1500.0)

    async def starts(scope: trio.Nursery) -> None:
        scope.start_soon(refresh, name="started by a node, but not waited for")

    recorder = Recorder()
    async with watched(wall, recorder) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(refresh, name="refresh")
        await trio.lowlevel.checkpoint()
        await engine.run(chain("f", doing(partial(starts, nursery), "starts")), Notes())
        await trio.lowlevel.checkpoint()
        (blocked,) = engine.snapshot().blocked
    assert (blocked.path, blocked.task, blocked.times) == (
        "",
        "started by a node, but not waited for",
        2,
    )
    assert caplog.messages[0].startswith("task 'refresh' blocked the loop")
    assert blocks(recorder) == []


async def test_runs_of_others_are_named_but_their_observers_are_not_ours(wall: Wall) -> None:
    theirs, ours = Recorder(), Recorder()
    async with watched(wall, ours) as engine, Engine(observers=[theirs]) as other:
        await other.run(chain("f", wall.node("a", 1500.0)), Notes())
        await trio.lowlevel.checkpoint()
        await chain("g", wall.node("a", 1500.0)).run(Notes())
        await trio.lowlevel.checkpoint()
        (blocked,) = engine.snapshot().blocked
    assert (blocked.times, blocks(theirs), blocks(ours)) == (2, [], [])


async def test_beyond_a_hundred_places_the_rest_is_counted_together(wall: Wall) -> None:
    async def block() -> None:
        wall.quietly(1500.0)

    async with watched(wall) as engine, trio.open_nursery() as nursery:
        for number in range(103):
            nursery.start_soon(block, name=f"task {number}")
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        found = engine.snapshot().blocked
    assert len(found) == 101
    assert (found[0].place, found[0].times, found[0].total) == ("elsewhere", 3, 4500.0)


# ---------------------------------------------------------------- a look that comes at a bad moment


async def test_a_look_at_a_log_that_changes_meanwhile_sees_nothing(wall: Wall) -> None:
    async def torn() -> None:
        strand = CURRENT.get()
        assert strand is not None
        wall.time += 1500.0
        strand.trail.entries.append(LEFT)
        wall.look()
        strand.trail.entries.pop()

    recorder = Recorder()
    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", doing(torn, "torn")), Notes())
    assert [(event.path, event.stack) for event in blocks(recorder)] == [("f/torn", ())]


async def test_a_look_at_a_task_that_has_just_ended_sees_no_stack(wall: Wall) -> None:
    tasks: list[trio.lowlevel.Task] = []

    async def ends() -> None:
        tasks.append(trio.lowlevel.current_task())

    async with watched(wall) as engine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends)
        wall.dog._task = tasks[0]
        wall.blocking(1500.0)
        await trio.lowlevel.checkpoint()
        (blocked,) = engine.snapshot().blocked
    assert blocked.stack == ()


# ---------------------------------------------------------------- on and off


def instruments() -> list[object]:
    """Those of this loop that are watchdogs."""
    runner = getattr(trio._core._run.GLOBAL_RUN_CONTEXT, "runner")  # noqa: B009 - set at run time
    return [one for one in runner.instruments["_all"] if isinstance(one, Watchdog)]


def dogs() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "agentflow watchdog"]


async def test_a_real_block_is_seen_while_it_blocks_by_a_thread_of_its_own() -> None:
    recorder = Recorder()

    async def spins() -> None:
        dog = engine._watchdog
        assert dog is not None
        await trio.lowlevel.checkpoint()  # what came before may have been slow itself
        while not any("spins (" in " ".join(sample.stack) for sample in dog._samples):
            threading.Event().wait(0.001)  # as long as it takes the thread

    async with Engine(observers=[recorder], watchdog=0.01) as engine:
        assert dogs() == ["agentflow watchdog"]
        await engine.run(chain("f", doing(spins, "spins")), Notes())
    assert dogs() == []
    # on a busy machine what came before may have blocked, too
    found = [event for event in blocks(recorder) if event.path == "f/spins"]
    assert any(line.startswith("spins (") for event in found for line in event.stack)
    assert all(event.seconds > 0.01 for event in found)


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_it_ends_with_the_engine_however_that_ends(error: Exception | None) -> None:
    async def body() -> None:
        async with Engine(watchdog=LIMIT):
            assert len(instruments()) == 1
            if error is not None:
                raise error

    if error is None:
        await body()
    else:
        with pytest.raises(ValueError, match="no"):
            await body()
    assert (instruments(), dogs()) == ([], [])


async def test_an_observer_that_ends_the_program_while_it_is_told_leaves_nothing(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    class Exits:
        name = "exits"
        wants = (LoopBlocked,)

        def observe(self, event: ExecutionEvent, /) -> None:
            raise SystemExit

    async def slow() -> None:
        wall.quietly(1500.0)
        await trio.lowlevel.checkpoint()

    async with Engine(observers=[Exits()], watchdog=LIMIT) as engine:
        await engine.run(chain("f", doing(slow, "slow")), Notes())
    assert (instruments(), dogs()) == ([], [])
    assert "Instrument has been disabled" in caplog.text


async def test_without_one_nothing_is_installed() -> None:
    async with Engine() as engine:
        assert (instruments(), dogs(), engine._watchdog) == ([], [], None)
        assert engine.snapshot().blocked == ()


def test_in_a_simulation_it_is_off() -> None:
    recorder = Recorder()

    async def program() -> None:
        async with Engine(observers=[recorder], watchdog=1e-9) as engine:
            await engine.run(chain("f", doing(nothing, "a")), Notes())
            assert (instruments(), dogs(), engine.snapshot().blocked) == ([], [], ())

    with simulate(program) as sim:
        sim.run()
    assert blocks(recorder) == []
    assert recorder.events


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="watchdog must be a number of seconds > 0"):
        Engine(watchdog=seconds)


async def test_what_a_task_is_called_is_redacted(
    wall: Wall, caplog: pytest.LogCaptureFixture
) -> None:
    secret, recorder = Secret("a user's number"), Recorder()
    name = f"for {secret.reveal()}"
    snapshots: list[str] = []

    async def block(way: Callable[[float], None]) -> None:
        way(LIMIT + 1.0)
        await trio.lowlevel.checkpoint()

    async def work() -> None:
        assert wall.engine is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(block, wall.blocking, name=name)
            nursery.start_soon(trio.sleep, 0.0, name=name)
            await trio.sleep(0.0)
            snapshots.append(str(wall.engine.snapshot()))

    async with watched(wall, recorder) as engine:
        await engine.run(chain("f", doing(work, "work")), Notes())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(block, wall.quietly, name=name)
        snapshots.append(str(engine.snapshot()))
    (event,) = blocks(recorder)
    assert event.task == "for ***"
    assert "number" not in "".join(snapshots) + caplog.text + str(recorder.events)
    assert "for ***" in snapshots[0]
    assert "task 'for ***' blocked the loop" in caplog.text


def test_before_its_first_visit_a_run_is_at_its_flow() -> None:
    assert Trail(chain("writing", saying("draft")).plan).here().path == "writing"
