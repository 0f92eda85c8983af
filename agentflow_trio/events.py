"""The facts of a run: a closed union of frozen records, in the order they happened.

Layer: above errors. An event says what happened and where; it never holds live objects of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias, final

import attrs

from .types import Phase

__all__ = [
    "EVENT_TYPES",
    "AlertEvent",
    "AlertFired",
    "AlertResolved",
    "AttemptFailed",
    "BatchDone",
    "BranchCancelled",
    "CacheHit",
    "CallRejected",
    "CallTimedOut",
    "Caught",
    "CircuitChanged",
    "CleanupOverrun",
    "ExecutionEvent",
    "FallbackUsed",
    "FaultInjected",
    "GaveUp",
    "GuardEvent",
    "HedgeStarted",
    "HedgeWon",
    "ItemFailed",
    "LimitChanged",
    "LoadEnded",
    "LoopBlocked",
    "NodeCancelled",
    "NodeFailed",
    "NodeStarted",
    "NodeSucceeded",
    "ObserverFailed",
    "Progress",
    "ResourceClosed",
    "ResourceOpened",
    "RetryScheduled",
    "Routed",
    "RuleFailed",
    "RunEnded",
    "RunStarted",
    "ThreadAbandoned",
    "ThreadEnded",
    "WaitEnded",
    "WaitStarted",
]

# ``own`` says how to count attempts, to folds; it is no text for people
_HEAD = ("run_id", "seq", "path", "timestamp", "duration_ms", "node_id", "own")


@attrs.frozen(kw_only=True)
class _Event:
    """What every event has.

    Attributes:
        run_id: the run it belongs to.
        seq: its place in the run, from 0, without gaps.
        path: where it happened (``editorial/editing/review#2``).
        timestamp: seconds on Trio's clock.
        duration_ms: how long the thing took that ended here; None where nothing ended.
    """

    run_id: str
    seq: int
    path: str
    timestamp: float
    duration_ms: float | None = None

    @property
    def node_id(self) -> str:
        """The name of the step (or of the flow, for the run itself)."""
        return (
            self.path.rpartition("/")[2].partition("#")[0].partition("@")[0].partition("[")[0]
        )

    @property
    def metadata(self) -> Mapping[str, str]:
        """What this kind of event says beyond the common fields, as text."""
        own = (field.name for field in attrs.fields(type(self)) if field.name not in _HEAD)
        return {name: str(value) for name in own if (value := getattr(self, name)) is not None}


@final
@attrs.frozen(kw_only=True)
class RunStarted(_Event):
    """First of all events.

    ``flow``: its name. ``definition_hash``: tells this definition of the flow from others. ``seed``: of the run's
    dice. ``schema_version``: of its state's class. ``wall_time``: seconds since the epoch.
    """

    event_type: ClassVar[Literal["run_start"]] = "run_start"
    flow: str
    definition_hash: str
    seed: int
    schema_version: int
    wall_time: float


@final
@attrs.frozen(kw_only=True)
class RunEnded(_Event):
    """Last of all events, after everything was unwound.

    After it observers may still hear that one of them failed over it, and of threads that the run had abandoned.

    ``flow``: its name. ``outcome``: "error" if anything failed, also if it was cancelled besides; "cancelled" if that is
    all that happened. ``exit``: the flow's exit taken, None if it came to its end. ``steps``: how many visits were made.
    ``error``: class and text of the failure, if any.
    """

    event_type: ClassVar[Literal["run_end"]] = "run_end"
    flow: str
    outcome: Literal["success", "error", "cancelled"]
    exit: str | None
    steps: int
    error: str | None


@final
@attrs.frozen(kw_only=True)
class NodeStarted(_Event):
    """A visit began."""

    event_type: ClassVar[Literal["node_start"]] = "node_start"


@final
@attrs.frozen(kw_only=True)
class NodeSucceeded(_Event):
    """A visit ended well. ``exit``: the action, None for a step without exits."""

    event_type: ClassVar[Literal["node_success"]] = "node_success"
    exit: str | None


@final
@attrs.frozen(kw_only=True)
class NodeFailed(_Event):
    """A visit ended with an error.

    ``phase``: where in the step's life. ``attempt``: which try of ``exec``, from 1. ``error``: its class.
    ``message``: its text.
    """

    event_type: ClassVar[Literal["node_error"]] = "node_error"
    phase: Phase
    attempt: int
    error: str
    message: str


@final
@attrs.frozen(kw_only=True)
class NodeCancelled(_Event):
    """A visit was cut off by cancellation.

    ``phase`` and ``attempt``: how far it had come. ``error`` and ``message``: what failed while it unwound, if anything.
    """

    event_type: ClassVar[Literal["node_cancelled"]] = "node_cancelled"
    phase: Phase
    attempt: int
    error: str | None = None
    message: str | None = None


@final
@attrs.frozen(kw_only=True)
class Routed(_Event):
    """An exit was followed. ``exit``: which. ``target``: the next step, a flow's exit, or ``end``."""

    event_type: ClassVar[Literal["routed"]] = "routed"
    exit: str | None
    target: str


@final
@attrs.frozen(kw_only=True)
class Caught(_Event):
    """An error was routed by ``.catch``. ``error``: its class. ``message``: its text. ``target``: where to."""

    event_type: ClassVar[Literal["caught"]] = "caught"
    error: str
    message: str
    target: str


@final
@attrs.frozen(kw_only=True)
class BatchDone(_Event):
    """An item of ``each``, or a part of ``batch``, ended well; its number is in the path, as ``digest/embed[3]``.

    ``done`` and ``failed``: items so far. ``total``: how many there are, None if the source does not say.
    """

    event_type: ClassVar[Literal["batch"]] = "batch"
    done: int
    failed: int
    total: int | None


@final
@attrs.frozen(kw_only=True)
class ItemFailed(_Event):
    """An item of ``each``, or a part of ``batch``, failed.

    ``attempt``: the last that was made, from 1. ``error``: its class. ``message``: its text. ``tolerated``: the step goes
    on without it.
    """

    event_type: ClassVar[Literal["item_failed"]] = "item_failed"
    attempt: int
    error: str
    message: str
    tolerated: bool


@final
@attrs.frozen(kw_only=True)
class BranchCancelled(_Event):
    """A branch was cancelled by its path, and the others go on. ``reason``: what the caller of ``cancel`` said."""

    event_type: ClassVar[Literal["branch_cancelled"]] = "branch_cancelled"
    reason: str


@final
@attrs.frozen(kw_only=True)
class Progress(_Event):
    """A step reported how far it is. ``fraction``: 0 to 1. ``text``: its own words."""

    event_type: ClassVar[Literal["progress"]] = "progress"
    fraction: float
    text: str


@final
@attrs.frozen(kw_only=True)
class CleanupOverrun(_Event):
    """A cleanup used up the run's grace and has not ended.

    ``callback``: its name. ``grace``: seconds. ``stack``: where it stands, outermost first.
    """

    event_type: ClassVar[Literal["cleanup_overrun"]] = "cleanup_overrun"
    callback: str
    grace: float
    stack: tuple[str, ...]


@final
@attrs.frozen(kw_only=True)
class ThreadAbandoned(_Event):
    """A step was cancelled and left a thread behind that still works, as it had asked for. ``function``: what it calls."""

    event_type: ClassVar[Literal["thread_abandoned"]] = "thread_abandoned"
    function: str


@final
@attrs.frozen(kw_only=True)
class ThreadEnded(_Event):
    """A thread that had been abandoned came to its end; perhaps its run was over before.

    ``function``: what it called. ``error`` and ``message``: what that raised, if anything; what it returned is lost.
    """

    event_type: ClassVar[Literal["thread_ended"]] = "thread_ended"
    function: str
    error: str | None
    message: str | None


@final
@attrs.frozen(kw_only=True)
class LoopBlocked(_Event):
    """A step kept the loop from going round, told when that was over; see ``Engine(watchdog=)``.

    ``seconds``: how long, by the wall. ``task``: its name. ``stack``: where it stood meanwhile, outermost first,
    the line that blocked last; empty if nobody could look.
    """

    event_type: ClassVar[Literal["loop_blocked"]] = "loop_blocked"
    seconds: float
    task: str
    stack: tuple[str, ...]


@final
@attrs.frozen(kw_only=True)
class ObserverFailed(_Event):
    """An observer raised or took too long and was switched off for this run.

    What failed in the background belongs to no run: ``run_id`` and ``path`` are empty, ``seq`` is -1.

    ``observer``: its name. ``reason``: why.
    """

    event_type: ClassVar[Literal["observer_failed"]] = "observer_failed"
    observer: str
    reason: str


# ---------------------------------------------------------------- what guards do


@attrs.frozen(kw_only=True)
class _GuardEvent(_Event):
    """What every event of a guard has; ``path`` is that of the step it is used in.

    Told to ``on_event=`` by the guard itself, which knows of no run: there ``run_id`` and ``path`` are empty, ``seq`` is -1.

    Attributes:
        guard: the guard's name; of a step's ``retry``, the step's.
    """

    guard: str
    run_id: str = ""
    seq: int = -1
    path: str = ""


@final
@attrs.frozen(kw_only=True)
class CallRejected(_GuardEvent):
    """A guard did not let a body run. ``reason`` and ``retry_after``: as in the error."""

    event_type: ClassVar[Literal["rejected"]] = "rejected"
    reason: str
    retry_after: float | None


@final
@attrs.frozen(kw_only=True)
class WaitStarted(_GuardEvent):
    """A caller began to wait for a guard. ``waiting``: how many wait now, this one included."""

    event_type: ClassVar[Literal["wait_start"]] = "wait_start"
    waiting: int


@final
@attrs.frozen(kw_only=True)
class WaitEnded(_GuardEvent):
    """A caller waits no longer. ``outcome``: how that ended. ``waited``: seconds."""

    event_type: ClassVar[Literal["wait_end"]] = "wait_end"
    outcome: Literal["admitted", "rejected", "cancelled"]
    waited: float


@final
@attrs.frozen(kw_only=True)
class LimitChanged(_GuardEvent):
    """The limit of a guard was changed while it was in use. ``before`` and ``limit``: what it was, and is."""

    event_type: ClassVar[Literal["limit_changed"]] = "limit_changed"
    before: int
    limit: int


@final
@attrs.frozen(kw_only=True)
class CircuitChanged(_GuardEvent):
    """A circuit breaker went from one state to another, or was acted on by hand.

    ``before`` and ``state``: what it was, and is. ``generation``: the number of the new state's term, which goes up with
    every change. ``cause``: why, one of the causes in the table of transitions. ``retry_after``: seconds until an opened
    circuit admits a probe; None if it does not by itself, or is not open.
    """

    event_type: ClassVar[Literal["circuit_changed"]] = "circuit_changed"
    before: str
    state: str
    generation: int
    cause: str
    retry_after: float | None


@final
@attrs.frozen(kw_only=True)
class AttemptFailed(_GuardEvent):
    """An attempt of a retry or a hedge failed.

    ``duration_ms``: how long it took. ``attempt``: which, from 1; of a retry around a hedge, the last of the round.
    ``error``: its class. ``message``: its text. ``own``: of the step's ``retry=`` or ``hedge=``, so that ``attempt`` is
    the visit's; otherwise of a guard in the node's code, which counts for itself.
    """

    event_type: ClassVar[Literal["attempt_failed"]] = "attempt_failed"
    attempt: int
    error: str
    message: str
    own: bool = False


@final
@attrs.frozen(kw_only=True)
class RetryScheduled(_GuardEvent):
    """A retry is about to sleep. ``attempt``: the one that comes next. ``delay``: seconds. ``own``: as in `AttemptFailed`."""

    event_type: ClassVar[Literal["retry_scheduled"]] = "retry_scheduled"
    attempt: int
    delay: float
    own: bool = False


@final
@attrs.frozen(kw_only=True)
class GaveUp(_GuardEvent):
    """A retry or a hedge makes no further attempt, and its call fails.

    ``attempts``: how many were made. ``elapsed``: seconds since the first began. ``reason``: a stable word.
    """

    event_type: ClassVar[Literal["gave_up"]] = "gave_up"
    attempts: int
    elapsed: float
    reason: str


@final
@attrs.frozen(kw_only=True)
class CallTimedOut(_GuardEvent):
    """A timeout cut a body off. ``seconds``: how long the limit was."""

    event_type: ClassVar[Literal["timed_out"]] = "timed_out"
    seconds: float


@final
@attrs.frozen(kw_only=True)
class ResourceOpened(_GuardEvent):
    """A pool made an object. ``size``: how many it has now."""

    event_type: ClassVar[Literal["resource_opened"]] = "resource_opened"
    size: int


@final
@attrs.frozen(kw_only=True)
class ResourceClosed(_GuardEvent):
    """A pool parted with an object. ``reason``: a stable word. ``size``: how many it has now."""

    event_type: ClassVar[Literal["resource_closed"]] = "resource_closed"
    reason: str
    size: int


@final
@attrs.frozen(kw_only=True)
class RuleFailed(_GuardEvent):
    """A function given as a rule (``record``, ``ignore``, a delay ...) raised. ``error``: its class. ``message``: its text."""

    event_type: ClassVar[Literal["rule_failed"]] = "rule_failed"
    error: str
    message: str


@final
@attrs.frozen(kw_only=True)
class FallbackUsed(_GuardEvent):
    """A fallback stood in for a result, of a step's exec or of any body. ``error`` and ``message``: what had failed, class and text."""

    event_type: ClassVar[Literal["fallback_used"]] = "fallback_used"
    error: str
    message: str


@final
@attrs.frozen(kw_only=True)
class HedgeStarted(_GuardEvent):
    """A hedge begins another attempt beside those that go on.

    ``attempt``: which, from 2. ``reason``: ``delay``, those that go on take too long; ``failure``, one has failed.
    ``own``: as in `AttemptFailed`.
    """

    event_type: ClassVar[Literal["hedge_start"]] = "hedge_start"
    attempt: int
    reason: Literal["delay", "failure"]
    own: bool = False


@final
@attrs.frozen(kw_only=True)
class HedgeWon(_GuardEvent):
    """Of several attempts of a hedge one was first to end well; those that went on were cut off.

    ``duration_ms``: since the first attempt began. ``attempt``: which won, from 1. ``attempts``: how many were begun.
    ``own``: as in `AttemptFailed`.
    """

    event_type: ClassVar[Literal["hedge_won"]] = "hedge_won"
    attempt: int
    attempts: int
    own: bool = False


@final
@attrs.frozen(kw_only=True)
class CacheHit(_GuardEvent):
    """A caller need not load. ``source``: the value was ``stored``, or the caller has ``joined`` who loads it already."""

    event_type: ClassVar[Literal["cache_hit"]] = "cache_hit"
    source: Literal["stored", "joined"]


@final
@attrs.frozen(kw_only=True)
class LoadEnded(_GuardEvent):
    """A load of a key ended. ``duration_ms``: how long it took. ``outcome``: how. ``callers``: how many waited for it, its leader included."""

    event_type: ClassVar[Literal["load_end"]] = "load_end"
    outcome: Literal["loaded", "failed", "cancelled"]
    callers: int


@final
@attrs.frozen(kw_only=True)
class FaultInjected(_GuardEvent):
    """Chaos let something go wrong with a body.

    ``fault``: ``latency`` or a ``behaviour`` before it, an ``error`` in its place, or another ``outcome``. ``delay``: seconds, 0 if none.
    ``error``: the class of the error, empty if none.
    """

    event_type: ClassVar[Literal["fault_injected"]] = "fault_injected"
    fault: Literal["latency", "behaviour", "error", "outcome"]
    delay: float
    error: str


# ---------------------------------------------------------------- what is seen across runs


@attrs.frozen(kw_only=True)
class _AlertEvent(_Event):
    """What every event of an alert has. It belongs to no run: ``run_id`` and ``path`` are empty, ``seq`` is -1.

    Attributes:
        alert: the name of the rule.
        severity: as the rule says.
        condition: what the rule looks at (``rate(editing.error_count[60s])``).
        threshold: what that is compared with.
    """

    alert: str
    severity: str
    condition: str
    threshold: float
    run_id: str = ""
    seq: int = -1
    path: str = ""


@final
@attrs.frozen(kw_only=True)
class AlertFired(_AlertEvent):
    """A condition has held for as long as its rule asks. ``value``: what the condition is now."""

    event_type: ClassVar[Literal["alert_fired"]] = "alert_fired"
    value: float


@final
@attrs.frozen(kw_only=True)
class AlertResolved(_AlertEvent):
    """A fired alert holds no longer.

    ``value``: what the condition is now; None if there is no data. ``duration_ms``: how long it was firing.
    """

    event_type: ClassVar[Literal["alert_resolved"]] = "alert_resolved"
    value: float | None


AlertEvent: TypeAlias = AlertFired | AlertResolved
"""Any event of an alert."""

GuardEvent: TypeAlias = (
    CallRejected
    | WaitStarted
    | WaitEnded
    | LimitChanged
    | CircuitChanged
    | AttemptFailed
    | RetryScheduled
    | GaveUp
    | CallTimedOut
    | ResourceOpened
    | ResourceClosed
    | RuleFailed
    | FallbackUsed
    | HedgeStarted
    | HedgeWon
    | CacheHit
    | LoadEnded
    | FaultInjected
)
"""Any event of a guard."""

ExecutionEvent: TypeAlias = (
    RunStarted
    | RunEnded
    | NodeStarted
    | NodeSucceeded
    | NodeFailed
    | NodeCancelled
    | Routed
    | Caught
    | FallbackUsed
    | BatchDone
    | ItemFailed
    | BranchCancelled
    | Progress
    | CleanupOverrun
    | ThreadAbandoned
    | ThreadEnded
    | LoopBlocked
    | ObserverFailed
    | CallRejected
    | WaitStarted
    | WaitEnded
    | LimitChanged
    | CircuitChanged
    | AttemptFailed
    | RetryScheduled
    | GaveUp
    | CallTimedOut
    | ResourceOpened
    | ResourceClosed
    | RuleFailed
    | HedgeStarted
    | HedgeWon
    | CacheHit
    | LoadEnded
    | FaultInjected
    | AlertFired
    | AlertResolved
)
"""Any event: a closed union, so that a ``match`` over it is checked to be complete."""

EVENT_TYPES: Mapping[str, type[ExecutionEvent]] = {
    kind.event_type: kind
    for kind in (
        RunStarted,
        RunEnded,
        NodeStarted,
        NodeSucceeded,
        NodeFailed,
        NodeCancelled,
        Routed,
        Caught,
        FallbackUsed,
        BatchDone,
        ItemFailed,
        BranchCancelled,
        Progress,
        CleanupOverrun,
        ThreadAbandoned,
        ThreadEnded,
        LoopBlocked,
        ObserverFailed,
        CallRejected,
        WaitStarted,
        WaitEnded,
        LimitChanged,
        CircuitChanged,
        AttemptFailed,
        RetryScheduled,
        GaveUp,
        CallTimedOut,
        ResourceOpened,
        ResourceClosed,
        RuleFailed,
        HedgeStarted,
        HedgeWon,
        CacheHit,
        LoadEnded,
        FaultInjected,
        AlertFired,
        AlertResolved,
    )
}
"""Event type, as ``node_start`` -> its class."""
