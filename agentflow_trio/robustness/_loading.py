"""Loading each key once at a time for all who ask for it.

Layer: robustness, the works of SingleFlight and TTLCache. Rules: the load runs in the task of one who asks, and belongs to
it: with its context, its cancel scopes, its deadline; the others sleep. Who wakes them has decided what for, so that
whatever happens to the one who loads, the others have an answer, or one of them has begun anew.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar, final

import outcome
import trio
from trio.lowlevel import (
    Abort,
    Task,
    current_task,
    disable_ki_protection,
    reschedule,
    wait_task_rescheduled,
)

from ..errors import GuardReentryError, LoadFailedError, text_of
from ._events import CacheHit, FallbackUsed, LoadEnded
from ._fault_point import FAULTS, behind
from ._flight_core import Ended, Flight, FlightCore
from ._guard import Listener, TaskPermits

__all__ = ["Loaded", "Loading"]

Key = TypeVar("Key")
Value = TypeVar("Value")

ASKED_ITSELF: Final = "loading a key asks for the same key, itself or through others; it would wait for itself: load it without asking"


@final
class Loaded(Generic[Value]):
    """What a load came to. Boxed: a value may be None, or an error."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


@final
class Loading(Generic[Key, Value]):
    """Loads keys. Its callers must be protected from KeyboardInterrupt, and have a checkpoint for who is cancelled.

    Attributes:
        core: the rules and how things stand.
    """

    __slots__ = ("_guard", "_keep", "_leading", "_listener", "_load", "_rescue", "core")

    def __init__(
        self,
        guard: str,
        load: Callable[[Key], Awaitable[Value]],
        listener: Listener,
        keep: Callable[[Key, Value], object] | None = None,
        rescue: Callable[[Key], Loaded[Value] | None] | None = None,
    ) -> None:
        """*keep* is told what was loaded, unless that became invalid meanwhile; *rescue* what stands in if that fails."""
        self._guard = guard
        self._load = load
        self._listener = listener
        self._keep = keep
        self._rescue = rescue
        self._leading: TaskPermits[Flight[Key, Task]] = TaskPermits(guard)
        self.core: FlightCore[Key, Task] = FlightCore()

    async def get(self, key: Key) -> Value:
        """Load *key*, or wait for who does. A checkpoint, unless it loads and the load is none."""
        flight = self.core.flights.get(key)
        within = self._leading.around_caller()
        if flight is not None:
            return await self._join(flight, within)
        return await self._lead(self.core.begin(key, trio.current_time(), within))

    # ------------------------------------------------------------ who waits

    async def _join(self, flight: Flight[Key, Task], within: Flight[Key, Task] | None) -> Value:
        core, task = self.core, current_task()
        if within is not None and core.needs(flight, within):
            raise GuardReentryError(guard=self._guard, reason=ASKED_ITSELF)
        # Told before, for whatever a listener does: from the next line on, this task must sleep.
        if self._listener.on:
            now = trio.current_time()
            self._listener.tell(CacheHit(guard=self._guard, timestamp=now, source="joined"))
        core.join(flight, task, within)

        def withdraw(_: object) -> Abort:
            core.withdraw(flight, task)
            return Abort.SUCCEEDED

        answer: Loaded[Value] | Exception | None = await wait_task_rescheduled(withdraw)
        if answer is None:
            return await self._lead(flight)
        if isinstance(answer, Exception):
            raise LoadFailedError(guard=self._guard) from answer
        return answer.value

    # ------------------------------------------------------------ who loads

    async def _lead(self, flight: Flight[Key, Task]) -> Value:
        self._leading.push(flight)
        try:
            value = await _call(self._guard, self._load, flight.key)
        except Exception as error:
            stand_in = self._failed(flight, error)
            if stand_in is None:
                raise
            return stand_in.value  # noqa: ASYNC910 - `get` says what is a checkpoint
        except BaseException:
            self._hand_on(flight)
            raise
        finally:
            self._leading.pop()
        waited = self._wake(flight, "loaded", Loaded(value))
        # Before anybody is told, who may declare it invalid.
        if flight.current and self._keep is not None:
            self._keep(flight.key, value)
        self._tell(flight.begun, "loaded", waited)
        return value

    def _failed(self, flight: Flight[Key, Task], error: Exception) -> Loaded[Value] | None:
        """End *flight*, which failed; what stands in for its value, if anything."""
        # Failing may be how the cleanup of a cancelled load ends: then the others try for themselves.
        if trio.current_effective_deadline() == -math.inf:
            self._hand_on(flight)
            return None
        stand_in = None if self._rescue is None else self._rescue(flight.key)
        waited = self._wake(flight, "failed", stand_in or error)
        self._tell(flight.begun, "failed", waited)
        if stand_in is not None and self._listener.on:
            self._listener.tell(
                FallbackUsed(
                    guard=self._guard,
                    timestamp=trio.current_time(),
                    error=type(error).__name__,
                    message=text_of(error),
                )
            )
        return stand_in

    def _wake(
        self, flight: Flight[Key, Task], ended: Ended, answer: Loaded[Value] | Exception
    ) -> int:
        """End *flight*; how many got the answer besides its leader."""
        waiting = self.core.end(flight, ended)
        for task in waiting:
            reschedule(task, outcome.Value(answer))
        return len(waiting)

    def _hand_on(self, flight: Flight[Key, Task]) -> None:
        begun, waiting = flight.begun, len(flight.waiting)
        heir = self.core.hand_on(flight, trio.current_time())
        if heir is not None:
            reschedule(heir)
        self._tell(begun, "cancelled", waiting)

    def _tell(self, begun: float, ended: Ended, waited: int) -> None:
        if not self._listener.on:
            return
        now = trio.current_time()
        self._listener.tell(
            LoadEnded(
                guard=self._guard,
                timestamp=now,
                duration_ms=(now - begun) * 1000.0,
                outcome=ended,
                callers=1 + waited,
            )
        )


@disable_ki_protection
async def _call(guard: str, load: Callable[[Key], Awaitable[Value]], key: Key) -> Value:
    """``await load(key)``, which Ctrl-C may interrupt as if nobody had been around it."""
    plan = FAULTS.get()
    return await (load(key) if plan is None else behind(plan, guard, load, (key,)))
