"""What is promised at scale: many branches, deep nesting, long streams, and consumers that do not come along."""

from __future__ import annotations

import operator
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    Engine,
    Flow,
    Source,
    Step,
    Stream,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    fold,
    merged_by,
    parallel,
    step,
    summed,
)

pytestmark = pytest.mark.slow

MEGABYTE = 1024 * 1024


@attrs.define
class Sums:
    total: int = attrs.field(default=0, metadata=merged_by(summed))


async def peak(work: Callable[[], Awaitable[object]]) -> int:
    """Bytes that Python holds at the worst moment of *work*, beyond what it held before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def adding(name: str) -> Step[Sums, []]:
    @step(name=name)
    async def adds(sums: Sums) -> None:
        sums.total += 1

    return adds


# ---------------------------------------------------------------- many at once


async def test_ten_thousand_live_branches_are_cancelled_in_a_moment() -> None:
    """0.3 s are promised, of a machine that has nothing else to do; a square would be minutes."""
    many, waiting, ended = 10_000, 0, 0
    full = trio.Event()

    @step
    async def waits(sums: Sums) -> None:
        nonlocal waiting, ended
        waiting += 1
        if waiting == many:
            full.set()
        try:
            await trio.sleep_forever()
        finally:
            ended += 1

    all_ = Step(parallel(*(waits.with_(name=f"n{number}") for number in range(many))))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(all_.run, Sums())
            await full.wait()
            begun = time.process_time()
            scope.cancel()
    assert scope.cancelled_caught
    assert ended == many
    assert time.process_time() - begun < 3.0


async def test_a_waiting_flow_takes_a_few_kilobytes() -> None:
    """100,000 in half a gigabyte are 5 KB for each, its task included."""
    many, waiting, full, gate = 1_000, 0, trio.Event(), trio.Event()

    @step
    async def waits(sums: Sums) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == many:
            full.set()
        await gate.wait()

    @flow(name="f")
    def waiting_flow() -> Wiring[Sums]:
        first = adding("first")
        return [first.then(waits), waits.then(END)]

    async def fleet() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(many):
                nursery.start_soon(waiting_flow.run, Sums())
            await full.wait()
            gate.set()

    assert await peak(fleet) < 5 * 1024 * many


# ---------------------------------------------------------------- deep


def around(below: Step[Sums, []] | None) -> Flow[Sums, []]:
    work = adding("work")

    @flow(name="level")
    def level() -> Wiring[Sums]:
        return [work.then(END)] if below is None else [work.then(below), below.then(END)]

    return level


def nested(depth: int, *, at_once: bool) -> Flow[Sums, []]:
    """A flow in a flow, so many times; or in a branch of one, beside another."""
    inner = around(None)
    for _ in range(depth - 1):
        below = Step(inner, name="below")
        if at_once:
            below = Step(parallel(below, adding("beside")), name="both")
        inner = around(below)
    return inner


def test_flows_nested_four_hundred_deep_run() -> None:
    result = trio.run(nested(400, at_once=False).run, Sums())
    assert result.state.total == 400


def test_a_flow_in_a_branch_in_a_flow_four_hundred_times_runs() -> None:
    result = trio.run(nested(400, at_once=True).run, Sums())
    assert result.state.total == 400 + 399


# ---------------------------------------------------------------- long


async def numbers(many: int) -> AsyncIterator[int]:
    for number in range(many):
        yield number


class Parts:
    """Sums up so many numbers of a source that has no end in sight."""

    def __init__(self, many: int) -> None:
        self.many = many

    async def prep(self, shared: Sums, /) -> Source[int]:
        return numbers(self.many)

    async def exec(self, items: Sequence[int], /) -> Sequence[int]:
        await trio.lowlevel.checkpoint()
        return items

    async def post(self, shared: Sums, source: Source[int], total: int, /) -> None:
        shared.total = total


async def test_streamed_items_take_no_memory() -> None:
    into = fold(int, operator.add)

    async def work() -> None:
        node = batch(Parts(50_000), size=100, concurrent=8, into=into)
        assert (await Step(node).run(Sums())).state.total == 50_000 * 49_999 // 2

    await work()  # makes what is made once
    assert await peak(work) < MEGABYTE // 2


# ---------------------------------------------------------------- nobody comes along


class Stalled:
    """Its first item ends last."""

    def __init__(self, many: int) -> None:
        self.many = many
        self.done = 0
        self.most = 0
        self.others = trio.Event()

    async def prep(self, shared: Sums, /) -> Source[int]:
        return numbers(self.many)

    async def exec(self, item: int, /) -> int:
        if item == 0:
            await self.others.wait()
            self.most = self.done
        else:
            self.done += 1
        await trio.lowlevel.checkpoint()
        return item

    async def post(self, shared: Sums, source: Source[int], total: int, /) -> None:
        shared.total = total


async def test_results_wait_for_the_fold_within_the_window(autojump_clock: MockClock) -> None:
    """The others are at most twice `concurrent` ahead of the slowest, however many there are."""
    node = Stalled(1_000)
    run = Step(each(node, concurrent=4, into=fold(int, operator.add)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run, Sums())
        await trio.sleep(1)
        assert node.done == 7
        node.others.set()
    assert node.most == 7
    assert node.done == 999


CHUNKS = Stream("chunks", bytes)


async def test_a_reader_that_stalls_holds_the_stream_up(autojump_clock: MockClock) -> None:
    emitted = 0

    @step
    async def talks(sums: Sums) -> None:
        nonlocal emitted
        for _ in range(1_000):
            await current_step().emit(CHUNKS, bytes(1024))
            emitted += 1

    async with Engine() as engine, engine.start(talks, Sums()) as run:
        with run.stream(CHUNKS) as chunks:
            await trio.sleep(1)
            assert emitted < 100
            assert [len(chunk) async for chunk in chunks] == [1024] * 1_000
    assert emitted == 1_000


@pytest.mark.parametrize("visits", [2_000, 20_000])
async def test_a_subscriber_that_stalls_loses_events_and_nothing_grows(visits: int) -> None:
    @step
    async def works(sums: Sums) -> None:
        for _ in range(visits):
            current_step().report(0.5, "halfway")

    async def work() -> None:
        async with Engine() as engine, engine.start(works, Sums()) as run:
            with run.events() as events:
                await run.result()
                assert events.missed >= visits - 1_000

    await work()
    assert await peak(work) < MEGABYTE
