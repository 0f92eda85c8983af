"""What the calls of a hedge share in a run of Trio: what it is made of, what it has seen, and whom it tells.

Layer: robustness. Rule: what is told is told after it was counted.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final, final

import attrs
import trio
from trio.lowlevel import current_root_task, in_trio_run

from ..ports import Met
from ._budget import budget_of
from ._budget_core import Budget, BudgetStatistics
from ._events import AttemptFailed, GaveUp, HedgeStarted, HedgeWon, OnEvent
from ._guard import Home, Listener
from ._hedge_core import Course, EarlyReason, Failed, brief_of, delay_of
from ._hedge_policy import HedgePolicy
from ._verdict_core import Judge

__all__ = ["HedgeState", "HedgeStatistics"]

_LOG: Final = logging.getLogger("agentflow_trio.robustness")


@final
@attrs.frozen(kw_only=True)
class HedgeStatistics:
    """A picture of a hedge, since its run of Trio began.

    Attributes:
        name: of the hedge.
        after: the delay, in seconds, for a call that begins now.
        samples: how many durations an adaptive delay knows.
        inside: how many calls go on now.
        calls: how many were begun.
        hedges: how many attempts were begun after the first one of a call, by reason.
        won: how many calls another attempt than the first decided.
        completed: how many calls returned something.
        failed: how many raised an error.
        cancelled: how many were cancelled.
        refused: for how many the budget did not pay for another attempt.
        failed_late: how many attempts failed while they were cut off.
        budget: a picture of the budget; None if there is none, or the hedge was not used yet.
    """

    name: str
    after: float
    samples: int
    inside: int
    calls: int
    hedges: Mapping[EarlyReason, int]
    won: int
    completed: int
    failed: int
    cancelled: int
    refused: int
    failed_late: int
    budget: BudgetStatistics | None


@final
class HedgeState:
    """What a hedge is made of, and what it has seen in this run of Trio."""

    __slots__ = (
        "_home",
        "_judge",
        "_listener",
        "_owner",
        "budget",
        "calls",
        "cancelled",
        "completed",
        "delay",
        "failed",
        "failed_late",
        "hedges",
        "inside",
        "name",
        "policy",
        "refused",
        "won",
    )

    def __init__(
        self, name: str, policy: HedgePolicy, on_event: OnEvent | None, owner: Met
    ) -> None:
        """*owner*: the hedge that users know."""
        self.name: str = name
        self.policy: HedgePolicy = policy
        self.budget: Budget | None = None
        self._owner = owner
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._judge = Judge(
            policy.on, policy.ignore, unsure="ignored", complain=self._listener.complain
        )
        self._start_blank()

    def _start_blank(self) -> None:
        self._listener.start_anew()
        self.delay = delay_of(self.policy.after)
        self.inside: int = 0
        self.calls: int = 0
        self.hedges: dict[EarlyReason, int] = {}
        self.won: int = 0
        self.completed: int = 0
        self.failed: int = 0
        self.cancelled: int = 0
        self.refused: int = 0
        self.failed_late: int = 0

    def enter(self, before: int | None = None) -> Course:
        """Count a call that begins now; of a step's own hedge, *before* so many attempts. Not a checkpoint.

        Raises:
            GuardInUseError: the hedge is in use under another run of Trio.
            ValueError: its budget is in use with other settings.
        """
        if current_root_task() is not self._home.root:
            self._move_in()
        if self.budget is not None:
            self.budget.deposit(trio.current_time())
        self.calls += 1
        self.inside += 1
        return Course(self.policy, self._judge, self.delay.seconds(), before)

    def _move_in(self) -> None:
        if self._home.move_in(self._owner):
            self._start_blank()
        if self.policy.budget is not None:
            self.budget = budget_of(self.policy.budget)

    def statistics(self) -> HedgeStatistics:
        """A frozen picture."""
        if in_trio_run() and current_root_task() is not self._home.root:
            self._move_in()
        return HedgeStatistics(
            name=self.name,
            after=self.delay.seconds(),
            samples=self.delay.samples,
            inside=self.inside,
            calls=self.calls,
            hedges=dict(self.hedges),
            won=self.won,
            completed=self.completed,
            failed=self.failed,
            cancelled=self.cancelled,
            refused=self.refused,
            failed_late=self.failed_late,
            budget=self.budget and self.budget.statistics(),
        )

    # ------------------------------------------------------------ while a call goes on

    def hedged(self, attempt: int, reason: EarlyReason, now: float, *, own: bool) -> None:
        """Take note that another attempt begins."""
        self.hedges[reason] = self.hedges.get(reason, 0) + 1
        if self._listener.on:
            told = HedgeStarted(
                guard=self.name, timestamp=now, attempt=attempt, reason=reason, own=own
            )
            self._listener.tell(told)

    def attempts_failed(self, failures: Sequence[Failed], *, own: bool) -> None:
        """Take note of attempts that failed."""
        now = trio.current_time()
        for failed in failures:
            self.failed_late += failed.kind == "late"
            if self._listener.on:
                kind, text = brief_of(failed.error)
                told = AttemptFailed(
                    guard=self.name,
                    timestamp=now,
                    duration_ms=(failed.at - failed.begun) * 1000.0,
                    attempt=failed.attempt,
                    error=kind,
                    message=text,
                    own=own,
                )
                self._listener.tell(told)

    # ------------------------------------------------------------ when it is at an end

    def conclude(self, course: Course) -> BaseException | None:
        """Take note of how a call came out, and return what is to be raised."""
        self.refused += course.is_refused()
        error = course.failure()
        if error is None:
            self._complete(course)
        else:
            self._fail(course, error)
        if course.failures and not self._listener.on:
            self._log_unheard(course)
        return error

    def _complete(self, course: Course) -> None:
        seconds, attempts = course.won_at - course.begun[0], len(course.begun)
        self.completed += 1
        self.delay.learn(seconds)
        if attempts == 1:
            return
        self.won += course.winner > course.first
        if self._listener.on:
            told = HedgeWon(
                guard=self.name,
                timestamp=trio.current_time(),
                duration_ms=seconds * 1000.0,
                attempt=course.winner,
                attempts=attempts,
                own=course.own,
            )
            self._listener.tell(told)

    def _fail(self, course: Course, error: BaseException) -> None:
        final = course.final()
        if final is None:
            self.cancelled += error is course.cancelled
            return
        self.failed += 1
        reason = course.reason(final)
        if reason != "cancelled" and self._listener.on:
            told = GaveUp(
                guard=self.name,
                timestamp=trio.current_time(),
                attempts=len(course.begun),
                elapsed=final.at - course.begun[0],
                reason=reason,
            )
            self._listener.tell(told)
        from ..redaction import hide  # noqa: PLC0415 - most calls end well

        # an error may refuse notes; it is raised all the same
        with contextlib.suppress(Exception):
            error.add_note(hide(course.note(self.name, final)))

    def _log_unheard(self, course: Course) -> None:
        for failed in course.unheard():
            _LOG.warning(
                "attempt %d of hedge %r failed, but another decided the call",
                failed.attempt,
                self.name,
                exc_info=failed.error,
            )
