"""Observers that misbehave in every way there is change nothing: neither what becomes of a run, nor when, nor what others are told.

Each is put beside a recorder, on a flow with branches, items, a retry, a race and a nested flow that fails and is caught.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Literal, TypeAlias

import attrs
import pytest
import trio
from outcome import Maybe
from typing_extensions import override

from agentflow_trio import (
    END,
    Count,
    Engine,
    Flow,
    LaggedError,
    RetryPolicy,
    Run,
    RunResult,
    Step,
    Wiring,
    added,
    current_step,
    each,
    flow,
    merged_by,
    parallel,
    race,
    step,
)
from agentflow_trio.events import EVENT_TYPES, ExecutionEvent, ObserverFailed
from agentflow_trio.ports import Observer, Where
from agentflow_trio.testing import assert_no_leaks, simulate

from .engine_kit import Recorder

# ---------------------------------------------------------------- what is run


@attrs.define
class Desk:
    """The state: what was done, added up from all branches."""

    done: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))


def doing(name: str, seconds: float, error: Exception | None = None) -> Step[Desk, []]:
    @step(name=name)
    async def does(desk: Desk) -> None:
        await trio.sleep(seconds)
        if error is not None:
            raise error
        desk.done = (*desk.done, name)

    return does


class Items:
    """Works on four items for different times; one fails."""

    async def prep(self, shared: Desk, /) -> Sequence[int]:
        return range(4)

    async def exec(self, item: int, /) -> int:
        await trio.sleep(0.3 + item / 10)
        if item == 2:
            raise ValueError(item)
        return item

    async def post(
        self, shared: Desk, items: Sequence[int], got: Sequence[Maybe[int]], /
    ) -> None:
        shared.done = (*shared.done, f"{len(got)} items")


class Flaky:
    """Fails twice."""

    def __init__(self) -> None:
        self.left = 2

    async def prep(self, shared: Desk, /) -> None:
        self.left = 2

    async def exec(self, prepared: None, /) -> None:
        await trio.sleep(0.1)
        self.left -= 1
        if self.left >= 0:
            raise OSError("flaky")

    async def post(self, shared: Desk, prepared: None, result: None, /) -> None:
        shared.done = (*shared.done, "flaky")


def in_a_row(name: str, *steps: Step[Desk, []]) -> Flow[Desk, []]:
    @flow(name=name)
    def row() -> Wiring[Desk]:
        return [one.then(after) for one, after in zip(steps, [*steps[1:], END], strict=True)]

    return row


def everything() -> Flow[Desk, []]:
    inner = Step(in_a_row("inner", doing("deep", 0.11)), name="inner")
    bad = Step(in_a_row("bad", doing("worse", 0.12, ValueError("worse"))), name="bad")
    arms = parallel(
        doing("one", 0.5), Step(in_a_row("arm", doing("two", 0.7)), name="arm"), inner
    )
    at_once = Step(arms, name="at_once")
    first = Step(race(doing("fast", 0.2), doing("slow", 9.0)), name="first")
    items = Step(each(Items(), concurrent=2, tolerate=Count(1)), name="items", timeout=60.0)
    retry = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0)
    flaky, rescue = Step(Flaky(), name="flaky", retry=retry), doing("rescue", 0.01)

    @flow(name="all")
    def work() -> Wiring[Desk]:
        return [
            doing_first.then(at_once),
            at_once.then(first),
            first.then(items),
            items.then(flaky),
            flaky.then(bad),
            bad.then(END).catch(ValueError, to=rescue),
            rescue.then(END),
        ]

    return work


doing_first: Final = doing("first_of_all", 0.05)
WORK: Final = everything()

Told: TypeAlias = tuple[float, str, str, str]


@attrs.frozen
class Seen:
    """What became of the run, and what the recorder was told, reports of observers left out."""

    state: Desk
    visits: dict[str, int]
    steps: int
    time: float
    told: tuple[Told, ...]
    reports: tuple[str, ...]


def picture(result: RunResult[Desk], time: float, events: Sequence[ExecutionEvent]) -> Seen:
    reports = [event for event in events if isinstance(event, ObserverFailed)]
    return Seen(
        state=result.state,
        visits=dict(result.visits),
        steps=result.steps,
        time=time,
        told=tuple(
            (event.timestamp, event.event_type, event.path, str(dict(event.metadata)))
            for event in events
            if not isinstance(event, ObserverFailed)
        ),
        reports=tuple(
            f"{event.metadata['observer']}: {event.metadata['reason']}" for event in reports
        ),
    )


def seen_with(*observers: Observer, budget: float = 0.1) -> Seen:
    """Run everything in a simulation, with a recorder before and one after *observers*."""

    async def program() -> Seen:
        one, other = Recorder("one"), Recorder("other")
        with assert_no_leaks():
            async with Engine(
                observers=[one, *observers, other], observer_budget=budget, seed=1
            ) as engine:
                result = await engine.run(WORK, Desk(), run_id="r")
                time = trio.current_time()
        assert one.events == other.events
        numbers = [event.seq for event in one.events if event.run_id]
        assert numbers == [*range(len(numbers))]
        return picture(result, time, one.events)

    with simulate(program, seed=3) as sim:
        sim.run()
        return sim.result


@pytest.fixture(scope="module")
def usual() -> Seen:
    """Without anybody who misbehaves."""
    seen = seen_with()
    assert seen.reports == ()
    assert len(seen.told) > 50
    return seen


def same(seen: Seen, usual: Seen, *reports: str) -> None:
    assert seen == attrs.evolve(usual, reports=reports)


KINDS: Final = [
    "run_start",
    "node_start",
    "node_success",
    "routed",
    "node_error",
    "node_cancelled",
    "caught",
    "attempt_failed",
    "retry_scheduled",
    "batch",
    "item_failed",
    "run_end",
]


def test_the_flow_has_all_these_events(usual: Seen) -> None:
    assert set(KINDS) == {kind for _, kind, _, _ in usual.told}
    assert set(KINDS) <= set(EVENT_TYPES)


# ---------------------------------------------------------------- folds


class Raising(Recorder):
    """Raises at one kind of event."""

    def __init__(self, kind: str, error: Exception) -> None:
        super().__init__("bad")
        self._kind, self._error = kind, error

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if event.event_type == self._kind:
            raise self._error


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_that_raises(kind: str, usual: Seen) -> None:
    bad = Raising(kind, ValueError("no"))
    same(seen_with(bad), usual, "bad: ValueError: no")
    assert sum(event.event_type == kind for event in bad.events) == 1
    assert bad.events[-1].event_type == kind


def test_a_fold_that_raises_an_error_without_a_text_or_a_group(usual: Seen) -> None:
    class MuteError(Exception):
        @override
        def __str__(self) -> str:
            raise ZeroDivisionError

    same(seen_with(Raising("routed", MuteError())), usual, "bad: MuteError: ")
    group = ExceptionGroup("two", [ValueError("a"), OSError("b")])
    text = "bad: ExceptionGroup: two (2 sub-exceptions)"
    same(seen_with(Raising("routed", group)), usual, text)


class Answering(Recorder):
    """Reports progress whenever it is told of something that happens in a step, of its own reports too; never stops by itself."""

    def __init__(self) -> None:
        super().__init__("bad")

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        if event.event_type in {"node_start", "progress"}:
            current_step().report(0.5)


def test_a_fold_that_answers_itself_without_end(usual: Seen) -> None:
    seen = seen_with(Answering())
    told = [one for one in seen.told if one[1] != "progress"]
    assert len(seen.told) - len(told) == 1_000
    reason = "bad: RuntimeError: it caused 1,000 events while it was told of one"
    same(attrs.evolve(seen, told=tuple(told)), usual, reason)


class Changing(Recorder):
    """Would like events to be different."""

    def __init__(self) -> None:
        super().__init__("bad")

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        setattr(event, "path", "elsewhere")  # noqa: B010 - checkers refuse it, too


def test_a_fold_that_changes_events_or_starts_a_loop_of_its_own(usual: Seen) -> None:
    class Looping(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            trio.run(trio.sleep, 0.0)

    refused = "bad: FrozenInstanceError: can't set attribute"
    same(seen_with(Changing()), usual, refused)
    refused = "loops: RuntimeError: Attempted to call run() from inside a run()"
    same(seen_with(Looping("loops")), usual, refused)


class Ledger(Recorder):
    """Cannot read its ledger, or takes none of it."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__("bad")
        self.ledger: list[tuple[str, str, str | None, float]] = []
        self._error = error

    def settle(self) -> None:
        if self._error is not None:
            raise self._error


