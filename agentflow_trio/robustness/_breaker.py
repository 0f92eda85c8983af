"""Circuit breaker: a body that keeps failing is not run for a while.

Layer: robustness. Rules: entering can be cancelled but never yields, leaving does neither; deciding and recording
have no await in between; the body's error is never replaced. The rules of the circuit are in the core.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from types import TracebackType
from typing import TypeVar, TypeVarTuple, final

import trio
from trio.lowlevel import (
    Task,
    checkpoint_if_cancelled,
    current_clock,
    current_root_task,
    current_task,
    enable_ki_protection,
    in_trio_run,
)

from .._typing import override
from ..errors import CircuitOpenError, GuardMisuseError
from ._bounds import named
from ._breaker_core import BreakerCore, Refusal, Ticket
from ._breaker_states_core import Act, BreakerState
from ._circuit_policy import CircuitPolicy
from ._circuit_records import CircuitSnapshot, CircuitStatistics
from ._dice import Dice, shared_dice
from ._events import CallRejected, CircuitChanged, OnEvent
from ._failed_result import is_failure
from ._fault_point import FAULTS, behind
from ._guard import NOT_ENTERED, Guarding, Home, Listener, conclude
from ._private import Context, Look, PublicContext, find_context, find_look, look_publicly
from ._verdict_core import Judge

__all__ = ["CircuitBreaker", "CircuitPermit"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class CircuitPermit(Ticket):
    """One admission by a circuit breaker; `CircuitBreaker` makes it.

    Attributes:
        breaker: which admitted.
        nurseries: how many the task had open then; those it opened later are in the body.
    """

    __slots__ = ("breaker", "nurseries")
    breaker: CircuitBreaker
    nurseries: int
    generation: int
    begun: float

    def record(self, result: object, /) -> None:
        """Let *result* count as failure, if it is one. Not a checkpoint.

        An error is judged by the policy's ``record`` and ``ignore``, anything else by its ``failed_result``. What the
        body raises comes before what it recorded; one failure among several results is enough.

        Raises:
            TypeError: *result* is no error, and the policy has no ``failed_result``.
        """
        if self.breaker.is_failure(result) and self.generation >= 0:
            self.generation = ~self.generation

    def start(self) -> None:
        """Let the time of a slow call count from now, as when other guards inside made it wait. Not a checkpoint.

        Inside a body that passed this permit on, nothing: its time counts already.
        """
        if not self.breaker.is_passed_on():
            self.begun = trio.current_time()


@final
class CircuitBreaker(Guarding):
    """A guard that lets no body run while those before it kept failing.

    ``async with CircuitBreaker("search"): ...``, entered by any number of tasks at once. Entering is a cancellation
    point that never yields; leaving is neither. Entered again inside its own body, child tasks included, it passes on
    the outer permit: that body is judged once, as a whole.

    It belongs to the run of Trio it is used in, and starts blank from its policy in another.

    Attributes:
        name: what events and errors call it.
        policy: its settings.
    """

    __slots__ = (
        "_clock",
        "_context",
        "_core",
        "_home",
        "_judge",
        "_listener",
        "_look",
        "_nested",
        "_permits",
        "_random",
        "_seed",
        "_seen",
        "policy",
    )

    def __init__(
        self,
        name: str,
        policy: CircuitPolicy | None = None,
        *,
        on_event: OnEvent | None = None,
        seed: int | str | None = None,
    ) -> None:
        """Make a breaker, in or outside a run of Trio.

        Args:
            name: what events and errors call it.
            policy: its settings; by default five failures in a row open it for 30 s.
            on_event: is told a `CircuitChanged` for each change and a `CallRejected` for each rejection.
            seed: what the policy's jitter is derived from, together with the name. Default: the seed of the run it
                is used in; where there is none, a number drawn once per process.

        Raises:
            TypeError: *name* is no string.
        """
        named("CircuitBreaker", name)
        self.name = name
        self.policy: CircuitPolicy = CircuitPolicy() if policy is None else policy
        self._seed = seed
        self._home = Home(self._leave_run)
        self._seen: Task | None = None
        self._context: Context = PublicContext()
        self._look: Look = look_publicly
        self._clock = trio.current_time
        self._listener = Listener(name, on_event)
        self._judge = Judge(
            self.policy.record, self.policy.ignore, complain=self._listener.complain
        )
        self._permits: dict[Task, CircuitPermit] = {}
        # how often a task is inside a permit that is not its own, or again inside its own
        self._nested: dict[Task, tuple[CircuitPermit, int]] = {}
        self._start_blank()

    # ------------------------------------------------------------ entering and leaving

    @override
    @enable_ki_protection
    async def __aenter__(self) -> CircuitPermit:
        """Let the body run. A cancellation point that never yields.

        Raises:
            CircuitOpenError: the circuit is not closed, and this is no probe; the body was not run.
            GuardInUseError: it is in use under another run of Trio.
        """
        task = self._context.task
        if task is not self._seen:
            self._arrive(task)
        look = self._look  # called as an attribute, it would take twice as long
        nurseries = look(task)
        if nurseries is None:
            await checkpoint_if_cancelled()
        if self._permits or self._nested:
            outer = self._around(task)
            if outer is not None:
                return self._pass_on(outer, task)  # noqa: ASYNC910 - it never yields
        generation = self._core.easy
        if generation is None:
            admitted = self._admit(task)
            if isinstance(admitted, CircuitPermit):
                return admitted  # noqa: ASYNC910 - it never yields
            raise self._rejection(*admitted)
        # without __init__, which would take longer than all the rest
        self._permits[task] = permit = CircuitPermit()
        permit.breaker = self
        permit.generation = generation
        permit.nurseries = len(nurseries or ())
        return permit  # noqa: ASYNC910 - it never yields

    @override
    @enable_ki_protection
    async def __aexit__(  # noqa: ASYNC124, ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Take note of how the body ended. Never waits, never raises in place of the body's error."""
        task = self._context.task
        if self._nested and task in self._nested:
            self._leave_nested(task)
            return
        try:
            permit = self._permits.pop(task)
        except KeyError:
            raise GuardMisuseError(guard=self.name, reason=NOT_ENTERED) from error
        core = self._core
        if error is None and permit.generation == core.easy:
            core.streak = 0
            core.succeeded += 1
        else:
            self._settle(permit, error)

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Enter, return ``await fn(*args)``, leave. A cancellation point; a checkpoint if *fn* is one.

        The result is recorded if the policy has a ``failed_result``.
        """
        async with self as permit:
            plan = FAULTS.get()
            result = await (fn(*args) if plan is None else behind(plan, self.name, fn, args))
            if self.policy.failed_result is not None:
                permit.record(result)
            return result

    def _admit(self, task: Task) -> CircuitPermit | Refusal:
        """The permit of *task*, or why it has none, which was told. Raising is left to the caller: 0.05 us for each frame."""
        core, clock = self._core, self._clock
        now = clock()
        refusal = core.admit(now)
        if refusal is not None:
            if core.changes:
                self._tell_changes(now)
            reason, retry_after = refusal
            if self._listener.on:
                self._tell_rejected(reason, retry_after, now)
            return refusal
        permit = CircuitPermit()
        permit.breaker, permit.generation, permit.begun = self, core.generation, now
        permit.nurseries = len(task.child_nurseries)
        self._permits[task] = permit
        if core.changes:
            self._tell_changes(now)
        return permit

    def _rejection(self, reason: str, retry_after: float | None) -> CircuitOpenError:
        error = CircuitOpenError.__new__(CircuitOpenError)  # a third of what __init__ takes
        error.guard, error.reason, error.retry_after = self.name, reason, retry_after
        return error

    def _settle(self, permit: CircuitPermit, error: BaseException | None) -> None:
        core, clock = self._core, self._clock
        now = clock()
        core.settle(permit, "success" if error is None else conclude(self._judge, error), now)
        if core.changes:
            self._tell_changes(now)

    # ------------------------------------------------------------ inside its own body

    def _around(self, task: Task) -> CircuitPermit | None:
        """The permit in whose body *task* is: its own, or one of a task above it that opened the nursery in there."""
        if task in self._nested:
            return self._nested[task][0]
        permits = self._permits
        permit = permits.get(task)
        while permit is None and (nursery := task.parent_nursery) is not None:
            task = nursery.parent_task
            permit = permits.get(task)
            if permit is not None and (task.child_nurseries.index(nursery) < permit.nurseries):
                permit = None
        return permit

    def _pass_on(self, outer: CircuitPermit, task: Task) -> CircuitPermit:
        _, often = self._nested.get(task, (outer, 0))
        self._nested[task] = outer, often + 1
        return outer

    def is_passed_on(self) -> bool:
        """Whether the running task is inside a permit that is not its own, or again inside its own. Not a checkpoint."""
        return current_task() in self._nested

    def _leave_nested(self, task: Task) -> None:
        outer, often = self._nested.pop(task)
        if often > 1:
            self._nested[task] = outer, often - 1

    # ------------------------------------------------------------ by hand

    def open(self) -> None:
        """Open the circuit as a failure would: it recovers by itself. Not a checkpoint; needs a run of Trio."""
        self._act("opened_by_hand")

    def close(self) -> None:
        """Close the circuit and forget what was counted, but for the totals. Not a checkpoint; needs a run of Trio."""
        self._act("closed_by_hand")

    def isolate(self) -> None:
        """Reject every call until `close` or `reset`. Not a checkpoint; needs a run of Trio."""
        self._act("isolated_by_hand")

    def disable(self) -> None:
        """Let every call through and count nothing until `close` or `reset`. Not a checkpoint; needs a run of Trio."""
        self._act("disabled_by_hand")

    def reset(self) -> None:
        """Close the circuit and forget everything, the totals too. Not a checkpoint; needs a run of Trio."""
        self._act("reset")

    def _act(self, act: Act) -> None:
        now = self._now()
        self._core.act(act, now)
        self._tell_changes(now)

    # ------------------------------------------------------------ what it knows

    def statistics(self) -> CircuitStatistics:
        """Return a picture as of now. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._now()
        core = self._core
        return CircuitStatistics(
            state=core.state,
            generation=core.generation,
            until=core.until if core.state is BreakerState.OPEN else None,
            running=len(self._permits),
            succeeded=core.succeeded,
            failed=core.failed,
            ignored=core.ignored,
            cancelled=core.cancelled,
            stale=core.stale,
            rejected=core.rejected,
            opened=core.opened,
            failures_in_a_row=core.streak,
            trips=core.trips,
        )

    def snapshot(self) -> CircuitSnapshot:
        """Return what another run of Trio needs to go on from here. Not a checkpoint; needs a run of Trio."""
        now = self._now()
        snapshot = self._core.snapshot(now)
        self._tell_changes(now)
        return snapshot

    def restore(self, snapshot: CircuitSnapshot, /) -> None:
        """Go on from *snapshot*, whatever was known before. Not a checkpoint; needs a run of Trio."""
        now = self._now()
        self._core.restore(snapshot, now)
        self._tell_changes(now)

    def is_failure(self, result: object, /) -> bool:
        """Whether *result* counts as failure, as in `CircuitPermit.record`. Not a checkpoint.

        A ``failed_result`` that raises counts as failure, and is told as a `RuleFailed` event.

        Raises:
            TypeError: *result* is no error, and the policy has no ``failed_result``.
        """
        rule, whose = self.policy.failed_result, f"circuit {self.name!r}"
        return is_failure(result, rule, self._judge, self._listener, whose=whose)

    # ------------------------------------------------------------ the run it belongs to

    def _now(self) -> float:
        """The time, in the run of Trio that this belongs to from now on."""
        now = trio.current_time()
        if current_root_task() is not self._home.root:
            self._move_in()
        return now

    def _arrive(self, task: Task) -> None:
        """A task enters that is not the one that entered last: it may be of another run, which has other tasks."""
        if current_root_task() is not self._home.root:
            self._move_in()
        self._seen = task

    def _leave_run(self) -> None:
        self._seen = None

    def _move_in(self) -> None:
        self._context, self._look = find_context(), find_look()
        # Half as long as trio.current_time(), which looks for the clock each time.
        self._clock = current_clock().current_time
        if self._home.move_in(self):
            self._permits.clear()
            self._nested.clear()
            self._listener.start_anew()
            self._start_blank()

    def _start_blank(self) -> None:
        self._random: Random | None = None
        self._core = BreakerCore(self.policy, self._draw)

    def _draw(self) -> float:
        if self._random is None:  # on first use, since few circuits have jitter
            given = None if self._seed is None else Dice(self._seed).of
            self._random = (given or shared_dice() or Dice().of)(self.name)
        return self._random.random()

    # ------------------------------------------------------------ telling

    def _tell_changes(self, now: float) -> None:
        changes = self._core.changes
        while changes:  # a listener may cause more, which come after these
            change = changes.pop(0)
            if self._listener.on:
                self._listener.tell(
                    CircuitChanged(
                        guard=self.name,
                        timestamp=now,
                        before=change.before.value,
                        state=change.after.value,
                        generation=change.generation,
                        cause=change.cause,
                        retry_after=change.retry_after,
                    )
                )

    def _tell_rejected(self, reason: str, retry_after: float | None, now: float) -> None:
        self._listener.tell(
            CallRejected(guard=self.name, timestamp=now, reason=reason, retry_after=retry_after)
        )
