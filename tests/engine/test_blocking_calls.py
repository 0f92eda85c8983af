"""Blocking calls: bounded for an engine, in the order of arrival; what is abandoned is told until it ends."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
import trio
from attrs import define, field

from agentflow_trio import (
    AbandonedThread,
    AbandonedThreadWarning,
    Engine,
    FlowFailedError,
    Step,
    current_step,
    each,
)
from agentflow_trio.engine import abandoned_threads
from agentflow_trio.events import ExecutionEvent, RunEnded, ThreadAbandoned, ThreadEnded
from agentflow_trio.testing import LeakError, assert_no_leaks

from .engine_kit import Notes, doing


@define
class Recorder:
    """Keeps the events about threads, and the last of all."""

    name: str = "recorder"
    events: list[ExecutionEvent] = field(factory=list[ExecutionEvent])

    def observe(self, event: ExecutionEvent, /) -> None:
        if isinstance(event, ThreadAbandoned | ThreadEnded | RunEnded):
            self.events.append(event)

    def told(self) -> list[str]:
        return [event.event_type for event in self.events]


@define
class Grinder:
    """A call that blocks until it may go on.

    Attributes:
        error: what it raises in the end.
        began: set when it is at work.
    """

    error: Exception | None = None
    began: trio.Event = field(factory=trio.Event)
    go_on: threading.Event = field(factory=threading.Event)

    def grind(self) -> str:
        trio.from_thread.run_sync(self.began.set)
        assert self.go_on.wait(30)
        if self.error is not None:
            raise self.error
        return "ground"


@pytest.fixture(autouse=True)
def calls_are_over() -> Iterator[None]:
    """Trio names a thread after what it calls until that is over, which is a little after it could say so itself."""
    yield
    while busy := [each for each in threading.enumerate() if " from " in each.name]:
        busy[0].join(0.001)


@pytest.fixture
def grinder() -> Iterator[Grinder]:
    grinder = Grinder()
    yield grinder
    grinder.go_on.set()


def grinding(grinder: Grinder) -> Step[Notes, []]:
    return doing(lambda: current_step().to_thread(grinder.grind), "mill")


def abandoning(grinder: Grinder) -> Step[Notes, []]:
    async def work() -> None:
        mill = functools.partial(grinder.grind)
        await current_step().to_thread(mill, abandon_on_cancel=True)

    return doing(work, "mill")


async def until(true: Callable[[], bool]) -> None:
    """Wait for what a thread brings about."""
    with trio.fail_after(30):
        while not true():
            await trio.lowlevel.checkpoint()


async def arrived(engine: Engine, many: int) -> None:
    """Wait until so many calls are made or in line."""

    def calls() -> int:
        now = engine.statistics()
        return now.threads + now.threads_waiting

    await until(lambda: calls() == many)


async def left_by_cancelling(engine: Engine, grinder: Grinder) -> None:
    """Run the mill and cancel it while it is at work."""
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await engine.run(abandoning(grinder), Notes(), run_id="r")

        nursery.start_soon(run)
        await grinder.began.wait()
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- how many at once


async def test_an_engine_makes_so_many_calls_at_once_and_the_others_wait_in_line() -> None:
    grinders = [Grinder() for _ in range(4)]
    began: list[int] = []

    async def one(engine: Engine, number: int) -> None:
        async def work() -> None:
            await current_step().to_thread(grinders[number].grind)

        await engine.run(doing(work, f"mill{number}"), Notes())

    async with Engine(max_threads=2) as engine, trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(one, engine, number)
            await arrived(engine, number + 1)
            assert engine.statistics().runs == number + 1
        assert engine.statistics().threads == 2
        assert engine.statistics().threads_waiting == 2
        for number, grinder in enumerate(grinders):
            await grinder.began.wait()
            began.append(number)
            assert [each.began.is_set() for each in grinders[number + 2 :]] == [False] * max(
                0, 2 - number
            )
            grinder.go_on.set()
    assert began == [0, 1, 2, 3]
    assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0


async def test_two_engines_do_not_wait_for_each_other(grinder: Grinder) -> None:
    async def quick() -> None:
        await current_step().to_thread(int)

    async def slow(engine: Engine) -> None:
        await engine.run(grinding(grinder), Notes())

    async with (
        Engine(max_threads=1) as one,
        Engine(max_threads=1) as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(slow, one)
        await grinder.began.wait()
        await other.run(doing(quick, "b"), Notes())
        await doing(quick, "c").run(Notes())
        grinder.go_on.set()


async def test_without_an_engine_trios_own_limiter_is_used(grinder: Grinder) -> None:
    limiter = trio.to_thread.current_default_thread_limiter()
    assert limiter.total_tokens == 40
    async with trio.open_nursery() as nursery:
        work = grinding(grinder)
        nursery.start_soon(work.run, Notes())
        await grinder.began.wait()
        assert limiter.borrowed_tokens == 1
        grinder.go_on.set()


async def test_forty_threads_are_the_default() -> None:
    async with Engine() as engine, trio.open_nursery() as nursery:
        grinders = [Grinder() for _ in range(41)]
        for each in grinders:
            work = grinding(each)
            nursery.start_soon(engine.run, work, Notes())
        await until(lambda: engine.statistics().threads_waiting == 1)
        assert engine.statistics().threads == 40
        for each in grinders:
            each.go_on.set()


@pytest.mark.parametrize("value", [0, -1, True])
def test_a_bound_that_makes_no_sense_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="Engine: max_threads must be a whole number >= 1"):
        Engine(max_threads=value)
    with pytest.raises(ValueError, match="Engine: max_processes must be a whole number >= 1"):
        Engine(max_processes=value)


# ---------------------------------------------------------------- what is abandoned


async def test_what_is_abandoned_keeps_its_place_until_it_ends_and_both_are_events(
    grinder: Grinder,
) -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder], max_threads=1) as engine:
        before = trio.current_time()
        await left_by_cancelling(engine, grinder)
        (thread,) = engine.statistics().abandoned
        assert (thread.run_id, thread.path, thread.function) == ("r", "mill", "Grinder.grind")
        assert before < thread.since <= trio.current_time()
        assert str(thread).startswith("Grinder.grind of mill, abandoned at ")
        assert engine.statistics().threads == 1
        assert recorder.told() == ["thread_abandoned", "run_end"]
        grinder.go_on.set()
        await until(lambda: engine.statistics().threads == 0)
        assert engine.statistics().abandoned == ()
        assert engine.statistics().abandoned_in_all == 1
    abandoned, ended, over = recorder.events
    assert isinstance(abandoned, ThreadAbandoned)
    assert (abandoned.path, abandoned.function) == ("mill", "Grinder.grind")
    assert isinstance(ended, RunEnded)
    assert isinstance(over, ThreadEnded)
    assert (over.path, over.function, over.error) == ("mill", "Grinder.grind", None)
    assert over.seq == ended.seq + 1
    assert over.duration_ms is not None
    assert over.duration_ms >= (over.timestamp - thread.since) * 1000.0


async def test_what_an_abandoned_thread_raises_is_told(grinder: Grinder) -> None:
    recorder = Recorder()
    grinder.error = OSError("the mill is on fire")
    async with Engine(observers=[recorder]) as engine:
        await left_by_cancelling(engine, grinder)
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)
    ended = recorder.events[-1]
    assert isinstance(ended, ThreadEnded)
    assert (ended.error, ended.message) == ("OSError", "the mill is on fire")


async def test_a_step_out_of_time_may_leave_a_thread_and_the_run_goes_on(
    grinder: Grinder,
) -> None:
    async def work() -> None:
        with trio.CancelScope() as scope:

            def cut() -> None:
                trio.from_thread.run_sync(scope.cancel)
                grinder.go_on.wait(30)

            await current_step().to_thread(cut, abandon_on_cancel=True)
        seen.append(scope.cancelled_caught)
        (left,) = abandoned_threads()
        seen.append(left.path)

    seen: list[object] = []
    async with Engine() as engine:
        await engine.run(doing(work, "mill"), Notes())
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)
    assert seen == [True, "mill"]


async def test_a_thread_that_fails_just_as_it_is_cancelled_is_told_all_the_same() -> None:
    """Trio drops what it raised; so the events are the only place where it is heard of."""
    recorder = Recorder()
    token = trio.lowlevel.current_trio_token()

    def fail() -> None:
        token.run_sync_soon(scope.cancel)
        raise OSError("the mill is on fire")

    async def work() -> None:
        await current_step().to_thread(fail, abandon_on_cancel=True)

    async with Engine(observers=[recorder]) as engine:
        with trio.CancelScope() as scope:
            await engine.run(doing(work, "mill"), Notes())
        await until(lambda: engine.statistics().threads == 0)
        assert engine.statistics().abandoned == ()
    ended = [event for event in recorder.events if isinstance(event, ThreadEnded)]
    assert [event.message for event in ended] == ["the mill is on fire"]
    assert "thread_abandoned" in recorder.told()


async def test_what_is_cancelled_before_its_thread_begins_leaves_nothing(
    grinder: Grinder,
) -> None:
    recorder = Recorder()

    async def work() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await current_step().to_thread(grinder.grind, abandon_on_cancel=True)

    async with Engine(observers=[recorder]) as engine:
        await engine.run(doing(work, "mill"), Notes())
        assert engine.statistics().threads == 0
        assert engine.statistics().abandoned_in_all == 0
    assert recorder.told() == ["run_end"]
    assert not grinder.began.is_set()


async def test_what_waits_in_line_is_cancelled_and_leaves_nothing(grinder: Grinder) -> None:
    async def cut(engine: Engine, scope: trio.CancelScope) -> None:
        await until(lambda: engine.statistics().threads_waiting == 1)
        scope.cancel()

    async with Engine(max_threads=1) as engine, trio.open_nursery() as nursery:
        work = grinding(grinder)
        nursery.start_soon(engine.run, work, Notes())
        await grinder.began.wait()
        with trio.CancelScope() as scope:
            nursery.start_soon(cut, engine, scope)
            await engine.run(abandoning(Grinder()), Notes())
        assert scope.cancelled_caught
        assert engine.statistics().abandoned_in_all == 0
        grinder.go_on.set()


async def test_a_place_that_comes_at_the_moment_of_cancelling_is_given_back(
    grinder: Grinder,
) -> None:
    limiter, before = trio.to_thread.current_default_thread_limiter(), object()
    limiter.total_tokens = 1
    limiter.acquire_on_behalf_of_nowait(before)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(abandoning(grinder).run, Notes())
        await until(lambda: limiter.statistics().tasks_waiting == 1)
        limiter.release_on_behalf_of(before)
        assert limiter.borrowed_tokens == 1  # it has the place, but was not awake yet
        nursery.cancel_scope.cancel()
    assert limiter.borrowed_tokens == 0
    assert not grinder.began.is_set()
    assert abandoned_threads() == ()


@pytest.mark.parametrize("passes", range(8))
async def test_at_whatever_moment_it_is_cancelled_what_began_is_told_and_no_place_is_lost(
    passes: int, grinder: Grinder
) -> None:
    recorder = Recorder()
    began: list[bool] = []

    async def work() -> None:
        await current_step().to_thread(grind, abandon_on_cancel=True)

    def grind() -> None:
        began.append(True)
        grinder.go_on.wait(30)

    async with Engine(observers=[recorder], max_threads=1) as engine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, doing(work, "mill"), Notes())
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        grinder.go_on.set()
        await until(lambda: engine.statistics().threads == 0)
        many = engine.statistics().abandoned_in_all
    assert len(began) == many
    assert recorder.told().count("thread_abandoned") == many
    assert recorder.told().count("thread_ended") == many


async def test_a_call_that_may_be_abandoned_and_is_not_is_like_any_other() -> None:
    async def good() -> None:
        seen.append(await current_step().to_thread(round, 2.7, abandon_on_cancel=True))

    async def bad() -> None:
        await current_step().to_thread(int, "x", abandon_on_cancel=True)

    seen: list[int] = []
    async with Engine(max_threads=1) as engine:
        await engine.run(doing(good, "good"), Notes())
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(doing(bad, "bad"), Notes())
        assert engine.statistics().threads == 0
    assert seen == [3]
    assert isinstance(caught.value.only(), ValueError)


async def test_an_item_is_named_whose_thread_was_abandoned(grinder: Grinder) -> None:
    class Mill:
        async def prep(self, shared: Notes) -> list[Grinder]:
            return [grinder]

        async def exec(self, one: Grinder) -> str:
            return await current_step().to_thread(one.grind, abandon_on_cancel=True)

        async def post(self, shared: Notes, items: object, outputs: object) -> None:
            pass

    async with Engine() as engine:
        async with engine.start(Step(each(Mill(), concurrent=2), name="mills"), Notes()) as run:
            await grinder.began.wait()
            report = await run.cancel("enough")
        assert [thread.path for thread in report.abandoned] == ["mills[0]"]
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)


# ---------------------------------------------------------------- who says so in the end


async def test_the_report_of_a_cancelled_run_tells_what_still_works(grinder: Grinder) -> None:
    async with Engine() as engine:
        async with engine.start(abandoning(grinder), Notes(), run_id="r") as run:
            await grinder.began.wait()
            report = await run.cancel("enough")
        (thread,) = report.abandoned
        assert isinstance(thread, AbandonedThread)
        assert thread.run_id == "r"
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)
        again = await run.cancel("more than enough")
    assert again.abandoned == ()


async def test_leaving_the_engine_does_not_wait_but_warns(grinder: Grinder) -> None:
    with pytest.warns(AbandonedThreadWarning) as caught:
        async with Engine() as engine:
            await left_by_cancelling(engine, grinder)
    (warning,) = caught
    first, second = str(warning.message).splitlines()
    assert first == "the engine was left while 1 abandoned thread(s) still work:"
    assert second.startswith("  Grinder.grind of mill, abandoned at ")
    grinder.go_on.set()
    await until(lambda: not abandoned_threads())
    assert engine.statistics().threads == 0


async def test_an_error_that_leaves_the_engine_gets_a_note_and_is_not_replaced(
    grinder: Grinder,
) -> None:
    async def leave() -> None:
        async with Engine() as engine:
            await left_by_cancelling(engine, grinder)
            raise OSError("leave")  # warnings are errors here

    with pytest.raises(OSError, match="leave") as caught:
        await leave()
    (note,) = caught.value.__notes__
    assert "abandoned thread(s) still work:\n  Grinder.grind of mill" in note
    grinder.go_on.set()
    await until(lambda: not abandoned_threads())


async def test_what_stops_the_program_gets_the_note_too(grinder: Grinder) -> None:
    async def stop() -> None:
        raise KeyboardInterrupt

    async def leave() -> None:
        async with Engine() as engine:
            await left_by_cancelling(engine, grinder)
            async with engine.start(doing(stop, "stop"), Notes()):
                await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await leave()
    assert isinstance(caught.value.exceptions[0], KeyboardInterrupt)
    assert any("abandoned thread(s) still work" in note for note in caught.value.__notes__)
    grinder.go_on.set()
    await until(lambda: not abandoned_threads())


async def test_a_run_without_an_engine_warns_at_once(grinder: Grinder) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(abandoning(grinder).run, Notes())
        await grinder.began.wait()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            nursery.cancel_scope.cancel()
            await until(lambda: len(abandoned_threads()) == 1)
    assert [each.category for each in caught] == [AbandonedThreadWarning]
    assert "a thread works on: Grinder.grind of mill, abandoned at" in str(caught[0].message)
    limiter = trio.to_thread.current_default_thread_limiter()
    assert limiter.borrowed_tokens == 1
    grinder.go_on.set()
    await until(lambda: limiter.borrowed_tokens == 0)
    assert abandoned_threads() == ()


async def test_the_warning_never_replaces_the_cancellation(grinder: Grinder) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(abandoning(grinder).run, Notes())
            await grinder.began.wait()
            scope.cancel()  # warnings are errors here
    assert scope.cancelled_caught
    grinder.go_on.set()
    await until(lambda: not abandoned_threads())


async def test_a_snapshot_shows_it_and_who_waits_for_a_free_thread(grinder: Grinder) -> None:
    async with Engine(max_threads=1) as engine:
        await left_by_cancelling(engine, grinder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, grinding(Grinder()), Notes())
            nursery.start_soon(engine.run, abandoning(Grinder()), Notes())
            await until(lambda: engine.statistics().threads_waiting == 2)
            picture = engine.snapshot()
            nursery.cancel_scope.cancel()
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)
    (thread,) = picture.abandoned
    assert thread.path == "mill"
    assert str(picture).splitlines()[-1] == f"abandoned, still at work: {thread}"
    waits = [visit.waits_for for visit in picture.visits()]
    assert waits == ["a free thread, for Grinder.grind"] * 2


async def test_the_leak_check_names_it(grinder: Grinder) -> None:
    async with Engine() as engine:
        with pytest.raises(LeakError) as caught, assert_no_leaks(engine):
            await left_by_cancelling(engine, grinder)
        thread, tokens = caught.value.leaks
        assert thread.startswith("a thread works on: Grinder.grind of mill, abandoned at ")
        assert tokens == "Engine: threads was 0, is 1"
        with assert_no_leaks(engine):  # that one is no news
            await trio.lowlevel.checkpoint()
        grinder.go_on.set()
        await until(lambda: not engine.statistics().abandoned)


def test_a_thread_that_outlives_trio_itself_ends_in_peace(grinder: Grinder) -> None:
    async def main() -> None:
        with pytest.warns(AbandonedThreadWarning):
            async with Engine() as engine:
                await left_by_cancelling(engine, grinder)
        called.extend(each.name for each in threading.enumerate() if " from " in each.name)

    called: list[str] = []
    trio.run(main)
    assert [name.partition(" ")[0] for name in called] == ["Grinder.grind"]
    grinder.go_on.set()  # a thread that raised would be a warning, and so an error
