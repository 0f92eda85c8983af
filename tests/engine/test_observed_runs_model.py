"""Random runs of all shapes are the same whoever looks on, and all who look on saw the same.

Every kind of observer gets a run of its own and one together with all others. A *fold* is what reads the events, or the
lines of a ledger, and must agree with the events that a recorder was told: add one to `FOLDS`.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

import attrs
import pytest
import trio
from hypothesis import event as noted
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_trees import Ledger as Closings
from shape_trees import Tree, Words, row_of, tiny, trees
from typing_extensions import override

from agentflow_trio import END, Engine, Flow, FlowFailedError, Next, Step, Wiring, flow, step
from agentflow_trio.errors import Failure
from agentflow_trio.events import ExecutionEvent, NodeSucceeded, RunEnded
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.observe.logs import Logs, json_logger
from agentflow_trio.ports import Observer, Where
from agentflow_trio.testing import Faults, assert_no_leaks, simulate
from agentflow_trio.testing.strategies import fault_plans, scripted_flows

from .engine_kit import Recorder
from .scopes_kit import Surrounding, short

OF_A_VISIT: Final = {"node_start", "node_success", "routed"}
ENDS: Final = {"node_success", "node_error", "node_cancelled"}


# ---------------------------------------------------------------- what looks on


class Ledger(Recorder):
    """Keeps lines and events."""

    def __init__(self) -> None:
        super().__init__("ledger")
        self.ledger: list[tuple[str, str, str | None, float]] = []
        self.lines_read: list[tuple[str, str, str | None, float]] = []

    def settle(self) -> None:
        # an event has milliseconds: rounded twice
        self.lines_read += [(*line[:3], line[3] * 1000.0 / 1000.0) for line in self.ledger]
        self.ledger.clear()


class Telling(Surrounding):
    """Has the events among its scopes."""

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        self.story.append(f"= {event.event_type} {event.path}")


class Watching(Protocol):
    """An observer, and what it must have seen of a run with those events."""

    @property
    def observer(self) -> Observer: ...

    def agree(self, events: Sequence[ExecutionEvent], /) -> None: ...


@attrs.define
class Lines:
    """A line for each visit that ended well, and all other events."""

    observer: Ledger = attrs.field(factory=Ledger)

    def agree(self, events: Sequence[ExecutionEvent], /) -> None:
        assert self.observer.lines_read == [*map(line_of, well(events))]
        assert [short_of(one) for one in self.observer.events] == [
            short_of(one) for one in events if one.event_type not in OF_A_VISIT
        ]


@attrs.define
class Scopes:
    """Every visit is entered once, before it is told of, and left once, after that, with its error if it had one."""

    observer: Telling = attrs.field(factory=Telling)

    def agree(self, events: Sequence[ExecutionEvent], /) -> None:
        seen = self.observer
        assert seen.open == []
        assert seen.events == list(events)
        begun = [one.path for one in events if one.event_type == "node_start"]
        assert [where.path for where in seen.wheres if where.kind == "step"] == begun
        assert Counter(kinds(seen.wheres)) == Counter(
            line[2:].split(" by ")[0] for line in ended(seen.story)
        )
        assert seen.story[:2] == ["> run f", "= run_start f"]
        assert seen.story[-1].startswith("< run f")
        ends = [one for one in events if one.event_type in ENDS]
        left = [line for line in ended(seen.story) if line.startswith("< step")]
        assert [line.split(" by ")[0][7:] for line in left] == [one.path for one in ends]
        for line, one in zip(left, ends, strict=True):
            assert (" by " in line) == (one.event_type != "node_success")
        for path in begun:
            mine = [
                line for line in seen.story if line[2:].split(" by ")[0].endswith(f" {path}")
            ]
            of_visit = [line for line in mine if line.split()[1] != "item"]
            assert of_visit[0] == f"> step {path}"
            assert of_visit[1] == f"= node_start {path}"


@attrs.define
class Metrics:
    """Counts every end of a visit and of the run once."""

    observer: MetricsCollector = attrs.field(factory=MetricsCollector)

    def agree(self, events: Sequence[ExecutionEvent], /) -> None:
        for kind, name in (
            ("node_success", "success_count"),
            ("node_error", "error_count"),
            ("node_cancelled", "cancelled_count"),
        ):
            for node, times in Counter(
                node_of(one) for one in events if one.event_type == kind
            ).items():
                assert self.observer.get_metric(f"f.{node.replace('/', '.')}.{name}") == times
        assert self.observer.get_metric("f.execution_count") == 1.0


@attrs.define
class Records:
    """A line of JSON for every event, in order."""

    file: io.StringIO = attrs.field(factory=io.StringIO)
    observer: Logs = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.observer = Logs(json_logger(self.file), level="debug")

    def agree(self, events: Sequence[ExecutionEvent], /) -> None:
        lines = [json.loads(line) for line in self.file.getvalue().splitlines()]
        assert [(line["seq"], line["event"], line["path"]) for line in lines] == [
            (one.seq, one.event_type, one.path) for one in events
        ]


FOLDS: Final[tuple[Callable[[], Watching], ...]] = (Lines, Scopes, Metrics, Records)


def kinds(wheres: Iterable[Where]) -> list[str]:
    return [short(where) for where in wheres]


def ended(story: Iterable[str]) -> list[str]:
    return [line for line in story if line[0] == "<"]


def well(events: Iterable[ExecutionEvent]) -> list[NodeSucceeded]:
    return [one for one in events if isinstance(one, NodeSucceeded)]


def node_of(one: ExecutionEvent) -> str:
    """The path below the flow, without visits, attempts and items."""
    _, *parts = one.path.split("/")
    return "/".join(
        part.partition("#")[0].partition("@")[0].partition("[")[0] for part in parts
    )


def line_of(one: NodeSucceeded) -> tuple[str, str, str | None, float]:
    assert one.duration_ms is not None
    return "f", node_of(one), one.exit, one.duration_ms / 1000.0


def short_of(one: ExecutionEvent) -> tuple[object, ...]:
    return one.event_type, one.path, one.timestamp, one.duration_ms, tuple(one.metadata.items())


# ---------------------------------------------------------------- the runs


@attrs.frozen
class Outcome:
    """What became of a run, whoever looked on.

    Attributes:
        tree: what failed, where and in which phase.
        cut: whether the caller's cancellation ended it.
    """

    state: Words | None
    visits: dict[str, int] | None
    steps: int | None
    exit: str | None
    suppressed: tuple[str, ...]
    tree: object
    cut: bool
    end: float
    closed: Counter[str]


def pictured(error: BaseException, mark: Failure | None = None) -> object:
    if mark is None and isinstance(error, FlowFailedError):
        inner = zip(error.exceptions, error.marks, strict=True)
        return error.path, [pictured(*one) for one in inner]
    assert mark is not None
    return mark.path, mark.phase, mark.attempt, mark.elapsed, repr(error)


Way: TypeAlias = Callable[[Tree, float, Sequence[Observer]], Outcome]


def outcome_of(tree: Tree, at: float, seed: int, observers: Sequence[Observer]) -> Outcome:
    """Run it in a simulation, with these observers, cancelled by the caller at some time."""
    closings = Closings()

    async def program() -> Outcome:
        with assert_no_leaks():
            async with Engine(observers=observers, cleanup_grace=1000) as engine:
                work = row_of([(tree, "t")], "f", closings)
                scope, result, failed = trio.CancelScope(deadline=at), None, None
                try:
                    with scope:
                        result = await engine.run(work, Words())
                except FlowFailedError as error:
                    failed = pictured(error)
                end = trio.current_time()
        return Outcome(
            state=None if result is None else result.state,
            visits=None if result is None else dict(result.visits),
            steps=None if result is None else result.steps,
            exit=None if result is None else result.exit,
            suppressed=() if result is None else tuple(sorted(map(repr, result.suppressed))),
            tree=failed,
            cut=scope.cancelled_caught,
            end=end,
            closed=Counter(closings.closed),
        )

    with simulate(program, seed=seed) as sim:
        sim.run()
        return sim.result


def check_all(events: Sequence[ExecutionEvent], watching: Iterable[Watching]) -> None:
    for one in watching:
        one.agree(events)


@given(
    tree=trees,
    cut=st.sampled_from([None, None, 0, 1, 2, 3, 5, 8]),
    seed=st.integers(0, 9),
    alone=st.sampled_from(FOLDS),
)
def test_a_run_is_the_same_whoever_looks_on_and_all_of_them_saw_the_same(
    tree: Tree, cut: int | None, seed: int, alone: Callable[[], Watching]
) -> None:
    at = math.inf if cut is None else cut + tiny("the caller")
    nobody = outcome_of(tree, at, seed, [])
    noted("cut" if nobody.cut else "fails" if nobody.tree else "ends well")

    recorder = Recorder()
    assert outcome_of(tree, at, seed, [recorder]) == nobody
    told = recorder.events
    assert [one.seq for one in told] == [*range(len(told))]

    everybody, watching = Recorder(), [fold() for fold in FOLDS]
    assert (
        outcome_of(tree, at, seed, [everybody, *(one.observer for one in watching)]) == nobody
    )
    assert [short_of(one) for one in everybody.events] == [short_of(one) for one in told]
    check_all(everybody.events, watching)

    one = alone()
    noted(f"alone: {type(one).__name__}")
    assert outcome_of(tree, at, seed, [one.observer]) == nobody
    if isinstance(one, Scopes):
        one.agree(one.observer.events)
        told = one.observer.events
    if isinstance(one, Lines):
        agree_alone(one.observer, told)
    if isinstance(one, Metrics):
        one.agree(told)
    if isinstance(one, Records):  # what surrounds it makes it run as one that all is told of
        one.agree(told)


guarded = scripted_flows(
    Words, guarded=True, most=3, longest=3.0, errors=[OSError("down")]
).flatmap(lambda made: st.tuples(st.just(made), fault_plans(made, longest=3.0)))


@settings(max_examples=max(settings().max_examples // 4, 1))
@given(made=guarded, seed=st.integers(0, 9))
def test_all_who_look_on_see_the_same_of_retries_hedges_and_guards(
    made: tuple[Flow[Words, []], Faults], seed: int
) -> None:
    inner, faults = made
    work = flow(name="f", state=Words)(lambda: [Step(inner, name="t").then(END)])

    def looked_on_by(observers: Sequence[Observer]) -> None:
        async def program() -> None:
            with assert_no_leaks(), suppress(FlowFailedError):
                async with Engine(observers=observers) as engine:
                    await engine.run(work, Words())

        with simulate(program, seed=seed, faults=faults) as sim:
            sim.run()

    alone, everybody, watching = Recorder(), Recorder(), [fold() for fold in FOLDS]
    looked_on_by([alone])
    looked_on_by([everybody, *(one.observer for one in watching)])
    assert [*map(short_of, everybody.events)] == [*map(short_of, alone.events)]
    check_all(everybody.events, watching)


@pytest.mark.otel
@given(tree=trees, cut=st.sampled_from([None, 1, 3]), seed=st.integers(0, 9))
def test_every_run_visit_and_item_is_a_span_inside_of_the_one_it_belongs_to(
    tree: Tree, cut: int | None, seed: int
) -> None:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415
        InMemorySpanExporter,
    )

    from agentflow_trio.observe.otel import OpenTelemetry  # noqa: PLC0415

    at = math.inf if cut is None else cut + tiny("the caller")
    recorder, exporter, provider = Recorder(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    outcome_of(tree, at, seed, [recorder, OpenTelemetry(provider)])

    spans = exporter.get_finished_spans()
    told = [
        (str(dict(one.attributes or {})["agentflow.kind"]), path_of(one.attributes))
        for one in spans
    ]
    ended = {
        "node_success": "step",
        "node_error": "step",
        "node_cancelled": "step",
        "run_end": "run",
    }
    events = [
        (ended[one.event_type], one.path) for one in recorder.events if one.event_type in ended
    ]
    assert [line for line in told if line[0] != "item"] == events
    by_id = {one.context.span_id: path_of(one.attributes) for one in spans if one.context}
    for span in spans:
        if span.parent is None:
            assert path_of(span.attributes) == "f"
        else:
            around = by_id[span.parent.span_id]
            assert path_of(span.attributes).startswith((f"{around}/", f"{around}["))


def path_of(attributes: Mapping[str, object] | None) -> str:
    return str((attributes or {})["agentflow.path"])


def agree_alone(ledger: Ledger, told: Sequence[ExecutionEvent]) -> None:
    """Nobody wanted events of visits that ended well, so branches ran another way: what happened at one moment may be told in another order."""
    assert Counter(ledger.lines_read) == Counter(map(line_of, well(told)))
    others = [one for one in told if one.event_type not in OF_A_VISIT]
    assert Counter(map(short_of, ledger.events)) == Counter(map(short_of, others))
    times = [one.timestamp for one in ledger.events]
    assert times == sorted(times)
    numbers = [one.seq for one in ledger.events]
    assert numbers == sorted(set(numbers))
    last = ledger.events[-1]
    assert isinstance(last, RunEnded)
    assert last.seq == len(told) - 1


# ---------------------------------------------------------------- who reads at its own speed


@given(
    times=st.integers(1, 900),
    reads=st.integers(0, 200),
    every=st.integers(1, 60),
    pace=st.booleans(),
)
def test_a_slow_subscriber_misses_what_is_counted_and_one_that_sets_the_pace_nothing(
    times: int, reads: int, every: int, pace: bool
) -> None:
    """It reads some events, sleeps while the run goes on, and reads the rest."""

    @step(name="turn")
    async def turn(notes: Words, *, more: Next, done: Next) -> Next:
        notes.said = (*notes.said[:0], str(len(notes.said)))
        await trio.sleep(1.0)
        counted[0] += 1
        return more if counted[0] < times else done

    @flow(name="f")
    def loop() -> Wiring[Words]:
        return [turn.to(more=turn, done=END)]

    counted = [0]

    async def program() -> tuple[list[int], int, int]:
        async with Engine() as engine, engine.start(loop, Words()) as run:
            got: list[int] = []
            with run.events(pace=pace) as events:
                async for one in events:
                    got.append(one.seq)
                    if reads and len(got) == reads:
                        await trio.sleep(float(every * 20))
                missed = events.missed
            result = await run.result()
        return got, missed, result.steps

    with simulate(program, seed=0) as sim:
        sim.run()
        got, missed, steps = sim.result
    all_of_them = 3 * times + 2
    assert steps == times
    assert len(got) + missed == all_of_them
    assert got == sorted(set(got))
    noted("missed some" if missed else "missed nothing")
    if pace:
        assert missed == 0
        assert got == [*range(all_of_them)]
    elif missed:  # the oldest of those that were waiting
        gap = next(index for index, number in enumerate(got) if number != index)
        assert got == [*range(gap), *range(gap + missed, all_of_them)]
