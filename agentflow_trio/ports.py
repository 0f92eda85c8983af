"""What the engine asks of the world, as the smallest Protocols that do.

Layer: above events. Nothing here runs; adapters live above.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import (
    TYPE_CHECKING,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    runtime_checkable,
)

from ._typing import override

if TYPE_CHECKING:
    from .events import ExecutionEvent

__all__ = [
    "BackgroundObserver",
    "Forkable",
    "Ids",
    "Keyed",
    "Met",
    "Observer",
    "SelectiveObserver",
    "Simulated",
    "StepScope",
    "VisitLedger",
    "VisitRecord",
    "WallClock",
    "Where",
]

Own = TypeVar("Own")


class Observer(Protocol):
    """Something that is told every fact, in order.

    ``observe`` runs inside the run: synchronous and quick. One that raises, or takes longer than the
    engine's ``observer_budget``, is switched off for that run and reported once.
    """

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def observe(self, event: ExecutionEvent, /) -> None:
        """Take note of a fact. Not a checkpoint, for it is synchronous."""
        ...


@runtime_checkable
class SelectiveObserver(Observer, Protocol):
    """An observer that wants some kinds of events only; the others are counted, not built."""

    @property
    def wants(self) -> Collection[type[ExecutionEvent]]:
        """The kinds it is told of."""
        ...


class VisitRecord(NamedTuple):
    """A visit that ended well.

    Attributes:
        flow: the name of the run's flow.
        node: where, without visit numbers, items and attempts, below the flow (``editing/review``).
        exit: the action; None for a step without exits.
        seconds: how long it took.
    """

    flow: str
    node: str
    exit: str | None
    seconds: float


@runtime_checkable
class VisitLedger(Observer, Protocol):
    """An observer that is content with a line in a ledger for each visit that ended well.

    For every such visit it gets a `VisitRecord`; it is never told `NodeStarted`, `NodeSucceeded` or `Routed`. As long as
    nobody else wants these, no event is built for it, which takes a tenth of the time. It hears all other events as they
    happen. It must read its ledger before it answers questions.
    """

    @property
    def ledger(self) -> list[tuple[str, str, str | None, float]]:
        """Where the engine appends a `VisitRecord`, as a plain tuple; always the same list."""
        ...

    def settle(self) -> None:
        """Take what is in the ledger into account, and empty it; called now and then, and before a run's last event.

        Synchronous and quick, as `observe`. The engine empties what it leaves.
        """
        ...


class Where(NamedTuple):
    """A stretch of a run that a `StepScope` surrounds.

    Attributes:
        kind: what it is a stretch of.
        run_id: the run.
        flow: the name of its flow.
        path: where (``editorial/editing/review#2``, ``digest/condense[17]``); the flow's name for the run itself.
        visit: which visit of the step, from 1.
        attempt: which attempt, from 1.
        item: which item, from 0; None outside of items.
    """

    kind: Literal["run", "step", "item", "attempt"]
    run_id: str
    flow: str
    path: str
    visit: int
    attempt: int
    item: int | None


@runtime_checkable
class StepScope(Protocol):
    """What surrounds the run, each visit, each item and each attempt of a retried step, in the very task that makes it.

    So it can set context variables, which an observer in another task cannot: those of a log, the current span of a trace.
    Child tasks, threads, branches and items inherit them. An observer that has this method is asked, too, in the order of
    observers; what it gave is left in reverse.

    What is told of a run, a visit or an item, from its first event to its last, is told inside its scope, which is left
    after all cleanups; what is told of an attempt that failed, after that was left. One that raises, or takes longer
    than the engine's ``observer_budget``, on being asked, entered or left is switched off for that run and reported once;
    what is open of it is left all the same.
    """

    def around(self, where: Where, /) -> AbstractContextManager[object]:
        """Return what is entered before and left after, also by an exception; it cannot swallow one. Not a checkpoint."""
        ...


@runtime_checkable
class BackgroundObserver(Observer, Protocol):
    """An observer with a task of its own, for what happens when nothing happens: time passes.

    What it tells belongs to no run. One that raises is reported once, by an `ObserverFailed` without a run, and stays an
    observer. One that fails over what is told here is told no more of that; runs are told to it as ever.

    In a simulation its timers hide no deadlock: when nobody else has made a step for an hour, nobody is expected to. One
    that knows better tells its clock (`Simulated.serve`).
    """

    async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
        """Called when an engine opens; cancelled when its last run has ended, however the engine is left, which waits for it.

        *tell* passes an event to all its observers at once: no checkpoint, and it never raises.
        """
        ...


class WallClock(Protocol):
    """The time of day, for people and for what outlives the process."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class Ids(Protocol):
    """Where run ids come from."""

    def run_id(self) -> str:
        """A new id, different from all others."""
        ...


class Met(Protocol):
    """A guard or a pool, as a simulation that it is used in knows it."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def statistics(self) -> object:
        """A frozen picture of now. Not a checkpoint."""
        ...


class Simulated(WallClock, Ids):
    """The base of a clock that simulates: what a run would ask of the world, it asks of its clock.

    Several executions may share one run of Trio, each as if it were alone. Whoever keeps state for a run of Trio (a
    guard) tells them apart by `execution`, or is told by `when_over`.

    Attributes:
        met: the guards and pools that were used in this execution, in the order of their first use.
        serving: tasks that only look at the others now and then, and for how long that may have consequences; see `serve`.
    """

    def __init__(self) -> None:
        self._leaving: list[Callable[[], None]] = []
        self.serving: dict[object, float] = {}
        self.begin_simulation(0)

    def begin_simulation(self, seed: int) -> None:
        """Begin an execution whose dice come from *seed*; the one before is over."""
        self.seed: int = seed
        self.execution: object = object()
        self.met: list[Met] = []
        self._runs = 0
        self.serving.clear()
        leaving, self._leaving = self._leaving, []
        for leave in leaving:
            leave()

    def when_over(self, leave: Callable[[], None]) -> None:
        """Have *leave* called when the next execution begins."""
        self._leaving.append(leave)

    def serve(self, task: object, seconds: float) -> None:
        """Take note that *task* ticks for ever, and so keeps nothing alive: a deadlock is one although it has timers.

        What it starts counts as it does. For *seconds* after the last step of any other task it may yet have somebody go on.
        """
        self.serving[task] = seconds

    @override
    def run_id(self) -> str:
        """``sim-7-1`` for the first run that asks under seed 7."""
        self._runs += 1
        return f"sim-{self.seed}-{self._runs}"


@runtime_checkable
class Forkable(Protocol):
    """A value that knows how to fork itself; the hook through which a state, or a value in it, says so."""

    def __agentflow_fork__(self) -> Self:
        """Return a copy that shares nothing that can change."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A state whose values sit under declared keys instead of fields; the hook through which a codec writes and reads it."""

    @classmethod
    def __agentflow_keys__(cls) -> Mapping[str, type]:
        """Each declared key and the class of its value. TypeError: the state holds more than keys."""
        ...

    def __agentflow_values__(self) -> Mapping[str, object]:
        """The values that are there now, declared or not."""
        ...

    @classmethod
    def __agentflow_make__(cls, values: Mapping[str, object]) -> Self:
        """Make a state of values that fit the declared keys."""
        ...
