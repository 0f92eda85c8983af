"""Cancelling a program at each of its steps in turn.

Layer: testing. A step is the smallest thing that happens in Trio: what a task does between two waits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, final

import attrs
import trio

from ._choice_core import Fixed
from ._clock import SimulatedClock
from ._code_core import parse, spell
from ._errors import LeakError
from ._fault_plan import Used
from ._faults import Body, Faults
from ._overrides import OVERRIDES
from ._private import Control
from ._program import Program, body_of
from ._search_core import Trial, trial
from ._world import Ended, World

__all__ = ["Cut", "cancel_everywhere", "cancel_with"]

T = TypeVar("T")

MAX_STEPS: Final = 5_000
"""What a program may take unless told otherwise."""


@final
@attrs.frozen
class Cut(Generic[T]):
    """How a program ended that was cancelled, or was to be.

    Attributes:
        step: before which of its steps it was cancelled, counted from 1; 0 is before it began.
        reached: whether it came so far; False the last time, when it ended undisturbed.
        cancelled: whether it ended by that cancellation.
        result: what it returned; None if it was cancelled.
        time: virtual seconds it took.
    """

    step: int
    reached: bool
    cancelled: bool
    result: T | None
    time: float


def cancel_everywhere(
    program: Program[T],
    /,
    *,
    check: Callable[[Cut[T]], object] | None = None,
    seeds: int = 1,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 5_000,
    control: Control = "order",
    replay: str | None = None,
) -> int:
    """Run *program* again and again, cancelled before its first step, its second, and so on, until it ends before that.

    Synchronous: it starts Trio itself. A program fails if it raises anything but the cancellation, leaves a task behind,
    does not end, or if *check* raises. Let it hold `assert_no_leaks` around what it tests.

    Args:
        program: an async function, which may take dice; it makes everything anew.
        check: is told how it ended, every time, the undisturbed time included.
        seeds: under how many orders of its tasks; the first is the usual one.
        faults: what fails besides.
        services: names of tasks that tick for ever; their timers hide no deadlock, nor do those of an engine's observers.
        max_steps: how many steps are too many.
        control: how much of Trio's order to choose, for a Trio that does not obey.
        replay: the code of a failure; that is run and nothing else.

    Returns:
        How often it was cancelled, under all orders together.

    Raises:
        LeakError: it left tasks behind.
        StepBudgetError: it takes more than *max_steps* steps.
        ControlError, NestedSimulationError, ReplayCodeError: as for `explore`.
        Exception: what the program or *check* raised, with a note that says how to repeat it.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    used = Used(faults)
    command = functools.partial(
        OVERRIDES.command,
        program,
        call="cancel_everywhere",
        check=check,
        faults=faults,
        services=services,
        max_steps=None if max_steps == MAX_STEPS else max_steps,
        control=control,
    )
    world = World(control=control, services=services, max_steps=max_steps)
    series = _Series(used.around(body_of(program)), check, command, world)
    code = OVERRIDES.replay or replay
    if code is not None:
        asked = parse(code)
        used.allow(asked.strikes)
        series.once(asked.trial, asked.cancel)
        return 1
    cuts = sum(series.through(_order(number)) for number in range(seeds))
    used.check()
    return cuts


def cancel_with(act: Callable[[], object], /) -> None:
    """In a program under `cancel_everywhere`: call *act* at the chosen step instead of cancelling everything.

    ``cancel_with(lambda: run.request_cancel("enough"))`` tries a run's own cancellation. The last one said counts.
    Elsewhere it does nothing. Not a checkpoint.
    """
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, SimulatedClock):
        clock.idle.cancel_with(lambda: _done(act()))


def _done(_: object) -> None:
    """What *act* returns is nobody's business."""


def _order(number: int) -> Callable[[], Trial]:
    if number == 0:
        return lambda: Trial("preemptions", 0, "one", slack=False, chooser=Fixed())
    return lambda: trial("one-at-a-time", number)


@final
class _Series(Generic[T]):
    def __init__(
        self,
        body: Body[T],
        check: Callable[[Cut[T]], object] | None,
        command: Callable[[str], str],
        world: World,
    ) -> None:
        self._body = body
        self._check = check
        self._command = command
        self._world = world

    def through(self, made: Callable[[], Trial]) -> int:
        """Cancel at every step under one order; say how often."""
        step = 0
        while self.once(made(), step):
            step += 1
        return step

    def once(self, made: Trial, step: int | None) -> bool:
        """Run it cancelled before *step*; say whether it came so far."""
        ended = self._world.execute(self._body, made, cancel=step)
        reached = step is not None and ended.steps >= step
        cut = Cut(
            step=step or 0,
            reached=reached,
            cancelled=ended.outcome is None,
            result=None if ended.outcome is None or ended.error else ended.result(),
            time=ended.time,
        )
        error = ended.error or self._judge(cut, ended)
        if error is not None:
            code = spell(made, ended.deviations, step if reached else None)
            where = f"cancelled before step {step}" if reached else "not cancelled"
            error.add_note(f"{where}; replay: {self._command(code)}")
            raise error
        return reached

    def _judge(self, cut: Cut[T], ended: Ended[T]) -> Exception | None:
        if not ended.clean:
            return LeakError(leaks=("a task was left behind",))
        try:
            if self._check is not None:
                self._check(cut)
        except Exception as error:  # noqa: BLE001 - what the caller has to say
            return error
        return None
