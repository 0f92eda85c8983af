"""One step's life in full: limits, phases, fallback, cleanup, events.

Layer: engine. The order around exec, outermost first: fallback, timeout, prep, then what tries it (see `Trying`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import MaxVisitsError
from ..robustness import own_limits
from ..state import HIDING, fork
from ..types import Exit
from ._attempts import attempt, closed, tried
from ._failures import follow, is_caught
from ._limits import limited
from ._live import RunPlan, Strand
from ._plan import Items, Kind, Plan, PlanStep, StateValue
from ._trail import AGAIN, LEFT, Place

if TYPE_CHECKING:
    from ..robustness import Fallback
    from ._hedging import Logs

__all__ = ["visit"]

Value = TypeVar("Value")


async def visit(
    strand: Strand, step: PlanStep, state: StateValue, run_plan: RunPlan
) -> tuple[StateValue, PlanStep]:
    """Run one visit of *step*, a nested flow with *run_plan*; return the state after it and where it goes on."""
    run, place = strand.run, strand.trail.here()
    bus = run.bus
    scopes = None if bus is None else bus.scopes
    started = strand.started = run.clock()
    strand.phase = "prep"
    path = ""
    if scopes is not None:
        scopes.enter(strand, "step", place)  # left below, or by `recover`
    if bus is not None:
        path = bus.node_started(place, started if scopes is None else None)
    try:
        if step.inline is Kind.PHASES and strand.faults is None:
            # here and not in coroutines of their own: 1.2 us of a visit that somebody follows
            if HIDING and type(state) in HIDING:
                run.hide(state)
            prepared = await step.prep(state)
            strand.phase = "exec"
            result = await step.exec(prepared)
            if strand.cleanups:
                await closed(strand, attempt=True)
            strand.phase = "post"
            chosen = await step.post(state, prepared, result)
            if strand.cleanups:
                await closed(strand, attempt=False)
        else:
            state, chosen = await _in_full(strand, step, state, place, run_plan)
    finally:
        if strand.spent and not step.deep:
            strand.spend(place, run.clock() - started)
    strand.attempt = 1
    target = follow(step, chosen)
    if bus is not None:
        taken = chosen.name if isinstance(chosen, Exit) and step.exits else None
        bus.node_succeeded(place, path, started, taken, target.name)
    if scopes is not None:
        scopes.leave(strand, None)
    return state, target


async def _in_full(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    """A visit that is more than its phases."""
    if step.max_visits is not None and place.visit > step.max_visits:
        if step.deep:
            strand.trail.entries.append(LEFT)  # logging the visit went in
        raise MaxVisitsError(step=place.key + step.name, max_visits=step.max_visits)
    if step.inner is not None:
        return await _nested(strand, step, step.inner, state, place, run_plan)
    if step.branches:
        return await _at_once(strand, step, state, place, run_plan)
    if step.kind is Kind.FUNCTION:
        return await _function(strand, step, state, place)
    return await _phases(strand, step, state, place, run_plan)


async def _phases(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    if HIDING and type(state) in HIDING:
        strand.run.hide(state)
    mine = fork(state) if step.atomic else state
    prepared: Any = _NOTHING

    async def prepare_and_work() -> object:
        nonlocal prepared
        try:
            prepared = await step.prep(mine)
            strand.phase = "exec"
            if step.items is not None:
                work, once = _on_items(strand, step, step.items, prepared, place, run_plan)
                return await tried(strand, step, lambda _: work(), once=once)
            return await tried(
                strand, step, lambda own: attempt(own, step, lambda: step.exec(prepared))
            )
        finally:
            if step.deep:
                strand.trail.entries.append(LEFT)

    try:
        result = await limited(strand, step, place, prepare_and_work)()
    except Exception as error:
        if step.fallback is None or prepared is _NOTHING:
            raise
        result = _instead(strand, step.fallback, place, error)
    strand.phase = "post"
    chosen = await step.post(mine, prepared, result)
    if strand.cleanups:
        await closed(strand, attempt=False)
    return mine, chosen


def _on_items(
    strand: Strand,
    step: PlanStep,
    items: Items,
    prepared: object,
    place: Place,
    run_plan: RunPlan,
) -> tuple[Callable[[], Awaitable[object]], str]:
    """What works on all items, and why that cannot be done again, if it cannot."""
    # these shapes take 2 ms to import, and many programs have no use for them
    from ._items import run_items  # noqa: PLC0415
    from ._sources import is_spent_by_reading  # noqa: PLC0415

    work = partial(run_items, strand, step, items, prepared, place, run_plan)
    return work, _ONCE if is_spent_by_reading(prepared) else ""


_NOTHING: Any = object()
_ONCE = "its items come from a source that can be read only once"


def _instead(
    strand: Strand, fallback: Fallback[object], place: Place, error: Exception
) -> object:
    """What stands in for the failed exec; *error* itself is raised if it or a cleanup's failure is none of its errors."""
    errors = [error, *(owed for owed, _ in strand.trouble.owed)]
    if not all(is_caught(one, fallback.on) for one in errors):
        raise error
    result = fallback.instead_of(error)
    strand.trouble.owed = ()
    told = error if len(errors) == 1 else BaseExceptionGroup("", errors)
    if strand.run.bus is not None:
        strand.run.bus.fallback_used(place.path, fallback.name, told)
    fallback.used_for(told)
    return result


