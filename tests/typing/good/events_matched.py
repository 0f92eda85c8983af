"""The union of events is closed: a match over it can be complete, and says so with assert_never."""
# ruff: noqa: C901, PLR0911, PLR0912 - every kind of event has a case of its own here

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never, assert_type

from attrs import define

from agentflow_trio import END, Engine, Wiring, current_step, flow, step
from agentflow_trio.events import (
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    BranchCancelled,
    CacheHit,
    CallRejected,
    CallTimedOut,
    Caught,
    CircuitChanged,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    LimitChanged,
    LoadEnded,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    Routed,
    RuleFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
    WaitEnded,
    WaitStarted,
)


def told(event: ExecutionEvent) -> str:
    match event:
        case RunStarted(flow=flow_name, seed=seed):
            assert_type(seed, int)
            return f"{flow_name} starts with {seed}"
        case RunEnded(outcome=outcome):
            assert_type(outcome, Literal["success", "error", "cancelled"])
            return outcome
        case NodeStarted(path=path):
            return path
        case NodeSucceeded(exit=taken):
            assert_type(taken, str | None)
            return f"took {taken}"
        case NodeFailed(error=error, message=message) | Caught(error=error, message=message):
            return f"{error}: {message}"
        case FallbackUsed(error=error):
            return error
        case NodeCancelled(phase=phase):
            return phase
        case Routed(target=target):
            return f"to {target}"
        case Progress(fraction=fraction, text=text):
            assert_type(fraction, float)
            return f"{fraction:.0%} {text}"
        case CleanupOverrun(stack=stack):
            assert_type(stack, tuple[str, ...])
            return " ".join(stack)
        case LoopBlocked(seconds=seconds, task=task):
            assert_type(seconds, float)
            return task
        case ThreadAbandoned(function=function) | ThreadEnded(function=function):
            assert_type(function, str)
            return function
        case BatchDone(total=total):
            assert_type(total, int | None)
            return f"of {total}"
        case ItemFailed(tolerated=tolerated):
            assert_type(tolerated, bool)
            return "tolerated" if tolerated else "failed"
        case BranchCancelled(reason=reason):
            return reason
        case ObserverFailed(observer=observer):
            return observer
        case CallRejected(guard=guard, reason=reason) | GaveUp(guard=guard, reason=reason):
            return f"{guard}: {reason}"
        case CircuitChanged(guard=guard, before=before, state=state):
            assert_type(guard, str)
            return f"{guard} goes from {before} to {state}"
        case RetryScheduled(attempt=attempt, delay=delay):
            assert_type(delay, float)
            return f"attempt {attempt} in {delay} s"
        case AttemptFailed(attempt=attempt, error=error) | RuleFailed(error=error, seq=attempt):
            return f"{attempt}: {error}"
        case WaitStarted(waiting=many) | ResourceOpened(size=many) | ResourceClosed(size=many):
            return f"{many}"
        case WaitEnded(outcome=outcome):
            assert_type(outcome, Literal["admitted", "rejected", "cancelled"])
            return outcome
        case LimitChanged(limit=limit):
            return f"{limit}"
        case CallTimedOut(seconds=seconds) | FaultInjected(delay=seconds):
            return f"{seconds}"
        case HedgeStarted(attempt=which, reason=why):
            assert_type(why, Literal["delay", "failure"])
            return f"{which}: {why}"
        case HedgeWon(attempt=which, attempts=begun):
            return f"{which} of {begun}"
        case CacheHit(source=source):
            assert_type(source, Literal["stored", "joined"])
            return source
        case LoadEnded(callers=callers):
            return f"{callers}"
        case AlertFired(alert=alert, value=value):
            assert_type(value, float)
            return f"{alert}: {value}"
        case AlertResolved(alert=alert, value=value):
            assert_type(value, float | None)
            return f"{alert}: {value}"
        case _:
            assert_never(event)


def short(event: RunStarted | RunEnded | Routed) -> str:
    match event.event_type:
        case "run_start":
            return "start"
        case "run_end":
            return "end"
        case "routed":
            return "next"


@define
class Tally:
    count: int = 0


@step
async def add(tally: Tally) -> None:
    tally.count += 1
    current_step().report(1, "added")


@flow
def adding() -> Wiring[Tally]:
    return [add.then(END)]


async def main() -> None:
    lines: list[str] = []
    async with Engine(seed=7) as engine, engine.start(adding, Tally()) as run:
        async for event in run.events():
            assert_type(event.seq, int)
            assert_type(event.path, str)
            assert_type(event.node_id, str)
            assert_type(event.timestamp, float)
            assert_type(event.duration_ms, float | None)
            assert_type(event.metadata, Mapping[str, str])
            lines.append(told(event))
            if isinstance(event, RunStarted | RunEnded):
                lines.append(short(event))
    assert lines == [
        "adding starts with 7",
        "start",
        "adding/add",
        "100% added",
        "took None",
        "to end",
        "success",
        "end",
    ]
