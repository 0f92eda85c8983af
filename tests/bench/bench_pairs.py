"""Paired rounds: two sides of one workload timed in turns, in one process, so that noise hits both alike.

A round times the limit once and the other side once, the order swapped every round. The figure is the median
of the ratios of the rounds: a round disturbed by the machine is one outlier, and what drifts slowly cancels.
Garbage is collected before every sample and, unless asked otherwise, not during one.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Literal, TypeAlias

import trio
from attrs import field, frozen
from bench_limits import Body, Staged

__all__ = [
    "Loop",
    "Rounds",
    "Sample",
    "WrongWorkError",
    "quantile",
    "rounds_of",
    "timed",
]

Loop: TypeAlias = Literal["trio", "asyncio"]
Sample: TypeAlias = Callable[[], int]
"""Does a workload once; nanoseconds it took."""

FEWEST, MOST = 3, 200
"""Rounds that fit in no time at all, and those nobody needs more of."""


class WrongWorkError(Exception):
    """A side did not do the work it was timed for."""


@frozen
class Rounds:
    """What came out of one process.

    Attributes:
        limit_ns, other_ns: one entry per round, for the whole body.
    """

    limit_ns: list[int] = field(factory=list[int])
    other_ns: list[int] = field(factory=list[int])


def staged(body: Body) -> AbstractAsyncContextManager[Body]:
    return body.stage() if isinstance(body, Staged) else nullcontext(body)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which *share* (0..1) of *values* lie; interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def timed(
    body: Body, units: int, loop: Loop, *, gc_on: bool, clock: Callable[[], int]
) -> Sample:
    """Make a sample of *body*. The loop's own start and end are not in the figure.

    Args:
        body: what is timed.
        units: how many units it has to do.
        loop: what it runs on.
        gc_on: whether garbage may be collected meanwhile.
        clock: nanoseconds, of whatever is to be compared.

    Raises:
        WrongWorkError: from the sample, when the body did another number of units than *units*.
    """

    async def main() -> int:
        if loop == "trio":
            await trio.lowlevel.checkpoint()
        else:
            await asyncio.sleep(0)
        async with staged(body) as ready:
            gc.collect()
            if not gc_on:
                gc.disable()
            try:
                before = clock()
                done = await ready()
                elapsed = clock() - before
            finally:
                gc.enable()
        if done != units:
            raise WrongWorkError(f"{done} units were done where {units} were due")
        return elapsed

    if loop == "trio":
        return lambda: trio.run(main)
    runner = asyncio.Runner()
    return lambda: runner.run(main())


def rounds_of(limit: Sample, other: Sample, *, seconds: float, rounds: int | None) -> Rounds:
    """Warm both sides up, then time them in turns.

    Args:
        limit: the hand-written side.
        other: the side compared with it.
        seconds: about how long to go on, at least for 3 rounds and at most for 200.
        rounds: exactly how many rounds instead.
    """
    started = time.perf_counter()
    limit()
    other()
    if (
        time.perf_counter() - started < seconds
    ):  # Adaptive interpreters settle on the second call.
        limit()
        other()
    gc.freeze()
    result = Rounds()
    started = time.perf_counter()
    for number in range(rounds or MOST):
        if number % 2:
            result.other_ns.append(other())
            result.limit_ns.append(limit())
        else:
            result.limit_ns.append(limit())
            result.other_ns.append(other())
        if not rounds and number + 1 >= FEWEST and time.perf_counter() - started > seconds:
            break
    return result
