"""How long a retry waits before attempt k: the seed's table in both its readings, and every other kind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.robustness import RetryPolicy
from agentflow_trio.robustness._delay_core import capped_delay, draw_delay
from agentflow_trio.robustness._retry_policy import JitterKind

SEED_TABLE = RetryPolicy(max_attempts=5, base_delay=100.0, max_delay=1000.0, jitter=0.1)
"""The seed's figures, in milliseconds."""


def always(number: float) -> Callable[[], float]:
    return lambda: number


def never() -> float:
    raise AssertionError("chance was asked for")


def delays(policy: RetryPolicy, draw: Callable[[], float], upto: int) -> Iterator[float]:
    """The delays before attempts 2 to *upto*, one after another."""
    delay = policy.base_delay
    for attempt in range(2, upto + 1):
        delay = draw_delay(policy, attempt, delay, draw)
        yield delay


# ---------------------------------------------------------------- the seed's table


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (0.0, [100.0, 180.0, 360.0, 720.0]),
        (0.5, [100.0, 200.0, 400.0, 800.0]),
        (1.0, [100.0, 220.0, 440.0, 880.0]),
    ],
    ids=["least", "middle", "most"],
)
def test_the_seeds_table(draw: float, expected: list[float]) -> None:
    """Attempt 2 after exactly 100 ms, then 200 ± 20, 400 ± 40, 800 ± 80."""
    assert list(delays(SEED_TABLE, always(draw), 5)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(0.0, [90.0, 180.0, 360.0, 720.0]), (1.0, [110.0, 220.0, 440.0, 880.0])],
    ids=["least", "most"],
)
def test_the_seeds_code_disturbs_attempt_2_as_well(draw: float, expected: list[float]) -> None:
    """The other reading: the table says "base_delay", the seed's program put jitter on every delay."""
    policy = RetryPolicy(
        max_attempts=5, base_delay=100.0, max_delay=1000.0, jitter=0.1, jitter_first=True
    )
    assert list(delays(policy, always(draw), 5)) == pytest.approx(expected, rel=1e-15)


def test_attempt_2_of_the_table_asks_no_dice() -> None:
    assert draw_delay(SEED_TABLE, 2, 100.0, never) == 100.0


# ---------------------------------------------------------------- each kind


@pytest.mark.parametrize(
    ("kind", "least", "middle"),
    [
        ("none", [1.0, 2.0, 4.0, 8.0, 8.0], [1.0, 2.0, 4.0, 8.0, 8.0]),
        ("ratio", [1.0, 1.5, 3.0, 6.0, 6.0], [1.0, 2.0, 4.0, 8.0, 8.0]),
        ("full", [0.0, 0.0, 0.0, 0.0, 0.0], [0.5, 1.0, 2.0, 4.0, 4.0]),
        ("equal", [0.5, 1.0, 2.0, 4.0, 4.0], [0.75, 1.5, 3.0, 6.0, 6.0]),
        ("decorrelated", [1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 3.5, 4.5, 4.5, 4.5]),
    ],
)
def test_each_kind_of_jitter(kind: JitterKind, least: list[float], middle: list[float]) -> None:
    policy = RetryPolicy(base_delay=1.0, max_delay=8.0, jitter=0.25, jitter_kind=kind)
    assert list(delays(policy, always(0.0), 6)) == least
    assert list(delays(policy, always(0.5), 6)) == middle


def test_without_jitter_no_dice_are_asked() -> None:
    policy = RetryPolicy(jitter_kind="none", base_delay=1.0)
    assert list(delays(policy, never, 4)) == [1.0, 2.0, 4.0]


def test_backoff_is_exponential_linear_or_constant() -> None:
    exponential = RetryPolicy(base_delay=1.0, multiplier=3.0, max_delay=20.0)
    linear = RetryPolicy(base_delay=1.5, max_delay=5.0, backoff="linear")
    constant = RetryPolicy(base_delay=1.5, backoff="constant")
    assert [capped_delay(exponential, k) for k in (2, 3, 4, 5)] == [1.0, 3.0, 9.0, 20.0]
    assert [capped_delay(linear, k) for k in (2, 3, 4, 5)] == [1.5, 3.0, 4.5, 5.0]
    assert [capped_delay(constant, k) for k in (2, 3, 4)] == [1.5, 1.5, 1.5]


