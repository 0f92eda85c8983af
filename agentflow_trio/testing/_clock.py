"""Virtual time: the clock of a simulated run, which jumps to the next deadline when nothing else can happen.

Layer: testing. Built on the public `trio.abc.Clock`, whose ``deadline_to_sleep_time`` is asked only when no task can run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, final

import trio
from typing_extensions import override

from ..ports import Simulated
from ._order import Order
from ._private import Loop, threads_at_work, waits_for_calm, waits_outside

__all__ = ["EPOCH", "SLACK", "Idle", "SimulatedClock", "Turning"]

SLACK: Final = 1e-6
"""Seconds by which timers may be late, and so meet later ones; only while schedules are searched."""

EPOCH: Final = 946_684_800.0
"""The time of day at which simulations begin: 2000-01-01 00:00 UTC."""

_PATIENCE: Final = 5.0
"""Real seconds for which a run waits for a sign of sockets and child processes when no timer is set."""


class Turning(NamedTuple):
    """What is done from outside when time reaches a moment, before anything that is due then.

    Attributes:
        at: the moment, virtual seconds.
        act: what is done; plain code.
        wakes: whether somebody may go on because of it, so that time stops there; if not, nobody notices.
    """

    at: float
    act: Callable[[], None]
    wakes: bool


class Idle(Protocol):
    """Somebody who is told when no task can run."""

    def only_services(self) -> float | None:
        """For how long services may yet have somebody go on, if all timers that are set are theirs; else None."""
        ...

    def cancel_with(self, act: Callable[[], None]) -> None:
        """Have *act* called at the step at which the program is to be cancelled."""
        ...

    def cancel(self) -> None:
        """Cancel the program."""
        ...

    def deadlocked(self) -> None:
        """Nothing will ever happen by itself: end the program."""
        ...


@final
class SimulatedClock(trio.abc.Clock, Simulated):
    """Time that costs nothing: begins at 0, and moves when nothing is left to do.

    Attributes:
        idle: the world it is the clock of.
        time: virtual seconds since the execution began.
        until: no jump goes so far; the run is `paused` there instead.
        paused: whether it stands at ``until`` with nothing left to do before.
        due: while it is paused, when the next timer is due; infinite if none is set.
        leaving: called when everything that was due has happened, before time goes on.
        turns: what is to be done from outside, in order of time.
    """

    def __init__(self, order: Order, idle: Idle, *, services: bool) -> None:
        """*services*: whether there may be tasks whose timers keep nothing alive."""
        super().__init__()
        self._order = order
        self._services = services
        self.idle: Idle = idle
        self._loop: Loop | None = None
        self._error: BaseException | None = None
        self.until: float = math.inf
        self.leaving: Callable[[], None] | None = None
        self.turns: Sequence[Turning] = ()
        self.begin(0, 0.0)

    def attach(self, loop: Loop | None) -> None:
        """Begin to work on *loop*."""
        self._loop = loop

    def begin(self, seed: int, slack: float) -> None:
        """Begin an execution at time 0."""
        super().begin_simulation(seed)
        self.time: float = 0.0
        self.paused: bool = False
        self.due: float = math.inf
        self.turns = ()
        self._slack = slack
        self._looked_at = self._waited_at = self._others = -1
        self._quiet_since = 0.0

    @override
    def start_clock(self) -> None:
        """Nothing to start."""

    def give_up(self, error: BaseException) -> None:
        """Raise *error* into Trio itself, which asks for the time in every pass."""
        self._error = error

    @override
    def current_time(self) -> float:
        if self._error is not None:
            raise self._error
        return self.time

    @override
    def now(self) -> float:
        """The time of day, seconds since 1970."""
        return EPOCH + self.time

    @override
    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No task can run: look whether anything has arrived, then jump to *deadline* or pause before it.

        Returns:
            Real seconds to wait for the operating system: none, but for what comes from threads and from outside.
        """
        loop = self._loop
        if loop is None or not loop.is_alone():
            patience = self._look_outside(loop)
            if patience is not None:
                return patience
        if self.turns and self._turned(deadline):
            return 0.0
        if deadline >= self.until:
            return self._stop(deadline)
        # until any other time, the caller may yet wake somebody
        if (self._services or self.serving) and self.until == math.inf and self._only_ticks():
            return self._nothing_left()
        if self.leaving is not None:
            self.leaving()
        self.time = max(self.time, deadline)
        if self._slack and loop is not None:
            self._meet_later_ones(deadline, loop)
        return 0.0

    def _look_outside(self, loop: Loop | None) -> float | None:
        """How long to wait for what may come from outside; None if nothing will."""
        if self._looked_at != self._order.steps and (loop is None or loop.may_arrive()):
            self._looked_at = self._order.steps
            return 0.0
        if (loop is None or loop.may_wait()) and (waits_for_calm() or threads_at_work()):
            self._looked_at = -1
            return math.inf
        return None

    def _only_ticks(self) -> bool:
        """Whether all timers belong to services, which have nobody go on any more, and nothing is to be done later."""
        seconds = self.idle.only_services()
        if seconds is None or any(turn.wakes for turn in self.turns):
            return False
        if self._others != self._order.others:
            self._others, self._quiet_since = self._order.others, self.time
        return self.time - self._quiet_since >= seconds

    def _stop(self, deadline: float) -> float:
        """No timer is due before the time to stop at."""
        if self.until == math.inf:
            return self._nothing_left()
        self.time, self.paused = max(self.time, float(self.until)), True
        self.due = deadline
        return 0.0

    def go_on(self, until: float) -> None:
        """No longer be paused, until then; what is to be done now is done first."""
        self.until, self.paused = until, False
        while self.turns and self.turns[0].at <= self.time:
            self._next_turn().act()

    def _turned(self, deadline: float) -> bool:
        """Do what is to be done before time goes on to *deadline*; whether that may have woken somebody."""
        if deadline == math.inf and not any(turn.wakes for turn in self.turns):
            return False
        while self.turns and self.turns[0].at < self.until and self.turns[0].at <= deadline:
            at, act, wakes = self._next_turn()
            if wakes and at > self.time:
                if self.leaving is not None:
                    self.leaving()
                self.time = at
            act()
            if wakes:
                return True
        return False

    def _next_turn(self) -> Turning:
        turn, *self.turns = self.turns
        return turn

    def _meet_later_ones(self, deadline: float, loop: Loop) -> None:
        """Let timers that are almost due together fire together, or not."""
        later = loop.near(deadline, self._slack)
        choice = self._order.tie(len(later) + 1) if later else 0
        if choice:
            self.time = later[choice - 1]

    def _nothing_left(self) -> float:
        """No timer is set either; only the world outside could still wake somebody, and it gets a while to do so."""
        if self._waited_at != self._order.steps and waits_outside():
            self._waited_at, self._looked_at = self._order.steps, -1
            return _PATIENCE
        self.idle.deadlocked()
        return 0.0
