"""A fault may cancel the program, or the caller, the run, the branch or the item that the call is made in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import attrs
import pytest
import trio
from outcome import Value

from agentflow_trio import (
    END,
    Count,
    Engine,
    FlowFailedError,
    Retry,
    RetryPolicy,
    RunCancelledError,
    Step,
    UnknownBranchError,
    Wiring,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.events import BranchCancelled
from agentflow_trio.testing import Cancel, Faults, always, fault_point, record, script, simulate


@attrs.define
class Paper:
    news: str = ""
    sport: str = ""
    pages: list[int] = attrs.field(factory=list[int])


@step
async def news(paper: Paper) -> None:
    await trio.sleep(1)
    await fault_point("wire")
    paper.news = "news"


@step
async def sport(paper: Paper) -> None:
    await trio.sleep(2)
    paper.sport = "sport"


@flow
def both() -> Wiring[Paper]:
    everything = Step(parallel(news, sport), name="everything")
    return [everything.then(END)]


@flow
def first() -> Wiring[Paper]:
    either = Step(race(news, sport), name="either")
    return [either.then(END)]


class Print:
    async def prep(self, shared: Paper) -> Sequence[int]:
        return shared.pages

    async def exec(self, page: int) -> int:
        await Retry(RetryPolicy(max_attempts=3), name="press").call(trio.sleep, 1)
        return page

    async def post(
        self, shared: Paper, pages: Sequence[int], printed: Sequence[object]
    ) -> None:
        shared.news = str(len([page for page in printed if isinstance(page, Value)]))


@flow
def printing() -> Wiring[Paper]:
    pages = Step(each(Print(), concurrent=2, tolerate=Count(2)), name="print")
    return [pages.then(END)]


Size: TypeAlias = Literal["program", "caller", "run", "branch"]


def gone(of: Size) -> Faults:
    return Faults(wire=always(Cancel(of)))


# ---------------------------------------------------------------- a branch, an item


def test_a_branch_is_left_out_and_the_others_go_on() -> None:
    timeline = record(both, Paper(), faults=Faults(wire=always(Cancel("branch"))))
    assert timeline.error is None
    assert timeline.final.state == Paper(sport="sport")
    (told,) = timeline.select(BranchCancelled)
    assert (told.path, told.timestamp) == ("both/everything/news", 1.0)
    assert told.reason == "a fault had it cancelled"


def test_a_branch_of_a_race_has_lost() -> None:
    timeline = record(first, Paper(), faults=Faults(wire=always(Cancel("branch"))))
    assert timeline.final.state == Paper(sport="sport")


def test_an_item_has_failed_whatever_would_have_tried_it_again() -> None:
    paper = Paper(pages=[1, 2, 3])
    timeline = record(printing, paper, faults=Faults(press=script([None, Cancel("branch")])))
    assert timeline.error is None
    assert timeline.final.state.news == "2"
    assert timeline.duration == 1.0


def test_a_branch_is_cancelled_by_hand_where_a_simulation_stands() -> None:
    with simulate(both, Paper()) as sim:
        with pytest.raises(UnknownBranchError):
            sim.cancel("too soon", at="both/everything/news")
        sim.run_until(0.5)
        sim.cancel("enough news", at="both/everything/news")
        with pytest.raises(UnknownBranchError, match="everything/news"):
            sim.cancel("enough news", at="both/everything/newz")
        sim.run()
        assert sim.state == Paper(sport="sport")
        (told,) = [event for event in sim.events if isinstance(event, BranchCancelled)]
        assert (told.timestamp, told.reason) == (0.5, "enough news")
    with simulate(ask) as sim, pytest.raises(TypeError, match="only a flow has branches"):
        sim.cancel("enough", at="both/everything/news")


# ---------------------------------------------------------------- a run, a caller


async def two_runs() -> list[str]:
    async with Engine() as engine:
        runs = [engine.start(both, Paper()) for _ in range(2)]
        told: list[str] = []
        for starting in runs:
            async with starting as run:
                try:
                    told.append((await run.result()).state.news)
                except RunCancelledError as error:
                    told.append(error.reason)
        return told


def test_one_run_is_cancelled_and_the_next_is_not() -> None:
    timeline = record(two_runs, faults=Faults(wire=script([Cancel("run")])))
    assert timeline.result == ["a fault had it cancelled", "news"]


def test_a_run_is_cancelled_once() -> None:
    @step
    async def twice(paper: Paper) -> None:
        with trio.CancelScope(shield=True):
            await fault_point("wire")
            await fault_point("wire")
        await trio.lowlevel.checkpoint()

    @flow
    def single() -> Wiring[Paper]:
        return [twice.then(END)]

    timeline = record(single, Paper(), faults=gone("run"))
    assert isinstance(timeline.error, RunCancelledError)


def test_a_run_in_a_step_of_another_is_the_one_that_is_meant() -> None:
    @step
    async def delegate(paper: Paper) -> None:
        async with Engine() as engine, engine.start(both, Paper()) as run:
            try:
                await run.result()
            except RunCancelledError as error:
                paper.news = error.reason

    @flow
    def outer() -> Wiring[Paper]:
        return [delegate.then(END)]

    timeline = record(outer, Paper(), faults=gone("run"))
    assert timeline.final.state.news == "a fault had it cancelled"


def test_where_there_is_no_branch_it_is_the_run() -> None:
    @step
    async def alone(paper: Paper) -> None:
        await fault_point("wire")

    @flow
    def single() -> Wiring[Paper]:
        return [alone.then(END)]

    timeline = record(single, Paper(), faults=Faults(wire=always(Cancel("branch"))))
    assert isinstance(timeline.error, RunCancelledError)
    assert timeline.error.reason == "a fault had it cancelled"


async def ask() -> str:
    await trio.sleep(1)
    await fault_point("wire")
    return "asked"


@pytest.mark.parametrize("of", ["caller", "run", "branch"])
def test_one_of_several_callers_is_cancelled(of: Size) -> None:
    async def main() -> None:
        await trio.sleep(5)

    with simulate(main, faults=Faults(wire=script([None, Cancel(of)]))) as sim:
        callers = [sim.spawn(ask, name=name) for name in ("ann", "bob", "cid")]
        sim.run()
        assert sorted(caller.cancelled for caller in callers) == [False, False, True]
        assert sim.time == 5.0


@pytest.mark.parametrize("of", ["program", "caller", "run", "branch"])
def test_where_there_is_nothing_smaller_it_is_the_program(of: Size) -> None:
    assert record(ask, faults=gone(of)).cancelled


def test_what_is_no_size_is_refused() -> None:
    task: Any = "task"
    with pytest.raises(ValueError, match="'caller', 'run', 'branch', not 'task'"):
        Cancel(task)


def test_what_failed_meanwhile_is_not_lost() -> None:
    @step
    async def stubborn(paper: Paper) -> None:
        try:
            await fault_point("wire")
        finally:
            raise LookupError

    @flow
    def single() -> Wiring[Paper]:
        return [stubborn.then(END)]

    timeline = record(single, Paper(), faults=gone("run"))
    assert isinstance(timeline.error, FlowFailedError)
