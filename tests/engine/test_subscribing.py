"""Subscriptions to the events of a started run: bounded, replayable, closed early or with the run; and typed streams with backpressure."""

from __future__ import annotations

import gc
from typing import Literal

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from agentflow_trio import (
    END,
    Engine,
    Flow,
    FlowFailedError,
    LaggedError,
    Run,
    Step,
    Stream,
    Subscription,
    Wiring,
    current_step,
    flow,
)
from agentflow_trio.events import ExecutionEvent

from .engine_kit import (
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    failing,
    looping,
    saying,
    sleeping,
    told,
)

WhenFull = Literal["drop_oldest", "fail"]


def loop_flow(times: int) -> Flow[Notes, ...]:
    """Emits three events a visit, and two more."""
    again = looping(times)

    @flow(name="f")
    def looped() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    return looped


def reporting(times: int) -> Flow[Notes, ...]:
    """One step that reports *times* times and never waits."""

    async def work() -> None:
        for _ in range(times):
            current_step().report(0.5)

    return chain("f", doing(work, "a"))


async def seqs(events: Subscription) -> list[int]:
    return [event.seq async for event in events]


async def read_all(events: Subscription, into: list[int]) -> None:
    """The same, but what was read before an error is kept."""
    async for event in events:
        into.append(event.seq)  # noqa: PERF401


# ---------------------------------------------------------------- events


async def test_a_subscription_made_in_the_body_is_complete() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        read = [event async for event in run.events()]
    assert [event.seq for event in read] == [*range(11)]
    assert told(read)[0] == "run_start f"
    assert told(read)[-1] == "run_end f outcome=success steps=3"


async def test_a_subscription_begins_when_it_is_made_not_when_it_is_read() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        events = run.events()
        await run.result()
        assert len(await seqs(events)) == 11


async def test_several_subscriptions_do_not_disturb_each_other() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        one, other = run.events(), run.events()
        assert await seqs(one) == await seqs(other) == [*range(11)]


async def test_events_are_read_while_the_run_goes_on(autojump_clock: MockClock) -> None:
    read: list[tuple[str, float]] = []
    row = chain("f", sleeping(1, "a"), sleeping(2, "b"))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        read.extend([
            (f"{event.event_type} {event.path}", trio.current_time())
            async for event in run.events()
        ])
    assert read == [
        ("run_start f", 0.0),
        ("node_start f/a", 0.0),
        ("node_success f/a", 1.0),
        ("routed f/a", 1.0),
        ("node_start f/b", 1.0),
        ("node_success f/b", 3.0),
        ("routed f/b", 3.0),
        ("run_end f", 3.0),
    ]


async def test_reading_an_event_is_always_a_checkpoint() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        events = run.events()
        await run.result()
        for _ in range(11):
            with assert_checkpoints():
                await anext(events)
        with pytest.raises(StopAsyncIteration), assert_checkpoints():
            await anext(events)


async def test_a_late_subscription_begins_late() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        await run.result()
        assert await seqs(run.events()) == []


@pytest.mark.parametrize(
    ("after", "first"), [(-1, 0), (0, 1), (4, 5), (9, 10), (10, 11), (99, 11)]
)
async def test_after_replays_what_came_after_that_number(after: int, first: int) -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        await run.result()
        events = run.events(after=after)
        assert await seqs(events) == [*range(first, 11)]
        assert events.missed == 0


async def test_a_replay_goes_on_with_what_happens_next(autojump_clock: MockClock) -> None:
    row = chain("f", sleeping(1, "a"), sleeping(2, "b"))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        await trio.sleep(2)
        assert await seqs(run.events(after=1)) == [2, 3, 4, 5, 6, 7]


async def test_a_replay_begins_before_the_run_does() -> None:
    async with Engine() as engine, engine.start(loop_flow(1), Notes()) as run:
        assert await seqs(run.events(after=-1)) == [0, 1, 2, 3, 4]


