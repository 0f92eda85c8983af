"""What is logged of an event: at which level, under which names. Pure.

Layer: observe. Rule: a record says what its event says, as typed values; nothing in it comes from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import attrs

from ..events import (
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    BranchCancelled,
    CacheHit,
    CallRejected,
    CallTimedOut,
    Caught,
    CircuitChanged,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    LimitChanged,
    LoadEnded,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    Routed,
    RuleFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
    WaitEnded,
    WaitStarted,
)

__all__ = ["BY_OUTCOME", "COMMON", "LEVELS", "NUMBERS", "OWN", "Level", "fields_of"]

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
"""How much a record matters, least first."""

NUMBERS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""Levels as numbers, which are those of ``logging``."""

LEVELS: Final[Mapping[type[ExecutionEvent], Level]] = {
    RunStarted: "info",
    RunEnded: "info",
    NodeStarted: "debug",
    NodeSucceeded: "info",
    NodeFailed: "error",
    NodeCancelled: "warning",
    Routed: "debug",
    Caught: "warning",
    FallbackUsed: "warning",
    BatchDone: "debug",
    ItemFailed: "warning",
    BranchCancelled: "warning",
    Progress: "debug",
    CleanupOverrun: "error",
    ThreadAbandoned: "warning",
    ThreadEnded: "info",
    LoopBlocked: "warning",
    ObserverFailed: "error",
    CallRejected: "warning",
    WaitStarted: "debug",
    WaitEnded: "debug",
    LimitChanged: "info",
    CircuitChanged: "warning",
    AttemptFailed: "warning",
    RetryScheduled: "warning",
    GaveUp: "warning",
    CallTimedOut: "warning",
    ResourceOpened: "debug",
    ResourceClosed: "debug",
    RuleFailed: "error",
    HedgeStarted: "info",
    HedgeWon: "info",
    CacheHit: "debug",
    LoadEnded: "debug",
    FaultInjected: "warning",
    AlertFired: "warning",
    AlertResolved: "info",
}
"""The level of each kind of event; `BY_OUTCOME` says more of the end of a run."""

BY_OUTCOME: Final[Mapping[str, Level]] = {
    "success": LEVELS[RunEnded],
    "cancelled": "warning",
    "error": "error",
}
"""The level of the end of a run, by its outcome."""

COMMON: Final = ("run_id", "seq", "flow", "path", "node_id", "duration_ms")
"""The fields that every record of a run has, but for ``duration_ms`` where nothing ended."""

# ``stack`` is taken in structlog, for text
_OTHERWISE: Final = {"stack": "frames"}
# ``own`` is for folds that count attempts
_HEAD: Final = frozenset({"run_id", "seq", "path", "timestamp", "duration_ms", "own"})


def _own(kind: type[ExecutionEvent]) -> tuple[tuple[str, str], ...]:
    names: list[str] = [field.name for field in attrs.fields(kind)]
    return tuple((name, _OTHERWISE.get(name, name)) for name in names if name not in _HEAD)


OWN: Final[Mapping[type[ExecutionEvent], tuple[tuple[str, str], ...]]] = {
    kind: _own(kind) for kind in LEVELS
}
"""What each kind of event says beyond the common fields: names in the event and in the record."""


def fields_of(event: ExecutionEvent) -> dict[str, object]:
    """The fields of the record of *event*; what it does not say is left out."""
    fields: dict[str, object] = {}
    if event.run_id:
        fields["run_id"], fields["seq"] = event.run_id, event.seq
    if event.path:
        flow = event.path.partition("/")[0]
        fields["flow"], fields["path"], fields["node_id"] = flow, event.path, event.node_id
    if event.duration_ms is not None:
        fields["duration_ms"] = event.duration_ms
    for name, called in OWN[type(event)]:
        value: object = getattr(event, name)
        if value is not None:
            fields[called] = value
    return fields
