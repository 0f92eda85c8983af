"""Exec for every item: in input order for post, at most so many at once, failures tolerated or told."""

from __future__ import annotations

import operator
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from outcome import Error, Value
from trio.testing import wait_all_tasks_blocked
from typing_extensions import override

from agentflow_trio import (
    END,
    Count,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    Fold,
    NotAwaitableError,
    RunResult,
    Share,
    Step,
    Wiring,
    WrongItemsError,
    current_step,
    each,
    flow,
    fold,
)
from agentflow_trio.testing import (
    Cut,
    Faults,
    assert_no_leaks,
    cancel_everywhere,
    explore,
    first,
    phases,
)

from .engine_kit import Recorder, picture


@attrs.define
class Board:
    """What post got."""

    got: Any = None


class Work:
    """Doubles every item; waits so long as *seconds* says of it, and fails for those in *bad*."""

    def __init__(self, items: Any, seconds: Any = None, bad: tuple[int, ...] = ()) -> None:
        self.items, self.seconds, self.bad = items, seconds, bad
        self.running = self.most = 0

    async def prep(self, shared: Board, /) -> Any:
        return self.items() if callable(self.items) else self.items

    async def exec(self, item: Any, /) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.seconds is not None:
                await trio.sleep(self.seconds(item))
            if item in self.bad:
                raise ValueError(item)
        finally:
            self.running -= 1
        return item * 2

    async def post(self, shared: Board, items: Any, received: Any, /) -> None:
        shared.got = received


def only(one: Step[Board, []]) -> Flow[Board, []]:
    @flow(name="f")
    def row() -> Wiring[Board]:
        return [one.then(END)]

    return row


async def run(node: Any, **options: Any) -> RunResult[Board]:
    return await only(Step(node, name="work", **options)).run(Board())


async def stream(many: int) -> AsyncIterator[int]:
    for number in range(many):
        yield number


async def test_outputs_come_in_input_order_and_so_many_run_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    work = Work(range(10), seconds=lambda item: 10 - item)
    result = await run(each(work, concurrent=3))
    assert result.state.got == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert work.most == 3
    assert result.steps == 1
    assert result.visits == {"f/work": 1}


@pytest.mark.parametrize("items", [(), [], range(0), deque()])
async def test_no_items_are_fine(items: Any) -> None:
    assert (await run(each(Work(items), concurrent=3))).state.got == []


async def test_a_free_worker_takes_the_next_item_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await run(each(Work([8, 1, 1, 1, 1, 1, 1, 1], seconds=lambda item: item), concurrent=2))
    assert trio.current_time() == 8


