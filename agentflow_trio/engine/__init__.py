"""The machine: runs plans, in nurseries, on Trio's clock, and leaves nothing behind."""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._context import StepContext, current_step
from ._plan import Branch, Catch, Items, Kind, Plan, PlanStep, Runnable, link, way_out
from ._run import execute

if TYPE_CHECKING:
    from ._drain import DrainReport
    from ._engine import Engine, EngineStatistics
    from ._handle import CancelReport, Run
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
            "DrainReport": "._drain",
            "Engine": "._engine",
            "EngineStatistics": "._engine",
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
    "way_out",
]
