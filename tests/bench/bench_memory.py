"""What a workload weighs, and what an import costs: figures that no stopwatch around a body can give."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from resource import RUSAGE_SELF, getrusage

import trio
from bench_limits import Body, Gate

__all__ = ["import_rounds", "loop_memory", "loop_rss", "parked_bytes", "parked_rss"]

IMPORT = "import time; now = time.{}; t = now(); import {}; print(now() - t)"


def peak_rss() -> int:
    """The most memory this process ever held, in bytes."""
    peak = getrusage(RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def loop_memory(loop: Callable[[int], Body], sizes: Sequence[int]) -> dict[str, float]:
    """Bytes allocated by Python at the worst moment of a loop, for each length of it, one after the other."""
    peaks = dict[str, float]()
    trio.run(loop(sizes[0]))  # what is made on first use is none of the loop's
    for steps in sizes:
        body = loop(steps)

        async def main(body: Body = body) -> int:
            await trio.lowlevel.checkpoint()
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await body()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return peak - before

        peaks[str(steps)] = trio.run(main)
    return peaks


def loop_rss(loop: Callable[[int], Body], sizes: Iterable[int]) -> dict[str, float]:
    """The process's peak memory after a loop of each length, shortest first, and the seconds each took."""
    figures = dict[str, float]()
    for steps in sizes:
        body = loop(steps)

        async def main(body: Body = body) -> int:
            return await body()

        started = time.perf_counter()
        trio.run(main)
        figures[f"seconds_{steps}"] = time.perf_counter() - started
        figures[str(steps)] = peak_rss()
    return figures


def look_at(
    parked: Callable[[int, int, Gate], Body], flows: int, nodes: int, look: Callable[[], int]
) -> int:
    """Let a fleet fill its gate, look, and let it go: what *look* says with the fleet less what it says without."""
    gate = Gate(flows)
    body = parked(flows, nodes, gate)

    async def main() -> int:
        await trio.lowlevel.checkpoint()
        gc.collect()
        before = look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)
            await gate.full.wait()
            gc.collect()
            weight = look() - before
            gate.lift.set()
        return weight

    return trio.run(main)


def traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def parked_bytes(parked: Callable[[int, int, Gate], Body], flows: int, nodes: int) -> float:
    """Bytes of Python memory that one member of a waiting fleet holds."""
    look_at(parked, flows, nodes, int)  # Fills caches and free lists.
    tracemalloc.start()
    weight = look_at(parked, flows, nodes, traced)
    tracemalloc.stop()
    return weight / flows


def parked_rss(parked: Callable[[int, int, Gate], Body], flows: int, nodes: int) -> float:
    """The process's peak memory, in bytes, with a whole fleet waiting."""
    look_at(parked, flows, nodes, int)
    return peak_rss()


def import_rounds(
    base: str, other: str, rounds: int, clock: str, environment: Mapping[str, str]
) -> tuple[list[int], list[int]]:
    """Nanoseconds to import each of two modules, each time in a fresh interpreter, in turns.

    The interpreter's own start is not in the figure: it would flatter the ratio.
    """

    def one(module: str) -> int:
        code = IMPORT.format(clock, module)
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env=environment,
            text=True,
        )
        return int(done.stdout)

    one(base)
    one(other)
    limits, others = list[int](), list[int]()
    for number in range(rounds):
        if number % 2:
            others.append(one(other))
            limits.append(one(base))
        else:
            limits.append(one(base))
            others.append(one(other))
    return limits, others