def test_a_ledger_that_is_not_read(usual: Seen) -> None:
    lazy, broken = Ledger(None), Ledger(OSError("torn"))
    same(seen_with(lazy), usual)
    same(seen_with(broken), usual, "bad: OSError: torn")
    assert lazy.ledger == broken.ledger == []


# ---------------------------------------------------------------- scopes

Moment: TypeAlias = Literal["making", "entering", "leaving"]
Stretch: TypeAlias = Literal["run", "step", "item", "attempt"]


class Scoping(Recorder):
    """Raises at one of the moments of its first stretch of a kind; counts what is open."""

    def __init__(self, moment: Moment, kind: Stretch) -> None:
        super().__init__("bad")
        self._moment, self._kind = moment, kind
        self.entered = self.left = 0

    def around(self, where: Where, /) -> AbstractContextManager[object]:
        if where.kind == self._kind and self._moment == "making":
            raise ValueError(self._moment)
        return self._around(where)

    @contextmanager
    def _around(self, where: Where) -> Iterator[None]:
        fails = where.kind == self._kind
        if fails and self._moment == "entering":
            raise ValueError(self._moment)
        self.entered += 1
        try:
            yield
        finally:
            self.left += 1
            if fails and self._moment == "leaving":
                raise ValueError(self._moment)


