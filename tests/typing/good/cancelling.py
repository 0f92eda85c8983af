"""Cancelling a handle returns a report of what was cut off; its result then raises RunCancelledError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

import pytest
import trio
from attrs import define

from agentflow_trio import (
    END,
    BranchCancelledError,
    CancelReport,
    CleanupOverrunError,
    CutOff,
    DrainReport,
    Engine,
    RunCancelledError,
    Step,
    Wiring,
    flow,
    parallel,
    step,
)


@define
class Tally:
    count: int = 0


@step
async def wait(tally: Tally) -> None:
    await trio.sleep_forever()


@flow
def waiting() -> Wiring[Tally]:
    return [wait.then(END)]


@step
async def count(tally: Tally) -> None:
    tally.count += 1


everything = Step(parallel(wait, count), name="all")


@flow
def both() -> Wiring[Tally]:
    return [everything.then(END)]


async def main() -> None:
    async with Engine() as engine, engine.start(waiting, Tally()) as run:
        async for event in run.events():
            if event.event_type == "node_start":
                break
        report = await run.cancel("enough")
        assert_type(report, CancelReport)
        assert_type(report.cut_off, tuple[CutOff, ...])
        assert_type(report.overruns, tuple[CleanupOverrunError, ...])
        assert_type(report.failures, tuple[Exception, ...])
        assert_type(report.duration, float)
        assert (report.reason, [cut.path for cut in report.cut_off]) == (
            "enough",
            ["waiting/wait"],
        )
        with pytest.raises(RunCancelledError) as caught:
            await run.result()
        assert_type(caught.value.reason, str)
        assert str(caught.value) == "the run was cancelled in waiting/wait: enough"
    async with Engine() as engine, engine.start(waiting, Tally()) as run:
        assert_type(run.request_cancel("no more"), None)
        assert (await run.cancel("again")).reason == "no more"
    async with Engine() as engine, engine.start(both, Tally()) as run:
        await trio.sleep(0.01)
        report = await run.cancel("not this one", at="both/all/wait")
        assert_type(report, CancelReport)
        result = await run.result()
        (left_out,) = result.suppressed
        assert isinstance(left_out, BranchCancelledError)
        assert_type(left_out.path, str)
        assert (left_out.path, left_out.reason) == ("both/all/wait", "not this one")
    async with Engine() as engine:
        assert_type(engine.request_drain(), None)
        drained = await engine.drain(grace=1.0)
        assert_type(drained, DrainReport)
        assert_type(drained.drained, tuple[str, ...])
        assert_type(drained.cut_off, Mapping[str, tuple[CutOff, ...]])
        assert (drained.ended, drained.duration) == (0, 0.0)
