"""What was seen of a run so far: lanes with marks and steps of the flow, and the moments at which something happened.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never, final

import attrs

from ..events import (
    AttemptFailed,
    CallRejected,
    CallTimedOut,
    ExecutionEvent,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    RetryScheduled,
)
from ._time_scale_core import Instant, Spot
from ._timeline_picture_core import Bar, Lane, Mark, MarkKind, Outcome, add_bar, add_mark

__all__ = ["Page"]


@final
class Page:
    """Where it is written down.

    Args:
        time: tells the time.
        grain: what is shorter is drawn together, seconds; 0 for nothing.

    Attributes:
        step: the number of the step that is made.
        lanes: of tasks.
        told: what was marked in this step: kinds, and which guards they are of.
    """

    def __init__(self, time: Callable[[], float], grain: float) -> None:
        self.step: int = 0
        self.lanes: list[Lane] = []
        self.told: set[tuple[MarkKind, str]] = set()
        self.grain: float = grain
        self._time = time
        self._instants: list[Instant] = []
        self._open: dict[str, tuple[int, Spot, int]] = {}

    def spot(self, within: float) -> Spot:
        """Now, as far into the step that is made."""
        time = self._time()
        if not self._instants or self._instants[-1].time < time:
            self._instants.append(Instant(time, self.step, 0))
        return time, self.step + within

    def instants(self) -> Sequence[Instant]:
        """When something happened."""
        firsts = [instant.first for instant in self._instants[1:]]
        pairs = zip(self._instants, [*firsts, self.step + 1], strict=True)
        return [attrs.evolve(at, steps=after - at.first) for at, after in pairs]

    def mark(self, number: int, mark: Mark, guard: str = "") -> None:
        """Write a mark into the lane of that number."""
        add_mark(self.lanes[number].marks, mark, self.grain)
        self.told.add((mark.kind, guard))
        if mark.kind == "preemption":
            self._instants[-1] = attrs.evolve(self._instants[-1], shown=True)

    def heard(self, event: ExecutionEvent, number: int) -> None:
        """The flow reported something, in a step of the task whose lane has that number."""
        match event:
            case NodeStarted():
                depth = sum(1 for lane, _, _ in self._open.values() if lane == number)
                self._open[event.path] = number, self.spot(0.0), depth
            case NodeSucceeded():
                self._close(event.path, "success")
            case NodeFailed():
                self._close(event.path, "error", f"{event.error}: {event.message}")
            case NodeCancelled():
                self._close(event.path, "cancelled")
            case AttemptFailed() | RetryScheduled() | CallRejected() | CallTimedOut():
                kind, words = _marked(event)
                self.mark(number, Mark(self.spot(0.5), kind, words), event.guard)
            case _:
                pass

    def close_all(self, end: Spot) -> None:
        """Steps that did not end last until *end*."""
        for path in [*self._open]:
            self._close(path, "unfinished", end=end)

    def _close(
        self, path: str, how: Outcome, why: str = "", *, end: Spot | None = None
    ) -> None:
        if path not in self._open:
            return  # it began in a task that has no lane
        number, begin, depth = self._open.pop(path)
        name = path.rpartition("/")[2]
        label = f"{name}: {why}" if why else name
        bar = Bar(begin, end or self.spot(1.0), how, path, depth=depth, label=label)
        add_bar(self.lanes[number].visits, bar, self.grain)


def _marked(
    event: AttemptFailed | RetryScheduled | CallRejected | CallTimedOut,
) -> tuple[MarkKind, str]:
    match event:
        case AttemptFailed():
            return (
                "failed",
                f"attempt {event.attempt} failed, {event.error}: {event.message}",
            )
        case RetryScheduled():
            return "retry", f"attempt {event.attempt} in {event.delay:.3g} s"
        case CallRejected():
            return "rejected", f"turned away by {event.guard!r}: {event.reason}"
        case CallTimedOut():
            return "timeout", f"cut off by {event.guard!r} after {event.seconds:g} s"
        case _:
            assert_never(event)
