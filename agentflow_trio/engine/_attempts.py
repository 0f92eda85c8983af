"""One attempt of exec, and the closing of what a phase opened.

Layer: engine. What repeats or guards it is decided by `Trying`, which most steps have none of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ._cleanup import close_attempt, close_visit
from ._failures import mark_once, owe
from ._live import Strand
from ._plan import PlanStep

__all__ = ["attempt", "cleaning_up", "closed", "tried"]

Value = TypeVar("Value")


async def tried(
    strand: Strand,
    step: PlanStep,
    work: Callable[[Strand], Awaitable[Value]],
    *,
    once: str = "",
) -> Value:
    """Do *work* as the step says: again, hedged, guarded, in limited time; *once* says why it cannot be done again.

    It is told for which strand: *strand*, or that of an attempt beside others.
    """
    if step.trying is None:
        return await work(strand)
    return await step.trying.run(strand, step.name, work, once=once)


async def attempt(
    strand: Strand, step: PlanStep, work: Callable[[], Awaitable[Value]]
) -> Value:
    """Do the work of exec once; what it opened is closed before anything else happens."""
    if strand.faults is not None:
        names = partial(_names_of, strand, step)
        return await strand.faults.call(names, partial(cleaning_up, strand, work))
    return await cleaning_up(strand, work)


def _names_of(strand: Strand, step: PlanStep) -> Sequence[str]:
    """What a test may call this attempt, the most telling first."""
    place = strand.trail.here()
    item = () if place.item is None else (f"{step.name}[{place.item}]",)
    return (place.path, *item, step.name)


async def cleaning_up(strand: Strand, work: Callable[[], Awaitable[Value]]) -> Value:
    """Do *work*; what it opened is closed before anything else happens."""
    try:
        result = await work()
    except BaseException as error:
        if strand.cleanups and not isinstance(error, GeneratorExit):
            mark_once(strand, error, strand.phase)
            failures = await close_attempt(strand, error)  # noqa: ASYNC102 - shields what it awaits
            owe(strand, failures, "cleanup")
        raise
    if strand.cleanups:
        await closed(strand, attempt=True)
    return result


async def closed(strand: Strand, *, attempt: bool) -> None:
    """Close what the attempt (or the whole visit) opened, and raise what that raised."""
    failures = await (close_attempt if attempt else close_visit)(strand)
    if failures:
        strand.phase = "cleanup"
        owe(strand, failures[1:], "cleanup")
        raise failures[0]