async def test_all_failures_of_one_moment_are_told_with_their_items(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = Recorder()
    work = Work(range(9), seconds=lambda item: 1, bad=(4, 5))
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(only(Step(each(work, concurrent=3), name="work")), Board())
    leaves = list(caught.value.leaves())
    assert [str(leaf) for leaf in leaves] == ["4", "5"]
    assert picture(caught.value) == ("f", [("f/work", leaves)])
    places = [caught.value.find(leaf) for leaf in leaves]
    assert [place and place.path for place in places] == ["f/work[4]", "f/work[5]"]
    lines = [line for line in recorder.lines() if line.startswith("item_failed")]
    assert sorted(lines) == [
        "item_failed f/work[4] attempt=1 error=ValueError message=4 tolerated=False",
        "item_failed f/work[5] attempt=1 error=ValueError message=5 tolerated=False",
    ]


async def test_so_many_may_fail() -> None:
    result = await run(each(Work(range(4), bad=(1, 3)), concurrent=2, tolerate=Count(2)))
    assert [str(error) for error in result.suppressed] == ["1", "3"]
    one, two, three, four = result.state.got
    assert (one, three) == (Value(0), Value(4))
    assert isinstance(two, Error)
    assert isinstance(four, Error)
    assert (two.error, four.error) == result.suppressed


async def test_one_too_many_ends_the_step_at_once_with_all_that_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    work = Work(range(100), seconds=lambda item: 1, bad=(1, 3, 5))
    with pytest.raises(FlowFailedError) as caught:
        await run(each(work, concurrent=1, tolerate=Count(2)))
    assert [str(leaf) for leaf in caught.value.leaves()] == ["1", "3", "5"]
    assert trio.current_time() == 6


async def test_a_share_may_fail(autojump_clock: trio.testing.MockClock) -> None:
    work = Work(range(100), seconds=lambda _: 1, bad=tuple(range(29)))
    assert len((await run(each(work, concurrent=4, tolerate=Share(0.29)))).suppressed) == 29
    begun = trio.current_time()
    with pytest.raises(FlowFailedError) as caught:
        await run(each(work, concurrent=1, tolerate=Share(0.09)))
    # as soon as it is lost, not at the end
    assert trio.current_time() - begun == 10
    assert [str(leaf) for leaf in caught.value.leaves()] == [*map(str, range(10))]


async def test_a_share_of_a_stream_is_judged_at_its_end() -> None:
    into: Fold[Any, Any] = fold(int, lambda total, one: total + isinstance(one, Value))
    work = Work(lambda: stream(20), bad=(0, 1))
    node = each(work, concurrent=4, tolerate=Share(0.1), into=into)
    assert (await run(node)).state.got == 18
    node = each(work, concurrent=4, tolerate=Share(0.09), into=into)
    with pytest.raises(FlowFailedError) as caught:
        await run(node)
    assert [str(leaf) for leaf in caught.value.leaves()] == ["0", "1"]


async def test_tolerated_failures_are_events_too() -> None:
    recorder = Recorder()
    node = each(Work(range(3), bad=(1,)), concurrent=1, tolerate=Count(1))
    async with Engine(observers=[recorder]) as engine:
        await engine.run(only(Step(node, name="work")), Board())
    assert recorder.lines()[2:5] == [
        "batch f/work[0] done=1 failed=0 total=3",
        "item_failed f/work[1] attempt=1 error=ValueError message=1 tolerated=True",
        "batch f/work[2] done=2 failed=1 total=3",
    ]


async def test_a_worker_whose_items_all_fail_still_lets_others_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    node = each(Work(range(320), bad=tuple(range(320))), concurrent=1, tolerate=Share(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await run(node)
        nursery.cancel_scope.cancel()
    assert turns >= 16


@pytest.mark.parametrize("order", ["input", "completion"])
async def test_a_total_is_folded_in_input_order_or_as_items_end(
    order: Any, autojump_clock: trio.testing.MockClock
) -> None:
    into: Fold[Any, Any] = fold(list[int], lambda total, one: [*total, one], order=order)
    work = Work(lambda: stream(6), seconds=lambda item: 10 - item)
    got = (await run(each(work, concurrent=3, into=into))).state.got
    assert got == ([0, 2, 4, 6, 8, 10] if order == "input" else [4, 2, 0, 6, 8, 10]) or (
        order == "completion" and sorted(got) == [0, 2, 4, 6, 8, 10] and got[0] == 4
    )


@pytest.mark.parametrize("source", [range, stream, lambda many: iter(range(many))])
async def test_a_total_takes_any_source(source: Any) -> None:
    node = each(Work(lambda: source(100)), concurrent=8, into=fold(int, operator.add))
    assert (await run(node)).state.got == 9900


async def test_a_slow_item_lets_the_others_go_only_so_far(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulled = list[int]()

    def source() -> Iterator[int]:
        for number in range(100):
            pulled.append(number)
            yield number

    async def look() -> None:
        await trio.sleep(5)
        assert pulled == [*range(8)]

    work = Work(source, seconds=lambda item: 10 if item == 0 else 0.001)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        result = await run(each(work, concurrent=4, into=fold(int, operator.add)))
    assert result.state.got == 9900


async def test_nothing_is_pulled_before_a_worker_is_free(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulled = list[float]()

    async def source() -> AsyncIterator[int]:
        for number in range(6):
            pulled.append(trio.current_time())
            yield number

    await run(
        each(Work(source, seconds=lambda item: 1), concurrent=2, into=fold(int, operator.add))
    )
    assert pulled == [0, 0, 1, 1, 2, 2]


async def test_a_source_that_waits_keeps_its_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(6):
            await trio.sleep(1)
            yield number

    into: Fold[Any, Any] = fold(list[int], lambda total, one: [*total, one])
    result = await run(each(Work(source), concurrent=4, into=into))
    assert result.state.got == [0, 2, 4, 6, 8, 10]
    assert trio.current_time() == 6


async def test_a_source_is_closed_however_the_step_ends() -> None:
    ended = list[str]()

    async def source() -> AsyncIterator[int]:
        try:
            for number in range(9):
                yield number
        finally:
            ended.append("async")

    def plain() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            ended.append("sync")

    into: Fold[Any, Any] = fold(int, operator.add)
    for made in (source, plain):
        with pytest.raises(FlowFailedError):
            await run(each(Work(made, bad=(1,)), concurrent=2, into=into))
    assert ended == ["async", "sync"]


class Sources:
    """An iterable that is no iterator: each time it is begun there is one more to be closed."""

    def __init__(self) -> None:
        self.begun = self.closed = 0

    def __iter__(self) -> Iterator[int]:
        self.begun += 1
        try:
            yield from range(9)
        finally:
            self.closed += 1

    async def __aiter__(self) -> AsyncIterator[int]:
        self.begun += 1
        try:
            for number in range(9):
                yield number
        finally:
            self.closed += 1


class OnlySync:
    """The same without asynchronous iteration."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def __iter__(self) -> Iterator[int]:
        return iter(self.sources)


@pytest.mark.parametrize("bad", [(), (1,)])
@pytest.mark.parametrize("made", [Sources, OnlySync])
async def test_an_iterator_that_the_engine_made_is_closed_as_well(
    made: Any, bad: tuple[int, ...]
) -> None:
    into: Fold[Any, Any] = fold(int, lambda total, _: total)
    sources = Sources()
    source = sources if made is Sources else OnlySync(sources)
    with suppress(FlowFailedError):
        await run(each(Work(lambda: source, bad=bad), concurrent=2, into=into))
    assert (sources.begun, sources.closed) == (1, 1)


async def test_a_source_that_is_refused_is_closed() -> None:
    class Channel(Sources):
        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()
            self.closed += 1

    channel = Channel()
    with pytest.raises(FlowFailedError):
        await run(each(Work(lambda: channel), concurrent=2))
    assert (channel.begun, channel.closed) == (0, 1)


async def test_a_source_that_fails_is_a_failure_of_the_step_and_not_tolerated() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise OSError("lost")

    into: Fold[Any, Any] = fold(int, lambda total, _: total)
    with pytest.raises(FlowFailedError) as caught:
        await run(each(Work(source), concurrent=2, tolerate=Count(9), into=into))
    error = caught.value.only()
    place = caught.value.find(error)
    assert str(error) == "lost"
    assert place is not None
    assert (place.path, place.phase) == ("f/work", "exec")


async def test_a_fold_that_fails_is_a_failure_of_the_step_and_not_tolerated() -> None:
    def add(total: int, one: object) -> int:
        raise ZeroDivisionError

    with pytest.raises(FlowFailedError) as caught:
        await run(each(Work([1]), concurrent=2, tolerate=Count(9), into=fold(int, add)))
    assert isinstance(caught.value.only(), ZeroDivisionError)


@pytest.mark.parametrize(
    ("items", "into", "said"),
    [
        (iter([1]), None, "returned list_iterator, not a Sequence"),
        (stream, None, "not a Sequence"),
        (7, fold(int, operator.add), "returned int, not an iterable"),
    ],
)
async def test_what_is_no_source_is_refused(items: Any, into: Any, said: str) -> None:
    more: dict[str, Any] = {"into": into} if into else {}
    node = each(Work(lambda: items), concurrent=2, **more)
    with pytest.raises(FlowFailedError) as caught:
        await run(node)
    error = caught.value.only()
    assert isinstance(error, WrongItemsError)
    assert said in str(error)


async def test_every_item_has_a_place_dice_and_a_key_of_its_own() -> None:
    told = list[tuple[str, int | None, float, str]]()

    class Tell(Work):
        async def exec(self, item: int, /) -> int:
            await trio.lowlevel.checkpoint()
            here = current_step()
            told.append((here.path, here.item, here.random.random(), here.idempotency_key))
            return item

    await only(Step(each(Tell("ab"), concurrent=2), name="work")).run(
        Board(), run_id="r", seed=1
    )
    told.sort()
    assert [(path, item, key) for path, item, _, key in told] == [
        ("f/work[0]", 0, "r/f/work[0]"),
        ("f/work[1]", 1, "r/f/work[1]"),
    ]
    assert told[0][2] != told[1][2]


async def test_what_an_item_opens_is_closed_with_it() -> None:
    log = list[str]()

    class Open(Work):
        async def exec(self, item: int, /) -> int:
            current_step().on_cleanup(self.close, item)
            log.append(f"open {item}")
            if item in self.bad:
                raise ValueError(item)
            return item

        async def close(self, item: int) -> None:
            log.append(f"close {item}")
            if item == 2:
                raise OSError("close")

    await run(each(Open([0, 1]), concurrent=1))
    assert log == ["open 0", "close 0", "open 1", "close 1"]
    with pytest.raises(FlowFailedError) as caught:
        await run(each(Open([2], bad=(2,)), concurrent=1))
    places = [caught.value.find(leaf) for leaf in caught.value.leaves()]
    assert [place and (place.path, place.phase) for place in places] == [
        ("f/work[0]", "exec"),
        ("f/work[0]", "cleanup"),
    ]
    result = await run(each(Open([2]), concurrent=1, tolerate=Count(1)))
    assert [str(error) for error in result.suppressed] == ["close"]


async def test_a_fallback_stands_in_for_all() -> None:
    node = each(Work([1, 2], bad=(2,)), concurrent=1)
    assert (await run(node, fallback=Fallback([0]))).state.got == [0]


async def test_an_exec_that_is_not_async_after_all_has_a_name() -> None:
    class Plain(Work):
        async def exec(self, item: int, /) -> int:
            return item

    work = Plain([1])
    node = each(work, concurrent=1)
    work.exec = lambda item, /: item  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(FlowFailedError) as caught:
        await run(node)
    assert isinstance(caught.value.only(), NotAwaitableError)


async def test_a_time_limit_is_around_all_items(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(FlowFailedError) as caught:
        await run(each(Work(range(9), seconds=lambda _: 1), concurrent=2), timeout=2.5)
    assert str(caught.value.only()).startswith("timeout of f/work (2.5 s) ran out")


async def test_items_that_were_being_worked_on_are_told_when_a_run_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    row = only(Step(each(Work(range(9), seconds=lambda _: 2), concurrent=2), name="work"))
    async with Engine() as engine, engine.start(row, Board()) as started:
        await trio.sleep(3)
        report = await started.cancel("enough")
    first, *rest = [cut.path for cut in report.cut_off]
    assert first == "f/work"
    assert sorted(rest) == ["f/work[2]", "f/work[3]"]


def test_a_test_can_make_one_item_fail() -> None:
    async def program() -> int:
        node = each(Work(range(5)), concurrent=2, tolerate=Count(1))
        return len((await run(node)).suppressed)

    def check(failed: int) -> None:
        assert failed == 1

    explore(program, check=check, faults=Faults(work=first(1)), seeds=5).raise_on_failure()


async def test_its_phases_can_be_run_alone() -> None:
    board = Board()
    done = await phases(each(Work([1, 2]), concurrent=2), board)
    assert (done.prepared, done.result, done.exit) == ([1, 2], [2, 4], None)
    assert board.got == [2, 4]


async def test_a_million_items_of_a_stream_need_no_memory() -> None:
    class Quick(Work):
        async def exec(self, item: int, /) -> int:
            return item

    node = each(Quick(lambda: stream(20_000)), concurrent=8, into=fold(int, operator.add))
    await run(node)
    tracemalloc.start()
    try:
        await run(node)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_what_post_gets_does_not_depend_on_the_schedule() -> None:
    async def program() -> tuple[Any, int]:
        work = Work(lambda: stream(7), seconds=lambda item: item % 3, bad=(2, 5))
        into: Fold[Any, Any] = fold(list[str], lambda total, one: [*total, str(one)])
        with assert_no_leaks():
            result = await run(each(work, concurrent=3, tolerate=Count(2), into=into))
        return result.state.got, len(result.suppressed)

    def check(ended: tuple[Any, int]) -> None:
        assert ended[1] == 2
        assert [text for text in ended[0] if "Error" not in text] == [
            f"Value({2 * item})" for item in (0, 1, 3, 4, 6)
        ]
        assert ["Error" in text for text in ended[0]] == [item in (2, 5) for item in range(7)]

    explore(program, check=check, seeds=40).raise_on_failure()


def test_cancelled_at_every_step_it_leaves_nothing() -> None:
    async def program() -> Any:
        async def source() -> AsyncIterator[int]:
            for number in range(3):
                await trio.lowlevel.checkpoint()
                yield number

        work = Work(source, seconds=lambda item: item)
        with assert_no_leaks():
            node = each(work, concurrent=2, into=fold(int, operator.add))
            return (await run(node)).state.got

    def check(cut: Cut[Any]) -> None:
        assert cut.cancelled or cut.result == 6

    cancel_everywhere(program, check=check, seeds=3)


async def test_of_many_tolerated_failures_all_stand_in_the_outputs_and_the_last_are_told() -> (
    None
):
    work = Work(range(1100), bad=tuple(range(1100)))
    result = await run(each(work, concurrent=2, tolerate=Share(1)))
    assert [str(one.error) for one in result.state.got] == [*map(str, range(1100))]
    assert len(result.suppressed) == 100


async def test_a_worker_whose_coroutine_is_closed_ends_without_waiting_for_a_cleanup() -> None:
    """As Python closes it when a loop was abandoned: what awaits then is an error of its own."""
    log = list[str]()
    tasks = list[trio.lowlevel.Task]()

    async def clean() -> None:
        await trio.lowlevel.checkpoint()
        log.append("cleaned up")

    class Waits(Work):
        @override
        async def exec(self, item: Any, /) -> None:
            current_step().on_cleanup(clean)
            tasks.append(trio.lowlevel.current_task())
            try:
                await trio.Event().wait()
            except GeneratorExit:
                log.append("closed")
                raise

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, each(Waits([1]), concurrent=1))
            await wait_all_tasks_blocked()
            tasks[0].coro.close()
            log.append("ended")
            nursery.cancel_scope.cancel()  # Trio goes on with what is closed, and says so
    assert caught.group_contains(RuntimeError, match="cannot reuse already awaited coroutine")
    assert log == ["closed", "ended"]
