"""What is known of a run while it goes on: one row per step, folded from its events.

Layer: cli. Rules: no clock (every time is an event's, or an argument); rows are in the order of the wiring,
nested flows and branches below their step; what the wiring does not show gets a row when it appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, final

import attrs

from ..events import (
    AlertFired,
    AlertResolved,
    BatchDone,
    Caught,
    ExecutionEvent,
    FallbackUsed,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    Progress,
    RunEnded,
    RunStarted,
)
from ..flow import Flow, Step
from ._words import alert_words, guard_words

__all__ = ["Board", "Row", "Status", "place_of", "places"]

Status: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]


def place_of(path: str) -> str:
    """*path* without visits, attempts and items: ``editing/review#2`` is at ``editing/review``."""
    return re.sub(r"[#@\[][^/]*", "", path)


@final
@attrs.define
class Row:
    """One step.

    Attributes:
        place: its path without visit numbers.
        visits: how many began.
        running: how many have begun and not ended.
        status: how the last one that ended did end, or ``running``.
        text: the exit taken, the last progress, the error.
        fraction: the last progress of a visit that is running; None if it reported none.
        spent: seconds of all visits that have ended.
        since: when the visits that are running began, in seconds on the run's clock.
        changed: the number of the last event about it.
    """

    place: str
    visits: int = 0
    running: int = 0
    status: Status = "waiting"
    text: str = ""
    fraction: float | None = None
    spent: float = 0.0
    since: float = 0.0
    changed: int = -1

    @property
    def name(self) -> str:
        """The last segment of its path."""
        return self.place.rpartition("/")[2]

    @property
    def depth(self) -> int:
        """How many flows it is nested in, 0 for a step of the flow that is run."""
        return self.place.count("/") - 1

    def elapsed(self, now: float) -> float:
        """Seconds in all its visits."""
        return self.spent + (now - self.since if self.running else 0.0)


@final
class Board:
    """An observer that keeps the rows of one run.

    Attributes:
        alerts: by name those that fired, as words; of the status ``done`` if they hold no longer.
    """

    name = "board"

    def __init__(self, flow: Flow[Any, ...]) -> None:
        self.flow: str = flow.name
        self.run_id: str = ""
        self.started: float = 0.0
        self.ended: float | None = None
        self.visits: int = 0
        self.outcome: Status = "waiting"
        self.exit: str | None = None
        self.alerts: dict[str, tuple[Status, str]] = {}
        self._rows = {place: Row(place) for place in _places(flow, flow.name)}

    @property
    def rows(self) -> list[Row]:
        """All rows, from top to bottom."""
        return [*self._rows.values()]

    def observe(self, event: ExecutionEvent) -> None:
        """Take note of *event*."""
        match event:
            case RunStarted():
                self.run_id, self.started, self.outcome = (
                    event.run_id,
                    event.timestamp,
                    "running",
                )
            case RunEnded():
                self.ended = event.timestamp
                self.outcome, self.exit = _OUTCOMES[event.outcome], event.exit
            case NodeStarted():
                self._begin(event)
            case NodeSucceeded():
                self._end(event, "done", f"→ {event.exit}" if event.exit else "")
            case NodeFailed():
                self._end(event, "failed", f"{event.error}: {event.message}")
            case NodeCancelled():
                self._end(event, "cancelled", f"in {event.phase}")
            case _:
                self._note(event)

    def _note(self, event: ExecutionEvent) -> None:
        """What a visit says before it ends."""
        match event:
            case Progress():
                row = self._row(event)
                row.fraction, row.text = event.fraction, event.text
            case BatchDone() if event.total:
                self._row(event).fraction = (event.done + event.failed) / event.total
            case Caught():
                self._row(event).text = f"{event.error} → {event.target}"
            case FallbackUsed():
                self._row(event).text = f"fallback for {event.error}"
            case AlertFired() | AlertResolved():
                status: Status = "failed" if isinstance(event, AlertFired) else "done"
                self.alerts[event.alert] = (status, alert_words(event))
            case _:
                words = guard_words(event)
                if words:
                    self._row(event).text = words

    def elapsed(self, now: float) -> float:
        """Seconds since the run began, until it ended."""
        until = now if self.ended is None else self.ended
        return 0.0 if self.outcome == "waiting" else until - self.started

    def _begin(self, event: NodeStarted) -> None:
        row = self._row(event)
        self.visits += 1
        row.visits += 1
        if not row.running:
            row.since, row.status, row.text, row.fraction = event.timestamp, "running", "", None
        row.running += 1

    def _end(
        self, event: NodeSucceeded | NodeFailed | NodeCancelled, status: Status, text: str
    ) -> None:
        row = self._row(event)
        row.running = max(0, row.running - 1)  # an observer may have joined late
        if not row.running:
            row.spent += event.timestamp - row.since
            row.status, row.text, row.fraction = status, text or row.text, None

    def _row(self, event: ExecutionEvent) -> Row:
        place = place_of(event.path)
        if place not in self._rows:
            self._insert(place)
        row = self._rows[place]
        row.changed = event.seq
        return row

    def _insert(self, place: str) -> None:
        """Add a row at the end of those of the flow it belongs to."""
        above = place.rpartition("/")[0]
        places = [*self._rows]
        ends = [
            number
            for number, known in enumerate(places, 1)
            if f"{known}/".startswith(f"{above}/")
        ]
        places.insert(ends[-1] if ends else len(places), place)
        self._rows = {known: self._rows.get(known) or Row(known) for known in places}


def places(flow: Flow[Any, ...]) -> Iterator[str]:
    """The paths of *flow* and of all its steps, without visits, attempts and items."""
    yield flow.name
    yield from _places(flow, flow.name)


def _places(flow: Flow[Any, ...], above: str) -> Iterator[str]:
    for edge in flow.edges:
        yield from _in_step(edge.source, above)


def _in_step(step: Step[Any, ...], above: str) -> Iterator[str]:
    place = f"{above}/{step.name}"
    yield place
    if step.flow is not None:
        yield from _places(step.flow, place)
    for branch in step.branches:
        yield from _in_step(branch, place)


_OUTCOMES: dict[Literal["success", "error", "cancelled"], Status] = {
    "success": "done",
    "error": "failed",
    "cancelled": "cancelled",
}
