"""What changes while a run goes on: `LiveRun`, shared by all its tasks, and `Strand`, one task's part of it.

Layer: engine. Rule: both are small, slotted and owned by the engine; nodes see them only through `StepContext`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

from ..errors import CutOff, Failure
from ..ports import Ids, Observer, Simulated, WallClock
from ..robustness import FAULTS, FaultPlan
from ..types import Phase, Resource
from ._cleanup import Cleanup
from ._plan import Plan, StateValue
from ._private import find_status
from ._streams import Streams
from ._system import RandomIds, SystemClock
from ._trail import FOLD_ABOVE, Trail

if TYPE_CHECKING:
    from ._bus import Bus
    from ._context import StepContext

__all__ = ["CURRENT", "DEFAULT", "LiveRun", "Settings", "Strand"]


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """What all runs of an engine have in common."""

    resources: Mapping[Resource[object], object] = attrs.field(
        factory=dict[Resource[object], object]
    )
    observers: tuple[Observer, ...] = ()
    observer_budget: float = 0.1
    max_steps: int | None = None
    cleanup_grace: float = 5.0
    patience: int = 16
    wall_clock: WallClock = attrs.field(factory=SystemClock)
    ids: Ids = attrs.field(factory=RandomIds)


DEFAULT: Final = Settings()
"""The settings of a run without an engine."""


@lru_cache(maxsize=1)  # all runs of a loop share one bound method, 64 bytes each otherwise
def _time_of(clock: trio.abc.Clock) -> Callable[[], float]:
    return clock.current_time


def _simulated(settings: Settings, clock: Simulated) -> Settings:
    """In a simulation every boundary is a point at which another task may go on, and chance comes from the clock."""
    return attrs.evolve(
        settings,
        patience=1,
        wall_clock=clock
        if isinstance(settings.wall_clock, SystemClock)
        else settings.wall_clock,
        ids=clock if isinstance(settings.ids, RandomIds) else settings.ids,
    )


@final
class LiveRun:
    """One execution of a flow, as long as it lasts.

    Attributes:
        outer: the strand that made it, if a node did, in whatever task it runs.
        state: of the flow, as its last finished step left it; kept while somebody listens.
    """

    __slots__ = (
        "_run_id",
        "_seed",
        "began",
        "bus",
        "clock",
        "cut_off",
        "grace_ends",
        "outer",
        "plan",
        "settings",
        "state",
        "streams",
    )

    def __init__(
        self, plan: Plan[Any], settings: Settings, run_id: str | None, seed: int | None
    ) -> None:
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, Simulated):
            settings = _simulated(settings, clock)
            seed = clock.seed if seed is None else seed
        self.plan: Plan[Any] = plan
        self.settings: Settings = settings
        self.clock: Callable[[], float] = _time_of(clock)
        self.began: float = 0.0
        self.bus: Bus | None = None
        self.streams: Streams | None = None
        self.cut_off: tuple[CutOff, ...] = ()
        around = CURRENT.get()
        self.outer: Strand | None = around if around and around.contains_caller() else None
        self.grace_ends: float = math.inf
        self.state: object = None
        self._run_id = run_id
        self._seed = seed

    def listen(self, *, keep: bool) -> None:
        """Have events told to the observers, and kept for subscribers if *keep*. Before the run begins."""
        from ._bus import Bus  # noqa: PLC0415 - 8 ms of import that most programs need not pay

        settings = self.settings
        self.bus = Bus(
            self.run_id,
            self.clock,
            settings.observers,
            budget=settings.observer_budget,
            keep=keep,
        )

    @property
    def path(self) -> str:
        """The root of all its paths: the flow's name, or the step's if it runs alone."""
        return self.plan.name or self.plan.start.name

    @property
    def run_id(self) -> str:
        """Made when first asked for: a UUID costs more than a step."""
        if self._run_id is None:
            self._run_id = self.settings.ids.run_id()
        return self._run_id

    @property
    def seed(self) -> int:
        """Drawn from the system when first asked for, unless given."""
        if self._seed is None:
            self._seed = SystemRandom().getrandbits(63)
        return self._seed

    def calm_down(self) -> None:
        """A cancellation is over that was not the run's own: the next has a budget of its own."""
        self.grace_ends = math.inf

    def cleanup_deadline(self, *, cancelled: bool) -> float:
        """When a cleanup that begins now must have ended; once the run is being cancelled, all share one budget."""
        fresh = self.clock() + self.settings.cleanup_grace
        if cancelled:
            self.grace_ends = min(self.grace_ends, fresh)
        return min(fresh, self.grace_ends)


