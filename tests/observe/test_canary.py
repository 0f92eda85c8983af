"""Secrets planted wherever they can come from, runs of every shape that tell of them in every way: no output has one.

An output is a class in `OUTPUTS`: what it observes with, and the text that came out. A new kind of output is one more.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import attrs
import pytest
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from agentflow_trio import (
    END,
    AdaptiveLimit,
    Chaos,
    ChaosOutcome,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Count,
    Drill,
    Engine,
    Fallback,
    Flow,
    FlowAbortedError,
    FlowFailedError,
    Hedge,
    HedgePolicy,
    KeyedRateLimiter,
    Redactor,
    Retry,
    RetryPolicy,
    RunCancelledError,
    Secret,
    SingleFlight,
    Step,
    Stream,
    TTLCache,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    parallel,
    pipeline,
    race,
    sensitive,
    step,
)
from agentflow_trio.cli._board import Board
from agentflow_trio.cli._lines import Lines
from agentflow_trio.errors import is_tree
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.observe import (
    AlertRule,
    Alerts,
    AuditTrail,
    MetricsCollector,
    Profiler,
    report_html,
    write_event,
)
from agentflow_trio.observe.logs import Logs, console_logger, json_logger
from agentflow_trio.observe.prometheus import PrometheusExporter
from agentflow_trio.ports import Observer

if find_spec("opentelemetry"):
    from spans_kit import Spans

    from agentflow_trio.observe.otel import OpenTelemetry

CANARY = "k4n4ry"
PASSWORD = f"{CANARY}-password"
VARIABLE = f"{CANARY} of the environment"
KEY = f"sk-{CANARY}-0123456789abcdef"
TOKENS = Stream("tokens", str)


@attrs.define
class Inner:
    key: str = attrs.field(default=f"{CANARY} inside", metadata=sensitive)


@attrs.define
class State:
    key: str = attrs.field(default=f"{CANARY} of a field", metadata=sensitive)
    token: Secret = attrs.field(factory=lambda: Secret(f'{CANARY} of a "secret"'))
    inner: Inner = attrs.field(factory=Inner)
    url: str = f"https://me:{PASSWORD}@host/?api_key={CANARY}-query&page=2"
    items: tuple[int, ...] = (0, 1, 2)
    outputs: Sequence[object] = ()

    @property
    def all(self) -> str:
        """Every secret there is, as careless code would write them."""
        header = f"Authorization: Bearer {CANARY}.header"
        secret = self.token.reveal()
        known = f"{self.key} {secret} {secret!r} {self.inner.key}"
        return f"{known} {self.url} {header} {KEY} {VARIABLE}"


def careless(state: State) -> Exception:
    """An exception that has it in its text, its members, its cause and its notes."""
    text = state.all
    error = ExceptionGroup(text, [ValueError(text), KeyError(text)])
    error.__cause__ = OSError(text)
    error.add_note(text)
    return error


# ---------------------------------------------------------------- flows of every shape


def doing(act: Callable[[State], Awaitable[None]], name: str = "work", **policies: Any) -> Any:
    return step(name=name, **policies)(act)


def row(*steps: Any, name: str = "canaries") -> Flow[State, []]:
    @flow(name=name)
    def wired() -> Wiring[State]:
        pairs = zip(steps, [*steps[1:], END], strict=True)
        return [one.then(target) for one, target in pairs]

    return wired


async def fail(state: State) -> None:
    await trio.sleep(0.1)
    state.key, old = f"{CANARY} that is new", state.key
    current_step().report(0.5, f"{state.all} {old}")
    raise careless(state) from RuntimeError(old)


async def sleep(state: State) -> None:
    current_step().on_cleanup(partial(closing, state.all))
    current_step().report(0.1, state.all)
    await trio.sleep(3.0)


async def closing(text: str) -> None:
    raise OSError(text)


async def overrun(state: State) -> None:
    current_step().on_cleanup(partial(trio.sleep, 99.0))
    raise careless(state)


async def fine(state: State) -> None:
    state.inner.key = f"{CANARY} {state.inner.key}"
    current_step().report(1.0, state.all)


async def conflict(state: State) -> None:
    state.key = f"{CANARY} of {current_step().path}"


async def nested_run(_: State) -> None:
    inner = State(key=f"{CANARY} of another run")
    await row(doing(fail), name="other").run(inner)


async def emit(state: State) -> None:
    try:
        await current_step().emit(TOKENS, "a chunk is what the user wants to be seen")
    finally:
        await fail(state)


async def wrong(state: State) -> Any:
    return state.all


async def in_thread(state: State) -> None:
    def work(text: str) -> None:
        raise ValueError(text)

    await current_step().to_thread(partial(work, state.all))


class Phase:
    def __init__(self, phase: str) -> None:
        self.phase = phase

    async def prep(self, shared: State) -> State:
        if self.phase == "prep":
            raise careless(shared)
        return shared

    async def exec(self, prepared: State) -> str:
        if self.phase == "exec":
            raise careless(prepared)
        return prepared.all

    async def post(self, shared: State, prepared: State, result: str) -> None:
        raise careless(shared)


class PerItem:
    async def prep(self, shared: State) -> Sequence[State]:
        return [shared for _ in shared.items]

    async def exec(self, item: State) -> str:
        raise careless(item)

    async def post(self, shared: State, prepared: Sequence[State], result: Any) -> None:
        shared.outputs = result


class PerPart(PerItem):
    async def exec(self, item: Any) -> Any:
        raise careless(item[0])


def enter(state: State) -> State:
    return State(key=f"{CANARY} of the state within", inner=state.inner)


def leave(state: State, inner: State) -> None:
    state.inner = inner.inner


def rescue(error: Exception) -> str:
    raise LookupError(f"no help with {error}")


def breaker() -> CircuitBreaker:
    return CircuitBreaker("breaker", CircuitPolicy(failure_threshold=1, recovery_timeout=9.0))


async def through_guards(state: State) -> None:
    """Guards of a node's own, asked with secrets, loading secrets and failing with them; none says a word of it."""

    async def load(key: str) -> str:
        await trio.sleep(0.1)
        if len(key) % 2:
            raise careless(state)
        return state.all

    async def ask(key: str) -> None:
        with suppress(Exception):
            await flight.get(key)
        with suppress(Exception):
            await cache.get(key)
        with suppress(Exception):
            async with keyed.of(key):
                pass
        await line.call(load, key)

    flight, cache = SingleFlight(load), TTLCache(load, ttl=9.0)
    keyed = KeyedRateLimiter[str]("calls", limit=1, window=2.0)
    hedge = Hedge(after=0.05)
    told: list[object] = []
    retry, instead = Retry(RETRY, on_event=told.append), Fallback(state.all)
    line = pipeline(instead, retry, hedge)
    keys = (state.key, state.token.reveal(), f"{state.key}!")
    async with trio.open_nursery() as nursery:
        for key in (*keys, *keys):
            nursery.start_soon(ask, key)
    guards = (flight, cache, keyed, hedge, line, retry, instead)
    looks = (flight.statistics(), cache.statistics(), keyed.statistics(), hedge.statistics())
    assert CANARY not in f"{guards} {looks} {told}"
    assert told
    chaos = ChaosOutcome("odd", state.all, ChaosPolicy(rate=1.0))
    chaos.enable()
    assert await chaos.call(load, "") == state.all
    async with keyed.of(state.key), keyed.of(state.key):
        pass


