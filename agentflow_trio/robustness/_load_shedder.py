"""Load shedder: callers are turned away at the door while there is too much to do already.

Layer: robustness. Rules: entering can be cancelled but never yields, leaving does nothing; the load is asked for at
every entry and never remembered; who asks is let in if it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, final

import trio
from trio.lowlevel import checkpoint_if_cancelled, current_root_task, in_trio_run

from .._typing import override
from ..errors import LoadShedError
from ._bounds import Number, named
from ._events import CallRejected, OnEvent
from ._guard import Guarding, Home, Listener
from ._load_shedder_core import LoadShedderCore, LoadShedderStatistics
from ._verdict_core import check_plain

__all__ = ["LoadShedder", "load_of"]


@final
class LoadShedder(Guarding):
    """Turns callers away while there is too much to do: ``async with LoadShedder("web", load, threshold=0.9): ...``.

    A caller is shed if and only if the load is above the threshold as it enters. Who is inside is left alone, and
    nobody waits. Entering is a cancellation point that never yields; leaving is neither. Entered again inside its own
    body, it asks again. If the load cannot be told, because the function raises, callers are let in and each is told
    as a `RuleFailed` event: a broken gauge must not stop the work.

    Attributes:
        name: what events and errors call it.
        threshold: the highest load at which callers are let in.
    """

    __slots__ = ("_core", "_home", "_listener", "_load", "threshold")

    def __init__(
        self,
        name: str,
        load: Callable[[], float],
        *,
        threshold: float,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a load shedder, here or anywhere: it needs no running loop.

        Args:
            name: what events and errors call it.
            load: a plain function, quick, that tells how much there is to do, in any unit; see `load_of`.
            threshold: the highest load at which callers are let in, >= 0.
            on_event: is told a `CallRejected` for each caller that is shed.

        Raises:
            ValueError: *threshold* makes no sense.
            TypeError: *name* is no string, or *load* no plain function.
        """
        named("LoadShedder", name)
        check_plain("LoadShedder: load", load)
        Number(what="").check("LoadShedder", "threshold", threshold)
        self.name = name
        self.threshold: float = threshold
        self._load = load
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._start_blank()

    def _start_blank(self) -> None:
        self._core = LoadShedderCore(self.threshold)
        self._listener.start_anew()

    @override
    async def __aenter__(self) -> None:
        """Let the body run unless there is too much to do. A cancellation point that never yields.

        Raises:
            LoadShedError: the load is above the threshold; the body was not run.
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        # written out: calling what asks, and what settles, would be a tenth of all
        if current_root_task() is not self._home.root:
            self._move_in()
        try:
            admitted = self._core.admit(self._load())
        except Exception as wrong:  # noqa: BLE001 - a rule of the user's must not stop the work
            self._listener.complain(wrong)
            admitted = self._core.admit(None)
        if not admitted:
            self._tell_rejected()
            raise LoadShedError(guard=self.name, reason="load")

    @override
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Do nothing: who was let in is not counted out. Never waits."""

    def _move_in(self) -> None:
        if self._home.move_in(self):
            self._start_blank()

    def _tell_rejected(self) -> None:
        if self._listener.on:
            self._listener.tell(
                CallRejected(
                    guard=self.name,
                    timestamp=trio.current_time(),
                    reason="load",
                    retry_after=None,
                )
            )

    def statistics(self) -> LoadShedderStatistics:
        """Return a picture as of now. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._move_in()
        return self._core.statistics()


class _Places(Protocol):
    """What is told of places that are limited."""

    @property
    def inside(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def limit(self) -> int: ...


class _Limiting(Protocol):
    """A bulkhead or an adaptive limit."""

    def statistics(self) -> _Places: ...


def load_of(guard: _Limiting, /) -> Callable[[], float]:
    """Return a function that tells how much is asked of a `Bulkhead` or an `AdaptiveLimit`, for a `LoadShedder`.

    ``(inside + waiting) / limit``: 0.0 if it is empty, 1.0 if it is just full, 3.0 if twice as many wait as may be
    inside.
    """

    def load() -> float:
        told = guard.statistics()
        return (told.inside + told.waiting) / told.limit

    return load
