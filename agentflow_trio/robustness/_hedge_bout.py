"""The tasks of one hedged call.

Layer: robustness. Rules: an attempt raises nothing into its nursery, not even Cancelled; it reports how it ended, and the
caller's task raises what is to be raised, bare and once.
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

__all__ = ["Bout", "Ended"]

Value = TypeVar("Value")

Ended: TypeAlias = tuple[int, float, BaseException | None, bool]
"""An attempt that has ended: its number, when, with what error, and whether it was being cut off."""


@final
class Bout(Generic[Value]):
    """One call: what runs, and what has ended.

    Attributes:
        values: what attempts returned, by number.
    """

    __slots__ = ("_caller", "_ended", "_name", "_waiting", "_work", "values")

    def __init__(self, name: str, work: Callable[[int], Awaitable[Value]]) -> None:
        self.values: dict[int, Value] = {}
        self._name = name
        self._work = work
        self._caller = current_task()
        self._ended: list[Ended] = []
        self._waiting = False

    def begin(self, nursery: trio.Nursery, number: int) -> None:
        """Begin the attempt of that number in *nursery*. Not a checkpoint."""
        nursery.start_soon(self._attempt, number, name=f"{self._name}: attempt {number}")

    async def _attempt(self, number: int) -> None:
        error: BaseException | None = None
        try:
            self.values[number] = await self._work(number)
        except BaseException as raised:  # noqa: BLE001 - the caller's task raises it, bare
            error = raised
        cut = error is not None and trio.current_effective_deadline() == -math.inf
        self._ended.append((number, trio.current_time(), error, cut))
        del error  # which keeps this frame, which would keep it
        if self._waiting:
            self._waiting = False
            reschedule(self._caller)

    async def news(self, until: float) -> None:
        """Wait until an attempt has ended, or for *until*. Cancellation of the caller is left to its attempts.

        A checkpoint unless one has ended already.
        """
        if self._ended:
            return
        with trio.CancelScope(shield=True, deadline=until) as alarm:
            self._waiting = True
            await wait_task_rescheduled(self._wake)
        if alarm.cancelled_caught:
            # who ends in this same pass need not be helped
            await cancel_shielded_checkpoint()

    def _wake(self, _: RaiseCancelT) -> Abort:
        self._waiting = False
        return Abort.SUCCEEDED

    def ended(self) -> list[Ended]:
        """Those that have ended since this was last asked, by their numbers."""
        ended, self._ended = self._ended, []
        if len(ended) > 1:
            ended.sort(key=lambda one: one[0])
        return ended
