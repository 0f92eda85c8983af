"""Several plans at once: `parallel`, whose forks are merged, and `race`, whose first good end counts.

Layer: engine. Rules: what comes of `parallel` never depends on timing; every arm works on a fork of its own, and when one
fails nothing is merged; when it is over, every arm has ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn, final

import trio

from ..errors import BranchCancelledError, CutOff, NoBranchError
from ..state import fork, merge
from ..types import END, Exit
from ._attempts import closed
from ._crowd import Crowd
from ._drain import has_stopped, is_drained, stop_here
from ._failures import follow, must_end_all, without_cancelled
from ._live import CURRENT, RunPlan, Strand
from ._plan import Branch, Kind, PlanStep, StateValue
from ._private import find_status
from ._reach import apart
from ._recover import recover
from ._trail import LEFT, Place, Trail

__all__ = ["ARMS", "Arm", "run_branches"]


async def run_branches(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    """Run the arms of *step*, each on a fork of *state*; return the state after them and the exit."""
    crowd = Crowd(strand, place, race=step.kind is Kind.RACE)
    try:
        arms = [
            Arm(number, branch, fork(state), Trail(branch.plan, place))
            for number, branch in enumerate(step.branches)
            if branch.when is None or branch.when(state)
        ]
        strand.phase = "exec"
        await crowd.run(partial(_start, crowd, arms, run_plan))
        for arm in arms:
            strand.trail.absorb(arm.trail)
        if strand.limit < math.inf and strand.run.reach is not None:
            for arm in arms:
                strand.run.reach.ended.pop(arm.trail, None)
    finally:
        if strand.trail.at is None:  # else it is an attempt of several, whose log is its own
            strand.trail.entries.append(LEFT)
    if crowd.race:
        winner = await _winner(crowd, step, arms)
        exits = {exit_.name: exit_ for exit_ in step.exits}
        return winner.state, exits.get(winner.exit.name)
    crowd.conclude()
    if crowd.stopped:
        await stop_here(strand)
    strand.phase = "post"
    if crowd.left_out:
        arms = [arm for arm in arms if arm.number not in crowd.left_out]
    return merge(state, [(arm.branch.name, arm.state) for arm in arms]), None


@final
class Arm:
    """One branch in one visit.

    Attributes:
        number: its place in declared order.
        state: its fork, and in the end what became of it.
        exit: by which way it ended well.
        ended: when it ended well; None if it did not.
    """

    __slots__ = ("branch", "ended", "exit", "number", "state", "trail")

    def __init__(self, number: int, branch: Branch, state: StateValue, trail: Trail) -> None:
        self.number = number
        self.branch = branch
        self.state = state
        self.trail = trail
        self.exit: Exit = END
        self.ended: float | None = None


def _start(
    crowd: Crowd,
    arms: Sequence[Arm],
    run_plan: RunPlan,
    nursery: trio.Nursery,
) -> None:
    strand = crowd.strand
    simple = strand.quiet and not crowd.race and strand.limit == math.inf
    for arm in arms:
        step = arm.branch.plan.start
        # a name that is given costs less than the one that Trio would make
        name = arm.branch.name
        if simple and step.inline is Kind.FUNCTION and not step.exits:
            nursery.start_soon(_run_function, crowd, arm, step, name=name)
        else:
            nursery.start_soon(_run_arm, crowd, arm, run_plan, name=name)


async def _run_arm(crowd: Crowd, arm: Arm, run_plan: RunPlan) -> None:
    """Run one arm in a task and with a strand of its own."""
    strand = Strand(crowd.strand.run, crowd.strand, arm.trail)
    CURRENT.set(strand)
    try:
        work = partial(run_plan, strand, arm.branch.plan, arm.state)
        arm.state, arm.exit = await (
            work() if strand.run.reach is None else apart(strand, work)
        )
        arm.ended = strand.run.clock()
        if crowd.race:
            await crowd.end()
    # a failure is noted for whoever joins the arms, and what was cancelled is raised again
    except BaseException as error:  # noqa: ASYNC103
        cancelled = await _note(crowd, arm, strand, error)  # noqa: ASYNC102 - shielded, and does not wait
        if cancelled is error:
            raise
        if cancelled is not None:
            raise cancelled from None  # noqa: ASYNC104 - or it was noted
    finally:
        strand.count()
        strand.steps = -1
        strand.forget()
        if strand.limit < math.inf and strand.run.reach is not None:
            strand.run.reach.ended[arm.trail] = None


async def _run_function(crowd: Crowd, arm: Arm, step: PlanStep) -> None:
    """The same for a single function without exits, when nobody wants events of it: a third of the loop's costs for each branch."""
    strand = Strand(crowd.strand.run, crowd.strand, arm.trail)
    CURRENT.set(strand)
    try:
        strand.steps = 1
        if find_status()(strand.task).effectively_cancelled:
            await trio.lowlevel.checkpoint_if_cancelled()
        if strand.stop <= 1 and is_drained(strand):
            await stop_here(strand)
        arm.trail.entries = [step]  # an append would allocate twice
        bus = strand.run.bus
        if bus is not None:
            bus.seq += 1
        strand.started = strand.run.clock()
        strand.phase = "exec"
        chosen = await step.exec(arm.state)
        if strand.cleanups:
            await closed(strand, attempt=False)
        if chosen is not None:
            follow(step, chosen)
        if bus is not None:
            # terse, or the arm would have been given the loop
            around = crowd.place
            place = Place("", f"{around.key}{around.step.name}/", step, 1)
            bus.node_succeeded(place, "", strand.started, None, "")
            bus.shorten()
        strand.run.elsewhere += 1
        strand.steps = -1
        if strand.context is not None:
            strand.forget()
    # it is noted there, and cancellation is raised again
    except BaseException as error:  # noqa: ASYNC103, BLE001
        await _lost(crowd, arm, strand, step, error)  # noqa: ASYNC102


