"""What happens to an exception in a sequence: clean up, look for an edge that catches it, else the tree of failures.

Layer: engine. Rule: a caught step leaves no trace in the state; a nested flow that fails is dropped with its fork.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from ..state import HIDING
from ..types import Phase
from ._cleanup import close_visit
from ._failures import combined, has_cancelled, in_flow, mark_once, named, target_of
from ._live import Strand
from ._plan import Kind, Plan, PlanStep, StateValue
from ._trail import LEFT

__all__ = ["Frame", "recover"]


class Frame(NamedTuple):
    """A nested flow that the loop is inside of: its step, the outer state, when it began, and the flow around."""

    step: PlanStep
    state: StateValue
    started: float
    outer: Frame | None


async def recover(
    strand: Strand,
    plan: Plan[Any],
    frame: Frame | None,
    step: PlanStep,
    state: StateValue,
    error: BaseException,
) -> tuple[PlanStep, StateValue, Frame | None]:
    """Return where an edge routes *error*, the state there and its frame; raise what the flow raises if none does."""
    between = strand.phase == "flow"
    if between:
        strand.steps -= 1  # counted, but not begun
    if step.inline is Kind.NESTED and strand.phase == "prep":
        strand.trail.entries.append(LEFT)  # entering failed, so nothing will come back from it
    phase, cleanups = strand.phase, list[BaseException]()
    if HIDING and type(state) in HIDING:
        strand.run.hide(state)
    error = named(step, phase, error)
    # a closed coroutine cannot wait
    if strand.cleanups and not isinstance(error, GeneratorExit):
        mark_once(strand, error, phase)
        cleanups = await close_visit(strand, error)
    outcome, mark = combined(strand, phase, error, cleanups)
    try:
        if not between:
            _tell(strand, strand.started, phase, outcome)
        while True:
            target = None if between else target_of(step, outcome)
            if target is not None:
                return _caught(strand, outcome, target), state, frame
            name = _innermost(plan, frame).name
            path = strand.trail.flow_path or strand.run.path
            outcome = in_flow(strand, name, path, state, outcome, mark)
            strand.trouble.last = state
            if frame is None:
                _reraise(outcome, error)
            strand.trail.entries.append(LEFT)
            step, state, started, frame = frame
            mark, between, strand.attempt = None, False, 1
            _tell(strand, started, "exec", outcome)
    finally:
        strand.attempt = 1
        # or each would be kept alive by the frame in its own traceback
        del error, cleanups, outcome


def _innermost(plan: Plan[Any], frame: Frame | None) -> Plan[Any]:
    inner = None if frame is None else frame.step.inner
    return plan if inner is None else inner


def _reraise(outcome: BaseException, error: BaseException) -> NoReturn:
    try:
        if outcome is error:
            raise outcome
        raise outcome from None
    finally:
        del outcome, error


def _caught(strand: Strand, error: BaseException, target: PlanStep) -> PlanStep:
    # should the target raise it again, it is a failure of the target
    strand.trouble.tree = None
    if target.kind is not Kind.WAY_OUT:
        strand.trouble.caught, strand.trouble.caught_at = error, strand.steps + 1
    if strand.run.bus is not None:
        strand.run.bus.caught(strand.trail.here().path, error, target.name)
    return target


def _tell(strand: Strand, started: float, phase: Phase, error: BaseException) -> None:
    """Report the last visit, which did not end well; a cancelled one is remembered as cut off."""
    bus, attempt, cancelled = strand.run.bus, strand.attempt, has_cancelled(error)
    if bus is None and not cancelled:
        return
    path, elapsed = strand.trail.here().path, strand.run.clock() - started
    if cancelled:
        from .._records import CutOff  # noqa: PLC0415 - what ends well has no use for it

        cut = CutOff(path=path, phase=phase, attempt=attempt, elapsed=elapsed)
        strand.run.cut(cut)
    if bus is None:
        return
    if cancelled:
        bus.node_cancelled(path, started, phase, attempt, error)
    else:
        bus.node_failed(path, started, phase, attempt, error)
    if bus.scopes is not None:
        bus.scopes.leave(strand, error)
