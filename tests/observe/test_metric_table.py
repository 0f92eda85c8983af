"""The table of metrics keeps to the conventions, and leaves no event out in silence."""

from __future__ import annotations

import re
from typing import Final

import pytest

from agentflow_trio.events import EVENT_TYPES
from agentflow_trio.observe import METRICS, Metric

UNCOUNTED: Final = ["node_start", "progress"]
"""A visit counts when it ends; how far a step is, is of one run."""

ALL = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


@ALL
def test_a_metric_is_called_as_prometheus_advises(metric: Metric) -> None:
    assert re.fullmatch(r"agentflow_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not metric.unit or metric.name.endswith(f"_{metric.unit}")
    assert re.fullmatch(r"[A-Z].*[^.]\.", metric.help)
    assert set(metric.labels) <= {
        "alert", "exit", "fault", "flow", "guard", "metric", "node", "observer", "outcome", "reason",
        "severity", "source", "state",
    }  # fmt: skip
    assert len(metric.labels) - len(metric.owner) <= 1
    assert bool(metric.bounds) <= (metric.kind == "histogram")


def test_names_are_there_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    asked = [(metric.owner, suffix) for metric in METRICS for suffix in metric.seed]
    assert len(set(asked)) == len(asked)


def test_metrics_with_the_same_suffix_are_of_the_same_kind() -> None:
    """So that a name that is a flow's and a step's can be answered for both together."""
    kinds: dict[str, set[tuple[str, tuple[float, ...]]]] = {}
    for metric in METRICS:
        for suffix in metric.seed:
            kinds.setdefault(suffix, set()).add((metric.kind, metric.bounds))
    assert [suffix for suffix, found in kinds.items() if len(found) > 1] == []


@ALL
def test_what_is_told_in_milliseconds_is_a_histogram_of_seconds(metric: Metric) -> None:
    assert [suffix.endswith("_ms") for suffix in metric.seed] == [
        metric.unit == "seconds"
    ] * len(metric.seed)
    assert metric.unit != "seconds" or metric.kind == "histogram"


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_event_is_counted_or_said_not_to_be(kind: type) -> None:
    feeds = [metric.name for metric in METRICS if kind in metric.events]
    uncounted = [EVENT_TYPES[name] for name in UNCOUNTED]
    assert bool(feeds) != (kind in uncounted)


@ALL
def test_a_metric_comes_from_somewhere(metric: Metric) -> None:
    overflow = metric.name == "agentflow_metrics_overflow_total"
    assert bool(metric.feeds or metric.live) != overflow
