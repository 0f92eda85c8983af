"""The life of an alert: inactive, pending, firing, and inactive again. No clock, no I/O.

Layer: observe. Rules: an alert fires when its condition has held for ``for_`` seconds without a break; once it fires, it
does until the value is beyond ``resolve_below``. No data holds nothing: it ends what is pending and resolves what fires.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, assert_never, final

import attrs

from ..events import AlertEvent, AlertFired, AlertResolved
from ._alert_rule import AlertRule, Op
from ._condition_core import SLACK, parse
from ._samples_core import MetricsReader, Samples

__all__ = ["INACTIVE", "AlertPhase", "AlertState", "Watchers", "follow"]

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
        case _:
            assert_never(op)


@final
class Watchers:
    """All rules, each with the state of its alert.

    An alert keeps firing when nobody looks any more.
    """

    def __init__(self, rules: Iterable[AlertRule], metrics: MetricsReader) -> None:
        """Begin with all of them inactive. The names of the rules are different."""
        self._rules = tuple((rule, parse(rule.condition)) for rule in rules)
        terms = (term for _, condition in self._rules for term in condition.terms)
        self._samples = Samples(terms, metrics)
        self._states = {rule.name: INACTIVE for rule, _ in self._rules}
        self._fired: dict[str, AlertFired] = {}
        self._last = 0.0

    @property
    def memory(self) -> float:
        """For how many seconds what alerts do may change although no metric does: windows end, and what holds has held."""
        spans = (
            rule.for_ + max(term.window for term in condition.terms)
            for rule, condition in self._rules
        )
        return max(spans, default=0.0)

    def look(self, now: float) -> list[tuple[AlertRule, AlertEvent]]:
        """Compute all conditions at *now*, no earlier than the time before; return what became of alerts, in the order of rules."""
        told: list[tuple[AlertRule, AlertEvent]] = []
        values = self._samples.read(now)
        for rule, condition in self._rules:
            value = condition.value(values.__getitem__)
            before = self._states[rule.name]
            after = self._states[rule.name] = follow(rule, before, value, now)
            was_firing, fires = before.phase == "firing", after.phase == "firing"
            if fires and not was_firing and value is not None:
                fired = _fired(rule, value, now)
                self._fired[rule.name] = fired
                told.append((rule, fired))
            elif was_firing and not fires:
                del self._fired[rule.name]
                told.append((rule, _resolved(rule, value, now, now - before.since)))
        self._last = now
        return told

    def resume(self, now: float, *, same_clock: bool) -> None:
        """Look on after a pause: what was pending is not. By another clock windows begin anew, and what fires has not aged."""
        for name, state in self._states.items():
            if state.phase == "pending":
                self._states[name] = INACTIVE
            elif state.phase == "firing" and not same_clock:
                since = now - (self._last - state.since)
                self._states[name] = AlertState("firing", since)
        if not same_clock:
            self._samples.restart()
            self._last = now

    def firing(self) -> tuple[AlertFired, ...]:
        """What fired and was not resolved, in the order in which it fired."""
        return tuple(self._fired.values())

    def pending(self) -> tuple[str, ...]:
        """The names of alerts whose condition holds, but not for long enough, in the order of rules."""
        return tuple(name for name, state in self._states.items() if state.phase == "pending")


def _fired(rule: AlertRule, value: float, now: float) -> AlertFired:
    return AlertFired(
        alert=rule.name,
        severity=rule.severity,
        condition=rule.condition,
        value=value,
        threshold=rule.threshold,
        timestamp=now,
    )


def _resolved(rule: AlertRule, value: float | None, now: float, lasted: float) -> AlertResolved:
    return AlertResolved(
        alert=rule.name,
        severity=rule.severity,
        condition=rule.condition,
        value=value,
        threshold=rule.threshold,
        timestamp=now,
        duration_ms=lasted * 1000.0,
    )
