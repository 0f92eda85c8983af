"""The stream of a run's events: numbered, told to observers at once, kept for subscribers.

Layer: engine. Rules: telling is synchronous, never a checkpoint and never raises. Records are slim tuples; an event
object is built only when somebody reads it. What nobody wants is numbered all the same, so that an event has the same
number whoever listens. Texts are redacted once, here, and only if somebody wants them. Imported when somebody listens: the events' classes take 8 ms to make.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, final

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
from ..types import Phase
from ._failures import brief, what_failed
from ._folds import Folds
from ._making import MAKERS
from ._reading import Readers
from ._scopes import Scopes
from ._seats import Line, Seat
from ._subscription import RING, Record, Subscription, WhenFull
from ._trail import Place

__all__ = ["Bus"]


_ADDED: Final = frozenset({"run_id", "seq", "path", "timestamp", "duration_ms"})
_OF_A_VISIT: Final = frozenset({NodeStarted, NodeSucceeded, Routed})
"""What is told of a visit that ends well, and what a line in a ledger stands for."""

_TEXTS: Final = ("callback", "function", "message", "reason", "task", "text")
"""The fields of events that are free text."""

_LONG: Final = 100
"""As many lines as a ledger may have before it is read: they are in the processor's cache still."""


def _is_content(seat: Seat) -> bool:
    """Whether it need not be told by events of visits that end well."""
    return seat.ledger is not None or (
        seat.wants is not None and seat.wants.isdisjoint(_OF_A_VISIT)
    )


