"""Timeout: a body that may take so long and no longer.

Layer: robustness. Rules: the time ran out only if this timeout's own scope caught the cancellation; a body that came to
its end keeps its result, however late; what fails while a cut-off body unwinds is raised, not hidden.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TypeAlias, final

import attrs
import trio
from trio.lowlevel import checkpoint_if_cancelled, current_root_task, in_trio_run

from .._typing import override
from ..errors import DeadlineExceededError
from ._bounds import named
from ._events import CallTimedOut, OnEvent
from ._guard import Guarding, Home, Listener, TaskPermits
from ._own_limits import declare, withdraw
from ._timeout_core import AdaptiveTimeout, limit_of
from ._verdict_core import is_cancelled

__all__ = ["OwnTimeout", "Timeout", "TimeoutStatistics"]

Limit: TypeAlias = float | AdaptiveTimeout
"""Seconds, or how to learn them."""

Leave: TypeAlias = Callable[
    [type[BaseException] | None, BaseException | None, TracebackType | None], Awaitable[None]
]


@final
@attrs.frozen(kw_only=True)
class TimeoutStatistics:
    """A picture of a timeout, since its run of Trio began.

    Attributes:
        name: of the timeout.
        seconds: the limit for a body that is entered now.
        samples: how many durations an adaptive limit knows.
        inside: how many bodies run now.
        completed: how many came to their end.
        timed_out: how many were cut off by this timeout.
        failed: how many raised something else.
        cancelled: how many were cancelled from outside.
    """

    name: str
    seconds: float
    samples: int
    inside: int
    completed: int
    timed_out: int
    failed: int
    cancelled: int


@final
class _Entry:
    """One body inside."""

    __slots__ = ("begun", "scope", "seconds")

    def __init__(self, begun: float, seconds: float) -> None:
        self.begun = begun
        self.seconds = seconds
        self.scope = trio.CancelScope(deadline=begun + seconds)


@final
class Timeout(Guarding):
    """Cuts a body off when it takes too long: ``async with Timeout(3.0, name="search"):`` or ``call``.

    The limit is in seconds on Trio's clock, from entering. Trio delivers cancellation at checkpoints only, so a body that
    makes none is not cut off. One timeout may be used by any number of tasks at once, each with its own time.

    `AdaptiveTimeout` learns the limit from the calls that complete. With a table, ``timeout.of("search")`` is the timeout
    for that operation; one that is not in the table has the limit that all others have.
    """

    __slots__ = (
        "_cancelled",
        "_completed",
        "_failed",
        "_home",
        "_limit",
        "_listener",
        "_permits",
        "_rule",
        "_table",
        "_timed_out",
    )

    def __init__(
        self,
        seconds: Limit,
        *,
        name: str = "timeout",
        operations: Mapping[str, Limit] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a timeout, anywhere: also before Trio runs.

        Args:
            seconds: the limit, > 0, or an `AdaptiveTimeout`.
            name: what errors, events and pictures call it; an operation's is ``name[operation]``.
            operations: limits of their own for some operations.
            on_event: is told `CallTimedOut`.

        Raises:
            ValueError: a limit is no number of seconds > 0.
            TypeError: *name* is no string.
        """
        named("Timeout", name)
        self.name = name
        self._limit = seconds
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._permits: TaskPermits[_Entry] = TaskPermits(name)
        self._table = {
            operation: Timeout(limit, name=f"{name}[{operation}]", on_event=on_event)
            for operation, limit in (operations or {}).items()
        }
        self._start_blank()

    def _start_blank(self) -> None:
        self._rule = limit_of(self._limit)
        self._permits.clear()
        self._listener.start_anew()
        self._completed = 0
        self._timed_out = 0
        self._failed = 0
        self._cancelled = 0

    def of(self, operation: str, /) -> Timeout:
        """The timeout for *operation*: the one in the table, else this one."""
        return self._table.get(operation, self)

    @property
    def seconds(self) -> float:
        """The limit for a body that is entered now."""
        return self._rule.seconds()

    @property
    def adaptive(self) -> bool:
        """Whether the limit is learned."""
        return isinstance(self._limit, AdaptiveTimeout)

    def as_own_limit(self) -> OwnTimeout:
        """This timeout for a pipeline or step, for whose other guards its cutting off is a failure. They ask for it."""
        return OwnTimeout(self.name, self._begin, self._scope, self.__aexit__)

    def statistics(self) -> TimeoutStatistics:
        """What happened since the run of Trio began; operations with a limit of their own have their own.

        Not a checkpoint; works outside a run of Trio too.
        """
        if in_trio_run():
            self._settle()
        return TimeoutStatistics(
            name=self.name,
            seconds=self.seconds,
            samples=self._rule.samples,
            inside=len(self._permits),
            completed=self._completed,
            timed_out=self._timed_out,
            failed=self._failed,
            cancelled=self._cancelled,
        )

    @override
    async def __aenter__(self) -> None:
        """Begin the body's time. Can be cancelled, but never yields.

        Raises:
            GuardInUseError: the timeout is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        self._begin()

    def _settle(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self):
            self._start_blank()

    def _begin(self) -> trio.CancelScope:
        self._settle()
        entry = self._permits.push(_Entry(trio.current_time(), self._rule.seconds()))
        entry.scope.__enter__()
        return entry.scope

    def _scope(self) -> trio.CancelScope | None:
        """That of the body that the caller is in."""
        entry = self._permits.around_caller()
        return entry and entry.scope

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """End the body's time. Never waits.

        Raises:
            DeadlineExceededError: the time ran out and cut the body off.

        What else a cut-off body raised while it unwound is raised instead.
        """
        entry = self._permits.pop()
        try:
            entry.scope.__exit__(kind, error, trace)
            if entry.scope.cancelled_caught:
                raise DeadlineExceededError(limit=self.name, seconds=entry.seconds)
        finally:
            self._record(entry, error)

    def _record(self, entry: _Entry, error: BaseException | None) -> None:
        now = trio.current_time()
        if error is None:
            self._completed += 1
            self._rule.learn(now - entry.begun)
        elif entry.scope.cancelled_caught:
            self._timed_out += 1
            self._rule.learn(entry.seconds)
            if self._listener.on:
                told = CallTimedOut(guard=self.name, timestamp=now, seconds=entry.seconds)
                self._listener.tell(told)
        elif is_cancelled(error):
            self._cancelled += 1
        else:
            self._failed += 1


@final
class OwnTimeout:
    """A timeout of a pipeline, or of a step's guards: for guards inside it, its cutting off is a failure."""

    __slots__ = ("_begin", "_find", "_leave", "name")

    def __init__(
        self,
        name: str,
        begin: Callable[[], trio.CancelScope],
        find: Callable[[], trio.CancelScope | None],
        leave: Leave,
    ) -> None:
        self.name: str = name
        self._begin = begin
        self._find = find
        self._leave = leave

    async def __aenter__(self) -> None:
        """As the timeout itself."""
        await checkpoint_if_cancelled()
        declare(self._begin())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """As the timeout itself."""
        withdraw(self._find())
        await self._leave(kind, error, trace)  # noqa: ASYNC102 - never waits
