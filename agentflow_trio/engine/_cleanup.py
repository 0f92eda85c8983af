"""Closing what a step opened: last in, first out, in the step's own task, within the run's grace.

Layer: engine. Rules: every cleanup is called, whatever the others do, shielded from cancellation.
While a run is being cancelled all its cleanups share one budget; otherwise each has the whole grace.
One that overruns is reported, never waited for in silence.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import CleanupOverrunError
from ..types import Phase
from ._frames import places

if TYPE_CHECKING:
    from ._live import Strand

__all__ = ["WATCH", "Cleanup", "close_attempt", "close_visit"]

WATCH: Final = "agentflow cleanup watch"
"""The name of the task that looks on while something is closed."""


# attrs would take 0.3 ms to make it
@final
class Cleanup:
    """Something to be closed.

    Attributes:
        phase: the phase it was opened in; what ``prep`` opened lives as long as the visit.
        what: for reports.
        close: called with the error that ends the phase, if any.
    """

    __slots__ = ("close", "phase", "what")

    def __init__(
        self,
        phase: Phase,
        what: str,
        close: Callable[[BaseException | None], Awaitable[object]],
    ) -> None:
        self.phase: Phase = phase
        self.what: str = what
        self.close: Callable[[BaseException | None], Awaitable[object]] = close


async def close_attempt(
    strand: Strand, error: BaseException | None = None
) -> list[BaseException]:
    """Close what exec opened; return what that raised."""
    return await _close(strand, error, keep="prep")


async def close_visit(
    strand: Strand, error: BaseException | None = None
) -> list[BaseException]:
    """Close everything the visit opened; return what that raised."""
    return await _close(strand, error, keep=None)


async def _close(
    strand: Strand, error: BaseException | None, *, keep: Phase | None
) -> list[BaseException]:
    failures, phase = list[BaseException](), strand.phase
    while strand.cleanups and strand.cleanups[-1].phase != keep:
        *left, last = strand.cleanups
        strand.cleanups, strand.phase = tuple(left), "cleanup"
        failures += await _shielded(strand, last, error)
    strand.phase = phase
    return failures


async def _shielded(
    strand: Strand, cleanup: Cleanup, error: BaseException | None
) -> list[BaseException]:
    """Close one thing and return what went wrong: what it raised, and that it overran."""
    run, cancelled = strand.run, strand.is_cancelled()
    begun, deadline = run.clock(), strand.cleanup_deadline(cancelled=cancelled)
    scope = trio.CancelScope(shield=True)
    overrun = _Overrun(strand, cleanup, scope, deadline)
    failures = list[BaseException]()
    try:
        with scope:
            await (overrun.watched if cancelled or run.bus is not None else overrun.alone)(
                error
            )
    # the others must be closed too; the caller raises it
    except BaseException as failure:  # noqa: ASYNC103, BLE001
        if failure is not error:
            failures.append(failure)
    if overrun.error is not None or run.clock() >= deadline > begun:
        failures.append(overrun.told())
    return failures


@final
class _Overrun:
    """One closing with a deadline, and the report that it was not kept.

    Attributes:
        error: the report, once it was made.
    """

    def __init__(
        self, strand: Strand, cleanup: Cleanup, scope: trio.CancelScope, deadline: float
    ) -> None:
        self._strand = strand
        self._cleanup = cleanup
        self._scope = scope
        self._deadline = deadline
        self.error: CleanupOverrunError | None = None

    def told(self, stack: Iterable[str] = ()) -> CleanupOverrunError:
        """The error that reports it; the first call is an event too."""
        if self.error is None:
            run, path, what = (
                self._strand.run,
                self._strand.trail.here().path,
                self._cleanup.what,
            )
            grace, where = run.settings.cleanup_grace, tuple(stack)
            self.error = CleanupOverrunError(path=path, callback=what, grace=grace, stack=where)
            if run.bus is not None:
                run.bus.cleanup_overran(path, what, grace, where)
        return self.error

    async def alone(self, error: BaseException | None) -> None:
        """Close it with nobody looking on; if it is cut off, its own traceback says where it stood."""
        self._scope.deadline = self._deadline
        try:
            await self._cleanup.close(error)
        except BaseException as failure:
            if self._scope.cancel_called:
                self.told(places(traceback.walk_tb(failure.__traceback__)))
            raise

    async def watched(self, error: BaseException | None) -> None:
        """Close it with somebody looking on, who speaks when the grace is over, even if it never ends."""
        raised: BaseException | None = None

        async def watch() -> None:
            await trio.sleep_until(self._deadline)
            self.told(places(self._strand.task.iter_await_frames()))
            self._scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, name=WATCH)
            try:
                await self._cleanup.close(error)
            # raised below, outside the nursery, so that it is not grouped
            except BaseException as failure:  # noqa: ASYNC103, BLE001
                raised = failure
            nursery.cancel_scope.cancel()
        if raised is not None:
            raise raised
