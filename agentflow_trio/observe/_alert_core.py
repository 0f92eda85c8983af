"""The life of an alert: inactive, pending, firing, and inactive again. No clock, no I/O.

Layer: observe. Rules: an alert fires when its condition has held for ``for_`` seconds without a break; once it fires, it
does until the value is beyond ``resolve_below``. No data holds nothing: it ends what is pending and resolves what fires.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, final

import attrs

from ._alert_rule import AlertRule, Op
from ._condition_core import SLACK

__all__ = ["INACTIVE", "AlertPhase", "AlertState", "follow"]

AlertPhase: TypeAlias = Literal["inactive", "pending", "firing"]
"""Where an alert is in its life."""


@final
@attrs.frozen
class AlertState:
    """Where an alert is in its life.

    Attributes:
        phase: inactive; pending, its condition holds, but not for long enough; or firing.
        since: when that began, on Trio's clock; 0.0 if inactive.
    """

    phase: AlertPhase = "inactive"
    since: float = 0.0


INACTIVE: Final = AlertState()


def follow(rule: AlertRule, state: AlertState, value: float | None, now: float) -> AlertState:
    """Return what becomes of an alert when its condition is *value* at *now*; None: there is no data."""
    if state.phase == "firing":
        return state if _stays(rule, value) else INACTIVE
    if value is None or not _compared(value, rule.op, rule.threshold):
        return INACTIVE
    since = now if state.phase == "inactive" else state.since
    if now - since >= rule.for_ - SLACK:
        return AlertState("firing", now)
    return AlertState("pending", since)


def _stays(rule: AlertRule, value: float | None) -> bool:
    if value is None:
        return False
    if rule.resolve_below is None:
        return _compared(value, rule.op, rule.threshold)
    if rule.op in {">", ">="}:
        return value >= rule.resolve_below
    return value <= rule.resolve_below


def _compared(value: float, op: Op, threshold: float) -> bool:
    match op:
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
