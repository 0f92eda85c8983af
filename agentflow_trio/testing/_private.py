"""All that the simulator knows of Trio's insides, and what is left without it.

Layer: testing. No other module of ``testing`` touches a private name of Trio. What the order of tasks needs is tried
out once per process; if Trio changed, `require` says so by name, and a lower `Control` goes on working:

* ``"order"``: who goes on next is chosen one step at a time. Needs ``_r`` and ``_ALLOW_DETERMINISTIC_SCHEDULING`` of
  ``trio._core._run`` (Trio's own Hypothesis plugin uses both) and the queue of runnable tasks, ``Runner.runq``.
* ``"shuffle"``: the order within each pass of the scheduler is chosen. Needs ``_r`` and the flag.
* ``"time"``: virtual time, traces and reports; the order is Trio's own. Needs public names only.

The rest is optional: near-ties of timers want ``Runner.deadlines``; ``wait_all_tasks_blocked`` wants
``Runner.waiting_for_idle``; reports want ``Task._cancel_status`` for shields and limits, and ``Task._next_send_fn`` to
tell who could go on; histories want ``Task._next_send`` to tell who is being cancelled, pictures
``Nursery._pending_excs`` for how tasks ended; threads want the names in ``trio._threads`` that tell who has sent what,
to be taken up in the order of their tasks; what tells that nothing can arrive from outside saves a look at the
operating system.
"""

from __future__ import annotations

import importlib
import math
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence, Sized
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, Literal, Protocol, TypeAlias, final

import trio
from trio.lowlevel import Task
from trio.testing import active_thread_count

from ._errors import ControlError, NestedSimulationError

__all__ = [
    "Control",
    "Frames",
    "Loop",
    "Reorder",
    "available",
    "callbacks_task",
    "can_go_on",
    "controlled",
    "errors_in",
    "is_being_cancelled",
    "is_shielded",
    "limit_of",
    "made_before",
    "require",
    "runs_callbacks",
    "threads_at_work",
    "unshield",
    "waits_for_calm",
    "waits_outside",
]

Control: TypeAlias = Literal["order", "shuffle", "time"]
"""How much of the scheduler is chosen by the simulator."""

Reorder: TypeAlias = Callable[[list[Task]], None]
"""Called by Trio in every pass with the runnable tasks in the order they were made; the last will go first."""

_Job: TypeAlias = tuple[Callable[..., object], tuple[object, ...]]
"""What a thread has sent: a function, and what it is called with."""

_TRIO: Final = str(Path(trio.__file__).parent) + os.sep
_LEVELS: Final[tuple[Control, ...]] = ("order", "shuffle", "time")
_THREADS: Final = "trio._threads"
_NAP, _LONG_NAP, _PATIENCE = 0.0001, 0.005, 1.0
"""Real seconds: between two looks whether threads have sent something, and for which they are waited for."""
_DICE, _FLAG, _CONTEXT = "_r", "_ALLOW_DETERMINISTIC_SCHEDULING", "GLOBAL_RUN_CONTEXT"


@cache  # looked up at every jump
def _scheduler() -> Any:  # noqa: ANN401 - a module seen by name only, since checkers may not see private ones
    """The module with Trio's scheduler."""
    return importlib.import_module("trio._core._run")


# ---------------------------------------------------------------- the order of tasks


class _Mine(threading.local):
    """Who orders the tasks of this thread's run; nobody, outside simulations."""

    reorder: Reorder | None = None


_mine: Final = _Mine()


@final
class _Dice:
    """Stands in for the scheduler's random numbers while any thread simulates; leaves the other threads as they were."""

    def __init__(self, usual: Random, *, seeded: bool) -> None:
        self._usual = usual
        self._seeded = seeded

    def shuffle(self, batch: list[Task]) -> None:
        reorder = _mine.reorder
        if reorder is not None:
            reorder(batch)
        elif self._seeded:
            self._usual.shuffle(batch)
        elif self._usual.getrandbits(1):  # what Trio does by itself
            batch.reverse()

    def __getattr__(self, name: str) -> object:
        return getattr(self._usual, name)


