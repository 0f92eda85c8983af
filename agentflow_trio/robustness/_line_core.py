"""Who waits, in the order they came, and who is refused. No clock, no I/O.

Layer: robustness, the rules of waiting that bulkhead and pool share. Rules: first come, first served; who gives up
leaves no gap, and nobody else moves but forward. Expiries are stored, and compared as ``expiry <= now``. Every step
costs the same however many wait.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, Literal, TypeAlias, TypeVar, final

__all__ = ["Line", "Refusal"]

Who = TypeVar("Who")
Mark = TypeVar("Mark")

Refusal: TypeAlias = Literal["full", "idle", "queue", "max_wait"]
"""Why somebody got nothing: there was no room, or nothing idle, for one who would not wait; too many were waiting;
it waited as long as it may."""


@final
class Line(Generic[Who, Mark]):
    """A queue of waiters, each with a mark that comes back when it is served, and a time at which it gives up.

    Attributes:
        waiting: who waits, first to last, each with its mark and when it gives up.
        refused: how many were refused, those that waited in vain included.
        cancelled: how many were cancelled while they waited.
    """

    __slots__ = ("_max_wait", "_max_waiters", "cancelled", "refused", "waiting")

    def __init__(self, max_waiters: int | None, max_wait: float) -> None:
        # A plain dict looks at all its deleted entries to find the first that is left.
        self.waiting: OrderedDict[Who, tuple[Mark, float]] = OrderedDict()
        self._max_waiters = math.inf if max_waiters is None else max_waiters
        self._max_wait = max_wait
        self.refused: int = 0
        self.cancelled: int = 0

    def join(self, who: Who, mark: Mark, now: float) -> Refusal | None:
        """Put *who* at the end, or say why not."""
        if self._max_wait <= 0.0:
            return self.refuse("max_wait")
        if len(self.waiting) >= self._max_waiters:
            return self.refuse("queue")
        self.waiting[who] = (mark, now + self._max_wait)
        return None

    def refuse(self, why: Refusal) -> Refusal:
        """Count a refusal."""
        self.refused += 1
        return why

    def withdraw(self, who: Who) -> None:
        """Take *who* out, wherever it stands: it was cancelled, or else `gave_up` comes next.

        Raises:
            KeyError: it does not wait; nothing changed.
        """
        del self.waiting[who]
        self.cancelled += 1

    def gave_up(self) -> Refusal:
        """Who withdrew was not cancelled but had waited as long as it may: that is a refusal."""
        self.cancelled -= 1
        return self.refuse("max_wait")

    def pop(self) -> tuple[Who, Mark]:
        """Take the first out, who is served.

        Raises:
            KeyError: nobody waits.
        """
        who, (mark, _) = self.waiting.popitem(last=False)
        return who, mark

    def first(self) -> tuple[Who, float] | None:
        """Who is next, and when it gives up; None if nobody waits."""
        for who, (_, expiry) in self.waiting.items():
            return who, expiry
        return None

    def clear(self) -> tuple[Who, ...]:
        """Refuse all; who they are, first to last."""
        everybody = tuple(self.waiting)
        self.refused += len(everybody)
        self.waiting.clear()
        return everybody
