"""Pictures of a circuit breaker: for looking at, and for going on elsewhere.

Layer: robustness. Plain data.
"""

from __future__ import annotations

from typing import final

import attrs

from ._bounds import Number, Whole
from ._breaker_counts_core import Sample
from ._breaker_states_core import BreakerState

__all__ = ["CircuitSnapshot", "CircuitStatistics"]


@final
@attrs.frozen(kw_only=True)
class CircuitStatistics:
    """A picture of a circuit breaker. Calls that began in an older generation than they ended in are *stale* only.

    Attributes:
        state: as the last call left it: an open circuit whose time is over is half-open when somebody calls.
        generation: how often the state was changed or set, in this run of Trio.
        until: when an open circuit admits a probe, on Trio's clock; None in other states.
        running: calls inside now.
        succeeded, failed, ignored, cancelled: how calls ended.
        stale: results that came too late to count.
        rejected: calls that were not let through.
        opened: how often the circuit opened.
        failures_in_a_row: while closed.
        trips: how often it opened in a row without closing.
    """

    state: BreakerState
    generation: int
    until: float | None
    running: int
    succeeded: int
    failed: int
    ignored: int
    cancelled: int
    stale: int
    rejected: int
    opened: int
    failures_in_a_row: int
    trips: int


@final
@attrs.frozen(kw_only=True)
class CircuitSnapshot:
    """What a breaker knows, in seconds from now instead of times, so that it can outlive the process. Totals are not in it.

    Attributes:
        state: what it does with calls.
        remaining: seconds until an open circuit admits a probe; None in other states.
        trips: how often it opened in a row without closing.
        streak: failures in a row.
        last: whether each of the last calls failed, oldest first.
        window: for each call in the window, oldest first: seconds until it falls out, whether it failed, whether it
            was slow.
        successes: successful probes. Probes that are out are not in a snapshot: their results would be stale.
    """

    state: BreakerState
    remaining: float | None = attrs.field(default=None, validator=Number(optional=True))
    trips: int = attrs.field(default=0, validator=Whole(0))
    streak: int = attrs.field(default=0, validator=Whole(0))
    last: tuple[bool, ...] = ()
    window: tuple[Sample, ...] = ()
    successes: int = attrs.field(default=0, validator=Whole(0))