@final
class _Patch:
    """Puts the dice in place for as long as any thread needs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._undo: Callable[[], None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._undo is None:
                self._undo = self._apply()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._undo is not None:
                self._undo()
                self._undo = None

    @staticmethod
    def _apply() -> Callable[[], None]:
        module = _scheduler()
        usual, flag = getattr(module, _DICE), getattr(module, _FLAG)

        def undo() -> None:
            setattr(module, _DICE, usual)
            setattr(module, _FLAG, flag)

        setattr(module, _DICE, _Dice(usual, seeded=flag))
        setattr(module, _FLAG, True)
        return undo


_patch: Final = _Patch()


@contextmanager
def controlled(reorder: Reorder | None) -> Generator[None]:
    """Have *reorder* called by the runs of this thread; with None, leave their order to Trio."""
    if reorder is None:
        yield
        return
    with _patch:
        around, _mine.reorder = _mine.reorder, reorder
        try:
            yield
        finally:
            _mine.reorder = around


# ---------------------------------------------------------------- is it still so?


def require(control: Control) -> None:
    """Make sure that *control* works with this Trio.

    Raises:
        ControlError: it does not; the error names what does.
        NestedSimulationError: nothing can be tried out inside a run of Trio.
    """
    if trio.lowlevel.in_trio_run():
        raise NestedSimulationError
    works = available()
    if _LEVELS.index(control) < _LEVELS.index(works):
        raise ControlError(wanted=control, works=works, trio=trio.__version__)


@cache
def available() -> Control:
    """The highest `Control` that works here, found by trying. Starts Trio for a moment, once per process."""
    works: Control = "time"
    for control in _LEVELS[1::-1]:
        try:
            if not _obeys(control):
                break
        except (AttributeError, TypeError, trio.TrioInternalError):
            break
        works = control
    return works


def _obeys(control: Control) -> bool:
    """Whether three tasks start in the order dictated."""
    dictated = [1, 2, 0]
    started: list[int] = []
    passes: list[int] = []

    async def note(number: int) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        started.append(number)

    def reorder(batch: list[Task]) -> None:
        mine = [task for task in batch if task.name.startswith("dictated")]
        if not mine:
            return
        passes.append(len(batch))
        mine.sort(key=lambda task: dictated.index(int(task.name[-1])), reverse=True)
        if control == "order":
            mine = mine[-1:]
            Loop().put_back([task for task in batch if task not in mine])
        batch[:] = mine

    async def main() -> None:
        if control == "order":
            Loop().put_back(())
        async with trio.open_nursery() as nursery:
            for number in sorted(dictated):
                nursery.start_soon(note, number, name=f"dictated {number}")

    with controlled(reorder):
        trio.run(main)  # noqa: TID251 - tried out in a run of its own
    return bool(passes) and started == dictated


# ---------------------------------------------------------------- the loop that runs


@final
class Loop:
    """The innards of the run that goes on in this thread; made inside it, and of no use outside.

    Attributes:
        is_alone: tells that neither `may_arrive` nor `may_wait` holds.
    """

    def __init__(self) -> None:
        runner = getattr(_scheduler(), _CONTEXT).runner
        self._runnable: Any = getattr(runner, "runq", None)
        self._pending = _reader("deadlines._heap", runner)
        self._registered = _part("io_manager._registered", runner)
        self._callbacks = _part("entry_queue.queue", runner)
        self._repeated = _part("entry_queue.idempotent_queue", runner)
        self._calm = _part("waiting_for_idle", runner)
        self._locals = getattr(runner, "_locals", None)
        self._entry: Any = getattr(runner, "entry_queue", None)
        self._count = getattr(
            importlib.import_module("trio._threads"), "_active_threads_local", None
        )
        self.is_alone: Callable[[], bool] = self._alone()
        self._listen_seldom(runner)

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Let *tasks*, taken from a batch, be runnable in the next pass.

        Raises:
            AttributeError: Trio keeps them elsewhere.
        """
        self._runnable.extend(tasks)

    def may_arrive(self) -> bool:
        """Whether something might have come from outside: the loop always listens to one descriptor, its own."""
        registered, callbacks, repeated = self._registered, self._callbacks, self._repeated
        if registered is None or callbacks is None or repeated is None:
            return True
        return len(registered) > 1 or len(callbacks) > 0 or len(repeated) > 0

    def may_wait(self) -> bool:
        """Whether a thread may be at work, or a task in `trio.testing.wait_all_tasks_blocked`; asked at every jump."""
        calm, known, count = self._calm, self._locals, self._count
        if calm is None or known is None or count is None:
            return True
        return len(calm) > 0 or count in known  # which is there from the first thread on

    def gather(self, given_up: list[Task]) -> None:
        """Wait until all threads at work have sent something, and put that into the order of their tasks.

        Args:
            given_up: whose threads are not waited for any more; those are added that sent nothing for a second. They may
                themselves wait for what another one has sent.
        """
        entry, lock = self._entry, getattr(self._entry, "lock", None)
        if self._callbacks is None or lock is None or not active_thread_count():
            return
        late: list[Task] = []
        spent, nap = 0.0, _NAP
        while spent < _PATIENCE:
            jobs: list[_Job] = [*entry.queue]
            sent = [_sender(job) for job in jobs]
            late = [task for task in _with_threads() if task not in sent]
            late = [task for task in late if task not in given_up]
            if len(late) <= _asking(jobs):
                break
            time.sleep(nap)
            spent, nap = spent + nap, min(nap * 2, _LONG_NAP)
        else:
            given_up += late
        with lock:  # whoever has it has not woken the loop yet, though what he sent is there
            jobs = sorted(entry.queue, key=lambda job: _age(_sender(job)))
            entry.queue.clear()
            entry.queue.extend(jobs)

    def _alone(self) -> Callable[[], bool]:
        """Tells whether neither may be so, in one look: so it is at nearly every jump."""
        registered, callbacks, repeated = self._registered, self._callbacks, self._repeated
        calm, known, count = self._calm, self._locals, self._count
        if (
            registered is None
            or callbacks is None
            or repeated is None
            or calm is None
            or known is None
            or count is None
        ):
            return lambda: False

        def is_alone() -> bool:
            return not (callbacks or repeated or calm or len(registered) > 1 or count in known)

        return is_alone

    def _listen_seldom(self, runner: Any) -> None:  # noqa: ANN401 - Trio's own
        """Ask the operating system only if something may have come, which saves 0.7 us a pass."""
        registered, callbacks, repeated = self._registered, self._callbacks, self._repeated
        if registered is None or callbacks is None or repeated is None:
            return
        listener = runner.io_manager
        ask = listener.get_events

        def get_events(timeout: float) -> object:
            if timeout or callbacks or repeated or len(registered) > 1:
                return ask(timeout)
            return ()

        runner.io_manager = _Listener(listener, get_events)

    def near(self, deadline: float, slack: float) -> list[float]:
        """The later deadlines that are pending within *slack* seconds after *deadline*, in order."""
        if self._pending is None:
            return []
        last = deadline + slack
        return sorted({
            when
            for when, _, scope in self._pending()
            if deadline < when <= last and scope.deadline == when
        })


