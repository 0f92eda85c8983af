"""Branches at once: forks that are merged, failures that are all told, siblings that are ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    CleanupOverrunError,
    DeadlineExceededError,
    Engine,
    Flow,
    FlowAbortedError,
    FlowFailedError,
    MergeConflictError,
    Next,
    Step,
    StepLimitError,
    Wiring,
    WrongExitError,
    added,
    current_step,
    flow,
    merged_by,
    parallel,
    race,
    step,
    summed,
)
from agentflow_trio.errors import Failure
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, explore

from .engine_kit import Recorder, picture


@attrs.define
class Sums:
    """A state whose fields can be written at once."""

    total: int = attrs.field(default=0, metadata=merged_by(summed))
    words: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))
    owner: str = ""


def adding(name: str, seconds: float = 0.0) -> Step[Sums, []]:
    @step(name=name)
    async def adds(sums: Sums) -> None:
        await trio.sleep(seconds)
        sums.total += 1
        sums.words += (name,)

    return adds


def doing(name: str, act: Callable[[], Awaitable[object]]) -> Step[Sums, []]:
    @step(name=name)
    async def does(sums: Sums) -> None:
        sums.words += (name,)
        await act()

    return does


def raising(name: str, error: BaseException, seconds: float = 0.0) -> Step[Sums, []]:
    async def fail() -> None:
        await trio.sleep(seconds)
        raise error

    return doing(name, fail)


def around(*steps: Step[Sums, []], name: str = "f") -> Flow[Sums, []]:
    @flow(name=name)
    def row() -> Wiring[Sums]:
        return [one.then(after) for one, after in zip(steps, [*steps[1:], END], strict=True)]

    return row


def at_once(*branches: Step[Sums, []], **options: float) -> Flow[Sums, []]:
    return around(Step(parallel(*branches), name="all", timeout=options.get("timeout")))


async def test_branches_run_at_once_and_merge_in_declared_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    result = await at_once(adding("a", 3), adding("b", 1), adding("c", 2)).run(Sums())
    assert trio.current_time() == 3
    assert result.state == Sums(total=3, words=("a", "b", "c"))
    assert result.steps == 4
    assert result.visits == {"f/all": 1, "f/all/a": 1, "f/all/b": 1, "f/all/c": 1}
    assert result.tail == ("f/all", "f/all/a", "f/all/b", "f/all/c")
    assert result.suppressed == ()


def test_what_comes_of_it_does_not_depend_on_the_schedule() -> None:
    row = at_once(adding("a"), adding("b"), Step(around(adding("x"), adding("y"), name="c")))
    explore(
        row, Sums(), seeds=40, check=lambda result: judge(result.state.words)
    ).raise_on_failure()


def judge(words: tuple[str, ...]) -> None:
    assert words == ("a", "b", "x", "y")


async def test_a_thousand_branches_count_to_a_thousand() -> None:
    row = at_once(*(adding(f"n{number}") for number in range(1000)))
    result = await row.run(Sums())
    assert result.state.total == 1000
    assert result.state.words == tuple(f"n{number}" for number in range(1000))
    assert result.steps == 1001
    assert len(result.visits) == 1001


async def test_two_writers_without_a_rule_are_a_conflict_and_nothing_is_merged() -> None:
    def owning(name: str) -> Step[Sums, []]:
        @step(name=name)
        async def owns(sums: Sums) -> None:
            sums.total += 1
            sums.owner = name

        return owns

    with pytest.raises(FlowFailedError) as caught:
        await at_once(owning("a"), owning("b")).run(Sums())
    error = caught.value.only()
    assert isinstance(error, MergeConflictError)
    assert error.branches == ("a", "b")
    found = caught.value.find(error)
    assert found is not None
    assert (found.path, found.phase) == ("f/all", "post")
    assert caught.value.state == Sums()


async def test_simultaneous_failures_and_a_failed_cleanup_are_four_leaves_with_paths(
    autojump_clock: trio.testing.MockClock,
) -> None:
    errors = [ValueError("a"), KeyError("b"), OSError("c")]

    async def close() -> None:
        raise RuntimeError("close")

    async def open_and_fail() -> None:
        current_step().on_cleanup(close)
        await trio.sleep(1)
        raise errors[2]

    row = at_once(
        raising("a", errors[0], 1), raising("b", errors[1], 1), doing("c", open_and_fail)
    )
    with pytest.raises(FlowFailedError) as caught:
        await row.run(Sums())
    tree = caught.value
    leaves = list(tree.leaves())
    assert leaves[:3] == errors
    assert [str(leaf) for leaf in leaves[3:]] == ["close"]
    places = [tree.find(leaf) for leaf in leaves]
    assert [place and (place.path, place.phase) for place in places] == [
        ("f/all/a", "exec"),
        ("f/all/b", "exec"),
        ("f/all/c", "exec"),
        ("f/all/c", "cleanup"),
    ]
    assert picture(tree) == (
        "f",
        [("f/all", [*errors[:2], ("f/all/c", leaves[2:])])],
    )


async def test_one_failure_ends_the_others_and_they_have_not_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder, error = Recorder(), ValueError("no")
    row = at_once(adding("a", 9), raising("b", error, 1), adding("c", 0.5))
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(row, Sums())
    assert trio.current_time() == 1
    assert picture(caught.value) == ("f", [("f/all", [error])])
    assert caught.value.state == Sums()
    lines = [line.split(" ")[:2] for line in recorder.lines()]
    assert ["node_cancelled", "f/all/a"] in lines
    assert ["node_error", "f/all/b"] in lines
    assert ["node_success", "f/all/c"] in lines
    assert lines[-2:] == [["node_error", "f/all"], ["run_end", "f"]]


async def test_the_failure_of_all_is_caught_like_any_other() -> None:
    first = Step(parallel(raising("a", ValueError()), adding("b")), name="all")
    after = adding("after")

    @flow
    def row() -> Wiring[Sums]:
        return [first.then(END).catch(ValueError, to=after), after.then(END)]

    result = await row.run(Sums())
    assert result.state == Sums(total=1, words=("after",))


async def test_a_branch_left_out_does_not_run() -> None:
    row = at_once(
        adding("a").when(lambda sums: sums.total > 0),
        adding("b").when(lambda sums: sums.total == 0),
    )
    result = await row.run(Sums())
    assert result.state.words == ("b",)
    assert (await at_once(adding("a").when(lambda _: False)).run(Sums())).state == Sums()


async def test_a_predicate_that_raises_is_a_failure_of_the_step() -> None:
    def broken(_: Sums) -> bool:
        raise ZeroDivisionError

    with pytest.raises(FlowFailedError) as caught:
        await at_once(adding("a").when(broken)).run(Sums())
    place = caught.value.find(caught.value.only())
    assert place is not None
    assert (place.path, place.phase) == ("f/all", "prep")


async def test_a_slow_branch_delays_no_other_flow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended = dict[str, float]()

    async def note() -> None:
        ended[current_step().path] = trio.current_time()

    fast = Step(around(adding("x", 1), doing("y", note), name="fast"))
    await at_once(adding("slow", 10), fast).run(Sums())
    assert ended == {"f/all/fast/y": 1}


async def test_a_limit_around_all_ends_all_and_says_who_used_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(FlowFailedError) as caught:
        await at_once(adding("a", 9), adding("b", 1), timeout=2.0).run(Sums())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert error.limit == "timeout of f/all"
    assert error.spent == {"f/all/a": 2.0, "f/all/b": 1.0}


async def test_every_live_branch_is_told_when_a_run_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    row = at_once(adding("a", 9), adding("b", 9))
    async with Engine() as engine, engine.start(row, Sums()) as run:
        await trio.sleep(1)
        report = await run.cancel("enough")
    first, *rest = [(cut.path, cut.phase, cut.elapsed) for cut in report.cut_off]
    assert [first, *sorted(rest)] == [
        ("f/all", "exec", 1),
        ("f/all/a", "exec", 1),
        ("f/all/b", "exec", 1),
    ]


async def test_cancelled_from_outside_alone_passes_untouched(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen = list[BaseException]()
    with trio.move_on_after(1) as scope:
        await told_to(seen, at_once(adding("a", 9), adding("b", 9)))
    assert scope.cancelled_caught
    assert [type(error) for error in seen] == [trio.Cancelled]


async def test_cancelled_from_outside_with_a_failure_is_an_abortion(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep(9)
        finally:
            raise OSError("late")

    seen = list[BaseException]()
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(1):
        await told_to(seen, at_once(doing("a", fail_late), adding("b", 9)))
    assert str(caught.value.only()) == "late"
    (aborted,) = seen
    assert isinstance(aborted, FlowAbortedError)
    assert [type(leaf) for leaf in aborted.leaves()] == [OSError, trio.Cancelled]


async def test_a_branch_whose_own_tasks_fail_while_cancelled_raises_the_failure_and_passes_on_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep(9)
        finally:
            raise OSError("late")

    async def two() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail_late)

    seen = list[BaseException]()
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(1) as scope:
        await told_to(seen, at_once(doing("a", two), adding("b", 0)))
    assert scope.cancelled_caught
    group = caught.value.only()  # what a node's own nursery raises is one failure
    assert isinstance(group, ExceptionGroup)
    assert [str(error) for error in group.exceptions] == ["late"]
    (aborted,) = seen
    assert isinstance(aborted, FlowAbortedError)
    assert [type(leaf) for leaf in aborted.leaves()] == [ExceptionGroup, trio.Cancelled]


async def told_to(seen: list[BaseException], row: Flow[Sums, []]) -> None:
    """Run it, and note what it raises."""
    try:
        await row.run(Sums())
    except BaseException as error:
        seen.append(error)
        raise


async def test_a_keyboard_interrupt_of_one_branch_passes_bare() -> None:
    with pytest.raises(KeyboardInterrupt):
        await at_once(raising("a", KeyboardInterrupt()), adding("b", 9)).run(Sums())


async def test_steps_of_all_branches_count_against_the_limit() -> None:
    row = at_once(*(adding(name) for name in "abc"))
    async with Engine(max_steps=4) as engine:
        assert (await engine.run(row, Sums())).steps == 4
    async with Engine(max_steps=3) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(around(adding("first"), *lines_of(row)), Sums())
    assert isinstance(next(caught.value.leaves()), StepLimitError)


def lines_of(row: Flow[Sums, []]) -> list[Step[Sums, []]]:
    return [Step(row)]


def test_a_step_limit_holds_exactly_in_whatever_order() -> None:
    loops = Step(
        parallel(*(Step(around(adding("x"), adding("y"), name=n)) for n in "abc")), name="all"
    )

    async def program() -> tuple[int, int]:
        recorder = Recorder()
        async with Engine(max_steps=8, observers=[recorder]) as engine:
            with suppress(FlowFailedError):
                await engine.run(around(loops, adding("last")), Sums())
        ended = recorder.events[-1]
        assert ended.event_type == "run_end"
        begun = sum(event.event_type == "node_start" for event in recorder.events)
        return begun, ended.steps

    def check(steps: tuple[int, int]) -> None:
        assert steps == (8, 8)

    explore(program, check=check, seeds=40).raise_on_failure()


def test_cancelled_at_every_step_it_leaves_nothing_and_merges_nothing() -> None:
    opened = list[str]()

    async def close(name: str) -> None:
        await trio.lowlevel.checkpoint()
        opened.remove(name)

    def holding(name: str) -> Step[Sums, []]:
        async def hold() -> None:
            opened.append(name)
            current_step().on_cleanup(close, name)
            await trio.sleep(1)

        return doing(name, hold)

    inner = Step(parallel(holding("x"), holding("y")), name="inner")
    row = at_once(holding("a"), inner, holding("b"))

    async def program() -> Sums:
        opened.clear()
        with assert_no_leaks():
            return (await row.run(Sums())).state

    def check(cut: Cut[Sums]) -> None:
        assert opened == []
        if cut.result is not None:
            assert cut.result.words == ("a", "x", "y", "b")

    cancel_everywhere(program, check=check, seeds=3)


async def test_400_levels_of_branches_in_branches() -> None:
    deep: Step[Sums, []] = adding("leaf")
    for _ in range(400):
        deep = Step(parallel(deep, adding("side")), name="p")
    result = await around(deep).run(Sums())
    assert result.state.total == 401
    assert result.steps == 801


async def test_a_cleanup_budget_is_not_used_up_by_branches_that_were_ended_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow_close() -> None:
        await trio.sleep(4)

    async def hold() -> None:
        current_step().on_cleanup(slow_close)
        await trio.sleep(100)

    inner = Step(parallel(doing("x", hold), raising("y", ValueError(), 1)), name="inner")
    after = adding("after")

    @flow(name="part")
    def part() -> Wiring[Sums]:
        return [inner.then(END).catch(ValueError, to=after), after.then(END)]

    row = at_once(Step(part), doing("z", hold), raising("late", OSError(), 5.5))
    with pytest.raises(FlowFailedError) as caught:
        await row.run(Sums())
    # x is closed from 1 to 5, z from 5.5 to 9.5: neither overruns the 5 s of its own cancellation
    assert [type(leaf) for leaf in caught.value.leaves()] == [OSError]
    assert trio.current_time() == 9.5


async def test_the_step_limit_names_the_busiest_steps_of_the_whole_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def going_round(name: str, times: int, seconds: float) -> Step[Sums, []]:
        @step(name=f"{name}_turn")
        async def turn(sums: Sums, *, more: Next, done: Next) -> Next:
            await trio.sleep(seconds)
            return more if current_step().visit < times else done

        @flow(name=name)
        def loop() -> Wiring[Sums]:
            return [turn.to(more=turn, done=END)]

        return Step(loop)

    quick, slow = going_round("quick", 5, 0), going_round("slow", 9, 1)
    inner = Step(parallel(going_round("x", 4, 0.1), adding("y")), name="inner")
    row = around(adding("first"), Step(parallel(quick, slow, inner), name="all"))
    async with Engine(max_steps=20) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(row, Sums())
    error = caught.value.only()
    assert isinstance(error, StepLimitError)
    # `quick` and `inner` are over by then
    assert dict(error.busiest) == {
        "f/all/quick/quick_turn": 5,
        "f/all/slow/slow_turn": 4,
        "f/all/inner/x/x_turn": 4,
    }
    assert caught.value.find(error) == Failure("f/all/slow", "flow", 1, 4.0)


def hanging(name: str, seconds: float = 100, *, shielded: float = 0) -> Step[Sums, []]:
    """Works on for so long though it is cancelled, and has a cleanup of so many seconds."""

    async def close() -> None:
        await trio.sleep(seconds)

    async def hold() -> None:
        current_step().on_cleanup(close)
        with trio.CancelScope(shield=True):
            await trio.sleep(shielded)
        await trio.sleep(100)

    return doing(name, hold)


async def test_cleanups_that_hang_in_several_branches_share_the_grace_and_are_named(
    autojump_clock: trio.testing.MockClock,
) -> None:
    part = around(
        Step(parallel(hanging("x"), hanging("y", shielded=4)), name="deep"), name="part"
    )
    row = at_once(hanging("a"), Step(part), hanging("c", 2))
    async with Engine() as engine, engine.start(row, Sums()) as run:
        await trio.sleep(1)
        report = await run.cancel("enough")
    assert trio.current_time() == 6
    assert sorted((one.path, one.grace) for one in report.overruns) == [
        ("f/all/a", 5),
        ("f/all/part/deep/x", 5),
        ("f/all/part/deep/y", 5),
    ]
    assert len(report.failures) == 3


async def test_cleanups_of_branches_that_a_failure_ends_share_the_grace_as_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    error = ValueError()
    row = at_once(hanging("a", 4), raising("b", error, 1), hanging("c", 4, shielded=3))
    with pytest.raises(FlowFailedError) as caught:
        await row.run(Sums())
    # a is closed from 1 to 5, c from 3 until the grace that began at 1 is over
    assert trio.current_time() == 6
    first, overrun = caught.value.leaves()
    assert first is error
    assert isinstance(overrun, CleanupOverrunError)
    assert overrun.path == "f/all/c"


async def test_the_grace_of_losers_is_none_of_what_comes_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first = Step(race(hanging("a", 4), adding("b", 1)), name="first")
    row = around(first, Step(parallel(hanging("x", 4), raising("y", OSError(), 1)), name="all"))
    with pytest.raises(FlowFailedError) as caught:
        await row.run(Sums())
    assert trio.current_time() == 10
    assert [type(leaf) for leaf in caught.value.leaves()] == [OSError]


async def test_a_plain_branch_that_returns_something_has_taken_no_exit() -> None:
    @step(name="a")
    async def returns(sums: Sums) -> None:
        given: Any = 7
        wrong: None = given
        return wrong

    with pytest.raises(FlowFailedError) as caught:
        await at_once(returns, adding("b")).run(Sums())
    error = caught.value.only()
    assert isinstance(error, WrongExitError)
    place = caught.value.find(error)
    assert place is not None
    assert (place.path, place.phase) == ("f/all/a", "exec")


async def test_a_cleanup_that_fails_in_a_plain_branch_that_is_cut_off_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def close() -> None:
        raise OSError("close")

    async def hold() -> None:
        current_step().on_cleanup(close)
        await trio.sleep(9)

    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(1):
        await at_once(doing("a", hold), adding("b", 9)).run(Sums())
    assert str(caught.value.only()) == "close"
    assert caught.value.find(caught.value.only()) == Failure("f/all/a", "cleanup", 1, 1.0)
