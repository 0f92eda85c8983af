"""The hot path: following exits from a plan's start to its way out.

Layer: engine. A step boundary is a cancellation point; after `Settings.patience` boundaries without a wait, a full
checkpoint. A nested flow without policies is a frame of this loop, so depth costs no stack. Anything that is not
plain goes through `visit`, and whatever is raised through `recover`. The tricks here have their measured reason beside them.
"""

from __future__ import annotations

from typing import Any, Final

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

__all__ = ["run_plan"]

# read as globals, which costs no more than a local that is set, and eight bytes less for each flow that waits
_NESTED, _WAY_OUT = Kind.NESTED, Kind.WAY_OUT
_NOT_INLINE: Final = object()
_WORTH_FOLDING: Final = FOLD_ABOVE // 2


async def run_plan(  # noqa: C901, PLR0912, PLR0915 - the hot path: a call costs 0.1 us
    strand: Strand, plan: Plan[Any], state: StateValue
) -> tuple[StateValue, Exit]:
    """Run *plan* on *state*, which it may change; return the last state and the exit taken."""
    task, log, clock = strand.task, strand.trail.entries, strand.run.clock
    status, patience = find_status()(task), strand.run.settings.patience
    bus = strand.run.bus
    # what is run inline: nested flows always, the others only if nobody wants events of them
    phases, function = (
        (Kind.PHASES, Kind.FUNCTION) if strand.quiet else (_NOT_INLINE, _NOT_INLINE)
    )
    frame: Frame | None = None
    key = "" if bus is None else bus.key(strand.trail.key)  # of the flow, in the ledgers
    step = plan.start
    steps, idle = strand.counts()
    while True:
        try:
            while True:
                body = step.inline
                if body is _WAY_OUT:
                    exit_ = step.exits[0]
                    if frame is None:
                        strand.idle = idle
                        return state, exit_
                    left, frame = frame, frame.outer
                    step, inner, state = left.step, state, left.state
                    state = leave_nested(strand, left, inner, exit_)
                    if bus is not None:
                        key = key[: -len(step.name) - 1]
                    step = step.routes[exit_]
                    continue

                # ---- the boundary
                steps += 1
                strand.steps = steps
                if task.custom_sleep_data is not MARK:
                    task.custom_sleep_data = MARK
                    idle = 0
                else:
                    idle += 1
                    if idle >= patience:
                        strand.phase = "flow"
                        await trio.lowlevel.checkpoint()
                if status.effectively_cancelled:
                    strand.phase = "flow"
                    await trio.lowlevel.checkpoint_if_cancelled()
                if bus is not None and bus.has_pace and bus.paced:
                    strand.phase = "flow"
                    await bus.keep_pace()
                if steps >= strand.stop:
                    await attend(strand)

                # ---- the visit
                log.append(step)
                if body is phases:
                    strand.started = clock()
                    strand.phase = "prep"
                    if bus is not None:
                        bus.seq += 1
                    prep, work, post, only = step.hot
                    prepared = await prep(state)
                    strand.phase = "exec"
                    result = await work(prepared)
                    if strand.cleanups:
                        await closed(strand, attempt=True)
                    strand.phase = "post"
                    chosen = await post(state, prepared, result)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                    # a call costs 0.1 us, so the common case has none
                    target = only if only and chosen is None else follow(step, chosen)
                elif body is function:
                    strand.started = clock()
                    strand.phase = "exec"
                    if bus is not None:
                        bus.seq += 1
                    mine = fork(state)
                    chosen = await step.exec(mine)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                    target, state = follow(step, chosen), mine
                elif body is _NESTED and step.inner is not None:
                    frame, state = enter_nested(strand, step, state, frame)
                    if bus is not None:
                        key = f"{key}{step.name}/"
                    step = step.inner.start
                    continue
                else:
                    strand.idle = idle
                    if frame is None and plan is strand.run.plan:
                        strand.run.state = state
                    state, step = await visit(strand, step, state, run_plan)
                    steps, idle = strand.counts()
                    continue
                # terse, or it would have gone through visit: a line in place of two events
                if bus is not None:
                    bus.seq += 2
                    if bus.note is not None:
                        taken = None if chosen is None else chosen.name
                        bus.note((bus.flow, key + step.name, taken, clock() - strand.started))
                step = target
        # recover raises it again unless an edge catches it, and shields what it awaits
        except BaseException as error:  # noqa: ASYNC103, BLE001
            strand.idle = max(idle, strand.idle)  # a flow inside has counted, too
            step, state, frame = await recover(strand, plan, frame, step, state, error)  # noqa: ASYNC102
            steps, idle = strand.counts()
            if bus is not None:
                key = bus.key(strand.trail.key)


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


def leave_nested(strand: Strand, frame: Frame, inner: StateValue, exit_: Exit) -> StateValue:
    """Come back from a nested flow by *exit_*; return the outer state with what became of the *inner* one."""
    step, state, bus = frame.step, inner, strand.run.bus
    strand.trail.entries.append(LEFT)
    if step.leave is not None:
        strand.phase, strand.started = "post", frame.started
        state = fork(frame.state) if step.atomic else frame.state
        strand.convert(step.leave, state, inner)
    if bus is not None:
        place, taken = strand.trail.here(), exit_.name if step.exits else None
        path = "" if bus.terse else place.path
        bus.node_succeeded(place, path, frame.started, taken, step.routes[exit_].name)
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
