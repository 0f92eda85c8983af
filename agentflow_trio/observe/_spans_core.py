"""From events to spans: what took from when to when inside of what, as a tree for each run.

Layer: observe. Rules: pure, and nothing is guessed: a span begins and ends where events say so. Where they stop too early,
as those of a process that was killed, what had not ended is ``unfinished`` and lasts until the last event of its run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias, final

import attrs

__all__ = ["RETRY", "Attempt", "Outcome", "RunSpans", "Span", "Wait", "measure", "place_of"]

Outcome: TypeAlias = Literal["success", "error", "cancelled", "unfinished"]
"""How a span ended; ``unfinished``: the events stop before it did."""

RETRY: Final = "a retry"
"""What is waited for in the pause before one."""

_ALL_NUMBERS: Final = re.compile(r"[#@]\d+|\[\d+\]")
_LAST_ITEM: Final = re.compile(r"\[\d+\]$")


def place_of(path: str) -> str:
    """*path* without the numbers of visits, attempts and items; an item itself is ``digest/condense[*]``."""
    place = _ALL_NUMBERS.sub("", path)
    return f"{place}[*]" if _LAST_ITEM.search(path) else place


@final
@attrs.frozen(kw_only=True)
class Wait:
    """A stretch in which a span waited.

    Attributes:
        guard: for which guard; of the pause before a retry, whose retry it was.
        retry: it is the pause before a retry.
        start: when it began.
        end: when it was over.
    """

    guard: str
    retry: bool = False
    start: float
    end: float

    @property
    def reason(self) -> str:
        """What was waited for, in words."""
        return RETRY if self.retry else f"guard {self.guard!r}"


@final
@attrs.frozen(kw_only=True)
class Attempt:
    """One try of a visit or an item that was tried more than once, one after the other or side by side.

    Attributes:
        number: from 1; of attempts beside each other, which go on through all rounds of a retry, that of a round is its first's.
        own: it is one of the step's ``retry=`` or ``hedge=``, whose numbers are the visit's; not of a hedge in the node's code.
        start: when it began; that of the first is its visit's, if its event does not say better.
        end: when it ended.
        outcome: how.
        error: class of what it raised, if it failed.
    """

    number: int
    own: bool = True
    start: float
    end: float
    outcome: Outcome
    error: str | None = None


@final
@attrs.frozen(kw_only=True)
class Span:
    """A run, a visit or an item, from its beginning to its end.

    Attributes:
        kind: which of them.
        path: where; a run's is the name of its flow.
        start: seconds on Trio's clock.
        end: the same.
        outcome: how it ended.
        exit: the action; None without one.
        error: class of what it failed with; None if it did not.
        message: the text of that.
        handled: what became of a failure: ``caught by rescue``, ``tolerated``, ``tried again``, ``another attempt won``,
            ``a fallback stood in``; empty if nothing did.
        attempts: each try, in order; empty if the only one was not followed by anything.
        hedges: the tries that a hedge made, where it made more than one; those that another one left behind are cancelled.
        waits: in the order in which they ended.
        children: the visits and items inside, in the order in which they ended.
    """

    kind: Literal["run", "visit", "item"]
    path: str
    start: float
    end: float
    outcome: Outcome
    exit: str | None = None
    error: str | None = None
    message: str | None = None
    handled: str = ""
    attempts: tuple[Attempt, ...] = ()
    hedges: tuple[Attempt, ...] = ()
    waits: tuple[Wait, ...] = ()
    children: tuple[Span, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def place(self) -> str:
        """The path without numbers; see `place_of`."""
        return place_of(self.path)

    @property
    def parent(self) -> str:
        """The path of what it is inside; empty for a run."""
        if self.kind == "item":
            return self.path.rpartition("[")[0]
        return "" if self.kind == "run" else self.path.rpartition("/")[0]

    @property
    def tries(self) -> int:
        """How many attempts there were, those beside each other included; not those of hedges in the node's code."""
        found = (*self.attempts, *self.hedges)
        return max((one.number for one in found if one.own), default=1)

    @property
    def own(self) -> float:
        """Seconds in which nothing inside went on, and it waited for nothing that events know of."""
        if not self.children and not self.waits:
            return self.duration
        busy = [(inside.start, inside.end) for inside in self.children]
        busy += [(wait.start, wait.end) for wait in self.waits]
        return max(0.0, self.duration - measure(busy, self.start, self.end))

    def walk(self) -> Iterator[Span]:
        """It and everything inside, each before what is inside of it, siblings by their beginning."""
        stack = [self]
        while stack:
            span = stack.pop()
            yield span
            if span.children:
                stack += sorted(span.children, key=_start)[::-1]


@final
@attrs.frozen(kw_only=True)
class RunSpans:
    """A run and what happened in it.

    Attributes:
        run_id: which one.
        root: the span of the run, with everything inside.
        missing: how many of its events, by their numbers, were not among those that were read.
        wall_time: when it began, in seconds since the epoch; None if its first event was not read.
        seed: of its dice; None as well.
    """

    run_id: str
    root: Span
    missing: int = 0
    wall_time: float | None = None
    seed: int | None = None


def _start(span: Span) -> float:
    return round(span.start, 9)  # computed ones may miss by what a clock cannot tell


def measure(stretches: Iterable[tuple[float, float]], low: float, high: float) -> float:
    """Return how many seconds between *low* and *high* belong to any of *stretches*, which may overlap."""
    total, reached = 0.0, low
    for start, end in sorted(stretches):
        until = min(end, high)
        total += max(0.0, until - max(start, reached))
        reached = max(until, reached)
    return total
