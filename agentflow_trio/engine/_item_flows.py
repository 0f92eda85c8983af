"""A flow in a task that works on something else, with a log and a strand of its own: of an item, or of one attempt of several.

Layer: engine. Rule: what is in it has the path of what it is for around it, as ``digest/chapters[17]/outline``.
"""

from __future__ import annotations

from typing import Any

from ..robustness import own_limits
from ..state import fork
from ..types import Exit
from ._live import CURRENT, MARK, RunPlan, Strand
from ._plan import Plan, StateValue
from ._trail import Trail

__all__ = ["run_apart", "run_item_flow"]


async def run_item_flow(
    worker: Strand, log: Trail, plan: Plan[Any], run_plan: RunPlan, state: StateValue
) -> StateValue:
    """Run *plan* for the item that *worker* works on, *state*; return what became of its fork."""
    with own_limits():  # those of the step are no limits of a step inside
        after, _ = await run_apart(worker, log, plan, run_plan, state)
    return after


async def run_apart(
    worker: Strand, log: Trail, plan: Plan[Any], run_plan: RunPlan, state: StateValue
) -> tuple[StateValue, Exit]:
    """Run *plan* on a fork of *state*, in the task of *worker*, inside of where that is; *log* takes in where it was."""
    strand = Strand(worker.run, worker.parent, Trail(plan, worker.trail.here()))
    strand.idle = worker.idle  # or a worker on many short flows would never let others run
    strand.spent, strand.heartbeats = worker.spent, worker.heartbeats
    CURRENT.set(strand)
    try:
        result = await run_plan(strand, plan, fork(state))
        worker.idle = strand.idle if strand.task.custom_sleep_data is MARK else 0
    except BaseException:
        worker.trouble.tree = strand.trouble.tree
        worker.trouble.expired += strand.trouble.expired
        raise
    finally:
        CURRENT.set(worker)
        worker.stop = min(worker.stop, strand.stop)  # a drain reaches the strand that goes on
        strand.count()
        strand.steps = -1
        strand.forget()
        log.absorb(strand.trail)
        if worker.run.bus is not None:
            worker.run.bus.shorten()  # or the ledgers would grow with the items
    return result
