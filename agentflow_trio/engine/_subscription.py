"""Reading the events of a run at one's own speed, from a bounded queue.

Layer: engine. Rule: a reader that stalls costs no memory; what it missed is counted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, final

import trio

from ..errors import LaggedError

if TYPE_CHECKING:
    from ..events import ExecutionEvent

__all__ = ["RING", "Record", "Subscription", "WhenFull"]

RING: Final = 1000
"""How many events are kept for subscribers that come late, and at most wait for one that is slow."""

Record: TypeAlias = "tuple[type[ExecutionEvent], int, str, float, float | None, dict[str, Any]]"
"""An event not yet built: its kind, number, path, time, duration and own fields."""

WhenFull: TypeAlias = Literal["drop_oldest", "fail"]


class Source(Protocol):
    """Where a subscription's records come from."""

    def build(self, record: Record, /) -> ExecutionEvent:
        """Make the event object of a record."""
        ...

    def drop(self, subscription: Subscription, /) -> None:
        """Forget a subscription."""
        ...


@final
class Subscription:
    """The events of a run, one by one: ``async for event in run.events():``. Ends with the run.

    Leave early with ``close()`` or ``with run.events() as events:``; a subscription that sets the pace and is
    neither read nor closed holds the run at its next step boundary.

    Attributes:
        missed: how many events were dropped because they were not read in time, or had left the ring before.
    """

    __slots__ = (
        "_ended",
        "_pace",
        "_queue",
        "_readers",
        "_source",
        "_when_full",
        "_writers",
        "missed",
    )

    def __init__(self, source: Source, *, when_full: WhenFull, pace: bool) -> None:
        self._source = source
        self._when_full = when_full
        self._pace = pace
        self._queue: deque[Record] = deque()
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()
        self._ended = False
        self.missed: int = 0

    def put(self, record: Record) -> None:
        """Take a record, or count it as missed."""
        if len(self._queue) >= RING or self._lagging:
            self.missed += 1
            if self._lagging:
                return  # what was read has no gap: reading ends here
            self._queue.popleft()
        self._queue.append(record)
        self._readers.unpark_all()

    @property
    def _lagging(self) -> bool:
        return self._when_full == "fail" and (self.missed > 0 or len(self._queue) >= RING)

    @property
    def behind(self) -> bool:
        """Whether it sets the pace and more than half of its queue is unread."""
        return self._pace and len(self._queue) > RING // 2

    async def caught_up(self) -> None:
        """Wait while it is behind. A checkpoint only if it waits."""
        while self.behind:
            await self._writers.park()

    def end(self) -> None:
        """No more events come."""
        self._ended = True
        self._readers.unpark_all()

    def close(self) -> None:
        """Stop reading. Not a checkpoint."""
        self._source.drop(self)
        self._queue.clear()
        self.end()
        self._writers.unpark_all()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> ExecutionEvent:
        """The next event. Always a checkpoint.

        Raises:
            LaggedError: with ``when_full="fail"``, after the events that did fit.
        """
        await trio.lowlevel.checkpoint()
        while not self._queue:
            if self._lagging:
                raise LaggedError(missed=self.missed)
            if self._ended:
                raise StopAsyncIteration
            await self._readers.park()
        record = self._queue.popleft()
        if not self.behind:
            self._writers.unpark_all()
        return self._source.build(record)
