"""The rules of the circuit breaker where an example says more than a model: bounds, the table, snapshots."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from agentflow_trio.robustness._breaker_core import BreakerCore, Ticket
from agentflow_trio.robustness._breaker_counts_core import CallWindow, LastCalls
from agentflow_trio.robustness._breaker_states_core import (
    TRANSITIONS,
    BreakerState,
    after,
)
from agentflow_trio.robustness._circuit_policy import CircuitPolicy
from agentflow_trio.robustness._circuit_records import CircuitSnapshot
from agentflow_trio.robustness._verdict_core import Verdict

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def no_dice() -> float:
    raise AssertionError("drew without jitter")


def core_of(**settings: Any) -> BreakerCore:
    return BreakerCore(CircuitPolicy(**settings), no_dice)


def call(
    core: BreakerCore, now: float, verdict: Verdict = "success", took: float = 0.0
) -> None:
    assert core.admit(now) is None
    ticket = Ticket()
    ticket.generation, ticket.begun = core.generation, now
    core.settle(ticket, verdict, now + took)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"failure_threshold": 0},
            "failure_threshold must be a whole number >= 1 or None, not 0",
        ),
        (
            {"failures_of_last": (0, 3)},
            "failures_of_last[0] must be a whole number >= 1, not 0",
        ),
        (
            {"failures_of_last": (4, 3)},
            "failures_of_last[1] must be a whole number >= 4, not 3",
        ),
        ({"failure_rate": 0.0}, "failure_rate must be a number > 0 and <= 1 or None, not 0.0"),
        ({"failure_rate": 1.1}, "failure_rate must be a number > 0 and <= 1 or None, not 1.1"),
        (
            {"slow_rate": math.nan, "slow_after": 1.0},
            "slow_rate must be a number > 0 and <= 1 or None, not nan",
        ),
        (
            {"slow_rate": 0.5, "slow_after": 0.0},
            "slow_after must be a number of seconds > 0 and finite or None, not 0.0",
        ),
        ({"slow_rate": 0.5}, "slow_rate and slow_after need each other"),
        ({"slow_after": 0.5}, "slow_rate and slow_after need each other"),
        ({"window": 0.0}, "window must be a number of seconds > 0 and finite, not 0.0"),
        ({"min_calls": 0}, "min_calls must be a whole number >= 1, not 0"),
        (
            {"recovery_timeout": math.inf},
            "recovery_timeout must be a number of seconds > 0 and finite, not inf",
        ),
        ({"multiplier": 0.9}, "multiplier must be a number >= 1 and finite, not 0.9"),
        (
            {"max_recovery_timeout": 29.0},
            "max_recovery_timeout must be a number of seconds >= 30 and finite, not 29.0",
        ),
        ({"jitter": 1.5}, "jitter must be a number >= 0 and <= 1, not 1.5"),
        ({"half_open_max_calls": 0}, "half_open_max_calls must be a whole number >= 1, not 0"),
        ({"success_threshold": 0}, "success_threshold must be a whole number >= 1, not 0"),
        (
            {"half_open_max_duration": 0.0},
            "half_open_max_duration must be a number of seconds > 0, not 0.0",
        ),
    ],
)
def test_a_policy_that_makes_no_sense(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^CircuitPolicy: {re.escape(text)}$"):
        CircuitPolicy(**settings)


@pytest.mark.parametrize("name", ["record", "ignore"])
def test_a_policy_that_records_what_is_no_error(name: str) -> None:
    wrong: dict[str, Any] = {name: KeyboardInterrupt}
    with pytest.raises(TypeError, match=f"^{name} must be classes of Exceptions"):
        CircuitPolicy(**wrong)


async def anyway(result: object) -> bool:
    return False


@pytest.mark.parametrize("rule", [anyway, 503])
def test_a_rule_for_results_is_a_plain_function(rule: Any) -> None:
    with pytest.raises(TypeError, match=r"^failed_result must be a plain function, not "):
        CircuitPolicy(failed_result=rule)


def test_a_policy_is_a_value() -> None:
    change: Any = CircuitPolicy()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        change.window = 3.0
    assert CircuitPolicy() == CircuitPolicy(failure_threshold=5)


@pytest.mark.parametrize(
    ("settings", "trips", "u", "expected"),
    [
        ({}, 1, 0.0, 30.0),
        ({}, 100_000, 0.0, 30.0),
        ({"multiplier": 2.0}, 1, 0.0, 30.0),
        ({"multiplier": 2.0}, 4, 0.0, 240.0),
        ({"multiplier": 2.0}, 5, 0.0, 300.0),
        ({"multiplier": 2.0}, 100_000, 0.0, 300.0),
        ({"multiplier": 10.0}, 2, 0.0, 300.0),
        ({"multiplier": 2.0, "max_recovery_timeout": 30.0}, 2, 0.0, 30.0),
        ({"multiplier": 3.0, "max_recovery_timeout": 1e300}, 3, 0.0, 270.0),
        ({"multiplier": 3.0, "max_recovery_timeout": 1e300}, 100_000, 0.0, 1e300),
        ({"jitter": 0.1}, 1, 0.0, 27.0),
        ({"jitter": 0.1}, 1, 0.5, 30.0),
        ({"jitter": 0.5, "multiplier": 2.0}, 9, 0.75, 375.0),
    ],
)
def test_how_long_it_stays_open(
    settings: dict[str, Any], trips: int, u: float, expected: float
) -> None:
    assert CircuitPolicy(**settings).open_for(trips, lambda: u) == expected


def test_jitter_does_not_collapse_at_the_cap() -> None:
    policy = CircuitPolicy(multiplier=2.0, jitter=0.1)
    draws = iter(range(1000))
    assert len({policy.open_for(50, lambda: next(draws) / 1000) for _ in range(1000)}) == 1000


def test_dice_are_not_touched_without_jitter() -> None:
    assert CircuitPolicy().open_for(3, no_dice) == 30.0


# ---------------------------------------------------------------- the table

SEED: Final = {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED), (HALF_OPEN, OPEN)}


def test_by_itself_it_goes_the_ways_of_the_seeds_figure_and_no_other() -> None:
    by_itself = [row for row in TRANSITIONS if "hand" not in row.cause and row.cause != "reset"]
    assert {(row.before, row.after) for row in by_itself} == SEED
    for row in TRANSITIONS:
        assert after(row.before, row.cause) is row.after
    assert len({(row.before, row.cause) for row in TRANSITIONS}) == len(TRANSITIONS)


def test_a_way_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(KeyError):
        after(OPEN, "failure_threshold")


def test_by_hand_every_state_can_be_left() -> None:
    for state in BreakerState:
        reached = {row.after for row in TRANSITIONS if row.before is state}
        assert reached >= {CLOSED, OPEN, BreakerState.ISOLATED, BreakerState.DISABLED}


PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "circuit-breaker.md"


def rows(heading: str) -> list[list[str]]:
    """The first table of a section of the page, without its head."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    lines = section.partition("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def test_the_table_of_states_on_the_page_is_this_one() -> None:
    told = set[tuple[str, str, str]]()
    for before, goal, causes in rows("States"):
        states = [state.value for state in BreakerState] if before == "any" else [before]
        told |= {
            (state.strip("`"), cause.strip("`"), goal.strip("`"))
            for state in states
            for cause in causes.split(", ")
        }
    assert told == {(row.before.value, row.cause, row.after.value) for row in TRANSITIONS}


