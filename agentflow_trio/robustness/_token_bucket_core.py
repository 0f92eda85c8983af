"""Token-bucket rules: a burst at once, then a steady rate. No clock, no I/O.

Layer: robustness. Rule: in any ``d`` seconds at most ``burst + d * limit / window`` is admitted. The bucket is kept as
the generic cell rate algorithm does (ITU-T I.371): not a level that would have to be filled, but the instant at which
it will be full again. That instant is counted from when the bucket was last full, in one multiplication and one
division: ten a second come at 0.1, 0.2, 0.3, whereas adding 0.1 up would give 0.30000000000000004.
"""

from __future__ import annotations

import math
import sys
from typing import final

__all__ = ["Bucket"]


@final
class Bucket:
    """One token bucket.

    Attributes:
        limit: how much comes back in a window.
        window: its length in seconds.
        burst: how much the bucket holds, and the largest weight that can be admitted.
        admitted: the weight admitted in all.
    """

    __slots__ = ("_full", "_spent", "admitted", "burst", "limit", "window")

    def __init__(self, limit: int, window: float, burst: int) -> None:
        self.limit = limit
        self.window = window
        self.burst = burst
        self.admitted = 0
        self._full = -math.inf  # when it was last full
        self._spent: float = 0  # what was taken since; whole unless the limit was changed

    @property
    def limits(self) -> tuple[int, ...]:
        """The limit, as one of several."""
        return (self.limit,)

    @property
    def capacity(self) -> int:
        """The largest weight that can ever be admitted."""
        return self.burst

    @property
    def horizon(self) -> int:
        """The largest weight that `ready_at` can tell of: any."""
        return sys.maxsize

    def admit(self, weight: int, now: float) -> bool:
        """Admit *weight* if there is enough in the bucket at *now*; return whether there was. If not, nothing is changed."""
        if self.ready_at(weight) > now:
            return False
        if self._full_at() < now:
            self._full, self._spent = now, weight
        else:  # also if it is full at this very instant: whoever queues is served at multiples
            self._spent += weight
        self.admitted += weight
        return True

    def ready_at(self, weight: int) -> float:
        """Return the instant since which there is enough for *weight*, if nothing else comes.

        Beyond ``burst``: the instant at which the last of several, together *weight*, could be admitted.
        """
        return self._full + (self._spent + weight - self.burst) * self.window / self.limit

    def free(self, now: float) -> int:
        """Return the weight that would be admitted at *now*."""
        taken = max(0.0, self._full_at() - now) * self.limit / self.window
        # By the quotient, then by the rule: they may differ in the last digit.
        free = max(0, self.burst - math.ceil(taken) - 1)
        while free < self.burst and self.ready_at(free + 1) <= now:
            free += 1
        return free

    def is_idle(self, now: float) -> bool:
        """Whether it is full at *now*."""
        return self._full_at() <= now

    def set_limit(self, limit: int, now: float, at: int) -> None:  # noqa: ARG002 - as in all meters
        """Change how much comes back in a window, from *now* on. What is missing now is still missing."""
        self._spent = max(0.0, self._full_at() - now) * self.limit / self.window
        self._full = now
        self.limit = limit

    def fork(self) -> Bucket:
        """Return a copy that goes its own way."""
        twin = Bucket(self.limit, self.window, self.burst)
        twin._full, twin._spent, twin.admitted = self._full, self._spent, self.admitted
        return twin

    def _full_at(self) -> float:
        return self._full + self._spent * self.window / self.limit
