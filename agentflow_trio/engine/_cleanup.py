"""Closing what a step opened: last in, first out, in the step's own task, within the run's grace.

Layer: engine. Rules: every cleanup is called, whatever the others do, shielded from cancellation.
While a run is being cancelled all its cleanups share one budget; otherwise each has the whole grace.
One that overruns is reported, never waited for in silence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, final

import attrs
import trio

from ..errors import CleanupOverrunError
from ..events import CleanupOverrun
from ..types import Phase

if TYPE_CHECKING:
    from ._live import Strand

__all__ = ["Cleanup", "close_attempt", "close_visit"]


@final
@attrs.frozen(eq=False)
class Cleanup:
    """Something to be closed.

    Attributes:
        phase: the phase it was opened in; what ``prep`` opened lives as long as the visit.
        what: for reports.
        close: called with the error that ends the phase, if any.
    """

    phase: Phase
    what: str
    close: Callable[[BaseException | None], Awaitable[object]]


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
    cleanups, failures, phase = strand.cleanups, list[BaseException](), strand.phase
    while cleanups and cleanups[-1].phase != keep:
        strand.phase = "cleanup"
        failures += await _shielded(strand, cleanups.pop(), error)
    strand.phase = phase
    return failures


async def _shielded(
    strand: Strand, cleanup: Cleanup, error: BaseException | None
) -> list[BaseException]:
    """Close one thing and return what went wrong: what it raised, and that it overran."""
    run, cancelled = strand.run, strand.is_cancelled()
    deadline = run.cleanup_deadline(cancelled=cancelled)
    failures, stack = list[BaseException](), list[str]()
    scope = trio.CancelScope(shield=True)
    try:
        with scope:
            if cancelled or run.bus is not None:
                await _watched(strand, cleanup, error, scope, deadline, stack)
            else:
                scope.deadline = deadline
                await cleanup.close(error)
    except BaseException as failure:  # noqa: ASYNC103, BLE001 - the others must be closed too; the caller raises it
        if failure is not error:
            failures.append(failure)
    if scope.cancel_called:
        path, grace = strand.trail.here().path, run.settings.cleanup_grace
        overrun = CleanupOverrunError(
            path=path, callback=cleanup.what, grace=grace, stack=tuple(stack)
        )
        failures.append(overrun)
    return failures


async def _watched(
    strand: Strand,
    cleanup: Cleanup,
    error: BaseException | None,
    scope: trio.CancelScope,
    deadline: float,
    stack: list[str],
) -> None:
    """Close it with somebody looking on, who says where it stands when the grace is over, even if it never ends."""
    raised: BaseException | None = None

    async def watch() -> None:
        await trio.sleep_until(deadline)
        stack.extend(_where(strand.task))
        scope.cancel()
        if strand.run.bus is not None:
            strand.run.bus.emit(
                CleanupOverrun,
                strand.trail.here().path,
                callback=cleanup.what,
                grace=strand.run.settings.cleanup_grace,
                stack=tuple(stack),
            )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, name="agentflow cleanup watch")
        try:
            await cleanup.close(error)
        # raised below, outside the nursery, so that it is not grouped
        except BaseException as failure:  # noqa: ASYNC103, BLE001
            raised = failure
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


def _where(task: trio.lowlevel.Task) -> Iterator[str]:
    """Where *task* is waiting, outermost first; frames of this package and of Trio are left out."""
    for frame, line in task.iter_await_frames():
        filename = frame.f_code.co_filename
        if not filename.startswith((_OURS, _TRIO)):
            yield f"{frame.f_code.co_name} ({filename}:{line})"


_OURS = __file__.rpartition("/")[0]
_TRIO = trio.__file__.rpartition("/")[0]