@final
class Strand:
    """One task's way through a run.

    Attributes:
        outer: the strand whose node started this run, if one did.
        quiet: nobody listens and no time is accounted for, so plain steps may be run inline.
        limit: ``max_steps``.
        steps: how many visits were begun; negative between visits and once the strand is over. Tells visits apart.
        stop: the value of ``steps`` at which something must be looked at.
        phase, started, attempt: of the visit that goes on.
        caught: the error that ``.catch`` routed to the visit with that number.
        cleanups: what the visit has opened, in order.
        heartbeats: the idle limits that a report pushes back.
        spent: seconds per path, while somebody with a time limit wants to know.
        expired: limits that ran out and were then overtaken by an outer one, with their deadlines.
        faults: what a test makes fail.
        last: the state of the flow that failed last, as its last finished step left it.
        marked: the error that is being raised and where it arose, once that was noted.
        owed: failures of this visit that go with the one that is being raised, and where they arose.
        tree: the last failure group the engine itself made, to tell it from groups that nodes raise.
        idle, waited: boundaries since the task last waited, and whether it ever did.
    """

    __slots__ = (
        "attempt",
        "caught",
        "caught_at",
        "cleanups",
        "context",
        "expired",
        "faults",
        "heartbeats",
        "idle",
        "last",
        "limit",
        "marked",
        "nurseries",
        "outer",
        "owed",
        "phase",
        "quiet",
        "run",
        "spent",
        "started",
        "steps",
        "stop",
        "task",
        "trail",
        "tree",
        "waited",
    )

    def __init__(self, run: LiveRun) -> None:
        task = trio.lowlevel.current_task()
        limit = run.settings.max_steps
        self.run: LiveRun = run
        self.task: trio.lowlevel.Task = task
        self.outer: Strand | None = run.outer
        self.faults: FaultPlan | None = FAULTS.get()
        self.quiet: bool = run.bus is None and self.faults is None
        self.nurseries: int = len(task.child_nurseries)
        self.trail: Trail = Trail(run.plan)
        self.steps: int = 0
        self.limit: float = math.inf if limit is None else limit
        self.stop: float = min(self.limit + 1, FOLD_ABOVE)
        self.phase: Phase = "flow"
        self.started: float = 0.0
        self.attempt: int = 1
        self.caught: BaseException | None = None
        self.caught_at: int = 0
        self.cleanups: tuple[Cleanup, ...] = ()
        self.context: StepContext | None = None
        self.heartbeats: tuple[tuple[trio.CancelScope, float], ...] = ()
        self.spent: tuple[dict[str, float], ...] = ()
        self.expired: tuple[tuple[float, str], ...] = ()
        self.last: object = None
        self.owed: tuple[tuple[BaseException, Failure | None], ...] = ()
        self.tree: BaseException | None = None
        self.idle: int = 0
        self.marked: tuple[BaseException, Failure] | None = None
        self.waited: bool = False

    def is_cancelled(self) -> bool:
        """Whether this strand's task, which must be running, is cancelled where it stands."""
        return find_status()(self.task).effectively_cancelled

    def failure(self, phase: Phase) -> Failure:
        """Where and when something fails that fails now, in *phase*."""
        now = self.run.clock()
        if phase == "flow":
            path = self.trail.flow_path or self.run.path
            return Failure(path=path, phase="flow", attempt=1, elapsed=now - self.run.began)
        path = self.trail.here().path
        return Failure(path=path, phase=phase, attempt=self.attempt, elapsed=now - self.started)

    def counts(self) -> tuple[int, int]:
        """Visits begun, and boundaries since the task last waited: what the loop keeps in locals."""
        return self.steps, self.idle

    def forget(self) -> None:
        """Let go of what would tie the strand, its errors and their frames into a cycle."""
        self.caught = self.last = self.tree = self.marked = self.context = None

    def convert(self, function: Callable[..., StateValue], *states: StateValue) -> StateValue:
        """Call *function* of a ``within``: between two visits, so that no step's context works in it."""
        self.steps = -self.steps
        try:
            return function(*states)
        finally:
            self.steps = -self.steps

    def contains_caller(self) -> bool:
        """Whether the caller is this task, a thread of it, or a task in a nursery that was opened in the run."""
        if trio.lowlevel.in_trio_task():
            task = trio.lowlevel.current_task()
        else:
            try:  # the task that waits for this thread; a system task if none does any more
                task = trio.from_thread.run_sync(trio.lowlevel.current_task)
            except RuntimeError:  # not a thread of Trio's
                return False
        while task is not self.task:
            nursery = task.parent_nursery
            if nursery is None:
                return False
            if nursery.parent_task is self.task:
                return nursery in self.task.child_nurseries[self.nurseries :]
            task = nursery.parent_task
        return True

    def open(self, cleanup: Cleanup) -> None:
        """Have *cleanup* done when the phase ends."""
        self.cleanups = (*self.cleanups, cleanup)

    def spend(self, key: str, seconds: float) -> None:
        """Account *seconds* to the step whose path without visit numbers is *key*."""
        for account in self.spent:
            account[key] = account.get(key, 0.0) + seconds


CURRENT: Final[ContextVar[Strand | None]] = ContextVar("agentflow_trio.strand", default=None)
"""The strand of the current task, set once for each run; a visit is looked up through it."""
