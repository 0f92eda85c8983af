"""A run that is going on: ask for its result, its events, its streams, or cancel it.

Layer: engine. Rule: whatever the run raises is kept for whoever asks; only what must end the program passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import attrs
import trio

from ..errors import (
    AbandonedThread,
    CleanupOverrunError,
    CutOff,
    FlowFailedError,
    RunCancelledError,
    SelfWaitError,
    is_failed,
)
from ..state import fork
from ..types import RunResult, Stream
from ._drain import DRAINED, Manner
from ._failures import note
from ._live import CURRENT, LiveRun, Strand
from ._reach import Ending, Reach
from ._run import execute
from ._streams import StreamReader, Streams
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

    def __init__(
        self,
        live: LiveRun,
        state: State,
        timeout: float | None,
        over: Callable[[Run[Any]], None],
        streams: Streams | None,
    ) -> None:
        self._live = live
        self._reach = live.reach = Reach(streams)
        self._state = state
        self._timeout = timeout
        self._over = over
        self._scope = trio.CancelScope()
        self._reason: str | None = None
        self._manner: Manner = "by itself"
        self._requested = self._ended = 0.0
        self._result: RunResult[State] | None = None
        self._failure: Exception | None = None
        self._done = trio.Event()
        self._asked = False
        self._waiting = 0

    @property
    def run_id(self) -> str:
        """The id given, or a UUID."""
        return self._live.run_id

    @property
    def state(self) -> State:
        """A fork of the state as the last finished step left it; while a nested flow runs, as that began."""
        if self._result is not None:
            return fork(self._result.state)
        now = self._live.state
        return fork(now if isinstance(now, type(self._state)) else self._state)

    async def result(self) -> RunResult[State]:
        """Wait for the end and return the result. Always a checkpoint.

        Raises:
            FlowFailedError: everything that failed.
            RunCancelledError: it was cancelled through this handle.
            SelfWaitError: called from inside this very run.
        """
        self._refuse_inside()
        await self._wait()
        return self.outcome()

    async def _wait(self) -> None:
        """Wait for the end as somebody who takes what came of it."""
        await trio.lowlevel.checkpoint()
        self._waiting += 1
        try:
            await self._done.wait()
        finally:
            self._waiting -= 1
        self._asked = True

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
        if self._live.bus is None:
            raise RuntimeError("only runs made with engine.start() keep events")
        return self._live.bus.subscribe(after=after, when_full=when_full, pace=pace)

    def stream(self, stream: Stream[Value], /) -> StreamReader[Value]:
        """Read what steps emit on *stream* from now on: ``async for token in run.stream(TOKENS):``. Ends with the run."""
        if self._reach.streams is None:
            raise RuntimeError("only runs made with engine.start() have streams")
        return self._reach.streams.read(stream)

    def snapshot(self) -> RunSnapshot:
        """What goes on in the run now, as a tree; see `Engine.snapshot`. Not a checkpoint.

        Raises:
            RuntimeError: called outside the loop's thread; from a thread: ``trio.from_thread.run_sync(run.snapshot)``.
        """
        from ._looking import look  # noqa: PLC0415 - only who looks need import it

        return look(self._live, self._reason, ended=self._done.is_set())

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
        if at is not None:
            self._end_part(reason, at)
        elif not self._done.is_set() and self._reason is None:
            self._reason = reason
            self._requested = self._live.clock()
            self._scope.cancel()

    def drain(self) -> None:
        """Have it end at the next boundary of each of its strands; once only. For the engine."""
        self._reach.drain(self._live, self._leave)

    def _leave(self) -> None:
        self._end("at a boundary")

    def cut_short(self) -> None:
        """The grace of a drain is over. For the engine."""
        self._end("cut off")

    def _end(self, manner: Manner) -> None:
        if not self._done.is_set() and self._reason is None:
            self._manner = manner
            self.request_cancel(DRAINED)

    def _end_part(self, reason: str, path: str) -> Ending:
        return self._reach.end(path, reason, self._live.clock())

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
        self.request_cancel(reason)
        await self._wait()
        return self._report()

    async def _cancel_part(self, reason: str, path: str) -> CancelReport:
        for strand in self._around():
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
                one for one in abandoned_threads(self._live) if is_within(one.path, path)
            ),
        )

    def _report(self) -> CancelReport:
        leaves = list(self._failure.leaves()) if is_failed(self._failure) else []
        asked = self._reason is not None
        return CancelReport(
            reason=self._reason or "",
            cut_off=self._live.cut_off if asked else (),
            overruns=tuple(leaf for leaf in leaves if isinstance(leaf, CleanupOverrunError)),
            failures=tuple(leaf for leaf in leaves if not isinstance(leaf, RunCancelledError)),
            duration=self._ended - self._requested if asked else 0.0,
            abandoned=abandoned_threads(self._live),
        )

    def _refuse_inside(self) -> None:
        if self.contains_caller():
            raise SelfWaitError(run_id=self.run_id)

    def contains_caller(self) -> bool:
        """Whether the caller is a node of this run, or something that one waits for."""
        return any(True for _ in self._around())

    def _around(self) -> Iterator[Strand]:
        """The strands of this run that the caller is inside of, innermost first."""
        strand = CURRENT.get()
        if strand is not None and not strand.contains_caller():
            return
        while strand is not None:
            if strand.run is self._live and strand.steps >= 0:
                yield strand
            strand = strand.parent or strand.run.outer

    # ---------------------------------------------------------------- for the engine

    async def drive(self) -> None:
        """Run to the end and keep what came of it; only what must end the program is raised."""
        self._reach.task = trio.lowlevel.current_task()
        if self._reach.leave is not None:  # drained before it began
            self._leave()
        try:
            with self._scope:
                self._result = await execute(
                    self._live.plan, self._state, timeout=self._timeout, live=self._live
                )
        except Exception as error:  # noqa: BLE001 - kept for whoever asks for the result
            self._failure = error
        except BaseException as error:
            reason = f"it was stopped by {type(error).__name__}"
            self._failure = RunCancelledError(reason=reason, cut_off=self._live.cut_off)
            raise
        finally:
            if self._scope.cancelled_caught:
                self._failure = self._cancelled(self._failure)
            self._ended = self._live.clock()
            self._reach.task = None
            self._done.set()
            self._over(self)

    def _cancelled(self, failure: Exception | None) -> Exception:
        """What a cancelled run raises: alone, or together with what failed while it unwound."""
        cancelled = RunCancelledError(reason=self._reason or "", cut_off=self._live.cut_off)
        if failure is None:
            return cancelled
        path = self._live.path
        group: FlowFailedError[Exception]
        group = FlowFailedError(f"flow {path!r} was cancelled and failed", [cancelled, failure])
        group.path, group.marks = path, (None, None)
        if is_failed(failure):
            group.state, group.suppressed = failure.state, failure.suppressed
        return group

    @property
    def manner(self) -> Manner:
        """How it ended, as a drain tells it."""
        return "by itself" if self._result is not None else self._manner

    @property
    def cut_off(self) -> tuple[CutOff, ...]:
        """What cancellation cut off, outermost first."""
        return self._live.cut_off

    def outcome(self) -> RunResult[State]:
        """What came of it, once it is over."""
        if self._result is None:
            raise self._failure or RunCancelledError(reason="it never began")
        return self._result

    async def leave(self, exc: BaseException | None) -> None:
        """End of the body that started it."""
        if exc is not None:
            await self._abandon(exc)
            return
        try:
            await trio.lowlevel.checkpoint()
            await self._done.wait()
        except (
            BaseException
        ) as cut:  # cancelled while waiting: the run must not outlive its body
            await self._abandon(cut)  # noqa: ASYNC102 - bounded by the run's cleanup_grace
            raise
        await self._settled()
        if not self._asked:
            self.outcome()

    async def _settled(self) -> None:
        """Let those who waited when the run ended, and are scheduled already, take what came of it or be cancelled."""
        if self._waiting:
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def _abandon(self, exc: BaseException) -> None:
        """Cancel the run because of *exc*, wait for its end, and note its failure there."""
        self.request_cancel(f"its body was left by {type(exc).__name__}")
        # not bounded here: the run's own cleanup_grace bounds it, and says so when it does not
        with trio.CancelScope(shield=True):
            await self._done.wait()
            await self._settled()
        if not self._asked and is_failed(self._failure):
            note(exc, f"and run {self.run_id} failed meanwhile:\n{self._failure.report()}")
