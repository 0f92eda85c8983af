"""One step's life in full: limits, phases, fallback, cleanup, events.

Layer: engine. The order around exec, outermost first: fallback, timeout, prep, then the attempts (or the items).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..errors import MaxVisitsError
from ..robustness import Fallback
from ..state import fork
from ..types import Exit
from ._attempts import attempts, closed
from ._failures import follow, is_caught
from ._limits import limited
from ._live import RunPlan, Strand
from ._plan import Kind, Plan, PlanStep, StateValue
from ._trail import LEFT, Place

__all__ = ["visit"]


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
            if step.deep:
                strand.trail.entries.append(LEFT)  # logging the visit went in
            raise MaxVisitsError(step=place.key + step.name, max_visits=step.max_visits)
        if step.inner is not None:
            state, chosen = await _nested(strand, step, step.inner, state, place, run_plan)
        elif step.branches:
            from ._branches import run_branches  # noqa: PLC0415 - see below

            at_once = partial(run_branches, strand, step, state, place, run_plan)
            state, chosen = await limited(strand, step, place, at_once)()
        elif step.kind is Kind.FUNCTION:
            state, chosen = await _function(strand, step, state, place)
        else:
            state, chosen = await _phases(strand, step, state, place, run_plan)
    finally:
        if strand.spent and not step.deep:
            strand.spend(place.key + step.name, run.clock() - started)
    target = follow(step, chosen)
    if run.bus is not None:
        taken = chosen.name if isinstance(chosen, Exit) and step.exits else None
        run.bus.node_succeeded(place.path, started, taken, target.name)
    return state, target


async def _phases(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    mine = fork(state) if step.atomic else state
    prepared: Any = _NOTHING

    async def prepare_and_work() -> object:
        nonlocal prepared
        try:
            prepared = await step.prep(mine)
            strand.phase = "exec"
            if step.items is not None:
                # these shapes take 2 ms to import, and many programs have no use for them
                from ._items import run_items  # noqa: PLC0415

                return await run_items(strand, step, step.items, prepared, place, run_plan)
            return await attempts(strand, step, lambda: step.exec(prepared))
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


_NOTHING: Any = object()


def _instead(
    strand: Strand, fallback: Fallback[object], place: Place, error: Exception
) -> object:
    """What stands in for the failed exec; *error* itself is raised if it or a cleanup's failure is none of its errors."""
    errors = [error, *(owed for owed, _ in strand.trouble.owed)]
    if not all(is_caught(one, fallback.on) for one in errors):
        raise error
    result = fallback.instead_of(error)
    strand.trouble.owed = ()
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
    chosen = await limited(strand, step, place, lambda: attempts(strand, step, work))()
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

    inner, exit_ = await limited(strand, step, place, work)()
    if step.leave is None:
        return inner, exit_
    strand.phase = "post"
    outer = fork(state) if step.atomic else state
    strand.convert(step.leave, outer, inner)
    return outer, exit_