async def test_a_replay_goes_back_a_thousand_events_and_counts_the_rest() -> None:
    async with Engine() as engine, engine.start(loop_flow(500), Notes()) as run:
        await run.result()
        events = run.events(after=-1)
        assert events.missed == 502
        assert await seqs(events) == [*range(502, 1502)]
        partly = run.events(after=400)
        assert partly.missed == 101
        assert await seqs(partly) == [*range(502, 1502)]
        later = run.events(after=600)
        assert later.missed == 0
        assert await seqs(later) == [*range(601, 1502)]


async def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    async with Engine() as engine, engine.start(reporting(1200), Notes()) as run:
        events = run.events()
        await run.result()
        assert events.missed == 205
        assert await seqs(events) == [*range(205, 1205)]


async def test_an_engine_counts_what_all_subscribers_missed() -> None:
    async with Engine() as engine:
        assert engine.statistics().missed_in_all == 0
        for _ in range(2):
            async with engine.start(reporting(1200), Notes()) as run:
                slow, lagging = run.events(), run.events(when_full="fail")
                await run.result()
                await seqs(run.events(after=-1))  # what had left the ring was nobody's to read
            assert slow.missed == lagging.missed == 205
        await engine.run(loop_flow(3), Notes())
        assert engine.statistics().missed_in_all == 2 * 2 * 205


async def test_an_engine_counts_what_is_missed_while_a_run_goes_on(
    autojump_clock: MockClock,
) -> None:
    async def burst() -> None:
        for _ in range(1100):
            current_step().report(0.5)
        await trio.sleep(2)

    async with Engine() as engine, engine.start(chain("f", doing(burst, "a")), Notes()) as run:
        events = run.events()
        await trio.sleep(1)
        assert engine.statistics().missed_in_all == events.missed == 102


async def test_a_full_queue_is_an_error_in_the_subscriber_if_it_wants_that() -> None:
    async with Engine() as engine, engine.start(reporting(1200), Notes()) as run:
        events = run.events(when_full="fail")
        await run.result()
        read: list[int] = []
        with pytest.raises(LaggedError) as caught:
            await read_all(events, read)
        assert read == [*range(1000)]
        assert caught.value.missed == 205
        assert str(caught.value).startswith("the subscriber fell behind and missed 205 events")


@pytest.mark.parametrize("when_full", ["drop_oldest", "fail"])
async def test_a_queue_that_is_just_full_misses_nothing(when_full: WhenFull) -> None:
    async with Engine() as engine, engine.start(reporting(995), Notes()) as run:
        events = run.events(when_full=when_full)
        await run.result()
        assert await seqs(events) == [*range(1000)]
        assert events.missed == 0


async def test_a_subscriber_that_lagged_never_reads_across_the_gap(
    autojump_clock: MockClock,
) -> None:
    """What it reads before the error is without a gap, also if it made room meanwhile."""

    async def burst() -> None:
        for _ in range(1100):
            current_step().report(0.5)
        await trio.sleep(1)
        for _ in range(10):
            current_step().report(0.6)

    async with Engine() as engine, engine.start(chain("f", doing(burst, "a")), Notes()) as run:
        events = run.events(when_full="fail")
        await trio.sleep(0.5)
        read = [(await anext(events)).seq for _ in range(600)]
        await run.result()
        with pytest.raises(LaggedError) as caught:
            await read_all(events, read)
    assert read == [*range(1000)]
    assert caught.value.missed == 1102 + 10 + 3 - 1000


async def test_a_replay_that_cannot_be_complete_fails_if_it_wants_that() -> None:
    async with Engine() as engine, engine.start(loop_flow(500), Notes()) as run:
        await run.result()
        with pytest.raises(LaggedError):
            await anext(run.events(after=-1, when_full="fail"))


