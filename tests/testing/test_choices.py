"""Who goes on next: choices as numbers, the ways to choose, and that none of them leaves a task waiting for ever."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.testing._choice_core import (
    TURN,
    Chooser,
    Deviations,
    Fixed,
    Priorities,
    Walk,
    choice_of,
    index_of,
)

widths = st.lists(st.tuples(st.integers(2, 6), st.integers(0, 5)), max_size=40)


def chosen(chooser: Chooser, tasks: Sequence[str], times: int, usual: int = 0) -> str:
    """The names of those that *chooser* let go on."""
    return "".join(
        tasks[index_of(chooser.choose(point, tasks, usual), usual)] for point in range(times)
    )


def test_choice_0_is_the_usual_one_and_the_others_follow_in_their_order() -> None:
    assert [index_of(choice, 2) for choice in range(4)] == [2, 0, 1, 3]
    assert [choice_of(index, 2) for index in range(4)] == [1, 2, 0, 3]


@given(st.integers(0, 9), st.integers(0, 9))
def test_every_task_has_one_choice(choice: int, usual: int) -> None:
    assert choice_of(index_of(choice, usual), usual) == choice


def test_a_fixed_schedule_deviates_where_it_is_told_and_nowhere_else() -> None:
    fixed = Fixed({1: 2, 3: 1})
    assert [fixed.choose(point, "abc", 0) for point in range(5)] == [0, 2, 0, 1, 0]
    assert [fixed.tie(point, 3) for point in range(5)] == [0, 2, 0, 1, 0]
    assert [Fixed().choose(point, "abc", 1) for point in range(3)] == [0, 0, 0]


def test_where_there_are_fewer_options_than_there_were_the_last_one_is_taken() -> None:
    assert Fixed({0: 7}).choose(0, "abc", 0) == 2
    assert Fixed({0: 7}).tie(0, 2) == 1


@given(st.sampled_from([0.0, 0.25, 0.9]), st.integers(), widths)
def test_what_was_chosen_can_be_repeated_from_its_deviations(
    stay: float, seed: int, points: list[tuple[int, int]]
) -> None:
    for chooser in (Walk(Random(seed), stay), Priorities(Random(seed), 3.0)):
        made = [
            chooser.choose(point, range(wide), usual % wide)
            for point, (wide, usual) in enumerate(points)
        ]
        deviations: Deviations = {point: choice for point, choice in enumerate(made) if choice}
        fixed = Fixed(deviations)
        assert made == [
            fixed.choose(point, range(wide), usual % wide)
            for point, (wide, usual) in enumerate(points)
        ]


def test_a_walk_lets_the_last_task_go_on_as_often_as_it_was_told_and_is_fair_otherwise() -> (
    None
):
    walk = Walk(Random(1), stay=0.7)
    counts = [0, 0, 0]
    for point in range(30_000):
        counts[walk.choose(point, "abc", 0)] += 1
    assert [round(count / 30_000, 2) for count in counts] == [0.8, 0.1, 0.1]


def test_a_walk_takes_any_number_of_near_timers() -> None:
    walk, priorities = Walk(Random(1)), Priorities(Random(1), 3.0)
    assert {walk.tie(point, 3) for point in range(50)} == {0, 1, 2}
    assert {priorities.tie(point, 3) for point in range(50)} == {0, 1, 2}


def test_the_highest_priority_goes_on_until_it_falls_below_all_others() -> None:
    went = chosen(Priorities(Random(7), apart=10.0), "abc", 40)
    assert went == "aaabbccabbbbbbbbbbccccccccccccabbbbbbbbb"


def test_who_comes_later_has_a_random_priority_too() -> None:
    first = 0
    for seed in range(1_000):
        priorities = Priorities(Random(seed), apart=1e9)
        priorities.choose(0, "ab", 0)
        first += priorities.choose(1, "abc", 0) == 2
    assert 300 < first < 370


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_of_n_tasks_that_can_always_go_on_each_does_within_n_rises(count: int) -> None:
    tasks = range(count)
    for seed in range(5):
        priorities = Priorities(Random(seed), apart=1e9)
        since = [0] * count
        for point in range(10 * TURN):
            since[index_of(priorities.choose(point, tasks, 0), 0)] = point
            assert point - min(since) <= count * -(-TURN // count)


def test_two_tasks_that_wake_each_other_do_not_keep_a_third_waiting() -> None:
    priorities = Priorities(Random(3), apart=1e9)
    last = "ping"
    for point in range(2 * TURN):
        last = "pong" if last == "ping" else "ping"
        if index_of(priorities.choose(point, (last, "third"), 0), 0) == 1:
            break
    else:
        pytest.fail("the third task never went on")


def test_ever_new_tasks_do_not_keep_an_old_one_waiting() -> None:
    priorities = Priorities(Random(3), apart=2.0)
    went = [priorities.choose(point, (f"new {point}", "old"), 0) for point in range(4 * TURN)]
    times = [point for point, choice in enumerate(went) if choice == 1]
    gaps = [after - before for before, after in pairwise(times)]
    assert times
    assert max(gaps) <= TURN


@pytest.mark.parametrize("stay", [0.0, 0.25, 0.5])
def test_a_walk_comes_back_to_every_task(stay: float) -> None:
    walk = Walk(Random(0), stay)
    last, since = 0, [0] * 10
    for point in range(20_000):
        last = index_of(walk.choose(point, range(10), last), last)
        since[last] = point
        assert point - min(since) <= TURN


def test_who_has_waited_for_a_turn_goes_on_exactly_then() -> None:
    names = chosen(Priorities(Random(0), apart=1e9), "ab", TURN // 2 + 1)
    assert names in {"a" * (TURN // 2) + "b", "b" * (TURN // 2) + "a"}
