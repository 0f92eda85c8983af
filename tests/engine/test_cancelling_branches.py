"""One branch or one item is cancelled by its path: what becomes of it, of the others, and what is told."""

# ruff: noqa: SIM117 - how bodies are left is what is tested, so they are written out

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from outcome import Error, Value
from trio.testing import MockClock, assert_checkpoints

from agentflow_trio import (
    END,
    BranchCancelledError,
    CancelReport,
    CleanupOverrunError,
    Count,
    CutOff,
    Engine,
    Flow,
    FlowFailedError,
    Fold,
    Run,
    RunCancelledError,
    RunResult,
    SelfWaitError,
    Step,
    UnknownBranchError,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    fold,
    parallel,
    race,
    step,
)
from agentflow_trio.testing import (
    Cut,
    assert_no_leaks,
    cancel_everywhere,
    cancel_with,
    explore,
)

from .engine_kit import Recorder, picture
from .words_kit import Act, Words, doing, lasting, row


def at_once(*branches: Step[Words, []]) -> Flow[Words, []]:
    return row(Step(parallel(*branches), name="all"), lasting("after", 1))


def first_of(*branches: Step[Words, []]) -> Flow[Words, []]:
    return row(Step(race(*branches), name="first"))


@attrs.define
class Board:
    """What post got."""

    got: Any = None


class Sleeper:
    """Sleeps for every item a second, or what *seconds* says of it."""

    def __init__(self, items: Any, seconds: dict[int, float] | None = None) -> None:
        self.items, self.seconds = items, seconds or {}
        self.log: list[str] = []

    async def prep(self, shared: Board, /) -> Any:
        return self.items() if callable(self.items) else self.items

    async def exec(self, item: Any, /) -> Any:
        first = item[0] if isinstance(item, list | range) else item
        current_step().on_cleanup(self.clean, first)
        await trio.sleep(self.seconds.get(first, 1.0))
        return item

    async def clean(self, item: int) -> None:
        await trio.sleep(0.25)
        self.log.append(f"{item} closed at {trio.current_time():g}")

    async def post(self, shared: Board, items: Any, received: Any, /) -> None:
        shared.got = received


def only(node: Any) -> Flow[Board, []]:
    one: Step[Board, []] = Step(node, name="work")

    @flow(name="f")
    def made() -> Wiring[Board]:
        return [one.then(END)]

    return made


def leaves_of(caught: pytest.ExceptionInfo[FlowFailedError]) -> list[str]:
    return [f"{type(leaf).__name__}: {leaf}" for leaf in caught.value.leaves()]


# ---------------------------------------------------------------- branches


