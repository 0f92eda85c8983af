"""What the shell of every guard needs: whose run it is in, the permits of each task, and a listener that cannot hurt.

Layer: robustness. Rules: a guard belongs to one run of Trio and starts blank in the next; permits are kept per task,
last in first out, so that two tasks never take each other's; reporting is synchronous and never raises.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Final, Generic, Never, ParamSpec, Protocol, TypeVar, TypeVarTuple, final

import attrs
import trio
from trio.lowlevel import Task, current_clock, current_root_task, current_task

from .._typing import TypeIs, override
from ..errors import GuardInUseError, GuardMisuseError, text_of
from ..ports import Met, Simulated
from ._around import AROUND, Surroundings
from ._events import AttemptFailed, FallbackUsed, GuardEvent, OnEvent, RuleFailed
from ._fault_point import FAULTS, behind
from ._own_limits import is_out_of_time, own_limits
from ._verdict_core import Judge, Verdict

__all__ = [
    "NOT_ENTERED",
    "Guard",
    "Guarding",
    "Home",
    "Listener",
    "Member",
    "TaskPermits",
    "conclude",
    "meet",
    "own_limits",
]

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")
Instead_co = TypeVar("Instead_co", covariant=True)
Permit = TypeVar("Permit")
PosArgs = TypeVarTuple("PosArgs")


class Guard(Protocol):
    """Something to enter around a body. It lends nothing (so a ResourcePool is none: its object would be lost)."""

    @property
    def name(self) -> str:
        """What events, errors and pictures call it."""
        ...

    async def __aenter__(self) -> object:
        """Let the body run, or raise a `RejectedError`."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Take note of how the body ended. Never waits, never swallows its error."""
        ...


