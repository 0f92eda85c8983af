"""Arithmetic with times, where floats have traps.

Layer: robustness, a core: sans-IO, no clock.
"""

from __future__ import annotations

import math

__all__ = ["seconds_until"]


def seconds_until(when: float, now: float, /) -> float:
    """Return the least seconds, >= 0, after which it is *when* or later: ``now + seconds >= when`` holds.

    The bare difference may be rounded down, seldom, by half a unit in the last place: who sleeps that long wakes too
    early, and with a clock that jumps from deadline to deadline would never see *when*.
    """
    if when <= now:
        return 0.0
    seconds = when - now
    return seconds if now + seconds >= when else math.nextafter(seconds, math.inf)