@final
class _Listener:
    """Stands in for what listens to the operating system, which differs by platform."""

    def __init__(self, usual: Any, get_events: Callable[[float], object]) -> None:  # noqa: ANN401 - Trio's own
        self._usual = usual
        self.get_events: Callable[[float], object] = get_events
        self.process_events: Callable[[object], None] = usual.process_events

    def __getattr__(self, name: str) -> object:
        return getattr(self._usual, name)


def _part(names: str, runner: object) -> Sized | None:
    """What *names* of *runner* are, which Trio fills and empties; None if they are no more."""
    read = _reader(names, runner)
    return None if read is None else read()


def _reader(names: str, runner: object) -> Callable[[], Any] | None:
    """Reads *names* of *runner*, which Trio may replace; None if they are no more."""
    read = attrgetter(names)
    try:
        read(runner)
    except AttributeError:
        return None
    return lambda: read(runner)


def runs_callbacks(task: Task) -> bool:
    """Whether it is Trio's own task that runs what other threads send, which is no part of a program."""
    return "TrioToken.run_sync_soon" in task.name


def callbacks_task() -> Task | None:
    """The system task that runs what other threads send, if Trio has one of that name."""
    root = trio.lowlevel.current_root_task()
    nurseries = [] if root is None else root.child_nurseries
    return next(
        (task for nursery in nurseries for task in nursery.child_tasks if runs_callbacks(task)),
        None,
    )


def waits_for_calm() -> bool:
    """Whether a task is in `trio.testing.wait_all_tasks_blocked`, which ends when Trio would have to wait."""
    runner = getattr(getattr(_scheduler(), _CONTEXT, None), "runner", None)
    return bool(getattr(runner, "waiting_for_idle", None))


def waits_outside() -> bool:
    """Whether a task waits for a descriptor, besides the loop's own."""
    statistics = trio.lowlevel.current_statistics().io_statistics
    kinds = ("tasks_waiting_read", "tasks_waiting_write", "tasks_waiting")
    return sum(getattr(statistics, kind, 0) for kind in kinds) > 1


# ---------------------------------------------------------------- tasks

Frames: TypeAlias = Sequence[tuple[FrameType, int]]
"""Where a task stands: frames with their current lines, outermost first."""


def made_before(tasks: Iterable[Task]) -> list[Task]:
    """*tasks* in the order in which they were made; by name where Trio does not tell."""
    return sorted(tasks, key=lambda task: (getattr(task, "_counter", 0), task.name))


