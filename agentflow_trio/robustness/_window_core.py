"""Sliding-window rules: how much was admitted of late, and when there is room again. No clock, no I/O.

Layer: robustness. Rule: whatever was admitted in ``[t, t + window)`` weighs at most ``limit``, for every t; with a
closed edge in ``[t, t + window]``. An admission at t counts until its expiry, stored once as ``t + window`` and
compared ``expiry <= now``: the difference ``now - t`` may be less than the window at the very instant slept for.

Every step costs the same however long the log is: expired entries are not looked for but passed over when their room
is needed, a heavy weight finds its place by bisection, and old blocks are let go two at a time.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final, Literal, TypeAlias, final

__all__ = ["NEVER_FULL", "Edge", "Window", "Windows"]

Edge: TypeAlias = Literal["open", "closed"]
"""Whether an admission at t still counts at exactly ``t + window``: with a closed edge it does."""

NEVER_FULL: Final = -math.inf
"""The instant since which there is room, where there always was."""

# Entries of a block: many, and beginning one takes long; few, and one begins often.
_BLOCK_SIZE: Final = 512


@final
class _Block:
    """Some admissions in a row: when each expires, and the weight admitted up to and with it.

    An entry takes 8 bytes where all weigh one, for then there are no sums, else 16.
    """

    __slots__ = ("before", "expiries", "sums")

    def __init__(self, before: int, *, is_weighed: bool) -> None:
        self.before = before  # the weight admitted before the first entry
        self.expiries: array[float] = array("d")
        self.sums: array[int] | None = array("q") if is_weighed else None

    def sum_before(self, at: int) -> int:
        """Return the weight admitted before the entry *at*."""
        if self.sums is None:
            return self.before + at
        return self.sums[at - 1] if at else self.before

    def place(self, target: int) -> int:
        """Find the entry with which the weight admitted reaches *target*."""
        if self.sums is None:
            return target - self.before - 1
        return bisect_left(self.sums, target)

    def copy(self) -> _Block:
        twin = _Block(self.before, is_weighed=False)
        twin.expiries = self.expiries[:]
        twin.sums = None if self.sums is None else self.sums[:]
        return twin


@final
class Window:
    """One limit over one window, and the log of what was admitted.

    Attributes:
        limit: how much may weigh on the window.
        window: its length in seconds.
    """

    __slots__ = (
        "_at",
        "_block_size",
        "_blocks",
        "_expiries",
        "_first",
        "_free",
        "_head",
        "_is_closed",
        "_is_plain",
        "limit",
        "window",
    )

    def __init__(
        self, limit: int, window: float, edge: Edge = "open", *, block_size: int = _BLOCK_SIZE
    ) -> None:
        self.limit = limit
        self.window = window
        self._is_closed = edge == "closed"
        self._block_size = block_size
        self._blocks: deque[_Block] = deque([_Block(0, is_weighed=False)])
        # The head, _blocks[_first].expiries[_at], is the entry whose room is used next; and the
        # entries before it were passed over. _free: what may be admitted before it must have
        # expired; below zero after the limit was lowered.
        self._first = 0
        self._at = 0
        self._free = limit
        # Of the first block that counts, and of the last.
        self._head = self._expiries = self._blocks[0].expiries
        self._is_plain = not self._is_closed  # and nothing but ones was admitted so far

    # ------------------------------------------------------------ admitting

    def admit(self, weight: int, now: float) -> bool:
        """Admit *weight* if there is room at *now*; return whether there was. If not, nothing is changed."""
        if weight == 1 and self._is_plain and self._free >= 0:
            # What is below in short, for it is what most do: three times as fast.
            if self._free:
                self._free -= 1
            elif self._head[self._at] <= now:
                self._at += 1
                if self._at == len(self._head):
                    self._begin_head(self._first, self._at)
            else:
                return False
            self._expiries.append(now + self.window)
            if len(self._expiries) == self._block_size:
                self._begin_block(now)
            return True
        free = self._free - weight
        if free < 0:
            free += self._pass_over(-free, now)
            if free < 0:
                return False
        self._free = free
        self._log(weight, now)
        return True

    def ready_at(self, weight: int) -> float:
        """Return the instant since which there is room for *weight*, at most ``limit``, if nothing else comes."""
        missing = weight - self._free
        if missing <= 0:
            return NEVER_FULL
        block, at = self._place(missing)
        return self._blocks[block].expiries[at]

    def _log(self, weight: int, now: float) -> None:
        last = self._blocks[-1]
        if last.sums is None and weight != 1:
            self._is_plain = False
            if last.expiries:
                self._begin_block(now, is_weighed=True)
                last = self._blocks[-1]
            else:
                last.sums = array("q")
        if last.sums is not None:
            last.sums.append(weight + last.sum_before(len(last.expiries)))
        expiry = now + self.window
        last.expiries.append(math.nextafter(expiry, math.inf) if self._is_closed else expiry)
        if len(last.expiries) == self._block_size:
            self._begin_block(now, is_weighed=last.sums is not None)

    def _pass_over(self, missing: int, now: float) -> int:
        """Pass over the entries that made room for *missing*, if they expired; return the room they made, or 0."""
        passed = self._blocks[self._first].sum_before(self._at)
        block, at = self._place(missing)
        if self._blocks[block].expiries[at] > now:
            return 0
        made = self._blocks[block].sum_before(at + 1) - passed
        self._begin_head(block, at + 1)
        return made

    def _place(self, missing: int) -> tuple[int, int]:
        """Find the entry whose expiry makes room for *missing*: its block, and its place there."""
        target = self._blocks[self._first].sum_before(self._at) + missing
        # From the head on, blocks begin below the target and then they do not.
        block = bisect_left(self._blocks, target, self._first, key=_weight_before) - 1
        return block, self._blocks[block].place(target)

    def _begin_head(self, block: int, at: int) -> None:
        """Let the head be the entry *at* of *block*, or the one after the block."""
        if at == len(self._blocks[block].expiries) and block + 1 < len(self._blocks):
            block, at = block + 1, 0
        self._first, self._at = block, at
        self._head = self._blocks[block].expiries

    def _begin_block(self, now: float, *, is_weighed: bool = False) -> None:
        """Begin a new block, and let go of two old ones: passed over, or expired though nobody needed the room."""
        self._blocks.append(_Block(self.admitted, is_weighed=is_weighed))
        self._expiries = self._blocks[-1].expiries
        for _ in range(2):
            if self._first == 0:
                if len(self._blocks) == 1 or self._head[-1] > now:
                    return
                head = self._blocks[0]
                self._free += self._blocks[1].before - head.sum_before(self._at)
                self._begin_head(1, 0)
            self._blocks.popleft()
            self._first -= 1

    # ------------------------------------------------------------ looking and changing

    @property
    def admitted(self) -> int:
        """The weight admitted in all."""
        last = self._blocks[-1]
        return last.sum_before(len(last.expiries))

    @property
    def limits(self) -> tuple[int, ...]:
        """The limit, as one of several."""
        return (self.limit,)

    @property
    def capacity(self) -> int:
        """The largest weight that can ever be admitted."""
        return self.limit

    @property
    def horizon(self) -> int:
        """The largest weight that `ready_at` can tell of."""
        return self.limit

    def free(self, now: float) -> int:
        """Return the weight that would be admitted at *now*."""
        return max(0, self.limit - self._used(now))

    def is_idle(self, now: float) -> bool:
        """Whether nothing that was admitted counts any more at *now*."""
        return self._used(now) == 0

    def _used(self, now: float) -> int:
        last = len(self._blocks) - 1
        block = bisect_right(self._blocks, now, self._first, last, key=_last_expiry)
        start = self._at if block == self._first else 0
        at = bisect_right(self._blocks[block].expiries, now, start)
        return self.admitted - self._blocks[block].sum_before(at)

    def set_limit(self, limit: int, now: float, at: int) -> None:  # noqa: ARG002 - as in all meters
        """Change the limit, from *now* on. What was admitted still counts until it expires."""
        self._free += limit - self.limit
        self.limit = limit

    def fork(self) -> Window:
        """Return a copy that goes its own way. Full blocks do not change: both have the same."""
        edge: Edge = "closed" if self._is_closed else "open"
        twin = Window(self.limit, self.window, edge, block_size=self._block_size)
        twin._blocks = self._blocks.copy()
        twin._blocks[-1] = self._blocks[-1].copy()
        twin._expiries = twin._blocks[-1].expiries
        twin._free, twin._is_plain = self._free, self._is_plain
        twin._begin_head(self._first, self._at)
        return twin


def _weight_before(block: _Block) -> int:
    return block.before


def _last_expiry(block: _Block) -> float:
    return block.expiries[-1]


@final
class Windows:
    """Several limits over windows of their own: room is where all of them have room.

    Attributes:
        each: the windows.
    """

    __slots__ = ("each",)

    def __init__(self, each: tuple[Window, ...]) -> None:
        self.each = each

    @property
    def limits(self) -> tuple[int, ...]:
        """The limits, in the order of the windows."""
        return tuple(window.limit for window in self.each)

    @property
    def capacity(self) -> int:
        """The largest weight that can ever be admitted."""
        return min(self.limits)

    @property
    def horizon(self) -> int:
        """The largest weight that `ready_at` can tell of."""
        return min(self.limits)

    @property
    def admitted(self) -> int:
        """The weight admitted in all."""
        return self.each[0].admitted

    def admit(self, weight: int, now: float) -> bool:
        """Admit *weight* in every window if all have room at *now*; return whether they had. If not, nothing is changed."""
        if self.ready_at(weight) > now:
            return False
        for window in self.each:
            window.admit(weight, now)
        return True

    def ready_at(self, weight: int) -> float:
        """Return the instant since which all have room for *weight*, at most `horizon`, if nothing else comes."""
        return max(window.ready_at(weight) for window in self.each)

    def free(self, now: float) -> int:
        """Return the weight that would be admitted at *now*."""
        return min(window.free(now) for window in self.each)

    def is_idle(self, now: float) -> bool:
        """Whether nothing that was admitted counts any more at *now*."""
        return all(window.is_idle(now) for window in self.each)

    def set_limit(self, limit: int, now: float, at: int) -> None:
        """Change the limit of window number *at*, from *now* on. What was admitted still counts until it expires."""
        self.each[at].set_limit(limit, now, 0)

    def fork(self) -> Windows:
        """Return a copy that goes its own way."""
        return Windows(tuple(window.fork() for window in self.each))
