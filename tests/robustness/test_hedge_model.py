"""The rules of a hedge against a list of what a caller sees: what was begun, and how it ended."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import trio
from attrs import define
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentflow_trio import BulkheadFullError, HedgePolicy, RetryBudget
from agentflow_trio.robustness._budget_core import Budget
from agentflow_trio.robustness._hedge_core import Course
from agentflow_trio.robustness._verdict_core import Judge

How: TypeAlias = Literal[
    "well", "handled", "rejected", "unhandled", "cancelled", "both", "fatal"
]

ENDS: st.SearchStrategy[How] = st.sampled_from([
    "well",
    "handled",
    "handled",
    "handled",
    "rejected",
    "unhandled",
    "cancelled",
    "both",
    "fatal",
])
CUT_OFF: st.SearchStrategy[How] = st.sampled_from([
    "cancelled",
    "well",
    "handled",
    "both",
    "fatal",
])

TICKS = st.integers(0, 12).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""

JUDGE = Judge((OSError,), ConnectionError, unsure="ignored")


async def how_trio_cancels() -> trio.Cancelled:
    caught = list[trio.Cancelled]()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            caught.append(error)
            raise
    return caught[0]


CANCELLED = trio.run(how_trio_cancels)


def error_of(how: How, number: int) -> BaseException | None:
    """What an attempt raises, with its number in it; None: it ends well."""
    text = f"of {number}"
    errors: dict[How, BaseException] = {
        "handled": OSError(text),
        "rejected": BulkheadFullError(guard=text, reason="full"),
        "unhandled": ValueError(text),
        "cancelled": CANCELLED,
        "both": BaseExceptionGroup("", [CANCELLED, OSError(text)]),
        "fatal": SystemExit(text),
    }
    return errors.get(how)


@define(eq=False)
class Begun:
    """An attempt, as a caller sees it. ended: when, inf as long as it goes on."""

    number: int
    at: float
    reason: str
    ended: float = math.inf
    how: How = "well"
    cut: bool = False
    error: BaseException | None = None


class Hedges(RuleBasedStateMachine):
    """What a hedge promises about one call.

    1. The first attempt begins with the call.
    2. Another begins exactly ``after`` seconds after the last one if none has decided the call until then,
    3. and at once for each that failed in a way that is handled;
    4. never more than ``max_attempts``,
    5. never at or after the caller's deadline, nor when one was cancelled,
    6. and only if the budget pays; it is asked once in vain.
    7. What is rejected begins none and ends nothing while others go on.
    8. Nothing begins once the call is decided.
    9. SystemExit and the like are raised, whenever they come.
    10. Else the attempt that was first to end well wins, at one instant the one with the lowest number,
    11. else the first error that is not handled is raised, at one instant the one of the lowest number,
    12. else what failed while it was cut off, for else nobody would learn of it,
    13. else the cancellation,
    14. else the last failure; a rejection only if there was nothing else.
    15. Every failure is kept once, with the attempt's number and times.
    16. What is neither raised nor in its note is known as unheard.
    """

    @initialize(
        after=TICKS | st.just(math.inf),
        max_attempts=st.integers(1, 4),
        reserve=st.none() | st.integers(0, 2),
        deadline=st.just(math.inf) | TICKS,
    )
    def begin(
        self, after: float, max_attempts: int, reserve: int | None, deadline: float
    ) -> None:
        self.now = 0.0
        self.attempts = [Begun(1, 0.0, "first")]
        self.ended: list[Begun] = []
        self.refused = False
        self.stopped = False
        self.after, self.max_attempts, self.deadline = after, max_attempts, deadline
        self.purse = math.inf if reserve is None else reserve
        self.budget = None
        if reserve is not None:
            self.budget = Budget(RetryBudget("b", ratio=0.0, reserve=reserve, window=1e6))
        policy = HedgePolicy(after=after, max_attempts=max_attempts)
        self.course = Course(policy, JUDGE, after)
        assert self.course.begin(0.0) == 1
        self.begin_what_is_due()

    # ------------------------------------------------------------ what may happen

    @rule(ticks=TICKS)
    def time_passes(self, ticks: float) -> None:
        until = self.now + ticks
        while self.course.due <= until and not self.course.is_over():
            assert self.course.due == self.attempts[-1].at + self.after
            self.now = max(self.now, self.course.due)
            self.begin_what_is_due()
        self.now = until
        self.begin_what_is_due()

    @precondition(lambda self: not self.course.is_over())
    @rule(data=st.data(), together=st.sampled_from([1, 1, 1, 2, 3]))
    def attempts_end(self, data: st.DataObject, together: int) -> None:
        going_on = [one for one in self.attempts if one.ended == math.inf]
        for one in going_on[:together] if data.draw(st.booleans()) else going_on[-together:]:
            self.end(one, data.draw(ENDS), self.now, cut=False)
        self.begin_what_is_due()

    def end(self, one: Begun, how: How, at: float, *, cut: bool) -> None:
        self.ended.append(one)
        one.ended, one.how, one.cut, one.error = at, how, cut, error_of(how, one.number)
        self.course.ended(one.number, one.error, at, cut=cut)

    # ------------------------------------------------------------ beginning

    def begin_what_is_due(self) -> None:
        """What the shell does after each thing that happens."""
        while (reason := self.course.wants(self.now)) is not None:
            assert reason == self.expected_reason()
            allowed = self.course.may(self.now, deadline=self.deadline, budget=self.budget)
            assert allowed == (self.now < self.deadline and self.purse > 0)
            self.stopped = not allowed
            self.refused = not allowed and self.now < self.deadline
            if allowed:
                self.purse -= 1
                number = len(self.attempts) + 1
                assert self.course.begin(self.now) == number
                self.attempts.append(Begun(number, self.now, reason))
                event(f"another attempt: {reason}")
        assert self.expected_reason() is None

    def expected_reason(self) -> str | None:
        ended = [one for one in self.attempts if one.ended < math.inf]
        stopping = {"well", "unhandled", "cancelled", "both", "fatal"}
        if self.stopped or len(self.attempts) == self.max_attempts:
            return None
        if any(one.how in stopping for one in ended):
            return None
        failed = sum(one.how == "handled" for one in ended)
        if failed > sum(one.reason == "failure" for one in self.attempts):
            return "failure"
        slow = self.now >= self.attempts[-1].at + self.after
        return "delay" if slow and len(ended) < len(self.attempts) else None

    # ------------------------------------------------------------ always

    @invariant()
    def it_is_over_when_nothing_counts_any_more(self) -> None:
        ended = [one for one in self.attempts if one.ended < math.inf]
        decisive = any(one.how in {"well", "unhandled", "fatal"} for one in ended)
        assert self.course.is_over() == (decisive or len(ended) == len(self.attempts))
        assert self.course.running == len(self.attempts) - len(ended)
        assert self.course.begun == [one.at for one in self.attempts]

    @invariant()
    def it_is_due_when_it_may_begin(self) -> None:
        could = not self.stopped and len(self.attempts) < self.max_attempts
        could = could and not any(one.how in {"cancelled", "both"} for one in self.attempts)
        expected = self.attempts[-1].at + self.after if could else math.inf
        assert self.course.due == expected

    # ------------------------------------------------------------ the outcome

    @rule(
        data=st.data(), anew=st.tuples(TICKS, st.integers(1, 4), st.none() | st.integers(0, 2))
    )
    def it_comes_to_an_end(
        self, data: st.DataObject, anew: tuple[float, int, int | None]
    ) -> None:
        """What goes on is cut off, by the hedge or with the caller; after it another call."""
        decided = self.course.decided
        for one in self.attempts:
            if one.ended == math.inf:
                how = data.draw(CUT_OFF)
                later = 0.0 if decided is None else data.draw(st.sampled_from([0.0, 0.5]))
                self.end(
                    one, how, self.now + later if decided is None else decided + later, cut=True
                )
        outcome = self.expected_outcome()
        got: object = self.course.failure() or self.course.winner
        assert got == outcome
        event(f"outcome: {type(outcome).__name__}")
        assert self.course.is_refused() == (self.refused and not self.was_cancelled())
        self.failures_are_kept(outcome)
        self.begin(*anew, math.inf)

    def was_cancelled(self) -> bool:
        return any(one.how in {"cancelled", "both"} for one in self.attempts)

    def expected_outcome(self) -> object:
        """An error, or the number of the attempt that won."""
        for one in self.ended:
            if one.how == "fatal":
                return one.error
        ends = [one.ended for one in self.ended if one.how in {"well", "unhandled"}]
        decided = min(ends, default=math.inf)
        for one in self.attempts:
            if one.how == "well" and one.ended <= decided:
                return one.number
        for kind in ("unhandled", "late", "cancelled"):
            for one in self.attempts:
                if self.kind_of(one) == kind:
                    return one.error
        failed = [one for one in self.attempts if one.how == "handled"] or self.attempts
        last = max(one.ended for one in failed)
        return next(one.error for one in reversed(failed) if one.ended == last)

    def kind_of(self, one: Begun) -> str:
        late = one.how == "both" or (one.cut and one.how == "handled")
        return "late" if late else one.how

    def failures_are_kept(self, outcome: object) -> None:
        failed = [one for one in self.ended if one.how not in {"well", "cancelled", "fatal"}]
        told = [(it.attempt, it.error, it.begun, it.at, it.kind) for it in self.course.failures]
        assert told == [
            (one.number, one.error, one.at, one.ended, self.kind_of(one)) for one in failed
        ]
        lost = isinstance(outcome, int | SystemExit)
        unheard = [
            one.number for one in failed if lost and self.kind_of(one) in {"unhandled", "late"}
        ]
        assert sorted(it.attempt for it in self.course.unheard()) == sorted(unheard)


TestHedges = Hedges.TestCase


def test_none_begins_at_the_deadline_itself() -> None:
    course = Course(HedgePolicy(after=9.0), JUDGE, 9.0)
    course.begin(0.0)
    course.ended(1, OSError("down"), 1.0, cut=False)
    assert course.wants(1.0) == "failure"
    assert not course.may(1.0, deadline=1.0, budget=None)
    assert (course.wants(1.0), course.due, course.is_over()) == (None, math.inf, True)
    final = course.final()
    assert final is not None
    assert course.reason(final) == "deadline"
    assert course.note("h", final) == (
        "hedge 'h': failed after 1 attempt in 1 s: another attempt would not begin before the deadline"
    )
