"""A retry budget against every payment ever made, counted anew each time."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from agentflow_trio.robustness import BudgetStatistics, RetryBudget
from agentflow_trio.robustness._budget_core import Budget


def test_ten_deposits_of_a_tenth_are_one_retry() -> None:
    """0.1 added ten times is a little less than 1.0; the amounts are whole numbers."""
    budget = Budget(RetryBudget("b", ratio=0.1, reserve=0))
    for _ in range(9):
        budget.deposit(0.0)
    assert not budget.withdraw(0.0)
    budget.deposit(0.0)
    assert budget.withdraw(0.0)
    assert not budget.withdraw(0.0)


def test_almost_a_retry_is_none() -> None:
    budget = Budget(RetryBudget("b", ratio=0.999_999_999, reserve=0))
    budget.deposit(0.0)
    assert not budget.withdraw(0.0)


def test_the_reserve_is_there_again_after_a_window() -> None:
    budget = Budget(RetryBudget("b", reserve=2, window=16.0))
    assert [budget.withdraw(5.0) for _ in range(3)] == [True, True, False]
    assert not budget.withdraw(math.nextafter(21.0, 0.0))
    assert budget.withdraw(21.0)


def test_a_picture_of_a_budget() -> None:
    budget = Budget(RetryBudget("b", ratio=0.5, reserve=1))
    for _ in range(3):
        budget.deposit(0.0)
    assert [budget.withdraw(0.0) for _ in range(3)] == [True, True, False]
    expected = BudgetStatistics(first_attempts=3, retries=2, refused=1, affordable=0)
    assert budget.statistics() == expected


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_ends_of_the_ratio(ratio: float) -> None:
    budget = Budget(RetryBudget("b", ratio=ratio, reserve=0))
    budget.deposit(1.0)
    assert budget.withdraw(1.0) == (ratio == 1.0)


class BudgetMachine(RuleBasedStateMachine):
    """What must hold, whatever happens in whatever order.

    1. A retry is paid for if reserve + ratio * first attempts - retries of the window is at least 1.
    2. Else it is refused: at no moment more retries than that have been paid for.
    3. A window is sixteen slices, the one that runs included; times within one slice are one.
    4. A first attempt pays exactly ``ratio``, for one window and no longer.
    5. What a retry took out is back after one window.
    6. After a window without retries the whole reserve is there, even if nobody paid in.
    7. A refusal changes nothing but the count of refusals.
    8. A retry that is given back is as if it had never been paid for.
    9. Giving back one whose window is over adds nothing.
    10. ``affordable`` is never negative, and as many retries as it says can be made in a row, not more.
    11. The counts are what the caller saw.
    12. What is older than a window does not matter: a new budget told of the rest does the same.
    13. In what order things happen within a slice does not matter to the next slice.
    """

    paid = Bundle("paid")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.deposits: list[float] = []
        self.retries: list[float] = []
        self.refused = 0

    @initialize(
        ratio=st.integers(0, 16), reserve=st.integers(0, 3), slice_=st.sampled_from([0.25, 2.0])
    )
    def start(self, ratio: int, reserve: int, slice_: float) -> None:
        self.slice = slice_
        self.settings = RetryBudget("b", ratio=ratio / 16, reserve=reserve, window=16 * slice_)
        self.budget = Budget(self.settings)

    @rule(sixteenths=st.integers(0, 80))
    def time_passes(self, sixteenths: int) -> None:
        self.now += sixteenths / 16

    @rule(slices=st.integers(1, 17))
    def slices_pass(self, slices: int) -> None:
        self.now = (math.floor(self.now / self.slice) + slices) * self.slice

    @rule(times=st.integers(1, 3))
    def begin(self, times: int) -> None:
        for _ in range(times):
            self.budget.deposit(self.now)
            self.deposits.append(self.now)
        self.compare()

    @rule(target=paid)
    def pay(self) -> float | None:
        left = self.left()
        granted = self.budget.withdraw(self.now)
        assert granted == (left >= 1)
        if granted:
            self.retries.append(self.now)
        else:
            self.refused += 1
        self.compare()
        return self.now if granted else None

    @rule(then=consumes(paid))
    def give_back(self, then: float | None) -> None:
        if then is not None:
            self.budget.give_back(then, self.now)
            self.retries.remove(then)
            self.compare()

    @rule()
    def use_it_up(self) -> None:
        many = max(math.floor(self.left()), 0)
        granted = [self.budget.withdraw(self.now) for _ in range(many + 1)]
        assert granted == [True] * many + [False]
        self.refused += 1
        for _ in range(many):
            self.budget.give_back(self.now, self.now)
        self.compare()

    @rule()
    def a_new_one_told_of_the_window_does_the_same(self) -> None:
        fresh = Budget(self.settings)
        for then in sorted(filter(self.counts, self.deposits)):
            fresh.deposit(then)
        taken = len(list(filter(self.counts, self.retries)))
        paid = sum(fresh.withdraw(self.now) for _ in range(taken))
        # expired money may have paid for some, so the new one may not afford them all
        assert paid <= taken
        if paid == taken:
            probe = fresh.withdraw(self.now)
            assert probe == (self.left() >= 1)

    def counts(self, then: float) -> bool:
        return math.floor(self.now / self.slice) - math.floor(then / self.slice) < 16

    def left(self) -> Fraction:
        paid = len(list(filter(self.counts, self.deposits)))
        taken = len(list(filter(self.counts, self.retries)))
        return self.settings.reserve + Fraction(self.settings.ratio) * paid - taken

    def compare(self) -> None:
        seen = self.budget.statistics()
        assert seen == BudgetStatistics(
            first_attempts=len(self.deposits),
            retries=len(self.retries),
            refused=self.refused,
            affordable=max(0, math.floor(self.left())),
        )


TestBudgetMachine = BudgetMachine.TestCase
