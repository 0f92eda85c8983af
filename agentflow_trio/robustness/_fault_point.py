"""Places at which a test can make a program fail; outside such a test they cost next to nothing.

Layer: robustness. The plan of a test is found through a context variable, so that tasks and threads of one test do not
meet the faults of another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Final, Protocol, TypeVar, TypeVarTuple

__all__ = ["FAULTS", "FaultPlan", "behind", "fault_point"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


class FaultPlan(Protocol):
    """Who decides what goes wrong."""

    async def point(self, name: str, /) -> None:
        """Let happen what is to happen at the place of that name now, if anything is."""
        ...

    async def call(
        self, names: Callable[[], Sequence[str]], work: Callable[[], Awaitable[Value]], /
    ) -> Value:
        """Do *work*, a call that has these names, and let go wrong with it what is to go wrong, if anything is."""
        ...


FAULTS: Final[ContextVar[FaultPlan | None]] = ContextVar("agentflow_trio.faults", default=None)
"""The plan in force, if there is one."""


# async, so that a place may be made to wait; it says itself that it never yields
async def fault_point(name: str, /) -> None:  # noqa: ASYNC124, ASYNC910
    """Fail here, or wait, if a test says so. By itself it never yields, and is no cancellation point.

    ``await fault_point("reply lost")`` is for `agentflow_trio.testing.Faults` to strike; otherwise nothing happens
    (0.1 us).

    Args:
        name: what the test calls it; any number of places may share a name.

    Raises:
        Exception: whatever the test wants.
    """
    plan = FAULTS.get()
    if plan is not None:
        await plan.point(name)


def behind(
    plan: FaultPlan,
    guard: str,
    fn: Callable[[*PosArgs], Awaitable[Value]],
    args: tuple[*PosArgs],
) -> Awaitable[Value]:
    """Call ``fn(*args)`` behind the guard of that name, as *plan* says."""
    return plan.call(lambda: (guard,), partial(fn, *args))
