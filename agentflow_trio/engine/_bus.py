"""The stream of a run's events: numbered, told to observers at once, kept for subscribers.

Layer: engine. Rules: telling is synchronous, never a checkpoint and never raises. Records are slim
tuples; an event object is built only when somebody reads it. A failing or slow observer is switched
off and reported once. Imported when somebody listens: the events' classes take 8 ms to make.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, final

import attrs

from ..events import (
    BatchDone,
    BranchCancelled,
    Caught,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    GuardEvent,
    ItemFailed,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    Routed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
)
from ..ports import Observer, SelectiveObserver
from ..types import Phase
from ._failures import brief, what_failed
from ._reading import Readers
from ._subscription import RING, Record, Subscription, WhenFull

__all__ = ["Bus"]


_ADDED: Final = frozenset({"run_id", "seq", "path", "timestamp", "duration_ms"})


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
        "_pending",
        "_readers",
        "_ring",
        "_run_id",
        "_telling",
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
        self._pending: deque[Record] = deque()
        self._telling = False
        self._ring: deque[Record] = deque(maxlen=RING)
        self._readers: Readers[Subscription] = Readers()
        self._closed = False

    def run_started(self, path: str, **identity: object) -> None:
        """The first of all events."""
        self._emit(RunStarted, path, flow=path, **identity)

    def run_ended(
        self,
        path: str,
        begun: float,
        outcome: str,
        taken: str | None,
        steps: int,
        error: str | None,
    ) -> None:
        """The last of all events."""
        fields = {"outcome": outcome, "exit": taken, "steps": steps, "error": error}
        self._emit(RunEnded, path, begun, flow=path, **fields)

    def node_started(self, path: str) -> None:
        """A visit began."""
        self._emit(NodeStarted, path)

    def node_succeeded(self, path: str, begun: float, taken: str | None, target: str) -> None:
        """A visit ended well, and its exit was followed."""
        self._emit(NodeSucceeded, path, begun, exit=taken)
        self._emit(Routed, path, exit=taken, target=target)

    def node_failed(
        self, path: str, begun: float, phase: Phase, attempt: int, error: BaseException
    ) -> None:
        """A visit ended with an error."""
        self._emit(NodeFailed, path, begun, phase=phase, attempt=attempt, **brief(error))

    def node_cancelled(
        self, path: str, begun: float, phase: Phase, attempt: int, error: BaseException
    ) -> None:
        """A visit was cut off; perhaps something failed while it unwound."""
        failed = what_failed(error)
        told = brief(failed) if failed else {"error": None, "message": None}
        self._emit(NodeCancelled, path, begun, phase=phase, attempt=attempt, **told)

    def caught(self, path: str, error: BaseException, target: str) -> None:
        """An error was routed."""
        self._emit(Caught, path, target=target, **brief(error))

    def fallback_used(self, path: str, error: BaseException) -> None:
        """A fallback stood in for a result."""
        self._emit(FallbackUsed, path, **brief(error))

    def batch_done(
        self, path: str, begun: float, done: int, failed: int, total: int | None
    ) -> None:
        """A part of the items ended well."""
        self._emit(BatchDone, path, begun, done=done, failed=failed, total=total)

    def item_failed(
        self, path: str, begun: float, attempt: int, error: BaseException, *, tolerated: bool
    ) -> None:
        """A part of the items failed."""
        fields = brief(error)
        self._emit(ItemFailed, path, begun, attempt=attempt, tolerated=tolerated, **fields)

    def branch_cancelled(self, path: str, begun: float, reason: str) -> None:
        """A branch was cancelled alone."""
        self._emit(BranchCancelled, path, begun, reason=reason)

    def progress(self, path: str, fraction: float, text: str) -> None:
        """A step reported how far it is."""
        self._emit(Progress, path, fraction=fraction, text=text)

    def guard_told(self, path: str, event: GuardEvent) -> None:
        """A guard did something that is worth telling."""
        kind = type(event)
        own = (field.name for field in attrs.fields(kind) if field.name not in _ADDED)
        self._emit(kind, path, **{name: getattr(event, name) for name in own})

    def cleanup_overran(
        self, path: str, what: str, grace: float, stack: tuple[str, ...]
    ) -> None:
        """A cleanup used up the grace."""
        self._emit(CleanupOverrun, path, callback=what, grace=grace, stack=stack)

    def thread_abandoned(self, path: str, function: str) -> None:
        """A thread works on, and nobody waits for it."""
        self._emit(ThreadAbandoned, path, function=function)

    def thread_ended(
        self, path: str, begun: float, function: str, error: BaseException | None
    ) -> None:
        """A thread that had been abandoned came to its end, perhaps after the run."""
        told = brief(error) if error else {"error": None, "message": None}
        self._emit(ThreadEnded, path, begun, function=function, **told)

    def loop_blocked(
        self, path: str, seconds: float, task: str, stack: tuple[str, ...]
    ) -> None:
        """A step kept the loop from going round."""
        self._emit(LoopBlocked, path, seconds=seconds, task=task, stack=stack)

    def _emit(
        self,
        kind: type[ExecutionEvent],
        path: str,
        begun: float | None = None,
        /,
        **fields: object,
    ) -> None:
        now = self._clock()
        duration_ms = None if begun is None else (now - begun) * 1000.0
        record: Record = (kind, self.seq, path, now, duration_ms, fields)
        self.seq += 1
        if self._keep:
            self._ring.append(record)
            for subscription in self._readers.open():
                subscription.put(record)
        if self._folds:
            self._pending.append(record)
            if not self._telling:
                self._tell_all()

    def _tell_all(self) -> None:
        """Tell every observer of one event before anybody is told of the next, also of those that observers cause."""
        self._telling = True
        try:
            while self._pending:
                self._tell_folds(self._pending.popleft())
        finally:
            self._telling = False

    def _tell_folds(self, record: Record) -> None:
        kind, event = record[0], None
        for fold in self._folds:
            if fold.on and (fold.wants is None or kind in fold.wants):
                event = event or self.build(record)
                reason = self._tell(fold, event)
                if reason is not None:
                    fold.on = False
                    self._emit(ObserverFailed, event.path, observer=fold.name, reason=reason)

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
        subscription = Subscription(self, self._readers.room, when_full=when_full, pace=pace)
        if after is not None:
            oldest = self._ring[0][1] if self._ring else self.seq
            subscription.missed = max(0, oldest - after - 1)
            for record in self._ring:
                if record[1] > after:
                    subscription.put(record)
        if self._closed:
            subscription.end()
        else:
            self._readers.add(subscription)
        return subscription

    @property
    def paced(self) -> bool:
        """Whether a subscriber that sets the pace is behind."""
        return any(subscription.behind for subscription in self._readers.open())

    async def keep_pace(self) -> None:
        """Wait until no pacing subscriber is behind. A checkpoint only if it waits."""
        await self._readers.wait_while(lambda subscription: subscription.behind)

    def close(self) -> None:
        """End all subscriptions once they are read."""
        self._closed = True
        self._readers.end()
