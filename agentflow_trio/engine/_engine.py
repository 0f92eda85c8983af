"""The engine: what an application's runs have in common, and the only thing that has to be closed.

Layer: engine. Rules: leaving an engine waits for its runs; leaving it by an exception cancels them first.
A run's failure belongs to whoever asks for its result; it never cancels the body that started it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, final

import attrs
import trio

from ..errors import (
    AbandonedThread,
    EngineClosedError,
    SelfWaitError,
    TooManyRunsError,
)
from ..ports import BackgroundObserver, Ids, Observer, Simulated, WallClock
from ..state import fork
from ..types import AttrsState, Resource, RunResult
from ._checks import check_count, check_observers, check_seconds, check_values
from ._draining import Drain, DrainReport
from ._execution import Execution
from ._hiding import Veil
from ._live import LiveRun, Settings
from ._plan import Runnable
from ._processes import Processes
from ._run import check_resources, check_timeout
from ._seats import seat_of
from ._started import Started
from ._streams import Streams
from ._system import RandomIds, SystemClock
from ._threads import Threads

if TYPE_CHECKING:
    from ..redaction import Redactor
    from ._background import Background
    from ._blocking import Watchdog
    from ._snapshot import Snapshot

__all__ = ["Engine", "EngineStatistics"]

State = TypeVar("State", bound=AttrsState)


@final
@attrs.frozen(kw_only=True)
class EngineStatistics:
    """A picture of an engine.

    Attributes:
        runs: that go on.
        threads: that make calls for steps, abandoned ones among them.
        threads_waiting: calls that wait for one of ``max_threads``.
        abandoned: threads that were abandoned and still work, oldest first.
        abandoned_in_all: how many ever were.
        processes: that make calls.
        processes_waiting: calls that wait for one of ``max_processes``.
        missed_in_all: events that subscribers did not read in time, in all runs until now.
    """

    runs: int
    threads: int
    threads_waiting: int
    abandoned: tuple[AbandonedThread, ...]
    abandoned_in_all: int
    processes: int
    processes_waiting: int
    missed_in_all: int


@final
class Engine:
    """Runs flows for an application: ``async with Engine(observers=[...], resources={HTTP: client}) as engine:``.

    Leaving it waits for its runs; leaving it by an exception or cancellation cancels them and then waits. Then its worker
    processes end. Nobody waits for threads that were abandoned: those that still work are named in an
    `AbandonedThreadWarning`, and in a note of the exception if there is one.
    """

    def __init__(  # noqa: PLR0913 - settings, all with a default
        self,
        *,
        observers: Sequence[Observer] = (),
        resources: Mapping[Resource[Any], object] | None = None,
        seed: int | None = None,
        max_steps: int | None = None,
        max_runs: int | None = None,
        max_threads: int = 40,
        max_processes: int | None = None,
        cleanup_grace: float = 5.0,
        observer_budget: float = 0.1,
        wall_clock: WallClock | None = None,
        ids: Ids | None = None,
        watchdog: float | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        """Set what all its runs have in common.

        Args:
            observers: told every event of every run, in order, at once.
            resources: what steps may borrow; they stay the caller's to close.
            seed: for ``current_step().random`` of every run that is given none; random by default.
            max_steps: how many steps a run may make; any number by default.
            max_runs: how many runs may go on at once; any number by default.
            max_threads: how many calls of ``current_step().to_thread`` may be made at once; abandoned ones count
                until they end.
            max_processes: how many of ``to_process``; by default as many as there are cores to use.
            cleanup_grace: seconds that all cleanups of a cancelled run have together.
            observer_budget: seconds an observer may take for one event before it is switched off for that run; by the
                clock of the loop, so that in virtual time, where it takes none, a run is the same on a busy machine.
            wall_clock: the time of day, for the first event of a run.
            ids: where run ids come from; random UUIDs by default.
            watchdog: seconds of real time that any task may keep the loop from going round; who takes longer is told,
                with the line, as a `LoopBlocked` event of the run, in the log (``agentflow_trio.watchdog``, once for
                each place) and in `snapshot`. Off by default, and in a simulation, whose time is not real.
            redactor: hides what must not be shown in all that is told of runs; ``Redactor()`` by default.

        Raises:
            ValueError: a bound makes no sense.
            ResourceError: a resource is not of its kind.
        """
        check_count("max_steps", max_steps)
        check_count("max_runs", max_runs)
        check_count("max_threads", max_threads)
        check_count("max_processes", max_processes)
        check_seconds("cleanup_grace", cleanup_grace, most=sys.float_info.max)
        check_seconds("observer_budget", observer_budget, most=math.inf)
        if watchdog is not None and not watchdog > 0.0:
            raise ValueError(
                f"Engine: watchdog must be a number of seconds > 0, not {watchdog!r}"
            )
        check_observers(observers)
        check_values(resources or {})
        self._threads = Threads(max_threads)
        self._processes = Processes(max_processes, cleanup_grace)
        self._settings = Settings(
            resources=dict(resources or {}),
            seats=tuple(map(seat_of, observers)),
            observer_budget=observer_budget,
            max_steps=max_steps,
            cleanup_grace=cleanup_grace,
            wall_clock=wall_clock or SystemClock(),
            ids=ids or RandomIds(),
            threads=self._threads,
            processes=self._processes,
            settle=None if watchdog is None else self._settle,
            redactor=redactor,
        )
        self._observers = tuple(
            observer for observer in observers if isinstance(observer, BackgroundObserver)
        )
        self._background: Background | None = None
        self._limit = watchdog
        self._watchdog: Watchdog | None = None
        self._seed = seed
        self._max_runs = max_runs
        self._runs: list[Execution[Any]] = []
        self._missed = 0
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None
        self._ended = trio.lowlevel.ParkingLot()
        self._drain: Drain | None = None

    async def __aenter__(self) -> Self:
        """Open the engine. Always a checkpoint."""
        if self._manager is not None:
            raise EngineClosedError(reason="this engine was entered before; make another")
        await trio.lowlevel.checkpoint()
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        clock = trio.lowlevel.current_clock()
        if self._limit is not None and not isinstance(clock, Simulated):
            from ._blocking import Watchdog  # noqa: PLC0415 - only who wants it need import it

            self._watchdog = Watchdog(self._limit, self._settings)
            self._watchdog.start()
        if self._observers:
            # only who has such observers need import it
            from ._background import Background  # noqa: PLC0415

            seats, budget = self._settings.seats, self._settings.observer_budget
            veil = Veil(self._settings.redactor)
            self._background = Background(self._observers, seats, budget, veil)
            self._background.start(self._nursery)
        return self

    def _settle(self) -> None:
        if self._watchdog is not None:
            self._watchdog.settle()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        """Wait for the runs; cancel them first if the body failed. Always a checkpoint."""
        self._nursery, error = None, exc
        try:
            if exc is not None:
                self._cancel_all(exc)
            else:
                await trio.lowlevel.checkpoint()  # noqa: ASYNC102 - the body ended well
                await self._all_ended()  # noqa: ASYNC102 - what is waited for ends by itself
        except BaseException as cut:
            self._cancel_all(cut)
            error = cut
            raise
        finally:
            # bounded by the runs' cleanup_grace; a Cancelled here would hide what ends the body
            with trio.CancelScope(shield=True):
                await self._all_ended()  # noqa: ASYNC102 - shielded, and bounded as said
            if self._background is not None:
                self._background.stop()
            try:
                if self._manager is not None:
                    await self._manager.__aexit__(None, None, None)  # noqa: ASYNC102 - a nursery's
            except BaseException as stopped:
                error = stopped
                raise
            finally:
                await self._close(error)  # noqa: ASYNC102 - shielded, and bounded likewise

    async def _close(self, error: BaseException | None) -> None:
        """Nothing runs any more: end what was kept for more of it."""
        try:
            await self._processes.close(error)
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            self._threads.tell_left(error)

    def _cancel_all(self, cause: BaseException) -> None:
        for run in [*self._runs]:
            run.request_cancel(f"the engine was left by {type(cause).__name__}")

    async def _all_ended(self) -> None:
        while self._runs:
            await self._ended.park()

    async def run(
        self,
        flow: Runnable[State],
        state: State,
        /,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        seed: int | None = None,
    ) -> RunResult[State]:
        """Run *flow* to its end in the caller's task. Always a checkpoint.

        Args:
            flow: what to run.
            state: stays as it is; the result has the new one.
            timeout: seconds for the whole run; none by default.
            run_id: a UUID by default.
            seed: the engine's by default.

        Raises:
            EngineClosedError, TooManyRunsError, StateTypeError, ResourceError: nothing was run.
            FlowFailedError: everything that failed, in a tree that mirrors the flow.
            FlowAbortedError: failures together with Cancelled, KeyboardInterrupt or SystemExit.
            RunCancelledError: the engine was left by an exception meanwhile.
        """
        run = self._new(flow, state, timeout, run_id, seed, keep=False)
        with run.driven():
            run.keep(await run.way())
        return run.outcome()

    def start(
        self,
        flow: Runnable[State],
        state: State,
        /,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        seed: int | None = None,
    ) -> Started[State]:
        """Run *flow* in a task of its own: ``async with engine.start(flow, state) as run:``.

        Arguments and errors as for `run`. The run begins at the body's first checkpoint, so that what the body
        subscribes to before it is complete. Leaving the body waits for the run and raises its failure if nobody asked
        for the result; leaving it by an exception or cancellation cancels the run, waits, and adds its failure as a note.
        """
        return Started(lambda: self._launch(flow, state, timeout, run_id, seed))

    def snapshot(self) -> Snapshot:
        """What goes on now: every run of this engine, as a tree of visits, branches, items, tasks and nested runs.

        For each what it waits for and the line of the node's code. ``str()`` of it draws the tree. Nothing is
        recorded for it while things run. Not a checkpoint; works in any task of the loop, inside of nodes too.

        Raises:
            RuntimeError: called outside the loop's thread; from a thread: ``trio.from_thread.run_sync(engine.snapshot)``.
        """
        # only who looks need import them
        from ._looking import check_place  # noqa: PLC0415
        from ._snapshot import Snapshot  # noqa: PLC0415

        check_place("engine")

        runs = [run.snapshot() for run in self._runs]
        inside = {nested.run_id for run in runs for nested in run.nested()}
        found = () if self._watchdog is None else self._watchdog.found.values()
        return Snapshot(
            time=trio.current_time(),
            runs=tuple(run for run in runs if run.run_id not in inside),
            blocked=tuple(sorted(found, key=lambda blocked: -blocked.total)),
            abandoned=self._threads.abandoned(),
        )

    def _new(
        self,
        flow: Runnable[State],
        state: State,
        timeout: float | None,
        run_id: str | None,
        seed: int | None,
        *,
        keep: bool,
    ) -> Execution[State]:
        if self._nursery is None:
            raise EngineClosedError
        if self._drain is not None:
            reason = "this engine is being drained and takes no new runs; begin them on another"
            raise EngineClosedError(reason=reason)
        check_timeout(timeout)
        if self._max_runs is not None and len(self._runs) >= self._max_runs:
            raise TooManyRunsError(max_runs=self._max_runs)
        mine = fork(state)
        plan = flow.plan
        check_resources(plan, self._settings)
        live = LiveRun(plan, self._settings, run_id, self._seed if seed is None else seed)
        if keep or self._settings.seats:
            live.listen(keep=keep)
        run = Execution(live, mine, timeout, self._over, Streams() if keep else None)
        self._runs.append(run)
        return run

    def _launch(
        self,
        flow: Runnable[State],
        state: State,
        timeout: float | None,
        run_id: str | None,
        seed: int | None,
    ) -> Execution[State]:
        nursery = self._nursery
        if nursery is None:
            raise EngineClosedError
        run = self._new(flow, state, timeout, run_id, seed, keep=True)
        nursery.start_soon(run.drive, name=f"agentflow run {run.run_id}")
        return run

    def statistics(self) -> EngineStatistics:
        """What goes on now. Not a checkpoint."""
        threads, processes = self._threads.limiter, self._processes.limiter
        return EngineStatistics(
            runs=len(self._runs),
            threads=threads.borrowed_tokens,
            threads_waiting=threads.statistics().tasks_waiting,
            abandoned=self._threads.abandoned(),
            abandoned_in_all=self._threads.lost,
            processes=processes.borrowed_tokens,
            processes_waiting=processes.statistics().tasks_waiting,
            missed_in_all=self._missed + sum(run.missed for run in self._runs),
        )

    def _over(self, run: Execution[Any]) -> None:
        self._runs.remove(run)
        self._missed += run.missed
        if self._drain is not None:
            self._drain.note(run)
        self._ended.unpark_all()

    async def drain(self, *, grace: float = 25.0) -> DrainReport:
        """Let all runs end, in order, and take no new ones. Always a checkpoint.

        Every run ends at its next step boundary, those of nested flows and of every branch included; ``each`` and
        ``batch`` take no more items. What is in flight then, steps and items, has *grace* seconds to end, after which it
        is cancelled. A run that does not come to its own end before raises ``RunCancelledError`` with the reason "drain".
        May be called again and by several at once: the first grace that is over counts, all get the same report. If the
        caller is cancelled, runs still end at their boundaries; call it again for the rest.

        Args:
            grace: seconds; 25 by default, which with the 5 of ``cleanup_grace`` is what Kubernetes leaves a process.

        Raises:
            EngineClosedError: the engine was never entered.
            SelfWaitError: called from inside one of its runs; use `request_drain` there.
            ValueError: the grace is no number of seconds.
        """
        check_seconds("grace of drain", grace, most=math.inf)
        for run in self._runs:
            if run.contains_caller():
                raise SelfWaitError(run_id=run.run_id, instead="request_drain()")
        drain = self._begin_drain()
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(grace):
            await self._all_ended()
        for run in [*self._runs]:
            run.cut_short()
        await self._all_ended()
        return drain.report()

    def request_drain(self) -> None:
        """Begin what `drain` does, and do not wait: nothing is cancelled unless somebody calls that. Not a checkpoint.

        Raises:
            EngineClosedError: the engine was never entered.
        """
        self._begin_drain()

    def _begin_drain(self) -> Drain:
        if self._manager is None:
            raise EngineClosedError
        if self._drain is None:
            self._drain = Drain(trio.current_time())
            for run in self._runs:
                run.drain()
        return self._drain
