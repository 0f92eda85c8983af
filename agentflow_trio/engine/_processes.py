"""Calls that keep a core busy, in processes of their own: so many at once for an engine, which ends them.

Layer: engine. Rules: what is called and what comes back is copied by pickle; cancellation kills the process. In a
simulation the call is made in place, on copies as well: it takes no virtual time and always gives the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple, final

import trio

from ..errors import ExtraMissingError, NotPicklableError, WorkerDiedError
from ..ports import Simulated
from ._failures import note
from ._frames import name_of

if TYPE_CHECKING:
    from ._live import LiveRun
    from .cpu import Workers

__all__ = ["Processes", "in_process"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


async def in_process(
    run: LiveRun, fn: Callable[[*PosArgs], Value], args: tuple[*PosArgs]
) -> Value:
    """Call *fn* in a process of the run's engine; without one, in a process for this call. Always a checkpoint."""
    processes = run.settings.processes
    if processes is not None:
        return await processes.call(fn, args)
    alone = Processes(None, run.settings.cleanup_grace, _limiter())
    try:
        result = await alone.call(fn, args)
    except BaseException as error:
        await alone.close(error)  # noqa: ASYNC102 - shielded, and bounded by the grace
        raise
    await alone.close(None)
    return result


_LIMITER: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar(
    "agentflow_trio"
)


def _limiter() -> trio.CapacityLimiter:
    """What all calls without an engine wait for."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_cores())
        _LIMITER.set(limiter)
        return limiter


def _cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@final
class Processes:
    """The worker processes of one engine; or, without one, of one call.

    Attributes:
        limiter: what each call waits for, first come, first served.
    """

    def __init__(
        self, most: int | None, grace: float, limiter: trio.CapacityLimiter | None = None
    ) -> None:
        self.limiter: Final = limiter or trio.CapacityLimiter(most or _cores())
        self._grace = grace
        self._workers: Workers | None = None

    async def call(self, fn: Callable[[*PosArgs], Value], args: tuple[*PosArgs]) -> Value:
        """Call *fn* in a process. Always a checkpoint."""
        from ._pickled import call_copied, not_picklable  # noqa: PLC0415 - pickle takes 2 ms

        try:
            if isinstance(trio.lowlevel.current_clock(), Simulated):
                await trio.lowlevel.checkpoint()
                return call_copied(fn, args)
            if self._workers is None:
                self._workers = _workers(self._grace)
            return await self._workers.call(name_of(fn), self.limiter, fn, args)
        except Exception as error:
            what = not_picklable(fn, args, error)
            if what is None:
                raise
            reason = f"{type(error).__name__}: {error}"
            raise NotPicklableError(function=name_of(fn), what=what, reason=reason) from error

    async def close(self, error: BaseException | None) -> None:
        """End the workers, over *error* if there is one. A checkpoint if there are any; cannot be cancelled.

        Raises:
            WorkerDiedError: one had to be killed. A note of *error* says so if there is one.
        """
        workers, self._workers = self._workers, None
        if workers is None:
            return
        try:
            with trio.CancelScope(shield=True):
                await workers.close()
        except WorkerDiedError as died:
            if error is None:
                raise
            note(error, f"and {died}")


def _workers(grace: float) -> Workers:
    try:
        from .cpu import Workers  # noqa: PLC0415 - an extra, and 30 ms
    except ModuleNotFoundError as missing:
        if missing.name != "trio_parallel":
            raise
        raise ExtraMissingError(what="to_process()", extra="cpu") from missing
    return Workers(grace)
