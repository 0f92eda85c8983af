"""Tasks that plain code starts in a simulation while it stands still.

Layer: testing. They live in a nursery around the program, so the program's end waits for them, its failure cancels them,
and pictures, deadlocks and cancellation know of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar, final

import outcome
import trio
from typing_extensions import override

from ..errors import RunCancelledError
from ._errors import NotEndedError
from ._faults import CALLER, Body

__all__ = ["Hall", "Spawned"]

T = TypeVar("T")


@final
class Spawned(Generic[T]):
    """A task that was started from outside; get one with ``sim.spawn(...)``. Plain code: nothing here is a checkpoint.

    Attributes:
        name: what pictures and reports call it.
        since: when it was spawned, virtual seconds.
    """

    def __init__(
        self, name: str, call: Callable[[], Awaitable[T]], now: Callable[[], float]
    ) -> None:
        """`Simulation.spawn` does this."""
        self.name: str = name
        self.since: float = now()
        self._call = call
        self._now = now
        self._scope = trio.CancelScope()
        self._came: outcome.Outcome[T] | None = None
        self._over = False

    @override
    def __repr__(self) -> str:
        return f"<Spawned {self.name!r}, {'ended' if self._over else 'alive'}>"

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, one way or another."""
        return self._over

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was cancelled."""
        return self._over and self._came is None

    @property
    def error(self) -> Exception | None:
        """What it raised, if it did."""
        came = self._came
        if isinstance(came, outcome.Error) and isinstance(came.error, Exception):
            return came.error
        return None

    @property
    def result(self) -> T:
        """What it returned.

        Raises:
            NotEndedError: it goes on.
            RunCancelledError: it was cancelled.
            Exception: it failed, with this.
        """
        if isinstance(self._came, outcome.Value):
            value: T = self._came.value
            return value
        if not self._over:
            raise NotEndedError(time=self._now())
        raise self.error or RunCancelledError(reason=f"{self.name} was told to", cut_off=())

    def cancel(self) -> None:
        """Cancel it alone; it learns of that when it goes on. Does nothing once it has ended."""
        self._scope.cancel()

    async def run(  # noqa: ASYNC910 - as much of a checkpoint as what it calls
        self, failed: Callable[[Exception], None]
    ) -> None:
        """Be the task; say what it *failed* with."""
        CALLER.set(self._scope)
        try:
            with self._scope:
                call = self._call()
                if not _is_awaitable(call):
                    raise TypeError(f"it is not async: it returned {call!r}")  # noqa: TRY301 - told as what it raises
                self._came = outcome.Value(await call)
        except Exception as error:  # noqa: BLE001 - it is told when the simulation stands still
            self._came = outcome.Error(error)
            error.add_note(f"in {self.name!r}, spawned at {self.since:.9g} s")
            failed(error)
        finally:
            self._over = True


def _is_awaitable(value: object) -> bool:
    return isinstance(value, Awaitable)


@final
class Hall:
    """Where they live.

    Attributes:
        spawned: all of them, in order.
    """

    def __init__(self) -> None:
        self.spawned: list[Spawned[Any]] = []
        self._early: list[Spawned[Any]] = []
        self._failed: list[Exception] = []
        self._start: Callable[[Spawned[Any]], None] = self._early.append

    def around(self, body: Body[T]) -> Body[T]:
        """*body* with a place for them, which is closed when they and *body* have ended."""

        async def hosting(seed: int) -> T:
            __tracebackhide__ = True
            async with trio.open_nursery() as nursery:
                self._open(nursery, copy_context())
                came: outcome.Outcome[T]
                try:
                    came = outcome.Value(await body(seed))
                # Kept, and raised outside: a nursery would put it into a group.
                except BaseException as error:  # noqa: ASYNC103, BLE001
                    came = outcome.Error(error)
                    nursery.cancel_scope.cancel()
            return came.unwrap()

        return hosting

    def spawn(self, spawned: Spawned[Any]) -> None:
        """Start it here; before the program has begun, when it begins."""
        self.spawned.append(spawned)
        self._start(spawned)

    def tell(self) -> None:
        """Raise what one of them failed with, once; the first of several, with notes of the others."""
        if self._failed:
            error, *others = self._failed
            self._failed.clear()
            for other in others:
                error.add_note(f"then {other!r} {' '.join(other.__notes__)}")
            raise error

    def _open(self, nursery: trio.Nursery, context: Context) -> None:
        def start(spawned: Spawned[Any]) -> None:
            # In the context of the program, where its faults are.
            context.run(
                lambda: nursery.start_soon(spawned.run, self._failed.append, name=spawned.name)
            )

        self._start = start
        for each in self._early:
            start(each)
