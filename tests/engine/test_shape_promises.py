"""What shapes promise whatever the timing: no write is lost, no result depends on it, nobody who stalls makes memory grow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio import (
    END,
    Count,
    Engine,
    Flow,
    FlowFailedError,
    Fold,
    MergeConflictError,
    Step,
    Stream,
    Wiring,
    added,
    current_step,
    each,
    flow,
    fold,
    merged_by,
    parallel,
    step,
    summed,
)
from agentflow_trio.engine._streams import BUFFER
from agentflow_trio.engine._subscription import RING
from agentflow_trio.testing import assert_no_leaks, simulate

TOKENS = Stream("tokens", int)
delays = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@attrs.define
class Sums:
    """Fields with a rule for several writers, and one without."""

    total: int = attrs.field(default=0, metadata=merged_by(summed))
    words: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))
    plain: int = 0
    got: Any = None


def only(one: Step[Sums, []]) -> Flow[Sums, []]:
    @flow(name="f")
    def row() -> Wiring[Sums]:
        return [one.then(END)]

    return row


def counting(name: str, seconds: float = 0.0, *, plain: bool = False) -> Step[Sums, []]:
    @step(name=name)
    async def counts(sums: Sums) -> None:
        await trio.sleep(seconds)
        if plain:
            sums.plain += 1
        else:
            sums.total += 1
            sums.words += (name,)

    return counts


# ---------------------------------------------------------------- writes


async def test_a_thousand_writers_without_a_rule_are_a_conflict_that_names_all_of_them() -> (
    None
):
    branches = [counting(f"n{number}", plain=True) for number in range(1000)]
    with pytest.raises(FlowFailedError) as caught:
        await only(Step(parallel(*branches), name="all")).run(Sums())
    error = caught.value.only()
    assert isinstance(error, MergeConflictError)
    assert error.branches == tuple(f"n{number}" for number in range(1000))
    assert caught.value.state == Sums()


async def test_one_writer_of_a_field_without_a_rule_is_none() -> None:
    branches = [counting(f"n{number}", plain=number == 500) for number in range(1000)]
    result = await only(Step(parallel(*branches), name="all")).run(Sums())
    assert (result.state.plain, result.state.total) == (1, 999)


@given(delays=delays, seed=st.integers(0, 99))
def test_what_branches_write_does_not_depend_on_when(delays: list[int], seed: int) -> None:
    branches = [counting(f"n{i}", seconds) for i, seconds in enumerate(delays)]
    inner = Step(parallel(*branches), name="inner")
    row = only(Step(parallel(inner, *branches), name="all"))
    with simulate(row, Sums(), seed=seed) as sim:
        sim.run()
        state = sim.result.state
    names = tuple(f"n{i}" for i in range(len(delays)))
    assert state == Sums(total=2 * len(delays), words=names * 2)
    assert sim.time == max(delays)


@attrs.frozen
class Sleeps:
    """Items are how long they take; the odd ones fail."""

    items: list[int]

    async def prep(self, shared: Sums, /) -> list[int]:
        return self.items

    async def exec(self, item: int, /) -> int:
        await trio.sleep(item)
        if item % 2:
            raise ValueError(item)
        return item

    async def post(self, shared: Sums, items: object, received: Any, /) -> None:
        shared.got = received


@given(delays=delays, concurrent=st.integers(1, 5), seed=st.integers(0, 99))
def test_what_post_gets_does_not_depend_on_when(
    delays: list[int], concurrent: int, seed: int
) -> None:
    into: Fold[Any, Any] = fold(list[str], lambda total, one: [*total, str(one)])
    node: Any = Sleeps(delays)
    row = only(Step(each(node, concurrent=concurrent, tolerate=Count(99), into=into)))
    with simulate(row, Sums(), seed=seed) as sim:
        sim.run()
        got = sim.result.state.got
    told = [f"Error(ValueError({item}))" if item % 2 else f"Value({item})" for item in delays]
    assert got == told
    assert len(sim.result.suppressed) == sum(item % 2 for item in delays)


# ---------------------------------------------------------------- who stalls


async def test_a_stalled_reader_holds_every_branch_that_writes_and_nothing_piles_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sent = 0

    def talking(name: str) -> Step[Sums, []]:
        @step(name=name)
        async def talks(sums: Sums) -> None:
            nonlocal sent
            for number in range(100):
                await current_step().emit(TOKENS, number)
                sent += 1

        return talks

    row = only(Step(parallel(*(talking(f"n{number}") for number in range(50)))))
    with assert_no_leaks():
        async with Engine() as engine, engine.start(row, Sums()) as run:
            tokens = run.stream(TOKENS)
            await trio.sleep(1)
            assert tokens.waiting == sent == BUFFER
            await anext(tokens)
            await trio.sleep(1)
            assert tokens.waiting == BUFFER
            assert sent == BUFFER + 1
            tokens.close()
            await run.result()
    assert sent == 5000


async def test_a_stalled_subscriber_keeps_no_more_than_a_thousand_events_and_counts_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node: Any = Sleeps([0] * 3000)
    async with (
        Engine() as engine,
        engine.start(only(Step(each(node, concurrent=8))), Sums()) as run,
    ):
        events = run.events()
        await run.result()
        assert events.waiting == RING
        assert events.missed == 3005 - RING
        assert len([event async for event in events]) == RING


async def test_a_slow_first_item_lets_no_more_than_a_window_be_pulled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulled = ended = 0

    @attrs.frozen
    class Slow:
        async def prep(self, shared: Sums, /) -> Iterator[int]:
            return self.source()

        def source(self) -> Iterator[int]:
            nonlocal pulled
            for number in range(10_000):
                pulled += 1
                yield number

        async def exec(self, item: int, /) -> int:
            nonlocal ended
            await trio.sleep(0.001 if item else 5)
            ended += 1
            return item

        async def post(self, shared: Sums, items: object, received: int, /) -> None:
            shared.total = received

    into: Fold[Any, Any] = fold(int, lambda total, one: total + one)
    node: Any = Slow()
    row = only(Step(each(node, concurrent=4, into=into)))
    async with Engine() as engine, engine.start(row, Sums()) as run:
        await trio.sleep(4)
        assert (pulled, ended) == (8, 7)
        assert (await run.result()).state.total == sum(range(10_000))