def chaotic() -> Chaos:
    """Errors that are made as careless as any."""
    return Chaos("chaos", ChaosPolicy(rate=1.0, errors=lambda: ValueError(State().all)))


RETRY = RetryPolicy(max_attempts=2, base_delay=0.5)
FLOWS: dict[str, Callable[[], Flow[State, []]]] = {
    "fails": lambda: row(doing(fine, "before"), doing(fail)),
    "prep": lambda: row(Step(Phase("prep"), name="work")),
    "exec": lambda: row(Step(Phase("exec"), name="work")),
    "post": lambda: row(Step(Phase("post"), name="work")),
    "retries": lambda: row(doing(fail, retry=RETRY)),
    "rejected": lambda: row(doing(fail, retry=RETRY, guards=(breaker(),))),
    "falls back": lambda: row(
        Step(Phase("exec"), name="work", fallback=Fallback(f"{CANARY} to stand in"))
    ),
    "no fallback": lambda: row(Step(Phase("exec"), name="work", fallback=Fallback(by=rescue))),
    "nested": lambda: row(Step(row(doing(fail), name="inner"), name="nested")),
    "within": lambda: row(Step(row(doing(fail), name="inner").within(enter, leave), name="in")),
    "another run": lambda: row(doing(nested_run)),
    "parallel": lambda: row(
        Step(parallel(doing(fail, "a"), doing(fail, "b"), doing(sleep, "c")), name="all")
    ),
    "conflict": lambda: row(
        Step(parallel(doing(conflict, "a"), doing(conflict, "b")), name="all")
    ),
    "race": lambda: row(Step(race(doing(fail, "a"), doing(fine, "b")), name="first")),
    "lost race": lambda: row(Step(race(doing(fail, "a"), doing(fail, "b")), name="first")),
    "each": lambda: row(Step(each(PerItem(), concurrent=2), name="items")),
    "tolerant": lambda: row(
        Step(each(PerItem(), concurrent=2, tolerate=Count(3), retry=RETRY), name="items")
    ),
    "batch": lambda: row(Step(batch(PerPart(), size=2, tolerate=Count(9)), name="parts")),
    "times out": lambda: row(doing(sleep, timeout=1.0)),
    "overruns": lambda: row(doing(overrun)),
    "wrong exit": lambda: row(doing(wrong)),
    "stream": lambda: row(doing(emit)),
    "thread": lambda: row(doing(in_thread)),
    "is cancelled": lambda: row(doing(sleep)),
    "guards": lambda: row(doing(through_guards)),
    "hedged": lambda: row(doing(fail, hedge=Hedge(HedgePolicy(after=0.05)))),
    "adaptive": lambda: row(doing(fail, retry=RETRY, guards=(AdaptiveLimit("limit"),))),
    "chaos": lambda: row(doing(fine, guards=(chaotic(),))),
    "branch": lambda: row(Step(parallel(doing(sleep, "a"), doing(fine, "b")), name="all")),
}


