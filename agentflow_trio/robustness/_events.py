"""The facts that guards report through ``on_event=``: those of `agentflow_trio.events` that are about guards.

Layer: robustness. Inside a run the engine adds run, path and number. An event holds no live objects: errors are
there as class and text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..events import (
    AttemptFailed,
    CacheHit,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    GuardEvent,
    HedgeStarted,
    HedgeWon,
    LimitChanged,
    LoadEnded,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    RuleFailed,
    WaitEnded,
    WaitStarted,
)

__all__ = [
    "AttemptFailed",
    "CacheHit",
    "CallRejected",
    "CallTimedOut",
    "CircuitChanged",
    "FallbackUsed",
    "FaultInjected",
    "GaveUp",
    "GuardEvent",
    "HedgeStarted",
    "HedgeWon",
    "LimitChanged",
    "LoadEnded",
    "OnEvent",
    "ResourceClosed",
    "ResourceOpened",
    "RetryScheduled",
    "RuleFailed",
    "WaitEnded",
    "WaitStarted",
]

OnEvent: TypeAlias = Callable[[GuardEvent], object]
"""What a guard tells its events: a plain function, quick; see `Listener` for one that raises."""
