"""Ledgers: an observer that is content with a line for each visit that ended well gets no events of it, and misses nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import (
    END,
    Engine,
    Flow,
    FlowFailedError,
    Step,
    Wiring,
    each,
    flow,
    fold,
    parallel,
    step,
)
from agentflow_trio.events import (
    ExecutionEvent,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    RunEnded,
    RunStarted,
)
from agentflow_trio.ports import VisitLedger, VisitRecord

from .engine_kit import Notes, Recorder, chain, doing, failing, looping, saying, sleeping


@pytest.fixture(autouse=True)
def virtual_time(autojump_clock: MockClock) -> None:
    """Or a busy machine would take an observer's budget."""


class Ledger(Recorder):
    """Keeps lines, as it reads them."""

    def __init__(self, name: str = "ledger") -> None:
        super().__init__(name)
        self.ledger: list[tuple[str, str, str | None, float]] = []
        self.records: list[VisitRecord] = []
        self.most = 0

    def settle(self) -> None:
        self.most = max(self.most, len(self.ledger))
        self.records += [VisitRecord(*line) for line in self.ledger]
        self.ledger.clear()

    @property
    def nodes(self) -> list[str]:
        return [record.node for record in self.records]


class Failing(Ledger):
    """Cannot read its ledger."""

    @override
    def settle(self) -> None:
        raise ValueError("unreadable")


class Wanting(Recorder):
    """Wants some kinds of events only."""

    def __init__(self, *kinds: type[ExecutionEvent]) -> None:
        super().__init__("wanting")
        self._kinds = kinds

    @property
    def wants(self) -> Collection[type[ExecutionEvent]]:
        return self._kinds


async def test_a_visit_that_ended_well_is_a_line_and_no_event(
    autojump_clock: MockClock,
) -> None:
    ledger = Ledger()
    assert isinstance(ledger, VisitLedger)
    async with Engine(observers=[ledger]) as engine:
        await engine.run(chain("f", sleeping(0.25, "a"), sleeping(0.5, "b")), Notes())
    assert ledger.records == [
        VisitRecord(flow="f", node="a", exit=None, seconds=0.25),
        VisitRecord(flow="f", node="b", exit=None, seconds=0.5),
    ]
    assert ledger.lines() == ["run_start f", "run_end f outcome=success steps=2"]


async def test_events_have_the_numbers_that_they_have_for_an_observer_of_everything() -> None:
    def numbers(recorder: Recorder) -> dict[str, int]:
        return {event.event_type: event.seq for event in recorder.events}

    ledger, recorder = Ledger(), Recorder()
    steps = chain("f", saying("a"), saying("b"), failing(ValueError("no"), "c"))
    for observer in (ledger, recorder):
        async with Engine(observers=[observer]) as engine:
            with pytest.raises(FlowFailedError):
                await engine.run(steps, Notes())
    assert numbers(ledger) == {"run_start": 0, "node_error": 8, "run_end": 9}
    assert numbers(ledger).items() <= numbers(recorder).items()
    assert [event.seq for event in recorder.events] == [*range(10)]
    assert ledger.nodes == ["a", "b"]


async def test_a_visit_that_is_cut_off_is_told_as_ever() -> None:
    ledger, recorder = Ledger(), Recorder()
    for observer in (ledger, recorder):
        scope = trio.CancelScope()

        async def wait(scope: trio.CancelScope = scope) -> None:
            scope.cancel()
            await trio.sleep_forever()

        async with Engine(observers=[observer]) as engine:
            with scope:
                await engine.run(chain("f", saying("a"), doing(wait, "b")), Notes())
    assert ledger.lines() == ["run_start f", *recorder.lines()[-2:]]
    assert ledger.lines()[1] == "node_cancelled f/b phase=exec attempt=1"
    assert ledger.nodes == ["a"]


def silent(name: str) -> Step[Notes, []]:
    """A function step that writes nothing, so that branches of it merge."""

    @step(name=name)
    async def says_nothing(notes: Notes) -> None:
        await trio.lowlevel.checkpoint()

    return says_nothing


async def lines_of(work: Flow[Notes, []], *, times: int = 1) -> list[tuple[str, str | None]]:
    ledger = Ledger()
    async with Engine(observers=[ledger]) as engine:
        for _ in range(times):
            await engine.run(work, Notes())
    return [(record.node, record.exit) for record in ledger.records]


async def test_a_line_says_where_below_the_flow_without_visit_numbers_and_by_which_exit() -> (
    None
):
    inner = Step(chain("deep", saying("a")), name="inner")
    again = looping(2)
    slow = Step(chain("limited", saying("b")), name="slow", timeout=5.0)

    @flow(name="f")
    def all_of_it() -> Wiring[Notes]:
        return [inner.then(again), again.to(more=inner, done=slow), slow.then(END)]

    assert await lines_of(all_of_it) == [
        ("inner/a", None),
        ("inner", None),
        ("again", "more"),
        ("inner/a", None),
        ("inner", None),
        ("again", "done"),
        ("slow/b", None),
        ("slow", None),
    ]


async def test_branches_write_lines_too() -> None:
    both = Step(
        parallel(silent("one"), Step(chain("two", silent("c")), name="two")), name="both"
    )
    inner = Step(chain("inner", both), name="inner")
    lines = await lines_of(chain("f", inner))
    assert sorted(lines) == [
        ("inner", None),
        ("inner/both", None),
        ("inner/both/one", None),
        ("inner/both/two", None),
        ("inner/both/two/c", None),
    ]


