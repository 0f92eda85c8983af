"""Tasks that wait in a line until somebody wakes them.

Layer: robustness, the waiting half of bulkhead and pool. Rules: who wakes a task has already given it what it waits
for, so that nobody can come in between; only the first in line has a timer, since equal deadlines expire in an
order that nobody chose, and another one in the next process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final

import outcome
import trio
from trio.lowlevel import (
    Abort,
    Task,
    cancel_shielded_checkpoint,
    reschedule,
    wait_task_rescheduled,
)

from ._events import CallRejected, WaitEnded, WaitStarted
from ._guard import Listener
from ._line_core import Line, Refusal

__all__ = ["NOT_ENTERED", "Parking", "surrounds"]

NOT_ENTERED: Final = "it is left in a task that did not enter it"

Mark = TypeVar("Mark")

WaitOutcome: TypeAlias = Literal["admitted", "rejected", "cancelled"]


@final
class Parking(Generic[Mark]):
    """Where the tasks of one line wait, and what is told of them."""

    __slots__ = ("_arriving", "_guard", "_line", "_listener", "_max_wait", "_served", "_timers")

    def __init__(
        self, guard: str, line: Line[Task, Mark], max_wait: float, listener: Listener
    ) -> None:
        self._guard = guard
        self._line = line
        self._max_wait = max_wait
        self._listener = listener
        self._timers: dict[Task, trio.CancelScope] = {}
        self._arriving: Task | None = None
        self._served = False

    async def queue(self, task: Task, mark: Mark) -> Refusal | None:
        """Wait in line until woken; or say why not. A checkpoint if it waits.

        Who is cancelled, or waits too long, has left the line at that moment.
        """
        begun = trio.current_time()
        refusal = self._line.join(task, mark, begun)
        if refusal is not None:
            return self.reject(refusal)  # noqa: ASYNC910 - its caller raises
        if self._listener.on:
            self._tell_start(task, begun)
        ended: WaitOutcome = "cancelled"
        try:
            woken = await self._parked(task)
            ended = "admitted" if woken else "rejected"
        except Exception:
            ended = "rejected"  # turned away
            raise
        finally:
            if self._listener.on:
                self._tell_end(ended, begun)
        return None if woken else self.reject(self._line.gave_up())

    def reject(self, refusal: Refusal) -> Refusal:
        """Tell of *refusal*, and return it."""
        if self._listener.on:
            self._listener.tell(
                CallRejected(
                    guard=self._guard,
                    timestamp=trio.current_time(),
                    reason=refusal,
                    retry_after=None,
                )
            )
        return refusal

    def wake(self, *tasks: Task) -> None:
        """Let *tasks* go on, which are in line no longer. Not a checkpoint."""
        for task in tasks:
            if task is self._arriving:
                self._served = True
            else:
                reschedule(task)
        self._time_first()

    def turn_away(self, tasks: Iterable[Task], error: Callable[[], Exception]) -> None:
        """Let *tasks*, which are in line no longer, fail with an error each. Not a checkpoint."""
        for task in tasks:
            reschedule(task, outcome.Error(error()))

    async def _parked(self, task: Task) -> bool:
        """Whether woken, and not because time is over."""
        if self._served:
            self._served = False
            await cancel_shielded_checkpoint()
            return True
        if self._max_wait == math.inf:
            await wait_task_rescheduled(self._withdrawing(task))
            return True
        with trio.CancelScope() as timer:
            self._timers[task] = timer
            self._time_first()
            try:
                await wait_task_rescheduled(self._withdrawing(task))
            finally:
                del self._timers[task]
            return True
        return False

    def _withdrawing(self, task: Task) -> Callable[[object], Abort]:
        def withdraw(_: object) -> Abort:
            self._line.withdraw(task)
            self._time_first()
            return Abort.SUCCEEDED

        return withdraw

    def _time_first(self) -> None:
        if self._timers and (first := self._line.first()) is not None:
            task, expiry = first
            if task is not self._arriving:
                self._timers[task].deadline = expiry

    def _tell_start(self, task: Task, begun: float) -> None:
        """Who listens may well make room: then *task*, which does not sleep yet, must not be woken."""
        self._arriving = task
        waiting = len(self._line.waiting)
        self._listener.tell(WaitStarted(guard=self._guard, timestamp=begun, waiting=waiting))
        self._arriving = None

    def _tell_end(self, ended: WaitOutcome, begun: float) -> None:
        now = trio.current_time()
        self._listener.tell(
            WaitEnded(guard=self._guard, timestamp=now, outcome=ended, waited=now - begun)
        )


def surrounds(mark_of: Callable[[Task], int | None], task: Task) -> bool:
    """Whether *task* runs in the body of anybody inside: its own, or one in which its nursery was opened.

    *mark_of* says of a task inside how many nurseries it had open when its body began. A nursery opened before may
    well end after the body: whoever waits for its tasks, the body does not.
    """
    if mark_of(task) is not None:
        return True
    while (nursery := task.parent_nursery) is not None:
        task = nursery.parent_task
        mark = mark_of(task)
        if mark is not None and nursery in task.child_nurseries[mark:]:
            return True
    return False