async def test_a_slow_reader_does_not_hold_the_run(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(loop_flow(1000), Notes()) as run:
        run.events()
        result = await run.result()
    assert result.duration == 0.0


# ---------------------------------------------------------------- pace


async def test_a_subscriber_that_sets_the_pace_misses_nothing(
    autojump_clock: MockClock,
) -> None:
    lags: list[int] = []
    async with Engine() as engine, engine.start(loop_flow(2000), Notes()) as run:
        events = run.events(pace=True)
        read: list[int] = []
        async for event in events:
            read.append(event.seq)
            await trio.sleep(0.001)
            lags.append(len(events._queue))
    assert read == [*range(6002)]
    assert events.missed == 0
    # it is held at the next boundary: half of the queue, and what one more visit emits
    assert 500 <= max(lags) <= 504


async def test_pace_keeps_the_deadline_of_the_run(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(loop_flow(2000), Notes(), timeout=5) as run:
        kept = run.events(pace=True)
        with pytest.raises(FlowFailedError) as caught:
            await run.result()
    assert kept.waiting > 0
    assert "timeout of the run (5 s) ran out" in str(caught.value.only())
    assert trio.current_time() == 5.0


async def test_a_run_that_is_held_by_a_reader_can_be_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine, engine.start(loop_flow(2000), Notes()) as run:
        kept = run.events(pace=True)
        await trio.sleep(1)
        report = await run.cancel("enough")
    assert kept.waiting > 0
    assert report.cut_off == ()  # between two steps
    assert report.duration == 0.0


@pytest.mark.parametrize("how", ["close", "with"])
async def test_a_pacing_subscription_that_is_closed_lets_the_run_go_on(
    how: str, autojump_clock: MockClock
) -> None:
    async with Engine() as engine, engine.start(loop_flow(2000), Notes()) as run:
        events = run.events(pace=True)
        await trio.sleep(1)
        if how == "close":
            events.close()
        else:
            with events as same:
                assert same is events
        result = await run.result()
    assert result.duration == 1.0


async def test_two_pacing_subscribers_are_both_waited_for(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(loop_flow(500), Notes()) as run:
        one, other = run.events(pace=True), run.events(pace=True)
        await trio.sleep(1)
        one.close()
        await trio.sleep(1)
        other.close()
        result = await run.result()
    assert result.duration == 2.0


# ---------------------------------------------------------------- leaving early


async def test_a_closed_subscription_has_nothing_more_to_read() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        events = run.events()
        first = await anext(events)
        assert first.seq == 0
        await run.result()
        events.close()
        assert await seqs(events) == []
        events.close()


async def test_closing_wakes_whoever_reads() -> None:
    read: list[ExecutionEvent] = []
    async with (
        Engine() as engine,
        engine.start(chain("f", doing(trio.sleep_forever, "a")), Notes()) as run,
    ):
        events = run.events()

        async def reader() -> None:
            async for event in events:
                read.append(event)  # noqa: PERF401

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await wait_all_tasks_blocked()
            assert len(read) == 2
            events.close()
        await run.cancel("over")


async def test_leaving_a_subscription_early_costs_the_run_nothing() -> None:
    async with Engine() as engine, engine.start(loop_flow(3), Notes()) as run:
        with run.events() as events:
            async for event in events:
                if event.event_type == "node_start":
                    break
        assert (await run.result()).steps == 3


async def test_subscriptions_end_when_the_run_fails_or_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:
        async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()) as run:
            read = [event async for event in run.events()]
            with pytest.raises(FlowFailedError):
                await run.result()
        assert read[-1].event_type == "run_end"
        async with engine.start(chain("f", sleeping(9, "a")), Notes()) as run:
            events = run.events()
            await trio.sleep(1)
            run.request_cancel("enough")
            read = [event async for event in events]
            await run.cancel("enough")
        assert told(read)[-2] == "node_cancelled f/a phase=exec attempt=1"
        assert read[-1].event_type == "run_end"


async def test_only_started_runs_have_subscriptions_and_streams() -> None:
    """The other kind has no handle; this is what it would say."""
    runs: list[Run[Notes]] = []

    async with Engine() as engine:

        async def peek() -> None:
            runs.extend(Run(execution) for execution in engine._runs)

        await engine.run(chain("f", doing(peek, "a")), Notes())
    for ask in (runs[0].events, lambda: runs[0].stream(TOKENS)):
        with pytest.raises(RuntimeError, match=r"only runs made with engine.start\(\)"):
            ask()


# ---------------------------------------------------------------- streams

TOKENS = Stream("tokens", str)
NUMBERS = Stream("numbers", int)


def emitting(*words: str) -> Step[Notes, []]:
    async def emit() -> None:
        for word in words:
            await current_step().emit(TOKENS, word)

    return doing(emit, "emit")


async def test_a_reader_gets_every_chunk_in_order() -> None:
    async with (
        Engine() as engine,
        engine.start(chain("f", emitting("a", "b", "c")), Notes()) as run,
    ):
        assert [token async for token in run.stream(TOKENS)] == ["a", "b", "c"]


async def test_each_reader_gets_every_chunk_of_its_own_stream() -> None:
    async def emit() -> None:
        await current_step().emit(TOKENS, "a")
        await current_step().emit(NUMBERS, 1)
        await current_step().emit(TOKENS, "b")

    async with Engine() as engine, engine.start(chain("f", doing(emit, "e")), Notes()) as run:
        one, other, numbers = run.stream(TOKENS), run.stream(TOKENS), run.stream(NUMBERS)
        assert [token async for token in one] == ["a", "b"]
        assert [token async for token in other] == ["a", "b"]
        assert [number async for number in numbers] == [1]


async def test_without_a_reader_chunks_are_dropped_and_nobody_waits() -> None:
    words = ["x"] * 100
    row = chain("f", emitting(*words))
    assert (await row.run(Notes())).steps == 1
    async with Engine() as engine:
        assert (await engine.run(row, Notes())).steps == 1
        async with engine.start(row, Notes()) as run:
            assert (await run.result()).steps == 1


async def test_a_writer_waits_for_a_reader_that_is_sixteen_chunks_behind() -> None:
    written: list[int] = []

    async def emit() -> None:
        for number in range(20):
            await current_step().emit(NUMBERS, number)
            written.append(number)

    async with Engine() as engine, engine.start(chain("f", doing(emit, "e")), Notes()) as run:
        reader = run.stream(NUMBERS)
        await wait_all_tasks_blocked()
        assert len(written) == 16
        assert await anext(reader) == 0
        await wait_all_tasks_blocked()
        assert len(written) == 17
        assert [number async for number in reader] == [*range(1, 20)]


async def test_a_writer_waits_for_the_slowest_reader() -> None:
    written: list[int] = []

    async def emit() -> None:
        for number in range(20):
            await current_step().emit(NUMBERS, number)
            written.append(number)

    async with Engine() as engine, engine.start(chain("f", doing(emit, "e")), Notes()) as run:
        slow, fast = run.stream(NUMBERS), run.stream(NUMBERS)
        assert [await anext(fast) for _ in range(16)] == [*range(16)]
        await wait_all_tasks_blocked()
        assert len(written) == 16
        slow.close()
        assert [number async for number in fast] == [*range(16, 20)]
        assert [number async for number in slow] == []


async def test_a_waiting_writer_can_be_cancelled() -> None:
    async with (
        Engine() as engine,
        engine.start(chain("f", emitting(*"x" * 20)), Notes()) as run,
    ):
        kept = run.stream(TOKENS)
        await wait_all_tasks_blocked()
        report = await run.cancel("enough")
    assert kept.waiting == 16
    assert [cut.path for cut in report.cut_off] == ["f/emit"]


@pytest.mark.parametrize("how", ["close", "with"])
async def test_a_reader_that_leaves_early_lets_the_writer_go_on(how: str) -> None:
    async with (
        Engine() as engine,
        engine.start(chain("f", emitting(*"x" * 40)), Notes()) as run,
    ):
        reader = run.stream(TOKENS)
        assert await anext(reader) == "x"
        if how == "close":
            reader.close()
        else:
            with reader as same:
                assert same is reader
        assert (await run.result()).steps == 1
        assert [token async for token in reader] == []


async def test_a_reader_ends_with_the_run_and_after_what_was_written() -> None:
    async def fail() -> None:
        await current_step().emit(TOKENS, "last")
        raise ValueError

    async with Engine() as engine, engine.start(chain("f", doing(fail, "a")), Notes()) as run:
        reader = run.stream(TOKENS)
        with pytest.raises(FlowFailedError):
            await run.result()
        assert [token async for token in reader] == ["last"]


async def test_a_reader_that_comes_late_gets_what_is_written_from_then_on(
    autojump_clock: MockClock,
) -> None:
    async def emit() -> None:
        await current_step().emit(TOKENS, "early")
        await trio.sleep(2)
        await current_step().emit(TOKENS, "late")

    async with Engine() as engine, engine.start(chain("f", doing(emit, "a")), Notes()) as run:
        await trio.sleep(1)
        assert [token async for token in run.stream(TOKENS)] == ["late"]
        assert [token async for token in run.stream(TOKENS)] == []


async def test_a_chunk_of_another_kind_is_refused() -> None:
    async def emit() -> None:
        await current_step().emit(TOKENS, 5)  # type: ignore[misc]

    with pytest.raises(FlowFailedError) as caught:
        await doing(emit, "a").run(Notes())
    assert str(caught.value.only()) == "stream 'tokens' carries str, not int"


async def test_emitting_and_reading_are_always_checkpoints() -> None:
    async def emit() -> None:
        with assert_checkpoints():
            await current_step().emit(TOKENS, "a")

    await doing(emit, "a").run(Notes())
    async with Engine() as engine, engine.start(chain("f", doing(emit, "a")), Notes()) as run:
        reader = run.stream(TOKENS)
        await run.result()
        with assert_checkpoints():
            assert await anext(reader) == "a"


async def test_child_tasks_may_emit_too() -> None:
    async def emit(word: str) -> None:
        await current_step().emit(TOKENS, word)

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for word in ("a", "b", "c"):
                nursery.start_soon(emit, word)

    async with (
        Engine() as engine,
        engine.start(chain("f", Step(Acts(work=work))), Notes()) as run,
    ):
        assert sorted([token async for token in run.stream(TOKENS)]) == ["a", "b", "c"]


async def test_what_is_streamed_is_no_event() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", emitting("a", "b"), saying("b")), Notes())
    assert [event.event_type for event in recorder.events] == [
        "run_start",
        "node_start",
        "node_success",
        "routed",
        "node_start",
        "node_success",
        "routed",
        "run_end",
    ]


async def test_a_reader_that_breaks_off_lets_the_run_go_on() -> None:
    async with Engine() as engine, engine.start(loop_flow(2000), Notes()) as run:
        async for _ in run.events(pace=True):
            break
        result = await run.result()
    assert result.steps == 2000


async def test_a_reader_of_a_stream_that_breaks_off_lets_the_writer_go_on() -> None:
    flow = chain("f", emitting(*"x" * 300))
    async with Engine() as engine, engine.start(flow, Notes()) as run:
        async for _ in run.stream(TOKENS):
            break
        result = await run.result()
    assert result.steps == 1


async def test_a_reader_that_nobody_holds_any_more_wakes_a_writer_that_waits_for_it() -> None:
    flow = chain("f", emitting(*"x" * 300))
    async with Engine() as engine, engine.start(flow, Notes()) as run:
        kept = [run.stream(TOKENS)]
        await wait_all_tasks_blocked()
        kept.clear()
        result = await run.result()
    assert result.steps == 1


async def test_readers_that_were_closed_are_forgotten() -> None:
    async with Engine() as engine, engine.start(chain("f", emitting("a", "b")), Notes()) as run:
        readers = [run.stream(TOKENS) for _ in range(3)]
        readers[0].close()
        assert [chunk async for chunk in readers[1]] == ["a", "b"]
        assert [chunk async for chunk in readers[0]] == []


async def test_a_reader_that_is_collected_in_a_thread_wakes_the_writer_all_the_same() -> None:
    flow = chain("f", emitting(*"x" * 300))
    async with Engine() as engine, engine.start(flow, Notes()) as run:
        cycle: list[object] = [run.stream(TOKENS)]
        cycle.append(cycle)
        await wait_all_tasks_blocked()
        del cycle
        await trio.to_thread.run_sync(gc.collect)
        result = await run.result()
    assert result.steps == 1