def test_the_page_tells_every_setting_and_its_default() -> None:
    told = {
        name.strip("`"): default.removesuffix(" s")
        for names, default, _ in rows("Defaults")
        for name in names.split(", ")
    }
    made = CircuitPolicy()
    settings = {each.name: getattr(made, each.name) for each in attrs.fields(CircuitPolicy)}
    assert list(told) == list(settings)
    for name, default in settings.items():
        words = {
            None: "none",
            Exception: "`Exception`",
            (Exception,): "`Exception`",
            (): "nothing",
        }
        expected = words.get(default, str(default))
        assert told[name] == expected or name == "max_recovery_timeout"


# ---------------------------------------------------------------- rules at their bounds


def test_the_last_n_calls_are_the_last_n() -> None:
    core = core_of(failure_threshold=None, failures_of_last=(2, 3))
    for verdict in ("failure", "success", "success", "failure", "ignored", "cancelled"):
        call(core, 0.0, verdict)
    assert core.state is CLOSED
    call(core, 0.0, "success")
    assert core.state is CLOSED
    call(core, 0.0, "failure")
    assert core.changes[-1].cause == "failures_of_last"


def test_a_share_is_reached_exactly() -> None:
    core = core_of(failure_threshold=None, failure_rate=0.1, min_calls=30)
    for number in range(29):
        call(core, 0.0, "failure" if number < 3 else "success")
    assert core.state is CLOSED
    call(core, 0.0, "success")
    assert (core.state, core.changes[-1].cause) == (OPEN, "failure_rate")


