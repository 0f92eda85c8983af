"""There are so many series and no more; reading from another thread loses nothing; nonsense is refused."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.events import AlertFired, ExecutionEvent, NodeSucceeded, Routed
from agentflow_trio.observe import Histogram, MetricsCollector
from agentflow_trio.observe._metric_table_core import NODE_ROUTED
from agentflow_trio.observe._series_core import SeriesTable

from .metrics_kit import shown

HEAD: Final[dict[str, Any]] = {"run_id": "r", "seq": 1, "timestamp": 0.0}


def ended(node: str) -> NodeSucceeded:
    return NodeSucceeded(**HEAD, path=f"f/{node}", duration_ms=500.0, exit=None)


def test_what_comes_when_there_is_no_room_is_counted_as_other_and_that_it_was() -> None:
    metrics = MetricsCollector(max_series=2)
    events: list[ExecutionEvent] = [ended(node) for node in "abcda"]
    for event in (*events, Routed(**HEAD, path="f/x", exit="e", target="t")):
        metrics.observe(event)
    assert shown(metrics) == {
        "node_executions_total{f,a,success}": 2,
        "node_executions_total{f,b,success}": 1,
        "node_executions_total{other,other,success}": 2,
        "node_duration_seconds_count{f,a}": 2,
        "node_duration_seconds_sum{f,a}": 1.0,
        "node_duration_seconds_count{f,b}": 1,
        "node_duration_seconds_sum{f,b}": 0.5,
        "node_duration_seconds_count{other,other}": 2,
        "node_duration_seconds_sum{other,other}": 1.0,
        "node_routed_total{f,x,e}": 1,
        "metrics_overflow_total{agentflow_node_executions_total}": 2,
        "metrics_overflow_total{agentflow_node_duration_seconds}": 2,
    }
    assert metrics.get_metric("agentflow_node_duration_seconds.overflow_count") == 2


def test_a_severity_stays_what_it_is_when_an_alert_becomes_other() -> None:
    metrics = MetricsCollector(max_series=1)
    for name in ("slow", "down", "late"):
        metrics.observe(
            AlertFired(
                alert=name,
                severity="page",
                condition="c",
                value=2.0,
                threshold=1.0,
                timestamp=0.0,
            )
        )
    assert metrics.get_metric("other.fired_count.page") == 2


def test_a_copy_has_as_much_room_and_is_changed_alone() -> None:
    table = SeriesTable((1.0,), 1)
    table.change(NODE_ROUTED, ("f", "a", "e"), 1.0)
    twin = table.copy()
    twin.change(NODE_ROUTED, ("f", "b", "e"), 1.0)
    assert list(twin.of(NODE_ROUTED)) == [("f", "a", "e"), ("other", "other", "other")]
    assert list(table.of(NODE_ROUTED)) == [("f", "a", "e")]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(1, 10))
def test_no_visit_is_lost_however_little_room_there_is(nodes: list[str], room: int) -> None:
    by_event, by_line = MetricsCollector(max_series=room), MetricsCollector(max_series=room)
    for node in nodes:
        by_event.observe(ended(node))
        by_line.ledger.append(("f", node, None, 0.5))
        by_line.settle()
    assert shown(by_event) == shown(by_line)
    total = sum(
        value for name, value in shown(by_line).items() if name.startswith("node_executions")
    )
    assert total == len(nodes)


def test_lines_of_more_places_than_there_is_room_for_are_counted_at_once() -> None:
    metrics = MetricsCollector(max_series=3)
    metrics.ledger.extend(("f", f"n{number}", "out", 1.0) for number in range(10))
    metrics.settle()
    assert metrics.ledger == []
    assert metrics.get_metric("other.success_count") == 7
    assert metrics.get_metric("other.routed_count.other") == 7


def test_lines_that_nobody_asks_for_do_not_pile_up() -> None:
    metrics = MetricsCollector()
    metrics.ledger.extend(("f", "n", None, 1.0) for _ in range(60_000))
    metrics.settle()
    assert not metrics._waiting
    assert metrics.get_metric("n.success_count") == 60_000


@pytest.mark.parametrize(
    "buckets", [(), (1.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"),)]
)
def test_bounds_that_do_not_rise_are_refused(buckets: tuple[float, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"buckets must be finite bounds that rise, not .*0\.01"
    ):
        MetricsCollector(buckets=buckets)


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="max_series must be >= 1, not 0"):
        MetricsCollector(max_series=0)


def test_buckets_are_those_that_were_given() -> None:
    metrics = MetricsCollector(buckets=[0.25, 1])
    metrics.ledger.append(("f", "a", None, 0.5))
    found = metrics.get_histogram("a.duration_ms")
    assert found is not None
    assert (found.bounds, found.counts) == ((0.25, 1.0), (0, 1, 0))


def test_whoever_reads_settles_the_ledger_first() -> None:
    for read in (MetricsCollector.names, MetricsCollector.snapshot, shown):
        metrics = MetricsCollector()
        metrics.ledger.append(("f", "a", "out", 0.5))
        assert read(metrics)
        assert metrics.ledger == []
        assert metrics.get_metric("a.success_count") == 1


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """They take turns whenever they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def torn(metrics: MetricsCollector) -> Iterator[object]:
    """Histograms of a snapshot whose sum does not fit their count, of visits that take half a second."""
    for family in metrics.snapshot():
        for sample in family.samples:
            value = sample.value
            if isinstance(value, Histogram) and value.total != value.count / 2:
                yield family.metric.name, value


@pytest.mark.usefixtures("hasty_threads")
def test_reading_in_other_threads_loses_and_tears_nothing() -> None:
    metrics, over = MetricsCollector(), threading.Event()
    seen: list[object] = []

    def scrape() -> None:
        while not over.is_set():
            seen.extend(torn(metrics))
            metrics.settle()
            metrics.names()

    readers = [threading.Thread(target=scrape) for _ in range(2)]
    for reader in readers:
        reader.start()
    events: list[ExecutionEvent] = [ended(f"n{number}") for number in range(10)]
    ledger = metrics.ledger
    for number in range(5_000):
        ledger.extend([("f", f"n{number % 10}", None, 0.5)] * 10)
        metrics.observe(events[number % 10])
    over.set()
    for reader in readers:
        reader.join()
    assert seen == []
    for number in range(10):
        assert metrics.get_metric(f"n{number}.success_count") == 5_500
        assert metrics.get_metric(f"n{number}.duration_ms.count") == 5_500
    assert metrics.ledger is ledger
