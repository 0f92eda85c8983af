"""Draining: runs end at their next boundary, what is in flight gets a grace, the rest is cancelled.

Layer: engine. Rules: a strand that is drained goes the way of a cancelled one, so that no edge, fallback or retry takes it
up; the others of its crowd go on to boundaries of their own; the run ends when the last of them has stopped.
"""

from __future__ import annotations

from typing import Final, Literal, NoReturn, TypeAlias

import trio

from ._failures import without_cancelled
from ._live import Strand

__all__ = [
    "DRAINED",
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
