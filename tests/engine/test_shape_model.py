"""Random trees of all shapes end as a naive model says: the outcome, the state, every event and its order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import attrs
import trio
from hypothesis import event as noted
from hypothesis import given
from hypothesis import strategies as st
from shape_model import Event, Fault, Told, run_of
from shape_trees import Ledger, Tree, Words, row_of, tiny, trees

from agentflow_trio import CancelReport, Engine, FlowFailedError, RunCancelledError, RunResult
from agentflow_trio.errors import Failure, is_failed
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.testing import assert_no_leaks, simulate

from .engine_kit import Recorder


@attrs.define
class Seen:
    """What one run did."""

    ledger: Ledger = attrs.field(factory=Ledger)
    events: list[ExecutionEvent] = attrs.field(factory=list[ExecutionEvent])
    result: RunResult[Words] | None = None
    error: FlowFailedError | None = None
    report: CancelReport | None = None
    cut: bool = False
    end: float = 0.0


Way: TypeAlias = Callable[[Tree, float], Awaitable[Seen]]
"""How a tree is run, and cancelled at some time."""


async def quiet(tree: Tree, at: float) -> Seen:
    """Run by an engine that nobody listens to, cancelled by the caller."""
    seen = Seen()
    async with Engine(cleanup_grace=1000) as engine:
        await told_of(engine, tree, at, seen)
    return seen


async def observed(tree: Tree, at: float) -> Seen:
    """Run by an engine with an observer, cancelled by the caller."""
    seen, recorder = Seen(), Recorder()
    async with Engine(observers=[recorder], cleanup_grace=1000) as engine:
        await told_of(engine, tree, at, seen)
    seen.events = recorder.events
    return seen


async def told_of(engine: Engine, tree: Tree, at: float, seen: Seen) -> None:
    one = row_of([(tree, "t")], "f", seen.ledger)
    scope = trio.CancelScope(deadline=at)
    try:
        with scope:
            seen.result = await engine.run(one, Words())
    except FlowFailedError as error:
        seen.error = error
    seen.end, seen.cut = trio.current_time(), scope.cancelled_caught


async def started(tree: Tree, at: float) -> Seen:
    """Started, and cancelled by its handle."""
    seen = Seen()
    one = row_of([(tree, "t")], "f", seen.ledger)
    async with Engine(cleanup_grace=1000) as engine, engine.start(one, Words()) as run:
        events = run.events()
        with trio.move_on_after(at):
            async for event in events:
                seen.events.append(event)
        if at < math.inf:
            seen.report = await run.cancel("enough")
        seen.end = trio.current_time()
        seen.events += [one async for one in events]
        try:
            seen.result = await run.result()
        except RunCancelledError:
            seen.cut = True
        except FlowFailedError as error:
            cancelled, rest = error.split(RunCancelledError)
            seen.cut = cancelled is not None
            assert isinstance(rest, FlowFailedError)
            seen.error = rest
            if seen.cut:
                (seen.error,) = filter(is_failed, rest.exceptions)
    return seen


def pictured(error: BaseException, mark: Failure | None = None) -> Fault:
    """A failure tree in the model's words."""
    if mark is None and isinstance(error, FlowFailedError):
        inner = zip(error.exceptions, error.marks, strict=True)
        return Fault(error.path, inner=tuple(pictured(*one) for one in inner))
    assert mark is not None
    return Fault(mark.path, type(error).__name__, mark.phase)


def agree(seen: Seen, told: Told) -> None:
    """Whether the run was what the model says."""
    assert seen.cut == told.cut
    assert seen.end == told.end
    assert Counter(seen.ledger.closed) == Counter(told.closed)
    faults = () if seen.error is None else (pictured(seen.error),)
    assert faults == told.faults
    if seen.result is not None:
        assert seen.result.state.said == told.said
        assert dict(seen.result.visits) == visits_of(told)
        assert seen.result.steps == sum(visits_of(told).values())
        assert len(seen.result.suppressed) == len(told.swallowed)
    if seen.events:
        agree_on_events(seen.events, told)


def visits_of(told: Told) -> dict[str, int]:
    """Visits by path without their numbers."""
    begun = [path.split("/") for _, kind, path in told.events if kind == "node_start"]
    return dict(Counter("/".join(part.partition("#")[0] for part in path) for path in begun))


def agree_on_events(events: Sequence[ExecutionEvent], told: Told) -> None:
    """Whether every event is there at its time, of each task in its order, between begin and end of the step around it."""
    assert [one.seq for one in events] == [*range(len(events))]
    lines = [line_of(one) for one in events]
    assert sorted(lines) == sorted(told.events)
    assert lines == sorted(lines, key=lambda line: line[0])
    for task in ("", *told.tasks):
        mine = [line for line in lines if task_of(line, told) == task]
        assert mine == [line for line in told.events if task_of(line, told) == task]
    for path in {line[2] for line in lines}:
        own = [line for line in lines if line[2] == path]
        around = [line for line in lines if f"{line[2]}/".startswith((f"{path}/", f"{path}["))]
        assert around[0] == own[0]
        assert around[len(around) - len(own) + 1 :] == own[1:]


def task_of(line: Event, told: Told) -> str:
    """The innermost branch or item that a line is of."""
    path = line[2]
    of = [task for task in told.tasks if path == task or path.startswith(f"{task}/")]
    return max(of, key=len, default="")


def line_of(one: ExecutionEvent) -> Event:
    kind = f"run_end {one.outcome}" if one.event_type == "run_end" else str(one.event_type)
    return one.timestamp, kind, one.path


@given(
    tree=trees,
    cut=st.sampled_from([None, None, 0, 1, 2, 3, 5, 8]),
    seed=st.integers(0, 9),
    way=st.sampled_from([quiet, observed, started]),
)
def test_a_tree_ends_as_the_model_says(
    tree: Tree, cut: int | None, seed: int, way: Way
) -> None:
    at = math.inf if cut is None else cut + tiny("the caller")
    told = run_of(tree, at)
    noted("cut" if told.cut else "fails" if told.faults else "ends well")

    async def program() -> Seen:
        with assert_no_leaks():
            return await way(tree, at)

    with simulate(program, seed=seed) as sim:
        sim.run()
        agree(sim.result, told)
