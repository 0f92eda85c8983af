"""What a closed circuit remembers of its calls: the last n of them, and those within a window of time.

Layer: robustness, a core: sans-IO, ``now`` is an argument. Rule: a call is in the window until its expiry, which is
computed once; ``expiry <= now`` means out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias, final

__all__ = ["CallWindow", "LastCalls", "Sample"]

Sample: TypeAlias = tuple[float, bool, bool]
"""A call in a window: when it falls out, whether it failed, whether it was slow."""


@final
class LastCalls:
    """How many of the last n calls failed.

    Attributes:
        failed: so many.
    """

    __slots__ = ("_calls", "failed")

    def __init__(self, last: int) -> None:
        self._calls: deque[bool] = deque(maxlen=last)
        self.failed = 0

    def add(self, *, failed: bool) -> None:
        """Remember a call, and forget the oldest if there are more than n."""
        calls = self._calls
        if len(calls) == calls.maxlen:
            self.failed -= calls[0]
        calls.append(failed)
        self.failed += failed

    def clear(self) -> None:
        """Forget all."""
        self._calls.clear()
        self.failed = 0

    def all(self) -> tuple[bool, ...]:
        """Whether each failed, oldest first."""
        return tuple(self._calls)


@final
class CallWindow:
    """How many calls of the last *span* seconds failed, or were slow. Exact; memory for each call in the window.

    Attributes:
        failed: so many failed.
        slow: so many were slow.
    """

    __slots__ = ("_calls", "_span", "failed", "slow")

    def __init__(self, span: float) -> None:
        self._span = span
        self._calls: deque[Sample] = deque()
        self.failed = 0
        self.slow = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Remember a call that ended now, and forget those that are out."""
        self.forget(now)
        self._put((now + self._span, failed, slow))

    def forget(self, now: float) -> None:
        """Forget the calls that are out of the window."""
        calls = self._calls
        while calls and calls[0][0] <= now:
            _, failed, slow = calls.popleft()
            self.failed -= failed
            self.slow -= slow

    def clear(self) -> None:
        """Forget all."""
        self._calls.clear()
        self.failed = self.slow = 0

    def remaining(self, now: float) -> tuple[Sample, ...]:
        """The calls, oldest first, each with the seconds until it falls out."""
        self.forget(now)
        return tuple((expiry - now, failed, slow) for expiry, failed, slow in self._calls)

    def fill(self, remaining: Iterable[Sample], now: float) -> None:
        """Remember what `remaining` told, of a window that may have been longer."""
        for left, failed, slow in remaining:
            self._put((now + min(left, self._span), failed, slow))

    def _put(self, sample: Sample) -> None:
        self._calls.append(sample)
        self.failed += sample[1]
        self.slow += sample[2]
