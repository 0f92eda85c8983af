"""What every task of a run did over virtual time: when it lived, what it waited for, when it was cancelled or preempted.

Layer: testing. Watched by an instrument of Trio while a recorded run is run again; it changes nothing of the run. What a
task waits for is read when time goes on, so that waits that take no time cost next to nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import final

import attrs
import trio
from trio.lowlevel import Task
from typing_extensions import override

from ._picture import name_of, wait_of
from ._private import can_go_on, is_being_cancelled
from ._world import World

__all__ = ["Historian", "TaskHistory", "TaskWait"]


@final
@attrs.frozen
class TaskWait:
    """A stretch of virtual time in which a task waited.

    Attributes:
        begin: when it began to.
        end: when it went on; None if it never did.
        waits_for: what for, and who held that, as far as it could be seen; a guard by its class and name.
        at: the innermost line of the program at which it did, as ``file:line in function: code``.
    """

    begin: float
    end: float | None
    waits_for: str
    at: str


@final
@attrs.frozen
class TaskHistory:
    """What one task did.

    Attributes:
        name: the last part of its name in Trio; with a number if several had it, in the order in which they began.
        parent: the name of the task that held its nursery; None for the first.
        began: when it was made.
        ended: when it ended; None if it never did.
        steps: how many it made.
        waits: where time passed, in order.
        cancelled: when it was told that it is cancelled.
        preempted: when it could have gone on and had to wait for another, under a schedule that asks for that.
    """

    name: str
    parent: str | None
    began: float
    ended: float | None
    steps: int
    waits: Sequence[TaskWait]
    cancelled: Sequence[float]
    preempted: Sequence[float]

    def wait_at(self, time: float, /) -> TaskWait | None:
        """The wait that goes on at *time*, one that begins then included, one that ends then not; None: there is none."""
        return next((w for w in self.waits if w.begin <= time and not _over(w.end, time)), None)


def _over(end: float | None, time: float) -> bool:
    return end is not None and end <= time


@attrs.define
class _Life:
    """The same while it goes on."""

    name: str
    parent: str | None
    began: float
    ended: float | None = None
    steps: int = 0
    waits: list[TaskWait] = attrs.field(factory=list[TaskWait])
    cancelled: list[float] = attrs.field(factory=list[float])

    def told(self, preempted: Sequence[float]) -> TaskHistory:
        return TaskHistory(
            self.name,
            self.parent,
            self.began,
            self.ended,
            self.steps,
            tuple(self.waits),
            tuple(self.cancelled),
            preempted,
        )


@final
class Historian(trio.abc.Instrument):
    """Writes the histories of the tasks of one execution."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._lives: dict[Task, _Life] = {}
        self._names: dict[Task, str] = {}
        self._counts: Counter[str] = Counter()
        self._parked: dict[Task, float] = {}
        self._preemptions: list[tuple[Task, float]] = []
        world.looking_on.append(self)
        world.order.preempted = self._preempted

    def begin(self) -> None:
        """The current task is the first."""
        self._born(trio.lowlevel.current_task(), None)

    def look(self) -> None:
        """Time goes on: whoever has come to a wait waits."""
        parked, self._parked = self._parked, {}
        for task, since in parked.items():
            waits_for, at = wait_of(task, self._names)
            self._lives[task].waits.append(TaskWait(since, None, waits_for, at))

    def histories(self) -> Sequence[TaskHistory]:
        """All, in the order in which the tasks began."""
        preempted = self._preemptions
        return tuple(
            life.told(tuple(time for one, time in preempted if one is task))
            for task, life in self._lives.items()
        )

    @override
    def task_spawned(self, task: Task) -> None:
        nursery = task.parent_nursery
        parent = None if nursery is None else self._names.get(nursery.parent_task)
        if parent is not None:  # others are Trio's own
            self._born(task, parent)

    @override
    def task_exited(self, task: Task) -> None:
        if task in self._lives:
            self._lives[task].ended = self._clock.time

    @override
    def before_task_step(self, task: Task) -> None:
        life = self._lives.get(task)
        if life is None:
            return
        life.steps += 1
        self._parked.pop(task, None)
        if life.waits and life.waits[-1].end is None:
            life.waits[-1] = attrs.evolve(life.waits[-1], end=self._clock.time)
        if is_being_cancelled(task):
            life.cancelled.append(self._clock.time)

    @override
    def after_task_step(self, task: Task) -> None:
        life = self._lives.get(task)
        if life is not None and life.ended is None and not can_go_on(task):
            self._parked[task] = self._clock.time

    def _born(self, task: Task, parent: str | None) -> None:
        name = name_of(task)
        self._counts[name] += 1
        count = self._counts[name]
        self._names[task] = name if count == 1 else f"{name}#{count}"
        self._lives[task] = _Life(self._names[task], parent, self._clock.time)

    def _preempted(self, task: Task) -> None:
        self._preemptions.append((task, self._clock.time))
