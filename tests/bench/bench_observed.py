"""The chain of F1 in an engine, with everything that may look on. `bench_limits.chain` says what it is paired with.

Logs and spans are paired with the same by hand as well: what structlog and OpenTelemetry take without us. Opening the
engine is not in the figures. Observers are imported where they are used: some need an extra.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from bench_limits import Body, Staged, Tally, work
from bench_ours import Count, in_a_row
from typing_extensions import override

from agentflow_trio import Engine, Step
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.ports import Observer

if TYPE_CHECKING:
    from agentflow_trio.observe.logs import Level

__all__ = [
    "all_together",
    "every_event",
    "logged_by_hand",
    "logs",
    "metrics",
    "nobody",
    "quiet_logs",
    "spanned_by_hand",
    "spans",
    "started",
]


RUN = "5f0c9f6e-6a35-4c0a-9b57-0d6f2f6f6a11"


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


def log_of(level: Level = "info") -> Observer:
    from agentflow_trio.observe.logs import Logs, json_logger  # noqa: PLC0415

    return Logs(json_logger(Discarded()), level=level)


def spans_of() -> Observer:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    from agentflow_trio.observe.otel import OpenTelemetry  # noqa: PLC0415

    return OpenTelemetry(TracerProvider())


def logs(nodes: int) -> Body:
    return watched(nodes, lambda: [log_of()])


def quiet_logs(nodes: int) -> Body:
    """With logs of what went wrong only, and nothing does: what is left is that a node's own lines would say where."""
    return watched(nodes, lambda: [log_of("warning")])


def spans(nodes: int) -> Body:
    return watched(nodes, lambda: [spans_of()])


def all_together(nodes: int) -> Body:
    return watched(nodes, lambda: [MetricsCollector(), log_of(), spans_of()])


# ---------------------------------------------------------------- the same by hand


def logged_by_hand(nodes: int) -> Body:
    """A chain of nodes, each of which waits once and is logged.

    Ours: the chain workload in an engine with `Logs(json_logger(...))`, into nowhere: where each step is is bound in the
    context while it runs, and a line is written when it has ended well.
    Limit: the limit of the chain workload, with the same done by structlog alone: `bind_contextvars`, a line of JSON with
    the same fields, `reset_contextvars`.
    Fair: both write the same fields into the same file. The limit's logger is of the processors that structlog's
    own pages begin with; it has no event, numbers nothing, escapes nothing, and raises if it cannot write.
    """
    import structlog  # noqa: PLC0415
    from structlog.contextvars import (  # noqa: PLC0415
        bind_contextvars,
        merge_contextvars,
        reset_contextvars,
    )

    log = structlog.wrap_logger(
        structlog.WriteLogger(Discarded()),
        processors=[
            merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=True,
    )
    units = [(f"node_{number}", work) for number in range(nodes)]

    async def body() -> int:
        tally = Tally()
        run = bind_contextvars(run_id=RUN, flow="chain", path="chain")
        for seq, (name, unit) in enumerate(units):
            begun = trio.current_time()
            bound = bind_contextvars(path=f"chain/{name}", visit=1, attempt=1)
            await unit(tally)
            took = (trio.current_time() - begun) * 1000.0
            log.info("node_success", seq=seq, node_id=name, duration_ms=took)
            reset_contextvars(**bound)
        reset_contextvars(**run)
        return tally.done

    return body


def spanned_by_hand(nodes: int) -> Body:
    """A chain of nodes, each of which waits once in a span of its own.

    Ours: the chain workload in an engine with `OpenTelemetry`, exported to nobody.
    Limit: the limit of the chain workload, each unit in `tracer.start_as_current_span` with the same attributes.
    Fair: both make the same spans with the same provider. The limit hears of no events: its spans say how a step came
    out because the one who wrote it wrote that, too.
    """
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    tracer = TracerProvider().get_tracer("by hand")
    units = [(f"node_{number}", f"node_{number + 1}", work) for number in range(nodes)]

    async def body() -> int:
        tally = Tally()
        with tracer.start_as_current_span("run chain"):
            for name, target, unit in units:
                attributes: dict[str, str | int] = {
                    "agentflow.kind": "step",
                    "agentflow.run_id": RUN,
                    "agentflow.flow": "chain",
                    "agentflow.path": f"chain/{name}",
                    "agentflow.visit": 1,
                    "agentflow.attempt": 1,
                }
                with tracer.start_as_current_span(
                    f"step {name}", attributes=attributes
                ) as span:
                    await unit(tally)
                    span.set_attributes({
                        "agentflow.outcome": "success",
                        "agentflow.target": target,
                    })
        return tally.done

    return body
