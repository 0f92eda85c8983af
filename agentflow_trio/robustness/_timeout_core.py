"""Adaptive timeouts: a limit learned from how long calls took. No clock, no I/O.

Layer: robustness. Rules: what was cancelled from outside or failed tells nothing; what this very limit cut off took at
least so long and counts as that: without it a limit that became too short would see no long call again, and never grow.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import final

import attrs

from ._bounds import Number, Whole

__all__ = ["AdaptiveTimeout", "Fixed", "Learned", "limit_of"]


@final
@attrs.frozen(kw_only=True)
class AdaptiveTimeout:
    """A limit learned from calls: ``factor`` times a percentile of the last durations, kept within bounds.

    Attributes:
        maximum: seconds, > 0; also the limit until there are ``min_samples``.
        minimum: seconds, > 0 and at most ``maximum``.
        percentile: more than 0 and up to 100, by the nearest rank: at least so many of a hundred calls were no longer.
        factor: how much longer than that a call may take, >= 1.
        min_samples: how many durations it takes to learn, >= 1.
        history: how many of the last durations count, >= ``min_samples``.
    """

    maximum: float = attrs.field(validator=Number(above=0.0))
    minimum: float = attrs.field(default=0.05, validator=Number(above=0.0))
    percentile: float = attrs.field(
        default=95.0, validator=Number(what="", above=0.0, at_most=100.0)
    )
    factor: float = attrs.field(default=1.5, validator=Number(what="", at_least=1.0))
    min_samples: int = attrs.field(default=10, validator=Whole(1))
    history: int = attrs.field(default=100, validator=Whole(1))

    def __attrs_post_init__(self) -> None:
        for name, small, bound, large in (
            ("minimum", self.minimum, "maximum", self.maximum),
            ("min_samples", self.min_samples, "history", self.history),
        ):
            if small > large:
                raise ValueError(
                    f"AdaptiveTimeout: {name} must be <= {bound}={large!r}, not {small!r}"
                )


@final
class Learned:
    """What an adaptive timeout has learned."""

    __slots__ = ("_last", "_policy", "_sorted")

    def __init__(self, policy: AdaptiveTimeout) -> None:
        self._policy = policy
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def samples(self) -> int:
        """How many durations count now."""
        return len(self._last)

    def seconds(self) -> float:
        """The limit for a call that begins now."""
        policy, count = self._policy, len(self._last)
        if count < policy.min_samples:
            return policy.maximum
        rank = math.ceil(policy.percentile * count / 100.0)
        learned = policy.factor * self._sorted[rank - 1]
        return min(max(learned, policy.minimum), policy.maximum)

    def learn(self, seconds: float) -> None:
        """Take note of a call that took so long, or was cut off by this limit after so long."""
        if len(self._last) == self._policy.history:
            oldest = self._last.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, oldest)]
        self._last.append(seconds)
        bisect.insort(self._sorted, seconds)


@final
class Fixed:
    """A limit that learns nothing."""

    __slots__ = ("_seconds",)

    samples = 0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def seconds(self) -> float:
        """The limit."""
        return self._seconds

    def learn(self, seconds: float) -> None:
        """Take no note."""


def limit_of(limit: float | AdaptiveTimeout) -> Fixed | Learned:
    """A limit as it is at first.

    Raises:
        ValueError: it is no number of seconds > 0.
    """
    if isinstance(limit, AdaptiveTimeout):
        return Learned(limit)
    Number(above=0.0).check("Timeout", "seconds", limit)
    return Fixed(limit)
