"""Runs as spans of OpenTelemetry: where they nest, how long they take, and how they say that something came out."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

import attrs
import pytest
import trio
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from spans_kit import Spans, attribute, id_of, parent_of, seconds

from agentflow_trio import (
    END,
    Engine,
    ExtraMissingError,
    Fallback,
    Flow,
    FlowFailedError,
    Hedge,
    HedgePolicy,
    Next,
    Retry,
    RetryPolicy,
    Step,
    Wiring,
    current_step,
    each,
    flow,
    parallel,
    step,
)
from agentflow_trio.events import NodeFailed, Routed, RunStarted, ThreadEnded
from agentflow_trio.observe.otel import OpenTelemetry, SimulatedIds
from agentflow_trio.ports import SelectiveObserver, StepScope, Where
from agentflow_trio.testing import simulate

pytestmark = pytest.mark.otel


@attrs.define
class Notes:
    urls: tuple[str, ...] = ("x", "y", "z")
    said: tuple[str, ...] = ()


LATE = ThreadEnded(
    run_id="r", seq=9, path="f/a[3]/b", timestamp=0.0, function="g", error=None, message=None
)

Act = Callable[[], Awaitable[object]]


def doing(act: Act, name: str = "a", **policies: Any) -> Step[Notes, []]:
    @step(name=name, **policies)
    async def does(notes: Notes) -> None:
        await act()

    return does


def chain(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    @flow(name=name)
    def row() -> Wiring[Notes]:
        following = [*steps[1:], END]
        return [one.then(after) for one, after in zip(steps, following, strict=True)]

    return row


async def nothing() -> None:
    pass


async def fail() -> None:
    raise ValueError("no")


def spans_of(work: Flow[Notes, []], spans: Spans | None = None, seed: int = 1) -> Spans:
    """The spans of a simulated run, which may fail."""
    found = spans or Spans()

    async def main() -> None:
        async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
            with suppress(FlowFailedError):
                await engine.run(work, Notes())

    with simulate(main, seed=seed) as sim:
        sim.run()
    assert found.open == 0
    return found


class Fetch:
    """Takes a second per item; ``y`` fails twice."""

    def __init__(self) -> None:
        self._failed = 0

    async def prep(self, notes: Notes) -> Sequence[str]:
        return notes.urls

    async def exec(self, url: str) -> str:
        await trio.sleep(1.0)
        if url == "y" and self._failed < 2:
            self._failed += 1
            raise OSError("down")
        return url

    async def post(self, notes: Notes, urls: Sequence[str], pages: Sequence[str]) -> None:
        notes.said += tuple(pages)


# ---------------------------------------------------------------- which spans there are


def test_a_run_has_a_span_for_each_visit_and_each_nested_one() -> None:
    inner = Step(chain("inner", doing(nothing, "b"), doing(nothing, "c")), name="inner")
    assert spans_of(chain("f", doing(nothing, "a"), inner)).tree() == [
        "run f f success",
        "  step a f/a success",
        "  step inner f/inner success",
        "    step b f/inner/b success",
        "    step c f/inner/c success",
    ]


def test_a_loop_has_a_span_for_each_visit() -> None:
    @step
    async def again(notes: Notes, *, more: Next, done: Next) -> Next:
        return more if current_step().visit < 3 else done

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    found = spans_of(f)
    assert found.tree() == [
        "run f f success",
        "  step again f/again success",
        "  step again f/again#2 success",
        "  step again f/again#3 success",
    ]
    steps = [span for span in found.all if span.name == "step again"]
    assert [attribute(span, "visit") for span in steps] == [1, 2, 3]
    assert [attribute(span, "exit") for span in steps] == ["more", "more", "done"]
    assert [attribute(span, "target") for span in steps] == ["again", "again", "end"]


def test_attempts_of_a_retried_step_are_spans_in_it() -> None:
    tried: list[str] = []

    async def third_time() -> None:
        await trio.sleep(1.0)
        tried.append("x")
        if len(tried) < 3:
            raise OSError("down")

    again = RetryPolicy(max_attempts=3, base_delay=2.0, jitter=0.0)
    found = spans_of(chain("f", doing(third_time, retry=again)))
    assert found.tree() == [
        "run f f success",
        "  step a f/a success",
        "    attempt a f/a error @1",
        "    attempt a f/a error @2",
        "    attempt a f/a success @3",
    ]
    attempts = [span for span in found.all if span.name == "attempt a"]
    assert [seconds(span) for span in attempts] == [(0.0, 1.0), (3.0, 4.0), (8.0, 9.0)]
    assert seconds(found.named("step a")) == (0.0, 9.0)
    assert [span.status.description for span in attempts] == ["OSError: down"] * 2 + [None]
    (event,) = [e for e in found.named("step a").events if e.name == "retry_scheduled"][:1]
    assert event.timestamp == 946_684_801_000_000_000
    assert dict(event.attributes or {}) == {
        "agentflow.path": "f/a",
        "agentflow.guard": "a",
        "agentflow.attempt": 2,
        "agentflow.delay": 2.0,
    }


def test_attempts_beside_each_other_are_spans_beside_each_other() -> None:
    async def work() -> None:
        number = current_step().attempt
        await trio.sleep(2.0)
        current_step().report(0.5, f"attempt {number}")
        if number == 1:
            raise OSError("down")
        await trio.sleep(1.0)

    hedge = Hedge(HedgePolicy(after=1.0, max_attempts=3), name="h")
    found = spans_of(chain("f", doing(work, hedge=hedge)))
    assert found.tree() == [
        "run f f success",
        "  step a f/a success",
        "    attempt a f/a error @1",
        "    attempt a f/a success @2",
        "    attempt a f/a cancelled @3",
    ]
    attempts = [span for span in found.all if span.name == "attempt a"]
    assert [seconds(span) for span in attempts] == [(0.0, 2.0), (1.0, 4.0), (2.0, 4.0)]
    assert [span.status.description for span in attempts] == ["OSError: down", None, None]
    said = [
        [(event.attributes or {})["agentflow.text"] for event in span.events]
        for span in attempts
    ]
    assert said == [["attempt 1"], ["attempt 2"], ["attempt 3"]]
    assert [event.name for event in found.named("step a").events] == [
        *("hedge_start", "hedge_start", "hedge_won"),
    ]


def test_what_is_told_inside_a_span_of_the_nodes_own_belongs_to_the_attempt_around_it() -> None:
    """A guard in the node's code counts its attempts for itself; it fails while an attempt of that number is told of."""

    async def flaky(number: int, tries: list[None]) -> None:
        tries.append(None)
        if len(tries) == 1:
            await trio.sleep(2.0 - number + 1.0)
            raise ConnectionError(f"inside {number}")
        await trio.sleep(0.5 * number)
        if number == 1:
            raise OSError("down")

    async def work() -> None:
        number = current_step().attempt
        with tracer.start_as_current_span("http"):
            policy = RetryPolicy(max_attempts=2, base_delay=0.0, jitter=0.0, on=ConnectionError)
            await Retry(policy, name="inner").call(flaky, number, [])

    spans = Spans()
    tracer = spans.provider.get_tracer("mine")
    hedge = Hedge(HedgePolicy(after=1.0, max_attempts=2), name="h")
    found = spans_of(chain("f", doing(work, hedge=hedge)), spans)
    attempts = [span for span in found.all if span.name == "attempt a"]
    told = [
        [
            (event.name, (event.attributes or {}).get("agentflow.message"))
            for event in span.events
        ]
        for span in attempts
    ]
    assert told == [
        [
            *(("attempt_failed", "inside 1"), ("retry_scheduled", None)),
            *(("attempt_failed", "down"), ("gave_up", None)),
        ],
        [("attempt_failed", "inside 2"), ("retry_scheduled", None)],
    ]
    assert [span.status.description for span in attempts] == ["OSError: down", None]


