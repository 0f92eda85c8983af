"""What each event changes, exactly, and nothing besides."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from agentflow_trio.events import (
    EVENT_TYPES,
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    CallRejected,
    CircuitChanged,
    ExecutionEvent,
    NodeFailed,
    RunEnded,
)
from agentflow_trio.observe import MetricsCollector

from .metric_examples import ALERT, EXPECTED, FAILED, GUARD, RUN, WHERE
from .metrics_kit import shown


def collector(*events: ExecutionEvent) -> MetricsCollector:
    metrics = MetricsCollector()
    for event in events:
        metrics.observe(event)
    return metrics


def test_there_is_an_example_of_every_event() -> None:
    assert {event.event_type for event, _ in EXPECTED} == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("event", "expected"),
    EXPECTED,
    ids=[f"{event.event_type}-{number}" for number, (event, _) in enumerate(EXPECTED)],
)
def test_an_event_changes_these_numbers(
    event: ExecutionEvent, expected: Mapping[str, float]
) -> None:
    assert shown(collector(event)) == expected
    assert (type(event) in MetricsCollector().wants) or not expected


def test_a_gauge_that_is_set_says_what_was_told_last() -> None:
    opened = CircuitChanged(
        **GUARD, before="closed", state="open", generation=1, cause="c", retry_after=1.0
    )
    probing = attrs.evolve(opened, before="open", state="half_open", generation=2)
    metrics = collector(opened, probing)
    assert metrics.get_metric("db.circuit_open") == 0
    assert metrics.get_metric("db.circuit_half_open") == 1
    assert metrics.get_metric("db.circuit_change_count") == 2
    assert metrics.get_metric("db.circuit_change_count.open") == 1
    fired = AlertFired(**ALERT)
    metrics = collector(fired, AlertResolved(**ALERT), fired)
    assert metrics.get_metric("slow.firing") == 1
    assert metrics.get_metric("slow.fired_count") == 2


def test_the_keys_of_a_keyed_limiter_are_one_guard() -> None:
    """There may be millions of them, and they may be names of people."""
    rejected = CallRejected(guard="user[ann]", timestamp=0.0, reason="rate", retry_after=None)
    metrics = collector(rejected, attrs.evolve(rejected, guard="user[bob]"))
    assert shown(metrics) == {"rejections_total{user,rate}": 2}


def test_no_text_of_an_error_becomes_a_label() -> None:
    metrics = collector(*(event for event, _ in EXPECTED))
    assert "secret" not in "".join(shown(metrics))
    assert "OSError" not in "".join(shown(metrics))


def test_a_part_is_as_large_as_what_was_done_since_the_last() -> None:
    part = BatchDone(**WHERE, duration_ms=1.0, done=4, failed=0, total=None)
    again = AttemptFailed(
        run_id="r", path="f/a#2/b", guard="b", timestamp=0.0, attempt=1, **FAILED
    )
    whole = NodeFailed(**{**WHERE, "path": "f/a#2/b"}, phase="exec", attempt=1, **FAILED)
    other = attrs.evolve(part, run_id="other")
    metrics = collector(part, attrs.evolve(part, done=6), other, again, part, whole, part)
    assert metrics.get_metric("b.batch_size") == 4 + 2 + 4 + 4 + 4
    assert metrics.get_metric("b.batch_size.count") == 5
    end = RunEnded(**RUN, flow="f", outcome="success", exit=None, steps=1, error=None)
    metrics.observe(end)
    metrics.observe(part)
    assert metrics.get_metric("b.batch_size") == 22


def test_parts_inside_of_items_are_counted_for_each_item() -> None:
    part = BatchDone(**{**WHERE, "path": "f/a[0]/b[0]"}, done=3, failed=0, total=None)
    beside = attrs.evolve(part, path="f/a[1]/b[0]", done=2)
    metrics = collector(part, beside, attrs.evolve(part, path="f/a[0]/b[1]", done=5))
    assert metrics.get_metric("b.batch_size") == 3 + 2 + 2


def test_sizes_are_remembered_of_a_thousand_visits_of_a_run() -> None:
    metrics = MetricsCollector()
    first = BatchDone(**{**WHERE, "path": "f/a#1[0]"}, done=1, failed=0, total=None)

    def done(visit: int, so_far: int) -> float | None:
        metrics.observe(attrs.evolve(first, path=f"f/a#{visit}[0]", done=so_far))
        return metrics.get_metric("a.batch_size")

    for visit in range(1, 1_001):
        done(visit, 1)
    assert done(1, 3) == 1_000 + 2  # and it is the latest now
    assert done(1_001, 1) == 1_003
    assert done(1, 4) == 1_004
    assert done(2, 4) == 1_008  # it was the first to be forgotten