def test_a_call_is_in_the_window_while_it_is_younger() -> None:
    window = CallWindow(10.0)
    window.add(5.3, failed=True, slow=True)
    window.forget(15.2)
    assert (len(window), window.failed, window.slow) == (1, 1, 1)
    window.forget(5.3 + 10.0)
    assert (len(window), window.failed, window.slow) == (0, 0, 0)


def test_what_was_counted_can_be_forgotten() -> None:
    last, window = LastCalls(2), CallWindow(10.0)
    for failed in (True, False, True):
        last.add(failed=failed)
        window.add(0.0, failed=failed, slow=failed)
    assert (last.failed, last.all()) == (1, (False, True))
    assert window.remaining(4.0) == ((6.0, True, True), (6.0, False, False), (6.0, True, True))
    last.clear()
    window.clear()
    assert (last.failed, last.all(), len(window), window.failed) == (0, (), 0, 0)


@pytest.mark.parametrize(("took", "state"), [(1.9, CLOSED), (2.0, OPEN), (2.1, OPEN)])
def test_a_slow_probe_opens_again(took: float, state: BreakerState) -> None:
    core = core_of(failure_threshold=1, slow_rate=1.0, slow_after=2.0)
    call(core, 0.0, "failure")
    call(core, 30.0, "success", took)
    assert core.state is state


def test_a_success_leaves_room_for_one_probe_less() -> None:
    core = core_of(failure_threshold=1, half_open_max_calls=2, success_threshold=2)
    call(core, 0.0, "failure")
    call(core, 30.0, "success")
    assert core.admit(30.0) is None
    assert core.admit(30.0) == ("half_open", None)


def test_a_probe_that_ends_keeps_the_others_from_hanging() -> None:
    core = core_of(
        failure_threshold=1,
        half_open_max_calls=2,
        success_threshold=4,
        half_open_max_duration=10.0,
    )
    call(core, 0.0, "failure")
    assert core.admit(30.0) is None  # never ends
    call(core, 30.0, "success", 9.0)  # at 39.0
    call(core, 40.0, "success", 8.0)  # at 48.0
    assert core.state is HALF_OPEN
    assert core.admit(57.5) is None
    assert core.admit(58.0) == ("open", 30.0)


@pytest.mark.parametrize(("ends", "state"), [(39.9, CLOSED), (40.0, OPEN), (45.0, OPEN)])
def test_a_probe_that_ends_too_late_was_hung(ends: float, state: BreakerState) -> None:
    core = core_of(failure_threshold=1, half_open_max_duration=10.0)
    call(core, 0.0, "failure")
    call(core, 30.0, "success", ends - 30.0)
    assert core.state is state
    if state is OPEN:
        assert (core.until, core.stale) == (70.0, 1)


def test_a_disabled_circuit_counts_nothing() -> None:
    core = core_of(failure_threshold=1)
    core.act("disabled_by_hand", 0.0)
    call(core, 0.0, "failure")
    call(core, 0.0, "success")
    assert (core.state, core.failed, core.succeeded) == (BreakerState.DISABLED, 0, 0)


# ---------------------------------------------------------------- snapshots