async def test_a_branch_of_parallel_is_left_out_and_the_others_go_on(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    row = at_once(lasting("a", 2), lasting("b", 9), lasting("c", 3))
    async with Engine(observers=[recorder]) as engine, engine.start(row, Words()) as run:
        await trio.sleep(1)
        run.request_cancel("too slow", at="f/all/b")
        result = await run.result()
    assert trio.current_time() == 4.0
    assert result.state.words == ("a", "c", "after")
    (left_out,) = result.suppressed
    assert isinstance(left_out, BranchCancelledError)
    assert (left_out.path, left_out.reason) == ("f/all/b", "too slow")
    assert result.visits == {"f/all": 1, "f/all/a": 1, "f/all/b": 1, "f/all/c": 1, "f/after": 1}
    lines = recorder.lines()
    assert [line for line in lines if "f/all/b" in line] == [
        "node_start f/all/b",
        "node_cancelled f/all/b phase=exec attempt=1",
        "branch_cancelled f/all/b reason=too slow",
    ]
    (event,) = [one for one in recorder.events if one.event_type == "branch_cancelled"]
    assert (event.timestamp, event.duration_ms) == (1.0, 1000.0)
    assert lines[-1] == "run_end f outcome=success steps=5"


async def test_cancelling_a_branch_waits_for_its_end_and_tells_what_was_cut_off(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def clean() -> None:
        await trio.sleep(2)
        log.append(f"closed at {trio.current_time():g}")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep(100)

    inner = Step(row(lasting("x", 1), Step(row(doing("y", work), name="deep")), name="inner"))
    async with (
        Engine() as engine,
        engine.start(at_once(inner, lasting("b", 5)), Words()) as run,
    ):
        await trio.sleep(2)
        report = await run.cancel("enough", at="f/all/inner")
        assert trio.current_time() == 4.0
        result = await run.result()
    assert log == ["closed at 4"]
    assert report == CancelReport(
        reason="enough",
        cut_off=(
            CutOff("f/all/inner", "exec", 1, 4.0),
            CutOff("f/all/inner/deep", "exec", 1, 3.0),
            CutOff("f/all/inner/deep/y", "exec", 1, 3.0),
        ),
        overruns=(),
        failures=(),
        duration=2.0,
    )
    assert result.state.words == ("b", "after")
    assert result.duration == 6.0


async def test_when_all_branches_are_cancelled_nothing_is_merged(
    autojump_clock: MockClock,
) -> None:
    async with (
        Engine() as engine,
        engine.start(at_once(lasting("a", 9), lasting("b", 9)), Words()) as run,
    ):
        await trio.sleep(1)
        run.request_cancel("one", at="f/all/a")
        run.request_cancel("two", at="f/all/b")
        result = await run.result()
    assert result.state.words == ("after",)
    assert [str(error) for error in result.suppressed] == [
        "f/all/a was cancelled: one",
        "f/all/b was cancelled: two",
    ]


async def test_a_branch_within_a_branch_and_one_of_a_second_visit(
    autojump_clock: MockClock,
) -> None:
    inner = Step(parallel(lasting("x", 9), lasting("y", 2)), name="inner")
    all_ = Step(parallel(inner, lasting("z", 1)), name="all")
    again = lasting("again", 1)

    twice = Step(row(all_, name="twice"))

    @flow
    def f() -> Wiring[Words]:
        return [all_.then(again), again.then(twice), twice.then(END)]

    async with Engine() as engine, engine.start(f, Words()) as run:
        await trio.sleep(1)
        await run.cancel("first", at="f/all/inner/x")
        await trio.sleep(3)
        await run.cancel("second", at="f/twice/all/inner")
        result = await run.result()
    assert result.state.words == ("y", "z", "again", "z")
    assert [str(error) for error in result.suppressed] == [
        "f/all/inner/x was cancelled: first",
        "f/twice/all/inner was cancelled: second",
    ]


async def test_the_visit_of_a_branch_has_its_number(autojump_clock: MockClock) -> None:
    all_ = Step(parallel(lasting("x", 2)), name="all")
    rounds = 0

    @step
    async def again(words: Words, *, more: Any, done: Any) -> Any:
        nonlocal rounds
        rounds += 1
        return more if rounds < 2 else done

    @flow
    def f() -> Wiring[Words]:
        return [all_.then(again), again.to(more=all_, done=END)]

    async with Engine() as engine, engine.start(f, Words()) as run:
        await trio.sleep(3)
        await run.cancel("no", at="f/all#2/x")
        result = await run.result()
    assert result.state.words == ("x",)


async def test_a_branch_of_a_race_has_lost(autojump_clock: MockClock) -> None:
    async with (
        Engine() as engine,
        engine.start(first_of(lasting("a", 2), lasting("b", 3)), Words()) as run,
    ):
        await trio.sleep(1)
        run.request_cancel("not you", at="f/first/a")
        result = await run.result()
    assert result.state.words == ("b",)
    assert [str(error) for error in result.suppressed] == ["f/first/a was cancelled: not you"]


async def test_a_race_whose_branches_are_all_cancelled_or_failed_has_failed(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("no")

    async def fail() -> None:
        await trio.sleep(3)
        raise error

    async with Engine() as engine:
        flow = first_of(lasting("a", 9), doing("b", fail), lasting("c", 9))
        async with engine.start(flow, Words()) as run:
            await trio.sleep(1)
            run.request_cancel("x", at="f/first/c")
            await trio.sleep(1)
            run.request_cancel("y", at="f/first/a")
            with pytest.raises(FlowFailedError) as caught:
                await run.result()
    first, second, third = caught.value.leaves()
    assert picture(caught.value) == ("f", [("f/first", [first, second, third])])
    assert leaves_of(caught) == [
        "BranchCancelledError: f/first/a was cancelled: y",
        "ValueError: no",
        "BranchCancelledError: f/first/c was cancelled: x",
    ]
    places = [caught.value.find(leaf) for leaf in caught.value.leaves()]
    assert [place and (place.path, place.elapsed) for place in places] == [
        ("f/first/a", 2.0),
        ("f/first/b", 3.0),
        ("f/first/c", 1.0),
    ]


async def test_a_branch_that_fails_while_it_unwinds_is_a_failure(
    autojump_clock: MockClock,
) -> None:
    error = OSError("dirt")

    async def fail() -> None:
        raise error

    async def work() -> None:
        current_step().on_cleanup(fail)
        await trio.sleep(100)

    async with Engine() as engine:
        async with engine.start(at_once(doing("a", work), lasting("b", 5)), Words()) as run:
            await trio.sleep(1)
            report = await run.cancel("no", at="f/all/a")
            assert report.failures == (error,)
            assert [cut.path for cut in report.cut_off] == ["f/all/a"]
            with pytest.raises(FlowFailedError) as caught:
                await run.result()
    assert list(caught.value.leaves()) == [error]


async def test_a_cleanup_that_overruns_is_in_the_report(autojump_clock: MockClock) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 100)
        await trio.sleep(100)

    async with Engine(cleanup_grace=3.0) as engine:
        async with engine.start(at_once(doing("a", work)), Words()) as run:
            await trio.sleep(1)
            report = await run.cancel("no", at="f/all/a")
            (overrun,) = report.overruns
            assert isinstance(overrun, CleanupOverrunError)
            assert report.duration == 3.0
            with pytest.raises(FlowFailedError):
                await run.result()


async def test_a_branch_that_ends_well_all_the_same_keeps_its_result(
    autojump_clock: MockClock,
) -> None:
    async def deaf() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)

    async with Engine() as engine, engine.start(at_once(doing("a", deaf)), Words()) as run:
        await trio.sleep(1)
        report = await run.cancel("no", at="f/all/a")
        assert (report.reason, report.cut_off, report.duration) == ("no", (), 2.0)
        result = await run.result()
    assert result.state.words == ("a", "after")
    assert result.suppressed == ()


async def test_a_limit_of_the_branch_that_runs_out_while_it_unwinds_is_not_the_one_that_ended_it(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 3)
        await trio.sleep(100)

    slow = doing("a", work).with_(timeout=2.0)
    async with Engine() as engine, engine.start(at_once(slow), Words()) as run:
        await trio.sleep(1)
        await run.cancel("no", at="f/all/a")
        result = await run.result()
    assert [type(error) for error in result.suppressed] == [BranchCancelledError]


async def test_the_first_reason_counts_and_all_who_wait_get_the_report(
    autojump_clock: MockClock,
) -> None:
    reports: list[CancelReport] = []

    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 2)
        await trio.sleep(100)

    async def cancel(run: Run[Words], reason: str) -> None:
        reports.append(await run.cancel(reason, at="f/all/a"))

    async with Engine() as engine:
        async with engine.start(at_once(doing("a", work)), Words()) as run:
            await trio.sleep(1)
            run.request_cancel("first", at="f/all/a")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel, run, "second")
                nursery.start_soon(cancel, run, "third")
    assert reports[0] == reports[1]
    assert reports[0].reason == "first"


