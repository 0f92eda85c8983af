"""Several plans at once: `parallel`, whose forks are merged, and `race`, whose first good end counts.

Layer: engine. Rules: what comes of `parallel` never depends on timing; every arm works on a fork of its own, and when one
fails nothing is merged; when it is over, every arm has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import final

import trio

from ..errors import NoBranchError
from ..state import fork, merge
from ..types import END, Exit
from ._crowd import Crowd
from ._failures import must_end_all, without_cancelled
from ._live import CURRENT, RunPlan, Strand
from ._plan import Branch, Kind, PlanStep, StateValue
from ._trail import LEFT, Place, Trail

__all__ = ["run_branches"]


async def run_branches(
    strand: Strand, step: PlanStep, state: StateValue, place: Place, run_plan: RunPlan
) -> tuple[StateValue, object]:
    """Run the arms of *step*, each on a fork of *state*; return the state after them and the exit."""
    crowd, race = Crowd(strand, place), step.kind is Kind.RACE
    try:
        arms = [
            _Arm(number, branch, fork(state), Trail(branch.plan, place))
            for number, branch in enumerate(step.branches)
            if branch.when is None or branch.when(state)
        ]
        strand.phase = "exec"
        await crowd.run(partial(_start, crowd, arms, run_plan, race))
        for arm in arms:
            strand.trail.absorb(arm.trail)
    finally:
        strand.trail.entries.append(LEFT)
    if race:
        winner = _winner(crowd, step, arms)
        exits = {exit_.name: exit_ for exit_ in step.exits}
        return winner.state, exits.get(winner.exit.name)
    crowd.conclude()
    strand.phase = "post"
    return merge(state, [(arm.branch.name, arm.state) for arm in arms]), None


@final
class _Arm:
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
    arms: Sequence[_Arm],
    run_plan: RunPlan,
    race: bool,  # noqa: FBT001 - passed on as it is
    nursery: trio.Nursery,
) -> None:
    for arm in arms:
        # a name that is given costs less than the one that Trio would make
        nursery.start_soon(_run_arm, crowd, arm, run_plan, race, name=arm.branch.name)


async def _run_arm(crowd: Crowd, arm: _Arm, run_plan: RunPlan, race: bool) -> None:  # noqa: FBT001
    """Run one arm in a task and with a strand of its own."""
    strand = Strand(crowd.strand.run, crowd.strand, arm.trail)
    CURRENT.set(strand)
    try:
        arm.state, arm.exit = await run_plan(strand, arm.branch.plan, arm.state)
        arm.ended = strand.run.clock()
        if race:
            await crowd.end()
    except BaseException as error:
        cancelled = await _note(crowd, arm, strand, error, race=race)
        if cancelled is error:
            raise
        if cancelled is not None:
            raise cancelled from None
    finally:
        strand.count()
        strand.steps = -1
        strand.forget()


async def _note(
    crowd: Crowd, arm: _Arm, strand: Strand, error: BaseException, *, race: bool
) -> BaseException | None:
    """Keep what an arm raised, and end the others if that decides; return what it is to raise."""
    failure = without_cancelled(error)
    plain = failure is None or error is strand.tree
    cancelled = crowd.note(arm.number, error, None if plain else strand.failure("exec"))
    if failure is not None and (not race or must_end_all(failure)):
        await crowd.end()
    return cancelled


def _winner(crowd: Crowd, step: PlanStep, arms: Sequence[_Arm]) -> _Arm:
    """Who ended well first, of several at one moment the first declared."""
    done = [arm for arm in arms if arm.ended is not None]
    first = min((arm.ended for arm in done if arm.ended is not None), default=None)
    if first is not None:
        crowd.suppress()
    crowd.conclude()
    for arm in done:
        if arm.ended == first:
            return arm
    raise NoBranchError(step=step.name)
