"""Rate limiter: bodies begin no faster than agreed, in the order in which they came.

Layer: robustness. Rules: deciding and recording have no await in between; of all that wait only the first has a timer,
and when it is served, or gives up, it wakes the next. Who is cancelled has left the line at that moment. Nothing is
given back: a body that fails may well have sent its request. When who is served is up to the core.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Final, Literal, final, overload

import trio
from trio.lowlevel import (
    Abort,
    Task,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_clock,
    current_root_task,
    current_task,
    enable_ki_protection,
    in_trio_run,
    reschedule,
    wait_task_rescheduled,
)

from .._typing import override
from ..errors import RateLimitedError
from ._around import Surroundings
from ._bounds import Number, Whole, named
from ._events import CallRejected, LimitChanged, OnEvent, WaitEnded, WaitStarted
from ._guard import Guarding, Home, Listener
from ._limiter_core import LimiterCore, Outlook, RateLimiterStatistics, Refusal, Waiter
from ._limiter_policy import TokenBucketPolicy, WindowPolicy, policy_of

__all__ = ["RateLimiter", "WeightedEntry"]

_ONE: Final = 1
_ONE_OR_MORE: Final = Whole(1)
_SECONDS: Final = Number(at_most=math.inf)


@final
class _Sleeper(Waiter):
    """A task in the line.

    Attributes:
        task: the task while it is parked, and nobody has woken it yet.
        alarm: when its timer goes off; inf as long as it has none.
        refusal: why it was thrown out of the line, if it was.
        around: the step that it waits in, if anybody listens; how its wait ends is told by others.
    """

    __slots__ = ("alarm", "around", "refusal", "task")

    def __init__(self, weight: int, since: float, latest: float) -> None:
        super().__init__(weight, since, latest)
        self.task: Task | None = None
        self.around: Surroundings | None = None
        self.alarm = math.inf
        self.refusal: Refusal | None = None

    def wake(self) -> None:
        """Let the task go on and look around, unless it is about to."""
        if self.task is not None:
            task, self.task = self.task, None
            reschedule(task)


@final
class RateLimiter(Guarding):
    """A guard that lets bodies begin no faster than agreed: ``async with RateLimiter("search", limit=5, window=1.0): ...``.

    Bodies begin in the order in which they came, and exactly when there is room; any number may be
    inside at once. Entered again inside its own body, it counts again. A body that fails is not
    given back, nor is one that is cancelled.

    It belongs to the run of Trio it is used in, and starts blank from its policy in another.

    Attributes:
        name: what events and errors call it.
        policy: its settings.
    """

    __slots__ = ("__weakref__", "_clock", "_core", "_home", "_listener", "policy")

    @overload
    def __init__(
        self,
        name: str,
        policy: WindowPolicy | TokenBucketPolicy,
        *,
        on_event: OnEvent | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self, name: str, *, limit: int, window: float, on_event: OnEvent | None = None
    ) -> None: ...
    def __init__(
        self,
        name: str,
        policy: WindowPolicy | TokenBucketPolicy | None = None,
        *,
        limit: int | None = None,
        window: float | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a limiter, in or outside a run of Trio.

        Args:
            name: what events and errors call it.
            policy: its settings; or instead of them
            limit: how many may begin in a window, and
            window: its length in seconds, which are those of ``WindowPolicy(limit=limit, window=window)``.
            on_event: is told a `WaitStarted` and a `WaitEnded` for each wait, a `CallRejected` for
                each rejection, and a `LimitChanged` for each change.

        Raises:
            TypeError: *name* is no string, neither a policy is given nor limit and window, or both are.
            ValueError: *limit* or *window* makes no sense.
        """
        named("RateLimiter", name)
        self.name = name
        self.policy: WindowPolicy | TokenBucketPolicy = policy_of(
            "RateLimiter", policy, limit, window
        )
        self._home = Home()
        self._clock = trio.current_time
        self._listener = Listener(name, on_event)
        self._core = self._blank()

    # ------------------------------------------------------------ entering and leaving

    @override
    async def __aenter__(self) -> None:
        """Let the body run as soon as there is room. The same as ``acquire()``."""
        await self.acquire()

    @override
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Do nothing: what was admitted counts until its window is over. Never waits."""

    def weighing(self, weight: int, *, max_wait: float | None = None) -> WeightedEntry:
        """Return a guard to enter this limiter with *weight*: ``async with limiter.weighing(1200): ...``.

        Not a checkpoint. Arguments are those of `acquire`, and are checked when it is entered.
        """
        return WeightedEntry(self, weight, max_wait)

    @enable_ki_protection
    async def acquire(self, weight: int = 1, *, max_wait: float | None = None) -> None:
        """Wait until there is room for *weight*, and for everybody who came before. Always a checkpoint.

        If it is cancelled, nothing was consumed and everybody behind is served as if it had never come.

        Args:
            weight: how much to take, at most the limit (of a token bucket: its burst).
            max_wait: the longest wait in seconds; that of the policy by default.

        Raises:
            RateLimitedError: there would be no room within *max_wait*, or not before the deadline
                of the cancel scopes around; or too many wait; or, while it waited, the limit was
                lowered so that it cannot be served, or not in time.
            ValueError: *weight* or *max_wait* makes no sense, or the limit never allows *weight*.
            GuardInUseError: it is in use under another run of Trio.
        """
        await checkpoint_if_cancelled()
        now = self._now()
        if weight is not _ONE:  # True and 1.0 are equal to it
            self._check_weight(weight)
        if max_wait is None:
            max_wait = self.policy.max_wait
        else:
            _SECONDS.check("RateLimiter", "max_wait", max_wait)
        if self._core.admit(weight, now):
            await cancel_shielded_checkpoint()
        else:
            await self._queue(_Sleeper(weight, now, now + max_wait))

    @enable_ki_protection
    def acquire_nowait(self, weight: int = 1) -> None:
        """Take *weight* now, or raise. Not a checkpoint. Who waits comes first: nobody passes the line.

        Raises:
            RateLimitedError: there is no room now, or somebody waits; nothing was consumed.
            ValueError: *weight* makes no sense, or the limit never allows it.
            GuardInUseError: it is in use under another run of Trio.
        """
        if current_root_task() is not self._home.root:
            self._move_in()
        clock = self._clock  # called as an attribute, it would take 0.03 us more
        now = clock()
        if weight is not _ONE:  # True and 1.0 are equal to it
            self._check_weight(weight)
        if not self._core.admit(weight, now):
            raise self._rejected(self._core.refuse("full", weight, now), now)

    # ------------------------------------------------------------ waiting

    async def _queue(self, sleeper: _Sleeper) -> None:  # noqa: ASYNC910 - raises, or was served
        core, now = self._core, sleeper.since
        refusal = core.join(sleeper, now, trio.current_effective_deadline())
        if refusal is None:
            sleeper.around = self._listener.around()
            if self._listener.on:
                waiting = len(core.line)
                self._listener.tell(
                    WaitStarted(guard=self.name, timestamp=now, waiting=waiting)
                )
            refusal = await self._served(sleeper)
        if refusal is not None:
            raise self._rejected(refusal, self._clock())

    async def _served(self, sleeper: _Sleeper) -> Refusal | None:
        """Wait in the line until served, or thrown out: return why."""
        core = self._core
        try:
            while sleeper.refusal is None:
                if core.head is not sleeper:
                    await self._parked(sleeper)
                    continue
                now = self._clock()
                due = core.serve(sleeper, now)
                if due <= now:
                    self._tell_end(sleeper, "admitted", now)
                    self._wake_head()
                    return None  # noqa: ASYNC910 - nobody is served at once who had to join the line
                with trio.CancelScope(deadline=due):
                    sleeper.alarm = due
                    await self._parked(sleeper)
        except BaseException:
            if sleeper in core.line:  # cancelled at the very instant of its alarm
                self._leave(sleeper, self._clock())
            raise
        return sleeper.refusal  # noqa: ASYNC910 - it was thrown out while it waited

    async def _parked(self, sleeper: _Sleeper) -> None:
        def abort(_: object) -> Abort:
            sleeper.task = None
            now = self._clock()
            if now < sleeper.alarm:  # else it may be the alarm, which is no reason to leave
                self._leave(sleeper, now)
            return Abort.SUCCEEDED

        sleeper.task = current_task()
        await wait_task_rescheduled(abort)

    def _leave(self, sleeper: _Sleeper, now: float) -> None:
        was_head = self._core.leave(sleeper)
        self._tell_end(sleeper, "cancelled", now)
        if was_head:
            self._wake_head()

    def _wake_head(self) -> None:
        head = self._core.head
        if head is not None:
            head.wake()

    # ------------------------------------------------------------ looking and changing

    @enable_ki_protection
    def set_limit(self, limit: int, *, window: float | None = None) -> None:
        """Change a limit, from now on. Not a checkpoint; needs a run of Trio, and holds until its end.

        What was admitted still counts. Who waits is served as early as the new limit allows; whom it does
        not allow any more, or not within ``max_wait``, gets a `RateLimitedError`.

        Args:
            limit: how much, >= 1.
            window: which of several windows, by its length in seconds; the first by default.

        Raises:
            ValueError: *limit* makes no sense, or there is no such *window*.
            GuardInUseError: it is in use under another run of Trio.
        """
        _ONE_OR_MORE.check("RateLimiter", "limit", limit)
        now = self._now()
        windows = [rate.window for rate in self.policy.rates]
        if window is not None and window not in windows:
            raise ValueError(f"RateLimiter: window must be one of {windows}, not {window!r}")
        at = 0 if window is None else windows.index(window)
        before = self._core.meter.limits[at]
        thrown_out = self._core.set_limit(limit, now, at)
        for sleeper, refusal in thrown_out:
            sleeper.refusal = refusal
            sleeper.wake()
        self._wake_head()
        if self._listener.on:
            self._listener.tell(
                LimitChanged(guard=self.name, timestamp=now, before=before, limit=limit)
            )
        for sleeper, _ in thrown_out:
            self._tell_end(sleeper, "rejected", now)

    def statistics(self) -> RateLimiterStatistics:
        """Return how things stand. Not a checkpoint; works outside a run of Trio too, where all is free."""
        now = self._now() if in_trio_run() else math.inf  # which may bring another core
        return self._core.statistics(now)

    def outlook(self, known: Outlook | None = None) -> Outlook:
        """Return what tells the statistics of any later time, if nothing else happens; *known*, if nothing has since it was made.

        Not a checkpoint; needs a run of Trio.
        """
        said = self.statistics()
        if known is not None and known.holds(said):
            return known
        return Outlook(said, self._core.meter.fork())

    def is_idle(self) -> bool:
        """Whether a new one with the same policy would do the same: nothing counts, nobody waits, no limit was changed.

        Not a checkpoint; needs a run of Trio.
        """
        now, core = self._now(), self._core
        limits = tuple(rate.limit for rate in self.policy.rates)
        return not core.line and core.meter.is_idle(now) and core.meter.limits == limits

    # ------------------------------------------------------------ its run of Trio

    def _blank(self) -> LimiterCore[_Sleeper]:
        return LimiterCore(self.policy.meter(), self.policy.max_waiters)

    def _move_in(self) -> None:
        if self._home.move_in(self):
            self._core = self._blank()
            self._listener.start_anew()
        # Half as long as trio.current_time(), which looks for the clock each time.
        self._clock = current_clock().current_time

    def _now(self) -> float:
        if current_root_task() is not self._home.root:
            self._move_in()
        return self._clock()

    def _check_weight(self, weight: int) -> None:
        _ONE_OR_MORE.check("RateLimiter", "weight", weight)
        capacity = self._core.meter.capacity
        if weight > capacity:
            raise ValueError(
                f"RateLimiter: weight must be <= {capacity}, the most that {self.name!r} ever admits, not {weight}"
            )

    # ------------------------------------------------------------ reporting

    def _rejected(self, refusal: Refusal, now: float) -> RateLimitedError:
        reason, retry_after = refusal.reason, refusal.retry_after
        if self._listener.on:
            self._listener.tell(
                CallRejected(
                    guard=self.name, timestamp=now, reason=reason, retry_after=retry_after
                )
            )
        return RateLimitedError(guard=self.name, reason=reason, retry_after=retry_after)

    def _tell_end(
        self,
        sleeper: _Sleeper,
        outcome: Literal["admitted", "rejected", "cancelled"],
        now: float,
    ) -> None:
        if self._listener.on or sleeper.around is not None:
            waited = now - sleeper.since
            event = WaitEnded(guard=self.name, timestamp=now, outcome=outcome, waited=waited)
            self._listener.tell_of(event, sleeper.around)


@final
class WeightedEntry(Guarding):
    """A guard that enters a rate limiter with a weight, as often as one likes. Made by `RateLimiter.weighing`.

    Attributes:
        name: that of the limiter.
        weight: how much each entry takes.
        max_wait: the longest wait in seconds; None: that of the limiter's policy.
    """

    __slots__ = ("_limiter", "max_wait", "weight")

    def __init__(self, limiter: RateLimiter, weight: int, max_wait: float | None) -> None:
        self.name: str = limiter.name
        self.weight: int = weight
        self.max_wait: float | None = max_wait
        self._limiter = limiter

    @override
    async def __aenter__(self) -> None:
        """Let the body run as soon as there is room. The same as ``acquire(weight, max_wait=max_wait)``."""
        await self._limiter.acquire(self.weight, max_wait=self.max_wait)

    @override
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Do nothing: what was admitted counts until its window is over. Never waits."""
