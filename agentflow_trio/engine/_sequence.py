"""The hot path: following exits from a plan's start to its way out.

Layer: engine. A step boundary is a cancellation point; after `Settings.patience` boundaries without a wait, a full
checkpoint. A nested flow without policies is a frame of this loop, so depth costs no stack. Anything that is not
plain goes through `visit`, and whatever is raised through `recover`. The tricks here have their measured reason beside them.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from ..errors import StepLimitError
from ..events import NodeStarted, NodeSucceeded, Routed
from ..state import fork
from ..types import Exit
from ._failures import wrong_exit
from ._live import Strand
from ._plan import Kind, Plan, PlanStep
from ._private import cancel_reader
from ._recover import Frame, recover
from ._trail import FOLD_ABOVE, LEFT
from ._visit import closed, visit

__all__ = ["MARK", "run_plan"]

MARK: Final = object()
"""What the loop leaves in ``task.custom_sleep_data``: Trio resets it whenever the task is rescheduled, so that
finding it again means the task has not waited (an attribute read, 0.02 us; a checkpoint costs 3.1 us)."""


async def run_plan(strand: Strand, plan: Plan[Any], state: Any) -> tuple[Any, Exit]:
    """Run *plan* on *state*, which it may change; return the last state and the exit taken."""
    task, log, clock, quiet = (
        strand.task,
        strand.trail.entries.append,
        strand.run.clock,
        strand.quiet,
    )
    is_cancelled, patience = cancel_reader(), strand.run.settings.patience
    phases, function, nested, way_out = (
        Kind.PHASES,
        Kind.FUNCTION,
        Kind.NESTED,
        Kind.WAY_OUT,
    )  # locals: 0.01 us a read less
    frames: list[Frame] = []
    step, idle = plan.start, 0
    while True:
        try:
            while True:
                while step.kind is way_out:
                    exit_ = step.exits[0]
                    if not frames:
                        return state, exit_
                    frame = frames.pop()
                    step, inner, state = frame.step, state, frame.state
                    state = leave_nested(strand, frame, inner, exit_)
                    step = step.routes[exit_]

                # ---- the boundary
                strand.steps = steps = strand.steps + 1
                if task.custom_sleep_data is not MARK:
                    task.custom_sleep_data = MARK
                    strand.waited = True
                    idle = 0
                else:
                    idle += 1
                    if idle >= patience:
                        strand.phase = "flow"
                        await trio.lowlevel.checkpoint()
                if is_cancelled(task):
                    strand.phase = "flow"
                    await trio.lowlevel.checkpoint_if_cancelled()
                if steps >= strand.stop:
                    attend(strand)
                if not quiet and strand.run.bus is not None and strand.run.bus.paced:
                    strand.phase = "flow"
                    await strand.run.bus.keep_pace()

                # ---- the visit
                log(step)
                lean = step.lean
                if lean is phases and quiet:
                    strand.started = clock()
                    strand.phase = "prep"
                    prepared = await step.prep(state)
                    strand.phase = "exec"
                    result = await step.exec(prepared)
                    if strand.cleanups:
                        await closed(strand, attempt=True)
                    strand.phase = "post"
                    chosen = await step.post(state, prepared, result)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                elif lean is function and quiet:
                    strand.started = clock()
                    strand.phase = "exec"
                    mine = fork(state)
                    chosen = await step.exec(mine)
                    if strand.cleanups:
                        await closed(strand, attempt=False)
                    state = mine
                elif lean is nested and step.inner is not None:
                    strand.started = clock()
                    strand.phase = "prep"
                    frame = Frame(step, state, strand.started, "")
                    if strand.run.bus is not None:
                        frame = Frame(step, state, strand.started, strand.trail.here().path)
                        strand.run.bus.emit(NodeStarted, frame.path)
                    state = fork(state if step.enter is None else step.enter(state))
                    frames.append(frame)
                    step = step.inner.start
                    continue
                else:
                    state, step = await visit(strand, step, state, run_plan)
                    continue
                try:
                    step = step.routes[chosen]
                except (KeyError, TypeError):
                    raise wrong_exit(step, chosen) from None
        except BaseException as error:  # noqa: BLE001 - recover raises it again unless an edge catches it
            step, state = await recover(strand, plan, frames, step, state, error)


def leave_nested(strand: Strand, frame: Frame, inner: Any, exit_: Exit) -> Any:
    """Come back from a nested flow by *exit_*: return the outer state with what became of the *inner* one, and say so."""
    step, state = frame.step, inner
    strand.trail.entries.append(LEFT)
    if step.leave is not None:
        strand.phase, strand.started = "post", frame.started
        state = fork(frame.state) if step.atomic else frame.state
        step.leave(state, inner)
    if strand.run.bus is not None:
        taken = exit_.name if step.exits else None
        strand.run.bus.emit(NodeSucceeded, frame.path, frame.started, exit=taken)
        strand.run.bus.emit(Routed, frame.path, exit=taken, target=step.routes[exit_].name)
    return state


def attend(strand: Strand) -> None:
    """What must be looked at now and then: the step limit, and a log that has grown."""
    strand.trail.fold()
    strand.stop = min(strand.limit + 1, strand.steps + FOLD_ABOVE)
    if strand.steps > strand.limit:
        strand.phase = "flow"
        strand.steps -= 1
        visits = sorted(strand.trail.visits.items(), key=lambda item: (-item[1], item[0]))
        raise StepLimitError(max_steps=int(strand.limit), busiest=dict(visits[:3]))
