"""A run that is cancelled at each of its steps in turn leaves nothing alive, runs every cleanup once, and says what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    RunCancelledError,
    Step,
    Stream,
    Wiring,
    current_step,
    flow,
)
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, cancel_with

from .engine_kit import (
    Act,
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    looping,
    nothing,
    saying,
    sleeping,
    well_formed,
)

pytestmark = pytest.mark.slow

TOKENS = Stream("tokens", str)


@attrs.define
class Ledger:
    """Everything that was opened and closed, in order."""

    lines: list[str] = attrs.field(factory=list[str])
    opened: int = 0

    def balanced(self) -> None:
        """Whether everything was closed once, last in first out."""
        open_: list[str] = []
        for line in self.lines:
            verb, _, name = line.partition(" ")
            if verb == "open":
                open_.append(name)
            else:
                assert open_.pop() == name
        assert open_ == []

    def token(self) -> str:
        self.opened += 1
        return str(self.opened)

    def manager(self) -> Managed:
        return Managed(self, self.token())

    def cleanup(self) -> None:
        """Register a cleanup that waits twice."""
        name = self.token()
        self.lines.append(f"open {name}")
        current_step().on_cleanup(self.close, name)

    async def close(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.lines.append(f"close {name}")
        await trio.lowlevel.checkpoint()


@attrs.define
class Managed:
    """A context manager in the ledger."""

    ledger: Ledger
    name: str

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        self.ledger.lines.append(f"open {self.name}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.ledger.lines.append(f"close {self.name}")
        await trio.lowlevel.checkpoint()


def opening(ledger: Ledger) -> Act:
    """Opens a manager and a cleanup, with checkpoints around them."""

    async def open_both() -> None:
        await trio.lowlevel.checkpoint()
        await current_step().enter(ledger.manager())
        ledger.cleanup()
        await trio.lowlevel.checkpoint()

    return open_both


def busy(ledger: Ledger, name: str) -> Step[Notes, []]:
    """A class node that opens something in each phase."""
    return Step(
        Acts(prep=opening(ledger), work=opening(ledger), post=opening(ledger)), name=name
    )


# ---------------------------------------------------------------- the flows

Make = Callable[[Ledger], Flow[Notes, ...]]


def a_row(ledger: Ledger) -> Flow[Notes, ...]:
    return chain("f", busy(ledger, "a"), doing(opening(ledger), "b"), saying("c"))


def nested_flows(ledger: Ledger) -> Flow[Notes, ...]:
    innermost = Step(chain("innermost", busy(ledger, "a"), doing(opening(ledger), "b")))
    inner = Step(chain("inner", innermost, busy(ledger, "c")), timeout=50.0)
    return chain("f", doing(opening(ledger), "first"), inner, busy(ledger, "last"))


def a_loop(ledger: Ledger) -> Flow[Notes, ...]:
    node, again = doing(opening(ledger), "node"), looping(3)

    @flow
    def f() -> Wiring[Notes]:
        return [node.then(again), again.to(more=node, done=END)]

    return f


def caught_failures(ledger: Ledger) -> Flow[Notes, ...]:
    async def fail() -> None:
        await opening(ledger)()
        raise ValueError

    bad, saved = Step(Acts(prep=opening(ledger), work=fail)), doing(opening(ledger), "saved")
    inner = Step(chain("inner", doing(opening(ledger), "x"), doing(fail, "y")))

    @flow
    def f() -> Wiring[Notes]:
        return [
            bad.then(END).catch(ValueError, to=inner),
            inner.then(END).catch(ValueError, to=saved),
            saved.then(END),
        ]

    return f


def a_failure(ledger: Ledger) -> Flow[Notes, ...]:
    async def fail() -> None:
        await opening(ledger)()
        raise ValueError

    return chain("f", busy(ledger, "a"), Step(chain("inner", Step(Acts(post=fail)))))


def timeouts(ledger: Ledger) -> Flow[Notes, ...]:
    async def slow() -> None:
        await opening(ledger)()
        await trio.sleep(100)

    limited = Step(Acts(prep=opening(ledger), work=slow), timeout=1.0, name="limited")
    inner = Step(chain("inner", doing(slow, "x")), timeout=1.0)
    idle = doing(slow, "idle").with_(idle_timeout=1.0)
    saved = doing(opening(ledger), "saved")

    @flow
    def f() -> Wiring[Notes]:
        return [
            limited.then(END).catch(DeadlineExceededError, to=inner),
            inner.then(END).catch(DeadlineExceededError, to=idle),
            idle.then(END).catch(DeadlineExceededError, to=saved),
            saved.then(END),
        ]

    return f


def fallbacks(ledger: Ledger) -> Flow[Notes, ...]:
    async def fail() -> None:
        await opening(ledger)()
        raise ValueError

    node = Step(
        Acts(prep=opening(ledger), work=fail, post=opening(ledger)), fallback=Fallback("x")
    )
    return chain("f", node, saying("b"))


def child_tasks(ledger: Ledger) -> Flow[Notes, ...]:
    async def child() -> None:
        async with ledger.manager():
            await trio.lowlevel.checkpoint()

    async def work() -> None:
        await opening(ledger)()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        await opening(ledger)()

    return chain("f", doing(work, "a"))


def a_run_in_a_node(ledger: Ledger) -> Flow[Notes, ...]:
    async def runs() -> None:
        await opening(ledger)()
        await chain("other", busy(ledger, "x")).run(Notes(), timeout=9)
        await opening(ledger)()

    return chain("f", doing(runs, "a"))


def nothing_that_waits(ledger: Ledger) -> Flow[Notes, ...]:
    again = looping(20)

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    return f


FLOWS: Sequence[Make] = (
    a_row,
    nested_flows,
    a_loop,
    caught_failures,
    a_failure,
    timeouts,
    fallbacks,
    child_tasks,
    a_run_in_a_node,
    nothing_that_waits,
)
FAILING = {a_failure}

EACH_FLOW = pytest.mark.parametrize("make", FLOWS, ids=lambda make: make.__name__)


@contextmanager
def allowed(make: Make, *kinds: type[Exception]) -> Iterator[None]:
    """A flow that fails by itself may fail; a run cancelled through its handle says so."""
    try:
        yield
    except FlowFailedError:
        if make not in FAILING:
            raise
    except kinds:
        pass


# ---------------------------------------------------------------- the ways to run them


@EACH_FLOW
def test_run_alone(make: Make) -> None:
    ledgers: list[Ledger] = []
    given = Notes(["given"])

    async def program() -> None:
        ledgers.append(Ledger())
        with assert_no_leaks(), allowed(make):
            await make(ledgers[-1]).run(given)

    def check(_: Cut[None]) -> None:
        ledgers[-1].balanced()
        assert given == Notes(["given"])

    times = cancel_everywhere(program, check=check)
    assert times >= 1
    assert len(ledgers) == times + 1
    if make is not nothing_that_waits:
        assert ledgers[-1].opened > 0


@EACH_FLOW
def test_run_with_a_timeout_in_an_observed_engine(make: Make) -> None:
    ledgers: list[Ledger] = []
    recorders: list[Recorder] = []

    async def program() -> None:
        ledgers.append(Ledger())
        recorders.append(Recorder())
        with assert_no_leaks(), allowed(make):
            async with Engine(observers=[recorders[-1]]) as engine:
                await engine.run(make(ledgers[-1]), Notes(), timeout=500.0)

    def check(_: Cut[None]) -> None:
        ledgers[-1].balanced()
        runs: dict[str, list[int]] = {}
        for event in recorders[-1].events:
            runs.setdefault(event.run_id, []).append(event.seq)
        for run_id in runs:
            well_formed([one for one in recorders[-1].events if one.run_id == run_id])

    assert cancel_everywhere(program, check=check) >= 1


@EACH_FLOW
@pytest.mark.parametrize("who", ["the caller", "the handle"])
def test_a_started_run(make: Make, who: str) -> None:
    ledgers: list[Ledger] = []
    told: list[list[str]] = []

    async def program() -> None:
        ledgers.append(Ledger())
        told.append([])
        with assert_no_leaks(), allowed(make, RunCancelledError):
            async with Engine() as engine, engine.start(make(ledgers[-1]), Notes()) as run:
                if who == "the handle":
                    cancel_with(lambda: run.request_cancel("interrupted"))
                async for event in run.events():
                    told[-1].append(event.event_type)
                await run.result()

    def check(cut: Cut[None]) -> None:
        ledgers[-1].balanced()
        if who == "the handle" and not cut.cancelled:
            assert told[-1][0] == "run_start"
            assert told[-1][-1] == "run_end"

    assert cancel_everywhere(program, check=check) >= 1


@pytest.mark.parametrize("who", ["the caller", "the handle"])
def test_a_streaming_run(who: str) -> None:
    ledgers: list[Ledger] = []

    async def program() -> None:
        ledger = Ledger()
        ledgers.append(ledger)

        async def emit() -> None:
            await current_step().enter(ledger.manager())
            for _ in range(8):
                await current_step().emit(TOKENS, "x")

        row = chain("f", doing(emit, "a"), busy(ledger, "b"))
        with assert_no_leaks(), allowed(a_row, RunCancelledError):
            async with Engine() as engine, engine.start(row, Notes()) as run:
                if who == "the handle":
                    cancel_with(lambda: run.request_cancel("interrupted"))
                with run.stream(TOKENS) as tokens:
                    async for _ in tokens:
                        await trio.lowlevel.checkpoint()
                await run.result()

    def check(_: Cut[None]) -> None:
        ledgers[-1].balanced()

    assert cancel_everywhere(program, check=check, seeds=2) >= 30


def test_a_paced_run() -> None:
    async def chatty() -> None:
        for _ in range(510):
            current_step().report(0.5)

    async def program() -> None:
        row = chain("f", doing(chatty, "a"), doing(chatty, "b"), saying("c"))
        with assert_no_leaks(), allowed(a_row, RunCancelledError, StopAsyncIteration):
            async with Engine() as engine, engine.start(row, Notes()) as run:
                events = run.events(pace=True)
                await trio.sleep(1)
                cancel_with(lambda: run.request_cancel("interrupted"))
                for _ in range(40):
                    await anext(events)
                events.close()
                await run.result()

    assert cancel_everywhere(program) >= 40


def test_several_runs_of_one_engine() -> None:
    ledgers: list[Ledger] = []

    async def program() -> None:
        ledger = Ledger()
        ledgers.append(ledger)
        with assert_no_leaks():
            async with Engine() as engine, trio.open_nursery() as nursery:
                for number in range(3):
                    one = chain("f", sleeping(number, "a"), doing(nothing, "b"), saying("c"))
                    nursery.start_soon(run_one, engine, one)
                async with engine.start(a_row(ledger), Notes()) as run:
                    await run.result()

    async def run_one(engine: Engine, one: Flow[Notes, ...]) -> None:
        await engine.run(one, Notes())

    def check(_: Cut[None]) -> None:
        ledgers[-1].balanced()

    assert cancel_everywhere(program, check=check, seeds=2) >= 50
