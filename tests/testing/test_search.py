"""Which schedules are tried: repeatable from their seed, enumerated without repeats, of all policies in turn."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.testing import _search_core
from agentflow_trio.testing._choice_core import Fixed
from agentflow_trio.testing._search_core import POLICIES, Policy, Search, Trial, trial

NAMED: list[Policy] = ["batch", "one-at-a-time", "priorities"]


def choices(made: Trial, count: int = 60) -> list[int]:
    return [made.chooser.choose(point, "abcd", point % 4) for point in range(count)]


@pytest.mark.parametrize("policy", NAMED)
def test_a_trial_is_made_of_policy_and_seed_alone(policy: Policy) -> None:
    assert choices(trial(policy, 17)) == choices(trial(policy, 17))
    assert choices(trial(policy, 17)) != choices(trial(policy, 18))
    made = trial(policy, 17)
    assert (made.policy, made.seed, made.slack) == (policy, 17, True)
    assert made.mode == ("batch" if policy == "batch" else "one")
    assert not trial(policy, 17, slack=False).slack


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("batch", "123111300120320133302303"),
        ("one-at-a-time", "003002010000010130000002"),
        ("priorities", "100000032203220001121203"),
    ],
)
def test_a_code_that_names_a_policy_means_the_same_in_the_next_version(
    policy: Policy, expected: str
) -> None:
    assert "".join(map(str, choices(trial(policy, 17), 24))) == expected


def test_a_search_begins_with_seed_0() -> None:
    assert Search("batch").next().seed == 0


def test_schedules_are_enumerated_in_the_same_order_again_and_all_before_the_next_seed() -> (
    None
):
    def orders() -> list[tuple[int, list[int]]]:
        search = Search("preemptions", 5)
        found: list[tuple[int, list[int]]] = []
        for _ in range(70):
            made = search.next()
            found.append((made.seed, [made.chooser.choose(at, "abc", 0) for at in range(3)]))
            search.learn([3, 3, 3])
        return found

    found = orders()
    assert found == orders()
    assert [seed for seed, _ in found] == [5] * 27 + [32] * 27 + [59] * 16
    assert sorted(order for _, order in found[:27]) == sorted(
        order for _, order in found[27:54]
    )


@pytest.mark.parametrize("policy", NAMED)
def test_schedules_do_not_hang_together_with_what_the_program_draws(policy: Policy) -> None:
    low: Counter[int] = Counter()
    for seed in range(600):
        if Random(seed).random() < 0.25:
            low[trial(policy, seed).chooser.choose(0, "abcd", 0)] += 1
    assert sorted(low) == [0, 1, 2, 3]
    assert max(low.values()) < 90


def test_each_policy_searches_with_seed_after_seed() -> None:
    for policy in NAMED:
        search = Search(policy, 5)
        made = [search.next() for _ in range(3)]
        assert [one.seed for one in made] == [5, 6, 7]
        assert choices(made[2]) == choices(trial(policy, 7))


def test_the_portfolio_takes_all_policies_in_turn_each_time_with_another_seed() -> None:
    search = Search("portfolio", 100)
    made: list[Trial] = []
    for _ in range(16):
        made.append(search.next())
        search.learn([2, 2, 2])
    assert [one.seed for one in made] == list(range(100, 116))
    assert Counter(one.policy for one in made) == {
        "priorities": 7,
        "one-at-a-time": 4,
        "batch": 1,
        "preemptions": 4,
    }
    assert {one.policy for one in made[:4]} == set(POLICIES) - {"portfolio", "batch"}


def test_in_the_portfolio_it_learns_from_its_own_schedules_only() -> None:
    search = Search("portfolio")
    deviations: list[dict[int, int]] = []
    for _ in range(4 * 4):
        made = search.next()
        search.learn([2, 2] if made.policy == "preemptions" else [9] * 50)
        if made.policy == "preemptions":
            deviations.append(_taken(made, 2))
    assert sorted(map(sorted, deviations)) == [[], [0], [0, 1], [1]]


def _taken(made: Trial, points: int) -> dict[int, int]:
    """What a fixed schedule of so many points deviates by."""
    assert isinstance(made.chooser, Fixed)
    found = {point: made.chooser.tie(point, 99) for point in range(points)}
    return {point: choice for point, choice in found.items() if choice}


@given(st.lists(st.integers(2, 4), max_size=4), st.integers(0, 99))
def test_every_schedule_comes_once_those_with_fewer_deviations_first(
    widths: list[int], first: int
) -> None:
    total = 1
    for width in widths:
        total *= width
    search = Search("preemptions", first)
    found: list[dict[int, int]] = []
    for _ in range(total):
        made = search.next()
        assert (made.policy, made.seed, made.mode, made.slack) == (
            *("preemptions", first, "one"),
            True,
        )
        found.append(_taken(made, len(widths)))
        search.learn(widths)
    assert [len(one) for one in found] == sorted(len(one) for one in found)
    assert len({tuple(sorted(one.items())) for one in found}) == total
    assert all(0 < choice < widths[point] for one in found for point, choice in one.items())
    again = search.next()  # all were tried: once more, with other data
    assert (_taken(again, 4), again.seed) == ({}, first + total)


def test_a_schedule_is_deviated_from_where_it_had_options_itself() -> None:
    search = Search("preemptions")
    search.next()
    search.learn([2])
    assert _taken(search.next(), 9) == {0: 1}
    search.learn([2, 3])  # there was a second point after the deviation
    assert sorted(_taken(search.next(), 9).items()) in ([(0, 1), (1, 1)], [(0, 1), (1, 2)])


def test_what_nobody_tells_about_leads_nowhere() -> None:
    search = Search("preemptions", 3)
    search.next()
    assert search.next().seed == 4


def test_of_very_many_schedules_some_are_drawn_from_all_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_search_core, "_WIDEST", 50)
    search = Search("preemptions", 1)
    sizes: list[int] = []
    points: list[int] = []
    for _ in range(1 + 50 + 50):
        taken = _taken(search.next(), 1_000)
        search.learn([3] * 1_000)
        sizes.append(len(taken))
        points.extend(taken)
    assert sizes == [0] + [1] * 50 + [2] * 50
    assert min(points) < 100
    assert max(points) > 900
