"""Schedules as a few characters: what is spelt can be read again, and is never long."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.testing import ReplayCodeError
from agentflow_trio.testing._choice_core import Deviations, Fixed
from agentflow_trio.testing._code_core import LONGEST, parse, spell
from agentflow_trio.testing._search_core import Mode, Policy, Trial, trial

seeds = st.integers(-(10**9), 10**9)
schedules = st.dictionaries(st.integers(0, 10_000), st.integers(1, 100), max_size=30)
steps = st.none() | st.integers(0, 10**6)
NAMED: list[Policy] = ["batch", "one-at-a-time", "priorities"]
MODES: list[Mode] = ["one", "batch"]


def fixed(
    deviations: Deviations, seed: int = 17, mode: Mode = "one", *, slack: bool = True
) -> Trial:
    return Trial("preemptions", seed, mode, slack, Fixed(deviations))


def taken(made: Trial, points: int = 10_001) -> dict[int, int]:
    found = {point: made.chooser.tie(point, 1_000) for point in range(points)}
    return {point: choice for point, choice in found.items() if choice}


def test_a_code_spells_the_distances_between_deviations_and_choices_that_are_not_1() -> None:
    assert spell(fixed({}), {}) == "os17:"
    assert spell(fixed({}), {2: 1, 11: 2}) == "os17:3,9.2"
    assert spell(fixed({}), {0: 1, 1: 1, 36: 40}) == "os17:1,1,z.14"
    assert spell(fixed({}, slack=False), {35: 1}) == "o17:10"
    assert spell(fixed({}, mode="batch", seed=-3), {0: 3}) == "bs-3:1.3"
    assert spell(fixed({}), {2: 1}, cancel=5) == "os17x5:3"


def test_a_code_is_read_as_it_was_meant() -> None:
    read = parse("os17:3,9.2")
    assert (read.trial.policy, read.trial.seed) == ("preemptions", 17)
    assert (read.trial.mode, read.trial.slack, read.cancel) == ("one", True, None)
    assert taken(read.trial) == {2: 1, 11: 2}
    other = parse(" b-3x5:\n")
    assert (other.trial.policy, other.trial.seed, other.trial.mode) == ("batch", -3, "batch")
    assert (other.trial.slack, other.cancel, taken(other.trial)) == (False, 5, {})


@given(seeds, st.sampled_from(MODES), st.booleans(), schedules, steps)
def test_what_is_spelt_out_can_be_read_again(
    seed: int, mode: Mode, slack: bool, deviations: dict[int, int], cancel: int | None
) -> None:
    read = parse(spell(fixed(deviations, seed, mode, slack=slack), deviations, cancel))
    assert (read.trial.seed, read.trial.mode, read.trial.slack) == (seed, mode, slack)
    assert taken(read.trial) == deviations
    assert read.cancel == cancel


@given(seeds, st.sampled_from(NAMED), schedules, steps)
def test_a_schedule_too_long_to_spell_is_named_by_what_made_it(
    seed: int, policy: Policy, deviations: dict[int, int], cancel: int | None
) -> None:
    made = trial(policy, seed)
    code = spell(made, deviations, cancel)
    assert len(code) <= LONGEST
    read = parse(code)
    assert (read.trial.seed, read.trial.mode, read.trial.slack) == (seed, made.mode, True)
    assert read.cancel == cancel
    if code.startswith(policy):
        again = trial(policy, seed)
        assert read.trial.policy == policy
        assert [read.trial.chooser.choose(point, "abc", 0) for point in range(50)] == [
            again.chooser.choose(point, "abc", 0) for point in range(50)
        ]
    else:
        assert taken(read.trial) == deviations


def test_a_name_is_used_only_for_what_it_makes_again() -> None:
    many = dict.fromkeys(range(0, 100, 2), 1)
    assert spell(trial("priorities", 17), many) == "priorities=17"
    assert spell(trial("priorities", 17), many, cancel=3) == "priorities=17x3"
    assert spell(trial("batch", 17, slack=False), many).startswith("b17:1,2,2,")
    assert spell(fixed(many), many).startswith("os17:1,2,2,")


@pytest.mark.parametrize("policy", NAMED)
def test_a_name_is_read(policy: Policy) -> None:
    made = trial(policy, 17)
    read = parse(f"{policy}=17x3")
    assert read.cancel == 3
    assert attrs.evolve(read.trial, chooser=made.chooser) == made
    chosen = [read.trial.chooser.choose(point, "abc", 0) for point in range(50)]
    assert chosen == [made.chooser.choose(point, "abc", 0) for point in range(50)]


def test_what_just_fits_is_spelt_out() -> None:
    code = spell(trial("priorities", 17), dict.fromkeys(range(0, 76, 2), 1))
    assert code.startswith("os17:1,2,2,")
    assert len(code) == LONGEST


@pytest.mark.parametrize(
    "code",
    [
        "",
        "17",
        "os17",
        "os:",
        "s17:",
        "oss17:",
        "os17:3,",
        "os17:,3",
        "os17:3.",
        "os17:.2",
        "os17:0",
        "os17:3.0",
        "os17:3.2.1",
        "os17:A",
        "os17x:",
        "os1.5:",
        "os17:3 9",
        "priorities=",
        "priorities=17:3",
        "preemptions=17",
        "portfolio=17",
    ],
)
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ReplayCodeError) as caught:
        parse(code)
    assert caught.value.code == code
    assert repr(code) in str(caught.value)


def test_behind_a_plus_stand_the_calls_that_faults_may_strike() -> None:
    assert spell(fixed({}), {2: 1}, strikes=[(0, 2), (11, 40)]) == "os17:3+0.2,b.14"
    assert spell(fixed({}), {}, strikes=[]) == "os17:+"
    assert spell(trial("priorities", 5), dict.fromkeys(range(99), 9), strikes=[(0, 1)]) == (
        "priorities=5+0.1"
    )
    assert parse("os17:3+0.2,b.14").strikes == ((0, 2), (11, 40))
    assert parse("priorities=5+0.1").strikes == ((0, 1),)
    assert parse("os17:+").strikes == ()
    assert parse("os17:").strikes is None
    for wrong in ("os17:+1", "os17:+0.0", "os17:+0.1,", "os17+"):
        with pytest.raises(ReplayCodeError):
            parse(wrong)