def test_a_snapshot_is_plain_and_refuses_nonsense() -> None:
    core = core_of(failures_of_last=(3, 4), failure_rate=0.9, window=10.0)
    call(core, 1.0, "failure")
    call(core, 3.0, "success")
    assert core.snapshot(4.0) == CircuitSnapshot(
        state=CLOSED,
        streak=0,
        last=(True, False),
        window=((7.0, True, False), (9.0, False, False)),
    )
    for wrong in ({"remaining": -1.0}, {"trips": -1}, {"streak": 0.5}, {"successes": -1}):
        nonsense: dict[str, Any] = wrong
        with pytest.raises(ValueError, match=r"^CircuitSnapshot: "):
            CircuitSnapshot(state=OPEN, **nonsense)


def test_probes_that_hang_just_now_are_open_in_a_snapshot() -> None:
    core = core_of(failure_threshold=1, half_open_max_duration=10.0)
    call(core, 0.0, "failure")
    assert core.admit(30.0) is None
    assert core.snapshot(39.9).state is HALF_OPEN
    assert core.snapshot(40.0) == CircuitSnapshot(state=OPEN, remaining=30.0, trips=2)


def test_successful_probes_are_carried_over() -> None:
    core, other = (core_of(failure_threshold=1, success_threshold=2) for _ in range(2))
    call(core, 0.0, "failure")
    call(core, 30.0, "success")
    other.restore(core.snapshot(30.0), 0.0)
    assert other.state is HALF_OPEN
    call(other, 0.0, "success")
    assert other.state is CLOSED


def test_restoring_is_told_as_a_change_from_what_was() -> None:
    core = core_of()
    core.act("isolated_by_hand", 0.0)
    core.changes.clear()
    core.restore(CircuitSnapshot(state=OPEN, remaining=3.0, trips=1), 5.0)
    (change,) = core.changes
    assert (change.before, change.cause) == (BreakerState.ISOLATED, "restored")
    assert (change.after, change.generation, change.retry_after) == (OPEN, 2, 3.0)


def test_restored_under_another_policy_only_what_it_has_rules_for_counts() -> None:
    rich = core_of(failures_of_last=(3, 4), failure_rate=0.9, failure_threshold=9)
    for now in (1.0, 2.0):
        call(rich, now, "failure")
    poor = core_of(failure_threshold=2)
    poor.restore(rich.snapshot(2.0), 100.0)
    assert (poor.state, poor.streak) == (CLOSED, 2)
    call(poor, 100.0, "failure")
    assert poor.state is OPEN
    rich.restore(poor.snapshot(110.0), 0.0)
    assert (rich.until, rich.trips) == (20.0, 1)


def test_what_is_remembered_is_carried_over() -> None:
    one = core_of(
        failure_threshold=None, failures_of_last=(3, 4), failure_rate=0.75, min_calls=4
    )
    for verdict in ("failure", "failure", "success"):
        call(one, 1.0, verdict)
    for rule in ({"failures_of_last": (3, 4)}, {"failure_rate": 0.75, "min_calls": 4}):
        settings: dict[str, Any] = rule
        other = core_of(failure_threshold=None, **settings)
        other.restore(one.snapshot(31.0), 100.0)
        assert other.state is CLOSED
        call(other, 129.0, "failure")
        assert other.changes[-1].cause in settings
        short = core_of(failure_threshold=None, window=10.0, **settings)
        short.restore(one.snapshot(31.0), 100.0)
        call(short, 110.0, "failure")
        assert short.state is (OPEN if "failures_of_last" in settings else CLOSED)


def test_of_two_rates_either_opens() -> None:
    settings: dict[str, Any] = {"failure_threshold": None, "min_calls": 2, "failure_rate": 1.0}
    core = core_of(**settings, slow_rate=1.0, slow_after=2.0)
    call(core, 0.0, took=2.0)
    call(core, 2.0, took=1.0)
    assert core.state is CLOSED
    core.act("reset", 3.0)
    call(core, 3.0, took=2.0)
    call(core, 5.0, "failure", took=2.0)
    assert core.changes[-1].cause == "slow_rate"


def test_an_open_snapshot_without_a_time_and_too_many_successes() -> None:
    core = core_of(success_threshold=2)
    core.restore(CircuitSnapshot(state=OPEN, trips=1), 5.0)
    assert core.admit(5.0) is None
    core.restore(CircuitSnapshot(state=HALF_OPEN, successes=7), 5.0)
    call(core, 5.0)
    assert core.state is CLOSED
