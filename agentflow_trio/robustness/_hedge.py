"""Hedge: a second attempt beside a slow one, and whichever ends well first.

Layer: robustness. Rules: every attempt is a task of its own, cut off and joined before the call returns; the task of the
caller alone decides, attempts only report; an error that nobody gets is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Never, TypeVar, TypeVarTuple, final, overload

import trio
from trio.lowlevel import checkpoint_if_cancelled

from .._typing import override
from ._bounds import named
from ._events import OnEvent
from ._fault_point import FAULTS, behind
from ._guard import Member
from ._hedge_bout import Bout
from ._hedge_policy import Delay, HedgePolicy
from ._hedge_state import HedgeState, HedgeStatistics

__all__ = ["Hedge"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class Hedge(Member[Never]):
    """Begins another attempt beside one that is slow, and at once after one that failed; the first to end well wins.

    ``await hedge.call(fetch, url)`` or ``@hedge`` above an async function. What is hedged must be something that may be
    done twice: an attempt that is cut off may have had its effect.

    Every attempt, the first one too, runs in a task of its own inside the call, with a copy of the caller's context
    variables as they are when it begins. There is exactly one outcome, and when it is there no attempt goes on: those
    that have not won are cut off and waited for. Of attempts that end well in one pass of Trio's scheduler, or at the
    same time of its clock and without a checkpoint after the hedge took note, the one with the lowest number wins.

    An error that is not handled ends the call and is raised itself; if all attempts fail, the last error is, with a
    note that tells of the others. A call that is cancelled cancels its attempts. What fails while it is cut off is told,
    as `AttemptFailed` and in the note of what is raised, or to the log if nobody listens.

    One hedge may be used by any number of tasks at once. Entered under another run of Trio it starts blank.
    """

    __slots__ = ("_state",)

    @overload
    def __init__(
        self, policy: HedgePolicy, *, name: str = ..., on_event: OnEvent | None = ...
    ) -> None: ...
    @overload
    def __init__(
        self, *, after: Delay, name: str = ..., on_event: OnEvent | None = ...
    ) -> None: ...
    def __init__(
        self,
        policy: HedgePolicy | None = None,
        *,
        after: Delay | None = None,
        name: str = "hedge",
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a hedge, anywhere: also before Trio runs.

        Args:
            policy: when another attempt is begun.
            after: instead of a policy, if its other settings are to be the defaults: the delay.
            name: what events, notes and pictures call it.
            on_event: is told `HedgeStarted`, `HedgeWon`, `AttemptFailed`, `GaveUp` and `RuleFailed`.

        Raises:
            ValueError: *after* makes no sense.
            TypeError: *name* is no string, or there is not exactly one of *policy* and *after*.
        """
        named("Hedge", name)
        self.name = name
        if policy is None and after is not None:
            policy = HedgePolicy(after=after)
        elif policy is None or after is not None:
            raise TypeError("Hedge: give either after= or a HedgePolicy")
        self._state = HedgeState(name, policy, on_event, owner=self)

    @property
    def policy(self) -> HedgePolicy:
        """When another attempt is begun."""
        return self._state.policy

    def statistics(self) -> HedgeStatistics:
        """What happened since the run of Trio began. Not a checkpoint."""
        return self._state.statistics()

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Return what ``await fn(*args)`` returns, in the first attempt that ends well. Always a checkpoint.

        Args:
            fn: an async function.
            args: its arguments. For keyword arguments use ``@hedge`` or ``functools.partial``.

        Raises:
            GuardInUseError: the hedge is in use under another run of Trio.
            ValueError: its budget is in use with other settings.

        What *fn* raises in the attempt that decides is raised itself.
        """
        plan = FAULTS.get()
        if plan is None:
            return await self.attempts(lambda _: fn(*args))
        return await self.attempts(lambda _: behind(plan, self.name, fn, args))

    async def attempts(self, work: Callable[[int], Awaitable[Value]], /) -> Value:
        """As `call`, of ``await work(number)``, where *number* says which attempt it is, from 1."""
        return await self._decide(work, None)

    async def attempts_of_step(
        self, work: Callable[[int], Awaitable[Value]], before: int, /
    ) -> Value:
        """As `attempts`, for the engine: a round of a visit that has made so many attempts *before*; numbers go on from there.

        Events say that the attempts are the step's own.
        """
        return await self._decide(work, before)

    async def _decide(
        self, work: Callable[[int], Awaitable[Value]], before: int | None
    ) -> Value:
        await checkpoint_if_cancelled()
        state = self._state
        course = state.enter(before)
        bout = Bout(state, course, work)
        try:
            async with trio.open_nursery() as nursery:
                await bout.run(nursery)
            bout.take_note()
            error = state.conclude(course)
            if error is not None:
                raise error
            return bout.values[course.winner]
        finally:
            state.inside -= 1
            course.forget()
            error = None  # which keeps this frame, which would keep it
