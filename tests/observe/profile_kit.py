"""What the tests of profiles have in common: a flow of every shape, what a simulated run of one tells, spans as lines."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import attrs
import trio

from agentflow_trio import (
    END,
    Bulkhead,
    BulkheadPolicy,
    Count,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    Next,
    RetryPolicy,
    Step,
    Wiring,
    current_step,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.events import ExecutionEvent, NodeStarted, RunEnded, RunStarted
from agentflow_trio.observe import RunSpans
from agentflow_trio.testing import simulate

RETRY = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0)


@attrs.define
class Notes:
    """The state of every flow here: how often things were done."""

    times: dict[str, int] = attrs.field(factory=dict[str, int])


class Recorder:
    """An observer that keeps every event."""

    name = "recorder"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent) -> None:
        self.events.append(event)


def taking(seconds: float, name: str) -> Step[Notes, []]:
    """A function step that sleeps."""

    @step(name=name)
    async def sleeps(notes: Notes) -> None:
        await trio.sleep(seconds)

    return sleeps


def failing(times: int, name: str) -> Step[Notes, []]:
    """A function step that takes a second, and fails the first so many times that any run or attempt comes here."""
    count = 0

    @step(name=name)
    async def fails(notes: Notes) -> None:
        nonlocal count
        await trio.sleep(1.0)
        count += 1
        if count <= times:
            raise ValueError(f"{name}, time {count}")

    return fails


def choosing(times: int, name: str) -> Step[Notes, ...]:
    """A function step with the exits ``again``, which it takes below *times*, and ``done``; half a second each time."""

    @step(name=name)
    async def chooses(notes: Notes, *, again: Next, done: Next) -> Next:
        await trio.sleep(0.5)
        return again if current_step().visit < times else done

    return chooses


def row(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    """A flow of *steps* in a row."""

    @flow(name=name)
    def in_a_row() -> Wiring[Notes]:
        following = [*steps[1:], END]
        return [one.then(after) for one, after in zip(steps, following, strict=True)]

    return in_a_row


class Sleepers:
    """Items that take as many seconds as they say; those in *bad* fail then, the first *times* they come."""

    def __init__(self, *seconds: float, bad: Sequence[int] = (), times: int = 99) -> None:
        self._seconds, self._bad, self._times = seconds, bad, times

    async def prep(self, shared: Notes, /) -> Sequence[float]:
        return self._seconds

    async def exec(self, item: float, /) -> float:
        await trio.sleep(item)
        if current_step().item in self._bad and self._times > 0:
            self._times -= 1
            raise OSError("gone")
        return item

    async def post(self, shared: Notes, items: object, results: object, /) -> None:
        pass


def every_shape() -> Flow[Notes, []]:
    """A retried step, a loop, items with a retry, branches that share a guard, a nested flow with a retry, a race, a catch."""
    db = Bulkhead("db", BulkheadPolicy(limit=1))
    flaky = failing(2, "flaky").with_(retry=RETRY)
    loop = choosing(2, "loop")
    items = Step(
        each(Sleepers(1.0, 2.0, 3.0, 4.0, bad=(1,), times=1), concurrent=2),
        name="items",
        retry=RETRY,
    )
    branches = [taking(1.0, "a").with_(guards=(db,)), taking(1.0, "b").with_(guards=(db,))]
    both = Step(parallel(*branches), name="both")
    nested = Step(
        row("nested", taking(5.0, "slow"), failing(1, "bad")), name="nested", retry=RETRY
    )
    first = Step(race(taking(9.0, "tortoise"), taking(1.0, "hare")), name="first")
    fails, rescue = failing(9, "fails"), taking(1.0, "rescue")

    @flow(name="shapes")
    def shapes() -> Wiring[Notes]:
        return [
            flaky.then(loop),
            loop.to(again=loop, done=items),
            items.then(both),
            both.then(nested),
            nested.then(first),
            first.then(fails),
            fails.then(END).catch(ValueError, to=rescue),
            rescue.then(END),
        ]

    return shapes


@attrs.define
class Chapter:
    """An item with a flow of its own."""

    slow: bool = False


@step
async def read(chapter: Chapter) -> None:
    await trio.sleep(1.0)


@step
async def write(chapter: Chapter) -> None:
    await trio.sleep(9.0 if chapter.slow else 2.0)


@flow
def chapter() -> Wiring[Chapter]:
    return [read.then(write), write.then(END)]


def chapters(*slow: bool) -> Step[Notes, []]:
    """A step named ``chapters`` with a flow for each item, two at once; one takes three seconds, or ten if it is slow."""

    def split(notes: Notes) -> Sequence[Chapter]:
        return [Chapter(slow=each_) for each_ in slow]

    def join(notes: Notes, after: Sequence[Chapter]) -> None:
        notes.times["chapters"] = len(after)

    return Step(each(chapter.over(split, join), concurrent=2), name="chapters")


def tolerant(*seconds: float, bad: Sequence[int]) -> Step[Notes, []]:
    """A step named ``items`` with items one after the other of which any may fail."""
    return Step(
        each(Sleepers(*seconds, bad=bad), concurrent=1, tolerate=Count(9)), name="items"
    )


class Fails:
    """A node whose exec takes a second and fails."""

    async def prep(self, shared: Notes, /) -> None:
        pass

    async def exec(self, prepared: None, /) -> str:
        await trio.sleep(1.0)
        raise ValueError("in vain")

    async def post(self, shared: Notes, prepared: None, result: str, /) -> None:
        shared.times[result] = 1


def with_fallback() -> Step[Notes, []]:
    """A step named ``work`` that is tried twice, in vain, and has a fallback."""
    return Step(
        Fails(),
        name="work",
        retry=RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0),
        fallback=Fallback("instead"),
    )


def recorded(
    *flows: Flow[Notes, []] | Step[Notes, []], at: float | None = None
) -> list[ExecutionEvent]:
    """The events of simulated runs, one after the other, each cancelled *at* some second."""
    recorder = Recorder()

    async def run_all() -> None:
        async with Engine(observers=[recorder]) as engine:
            for one in flows:
                with trio.move_on_after(float("inf") if at is None else at):
                    with contextlib.suppress(FlowFailedError):
                        await engine.run(one, Notes())

    with simulate(run_all, seed=1) as sim:
        sim.run()
    return recorder.events


def begun(path: str = "f", *, run_id: str = "r", at: float = 0.0, seq: int = 0) -> RunStarted:
    """The first event of a run."""
    return RunStarted(
        run_id=run_id,
        seq=seq,
        path=path,
        timestamp=at,
        flow=path,
        definition_hash="",
        seed=0,
        schema_version=1,
        wall_time=0.0,
    )


def ended(path: str = "f", *, run_id: str = "r", at: float, seq: int) -> RunEnded:
    """The last event of a run that ended well."""
    return RunEnded(
        run_id=run_id,
        seq=seq,
        path=path,
        timestamp=at,
        flow=path,
        outcome="success",
        exit=None,
        steps=1,
        error=None,
    )


def visited(path: str, *, run_id: str = "r", at: float, seq: int) -> NodeStarted:
    """A visit began."""
    return NodeStarted(run_id=run_id, seq=seq, path=path, timestamp=at)


def lines(run: RunSpans) -> list[str]:
    """The spans of a run: path, from and to, outcome, what became of a failure, attempts, those of hedges, waits."""
    found: list[str] = []
    for span in run.root.walk():
        words = [span.path, f"{span.start:g}-{span.end:g}", span.outcome]
        words += [f"exit={span.exit}"] if span.exit else []
        words += [f"({span.handled})"] if span.handled else []
        words += [
            f"@{one.number}:{one.start:g}-{one.end:g}:{one.outcome}" for one in span.attempts
        ]
        words += [
            f"~{one.number}:{one.start:g}-{one.end:g}:{one.outcome}" for one in span.hedges
        ]
        words += [f"<{one.reason} {one.start:g}-{one.end:g}>" for one in span.waits]
        found.append(" ".join(words))
    return found