async def test_cancelling_the_run_while_a_branch_unwinds_ends_it_all(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 2)
        await trio.sleep(100)

    async with Engine() as engine:
        async with engine.start(at_once(doing("a", work), lasting("b", 9)), Words()) as run:
            await trio.sleep(1)
            run.request_cancel("one", at="f/all/a")
            await trio.sleep(1)
            report = await run.cancel("all")
            with pytest.raises(RunCancelledError, match="all"):
                await run.result()
    assert sorted(cut.path for cut in report.cut_off) == ["f/all", "f/all/a", "f/all/b"]


# ---------------------------------------------------------------- who may ask, and for what


async def test_a_path_without_a_live_branch_names_those_near_it(
    autojump_clock: MockClock,
) -> None:
    row = at_once(
        lasting("news", 9),
        lasting("nets", 9),
        lasting("done", 1),
        Step(parallel(lasting("x", 9)), name="inner"),
    )
    async with Engine() as engine, engine.start(row, Words()) as run:
        await trio.sleep(2)
        for path, near in [
            ("f/all/new", ("f/all/news", "f/all/nets", "f/all/inner")),
            ("f/all/done", ("f/all/inner", "f/all/nets", "f/all/news")),
            ("f/all", ("f/all/news", "f/all/nets", "f/all/inner")),
            ("?", ()),
        ]:
            with pytest.raises(UnknownBranchError) as caught:
                run.request_cancel("no", at=path)
            assert caught.value.path == path
            assert sorted(caught.value.near) == sorted(near)
            assert caught.value.live == 4
        with pytest.raises(UnknownBranchError):
            await run.cancel("no", at="f/all/new")
        await run.cancel("enough")
    with pytest.raises(UnknownBranchError) as caught:
        run.request_cancel("no", at="f/all/news")
    assert (caught.value.near, caught.value.live) == ((), 0)


