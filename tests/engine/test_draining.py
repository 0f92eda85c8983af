"""Draining an engine: runs end at their boundaries, what is in flight has a grace, the rest is cancelled, and all is told."""

# ruff: noqa: PT012 - how bodies are left is what is tested, so they are written out

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, assert_checkpoints
from typing_extensions import override

from agentflow_trio import (
    END,
    Count,
    CutOff,
    DeadlineExceededError,
    DrainReport,
    Engine,
    EngineClosedError,
    Flow,
    FlowFailedError,
    Fold,
    Next,
    RunCancelledError,
    RunResult,
    SelfWaitError,
    Share,
    Step,
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

from .engine_kit import Recorder, well_formed
from .words_kit import Words, doing, lasting, row


def long(name: str = "f", *, seconds: float = 2.0) -> Flow[Words, []]:
    """Three steps of some seconds."""
    return row(*(lasting(one, seconds) for one in "abc"), name=name)


@attrs.define
class Fate:
    """What became of a run that somebody waited for."""

    result: RunResult[Any] | None = None
    error: BaseException | None = None
    at: float = 0.0

    async def follow(
        self, engine: Engine, flow: Flow[Any, []], run_id: str | None = None
    ) -> None:
        try:
            self.result = await engine.run(flow, flow.state_type(), run_id=run_id)
        except (FlowFailedError, RunCancelledError, EngineClosedError) as error:
            self.error = error
        self.at = trio.current_time()


async def drained_at(
    when: float,
    *flows: Flow[Words, []],
    grace: float = 25.0,
    observers: Sequence[Recorder] = (),
) -> tuple[DrainReport, list[Fate]]:
    """Run *flows*, named ``run 0`` and so on, and drain their engine."""
    fates = [Fate() for _ in flows]
    async with trio.open_nursery() as nursery, Engine(observers=observers) as engine:
        for number, (fate, one) in enumerate(zip(fates, flows, strict=True)):
            nursery.start_soon(fate.follow, engine, one, f"run {number}")
        await trio.sleep(when)
        report = await engine.drain(grace=grace)
    return report, fates


# ---------------------------------------------------------------- at a boundary


async def test_a_run_ends_at_its_next_boundary_and_says_drain(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    report, (fate,) = await drained_at(1.0, long(), observers=[recorder])
    assert report == DrainReport(ended=0, drained=("run 0",), cut_off={}, duration=1.0)
    assert isinstance(fate.error, RunCancelledError)
    assert (fate.error.reason, fate.error.cut_off, fate.at) == ("drain", (), 2.0)
    assert recorder.lines() == [
        "run_start f",
        "node_start f/a",
        "node_success f/a",
        "routed f/a target=b",
        "run_end f outcome=cancelled steps=1",
    ]


async def test_a_run_that_comes_to_its_end_first_has_its_result(
    autojump_clock: MockClock,
) -> None:
    report, (fate,) = await drained_at(5.0, long())
    assert report == DrainReport(ended=1, drained=(), cut_off={}, duration=1.0)
    assert fate.result is not None
    assert fate.result.state.words == ("a", "b", "c")


async def test_a_run_that_fails_by_itself_has_ended_by_itself(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        await trio.sleep(2)
        raise ValueError

    report, (fate,) = await drained_at(1.0, row(doing("a", fail), lasting("b", 1)))
    assert (report.ended, report.drained) == (1, ())
    assert isinstance(fate.error, FlowFailedError)


async def test_a_failure_that_is_caught_leads_to_a_boundary(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        await trio.sleep(2)
        raise ValueError

    bad, saved = doing("bad", fail), lasting("saved", 1)

    @flow
    def f() -> Wiring[Words]:
        return [bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    report, _ = await drained_at(1.0, f)
    assert report.drained == ("run 0",)


async def test_what_is_in_flight_after_the_grace_is_cut_off_cleanups_included(
    autojump_clock: MockClock,
) -> None:
    closed: list[float] = []

    async def clean() -> None:
        await trio.sleep(0.5)
        closed.append(trio.current_time())

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep(100)

    report, (fate, other) = await drained_at(1.0, row(doing("a", work)), long(), grace=3.0)
    cut = CutOff(path="f/a", phase="exec", attempt=1, elapsed=4.0 + 0.5)
    assert report == DrainReport(
        ended=0, drained=("run 1",), cut_off={"run 0": (cut,)}, duration=3.5
    )
    assert closed == [4.5]
    assert isinstance(fate.error, RunCancelledError)
    assert (fate.error.reason, fate.error.cut_off) == ("drain", (cut,))
    assert other.at == 2.0


async def test_without_a_grace_everything_is_cut_off_at_once(autojump_clock: MockClock) -> None:
    report, _ = await drained_at(1.0, long(), grace=0)
    assert list(report.cut_off) == ["run 0"]
    assert report.duration == 0.0


async def test_a_loop_that_never_waits_is_drained() -> None:
    async def nothing() -> None: ...

    one, other = doing("one", nothing), doing("other", nothing)

    @step
    async def again(words: Words, *, more: Next, done: Next) -> Next:
        return more

    @flow
    def forever() -> Wiring[Words]:
        return [one.then(other), other.then(again), again.to(more=one, done=END)]

    async with Engine() as engine:
        with pytest.raises(RunCancelledError, match="drain"):
            async with engine.start(forever, Words(), run_id="r"):
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                assert (await engine.drain()).drained == ("r",)


async def test_nested_flows_end_at_boundaries_of_their_own(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    plain = Step(long("inner"))
    limited = Step(long("limited"), timeout=50.0)
    report, (one, other) = await drained_at(1.0, row(plain), row(limited), observers=[recorder])
    assert set(report.drained) == {"run 0", "run 1"}
    for fate, name in ((one, "inner"), (other, "limited")):
        assert isinstance(fate.error, RunCancelledError)
        assert fate.error.cut_off == (CutOff(f"f/{name}", "exec", 1, 2.0),)
        assert fate.at == 2.0
    for run_id in ("run 0", "run 1"):
        well_formed([event for event in recorder.events if event.run_id == run_id])


async def test_a_limit_that_runs_out_meanwhile_is_a_failure_of_the_run(
    autojump_clock: MockClock,
) -> None:
    report, (fate,) = await drained_at(1.0, row(lasting("a", 9).with_(timeout=2.0)))
    assert report.ended == 1
    assert isinstance(fate.error, FlowFailedError)
    assert isinstance(fate.error.only(), DeadlineExceededError)


# ---------------------------------------------------------------- several things at once


@pytest.mark.parametrize("observed", [False, True])
async def test_every_branch_goes_on_to_a_boundary_of_its_own(
    observed: bool, autojump_clock: MockClock
) -> None:
    recorder, log = Recorder(), list[str]()

    def noting(name: str, seconds: float) -> Step[Words, []]:
        async def note() -> None:
            await trio.sleep(seconds)
            log.append(f"{name} {trio.current_time():g}")

        return doing(name, note)

    one = Step(row(noting("a", 2), noting("b", 2), name="one"))
    two = Step(row(noting("c", 3), noting("d", 2), name="two"))
    all_ = Step(parallel(one, two, noting("e", 5)), name="all")
    observers = [recorder] if observed else []
    report, (fate,) = await drained_at(1.0, row(all_, lasting("z", 1)), observers=observers)
    assert report.drained == ("run 0",)
    assert report.duration == 4.0
    assert log == ["a 2", "c 3", "e 5"]
    assert isinstance(fate.error, RunCancelledError)
    # each was left where it stood when it stopped
    assert [(cut.path, cut.elapsed) for cut in fate.error.cut_off] == [
        ("f/all", 5.0),
        ("f/all/two", 3.0),
        ("f/all/one", 2.0),
    ]
    if observed:
        assert recorder.lines()[-1].startswith("run_end f outcome=cancelled")


async def test_branches_that_all_end_well_are_merged_before_the_run_ends(
    autojump_clock: MockClock,
) -> None:
    all_ = Step(parallel(lasting("a", 2), lasting("b", 3)), name="all")
    report, (fate,) = await drained_at(1.0, row(all_))
    assert report.ended == 1
    assert fate.result is not None
    assert fate.result.state.words == ("a", "b")


async def test_a_branch_that_fails_after_another_was_drained_is_a_failure(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        await trio.sleep(3)
        raise ValueError("late")

    all_ = Step(parallel(Step(long("one")), doing("b", fail)), name="all")
    report, (fate,) = await drained_at(1.0, row(all_))
    assert report.ended == 1
    assert isinstance(fate.error, FlowFailedError)
    assert str(fate.error.only()) == "late"


async def test_branches_within_branches_are_drained_too(autojump_clock: MockClock) -> None:
    inner = Step(parallel(Step(long("x")), Step(long("y"), timeout=70.0)), name="inner")
    all_ = Step(parallel(inner, Step(long("z"))), name="all", timeout=80.0)
    report, (fate,) = await drained_at(1.0, row(all_))
    assert report == DrainReport(ended=0, drained=("run 0",), cut_off={}, duration=1.0)
    assert isinstance(fate.error, RunCancelledError)
    assert fate.error.cut_off[0].path == "f/all"
    assert sorted(cut.path for cut in fate.error.cut_off) == [
        "f/all",
        "f/all/inner",
        "f/all/inner/x",
        "f/all/inner/y",
        "f/all/z",
    ]


async def test_a_race_in_which_one_ends_well_has_a_winner(autojump_clock: MockClock) -> None:
    first = Step(race(Step(long("one")), lasting("b", 5)), name="first")
    report, (fate,) = await drained_at(1.0, row(first))
    assert report.ended == 1
    assert fate.result is not None
    assert fate.result.state.words == ("b",)


async def test_a_race_without_a_winner_is_drained_whoever_failed(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        await trio.sleep(5)
        raise ValueError

    first = Step(race(Step(long("one")), doing("b", fail)), name="first")
    report, (fate,) = await drained_at(1.0, row(first))
    assert report == DrainReport(ended=0, drained=("run 0",), cut_off={}, duration=4.0)
    assert isinstance(fate.error, RunCancelledError)


def test_branches_that_have_not_begun_do_not_begin() -> None:
    async def program() -> tuple[int, DrainReport]:
        begun = 0

        async def begin() -> None:
            nonlocal begun
            begun += 1
            await trio.sleep(1)

        all_ = Step(parallel(*(doing(f"n{number}", begin) for number in range(4))), name="all")
        async with trio.open_nursery() as nursery, Engine() as engine:
            nursery.start_soon(Fate().follow, engine, row(all_), "run")
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            report = await engine.drain()
        return begun, report

    seen = set[tuple[int, int]]()

    def check(ended: tuple[int, DrainReport]) -> None:
        begun, report = ended
        seen.add((begun, report.ended))
        assert (report.ended == 1) == (begun == 4)
        assert report.drained == ("run",) or begun in {0, 4}

    explore(program, check=check, seeds=60).raise_on_failure()
    assert {begun for begun, _ in seen} >= {0, 1, 2, 3, 4}


# ---------------------------------------------------------------- items


@attrs.define
class Board:
    """What post got."""

    got: Any = None


class Slowly:
    """Every item takes a second, or what *seconds* says of it."""

    def __init__(self, items: Any, seconds: dict[int, float] | None = None) -> None:
        self.items, self.seconds = items, seconds or {}
        self.done: list[int] = []

    async def prep(self, shared: Board, /) -> Any:
        return self.items() if callable(self.items) else self.items

    async def exec(self, item: Any, /) -> Any:
        await trio.sleep(self.seconds.get(item, 1.0))
        self.done.append(item)
        return item

    async def post(self, shared: Board, items: Any, received: Any, /) -> None:
        shared.got = received


class Parts(Slowly):
    """The same for parts of the items."""

    @override
    async def exec(self, item: Any, /) -> Any:
        return [await super(Parts, self).exec(one) for one in item]


def only(node: Any) -> Flow[Board, []]:
    one: Step[Board, []] = Step(node, name="work")

    @flow(name="f")
    def made() -> Wiring[Board]:
        return [one.then(END)]

    return made


async def drain_items(
    node: Any, when: float, *, grace: float = 25.0, started: bool = False
) -> tuple[DrainReport, RunResult[Board] | RunCancelledError]:
    """Run *node* and drain its engine."""
    ended: list[RunResult[Board] | RunCancelledError] = []

    async def follow(engine: Engine) -> None:
        try:
            if started:
                async with engine.start(only(node), Board(), run_id="run") as run:
                    ended.append(await run.result())
            else:
                ended.append(await engine.run(only(node), Board(), run_id="run"))
        except RunCancelledError as error:
            ended.append(error)

    async with trio.open_nursery() as nursery, Engine() as engine:
        nursery.start_soon(follow, engine)
        await trio.sleep(when)
        report = await engine.drain(grace=grace)
    return report, ended[0]


def total() -> Fold[Any, Any]:
    return fold(int, operator.add)


STARTED_OR_NOT = pytest.mark.parametrize("started", [False, True])


@STARTED_OR_NOT
async def test_items_in_flight_end_and_no_more_are_taken(
    started: bool, autojump_clock: MockClock
) -> None:
    work = Slowly(range(100), {2: 3.0})
    report, error = await drain_items(each(work, concurrent=3), 1.5, started=started)
    assert work.done[-1] == 2
    assert sorted(work.done) == [0, 1, 2, 3, 4]
    assert report == DrainReport(ended=0, drained=("run",), cut_off={}, duration=1.5)
    assert isinstance(error, RunCancelledError)
    assert error.cut_off == (CutOff("f/work", "exec", 1, 3.0),)


@STARTED_OR_NOT
@pytest.mark.parametrize("many", [3, 4])
async def test_when_no_items_are_left_the_step_is_finished(
    started: bool, many: int, autojump_clock: MockClock
) -> None:
    report, result = await drain_items(
        each(Slowly(range(many)), concurrent=4), 0.5, started=started
    )
    assert report.ended == 1
    assert isinstance(result, RunResult)
    assert result.state.got == [*range(many)]


async def test_items_that_outlast_the_grace_are_cut_off(autojump_clock: MockClock) -> None:
    work = Slowly(range(100), {1: 50.0})
    report, _ = await drain_items(each(work, concurrent=3), 0.5, grace=2.0)
    assert report.drained == ()
    assert [cut.path for cut in report.cut_off["run"]] == ["f/work", "f/work[1]"]
    assert report.duration == 2.0


@STARTED_OR_NOT
async def test_nothing_is_pulled_from_an_iterator_of_unknown_length(
    started: bool, autojump_clock: MockClock
) -> None:
    pulled: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            pulled.append(number)
            yield number

    work = Slowly(source)
    report, _ = await drain_items(each(work, concurrent=3, into=total()), 0.5, started=started)
    assert report.drained == ("run",)
    assert sorted(work.done) == pulled == [0, 1, 2]


@STARTED_OR_NOT
async def test_a_source_that_is_waited_for_is_given_up_at_once(
    started: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []

    async def queue() -> AsyncIterator[int]:
        try:
            yield 0
            yield 1
            await trio.sleep(1000)
            yield 2
        finally:
            log.append(f"closed at {trio.current_time():g}")

    work = Slowly(queue, {1: 5.0})
    report, error = await drain_items(
        each(work, concurrent=4, into=total()), 2.0, started=started
    )
    assert report == DrainReport(ended=0, drained=("run",), cut_off={}, duration=3.0)
    assert work.done == [0, 1]
    assert log == ["closed at 2"]
    assert isinstance(error, RunCancelledError)


async def test_what_a_source_gives_after_it_asked_for_the_drain_is_not_taken(
    autojump_clock: MockClock,
) -> None:
    async def queue() -> AsyncIterator[int]:
        yield 0
        engine.request_drain()
        yield 1

    work = Slowly(queue)
    async with Engine() as engine:
        with pytest.raises(RunCancelledError):
            await engine.run(only(each(work, concurrent=1, into=total())), Board())
    assert work.done == [0]


@STARTED_OR_NOT
async def test_whoever_waits_for_room_in_the_window_takes_no_more(
    started: bool, autojump_clock: MockClock
) -> None:
    work = Slowly(range(100), {0: 9.0})
    node = each(work, concurrent=3, into=total())
    report, _ = await drain_items(node, 6.5, started=started)
    assert sorted(work.done) == [0, 1, 2, 3, 4, 5]
    assert report == DrainReport(ended=0, drained=("run",), cut_off={}, duration=2.5)


async def test_parts_of_a_batch_are_treated_like_items(autojump_clock: MockClock) -> None:
    work = Parts(range(100))
    report, _ = await drain_items(batch(work, size=4, concurrent=2), 1.0)
    assert sorted(work.done) == [*range(8)]
    assert report.duration == 3.0


@STARTED_OR_NOT
async def test_the_flow_of_an_item_ends_at_a_boundary_of_its_own(
    started: bool, autojump_clock: MockClock
) -> None:
    log: list[str] = []

    def noting(name: str, seconds: float) -> Step[Words, []]:
        async def note() -> None:
            await trio.sleep(seconds)
            log.append(f"{name} {current_step().item} {trio.current_time():g}")

        return doing(name, note)

    def split(board: Board) -> Sequence[Words]:
        return [Words() for _ in range(9)]

    def join(board: Board, all_words: Sequence[Words]) -> None:
        board.got = all_words

    inner = row(noting("a", 2), noting("b", 2), name="inner")
    node = each(inner.over(split, join), concurrent=2)
    report, error = await drain_items(node, 1.0, started=started)
    assert sorted(log) == ["a 0 2", "a 1 2"]
    assert report == DrainReport(ended=0, drained=("run",), cut_off={}, duration=1.0)
    assert isinstance(error, RunCancelledError)
    assert error.cut_off[0] == CutOff("f/work", "exec", 1, 2.0)
    assert sorted(cut.path for cut in error.cut_off) == ["f/work", "f/work[0]", "f/work[1]"]


async def test_no_item_is_taken_when_the_flow_of_one_ends_well(
    autojump_clock: MockClock,
) -> None:
    taken: list[int] = []

    def split(board: Board) -> Iterator[Words]:
        for number in range(9):
            taken.append(number)
            yield Words()

    inner = row(lasting("a", 2), name="inner")
    node = each(
        inner.over(split, lambda board, many: setattr(board, "got", many)),
        concurrent=2,
        into=fold(int, lambda many, _: many + 1),
    )
    report, _ = await drain_items(node, 1.0)
    assert report == DrainReport(ended=0, drained=("run",), cut_off={}, duration=1.0)
    assert taken == [0, 1]


async def test_an_item_that_fails_meanwhile_fails_the_step(autojump_clock: MockClock) -> None:
    class Fails(Slowly):
        @override
        async def exec(self, item: Any, /) -> Any:
            await super().exec(item)
            if item == 1:
                raise ValueError(item)

    work = Fails(range(100), {1: 3.0})
    async with trio.open_nursery() as nursery, Engine() as engine:
        fate = Fate()
        nursery.start_soon(fate.follow, engine, only(each(work, concurrent=2)))
        await trio.sleep(0.5)
        report = await engine.drain()
    assert report.ended == 1
    assert isinstance(fate.error, FlowFailedError)
    assert str(fate.error.only()) == "1"


async def test_a_share_is_not_judged_before_the_end(autojump_clock: MockClock) -> None:
    """What was tolerated until then may have been few of many."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(100):
            yield number

    class Fails(Slowly):
        @override
        async def exec(self, item: Any, /) -> Any:
            await super().exec(item)
            raise ValueError(item)

    into: Fold[Any, Any] = fold(int, lambda total, _: total + 1)
    node = each(Fails(numbers), concurrent=2, tolerate=Share(0.5), into=into)
    report, error = await drain_items(node, 0.5)
    assert report.drained == ("run",)
    assert isinstance(error, RunCancelledError)


# ---------------------------------------------------------------- the engine


async def test_an_engine_that_is_drained_takes_no_runs(autojump_clock: MockClock) -> None:
    refusals: list[str] = []

    async def refused(engine: Engine) -> None:
        with pytest.raises(EngineClosedError) as caught:
            await engine.run(long(), Words())
        refusals.append(str(caught.value))
        with pytest.raises(EngineClosedError):
            async with engine.start(long(), Words()):
                raise AssertionError

    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(Fate().follow, engine, long())
        await trio.sleep(1)
        engine.request_drain()
        await refused(engine)
        await engine.drain()
        await refused(engine)
    text = "this engine is being drained and takes no new runs; begin them on another"
    assert refusals == [text, text]


async def test_draining_an_engine_without_runs_is_a_checkpoint_and_tells_of_none() -> None:
    async with Engine() as engine:
        with assert_checkpoints():
            report = await engine.drain()
        assert report == DrainReport(ended=0, drained=(), cut_off={}, duration=0.0)
        with assert_checkpoints():
            assert await engine.drain() == report
    assert await engine.drain() == report


async def test_an_engine_that_was_never_entered_cannot_be_drained() -> None:
    engine = Engine()
    with pytest.raises(EngineClosedError):
        await engine.drain()
    with pytest.raises(EngineClosedError):
        engine.request_drain()


@pytest.mark.parametrize("grace", [-1.0, float("nan"), True])
async def test_a_grace_that_is_no_time_is_refused_and_nothing_is_drained(grace: float) -> None:
    async with Engine() as engine:
        with pytest.raises(ValueError, match="grace of drain must be a number of seconds >= 0"):
            await engine.drain(grace=grace)
        await engine.run(row(lasting("a", 0)), Words())


async def test_of_two_who_drain_the_shorter_grace_counts_and_both_get_the_report(
    autojump_clock: MockClock,
) -> None:
    reports: list[tuple[float, DrainReport]] = []

    async def drain(engine: Engine, grace: float) -> None:
        report = await engine.drain(grace=grace)
        reports.append((trio.current_time(), report))

    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(Fate().follow, engine, row(lasting("a", 50)))
        await trio.sleep(1)
        nursery.start_soon(drain, engine, 9.0)
        await trio.sleep(1)
        nursery.start_soon(drain, engine, 3.0)
    (first, one), (second, other) = reports
    assert first == second == 5.0
    assert one == other
    assert one.duration == 4.0
    assert len(one.cut_off) == 1


async def test_runs_are_drained_although_the_caller_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    fates = [Fate(), Fate()]
    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(fates[0].follow, engine, long(), "short")
        nursery.start_soon(fates[1].follow, engine, row(lasting("a", 50)), "long")
        await trio.sleep(1)
        with trio.move_on_after(0.5) as scope:
            await engine.drain(grace=9)
        assert scope.cancelled_caught
        assert trio.current_time() == 1.5
        await trio.sleep(10)
        assert fates[0].at == 2.0
        report = await engine.drain(grace=1)
    assert report.drained == ("short",)
    assert list(report.cut_off) == ["long"]
    assert report.duration == 11.5


async def test_a_run_cannot_wait_for_its_own_engine_to_be_drained(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:

        async def drains() -> None:
            await trio.sleep(1)
            with pytest.raises(SelfWaitError) as caught:
                await engine.drain()
            assert str(caught.value) == (
                "run r cannot wait for itself; use request_drain(), which does not wait"
            )
            engine.request_drain()

        fate = Fate()
        all_ = Step(parallel(doing("x", drains), lasting("y", 2)), name="all")
        await fate.follow(engine, row(all_, lasting("b", 1)), "r")
        assert isinstance(fate.error, RunCancelledError)
        assert fate.at == 2.0
        assert (await engine.drain()).drained == ("r",)


async def test_a_run_of_another_engine_may_drain_this_one(autojump_clock: MockClock) -> None:
    async with Engine() as outer, Engine() as inner, trio.open_nursery() as nursery:
        nursery.start_soon(Fate().follow, inner, long())

        async def drains() -> None:
            await trio.sleep(1)
            assert len((await inner.drain()).drained) == 1

        await outer.run(row(doing("a", drains)), Words())


async def test_a_run_that_a_node_waits_for_is_drained_like_any_other(
    autojump_clock: MockClock,
) -> None:
    told: list[str] = []
    async with Engine() as engine, trio.open_nursery() as nursery:

        async def runs() -> None:
            try:
                await engine.run(long("inner"), Words(), run_id="inner")
            except RunCancelledError as error:
                told.append(error.reason)

        nursery.start_soon(
            Fate().follow, engine, row(doing("a", runs), lasting("b", 1)), "outer"
        )
        await trio.sleep(1)
        report = await engine.drain()
    assert told == ["drain"]
    assert report == DrainReport(ended=0, drained=("inner", "outer"), cut_off={}, duration=1.0)


async def test_a_run_without_an_engine_in_a_node_is_a_step_in_flight(
    autojump_clock: MockClock,
) -> None:
    async def runs() -> None:
        await long("inner").run(Words())

    report, _ = await drained_at(1.0, row(doing("a", runs), lasting("b", 1)))
    assert report == DrainReport(ended=0, drained=("run 0",), cut_off={}, duration=5.0)


async def test_a_started_run_is_drained_its_events_end_and_leaving_its_body_says_so(
    autojump_clock: MockClock,
) -> None:
    told: list[str] = []
    async with Engine() as engine, trio.open_nursery() as nursery:

        async def follow() -> None:
            with pytest.raises(RunCancelledError, match="drain"):
                async with engine.start(long(), Words(), run_id="r") as run:
                    told.extend([event.event_type async for event in run.events()])

        nursery.start_soon(follow)
        await trio.sleep(1)
        assert (await engine.drain()).drained == ("r",)
    assert told == ["run_start", "node_start", "node_success", "routed", "run_end"]


async def test_a_started_run_that_has_not_begun_never_does() -> None:
    async with Engine() as engine:
        with pytest.raises(RunCancelledError, match="drain"):
            async with engine.start(long(), Words(), run_id="r"):
                engine.request_drain()
        assert (await engine.drain()).drained == ("r",)


async def test_a_run_that_waits_for_slow_readers_is_at_a_boundary(
    autojump_clock: MockClock,
) -> None:
    async def chatty() -> None:
        for _ in range(510):
            current_step().report(0.5)

    async with Engine() as engine:
        with pytest.raises(RunCancelledError, match="drain"):
            async with engine.start(row(doing("a", chatty), lasting("b", 1)), Words()) as run:
                events = run.events(pace=True)
                await trio.sleep(1)
                engine.request_drain()
                types = [event.event_type async for event in events]
    assert types.count("node_start") == 1


async def test_a_run_cancelled_for_another_reason_keeps_it(autojump_clock: MockClock) -> None:
    async with Engine() as engine, trio.open_nursery() as nursery:

        async def follow() -> None:
            with pytest.raises(RunCancelledError, match="enough"):
                async with engine.start(long(), Words()) as run:
                    await trio.sleep(1)
                    run.request_cancel("enough")
                    await run.result()

        nursery.start_soon(follow)
        await trio.sleep(0.5)
        report = await engine.drain()
    assert report == DrainReport(ended=1, drained=(), cut_off={}, duration=0.5)


async def test_a_run_that_still_unwinds_when_the_grace_is_over_keeps_its_reason(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 3)
        await trio.sleep(100)

    async with Engine() as engine, trio.open_nursery() as nursery:

        async def follow() -> None:
            with pytest.raises(RunCancelledError, match="enough"):
                async with engine.start(row(doing("a", work)), Words()) as run:
                    await trio.sleep(1)
                    run.request_cancel("enough")
                    await run.result()

        nursery.start_soon(follow)
        await trio.sleep(0.5)
        report = await engine.drain(grace=2)
    assert report == DrainReport(ended=1, drained=(), cut_off={}, duration=3.5)


async def test_a_run_that_ends_well_although_it_was_cut_off_has_ended_by_itself(
    autojump_clock: MockClock,
) -> None:
    async def deaf() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)

    report, (fate,) = await drained_at(1.0, row(doing("a", deaf)), grace=1.0)
    assert report == DrainReport(ended=1, drained=(), cut_off={}, duration=4.0)
    assert fate.result is not None


async def test_nobody_who_waits_is_hurt_when_the_body_fails_while_draining(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(KeyError), assert_no_leaks():
        async with Engine() as engine, engine.start(long(), Words()):
            engine.request_drain()
            await trio.sleep(0.5)
            raise KeyError


# ---------------------------------------------------------------- in whatever order


def busy_flow() -> Flow[Words, []]:
    inner = Step(parallel(Step(long("x", seconds=1)), lasting("y", 2)), name="inner")
    first = Step(race(lasting("slow", 5), Step(long("fast", seconds=1))), name="first")
    return row(inner, Step(row(first, lasting("z", 1), name="nested"), timeout=60.0))


def test_every_run_ends_once_and_is_counted_once() -> None:
    async def program() -> tuple[DrainReport, list[Fate], Recorder]:
        recorder, fates = Recorder(), [Fate(), Fate(), Fate()]
        flows = [busy_flow(), long(seconds=1), row(lasting("a", 20))]
        with assert_no_leaks():
            async with trio.open_nursery() as nursery, Engine(observers=[recorder]) as engine:
                for number, (fate, one) in enumerate(zip(fates, flows, strict=True)):
                    nursery.start_soon(fate.follow, engine, one, str(number))
                await trio.sleep(1)
                report = await engine.drain(grace=2)
        return report, fates, recorder

    def check(ended: tuple[DrainReport, list[Fate], Recorder]) -> None:
        report, fates, recorder = ended
        assert list(report.cut_off) == ["2"]
        assert set(report.drained) | set(report.cut_off) | {"0", "1", "2"} == {"0", "1", "2"}
        assert report.ended + len(report.drained) + len(report.cut_off) == 3
        assert report.duration == 2.0
        for number, fate in enumerate(fates):
            by_drain = str(number) in (*report.drained, *report.cut_off)
            assert isinstance(fate.error, RunCancelledError) is by_drain
            assert (fate.result is None) is by_drain
            events = [one for one in recorder.events if one.run_id == str(number)]
            assert events[-1].event_type == "run_end"

    explore(program, check=check, seeds=60).raise_on_failure()


@pytest.mark.parametrize("who", ["whoever drains", "the drain itself"])
def test_interrupted_anywhere_a_drain_leaves_nothing_behind(who: str) -> None:
    async def program() -> None:
        fates = [Fate(), Fate(), Fate()]
        work = each(Slowly(range(9), {2: 5.0}), concurrent=2, tolerate=Count(1))
        flows = [busy_flow(), long(seconds=1)]
        with assert_no_leaks():
            async with trio.open_nursery() as nursery, Engine() as engine:
                for fate, one in zip(fates, flows, strict=False):
                    nursery.start_soon(fate.follow, engine, one)
                nursery.start_soon(fates[2].follow, engine, only(work))
                if who == "the drain itself":
                    cancel_with(engine.request_drain)
                await trio.sleep(1)
                assert (await engine.drain(grace=2)).ended <= 3

    def check(_: Cut[None]) -> None: ...

    assert cancel_everywhere(program, check=check, seeds=2) >= 20
