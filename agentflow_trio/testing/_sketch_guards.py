"""Watching the guards of a run: the states of circuits, how many wait, whom they turn away.

Layer: testing. All of it is read from their statistics, so that guards without a flow are seen as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, final

import attrs

from ..ports import Met
from ._sketch_page import Page
from ._time_scale_core import Spot
from ._timeline_picture_core import Band, Mark, MarkKind, add_mark

__all__ = ["Guards", "was_cut_off"]

_GUARDS: Final = 24

_COUNTED: Final[Sequence[tuple[str, MarkKind, str]]] = (
    ("rejected", "rejected", "turned away by"),
    ("refused", "rejected", "turned away by"),
    ("retries", "retry", "tried again by"),
    ("timed_out", "timeout", "cut off by"),
)
"""What statistics of guards count, and what it is called."""


@final
@attrs.define(eq=False)
class _Guard:
    """What is known of a guard: its band, and what its statistics counted so far."""

    band: Band
    counts: dict[str, int] = attrs.field(factory=dict[str, int])


@final
class Guards:
    """The guards of one run.

    Args:
        page: where marks are written.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._guards: list[_Guard] = []

    def bands(self) -> Sequence[Band]:
        """Those with which something happened."""
        return [guard.band for guard in self._guards if guard.band.worth_drawing]

    def look(self, met: Sequence[Met], number: int | None) -> None:
        """See what changed; what happened to a caller is marked in the lane of that number."""
        spot = self._page.spot(0.5)
        for guard in met[len(self._guards) : _GUARDS]:
            self._guards.append(
                _Guard(Band(guard.name, f"{_kind_of(guard)} {guard.name!r}", []))
            )
        for known, guard in zip(self._guards, met, strict=False):
            statistics = guard.statistics()
            self._put_level(known.band, spot, _level(statistics))
            for field, kind, words in _COUNTED:
                count: int = getattr(statistics, field, 0)
                if count > known.counts.get(field, 0):
                    self._mark(
                        known.band, Mark(spot, kind, f"{words} {known.band.title}"), number
                    )
                known.counts[field] = count

    def _put_level(self, band: Band, spot: Spot, level: str | int) -> None:
        levels = band.levels
        if not levels:
            levels.append((spot, level))
        elif levels[-1][1] != level:
            begin = levels[-1][0]
            if self._page.grain and spot[0] - begin[0] < self._page.grain:
                levels[-1] = begin, level
            else:
                levels.append((spot, level))

    def _mark(self, band: Band, mark: Mark, number: int | None) -> None:
        if mark.kind == "rejected":
            add_mark(band.marks, mark, self._page.grain)
        if number is not None and (mark.kind, band.name) not in self._page.told:
            self._page.mark(number, mark, band.name)


def was_cut_off(met: Sequence[Met], words: str) -> Callable[[], bool]:
    """Tells later whether a task was cut off that waits for what *words* say.

    Some guards end the waits of their callers by a cancellation of their own, and count those that are none of theirs.
    """
    for guard in met:
        before = _cancelled(guard)
        if before is not None and words == f"{type(guard).__name__} {guard.name!r}":
            return lambda: _cancelled(guard) != before
    return lambda: True


def _cancelled(guard: Met) -> int | None:
    """How many were cancelled while they waited for it, if it counts them."""
    count: int | None = getattr(guard.statistics(), "cancelled", None)
    return count


def _level(statistics: object) -> str | int:
    """The state of a circuit, or how many wait for a guard."""
    state = getattr(statistics, "state", None)
    if isinstance(state, Enum):
        return str(state.value)
    if hasattr(statistics, "retries"):
        return 0  # lanes tell of them
    waiting: int = getattr(statistics, "waiting", 0)
    return waiting


def _kind_of(guard: Met) -> str:
    """``circuit breaker``."""
    words = type(guard).__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in words).strip()
