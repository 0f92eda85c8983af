"""An engine's drain, from the request on, and the report of it.

Layer: engine. Loaded with the engine: what boundaries ask of a drain is in `_drain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

import attrs
import trio

from ..errors import CutOff
from ._drain import Manner

__all__ = ["Drain", "DrainReport"]


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