def test_a_failure_in_a_later_round_is_not_taken_for_an_attempt_that_goes_on() -> None:
    async def work() -> None:
        attempt = current_step().attempt
        if attempt == 1:
            raise ValueError("no")
        await trio.sleep(4.0 - attempt)
        if attempt == 3:
            raise OSError("no")

    hedge = Hedge(HedgePolicy(after=0.5, max_attempts=2, on=OSError), name="h")
    again = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)

    found = spans_of(chain("f", doing(work, hedge=hedge, retry=again)))
    assert found.tree() == [
        "run f f success",
        "  step a f/a success",
        "    attempt a f/a error @1",
        "    attempt a f/a success @2",
        "    attempt a f/a error @3",
    ]


def test_items_are_spans_in_their_step_with_their_attempts_in_them() -> None:
    again = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0)
    fetch = Step(each(Fetch(), concurrent=2, retry=again), name="fetch")
    found = spans_of(chain("f", fetch))
    assert found.tree() == [
        "run f f success",
        "  step fetch f/fetch success",
        "    item fetch f/fetch[0] success",
        "      attempt fetch f/fetch[0] success @1",
        "    item fetch f/fetch[1] success",
        "      attempt fetch f/fetch[1] error @1",
        "      attempt fetch f/fetch[1] error @2",
        "      attempt fetch f/fetch[1] success @3",
        "    item fetch f/fetch[2] success",
        "      attempt fetch f/fetch[2] success @1",
    ]
    items = [span for span in found.all if span.name == "item fetch"]
    assert sorted(str(attribute(span, "item")) for span in items) == ["0", "1", "2"]


