"""Pool rules: which object is lent, when one may be made, and which must be closed. No clock, no I/O.

Layer: robustness. Rules: at most ``size`` objects exist, those being made or closed included; one holder at a
time; the object returned last is lent first; an object is fit to be lent if it is not too old, has not lain too
long, and is found valid. What becomes free goes to the first who waits, so nobody waits while there is something
to lend. Expiries are stored, and compared as ``expiry <= now``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeAlias, TypeVar, final

import attrs

from ._line_core import Line

__all__ = ["Doom", "Entry", "PoolCore", "PoolStatistics"]

Object = TypeVar("Object")
Who = TypeVar("Who")
Mark = TypeVar("Mark")

Doom: TypeAlias = Literal["max_idle", "max_life", "invalid", "broken", "pool_closed"]
"""Why an object is closed: it lay too long, was too old, was found invalid, its holder failed (or said so),
or the pool was left."""


@final
@attrs.frozen(kw_only=True)
class PoolStatistics:
    """How things stand.

    Attributes:
        size: how many objects may exist.
        idle: how many lie ready.
        lent: how many are lent, one holder each.
        making: how many are being made.
        closing: how many are being closed.
        waiting: how many wait for one.
        made: how many were made since the start.
        loans: how often one was lent.
        refused: how often none was, for those that waited in vain as well.
        cancelled: how many were cancelled while they waited.
    """

    size: int
    idle: int
    lent: int
    making: int
    closing: int
    waiting: int
    made: int
    loans: int
    refused: int
    cancelled: int


@final
class Entry(Generic[Object, Mark]):
    """An object of the pool.

    Attributes:
        value: the object.
        mark: of its holder; there is none before it is lent.
        dies_at: when it is too old to be lent.
        stale_at: when it has lain too long; counts while it is idle.
        doom: why it must be closed; None while it may be lent.
        fault: what the check of its validity raised, if it did.
    """

    __slots__ = ("dies_at", "doom", "fault", "mark", "stale_at", "value")
    mark: Mark
    stale_at: float

    def __init__(self, value: Object, dies_at: float) -> None:
        self.value: Object = value
        self.dies_at: float = dies_at
        self.doom: Doom | None = None
        self.fault: Exception | None = None


@final
class PoolCore(Generic[Who, Mark, Object]):
    """The state of one pool.

    *Who* is anything that can be told apart and borrows one object at a time; *Mark* is what its caller wants
    to remember of it for as long as it does.

    Attributes:
        lent: the object of each who holds one.
        making: the mark of each who is making one.
        line: who waits; who could neither `take` nor `reserve` may join it.
        choosy: whether fitness matters at all; if not, no time need be told.
        doomed: objects to be closed; the caller takes them out, closes them and calls `closed` for each.
        closing: how many are doomed and not closed yet.
    """

    __slots__ = (
        "_idle",
        "_loans",
        "_made",
        "_max_idle",
        "_max_life",
        "_shut",
        "_size",
        "_validate",
        "choosy",
        "closing",
        "doomed",
        "lent",
        "line",
        "making",
    )

    def __init__(
        self,
        size: int,
        *,
        max_waiters: int | None,
        max_wait: float,
        max_idle: float,
        max_life: float,
        validate: Callable[[Object], bool] | None,
    ) -> None:
        self.lent: dict[Who, Entry[Object, Mark]] = {}
        self.making: dict[Who, Mark] = {}
        self.line: Line[Who, Mark] = Line(max_waiters, max_wait)
        self.doomed: list[Entry[Object, Mark]] = []
        self._idle: deque[Entry[Object, Mark]] = deque()
        self.closing: int = 0
        self._shut = False
        self._size = size
        self._max_idle = max_idle
        self._max_life = max_life
        self._validate = validate
        self.choosy: bool = validate is not None or min(max_idle, max_life) < math.inf
        self._made = self._loans = 0

    # ------------------------------------------------------------ borrowing

    def take(self, who: Who, mark: Mark, now: float) -> Entry[Object, Mark] | None:
        """Lend *who* an idle object, if one is fit. Those that are not are doomed."""
        idle = self._idle
        if idle and not self.choosy:
            self.lent[who] = entry = idle.pop()  # written out: the way of almost every loan
            entry.mark = mark
            self._loans += 1
            return entry
        while idle and idle[0].stale_at <= now:
            self._condemn(idle.popleft(), "max_idle")
        while idle:
            entry = idle.pop()
            if self._fit(entry, now):
                self._lend(who, mark, entry)
                return entry
        return None

    def reserve(self, who: Who, mark: Mark) -> bool:
        """Let *who*, who was lent nothing, make an object if there is room for one; whether it may."""
        if self.existing >= self._size:
            return False
        self.making[who] = mark
        return True

    # ------------------------------------------------------------ making

    def made(self, who: Who, value: Object, now: float) -> Entry[Object, Mark]:
        """*who* has made the object it had reserved room for, and holds it."""
        entry: Entry[Object, Mark] = Entry(value, now + self._max_life)
        self._lend(who, self.making.pop(who), entry)
        self._made += 1
        return entry

    def unmade(self, who: Who) -> Who | None:
        """*who* could not make its object; who may make one instead, if anybody waited."""
        del self.making[who]
        return self._make_next()

    # ------------------------------------------------------------ giving back

    def put(self, who: Who) -> bool:
        """Take back what *who* was lent and left in good order, if that is all there is to do; whether it was.

        It is the way of almost every loan. It is not if anybody waits, if there is more to look at, or if *who* was
        lent nothing: then nothing changed, and `give_back` is to be called.
        """
        entry = self.lent.get(who)
        if entry is None or entry.doom or self.line.waiting or self.choosy or self._shut:
            return False
        del self.lent[who]
        self._idle.append(entry)
        return True

    def give_back(self, who: Who, now: float, *, broken: bool) -> Who | None:
        """Take back what *who* was lent; whom it is lent to instead, if anybody waited.

        Raises:
            KeyError: *who* was lent nothing; nothing changed.
        """
        entry = self.lent.pop(who)
        if broken or entry.doom is not None:
            self._condemn(entry, "broken")
        elif self._shut:
            self._condemn(entry, "pool_closed")
        elif self.line.waiting and not self._fit(entry, now):
            pass  # it is doomed; room for another one comes when it is closed
        elif self.line.waiting:
            heir, mark = self.line.pop()
            self._lend(heir, mark, entry)
            return heir
        else:
            if self.choosy:
                entry.stale_at = now + self._max_idle
            self._idle.append(entry)
        return None

    def discard(self, value: Object) -> bool:
        """Doom an object that is lent: it is closed when it comes back. Whether it is lent."""
        for entry in self.lent.values():
            if entry.value is value:
                entry.doom = "broken"
                return True
        return False

    def closed(self) -> Who | None:
        """A doomed object is closed; who may make one in its place, if anybody waited."""
        self.closing -= 1
        return self._make_next()

    def shut(self) -> tuple[Who, ...]:
        """Lend no more: doom what is idle, and what is lent when it comes back; who waited and now does not, in order."""
        self._shut = True
        while self._idle:
            self._condemn(self._idle.popleft(), "pool_closed")
        return self.line.clear()

    def seize(self) -> None:
        """Doom what is lent, too: nobody holds it any more."""
        for entry in self.lent.values():
            self._condemn(entry, "pool_closed")
        self.lent.clear()

    # ------------------------------------------------------------ the rest

    @property
    def existing(self) -> int:
        """How many objects there are, those being made or closed included."""
        return len(self.lent) + len(self.making) + len(self._idle) + self.closing

    def mark_of(self, who: Who) -> Mark | None:
        """The mark of *who*, if it holds an object or is making one."""
        entry = self.lent.get(who)
        return self.making.get(who) if entry is None else entry.mark

    def _lend(self, who: Who, mark: Mark, entry: Entry[Object, Mark]) -> None:
        self.lent[who] = entry
        entry.mark = mark
        self._loans += 1

    def _make_next(self) -> Who | None:
        if not self.line.waiting:
            return None
        who, mark = self.line.pop()
        self.making[who] = mark
        return who

    def _fit(self, entry: Entry[Object, Mark], now: float) -> bool:
        """Whether *entry* may be lent; if not, it is doomed."""
        if entry.dies_at <= now:
            self._condemn(entry, "max_life")
        elif self._validate is not None and not self._is_valid(entry, self._validate):
            self._condemn(entry, "invalid")
        else:
            return True
        return False

    def _is_valid(self, entry: Entry[Object, Mark], validate: Callable[[Object], bool]) -> bool:
        try:
            return validate(entry.value)
        except Exception as fault:  # noqa: BLE001 - a check that fails is a no; it is told with the event
            entry.fault = fault
            return False

    def _condemn(self, entry: Entry[Object, Mark], doom: Doom) -> None:
        entry.doom = doom
        self.closing += 1
        self.doomed.append(entry)

    def statistics(self) -> PoolStatistics:
        """How things stand."""
        return PoolStatistics(
            size=self._size,
            idle=len(self._idle),
            lent=len(self.lent),
            making=len(self.making),
            closing=self.closing,
            waiting=len(self.line.waiting),
            made=self._made,
            loans=self._loans,
            refused=self.line.refused,
            cancelled=self.line.cancelled,
        )
