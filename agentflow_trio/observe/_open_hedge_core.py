"""The attempts of hedges in one span, side by side.

Layer: observe. Rules: events of a hedge say by which hedge, not in which of several calls at once; of these the one that fits
is taken, the oldest first. Those of the step's own hedge have the numbers of the visit, which go on in each round of a retry.
"""

from __future__ import annotations

from typing import final

import attrs

from ..events import AttemptFailed, GaveUp, HedgeStarted, HedgeWon
from ._spans_core import Attempt, Outcome

__all__ = ["OpenHedges"]


@attrs.define(eq=False)
class _Try:
    number: int
    own: bool
    start: float
    end: float | None = None
    outcome: Outcome = "cancelled"
    error: str | None = None

    def stop(self, end: float, outcome: Outcome, error: str | None = None) -> None:
        """It ended; once."""
        if self.end is None:
            self.end, self.outcome, self.error = end, outcome, error


@final
class OpenHedges:
    """What hedges do in a span that has not ended."""

    __slots__ = ("_going", "_over")

    def __init__(self) -> None:
        self._going: list[tuple[str, list[_Try]]] = []
        self._over: list[_Try] = []

    def started(
        self, event: HedgeStarted, begun: float, first: AttemptFailed | None = None
    ) -> None:
        """A hedge began an attempt beside others; the first of them *begun* when it is not said better, or has failed."""
        before = event.attempt - 1
        fits = (tries for name, tries in self._going if name == event.guard)
        tries = next((tries for tries in fits if tries[-1].number == before), None)
        if tries is None:
            tries = [_Try(before, event.own, begun)]
            self._going.append((event.guard, tries))
            if first is not None:
                self.failed(first)
        tries.append(_Try(event.attempt, event.own, event.timestamp))

    def failed(self, event: AttemptFailed) -> bool:
        """An attempt failed; return whether it is one of these."""
        going = (one for guard, tries in self._going for one in tries if guard == event.guard)
        fits = (one for one in going if one.number == event.attempt and one.end is None)
        found = next(fits, None)
        if found is None:
            return False
        if event.duration_ms is not None:
            found.start = event.timestamp - event.duration_ms / 1000.0
        found.stop(event.timestamp, "error", event.error)
        return True

    def won(self, event: HedgeWon) -> None:
        """One of them ended well."""
        tries = self._with(event.guard, event.attempts)
        if tries is None:
            return
        if event.duration_ms is not None:
            tries[0].start = event.timestamp - event.duration_ms / 1000.0
        for one in tries:
            if one.number == event.attempt:
                one.stop(event.timestamp, "success")
        self._end(tries, event.timestamp, "cancelled")

    def gave_up(self, event: GaveUp) -> None:
        """All of them failed, if they are those of a hedge."""
        tries = self._with(event.guard, event.attempts)
        if tries is not None:
            self._end(tries, event.timestamp, "cancelled")

    def all(self, end: float, around: Outcome) -> tuple[Attempt, ...]:
        """All attempts of hedges that were more than one; those that go on end with their span, whose outcome is *around*."""
        outcome: Outcome = "unfinished" if around == "unfinished" else "cancelled"
        going = [one for _, tries in self._going for one in tries]
        return tuple(
            Attempt(
                number=one.number,
                own=one.own,
                start=min(one.start, end),
                end=end if one.end is None else min(one.end, end),
                outcome=outcome if one.end is None else one.outcome,
                error=one.error,
            )
            for one in (*self._over, *going)
        )

    def _with(self, guard: str, many: int) -> list[_Try] | None:
        fits = (tries for name, tries in self._going if name == guard and len(tries) == many)
        return next(fits, None)

    def _end(self, tries: list[_Try], end: float, outcome: Outcome) -> None:
        for one in tries:
            one.stop(end, outcome)
        self._going = [one for one in self._going if one[1] is not tries]
        self._over += tries
