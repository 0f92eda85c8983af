"""A failing schedule made short: it still fails, and nothing in it is superfluous."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.testing._choice_core import Deviations
from agentflow_trio.testing._shrink_core import Try, shrink

PLENTY = 1_000_000

schedules = st.dictionaries(st.integers(0, 200), st.integers(1, 3), max_size=40)


def counting(fails: Callable[[Deviations], bool]) -> tuple[Try, list[Deviations]]:
    """An attempt that costs 1, and what was attempted."""
    tried: list[Deviations] = []

    def attempt(deviations: Deviations) -> tuple[Deviations | None, int]:
        tried.append(deviations)
        return (deviations if fails(deviations) else None), 1

    return attempt, tried


def long(count: int) -> Deviations:
    return dict.fromkeys(range(count), 1)


def test_what_fails_in_the_usual_order_needs_one_attempt() -> None:
    attempt, tried = counting(lambda _: True)
    assert shrink(long(500), attempt, PLENTY) == {}
    assert tried == [{}]


def test_nothing_cannot_be_made_shorter() -> None:
    attempt, tried = counting(lambda _: True)
    assert shrink({}, attempt, PLENTY) == {}
    assert tried == []


def test_one_of_many_is_found_quickly() -> None:
    attempt, tried = counting(lambda deviations: 37 in deviations)
    assert shrink(long(256), attempt, PLENTY) == {37: 1}
    assert len(tried) < 30
    assert tried.count({}) == 1


def test_a_few_that_belong_together_are_found() -> None:
    attempt, tried = counting({3, 100, 250}.issubset)
    assert shrink(long(256), attempt, PLENTY) == {3: 1, 100: 1, 250: 1}
    assert len(tried) < 120


def test_the_late_ones_are_left_out_first() -> None:
    attempt, tried = counting(lambda deviations: len(deviations) >= 2)
    assert shrink(long(8), attempt, PLENTY) == {0: 1, 1: 1}
    assert tried[:3] == [{}, long(4), long(2)]


def test_unequal_parts_are_all_of_it() -> None:
    attempt, tried = counting(lambda _: False)
    assert shrink(long(5), attempt, PLENTY) == long(5)
    assert tried[:3] == [{}, long(3), {3: 1, 4: 1}]
    assert len(tried) == 1 + 2 + 4 + 5  # in whole, in halves, in quarters, one by one


def test_when_a_part_was_superfluous_the_next_are_as_small() -> None:
    attempt, tried = counting({0, 2}.issubset)
    assert shrink(long(8), attempt, PLENTY) == {0: 1, 2: 1}
    assert [[*each] for each in tried] == [
        [],
        [0, 1, 2, 3],
        [0, 1],
        [2, 3],
        [0, 1, 2],
        [0, 1],
        [0, 2],
        [0],
        [2],
    ]


def test_what_was_really_taken_counts() -> None:
    def attempt(deviations: Deviations) -> tuple[Deviations | None, int]:
        return ({1: 2} if 5 in deviations else None), 1

    assert shrink({1: 2, 3: 1, 5: 1, 6: 1}, attempt, PLENTY) == {1: 2}


def test_what_takes_as_many_deviations_as_before_is_no_progress() -> None:
    assert shrink({1: 1, 2: 1}, lambda _: ({8: 1, 9: 1}, 1), PLENTY) == {1: 1, 2: 1}


def test_no_more_is_tried_when_the_effort_is_used_up() -> None:
    costs: list[int] = []

    def attempt(deviations: Deviations) -> tuple[Deviations | None, int]:
        costs.append(100)
        return (deviations if 0 in deviations else None), 100

    left = shrink(long(64), attempt, 250)
    assert left == long(16)
    assert len(costs) == 3
    assert shrink(long(64), attempt, 0) == long(64)
    assert len(costs) == 3


@pytest.mark.parametrize("effort", [4, 5])
def test_it_stops_in_the_middle_of_a_round(effort: int) -> None:
    attempt, tried = counting(lambda deviations: len(deviations) == 64)
    assert shrink(long(64), attempt, effort) == long(64)
    assert len(tried) == effort


@given(schedules, st.lists(st.sets(st.integers(0, 200), max_size=3), max_size=4))
def test_the_result_fails_and_nothing_can_be_left_out(
    deviations: dict[int, int], reasons: list[set[int]]
) -> None:
    def fails(found: Deviations) -> bool:
        return found == deviations or any(reason <= found.keys() for reason in reasons)

    attempt, _ = counting(fails)
    short = shrink(deviations, attempt, PLENTY)
    assert fails(short)
    assert short.items() <= deviations.items()
    for point in short:
        assert not fails({p: c for p, c in short.items() if p != point})
