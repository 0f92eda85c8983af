"""One simulated run of Trio, in which programs are executed one after the other, each as if it were alone.

Layer: testing. Here clock, order and watch meet; everything the public functions do is made of `World.perform`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, TypeVar, final

import attrs
import outcome
import trio
from trio.lowlevel import Task
from typing_extensions import override

from ..errors import RunCancelledError
from ._choice_core import Deviations
from ._clock import SLACK, SimulatedClock
from ._errors import NestedSimulationError, StuckError, TaskPicture
from ._faults import Body
from ._order import Order
from ._picture import Services
from ._private import Control, Loop, callbacks_task, controlled, require
from ._search_core import Trial
from ._trace import Trace
from ._watch import Unended, Watch

__all__ = ["MAX_STEPS", "Ended", "World"]

T = TypeVar("T")

MAX_STEPS: Final = 1_000_000


@final
@attrs.frozen
class Ended(Generic[T]):
    """How an execution ended.

    Attributes:
        outcome: what the program returned or raised; None if it was cancelled and raised nothing else.
        time: virtual seconds it took.
        steps: steps its tasks made.
        deviations: what was chosen otherwise than usual.
        widths: how many options there were at each point.
        clean: whether every task it had started was gone.
    """

    outcome: outcome.Outcome[T] | None
    time: float
    steps: int
    deviations: Deviations
    widths: Sequence[int]
    clean: bool

    def result(self) -> T:
        """What the program returned.

        Raises:
            RunCancelledError: it was cancelled.
            Exception: it failed, with this.
        """
        came = self.outcome
        if isinstance(came, outcome.Value):
            value: T = came.value
            return value
        raise self.error or RunCancelledError(reason="the simulation was told to", cut_off=())

    @property
    def error(self) -> Exception | None:
        """What it raised, if it did."""
        failed = self.outcome
        if isinstance(failed, outcome.Error) and isinstance(failed.error, Exception):
            return failed.error
        return None


@final
class World:
    """Clock, order and watch of one run of Trio.

    Args:
        control: how much of Trio's order is chosen.
        services: names of tasks whose timers keep nothing alive.
        max_steps: what each execution may use.
        trace: whether to write down every step.
        places: whether to write down where, too.

    Raises:
        ControlError: this Trio cannot be controlled so far.
    """

    def __init__(
        self,
        *,
        control: Control = "order",
        services: Sequence[str] = (),
        max_steps: int = MAX_STEPS,
        trace: bool = False,
        places: bool = False,
    ) -> None:
        if control != "time":
            require(control)
        self._control: Control = control
        self.looking_on: list[trio.abc.Instrument] = []
        self.order: Order = Order(self._attend)
        self.clock: SimulatedClock = SimulatedClock(self.order, self, services=bool(services))
        self.trace: Trace | None = Trace(self.clock, places=places) if trace else None
        self.order.trace = self.trace
        self.order.serving = self.clock.serving
        self._watch = Watch(Services(services, self.clock.serving), max_steps)
        self.note: Callable[[str], None] = self.trace.note if self.trace else _forget

    # ---------------------------------------------------------------- around Trio

    def controlling(self) -> AbstractContextManager[None]:
        """Have the runs of this thread ordered by this world."""
        return controlled(None if self._control == "time" else self.order)

    @property
    def instruments(self) -> list[trio.abc.Instrument]:
        """What a run of this world must be started with."""
        steps = [_Steps(self.order, self.clock)] if self._control == "time" else []
        return [*steps, *self.looking_on]

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run *main* in a run of Trio of its own.

        Raises:
            SimulationError: a program could not even be cancelled.
        """
        _refuse_inside()
        self.order.attach(None, None)
        self.clock.attach(None)
        with self.controlling():
            try:
                return trio.run(main, clock=self.clock, instruments=self.instruments)  # noqa: TID251 - a run of its own
            except trio.TrioInternalError as error:
                raise self.stopped_by(error) from error.__cause__

    def execute(self, body: Body[T], trial: Trial, *, cancel: int | None = None) -> Ended[T]:
        """Perform *body* in a run of Trio of its own; one that cannot even be cancelled ends in what was found."""

        async def main() -> Ended[T]:
            self.attach()
            return await self.perform(body, trial, cancel=cancel)

        try:
            return self.run(main)
        except StuckError as stuck:
            return self.given_up(stuck)

    def given_up(self, stuck: StuckError) -> Ended[Any]:
        """How the execution ended that was given up because of *stuck*."""
        order = self.order
        return Ended(
            outcome.Error(stuck),
            stuck.time,
            order.steps,
            order.deviations,
            order.widths,
            clean=False,
        )

    def stopped_by(self, error: BaseException) -> BaseException:
        """What to raise instead of *error*, which stopped Trio: if nothing else helped, what was found to be stuck."""
        stuck = self._watch.stuck
        return error if stuck is None or not isinstance(error.__cause__, Unended) else stuck

    def attach(self) -> None:
        """Take hold of the run that goes on; in it, before anything is performed."""
        loop = None if self._control == "time" else Loop()
        self.clock.attach(loop)
        self.order.attach(loop if self._control == "order" else None, callbacks_task())

    # ---------------------------------------------------------------- one execution

    async def perform(
        self, body: Body[T], trial: Trial, *, cancel: int | None = None
    ) -> Ended[T]:
        """Execute *body* in the current task as *trial* says; cancel it at its n-th step if asked to.

        Raises:
            BaseException: what must end the program passes through: KeyboardInterrupt, SystemExit.
        """
        __tracebackhide__ = True
        order, clock, watch = self.order, self.clock, self._watch
        before = trio.lowlevel.current_statistics().tasks_living
        order.begin(trial)
        clock.begin(trial.seed, SLACK if trial.slack else 0.0)
        if self.trace is not None:
            self.trace.begin()
        result: outcome.Outcome[T] | None = None
        scope = trio.CancelScope()
        watch.begin(scope, cancel)
        order.look = watch.look
        try:
            with scope:
                result = outcome.Value(await body(trial.seed))
        except Exception as error:  # noqa: BLE001 - it is what the execution came to
            result = outcome.Error(error)
        finally:
            order.end()
            watch.end()
            if self.trace is not None:
                self.trace.end()
        if watch.stuck is not None:
            result = outcome.Error(watch.stuck)
        return Ended(  # noqa: ASYNC910 - a checkpoint if the program is one
            result,
            clock.time,
            order.steps,
            order.deviations,
            order.widths,
            trio.lowlevel.current_statistics().tasks_living == before,
        )

    def cancel(self) -> None:
        """Cancel what is being performed."""
        self._watch.cancel()

    def pictures(self) -> Sequence[TaskPicture]:
        """What every task of the execution is doing."""
        return self._watch.pictures()

    def cancel_with(self, act: Callable[[], None]) -> None:
        """Have *act* called before the chosen step of what is being performed, instead of cancelling it."""
        self._watch.cut = act

    def trace_lines(self) -> Sequence[str]:
        """What was written down since the execution began."""
        return [] if self.trace is None else list(self.trace.lines())

    # ---------------------------------------------------------------- told by clock and order

    def only_services(self) -> float | None:
        """For how long services may yet have somebody go on, if all timers that are set are theirs; else None."""
        return self._watch.only_services()

    def deadlocked(self) -> None:
        """Nothing will ever happen by itself."""
        self._watch.deadlocked(self.order.steps, self.clock.time)
        self.order.look = self._watch.look

    def _attend(self) -> None:
        self._watch.attend(self.order.steps, self.clock.time)
        self.order.look = self._watch.look


@final
class _Steps(trio.abc.Instrument):
    """Counts steps where the order is Trio's own."""

    def __init__(self, order: Order, clock: SimulatedClock) -> None:
        self._order = order
        self._clock = clock

    @override
    def before_task_step(self, task: Task) -> None:
        try:
            self._order.stepped(task)
        except Unended as error:  # Trio would drop the instrument and go on
            self._clock.give_up(error)


def _forget(_: str) -> None:
    """Nobody writes anything down."""


def _refuse_inside() -> None:
    if trio.lowlevel.in_trio_run():
        raise NestedSimulationError
