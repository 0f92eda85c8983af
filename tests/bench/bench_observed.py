"""The chain of F1 in an engine, with everything that may look on. `bench_limits.chain` says what it is paired with.

Opening the engine is not in the figures. Observers are imported where they are used: some need an extra.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from bench_limits import Body, Staged, Tally
from bench_ours import Count, in_a_row
from typing_extensions import override

from agentflow_trio import Engine, Step
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.ports import Observer

__all__ = [
    "all_together",
    "every_event",
    "logs",
    "metrics",
    "nobody",
    "spans",
    "started",
]


class Nothing:
    """Is told every event, and makes nothing of it."""

    name = "nothing"

    def observe(self, event: ExecutionEvent, /) -> None:
        """Nothing."""


class Discarded(io.StringIO):
    """A file that keeps nothing."""

    @override
    def write(self, text: str, /) -> int:
        return len(text)


def watched(nodes: int, observers: Callable[[], Sequence[Observer]]) -> Body:
    row = in_a_row([Step(Count(), name=f"node_{number}") for number in range(nodes)])

    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        async with Engine(observers=observers()) as engine:

            async def body() -> int:
                return (await engine.run(row, Tally())).state.done

            await body()  # what is made once for a flow or a series is there
            yield body

    return Staged(stage)


def nobody(nodes: int) -> Body:
    return watched(nodes, list)


def metrics(nodes: int) -> Body:
    return watched(nodes, lambda: [MetricsCollector()])


def every_event(nodes: int) -> Body:
    return watched(nodes, lambda: [Nothing()])


def started(nodes: int) -> Body:
    """With the last thousand events kept for whoever may ask for them."""
    row = in_a_row([Step(Count(), name=f"node_{number}") for number in range(nodes)])

    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        async with Engine() as engine:

            async def body() -> int:
                async with engine.start(row, Tally()) as run:
                    return (await run.result()).state.done

            await body()
            yield body

    return Staged(stage)


def log_of() -> Observer:
    from agentflow_trio.observe.logs import Logs, json_logger  # noqa: PLC0415

    return Logs(json_logger(Discarded()))


def spans_of() -> Observer:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    from agentflow_trio.observe.otel import OpenTelemetry  # noqa: PLC0415

    return OpenTelemetry(TracerProvider())


def logs(nodes: int) -> Body:
    return watched(nodes, lambda: [log_of()])


def spans(nodes: int) -> Body:
    return watched(nodes, lambda: [spans_of()])


def all_together(nodes: int) -> Body:
    return watched(nodes, lambda: [MetricsCollector(), log_of(), spans_of()])