def test_an_item_that_failed_says_so() -> None:
    class Fails(Fetch):
        async def exec(self, url: str) -> str:
            raise OSError(f"no {url}")

    found = spans_of(chain("f", Step(each(Fails(), concurrent=1), name="fetch")))
    item = next(span for span in found.all if span.name == "item fetch")
    assert item.status.status_code is StatusCode.ERROR
    assert item.status.description == "OSError: no x"


def test_branches_are_spans_side_by_side() -> None:
    async def nap() -> None:
        await trio.sleep(1.0)

    at_once = Step(parallel(doing(nap, "a"), doing(nap, "b")), name="both")
    found = spans_of(chain("f", at_once))
    first, second, *branches = found.tree()
    assert [first, second, *sorted(branches)] == [
        "run f f success",
        "  step both f/both success",
        "    step a f/both/a success",
        "    step b f/both/b success",
    ]
    assert seconds(found.named("step a")) == seconds(found.named("step b")) == (0.0, 1.0)


def test_a_span_says_where_it_is() -> None:
    found = spans_of(chain("f", doing(nothing)), seed=7)
    assert dict(found.named("step a").attributes or {}) == {
        "agentflow.kind": "step",
        "agentflow.run_id": "sim-7-1",
        "agentflow.flow": "f",
        "agentflow.path": "f/a",
        "agentflow.visit": 1,
        "agentflow.attempt": 1,
        "agentflow.outcome": "success",
        "agentflow.target": "end",
    }
    run = dict(found.named("run f").attributes or {})
    assert run.pop("agentflow.definition_hash")
    assert run.pop("agentflow.seed") is not None
    assert run == {
        "agentflow.kind": "run",
        "agentflow.run_id": "sim-7-1",
        "agentflow.flow": "f",
        "agentflow.path": "f",
        "agentflow.outcome": "success",
    }


# ---------------------------------------------------------------- how it came out


def test_a_failure_has_the_class_and_the_text_that_the_event_has() -> None:
    found = spans_of(chain("f", doing(fail)))
    failed = found.named("step a")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "ValueError: no"
    assert (failed.attributes or {})["error.type"] == "ValueError"
    run = found.named("run f")
    assert run.status.status_code is StatusCode.ERROR
    assert attribute(run, "outcome") == "error"
    assert run.status.description is not None
    assert run.status.description.startswith("FlowFailedError: ")
    assert not [event.name for span in found.all for event in span.events]


def test_what_was_cancelled_has_an_outcome_and_no_status() -> None:
    found = Spans()

    async def main() -> None:
        async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
            with trio.move_on_after(1.0):
                again = RetryPolicy(max_attempts=2)
                await engine.run(chain("f", doing(trio.sleep_forever, retry=again)), Notes())

    with simulate(main) as sim:
        sim.run()
    assert found.tree() == [
        "run f f cancelled",
        "  step a f/a cancelled",
        "    attempt a f/a cancelled @1",
    ]
    assert {span.status.status_code for span in found.all} == {StatusCode.UNSET}
    assert {seconds(span) for span in found.all} == {(0.0, 1.0)}


def test_what_failed_while_it_was_cancelled_is_named() -> None:
    found = Spans()

    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("while it unwound")

    async def main() -> None:
        async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
            with trio.move_on_after(1.0):
                try:
                    await engine.run(chain("f", doing(stubborn)), Notes())
                except* OSError:
                    pass

    with simulate(main) as sim:
        sim.run()
    assert found.open == 0
    assert (found.named("step a").attributes or {})["error.type"] == "OSError"


