"""Watching over one execution: is it stuck, has it used up its steps, and how is it ended then?

Layer: testing. A deadlock is known at once: nothing can run and no timer is set, but those of services. A livelock is
known by its signs: in so many steps at one instant that every task had its turn, none reached a place with values that
were not seen there before. A program whose signs go on changing may yet end, so only its steps are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Final, NoReturn, final

import trio
from trio.lowlevel import Task

from ._choice_core import TURN
from ._errors import DeadlockError, LivelockError, StepBudgetError, StuckError, TaskPicture
from ._picture import Services, pictures, tasks_below
from ._private import limit_of, threads_at_work, unshield
from ._sign import sign_of

__all__ = ["Unended", "Watch"]

_CALM: Final = 300
"""Steps at one instant before anybody looks."""

_EVERY: Final = 31
"""Steps between two looks: a prime, so as not to keep pace with a loop."""

_SELDOM: Final = 8
"""While there is something new, the distance of looks grows to one in that of the steps made."""

_UNWINDING: Final = 3_000
"""Steps a program has to end once it is cancelled, and again once its shields are off."""

_GIVEN_UP: Final[list[Task | None]] = []
"""The main tasks of programs that could not be ended. Kept, since Python would close them outside Trio, loudly."""


class Unended(BaseException):
    """Raised into Trio itself: a program that cannot even be cancelled."""


@final
class Watch:
    """Ends executions that do not end.

    Args:
        services: the tasks whose timers keep nothing alive.
        max_steps: what an execution may use.

    Attributes:
        stuck: what was found, if anything was.
        cut: what is done before the chosen step; cancels the execution unless the program says otherwise.
        look: at how many steps `attend` wants to be called next.
    """

    def __init__(self, services: Services, max_steps: int) -> None:
        self._services = services
        self._max_steps = max_steps
        self._at_step: int | None = None
        self._scope: trio.CancelScope | None = None
        self._root: Task | None = None
        self.begin(None)

    def begin(
        self,
        scope: trio.CancelScope | None,
        at_step: int | None = None,
    ) -> None:
        """Begin to watch over the current task and all below it, which *scope* surrounds."""
        self._scope = scope
        self._root = None if scope is None else trio.lowlevel.current_task()
        self._at_step = at_step
        self.cut: Callable[[], None] = self.cancel
        self._instant = math.nan
        self._since = self._news = self._ends = 0
        self._seen: set[Hashable] = set()
        self._limit = self._max_steps
        self.stuck: StuckError | None = None
        self.look = min(_CALM, self._max_steps, _CALM if at_step is None else at_step)
        if at_step == 0:  # no step comes before the program begins
            self._at_step = None
            self.cut()

    def pictures(self) -> Sequence[TaskPicture]:
        """What the tasks of the execution are doing; nothing once it is over."""
        return () if self._root is None else pictures(self._root, self._services)

    def end(self) -> None:
        """The program has ended, and Trio soon should; what was found remains."""
        self._scope = self._root = None
        self._limit = 0

    def cancel(self) -> None:
        """Cancel the execution."""
        if self._scope is not None:
            self._scope.cancel()

    def attend(self, steps: int, time: float) -> None:
        """Have a look after that many steps."""
        if self._at_step is not None and steps >= self._at_step:
            self._at_step = None
            self.cut()
        if steps >= self._limit:
            self._found(StepBudgetError, steps, time)
        elif time != self._instant:
            self._instant, self._since = time, steps
            self._seen.clear()
            self.look = steps + _CALM
        else:
            self._compare(steps, time)
        self.look = min(self.look, self._limit)
        if self._at_step is not None:
            self.look = min(self.look, self._at_step)

    def _compare(self, steps: int, time: float) -> None:
        """Take down what can be seen of the tasks; enough of the same is a livelock."""
        self.look = steps + _EVERY
        tasks = [] if self._root is None else tasks_below(self._root)
        sign = sign_of(tasks)
        if sign not in self._seen or threads_at_work():
            self._seen.add(sign)
            self._news = steps
            self.look += (steps - self._since) // _SELDOM
        elif steps - self._news > TURN * (len(tasks) + 1):  # each had its turn, however unfair
            self._found(LivelockError, steps, time)

    def only_services(self) -> float | None:
        """For how long services may yet have somebody go on, if all timers that are set are theirs; else None."""
        tasks = [] if self._root is None else tasks_below(self._root)
        others = [task for task in tasks if task not in self._services]
        idle = bool(tasks) and all(limit_of(task) == math.inf for task in others)
        return self._services.seconds if idle else None

    def deadlocked(self, steps: int, time: float) -> None:
        """Nothing will ever happen by itself."""
        self._found(DeadlockError, steps, time)

    def _found(self, kind: type[StuckError], steps: int, time: float) -> None:
        """Take the picture, and end the program: by cancelling it, then without its shields, then without mercy."""
        if self._scope is None or self._root is None:
            self._give_up_what_is_left(kind, steps, time)
        elif self.stuck is None:
            self.stuck = kind(time=time, steps=steps, tasks=self.pictures())
            self._scope.cancel()
        elif self._ends == 0:
            self._ends = 1
            for task in tasks_below(self._root):
                unshield(task)
        else:
            root = self._root
            self.end()
            _give_up(root)
        self._seen.clear()
        self._limit = steps + _UNWINDING

    def _give_up_what_is_left(self, kind: type[StuckError], steps: int, time: float) -> None:
        """The program has ended, but Trio cannot: system tasks that it left heed no cancellation."""
        root = trio.lowlevel.current_root_task()
        left = () if root is None else pictures(root, self._services)
        self.stuck = kind(time=time, steps=steps, tasks=left)
        _give_up(root)


def _give_up(root: Task | None) -> NoReturn:
    _GIVEN_UP.append(root)
    raise Unended
