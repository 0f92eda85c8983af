"""Hedge rules: when the next attempt of a call begins, and which attempt decides it. No clock, no I/O.

Layer: robustness. Rules: the first attempt to end well wins, at one instant the one with the lowest number; an error
that is not handled ends the call; what ends after the call is decided changes nothing, unless it is neither an error nor
a cancellation (KeyboardInterrupt, SystemExit).
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

__all__ = ["Course", "EarlyReason", "Failed", "Kind", "LastReason", "brief_of", "delay_of"]

EarlyReason: TypeAlias = Literal["delay", "failure"]
"""Why an attempt is begun: those that go on take too long, or one has failed."""

Kind: TypeAlias = Literal["handled", "rejected", "unhandled", "late"]
"""What a failure does: begin another attempt; nothing; end the call; nothing, for it comes of being cut off."""

LastReason: TypeAlias = Literal[
    "attempts", "budget", "cancelled", "deadline", "not_hedged", "rejected"
]
"""Why no further attempt was begun."""

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
        attempt: its number.
        error: what it raised.
        begun: when it began.
        at: when it ended.
        kind: what it does to the call.
    """

    attempt: int
    error: BaseException
    begun: float
    at: float
    kind: Kind


@final
class Course:
    """One call and its attempts.

    Attributes:
        first: the number of the first attempt.
        own: it is a round of a step's own hedge, whose attempts have the numbers of the visit's.
        begun: when each attempt began, in order.
        due: when the next attempt is to begin if none ends before; ``inf`` if none is.
        running: how many attempts go on.
        cancelled: how an attempt ended that was cancelled; None if none was.
        decided: when the outcome became certain; None as long as it is not.
        winner: the number of the attempt that won, 0 if none did.
        won_at: when it ended.
        failures: what failed, in the order in which it became known.
    """

    __slots__ = (
        "_after",
        "_closed",
        "_fatal",
        "_judge",
        "_last",
        "_owed",
        "_policy",
        "begun",
        "cancelled",
        "decided",
        "due",
        "failures",
        "first",
        "own",
        "running",
        "winner",
        "won_at",
    )

    def __init__(
        self, policy: HedgePolicy, judge: Judge, after: float, before: int | None = None
    ) -> None:
        """Begin nothing yet.

        Args:
            policy: when attempts are begun.
            judge: tells what begins another attempt.
            after: seconds from the beginning of one attempt to that of the next.
            before: of a step's own hedge, how many attempts of the visit there were before.
        """
        self.first = 1 + (before or 0)
        self.own = before is not None
        self._policy = policy
        self._judge = judge
        self._after = after
        self._closed = False  # no further attempt begins, whatever happens
        self._owed = 0  # attempts to begin at once, for so many have failed
        self._last: LastReason = "attempts"
        self._fatal: BaseException | None = None
        self.cancelled: BaseException | None = None
        self.begun: list[float] = []
        self.due = math.inf
        self.running = 0
        self.decided: float | None = None
        self.winner = 0
        self.won_at = math.inf
        self.failures: list[Failed] = []

    # ------------------------------------------------------------ beginning

    def begin(self, now: float) -> int:
        """Begin an attempt, and return its number."""
        self.begun.append(now)
        self.running += 1
        if self._owed:
            self._owed -= 1
        self._closed = len(self.begun) >= self._policy.max_attempts
        self.due = math.inf if self._closed else now + self._after
        return self.first + len(self.begun) - 1

    def wants(self, now: float) -> EarlyReason | None:
        """Why another attempt is to begin now, if it may; None: it is not."""
        if self.decided is not None or self._closed:
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

    def is_over(self) -> bool:
        """Whether nothing that is still to come counts: the call is decided, or no attempt goes on."""
        return self.decided is not None or not self.running

    def is_refused(self) -> bool:
        """Whether the budget did not pay for an attempt."""
        return self._last == "budget"

    def _stop(self, reason: LastReason) -> None:
        self._last = reason
        self._closed = True
        self.due = math.inf

    # ------------------------------------------------------------ ending

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
            self.cancelled = self.cancelled or error
            self._stop("cancelled")
            if not all(isinstance(leaf, trio.Cancelled) for leaf in leaves_of(error)):
                self._failed(number, error, at, "late")
        elif cut:
            self._failed(number, error, at, "late")
        else:
            self._failed(number, error, at, self._kind_of(error))

    def interrupted(self, error: BaseException, at: float) -> None:
        """Take note that the call must end with *error*, whatever its attempts come to."""
        self._fatal = self._fatal or error
        self._decide(at)

    def _won(self, number: int, at: float) -> None:
        decided = self._decide(at)
        if at <= decided and (not self.winner or number < self.winner):
            self.winner, self.won_at = number, at

    def _failed(self, number: int, error: BaseException, at: float, kind: Kind) -> None:
        begun = self.begun[number - self.first]
        self.failures.append(Failed(number, error, begun, at, kind))
        if kind == "handled":
            self._owed += 1
        elif kind == "unhandled":
            self._decide(at)

    def _kind_of(self, error: BaseException) -> Kind:
        leaves = list(leaves_of(error))
        tried = [leaf for leaf in leaves if not isinstance(leaf, RejectedError)]
        if not all(map(self._judge.every, tried)):
            return "unhandled"
        return "handled" if len(tried) == len(leaves) else "rejected"

    def _decide(self, at: float) -> float:
        if self.decided is None:
            self.decided = at
        return self.decided

    # ------------------------------------------------------------ the outcome

    def failure(self) -> BaseException | None:
        """What the call raises, all attempts being at an end; None: it returns what the winner returned."""
        if self._fatal is not None:
            return self._fatal
        if self.winner:
            return None
        final = self.final()
        return self.cancelled if final is None else final.error

    def final(self) -> Failed | None:
        """The failure that the call comes to if no attempt won; None: there is nothing but what is no error."""
        if self._fatal is not None:
            return None
        found = self._of("unhandled") or self._of("late")
        if found:
            return min(found, key=lambda failed: failed.attempt)
        if self.cancelled is not None:
            return None
        # what was rejected tells less than what failed
        found = self._of("handled") or self.failures
        return max(found, key=lambda failed: (failed.at, failed.attempt))

    def unheard(self) -> list[Failed]:
        """What failed and is neither raised nor told of by what is raised, nor what a hedge is there for."""
        if not self.winner and self._fatal is None:
            return []
        return self._of("unhandled") + self._of("late")

    def reason(self, final: Failed) -> LastReason:
        """Why no further attempt was begun; *final* is what the call came to."""
        if final.kind == "unhandled":
            return "not_hedged"
        if final.kind == "late":
            return "cancelled"
        return self._last if self._closed else "rejected"

    def note(self, name: str, final: Failed) -> str:
        """What *final*, which is raised, says in a note; *name* is the hedge's."""
        text = _TEXTS[self.reason(final)].format(
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

    def forget(self) -> None:
        """Let go of all errors: their tracebacks may lead back to here."""
        self._fatal = self.cancelled = None
        self.failures = []

    def _of(self, kind: Kind) -> list[Failed]:
        return [failed for failed in self.failures if failed.kind == kind]


def brief_of(error: BaseException) -> tuple[str, str]:
    """The class and the text of *error*, apart from cancellation."""
    rest = error.split(trio.Cancelled)[1] if is_group(error) else error
    told = rest or error
    return type(told).__name__, text_of(told)


def _told(failed: Failed) -> str:
    kind, text = brief_of(failed.error)
    return f"{kind}: {text}" if text else kind


def _is_fatal(error: BaseException) -> bool:
    """Whether there is something in it that is neither an Exception nor a cancellation."""
    return not all(isinstance(leaf, Exception | trio.Cancelled) for leaf in leaves_of(error))


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
