"""The fold that makes spans of events, one after the other.

Layer: observe. Rules: how long something took is what its last event says, so that profiles and metrics agree (its
first one is told a little later than the time is taken); an item is known by its end alone, or earlier by what happens
inside; what is still open when the thing around it ends was cut off with it; events that belong to no run make no span.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, assert_never, final

import attrs

from ..events import (
    AttemptFailed,
    BatchDone,
    Caught,
    ExecutionEvent,
    FallbackUsed,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    RetryScheduled,
    RunEnded,
    RunStarted,
    WaitEnded,
    WaitStarted,
)
from ._open_span_core import Kind, OpenSpan
from ._spans_core import Outcome, RunSpans, Span

__all__ = ["SpanFold", "spans_of"]

_ENTRY: Final = re.compile(r"@\d+")
_NUMBERS: Final = re.compile(r"[#@\[].*$")
_ITEM: Final = re.compile(r"^(?P<step>.*)\[\d+\]$")


def spans_of(events: Iterable[ExecutionEvent]) -> tuple[RunSpans, ...]:
    """Return the runs that *events* tell of, in the order in which they ended; unfinished ones last."""
    fold = SpanFold()
    for event in events:
        fold.observe(event)
    return fold.runs()


@final
class SpanFold:
    """Takes events of any number of runs, mixed as they come."""

    def __init__(self) -> None:
        self._ended: list[RunSpans] = []
        self._open: dict[str, _OpenRun] = {}

    def observe(self, event: ExecutionEvent) -> None:
        """Take an event into account."""
        if not event.run_id:
            return  # of a guard that is used alone, or of an alert
        if isinstance(event, RunStarted) and event.run_id in self._open:
            self._ended.append(self._open.pop(event.run_id).cut())
        run = self._open.get(event.run_id)
        if run is None:
            if _is_over(event):
                return
            run = self._open[event.run_id] = _OpenRun(event)
        run.observe(event)
        if isinstance(event, RunEnded):
            self._ended.append(self._open.pop(event.run_id).end(event))

    def runs(self) -> tuple[RunSpans, ...]:
        """The runs until now, in the order in which they ended; those that have not, as they stand, last."""
        return (*self._ended, *(run.cut() for run in self._open.values()))


def _is_over(event: ExecutionEvent) -> bool:
    """Whether *event* is one that a run may still tell after its end."""
    return event.event_type in {"observer_failed", "thread_ended"}


@final
class _OpenRun:
    """A run that has not ended."""

    def __init__(self, first: ExecutionEvent) -> None:
        self._run_id = first.run_id
        self._last = first.timestamp
        self._next, self._missing = 0, 0
        self._first = first if isinstance(first, RunStarted) else None
        self._whole = self._first is not None
        name = first.path.partition("/")[0]
        # no name: an attempt is one of a visit or an item, also where a step has the name of its flow
        self._root = OpenSpan("run", name, "", _beginning(first), None, told=self._whole)
        # the run is not among them: a step that runs alone has the path of its run
        self._spans: dict[str, OpenSpan] = {}

    def observe(self, event: ExecutionEvent) -> None:
        """Take an event of this run into account."""
        self._missing += max(0, event.seq - self._next)
        self._next = max(self._next, event.seq + 1)
        self._last = max(self._last, event.timestamp)
        match event:
            case NodeStarted():
                self._begin(event.path, event.timestamp, told=True)
            case NodeSucceeded():
                self._end(event, "success", exit_=event.exit)
            case BatchDone():
                self._end(event, "success")
            case NodeFailed() | ItemFailed():
                if isinstance(event, ItemFailed) and event.tolerated:
                    self._at(event).handled = "tolerated"
                self._end(event, "error", error=event.error, message=event.message)
            case NodeCancelled():
                self._end(event, "cancelled", error=event.error, message=event.message)
            case _:
                self._note(event)

    def _note(self, event: ExecutionEvent) -> None:
        """Take an event into account that happened in the middle of a span."""
        match event:
            case Caught():
                self._caught(event)
            case FallbackUsed():
                self._at(event).handled = "a fallback stood in"
            case WaitStarted():
                self._at(event).wait_started(event)
            case WaitEnded():
                self._at(event).wait_ended(event)
            case RetryScheduled() | HedgeStarted() | HedgeWon() | AttemptFailed() | GaveUp():
                self._tried(self._at(event), event)
            case _:
                pass  # says nothing of how long anything took

    def _tried(
        self,
        span: OpenSpan,
        event: RetryScheduled | HedgeStarted | HedgeWon | AttemptFailed | GaveUp,
    ) -> None:
        """Take an event of attempts into account."""
        match event:
            case RetryScheduled():
                span.retry_scheduled(event)
            case HedgeStarted():
                span.hedge_started(event)
            case HedgeWon():
                span.hedge_won(event)
            case GaveUp():
                span.gave_up(event)
            case AttemptFailed():
                if span.attempt_failed(event):
                    self._cut_inside(span, event.timestamp)
            case _:
                assert_never(event)

    def end(self, event: RunEnded) -> RunSpans:
        """The run, which ended with *event*."""
        self._cut_inside(self._root, event.timestamp)
        if event.duration_ms is not None:
            self._root.start = _beginning(event)
        root = self._root.end(
            event.timestamp, event.outcome, exit_=event.exit, error=event.error
        )
        return self._told(root)

    def cut(self) -> RunSpans:
        """The run as far as it came; what has not ended is unfinished. It may go on after this."""
        return self._told(self._unfinished(self._root))

    def _told(self, root: Span) -> RunSpans:
        return RunSpans(
            run_id=self._run_id,
            root=root,
            missing=self._missing,
            wall_time=self._first and self._first.wall_time,
            seed=self._first and self._first.seed,
        )

    def _unfinished(self, span: OpenSpan) -> Span:
        ended = span.children
        span.children = [*ended, *map(self._unfinished, span.inside.values())]
        done = span.end(self._last, "unfinished")
        span.children = ended
        return done

    def _begin(self, path: str, start: float, *, told: bool = False) -> OpenSpan:
        parent = self._parent(path)
        kind: Kind = "item" if _ITEM.match(path) else "visit"
        name = _NUMBERS.sub("", path.rpartition("/")[2])
        span = OpenSpan(kind, path, name, start, parent, told=told)
        self._spans[path] = parent.inside[path] = span
        return span

    def _parent(self, path: str) -> OpenSpan:
        """What *path* is inside; an item that is not known yet begins with it."""
        item = _ITEM.match(path)
        if item is not None:
            around = item["step"]
        else:
            before, slash, last = path.rpartition("/")[0].rpartition("/")
            around = f"{before}{slash}{_ENTRY.sub('', last)}"
        known = self._spans.get(around)
        if known is None and _ITEM.match(around):
            return self._begin(around, self._last)
        return known or self._root

    def _at(self, event: ExecutionEvent) -> OpenSpan:
        """What an event is about. An item begins with it, and so does what began before the first event that was read."""
        known = self._spans.get(event.path)
        if known is not None:
            return known
        if self._whole and not _ITEM.match(event.path):
            return self._parent(event.path)  # it is over, as for what a thread tells late
        return self._begin(event.path, _beginning(event))

    def _end(
        self,
        event: ExecutionEvent,
        outcome: Outcome,
        *,
        exit_: str | None = None,
        error: str | None = None,
        message: str | None = None,
    ) -> None:
        span = self._spans.get(event.path)
        if span is None:  # its beginning was not read
            span = self._begin(event.path, _beginning(event))
        if event.duration_ms is not None or not span.told:
            span.start = _beginning(event)
        self._cut_inside(span, event.timestamp)
        self._close(
            span, span.end(event.timestamp, outcome, exit_=exit_, error=error, message=message)
        )

    def _cut_inside(self, span: OpenSpan, end: float) -> None:
        """End what is still open inside *span*: nothing inside outlives it."""
        for one in list(span.inside.values()):
            self._cut_inside(one, end)
            self._close(one, one.end(end, "cancelled"))

    def _close(self, span: OpenSpan, done: Span) -> None:
        around = span.parent or self._root
        del self._spans[span.path], around.inside[span.path]
        around.children.append(done)
        if not around.told:
            around.start = min(around.start, done.start)

    def _caught(self, event: Caught) -> None:
        """The visit that has just failed goes on elsewhere."""
        siblings = self._parent(event.path).children
        numbers = reversed(range(len(siblings)))
        last = next((at for at in numbers if siblings[at].path == event.path), None)
        if last is not None:
            siblings[last] = attrs.evolve(siblings[last], handled=f"caught by {event.target}")


def _beginning(event: ExecutionEvent) -> float:
    """When that began which *event* is the end of."""
    return event.timestamp - (event.duration_ms or 0.0) / 1000.0