def can_go_on(task: Task) -> bool:
    """Whether *task* waits for nothing but its turn; unknown, so no, where Trio does not tell."""
    return getattr(task, "_next_send_fn", None) is not None


class _Scope(Protocol):
    shield: bool

    @property
    def deadline(self) -> float: ...


def _scopes_around(task: Task) -> list[_Scope]:
    """The cancel scopes around where *task* stands, innermost first; none if Trio hides them."""
    found: list[_Scope] = []
    status: Any = getattr(task, "_cancel_status", None)
    while (scope := getattr(status, "_scope", None)) is not None:
        found.append(scope)
        status = getattr(status, "_parent", None)
    return found


def _is_called(scope: _Scope) -> bool:
    """Whether it was cancelled. The public property cancels a scope that is due, and looking must change nothing."""
    return bool(getattr(scope, "_cancel_called", False))


def limit_of(task: Task) -> float | None:
    """When a cancel scope ends what *task* waits for; infinite if none will, None if Trio does not tell."""
    scopes = _scopes_around(task)
    limit = math.inf
    for scope in scopes:
        limit = min(limit, -math.inf if _is_called(scope) else scope.deadline)
        if scope.shield:
            break
    return limit if scopes else None


def is_being_cancelled(task: Task) -> bool:
    """Whether *task*, whose step is about to be made, is to see Cancelled in it; unknown, so no, where Trio does not tell.

    Not if a sleep of its own is over, which Trio ends in this way.
    """
    came = getattr(task, "_next_send", None)  # an outcome
    if not isinstance(getattr(came, "error", None), trio.Cancelled):
        return False
    scopes = _scopes_around(task)
    is_asleep = any(frame.f_code is _SLEEP for frame, _ in task.iter_await_frames())
    return not (is_asleep and scopes and _is_called(scopes[0]))


_SLEEP: Final = trio.sleep_until.__code__


def is_shielded(task: Task) -> bool:
    """Whether a shield keeps a cancellation from *task* that was asked for already."""
    shielded = False
    for scope in _scopes_around(task):
        if _is_called(scope):
            return shielded
        shielded = shielded or scope.shield
    return False


def errors_in(nursery: trio.Nursery) -> Sequence[BaseException]:
    """What the tasks of *nursery* raised that have ended; nothing where Trio does not tell."""
    raised: Sequence[BaseException] = getattr(nursery, "_pending_excs", ())
    return raised


def unshield(task: Task) -> None:
    """Take off every shield around where *task* stands."""
    for scope in _scopes_around(task):
        scope.shield = False


def threads_at_work() -> bool:
    """Whether a task waits for its thread, which does not itself wait for a task through ``trio.from_thread``."""
    if not active_thread_count():
        return False
    return len(_with_threads()) > _asking(())


def _with_threads() -> Sequence[Task]:
    """The tasks that wait for their threads; not while they work for these."""
    found: list[Task] = []
    for task in _all_tasks():
        names = _calls_of(task)
        if "to_thread_run_sync" in names:
            after = names[names.index("to_thread_run_sync") + 1 :]
            if after[:1] == ["wait_task_rescheduled"]:
                found.append(task)
    return found


def _asking(jobs: Sequence[_Job]) -> int:
    """How many threads wait for what Trio's own tasks do for them, or are to do as *jobs* say."""
    by_threads = [job for job in jobs if getattr(job[0], "__module__", "") == _THREADS]
    unknown = [job for job in by_threads if _sender(job) is None]
    return len(unknown) + sum("run_system" in _calls_of(task) for task in _all_tasks())


def _sender(job: _Job) -> Task | None:
    """The task whose thread has sent *job*, if Trio tells and the task still waits for it."""
    code, cells = (getattr(job[0], name, None) for name in ("__code__", "__closure__"))
    names: tuple[str, ...] = getattr(code, "co_freevars", ())
    for name, cell in zip(names, cells or (), strict=False):
        if name == "task_register":
            register: Sequence[Task | None] = cell.cell_contents
            return register[0]
    return None


def _age(task: Task | None) -> float:
    """By which what threads have sent is put in order: the oldest task first."""
    age: float = math.inf if task is None else getattr(task, "_counter", 0)
    return age


def _all_tasks() -> list[Task]:
    root = trio.lowlevel.current_root_task()
    tasks = [] if root is None else [root]
    for task in tasks:  # grows while it is walked
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)
    return tasks


def _calls_of(task: Task) -> list[str]:
    """The functions of Trio in which *task* is."""
    codes = [frame.f_code for frame, _ in task.iter_await_frames()]
    return [code.co_name for code in codes if code.co_filename.startswith(_TRIO)]
