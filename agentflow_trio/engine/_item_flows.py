"""A flow for one item of `each`: on a fork of the item, with a log and a strand of its own.

Layer: engine. Rule: what is in it has the item's path around it, as ``digest/chapters[17]/outline``.
"""

from __future__ import annotations

from typing import Any

from ..robustness import own_limits
from ..state import fork
from ._live import CURRENT, MARK, RunPlan, Strand
from ._plan import Plan, StateValue
from ._trail import Trail

__all__ = ["run_item_flow"]


async def run_item_flow(
    worker: Strand, parent: Strand, plan: Plan[Any], run_plan: RunPlan, state: StateValue
) -> StateValue:
    """Run *plan* for the item that *worker* works on, *state*; return what became of its fork.

    *parent* waits for all workers.
    """
    strand = Strand(worker.run, parent, Trail(plan, worker.trail.here()))
    strand.idle = worker.idle  # or a worker on many short flows would never let others run
    strand.spent, strand.heartbeats = worker.spent, worker.heartbeats
    CURRENT.set(strand)
    try:
        with own_limits():  # those of the step are no limits of a step inside
            after, _ = await run_plan(strand, plan, fork(state))
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
        parent.trail.absorb(strand.trail)
        if worker.run.bus is not None:
            worker.run.bus.shorten()  # or the ledgers would grow with the items
    return after
