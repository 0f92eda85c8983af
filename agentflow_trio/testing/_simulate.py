"""Running a program in virtual time, a piece at a time, from plain code.

Layer: testing. Trio runs as a guest of the caller: its scheduler is called back from a queue that this module empties
until time would pass the moment asked for. Between the pieces the caller may look, and call what is synchronous.
"""

from __future__ import annotations

import inspect
import math
import queue
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack, final, overload

import outcome
import trio
from typing_extensions import override

from ..errors import RunCancelledError
from ..events import ExecutionEvent
from ..flow import Flow
from ..types import AttrsState, RunResult
from ._code_core import parse
from ._errors import (
    LeakError,
    NestedSimulationError,
    NotEndedError,
    SimulationOverError,
    TaskPicture,
)
from ._fault_plan import Used
from ._faults import Faults
from ._leaks import held_in
from ._moment import Moment, Present
from ._private import Control
from ._program import Program, title_of
from ._search_core import Trial, trial
from ._spawned import Hall, Spawned
from ._subject import Subject, subject_of
from ._world import Ended, World

__all__ = ["Simulating", "Simulation", "simulate"]

T = TypeVar("T")
State = TypeVar("State", bound=AttrsState)
S = TypeVar("S")
R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")


@final
class Simulation(Generic[S, R]):
    """A program that runs only while it is told to; get one with ``with simulate(...) as sim:``.

    ``S`` is the state of a flow (None for a program), ``R`` what comes of it. Nothing here is a checkpoint: all of it is
    plain code. While it stands still, synchronous calls of Trio work as they do inside (``event.set()``).
    """

    def __init__(self, world: World, subject: Subject[S, R]) -> None:
        self._world = world
        self._subject = subject
        self._callbacks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ended: Ended[R] | None = None
        self._stopped: BaseException | None = None
        self._last: Moment[S] | None = None
        self._told = self._cancelled = False
        self._hall = Hall()
        self._body = subject.used.around(self._hall.around(subject.execute))

    @override
    def __repr__(self) -> str:
        return f"<Simulation at {self.time:.9g} s{', ended' if self.ended else ''}>"

    # ---------------------------------------------------------------- what can be seen

    @property
    def time(self) -> float:
        """Virtual seconds since the program began."""
        return self._world.clock.time

    @property
    def ended(self) -> bool:
        """Whether the program has come to its end, one way or another."""
        return self._ended is not None or self._stopped is not None

    @property
    def state(self) -> S:
        """A fork of the flow's state as its last finished step left it; None for a program."""
        return self._subject.state()

    @property
    def events(self) -> Sequence[ExecutionEvent]:
        """What the flow has reported so far; empty for a program."""
        return tuple(self._subject.events)

    @property
    def result(self) -> R:
        """What the program returned.

        Raises:
            NotEndedError: it goes on.
            RunCancelledError: it was cancelled.
            Exception: it failed, with this.
        """
        if self._ended is None:
            raise self._stopped or NotEndedError(time=self.time)
        return self._ended.result()

    @property
    def moment(self) -> Moment[S]:
        """All of that, and the statistics of guards, as it is now: a picture that stays as it is."""
        present = Present(self._subject, self._world)
        moment = self._last or Moment(self.time, present).settled()
        present.over = True
        return moment

    def tasks(self) -> Sequence[TaskPicture]:
        """What every task is doing: its name, what it waits for, and where it stands. Empty once all has ended."""
        return self._world.pictures()

    @property
    def spawned(self) -> Sequence[Spawned[object]]:
        """What was spawned, in order, what has ended included."""
        return tuple(self._hall.spawned)

    def assert_no_leaks(self) -> None:
        """Make sure that it has left nothing behind: no task alive, no guard or pool held or waited for.

        Raises:
            LeakError: something is; each is named.
            NotEndedError: it goes on: call this after `run`.
            Exception: it could not even be ended.
        """
        if self._ended is None or self._last is None:
            raise self._stopped or NotEndedError(time=self.time)
        leaks = [
            f"{type(told).__name__} of {name!r}: {field} is {count}"
            for name, told in self._last.guards.items()
            for field, count in held_in(told).items()
            if count > 0
        ]
        if not self._ended.clean:
            leaks.append("a task is alive")
        if leaks:
            raise LeakError(leaks=tuple(leaks))

    # ---------------------------------------------------------------- what can be done

    def spawn(
        self,
        function: Callable[[Unpack[Arguments]], Awaitable[T]],
        /,
        *arguments: *Arguments,
        name: str | None = None,
    ) -> Spawned[T]:
        """Start one more task beside the program: ``caller = sim.spawn(flow.run, state)``; nothing of it runs yet.

        The program's end waits for it, and its failure cancels it. What the task raises is raised by whatever lets time
        go on, as what the program raises is. A `Spawned` can be cancelled alone, and tells its result.

        Args:
            function: an async function.
            arguments: what it is called with.
            name: what pictures and reports call it; the function's name by default.

        Raises:
            SimulationOverError: the simulation has ended.
            TypeError: it is given what a call has returned already.
        """
        given: object = function
        if inspect.iscoroutine(given):
            given.close()
            raise TypeError(
                f"spawn takes an async function, and its arguments: spawn({given.__name__}), not spawn({given.__name__}())"
            )
        if self.ended:
            raise SimulationOverError(time=self.time)
        spawned = Spawned(
            name or title_of(function), lambda: function(*arguments), lambda: self.time
        )
        self._hall.spawn(spawned)
        return spawned

    def run_until(self, time: float, /) -> None:
        """Let everything happen that is due before *time*, and stop there; what is due at *time* has not happened.

        Args:
            time: virtual seconds since the program began.

        Raises:
            ValueError: that time is past.
            Exception: the program failed.
        """
        if math.isnan(time) or time < self.time:
            raise ValueError(f"it is {self.time:.9g} s already: cannot run until {time:.9g} s")
        if time > self.time:
            self._go_on(time)

    def settle(self) -> None:
        """Let everything happen that can happen without time passing.

        Raises:
            Exception: the program failed.
        """
        self._go_on(self.time)

    def advance(self) -> bool:
        """Let everything happen that can without time passing, then go to the next time at which something is due.

        What is due then has not happened: `settle` lets it.

        Returns:
            Whether there is such a time; if not, all has ended or waits for somebody.

        Raises:
            Exception: the program failed.
        """
        self.settle()
        due = self._world.clock.due
        if self.ended or due == math.inf:
            return False
        self._go_on(due)
        return True

    def run(self) -> None:
        """Let the program come to its end.

        Raises:
            DeadlockError, LivelockError, StepBudgetError: it does not come to its end.
            UnusedFaultError: a fault was planned at a place it never came to.
            Exception: it failed. That it was cancelled by `cancel` is no failure.
        """
        self._go_on(math.inf)

    def cancel(self, reason: str, /, *, at: str | None = None) -> None:
        """Cancel the program, which learns of it when it goes on. Does nothing once it has ended.

        Args:
            reason: for the errors and events that tell of it.
            at: of a flow: the path of a branch or an item that is to end alone, as for `Run.request_cancel`.

        Raises:
            UnknownBranchError: no branch or item is going on there.
            TypeError: a program has no branches; cancel what `spawn` returned, or a scope of your own.
        """
        if at is not None:
            self._subject.cancel_part(reason, at)
            return
        self._cancelled = True
        if not self.ended and not self._subject.cancel(reason):
            self._world.cancel()

    # ---------------------------------------------------------------- how it works

    def start(self, trial_: Trial) -> None:
        """Begin; nothing runs yet."""
        if trio.lowlevel.in_trio_run():
            raise NestedSimulationError

        async def main() -> Ended[R]:
            self._world.attach()
            cancel = 0 if self._cancelled else None  # cancelled before it began
            ended = await self._world.perform(self._body, trial_, cancel=cancel)
            self._last = Moment(self.time, Present(self._subject, self._world)).settled()
            return ended

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=self._callbacks.put,
            done_callback=self._done,
            clock=self._world.clock,
            instruments=self._world.instruments,
        )

    def reorder(self, trial_: Trial) -> None:
        """From here on, order tasks as *trial_* does."""
        self._world.order.go_on_as(trial_)

    def close(self, around: BaseException | None) -> None:
        """Cancel what still runs, and raise a failure that nobody was told of, or note it at *around*."""
        if not self.ended:
            self.cancel("the simulation was left")
        try:
            self._go_on(math.inf)
        except Exception as error:
            if around is None:
                raise
            around.add_note(f"and the simulated program failed: {error!r}")

    def _done(self, came: outcome.Outcome[Ended[R]]) -> None:
        if isinstance(came, outcome.Error):
            self._stopped = self._world.stopped_by(came.error)
        else:
            self._ended = came.unwrap()

    def _go_on(self, until: float) -> None:
        """Run until there is nothing left to do before *until*."""
        clock = self._world.clock
        clock.go_on(until)
        while not (self.ended or clock.paused):
            self._callbacks.get()()
        if self.ended and not self._told:
            self._told = True
            self._tell()
        self._hall.tell()

    def _tell(self) -> None:
        """Raise how it ended, unless that is as it should."""
        error = self._stopped if self._ended is None else self._ended.error
        if error is None and not self._cancelled:
            self._subject.used.check()
        elif error is not None and not (
            self._cancelled and isinstance(error, RunCancelledError)
        ):
            raise error


