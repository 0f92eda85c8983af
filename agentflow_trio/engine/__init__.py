"""The machine: runs plans, in nurseries, on Trio's clock, and leaves nothing behind.

Where to look, from the plan to the end of a run:

- what is run: `_plan`, made by the language and complete before it runs
- the way of a run: `_run` begins and ends it, `_sequence` follows exits (the hot path), `_visit` is a step's life in full
- what changes meanwhile: `_live` (a run, and each task's strand in it), `_trail` (where a strand has been), `_trouble`
- around exec: `_attempts`, `_trying` (retry and guards), `_hedging` (attempts beside each other), `_limits` (timeouts)
- at once: `_branches` (parallel, race), `_items` (each, batch) with `_sources`, `_outputs`, `_tally` and `_item_flows`;
  `_crowd` is what they share
- what goes wrong: `_failures`, `_recover`, `_cleanup`
- what a node sees: `_context`; `_threads`, `_processes`, `_pickled` and `cpu` for what would block the loop
- what an application holds: `_engine` with `_checks`, `_execution` (a run of an engine), `_started` and `_handle`
- ending early: `_drain`, `_draining`, `_reach` (branches and items one by one)
- what is told: `_bus`, made by `_making`, through `_folds` to those in `_seats`, at once; `_scopes` (what they put around
  a visit), `_background` (their own tasks)
- what is read: `_subscription`; `_streams` for chunks; `_reading` is what both share
- looking in: `_snapshot` (records), `_looking`, `_waits` and `_frames` (finding out), `_drawing`; `_blocking` (the watchdog)
- the world outside: `_system` (wall clock, ids), `_private` (of Trio)
"""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._context import StepContext, current_step
from ._plan import Branch, Catch, Items, Kind, Plan, PlanStep, Runnable, link, way_out
from ._run import execute

if TYPE_CHECKING:
    from ._draining import DrainReport
    from ._engine import Engine, EngineStatistics
    from ._handle import CancelReport, Run
    from ._hiding import Hidden
    from ._reach import stop_from_inside
    from ._snapshot import (
        Blocked,
        Live,
        RunSnapshot,
        RunState,
        Snapshot,
        TaskSnapshot,
        VisitSnapshot,
    )
    from ._streams import StreamReader
    from ._subscription import Subscription
    from ._threads import abandoned_threads
    from ._trying import Trying
else:  # 5 ms; a program that only runs flows needs none of them
    __getattr__ = lazily(
        __name__,
        {
            "Blocked": "._snapshot",
            "CancelReport": "._handle",
            "DrainReport": "._draining",
            "Engine": "._engine",
            "EngineStatistics": "._engine",
            "Hidden": "._hiding",
            "Live": "._snapshot",
            "Run": "._handle",
            "RunSnapshot": "._snapshot",
            "RunState": "._snapshot",
            "Snapshot": "._snapshot",
            "StreamReader": "._streams",
            "Subscription": "._subscription",
            "TaskSnapshot": "._snapshot",
            "Trying": "._trying",
            "VisitSnapshot": "._snapshot",
            "abandoned_threads": "._threads",
            "stop_from_inside": "._reach",
        },
    )

__all__ = [
    "Blocked",
    "Branch",
    "CancelReport",
    "Catch",
    "DrainReport",
    "Engine",
    "EngineStatistics",
    "Hidden",
    "Items",
    "Kind",
    "Live",
    "Plan",
    "PlanStep",
    "Run",
    "RunSnapshot",
    "RunState",
    "Runnable",
    "Snapshot",
    "StepContext",
    "StreamReader",
    "Subscription",
    "TaskSnapshot",
    "Trying",
    "VisitSnapshot",
    "abandoned_threads",
    "current_step",
    "execute",
    "link",
    "stop_from_inside",
    "way_out",
]
