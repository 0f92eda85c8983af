"""Alerts against a model that sees what a caller sees: when it was looked, what was counted by then, what was told.

Values are worked out by the definition of a window, from all looks so far; and of each alert only what was told of it
before is known, and since when its condition has held at every look.
"""

from __future__ import annotations

import math
import operator
from typing import Final

import attrs
from alerts_kit import ended
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow_trio.events import AlertFired
from agentflow_trio.observe import AlertRule, MetricsCollector
from agentflow_trio.observe._alert_core import Watchers
from agentflow_trio.observe._alert_rule import Op

OPS: Final[tuple[Op, ...]] = (">", ">=", "<", "<=")
COMPARE: Final = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
CONDITIONS: Final = (
    "editing.error_count",
    "increase(editing.error_count[4s])",
    "rate(editing.error_count[2s])",
    "increase(editing.error_count[4s]) / increase(editing.execution_count[4s])",
)


@st.composite
def alert_rules(draw: st.DrawFn, name: str) -> AlertRule:
    op = draw(st.sampled_from(OPS))
    threshold = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    off = draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
    sign = -1.0 if ">" in op else 1.0
    return AlertRule(
        name,
        draw(st.sampled_from(CONDITIONS)),
        threshold,
        "log",
        op=op,
        for_=draw(st.sampled_from([0.0, 1.0, 3.0])),
        resolve_below=None if off is None else threshold + sign * off,
    )


@attrs.frozen
class Look:
    """When somebody looked, and what was counted by then."""

    now: float
    errors: int
    runs: int


@attrs.define
class Seen:
    """What was told of one alert."""

    fired: int = 0
    resolved: int = 0
    held_since: float | None = None
    fired_at: float = 0.0

    @property
    def is_firing(self) -> bool:
        return self.fired > self.resolved


class AlertsModel(RuleBasedStateMachine):
    """Runs end, time passes, somebody looks, or nobody does for a while."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.watched = [data.draw(alert_rules(name)) for name in ("a", "b")]
        self.metrics = MetricsCollector()
        self.watchers = Watchers(self.watched, self.metrics)
        self.errors = self.runs = 0
        self.now = 100.0
        self.looks = [Look(-math.inf, 0, 0)]
        self.seen = {each.name: Seen() for each in self.watched}

    @rule(errors=st.integers(0, 3), successes=st.integers(0, 2))
    def runs_end(self, errors: int, successes: int) -> None:
        ended(self.metrics, "error", times=errors)
        ended(self.metrics, "success", times=successes)
        self.errors += errors
        self.runs += errors + successes

    @rule(later=st.integers(1, 5))
    def look(self, later: int) -> None:
        self.now += later
        self.looks.append(Look(self.now, self.errors, self.runs))
        told = self.watchers.look(self.now)
        expected = [event for each in self.watched for event in self.expected(each)]
        got = [
            (about.name, isinstance(event, AlertFired), event.value) for about, event in told
        ]
        assert got == expected
        for about, event in told:
            seen = self.seen[about.name]
            assert event.alert == about.name
            assert event.timestamp == self.now
            if isinstance(event, AlertFired):
                seen.fired += 1
                seen.fired_at = self.now
            else:
                seen.resolved += 1
                assert event.duration_ms == (self.now - seen.fired_at) * 1000.0

    @rule(clock=st.sampled_from([None, 0.0, 50.0, 5000.0]))
    def another_engine_goes_on(self, clock: float | None) -> None:
        """By the same clock, or in another run of Trio by another."""
        for seen in self.seen.values():
            seen.held_since = None
        if clock is not None:
            for seen in self.seen.values():
                seen.fired_at += clock - self.now
            last = self.looks[-1]
            self.looks = [Look(-math.inf, last.errors, last.runs)]
            self.now = clock
        self.watchers.resume(self.now, same_clock=clock is None)

    def expected(self, about: AlertRule) -> list[tuple[str, bool, float | None]]:
        seen, value = self.seen[about.name], self.value(about.condition)
        breaches = value is not None and COMPARE[about.op](value, about.threshold)
        if seen.is_firing:
            stays = breaches
            if about.resolve_below is not None and value is not None:
                beyond = operator.lt if ">" in about.op else operator.gt
                stays = not beyond(value, about.resolve_below)
            return [] if stays else [(about.name, False, value)]
        if not breaches:
            seen.held_since = None
            return []
        if seen.held_since is None:
            seen.held_since = self.now
        if self.now - seen.held_since < about.for_:
            return []
        seen.held_since = None
        return [(about.name, True, value)]

    def value(self, condition: str) -> float | None:
        now = self.looks[-1]
        if condition == CONDITIONS[0]:
            return now.errors
        before4, before2 = self.before(4.0), self.before(2.0)
        if condition == CONDITIONS[1]:
            return now.errors - before4.errors
        if condition == CONDITIONS[2]:
            return (now.errors - before2.errors) / 2.0
        runs = now.runs - before4.runs
        return (now.errors - before4.errors) / runs if runs else None

    def before(self, span: float) -> Look:
        """The latest look at least *span* ago."""
        return [each for each in self.looks if each.now <= self.now - span][-1]

    @invariant()
    def what_is_firing_is_told(self) -> None:
        if not hasattr(self, "seen"):
            return
        firing = sorted(name for name, seen in self.seen.items() if seen.is_firing)
        assert sorted(event.alert for event in self.watchers.firing()) == firing
        pending = [each.name for each in self.watched if self.is_pending(each)]
        assert list(self.watchers.pending()) == pending

    def is_pending(self, about: AlertRule) -> bool:
        seen = self.seen[about.name]
        return seen.held_since is not None and not seen.is_firing


TestAlerts = AlertsModel.TestCase