async def test_a_branch_cannot_wait_for_its_own_end_but_for_that_of_another(
    autojump_clock: MockClock,
) -> None:
    runs: list[Run[Words]] = []

    async def cancel_both() -> None:
        await trio.sleep(1)
        (run,) = runs
        with pytest.raises(SelfWaitError) as caught:
            await run.cancel("me", at="f/all/outer")
        assert str(caught.value) == (
            "run r at f/all/outer cannot wait for itself; use request_cancel(), which does not wait"
        )
        await run.cancel("you", at="f/all/b")
        assert trio.current_time() == 1.0
        run.request_cancel("me", at="f/all/outer")
        await trio.sleep(9)

    outer = Step(parallel(doing("x", cancel_both), lasting("y", 9)), name="outer")
    async with Engine() as engine:
        async with engine.start(at_once(outer, lasting("b", 9)), Words(), run_id="r") as run:
            runs.append(run)
            result = await run.result()
    assert result.state.words == ("after",)
    assert [str(error) for error in result.suppressed] == [
        "f/all/outer was cancelled: me",
        "f/all/b was cancelled: you",
    ]


async def test_cancelling_a_branch_is_always_a_checkpoint(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(at_once(lasting("a", 9)), Words()) as run:
        await trio.sleep(1)
        with assert_checkpoints():
            await run.cancel("no", at="f/all/a")


async def test_whoever_waits_may_be_cancelled_and_the_branch_ends_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 2)
        await trio.sleep(100)

    async with Engine() as engine, engine.start(at_once(doing("a", work)), Words()) as run:
        await trio.sleep(1)
        with trio.move_on_after(1) as scope:
            await run.cancel("no", at="f/all/a")
        assert scope.cancelled_caught
        assert trio.current_time() == 2.0
        result = await run.result()
    assert result.duration == 4.0
    assert len(result.suppressed) == 1


# ---------------------------------------------------------------- items


