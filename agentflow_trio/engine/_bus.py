"""The stream of a run's events: numbered, told to observers at once, kept for subscribers.

Layer: engine. Rules: `emit` is synchronous, never a checkpoint and never raises. Records are slim tuples;
an event object is built only when somebody reads it. A failing or slow observer is switched off and reported once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Literal, TypeAlias, final

import trio

from ..errors import LaggedError
from ..events import ExecutionEvent, ObserverFailed
from ..ports import Observer, SelectiveObserver

__all__ = ["RING", "Bus", "Subscription", "WhenFull"]

RING: Final = 1000
"""How many events are kept for subscribers that come late, and at most wait for one that is slow."""

Record: TypeAlias = tuple[type[ExecutionEvent], int, str, float, float | None, dict[str, Any]]
WhenFull: TypeAlias = Literal["drop_oldest", "fail"]


@final
class _Fold:
    """An observer in one run."""

    __slots__ = ("name", "observe", "on", "wants")

    def __init__(self, observer: Observer) -> None:
        self.name = observer.name
        self.observe = observer.observe
        self.wants: Collection[type[ExecutionEvent]] | None = (
            observer.wants if isinstance(observer, SelectiveObserver) else None
        )
        self.on = True


@final
class Bus:
    """Numbers the events of one run and passes them on."""

    __slots__ = (
        "_budget",
        "_clock",
        "_closed",
        "_folds",
        "_keep",
        "_ring",
        "_run_id",
        "_subscriptions",
        "seq",
    )

    def __init__(
        self,
        run_id: str,
        clock: Callable[[], float],
        observers: Sequence[Observer],
        *,
        budget: float,
        keep: bool,
    ) -> None:
        self.seq: int = 0
        self._run_id = run_id
        self._clock = clock
        self._folds = [_Fold(observer) for observer in observers]
        self._budget = budget
        self._keep = keep
        self._ring: deque[Record] = deque(maxlen=RING)
        self._subscriptions: list[Subscription] = []
        self._closed = False

    def emit(
        self,
        kind: type[ExecutionEvent],
        path: str,
        started: float | None = None,
        **fields: object,
    ) -> None:
        """Tell everybody that something happened at *path*; *started* if it has a duration."""
        now = self._clock()
        record: Record = (
            kind,
            self.seq,
            path,
            now,
            None if started is None else (now - started) * 1000.0,
            fields,
        )
        self.seq += 1
        if self._keep:
            self._ring.append(record)
            for subscription in self._subscriptions:
                subscription.put(record)
        event: ExecutionEvent | None = None
        reports: list[tuple[str, str]] = []
        for fold in self._folds:
            if fold.on and (fold.wants is None or kind in fold.wants):
                event = event or self.build(record)
                reason = self._tell(fold, event)
                if reason is not None:
                    fold.on = False
                    reports.append((fold.name, reason))
        for observer, reason in reports:  # after everybody was told of this event
            self.emit(ObserverFailed, path, observer=observer, reason=reason)

    def _tell(self, fold: _Fold, event: ExecutionEvent) -> str | None:
        """Why *fold* is to be switched off after *event*; None if it did well."""
        before = self._clock()
        try:
            fold.observe(event)
        except Exception as error:  # noqa: BLE001 - whatever an observer raises must not reach the run; it is reported
            return f"{type(error).__name__}: {error}"
        took = self._clock() - before
        if took <= self._budget:
            return None
        return f"took {took:.3g} s for one event; the budget is {self._budget:g} s"

    def build(self, record: Record) -> ExecutionEvent:
        """Make the event object of a record."""
        kind, seq, path, timestamp, duration_ms, fields = record
        return kind(
            run_id=self._run_id,
            seq=seq,
            path=path,
            timestamp=timestamp,
            duration_ms=duration_ms,
            **fields,
        )

    def subscribe(self, *, after: int | None, when_full: WhenFull, pace: bool) -> Subscription:
        """Start a subscription; with *after*, events after that number are replayed from the ring first."""
        subscription = Subscription(self, when_full=when_full, pace=pace)
        if after is not None:
            oldest = self._ring[0][1] if self._ring else self.seq
            subscription.missed = max(0, oldest - after - 1)
            for record in self._ring:
                if record[1] > after:
                    subscription.put(record)
        if self._closed:
            subscription.end()
        else:
            self._subscriptions.append(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    @property
    def paced(self) -> bool:
        """Whether a subscriber that sets the pace is behind."""
        return any(subscription.behind for subscription in self._subscriptions)

    async def keep_pace(self) -> None:
        """Wait until no pacing subscriber is behind. A checkpoint only if it waits."""
        for subscription in [*self._subscriptions]:
            await subscription.caught_up()

    def close(self) -> None:
        """End all subscriptions once they are read."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()


@final
class Subscription:
    """The events of a run, one by one: ``async for event in run.events():``. Ends with the run.

    Leave early with ``close()`` or ``with run.events() as events:``; a subscription that sets the pace and is
    neither read nor closed holds the run at its next step boundary.

    Attributes:
        missed: how many events were dropped because they were not read in time, or had left the ring before.
    """

    __slots__ = (
        "_bus",
        "_ended",
        "_pace",
        "_queue",
        "_readers",
        "_when_full",
        "_writers",
        "missed",
    )

    def __init__(self, bus: Bus, *, when_full: WhenFull, pace: bool) -> None:
        self._bus = bus
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
        self._bus.drop(self)
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
        return self._bus.build(record)
