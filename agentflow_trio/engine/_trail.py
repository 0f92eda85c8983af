"""Where a strand has been: one list append for each visit; paths, counts and the tail are made when asked for.

Layer: engine. Rule: memory is flat. Above 400 entries the log is folded into counts and the last 100 places.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

from ._plan import Kind, Plan, PlanStep

__all__ = ["AGAIN", "FOLD_ABOVE", "LEFT", "Place", "Trail", "is_within"]

FOLD_ABOVE: Final = 400
TAIL: Final = 100
_CROWDED: Final = 5 * FOLD_ABOVE

LEFT: Final = PlanStep(name="", kind=Kind.WAY_OUT)
"""The log entry for leaving a step that has steps in it."""

AGAIN: Final = PlanStep(name="", kind=Kind.WAY_OUT)
"""The log entry for going into it once more in the same visit, to try it again."""


class Place(NamedTuple):
    """One visit: the path of the flow it is in (with visit numbers, and without), the step, and how often it has come here.

    ``item``: which of its items is meant, if one is. ``entry``: how often this visit went into a step that has steps in it.
    """

    prefix: str
    key: str
    step: PlanStep
    visit: int
    item: int | None = None
    entry: int = 1

    @property
    def inside(self) -> str:
        """The path of what is inside it."""
        return f"{self.path}/" if self.entry == 1 else f"{self.path}@{self.entry}/"

    @property
    def path(self) -> str:
        """As text, with the visit number from the second on; the flow's path where no step was visited yet."""
        name = self.step.name  # read once: a field of a named tuple is a call
        path = self.prefix + name if self.visit == 1 else f"{self.prefix}{name}#{self.visit}"
        if not name:
            path = path.removesuffix("/")
        return path if self.item is None else f"{path}[{self.item}]"

    @property
    def account(self) -> str:
        """By what its time is accounted for: the path without visit numbers, but with items."""
        return _VISITS.sub("", self.path)


_VISITS: Final = re.compile(r"[#@]\d+")


def is_within(path: str, part: str) -> bool:
    """Whether *path* is that of the branch or item *part*, or of something in it."""
    return f"{path}/".startswith((f"{part}/", f"{part}["))


def segment(name: str, visit: int) -> str:
    """A path's segment: the number is left out for the first visit."""
    return name if visit == 1 else f"{name}#{visit}"


@final
class _Level:
    """A flow that is being run: where it is, and how often each of its steps was visited."""

    __slots__ = ("counts", "entry", "key", "last", "prefix")

    def __init__(self, prefix: str, key: str) -> None:
        self.prefix: str = prefix
        self.key: str = key
        self.counts: Counter[PlanStep] = Counter()
        self.last: PlanStep = LEFT
        self.entry: int = 1  # how often the last visit went in

    def inner(self) -> _Level:
        """What is inside the last visit."""
        step = self.last
        path = self.prefix + segment(step.name, self.counts[step])
        tried = "" if self.entry == 1 else f"@{self.entry}"
        return _Level(f"{path}{tried}/", f"{self.key}{step.name}/")

    def copy(self) -> _Level:
        copied = _Level(self.prefix, self.key)
        copied.counts, copied.last = self.counts.copy(), self.last
        return copied


@final
class _Book:
    """What the log was folded into: the flows that are open, visits per step, the last places."""

    __slots__ = ("levels", "tail", "totals")

    def __init__(self, prefix: str, key: str) -> None:
        self.levels: list[_Level] = [_Level(prefix, key)]
        self.totals: dict[str, int] = {}
        self.tail: deque[tuple[str, PlanStep, int]] = deque(maxlen=TAIL)


