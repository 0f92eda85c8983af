"""Adaptive limit rules: how many may be inside, learned from how bodies end. No clock, no I/O.

Layer: robustness. Rules: additive increase, multiplicative decrease, as in TCP. A body that failed or was slow makes
the limit ``int(limit * backoff)``; one that ended well makes it one more if at least half of the limit is in use, for a
limit that nobody comes near to was not tried; what was cancelled or ignored says nothing. It stays between its bounds.
What is old news changes nothing: that a body failed which came in before the limit last went down, or that one ended
well which came in before it last changed. Else all that run when it is too high, and fail at once, would take it down
to nothing, and all that end well would double it. Who is inside and who waits is the matter of a `BulkheadCore` whose
limit this one changes.
"""

from __future__ import annotations

from typing import Generic, TypeVar, final

import attrs

from ._adaptive_limit_policy import AdaptiveLimitPolicy
from ._bulkhead_core import BulkheadCore
from ._line_core import Line
from ._verdict_core import Verdict

__all__ = ["AdaptiveLimitCore", "AdaptiveLimitStatistics", "Sample"]


@final
@attrs.frozen(kw_only=True)
class AdaptiveLimitStatistics:
    """How things stand.

    Attributes:
        limit: how many may be inside now.
        inside: how many are. More than *limit* only after it went down.
        waiting: how many wait.
        entered: how many came in since the start.
        refused: how many were refused, those that waited in vain included.
        cancelled: how many were cancelled while they waited.
        succeeded: how many bodies ended well, and in time.
        slow: how many ended well, but took too long.
        failed: how many failed.
        unjudged: how many said nothing of the limit: they were cancelled, or their errors are ignored.
        stale: of those that succeeded, were slow or failed, how many were old news, and so did not change the limit.
    """

    limit: int
    inside: int
    waiting: int
    entered: int
    refused: int
    cancelled: int
    succeeded: int
    slow: int
    failed: int
    unjudged: int
    stale: int


class Sample:
    """What is known of a body inside.

    Attributes:
        begun: when its time began; there is none before it is inside.
        failed: whether a result of it counted as failure.
        generation: how often the limit had changed when it came in; there is none before.
    """

    __slots__ = ("begun", "failed", "generation")
    begun: float
    generation: int

    def __init__(self) -> None:
        self.failed: bool = False


Who = TypeVar("Who")
Inside = TypeVar("Inside", bound=Sample)


@final
class AdaptiveLimitCore(Generic[Who, Inside]):
    """The state of one adaptive limit.

    *Who* is anything that can be told apart and is inside at most once.

    Attributes:
        limit: how many may be inside now.
        inside: who is.
        line: who waits; who could not `enter` may join it.
    """

    __slots__ = (
        "_failed",
        "_generation",
        "_lowered",
        "_places",
        "_policy",
        "_slow",
        "_stale",
        "_succeeded",
        "_unjudged",
        "inside",
        "limit",
        "line",
    )

    def __init__(self, policy: AdaptiveLimitPolicy) -> None:
        self._policy = policy
        self._places: BulkheadCore[Who, Inside] = BulkheadCore(
            policy.initial, policy.max_waiters, policy.max_wait
        )
        self.limit: int = policy.initial
        self.inside: dict[Who, Inside] = self._places.inside
        self.line: Line[Who, Inside] = self._places.line
        self._succeeded = 0
        self._slow = 0
        self._failed = 0
        self._unjudged = 0
        self._stale = 0
        self._generation = 0
        self._lowered = 0

    def enter(self, who: Who, sample: Inside, now: float) -> bool:
        """Let *who* in if there is room (then nobody waits); whether it is in."""
        sample.begun, sample.generation = now, self._generation
        return self._places.enter(who, sample)

    def leave(self, who: Who, verdict: Verdict, now: float) -> tuple[Who, ...]:
        """Let *who* out, whose body came to *verdict*, and learn from it; who came in for it, in order.

        Raises:
            KeyError: it was not inside; nothing changed.
        """
        limit = self._learn(self.inside[who], verdict, now)
        admitted: tuple[Who, ...] = ()
        if limit != self.limit:  # before a place is free, or one too many could take it
            self._generation += 1
            if limit < self.limit:
                self._lowered = self._generation
            self.limit = limit
            admitted = self._places.resize(limit)
        heir = self._places.leave(who)
        if heir is not None:
            admitted = (*admitted, heir)
        for each in admitted:
            sample = self.inside[each]
            sample.begun, sample.generation = now, self._generation
        return admitted

    def _learn(self, sample: Inside, verdict: Verdict, now: float) -> int:
        """The limit after a body that came to *verdict*; it is still inside."""
        if verdict in {"ignored", "cancelled"}:
            self._unjudged += 1
            return self.limit
        good = self._is_good(sample, verdict, now)
        if sample.generation < (self._generation if good else self._lowered):
            self._stale += 1
            return self.limit
        policy = self._policy
        if not good:
            return max(policy.minimum, int(self.limit * policy.backoff))
        in_use = 2 * len(self.inside) >= self.limit
        return min(self.limit + 1, policy.maximum) if in_use else self.limit

    def _is_good(self, sample: Inside, verdict: Verdict, now: float) -> bool:
        """Whether the body ended well, and in time; counts it."""
        if verdict == "failure" or sample.failed:
            self._failed += 1
            return False
        slow_after = self._policy.slow_after
        if slow_after is not None and sample.begun + slow_after <= now:
            self._slow += 1
            return False
        self._succeeded += 1
        return True

    def statistics(self) -> AdaptiveLimitStatistics:
        """How things stand."""
        places = self._places.statistics()
        return AdaptiveLimitStatistics(
            limit=places.limit,
            inside=places.inside,
            waiting=places.waiting,
            entered=places.entered,
            refused=places.refused,
            cancelled=places.cancelled,
            succeeded=self._succeeded,
            slow=self._slow,
            failed=self._failed,
            unjudged=self._unjudged,
            stale=self._stale,
        )