async def _function(
    strand: Strand, step: PlanStep, state: StateValue, place: Place
) -> tuple[StateValue, object]:
    async def work() -> tuple[StateValue, object]:
        mine = fork(state)
        return mine, await step.exec(mine)

    strand.phase = "exec"
    return await limited(
        strand, step, place, lambda: tried(strand, step, lambda own: attempt(own, step, work))
    )()


async def _tried_inside(
    strand: Strand,
    step: PlanStep,
    place: Place,
    work: Callable[[Strand, int], Awaitable[Value]],
) -> Value:
    """Do *work*, which runs what is inside *step*: for which strand it is told, and which time it goes in.

    If that strand is *strand*, the work logs that it left.
    """
    entries, entry, inside = strand.trail.entries, 0, True  # logging the visit went in
    beside: Logs | None = None

    async def go_in(own: Strand) -> Value:
        nonlocal entry, inside
        with own_limits():  # those of this step are no limits of a step inside
            if beside is not None:
                here = place._replace(entry=own.attempt)
                return await beside.inside(own, here, partial(work, own, own.attempt))
            entry += 1
            if not inside:
                entries.append(AGAIN)
            inside = False
            return await work(own, entry)

    if step.trying is not None:
        strand.phase = "exec"
        beside = step.trying.logs(strand)
    try:
        return await limited(strand, step, place, lambda: tried(strand, step, go_in))()
    finally:
        if beside is not None:
            beside.take_in()
        if inside:  # no guard let it in, or each attempt has a log of its own
            entries.append(LEFT)


async def _at_once(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    from ._branches import run_branches  # noqa: PLC0415 - see _on_items

    async def work(own: Strand, entry: int) -> tuple[StateValue, object]:
        return await run_branches(own, step, state, place._replace(entry=entry), run_plan)

    return await _tried_inside(strand, step, place, work)


async def _nested(
    strand: Strand,
    step: PlanStep,
    plan: Plan[Any],
    state: StateValue,
    place: Place,
    run_plan: RunPlan,
) -> tuple[StateValue, object]:
    async def work(own: Strand, _: int) -> tuple[StateValue, Exit]:
        if own is not strand:
            from ._item_flows import run_apart  # noqa: PLC0415 - see _on_items

            inner = state if step.enter is None else own.convert(step.enter, state)
            return await run_apart(own, own.trail, plan, run_plan, inner)
        started, attempt_ = strand.started, strand.attempt
        strand.attempt = 1
        try:
            inner = fork(state if step.enter is None else strand.convert(step.enter, state))
            return await run_plan(strand, plan, inner)
        finally:
            strand.trail.entries.append(LEFT)
            strand.phase, strand.started, strand.attempt = "exec", started, attempt_

    inner, exit_ = await _tried_inside(strand, step, place, work)
    if step.leave is None:
        return inner, exit_
    strand.phase = "post"
    outer = fork(state) if step.atomic else state
    strand.convert(step.leave, outer, inner)
    return outer, exit_
