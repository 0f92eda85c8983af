"""What time of the day an event happened at: the first event of a run says it, and from then on Trio's clock counts.

Layer: observe. Rule: in a simulation every moment is virtual, so that the same seed gives the same times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

import trio

from ..events import ExecutionEvent, RunStarted
from ..ports import Simulated

__all__ = ["RunTime", "WallTimes"]

_MOST: Final = 20_000
"""Runs that are remembered; the end of one is not told to an observer that was switched off meanwhile."""


@final
class RunTime:
    """The time of the day in one run. Works in threads, too.

    Attributes:
        ahead: seconds from Trio's time to those since the epoch.
    """

    __slots__ = ("_clock", "ahead")

    def __init__(self, clock: Callable[[], float], ahead: float) -> None:
        self.ahead: float = ahead
        self._clock = clock

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock() + self.ahead


@final
class WallTimes:
    """The time of the day in each run that goes on."""

    def __init__(self) -> None:
        self._runs: dict[str, RunTime] = {}
        self._last: tuple[trio.abc.Clock | None, float] | None = None

    def of_run(self, run_id: str) -> RunTime:
        """The time in a run, which perhaps has not said yet what it began at."""
        time = self._runs.get(run_id)
        if time is None:
            clock = _clock()
            time = RunTime(_stopped if clock is None else clock.current_time, self._guess())
            self._runs[run_id] = time
            if len(self._runs) > _MOST:
                del self._runs[next(iter(self._runs))]
        return time

    def begin(self, event: RunStarted) -> None:
        """Take what the first event of a run says, which also holds for what belongs to no run."""
        ahead = event.wall_time - event.timestamp
        self._last = _clock(), ahead
        self.of_run(event.run_id).ahead = ahead

    def forget(self, run_id: str) -> None:
        """A run is over."""
        self._runs.pop(run_id, None)

    def at(self, event: ExecutionEvent) -> float:
        """Seconds since the epoch at which *event* happened."""
        time = self._runs.get(event.run_id)
        return event.timestamp + (self._guess() if time is None else time.ahead)

    def _guess(self) -> float:
        """How far ahead the day is where no run says it: as in the last run on this clock, or else as the machine says."""
        clock = _clock()
        if self._last is not None and self._last[0] is clock:
            return self._last[1]
        if clock is None:
            return 0.0
        wall = clock.now() if isinstance(clock, Simulated) else datetime.now(UTC).timestamp()
        return wall - clock.current_time()


def _clock() -> trio.abc.Clock | None:
    """The clock of Trio; None where Trio does not run, as when events are read from a file."""
    return trio.lowlevel.current_clock() if trio.lowlevel.in_trio_run() else None


def _stopped() -> float:
    return 0.0