async def _lost(
    crowd: Crowd, arm: Arm, strand: Strand, step: PlanStep, error: BaseException
) -> None:
    """The function of *arm* raised *error*, or was cancelled."""
    try:
        plain = strand.run.bus is None and strand.phase == "exec" and not strand.cleanups
        if plain and isinstance(error, trio.Cancelled):
            _cut_off(crowd, arm, strand, error)
        await recover(strand, arm.branch.plan, None, step, arm.state, error)
    except BaseException as outcome:  # noqa: ASYNC103 - as above
        cancelled = await _note(crowd, arm, strand, outcome)  # noqa: ASYNC102 - as above
        if cancelled is outcome:
            raise
        if cancelled is not None:
            raise cancelled from None  # noqa: ASYNC104 - or it was noted
    finally:
        strand.count()
        strand.steps = -1
        strand.forget()


ARMS: Final = (_run_arm.__code__, _run_function.__code__)
"""What runs in an arm's task: whoever looks at the tasks knows one by it, and reads ``arm``, ``crowd`` and ``strand``."""


def _cut_off(crowd: Crowd, arm: Arm, strand: Strand, error: BaseException) -> NoReturn:
    """What `recover` does, for an arm with nothing to close: for 10,000 at once it would take a second."""
    elapsed = strand.run.clock() - strand.started
    path = f"{crowd.place.path}/{arm.branch.name}"
    strand.run.cut(CutOff(path=path, phase="exec", attempt=1, elapsed=elapsed))
    raise error


async def _note(
    crowd: Crowd, arm: Arm, strand: Strand, error: BaseException
) -> BaseException | None:
    """Keep what an arm raised, and end the others if that decides; return what it is to raise."""
    if has_stopped(strand, error):
        crowd.stopped = True
        return None
    crowd.expired += strand.trouble.expired
    if isinstance(error, BranchCancelledError) and not crowd.race:
        crowd.leave_out(arm.number, error)
        return None
    failure = without_cancelled(error)
    plain = failure is None or error is strand.trouble.tree
    mark = None if plain else strand.failure("exec")
    cancelled = crowd.note(arm.number, error, mark, late=strand.is_cancelled())
    if failure is not None and (not crowd.race or must_end_all(failure)):
        await crowd.end()
    return cancelled


async def _winner(crowd: Crowd, step: PlanStep, arms: Sequence[Arm]) -> Arm:
    """Who ended well first, of several at one moment the first declared."""
    done = [arm for arm in arms if arm.ended is not None]
    first = min((arm.ended for arm in done if arm.ended is not None), default=None)
    if first is not None or crowd.outside is not None or crowd.stopped:
        crowd.suppress()
    crowd.conclude()
    if first is None and crowd.stopped:
        await stop_here(crowd.strand)
    for arm in done:
        if arm.ended == first:
            return arm
    raise NoBranchError(step=step.name)