def catching() -> Flow[State, []]:
    @step
    async def target(state: State) -> None:
        state.outputs = (str(current_step().caught),)

    work = doing(fail)

    @flow(name="canaries")
    def wired() -> Wiring[State]:
        return [work.then(END).catch(ExceptionGroup, to=target), target.then(END)]

    return wired


FLOWS["caught"] = catching

# ---------------------------------------------------------------- outputs


class Output(Protocol):
    """What people see of runs."""

    def __init__(self, flow: Flow[State, []]) -> None: ...

    @property
    def observers(self) -> Sequence[Observer]: ...

    def text(self) -> str: ...


class Events:
    """As JSON lines, the way ``--events`` and `read_events` have them, and as objects."""

    name = "events"

    def __init__(self, flow: Flow[State, []]) -> None:
        self.events: list[ExecutionEvent] = []
        self.observers: Sequence[Observer] = (self,)

    def observe(self, event: ExecutionEvent) -> None:
        self.events.append(event)

    def text(self) -> str:
        lines = [f"{write_event(event)}\n{event!r}\n{event.metadata}" for event in self.events]
        return "\n".join(lines)


class LogLines:
    def __init__(self, flow: Flow[State, []]) -> None:
        self._files = [io.StringIO(), io.StringIO()]
        as_json, for_people = json_logger(self._files[0]), console_logger(self._files[1])
        self.observers: Sequence[Observer] = (
            Logs(as_json, level="debug"),
            Logs(for_people, level="debug"),
        )

    def text(self) -> str:
        return "".join(file.getvalue() for file in self._files)


class Metrics:
    def __init__(self, flow: Flow[State, []]) -> None:
        self._metrics = MetricsCollector()
        self._exporter = PrometheusExporter(self._metrics, registry=CollectorRegistry())
        self.observers: Sequence[Observer] = (self._metrics,)

    def text(self) -> str:
        page = generate_latest(self._exporter.registry).decode()
        return f"{page}\n{self._metrics.names()}"


class Alarm:
    def __init__(self, flow: Flow[State, []]) -> None:
        metrics = MetricsCollector()
        self._fired: list[object] = []
        rule = AlertRule("errors", "work.error_count", 0.0, "call")

        def call(event: object) -> None:
            self._fired.append(event)
            raise ValueError(f"token={CANARY}")

        alerts = Alerts([rule], metrics, actions={"call": call}, every=0.5)
        self.observers: Sequence[Observer] = (metrics, alerts)

    def text(self) -> str:
        return str(self._fired)


