"""What guards and alerts do, in a few words: for lines, and for the rows of the table.

Layer: cli.
"""

from __future__ import annotations

import functools

from ..events import (
    AlertEvent,
    AlertFired,
    AttemptFailed,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    ExecutionEvent,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    RetryScheduled,
    RuleFailed,
)

__all__ = ["alert_words", "guard_words"]


@functools.singledispatch
def guard_words(_: ExecutionEvent) -> str:
    """What a guard did: nothing to speak of, unless its kind is registered below."""
    return ""


@guard_words.register
def _(event: CallRejected) -> str:
    again = "" if event.retry_after is None else f", again in {event.retry_after:.3g} s"
    return f"rejected by {event.guard}: {event.reason}{again}"


@guard_words.register
def _(event: AttemptFailed) -> str:
    return f"attempt {event.attempt} failed: {event.error}: {event.message}"


@guard_words.register
def _(event: RetryScheduled) -> str:
    return f"attempt {event.attempt} in {event.delay:.3g} s"


@guard_words.register
def _(event: GaveUp) -> str:
    attempts = f"{event.attempts} attempt{'s' * (event.attempts != 1)}"
    return f"gave up after {attempts}, {event.elapsed:.3f} s: {event.reason}"


@guard_words.register
def _(event: CircuitChanged) -> str:
    again = "" if event.retry_after is None else f", again in {event.retry_after:.3g} s"
    return f"circuit {event.guard} is {event.state}, was {event.before}: {event.cause}{again}"


@guard_words.register
def _(event: CallTimedOut) -> str:
    return f"timed out by {event.guard} after {event.seconds:g} s"


@guard_words.register
def _(event: RuleFailed) -> str:
    return f"a rule of {event.guard} failed: {event.error}: {event.message}"


@guard_words.register
def _(event: HedgeStarted) -> str:
    why = "so far none has ended" if event.reason == "delay" else "one failed"
    return f"{event.guard} begins attempt {event.attempt}: {why}"


@guard_words.register
def _(event: FaultInjected) -> str:
    match event.fault:
        case "latency":
            what = f"{event.delay:.3g} s of latency"
        case "behaviour":
            what = "its behaviour"
        case "error":
            what = event.error
        case _:
            what = "another outcome"
    return f"chaos {event.guard} injected {what}"


def alert_words(event: AlertEvent) -> str:
    """That an alert fired, or was resolved."""
    value = "no data" if event.value is None else f"{event.value:.6g}"
    now = f"{event.condition} is {value}, threshold {event.threshold:.6g}"
    if isinstance(event, AlertFired):
        return f"alert {event.alert} fired ({event.severity}): {now}"
    after = "" if event.duration_ms is None else f" after {event.duration_ms / 1000:.3f} s"
    return f"alert {event.alert} resolved{after}: {now}"
