"""SingleFlight: those who ask for the same thing at the same time share one load of it.

Layer: robustness. Rules: nothing is kept; entering is always a cancellation point; keys are told to nobody, for they may
be secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar, final

import attrs
from trio.lowlevel import (
    checkpoint_if_cancelled,
    current_root_task,
    enable_ki_protection,
    in_trio_run,
)

from ._bounds import named
from ._events import OnEvent
from ._guard import Home, Listener
from ._loading import Loading

__all__ = ["SingleFlight", "SingleFlightStatistics"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@final
@attrs.frozen(kw_only=True)
class SingleFlightStatistics:
    """How things stand.

    Attributes:
        running: how many loads go on.
        waiting: how many wait for a load that another task makes.
        joined: how many did since the start.
        loaded: how many loads ended well.
        failed: how many failed.
        cancelled: how many were cut off because the one who made them was cancelled.
    """

    running: int
    waiting: int
    joined: int
    loaded: int
    failed: int
    cancelled: int


@final
class SingleFlight(Generic[Key, Value]):
    """Shares a load among all who ask for the same key while it goes on: ``await prices.get("ACME")``.

    Who comes first loads, in its own task; who comes meanwhile waits, and gets the very same value, which is not copied. If
    the one who loads is cancelled, the one who has waited longest loads anew; who waits may be cancelled without anybody
    noticing. Nothing is kept: who comes after the load has ended loads again.

    Attributes:
        name: what events and errors call it.
    """

    __slots__ = ("_home", "_listener", "_load", "_loading", "name")

    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value]],
        *,
        name: str = "single_flight",
        on_event: OnEvent | None = None,
    ) -> None:
        """Make one, here or anywhere: it needs no running loop.

        Args:
            load: makes the value of a key, which must be hashable.
            name: what events and errors call it.
            on_event: a plain function that is told every event of it.

        Raises:
            TypeError: *load* cannot be called, or *name* is no string.
        """
        named("SingleFlight", name)
        if not callable(load):
            raise TypeError(f"SingleFlight: load must be a function, not {load!r}")
        self.name: str = name
        self._load = load
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._start_blank()

    def _start_blank(self) -> None:
        self._listener.start_anew()
        self._loading: Loading[Key, Value] = Loading(self.name, self._load, self._listener)

    def _settle(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self):
            self._start_blank()

    @enable_ki_protection
    async def get(self, key: Key, /) -> Value:
        """The value of *key*, loaded now or being loaded. As much of a checkpoint as the load; always a cancellation point.

        Who waits when the load ends gets its result, also if it is cancelled at the same instant; who is cancelled before
        that gets nothing, and has waited for nothing.

        Raises:
            LoadFailedError: another task loaded, and failed; the cause is its error. Each who waited gets an error of its own.
            GuardReentryError: the load of this key asked for it, so that it would wait for itself.
            GuardInUseError: it is in use under another run of Trio.
            Exception: what the load raised, in the task that loaded.
        """
        await checkpoint_if_cancelled()
        self._settle()
        return await self._loading.get(key)

    def invalidate(self, key: Key, /) -> None:
        """Let nobody who comes from now on share a load of *key* that goes on, for it may be of the past. Not a checkpoint.

        Those who wait already are answered.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        self._settle()
        self._loading.core.invalidate(key)

    def statistics(self) -> SingleFlightStatistics:
        """How things stand. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._settle()
        core = self._loading.core
        return SingleFlightStatistics(
            running=len(core.running), waiting=core.waiting, joined=core.joined, **core.ended
        )
