"""One step's life in full: limits, phases, fallback, cleanup, events.

Layer: engine. The order around exec, outermost first: fallback, timeout, prep, then the attempts. `attempts` is the
seam where what repeats or guards exec belongs: ``retry(hedge(guards(attempt_timeout(exec))))``.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import trio

from ..errors import DeadlineExceededError, MaxVisitsError
from ..robustness import Fallback
from ..state import fork
from ..types import Exit
from ._cleanup import close_attempt, close_visit
from ._failures import is_caught, mark_once, owe, wrong_exit
from ._live import Strand
from ._plan import Kind, Plan, PlanStep, StateValue
from ._trail import LEFT, Place

__all__ = ["Limit", "RunPlan", "bounded", "closed", "follow", "visit"]

Value = TypeVar("Value")
Conclude: TypeAlias = Callable[[Sequence[BaseException]], BaseException]
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
        run.bus.node_started(place.path)
    try:
        if step.max_visits is not None and place.visit > step.max_visits:
            if step.inner is not None:
                strand.trail.entries.append(LEFT)  # logging the visit went in
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
    target = follow(step, chosen)
    if run.bus is not None:
        taken = chosen.name if isinstance(chosen, Exit) and step.exits else None
        run.bus.node_succeeded(place.path, started, taken, target.name)
    return state, target


def follow(step: PlanStep, chosen: object) -> PlanStep:
    """Where *chosen*, which came back from *step*, leads.

    Raises:
        WrongExitError: it is none of its exits.
    """
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
        return await attempts(strand, step, lambda: step.exec(prepared))

    try:
        result = await _limited(strand, step, place, prepare_and_work)()
    except Exception as error:
        if step.fallback is None or prepared is _NOTHING:
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
    """What stands in for the failed exec; *error* itself is raised if it or a cleanup's failure is none of its errors."""
    errors = [error, *(owed for owed, _ in strand.owed)]
    if not all(is_caught(one, fallback.on) for one in errors):
        raise error
    result = fallback.instead_of(error)
    strand.owed = ()
    if strand.run.bus is not None:
        told = error if len(errors) == 1 else BaseExceptionGroup("", errors)
        strand.run.bus.fallback_used(place.path, told)
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
    chosen = await _limited(strand, step, place, lambda: attempts(strand, step, work))()
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
            inner = fork(state if step.enter is None else strand.convert(step.enter, state))
            return await run_plan(strand, plan, inner)
        finally:
            strand.trail.entries.append(LEFT)
            strand.phase, strand.started = "exec", started

    inner, exit_ = await _limited(strand, step, place, work)()
    if step.leave is None:
        return inner, exit_
    strand.phase = "post"
    outer = fork(state) if step.atomic else state
    strand.convert(step.leave, outer, inner)
    return outer, exit_


async def attempts(
    strand: Strand, step: PlanStep, work: Callable[[], Awaitable[Value]]
) -> Value:
    """Do the work of exec; what it opened is closed before anything else happens."""
    try:
        if strand.faults is not None:
            strand.faults.strike(step.name)
        result = await work()
    except BaseException as error:
        if strand.cleanups and not isinstance(error, GeneratorExit):
            mark_once(strand, error, strand.phase)
            failures = await close_attempt(strand, error)  # noqa: ASYNC102 - shields what it awaits
            owe(strand, failures, "cleanup")
        raise
    if strand.cleanups:
        await closed(strand, attempt=True)
    return result


async def closed(strand: Strand, *, attempt: bool) -> None:
    """Close what the attempt (or the whole visit) opened, and raise what that raised."""
    failures = await (close_attempt if attempt else close_visit)(strand)
    if failures:
        strand.phase = "cleanup"
        owe(strand, failures[1:], "cleanup")
        raise failures[0]


# ---------------------------------------------------------------- limits


class Limit(NamedTuple):
    """A named time limit.

    Attributes:
        name: what the error calls it.
        seconds: how long it is.
        account: to whom all the time is booked; None if what is inside books its own.
        heartbeat: whether every report of progress starts it anew.
    """

    name: str
    seconds: float
    account: str | None = None
    heartbeat: bool = False


def _limited(
    strand: Strand, step: PlanStep, place: Place, work: Callable[[], Awaitable[Value]]
) -> Callable[[], Awaitable[Value]]:
    """Return *work* within the step's limits."""
    account = None if step.inner is not None else place.key + step.name
    limits: list[Limit] = []
    if step.timeout is not None:
        limits.append(Limit(f"timeout of {place.path}", step.timeout, account))
    if step.idle_timeout is not None:
        name = f"idle_timeout of {place.path}"
        limits.append(Limit(name, step.idle_timeout, account, heartbeat=True))

    def conclude(errors: Sequence[BaseException]) -> BaseException:
        owe(strand, errors[1:], strand.phase)
        return errors[0]

    for limit in reversed(limits):
        work = functools.partial(bounded, strand, limit, work, conclude)
    return work


async def bounded(
    strand: Strand, limit: Limit, work: Callable[[], Awaitable[Value]], conclude: Conclude
) -> Value:
    """Do *work* within *limit*.

    When this very limit cuts it off, raise what *conclude* makes of the DeadlineExceededError and of what failed
    while the work unwound.
    """
    run, begun = strand.run, strand.run.clock()
    scope = trio.CancelScope(deadline=begun + limit.seconds)
    spent: dict[str, float] = {}
    before, cut_before = (strand.quiet, strand.spent, strand.heartbeats), run.cut_off
    strand.quiet, strand.spent = False, (*strand.spent, spent)
    if limit.heartbeat:
        strand.heartbeats = (*strand.heartbeats, (scope, limit.seconds))
    left: list[BaseException] = []
    try:
        with scope:
            return await work()
    # raised below, together with the limit
    except BaseException as error:  # noqa: ASYNC103
        if not scope.cancelled_caught:
            if (
                scope.cancel_called
            ):  # an outer limit, or the caller, cut short how this one unwound
                strand.expired = (*strand.expired, (scope.deadline, limit.name))
            raise
        left = [error]
    finally:
        strand.quiet, strand.spent, strand.heartbeats = before
    # it was this limit alone: what it cut off is a failure, and the next cancellation has a grace of its own
    run.cut_off = cut_before
    run.calm_down()
    if limit.account is not None:
        spent[limit.account] = run.clock() - begun
    most_first = dict(sorted(spent.items(), key=lambda item: -item[1]))
    earlier = tuple(name for deadline, name in strand.expired if deadline < scope.deadline)
    strand.expired = ()
    exceeded = DeadlineExceededError(
        limit=limit.name, seconds=limit.seconds, spent=most_first, earlier=earlier
    )
    raise conclude([exceeded, *left])
