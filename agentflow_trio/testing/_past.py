"""Looking at what is over: in what was kept of it, or by running it again.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Generic, TypeAlias, TypeVar, final

from typing_extensions import override

from ..events import ExecutionEvent
from ..robustness import Outlook
from ..state import fork
from ._errors import NondeterminismError, TaskPicture
from ._looking import Recorder
from ._moment import Accounts, Moment, called
from ._simulate import Simulating, Simulation, simulate
from ._timeline_core import BEFORE, Instants
from ._world import World

__all__ = ["Again", "Live", "Past"]

S = TypeVar("S")
Stats = TypeVar("Stats")

Again: TypeAlias = Callable[[], AbstractContextManager[Simulation[S, object]]]
"""Runs it again, up to the moment."""


@final
class Past(Generic[S]):
    """How a moment of a recorded run is looked at.

    Args:
        time: of the moment.
        kept: what was kept of the run.
        number: the last instant before the moment.
        events: all of the run.
        count: how many of them came before the moment.
        again: runs it again.
    """

    def __init__(
        self,
        time: float,
        kept: Recorder[S],
        number: int,
        events: Sequence[ExecutionEvent],
        count: int,
        again: Again[S],
    ) -> None:
        self._time = time
        self._kept = kept
        self._number = number
        self._events = events
        self._count = count
        self._again = again
        self._lived: Moment[S] | None = None

    def state(self) -> S:
        """A fork of it."""
        end = self._end()
        if end is not None:
            return _forked(end.state)
        try:
            return _forked(self._kept.states.find(self._number))
        except KeyError:
            return self._live().state

    def guards(self) -> Mapping[str, object]:
        """Statistics by name."""
        end, told = self._end(), self._statistics()
        if end is not None:
            return end.guards
        if told is None:
            return self._live().guards
        return called(self._kept.met, map(self._then, told))

    def events(self) -> Sequence[ExecutionEvent]:
        """What had been reported."""
        return self._events[: self._count]

    def tasks(self) -> Sequence[TaskPicture]:
        """What every task did."""
        return self._live().tasks

    def of(self, guard: Accounts[Stats], /) -> Stats:
        """The statistics of *guard*."""
        told = self._statistics() or ()
        kind = type(guard.statistics())
        known: Sequence[object] = self._kept.met
        for met, statistics in zip(known, told, strict=False):
            then = self._then(statistics)
            if met is guard and isinstance(then, kind):
                return then
        if self._number == BEFORE:
            return _blank(guard)
        with self._again():
            return guard.statistics()

    def _end(self) -> Moment[S] | None:
        """The end, if this is it."""
        last = len(self._kept.instants.times) - 1
        return self._kept.end if self._number == last else None

    def _statistics(self) -> tuple[object, ...] | None:
        if self._number == BEFORE:
            return ()
        try:
            return self._kept.statistics.find(self._number)
        except KeyError:
            return None

    def _then(self, statistics: object) -> object:
        return statistics.at(self._time) if isinstance(statistics, Outlook) else statistics

    def _live(self) -> Moment[S]:
        if self._lived is None:
            with self._again() as sim:
                self._lived = sim.moment
        return self._lived


def _blank(guard: Accounts[Stats]) -> Stats:
    """What *guard* says in a run in which it was not used."""

    async def ask() -> Stats:  # noqa: ASYNC124 - a program
        return guard.statistics()  # noqa: ASYNC910 - that only asks

    with simulate(ask) as sim:
        sim.run()
        return sim.result


def _forked(state: S) -> S:
    """A copy, so that nobody changes what was kept; of a program there is nothing to copy."""
    return state if state is None else fork(state)


@final
class Live(Generic[S]):
    """``with timeline.live(time) as sim:``.

    Args:
        simulating: what runs it again.
        world: where.
        recorded: when something happened the first time.
        time: where it is to stand.
    """

    def __init__(
        self, simulating: Simulating[S, object], world: World, recorded: Instants, time: float
    ) -> None:
        self._simulating = simulating
        self._world = world
        self._recorded = recorded
        self._time = time
        self._stack = ExitStack()

    @override
    def __repr__(self) -> str:
        return f"<live({self._time:.9g}), to be entered: with timeline.live(...) as sim>"

    def __enter__(self) -> Simulation[S, object]:
        sim = self._stack.enter_context(self._simulating)
        try:
            self._go(sim)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return sim

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        with suppress(Exception):  # what fails since it is left is no part of what was recorded
            self._stack.__exit__(kind, exc, tb)

    def _go(self, sim: Simulation[S, object]) -> None:
        with suppress(Exception):  # it failed as it did before
            sim.run_until(self._time)
        number = self._recorded.before(self._time)
        if number == BEFORE or sim.ended:
            return
        known, made = self._recorded.steps[number], self._world.order.steps
        if made != known:
            first, second = (
                f"{steps} steps made before {self._time!r} s" for steps in (known, made)
            )
            raise NondeterminismError(line=number + 1, first=first, second=second, before=())
