"""What a profile is made of.

Layer: observe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, final

import attrs

from ._spans_core import Outcome

__all__ = ["FailureProfile", "PathShare", "PlaceProfile", "RunProfile"]


@final
@attrs.frozen(kw_only=True)
class PlaceProfile:
    """What happened at one place, in all runs together.

    Attributes:
        place: the path without numbers (``editorial/review``); ``digest/condense[*]`` are the items of a step.
        kind: what happens there.
        visits: how often: runs, visits or items.
        succeeded: how many of them ended well.
        failed: how many with an error.
        cancelled: how many were cut off by cancellation.
        unfinished: how many had not ended when the events stop.
        attempts: how many tries they took together.
        total: seconds, from their beginning to their end; what went on at once counts each for itself.
        own: seconds of these in which nothing inside went on and nothing was waited for: the node's own work.
        waiting: what was waited for, as ``guard 'db'`` or ``a retry`` -> seconds.
        p50: the median of how long those took that ended by themselves, by `percentile`; None without any.
        p95: the same for 95 of 100.
        critical: seconds of the slowest run's critical path.
    """

    place: str
    kind: Literal["run", "visit", "item"]
    visits: int
    succeeded: int
    failed: int
    cancelled: int
    unfinished: int
    attempts: int
    total: float
    own: float
    waiting: Mapping[str, float]
    p50: float | None
    p95: float | None
    critical: float

    @property
    def waited(self) -> float:
        """Seconds of waiting in all."""
        return math.fsum(self.waiting.values())


@final
@attrs.frozen(kw_only=True)
class PathShare:
    """How much of a critical path belongs to a place.

    Attributes:
        place: as in `PlaceProfile`.
        reason: what was waited for; None: work.
        seconds: how long together.
        share: of the run's duration, 0 to 1.
        times: in how many stretches.
    """

    place: str
    reason: str | None
    seconds: float
    share: float
    times: int


@final
@attrs.frozen(kw_only=True)
class RunProfile:
    """A run in one line.

    Attributes:
        run_id: which one.
        flow: its flow.
        outcome: how it ended.
        exit: by which way.
        error: what it failed with, as its last event says.
        start: seconds on Trio's clock.
        duration: seconds.
        missing: how many of its events were not among those that were read.
        wall_time: when it began, in seconds since the epoch; None if its first event was not read.
        seed: of its dice; None as well.
    """

    run_id: str
    flow: str
    outcome: Outcome
    exit: str | None
    error: str | None
    start: float
    duration: float
    missing: int
    wall_time: float | None
    seed: int | None


@final
@attrs.frozen(kw_only=True)
class FailureProfile:
    """Something that failed: the innermost of what failed together.

    Attributes:
        run_id: in which run.
        path: where.
        when: seconds after the run's beginning.
        error: its class.
        message: its text.
        tries: after how many attempts.
        handled: what became of it, as in `Span.handled`.
    """

    run_id: str
    path: str
    when: float
    error: str
    message: str
    tries: int
    handled: str