@final
class Simulating(Generic[S, R]):
    """``with simulate(...) as sim:``."""

    def __init__(self, world: World, subject: Subject[S, R], trial_: Trial) -> None:
        self._sim = Simulation(world, subject)
        self._world = world
        self._trial = trial_
        self._stack = ExitStack()

    @override
    def __repr__(self) -> str:
        return "<simulate(...), to be entered: with simulate(...) as sim>"

    def __enter__(self) -> Simulation[S, R]:
        self._stack.enter_context(self._world.controlling())
        try:
            self._sim.start(self._trial)
        except BaseException:
            self._stack.close()
            raise
        return self._sim

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        with self._stack:
            self._sim.close(exc)


@overload
def simulate(
    flow: Flow[State, ...],
    state: State,
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> AbstractContextManager[Simulation[State, RunResult[State]], None]: ...
@overload
def simulate(
    program: Program[T],
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> AbstractContextManager[Simulation[None, T], None]: ...
def simulate(
    program: Any,
    state: Any = None,
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> AbstractContextManager[Simulation[Any, Any], None]:
    """Run a program in virtual time, as far as it is told to.

    ``with simulate(flow, state, seed=7) as sim: sim.run_until(12.5)``

    The same seed gives the same run: the order of tasks within each pass of Trio's scheduler is drawn from it, as are
    the dice of the program, the ids of its runs and what `Faults` do. Timers are exact. Leaving the body cancels what
    still runs and raises a failure that was not raised before. Inside it, this thread cannot run Trio otherwise.

    Args:
        program: an async function, which may take dice (``random.Random``), or a flow with its state.
        state: for a flow, which works on a fork of it.
        seed: of everything that is left to chance.
        faults: what fails besides.
        services: names of tasks that tick for ever; their timers hide no deadlock, nor do those of an engine's observers.
        max_steps: steps after which the program counts as stuck.
        control: how much of Trio's order to choose, for a Trio that does not obey.
        replay: the code of a schedule that `explore` found; *seed* is the code's then.

    Raises:
        ControlError: this Trio does not obey; the error names what works.
        NestedSimulationError: called inside a run of Trio.
        ReplayCodeError: *replay* is no code.
        TypeError: *program* cannot be simulated.
    """
    used = Used(faults)
    subject = subject_of(program, state, used)
    made = trial("batch", seed, slack=False)
    if replay is not None:
        asked = parse(replay)
        made = asked.trial
        used.allow(asked.strikes)
    world = World(control=control, services=services, max_steps=max_steps)
    return Simulating(world, subject, made)
