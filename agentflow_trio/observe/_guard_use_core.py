"""What happened, counted, and how guards were used.

Layer: observe. Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import final

import attrs

from ..events import (
    CacheHit,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    LoadEnded,
    LoopBlocked,
    RetryScheduled,
    WaitEnded,
)
from ._spans_core import RunSpans

__all__ = ["EventCounts", "GuardProfile", "Tally"]


@final
@attrs.frozen(kw_only=True)
class EventCounts:
    """What happened in all runs together, by the number of events.

    Attributes:
        events: how many there were.
        runs: how many runs they tell of.
        succeeded: runs that ended well.
        failed: runs that ended with an error.
        cancelled: runs that were cancelled.
        unfinished: runs whose end is not among the events.
        steps: visits that began.
        failures: visits and items that failed, however that was handled.
        retries: attempts after the first that were scheduled.
        rejections: calls that a guard did not let in.
        timeouts: calls that a timeout cut off.
        hedges: attempts that hedges began beside others.
        fallbacks: results that a fallback stood in for.
        hits: callers of caches that needed no load of their own.
        injected: faults of chaos.
        blocked: seconds in which a step kept the loop from going round; see ``Engine(watchdog=)``.
    """

    events: int
    runs: int
    succeeded: int
    failed: int
    cancelled: int
    unfinished: int
    steps: int
    failures: int
    retries: int
    rejections: int
    timeouts: int
    hedges: int
    fallbacks: int
    hits: int
    injected: int
    blocked: float


@final
@attrs.frozen(kw_only=True)
class GuardProfile:
    """What a guard did, or a hedge, a fallback, a cache, a chaos, in all runs together.

    Attributes:
        guard: its name; of a step's retry and timeout, the step's.
        waits: how often somebody waited for it until the wait was over.
        waited: seconds of these together.
        longest: seconds of the longest.
        rejections: calls it did not let in.
        timeouts: calls it cut off.
        retries: attempts after the first that it scheduled.
        gave_up: how often it made no further attempt.
        opened: how often its circuit opened.
        hedges: attempts it began beside others.
        won_late: how often another than the first of several attempts was the first to end well.
        fallbacks: results it stood in for.
        hits: callers of a cache that needed no load of their own.
        loads: loads of a cache.
        injected: faults it let happen.
    """

    guard: str
    waits: int
    waited: float
    longest: float
    rejections: int
    timeouts: int
    retries: int
    gave_up: int
    opened: int
    hedges: int
    won_late: int
    fallbacks: int
    hits: int
    loads: int
    injected: int


@final
class Tally:
    """Counts events."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._guards: Counter[tuple[str, str]] = Counter()  # event type and guard
        self._waits: dict[str, list[float]] = {}
        self._names: set[str] = set()
        self._blocked: list[float] = []

    def observe(self, event: ExecutionEvent) -> None:
        """Take an event into account."""
        self._kinds[event.event_type] += 1
        match event:
            case WaitEnded():
                self._waits.setdefault(event.guard, []).append(event.waited)
                self._names.add(event.guard)
            case (
                CallRejected()
                | CallTimedOut()
                | RetryScheduled()
                | GaveUp()
                | HedgeStarted()
                | FallbackUsed()
                | CacheHit()
                | LoadEnded()
                | FaultInjected()
            ):
                self._guards[event.event_type, event.guard] += 1
                self._names.add(event.guard)
            case HedgeWon():
                self._guards[event.event_type, event.guard] += event.attempt > 1
            case CircuitChanged():
                self._guards[event.event_type, event.guard] += event.state == "open"
                self._names.add(event.guard)
            case LoopBlocked():
                self._blocked.append(event.seconds)
            case _:
                pass

    def counts(self, runs: Sequence[RunSpans]) -> EventCounts:
        """The counts, with *runs*, which were made of the same events."""
        outcomes = [run.root.outcome for run in runs]
        kinds = self._kinds
        return EventCounts(
            events=kinds.total(),
            runs=len(runs),
            succeeded=outcomes.count("success"),
            failed=outcomes.count("error"),
            cancelled=outcomes.count("cancelled"),
            unfinished=outcomes.count("unfinished"),
            steps=kinds["node_start"],
            failures=kinds["node_error"] + kinds["item_failed"],
            retries=kinds["retry_scheduled"],
            rejections=kinds["rejected"],
            timeouts=kinds["timed_out"],
            hedges=kinds["hedge_start"],
            fallbacks=kinds["fallback_used"],
            hits=kinds["cache_hit"],
            injected=kinds["fault_injected"],
            blocked=math.fsum(self._blocked),
        )

    def guards(self) -> tuple[GuardProfile, ...]:
        """How guards were used; those that made others wait the longest first."""
        uses = [self._use(name) for name in sorted(self._names)]
        return tuple(sorted(uses, key=lambda use: -use.waited))

    def _use(self, name: str) -> GuardProfile:
        waits = self._waits.get(name, [])
        return GuardProfile(
            guard=name,
            waits=len(waits),
            waited=math.fsum(waits),
            longest=max(waits, default=0.0),
            rejections=self._guards["rejected", name],
            timeouts=self._guards["timed_out", name],
            retries=self._guards["retry_scheduled", name],
            gave_up=self._guards["gave_up", name],
            opened=self._guards["circuit_changed", name],
            hedges=self._guards["hedge_start", name],
            won_late=self._guards["hedge_won", name],
            fallbacks=self._guards["fallback_used", name],
            hits=self._guards["cache_hit", name],
            loads=self._guards["load_end", name],
            injected=self._guards["fault_injected", name],
        )
