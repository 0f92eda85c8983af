"""What a simulation test says in its marker, what it is told by the fixture ``sim``, and what is reported of it.

Layer: testing. It knows no pytest; the plugin does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final, TypeAlias, TypeGuard, final, get_args

import attrs
import trio
from typing_extensions import override

from ._clock import SimulatedClock
from ._errors import SimulationError
from ._faults import Faults
from ._findings import ScheduleFailure
from ._private import Control
from ._search_core import POLICIES, Policy

__all__ = ["MarkerError", "Schedule", "Sim", "SimulationMarker", "section"]

_EXAMPLE: Final = '@pytest.mark.simulation(seeds=200, policy="portfolio")'


@final
class MarkerError(SimulationError):
    """A simulation test cannot be run as it is written.

    Attributes:
        problem: what is wrong, and what to write instead.
    """

    problem: str

    @override
    def __str__(self) -> str:
        return self.problem


# ---------------------------------------------------------------- the marker


_Field: TypeAlias = "attrs.Attribute[Any]"


def _whole(_: object, field: _Field, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(field, "a whole number", value)


def _count(_: object, field: _Field, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(field, "a whole number of at least 1", value)


def _names(_: object, field: _Field, value: object) -> None:
    if not _are_names(value):
        raise _wrong(field, 'a list of names of tasks, like ["ticker"]', value)


def _are_names(value: object) -> bool:
    return _is_list(value) and all(isinstance(entry, str) for entry in value)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _faults(_: object, field: _Field, value: object) -> None:
    if value is not None and not isinstance(value, Faults):
        raise _wrong(field, "Faults(...)", value)


@final
@attrs.frozen
class _OneOf:
    """Takes a value that is one of some words."""

    words: Sequence[str]

    def __call__(self, _: object, field: _Field, value: object) -> None:
        if value not in self.words:
            raise _wrong(field, f"one of {', '.join(map(repr, self.words))}", value)


def _wrong(field: _Field, expected: str, value: object) -> MarkerError:
    return MarkerError(
        problem=f"simulation({field.name}=...) takes {expected}, not {value!r}; for example {_EXAMPLE}"
    )


@final
@attrs.frozen(kw_only=True)
class SimulationMarker:
    """What ``@pytest.mark.simulation(...)`` may say; all of it as for `explore`."""

    seeds: int = attrs.field(default=100, validator=_count)
    policy: Policy = attrs.field(default="portfolio", validator=_OneOf(POLICIES))
    services: Sequence[str] = attrs.field(default=(), validator=_names)
    faults: Faults | None = attrs.field(default=None, validator=_faults)
    max_steps: int = attrs.field(default=50_000, validator=_count)
    first_seed: int = attrs.field(default=0, validator=_whole)
    control: Control = attrs.field(default="order", validator=_OneOf(get_args(Control)))

    @classmethod
    def read(cls, args: Sequence[object], kwargs: Mapping[str, Any]) -> SimulationMarker:
        """Take the arguments of a marker.

        Raises:
            MarkerError: one is unknown, has no name, or makes no sense.
        """
        if args:
            raise MarkerError(
                problem=f"simulation({args[0]!r}) does not say what that is: name it, as in {_EXAMPLE}"
            )
        known = [field.name for field in attrs.fields(cls)]
        for name in kwargs:
            if name not in known:
                raise MarkerError(problem=_unknown(name, known))
        return cls(**kwargs)


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]!r}? " if near else ""
    return f"simulation() takes no {name!r}: {remedy}it takes {', '.join(known)}"


# ---------------------------------------------------------------- the fixture


@final
class Schedule:
    """One execution of a test: begins when it is made, which must be in its run.

    Attributes:
        seed: what its dice were made of.
        rng: its dice.
        notes: what the test noted, with the time.

    Raises:
        MarkerError: no simulation goes on.
    """

    def __init__(self, rng: Random) -> None:
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, SimulatedClock):
            raise MarkerError(problem="only a simulation has schedules")
        self.seed: int = clock.seed
        self.rng = rng
        self.notes: list[str] = []
        self._clock: SimulatedClock | None = clock
        self._ended_at = 0.0

    @property
    def time(self) -> float:
        """Virtual seconds since it began, until it ended."""
        return self._ended_at if self._clock is None else self._clock.time

    def end(self) -> None:
        """Let go of the clock, which goes on to the next schedule."""
        self._ended_at, self._clock = self.time, None


@final
class Sim:
    """The schedule that a simulation test runs under: the fixture ``sim``. Every schedule has a new one.

    The test function is called anew for every schedule, while the values of its other fixtures are made once and
    shared by all of them: make in the test whatever a schedule could change. Nothing here is a checkpoint.
    """

    __slots__ = ("_schedule",)

    def __init__(self, schedule: Schedule | None = None) -> None:
        self._schedule = schedule

    @property
    def seed(self) -> int:
        """What the dice of this schedule were made of; several schedules may have the same."""
        return self._begun().seed

    @property
    def rng(self) -> Random:
        """Dice of this schedule's own: the same numbers whenever it is repeated."""
        return self._begun().rng

    @property
    def time(self) -> float:
        """Virtual seconds since the test began."""
        return self._begun().time

    def note(self, text: str) -> None:
        """Have *text* reported, with the time, if this schedule fails."""
        self._begun().notes.append(f"{self.time:.9g} s: {text}")

    @override
    def __repr__(self) -> str:
        made = self._schedule
        return f"Sim(seed={made.seed}, time={made.time:.9g})" if made else "Sim()"

    def _begun(self) -> Schedule:
        if self._schedule is None:
            raise MarkerError(
                problem="sim stands for one schedule, and a fixture is made once for all of them: "
                "use sim in the test itself, or hand it from there to what needs it"
            )
        return self._schedule


def section(failure: ScheduleFailure, notes: Iterable[str]) -> str:
    """What the report says about a failure, besides the error itself."""
    facts = f"seed: {failure.seed}\npolicy: {failure.policy}\ncode: {failure.code}"
    return "\n".join([str(failure), facts, *(f"noted at {note}" for note in notes)])
