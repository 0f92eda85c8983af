"""Time limits around, within and across branches and items: which fires, when, and who used the time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import trio
from outcome import Error, Value
from trio.testing import MockClock

from agentflow_trio import (
    END,
    Count,
    DeadlineExceededError,
    Engine,
    Flow,
    FlowFailedError,
    Fold,
    Step,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    fold,
    parallel,
    race,
)
from agentflow_trio.errors import Failure

from .engine_kit import Recorder
from .words_kit import Words, doing, lasting, row


class Lasting:
    """A node of items: each takes as many seconds as it says."""

    def __init__(self, *items: float, prep: float = 0.0, post: float = 0.0) -> None:
        self.items, self.waits = items, (prep, post)

    async def prep(self, shared: Words, /) -> Sequence[float]:
        await trio.sleep(self.waits[0])
        return self.items

    async def exec(self, item: Any, /) -> Any:
        for seconds in item if isinstance(item, tuple) else (item,):
            await trio.sleep(seconds)
        return item

    async def post(self, shared: Words, items: object, received: Any, /) -> None:
        await trio.sleep(self.waits[1])
        shared.got = received


async def exceeded(one: Flow[Words, []], timeout: float | None = None) -> DeadlineExceededError:
    """The only failure of a run of *one*: that a time limit ran out."""
    with pytest.raises(FlowFailedError) as caught:
        await one.run(Words(), timeout=timeout)
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    return error


def spent_by(error: DeadlineExceededError) -> list[tuple[str, float]]:
    return [*error.spent.items()]


# ---------------------------------------------------------------- limits around branches


@pytest.mark.parametrize("where", ["the step", "the run"])
@pytest.mark.parametrize("shape", [parallel, race])
async def test_a_limit_around_branches_names_those_that_used_the_time_most_first(
    where: str, shape: Any, autojump_clock: MockClock
) -> None:
    """In a race the one that ended well would have won, so there it fails."""

    async def end() -> None:
        await trio.sleep(2)
        if shape is race:
            raise ValueError

    inner = Step(row(lasting("x", 1), lasting("y", 99), name="inner"))
    of_step = 4.0 if where == "the step" else None
    node = shape(doing("a", end), lasting("b", 9), inner)
    all_: Step[Words, []] = Step(node, name="all", timeout=of_step)
    error = await exceeded(row(all_), None if of_step else 4.0)
    assert error.limit == ("timeout of f/all" if of_step else "timeout of the run")
    assert spent_by(error) == [
        ("f/all/b", 4.0),
        ("f/all/inner/y", 3.0),
        ("f/all/a", 2.0),
        ("f/all/inner/x", 1.0),
    ]
    assert trio.current_time() == 4.0


async def test_of_two_limits_around_branches_each_accounts_for_its_own_time(
    autojump_clock: MockClock,
) -> None:
    all_ = Step(parallel(lasting("a", 3), lasting("b", 9)), name="all", timeout=4.0)
    before, after = lasting("before", 2), lasting("after", 9)

    @flow
    def f() -> Wiring[Words]:
        return [
            before.then(all_),
            all_.then(END).catch(DeadlineExceededError, to=after),
            after.then(END),
        ]

    error = await exceeded(f, 10.0)
    assert spent_by(error) == [
        ("f/all/b", 4.0),
        ("f/after", 4.0),
        ("f/all/a", 3.0),
        ("f/before", 2.0),
    ]


async def test_a_limit_of_one_branch_fires_for_it_alone_and_ends_the_others(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    slow = lasting("slow", 9).with_(timeout=2.0)
    one = row(Step(parallel(slow, lasting("b", 5), lasting("c", 1)), name="all"))
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(one, Words())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert (error.limit, spent_by(error)) == ("timeout of f/all/slow", [("f/all/slow", 2.0)])
    assert caught.value.find(error) == Failure("f/all/slow", "exec", 1, 2.0)
    assert trio.current_time() == 2.0
    lines = [" ".join(line.split()[:2]) for line in recorder.lines()]
    assert {"node_error f/all/slow", "node_cancelled f/all/b", "node_success f/all/c"} <= {
        *lines
    }


async def test_a_limit_of_one_branch_of_a_race_makes_it_a_loser(
    autojump_clock: MockClock,
) -> None:
    slow = lasting("slow", 9).with_(timeout=2.0)
    result = await row(Step(race(slow, lasting("b", 5)), name="first")).run(Words())
    assert result.state.words == ("b",)
    (error,) = result.suppressed
    assert str(error).startswith("timeout of f/first/slow (2 s) ran out")


async def test_limits_of_several_branches_that_run_out_at_one_moment_are_all_told(
    autojump_clock: MockClock,
) -> None:
    branches = [lasting(name, 9).with_(timeout=2.0) for name in "abc"]
    with pytest.raises(FlowFailedError) as caught:
        await row(Step(parallel(*branches), name="all")).run(Words())
    assert [str(leaf) for leaf in caught.value.leaves()] == [
        f"timeout of f/all/{name} (2 s) ran out; spent: f/all/{name} 2 s" for name in "abc"
    ]


@pytest.mark.parametrize("shape", [parallel, race])
async def test_with_equal_deadlines_the_outer_limit_catches(
    shape: Any, autojump_clock: MockClock
) -> None:
    branch = lasting("a", 9).with_(timeout=3.0)
    nested = Step(row(branch, name="inner"), timeout=3.0)
    node = shape(nested, lasting("b", 9).with_(timeout=3.0))
    all_: Step[Words, []] = Step(node, name="all", timeout=3.0)
    error = await exceeded(row(all_), 3.0)
    assert (error.limit, error.earlier) == ("timeout of the run", ())
    assert sorted(spent_by(error)) == [("f/all/b", 3.0), ("f/all/inner/a", 3.0)]
    error = await exceeded(row(all_), 5.0)
    assert (error.limit, error.earlier) == ("timeout of f/all", ())
    nested = Step(shape(branch, lasting("b", 4)), name="all", timeout=5.0)
    if shape is parallel:
        assert (await exceeded(row(nested))).limit == "timeout of f/all/a"


async def test_the_callers_deadline_is_the_callers_even_if_it_is_equal(
    autojump_clock: MockClock,
) -> None:
    all_ = Step(parallel(lasting("a", 9).with_(timeout=3.0), lasting("b", 9)), name="all")
    with trio.move_on_after(3) as scope:
        await row(all_).run(Words(), timeout=3.0)
    assert scope.cancelled_caught
    assert trio.current_time() == 3.0


@pytest.mark.parametrize("kind", ["branch", "item", "flow of an item"])
async def test_a_limit_overtaken_while_what_it_cut_off_was_cleaned_up_is_named(
    kind: str, autojump_clock: MockClock
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 3)
        await trio.sleep(99)

    slow = doing("slow", work).with_(timeout=1.0)

    def split(words: Words) -> Sequence[Words]:
        return [Words()]

    def join(words: Words, done: Sequence[Words]) -> None: ...

    inner: Any = {
        "branch": parallel(slow, lasting("b", 99)),
        "item": parallel(Step(parallel(slow), name="deep")),
        "flow of an item": each(row(slow, name="inner").over(split, join), concurrent=1),
    }[kind]
    path = {
        "branch": "f/all/slow",
        "item": "f/all/deep/slow",
        "flow of an item": "f/all[0]/slow",
    }[kind]
    error = await exceeded(row(Step(inner, name="all")), 2.0)
    assert error.limit == "timeout of the run"
    assert error.earlier == (f"timeout of {path}",)
    assert error.spent[path] == 4.0
    assert trio.current_time() == 4.0


async def test_a_report_of_any_branch_keeps_an_idle_limit_around_all_away(
    autojump_clock: MockClock,
) -> None:
    async def report() -> None:
        for _ in range(5):
            await trio.sleep(1)
            current_step().report(0.5)

    all_ = Step(parallel(doing("a", report), lasting("b", 99)), name="all", idle_timeout=2.0)
    error = await exceeded(row(all_))
    assert error.limit == "idle_timeout of f/all"
    assert spent_by(error) == [("f/all/b", 7.0), ("f/all/a", 5.0)]


async def test_the_deadline_that_a_branch_sees_is_the_nearest(
    autojump_clock: MockClock,
) -> None:
    seen: dict[str, float] = {}

    async def look() -> None:
        seen[current_step().path] = current_step().deadline

    all_ = Step(
        parallel(doing("a", look), doing("b", look).with_(timeout=5.0)), name="all", timeout=7.0
    )
    await row(lasting("first", 1), all_).run(Words(), timeout=20.0)
    assert seen == {"f/all/a": 8.0, "f/all/b": 6.0}


# ---------------------------------------------------------------- limits around items


@pytest.mark.parametrize("where", ["the step", "the run"])
async def test_a_limit_around_items_names_those_that_used_the_time_most_first(
    where: str, autojump_clock: MockClock
) -> None:
    of_step = 6.0 if where == "the step" else None
    node = each(Lasting(1, 99, 2, 99, prep=0.5), concurrent=2)
    error = await exceeded(
        row(Step(node, name="work", timeout=of_step)), None if of_step else 6.0
    )
    assert error.limit == ("timeout of f/work" if of_step else "timeout of the run")
    assert spent_by(error) == [
        ("f/work[1]", 5.5),
        ("f/work[3]", 2.5),
        ("f/work[2]", 2.0),
        ("f/work[0]", 1.0),
        ("f/work", 0.5),
    ]
    assert trio.current_time() == 6.0


async def test_parts_of_a_batch_are_named_by_their_numbers(autojump_clock: MockClock) -> None:
    node = batch(Lasting(1, 1, 1, 1, 9, 9), size=2, concurrent=1)
    error = await exceeded(row(Step(node, name="work", timeout=7.0)))
    assert spent_by(error) == [
        ("f/work[2]", 3.0),
        ("f/work[0]", 2.0),
        ("f/work[1]", 2.0),
        ("f/work", 0.0),
    ]


async def test_prep_and_post_of_items_are_the_steps_own_time(autojump_clock: MockClock) -> None:
    node = each(Lasting(1, 2, prep=3, post=4), concurrent=2)
    error = await exceeded(row(Step(node, name="work"), lasting("last", 9)), 10.0)
    assert spent_by(error) == [
        ("f/work", 7.0),
        ("f/work[1]", 2.0),
        ("f/work[0]", 1.0),
        ("f/last", 1.0),
    ]


async def test_a_limit_that_runs_out_in_prep_names_the_step(autojump_clock: MockClock) -> None:
    node = each(Lasting(1, prep=9), concurrent=2)
    error = await exceeded(row(Step(node, name="work", timeout=2.0)))
    assert spent_by(error) == [("f/work", 2.0)]


async def test_steps_of_an_items_flow_are_named_with_the_item(
    autojump_clock: MockClock,
) -> None:
    def split(words: Words) -> Sequence[Words]:
        return [Words(), Words()]

    def join(words: Words, done: Sequence[Words]) -> None: ...

    async def by_item() -> None:
        await trio.sleep(9 if current_step().item else 2)

    all_ = Step(parallel(doing("x", by_item)), name="all")
    inner = row(lasting("a", 1), all_, name="inner")
    node = each(inner.over(split, join), concurrent=2)
    error = await exceeded(row(Step(node, name="work", timeout=5.0)))
    assert sorted(spent_by(error)) == [
        ("f/work[0]/a", 1.0),
        ("f/work[0]/all/x", 2.0),
        ("f/work[1]/a", 1.0),
        ("f/work[1]/all/x", 4.0),
    ]
    assert spent_by(error)[0] == ("f/work[1]/all/x", 4.0)


async def test_of_ever_so_many_items_those_that_took_most_are_named(
    autojump_clock: MockClock,
) -> None:
    async def source() -> AsyncIterator[float]:
        for number in range(5_000):
            yield 50.0 if number == 7 else 0.001

    class Streaming(Lasting):
        async def prep(self, shared: Words, /) -> Any:
            return source()

    into: Fold[Any, Any] = fold(int, lambda total, _: total + 1, order="completion")
    node = each(Streaming(), concurrent=2, into=into)
    error = await exceeded(row(Step(node, name="work"), lasting("last", 999)), 100.0)
    assert spent_by(error)[0] == ("f/work[7]", 50.0)
    assert 49.9 < error.spent["f/last"] < 50.0
    assert len(error.spent) <= 2_001


async def test_a_deadline_for_each_item_is_a_failure_of_the_item(
    autojump_clock: MockClock,
) -> None:
    """By the flow of an item, whose limit is its own."""

    def split(words: Words) -> Sequence[Words]:
        return [Words((str(number),)) for number in range(3)]

    def join(words: Words, done: Sequence[Any]) -> None:
        words.got = done

    async def by_item() -> None:
        await trio.sleep(9 if current_step().item == 1 else 1)

    inner = row(doing("x", by_item).with_(timeout=2.0), name="inner")
    node = each(inner.over(split, join), concurrent=3, tolerate=Count(1))
    result = await row(Step(node, name="work")).run(Words())
    zero, one, two = result.state.got
    assert (zero, two) == (Value(Words(("0", "x"))), Value(Words(("2", "x"))))
    assert isinstance(one, Error)
    assert result.duration == 2.0
    (error,) = result.suppressed
    assert isinstance(error, FlowFailedError)
    assert str(error.only()) == ("timeout of f/work[1]/x (2 s) ran out; spent: f/work[1]/x 2 s")


async def test_items_within_an_expired_limit_unwind_and_are_told_as_cancelled_by_it(
    autojump_clock: MockClock,
) -> None:
    node = Step(each(Lasting(9, 9), concurrent=2), name="work", timeout=2.0)
    after = lasting("after", 1)

    @flow
    def f() -> Wiring[Words]:
        return [node.then(END).catch(DeadlineExceededError, to=after), after.then(END)]

    async with Engine() as engine, engine.start(f, Words()) as run:
        await trio.sleep(2.5)
        report = await run.cancel("no")
    # what the limit had cut off before is not what the cancellation did
    assert [cut.path for cut in report.cut_off] == ["f/after"]
