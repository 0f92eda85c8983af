"""A metric is found by the name of the design, and says None where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.events import (
    AlertFired,
    CallRejected,
    NodeFailed,
    NodeSucceeded,
    Routed,
    RunEnded,
    WaitEnded,
)
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.observe._metric_core import guard_label, place

HEAD: Final[dict[str, Any]] = {"run_id": "r", "seq": 1, "timestamp": 0.0}


def ended(path: str, *, ms: float = 100.0) -> NodeSucceeded:
    return NodeSucceeded(**HEAD, path=path, duration_ms=ms, exit=None)


def failed(path: str) -> NodeFailed:
    return NodeFailed(
        **HEAD, path=path, duration_ms=50.0, phase="exec", attempt=1, error="E", message="m"
    )


def run_ended(flow: str) -> RunEnded:
    return RunEnded(
        **HEAD,
        path=flow,
        duration_ms=1e3,
        flow=flow,
        outcome="success",
        exit=None,
        steps=2,
        error=None,
    )


def newsroom() -> MetricsCollector:
    """``review`` in two places of ``editorial``, and a flow of that name; guards, an alert."""
    metrics = MetricsCollector()
    for event in (
        ended("editorial/editing/review"),
        failed("editorial/editing/review#2"),
        ended("editorial/proof/review"),
        ended("editorial/editing", ms=300.0),
        run_ended("editorial"),
        run_ended("review"),
        Routed(**HEAD, path="editorial/editing/review", exit="approve", target="end"),
        Routed(**HEAD, path="editorial/editing/review#2", exit="reject", target="write"),
        Routed(**HEAD, path="editorial/editing/review#3", exit="reject", target="write"),
        CallRejected(guard="db.main", timestamp=0.0, reason="open", retry_after=None),
        WaitEnded(guard="db.main", timestamp=0.0, outcome="admitted", waited=0.75),
        AlertFired(
            alert="slow",
            severity="page",
            condition="c",
            value=2.0,
            threshold=1.0,
            timestamp=0.0,
        ),
    ):
        metrics.observe(event)
    return metrics


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # whose: the whole path, an ending of it, all places and flows of a name
        ("editorial.editing.review.success_count", 1),
        ("editing.review.success_count", 1),
        ("proof.review.success_count", 1),
        ("review.success_count", 3),
        ("review.execution_count", 4),
        ("editorial.execution_count", 1),
        ("iew.execution_count", None),
        ("editorial.review.execution_count", None),
        # what was seen but this never happened to it
        ("editing.review.cancelled_count", 0),
        ("editing.error_count", 0),
        ("editing.caught_count", None),
        # durations
        ("editing.duration_ms", 300.0),
        ("editing.duration_ms.sum", 300.0),
        ("editing.duration_ms.count", 1),
        ("review.duration_ms", 1250.0),
        ("review.duration_ms.count", 4),
        ("editing.duration_ms.p50", 375.0),
        ("editing.duration_ms.p0", 250.0),
        ("editing.duration_ms.p99.9", 499.75),
        ("editing.duration_ms.median", None),
        ("editorial.step_count", 2),
        # parts
        ("review.routed_count", 3),
        ("review.routed_count.reject", 2),
        ("review.routed_count.withdraw", 0),
        ("review.execution_count.error", 1),
        ("review.success_count.error", None),
        ("editorial.active.now", None),
        # guards and alerts, with dots in their names
        ("db.main.rejected_count", 1),
        ("db.main.rejected_count.open", 1),
        ("main.rejected_count", None),
        ("db.main.wait_ms", 750.0),
        ("slow.firing", 1),
        ("slow.fired_count", 1),
        # no names
        ("", None),
        (".", None),
        ("success_count", None),
        ("review.", None),
        ("review.nonsense", None),
        ("review.success_count.", 3),
    ],
)
def test_a_name_is_answered(name: str, expected: float | None) -> None:
    assert newsroom().get_metric(name) == expected


def test_a_step_may_be_called_like_a_metric() -> None:
    metrics = MetricsCollector()
    metrics.observe(ended("f/error_count"))
    metrics.observe(Routed(**HEAD, path="f/a", exit="error_count", target="end"))
    assert metrics.get_metric("error_count.success_count") == 1
    assert metrics.get_metric("a.routed_count.error_count") == 1


def test_the_longest_owner_is_meant_first() -> None:
    metrics = MetricsCollector()
    metrics.observe(Routed(**HEAD, path="f/a", exit="success_count", target="end"))
    assert metrics.get_metric("a.routed_count.success_count") == 1
    metrics.ledger += [("f", "a/routed_count", None, 1.0)] * 5
    assert metrics.get_metric("a.routed_count.success_count") == 5


def test_every_name_it_gives_is_answered_and_none_is_given_twice() -> None:
    metrics = newsroom()
    names = metrics.names()
    assert [name for name in names if metrics.get_metric(name) is None] == []
    assert list(names) == sorted(set(names))
    for expected in (
        "editorial.editing.review.error_count",
        "review.error_count",
        "review.duration_ms.p95",
        "review.routed_count.reject",
        "db.main.rejected_count.open",
        "slow.firing",
        "editorial.active",
    ):
        assert expected in names
    assert MetricsCollector().names() == []


def test_a_histogram_is_found_by_its_name() -> None:
    metrics = newsroom()
    found = metrics.get_histogram("editing.duration_ms")
    assert found is not None
    assert (found.count, found.total) == (1, 0.3)
    assert metrics.get_histogram("editing.duration_ms.p95") == found
    assert metrics.get_histogram("editing.success_count") is None
    assert metrics.get_histogram("nobody.duration_ms") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("f", ("f", "")),
        ("f/a", ("f", "a")),
        ("digest/map#2/embed[3]", ("digest", "map/embed")),
        ("digest@2/map#2@3[4]/embed[3]@2", ("digest", "map/embed")),
        ("", ("", "")),
    ],
)
def test_a_place_has_no_numbers(path: str, expected: tuple[str, str]) -> None:
    assert place(path) == expected


NAMES: Final = st.text(
    st.characters(exclude_characters="/#@[]", exclude_categories=["Cs", "Cc", "Z"]), min_size=1
)
NUMBERS: Final = st.sampled_from(["", "#2", "@3", "[17]", "#2@3[4]"])


@given(st.lists(st.tuples(NAMES, NUMBERS), min_size=1, max_size=5))
def test_a_place_is_the_names_of_the_path(segments: Sequence[tuple[str, str]]) -> None:
    path = "/".join(name + number for name, number in segments)
    flow, *nodes = (name for name, _ in segments)
    assert place(path) == (flow, "/".join(nodes))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("db", "db"), ("user[ann]", "user"), ("user[a[b]]", "user"), ("a[0].b", "a[0].b")],
)
def test_a_guard_of_a_key_is_called_like_all_of_them(name: str, expected: str) -> None:
    assert guard_label(name) == expected