async def cancel_item(
    node: Any, path: str, when: float = 1.5
) -> tuple[CancelReport, RunResult[Board]]:
    async with Engine() as engine, engine.start(only(node), Board()) as run:
        await trio.sleep(when)
        report = await run.cancel("no", at=path)
        return report, await run.result()


async def test_an_item_has_failed_and_that_is_tolerated(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    work = Sleeper(range(6), {2: 50.0})
    node = each(work, concurrent=2, tolerate=Count(1))
    async with Engine(observers=[recorder]) as engine, engine.start(only(node), Board()) as run:
        await trio.sleep(2)
        report = await run.cancel("too slow", at="f/work[2]")
        assert trio.current_time() == 2.25
        result = await run.result()
    assert report == CancelReport(
        reason="too slow",
        cut_off=(CutOff("f/work[2]", "exec", 1, 0.75),),
        overruns=(),
        failures=(),
        duration=0.25,
    )
    zero, one, two, *others = result.state.got
    assert [zero, one, *others] == [Value(0), Value(1), Value(3), Value(4), Value(5)]
    assert isinstance(two, Error)
    assert isinstance(two.error, BranchCancelledError)
    assert result.suppressed == (two.error,)
    assert two.error.__notes__ == ["in exec of f/work[2], after 0.75 s"]
    assert [line for line in recorder.lines() if line.startswith("item_failed")] == [
        (
            "item_failed f/work[2] attempt=1 error=BranchCancelledError "
            "message=f/work[2] was cancelled: too slow tolerated=True"
        )
    ]
    assert "2 closed at 2.25" in work.log
    assert len(work.log) == 6


async def test_an_item_has_failed_and_that_is_not_tolerated(autojump_clock: MockClock) -> None:
    node = each(Sleeper(range(6), {2: 50.0}), concurrent=2)
    with pytest.raises(FlowFailedError) as caught:
        await cancel_item(node, "f/work[2]")
    assert leaves_of(caught) == ["BranchCancelledError: f/work[2] was cancelled: no"]
    place = caught.value.find(caught.value.only())
    assert place is not None
    assert (place.path, place.phase) == ("f/work[2]", "exec")


async def test_a_part_of_a_batch_is_cancelled_by_its_number(autojump_clock: MockClock) -> None:
    node = batch(Sleeper(range(6), {2: 50.0}), size=2, concurrent=2, tolerate=Count(2))
    report, result = await cancel_item(node, "f/work[1]")
    assert [cut.path for cut in report.cut_off] == ["f/work[1]"]
    assert [type(one) for one in result.state.got] == [Value, Value, Error, Error, Value, Value]


async def test_items_of_a_stream_are_folded_without_the_one_that_was_cancelled(
    autojump_clock: MockClock,
) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(6):
            yield number

    into: Fold[Any, Any] = fold(int, lambda total, one: total + isinstance(one, Value))
    node = each(Sleeper(source, {2: 50.0}), concurrent=2, tolerate=Count(1), into=into)
    _, result = await cancel_item(node, "f/work[2]", 2.0)
    assert result.state.got == 5


async def test_an_item_that_is_not_worked_on_is_unknown(autojump_clock: MockClock) -> None:
    async with (
        Engine() as engine,
        engine.start(only(each(Sleeper(range(6)), concurrent=2)), Board()) as run,
    ):
        await trio.sleep(1.5)
        for path in ("f/work[0]", "f/work[5]", "f/work"):
            with pytest.raises(UnknownBranchError) as caught:
                run.request_cancel("no", at=path)
            assert sorted(caught.value.near) == ["f/work[2]", "f/work[3]"]


async def test_an_item_that_fails_while_it_unwinds_has_failed_with_that(
    autojump_clock: MockClock,
) -> None:
    error = OSError("dirt")

    class Dirty(Sleeper):
        async def exec(self, item: Any, /) -> Any:
            try:
                await trio.sleep(50)
            finally:
                raise error

    report_of: list[CancelReport] = []
    async with Engine() as engine:
        async with engine.start(only(each(Dirty([0]), concurrent=1)), Board()) as run:
            await trio.sleep(1)
            report_of.append(await run.cancel("no", at="f/work[0]"))
            with pytest.raises(FlowFailedError) as caught:
                await run.result()
    assert list(caught.value.leaves()) == [error]
    assert report_of[0].failures == (error,)


async def test_an_item_that_ends_well_all_the_same_keeps_its_output(
    autojump_clock: MockClock,
) -> None:
    class Deaf(Sleeper):
        async def exec(self, item: Any, /) -> Any:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            return item

    report, result = await cancel_item(each(Deaf(range(4)), concurrent=2), "f/work[0]", 1.0)
    assert (report.cut_off, report.duration) == ((), 1.0)
    assert result.state.got == [0, 1, 2, 3]
    assert result.suppressed == ()


async def test_an_item_that_fails_by_itself_at_that_moment_has_failed_by_itself(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("by itself")

    class Turns(Sleeper):
        async def exec(self, item: Any, /) -> Any:
            try:
                await trio.sleep(50)
            except trio.Cancelled:
                raise error from None

    async with Engine() as engine:
        async with engine.start(only(each(Turns([0]), concurrent=1)), Board()) as run:
            await trio.sleep(1)
            report = await run.cancel("no", at="f/work[0]")
            with pytest.raises(FlowFailedError) as caught:
                await run.result()
    assert (report.cut_off, report.failures) == ((), (error,))
    assert list(caught.value.leaves()) == [error]


async def test_the_run_is_cancelled_while_an_item_unwinds(autojump_clock: MockClock) -> None:
    work = Sleeper(range(4))
    async with Engine() as engine:
        async with engine.start(only(each(work, concurrent=2)), Board()) as run:
            await trio.sleep(0.5)
            run.request_cancel("one", at="f/work[0]")
            report = await run.cancel("all")
            with pytest.raises(RunCancelledError, match="all"):
                await run.result()
    assert sorted(cut.path for cut in report.cut_off) == ["f/work", "f/work[0]", "f/work[1]"]
    assert len(work.log) == 2


async def test_the_flow_of_an_item_and_a_branch_in_it(autojump_clock: MockClock) -> None:
    all_ = Step(parallel(lasting("x", 5), lasting("y", 1)), name="all")

    def split(board: Board) -> list[Words]:
        return [Words(), Words(), Words()]

    def join(board: Board, done: Any) -> None:
        board.got = done

    node = each(row(all_, name="inner").over(split, join), concurrent=3, tolerate=Count(1))
    async with Engine() as engine, engine.start(only(node), Board()) as run:
        await trio.sleep(2)
        first = await run.cancel("item", at="f/work[0]")
        await run.cancel("branch", at="f/work[1]/all/x")
        result = await run.result()
    assert sorted(cut.path for cut in first.cut_off) == [
        "f/work[0]",
        "f/work[0]/all",
        "f/work[0]/all/x",
    ]
    zero, one, two = result.state.got
    assert isinstance(zero.error, BranchCancelledError)
    assert (one, two) == (Value(Words(("y",))), Value(Words(("x", "y"))))
    assert trio.current_time() == 5.0


# ---------------------------------------------------------------- in whatever order


def test_a_branch_is_cancelled_or_merged_and_never_both() -> None:
    async def program() -> tuple[CancelReport | None, RunResult[Words]]:
        report: CancelReport | None = None
        with assert_no_leaks():
            async with (
                Engine() as engine,
                engine.start(at_once(lasting("a", 1), lasting("b", 1)), Words()) as run,
            ):
                await trio.sleep(1)
                with suppress(UnknownBranchError):
                    report = await run.cancel("at the very moment it ends", at="f/all/a")
                result = await run.result()
        return report, result

    seen: list[tuple[bool, bool]] = []

    def check(ended: tuple[CancelReport | None, RunResult[Words]]) -> None:
        report, result = ended
        cut = report is not None and report.cut_off != ()
        assert result.state.words == (("b", "after") if cut else ("a", "b", "after"))
        assert len(result.suppressed) == cut
        seen.append((report is not None, cut))

    explore(program, check=check, seeds=80).raise_on_failure()
    assert {(True, True), (False, False)} <= set(seen)


def test_an_item_is_cancelled_or_has_an_output_and_the_next_one_never_suffers() -> None:
    async def program() -> tuple[CancelReport | None, RunResult[Board]]:
        report: CancelReport | None = None
        node = each(Plain(range(6)), concurrent=2, tolerate=Count(1))
        with assert_no_leaks():
            async with Engine() as engine, engine.start(only(node), Board()) as run:
                await trio.sleep(2)
                with suppress(UnknownBranchError):
                    report = await run.cancel("at the very moment it ends", at="f/work[2]")
                result = await run.result()
        return report, result

    def check(ended: tuple[CancelReport | None, RunResult[Board]]) -> None:
        report, result = ended
        cut = report is not None and report.cut_off != ()
        failed = [
            number for number, one in enumerate(result.state.got) if isinstance(one, Error)
        ]
        assert failed == ([2] if cut else [])

    explore(program, check=check, seeds=80).raise_on_failure()


class Plain(Sleeper):
    """Nothing to close."""

    async def exec(self, item: Any, /) -> Any:
        await trio.sleep(1)
        return item


PARTS = {"a branch": "f/all/a", "an item": "f/all/b/items[1]", "the run": None}


@pytest.mark.parametrize("who", ["the caller", *PARTS])
def test_interrupted_anywhere_nothing_is_left_behind(who: str) -> None:
    opened: list[int] = []
    closed: list[int] = []

    async def work() -> None:
        opened.append(1)
        current_step().on_cleanup(close)
        await trio.sleep(2)

    async def close() -> None:
        await trio.lowlevel.checkpoint()
        closed.append(1)

    def ask(run: Run[Any]) -> None:
        with suppress(UnknownBranchError):
            run.request_cancel("interrupted", at=PARTS[who])

    items: Step[Words, []] = Step(
        each(Working(work), concurrent=2, tolerate=Count(1)), name="items"
    )
    inner = Step(row(doing("x", work), name="a"))
    one = at_once(inner, Step(row(items, name="b")), lasting("c", 1))

    async def program() -> None:
        opened.clear()
        closed.clear()
        with assert_no_leaks(), suppress(RunCancelledError):
            async with Engine() as engine, engine.start(one, Words()) as run:
                if who != "the caller":
                    cancel_with(partial(ask, run))
                result = await run.result()
                assert result.state.words[-1] == "after"
                assert len(result.suppressed) <= 1

    def check(_: Cut[None]) -> None:
        assert len(opened) == len(closed)

    assert cancel_everywhere(program, check=check, seeds=2) >= 40


class Working:
    """Does *work* for each of three items."""

    def __init__(self, work: Act) -> None:
        self.work = work

    async def prep(self, shared: Words, /) -> list[int]:
        return [0, 1, 2]

    async def exec(self, item: int, /) -> int:
        await self.work()
        return item

    async def post(self, shared: Words, items: object, received: object, /) -> None:
        shared.words += ("items",)


async def test_cancelling_hundreds_of_branches_one_by_one_takes_no_time_on_the_clock(
    autojump_clock: MockClock,
) -> None:
    row = at_once(*(lasting(f"n{number}", 9) for number in range(300)))
    async with Engine() as engine, engine.start(row, Words()) as run:
        await trio.sleep(1)
        for number in range(1, 300):
            run.request_cancel("no", at=f"f/all/n{number}")
        result = await run.result()
    assert result.state.words == ("n0", "after")
    assert len(result.suppressed) == 100
