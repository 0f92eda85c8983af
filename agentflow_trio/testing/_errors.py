"""What a simulation says when it cannot go on.

Layer: testing. Fields for code, a picture of every task for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, final

import attrs
from typing_extensions import override

from ..errors import AgentFlowError

__all__ = [
    "ControlError",
    "DeadlockError",
    "LeakError",
    "LivelockError",
    "MomentOverError",
    "NestedSimulationError",
    "NondeterminismError",
    "NotEndedError",
    "ReplayCodeError",
    "ScriptEndedError",
    "SimulationError",
    "SimulationOverError",
    "StepBudgetError",
    "StuckError",
    "TaskPicture",
    "UnusedFaultError",
]


@final
@attrs.frozen
class TaskPicture:
    """What one task was doing.

    Attributes:
        name: the last part of its name in Trio; with a number if several have it.
        waits_for: what it waits for and who holds that, as far as it can be seen; empty if it could go on.
        stack: where it stands, as ``file:line in function: code``, outermost first.
        limit: when a cancel scope will end the wait; infinite if none will, None if Trio does not tell.
        shielded: whether a shield keeps a cancellation away that was asked for already.
        service: whether it was named in ``services``.
    """

    name: str
    waits_for: str
    stack: tuple[str, ...]
    limit: float | None
    shielded: bool
    service: bool

    @override
    def __str__(self) -> str:
        state = f"waits for {self.waits_for}" if self.waits_for else "can go on"
        marks = [
            *(["a service"] if self.service else []),
            *(["a shield keeps its cancellation away"] if self.shielded else []),
        ]
        head = f"{self.name}: {state}" + (f" ({'; '.join(marks)})" if marks else "")
        return "\n".join([head, *(f"    {line}" for line in self.stack)])


class SimulationError(AgentFlowError):
    """Base of what the simulator itself has to say."""


class StuckError(SimulationError):
    """A program did not come to its end. Everything it had started was cancelled, shields taken off where they held.

    Attributes:
        time: virtual seconds since it began.
        steps: how many steps its tasks had made.
        tasks: what each of them was doing, the oldest first.
    """

    time: float
    steps: int
    tasks: Sequence[TaskPicture]

    headline: ClassVar[str] = "the program is stuck"

    @override
    def __str__(self) -> str:
        pictures = "\n".join(
            f"  {line}" for task in self.tasks for line in str(task).split("\n")
        )
        return f"{self.headline} at {self.time:.9g} s, after {self.steps} steps\n{pictures}"


@final
class DeadlockError(StuckError):
    """Nothing can run and no timer is set, but those of services: every task waits for another, for ever."""

    headline: ClassVar[str] = "deadlock: no task can ever go on"


@final
class LivelockError(StuckError):
    """Tasks go on and on without changing anything that can be seen, and time stands still."""

    headline: ClassVar[str] = "livelock: tasks go on without getting anywhere"


@final
class StepBudgetError(StuckError):
    """The program made more steps than it was given."""

    headline: ClassVar[str] = "the program used up its steps (max_steps)"


@final
class NestedSimulationError(SimulationError):
    """A simulation was begun inside a run of Trio, whose thread can have only one."""

    @override
    def __str__(self) -> str:
        return (
            "a simulation runs Trio itself: call it from plain code, not from an async function"
        )


@final
class ControlError(SimulationError):
    """This Trio does not obey the simulator as far as was asked.

    Attributes:
        wanted: the control that was asked for.
        works: the highest control that works.
        trio: the version of Trio.
    """

    wanted: str
    works: str
    trio: str

    @override
    def __str__(self) -> str:
        return (
            f"Trio {self.trio} does not let the simulator control {self.wanted!r}; "
            f"what works is {self.works!r}: ask for it with control={self.works!r}, or use a Trio that was tried"
        )


@final
class ReplayCodeError(SimulationError):
    """A replay code stands for nothing.

    Attributes:
        code: what was given.
    """

    code: str

    @override
    def __str__(self) -> str:
        return (
            f"{self.code!r} is no replay code; one looks like 'os17:3,9.2' or 'priorities=17'"
        )


@final
class NondeterminismError(SimulationError):
    """Two runs with the same seed differed.

    Attributes:
        line: number of the first line that differs, counted from 1.
        first: that line in the first run; None if it had ended.
        second: the same of the second run.
        before: the lines before it, at most five.
    """

    line: int
    first: str | None
    second: str | None
    before: Sequence[str]

    @override
    def __str__(self) -> str:
        context = "".join(f"\n    {line}" for line in self.before)
        return (
            f"two runs with the same seed differ at line {self.line}:{context}"
            f"\n  1 {self.first if self.first is not None else '(had ended)'}"
            f"\n  2 {self.second if self.second is not None else '(had ended)'}"
            "\nlook for sets, id() or default reprs, uuid4, the wall clock, random() or Random() without a seed, abandoned threads"
        )


@final
class NotEndedError(SimulationError):
    """A result was asked for while the program goes on.

    Attributes:
        time: virtual seconds since it began.
    """

    time: float

    @override
    def __str__(self) -> str:
        return f"the program has not ended at {self.time:.9g} s: sim.run() lets it"


@final
class SimulationOverError(SimulationError):
    """Something was to be spawned in a simulation that had ended.

    Attributes:
        time: virtual seconds it took.
    """

    time: float

    @override
    def __str__(self) -> str:
        return (
            f"the simulation ended at {self.time:.9g} s, so nothing can be spawned in it: give it a program that goes "
            "on for longer, as `trio.sleep_forever` does"
        )


@final
class MomentOverError(SimulationError):
    """A moment that was the present was asked for something when time had gone on."""

    @override
    def __str__(self) -> str:
        return (
            "this moment is over: look at it in the function that was given it, "
            "or keep a moment of a timeline instead: timeline.at(time)"
        )


@final
class ScriptEndedError(SimulationError):
    """A scripted step was called once more than its script has entries for.

    Attributes:
        calls: how many calls the script has.
    """

    calls: int

    @override
    def __str__(self) -> str:
        return f"the script is over: it has {self.calls} calls, and this is one more; add an exit or a Fail"


@final
class UnusedFaultError(SimulationError):
    """A fault was planned at a place that no execution came to.

    Attributes:
        names: of those places.
        entered: those of them that are guards which were entered with ``async with`` only.
        near: names that were asked for and are almost the same, by the name that was not.
    """

    names: Sequence[str]
    entered: Sequence[str] = ()
    near: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @override
    def __str__(self) -> str:
        return "; ".join(self._told())

    def _told(self) -> Iterator[str]:
        lost = [name for name in self.names if name not in self.entered]
        if lost:
            names = ", ".join(map(repr, lost))
            yield (
                f"nothing asked for the faults planned at {names}: "
                "no step that ran, item, guard of a step or of call() and no fault_point() has such a name"
            )
        for name, known in self.near.items():
            yield f"did you mean {known!r} by {name!r}?"
        for name in self.entered:
            yield (
                f"the guard {name!r} is entered with `async with`, and nobody knows its body as a call that could fail: "
                f'write `await guard.call(fn)`, or put `await fault_point("{name}")` into the body'
            )


@final
class LeakError(SimulationError):
    """Something was still held.

    Attributes:
        leaks: one sentence for each.
    """

    leaks: Sequence[str]

    @override
    def __str__(self) -> str:
        return "; ".join(self.leaks)
