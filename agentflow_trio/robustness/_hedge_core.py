"""Hedge rules: when the next attempt of a call begins, and which attempt decides it. No clock, no I/O.

Layer: robustness. Rules: the first attempt to end well wins, at one instant the one with the lowest number; an error
that is not handled ends the call; whatever ends after the call is decided changes nothing, except what must never be
held up (KeyboardInterrupt, SystemExit).
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias, final

import attrs
import trio

from ..errors import RejectedError, text_of
from ._budget_core import Budget
from ._hedge_policy import AdaptiveDelay, Delay, HedgePolicy
from ._timeout_core import AdaptiveTimeout, Fixed, Learned
from ._verdict_core import Judge, is_cancelled, is_group, leaves_of

__all__ = ["Course", "EarlyReason", "Failed", "LastReason", "delay_of"]

EarlyReason: TypeAlias = Literal["delay", "failure"]
"""Why an attempt is begun before those that go on have ended."""

LastReason: TypeAlias = Literal[
    "attempts", "budget", "cancelled", "deadline", "not_hedged", "rejected"
]
"""Why no further attempt was begun after a failure."""

_TEXTS: Final[dict[LastReason, str]] = {
    "attempts": "max_attempts={most}",
    "budget": "the retry budget is used up",
    "cancelled": "it was cancelled",
    "deadline": "another attempt would not begin before the deadline",
    "not_hedged": "{kind} begins no other attempt",
    "rejected": "a rejection begins no other attempt",
}

_TOLD: Final = 9
"""Of how many other attempts an error tells in its note."""


@final
@attrs.frozen
class Failed:
    """An attempt that ended with an error.

    Attributes:
        attempt: its number, from 1.
        error: what it raised.
        begun: when it began.
        at: when it ended.
        late: whether it was being cut off, so that this decides nothing.
    """

    attempt: int
    error: BaseException
    begun: float
    at: float
    late: bool

    @property
    def brief(self) -> tuple[str, str]:
        """The class and the text of what it raised, apart from cancellation."""
        error = self.error
        rest = error.split(trio.Cancelled)[1] if is_group(error) else error
        return type(rest).__name__, text_of(rest or error)


@final
class Course:
    """One call and its attempts. The first is begun with `begin`, like every other.

    Attributes:
        begun: when each attempt began, in order.
        due: when the next attempt is to begin if none ends before; ``inf`` if none is.
        running: how many attempts go on.
        decided: when the outcome of the call became certain; None as long as it is not.
        winner: the number of the attempt that won, 0 if none did.
        won_at: when it ended.
        failures: what failed, in the order of ending.
    """

    __slots__ = (
        "_after",
        "_cancelled",
        "_fatal",
        "_judge",
        "_last",
        "_owed",
        "_policy",
        "_unhandled",
        "begun",
        "decided",
        "due",
        "failures",
        "running",
        "winner",
        "won_at",
    )

    def __init__(self, policy: HedgePolicy, judge: Judge, after: float) -> None:
        self._policy = policy
        self._judge = judge
        self._after = after
        self._owed = 0  # attempts to begin at once, for others have failed
        self._last: LastReason = "attempts"
        self._fatal: BaseException | None = None
        self._cancelled: BaseException | None = None
        self._unhandled: Failed | None = None
        self.begun: list[float] = []
        self.due = -math.inf
        self.running = 0
        self.decided: float | None = None
        self.winner = 0
        self.won_at = 0.0
        self.failures: list[Failed] = []

    # ------------------------------------------------------------ beginning

    def begin(self, now: float) -> int:
        """Begin an attempt, and return its number."""
        self.begun.append(now)
        self.running += 1
        if self._owed:
            self._owed -= 1
        number = len(self.begun)
        self.due = now + self._after if number < self._policy.max_attempts else math.inf
        return number

    def wants(self, now: float) -> EarlyReason | None:
        """Why another attempt is to begin now, if it may; None: it is not."""
        if self.decided is not None or self.due == math.inf:
            return None
        if self._owed:
            return "failure"
        return "delay" if now >= self.due and self.running else None

    def may(self, now: float, *, deadline: float, budget: Budget | None) -> bool:
        """Whether another attempt may begin now, and the budget has paid for it. If not, none will in this call.

        Args:
            now: the time.
            deadline: of the caller, who is cancelled then.
            budget: pays for it.
        """
        if now >= deadline:
            self._stop("deadline")
        elif budget is not None and not budget.withdraw(now):
            self._stop("budget")
        else:
            return True
        return False

    def _stop(self, reason: LastReason) -> None:
        self._last = reason
        self.due = math.inf

    @property
    def over(self) -> bool:
        """Whether nothing that is still to come counts: the call is decided, or no attempt goes on."""
        return self.decided is not None or not self.running

    @property
    def refused(self) -> bool:
        """Whether the budget did not pay for an attempt."""
        return self._last == "budget"

    # ------------------------------------------------------------ ending

    def interrupted(self, error: BaseException, at: float) -> None:
        """Take note that the call must end with *error*, whatever its attempts come to."""
        self._fatal = self._fatal or error
        self._decide(at)

    def ended(self, number: int, error: BaseException | None, at: float, *, cut: bool) -> None:
        """Take note that an attempt has ended.

        Args:
            number: which.
            error: what it raised; None: it ended well.
            at: when. Attempts that end together, at the same time.
            cut: whether it was being cut off, by the hedge or with the caller.
        """
        self.running -= 1
        if error is None:
            self._won(number, at)
        elif _is_fatal(error):
            self.interrupted(error, at)
        elif is_cancelled(error):
            self._cancelled = self._cancelled or error
            self._stop("cancelled")
            if not _is_bare(error):
                self._failed(number, error, at, late=True)
        else:
            self._failed(number, error, at, late=cut)

    def _won(self, number: int, at: float) -> None:
        self._decide(at)
        if self._is_in_time(at) and (not self.winner or number < self.winner):
            self.winner, self.won_at = number, at

    def _failed(self, number: int, error: BaseException, at: float, *, late: bool) -> None:
        late = late or not self._is_in_time(at)
        failed = Failed(number, error, self.begun[number - 1], at, late)
        self.failures.append(failed)
        if late:
            return
        if self._judge.every(error):
            self._owed += 1
        elif not self._is_rejection(error):
            self._decide(at)
            if self._unhandled is None or number < self._unhandled.attempt:
                self._unhandled = failed

    def _is_rejection(self, error: BaseException) -> bool:
        """Whether it is one, apart from what is handled."""
        others = [leaf for leaf in leaves_of(error) if not isinstance(leaf, RejectedError)]
        return all(map(self._judge.every, others))

    def _decide(self, at: float) -> None:
        if self.decided is None:
            self.decided = at

    def _is_in_time(self, at: float) -> bool:
        return self.decided is None or at <= self.decided

    # ------------------------------------------------------------ the outcome

    def failure(self) -> BaseException | None:
        """What the call raises, all attempts being at an end; None: it returns what the winner returned."""
        if self._fatal is not None:
            return self._fatal
        if self.winner:
            return None
        final = self.final()
        return self._cancelled if final is None else final.error

    def final(self) -> Failed | None:
        """The failure that the call comes to if no attempt won; None: it was cancelled, and no attempt said more."""
        if self._unhandled is not None:
            return self._unhandled
        late = [failed for failed in self.failures if failed.late]
        if late or self._cancelled is not None:
            return min(late, key=lambda failed: failed.attempt, default=None)
        # what was rejected tells less than what failed
        tried = [one for one in self.failures if not self._is_rejection(one.error)]
        return max(tried or self.failures, key=lambda failed: (failed.at, failed.attempt))

    @property
    def reason(self) -> LastReason:
        """Why no further attempt was begun, if the call failed."""
        if self._unhandled is not None:
            return "not_hedged"
        return self._last if self.due == math.inf else "rejected"

    def note(self, name: str, final: Failed) -> str:
        """What *final*, which is raised, says in a note; *name* is the hedge's."""
        text = _TEXTS[self.reason].format(
            most=self._policy.max_attempts, kind=type(final.error).__name__
        )
        count, elapsed = len(self.begun), final.at - self.begun[0]
        times = "1 attempt" if count == 1 else f"{count} attempts"
        others = [failed for failed in self.failures if failed is not final]
        told = [f"attempt {failed.attempt}: {_told(failed)}" for failed in others[:_TOLD]]
        if len(others) > _TOLD:
            told.append(f"and {len(others) - _TOLD} more")
        first = f"hedge {name!r}: failed after {times} in {elapsed:g} s: {text}"
        return "; ".join([first, *told])


def _told(failed: Failed) -> str:
    kind, text = failed.brief
    return f"{kind}: {text}" if text else kind


def _is_fatal(error: BaseException) -> bool:
    """Whether there is something in it that is neither an Exception nor a cancellation."""
    return any(not isinstance(leaf, Exception | trio.Cancelled) for leaf in leaves_of(error))


def _is_bare(error: BaseException) -> bool:
    """Whether it is a cancellation and nothing else."""
    return all(isinstance(leaf, trio.Cancelled) for leaf in leaves_of(error))


def delay_of(after: Delay) -> Fixed | Learned:
    """A delay as it is at first."""
    if not isinstance(after, AdaptiveDelay):
        return Fixed(after)
    return Learned(
        AdaptiveTimeout(
            maximum=after.maximum,
            minimum=after.minimum,
            percentile=after.percentile,
            factor=1.0,
            min_samples=after.min_samples,
            history=after.history,
        )
    )
