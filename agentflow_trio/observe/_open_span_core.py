"""A span while it goes on, and what it was once it has ended.

Layer: observe.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import attrs

from ..events import (
    AttemptFailed,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    RetryScheduled,
    WaitEnded,
    WaitStarted,
)
from ._open_hedge_core import OpenHedges
from ._spans_core import Attempt, Outcome, Span, Wait

__all__ = ["Kind", "OpenSpan"]

Kind: TypeAlias = Literal["run", "visit", "item"]


@final
class OpenSpan:
    """A span that has not ended.

    Attributes:
        inside: what goes on inside of it, by path.
        children: what has ended inside.
        handled: as in `Span`.
        told: its beginning was an event; otherwise it is that of the first thing that is known of it.
    """

    __slots__ = (
        "_alone",
        "_failures",
        "_hedges",
        "_kind",
        "_pauses",
        "_waiting",
        "_waits",
        "children",
        "handled",
        "inside",
        "name",
        "parent",
        "path",
        "start",
        "told",
    )

    def __init__(
        self,
        kind: Kind,
        path: str,
        name: str,
        start: float,
        parent: OpenSpan | None,
        *,
        told: bool,
    ) -> None:
        self._kind: Kind = kind
        self.path = path
        self.name = name
        self.start = start
        self.parent = parent
        self.told = told
        self.inside: dict[str, OpenSpan] = {}
        self.children: list[Span] = []
        self.handled = ""
        self._hedges: OpenHedges | None = None
        self._alone: AttemptFailed | None = None
        self._waits: list[Wait] = []
        self._waiting: list[tuple[str, float]] = []
        self._failures: list[
            tuple[float, float | None, str]
        ] = []  # when, its length, its class
        # of its own retry: which attempt comes after it, and when it is over
        self._pauses: list[tuple[int, float]] = []

    def wait_started(self, event: WaitStarted) -> None:
        """It began to wait."""
        self._waiting.append((event.guard, event.timestamp))

    def wait_ended(self, event: WaitEnded) -> None:
        """It waits no longer; of several waits for one guard the one that fits."""
        start = event.timestamp - event.waited
        mine = [one for one in self._waiting if one[0] == event.guard]
        if mine:
            self._waiting.remove(min(mine, key=lambda one: abs(one[1] - start)))
        self._waits.append(Wait(guard=event.guard, start=start, end=event.timestamp))

    def retry_scheduled(self, event: RetryScheduled) -> None:
        """It pauses before an attempt, its own or one of a retry in the node's code."""
        start, end = event.timestamp, event.timestamp + event.delay
        self._waits.append(Wait(guard=event.guard, retry=True, start=start, end=end))
        if (
            event.own and self.name
        ):  # a run is not tried again: a step that runs alone has its path
            self._pauses.append((event.attempt, end))
            self._handle("tried again")

    def hedge_started(self, event: HedgeStarted) -> None:
        """An attempt begins beside others; which may be one of a hedge in the node's code."""
        if self._hedges is None:
            self._hedges = OpenHedges()
        begun = self._pauses[-1][1] if self._pauses else self.start
        failed = self._alone
        if event.reason == "failure" and failed is not None and failed.guard == event.guard:
            self._alone = None
            self._hedges.started(event, begun, failed)
        else:
            self._hedges.started(event, begun)

    def hedge_won(self, event: HedgeWon) -> None:
        """Of several attempts one has ended well."""
        self._handle("another attempt won")
        if self._hedges is not None:
            self._hedges.won(event)

    def gave_up(self, event: GaveUp) -> None:
        """All attempts have failed, of a retry or a hedge."""
        if self._hedges is not None:
            self._hedges.gave_up(event)

    def _handle(self, how: str) -> None:
        self.children = [_handled(child, how) for child in self.children]

    def attempt_failed(self, event: AttemptFailed) -> bool:
        """An attempt failed; return whether nothing inside goes on after it: it was one of its own retry."""
        if self._hedges is not None and self._hedges.failed(event):
            return False
        if event.guard != self.name or not event.own:
            self._alone = event  # of a retry in the node's own code, or of a hedge before it begins another
            return False
        length = None if event.duration_ms is None else event.duration_ms / 1000.0
        self._failures.append((event.timestamp, length, event.error))
        return True

    def end(
        self,
        end: float,
        outcome: Outcome,
        *,
        exit_: str | None = None,
        error: str | None = None,
        message: str | None = None,
    ) -> Span:
        """What it was."""
        going = [Wait(guard=guard, start=start, end=end) for guard, start in self._waiting]
        return Span(
            kind=self._kind,
            path=self.path,
            start=self.start,
            end=end,
            outcome=outcome,
            exit=exit_,
            error=error,
            message=message,
            handled=self.handled,
            attempts=self._attempts(end, outcome, error) if self._failures else (),
            hedges=() if self._hedges is None else self._hedges.all(end, outcome),
            waits=tuple(_until(end, wait) for wait in (*self._waits, *going)),
            children=tuple(self.children),
        )

    def _attempts(self, end: float, outcome: Outcome, error: str | None) -> tuple[Attempt, ...]:
        begun = [(1, self.start), *self._pauses]
        attempts: list[Attempt] = []
        for at, (when, length, failed) in enumerate(self._failures):
            number, start = (
                begun[at] if at < len(begun) else (at + 1, when)
            )  # a pause was not told
            attempts.append(
                Attempt(
                    number=number,
                    start=start if length is None else when - length,
                    end=when,
                    outcome="error",
                    error=failed,
                )
            )
        number, start = begun[-1]
        if len(attempts) + 1 == len(begun) and start <= end:
            attempts.append(
                Attempt(number=number, start=start, end=end, outcome=outcome, error=error)
            )
        return tuple(attempts)


def _handled(child: Span, how: str) -> Span:
    if child.outcome == "error" and not child.handled:
        return attrs.evolve(child, handled=how)
    return child


def _until(end: float, wait: Wait) -> Wait:
    """*wait*, cut off where its span was."""
    start = min(wait.start, end)
    return Wait(guard=wait.guard, retry=wait.retry, start=start, end=min(wait.end, end))
