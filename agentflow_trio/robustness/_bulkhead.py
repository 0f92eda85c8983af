"""Bulkhead: at most so many bodies at once, the others in line.

Layer: robustness. Rules: first come, first served, also for those who ask not to wait; a place goes from hand to hand
and is never free while somebody waits for it; entering is always a checkpoint, leaving never is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import final, overload

import attrs
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
from ..errors import BulkheadFullError, GuardMisuseError, GuardReentryError
from ._bounds import Number, Whole, named
from ._bulkhead_core import BulkheadCore, BulkheadStatistics
from ._events import LimitChanged, OnEvent
from ._guard import Guarding, Home, Listener
from ._parking import NOT_ENTERED, Parking, surrounds

__all__ = ["Bulkhead", "BulkheadPolicy"]


@final
@attrs.frozen(kw_only=True)
class BulkheadPolicy:
    """How a bulkhead behaves.

    Attributes:
        limit: how many bodies may run at once, >= 1.
        max_waiters: how many may wait, >= 0; None, the default, is any number.
        max_wait: seconds one may wait, >= 0; ``inf``, the default, is as long as it takes, 0 not at all.
    """

    limit: int = attrs.field(validator=Whole(1))
    max_waiters: int | None = attrs.field(default=None, validator=Whole(0, optional=True))
    max_wait: float = attrs.field(default=math.inf, validator=Number(at_most=math.inf))


@final
class Bulkhead(Guarding):
    """Lets at most ``limit`` bodies run at once: ``async with bulkhead:``.

    Share one among all who use the same thing. Who finds no room waits in line; places are given in the order of
    arrival, and who stops waiting might as well never have come. Entered under another run of Trio it starts
    blank, with the limit of its policy.

    Attributes:
        name: what events and errors call it.
        policy: as it was made; `resize` does not change it.
    """

    __slots__ = ("_core", "_home", "_listener", "_no_wait", "_parking", "policy")

    @overload
    def __init__(
        self, name: str, policy: BulkheadPolicy, *, on_event: OnEvent | None = ...
    ) -> None: ...
    @overload
    def __init__(self, name: str, *, limit: int, on_event: OnEvent | None = ...) -> None: ...
    def __init__(
        self,
        name: str,
        policy: BulkheadPolicy | None = None,
        *,
        limit: int | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a bulkhead, here or anywhere: it needs no running loop.

        Args:
            name: what events and errors call it.
            policy: how it behaves.
            limit: instead of a policy, if its other settings are to be the defaults: how many bodies may run at once.
            on_event: a plain function that is told every event of it.

        Raises:
            ValueError: a setting makes no sense; the text names it and its bound.
            TypeError: *name* is no string, or there is not exactly one of *policy* and *limit*.
        """
        named("Bulkhead", name)
        self.name = name
        if policy is None and limit is not None:
            policy = BulkheadPolicy(limit=limit)
        elif policy is None or limit is not None:
            raise TypeError("Bulkhead: give either limit= or a BulkheadPolicy")
        self.policy: BulkheadPolicy = policy
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._no_wait = _NoWait(self._take, self._leave)
        self._start_blank()

    def _start_blank(self) -> None:
        policy = self.policy
        self._core: BulkheadCore[Task, int] = BulkheadCore(
            policy.limit, policy.max_waiters, policy.max_wait
        )
        self._listener.start_anew()
        self._parking = Parking(self.name, self._core.line, policy.max_wait, self._listener)

    # ------------------------------------------------------------ entering and leaving

    @override
    @enable_ki_protection
    async def __aenter__(self) -> None:
        """Let the body run, now or when it is its turn. Always a checkpoint; Cancelled means nothing was taken.

        Raises:
            BulkheadFullError: too many wait already, or it waited for ``max_wait`` in vain.
            GuardReentryError: it is entered inside its own body, where it would wait for itself.
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        task = self._arrive()
        mark = len(task.child_nurseries)
        if self._core.enter(task, mark):
            await cancel_shielded_checkpoint()
        elif (refusal := await self._parking.queue(task, mark)) is not None:
            raise BulkheadFullError(guard=self.name, reason=refusal)

    @override
    @enable_ki_protection
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Hand the place on. Never waits.

        Raises:
            GuardMisuseError: left in a task that did not enter; nothing was changed.
        """
        self._leave()

    def enter_nowait(self) -> AbstractContextManager[None]:
        """Take a place only if one is free: ``with bulkhead.enter_nowait():``. Never a checkpoint.

        Nobody gets past a line this way. Errors as for ``async with``, from the ``with``.
        """
        return self._no_wait

    def _arrive(self) -> Task:
        """The running task, if it may enter."""
        self._settle()
        task, inside = current_task(), self._core.inside
        if inside and surrounds(inside.get, task):
            raise GuardReentryError(guard=self.name)
        return task

    def _settle(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self):
            self._start_blank()

    def _leave(self) -> None:
        try:
            heir = self._core.leave(current_task())
        except KeyError:
            raise GuardMisuseError(guard=self.name, reason=NOT_ENTERED) from None
        if heir is not None:
            self._parking.wake(heir)

    def _take(self) -> None:
        task = self._arrive()
        if not self._core.enter(task, len(task.child_nurseries)):
            refusal = self._parking.reject(self._core.line.refuse("full"))
            raise BulkheadFullError(guard=self.name, reason=refusal)

    # ------------------------------------------------------------ the limit

    def resize(self, limit: int) -> None:
        """Let at most *limit* bodies run at once from now on. Not a checkpoint.

        A higher limit lets in, at once and in order, as many of those that wait as there is room for. A lower one
        puts nobody out: nobody comes in until enough have left. In another run of Trio the policy's limit holds again.

        Raises:
            ValueError: *limit* is no whole number >= 1; nothing was changed.
            GuardInUseError: it is in use under another run of Trio.
        """
        Whole(1).check("Bulkhead", "limit", limit)
        self._settle()
        before = self._core.statistics().limit
        if limit == before:
            return
        self._parking.wake(*self._core.resize(limit))
        if self._listener.on:
            now = trio.current_time()
            self._listener.tell(
                LimitChanged(guard=self.name, timestamp=now, before=before, limit=limit)
            )

    def statistics(self) -> BulkheadStatistics:
        """How things stand. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._settle()
        return self._core.statistics()


@final
class _NoWait:
    """``with bulkhead.enter_nowait():``; it keeps nothing, so one does for all."""

    __slots__ = ("_leave", "_take")

    def __init__(self, take: Callable[[], None], leave: Callable[[], None]) -> None:
        self._take = take
        self._leave = leave

    @enable_ki_protection
    def __enter__(self) -> None:
        self._take()

    @enable_ki_protection
    def __exit__(self, *_: object) -> None:
        self._leave()
