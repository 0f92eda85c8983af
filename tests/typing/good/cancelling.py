"""Cancelling a handle returns a report of what was cut off; its result then raises RunCancelledError."""

from __future__ import annotations

from typing import assert_type

import pytest
import trio
from attrs import define

from agentflow_trio import (
    END,
    CancelReport,
    CleanupOverrunError,
    CutOff,
    Engine,
    RunCancelledError,
    Wiring,
    flow,
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
