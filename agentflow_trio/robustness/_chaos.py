"""Chaos: what goes wrong out there, brought about on purpose in a program that runs.

Layer: robustness. Rules: off unless somebody turns it on; it stands in the place of what the body would do, so whoever is
around it cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, TypeVar, TypeVarTuple, final, overload

from trio.lowlevel import checkpoint_if_cancelled

from .._typing import override
from ._chaos_policy import ChaosPolicy
from ._chaos_state import ChaosState, ChaosStatistics
from ._events import OnEvent
from ._fault_point import FAULTS, behind
from ._guard import Guarding, Member
from ._verdict_core import is_async

__all__ = ["Chaos", "ChaosOutcome"]

PosArgs = TypeVarTuple("PosArgs")
Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


@final
class Chaos(Guarding):
    """Makes some bodies late, or fail in their place: ``async with chaos:``, ``call``, or last among guards.

    It does nothing until it is turned on: by `enable`, for this run of Trio, or from outside by a `Drill`, as ``agentflow
    run --chaos`` is one. What is around it meets latency and errors as if they were the body's own, so it belongs next
    to the body: inside retries, breakers and timeouts.

    Entering can be cancelled, and yields only while there is a latency, or a behaviour that does; leaving does neither.
    It belongs to the run of Trio it is used in, and is off in the next.

    Attributes:
        name: what events, drills and pictures call it.
    """

    __slots__ = ("__weakref__", "_state")

    def __init__(
        self,
        name: str,
        policy: ChaosPolicy,
        *,
        seed: int | str | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a chaos, anywhere: also before Trio runs. It is off.

        Args:
            name: what events, drills and pictures call it.
            policy: how many bodies it strikes, and with what.
            seed: what chance is derived from, together with the name. Default: the seed of the run it is used in;
                where there is none, a number drawn once per process.
            on_event: is told a `FaultInjected` for each injection, and `RuleFailed`.

        Raises:
            TypeError: *name* is no string.
            ValueError: *policy* lets nothing go wrong.
        """
        if not (policy.bounds[1] or policy.behaviour or policy.makers):
            raise ValueError(
                "Chaos: nothing would go wrong; give its policy latency=, behaviour= or errors="
            )
        self.name = name
        self._state = ChaosState(self, name, policy, seed, on_event)

    @property
    def policy(self) -> ChaosPolicy:
        """How many bodies it strikes, and with what."""
        return self._state.policy

    @property
    def rate(self) -> float | None:
        """The share of bodies that it strikes here and now; None: it is off."""
        return self._state.rate()

    def enable(self, rate: float | None = None) -> None:
        """Turn it on for this run of Trio, whatever a drill says. Not a checkpoint; needs a run of Trio.

        Args:
            rate: the share of bodies that it strikes from now on; by default that of its policy.

        Raises:
            ValueError: *rate* is not from 0 to 1; nothing was changed.
            GuardInUseError: it is in use under another run of Trio.
        """
        self._state.switch(self.policy.rate if rate is None else rate)

    def disable(self) -> None:
        """Turn it off for this run of Trio, whatever a drill says. Not a checkpoint; needs a run of Trio."""
        self._state.switch(None)

    def statistics(self) -> ChaosStatistics:
        """What happened since the run of Trio began. Not a checkpoint."""
        return self._state.statistics()

    @override
    async def __aenter__(self) -> None:
        """Let the body run, late, or not at all. A checkpoint only if there is a latency.

        Raises:
            Exception: what its policy says, in the body's place.
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        strike = self._state.meet()
        if strike is not None:
            await self._state.carry_out(strike)

    @override
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Do nothing: it has done what it does."""


@final
class _Missing:
    """No outcome was given; None is one."""


_MISSING: Final = _Missing()


@final
class ChaosOutcome(Member[Value_co]):
    """Gives some callers another result than that of the body, which is not run: ``await garbled.call(fetch, url)``.

    ``ChaosOutcome("model", "???", ChaosPolicy(rate=0.1))``, or ``by=`` a plain function that makes one for each. All else
    is as with `Chaos`; but it replaces a result, so it cannot be entered, only ``call``-ed, put last into a pipeline, or
    ``@garbled`` written above an async function.

    Attributes:
        name: what events, drills and pictures call it.
    """

    __slots__ = ("__weakref__", "_make", "_state")

    @overload
    def __init__(
        self,
        name: str,
        outcome: Value_co,
        /,
        policy: ChaosPolicy,
        *,
        seed: int | str | None = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        /,
        *,
        by: Callable[[], Value_co],
        policy: ChaosPolicy,
        seed: int | str | None = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        outcome: Value_co | _Missing = _MISSING,
        /,
        policy: ChaosPolicy | None = None,
        *,
        by: Callable[[], Value_co] | None = None,
        seed: int | str | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make one, anywhere: also before Trio runs. It is off.

        Args:
            name: what events, drills and pictures call it.
            outcome: what callers get, as it is; or instead of it
            by: a plain function that makes it.
            policy: how many calls it strikes, how late they begin, and what else is done. It has no errors.
            seed: as for `Chaos`.
            on_event: is told a `FaultInjected` for each injection, and `RuleFailed`.

        Raises:
            TypeError: *name* is no string, there is no policy, not exactly one of *outcome* and *by*, or *by* is no plain
                function.
            ValueError: the policy has errors.
        """
        self.name = name
        if isinstance(outcome, _Missing):
            make = by
        else:
            make = None if by is not None else _constantly(outcome)
        if policy is None or make is None:
            raise TypeError("ChaosOutcome: give a policy, and either an outcome or by=")
        if not _is_plain_function(make):
            raise TypeError(f"ChaosOutcome: by must be a plain function, not {make!r}")
        if policy.makers:
            raise ValueError("ChaosOutcome: errors are raised by a Chaos of their own")
        self._state = ChaosState(self, name, policy, seed, on_event)
        self._make: Callable[[], Value_co] = make

    @property
    def policy(self) -> ChaosPolicy:
        """How many calls it strikes."""
        return self._state.policy

    @property
    def rate(self) -> float | None:
        """The share of calls that it strikes here and now; None: it is off."""
        return self._state.rate()

    def enable(self, rate: float | None = None) -> None:
        """As `Chaos.enable`."""
        self._state.switch(self.policy.rate if rate is None else rate)

    def disable(self) -> None:
        """As `Chaos.disable`."""
        self._state.switch(None)

    def statistics(self) -> ChaosStatistics:
        """What happened since the run of Trio began. Not a checkpoint."""
        return self._state.statistics()

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value | Value_co:
        """Return what ``await fn(*args)`` returns, or another outcome without calling it.

        A cancellation point; a checkpoint if there is a latency, or *fn* is one.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        strike = self._state.meet()
        if strike is not None:
            await self._state.carry_out(strike)
            self._state.inject("outcome")
            return self._make()
        plan = FAULTS.get()
        return await (fn(*args) if plan is None else behind(plan, self.name, fn, args))


def _constantly(outcome: Value) -> Callable[[], Value]:
    return lambda: outcome


def _is_plain_function(value: object) -> bool:
    return callable(value) and not is_async(value)
