"""What a condition says is read once, computed as Prometheus computes it, and a mistake in it is told with its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.observe import Histogram, MetricsCollector
from agentflow_trio.observe._condition_core import (
    Condition,
    ConditionError,
    Lookback,
    Term,
    parse,
    seconds,
)
from agentflow_trio.observe._samples_core import _grown

ERRORS: Final = Term("editing.error_count", "rate", 300.0)
ALL: Final = Term("editing.execution_count", "rate", 300.0)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("editing.error_count", Condition(Term("editing.error_count"))),
        ("X.error_count", Condition(Term("X.error_count"))),
        ("  editing.error_count ", Condition(Term("editing.error_count"))),
        ('"llm api".retry_count', None),
        ('"llm api.retry_count"', Condition(Term("llm api.retry_count"))),
        (
            "editorial.editing.review.error_count",
            Condition(Term("editorial.editing.review.error_count")),
        ),
        (
            "rate(editing.error_count[60s])",
            Condition(Term("editing.error_count", "rate", 60.0)),
        ),
        (
            "increase( editing.error_count [ 5m ] )",
            Condition(Term("editing.error_count", "increase", 300.0)),
        ),
        (
            "p95(editing.duration_ms[1h])",
            Condition(Term("editing.duration_ms", "quantile", 3600.0, 0.95, None)),
        ),
        (
            "p50(editorial.editing.duration_ms[1h])",
            Condition(Term("editorial.editing.duration_ms", "quantile", 3600.0, 0.5, None)),
        ),
        (
            "p99.9(editing.duration_ms[24h])",
            Condition(
                Term("editing.duration_ms", "quantile", 86400.0, 0.9990000000000001, None)
            ),
        ),
        (
            "p5(editing.duration_ms[1s])",
            Condition(Term("editing.duration_ms", "quantile", 1.0, 0.05, None)),
        ),
        (
            "rate(editing.error_count[5m])/rate(editing.execution_count[5m])",
            Condition(ERRORS, ALL),
        ),
        (
            "editing.error_count / editing.execution_count",
            Condition(Term("editing.error_count"), Term("editing.execution_count")),
        ),
    ],
)
def test_a_condition_is_read_into_values(text: str, condition: Condition | None) -> None:
    if condition is None:
        with pytest.raises(ConditionError):
            parse(text)
    else:
        assert parse(text) == condition


def test_a_term_knows_the_column_of_its_metric() -> None:
    found = parse("  rate(a.error_count[5m]) / a.execution_count")
    assert [term.column for term in found.terms] == [8, 29]
    assert [term.column for term in parse("a.error_count").terms] == [1]


TERMS: Final = "write a metric, rate(metric[60s]), increase(metric[5m]) or p95(metric[5m])"
MISTAKES: Final = [
    ("", 1, "a metric is missing", TERMS),
    ("   ", 4, "a metric is missing", TERMS),
    ("rate(a.error_count[60])", 20, "'60' has no unit", "write 60s, 60m or 60h"),
    ("rate(a.error_count[60d])", 20, "'d' is not a unit", "write 60s, 60m or 60h"),
    ("rate(a.error_count[soon])", 20, "'soon' is not a duration", "write 60s, 5m or 1h"),
    ("rate(a.error_count[0s])", 20, "'0s' is out of bounds", "write 1s to 24h"),
    ("rate(a.error_count[25h])", 20, "'25h' is out of bounds", "write 1s to 24h"),
    ("rate(a.error_count)", 19, "there is no window", "write rate(a.error_count[5m])"),
    ("rate(a.error_count", 19, "there is no window", "write rate(a.error_count[5m])"),
    (
        "increase(a.error_count[5m)",
        26,
        "the window is not closed",
        "write increase(a.error_count[5m])",
    ),
    ("p95(a.duration_ms[5m]", 22, "p95( is not closed", "write p95(a.duration_ms[5m])"),
    ("rate()", 6, "')' stands where a metric should", TERMS),
    ("rate(", 6, "a metric is missing", TERMS),
    ("p0(a.duration_ms[5m])", 1, "there is no function 'p0'", TERMS),
    ("p100(a.duration_ms[5m])", 1, "there is no function 'p100'", TERMS),
    ("avg(a.error_count[5m])", 1, "there is no function 'avg'", TERMS),
    ("a.error_count /", 16, "a metric is missing", TERMS),
    ("/ a.error_count", 1, "'/' stands where a metric should", TERMS),
    ('"', 1, "'\"' stands where a metric should", TERMS),
    (
        "a.error_count > 5",
        15,
        "'>' is too much",
        "leave the comparison to the rule's op and threshold",
    ),
    (
        "a.error_count >= 5",
        15,
        "'>=' is too much",
        "leave the comparison to the rule's op and threshold",
    ),
    (
        "a.error_count / b.error_count / c.error_count",
        31,
        "'/' is too much",
        "there can be one quotient, of two terms",
    ),
    (
        "a.error_count[5m]",
        14,
        "'[' is too much",
        "a window belongs into a function: rate(metric[60s])",
    ),
    (
        "a.error_count + b.error_count",
        15,
        "'+' is too much",
        "a condition is one term, or a quotient of two: a / b",
    ),
    (
        "a.error_count X.error_count",
        15,
        "'X.error_count' is too much",
        "a condition is one term, or a quotient of two: a / b",
    ),
]


NONSENSE: Final = [
    (
        "a.error_count / 60",
        17,
        "'60' is a number, not a metric",
        "leave numbers to the rule's threshold",
    ),
    (
        'rate(agentflow_retries_total{guard="db"}[5m])',
        6,
        "'agentflow_retries_total{guard' is what Prometheus calls it",
        "write whose it is and what: editing.error_count",
    ),
    (
        'retries{guard="db"}',
        1,
        "'retries{guard' is what Prometheus calls it",
        "write whose it is and what: editing.error_count",
    ),
    ("db.hedges", 1, "there is no metric 'hedges'", "did you mean db.hedge_count?"),
    ("db._", 1, "there is no metric '_'", "as editing.error_count: see the table of metrics"),
    (
        "error_count",
        1,
        "'error_count' does not say whose metric it is",
        "write the flow or step before it: editing.error_count",
    ),
    (
        "rate( editing.eror_count[5m])",
        7,
        "there is no metric 'eror_count'",
        "did you mean editing.error_count?",
    ),
    (
        "editorial.editing.eror_count",
        1,
        "there is no metric 'eror_count'",
        "did you mean editorial.editing.error_count?",
    ),
    (
        "p50(editorial.editing.duration_ms.p95[5m])",
        5,
        "'editorial.editing.duration_ms.p95' is one number of a histogram",
        "write p50(editorial.editing.duration_ms[5m])",
    ),
    (
        "a.error_count / editing.wibble",
        17,
        "there is no metric 'wibble'",
        "as editing.error_count: see the table of metrics",
    ),
    (
        "rate(editing.active[5m])",
        6,
        "'editing.active' goes up and down, which has no rate",
        "leave rate() out",
    ),
    (
        "increase(editing.duration_ms.p95[5m])",
        10,
        "'editing.duration_ms.p95' goes up and down, which has no increase",
        "leave increase() out",
    ),
    (
        "p95(editing.error_count[5m])",
        5,
        "'editing.error_count' is one number, which has no quantile",
        "write p95(editing.duration_ms[5m])",
    ),
    (
        "p50(editing.duration_ms.count[5m])",
        5,
        "'editing.duration_ms.count' is one number of a histogram",
        "write p50(editing.duration_ms[5m])",
    ),
]


@pytest.mark.parametrize(("text", "column", "problem", "remedy"), [*MISTAKES, *NONSENSE])
def test_a_mistake_is_told_with_its_place_and_what_to_write(
    text: str, column: int, problem: str, remedy: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert (caught.value.column, caught.value.problem) == (column, problem)
    assert caught.value.remedy == remedy
    assert caught.value.args == (column, problem, remedy)


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        ("a.error_count", 0.0),
        ("a.duration_ms", 0.0),
        ("a.duration_ms.count", 0.0),
        ("db.rejected_count.full", 0.0),
        ("rate(a.duration_ms.count[5m])", 0.0),
        ("a.active", None),
        ("a.duration_ms.p95", None),
        ("p95(a.wait_ms[5m])", None),
    ],
)
def test_what_is_counted_begins_at_nothing_and_nothing_else_does(
    text: str, unseen: float | None
) -> None:
    assert parse(text).term.unseen == unseen


def test_durations_have_a_unit() -> None:
    assert [seconds(text) for text in ("1s", "90s", "5m", "24h")] == [1.0, 90.0, 300.0, 86400.0]
    with pytest.raises(ConditionError) as caught:
        seconds("1.5h")
    assert (caught.value.column, caught.value.problem) == (1, "'1.5h' is not a duration")


def given_values(**values: float | None) -> Callable[[Term], float | None]:
    return lambda term: values[term.metric.partition(".")[0]]


@pytest.mark.parametrize(
    ("above", "below", "value"),
    [
        (1.0, 4.0, 0.25),
        (0.0, 4.0, 0.0),
        (0.0, 0.0, None),
        (2.0, 0.0, math.inf),
        (-2.0, 0.0, -math.inf),
        (None, 4.0, None),
        (1.0, None, None),
        (None, None, None),
    ],
)
def test_a_quotient_by_nothing_is_no_data_or_infinite(
    above: float | None, below: float | None, value: float | None
) -> None:
    found = parse("a.error_count / b.error_count").value(given_values(a=above, b=below))
    assert found == value


def test_one_term_is_what_it_is() -> None:
    condition = parse("a.error_count")
    assert condition.value(given_values(a=3.0)) == 3.0
    assert condition.value(given_values(a=None)) is None
    assert condition.over is None


# ---------------------------------------------------------------- windows


def test_a_window_ends_at_what_was_a_span_ago_and_not_before() -> None:
    window = Lookback(10.0, 0)
    assert window.back(0.0, 0) == 0
    assert window.back(5.0, 3) == 0
    assert window.back(14.0, 4) == 0
    assert window.back(15.0, 4) == 3  # what was counted by 5.0 lies outside of (5.0, 15.0]
    assert window.back(23.9, 4) == 3
    assert window.back(24.0, 4) == 4


def test_instants_that_differ_by_a_rounding_are_one() -> None:
    window = Lookback(0.3, 0)
    window.back(0.1, 1)
    assert window.back(0.4 - 5e-7, 1) == 1


def test_what_does_not_change_takes_no_room() -> None:
    window = Lookback(3600.0, 0)
    for second in range(3600):
        window.back(float(second), 7)
    assert len(window) == 2


def test_no_more_is_kept_than_a_window_and_what_it_began_with() -> None:
    window = Lookback(60.0, 0)
    for second in range(1000):
        window.back(float(second), second)
        assert len(window) <= 62


def test_after_a_restart_what_was_last_is_what_it_begins_with() -> None:
    window = Lookback(10.0, 0)
    window.back(100.0, 1)
    window.back(105.0, 5)
    window.restart()
    assert window.back(3.0, 6) == 5  # another clock
    assert window.back(12.9, 6) == 5
    assert window.back(13.0, 6) == 6


@given(
    span=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3)), max_size=40),
)
def test_it_tells_the_latest_value_at_least_a_span_old(
    span: int, steps: list[tuple[int, int]]
) -> None:
    window = Lookback(float(span), 0)
    seen = [(-math.inf, 0)]
    now, value = 0, 0
    for later, more in steps:
        now, value = now + later, value + more
        seen.append((now, value))
        old = [what for when, what in seen if when <= now - span]
        assert window.back(float(now), value) == old[-1]


def test_the_collector_tells_the_buckets_behind_a_name() -> None:
    metrics = MetricsCollector(buckets=(1.0, 2.0))
    assert metrics.get_histogram("f.duration_ms") is None
    metrics.ledger.extend([
        ("f", "a", None, 0.5),
        ("f", "b/a", None, 1.5),
        ("f", "c", None, 9.0),
    ])
    assert metrics.get_histogram("f.c.duration_ms") == Histogram((1.0, 2.0), (0, 0, 1), 9.0)
    assert metrics.get_histogram("a.duration_ms") == Histogram((1.0, 2.0), (1, 1, 0), 2.0)
    assert metrics.get_histogram("a.duration_ms.p95") == metrics.get_histogram("a.duration_ms")
    assert metrics.get_histogram("a.success_count") is None
    assert metrics.get_histogram("d.duration_ms") is None


def test_what_a_histogram_took_in_is_a_histogram() -> None:
    before = Histogram((1.0, 2.0), (1, 0, 2), 7.5)
    now = Histogram((1.0, 2.0), (4, 1, 2), 9.0)
    assert _grown(now, before) == Histogram((1.0, 2.0), (3, 1, 0), 1.5)
    assert _grown(now, None) is now
