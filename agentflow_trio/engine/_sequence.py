"""The hot path: following exits from a plan's start to its way out.

Layer: engine. A step boundary is a cancellation point; after `Settings.patience` boundaries without a wait, a full
checkpoint. A nested flow without policies is a frame of this loop, so depth costs no stack. Anything that is not
plain goes through `visit`, and whatever is raised through `recover`. The tricks here have their measured reason beside them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, overload

import trio

from ..errors import StepLimitError
from ..state import fork
from ..types import Exit
from ._attempts import closed
from ._drain import is_drained, stop_here
from ._failures import follow
from ._live import MARK, Strand
from ._plan import Kind, Plan, PlanStep, StateValue
from ._private import find_status
from ._recover import Frame, recover
from ._trail import FOLD_ABOVE, LEFT
from ._visit import visit

if TYPE_CHECKING:
    from ..types import RunResult
    from ._run import Whole

__all__ = ["run_plan"]

# read as globals, which costs no more than a local that is set, and less memory for each flow that waits
_PHASES, _FUNCTION, _NESTED, _WAY_OUT = Kind.PHASES, Kind.FUNCTION, Kind.NESTED, Kind.WAY_OUT
_WORTH_FOLDING: Final = FOLD_ABOVE // 2


@overload
async def run_plan(
    strand: Strand, plan: Plan[Any], state: StateValue
) -> tuple[StateValue, Exit]: ...
@overload
async def run_plan(strand: Whole, plan: Plan[Any], state: StateValue) -> RunResult[Any]: ...
async def run_plan(  # noqa: C901, PLR0912, PLR0915 - the hot path: a call costs 0.1 us
    strand: Strand | Whole, plan: Plan[Any], state: StateValue
) -> tuple[StateValue, Exit] | RunResult[Any]:
    """Run *plan* on *state*, which it may change; return the last state and the exit taken.

    A whole run, which leaves *state* alone, is begun and ended here: all that waits in it would pass through a
    coroutine around this one (0.1 us each time).
    """
    whole: Whole | None = None
    if not isinstance(strand, Strand):
        whole = strand
        strand, state = await whole.begin(plan, state)
    # each name is 16 bytes for each flow that waits: Trio keeps a task's outermost frame as an object, too
    task, log, clock = strand.task, strand.trail.entries, strand.run.clock
    status, patience = find_status()(task), strand.run.settings.patience
    bus = strand.run.bus
    frame: Frame | None = None
    key = "" if bus is None else bus.key(strand.trail.key)  # of the flow, in the ledgers
    step = plan.start
    while True:
        try:
            while True:
                body = step.inline
                if body is _WAY_OUT:
                    if frame is None:
                        if whole is not None and strand.never_waited:
                            strand.phase = "flow"
                            await trio.lowlevel.cancel_shielded_checkpoint()
                        break
                    chosen, result = step.exits[0], state
                    step, state, strand.started, frame = frame
                    state = leave_nested(strand, step, state, result, chosen)
                    if bus is not None:
                        key = key[: -len(step.name) - 1]
                    step = step.routes[chosen]
                    continue

                # ---- the boundary
                strand.steps += 1
                if task.custom_sleep_data is not MARK:
                    task.custom_sleep_data = MARK
                    strand.waited = strand.steps
                elif strand.steps - strand.waited >= patience:
                    strand.phase = "flow"
                    await trio.lowlevel.checkpoint()
                if status.effectively_cancelled:
                    strand.phase = "flow"
                    await trio.lowlevel.checkpoint_if_cancelled()
                if bus is not None and bus.has_pace and bus.paced:
                    strand.phase = "flow"
                    await bus.keep_pace()
                if strand.steps >= strand.stop:
                    await attend(strand)

                # ---- the visit
                log.append(step)
                if body is _PHASES and strand.quiet:
                    strand.started = clock()
                    strand.phase = "prep"
                    if bus is not None:
                        bus.seq += 1
                    hot = step.hot
                    prepared = await hot[0](state)
                    strand.phase = "exec"
                    result = await hot[1](prepared)
                    if strand.cleanups:
                        await closed(strand, attempt=True)
                    strand.phase = "post"
                    chosen = await hot[2](state, prepared, result)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                    # a call costs 0.1 us, so the common case has none
                    target = hot[3] if chosen is None else None
                    if target is None:
                        target = follow(step, chosen)
                elif body is _FUNCTION and strand.quiet:
                    strand.started = clock()
                    strand.phase = "exec"
                    if bus is not None:
                        bus.seq += 1
                    prepared = fork(state)
                    chosen = await step.exec(prepared)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                    target, state = follow(step, chosen), prepared
                elif body is _NESTED and step.inner is not None:
                    frame, state = enter_nested(strand, step, state, frame)
                    if bus is not None:
                        key = f"{key}{step.name}/"
                    step = step.inner.start
                    continue
                else:
                    if (
                        strand.run.reach is not None
                        and frame is None
                        and plan is strand.run.plan
                    ):
                        strand.run.reach.state = state
                    state, step = await visit(strand, step, state, run_plan)
                    continue
                # terse, or it would have gone through visit: a line in place of two events
                if bus is not None:
                    bus.seq += 2
                    if bus.note is not None:
                        bus.note((
                            bus.flow,
                            key + step.name,
                            None if chosen is None else chosen.name,
                            clock() - strand.started,
                        ))
                step = target
        # raised again there unless an edge catches it; what is awaited is shielded
        except BaseException:  # noqa: ASYNC103, BLE001
            step, state, frame = await recovered(whole, strand, plan, frame, step, state)  # noqa: ASYNC102
            if bus is not None:
                key = bus.key(strand.trail.key)
        else:
            chosen = step.exits[0]
            return (state, chosen) if whole is None else whole.end(strand, state, chosen)


async def recovered(
    whole: Whole | None,
    strand: Strand,
    plan: Plan[Any],
    frame: Frame | None,
    step: PlanStep,
    state: StateValue,
) -> tuple[PlanStep, StateValue, Frame | None]:
    """`recover` from what the loop is handling; a *whole* run is over if nothing does."""
    error = sys.exception()
    assert error is not None  # noqa: S101 - it is being handled
    try:
        return await recover(strand, plan, frame, step, state, error)
    # raised again
    except BaseException as outcome:
        if whole is not None:
            whole.fail(strand, outcome)
        raise


def enter_nested(
    strand: Strand, step: PlanStep, state: StateValue, outer: Frame | None
) -> tuple[Frame, StateValue]:
    """Begin a visit of a nested flow, and say so; return its frame and the state in it."""
    strand.phase = "prep"
    started = strand.started = strand.run.clock()
    if strand.run.bus is not None:
        if strand.run.bus.scopes is not None:
            strand.run.bus.scopes.enter(strand, "step")  # left by `leave_nested` or `recover`
        strand.run.bus.node_started(strand.trail.here())
    inner = fork(state if step.enter is None else strand.convert(step.enter, state))
    return Frame(step, state, started, outer), inner


def leave_nested(
    strand: Strand, step: PlanStep, outer: StateValue, inner: StateValue, exit_: Exit
) -> StateValue:
    """Come back from a nested flow by *exit_*; return the *outer* state with what became of the *inner* one."""
    state, started, bus = inner, strand.started, strand.run.bus
    strand.trail.entries.append(LEFT)
    if step.leave is not None:
        strand.phase = "post"
        state = fork(outer) if step.atomic else outer
        strand.convert(step.leave, state, inner)
    if bus is not None:
        place, taken = strand.trail.here(), exit_.name if step.exits else None
        path = "" if bus.terse else place.path
        bus.node_succeeded(place, path, started, taken, step.routes[exit_].name)
        if bus.scopes is not None:
            bus.scopes.leave(strand, None)
    return state


async def attend(strand: Strand) -> None:
    """What must be looked at now and then: a drain, the step limit, a log that has grown. No checkpoint but in a drain."""
    if is_drained(strand):
        strand.phase = "flow"
        await stop_here(strand)
    if len(strand.trail.entries) >= _WORTH_FOLDING:
        strand.trail.shrink()
    if strand.run.bus is not None:
        strand.run.bus.shorten()
    strand.count()
    strand.stop = strand.next_look()
    if strand.steps_of_all() > strand.limit:
        strand.phase = "flow"
        reach = strand.run.reach
        counts = strand.trail.visits if reach is None else reach.visits(strand.run)
        visits = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        raise StepLimitError(max_steps=int(strand.limit), busiest=dict(visits[:3]))
