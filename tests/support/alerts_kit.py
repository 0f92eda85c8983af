"""What the tests of alerts have in common: runs that ended, a task that looks at rules, and what was told when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

import trio

from agentflow_trio.events import AlertFired, AlertResolved, ExecutionEvent, RunEnded
from agentflow_trio.observe import Alerts, MetricsCollector


def ended(
    metrics: MetricsCollector,
    outcome: Literal["success", "error", "cancelled"] = "error",
    *,
    flow: str = "editing",
    times: int = 1,
    seconds: float = 0.0,
) -> None:
    """Have so many runs of *flow* end."""
    for _ in range(times):
        metrics.observe(
            RunEnded(
                run_id="r",
                seq=1,
                path=flow,
                timestamp=0.0,
                duration_ms=seconds * 1000.0,
                flow=flow,
                outcome=outcome,
                exit=None,
                steps=1,
                error=None,
            )
        )


Told = list[tuple[float, ExecutionEvent]]


@asynccontextmanager
async def watched(alerts: Alerts) -> AsyncIterator[Told]:
    """Let *alerts* look, from now on; what is told is written down with the time since then."""
    told: Told = []
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            alerts.watch, lambda event: told.append((trio.current_time() - begin, event))
        )
        await trio.testing.wait_all_tasks_blocked()
        yield told
        nursery.cancel_scope.cancel()


def lines(told: Iterable[tuple[float, ExecutionEvent]]) -> list[str]:
    """``5: errors fired at 3.0`` for each alert event."""
    found: list[str] = []
    for time, event in told:
        if isinstance(event, AlertFired | AlertResolved):
            what = "fired" if isinstance(event, AlertFired) else "resolved"
            found.append(f"{round(time, 6):g}: {event.alert} {what} at {event.value}")
        else:
            found.append(f"{round(time, 6):g}: {event.event_type}")
    return found
