"""One step's life in full: limits, phases, fallback, cleanup, events.

Layer: engine. The order around exec, outermost first: fallback, timeout, prep, then the attempts. `attempts` is the
seam where what repeats or guards exec belongs: ``retry(hedge(guards(attempt_timeout(exec))))``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import trio

from ..errors import DeadlineExceededError, MaxVisitsError, is_failed
from ..events import FallbackUsed, NodeStarted, NodeSucceeded, Routed
from ..robustness import Fallback
from ..state import fork
from ..types import Exit
from ._cleanup import close_attempt, close_visit
from ._failures import brief, combined, is_caught, wrong_exit
from ._live import Strand
from ._plan import Kind, Plan, PlanStep, StateValue
from ._trail import LEFT, Place

__all__ = ["RunPlan", "bounded", "closed", "visit"]

Value = TypeVar("Value")
Conclude: TypeAlias = Callable[[Sequence[Exception]], BaseException]
RunPlan: TypeAlias = Callable[
    [Strand, Plan[Any], StateValue], Awaitable[tuple[StateValue, Exit]]
]


async def visit(
    strand: Strand, step: PlanStep, state: StateValue, run_plan: RunPlan
) -> tuple[StateValue, PlanStep]:
    """Run one visit of *step*, a nested flow with *run_plan*; return the state after it and where it goes on."""
    run, place = strand.run, strand.trail.here()
    started = strand.started = run.clock()
    strand.phase = "prep"
    if run.bus is not None:
        run.bus.emit(NodeStarted, place.path)
    try:
        if step.max_visits is not None and place.visit > step.max_visits:
            raise MaxVisitsError(step=place.key + step.name, max_visits=step.max_visits)
        if step.inner is not None:
            state, chosen = await _nested(strand, step, step.inner, state, place, run_plan)
        elif step.kind is Kind.FUNCTION:
            state, chosen = await _function(strand, step, state, place)
        else:
            state, chosen = await _phases(strand, step, state, place)
    finally:
        if strand.spent and step.inner is None:
            strand.spend(place.key + step.name, run.clock() - started)
    target = _follow(step, chosen)
    if run.bus is not None:
        taken = chosen.name if isinstance(chosen, Exit) and step.exits else None
        run.bus.emit(NodeSucceeded, place.path, started, exit=taken)
        run.bus.emit(Routed, place.path, exit=taken, target=target.name)
    return state, target


def _follow(step: PlanStep, chosen: object) -> PlanStep:
    try:
        return step.routes[chosen]
    except (KeyError, TypeError):
        raise wrong_exit(step, chosen) from None


async def _phases(
    strand: Strand, step: PlanStep, state: StateValue, place: Place
) -> tuple[StateValue, object]:
    mine = fork(state) if step.atomic else state
    prepared: Any = _NOTHING

    async def prepare_and_work() -> object:
        nonlocal prepared
        prepared = await step.prep(mine)
        strand.phase = "exec"
        return await attempts(strand, lambda: step.exec(prepared))

    try:
        result = await _limited(strand, step, place, prepare_and_work)
    except Exception as error:
        if (
            step.fallback is None
            or prepared is _NOTHING
            or not is_caught(error, step.fallback.on)
        ):
            raise
        result = _instead(strand, step.fallback, place, error)
    strand.phase = "post"
    chosen = await step.post(mine, prepared, result)
    if strand.cleanups:
        await closed(strand, attempt=False)
    return mine, chosen


_NOTHING: Any = object()


def _instead(
    strand: Strand, fallback: Fallback[object], place: Place, error: Exception
) -> object:
    result = fallback.instead_of(error)
    if strand.run.bus is not None:
        strand.run.bus.emit(FallbackUsed, place.path, **brief(error))
    return result


async def _function(
    strand: Strand, step: PlanStep, state: StateValue, place: Place
) -> tuple[StateValue, object]:
    mine = state

    async def work() -> object:
        nonlocal mine
        mine = fork(state)
        return await step.exec(mine)

    strand.phase = "exec"
    chosen = await _limited(strand, step, place, lambda: attempts(strand, work))
    return mine, chosen


async def _nested(
    strand: Strand,
    step: PlanStep,
    plan: Plan[Any],
    state: StateValue,
    place: Place,
    run_plan: RunPlan,
) -> tuple[StateValue, object]:
    started = strand.started

    async def work() -> tuple[StateValue, Exit]:
        try:
            inner = fork(state if step.enter is None else step.enter(state))
            return await run_plan(strand, plan, inner)
        finally:
            strand.trail.entries.append(LEFT)
            strand.phase, strand.started = "exec", started

    inner, exit_ = await _limited(strand, step, place, work)
    if step.leave is None:
        return inner, exit_
    strand.phase = "post"
    outer = fork(state) if step.atomic else state
    step.leave(outer, inner)
    return outer, exit_


async def attempts(strand: Strand, work: Callable[[], Awaitable[Value]]) -> Value:
    """Do the work of exec; what it opened is closed before anything else happens."""
    try:
        result = await work()
    except BaseException as error:
        if not strand.cleanups:
            raise
        failures = await close_attempt(strand, error)  # noqa: ASYNC102 - shields what it awaits
        if not failures:
            raise
        # error itself is a member of what is raised
        raise combined(strand, [error, *failures], cleanup_from=1)[0] from None  # noqa: ASYNC104
    if strand.cleanups:
        await closed(strand, attempt=True)
    return result


async def closed(strand: Strand, *, attempt: bool) -> None:
    """Close what the attempt (or the whole visit) opened, and raise what that raised."""
    failures = await (close_attempt if attempt else close_visit)(strand)
    if failures:
        strand.phase = "cleanup"
        raise combined(strand, failures, cleanup_from=0)[0]


# ---------------------------------------------------------------- limits


async def _limited(
    strand: Strand, step: PlanStep, place: Place, work: Callable[[], Awaitable[Value]]
) -> Value:
    if step.idle_timeout is not None:
        work = _idle(strand, step.idle_timeout, place, work)
    if step.timeout is None:
        return await work()
    return await bounded(
        strand, f"timeout of {place.path}", step.timeout, work, _step_failed(strand)
    )


def _idle(
    strand: Strand, seconds: float, place: Place, work: Callable[[], Awaitable[Value]]
) -> Callable[[], Awaitable[Value]]:
    async def limited() -> Value:
        return await bounded(
            strand,
            f"idle_timeout of {place.path}",
            seconds,
            work,
            _step_failed(strand),
            heartbeat=True,
        )

    return limited


def _step_failed(strand: Strand) -> Conclude:
    return lambda errors: combined(strand, errors, cleanup_from=len(errors))[0]


async def bounded(
    strand: Strand,
    limit: str,
    seconds: float,
    work: Callable[[], Awaitable[Value]],
    conclude: Conclude,
    *,
    heartbeat: bool = False,
) -> Value:
    """Do *work* within *seconds*; with *heartbeat*, every report of progress starts them anew.

    When this very limit cuts it off, raise what *conclude* makes of the DeadlineExceededError and of what failed
    while the work unwound.
    """
    scope = trio.CancelScope(deadline=strand.run.clock() + seconds)
    spent: dict[str, float] = {}
    before = strand.quiet, strand.spent, strand.heartbeats
    strand.quiet, strand.spent = False, (*strand.spent, spent)
    if heartbeat:
        strand.heartbeats = (*strand.heartbeats, (scope, seconds))
    left: Exception | None = None
    try:
        with scope:
            return await work()
    except Exception as error:
        if not scope.cancelled_caught:
            raise
        left = error
    finally:
        strand.quiet, strand.spent, strand.heartbeats = before
    exceeded = DeadlineExceededError(
        limit=limit,
        seconds=seconds,
        spent=dict(sorted(spent.items(), key=lambda item: -item[1])),
    )
    if is_failed(left):
        strand.tree = left  # what Trio left of a group of ours when it took Cancelled out
    errors: list[Exception] = [exceeded]
    raise conclude(errors if left is None else [*errors, left])
