"""Draining: runs end at their next boundary, what is in flight gets a grace, the rest is cancelled.

Layer: engine. Rules: a strand that is drained goes the way of a cancelled one, so that no edge, fallback or retry takes it
up; the others of its crowd go on to boundaries of their own; the run ends when the last of them has stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NoReturn, Protocol, TypeAlias, final

import attrs
import trio

from ..errors import CutOff
from ._failures import without_cancelled
from ._live import Strand

__all__ = [
    "DRAINED",
    "Drain",
    "DrainReport",
    "Manner",
    "has_stopped",
    "is_drained",
    "stop_here",
]

DRAINED: Final = "drain"
"""The reason that a drained run gives."""

Manner: TypeAlias = Literal["by itself", "at a boundary", "cut off"]

_STOPPED: Final = -1
"""The ``stop`` of a strand that was drained."""


def is_drained(strand: Strand) -> bool:
    """Whether its run is being drained."""
    reach = strand.run.reach
    return reach is not None and reach.leave is not None


async def stop_here(strand: Strand) -> NoReturn:
    """End *strand*, which is drained, where it stands: its run if it is the first, else itself alone. Always a checkpoint.

    Raises:
        Cancelled: in a crowd one that no scope waits for; `has_stopped` knows it again.
    """
    strand.stop = _STOPPED
    reach = strand.run.reach
    if strand.parent is None and reach is not None and reach.leave is not None:
        reach.leave()
        await trio.lowlevel.checkpoint()
    raise await _cancelled()


async def _cancelled() -> trio.Cancelled:
    kept = list[trio.Cancelled]()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:  # noqa: ASYNC103 - the caller raises it, outside this scope
            kept.append(cancelled)
    return kept.pop()


def has_stopped(strand: Strand, error: BaseException) -> bool:
    """Whether *error*, raised by all that *strand* does, says only that it was drained."""
    return strand.stop == _STOPPED and without_cancelled(error) is None


@final
@attrs.frozen(kw_only=True)
class DrainReport:
    """How the runs of a drained engine ended.

    Attributes:
        ended: how many ended by themselves meanwhile, well or not.
        drained: the ids of those that ended at a boundary, in that order.
        cut_off: the ids of those that were cancelled when the grace was over, and the steps they were in, outermost first.
        duration: seconds from the request to the end of the last run.
    """

    ended: int
    drained: tuple[str, ...]
    cut_off: Mapping[str, tuple[CutOff, ...]]
    duration: float


class Over(Protocol):
    """A run that is over."""

    @property
    def run_id(self) -> str: ...

    @property
    def manner(self) -> Manner: ...

    @property
    def cut_off(self) -> tuple[CutOff, ...]: ...


@final
class Drain:
    """An engine's drain, from the request on."""

    __slots__ = ("_began", "_cut_off", "_drained", "_ended", "_last")

    def __init__(self, now: float) -> None:
        self._began = self._last = now
        self._ended = 0
        self._drained: list[str] = []
        self._cut_off: dict[str, tuple[CutOff, ...]] = {}

    def note(self, run: Over) -> None:
        """One is over."""
        self._last = trio.current_time()
        if run.manner == "cut off":
            self._cut_off[run.run_id] = run.cut_off
        elif run.manner == "at a boundary":
            self._drained.append(run.run_id)
        else:
            self._ended += 1

    def report(self) -> DrainReport:
        """What came of it, once all runs are over."""
        return DrainReport(
            ended=self._ended,
            drained=tuple(self._drained),
            cut_off=dict(self._cut_off),
            duration=self._last - self._began,
        )
