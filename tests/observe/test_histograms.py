"""Histograms count what they are given, and their quantiles are those of Prometheus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.observe import Histogram
from agentflow_trio.observe._histogram_core import add, add_all, added, empty, merged

BOUNDS: Final = (1.0, 2.0, 4.0)
VALUES: Final = st.lists(st.floats(0.0, 100.0), max_size=30)


def histogram(values: Sequence[float]) -> Histogram:
    cell = empty(BOUNDS)
    for value in values:
        add(cell, BOUNDS, value)
    return merged(BOUNDS, [cell])


def test_a_bucket_holds_what_is_at_most_its_bound() -> None:
    found = histogram([0.0, 1.0, 1.5, 2.0, 2.5, 4.0, 4.5, 100.0])
    assert found == Histogram(BOUNDS, (2, 2, 2, 2), 115.5)
    assert found.cumulative == (2, 4, 6, 8)
    assert found.count == 8


def test_values_that_are_counted_at_once_add_to_what_was_counted_before() -> None:
    cell = empty(BOUNDS)
    add_all(cell, BOUNDS, [9.0, 0.5, 2.0, 1.5, 1.0, 3.0])
    assert cell == [2, 2, 1, 1, 17.0]
    add_all(cell, BOUNDS, [8.0, 1.0])
    assert cell == [3, 2, 1, 2, 26.0]


@given(VALUES, VALUES)
def test_values_are_counted_at_once_as_they_are_one_by_one(
    before: list[float], values: list[float]
) -> None:
    cell = empty(BOUNDS)
    for part in (before, values):
        add_all(cell, BOUNDS, part)
    one_by_one = histogram([*before, *values])
    assert tuple(cell[:-1]) == one_by_one.counts
    assert cell[-1] == pytest.approx(one_by_one.total)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((4, 0, 0, 0), 0.5, 0.5),  # from 0, evenly
        ((4, 0, 0, 0), 1.0, 1.0),
        ((4, 0, 0, 0), 0.0, 0.0),
        ((0, 4, 0, 0), 0.25, 1.25),
        ((2, 2, 4, 0), 0.5, 2.0),
        ((2, 2, 4, 0), 0.75, 3.0),
        ((1, 0, 1, 0), 0.5, 1.0),
        ((1, 0, 1, 0), 0.75, 3.0),
        ((0, 0, 0, 5), 0.5, 4.0),  # above all bounds: the highest
        ((1, 0, 0, 9), 0.95, 4.0),
    ],
)
def test_a_quantile_is_what_prometheus_says(
    counts: tuple[int, ...], share: float, expected: float | None
) -> None:
    assert Histogram(BOUNDS, counts, 0.0).quantile(share) == expected


@given(VALUES.filter(bool), st.floats(0.01, 1.0))
def test_an_estimate_is_in_the_bucket_of_the_true_quantile(
    values: list[float], share: float
) -> None:
    found = histogram(values).quantile(share)
    assert found is not None
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    low = max((bound for bound in (0.0, *BOUNDS) if bound < true), default=0.0)
    high = min((bound for bound in BOUNDS if bound >= true), default=4.0)
    assert min(low, high) <= found <= high


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_several_as_one_are_what_all_values_together_are(parts: list[list[float]]) -> None:
    together = histogram([value for values in parts for value in values])
    found = added([histogram(values) for values in parts])
    assert (found.bounds, found.counts) == (together.bounds, together.counts)
    assert found.total == pytest.approx(together.total)