@final
class Trail:
    """The log of one strand. ``entries.append`` is all that the hot path does."""

    __slots__ = ("_book", "_plan", "_under", "at", "entries", "item")

    def __init__(self, plan: Plan[Any], under: Place | None = None) -> None:
        """A log of *plan*; *under* is the visit of which it is a branch, if it is one."""
        self.entries: list[PlanStep] = []
        self.at: Place | None = None  # for a worker: the visit on whose items it works,
        self.item: int | None = None  # and which of them it is working on
        self._plan = plan
        self._under = under
        self._book: _Book | None = None  # most runs end before one is needed, and it takes 1 KB

    def _open(self) -> _Book:
        if self._book is None:
            under, name = self._under, self._plan.name
            if under is None:
                root = f"{name}/" if name else ""
                self._book = _Book(root, root)
            else:
                self._book = _Book(under.inside, f"{under.key}{under.step.name}/")
        return self._book

    def copy(self) -> Trail:
        """A log that says the same of where the strand is, though not of where it was. Another thread may ask for it."""
        copied = Trail(self._plan, self._under)
        copied.at, copied.item = self.at, self.item
        if self._book is not None:
            copied._book = _Book("", "")
            copied._book.levels = [level.copy() for level in self._book.levels]
        copied.entries = self.entries.copy()
        return copied

    def absorb(self, part: Trail) -> None:
        """Take over what *part* has logged, which is over: a branch of the visit that goes on, or an item's flow."""
        if part._book is None and part.item_around is None:
            self.entries += part.entries
        else:  # for an item its entries stand for other places
            book, theirs = self.fold(), part.fold()
            for path, visits in theirs.totals.items():
                book.totals[path] = book.totals.get(path, 0) + visits
            for level in theirs.levels:
                _settle(book.totals, level)
            book.tail += theirs.tail
        if len(self.entries) > _CROWDED:
            self.fold()

    @property
    def item_around(self) -> int | None:
        """The item whose flow this is the log of; None if it is no item's."""
        return None if self._under is None else self._under.item

    def shrink(self) -> None:
        """Keep the log short. Without nested flows at the speed of C: 0.03 us a visit, where folding takes 0.15."""
        if not self._plan.flat:
            self.fold()
            return
        self._open().levels[0].counts.update(self.entries[:-TAIL])
        del self.entries[:-TAIL]

    def fold(self) -> _Book:
        """Turn the log into counts. After this, the levels say where the strand is."""
        book = self._book or self._open()
        if not self.entries:
            return book
        level = book.levels[-1]
        counts, tail = level.counts, book.tail
        for step in self.entries:
            if step is LEFT:
                _settle(book.totals, book.levels.pop())
                level = book.levels[-1]
                counts = level.counts
                continue
            if step is AGAIN:
                level.entry += 1
                level = level.inner()
                counts = level.counts
                book.levels.append(level)
                continue
            visit = counts[step] = counts.get(step, 0) + 1
            level.last, level.entry = step, 1
            tail.append((level.prefix, step, visit))
            if step.deep:
                level = level.inner()
                counts = level.counts
                book.levels.append(level)
        self.entries.clear()
        return book

    def here(self) -> Place:
        """The visit that is going on: the innermost one whose step is not itself a flow that was entered."""
        if self.at is not None:
            return self.at._replace(item=self.item)
        levels = self.fold().levels
        level = levels[-1]
        if level.last is LEFT and len(levels) > 1:
            level = levels[-2]
        return Place(level.prefix, level.key, level.last, level.counts.get(level.last, 1))

    def open_places(self, *, between: bool) -> list[Place]:
        """The visits that go on, each inside of the one before. *between* two visits the last place is over."""
        if self.at is not None:
            return [self.here()]
        *outer, last = self.fold().levels
        levels = outer if between or last.last is LEFT else [*outer, last]
        return [
            Place(level.prefix, level.key, level.last, level.counts.get(level.last, 1))
            for level in levels
        ]

    @property
    def part(self) -> str | None:
        """The path by which this is ended alone: that of a branch, or of the item in hand; None without one."""
        if self.at is not None:
            return None if self.item is None else self.here().path
        under = self._under
        if under is None:
            return None
        return f"{under.path}/{self._plan.start.name}" if under.item is None else under.path

    @property
    def is_idle(self) -> bool:
        """Whether this is a worker's that has no item in hand."""
        return self.at is not None and self.item is None

    @property
    def flow_path(self) -> str:
        """The path of the innermost flow that is being run; empty for a step that runs alone."""
        return self.fold().levels[-1].prefix.removesuffix("/")

    @property
    def key(self) -> str:
        """The same without visit numbers, as the steps in it have it before their names."""
        return self.fold().levels[-1].key

    @property
    def visits(self) -> Mapping[str, int]:
        """Visits per step, by path without visit numbers."""
        book = self.fold()
        totals = dict(book.totals)
        for level in book.levels:
            _settle(totals, level)
        return totals

    @property
    def made(self) -> int:
        """How many visits there were. What was not folded yet is counted at the speed of C."""
        entries, book = self.entries, self._book
        made = len(entries) - entries.count(LEFT) - entries.count(AGAIN)
        if book is not None:
            made += sum(book.totals.values())
            made += sum(level.counts.total() for level in book.levels)
        return made

    @property
    def tail(self) -> tuple[str, ...]:
        """The last 100 places, oldest first."""
        return tuple(
            prefix + segment(step.name, visit) for prefix, step, visit in self.fold().tail
        )


def _settle(totals: dict[str, int], level: _Level) -> None:
    for step, visits in level.counts.items():
        path = level.key + step.name
        totals[path] = totals.get(path, 0) + visits
