"""Random trees of all shapes: every event is logged once; every visit and item is one span, where and as long as it was.

What is expected is read from the events, which tests/engine checks against a model of its own.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from shape_trees import Ledger, Tree, Words, row_of, tiny, trees
from spans_kit import Spans, attribute, id_of, parent_of
from structlog.contextvars import bound_contextvars, get_contextvars

from agentflow_trio import Engine, FlowFailedError
from agentflow_trio.events import (
    BatchDone,
    ExecutionEvent,
    ItemFailed,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
)
from agentflow_trio.observe.logs import Logs, json_logger
from agentflow_trio.observe.otel import OpenTelemetry
from agentflow_trio.ports import Observer, Where
from agentflow_trio.testing import simulate

pytestmark = pytest.mark.otel

ENDS: Mapping[type[ExecutionEvent], str] = {
    NodeSucceeded: "success",
    NodeFailed: "error",
    NodeCancelled: "cancelled",
}


@attrs.define
class Looking:
    """Comes after the others, keeps the events, and looks at what is bound and current in every stretch."""

    name = "looking"
    events: list[ExecutionEvent] = attrs.field(factory=list[ExecutionEvent])
    stretches: list[Where] = attrs.field(factory=list[Where])

    def observe(self, event: ExecutionEvent, /) -> None:
        self.events.append(event)

    def around(self, where: Where, /) -> AbstractContextManager[None]:
        return self._around(where)

    @contextmanager
    def _around(self, where: Where) -> Iterator[None]:
        self.stretches.append(where)
        self._look(where)
        try:
            yield
        finally:
            self._look(where)

    def _look(self, where: Where) -> None:
        wanted: dict[str, object] = {"request": 7, **where._asdict()}
        kind = wanted.pop("kind")
        unsaid = {"visit", "attempt", "item"} if kind == "run" else set[str]()
        bound = {name: value for name, value in wanted.items() if name not in unsaid}
        if bound.get("item", 0) is None:
            del bound["item"]
        assert get_contextvars() == bound
        span = trace.get_current_span()
        assert isinstance(span, ReadableSpan)
        assert (attribute(span, "kind"), attribute(span, "path")) == (kind, where.path)


@attrs.frozen
class Seen:
    """What one run left behind."""

    looking: Looking
    log: str
    spans: Spans


async def run(tree: Tree, at: float) -> Seen:
    file, spans, looking = io.StringIO(), Spans(), Looking()
    observers: list[Observer] = [
        Logs(json_logger(file), level="debug"),
        OpenTelemetry(spans.provider),
        looking,
    ]
    with bound_contextvars(request=7):
        async with Engine(observers=observers, cleanup_grace=1000) as engine:
            with suppress(FlowFailedError), trio.CancelScope(deadline=at):
                await engine.run(row_of([(tree, "t")], "f", Ledger()), Words())
        assert get_contextvars() == {"request": 7}
    assert trace.get_current_span() is trace.INVALID_SPAN
    return Seen(looking, file.getvalue(), spans)


def each_event_is_logged_once(events: Sequence[ExecutionEvent], log: str) -> None:
    records: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    told = [(event.event_type, event.run_id, event.seq, event.path) for event in events]
    assert [(r["event"], r["run_id"], r["seq"], r["path"]) for r in records] == told
    assert {record["request"] for record in records} == {7}
    assert not [record for record in records if "visit" in record or "item" in record]


def each_stretch_is_a_span(stretches: Sequence[Where], spans: Spans) -> None:
    assert spans.open == 0
    made = [(attribute(span, "kind"), attribute(span, "path")) for span in spans.all]
    assert Counter(made) == Counter((where.kind, where.path) for where in stretches)
    assert len(set(made)) == len(made)  # no stretch is surrounded twice


def each_span_is_in_the_one_around(spans: Spans) -> None:
    ids = {attribute(span, "path"): id_of(span) for span in spans.all}
    for span in spans.all:
        path = str(attribute(span, "path"))
        around = path.rpartition("[" if path.endswith("]") else "/")[0]
        assert parent_of(span) == (ids[around] if around else None)


def each_span_is_what_events_say(events: Sequence[ExecutionEvent], spans: Spans) -> None:
    steps = {span_path(span): span for span in spans.all if attribute(span, "kind") == "step"}
    begun = [event for event in events if isinstance(event, NodeStarted)]
    ended = [event for event in events if type(event) in ENDS]
    assert sorted(steps) == sorted(event.path for event in begun)
    assert sorted(steps) == sorted(event.path for event in ended)
    for first in begun:
        assert steps[first.path].start_time == nanoseconds(first.timestamp)
    for last in ended:
        span = steps[last.path]
        assert span.end_time == nanoseconds(last.timestamp)
        assert attribute(span, "outcome") == ENDS[type(last)]
        failed = isinstance(last, NodeFailed)
        assert (span.status.status_code is StatusCode.ERROR) == failed
        if isinstance(last, NodeFailed):
            told = f"{last.error}: {last.message}"
            assert span.status.description == told.removesuffix(": ")


def each_item_is_what_events_say(events: Sequence[ExecutionEvent], spans: Spans) -> None:
    items = {span_path(span): span for span in spans.all if attribute(span, "kind") == "item"}
    for event in events:
        if isinstance(event, BatchDone | ItemFailed):
            wanted = "success" if isinstance(event, BatchDone) else "error"
            assert attribute(items.pop(event.path), "outcome") == wanted
    assert {attribute(span, "outcome") for span in items.values()} <= {"cancelled", "error"}


def span_path(span: ReadableSpan) -> str:
    return str(attribute(span, "path"))


def nanoseconds(timestamp: float) -> int:
    wall = 946_684_800.0 + timestamp
    return math.floor(wall) * 10**9 + round((wall - math.floor(wall)) * 1e9)


@given(
    tree=trees,
    cut=st.sampled_from([None, None, 0, 1, 2, 3, 5, 8]),
    seed=st.integers(0, 9),
)
def test_everything_is_logged_and_traced_once_and_in_its_place(
    tree: Tree, cut: int | None, seed: int
) -> None:
    at = math.inf if cut is None else cut + tiny("the caller")

    async def program() -> Seen:
        return await run(tree, at)

    with simulate(program, seed=seed) as sim:
        sim.run()
        seen: Seen = sim.result
    events = seen.looking.events
    assert not [event for event in events if event.event_type == "observer_failed"]
    each_event_is_logged_once(events, seen.log)
    each_stretch_is_a_span(seen.looking.stretches, seen.spans)
    each_span_is_in_the_one_around(seen.spans)
    each_span_is_what_events_say(events, seen.spans)
    each_item_is_what_events_say(events, seen.spans)
