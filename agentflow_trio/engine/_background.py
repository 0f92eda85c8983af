"""Observers with a task of their own: begun when an engine opens, cancelled when its last run has ended.

Layer: engine. Rules: what they tell belongs to no run, and reaches all observers under the same rules as events of runs.
One that raises is reported once, and harms nobody. Shielded: however the engine is left, they see its runs end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

import attrs
import trio

from ..events import ExecutionEvent, ObserverFailed
from ..ports import BackgroundObserver, Simulated
from ._folds import Folds, said
from ._seats import Seat

__all__ = ["Background"]

_MATTERS: Final = 3600.0
"""In a simulation, for how many seconds what an observer sees may have it do something, unless it says otherwise itself."""


@final
class Background:
    """The tasks of an engine's observers."""

    __slots__ = ("_clock", "_folds", "_observers", "_scopes", "_veil")

    def __init__(
        self,
        observers: Sequence[BackgroundObserver],
        seats: Sequence[Seat],
        budget: float,
        veil: Callable[[str], str],
    ) -> None:
        self._observers = observers
        self._veil = veil
        self._clock = trio.lowlevel.current_clock().current_time
        self._folds: Folds = Folds(seats, self._clock, budget, spared=(), report=self._failed)
        self._scopes: list[trio.CancelScope] = []

    def start(self, nursery: trio.Nursery) -> None:
        """Begin their tasks in *nursery*."""
        for observer in self._observers:
            scope = trio.CancelScope(shield=True)
            self._scopes.append(scope)
            nursery.start_soon(
                self._watch, observer, scope, name=f"agentflow observer {observer.name}"
            )

    async def _watch(self, observer: BackgroundObserver, scope: trio.CancelScope) -> None:
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, Simulated):
            clock.serve(trio.lowlevel.current_task(), _MATTERS)
        try:
            with scope:
                await observer.watch(self.tell)
        except Exception as error:  # noqa: BLE001 - whatever an observer raises must not reach the engine; it is reported
            self._failed("", observer.name, said(error))

    def stop(self) -> None:
        """Cancel them."""
        for scope in self._scopes:
            scope.cancel()

    def tell(self, event: ExecutionEvent) -> None:
        """Pass *event* to all observers, redacted. Not a checkpoint; never raises."""
        if isinstance(event, ObserverFailed):
            event = attrs.evolve(event, reason=self._veil(event.reason))
        self._folds.tell(event)

    def _failed(self, path: str, observer: str, reason: str) -> None:
        self.tell(
            ObserverFailed(
                run_id="",
                seq=-1,
                path=path,
                timestamp=self._clock(),
                observer=observer,
                reason=reason,
            )
        )