class Member(Generic[Instead_co]):
    """What a pipeline is made of. ``Instead_co``: what it may return in the body's place (Never: nothing).

    A nominal base: as a Protocol, mypy leaks the type variable of ``call`` into ``Instead_co``.
    """

    __slots__ = ("name",)
    name: str

    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value | Instead_co:
        """Call ``await fn(*args)`` within this."""
        raise NotImplementedError

    def __call__(
        self, fn: Callable[Arguments, Awaitable[Value]], /
    ) -> Callable[Arguments, Coroutine[object, Never, Value | Instead_co]]:
        """Make an async function that is `call`-ed whenever it is called: ``@member`` above one."""

        @functools.wraps(fn)
        async def within(
            *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> Value | Instead_co:
            return await self.call(lambda: fn(*args, **kwargs))

        return within


class Guarding(Member[Never]):
    """A guard, with the ``call`` that every guard has: enter, call, leave."""

    __slots__ = ()

    async def __aenter__(self) -> object:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        raise NotImplementedError

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Enter, return ``await fn(*args)``, leave. A checkpoint if entering or *fn* is one."""
        async with self:
            plan = FAULTS.get()
            return await (fn(*args) if plan is None else behind(plan, self.name, fn, args))


# ---------------------------------------------------------------- the run it belongs to


@final
class Home:
    """The run of Trio that a guard belongs to, known by its root task.

    Attributes:
        root: the root task; None before first use. A shell compares ``current_root_task() is home.root`` itself,
            which is all that an entry costs, and calls `move_in` if it is not.
    """

    __slots__ = ("_forget", "_left", "root")

    def __init__(self, forget: Callable[[], None] | None = None) -> None:
        """*forget* is called when it is left, for a shell that remembers more of the run than its root."""
        self.root: Task | None = None
        self._left = False
        self._forget = forget

    def move_in(self, guard: Met) -> bool:
        """Belong to the run that is going on. Return whether the guard must start blank: it was at home in another.

        Raises:
            GuardInUseError: that other run is still going on; nothing was changed.
            RuntimeError: no run of Trio is going on here.
        """
        here = current_root_task()
        if here is None:  # Trio itself is starting or ending
            raise RuntimeError("must be called from async context")
        before = self.root
        if before is here:
            return False
        if before is not None and not _is_over(before):
            raise GuardInUseError(guard=guard.name)
        clock = current_clock()
        # The next execution is another run, though Trio goes on.
        if _is_simulated(clock):
            clock.when_over(self._leave)
            clock.met.append(guard)
        blank, self._left = before is not None or self._left, False
        self.root = here
        return blank

    def _leave(self) -> None:
        self.root, self._left = None, True
        if self._forget is not None:
            self._forget()


def meet(guard: Met) -> None:
    """Let the simulation that goes on, if one does, know of *guard*, which has no home; once, at its first use."""
    clock = current_clock()
    if _is_simulated(clock):
        clock.met.append(guard)


def _is_over(root: Task) -> bool:
    return inspect.getcoroutinestate(root.coro) == inspect.CORO_CLOSED


def _is_simulated(clock: object) -> TypeIs[Simulated]:
    # isinstance would ask the metaclass of its protocols: 6 us where nothing is in the processor's caches
    return Simulated in type(clock).__mro__


# ---------------------------------------------------------------- permits


@final
class TaskPermits(Generic[Permit]):
    """The permits of a guard, per task, last in first out."""

    __slots__ = ("_guard", "_held")

    def __init__(self, guard: str) -> None:
        self._guard = guard
        self._held: dict[Task, list[tuple[Permit, int]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def push(self, permit: Permit, /) -> Permit:
        """Keep *permit* for the running task, and return it."""
        task = current_task()
        entry = permit, len(task.child_nurseries)
        held = self._held.get(task)
        if held is None:
            self._held[task] = [entry]
        else:
            held.append(entry)
        return permit

    def pop(self) -> Permit:
        """Take the running task's last permit.

        Raises:
            GuardMisuseError: it has none; nothing was changed.
        """
        task = current_task()
        held = self._held.get(task)
        if held is None:
            raise GuardMisuseError(guard=self._guard, reason=NOT_ENTERED)
        permit, _ = held.pop()
        if not held:
            del self._held[task]
        return permit

    def around_caller(self) -> Permit | None:
        """The innermost permit in whose body the running task is: its own, or one of a task above it.

        A child task is in the body if its nursery was opened there, not if it merely was running before.
        """
        held = self._held
        if not held:
            return None
        task = current_task()
        if task in held:
            return held[task][-1][0]
        while (nursery := task.parent_nursery) is not None:
            task = nursery.parent_task
            if task in held:
                place = task.child_nurseries.index(nursery)
                for permit, nurseries in reversed(held[task]):
                    if place >= nurseries:
                        return permit
        return None

    def clear(self) -> None:
        """Forget all permits: they were of another run."""
        self._held.clear()


NOT_ENTERED: Final = "it is left in a task that did not enter it"


# ---------------------------------------------------------------- reporting


def _shown(event: GuardEvent) -> GuardEvent:
    """*event* as it may be shown: an error's text is not ours, nor is what a keyed guard is asked for."""
    says = isinstance(event, AttemptFailed | RuleFailed | FallbackUsed)
    if not says and "[" not in event.guard:
        return event
    from ..redaction import hide  # noqa: PLC0415 - most programs never need it

    guard = hide(event.guard)
    if isinstance(event, AttemptFailed | RuleFailed | FallbackUsed):
        return attrs.evolve(event, guard=guard, message=hide(event.message))
    return attrs.evolve(event, guard=guard)


def _without_secrets(record: logging.LogRecord) -> bool:
    from ..redaction import SecretsFilter  # noqa: PLC0415 - likewise

    return SecretsFilter().filter(record)


_LOG: Final = logging.getLogger("agentflow_trio.robustness")
"""Its records may have tracebacks of errors that are not ours."""
_LOG.addFilter(_without_secrets)


@final
class Listener:
    """Tells ``on_event``, and the run of the step that the guard is used in, if it is used in one.

    If ``on_event`` raises, the error is logged and it is told nothing more in this run of Trio.
    """

    __slots__ = ("_guard", "_heard", "_on_event")

    def __init__(self, guard: str, on_event: OnEvent | None) -> None:
        self._guard = guard
        self._on_event = on_event
        self._heard = on_event is not None

    @property
    def on(self) -> bool:
        """Whether anybody listens; if not, no event need be made."""
        return self._heard or (AROUND.hint() is not None and self.around() is not None)

    def around(self) -> Surroundings | None:
        """The step that the caller is in, if anybody listens to its run."""
        around = AROUND.find()
        return around if around is not None and around.listening else None

    def tell(self, event: GuardEvent, /) -> None:
        """Tell *event* of the task that is running. Not a checkpoint; never raises an Exception."""
        self.tell_of(event, self.around())

    def tell_of(self, event: GuardEvent, around: Surroundings | None, /) -> None:
        """Tell *event* of a task in the step *around*, whoever is running. Not a checkpoint; never raises an Exception."""
        if self._heard and self._on_event is not None:
            try:
                self._on_event(_shown(event))
            except Exception:  # noqa: BLE001 - told to the log; a guard must not fail because somebody watches it
                self._heard = False
                _LOG.exception(
                    "on_event of guard %r raised and is told nothing more", self._guard
                )
        if around is not None:
            around.tell(event)

    def complain(self, wrong: Exception, /) -> None:
        """Tell that a function given as a rule raised *wrong*. Not a checkpoint; never raises an Exception."""
        if self.on:
            self.tell(
                RuleFailed(
                    guard=self._guard,
                    timestamp=trio.current_time(),
                    error=type(wrong).__name__,
                    message=text_of(wrong),
                )
            )

    def start_anew(self) -> None:
        """In another run of Trio, listen again."""
        self._heard = self._on_event is not None


# ---------------------------------------------------------------- the verdict


def conclude(judge: Judge, error: BaseException | None, /) -> Verdict:
    """The verdict of a body that ended with *error*. Not a checkpoint; never raises.

    A cancellation by a limit of the very step or pipeline that the guard belongs to is a failure: a breaker would
    never learn of hangs otherwise.
    """
    verdict = judge.verdict(error)
    if verdict == "cancelled" and is_out_of_time():
        return "failure"
    return verdict
