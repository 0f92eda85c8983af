"""The handle of a started run: ask for its result, its events, its streams, or cancel it.

Layer: engine. Rule: it is what users hold, so it has nothing that is only for the engine; that is `Execution`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

import attrs
import trio

from ..errors import (
    AbandonedThread,
    CleanupOverrunError,
    CutOff,
    RunCancelledError,
    SelfWaitError,
    is_failed,
)
from ..types import RunResult, Stream
from ._execution import Execution
from ._reach import Ending
from ._streams import StreamReader
from ._subscription import Subscription, WhenFull
from ._threads import abandoned_threads
from ._trail import is_within

if TYPE_CHECKING:
    from ._snapshot import RunSnapshot

__all__ = ["CancelReport", "Run"]

State = TypeVar("State")
Value = TypeVar("Value")


@final
@attrs.frozen
class CancelReport:
    """What cancelling a run cut off. Made when everything had ended.

    Attributes:
        reason: what the first caller of ``cancel`` said.
        cut_off: the steps that were running, outermost first; empty if the run had ended already.
        overruns: cleanups that used up the grace.
        failures: what failed while the run unwound, in the order it arose.
        duration: seconds from the request to the end.
        abandoned: threads that the run had abandoned and that still work now.
    """

    reason: str
    cut_off: tuple[CutOff, ...]
    overruns: tuple[CleanupOverrunError, ...]
    failures: tuple[Exception, ...]
    duration: float
    abandoned: tuple[AbandonedThread, ...] = ()


@final
class Run(Generic[State]):
    """The handle of a started run; get one with ``async with engine.start(flow, state) as run:``."""

    def __init__(self, execution: Execution[State], /) -> None:
        self._execution = execution

    @property
    def run_id(self) -> str:
        """The id given, or a UUID."""
        return self._execution.run_id

    @property
    def state(self) -> State:
        """A fork of the state as the last finished step left it; while a nested flow runs, as that began."""
        return self._execution.state

    async def result(self) -> RunResult[State]:
        """Wait for the end and return the result. Always a checkpoint.

        Raises:
            FlowFailedError: everything that failed.
            RunCancelledError: it was cancelled through this handle.
            SelfWaitError: called from inside this very run.
        """
        self._refuse_inside()
        await self._execution.wait()
        return self._execution.outcome()

    def events(
        self,
        *,
        after: int | None = None,
        when_full: WhenFull = "drop_oldest",
        pace: bool = False,
    ) -> Subscription:
        """Read the run's events as they happen: ``async for event in run.events():``. Begins now; ends with the run.

        Args:
            after: replay what came after this number first, as far as the last 1,000 events go (-1: from the beginning).
            when_full: what happens when 1,000 events wait to be read: the oldest is dropped and counted in ``missed``, or
                reading ends with LaggedError.
            pace: let the run wait at step boundaries while more than 500 events wait to be read.
        """
        if self._execution.live.bus is None:
            raise RuntimeError("only runs made with engine.start() keep events")
        return self._execution.live.bus.subscribe(after=after, when_full=when_full, pace=pace)

    def stream(self, stream: Stream[Value], /) -> StreamReader[Value]:
        """Read what steps emit on *stream* from now on: ``async for token in run.stream(TOKENS):``. Ends with the run."""
        if self._execution.reach.streams is None:
            raise RuntimeError("only runs made with engine.start() have streams")
        return self._execution.reach.streams.read(stream)

    def snapshot(self) -> RunSnapshot:
        """What goes on in the run now, as a tree; see `Engine.snapshot`. Not a checkpoint.

        Raises:
            RuntimeError: called outside the loop's thread; from a thread: ``trio.from_thread.run_sync(run.snapshot)``.
        """
        return self._execution.snapshot()

    def request_cancel(self, reason: str, /, *, at: str | None = None) -> None:
        """Ask the run to stop, or one branch or item of it, and do not wait. Not a checkpoint. The first reason counts.

        Args:
            reason: for the errors and events that tell of it.
            at: the path of a branch of ``parallel`` or ``race`` (``digest/all/news``) or of an item of ``each`` or
                ``batch`` that is worked on (``digest/condense[17]``). The others go on: a branch of ``parallel`` is left
                out, one of ``race`` has lost, an item has failed.

        Raises:
            UnknownBranchError: no branch or item is going on there.
        """
        if at is None:
            self._execution.request_cancel(reason)
        else:
            self._end_part(reason, at)

    async def cancel(self, reason: str, /, *, at: str | None = None) -> CancelReport:
        """Stop the run, wait until everything has ended, and tell what was cut off. Always a checkpoint.

        Args:
            reason: for the errors and events that tell of it.
            at: the path of a branch or item that is to be stopped alone, as for `request_cancel`; the report is about that.

        Raises:
            SelfWaitError: called from inside this very run, or that branch of it; use `request_cancel` there.
            UnknownBranchError: no branch or item is going on there.
        """
        if at is not None:
            return await self._cancel_part(reason, at)
        self._refuse_inside()
        self._execution.request_cancel(reason)
        await self._execution.wait()
        return self._report()

    def _end_part(self, reason: str, path: str) -> Ending:
        return self._execution.reach.end(
            path, self._execution.live.veil(reason), self._execution.live.clock()
        )

    async def _cancel_part(self, reason: str, path: str) -> CancelReport:
        for strand in self._execution.around():
            if strand.trail.part == path:
                raise SelfWaitError(run_id=f"{self.run_id} at {path}")
        ending = self._end_part(reason, path)
        await trio.lowlevel.checkpoint()
        await ending.over.wait()
        return CancelReport(
            reason=ending.reason,
            cut_off=ending.cut_off,
            overruns=ending.overruns,
            failures=ending.failures,
            duration=ending.ended - ending.requested,
            abandoned=tuple(
                one
                for one in abandoned_threads(self._execution.live)
                if is_within(one.path, path)
            ),
        )

    def _report(self) -> CancelReport:
        run = self._execution
        asked = run.reason is not None
        leaves = list(run.failure.leaves()) if is_failed(run.failure) else []
        return CancelReport(
            reason=run.reason or "",
            cut_off=run.live.cut_off if asked else (),
            overruns=tuple(leaf for leaf in leaves if isinstance(leaf, CleanupOverrunError)),
            failures=tuple(leaf for leaf in leaves if not isinstance(leaf, RunCancelledError)),
            duration=run.ended - run.requested if asked else 0.0,
            abandoned=abandoned_threads(run.live),
        )

    def _refuse_inside(self) -> None:
        if self._execution.contains_caller():
            raise SelfWaitError(run_id=self.run_id)
