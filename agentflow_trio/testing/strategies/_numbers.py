"""Numbers that tests can compare with ``==``.

Layer: testing. Sixteenths of a second add up without rounding, so that timers that should meet do.
"""

from __future__ import annotations

import math
from typing import Final

from ._hypothesis import SearchStrategy, st

__all__ = ["TICKS", "durations", "few", "limits", "shares", "some"]

TICKS: Final = 16
"""So many make a second."""


def durations(longest: float = 10.0, /, *, shortest: float = 0.0) -> SearchStrategy[float]:
    """Seconds, in sixteenths, which add up exactly; shrinks to the shortest.

    Args:
        longest: at most so many, finite.
        shortest: at least so many, >= 0.

    Raises:
        ValueError: no sixteenth lies between the two.
    """
    if not 0.0 <= shortest <= longest < math.inf:
        raise ValueError(
            f"durations go from 0 or more up to a finite number, not {shortest!r} to {longest!r}"
        )
    least, most = math.ceil(shortest * TICKS), math.floor(longest * TICKS)
    if least > most:
        raise ValueError(f"no sixteenth of a second lies between {shortest!r} and {longest!r}")
    return st.integers(least, most).map(_seconds)


def _seconds(ticks: int) -> float:
    return ticks / TICKS


def some(longest: float) -> SearchStrategy[float]:
    """Seconds above 0."""
    return durations(longest, shortest=1 / TICKS)


def few(most: int = 4) -> SearchStrategy[int]:
    """A small number of something, at least 1."""
    return st.integers(1, most)


def limits(longest: float) -> SearchStrategy[float]:
    """Seconds to wait at most: any number, the simplest; else some."""
    return st.just(math.inf) | durations(longest)


def shares() -> SearchStrategy[float]:
    """A part of the whole, above 0 up to 1."""
    return st.sampled_from([1.0, 0.5, 0.25])
