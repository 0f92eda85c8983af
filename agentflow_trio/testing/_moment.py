"""What a simulated run looks like at one moment: state, statistics of guards, events, tasks.

Layer: testing. A moment is looked at once, part by part, when somebody asks; where it is the present, only while it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Generic, Protocol, TypeVar, final

from typing_extensions import TypeIs, override

from ..events import ExecutionEvent
from ..ports import Met
from ._errors import MomentOverError, TaskPicture
from ._subject import Subject
from ._world import World

__all__ = ["Accounts", "Look", "Moment", "Present", "called"]

S_co = TypeVar("S_co", covariant=True)
Stats = TypeVar("Stats")
Stats_co = TypeVar("Stats_co", covariant=True)


class Accounts(Protocol[Stats_co]):
    """Anything with statistics: every guard, every pool."""

    def statistics(self) -> Stats_co:
        """A picture of now."""
        ...


class Look(Protocol[S_co]):
    """How the parts of a moment are found."""

    def state(self) -> S_co: ...
    def guards(self) -> Mapping[str, object]: ...
    def events(self) -> Sequence[ExecutionEvent]: ...
    def tasks(self) -> Sequence[TaskPicture]: ...
    def of(self, guard: Accounts[Stats], /) -> Stats: ...


@final
class Moment(Generic[S_co]):
    """What a run looked like when all that was due before a time had happened, and nothing that is due at it.

    Two moments are equal if their times, states, statistics and events are. ``S`` is the state of a flow; None for a
    program.
    """

    def __init__(self, time: float, look: Look[S_co]) -> None:
        """A timeline or a simulation does this."""
        self._time = time
        self._look = look

    @property
    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._time

    @cached_property
    def state(self) -> S_co:
        """A fork of the flow's state as its last finished step had left it; None for a program."""
        return self._look.state()

    @cached_property
    def guards(self) -> Mapping[str, object]:
        """The statistics of every guard and pool that had been used, by name, in the order of first use.

        A second one of the same name is called ``name#2``. For one that you hold, `of` knows the type.
        """
        return self._look.guards()

    @cached_property
    def events(self) -> Sequence[ExecutionEvent]:
        """What the flow had reported; empty for a program."""
        return self._look.events()

    @cached_property
    def tasks(self) -> Sequence[TaskPicture]:
        """What every task was doing: what it waited for, and where it stood. Empty once all had ended."""
        return self._look.tasks()

    def of(self, guard: Accounts[Stats], /) -> Stats:
        """The statistics of *guard*: ``timeline.at(12.5).of(breaker).state``.

        Args:
            guard: one that outlives the run, as one at the top level of a module does, or one that it made.
        """
        return self._look.of(guard)

    @override
    def __eq__(self, other: object) -> bool:
        return _is_moment(other) and self.parts() == other.parts()

    @override
    def __hash__(self) -> int:
        return hash(self._time)

    @override
    def __repr__(self) -> str:
        return f"<Moment {self._time:.9g} s>"

    def parts(self) -> tuple[object, ...]:
        """What is compared of it."""
        return self._time, self.state, {**self.guards}, [*self.events]

    def settled(self) -> Moment[S_co]:
        """This moment, after everything in it was looked at."""
        self.parts()
        _ = self.tasks
        return self


def _is_moment(thing: object) -> TypeIs[Moment[object]]:
    return isinstance(thing, Moment)


@final
class Present(Generic[S_co]):
    """How a moment is looked at while it is the present.

    Args:
        subject: what is executed.
        world: where.

    Attributes:
        over: whether time has gone on, or may have.
    """

    def __init__(self, subject: Subject[S_co, object], world: World) -> None:
        self._subject = subject
        self._world = world
        self.over: bool = False

    def state(self) -> S_co:
        """A fork of it."""
        self._check()
        return self._subject.state()

    def guards(self) -> Mapping[str, object]:
        """Statistics by name."""
        self._check()
        met = self._world.clock.met
        return called(met, [guard.statistics() for guard in met])

    def events(self) -> Sequence[ExecutionEvent]:
        """What was reported so far."""
        self._check()
        return tuple(self._subject.events)

    def tasks(self) -> Sequence[TaskPicture]:
        """What every task does."""
        self._check()
        return self._world.pictures()

    def of(self, guard: Accounts[Stats], /) -> Stats:
        """The statistics of *guard*."""
        self._check()
        return guard.statistics()

    def _check(self) -> None:
        if self.over:
            raise MomentOverError


def called(met: Sequence[Met], statistics: Iterable[object]) -> Mapping[str, object]:
    """*statistics* by the names of the guards that they are of; a second ``db`` is ``db#2``."""
    counts: Counter[str] = Counter()
    found: dict[str, object] = {}
    for guard, told in zip(met, statistics, strict=False):
        name = guard.name
        counts[name] += 1
        found[name if counts[name] == 1 else f"{name}#{counts[name]}"] = told
    return found