async def test_a_route_around_a_failed_flow_leads_back_to_the_right_place() -> None:
    inner = Step(chain("deep", saying("a"), failing(ValueError("no"), "b")), name="inner")
    rescue = saying("rescue")

    @flow(name="f")
    def routed() -> Wiring[Notes]:
        return [inner.then(END).catch(ValueError, to=rescue), rescue.then(END)]

    assert await lines_of(routed, times=2) == [("inner/a", None), ("rescue", None)] * 2


def numbers(notes: Notes) -> Iterator[Notes]:
    return (Notes(count=number) for number in range(notes.count))


def put(notes: Notes, total: int) -> None:
    notes.count = total


def add(total: int, notes: Notes) -> int:
    return total + notes.count


async def test_flows_of_items_write_lines_and_ledgers_stay_short_however_many_there_are() -> (
    None
):
    leaf = chain("leaf", silent("a")).over(numbers, put)
    many = Step(each(leaf, concurrent=2, into=fold(int, add)), name="many")
    ledger = Ledger()
    async with Engine(observers=[ledger]) as engine:
        result = await engine.run(chain("f", many), Notes(count=3_000))
    assert result.state.count == sum(range(3_000))
    assert ledger.nodes == [*["many/a"] * 3_000, "many"]
    assert ledger.most <= 102
    assert [event.event_type for event in ledger.events[:2]] == ["run_start", "batch"]


async def test_a_ledger_stays_short_in_a_long_loop() -> None:
    again, ledger = looping(5_000), Ledger()

    @flow(name="f")
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with Engine(observers=[ledger]) as engine:
        await engine.run(loop, Notes())
    assert len(ledger.records) == 5_000
    assert ledger.most <= 402


async def test_a_step_that_runs_alone_is_told_by_its_name() -> None:
    ledger = Ledger()
    async with Engine(observers=[ledger]) as engine:
        await engine.run(chain("f", Step(chain("g", saying("a")), name="s")), Notes())
        await engine.run(chain("g", saying("a")), Notes())
    assert [(record.flow, record.node) for record in ledger.records] == [
        ("f", "s/a"),
        ("f", "s"),
        ("g", "a"),
    ]


@pytest.mark.parametrize("with_events", [False, True])
async def test_every_ledger_has_every_line_whoever_else_listens(with_events: bool) -> None:
    ledgers, others = [Ledger("one"), Ledger("two")], [Recorder()] if with_events else []
    async with Engine(observers=[*ledgers, *others]) as engine:
        await engine.run(chain("f", saying("a"), saying("b")), Notes())
    for ledger in ledgers:
        assert ledger.nodes == ["a", "b"]
        assert [(event.seq, event.event_type) for event in ledger.events] == [
            (0, "run_start"),
            (7, "run_end"),
        ]
    for other in others:
        assert len(other.events) == 8


async def test_a_started_run_writes_lines_beside_the_events_it_keeps() -> None:
    ledger = Ledger()
    async with (
        Engine(observers=[ledger]) as engine,
        engine.start(chain("f", saying("a"), saying("b")), Notes()) as run,
    ):
        await run.result()
        kept = [event.event_type async for event in run.events(after=-1)]
    assert len(kept) == 8
    assert ledger.nodes == ["a", "b"]
    assert ledger.lines() == ["run_start f", "run_end f outcome=success steps=2"]


async def test_who_wants_no_event_of_a_visit_gets_the_others_with_their_numbers() -> None:
    choosy = Wanting(RunStarted, RunEnded)
    async with Engine(observers=[choosy]) as engine:
        await engine.run(chain("f", saying("a"), saying("b")), Notes())
    assert [event.seq for event in choosy.events] == [0, 7]


@pytest.mark.parametrize("kind", [NodeStarted, NodeSucceeded])
async def test_who_wants_one_event_of_a_visit_gets_it(kind: type[ExecutionEvent]) -> None:
    choosy, ledger = Wanting(kind), Ledger()
    async with Engine(observers=[choosy, ledger]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert [type(event) for event in choosy.events] == [kind]
    assert ledger.nodes == ["a"]


async def test_a_ledger_that_cannot_be_read_is_switched_off_reported_once_and_emptied() -> None:
    bad, good, again = Failing("bad"), Ledger("good"), looping(3_000)

    @flow(name="f")
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with Engine(observers=[bad, good]) as engine:
        result = await engine.run(loop, Notes())
    assert result.state.count == 3_000
    assert len(good.records) == 3_000
    assert [event.event_type for event in good.events] == [
        "run_start",
        "observer_failed",
        "run_end",
    ]
    assert good.events[1].metadata == {"observer": "bad", "reason": "ValueError: unreadable"}
    assert [event.event_type for event in bad.events] == ["run_start"]
    assert bad.ledger == []


async def test_a_ledger_that_takes_too_long_to_read_is_switched_off(
    autojump_clock: MockClock,
) -> None:
    class Slow(Ledger):
        @override
        def settle(self) -> None:
            super().settle()
            autojump_clock.jump(1.0)

    slow, recorder = Slow("slow"), Wanting(RunEnded, ObserverFailed)
    async with Engine(observers=[slow, recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert slow.nodes == ["a"]
    assert recorder.lines() == [
        "observer_failed f observer=slow reason=took 1 s for its ledger; the budget is 0.1 s",
        "run_end f outcome=success steps=1",
    ]


async def test_an_observer_that_was_switched_off_gets_no_line_either() -> None:
    class Touchy(Ledger):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            raise ValueError(event.event_type)

    touchy = Touchy()
    async with Engine(observers=[touchy]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert touchy.ledger == touchy.records == []
