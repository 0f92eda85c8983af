"""Where two recorded runs part.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias, TypeVar, final

import attrs
from typing_extensions import override

from ..events import ExecutionEvent
from ._timeline_core import Instants, parting

__all__ = ["Account", "Diff", "compared"]

Value = TypeVar("Value")

Pair: TypeAlias = "tuple[ExecutionEvent | None, ExecutionEvent | None]"


@final
@attrs.frozen
class Diff:
    """How two timelines differ. It is true if they do: ``assert not timeline.diff(fork)``.

    Attributes:
        first: the first event that is not the same, in either; None in place of one for a run that had no more. None if
            all are the same.
        time: when they part, virtual seconds; None if they never do.
        same: how many events came before that, the same in both.
        ends: how either ended, in words.
    """

    first: Pair | None
    time: float | None
    same: int
    ends: tuple[str, str]
    _traces: Callable[[], tuple[Sequence[str], Sequence[str]]] = attrs.field(
        alias="traces", repr=False, eq=False
    )

    @cached_property
    def step(self) -> tuple[str | None, str | None] | None:
        """Where events do not tell, the first step that is not the same, as a line of `Timeline.trace` of either.

        Runs both again when first asked for.
        """
        if self.time is None or self.first is not None:
            return None
        one, two = self._traces()
        number = parting(one, two)
        return None if number is None else (_at(one, number), _at(two, number))

    def __bool__(self) -> bool:
        return self.time is not None

    @override
    def __str__(self) -> str:
        if self.time is None:
            return "no difference"
        lines = [f"the same up to {self.time:.9g} s, {self.same} events; then"]
        lines += [f"  {number} {said}" for number, said in enumerate(self._said(), 1)]
        return "\n".join([*lines, *self._ended()])

    def _said(self) -> Sequence[str]:
        if self.first is not None:
            return [_told(event) for event in self.first]
        if self.step is not None:
            return [line or "(had ended)" for line in self.step]
        return self.ends

    def _ended(self) -> Sequence[str]:
        one, two = self.ends
        return [] if one == two else [f"the first {one}, the second {two}"]


def _told(event: ExecutionEvent | None) -> str:
    if event is None:
        return "(had ended)"
    said = " ".join(f"{name}={value!r}" for name, value in event.metadata.items())
    return f"{event.timestamp:.9g} s {event.path}: {event.event_type} {said}".rstrip()


@final
@attrs.frozen
class Account:
    """What is compared of a run.

    Attributes:
        events: what it reported.
        instants: when something happened.
        choices: what was chosen of how much, which decides the order of tasks.
        state: the last.
        end: how it ended, in words.
        time: when.
    """

    events: Sequence[ExecutionEvent]
    instants: Instants
    choices: tuple[Mapping[int, int], Sequence[int]]
    state: object
    end: str
    time: float


def compared(
    one: Account,
    two: Account,
    traces: Callable[[], tuple[Sequence[str], Sequence[str]]],
) -> Diff:
    """Where they part; *traces* of both tell more."""
    number = parting(one.events, two.events)
    first = None
    if number is not None:
        first = (_at(one.events, number), _at(two.events, number))
    return Diff(
        first=first,
        time=_time(one, two, first),
        same=len(one.events) if number is None else number,
        ends=(one.end, two.end),
        traces=traces,
    )


def _at(sequence: Sequence[Value], number: int) -> Value | None:
    return sequence[number] if number < len(sequence) else None


def _time(one: Account, two: Account, first: Pair | None) -> float | None:
    """When they part: at the first thing of any kind that differs."""
    times = [event.timestamp for event in first or () if event is not None]
    number = one.instants.parts(two.instants)
    if number is not None:
        both = (each.instants.times for each in (one, two))
        times += [known[number] for known in both if number < len(known)]
    if times:
        return min(times)
    alike = one.choices == two.choices and one.end == two.end and one.state == two.state
    return None if alike else min(one.time, two.time)
