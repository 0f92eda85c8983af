"""The rules of a retry against a naive model that is told only what a caller sees.

All numbers are sixteenths, so that floats are exact; the model computes with fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from agentflow_trio.errors import CircuitOpenError
from agentflow_trio.robustness import RetryBudget, RetryPolicy
from agentflow_trio.robustness._budget_core import Budget
from agentflow_trio.robustness._retry_core import Again, Course, Decision, Stop
from agentflow_trio.robustness._verdict_core import Judge

WINDOW: Final = 16


class BusyError(ValueError):
    """Retryable, and says when."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class ResponseError(ValueError):
    """Retryable, and says when in a way of its own."""

    def __init__(self, header: float) -> None:
        super().__init__(header)
        self.header = header


def in_the_header(error: Exception) -> float | None:
    return error.header if isinstance(error, ResponseError) else None


def sixteenths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda number: number / 16)


WAITS: Final = sixteenths(0, 64)
LEAVES: Final[st.SearchStrategy[Exception]] = st.one_of(
    st.just(ValueError("on")),
    st.builds(BusyError, WAITS),
    st.builds(ResponseError, WAITS),
    st.just(KeyError("not on")),
    st.just(UnicodeError("on, but ignored")),
    st.builds(
        CircuitOpenError,
        guard=st.just("db"),
        reason=st.just("open"),
        retry_after=st.one_of(WAITS, WAITS, st.none()),
    ),
)
ERRORS: Final[st.SearchStrategy[Exception]] = st.one_of(
    LEAVES,
    LEAVES,
    LEAVES,
    st.lists(LEAVES, min_size=1, max_size=3).map(lambda leaves: ExceptionGroup("g", leaves)),
)


def linear_of_its_own(attempt: int) -> float:
    return attempt * 0.25


def broken(attempt: int) -> float:
    raise ZeroDivisionError(attempt)


POLICIES: Final = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 5),
    base_delay=sixteenths(0, 16),
    multiplier=st.sampled_from([1.0, 1.5, 2.0, 3.0]),
    max_delay=sixteenths(16, 64),
    jitter=sixteenths(0, 16),
    jitter_kind=st.sampled_from(["ratio", "ratio", "none", "full", "equal"]),
    jitter_first=st.booleans(),
    backoff=st.sampled_from([
        "exponential",
        "exponential",
        "linear",
        "constant",
        linear_of_its_own,
        broken,
    ]),
    on=st.just(ValueError),
    ignore=st.just(UnicodeError),
    on_rejected=st.sampled_from(["raise", "retry", "wait", "wait"]),
    max_retry_after=sixteenths(16, 64),
    retry_after=st.sampled_from([None, in_the_header]),
    max_elapsed=st.one_of(st.none(), sixteenths(1, 160)),
    budget=st.none(),
) | st.builds(
    RetryPolicy,
    max_attempts=st.integers(2, 5),
    base_delay=sixteenths(0, 16),
    max_delay=sixteenths(16, 64),
    jitter_kind=st.just("decorrelated"),
    on=st.just(ValueError),
    ignore=st.just(UnicodeError),
)


@attrs.define(eq=False)
class Told:
    """One body as its caller sees it."""

    course: Course
    begun: float
    starts: list[float]
    number: int = 1
    drawn: Fraction | None = None
    again: Again | None = None


@attrs.define
class NaiveBudget:
    """Every payment ever made, with its time; nothing is ever summed up in advance."""

    ratio: Fraction
    reserve: int
    deposits: list[float] = attrs.field(factory=list[float])
    retries: list[float] = attrs.field(factory=list[float])

    def left(self, now: float) -> Fraction:
        paid = sum(1 for then in self.deposits if counts(then, now))
        taken = sum(1 for then in self.retries if counts(then, now))
        return self.reserve + self.ratio * paid - taken


def counts(then: float, now: float) -> bool:
    slice_ = WINDOW / 16
    return math.floor(now / slice_) - math.floor(then / slice_) < 16


