"""What was seen of a run, by the moment: where it is kept, how it is found again, and where two runs part.

Layer: testing, sans-IO. An *instant* is a time at which something happened; instants are counted from 0. What can be
seen *at* a time is what had happened before it, so that two runs that are alike before a time look alike at it.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence, Sized
from itertools import chain
from typing import Final, Generic, TypeVar, final

import attrs
from typing_extensions import TypeIs

__all__ = [
    "BEFORE",
    "Instants",
    "Kept",
    "Series",
    "check_time",
    "matches",
    "parting",
    "weight_of",
]

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)

BEFORE: Final = -1
"""Stands for an instant before the first: nothing has happened yet."""


def check_time(time: float) -> float:
    """*time*, if it is one.

    Raises:
        ValueError: it is negative or no number.
    """
    if not time >= 0:
        raise ValueError(f"a moment is virtual seconds since the beginning, >= 0, not {time!r}")
    return time


@final
class Instants:
    """When something happened, and how many steps tasks had made by the end of that.

    Attributes:
        times: of the instants, ascending.
        steps: made by the end of each.
    """

    def __init__(self) -> None:
        self.times: array[float] = array("d")
        self.steps: array[int] = array("q")

    def add(self, time: float, steps: int) -> int:
        """Take note of an instant, or that the last one goes on; return its number."""
        if self.times and self.times[-1] >= time:
            self.steps[-1] = steps
        else:
            self.times.append(time)
            self.steps.append(steps)
        return len(self.times) - 1

    def before(self, time: float) -> int:
        """The last instant before *time*; `BEFORE` if there is none."""
        return bisect_left(self.times, time) - 1

    def parts(self, other: Instants, end: float = math.inf) -> int | None:
        """The first instant before *end* that is not the same in *other*; None if all are."""
        one, two = ([*zip(each.times, each.steps, strict=True)] for each in (self, other))
        return parting(one[: self.before(end) + 1], two[: other.before(end) + 1])

    def told(self, number: int) -> str | None:
        """That instant in words; None if there is none of that number."""
        if number >= len(self.times):
            return None
        return f"{self.times[number]!r} s: {self.steps[number]} steps made"


@final
class Kept(Generic[Value]):
    """Values by number. When they weigh too much together, only those of every second number stay, then of every fourth.

    So memory stays within bounds however long a run is, and a value that is not kept can be had by running again. They are
    put in the order of their numbers, all that are wanted; one object that is put again and again takes the room of one.

    Args:
        room: what they may weigh together.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._every = 1
        self._numbers: array[int] = array("q")  # from which on the value is another
        self._values: list[Value] = []
        self._weights: array[int] = array("q")
        self._weight = 0
        self._last = BEFORE - 1

    def wants(self, number: int) -> bool:
        """Whether the value of that number would stay."""
        return number == BEFORE or number % self._every == 0

    def put(self, number: int, value: Value, weight: int) -> None:
        """Keep *value*, instead of the one that has that number."""
        if self._numbers and self._numbers[-1] == number:
            self._numbers.pop()
            self._values.pop()
            self._weight -= self._weights.pop()
        self._last = number
        if self._values and self._values[-1] is value:
            return
        self._numbers.append(number)
        self._values.append(value)
        self._weights.append(weight)
        self._weight += weight
        while self._weight > self._room and self._last >= self._every:
            self._thin_out()

    def find(self, number: int) -> Value:
        """The value of that number.

        Raises:
            KeyError: it is not kept.
        """
        if number > self._last or number < BEFORE or not self.wants(number):
            raise KeyError(number)
        return self._values[bisect_right(self._numbers, number) - 1]

    def _thin_out(self) -> None:
        """Keep those of every second number that is kept."""
        self._every *= 2
        ends = [*self._numbers[1:], self._last + 1]
        old = zip(self._numbers, ends, self._values, self._weights, strict=True)
        self._numbers, self._values, self._weights = array("q"), [], array("q")
        for begin, end, value, weight in old:
            first = begin if begin == BEFORE else -(-begin // self._every) * self._every
            if first < end:  # it is that of a number that is wanted still
                self._numbers.append(first)
                self._values.append(value)
                self._weights.append(weight)
        self._weight = sum(self._weights)


_SIZED: Final = (list, dict, set, deque, bytearray)
_DEPTH: Final = 3


def _is_sized(value: object) -> TypeIs[Sized]:
    return isinstance(value, _SIZED)


def weight_of(value: object, depth: int = _DEPTH) -> int:
    """About how many values a fork of *value* has copied."""
    if _is_sized(value):
        return 1 + len(value)
    kind = type(value)
    if depth and attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
        return 1 + sum(weight_of(getattr(value, name, None), depth - 1) for name in names)
    return 1


@final
@attrs.frozen
class Series(Generic[Value_co]):
    """A value over virtual time, as `Timeline.watch` saw it.

    Attributes:
        name: what it is called.
        start: what it was before anything had happened.
        changes: when it changed, and what it was once everything due then had happened; in order.
    """

    name: str
    start: Value_co
    changes: Sequence[tuple[float, Value_co]]

    def at(self, time: float, /) -> Value_co:
        """What it was when all that was due before *time* had happened.

        Raises:
            ValueError: *time* is no moment.
        """
        number = bisect_left(self.changes, check_time(time), key=lambda change: change[0])
        return self.changes[number - 1][1] if number else self.start

    @property
    def values(self) -> Sequence[Value_co]:
        """What it was, one after the other, the start included."""
        return (self.start, *(value for _, value in self.changes))

    def first(self, wanted: Callable[[Value_co], bool], /) -> float | None:
        """When it first was as *wanted*; None if it never was."""
        changes = chain([(0.0, self.start)], self.changes)
        return next((time for time, value in changes if wanted(value)), None)

    def seconds(self, wanted: Callable[[Value_co], bool], /, *, until: float) -> float:
        """For how many seconds before *until* it was as *wanted*."""
        times = [0.0, *(min(time, until) for time, _ in self.changes), until]
        spans = zip(self.values, times, times[1:], strict=False)
        return math.fsum(end - begin for value, begin, end in spans if wanted(value))


_NUMBERS: Final = re.compile(r"[#@]\d+|\[\d+\]")


def matches(path: str, asked: str) -> bool:
    """Whether *path* is at or below *asked*, which means all visits, attempts and items unless it has their numbers."""
    if not _NUMBERS.search(asked):
        path = _NUMBERS.sub("", path)
    return path == asked or path.startswith((
        f"{asked}/",
        f"{asked}#",
        f"{asked}@",
        f"{asked}[",
    ))


def parting(one: Sequence[Value], two: Sequence[Value]) -> int | None:
    """The first number at which two sequences differ; None if they are the same."""
    for number, (mine, yours) in enumerate(zip(one, two, strict=False)):
        if mine != yours:
            return number
    return None if len(one) == len(two) else min(len(one), len(two))
