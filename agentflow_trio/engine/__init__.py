"""The machine: runs plans, in nurseries, on Trio's clock, and leaves nothing behind."""

from ._context import StepContext, current_step
from ._drain import DrainReport
from ._engine import Engine, EngineStatistics
from ._handle import CancelReport, Run
from ._plan import Branch, Catch, Items, Kind, Plan, PlanStep, Runnable, link, way_out
from ._run import execute
from ._streams import StreamReader
from ._subscription import Subscription
from ._threads import abandoned_threads

__all__ = [
    "Branch",
    "CancelReport",
    "Catch",
    "DrainReport",
    "Engine",
    "EngineStatistics",
    "Items",
    "Kind",
    "Plan",
    "PlanStep",
    "Run",
    "Runnable",
    "StepContext",
    "StreamReader",
    "Subscription",
    "abandoned_threads",
    "current_step",
    "execute",
    "link",
    "way_out",
]