@final
class Bus:
    """Numbers the events of one run and passes them on.

    Attributes:
        seq: the number of the next event.
        flow: the root of all paths.
        terse: nobody wants an event of a visit that ends well. It counts three, and is a line in the ledgers, if any.
        has_pace: somebody subscribed who sets the pace.
        folds: who is told at once.
        note: theirs, for the hot path: writes a visit that ended well into every ledger; None if there is none.
        scopes: what surrounds the run and its visits; None if nobody puts anything there.
        missed: how many events subscribers did not read in time, all of them together.
    """

    __slots__ = (
        "_clock",
        "_closed",
        "_keep",
        "_readers",
        "_ring",
        "_root",
        "_run_id",
        "_veil",
        "flow",
        "folds",
        "has_pace",
        "missed",
        "note",
        "scopes",
        "seq",
        "terse",
    )

    def __init__(
        self,
        run_id: str,
        flow: str,
        clock: Callable[[], float],
        seats: Sequence[Seat],
        *,
        root: str,
        budget: float,
        keep: bool,
        veil: Callable[[str], str],
    ) -> None:
        """Begin; *root* is what all keys of places begin with, *veil* makes of a text what may be shown."""
        self.seq: int = 0
        self.flow: str = flow
        around = [(seat, seat.around) for seat in seats if seat.around is not None]
        self.terse: bool = not keep and not around and all(map(_is_content, seats))
        self.has_pace: bool = False
        self.missed: int = 0
        self.folds: Folds = Folds(
            seats, clock, budget, spared=_OF_A_VISIT, report=self._observer_failed
        )
        self.note: Callable[[Line], object] | None = self.folds.note
        self.scopes: Scopes | None = None
        if around:
            self.scopes = Scopes(around, self.folds, run_id, flow)
        self._run_id = run_id
        self._veil = veil
        self._root = len(root)
        self._clock = clock
        self._keep = keep
        self._ring: deque[Record] = deque(maxlen=RING)
        self._readers: Readers[Subscription] = Readers()
        self._closed = False

    def run_started(self, path: str, **identity: object) -> None:
        """The first of all events."""
        self._emit(RunStarted, path, {"flow": path, **identity})

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
        self.folds.settle(path)
        fields = {
            "flow": path,
            "outcome": outcome,
            "exit": taken,
            "steps": steps,
            "error": None if error is None else self._veil(error),
        }
        self._emit(RunEnded, path, fields, begun)

    def node_started(self, place: Place, now: float | None = None) -> str:
        """A visit began; return its path, if anybody wants to know. *now*: what the clock says, if the caller has just looked."""
        if self.terse:
            self.seq += 1
            return ""
        path = place.path
        self._emit(NodeStarted, path, {}, None, now)
        return path

    def node_succeeded(
        self, place: Place, path: str, begun: float, taken: str | None, target: str
    ) -> None:
        """A visit ended well, and its exit was followed. *path*: what `node_started` returned."""
        now = self._clock()
        if self.note is not None:
            self.note((self.flow, self.below(place), taken, now - begun))
        if self.terse:
            self.seq += 2
            return
        after = self._emit(NodeSucceeded, path, {"exit": taken}, begun, now)
        self._emit(Routed, path, {"exit": taken, "target": target}, None, after)

    def below(self, place: Place) -> str:
        """Where that is, without visit numbers, below the flow."""
        return (place.key + place.step.name)[self._root :]

    def key(self, level: str) -> str:
        """What `below` puts before the name of a step, of the flow that has the key *level*."""
        return level[self._root :]

    def shorten(self) -> None:
        """Have the ledgers read if they have grown long."""
        self.folds.settle(self.flow, above=_LONG)

    def node_failed(
        self, path: str, begun: float, phase: Phase, attempt: int, error: BaseException
    ) -> None:
        """A visit ended with an error."""
        self._say(NodeFailed, path, {"phase": phase, "attempt": attempt, **brief(error)}, begun)

    def node_cancelled(
        self, path: str, begun: float, phase: Phase, attempt: int, error: BaseException
    ) -> None:
        """A visit was cut off; perhaps something failed while it unwound."""
        failed = what_failed(error)
        told = brief(failed) if failed else {"error": None, "message": None}
        self._say(NodeCancelled, path, {"phase": phase, "attempt": attempt, **told}, begun)

    def caught(self, path: str, error: BaseException, target: str) -> None:
        """An error was routed."""
        self._say(Caught, path, {"target": target, **brief(error)})

    def fallback_used(self, path: str, guard: str, error: BaseException) -> None:
        """A fallback stood in for a result."""
        self._say(FallbackUsed, path, {"guard": guard, **brief(error)})

    def batch_done(
        self, path: str, begun: float, done: int, failed: int, total: int | None
    ) -> None:
        """A part of the items ended well."""
        self._emit(BatchDone, path, {"done": done, "failed": failed, "total": total}, begun)

    def item_failed(
        self, path: str, begun: float, attempt: int, error: BaseException, *, tolerated: bool
    ) -> None:
        """A part of the items failed."""
        fields = {"attempt": attempt, "tolerated": tolerated, **brief(error)}
        self._say(ItemFailed, path, fields, begun)

    def branch_cancelled(self, path: str, begun: float, reason: str) -> None:
        """A branch was cancelled alone."""
        self._say(BranchCancelled, path, {"reason": reason}, begun)

    def progress(self, path: str, fraction: float, text: str) -> None:
        """A step reported how far it is."""
        self._say(Progress, path, {"fraction": fraction, "text": text})

    def guard_told(self, path: str, event: GuardEvent) -> None:
        """A guard did something that is worth telling."""
        kind = type(event)
        own = (field.name for field in attrs.fields(kind) if field.name not in _ADDED)
        fields = {name: getattr(event, name) for name in own}
        self._say(kind, path, fields, duration_ms=event.duration_ms)

    def cleanup_overran(
        self, path: str, what: str, grace: float, stack: tuple[str, ...]
    ) -> None:
        """A cleanup used up the grace."""
        self._say(CleanupOverrun, path, {"callback": what, "grace": grace, "stack": stack})

    def thread_abandoned(self, path: str, function: str) -> None:
        """A thread works on, and nobody waits for it."""
        self._say(ThreadAbandoned, path, {"function": function})

    def thread_ended(
        self, path: str, begun: float, function: str, error: BaseException | None
    ) -> None:
        """A thread that had been abandoned came to its end, perhaps after the run."""
        told = brief(error) if error else {"error": None, "message": None}
        self._say(ThreadEnded, path, {"function": function, **told}, begun)

    def loop_blocked(
        self, path: str, seconds: float, task: str, stack: tuple[str, ...]
    ) -> None:
        """A step kept the loop from going round."""
        self._say(LoopBlocked, path, {"seconds": seconds, "task": task, "stack": stack})

    def _observer_failed(self, path: str, observer: str, reason: str) -> None:
        self.note = self.folds.note
        self._say(ObserverFailed, path, {"observer": observer, "reason": reason})

    def _say(
        self,
        kind: type[ExecutionEvent],
        path: str,
        fields: dict[str, Any],
        begun: float | None = None,
        *,
        duration_ms: float | None = None,
    ) -> None:
        """Number an event that has free text, and pass on what of it may be shown."""
        if self._keep or self.folds.wanting[kind]:
            for name in _TEXTS:
                if isinstance(fields.get(name), str):
                    fields[name] = self._veil(fields[name])
            if "[" in fields.get("guard", ""):  # of a keyed guard: what it is asked for
                fields["guard"] = self._veil(fields["guard"])
        self._emit(kind, path, fields, begun, duration_ms=duration_ms)

    def _emit(
        self,
        kind: type[ExecutionEvent],
        path: str,
        fields: dict[str, Any],
        begun: float | None = None,
        now: float | None = None,
        duration_ms: float | None = None,
    ) -> float | None:
        """Number an event and pass it on; *begun* is when what ends here began.

        *now*: what the clock says, if anybody has just looked; so is what is returned.
        """
        seq = self.seq
        self.seq = seq + 1
        wanted, keep = self.folds.wanting[kind], self._keep
        if not wanted and not keep:
            return now
        if now is None:
            now = self._clock()
        if begun is not None:
            duration_ms = (now - begun) * 1000.0
        if keep:
            record: Record = (kind, seq, path, now, duration_ms, fields)
            self._ring.append(record)
            for subscription in self._readers.open():
                subscription.put(record)
        if not wanted:
            return now
        event = MAKERS[kind](self._run_id, seq, path, now, duration_ms, fields)
        return self.folds.tell(event, now)

    def build(self, record: Record) -> ExecutionEvent:
        """Make the event object of a record."""
        kind, seq, path, timestamp, duration_ms, fields = record
        return MAKERS[kind](self._run_id, seq, path, timestamp, duration_ms, fields)

    def subscribe(self, *, after: int | None, when_full: WhenFull, pace: bool) -> Subscription:
        """Start a subscription; with *after*, events after that number are replayed from the ring first."""
        subscription = Subscription(self, self._readers.room, when_full=when_full, pace=pace)
        self.has_pace = self.has_pace or pace
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