class Report:
    def __init__(self, flow: Flow[State, []]) -> None:
        self._profiler = Profiler()
        self.observers: Sequence[Observer] = (self._profiler,)

    def text(self) -> str:
        profile = self._profiler.profile()
        return f"{profile.table()}\n{profile!r}\n{report_html(profile)}"


class CommandLine:
    """Progress lines, and the table of a terminal."""

    def __init__(self, flow: Flow[State, []]) -> None:
        self._file, self._board = io.StringIO(), Board(flow)
        self.observers: Sequence[Observer] = (Lines(self._file), self._board)

    def text(self) -> str:
        return f"{self._file.getvalue()}\n{self._board.rows}"


class Traces:
    def __init__(self, flow: Flow[State, []]) -> None:
        self._spans = Spans()
        self.observers: Sequence[Observer] = (OpenTelemetry(self._spans.provider),)

    def text(self) -> str:
        return "\n".join(str(span.to_json()) for span in self._spans.all)


class Trail:
    """What an application writes of every failure into an audit trail."""

    name = "trail"

    def __init__(self, flow: Flow[State, []]) -> None:
        self._trail = AuditTrail()
        self.observers: Sequence[Observer] = (self,)

    def observe(self, event: ExecutionEvent) -> None:
        self._trail.record(who="me", what=event.event_type, resource=str(event), decision="ok")

    def text(self) -> str:
        return str(self._trail.records)


OUTPUTS: list[type[Output]] = [
    Events,
    LogLines,
    Metrics,
    Alarm,
    Report,
    CommandLine,
    Trail,
    *([Traces] if find_spec("opentelemetry") else []),
]


# ---------------------------------------------------------------- what a caller gets


def told_of(error: BaseException) -> Iterable[str]:
    """What the package itself says of *error*; leaves are the user's own objects, and say what the user wrote."""
    if is_tree(error):
        assert isinstance(error, FlowFailedError | FlowAbortedError)
        yield error.report()
        yield error.message
        for member in error.exceptions:
            yield from told_of(member)
    elif type(error).__module__.startswith("agentflow_trio"):
        yield f"{error} {error!r}"
    yield from (note for note in getattr(error, "__notes__", ()) if note.startswith("in "))


async def carry_out(name: str, engine: Engine, wired: Flow[State, []]) -> list[str]:
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        state = State()
        with suppress(FlowFailedError, RunCancelledError):
            async with engine.start(wired, state, timeout=20.0) as run:
                events = run.events()
                chunks = run.stream(TOKENS)

                async def read() -> None:
                    told.extend([str(event) async for event in events])

                async def follow() -> None:
                    told.extend([chunk async for chunk in chunks])

                nursery.start_soon(read)
                nursery.start_soon(follow)
                await trio.sleep(0.2)
                told.append(str(engine.snapshot()))
                if name == "is cancelled":
                    run.request_cancel(state.all)
                    told.append(str(engine.snapshot()))
                if name == "branch":
                    report = await run.cancel(state.all, at="canaries/all/a")
                    told.append(f"{report.reason} {report.cut_off}")  # failures are the user's
                try:
                    told += map(str, map(told_of, (await run.result()).suppressed))
                except (FlowFailedError, RunCancelledError) as error:
                    told += told_of(error)
                    raise
    return told


@pytest.mark.parametrize("name", FLOWS)
def test_no_output_has_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", VARIABLE)
    wired = FLOWS[name]()
    outputs = [output(wired) for output in OUTPUTS]
    observers = [observer for output in outputs for observer in output.observers]
    redactor = Redactor(environment=("*_TOKEN",))

    async def main() -> list[str]:
        async with Engine(
            observers=observers, redactor=redactor, cleanup_grace=1.0, observer_budget=60.0
        ) as engine:
            told = await carry_out(name, engine, wired)
            await trio.sleep(2.0)
        return told

    with Drill({"chaos": 1.0}) if name == "chaos" else nullcontext():
        told = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.0))
    texts = {type(output).__name__: output.text() for output in outputs}
    texts["the caller"] = "\n".join(told)
    assert all(len(text) > 1 for text in texts.values())
    for where, text in texts.items():
        assert CANARY not in text, f"{name}: in {where}"
    assert ("***" in texts["Events"]) == (name != "conflict")
