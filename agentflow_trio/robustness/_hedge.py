"""Hedge: a second attempt beside a slow one, and whichever ends well first.

Layer: robustness. Rules: every attempt is a task of its own, cut off and joined before the call returns; the task of the
caller alone decides, attempts only report; an error that nobody gets is told.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, Never, ParamSpec, TypeVar, TypeVarTuple, final, overload

import attrs
import trio
from trio.lowlevel import checkpoint_if_cancelled, current_root_task

from .._typing import override
from ..errors import text_of
from ._bounds import named
from ._budget import budget_of
from ._budget_core import Budget, BudgetStatistics
from ._events import AttemptFailed, GaveUp, HedgeStarted, HedgeWon, OnEvent, RuleFailed
from ._fault_point import FAULTS, behind
from ._guard import Home, Listener, Member
from ._hedge_bout import Bout
from ._hedge_core import Course, EarlyReason, Failed, delay_of
from ._hedge_policy import Delay, HedgePolicy
from ._verdict_core import Judge

__all__ = ["Hedge", "HedgeStatistics"]

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")

_LOG: Final = logging.getLogger("agentflow_trio.robustness")


@final
@attrs.frozen(kw_only=True)
class HedgeStatistics:
    """A picture of a hedge, since its run of Trio began.

    Attributes:
        name: of the hedge.
        after: the delay, in seconds, for a call that begins now.
        samples: how many durations an adaptive delay knows.
        inside: how many calls go on now.
        calls: how many were begun.
        hedges: how many attempts were begun beside others or after them, by reason.
        won: how many calls another attempt than the first one decided.
        completed: how many calls returned something.
        failed: how many raised.
        cancelled: how many were cancelled.
        refused: for how many the budget did not pay for another attempt.
        failed_late: how many attempts failed while they were cut off.
        budget: a picture of the budget; None if there is none, or the hedge was not used yet.
    """

    name: str
    after: float
    samples: int
    inside: int
    calls: int
    hedges: Mapping[EarlyReason, int]
    won: int
    completed: int
    failed: int
    cancelled: int
    refused: int
    failed_late: int
    budget: BudgetStatistics | None


@final
class Hedge(Member[Never]):
    """Begins another attempt beside one that is slow, and at once after one that failed; the first to end well wins.

    ``await hedge.call(fetch, url)`` or ``@hedge`` above an async function. What is hedged must be something that may be
    done twice: an attempt that is cut off may have had its effect.

    Every attempt, the first one too, runs in a task of its own inside the call, with a copy of the caller's context
    variables as they are when it begins. There is exactly one outcome, and when it is there no attempt goes on: those
    that have not won are cut off and waited for. Of attempts that end well in one pass of Trio's scheduler, or at the
    same time of its clock and without a checkpoint after the hedge took note, the one with the lowest number wins.

    An error that is not handled ends the call and is raised itself; if all attempts fail, the last error is, with a
    note that tells of the others. A call that is cancelled cancels its attempts. What fails while it is cut off is told,
    as `AttemptFailed` and in the note of what is raised, or to the log if nobody listens.

    One hedge may be used by any number of tasks at once. Entered under another run of Trio it starts blank.

    Attributes:
        name: what events and notes call it.
        policy: as it was made.
    """

    __slots__ = (
        "_budget",
        "_calls",
        "_cancelled",
        "_completed",
        "_delay",
        "_failed",
        "_failed_late",
        "_hedges",
        "_home",
        "_inside",
        "_judge",
        "_listener",
        "_refused",
        "_won",
        "policy",
    )

    @overload
    def __init__(
        self, policy: HedgePolicy, *, name: str = ..., on_event: OnEvent | None = ...
    ) -> None: ...
    @overload
    def __init__(
        self, *, after: Delay, name: str = ..., on_event: OnEvent | None = ...
    ) -> None: ...
    def __init__(
        self,
        policy: HedgePolicy | None = None,
        *,
        after: Delay | None = None,
        name: str = "hedge",
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a hedge, anywhere: also before Trio runs.

        Args:
            policy: when another attempt is begun.
            after: instead of a policy, if its other settings are to be the defaults: the delay.
            name: what events, notes and pictures call it.
            on_event: is told `HedgeStarted`, `HedgeWon`, `AttemptFailed`, `GaveUp` and `RuleFailed`.

        Raises:
            ValueError: *after* makes no sense.
            TypeError: *name* is no string, or there is not exactly one of *policy* and *after*.
        """
        named("Hedge", name)
        self.name = name
        if policy is None and after is not None:
            policy = HedgePolicy(after=after)
        elif policy is None or after is not None:
            raise TypeError("Hedge: give either after= or a HedgePolicy")
        self.policy: HedgePolicy = policy
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._judge = Judge(
            policy.on, policy.ignore, unsure="ignored", complain=self._tell_rule_failed
        )
        self._budget: Budget | None = None
        self._start_blank()

    def _start_blank(self) -> None:
        self._delay = delay_of(self.policy.after)
        self._listener.start_anew()
        self._inside = 0
        self._calls = 0
        self._hedges: dict[EarlyReason, int] = {}
        self._won = 0
        self._completed = 0
        self._failed = 0
        self._cancelled = 0
        self._refused = 0
        self._failed_late = 0

    def _move_in(self) -> None:
        if self._home.move_in(self):
            self._start_blank()
        if self.policy.budget is not None:
            self._budget = budget_of(self.policy.budget)

    def statistics(self) -> HedgeStatistics:
        """What happened since the run of Trio began. Not a checkpoint."""
        return HedgeStatistics(
            name=self.name,
            after=self._delay.seconds(),
            samples=self._delay.samples,
            inside=self._inside,
            calls=self._calls,
            hedges=dict(self._hedges),
            won=self._won,
            completed=self._completed,
            failed=self._failed,
            cancelled=self._cancelled,
            refused=self._refused,
            failed_late=self._failed_late,
            budget=self._budget and self._budget.statistics(),
        )

    # ------------------------------------------------------------ calling

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Return what ``await fn(*args)`` returns, in the first attempt that ends well. Always a checkpoint.

        Args:
            fn: an async function.
            args: its arguments. For keyword arguments use ``@hedge`` or ``functools.partial``.

        Raises:
            GuardInUseError: the hedge is in use under another run of Trio.
            ValueError: its budget is in use with other settings.

        What *fn* raises in the attempt that decides is raised itself.
        """
        plan = FAULTS.get()
        if plan is None:
            return await self.attempts(lambda _: fn(*args))
        return await self.attempts(lambda _: behind(plan, self.name, fn, args))

    def __call__(
        self, fn: Callable[Arguments, Awaitable[Value]], /
    ) -> Callable[Arguments, Coroutine[object, Never, Value]]:
        """Make an async function that is `call`-ed whenever it is called."""

        @functools.wraps(fn)
        async def hedged(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
            return await self.call(lambda: fn(*args, **kwargs))

        return hedged

    async def attempts(self, work: Callable[[int], Awaitable[Value]], /) -> Value:
        """As `call`, of ``await work(number)``, where *number* says which attempt it is, from 1."""
        await checkpoint_if_cancelled()
        if current_root_task() is not self._home.root:
            self._move_in()
        if self._budget is not None:
            self._budget.deposit(trio.current_time())
        self._calls += 1
        self._inside += 1
        course = Course(self.policy, self._judge, self._delay.seconds())
        bout = Bout(self.name, work)
        try:
            async with trio.open_nursery() as nursery:
                await self._decide(course, bout, nursery)
                if course.running:
                    nursery.cancel_scope.cancel()
            error = self._conclude(course, bout)
            if error is not None:
                raise error
            return bout.values[course.winner]
        finally:
            self._inside -= 1
            error = None  # which keeps this frame, which would keep it
            del course, bout

    async def _decide(self, course: Course, bout: Bout[Value], nursery: trio.Nursery) -> None:
        """Begin attempts until nothing that is to come counts any more. Raises nothing."""
        now = trio.current_time()
        bout.begin(nursery, course.begin(now))
        told = 0
        while True:
            while (reason := course.wants(now)) is not None and course.may(
                now, deadline=trio.current_effective_deadline(), budget=self._budget
            ):
                number = course.begin(now)
                bout.begin(nursery, number)
                self._begun(number, reason, now)
            if course.over:
                return
            try:
                await bout.news(course.due)
            except BaseException as error:  # noqa: BLE001 - raised when the attempts are joined, bare
                course.interrupted(error, trio.current_time())
            now = trio.current_time()
            for number, _, ending, cut in bout.ended():
                course.ended(number, ending, now, cut=cut)
            told = self._tell_failures(course, told, now)

    def _conclude(self, course: Course, bout: Bout[Value]) -> BaseException | None:
        """Take note of how it came out, all attempts being at an end, and return what is to be raised."""
        told, now = len(course.failures), trio.current_time()
        for number, at, ending, cut in bout.ended():
            course.ended(number, ending, at, cut=cut)
        self._tell_failures(course, told, now)
        self._refused += course.refused
        error = course.failure()
        if error is None:
            self._complete(course, now)
        else:
            self._fail(course, error, now)
        return error

    def _complete(self, course: Course, now: float) -> None:
        seconds = course.won_at - course.begun[0]
        self._completed += 1
        self._won += course.winner > 1
        self._delay.learn(seconds)
        attempts = len(course.begun)
        if attempts > 1 and self._listener.on:
            told = HedgeWon(
                guard=self.name,
                timestamp=now,
                duration_ms=seconds * 1000.0,
                attempt=course.winner,
                attempts=attempts,
            )
            self._listener.tell(told)

    def _fail(self, course: Course, error: BaseException, now: float) -> None:
        final = course.final()
        if final is None:
            self._cancelled += 1
        if final is None or error is not final.error:
            return
        self._failed += 1
        if self._listener.on:
            told = GaveUp(
                guard=self.name,
                timestamp=now,
                attempts=len(course.begun),
                elapsed=final.at - course.begun[0],
                reason=course.reason,
            )
            self._listener.tell(told)
        # an error may refuse notes; it is raised all the same
        with contextlib.suppress(Exception):
            error.add_note(course.note(self.name, final))

    # ------------------------------------------------------------ telling

    def _begun(self, number: int, reason: EarlyReason, now: float) -> None:
        self._hedges[reason] = self._hedges.get(reason, 0) + 1
        if self._listener.on:
            told = HedgeStarted(guard=self.name, timestamp=now, attempt=number, reason=reason)
            self._listener.tell(told)

    def _tell_failures(self, course: Course, told: int, now: float) -> int:
        """Tell of all failures but the first *told*, and return how many there are."""
        for failed in course.failures[told:]:
            self._tell_failed(failed, now)
        return len(course.failures)

    def _tell_failed(self, failed: Failed, now: float) -> None:
        self._failed_late += failed.late
        if self._listener.on:
            kind, text = failed.brief
            told = AttemptFailed(
                guard=self.name,
                timestamp=now,
                duration_ms=(failed.at - failed.begun) * 1000.0,
                attempt=failed.attempt,
                error=kind,
                message=text,
            )
            self._listener.tell(told)
        elif failed.late:
            _LOG.warning(
                "hedge %r: attempt %d failed while it was cut off",
                self.name,
                failed.attempt,
                exc_info=failed.error,
            )

    def _tell_rule_failed(self, wrong: Exception) -> None:
        """Tell what a function of the user's raised."""
        if self._listener.on:
            told = RuleFailed(
                guard=self.name,
                timestamp=trio.current_time(),
                error=type(wrong).__name__,
                message=text_of(wrong),
            )
            self._listener.tell(told)
