"""Retry rules: after a failure, whether to try again, and when. No clock, no I/O; chance is passed in.

Layer: robustness. Rules: every decision is a value; no attempt begins at or after the limit, and no sleep is begun
that would pass it; a group is retried only if each of its leaves is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, final

import attrs

from ..errors import RejectedError
from ._budget_core import Budget
from ._delay_core import draw_delay
from ._retry_policy import RetryPolicy
from ._verdict_core import Judge, leaves_of

__all__ = ["Again", "Course", "Decision", "Reason", "Stop", "retry_after_of"]

Reason: TypeAlias = Literal[
    "attempts",
    "budget",
    "deadline",
    "max_elapsed",
    "not_retryable",
    "retry_after",
    "rule_failed",
]
"""Why no further attempt is made."""


@final
@attrs.frozen
class Again:
    """Try again.

    Attributes:
        attempt: the number of the attempt to come; the same once more after a rejection that is waited out.
        at: when it begins.
        delay: seconds until then.
        paid: when the budget paid for it; None if there was nothing to pay.
    """

    attempt: int
    at: float
    delay: float
    paid: float | None = None


@final
@attrs.frozen
class Stop:
    """Make no further attempt.

    Attributes:
        reason: a stable word.
        text: the rest of a sentence for people.
        wrong: what a rule of the user's raised.
    """

    reason: Reason
    text: str
    wrong: Exception | None = None


Decision: TypeAlias = Again | Stop

_DEADLINE: Final = Stop("deadline", "the next attempt would not begin before the deadline")


@final
class Course:
    """One body and its attempts, the first of which begins when this is made.

    Attributes:
        attempt: the number of the attempt that runs, or ran last.
        begun: when the first one began.
    """

    __slots__ = ("_judge", "_limit", "_policy", "_previous", "attempt", "begun")

    def __init__(self, policy: RetryPolicy, judge: Judge, now: float) -> None:
        self._policy = policy
        self._judge = judge
        self._previous = policy.base_delay
        self._limit = math.inf if policy.max_elapsed is None else now + policy.max_elapsed
        self.attempt = 1
        self.begun = now

    def failed(
        self,
        error: Exception,
        now: float,
        *,
        deadline: float,
        draw: Callable[[], float],
        budget: Budget | None = None,
    ) -> Decision:
        """Decide what follows on *error*, with which an attempt ended at *now*.

        Args:
            error: what the body raised.
            now: when.
            deadline: of the caller, who is cancelled then.
            draw: a number in [0, 1).
            budget: pays for another attempt.
        """
        leaves = [leaf for leaf in leaves_of(error) if isinstance(leaf, Exception)]
        if not all(map(self._is_retryable, leaves)):
            return Stop("not_retryable", f"{type(error).__name__} is not tried again")
        try:
            hints = [self._asked_by(leaf) for leaf in leaves]
        except Exception as wrong:  # noqa: BLE001 - a rule of the user's must not hide the body's error
            return Stop("rule_failed", f"retry_after raised {type(wrong).__name__}", wrong)
        hint = max(hints)
        if self._policy.on_rejected == "wait" and _can_be_waited_out(leaves, hints):
            return self._bounded(self.attempt, hint, hint, now, deadline)
        return self._next(hint, now, deadline, draw, budget)

    def unwanted(
        self,
        now: float,
        *,
        deadline: float,
        draw: Callable[[], float],
        budget: Budget | None = None,
    ) -> Decision:
        """Decide what follows on a result that the caller does not want; otherwise as `failed`."""
        return self._next(0.0, now, deadline, draw, budget)

    def woken(self, again: Again, now: float, *, deadline: float) -> Stop | None:
        """Begin the attempt that *again* announced, or decide that it is too late for it, for the loop was busy."""
        late = self._too_late(now, deadline)
        if late is None:
            self.attempt = again.attempt
        return late

    def _is_retryable(self, leaf: Exception) -> bool:
        if isinstance(leaf, RejectedError):
            return self._policy.on_rejected != "raise"
        return self._judge.every(leaf)

    def _asked_by(self, leaf: Exception) -> float:
        ask = self._policy.retry_after
        seconds = None if ask is None else ask(leaf)
        if seconds is None:
            return retry_after_of(leaf)
        if not seconds >= 0.0:
            raise ValueError(f"retry_after gave {seconds!r}, not seconds >= 0 or None")
        return seconds

    def _next(
        self,
        hint: float,
        now: float,
        deadline: float,
        draw: Callable[[], float],
        budget: Budget | None,
    ) -> Decision:
        policy, number = self._policy, self.attempt + 1
        if self.attempt >= policy.max_attempts:
            return Stop("attempts", f"max_attempts={policy.max_attempts}")
        try:
            self._previous = draw_delay(policy, number, self._previous, draw)
        except Exception as wrong:  # noqa: BLE001 - a rule of the user's must not hide the body's error
            return Stop("rule_failed", f"backoff raised {type(wrong).__name__}", wrong)
        decision = self._bounded(number, max(self._previous, hint), hint, now, deadline)
        if isinstance(decision, Stop) or budget is None:
            return decision
        if not budget.withdraw(now):
            return Stop("budget", "the retry budget is used up")
        return attrs.evolve(decision, paid=now)

    def _bounded(
        self, number: int, delay: float, hint: float, now: float, deadline: float
    ) -> Decision:
        most = self._policy.max_retry_after
        if hint > most:
            return Stop(
                "retry_after", f"retry_after={hint:g} s is above max_retry_after={most:g} s"
            )
        late = self._too_late(now + delay, deadline)
        return late or Again(number, now + delay, delay)

    def _too_late(self, at: float, deadline: float) -> Stop | None:
        if at < self._limit and at < deadline:
            return None
        if deadline < self._limit:
            return _DEADLINE
        most = self._policy.max_elapsed
        return Stop(
            "max_elapsed", f"the next attempt would not begin within max_elapsed={most:g} s"
        )


def _can_be_waited_out(leaves: Sequence[Exception], hints: Sequence[float]) -> bool:
    """A wait of no length would come back at once, for ever; it is a failure like any other."""
    return min(hints) > 0.0 and all(isinstance(leaf, RejectedError) for leaf in leaves)


def retry_after_of(error: Exception) -> float:
    """The seconds after which *error* says it is worth another try, 0.0 if it does not say.

    Anything that has a number > 0 as ``retry_after`` says so; NaN is none.
    """
    try:
        hint: object = getattr(error, "retry_after", None)
    except Exception:  # noqa: BLE001 - a property that fails says nothing
        return 0.0
    if isinstance(hint, bool) or not isinstance(hint, int | float):
        return 0.0
    return float(hint) if hint > 0.0 else 0.0
