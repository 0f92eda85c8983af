"""The engine's side of a run: it goes on, ends, is drained or cancelled, and what came of it is kept.

Layer: engine. Rule: whatever the run raises is kept for whoever asks; only what must end the program passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import trio

from ..errors import CutOff, FlowFailedError, RunCancelledError, is_failed
from ..state import fork
from ..types import RunResult
from ._drain import DRAINED, Manner
from ._failures import note
from ._live import CURRENT, LiveRun, Strand
from ._reach import Reach
from ._run import execute
from ._streams import Streams

if TYPE_CHECKING:
    from ._snapshot import RunSnapshot

__all__ = ["Execution"]

State = TypeVar("State")


@final
class Execution(Generic[State]):
    """One run of an engine, of which a started one shows a `Run`.

    Attributes:
        live: what changes while it goes on.
        reach: what leads into it from outside.
        reason: why it was to end; None if nobody asked for that.
        requested: when somebody did.
        ended: when it had ended.
        failure: what it raises for whoever asks for the result.
        done: that it is over.
    """

    __slots__ = (
        "_asked",
        "_manner",
        "_over",
        "_result",
        "_scope",
        "_state",
        "_timeout",
        "_waiting",
        "done",
        "ended",
        "failure",
        "live",
        "reach",
        "reason",
        "requested",
    )

    def __init__(
        self,
        live: LiveRun,
        state: State,
        timeout: float | None,
        over: Callable[[Execution[Any]], None],
        streams: Streams | None,
    ) -> None:
        self.live: LiveRun = live
        self.reason: str | None = None
        self.requested: float = 0.0
        self.ended: float = 0.0
        self.failure: Exception | None = None
        self.done: trio.Event = trio.Event()
        self._state = state
        self._timeout = timeout
        self._over = over
        self._scope = trio.CancelScope()
        self.reach: Reach = Reach(streams, self._scope)
        live.reach = self.reach
        self._manner: Manner = "by itself"
        self._result: RunResult[State] | None = None
        self._asked = False
        self._waiting = 0

    @property
    def run_id(self) -> str:
        """The id given, or a UUID."""
        return self.live.run_id

    @property
    def missed(self) -> int:
        """How many of its events subscribers did not read in time."""
        return 0 if self.live.bus is None else self.live.bus.missed

    @property
    def state(self) -> State:
        """A fork of the state as the last finished step left it."""
        if self._result is not None:
            return fork(self._result.state)
        now = self.reach.state
        return fork(now if isinstance(now, type(self._state)) else self._state)

    def snapshot(self) -> RunSnapshot:
        """What goes on in it now."""
        from ._looking import look  # noqa: PLC0415 - only who looks need import it

        return look(self.live, self.reason, ended=self.done.is_set())

    # ---------------------------------------------------------------- going on

    async def drive(self) -> None:
        """Run to the end and keep what came of it; only what must end the program is raised."""
        with self.driven():
            self.keep(await self.way())

    def way(self) -> Coroutine[object, object, RunResult[State]]:
        """What is to be awaited `driven`: by `drive`, or without that coroutine, through which each wait would pass."""
        return execute(self.live.plan, self._state, timeout=self._timeout, live=self.live)

    def keep(self, result: RunResult[State]) -> None:
        """Take what came of it."""
        self._result = result

    @contextmanager
    def driven(self) -> Generator[None]:
        """Around the run: keeps what is raised, and lets the engine know of the end."""
        self.reach.task = trio.lowlevel.current_task()
        if self.reach.leave is not None:  # drained before it began
            self._leave()
        try:
            with self._scope:
                yield
        except Exception as error:  # noqa: BLE001 - kept for whoever asks for the result
            self.failure = error
        except BaseException as error:
            reason = f"it was stopped by {type(error).__name__}"
            self.failure = RunCancelledError(reason=reason, cut_off=self.live.cut_off)
            raise
        finally:
            if self._scope.cancelled_caught:
                self.failure = self._cancelled(self.failure)
            self.ended = self.live.clock()
            self.reach.task = None
            self.done.set()
            self._over(self)

    def _cancelled(self, failure: Exception | None) -> Exception:
        """What a cancelled run raises: alone, or together with what failed while it unwound."""
        reason = self.reason or self.reach.reason or ""
        cancelled = RunCancelledError(reason=reason, cut_off=self.live.cut_off)
        if failure is None:
            return cancelled
        path = self.live.path
        group: FlowFailedError[Exception]
        group = FlowFailedError(f"flow {path!r} was cancelled and failed", [cancelled, failure])
        group.path, group.marks = path, (None, None)
        group.redact = self.live.veil
        if is_failed(failure):
            group.state, group.suppressed = failure.state, failure.suppressed
        return group

    # ---------------------------------------------------------------- ending it

    def request_cancel(self, reason: str) -> None:
        """Ask it to stop. The first reason counts."""
        if not self.done.is_set() and self.reason is None:
            self.reason = self.live.veil(reason)
            self.requested = self.live.clock()
            self._scope.cancel()

    def drain(self) -> None:
        """Have it end at the next boundary of each of its strands; once only."""
        self.reach.drain(self.live, self._leave)

    def cut_short(self) -> None:
        """The grace of a drain is over."""
        self._end("cut off")

    def _leave(self) -> None:
        self._end("at a boundary")

    def _end(self, manner: Manner) -> None:
        if not self.done.is_set() and self.reason is None:
            self._manner = manner
            self.request_cancel(DRAINED)

    # ---------------------------------------------------------------- what came of it

    @property
    def manner(self) -> Manner:
        """How it ended, as a drain tells it."""
        return "by itself" if self._result is not None else self._manner

    @property
    def cut_off(self) -> tuple[CutOff, ...]:
        """What cancellation cut off, outermost first."""
        return self.live.cut_off

    def outcome(self) -> RunResult[State]:
        """What came of it, once it is over."""
        if self._result is None:
            raise self.failure or RunCancelledError(reason="it never began")
        return self._result

    async def wait(self) -> None:
        """Wait for the end as somebody who takes what came of it."""
        await trio.lowlevel.checkpoint()
        self._waiting += 1
        try:
            await self.done.wait()
        finally:
            self._waiting -= 1
        self._asked = True

    async def leave(self, exc: BaseException | None) -> None:
        """End of the body that started it."""
        if exc is not None:
            await self._abandon(exc)
            return
        try:
            await trio.lowlevel.checkpoint()
            await self.done.wait()
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
            await self.done.wait()
            await self._settled()
        if not self._asked and is_failed(self.failure):
            note(exc, f"and run {self.run_id} failed meanwhile:\n{self.failure.report()}")

    # ---------------------------------------------------------------- who asks

    def contains_caller(self) -> bool:
        """Whether the caller is a node of this run, or something that one waits for."""
        return any(True for _ in self.around())

    def around(self) -> Iterator[Strand]:
        """The strands of this run that the caller is inside of, innermost first."""
        strand = CURRENT.get()
        if strand is not None and not strand.contains_caller():
            return
        while strand is not None:
            if strand.run is self.live and strand.steps >= 0:
                yield strand
            strand = strand.parent or strand.run.outer
