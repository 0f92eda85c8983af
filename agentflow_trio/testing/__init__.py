"""Deterministic tests of anything on Trio: virtual time, schedules searched and made short, faults, leaks.

It needs no flows: a program is any async function.
"""

from ..robustness import fault_point
from ._cancel import Cut, cancel_everywhere, cancel_with
from ._determinism import check_deterministic
from ._diff import Diff
from ._errors import (
    ControlError,
    DeadlockError,
    LeakError,
    LivelockError,
    MomentOverError,
    NestedSimulationError,
    NondeterminismError,
    NotEndedError,
    ReplayCodeError,
    ScriptEndedError,
    SimulationError,
    SimulationOverError,
    StepBudgetError,
    StuckError,
    TaskPicture,
    UnusedFaultError,
)
from ._explore import explore
from ._faults import (
    Cancel,
    Delay,
    Duplicate,
    Fault,
    Faults,
    InjectedError,
    LostReply,
    always,
    chance,
    error_rate,
    first,
    script,
)
from ._findings import Exploration, ScheduleFailure
from ._histories import TaskHistory, TaskWait
from ._leaks import assert_no_leaks
from ._marked import Sim
from ._moment import Moment
from ._phases import Phases, phases
from ._private import Control
from ._program import Program
from ._record import record
from ._scripted import Fail, Scripted
from ._search_core import Policy
from ._simulate import Simulation, simulate
from ._spawned import Spawned
from ._timeline import Timeline
from ._timeline_core import Series

__all__ = [
    "Cancel",
    "Control",
    "ControlError",
    "Cut",
    "DeadlockError",
    "Delay",
    "Diff",
    "Duplicate",
    "Exploration",
    "Fail",
    "Fault",
    "Faults",
    "InjectedError",
    "LeakError",
    "LivelockError",
    "LostReply",
    "Moment",
    "MomentOverError",
    "NestedSimulationError",
    "NondeterminismError",
    "NotEndedError",
    "Phases",
    "Policy",
    "Program",
    "ReplayCodeError",
    "ScheduleFailure",
    "ScriptEndedError",
    "Scripted",
    "Series",
    "Sim",
    "Simulation",
    "SimulationError",
    "SimulationOverError",
    "Spawned",
    "StepBudgetError",
    "StuckError",
    "TaskHistory",
    "TaskPicture",
    "TaskWait",
    "Timeline",
    "UnusedFaultError",
    "always",
    "assert_no_leaks",
    "cancel_everywhere",
    "cancel_with",
    "chance",
    "check_deterministic",
    "error_rate",
    "explore",
    "fault_point",
    "first",
    "phases",
    "record",
    "script",
    "simulate",
]