@pytest.mark.parametrize("moment", ["making", "entering", "leaving"])
@pytest.mark.parametrize("kind", ["run", "step", "item", "attempt"])
def test_a_scope_that_raises(moment: Moment, kind: Stretch, usual: Seen) -> None:
    bad = Scoping(moment, kind)
    same(seen_with(bad), usual, f"bad: ValueError: {moment}")
    assert bad.entered == bad.left
    if not (kind == "run" and moment == "leaving"):
        assert not any(event.event_type == "run_end" for event in bad.events)


def test_a_scope_that_yields_twice_or_never(usual: Seen) -> None:
    class Odd(Recorder):
        def __init__(self, times: int) -> None:
            super().__init__("bad")
            self._times = times

        def around(self, where: Where, /) -> AbstractContextManager[object]:
            @contextmanager
            def odd() -> Iterator[None]:
                for _ in range(self._times):
                    yield

            return odd()

    same(seen_with(Odd(0)), usual, "bad: RuntimeError: generator didn't yield")
    same(seen_with(Odd(2)), usual, "bad: RuntimeError: generator didn't stop")


# ---------------------------------------------------------------- tasks of their own

Tell: TypeAlias = Callable[[ExecutionEvent], None]
Act: TypeAlias = Callable[[Tell], Awaitable[object]]


class Watching(Recorder):
    """Does something in the background."""

    def __init__(self, act: Act) -> None:
        super().__init__("bad")
        self._act = act

    async def watch(self, tell: Tell, /) -> None:
        await self._act(tell)


async def raise_at_once(tell: Tell) -> None:
    raise ValueError("at once")


async def raise_later(tell: Tell) -> None:
    await trio.sleep(1.0)
    raise ValueError("later")


async def raise_in_a_nursery(tell: Tell) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raise_later, tell)
        await trio.sleep_forever()


async def block(tell: Tell) -> None:
    await trio.sleep_forever()


async def return_at_once(tell: Tell) -> None:
    pass


