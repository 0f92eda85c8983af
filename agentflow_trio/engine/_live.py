"""What changes while a run goes on: `LiveRun`, shared by all its tasks, and `Strand`, one task's part of it.

Layer: engine. Rule: both are small, slotted and owned by the engine; nodes see them only through `StepContext`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import attrs
import trio

from ..ports import Ids, Simulated, WallClock
from ..robustness import AROUND, FAULTS, Dice, FaultPlan
from ..state import NOTICE
from ..types import RUNS, Exit, Phase, Resource
from ._hiding import Veil
from ._plan import Plan, StateValue
from ._private import CancelStatus, find_status
from ._system import RandomIds, SystemClock
from ._trail import FOLD_ABOVE, Place, Trail, is_within
from ._trouble import Trouble

if TYPE_CHECKING:
    from ..errors import CutOff, Failure
    from ..events import GuardEvent
    from ..redaction import Redactor
    from ._bus import Bus
    from ._cleanup import Cleanup
    from ._context import StepContext
    from ._processes import Processes
    from ._reach import Reach
    from ._scopes import Scopes
    from ._seats import Seat
    from ._threads import Threads

__all__ = ["CURRENT", "DEFAULT", "MARK", "LiveRun", "RunPlan", "Settings", "Strand"]


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """What all runs of an engine have in common.

    Attributes:
        seats: of its observers.
        threads, processes: where they make blocking calls; None without an engine.
        settle: called before a run's last event, so that what blocked the loop just now is told before it.
        redactor: what hides secrets in all that is told; None for the one that has no settings.
    """

    resources: Mapping[Resource[object], object] = attrs.field(
        factory=dict[Resource[object], object]
    )
    seats: tuple[Seat, ...] = ()
    observer_budget: float = 0.1
    max_steps: int | None = None
    cleanup_grace: float = 5.0
    patience: int = 16
    settle: Callable[[], object] | None = None
    wall_clock: WallClock = attrs.field(factory=SystemClock)
    ids: Ids = attrs.field(factory=RandomIds)
    threads: Threads | None = None
    processes: Processes | None = None
    redactor: Redactor | None = None


_SUPPRESSED: Final = 100
_ACCOUNTED: Final = 2_000

DEFAULT: Final = Settings()
"""The settings of a run without an engine."""


_LAST: Final[list[tuple[trio.abc.Clock, Callable[[], float], Simulated | None]]] = []


# isinstance against a subclass of Protocols takes 0.6 us, hashing Trio's clock 0.2; and a bound method for each run, 64 bytes
def _telling() -> tuple[trio.abc.Clock, Callable[[], float], Simulated | None]:
    """The loop's clock, what tells the time on it, and the same clock if it simulates: kept for the runs that follow."""
    clock = trio.lowlevel.current_clock()
    for last in _LAST:
        if last[0] is clock:
            return last
    told = clock, clock.current_time, clock if isinstance(clock, Simulated) else None
    _LAST[:] = [told]
    return told


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
        reach: what leads into it from outside, if it is an engine's.
        elsewhere: steps made by strands other than the first.
        suppressed: failures that a race or a tolerance swallowed, the last hundred.
    """

    __slots__ = (
        "_cut_off",
        "_run_id",
        "_seed",
        "_veil",
        "began",
        "bus",
        "clock",
        "elsewhere",
        "outer",
        "plan",
        "reach",
        "settings",
        "suppressed",
    )

    def __init__(
        self, plan: Plan[Any], settings: Settings, run_id: str | None, seed: int | None
    ) -> None:
        _, clock, simulated = _telling()
        if simulated is not None:
            settings = _simulated(settings, simulated)
            seed = simulated.seed if seed is None else seed
        self.plan: Plan[Any] = plan
        self.settings: Settings = settings
        self.clock: Callable[[], float] = clock
        self.began: float = 0.0
        self.bus: Bus | None = None
        self.reach: Reach | None = None
        self._cut_off: list[CutOff] | None = None
        self._veil: Veil | None = None
        around = CURRENT.get()
        self.outer: Strand | None = around if around and around.contains_caller() else None
        self.elsewhere: int = 0
        self.suppressed: tuple[Exception, ...] = ()
        self._run_id = run_id
        self._seed = seed

    def listen(self, *, keep: bool) -> None:
        """Have events told to the observers, and kept for subscribers if *keep*. Before the run begins."""
        from ._bus import Bus  # noqa: PLC0415 - 8 ms of import that most programs need not pay

        settings = self.settings
        name = self.plan.name
        self.bus = Bus(
            self.run_id,
            self.path,
            self.clock,
            settings.seats,
            root=f"{name}/" if name else "",
            budget=settings.observer_budget,
            keep=keep,
            veil=self.veil,
        )

    @property
    def veil(self) -> Veil:
        """What makes of a text what may be shown of it."""
        if self._veil is None:
            around = None if self.outer is None else self.outer.run.veil
            self._veil = Veil(self.settings.redactor, around)
        return self._veil

    def hide(self, state: object) -> None:
        """Show no value of *state* that is sensitive, here and in the runs around this one."""
        self.veil.share().see(state)

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

    @property
    def cut_off(self) -> tuple[CutOff, ...]:
        """The visits that cancellation cut off, outermost first."""
        return tuple(reversed(self._cut_off or ()))

    def cut(self, cut: CutOff) -> None:
        """Remember a visit that is being cut off."""
        if self._cut_off is None:  # an empty list for each flow that waits would be 56 bytes
            self._cut_off = []
        self._cut_off.append(cut)

    def forget_cuts(self, below: str) -> None:
        """Whom a limit or a sibling cut off inside the visit at *below* was not cancelled from outside; empty: anywhere."""
        inside = (f"{below}/", f"{below}[", f"{below}@") if below else ""
        if self._cut_off:
            self._cut_off = [cut for cut in self._cut_off if not cut.path.startswith(inside)]

    def take_cuts(self, path: str) -> tuple[CutOff, ...]:
        """The visits that were cut off in the part at *path*, which was ended alone; its run was not cancelled."""
        cuts = [cut for cut in self.cut_off if is_within(cut.path, path)]
        if self._cut_off:
            self._cut_off = [cut for cut in self._cut_off if cut not in cuts]
        return tuple(cuts)

    def look_always(self) -> None:
        """Let every strand that is made from now on look at each boundary whether there is something to be looked at.

        By a step limit that nobody reaches: a strand asks for it anyway when it is made.
        """
        limit = self.settings.max_steps or sys.maxsize
        self.settings = attrs.evolve(self.settings, max_steps=limit)

    def suppress(self, errors: Iterable[Exception]) -> None:
        """Keep what somebody swallowed, for the result."""
        self.suppressed = (*self.suppressed, *errors)[-_SUPPRESSED:]


@final
class Strand:
    """One task's way through a run.

    Attributes:
        parent: the strand of the same run that waits for this one; None for the first.
        around: the cancel status that this one had when it began to wait for others.
        quiet: nobody wants events of visits that end well, no test makes them fail and no time is accounted for, so plain steps may be run inline.
        steps: how many visits were begun; negative between visits and once the strand is over. Tells visits apart.
        stop: the value of ``steps`` at which something must be looked at.
        phase, started, attempt: of the visit that goes on.
        cleanups: what the visit has opened, in order.
        heartbeats: the idle limits that a report pushes back.
        spent: seconds per path, while somebody with a time limit wants to know.
        faults: what a test makes fail.
        counted: how many of its steps the run has counted, if it has a parent.
        waited: the value of ``steps`` when the task was last seen to have waited; 0 if it never was.
    """

    __slots__ = (
        "_trouble",
        "around",
        "attempt",
        "cleanups",
        "context",
        "counted",
        "faults",
        "heartbeats",
        "nurseries",
        "parent",
        "phase",
        "quiet",
        "run",
        "spent",
        "started",
        "steps",
        "stop",
        "task",
        "trail",
        "waited",
    )

    def __init__(
        self, run: LiveRun, parent: Strand | None = None, trail: Trail | None = None
    ) -> None:
        """The first strand of *run*, or one more, with a *trail* of its own, that *parent* waits for."""
        limit = run.settings.max_steps
        self.run: LiveRun = run
        self.task: trio.lowlevel.Task = trio.lowlevel.current_task()
        self.parent: Strand | None = parent
        self.around: CancelStatus | None = None
        self.trail: Trail = trail or Trail(run.plan)
        self.steps: int = 0
        self.phase: Phase = "flow"
        self.started: float = 0.0
        self.attempt: int = 1
        self.cleanups: tuple[Cleanup, ...] = ()
        self.context: StepContext | None = None
        self._trouble: Trouble | None = None
        self.waited: int = 0
        self.counted: int = 0
        if parent is None:
            self.nurseries: int = len(self.task.child_nurseries)
            self.faults: FaultPlan | None = FAULTS.get()
            self.quiet: bool = (run.bus is None or run.bus.terse) and self.faults is None
            self.heartbeats: tuple[tuple[trio.CancelScope, float], ...] = ()
            self.spent: tuple[dict[str, float], ...] = ()
            self.stop: float = FOLD_ABOVE if limit is None else min(limit + 1, FOLD_ABOVE)
        else:
            self.nurseries = 0
            self.faults, self.quiet = parent.faults, parent.quiet
            self.heartbeats, self.spent = parent.heartbeats, parent.spent
            self.stop = FOLD_ABOVE if limit is None else 1  # see next_look

    @property
    def limit(self) -> float:
        """``max_steps``."""
        limit = self.run.settings.max_steps
        return math.inf if limit is None else limit

    @property
    def trouble(self) -> Trouble:
        """What went wrong."""
        if self._trouble is None:
            self._trouble = Trouble()
        return self._trouble

    @property
    def idle(self) -> int:
        """Boundaries since the task last waited."""
        return self.steps - self.waited

    @idle.setter
    def idle(self, boundaries: int) -> None:
        self.waited = self.steps - boundaries

    @property
    def never_waited(self) -> bool:
        """Whether its task has not waited since it began, as far as its last boundary tells and what came after."""
        return self.waited == 0 and self.task.custom_sleep_data is MARK

    def next_look(self) -> float:
        """At how many of its steps something must be looked at again: its log, or the step limit.

        Of all strands of a run only those go on that nobody else waits for, at once; so each of their steps counts at
        once. The first goes on alone.
        """
        if self.parent is not None and self.limit < math.inf:
            return self.steps + 1
        return min(self.limit + 1 - self.run.elsewhere, self.steps + FOLD_ABOVE)

    def count(self) -> None:
        """Let the run know of steps made by another than its first strand."""
        if self.parent is not None:
            made = abs(self.steps)
            self.run.elsewhere += made - self.counted
            self.counted = made

    def steps_of_all(self) -> int:
        """How many steps the run has made, this strand's last one included."""
        first = self
        while first.parent is not None:
            first = first.parent
        return self.run.elsewhere + abs(first.steps)

    def wait_for_others(self) -> None:
        """From now on others of the run go on, until they have ended."""
        self.around = find_status()(self.task)
        if self.parent is not None and self.trail.at is None:  # a worker makes no steps
            self.count()

    def calm_down(self) -> None:
        """A cancellation is over that was not the run's own: the next has a budget of its own."""
        self.trouble.grace_ends = math.inf

    def cleanup_deadline(self, *, cancelled: bool) -> float:
        """When a cleanup that begins now must have ended; all that one cancellation causes share one budget."""
        fresh = self.run.clock() + self.run.settings.cleanup_grace
        return min(fresh, self.budget(fresh) if cancelled else self.trouble.grace_ends)

    def budget(self, fresh: float) -> float:
        """When cleanups must have ended if those of this strand are cancelled now, as all around it may be."""
        ends = self.trouble.grace_ends = min(self.trouble.grace_ends, fresh)
        parent = self.parent
        if parent is not None and parent.is_ending:
            return min(ends, parent.budget(fresh))
        return ends

    def begin_grace(self) -> None:
        """The strands that this one waits for are being cancelled: their cleanups share a budget from now on."""
        fresh = self.run.clock() + self.run.settings.cleanup_grace
        self.trouble.grace_ends = min(self.trouble.grace_ends, fresh)

    @property
    def is_ending(self) -> bool:
        """Whether all strands that this one waits for are being cancelled, by itself or from outside."""
        begun = self._trouble is not None and self._trouble.grace_ends < math.inf
        return begun or (self.around is not None and self.around.effectively_cancelled)

    @property
    def scopes(self) -> Scopes | None:
        """What observers put around its visits; None if none does."""
        bus = self.run.bus
        return None if bus is None else bus.scopes

    def item_of(self, place: Place) -> int | None:
        """Which item *place* is about, or is in the flow of."""
        item, around = place.item, self
        while item is None and around.parent is not None:
            item, around = around.trail.item_around, around.parent
        return item

    def is_cancelled(self) -> bool:
        """Whether this strand's task, which must be running, is cancelled where it stands."""
        return find_status()(self.task).effectively_cancelled

    def failure(self, phase: Phase) -> Failure:
        """Where and when something fails that fails now, in *phase*."""
        from .._records import Failure  # noqa: PLC0415 - what ends well has no use for it

        now = self.run.clock()
        if phase == "flow":
            path = self.trail.flow_path or self.run.path
            return Failure(path=path, phase="flow", attempt=1, elapsed=now - self.run.began)
        path = self.trail.here().path
        return Failure(path=path, phase=phase, attempt=self.attempt, elapsed=now - self.started)

    def forget(self) -> None:
        """Let go of what would tie the strand, its errors and their frames into a cycle."""
        self.context = self._trouble = None

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
        return self.contains(task)

    def contains(self, task: trio.lowlevel.Task) -> bool:
        """Whether *task* is this task, or one in a nursery that was opened in the run."""
        while task is not self.task:
            nursery = task.parent_nursery
            if nursery is None:
                return False
            if nursery.parent_task is self.task:
                return nursery in self.task.child_nurseries[self.nurseries :]
            task = nursery.parent_task
        return True

    # ---------------------------------------------------------------- what guards ask, see `Surroundings`

    @property
    def listening(self) -> bool:
        """Whether anybody wants to know what guards do."""
        return self.run.bus is not None

    @property
    def seed(self) -> int:
        """What all chance in the run comes from."""
        return self.run.seed

    def tell(self, event: GuardEvent, /) -> None:
        """Pass on what a guard reports. Not a checkpoint; never raises."""
        if self.run.bus is not None:
            self.run.bus.guard_told(self.trail.here().path, event)

    def dice(self, name: str, /) -> Random:
        """The next dice of this name in this visit, or for this item: derived from where it is, not from when."""
        place, dealt = self.trail.here(), self.trouble.dealt
        if dealt is None or dealt[:2] != (self.steps, place.item):
            dealt = self.trouble.dealt = self.steps, place.item, Dice(self.where(place))
        return dealt[2].of(name)

    def where(self, place: Place) -> str:
        """What the dice of a visit or item are derived from."""
        item = "" if place.item is None else f"[{place.item}]"
        return f"{self.run.seed}/{place.prefix}{place.step.name}#{place.visit}{item}"

    def open(self, cleanup: Cleanup) -> None:
        """Have *cleanup* done when the phase ends."""
        self.cleanups = (*self.cleanups, cleanup)

    def spend(self, place: Place, seconds: float) -> None:
        """Account *seconds* to *place*. Of ever so many items those that took most are kept."""
        key = place.account
        for account in self.spent:
            account[key] = account.get(key, 0.0) + seconds
            if len(account) > _ACCOUNTED:
                # what is below zero is still to be made up for: see `run_items`
                by_size = sorted(account, key=lambda one: abs(account[one]))
                for least in by_size[: _ACCOUNTED // 2]:
                    del account[least]


CURRENT: Final[ContextVar[Strand | None]] = ContextVar("agentflow_trio.strand", default=None)
"""The strand of the current task, set once for each run; a visit is looked up through it."""


def _around() -> Strand | None:
    """The strand whose step the caller is in, for guards."""
    strand = CURRENT.get()
    return (
        strand if strand is not None and strand.steps > 0 and strand.contains_caller() else None
    )


AROUND.find, AROUND.hint = _around, CURRENT.get


def _see(state: object) -> None:
    """A state was made that has values which must not be shown."""
    strand = CURRENT.get()
    if strand is not None:
        strand.run.hide(state)


def _see_secret(text: str) -> None:
    """A node made a secret; what tells of it may be told when that is no more."""
    strand = CURRENT.get()
    if strand is not None:
        strand.run.veil.share().keep(text)


def _veil_here() -> Veil | None:
    """What hides where the caller is."""
    strand = CURRENT.get()
    return None if strand is None else strand.run.veil


NOTICE.see, RUNS.made, RUNS.veil = _see, _see_secret, _veil_here

RunPlan: TypeAlias = Callable[
    [Strand, Plan[Any], StateValue], Awaitable[tuple[StateValue, Exit]]
]
"""The loop that follows exits; what it calls gets it as an argument to run the plans inside."""

MARK: Final = object()
"""What loops leave in ``task.custom_sleep_data``: Trio resets it whenever the task is rescheduled, so that finding it
again means the task has not waited (an attribute read, 0.02 us; a checkpoint costs 3.1 us)."""