def test_what_happens_in_a_step_is_an_event_of_its_span() -> None:
    async def work() -> None:
        current_step().report(0.5, "half")
        raise ValueError("no")

    class Node:
        async def prep(self, notes: Notes) -> None: ...
        async def exec(self, prepared: None) -> str:
            await work()
            return ""

        async def post(self, notes: Notes, prepared: None, result: str) -> None: ...

    found = spans_of(chain("f", Step(Node(), name="a", fallback=Fallback("instead"))))
    events = found.named("step a").events
    assert [event.name for event in events] == ["progress", "fallback_used"]
    assert dict(events[0].attributes or {}) == {
        "agentflow.path": "f/a",
        "agentflow.fraction": 0.5,
        "agentflow.text": "half",
    }


def test_the_text_of_an_exception_comes_from_nowhere_but_events() -> None:
    found = Spans()
    telemetry = OpenTelemetry(found.provider)
    where = Where("step", "r", "f", "f/a", 1, 1, None)
    with pytest.raises(ValueError, match="hunter2"), telemetry.around(where):
        raise ValueError("hunter2")
    (span,) = found.all
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError"
    assert "hunter2" not in span.to_json()


# ---------------------------------------------------------------- what nests where


def nested_in(found: Spans, inner: str, outer: str) -> bool:
    return parent_of(found.named(inner)) == id_of(found.named(outer))


async def test_spans_of_a_node_its_tasks_its_threads_and_its_runs_nest_under_it() -> None:
    found = Spans()
    tracer = found.provider.get_tracer("mine")
    telemetry = OpenTelemetry(found.provider)

    def mine(name: str) -> None:
        with tracer.start_as_current_span(name):
            pass

    async def child() -> None:
        mine("in a task")

    async def work() -> None:
        mine("in the node")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        await current_step().to_thread(mine, "in a thread")
        async with Engine(observers=[telemetry]) as engine:
            await engine.run(chain("g", doing(nothing, "b")), Notes())

    async with Engine(observers=[telemetry]) as engine:
        await engine.run(chain("f", doing(work)), Notes())
    for name in ("in the node", "in a task", "in a thread", "run g"):
        assert nested_in(found, name, "step a")
    assert nested_in(found, "step b", "run g")
    assert found.open == 0


async def test_the_span_that_is_current_where_a_run_begins_is_its_parent() -> None:
    found = Spans()
    tracer = found.provider.get_tracer("mine")
    async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
        with tracer.start_as_current_span("request"):
            await engine.run(chain("f", doing(nothing)), Notes())
        with tracer.start_as_current_span("later"):
            async with engine.start(chain("g", doing(nothing, "b")), Notes()) as run:
                await run.result()
    assert nested_in(found, "run f", "request")
    assert nested_in(found, "run g", "later")


async def test_a_traceparent_goes_in_and_out() -> None:
    found = Spans()
    propagator = TraceContextTextMapPropagator()
    incoming = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    outgoing: dict[str, str] = {}

    async def call() -> None:
        propagator.inject(outgoing)

    async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
        token = attach(propagator.extract(incoming))
        try:
            await engine.run(chain("f", doing(call)), Notes())
        finally:
            detach(token)
    assert parent_of(found.named("run f")) == 0xB7AD6B7169203331
    step_id = id_of(found.named("step a"))
    assert outgoing["traceparent"].startswith(
        f"00-0af7651916cd43dd8448eb211c80319c-{step_id:016x}-"
    )


async def test_nothing_is_current_after_a_run() -> None:
    found = Spans()
    async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
        await engine.run(chain("f", doing(nothing)), Notes())
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", doing(fail)), Notes())
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_what_is_not_sampled_costs_no_record_and_still_nests() -> None:
    found = Spans()
    found.provider.sampler = ALWAYS_OFF
    seen: list[bool] = []

    async def work() -> None:
        current_step().report(0.5)
        seen.append(trace.get_current_span().get_span_context().is_valid)

    async with Engine(observers=[OpenTelemetry(found.provider)]) as engine:
        await engine.run(chain("f", doing(work)), Notes())
    assert seen == [True]
    assert not found.all


# ---------------------------------------------------------------- by itself


def test_it_is_an_observer_and_a_scope() -> None:
    telemetry = OpenTelemetry(Spans().provider)
    assert isinstance(telemetry, SelectiveObserver)
    assert isinstance(telemetry, StepScope)
    assert telemetry.name == "opentelemetry"


