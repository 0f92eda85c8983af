"""What an adaptive timeout learns, against a naive reading of "a percentile of the last calls"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow_trio.robustness import AdaptiveTimeout
from agentflow_trio.robustness._timeout_core import Fixed, Learned, limit_of


def taught(policy: AdaptiveTimeout, samples: Sequence[float]) -> Learned:
    learned = Learned(policy)
    for sample in samples:
        learned.learn(sample)
    return learned


# ---------------------------------------------------------------- the seed's figures


def test_the_seeds_figures() -> None:
    """There: the 95th percentile of the last ten, times 1.5, from three samples on: of ten, the longest."""
    policy = AdaptiveTimeout(maximum=60.0, history=10, min_samples=3)
    assert taught(policy, [1.0, 2.0]).seconds() == 60.0
    assert taught(policy, [1.0, 3.0, 2.0]).seconds() == 4.5
    assert taught(policy, [9.0, *[1.0] * 9, 4.0]).seconds() == 6.0


def test_of_twenty_calls_one_may_be_longer() -> None:
    policy = AdaptiveTimeout(maximum=60.0, factor=1.0)
    assert taught(policy, [*range(1, 21)]).seconds() == 19


def test_two_of_three_calls_are_not_67_percent() -> None:
    policy = AdaptiveTimeout(maximum=60.0, factor=1.0, percentile=67, min_samples=3)
    assert taught(policy, [1.0, 2.0, 3.0]).seconds() == 3.0


def test_a_limit_that_became_too_short_grows_again() -> None:
    """Each call is cut off: if that taught nothing, the limit would stay where it is for ever."""
    policy = AdaptiveTimeout(maximum=8.0, minimum=0.5, history=4, min_samples=2)
    learned = taught(policy, [0.5, 0.5, 0.5, 0.5])
    seen: list[float] = []
    for _ in range(8):
        seen.append(learned.seconds())
        learned.learn(learned.seconds())
    assert seen[:3] == [0.75, 1.125, 1.6875]
    assert seen[-1] == 8.0


def test_a_fixed_limit_learns_nothing() -> None:
    fixed = limit_of(3.0)
    assert isinstance(fixed, Fixed)
    fixed.learn(1.0)
    assert (fixed.seconds(), fixed.samples) == (3.0, 0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan, True, "3"])
def test_a_limit_is_seconds(seconds: Any) -> None:
    with pytest.raises(ValueError) as caught:
        limit_of(seconds)
    expected = f"Timeout: seconds must be a number of seconds > 0 and finite, not {seconds!r}"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("settings", "must"),
    [
        ({"maximum": 0.0}, "maximum must be a number of seconds > 0 and finite, not 0.0"),
        ({"minimum": -1.0}, "minimum must be a number of seconds > 0 and finite, not -1.0"),
        ({"percentile": 0.0}, "percentile must be a number > 0 and <= 100, not 0.0"),
        ({"percentile": 101.0}, "percentile must be a number > 0 and <= 100, not 101.0"),
        ({"factor": 0.5}, "factor must be a number >= 1 and finite, not 0.5"),
        ({"min_samples": 0}, "min_samples must be a whole number >= 1, not 0"),
        ({"history": 0}, "history must be a whole number >= 1, not 0"),
        ({"minimum": 61.0}, "minimum must be <= maximum=60.0, not 61.0"),
        ({"history": 9}, "min_samples must be <= history=9, not 10"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], must: str) -> None:
    with pytest.raises(ValueError) as caught:
        AdaptiveTimeout(**{"maximum": 60.0, **settings})
    assert str(caught.value) == f"AdaptiveTimeout: {must}"


# ---------------------------------------------------------------- the model


class AdaptiveMachine(RuleBasedStateMachine):
    """What must hold, whatever is learned in whatever order.

    1. The limit is never below ``minimum`` and never above ``maximum``.
    2. Below ``min_samples`` it is ``maximum``.
    3. It is ``factor`` times the shortest of the last durations that is no shorter than ``percentile``
       of a hundred of them, within the bounds.
    4. Only the last ``history`` durations count.
    5. In what order they came does not matter.
    6. Reading it changes nothing.
    7. ``samples`` is how many count.
    8. Two that learned the same are the same.
    9. A longer duration in the place of another never makes the limit shorter.
    10. Calls that all took the same make it ``factor`` times that.
    11. Calls that are all cut off let it grow, or leave it at ``maximum``; it never shrinks by them
        once nothing else is remembered.
    12. At percentile 100 it follows the longest.
    """

    @initialize(
        minimum=st.integers(1, 16),
        more=st.integers(0, 160),
        percentile=st.integers(1, 100),
        factor=st.integers(16, 48),
        min_samples=st.integers(1, 6),
        further=st.integers(0, 6),
    )
    def start(
        self,
        minimum: int,
        more: int,
        percentile: int,
        factor: int,
        min_samples: int,
        further: int,
    ) -> None:
        self.policy = AdaptiveTimeout(
            minimum=minimum / 16,
            maximum=(minimum + more) / 16,
            percentile=percentile,
            factor=factor / 16,
            min_samples=min_samples,
            history=min_samples + further,
        )
        self.learned = Learned(self.policy)
        self.seen: list[float] = []

    @rule(sixteenths=st.integers(0, 200))
    def complete(self, sixteenths: int) -> None:
        self.learn(sixteenths / 16)

    @rule(times=st.integers(1, 12))
    def cut_off(self, times: int) -> None:
        for _ in range(times):
            before = self.learned.seconds()
            self.learn(before)
            if len(set(self.last())) == 1 and len(self.last()) > self.policy.min_samples:
                assert self.learned.seconds() >= before

    @rule(sixteenths=st.integers(0, 200))
    def all_the_same(self, sixteenths: int) -> None:
        for _ in range(self.policy.history):
            self.learn(sixteenths / 16)
        assert self.learned.seconds() == self.within(self.policy.factor * sixteenths / 16)

    @rule(sixteenths=st.integers(0, 200))
    def one_of_them_longer(self, sixteenths: int) -> None:
        for place, sample in enumerate(self.last()):
            other = self.last()
            other[place] = sample + sixteenths / 16
            assert taught(self.policy, other).seconds() >= self.learned.seconds()

    @invariant()
    def it_is_the_percentile_of_the_last(self) -> None:
        last = self.last()
        assert self.learned.samples == len(last)
        for _ in range(2):
            assert self.learned.seconds() == self.expected(last)
        assert taught(self.policy, sorted(last)).seconds() == self.learned.seconds()
        assert taught(self.policy, self.seen).seconds() == self.learned.seconds()

    def learn(self, seconds: float) -> None:
        self.learned.learn(seconds)
        self.seen.append(seconds)

    def last(self) -> list[float]:
        return self.seen[-self.policy.history :]

    def within(self, seconds: float) -> float:
        return max(self.policy.minimum, min(self.policy.maximum, seconds))

    def expected(self, last: Sequence[float]) -> float:
        if len(last) < self.policy.min_samples:
            return self.policy.maximum
        if self.policy.percentile == 100:
            return self.within(self.policy.factor * max(last))
        enough = [
            one
            for one in last
            if 100 * sum(other <= one for other in last) >= self.policy.percentile * len(last)
        ]
        return self.within(self.policy.factor * min(enough))


TestAdaptiveMachine = AdaptiveMachine.TestCase
