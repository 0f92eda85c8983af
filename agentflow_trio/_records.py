"""Records of what went wrong, which errors hold and reports show; their public place is `errors`, which loads them when asked.

Layer: above types, below errors.
"""

from __future__ import annotations

from typing import final

import attrs

from ._typing import override
from .types import Phase

__all__ = ["AbandonedThread", "CutOff", "Failure", "Mismatch"]


@final
@attrs.frozen
class Mismatch:
    """One place where data does not fit its type.

    Attributes:
        path: where, as ``$.notes[3]``.
        expected: what the type wants.
        got: what was found.
    """

    path: str
    expected: str
    got: str

    @override
    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


@final
@attrs.frozen
class CutOff:
    """A step that was running when its run was cancelled.

    Attributes:
        path: the visit.
        phase: what it was doing.
        attempt: which try of exec, from 1.
        elapsed: seconds since the visit began.
    """

    path: str
    phase: Phase
    attempt: int
    elapsed: float


@final
@attrs.frozen
class AbandonedThread:
    """A thread that nobody waits for any more, and that is still at work: it cannot be stopped.

    Attributes:
        run_id: the run whose step called it.
        path: the visit (or item), as ``digest/read[3]``.
        function: what it calls.
        since: when it was abandoned, on Trio's clock.
    """

    run_id: str
    path: str
    function: str
    since: float

    @override
    def __str__(self) -> str:
        return f"{self.function} of {self.path}, abandoned at {self.since:.6g} s"


@final
@attrs.frozen
class Failure:
    """Where and when one leaf of a failure tree arose.

    Attributes:
        path: the visit, as ``editorial/editing/review#2``.
        phase: what the step was doing.
        attempt: which try of exec, from 1.
        elapsed: seconds since the visit began.
    """

    path: str
    phase: Phase
    attempt: int
    elapsed: float

    @override
    def __str__(self) -> str:
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.phase} of {self.path}{again}, after {self.elapsed:.3g} s"
