"""Exec gets several items at once: parts in order, one output for each item, failures counted by item."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs
import pytest
import trio
from outcome import Error, Value

from agentflow_trio import (
    Count,
    Engine,
    FlowFailedError,
    Fold,
    Share,
    Step,
    StepDefinitionError,
    WrongOutputsError,
    batch,
    each,
    fold,
)

from .engine_kit import Recorder


@attrs.define
class Board:
    """What post got."""

    got: Any = None


class Double:
    """Doubles items, notes the parts it got, and fails for a part with one in *bad* in it."""

    def __init__(self, items: Any, bad: tuple[int, ...] = ()) -> None:
        self.items, self.bad = items, bad
        self.parts: list[list[int]] = []

    async def prep(self, shared: Board, /) -> Any:
        return self.items() if callable(self.items) else self.items

    async def exec(self, items: Sequence[int], /) -> Sequence[int]:
        self.parts.append(list(items))
        await trio.sleep(len(items))
        if any(item in self.bad for item in items):
            raise ValueError(items[0])
        return [item * 2 for item in items]

    async def post(self, shared: Board, items: Any, received: Any, /) -> None:
        shared.got = received


async def stream(many: int) -> AsyncIterator[int]:
    for number in range(many):
        yield number


@pytest.mark.parametrize("items", [range(8), [*range(8)], tuple(range(8)), deque(range(8))])
async def test_parts_are_in_order_and_so_are_outputs(
    items: Any, autojump_clock: trio.testing.MockClock
) -> None:
    node = Double(items)
    result = await Step(batch(node, size=3)).run(Board())
    assert node.parts == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert result.state.got == [0, 2, 4, 6, 8, 10, 12, 14]
    assert trio.current_time() == 8


async def test_so_many_parts_at_once(autojump_clock: trio.testing.MockClock) -> None:
    await Step(batch(Double(range(8)), size=3, concurrent=2)).run(Board())
    assert trio.current_time() == 5


async def test_the_figure_of_the_seed(autojump_clock: trio.testing.MockClock) -> None:
    """Ten items, three at a time, two batches at once: [1,2,3] and [4,5,6], then [7,8,9] and [10]."""
    node = Double(range(1, 11))
    result = await Step(batch(node, size=3, concurrent=2)).run(Board())
    assert sorted(node.parts) == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert sorted(node.parts[:2]) == [[1, 2, 3], [4, 5, 6]]
    assert result.state.got == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert trio.current_time() == 6


@pytest.mark.parametrize("order", ["input", "completion"])
@pytest.mark.parametrize("source", [range, stream, lambda many: iter(range(many))])
async def test_parts_of_any_source_are_folded(
    source: Any, order: Any, autojump_clock: trio.testing.MockClock
) -> None:
    node = Double(lambda: source(8))
    into: Fold[Any, Any] = fold(int, operator.add, order=order)
    result = await Step(batch(node, size=3, concurrent=4, into=into)).run(Board())
    assert sorted(node.parts) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert result.state.got == 56


async def test_a_part_that_fails_is_as_many_items_that_fail(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = batch(Double(range(8), bad=(4,)), size=3, tolerate=Count(3))
    result = await Step(node).run(Board())
    got = result.state.got
    assert [type(one) for one in got] == [Value] * 3 + [Error] * 3 + [Value] * 2
    assert len({id(one) for one in got[3:6]}) == 3
    (error,) = result.suppressed
    assert all(one.error is error for one in got[3:6])
    with pytest.raises(FlowFailedError):
        await Step(batch(Double(range(8), bad=(4,)), size=3, tolerate=Count(2))).run(Board())
    with pytest.raises(FlowFailedError):
        await Step(batch(Double(range(8), bad=(4,)), size=3, tolerate=Share(0.3))).run(Board())


async def test_failed_parts_are_folded_item_by_item(
    autojump_clock: trio.testing.MockClock,
) -> None:
    into: Fold[Any, Any] = fold(list[bool], lambda total, one: [*total, isinstance(one, Value)])
    node = batch(Double(lambda: stream(5), bad=(3,)), size=2, tolerate=Count(2), into=into)
    assert (await Step(node).run(Board())).state.got == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("returned", "said"), [([1], "returned 1;"), ([], "returned 0;"), (None, "NoneType")]
)
async def test_exec_returns_one_output_for_each_item(returned: Any, said: str) -> None:
    class Short(Double):
        async def exec(self, items: Sequence[int], /) -> Sequence[int]:
            given: Sequence[int] = returned
            return given

    with pytest.raises(FlowFailedError) as caught:
        await Step(batch(Short([1, 2]), size=2), name="short").run(Board())
    error = caught.value.only()
    assert isinstance(error, WrongOutputsError)
    assert said in str(error)
    place = caught.value.find(error)
    assert place is not None
    assert place.path == "short[0]"


async def test_parts_are_told_as_they_end(autojump_clock: trio.testing.MockClock) -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(Step(batch(Double(range(5)), size=2), name="work"), Board())
    assert recorder.lines()[2:5] == [
        "batch work[0] done=2 failed=0 total=5",
        "batch work[1] done=4 failed=0 total=5",
        "batch work[2] done=5 failed=0 total=5",
    ]
    assert recorder.events[2].duration_ms == 2000


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, None])
def test_numbers_are_whole_and_at_least_one(wrong: Any) -> None:
    with pytest.raises(StepDefinitionError, match="size must be a whole number >= 1"):
        batch(Double([]), size=wrong)
    with pytest.raises(StepDefinitionError, match="concurrent must be a whole number >= 1"):
        each(Double([]), concurrent=wrong)
