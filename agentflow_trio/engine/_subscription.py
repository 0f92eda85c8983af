"""Reading the events of a run at one's own speed, from a bounded queue.

Layer: engine. Rule: a reader that stalls costs no memory; what it missed is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, final

import trio

from ..errors import LaggedError
from ._reading import Reader

if TYPE_CHECKING:
    from ..events import ExecutionEvent

__all__ = ["RING", "Record", "Subscription", "WhenFull"]

RING: Final = 1000
"""How many events are kept for subscribers that come late, and at most wait for one that is slow."""

Record: TypeAlias = "tuple[type[ExecutionEvent], int, str, float, float | None, dict[str, Any]]"
"""An event not yet built: its kind, number, path, time, duration and own fields."""

WhenFull: TypeAlias = Literal["drop_oldest", "fail"]


class Source(Protocol):
    """Where a subscription's records come from.

    Attributes:
        missed: how many its subscribers did not read in time.
    """

    missed: int

    def build(self, record: Record, /) -> ExecutionEvent:
        """Make the event object of a record."""
        ...


@final
class Subscription(Reader[Record]):
    """The events of a run, one by one: ``async for event in run.events():``. Ends with the run.

    ``break`` leaves it; one that sets the pace and is kept but no longer read holds the run at its next step
    boundary, so leave it with ``close()``, or use ``with run.events() as events:``.

    Attributes:
        missed: how many events were dropped because they were not read in time, or had left the ring before.
    """

    __slots__ = ("_pace", "_source", "_when_full", "missed")

    def __init__(
        self, source: Source, room: trio.lowlevel.ParkingLot, *, when_full: WhenFull, pace: bool
    ) -> None:
        super().__init__(room)
        self._source = source
        self._when_full = when_full
        self._pace = pace
        self.missed: int = 0

    def put(self, record: Record) -> None:
        """Take a record, or count it as missed."""
        if self.waiting >= RING or self._lagging:
            self.missed += 1
            self._source.missed += 1
            if self._lagging:
                return  # what was read has no gap: reading ends here
            self._queue.popleft()
        self.take(record)

    @property
    def _lagging(self) -> bool:
        return self._when_full == "fail" and (self.missed > 0 or self.waiting >= RING)

    @property
    def behind(self) -> bool:
        """Whether it sets the pace and more than half of its queue is unread."""
        return self._pace and self.waiting > RING // 2

    async def __anext__(self) -> ExecutionEvent:
        """The next event. Always a checkpoint.

        Raises:
            LaggedError: with ``when_full="fail"``, after the events that did fit.
        """
        if self._lagging and not self.waiting:
            await trio.lowlevel.checkpoint()
            raise LaggedError(missed=self.missed)
        return self._source.build(await self._next())