class RetryMachine(RuleBasedStateMachine):
    """What must hold, whatever happens in whatever order.

    1. A body's attempts are at most ``max_attempts``.
    2. Attempt numbers go up by one; only a rejection that is waited out keeps its number.
    3. The delay is what the kind's formula makes of the draw, to the last bit.
    4. The next attempt is announced for exactly the end of the last one plus the delay.
    5. A delay is never shorter than ``retry_after``; a rejection is waited out for exactly that.
    6. A ``retry_after`` above the ceiling ends it, whatever else would allow another attempt.
    7. What is not ``on``, or is ``ignore``, is not tried again; nor a group with one such leaf.
    8. A rejection is not tried again unless asked.
    9. No attempt is announced at or after the caller's deadline, or ``max_elapsed`` after the start.
    10. None begins then either, if the loop was late; one that is in time begins.
    11. The budget pays for a retry if and only if what was paid in and taken out allows it.
    12. A retry that did not begin costs the budget nothing.
    13. Dice are asked once for a delay that needs them, else never.
    14. Bodies do not disturb each other: each has numbers and a previous delay of its own.
    15. A rule of the user's that raises ends it.
    16. Of several reasons to give up, the first in this order is told: not retryable, attempts, the
        rule, retry_after, the limit that comes first, budget.
    """

    running = Bundle("running")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.policy = RetryPolicy()
        self.budget: Budget | None = None
        self.naive: NaiveBudget | None = None
        self.bodies: list[Told] = []
        self.draws = 0

    @initialize(
        policy=POLICIES,
        ratio=st.one_of(st.none(), st.integers(0, 16)),
        reserve=st.integers(0, 3),
    )
    def start(self, policy: RetryPolicy, ratio: int | None, reserve: int) -> None:
        self.policy = policy
        if ratio is not None:
            settings = RetryBudget("b", ratio=ratio / 16, reserve=reserve, window=WINDOW)
            self.budget = Budget(settings)
            self.naive = NaiveBudget(Fraction(ratio, 16), reserve)

    @rule(target=running)
    def begin(self) -> Told:
        judge = Judge(self.policy.on, self.policy.ignore, unsure="ignored")
        told = Told(Course(self.policy, judge, self.now), self.now, [self.now])
        if self.budget is not None and self.naive is not None:
            self.budget.deposit(self.now)
            self.naive.deposits.append(self.now)
            self.count_the_money()
        self.bodies.append(told)
        return told

    @rule(seconds=sixteenths(0, 80))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        target=waiting,
        told=consumes(running),
        error=ERRORS,
        draw=sixteenths(0, 15),
        patience=st.one_of(st.just(math.inf), sixteenths(0, 160)),
    )
    def fail(
        self, told: Told, error: Exception, draw: float, patience: float
    ) -> Told | MultipleResults[Told]:
        deadline = self.now + patience
        expected = self.after_error(told, error, draw, deadline)
        decision = told.course.failed(
            error, self.now, deadline=deadline, draw=self.dice(draw), budget=self.budget
        )
        return self.compare(told, decision, expected)

    @rule(target=waiting, told=consumes(running), draw=sixteenths(0, 15))
    def return_what_is_not_wanted(
        self, told: Told, draw: float
    ) -> Told | MultipleResults[Told]:
        expected = self.next_one(told, 0.0, draw, math.inf)
        decision = told.course.unwanted(
            self.now, deadline=math.inf, draw=self.dice(draw), budget=self.budget
        )
        return self.compare(told, decision, expected)

    @rule(
        target=running,
        told=consumes(waiting),
        late=st.one_of(st.just(0.0), st.just(0.0), sixteenths(1, 160)),
        patience=st.one_of(st.just(math.inf), sixteenths(0, 16)),
    )
    def wake(self, told: Told, late: float, patience: float) -> Told | MultipleResults[Told]:
        again = told.again
        assert again is not None
        self.now = max(self.now, again.at + late)
        stop = told.course.woken(again, self.now, deadline=self.now + patience)
        in_time = self.now < self.limit(told) and patience > 0.0
        assert (stop is None) == in_time
        if stop is None:
            told.starts.append(self.now)
            told.number = again.attempt
            return told
        assert stop.reason == (
            "deadline" if self.now + patience < self.limit(told) else "max_elapsed"
        )
        if again.paid is not None and self.budget is not None and self.naive is not None:
            self.budget.give_back(again.paid, self.now)
            self.naive.retries.remove(again.paid)
            self.count_the_money()
        return multiple()

    # what a caller knows -----------------------------------------------------------------

    def dice(self, draw: float) -> Callable[[], float]:
        self.draws = 0

        def one() -> float:
            self.draws += 1
            return draw

        return one

    def limit(self, told: Told) -> float:
        if self.policy.max_elapsed is None:
            return math.inf
        return told.begun + self.policy.max_elapsed

    def after_error(
        self, told: Told, error: Exception, draw: float, deadline: float
    ) -> Again | str:
        leaves: Sequence[Exception] = (
            error.exceptions if isinstance(error, ExceptionGroup) else [error]
        )
        for leaf in leaves:
            if isinstance(leaf, CircuitOpenError):
                if self.policy.on_rejected == "raise":
                    return "not_retryable"
            elif not isinstance(leaf, ValueError) or isinstance(leaf, UnicodeError):
                return "not_retryable"
        read = self.policy.retry_after is not None
        hints = [
            leaf.header
            if read and isinstance(leaf, ResponseError)
            else float(getattr(leaf, "retry_after", None) or 0.0)
            for leaf in leaves
        ]
        rejected = all(isinstance(leaf, CircuitOpenError) for leaf in leaves)
        if self.policy.on_rejected == "wait" and rejected and 0.0 not in hints:
            reason = self.not_in_time(told, max(hints), max(hints), deadline)
            return reason or Again(told.number, self.now + max(hints), max(hints))
        return self.next_one(told, max(hints), draw, deadline)

    def next_one(self, told: Told, hint: float, draw: float, deadline: float) -> Again | str:
        if told.number >= self.policy.max_attempts:
            return "attempts"
        if self.policy.backoff is broken:
            return "rule_failed"
        told.drawn = self.formula(told, Fraction(draw))
        delay = max(float(told.drawn), hint)
        reason = self.not_in_time(told, delay, hint, deadline)
        if reason:
            return reason
        if self.naive is not None:
            if self.naive.left(self.now) < 1:
                return "budget"
            self.naive.retries.append(self.now)
        paid = self.now if self.naive is not None else None
        return Again(told.number + 1, self.now + delay, delay, paid)

    def not_in_time(self, told: Told, delay: float, hint: float, deadline: float) -> str:
        if hint > self.policy.max_retry_after:
            return "retry_after"
        if self.now + delay >= min(deadline, self.limit(told)):
            return "deadline" if deadline < self.limit(told) else "max_elapsed"
        return ""

    def formula(self, told: Told, draw: Fraction) -> Fraction:
        policy, retry = self.policy, told.number
        base, cap = Fraction(policy.base_delay), Fraction(policy.max_delay)
        if policy.jitter_kind == "decorrelated":
            last = base if told.drawn is None else told.drawn
            return base + draw * (min(cap, 3 * last) - base)
        grown = {
            "exponential": base * Fraction(policy.multiplier) ** (retry - 1),
            "linear": base * retry,
            "constant": base,
            linear_of_its_own: Fraction(retry + 1, 4),
        }[policy.backoff]
        plain = min(grown, cap)
        swing = Fraction(policy.jitter) * (2 * draw - 1)
        return {
            "none": plain,
            "ratio": plain if retry == 1 and not policy.jitter_first else plain * (1 + swing),
            "full": plain * draw,
            "equal": plain / 2 + plain / 2 * draw,
        }[policy.jitter_kind]

    def compare(
        self, told: Told, decision: Decision, expected: Again | str
    ) -> Told | MultipleResults[Told]:
        assert self.draws <= 1
        if self.policy.jitter_kind == "none" or expected in {"attempts", "not_retryable"}:
            assert self.draws == 0
        if isinstance(decision, Stop):
            assert decision.reason == expected
            assert (decision.wrong is not None) == (decision.reason == "rule_failed")
            return multiple()
        assert decision == expected
        told.again = decision
        if decision.paid is not None:
            self.count_the_money()
        return told

    def count_the_money(self) -> None:
        if self.budget is not None and self.naive is not None:
            left = self.naive.left(self.now)
            assert self.budget.statistics().affordable == max(0, math.floor(left))

    @invariant()
    def attempts_are_bounded(self) -> None:
        for told in self.bodies:
            assert told.course.attempt == told.number <= self.policy.max_attempts
            assert told.course.begun == told.begun
            assert all(start < self.limit(told) for start in told.starts)

    @invariant()
    def the_budget_is_never_overdrawn_by_a_decision(self) -> None:
        if self.budget is not None and self.naive is not None:
            seen = self.budget.statistics()
            assert (seen.first_attempts, seen.retries) == (
                len(self.naive.deposits),
                len(self.naive.retries),
            )


TestRetryMachine = RetryMachine.TestCase
