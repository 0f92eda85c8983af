"""Adaptive limit: at most so many bodies at once as what they use can bear, which is learned from how they end.

Layer: robustness. Rules: as for a bulkhead, first come, first served, and a place goes from hand to hand; entering is
always a checkpoint, leaving never is; the body's error is never replaced. How the limit moves is in the core.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar, TypeVarTuple, final

import trio
from trio.lowlevel import (
    Task,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_root_task,
    current_task,
    enable_ki_protection,
    in_trio_run,
)

from .._typing import override
from ..errors import GuardMisuseError, GuardReentryError, LimitReachedError
from ._adaptive_limit_core import AdaptiveLimitCore, AdaptiveLimitStatistics, Sample
from ._adaptive_limit_policy import AdaptiveLimitPolicy
from ._bounds import named
from ._events import LimitChanged, OnEvent
from ._failed_result import is_failure
from ._fault_point import FAULTS, behind
from ._guard import NOT_ENTERED, Guarding, Home, Listener, conclude
from ._line_core import Refusal
from ._parking import Parking, surrounds
from ._verdict_core import Judge

__all__ = ["AdaptiveLimit", "AdaptiveLimitPermit"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class AdaptiveLimitPermit(Sample):
    """One admission by an adaptive limit; `AdaptiveLimit` makes it.

    Attributes:
        guard: which admitted.
        nurseries: how many the task had open then; those it opened later are in the body.
    """

    __slots__ = ("guard", "nurseries")
    begun: float
    failed: bool

    def __init__(self, guard: AdaptiveLimit, nurseries: int) -> None:
        super().__init__()
        self.guard: AdaptiveLimit = guard
        self.nurseries: int = nurseries

    def record(self, result: object, /) -> None:
        """Let *result* count as failure, if it is one. Not a checkpoint.

        An error is judged by the policy's ``record`` and ``ignore``, anything else by its ``failed_result``. What the
        body raises comes before what it recorded; one failure among several results is enough.

        Raises:
            TypeError: *result* is no error, and the policy has no ``failed_result``.
        """
        if self.guard.is_failure(result):
            self.failed = True

    def start(self) -> None:
        """Let the time of a slow body count from now, as when other guards inside made it wait. Not a checkpoint."""
        self.begun = trio.current_time()


@final
class AdaptiveLimit(Guarding):
    """Lets as many bodies run at once as turns out to be good: ``async with AdaptiveLimit("search"): ...``.

    Each body that ends well while at least half of the limit is in use makes the limit one more; each that fails, or
    is slow, makes it a tenth less (additive increase, multiplicative decrease). So it finds what a service can bear,
    and follows when that changes. Who finds no room is refused, or waits in line if the policy says so.

    Share one among all who use the same thing. Entered under another run of Trio it starts blank, with the initial
    limit of its policy.

    Attributes:
        name: what events and errors call it.
        policy: its settings.
    """

    __slots__ = ("_core", "_home", "_judge", "_listener", "_no_wait", "_parking", "policy")

    def __init__(
        self,
        name: str,
        policy: AdaptiveLimitPolicy | None = None,
        *,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make an adaptive limit, here or anywhere: it needs no running loop.

        Args:
            name: what events and errors call it.
            policy: its settings; by default from 1 to 200 bodies, 20 at first, and nobody waits.
            on_event: is told a `LimitChanged` for each change, a `CallRejected` for each rejection, and who waits.

        Raises:
            TypeError: *name* is no string.
        """
        named("AdaptiveLimit", name)
        self.name = name
        self.policy: AdaptiveLimitPolicy = AdaptiveLimitPolicy() if policy is None else policy
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._judge = Judge(
            self.policy.record, self.policy.ignore, complain=self._listener.complain
        )
        self._no_wait = _NoWait(self._take, self._leave)
        self._start_blank()

    def _start_blank(self) -> None:
        self._core: AdaptiveLimitCore[Task, AdaptiveLimitPermit] = AdaptiveLimitCore(
            self.policy
        )
        self._listener.start_anew()
        self._parking = Parking(
            self.name, self._core.line, self.policy.max_wait, self._listener
        )

    # ------------------------------------------------------------ entering and leaving

    @override
    @enable_ki_protection
    async def __aenter__(self) -> AdaptiveLimitPermit:
        """Let the body run, now or when it is its turn. Always a checkpoint; Cancelled means nothing was taken.

        Raises:
            LimitReachedError: there is no room, or too many wait already, or it waited for ``max_wait`` in vain.
            GuardReentryError: it is entered inside its own body, where it would wait for itself.
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        task, permit = self._arrive()
        if self._core.enter(task, permit, trio.current_time()):
            await cancel_shielded_checkpoint()
        elif not self.policy.max_waiters:
            raise self._full()
        elif (refusal := await self._parking.queue(task, permit)) is not None:
            raise LimitReachedError(guard=self.name, reason=refusal)
        return permit

    @override
    @enable_ki_protection
    async def __aexit__(  # noqa: ASYNC124, ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Learn from how the body ended, and hand the place on. Never waits.

        Raises:
            GuardMisuseError: left in a task that did not enter; nothing was changed.
        """
        self._leave(error)

    def enter_nowait(self) -> AbstractContextManager[AdaptiveLimitPermit, None]:
        """Take a place only if one is free: ``with limit.enter_nowait():``. Never a checkpoint.

        Nobody gets past a line this way. Errors as for ``async with``, from the ``with``.
        """
        return self._no_wait

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Enter, return ``await fn(*args)``, leave. A checkpoint.

        The result is recorded if the policy has a ``failed_result``.
        """
        async with self as permit:
            plan = FAULTS.get()
            result = await (fn(*args) if plan is None else behind(plan, self.name, fn, args))
            if self.policy.failed_result is not None:
                permit.record(result)
            return result

    def _arrive(self) -> tuple[Task, AdaptiveLimitPermit]:
        """The running task, if it may enter, and what it gets if there is room."""
        self._settle()
        task = current_task()
        if self._core.inside and surrounds(self._nurseries_of, task):
            raise GuardReentryError(guard=self.name)
        return task, AdaptiveLimitPermit(self, len(task.child_nurseries))

    def _settle(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self):
            self._start_blank()

    def _nurseries_of(self, task: Task) -> int | None:
        permit = self._core.inside.get(task)
        return None if permit is None else permit.nurseries

    def _leave(self, error: BaseException | None) -> None:
        task, core = current_task(), self._core
        if task not in core.inside:
            raise GuardMisuseError(guard=self.name, reason=NOT_ENTERED) from error
        verdict = "success" if error is None else conclude(self._judge, error)
        before, now = core.limit, trio.current_time()
        admitted = core.leave(task, verdict, now)
        limit = core.limit
        if admitted:
            self._parking.wake(*admitted)
        if limit != before and self._listener.on:
            self._listener.tell(
                LimitChanged(guard=self.name, timestamp=now, before=before, limit=limit)
            )

    def _take(self) -> AdaptiveLimitPermit:
        task, permit = self._arrive()
        if not self._core.enter(task, permit, trio.current_time()):
            raise self._full()
        return permit

    def _full(self) -> LimitReachedError:
        refusal: Refusal = self._parking.reject(self._core.line.refuse("full"))
        return LimitReachedError(guard=self.name, reason=refusal)

    # ------------------------------------------------------------ what it knows

    def statistics(self) -> AdaptiveLimitStatistics:
        """Return a picture as of now. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._settle()
        return self._core.statistics()

    def is_failure(self, result: object, /) -> bool:
        """Whether *result* counts as failure, as in `AdaptiveLimitPermit.record`. Not a checkpoint.

        A ``failed_result`` that raises counts as failure, and is told as a `RuleFailed` event.

        Raises:
            TypeError: *result* is no error, and the policy has no ``failed_result``.
        """
        return is_failure(
            result,
            self.policy.failed_result,
            self._judge,
            self._listener,
            whose=f"limit {self.name!r}",
        )


@final
class _NoWait:
    """``with limit.enter_nowait():``; it keeps nothing, so one does for all."""

    __slots__ = ("_leave", "_take")

    def __init__(
        self,
        take: Callable[[], AdaptiveLimitPermit],
        leave: Callable[[BaseException | None], None],
    ) -> None:
        self._take = take
        self._leave = leave

    @enable_ki_protection
    def __enter__(self) -> AdaptiveLimitPermit:
        return self._take()

    @enable_ki_protection
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._leave(error)
