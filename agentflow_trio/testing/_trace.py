"""What happened, line by line: the same lines for the same seed.

Layer: testing. Kept as slim tuples, for it is on the way of every step; names and text are made when somebody reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, final

from trio.lowlevel import Task

from ._picture import name_of, place_of
from ._private import runs_callbacks

__all__ = ["Trace"]

_Entry: TypeAlias = tuple[float, Task | None, str]


class _Timed(Protocol):
    """A clock that is read often: an attribute costs less than a call."""

    time: float


@final
class Trace:
    """Writes down who makes a step when; and what was noted.

    Args:
        clock: tells the time.
        places: whether to write down where, too, which costs some microseconds a step.
    """

    __slots__ = ("_clock", "_entries", "_places", "_write")

    def __init__(self, clock: _Timed, *, places: bool = False) -> None:
        self._clock = clock
        self._places = places
        self._entries: list[_Entry] = []
        self._write: Callable[[_Entry], None] = self._entries.append

    def begin(self) -> None:
        """Begin with an empty page."""
        self._entries = []
        self._write = self._entries.append

    def end(self) -> None:
        """Write no more."""
        self._write = _forget

    def step(self, task: Task) -> None:
        """Write that *task* makes a step now."""
        self._write((self._clock.time, task, place_of(task) if self._places else ""))

    def steps(self, tasks: Iterable[Task]) -> None:
        """Write that each of *tasks* makes a step now, in this order."""
        for task in tasks:
            self.step(task)

    def note(self, text: str) -> None:
        """Write a line of one's own."""
        self._write((self._clock.time, None, text))

    def lines(self) -> Iterator[str]:
        """``0.5 worker#2`` for a step, ``0.5 | text`` for a note. Tasks are numbered as they first appear."""
        counts: Counter[str] = Counter()
        known: dict[Task, str] = {}
        for time, task, text in self._entries:
            if task is None:
                yield f"{time!r} | {text}"
                continue
            if runs_callbacks(task):
                continue
            if task not in known:
                name = name_of(task)
                counts[name] += 1
                known[task] = name if counts[name] == 1 else f"{name}#{counts[name]}"
            yield f"{time!r} {known[task]} {text}".rstrip()


def _forget(_: _Entry) -> None:
    """What comes after the end is nobody's."""
