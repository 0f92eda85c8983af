"""The facts that guards report through ``on_event=``: frozen records, a closed union.

Layer: robustness. Inside a run the engine adds run, path and number. An event holds no live objects: errors are
there as class and text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias, final

import attrs

__all__ = [
    "AttemptFailed",
    "CallRejected",
    "CallTimedOut",
    "CircuitChanged",
    "GaveUp",
    "GuardEvent",
    "LimitChanged",
    "OnEvent",
    "ResourceClosed",
    "ResourceOpened",
    "RetryScheduled",
    "RuleFailed",
    "WaitEnded",
    "WaitStarted",
]


@attrs.frozen(kw_only=True)
class _GuardEvent:
    """What every event of a guard has.

    Attributes:
        guard: the guard's name.
        timestamp: seconds on Trio's clock.
    """

    guard: str
    timestamp: float


@final
@attrs.frozen(kw_only=True)
class CallRejected(_GuardEvent):
    """A guard did not let a body run. ``reason`` and ``retry_after`` as in the error."""

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
    """A caller waits no longer. ``waited``: seconds."""

    event_type: ClassVar[Literal["wait_end"]] = "wait_end"
    outcome: Literal["admitted", "rejected", "cancelled"]
    waited: float


@final
@attrs.frozen(kw_only=True)
class LimitChanged(_GuardEvent):
    """The limit of a guard was changed while it was in use."""

    event_type: ClassVar[Literal["limit_changed"]] = "limit_changed"
    before: int
    limit: int


@final
@attrs.frozen(kw_only=True)
class CircuitChanged(_GuardEvent):
    """A circuit breaker went from one state to another, or was acted on by hand.

    ``generation``: the number of the new state's term, which goes up with every change. ``cause``: why, one of the
    causes in the table of transitions. ``retry_after``: seconds until an opened circuit admits a probe; None if it
    does not by itself, or is not open.
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
    """An attempt of a retry failed. ``attempt``: from 1; ``error``: class and ``message``: text."""

    event_type: ClassVar[Literal["attempt_failed"]] = "attempt_failed"
    attempt: int
    error: str
    message: str


@final
@attrs.frozen(kw_only=True)
class RetryScheduled(_GuardEvent):
    """A retry is about to sleep. ``attempt``: the one that comes next; ``delay``: seconds."""

    event_type: ClassVar[Literal["retry_scheduled"]] = "retry_scheduled"
    attempt: int
    delay: float


@final
@attrs.frozen(kw_only=True)
class GaveUp(_GuardEvent):
    """A retry makes no further attempt. ``elapsed``: seconds since the first began; ``reason``: a stable word."""

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
    """A pool parted with an object. ``reason``: a stable word; ``size``: how many it has now."""

    event_type: ClassVar[Literal["resource_closed"]] = "resource_closed"
    reason: str
    size: int


@final
@attrs.frozen(kw_only=True)
class RuleFailed(_GuardEvent):
    """A function given as a rule (``record``, ``ignore``, a delay ...) raised. ``error``: class and ``message``: text."""

    event_type: ClassVar[Literal["rule_failed"]] = "rule_failed"
    error: str
    message: str


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
)
"""Any event of a guard."""

OnEvent: TypeAlias = Callable[[GuardEvent], object]
"""What a guard tells its events: a plain function, quick; see `Listener` for one that raises."""
