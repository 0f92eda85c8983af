"""Places at which a test can make a program fail; outside such a test they cost next to nothing.

Layer: robustness. The plan of a test is found through a context variable, so that tasks and threads of one test do not
meet the faults of another.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["FAULTS", "FaultPlan", "fault_point"]


class FaultPlan(Protocol):
    """Who decides what fails."""

    def strike(self, name: str, /) -> None:
        """Raise what is to fail at the place of that name now, if anything is."""
        ...


FAULTS: Final[ContextVar[FaultPlan | None]] = ContextVar("agentflow_trio.faults", default=None)
"""The plan in force, if there is one."""


# async, so that a place may be made to wait; it says itself that it never yields
async def fault_point(name: str, /) -> None:  # noqa: ASYNC124, ASYNC910
    """Fail here if a test says so. Never yields, and is no cancellation point.

    ``await fault_point("reply lost")`` is for `agentflow_trio.testing.Faults` to strike; otherwise nothing happens
    (0.1 us).

    Args:
        name: what the test calls it; any number of places may share a name.

    Raises:
        Exception: whatever the test wants.
    """
    plan = FAULTS.get()
    if plan is not None:
        plan.strike(name)
