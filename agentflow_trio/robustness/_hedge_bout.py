"""The tasks of one hedged call.

Layer: robustness. Rules: the caller's task alone decides; an attempt raises nothing into the nursery, not even Cancelled,
but reports how it ended, so that one error is raised as it is and in no group.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar, final

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    cancel_shielded_checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from ._hedge_core import Course
from ._hedge_state import HedgeState

__all__ = ["Bout"]

Value = TypeVar("Value")

_Ended: TypeAlias = tuple[int, BaseException | None, float, bool]
"""An attempt that has ended: its number, with what error, when, and whether it was being cut off."""


@final
class Bout(Generic[Value]):
    """One call.

    Attributes:
        values: what attempts returned, by number.
    """

    __slots__ = ("_caller", "_course", "_ended", "_state", "_waiting", "_work", "values")

    def __init__(
        self, state: HedgeState, course: Course, work: Callable[[int], Awaitable[Value]]
    ) -> None:
        self.values: dict[int, Value] = {}
        self._state = state
        self._course = course
        self._work = work
        self._caller = current_task()
        self._ended: list[_Ended] = []
        self._waiting = False

    async def run(self, nursery: trio.Nursery) -> None:  # noqa: ASYNC910 - waits in a loop
        """Begin attempts until nothing that is to come counts, and cut off those that go on. Raises nothing.

        Always a checkpoint, but the cancellation of the caller is left to the attempts.
        """
        course, now = self._course, trio.current_time()
        self._begin(nursery, now)
        while True:
            self._begin_others(nursery, now)
            if course.is_over():
                break
            try:
                await self._news(course.due)
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised when the attempts are joined
                course.interrupted(error, trio.current_time())
            now = trio.current_time()
            self.take_note(now)
        if course.running:
            nursery.cancel_scope.cancel()
            # Trio runs the tasks of a pass in any order: those that end in this one end together
            await cancel_shielded_checkpoint()
            self.take_note(now)

    def take_note(self, now: float | None = None) -> None:
        """Take note of those that have ended, *now* or each when it did. Not a checkpoint."""
        ended, self._ended = self._ended, []
        if len(ended) > 1:
            ended.sort(key=lambda one: one[0])
        course = self._course
        told = len(course.failures)
        for number, error, at, cut in ended:
            course.ended(number, error, at if now is None else now, cut=cut)
        if len(course.failures) > told:
            self._state.attempts_failed(course.failures[told:], own=course.own)

    # ------------------------------------------------------------ attempts

    def _begin_others(self, nursery: trio.Nursery, now: float) -> None:
        course, state = self._course, self._state
        while (reason := course.wants(now)) is not None:
            deadline = trio.current_effective_deadline()
            if not course.may(now, deadline=deadline, budget=state.budget):
                return
            number = self._begin(nursery, now)
            state.hedged(number, reason, now, own=course.own)

    def _begin(self, nursery: trio.Nursery, now: float) -> int:
        number = self._course.begin(now)
        name = f"{self._state.name}: attempt {number}"
        nursery.start_soon(self._attempt, number, name=name)
        return number

    async def _attempt(self, number: int) -> None:  # noqa: ASYNC910 - as the work does
        error: BaseException | None = None
        try:
            self.values[number] = await self._work(number)
        except BaseException as raised:  # noqa: ASYNC103, BLE001 - the caller's task raises it
            error = raised
        cut = error is not None and trio.current_effective_deadline() == -math.inf
        self._ended.append((number, error, trio.current_time(), cut))
        del error  # which keeps this frame, which would keep it
        if self._waiting:
            self._waiting = False
            reschedule(self._caller)

    async def _news(self, until: float) -> None:
        """Wait until an attempt has ended, or for *until*."""
        with trio.CancelScope(shield=True, deadline=until) as alarm:
            self._waiting = True
            await wait_task_rescheduled(self._wake)
        if alarm.cancelled_caught:
            # those that end in this very pass need no other beside them
            await cancel_shielded_checkpoint()

    def _wake(self, _: RaiseCancelT) -> Abort:
        self._waiting = False
        return Abort.SUCCEEDED