def test_an_own_backoff_is_told_the_attempt_to_come_and_capped() -> None:
    policy = RetryPolicy(backoff=lambda attempt: attempt * 10.0, max_delay=25.0, jitter=0.5)
    assert [capped_delay(policy, k) for k in (2, 3)] == [20.0, 25.0]
    assert draw_delay(policy, 3, 0.0, always(0.0)) == 12.5


def test_an_own_backoff_may_give_no_time_at_all() -> None:
    assert capped_delay(RetryPolicy(backoff=lambda _: 0.0), 2) == 0.0


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_an_own_backoff_must_give_seconds(seconds: float) -> None:
    policy = RetryPolicy(backoff=lambda _: seconds)
    with pytest.raises(ValueError) as caught:
        capped_delay(policy, 2)
    assert str(caught.value) == f"backoff(2) gave {seconds!r}, not seconds >= 0"


# ---------------------------------------------------------------- what must hold of all


@pytest.mark.parametrize("attempt", [1_025, 1_026, 1_027, 100_000])
def test_a_late_attempt_does_not_overflow(attempt: int) -> None:
    assert capped_delay(RetryPolicy(max_delay=30.0), attempt) == 30.0
    assert capped_delay(RetryPolicy(max_delay=30.0, multiplier=1e300), attempt) == 30.0
    assert capped_delay(RetryPolicy(base_delay=0.0), attempt) == 0.0
    assert capped_delay(RetryPolicy(base_delay=0.25, multiplier=1.0), attempt) == 0.25


@pytest.mark.parametrize("kind", ["ratio", "full", "equal", "decorrelated"])
def test_jitter_does_not_collapse_at_the_cap(kind: JitterKind) -> None:
    """Other libraries cut off what they drew: many callers then come back at the same moment."""
    policy = RetryPolicy(base_delay=0.5, max_delay=8.0, jitter_kind=kind)
    draw = Random("cap").random
    found = [list(delays(policy, draw, 12))[-1] for _ in range(2000)]
    assert len(set(found)) >= 1990


@pytest.mark.parametrize(
    ("kind", "mean", "spread"),
    [("ratio", 8.0, 1.6), ("full", 4.0, 8.0), ("equal", 6.0, 4.0)],
)
def test_jitter_is_uniform_around_its_middle(
    kind: JitterKind, mean: float, spread: float
) -> None:
    policy = RetryPolicy(base_delay=0.5, max_delay=8.0, jitter_kind=kind)
    draw = Random("mean").random
    found = [draw_delay(policy, 12, 0.0, draw) for _ in range(2000)]
    sigma = spread / math.sqrt(12.0)
    assert abs(statistics.fmean(found) - mean) <= 3.0 * sigma / math.sqrt(len(found))
    assert abs(statistics.stdev(found) - sigma) <= 0.1 * sigma


@given(
    kind=st.sampled_from(["ratio", "none", "full", "equal", "decorrelated"]),
    base=st.integers(0, 64),
    more=st.integers(0, 512),
    multiplier=st.integers(16, 64),
    jitter=st.integers(0, 16),
    draws=st.lists(st.integers(0, 15), min_size=1, max_size=9),
)
def test_a_delay_is_within_the_bounds_of_its_kind(
    kind: JitterKind, base: int, more: int, multiplier: int, jitter: int, draws: list[int]
) -> None:
    policy = RetryPolicy(
        base_delay=base / 16,
        max_delay=(base + more) / 16,
        multiplier=multiplier / 16,
        jitter=jitter / 16,
        jitter_kind=kind,
    )
    tape = iter(draw / 16 for draw in draws)
    for attempt, delay in enumerate(delays(policy, lambda: next(tape, 0.5), 9), 2):
        cap = min(base / 16 * (multiplier / 16) ** (attempt - 2), policy.max_delay)
        low, high = {
            "ratio": (cap * (1 - jitter / 16), cap * (1 + jitter / 16)),
            "none": (cap, cap),
            "full": (0.0, cap),
            "equal": (cap / 2, cap),
            "decorrelated": (base / 16, policy.max_delay),
        }[kind]
        assert low - 1e-9 <= delay <= high + 1e-9
