"""Blocking calls in threads, so many at once for an engine, and what becomes of those that are abandoned.

Layer: engine. Rules: a thread cannot be stopped, so cancellation waits for it; a step may have it abandoned instead, and
then it keeps its place, is told when it ends, and is named wherever something ends that it outlives. Nobody waits for it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, final

import trio

from ..errors import AbandonedThread, AbandonedThreadWarning
from ._failures import note, what_failed
from ._frames import name_of
from ._live import LiveRun

__all__ = ["Hop", "Threads", "abandoned_threads", "in_thread"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class Threads:
    """The threads of one engine.

    Attributes:
        limiter: what each waits for, first come, first served.
        lost: how many were abandoned in all.
    """

    def __init__(self, most: int) -> None:
        self.limiter: Final = trio.CapacityLimiter(most)
        self.lost: int = 0

    def abandoned(self) -> tuple[AbandonedThread, ...]:
        """Those that were abandoned and are still at work."""
        return tuple(hop.record for hop in _at_work() if hop.run.settings.threads is self)

    def tell_left(self, error: BaseException | None) -> None:
        """The engine is left, by *error* if there is one: say which threads outlive it."""
        left = self.abandoned()
        if not left:
            return
        text = (
            f"the engine was left while {len(left)} abandoned thread(s) still work:"
            + "".join(f"\n  {one}" for one in left)
        )
        if error is None:
            warnings.warn(text, AbandonedThreadWarning, stacklevel=3)
            return
        note(error, text)
        with contextlib.suppress(AbandonedThreadWarning):  # it must not replace the error
            warnings.warn(text, AbandonedThreadWarning, stacklevel=3)


def abandoned_threads(run: LiveRun | None = None) -> tuple[AbandonedThread, ...]:
    """The abandoned threads of *run*, or of everything in this run of Trio, that still work, oldest first."""
    return tuple(hop.record for hop in _at_work() if run is None or hop.run is run)


async def in_thread(
    run: LiveRun,
    path: Callable[[], str],
    fn: Callable[[*PosArgs], Value],
    args: tuple[*PosArgs],
    *,
    abandon: bool,
) -> Value:
    """Call *fn* in a thread, within the bounds of the run's engine. Always a checkpoint."""
    threads = run.settings.threads
    limiter = threads.limiter if threads else trio.to_thread.current_default_thread_limiter()
    if not abandon:
        return await trio.to_thread.run_sync(fn, *args, limiter=limiter)
    hop = Hop(run, path(), name_of(fn), limiter)

    def work() -> Value:
        try:
            return fn(*args)
        except BaseException as error:
            hop.error = what_failed(error)
            raise
        finally:
            hop.end_soon()

    work.__name__ = work.__qualname__ = name_of(fn)  # Trio calls the thread by it
    await limiter.acquire_on_behalf_of(hop)
    abandoned = False
    try:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=hop.began)
    except trio.Cancelled:
        abandoned = hop.abandon()
        raise
    finally:
        if not abandoned:
            limiter.release_on_behalf_of(hop)


@final
class Hop:
    """One call that may be abandoned.

    Attributes:
        function: what reports call it.
        began: lent to Trio, which holds it as long as the thread is at work.
        error: what the function raised.
    """

    def __init__(
        self, run: LiveRun, path: str, function: str, limiter: trio.CapacityLimiter
    ) -> None:
        self.run = run
        self.began: Final = trio.CapacityLimiter(1)
        self.error: BaseException | None = None
        self._path, self._limiter = path, limiter
        self.function: Final = function
        self._started = run.clock()
        self._token = trio.lowlevel.current_trio_token()
        self._record: AbandonedThread | None = None
        self._over = False

    @property
    def record(self) -> AbandonedThread:
        """How reports name it, once it is abandoned."""
        if self._record is None:
            self._record = AbandonedThread(
                self.run.run_id, self._path, self.function, self.run.clock()
            )
        return self._record

    def abandon(self) -> bool:
        """The step is cancelled and goes on without it. Whether there is anything to leave: it had begun."""
        if not self.began.borrowed_tokens and not self._over:
            return False
        threads, bus, record = self.run.settings.threads, self.run.bus, self.record
        _at_work().append(self)
        if bus is not None:
            bus.thread_abandoned(self._path, self.function)
        if threads is not None:
            threads.lost += 1
        else:  # nobody will say so later
            with contextlib.suppress(AbandonedThreadWarning):  # it must not replace Cancelled
                warnings.warn(
                    f"a thread works on: {record}", AbandonedThreadWarning, stacklevel=4
                )
        self._settle()
        return True

    def end_soon(self) -> None:
        """In the thread: tell Trio's that the function is over."""
        with contextlib.suppress(trio.RunFinishedError):  # nobody is left to be told
            self._token.run_sync_soon(self._end)

    def _end(self) -> None:
        self._over = True
        self._settle()

    def _settle(self) -> None:
        """Once it is both abandoned and over, in whatever order, nobody waits for it: this is the place to say so."""
        if not self._over or self._record is None:
            return
        _at_work().remove(self)
        self._limiter.release_on_behalf_of(self)
        if self.run.bus is not None:
            self.run.bus.thread_ended(self._path, self._started, self.function, self.error)
        self.error = None  # or its frames would live as long as whoever keeps the record


_ABANDONED: Final[trio.lowlevel.RunVar[list[Hop]]] = trio.lowlevel.RunVar("agentflow_trio")


def _at_work() -> list[Hop]:
    try:
        return _ABANDONED.get()
    except LookupError:
        hops = list[Hop]()
        _ABANDONED.set(hops)
        return hops
