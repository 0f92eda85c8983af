"""Random runs in which everything there is goes on: every event is counted once, logged once and traced once, and totals agree.

Pieces are steps that make one thing happen; a drawn run puts some of them in a row, beside each other, in a race and in a
nested flow, and is cut off, cancelled, drained or let alone. Each kind of event must be told in the run of some piece alone.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, TypeAlias

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from spans_kit import Spans, attribute, id_of, parent_of

from agentflow_trio import (
    END,
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    BulkheadFullError,
    Chaos,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Count,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    Hedge,
    HedgePolicy,
    LoadShedder,
    ResourcePool,
    RetryPolicy,
    Run,
    RunCancelledError,
    Step,
    Timeout,
    TTLCache,
    UnknownBranchError,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    open_pool,
    parallel,
    pipeline,
    race,
    step,
)
from agentflow_trio.events import (
    EVENT_TYPES,
    AlertEvent,
    AlertFired,
    AlertResolved,
    ExecutionEvent,
)
from agentflow_trio.observe import (
    METRICS,
    AlertRule,
    Alerts,
    Histogram,
    MetricsCollector,
    spans_of,
)
from agentflow_trio.observe.logs import Logs, json_logger
from agentflow_trio.observe.otel import OpenTelemetry
from agentflow_trio.ports import Observer
from agentflow_trio.testing import simulate

pytestmark = pytest.mark.otel


@attrs.define
class Notes:
    """The state of every flow here."""

    done: int = 0


Act: TypeAlias = Callable[[], Awaitable[object]]
Piece: TypeAlias = Callable[[str], Step[Notes, []]]

RETRY: Final = RetryPolicy(max_attempts=2, base_delay=0.5, jitter=0.0)


def doing(act: Act, name: str, **policies: Any) -> Step[Notes, []]:
    @step(name=name, **policies)
    async def does(notes: Notes) -> None:
        await act()

    return does


def taking(seconds: float) -> Act:
    async def sleep() -> None:
        await trio.sleep(seconds)

    return sleep


async def fail() -> None:
    await trio.sleep(0.25)
    raise ValueError("no")


async def all_but_the_last_fail() -> None:
    await trio.sleep(0.75)
    if current_step().attempt < 3:
        raise ValueError("not yet")


# ---------------------------------------------------------------- pieces


def reporting(name: str) -> Step[Notes, []]:
    async def work() -> None:
        current_step().report(0.5, "half of it")
        await trio.sleep(0.5)

    return doing(work, name)


def failing(name: str) -> Step[Notes, []]:
    return doing(fail, name)


class Fails:
    async def prep(self, shared: Notes, /) -> None:
        pass

    async def exec(self, prepared: None, /) -> int:
        await fail()
        return 1

    async def post(self, shared: Notes, prepared: None, result: int, /) -> None:
        shared.done += result


def standing_in(name: str) -> Step[Notes, []]:
    return Step(Fails(), name=name, fallback=Fallback(0), retry=RETRY)


class Items:
    """Four; the second fails once, the third always."""

    def __init__(self, *, many: bool) -> None:
        self._many = many

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return range(4)

    async def exec(self, item: Any, /) -> Any:
        first = item[0] if self._many else item
        await trio.sleep(0.25 + first / 8)
        if first == 2 or (first == 1 and current_step().attempt == 1):
            raise ValueError("no")
        return item

    async def post(self, shared: Notes, items: object, results: object, /) -> None:
        shared.done += 1


def each_tried_again(name: str) -> Step[Notes, []]:
    node = each(Items(many=False), concurrent=2, tolerate=Count(1), retry=RETRY)
    return Step(node, name=name, timeout=30.0)


def hedged_items(name: str) -> Step[Notes, []]:
    hedge = Hedge(HedgePolicy(after=0.1, max_attempts=2), name="items")
    return Step(
        each(Items(many=False), concurrent=4, tolerate=Count(9), hedge=hedge), name=name
    )


def batches(name: str) -> Step[Notes, []]:
    node: Any = Items(many=True)
    return Step(batch(node, size=2, concurrent=2, tolerate=Count(1)), name=name)


def hedged(name: str) -> Step[Notes, []]:
    hedge = Hedge(HedgePolicy(after=0.5, max_attempts=2), name="twice")
    return doing(all_but_the_last_fail, name, hedge=hedge, retry=RETRY)


def hedged_flow(name: str) -> Step[Notes, []]:
    inner = row(name, doing(taking(0.5), "one"), doing(taking(0.5), "two"))
    return Step(inner, hedge=Hedge(after=0.25, name="flows"))


def waiting(name: str) -> Step[Notes, []]:
    """Two want in where one may be; nobody may wait for the second."""
    db, full = Bulkhead("db", limit=1), Bulkhead("full", limit=1)

    async def change() -> None:
        await trio.sleep(0.25)
        db.resize(2)

    async def ask() -> None:
        with suppress(BulkheadFullError), full.enter_nowait():
            await trio.sleep(0.25)

    arms = [doing(taking(1.0), "a", guards=(db,)), doing(taking(1.0), "b", guards=(db,))]
    return Step(
        parallel(*arms, doing(change, "c"), doing(ask, "d"), doing(ask, "e")), name=name
    )


def breaking(name: str) -> Step[Notes, []]:
    policy = CircuitPolicy(failure_threshold=1, recovery_timeout=9.0)
    return doing(fail, name, guards=(CircuitBreaker("model", policy),), retry=RETRY)


def in_a_pipeline(name: str) -> Step[Notes, []]:
    def judge(error: Exception) -> bool:
        raise ZeroDivisionError

    guards = pipeline(
        CircuitBreaker("judged", CircuitPolicy(record=judge)), Timeout(0.5, name="short")
    )
    return doing(taking(1.0), name, guards=(guards,))


def wrong_rule(name: str) -> Step[Notes, []]:
    def judge(error: Exception) -> bool:
        raise ZeroDivisionError

    return doing(fail, name, guards=(CircuitBreaker("judged", CircuitPolicy(record=judge)),))


def lending(name: str) -> Step[Notes, []]:
    async def connect() -> object:
        await trio.sleep(0.25)
        return object()

    async def work() -> None:
        async with open_pool(connect, size=1, name="pool") as pool:
            await borrow(pool)

    async def borrow(pool: ResourcePool[object]) -> None:
        async with pool.lend():
            await trio.sleep(0.25)

    return doing(work, name)


def caching(name: str) -> Step[Notes, []]:
    async def load(key: str) -> str:
        await trio.sleep(0.5)
        return key

    cache = TTLCache(load, ttl=60.0, name="prices")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cache.get, "x")
            nursery.start_soon(cache.get, "x")
        await cache.get("x")

    return doing(work, name)


def in_chaos(name: str) -> Step[Notes, []]:
    chaos = Chaos("drill", ChaosPolicy(rate=1.0, errors=ConnectionError))

    async def work() -> None:
        chaos.enable()
        try:
            async with chaos:
                await trio.sleep(0.25)
        finally:
            chaos.disable()

    return doing(work, name)


def adapting(name: str) -> Step[Notes, []]:
    limit = AdaptiveLimit("slow", AdaptiveLimitPolicy(initial=4, slow_after=0.25))
    return doing(taking(1.0), name, guards=(limit,))


def shedding(name: str) -> Step[Notes, []]:
    return doing(taking(1.0), name, guards=(LoadShedder("door", lambda: 9.0, threshold=1.0),))


def racing(name: str) -> Step[Notes, []]:
    return Step(race(doing(taking(0.5), "hare"), doing(taking(5.0), "tortoise")), name=name)


def losing(name: str) -> Step[Notes, []]:
    """A cleanup that is not done in time."""

    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 9.0)
        await trio.sleep(9.0)

    return doing(work, name, timeout=1.0)


def a_branch_cancelled(name: str) -> Step[Notes, []]:
    """Whoever drives the run cancels it, at this path."""
    return Step(parallel(doing(taking(3.0), "left"), doing(taking(1.0), "right")), name=name)


def in_a_thread(name: str) -> Step[Notes, []]:
    async def work() -> None:
        assert await current_step().to_thread(str, 1) == "1"
        await current_step().to_thread(current_step().report, 0.5, "from a thread")

    return doing(work, name)


def nested(name: str) -> Step[Notes, []]:
    return Step(row(name, doing(taking(0.5), "one"), doing(fail, "two")), retry=RETRY)


PIECES: Final[Mapping[str, tuple[Piece, set[str]]]] = {
    piece.__name__: (piece, set(told.split()))
    for piece, told in (
        (reporting, "run_start run_end node_start node_success routed progress"),
        (failing, "node_error caught alert_fired alert_resolved"),
        (standing_in, "fallback_used"),
        (each_tried_again, "attempt_failed retry_scheduled gave_up batch item_failed"),
        (hedged_items, "hedge_start attempt_failed item_failed"),
        (batches, "batch item_failed"),
        (hedged, "hedge_start hedge_won attempt_failed retry_scheduled gave_up"),
        (hedged_flow, "hedge_start hedge_won node_cancelled"),
        (waiting, "wait_start wait_end limit_changed rejected"),
        (breaking, "circuit_changed rejected"),
        (in_a_pipeline, "timed_out"),
        (wrong_rule, "rule_failed"),
        (lending, "resource_opened resource_closed"),
        (caching, "cache_hit load_end"),
        (in_chaos, "fault_injected"),
        (adapting, "limit_changed"),
        (shedding, "rejected"),
        (racing, "node_cancelled"),
        (losing, "cleanup_overrun"),
        (a_branch_cancelled, "branch_cancelled"),
        (in_a_thread, "progress"),
        (nested, "attempt_failed"),
    )
}

ELSEWHERE: Final = {
    "loop_blocked": "real time: tests/engine/test_watchdog.py",
    "thread_abandoned": "real threads that go on: tests/engine/test_blocking_calls.py",
    "thread_ended": "the same",
    "observer_failed": "told by `Raising`, below",
}


def row(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    @flow(name=name)
    def in_a_row() -> Wiring[Notes]:
        return [one.then(after) for one, after in zip(steps, [*steps[1:], END], strict=True)]

    return in_a_row


def caught(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    """A row in which whatever fails is caught, and the next is made."""

    @flow(name=name)
    def in_a_row() -> Wiring[Notes]:
        following = [*steps[1:], END]
        rescues = [doing(taking(0.125), f"rescue_{one.name}") for one in steps]
        made: list[Any] = []
        for one, rescue, after in zip(steps, rescues, following, strict=True):
            made += [one.then(after).catch(Exception, to=rescue), rescue.then(after)]
        return made

    return in_a_row


# ---------------------------------------------------------------- runs


class Recorder:
    name = "recorder"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent, /) -> None:
        self.events.append(event)


class Raising(Recorder):
    """Raises at its third event."""

    name = "raising"

    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if len(self.events) == 3:
            raise OSError("no")


@attrs.frozen
class Seen:
    """What all who looked on saw of one run."""

    events: Sequence[ExecutionEvent]
    log: str
    metrics: MetricsCollector
    spans: Spans


End: TypeAlias = Literal["by itself", "cut", "cancelled", "drained"]


async def drive(run: Run[Notes], engine: Engine, at: float, end: End) -> None:
    """End the run, and before that a branch of it that may be cancelled."""
    await trio.sleep(0.3)
    for path in ("f/a_branch_cancelled/left", "f/beside/a_branch_cancelled/left"):
        with suppress(UnknownBranchError):
            run.request_cancel("enough", at=path)
    await trio.sleep(at)
    if end == "cancelled":
        run.request_cancel("enough of it")
    if end == "drained":
        await engine.drain(grace=0.5)


async def seen_of(work: Flow[Notes, []], at: float, end: End) -> Seen:
    file, spans, metrics = io.StringIO(), Spans(), MetricsCollector()
    recorder = Recorder()
    alert = AlertRule("failures", "rate(f.failing.error_count[2s])", 0.1, "keep")
    observers: list[Observer] = [
        metrics,
        Alerts([alert], metrics, actions={"keep": list[AlertEvent]().append}),
        Logs(json_logger(file), level="debug"),
        OpenTelemetry(spans.provider),
        Raising(),
        recorder,
    ]
    scope = trio.CancelScope()
    async with Engine(observers=observers, cleanup_grace=2.0) as engine:
        with scope:
            async with engine.start(work, Notes()) as run, trio.open_nursery() as nursery:
                nursery.start_soon(drive, run, engine, at, end)
                if end == "cut":
                    scope.deadline = trio.current_time() + 0.3 + at
                with suppress(FlowFailedError, RunCancelledError):
                    await run.result()
                nursery.cancel_scope.cancel()
        await trio.sleep(5.0)  # so that alerts are resolved
    return Seen(recorder.events, file.getvalue(), metrics, spans)


def simulated(
    work: Flow[Notes, []], at: float = 60.0, end: End = "by itself", seed: int = 0
) -> Seen:
    with simulate(lambda: seen_of(work, at, end), seed=seed) as sim:
        sim.run()
        return sim.result


# ---------------------------------------------------------------- what must agree


def each_event_is_logged_once(seen: Seen) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in seen.log.splitlines()]
    told = [(one.event_type, one.run_id, one.seq) for one in seen.events]
    assert [(one["event"], one.get("run_id", ""), one.get("seq", -1)) for one in lines] == told


def each_event_is_counted_once(seen: Seen) -> None:
    """In all series of a metric together; of gauges that events only set, nothing adds up."""
    for family in seen.metrics.snapshot():
        metric = family.metric
        if metric.sets or not metric.feeds:
            continue
        fed: Counter[type[object]] = Counter(type(event) for event in seen.events)
        if metric.kind == "histogram":
            counts = [
                one.value.count for one in family.samples if isinstance(one.value, Histogram)
            ]
            assert sum(counts) == sum(fed[feed.kind] for feed in metric.feeds), metric.name
        else:
            changes = [
                by
                for feed in metric.feeds
                for event in seen.events
                if type(event) is feed.kind
                for _, by in feed.changes(event)
            ]
            values = [
                one.value for one in family.samples if not isinstance(one.value, Histogram)
            ]
            assert sum(values) == sum(changes), metric.name


def each_event_is_traced_once(seen: Seen) -> None:
    """As the end of a span, or as an event of one; the retry around a hedge tells of a round, which is no span."""
    kinds = Counter(attribute(span, "kind") for span in seen.spans.all)
    told = Counter(event.event_type for event in seen.events)
    ends = told["node_success"] + told["node_error"] + told["node_cancelled"]
    assert (kinds["run"], kinds["step"]) == (told["run_start"], told["node_start"])
    assert kinds["step"] == ends
    assert kinds["item"] >= told["batch"] + told["item_failed"]
    kinds_told = [event.event_type for event in seen.events]
    told.subtract(kinds_told[kinds_told.index("run_end") + 1 :])  # no span is there any more
    said = Counter(event.name for span in seen.spans.all for event in span.events)
    failed = [span for span in seen.spans.all if is_failed_attempt(span)]
    assert len(failed) + said.pop("attempt_failed", 0) == told["attempt_failed"]
    no_events = (
        "run_start run_end node_start node_success node_error node_cancelled routed batch"
    )
    no_events += " item_failed attempt_failed alert_fired alert_resolved"
    assert said == Counter({
        kind: many for kind, many in told.items() if many and kind not in no_events.split()
    })


def is_failed_attempt(span: ReadableSpan) -> bool:
    return attribute(span, "kind") == "attempt" and attribute(span, "outcome") == "error"


def each_span_is_inside(seen: Seen) -> None:
    ids = {id_of(span): str(attribute(span, "path")) for span in seen.spans.all}
    assert seen.spans.open == 0
    for span in seen.spans.all:
        parent, path = parent_of(span), str(attribute(span, "path"))
        if parent is None:
            assert path == "f"
        else:
            around = ids[parent]
            assert path == around or path.startswith((f"{around}/", f"{around}[", f"{around}@"))


def a_profile_agrees(seen: Seen) -> None:
    events = [event for event in seen.events if event.run_id]
    told = Counter(event.event_type for event in events)
    (run,) = spans_of(events)
    spans = [span for span in run.root.walk() if span.kind == "visit"]
    assert run.missing == 0
    assert len(spans) == told["node_start"]
    outcomes = Counter(span.outcome for span in spans)
    assert outcomes["success"] == told["node_success"]
    assert outcomes["error"] == told["node_error"]
    assert outcomes["cancelled"] == told["node_cancelled"]
    made = Counter(
        attribute(span, "path")
        for span in seen.spans.all
        if attribute(span, "kind") == "attempt"
    )
    for span in run.root.walk():
        if span.path in made and span.outcome != "cancelled":
            assert span.tries == made[span.path], span.path


def all_agree(seen: Seen) -> None:
    switched_off = [one for one in seen.events if one.event_type == "observer_failed"]
    assert {one.metadata["observer"] for one in switched_off} == {"raising"}
    numbers = [event.seq for event in seen.events if event.run_id]
    assert numbers == [*range(len(numbers))]
    each_event_is_logged_once(seen)
    each_event_is_counted_once(seen)
    each_event_is_traced_once(seen)
    each_span_is_inside(seen)
    a_profile_agrees(seen)


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_alone_makes_happen_what_it_is_for(name: str) -> None:
    piece, told = PIECES[name]
    seen = simulated(caught("f", piece(name)))
    assert told <= {event.event_type for event in seen.events}
    all_agree(seen)


def test_every_kind_of_event_is_told_in_the_run_of_some_piece() -> None:
    reached = {kind for _, told in PIECES.values() for kind in told}
    assert reached | ELSEWHERE.keys() == EVENT_TYPES.keys()
    assert not reached & ELSEWHERE.keys()


def test_every_metric_that_events_feed_is_among_what_is_counted() -> None:
    fed = {feed.kind for metric in METRICS for feed in metric.feeds}
    assert {AlertFired, AlertResolved} < fed


@given(
    first=st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=3, unique=True),
    beside=st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=3, unique=True),
    is_race=st.booleans(),
    at=st.sampled_from([0.0, 0.2, 0.7, 1.7, 4.0]),
    end=st.sampled_from(["by itself", "by itself", "cut", "cancelled", "drained"]),
    seed=st.integers(0, 9),
)
def test_everything_is_told_once_to_everybody_whatever_goes_on(
    first: list[str], beside: list[str], is_race: bool, at: float, end: End, seed: int
) -> None:
    arms = [PIECES[name][0](name) for name in beside]
    both = Step((race if is_race else parallel)(*arms), name="beside")
    deep = Step(caught("deep", *(PIECES[name][0](name) for name in first)), name="deep")
    work = caught("f", *(PIECES[name][0](name) for name in first), both, deep)
    all_agree(simulated(work, at, end, seed))