async def cancel_itself(tell: Tell) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("act", "reports"),
    [
        (raise_at_once, ["bad: ValueError: at once"]),
        (raise_later, ["bad: ValueError: later"]),
        (
            raise_in_a_nursery,
            ["bad: ExceptionGroup: Exceptions from Trio nursery (1 sub-exception)"],
        ),
        (block, []),
        (return_at_once, []),
        (cancel_itself, []),
    ],
)
def test_an_observer_in_the_background(act: Act, reports: list[str], usual: Seen) -> None:
    seen = seen_with(Watching(act))
    # one task more, so the simulation draws another order of what happens at one moment
    assert sorted(seen.told) == sorted(usual.told)
    same(attrs.evolve(seen, told=usual.told), usual, *reports)


# ---------------------------------------------------------------- subscribers


Read: TypeAlias = Callable[[Run[Desk]], Awaitable[object]]


async def stall(run: Run[Desk]) -> None:
    """Read a few, then never again, and keep the subscription."""
    events = run.events()
    for _ in range(3):
        await anext(events)
    await trio.sleep_forever()


async def read_and_stop(run: Run[Desk]) -> None:
    """Is cancelled in the middle of waiting for an event."""
    with trio.move_on_after(0.42):
        async for _ in run.events(pace=True):
            pass


async def pace_and_forget(run: Run[Desk]) -> None:
    """Set the pace, read nothing, and let go of it while the run waits."""
    with run.events(pace=True):
        await trio.sleep(0.9)


async def lag(run: Run[Desk]) -> None:
    """Wants all or nothing, and reads too late."""
    events = run.events(when_full="fail")
    await run.result()
    with pytest.raises(LaggedError):
        async for _ in events:
            pass


async def read_slowly(run: Run[Desk]) -> None:
    """Takes its time for every event, and does not mind what it misses."""
    async for _ in run.events():
        await trio.sleep(0.001)


def seen_started(reads: Sequence[Read], work: Flow[Desk, []]) -> Seen:
    """Start it in a simulation, with readers that are cancelled when it is over."""

    async def program() -> Seen:
        recorder = Recorder()
        with assert_no_leaks():
            async with (
                Engine(observers=[recorder], seed=1) as engine,
                engine.start(work, Desk(), run_id="r") as run,
                trio.open_nursery() as nursery,
            ):
                for read in reads:
                    nursery.start_soon(read, run)
                result = await run.result()
                time = trio.current_time()
                await trio.sleep(10.0)
                nursery.cancel_scope.cancel()
        return picture(result, time, recorder.events)

    with simulate(program, seed=3) as sim:
        sim.run()
        return sim.result


@step(name="noisy")
async def noisy(desk: Desk) -> None:
    """Has more to tell than a reader keeps."""
    for _ in range(1_500):
        current_step().report(0.5)


@pytest.mark.parametrize("read", [stall, read_and_stop, lag, read_slowly, pace_and_forget])
def test_a_subscriber_of_a_run_with_more_events_than_it_can_hold(read: Read) -> None:
    work = in_a_row("work", noisy, doing("one", 0.5), doing("two", 0.5))
    usual = seen_started([], work)
    seen = seen_started([read], work)
    # who sets the pace and does not read holds the run at its next boundary until it lets go
    late = 0.9 if read is pace_and_forget else 0.42 if read is read_and_stop else 0.0
    if late == 0.0 or read is read_and_stop:
        same(seen, usual)
    else:
        assert seen.time == usual.time + late
        same(attrs.evolve(seen, time=usual.time, told=usual.told), usual)
        assert [one[1:] for one in seen.told] == [one[1:] for one in usual.told]


@pytest.mark.parametrize("read", [stall, read_and_stop, read_slowly])
def test_a_subscriber_of_a_run_with_branches_and_items(read: Read, usual: Seen) -> None:
    seen = seen_started([read, read], WORK)
    assert sorted(seen.told) == sorted(usual.told)
    same(attrs.evolve(seen, told=usual.told), usual)
