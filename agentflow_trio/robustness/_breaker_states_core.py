"""The states of a circuit breaker, and the table of what leads from one to another.

Layer: robustness, a core: plain data. The rules in the core take every step by this table; its picture is drawn from it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "TRANSITIONS",
    "Act",
    "BreakerState",
    "Cause",
    "Change",
    "Transition",
    "after",
]


class BreakerState(Enum):
    """What a circuit breaker does with a call."""

    CLOSED = "closed"
    """Lets it through and counts."""
    OPEN = "open"
    """Rejects it until the recovery timeout is over."""
    HALF_OPEN = "half_open"
    """Lets a few through as probes."""
    ISOLATED = "isolated"
    """Rejects it until somebody closes the circuit by hand."""
    DISABLED = "disabled"
    """Lets it through and counts nothing."""


_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN
_HALF_OPEN: Final = BreakerState.HALF_OPEN

Act: TypeAlias = Literal[
    "opened_by_hand", "closed_by_hand", "isolated_by_hand", "disabled_by_hand", "reset"
]
"""What somebody may do to a breaker in any state."""

Cause: TypeAlias = Literal[
    "failure_threshold",
    "failures_of_last",
    "failure_rate",
    "slow_rate",
    "recovery_timeout",
    "probes_succeeded",
    "probe_failed",
    "probe_slow",
    "probes_hung",
    Act,
]
"""Why a breaker went from one state to another."""


class Transition(NamedTuple):
    """A row of the table: in state *before*, *cause* leads to *after*."""

    before: BreakerState
    cause: Cause
    after: BreakerState


_BY_ITSELF: Final = (
    Transition(_CLOSED, "failure_threshold", _OPEN),
    Transition(_CLOSED, "failures_of_last", _OPEN),
    Transition(_CLOSED, "failure_rate", _OPEN),
    Transition(_CLOSED, "slow_rate", _OPEN),
    Transition(_OPEN, "recovery_timeout", _HALF_OPEN),
    Transition(_HALF_OPEN, "probes_succeeded", _CLOSED),
    Transition(_HALF_OPEN, "probe_failed", _OPEN),
    Transition(_HALF_OPEN, "probe_slow", _OPEN),
    Transition(_HALF_OPEN, "probes_hung", _OPEN),
)
_BY_HAND: Final[tuple[tuple[Act, BreakerState], ...]] = (
    ("opened_by_hand", _OPEN),
    ("closed_by_hand", _CLOSED),
    ("isolated_by_hand", BreakerState.ISOLATED),
    ("disabled_by_hand", BreakerState.DISABLED),
    ("reset", _CLOSED),
)

TRANSITIONS: Final[tuple[Transition, ...]] = (
    *_BY_ITSELF,
    *(Transition(before, act, after) for before in BreakerState for act, after in _BY_HAND),
)
"""Every way from one state to another: those that the breaker takes by itself, then those taken by hand."""

_BY_CAUSE: Final = {row.cause: row for row in _BY_ITSELF}
_BY_ACT: Final[dict[str, BreakerState]] = dict(_BY_HAND)


class Change(NamedTuple):
    """A change that was made. *retry_after*: seconds that an opened circuit stays open, else None."""

    before: BreakerState
    cause: Cause | Literal["restored"]
    after: BreakerState
    generation: int
    retry_after: float | None


def after(before: BreakerState, cause: Cause) -> BreakerState:
    """Where *cause* leads from *before*, by the table."""
    # by cause, for each comes in one state or in all; a state's hash is Python code and takes 0.2 us
    by_hand = _BY_ACT.get(cause)
    if by_hand is not None:
        return by_hand
    row = _BY_CAUSE[cause]
    if row.before is not before:
        raise KeyError(before, cause)
    return row.after