def test_by_default_spans_go_where_the_application_says() -> None:
    with OpenTelemetry().around(Where("run", "r", "f", "f", 1, 1, None)):
        assert not trace.get_current_span().is_recording()


def test_an_event_of_a_run_that_is_over_or_unknown_changes_nothing() -> None:
    found = Spans()
    telemetry = OpenTelemetry(found.provider)
    failed = NodeFailed(
        run_id="r",
        seq=2,
        path="f/a",
        timestamp=0.0,
        phase="exec",
        attempt=1,
        error="ValueError",
        message="no",
    )
    started = RunStarted(
        run_id="r",
        seq=0,
        path="f",
        timestamp=0.0,
        flow="f",
        definition_hash="d",
        seed=1,
        schema_version=1,
        wall_time=0.0,
    )
    routed = Routed(run_id="r", seq=3, path="f/a", timestamp=0.0, exit=None, target="b")
    for event in (started, failed, routed, LATE):
        telemetry.observe(event)
    assert not found.all


def test_times_that_no_calendar_knows_do_no_harm() -> None:
    found = Spans()
    telemetry = OpenTelemetry(found.provider)
    where = Where("run", "r", "f", "f", 1, 1, None)
    telemetry._times.of_run("r").ahead = float("nan")
    with telemetry.around(where):
        pass
    assert (found.all[0].start_time, found.all[0].end_time) == (0, 0)


def test_events_of_an_unknown_place_are_told_of_the_place_around() -> None:
    found = Spans()
    telemetry = OpenTelemetry(found.provider)
    run = Where("run", "r", "f", "f", 1, 1, None)
    visit = Where("step", "r", "f", "f/a", 1, 1, None)
    with telemetry.around(run), telemetry.around(visit):
        telemetry.observe(LATE)
    assert [event.name for event in found.named("step a").events] == ["thread_ended"]


def test_a_span_whose_event_nobody_tells_ends_with_the_one_around_it() -> None:
    found = Spans()
    telemetry = OpenTelemetry(found.provider)
    with telemetry.around(Where("run", "r", "f", "f", 1, 1, None)):
        with telemetry.around(Where("step", "r", "f", "f/a", 1, 1, None)):
            pass
        assert found.open == 2
    assert found.tree() == ["run f f success", "  step a f/a success"]


# ---------------------------------------------------------------- simulations


def fingerprint(found: Spans) -> list[str]:
    return [span.to_json() for span in found.all]


def test_the_same_seed_makes_the_same_spans_with_the_same_ids() -> None:
    def once(seed: int) -> list[str]:
        again = RetryPolicy(max_attempts=3, base_delay=1.0)
        fetch = Step(each(Fetch(), concurrent=2, retry=again), name="fetch")
        return fingerprint(spans_of(chain("f", fetch), seed=seed))

    assert once(3) == once(3)
    assert once(3) != once(4)


def test_ids_are_random_outside_of_simulations() -> None:
    ids = SimulatedIds()
    assert ids.generate_trace_id() != ids.generate_trace_id()
    assert ids.is_trace_id_random()

    async def one() -> int:
        return ids.generate_span_id()

    def simulated() -> int:
        with simulate(one, seed=5) as sim:
            sim.run()
        return sim.result

    assert simulated() == simulated()
    assert trio.run(one) != trio.run(one)


# ---------------------------------------------------------------- without the extra


def import_again() -> None:
    """Import what OpenTelemetry is taken from, as if for the first time."""
    again = importlib.util.find_spec("agentflow_trio.observe.otel._api")
    assert again is not None
    assert again.loader is not None
    again.loader.exec_module(importlib.util.module_from_spec(again))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import_again()
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with pytest.raises(ImportError) as caught:
        import_again()
    assert isinstance(caught.value, ExtraMissingError)
    assert str(caught.value) == (
        'agentflow_trio.observe.otel needs an extra; run  pip install "agentflow_trio[otel]"'
    )


class Broken(ModuleType):
    """A module that needs one which is not there."""

    def __getattr__(self, name: str) -> object:
        raise ModuleNotFoundError(name="wrapt")


def test_a_package_that_opentelemetry_lacks_is_named_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.context", Broken("opentelemetry.context"))
    with pytest.raises(ModuleNotFoundError) as caught:
        import_again()
    assert caught.value.name == "wrapt"
