"""Bulkhead rules: who may be inside, who waits, who is refused. No clock, no I/O.

Layer: robustness. Rules: at most ``limit`` are inside; a place that becomes free goes to the first who waits, so
nobody waits while there is room, and nobody comes in past a line. A waiter that gives up behaves as if it had
never come.
"""

from __future__ import annotations

from typing import Generic, TypeVar, final

import attrs

from ._line_core import Line

__all__ = ["BulkheadCore", "BulkheadStatistics"]

Who = TypeVar("Who")
Mark = TypeVar("Mark")


@final
@attrs.frozen(kw_only=True)
class BulkheadStatistics:
    """How things stand.

    Attributes:
        limit: how many may be inside now.
        inside: how many are. More than *limit* only after it was lowered.
        waiting: how many wait.
        entered: how many came in since the start.
        refused: how many were refused, those that waited in vain included.
        cancelled: how many were cancelled while they waited.
    """

    limit: int
    inside: int
    waiting: int
    entered: int
    refused: int
    cancelled: int


@final
class BulkheadCore(Generic[Who, Mark]):
    """The state of one bulkhead.

    *Who* is anything that can be told apart and is inside at most once; *Mark* is what its caller wants to
    remember of it for as long as it is inside.

    Attributes:
        inside: who is.
        line: who waits; who could not `enter` may join it.
    """

    __slots__ = ("_entered", "_limit", "inside", "line")

    def __init__(self, limit: int, max_waiters: int | None, max_wait: float) -> None:
        self.inside: dict[Who, Mark] = {}
        self.line: Line[Who, Mark] = Line(max_waiters, max_wait)
        self._limit = limit
        self._entered = 0

    def enter(self, who: Who, mark: Mark) -> bool:
        """Let *who* in if there is room (then nobody waits); whether it is in."""
        if len(self.inside) >= self._limit:
            return False
        self.inside[who] = mark
        self._entered += 1
        return True

    def leave(self, who: Who) -> Who | None:
        """Let *who* out; who came in for it, if anybody waited.

        Raises:
            KeyError: it was not inside; nothing changed.
        """
        del self.inside[who]
        return (
            self._admit_next() if self.line.waiting and len(self.inside) < self._limit else None
        )

    def resize(self, limit: int) -> tuple[Who, ...]:
        """Change the limit; who came in because of it, in order. Nobody inside is put out."""
        self._limit = limit
        room = min(limit - len(self.inside), len(self.line.waiting))
        return tuple(self._admit_next() for _ in range(room))

    def _admit_next(self) -> Who:
        who, mark = self.line.pop()
        self.inside[who] = mark
        self._entered += 1
        return who

    def statistics(self) -> BulkheadStatistics:
        """How things stand."""
        return BulkheadStatistics(
            limit=self._limit,
            inside=len(self.inside),
            waiting=len(self.line.waiting),
            entered=self._entered,
            refused=self.line.refused,
            cancelled=self.line.cancelled,
        )
