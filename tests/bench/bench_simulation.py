"""What simulating costs, beside hand-written virtual time.

    python tests/bench/bench_simulation.py           all figures
    python tests/bench/bench_simulation.py --cpu     processor time, for a machine that has other things to do
    python tests/bench/bench_simulation.py --check   exit 1 when a gate is missed

T1: one wake-up of one of ten tasks that sleep, each for a time of its own. The limit is the shortest clock one can write
on `trio.abc.Clock` that jumps to the next deadline; it knows no deadlock, no pause and no threads. Both orders of tasks
are possible there; here it is the seed's.
T2: a request of a hundred each second, behind a circuit breaker and a retry, with an outage now and then. The limit is
the same by hand (a counter, a time until which nothing is tried, a loop) on the same shortest clock.
TM: state machines of thirty steps per second whose steps spawn callers, cancel them or let time pass, each followed by a
check; without what Hypothesis takes to draw them. Others, and those of cores alone, are in bench_timeline.py.
TS: schedules per second of a program of four tasks with two steps each; and what it takes to report a deadlock.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random

import trio
from attrs import frozen
from bench_pairs import Rounds, Sample, quantile, rounds_of
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import CircuitBreaker, CircuitOpenError, CircuitPolicy, Retry, RetryPolicy
from agentflow_trio.testing import (
    DeadlockError,
    Faults,
    chance,
    explore,
    fault_point,
    simulate,
)
from agentflow_trio.testing._search_core import trial
from agentflow_trio.testing._world import World

TASKS, SLEEPS = 10, 500
WAKE_UPS = TASKS * SLEEPS
SCHEDULES = 4_000

Clock = Callable[[], int]
Body = Callable[[], Awaitable[int]]


@frozen
class Figure:
    """One line of the report.

    Attributes:
        name: what was measured.
        told: the figure, in words.
        must: the promise; empty if there is none.
        kept: whether it was kept.
    """

    name: str
    told: str
    must: str = ""
    kept: bool = True

    @override
    def __str__(self) -> str:
        verdict = f"   must {self.must}: {'ok' if self.kept else 'MISSED'}" if self.must else ""
        return f"{self.name:<44} {self.told}{verdict}"


class Jumping(trio.abc.Clock):
    """Jumps to the next deadline when nothing can run; nothing else."""

    def __init__(self) -> None:
        self.time = 0.0

    @override
    def start_clock(self) -> None:
        pass

    @override
    def current_time(self) -> float:
        return self.time

    @override
    def deadline_to_sleep_time(self, deadline: float) -> float:
        if math.isfinite(deadline):
            self.time = max(self.time, deadline)
            return 0.0
        return deadline


# ---------------------------------------------------------------- T1: wake-ups


async def sleepers() -> None:
    """Ten tasks that sleep five hundred times each, hardly ever two to the same moment."""

    async def sleeper(period: float) -> None:
        for _ in range(SLEEPS):
            await trio.sleep(period)

    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(sleeper, 1.0 + math.sqrt(number + 2) / 10)


def timed(clock: Clock) -> Callable[[], Awaitable[int]]:
    """The sleepers, and nanoseconds they took; what begins and ends a run is not in it."""

    async def body() -> int:
        before = clock()
        await sleepers()
        return clock() - before

    return body


def on(make: Callable[[], trio.abc.Clock], clock: Clock) -> Sample:
    return lambda: trio.run(timed(clock), clock=make())


def in_world(clock: Clock, *, trace: bool = False) -> Sample:
    """As `explore` and `check_deterministic` execute it."""
    body = timed(clock)

    def sample() -> int:
        world = World(trace=trace)
        return world.execute(lambda _: body(), trial("batch", 0, slack=False)).result()

    return sample


def stepped(clock: Clock) -> Sample:
    """As `simulate` runs it from outside."""

    def sample() -> int:
        with simulate(timed(clock)) as sim:
            sim.run()
            return sim.result

    return sample


def wake_ups(clock: Clock, seconds: float) -> list[Figure]:
    limit = on(Jumping, clock)

    def paired(other: Sample) -> Rounds:
        return rounds_of(limit, other, seconds=seconds, rounds=None)

    def us(values: Sequence[int]) -> float:
        return quantile(values, 0.5) / WAKE_UPS / 1_000

    def told(rounds: Rounds) -> tuple[float, str]:
        ratios = [
            other / own for own, other in zip(rounds.limit_ns, rounds.other_ns, strict=True)
        ]
        ratio = quantile(ratios, 0.5)
        return ratio, (
            f"{us(rounds.other_ns):6.2f} us, {ratio:.2f}x of {us(rounds.limit_ns):.2f} us"
            f" ({quantile(ratios, 0.1):.2f}-{quantile(ratios, 0.9):.2f}, {len(ratios)} rounds)"
        )

    mock = told(paired(on(lambda: MockClock(autojump_threshold=0), clock)))
    ratio, plain = told(paired(in_world(clock)))
    live = told(paired(stepped(clock)))
    traced = paired(in_world(clock, trace=True))
    rate = 1e6 / us(traced.other_ns)
    return [
        Figure("T1 MockClock", mock[1]),
        Figure("T1 a simulated wake-up, no trace", plain, "<= 1.20x", ratio <= 1.2),
        Figure("T1 the same, stepped from outside (simulate)", live[1]),
        Figure(
            "T1 the same, with a trace",
            f"{told(traced)[1]}; {rate:,.0f} wake-ups/s",
            ">= 50,000/s",
            rate >= 50_000,
        ),
    ]


# ---------------------------------------------------------------- T2: requests behind a breaker and a retry

REQUESTS = 5_000
PAUSE, OUTAGE, EVERY, OPEN_FOR = 0.01, 3.0, 20.0, 2.0


async def service() -> None:
    """Fails for three seconds of twenty."""
    await trio.sleep(PAUSE)
    if trio.current_time() % EVERY > EVERY - OUTAGE:
        raise OSError("down")


class RefusedError(Exception):
    """By hand: nothing was tried."""


class ByHand:
    """A breaker that opens after five failures in a row, around each of three attempts."""

    def __init__(self) -> None:
        self.failures = 0
        self.closed_from = 0.0

    async def __call__(self) -> None:
        for attempt in range(3):
            if trio.current_time() < self.closed_from:
                raise RefusedError
            try:
                await service()
            except OSError:
                self.failures += 1
                if self.failures >= 5:
                    self.closed_from = trio.current_time() + OPEN_FOR
                if attempt == 2:
                    raise
                await trio.sleep(0.1 * 2.0**attempt)
            else:
                self.failures = 0
                return


def guarded() -> Callable[[], Awaitable[None]]:
    """The same with what the package has."""
    breaker = CircuitBreaker("service", CircuitPolicy(recovery_timeout=OPEN_FOR))
    retry = Retry(RetryPolicy(jitter=0.0))

    async def attempt() -> None:
        async with breaker:
            await service()

    return lambda: retry.call(attempt)


def requests(make: Callable[[], Callable[[], Awaitable[None]]], clock: Clock) -> Body:
    async def body() -> int:
        request, served = make(), 0
        before = clock()
        for _ in range(REQUESTS):
            try:
                await request()
            except (OSError, RefusedError, CircuitOpenError):
                await trio.sleep(PAUSE)
            else:
                served += 1
        took = clock() - before
        assert REQUESTS // 2 < served < REQUESTS, served
        return took

    return body


def behind_guards(clock: Clock, seconds: float) -> list[Figure]:
    def limit() -> int:
        return trio.run(requests(ByHand, clock), clock=Jumping())

    def ours() -> int:
        world, body = World(trace=False), requests(guarded, clock)
        return world.execute(lambda _: body(), trial("batch", 0, slack=False)).result()

    rounds = rounds_of(limit, ours, seconds=seconds, rounds=None)
    ratio = quantile(
        [other / own for own, other in zip(rounds.limit_ns, rounds.other_ns, strict=True)], 0.5
    )
    own, other = (
        quantile(values, 0.5) / REQUESTS / 1_000
        for values in (rounds.limit_ns, rounds.other_ns)
    )
    told = f"{other:6.2f} us, {ratio:.2f}x of {own:.2f} us"
    return [
        Figure("T2 a request behind a breaker and a retry", told, "<= 1.25x", ratio <= 1.25)
    ]


# ---------------------------------------------------------------- TS: schedules


async def four_tasks() -> int:
    """Four tasks, each of which waits once between reading and writing."""
    value = 0

    async def work() -> None:
        nonlocal value
        before = value
        await trio.lowlevel.checkpoint()
        value = before + 1

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(work)
    return value


async def deadlock() -> None:
    """Two tasks that take two locks the other way round."""
    one, two = trio.Lock(), trio.Lock()

    async def take(first: trio.Lock, second: trio.Lock) -> None:
        async with first:
            await trio.sleep(1.0)
            async with second:
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, one, two)
        nursery.start_soon(take, two, one)


def schedules(clock: Clock) -> list[Figure]:
    explore(four_tasks, seeds=100)
    best = math.inf
    for _ in range(3):
        before = clock()
        explore(four_tasks, seeds=SCHEDULES)
        best = min(best, (clock() - before) / 1e9)
    rate = SCHEDULES / best
    taken: list[float] = []
    for _ in range(30):
        before = clock()
        ended = World().execute(lambda _: deadlock(), trial("batch", 0, slack=False))
        taken.append((clock() - before) / 1e6)
        assert isinstance(ended.error, DeadlockError)
    took = quantile(taken, 0.5)
    return [
        Figure("TS schedules of four tasks", f"{rate:,.0f}/s", ">= 5,000/s", rate >= 5_000),
        Figure(
            "TS a deadlock reported, its run included", f"{took:.2f} ms", "<= 10 ms", took <= 10
        ),
    ]


# ---------------------------------------------------------------- TM: machines

SHELLS, STEPS = 100, 30
DOWN = Faults(service=chance(0.5, OSError)).if_reached()


def shell_machine(dice: Random, policy: CircuitPolicy) -> None:
    """Thirty steps in a live simulation: somebody comes, time passes, somebody is cancelled; a check after each."""
    breaker, inside = CircuitBreaker("service", policy), 0

    async def ask() -> None:
        nonlocal inside
        try:
            async with breaker:
                inside += 1
                try:
                    await trio.sleep(1.0)
                    await fault_point("service")
                finally:
                    inside -= 1
        except (CircuitOpenError, OSError):
            pass

    over = trio.Event()
    with simulate(over.wait, faults=DOWN) as sim:
        sim.settle()
        for _ in range(STEPS):
            thrown = dice.random()
            if thrown < 0.4:
                sim.spawn(ask)
            elif thrown < 0.6:
                sim.run_until(sim.time + thrown)
            elif thrown < 0.8:
                sim.advance()
            elif thrown < 0.95:
                sim.settle()
            elif sim.spawned:
                sim.spawned[-1].cancel()
            assert breaker.statistics().running == inside
        over.set()
        sim.run()
    sim.assert_no_leaks()


def machines(clock: Clock) -> list[Figure]:
    policy = CircuitPolicy(failure_threshold=3, recovery_timeout=1.0)
    best = math.inf
    for _ in range(5):
        dice = Random(7)
        before = clock()
        for _ in range(SHELLS):
            shell_machine(dice, policy)
        best = min(best, (clock() - before) / 1e9)
    rate = SHELLS / best
    return [
        Figure(
            "TM machines whose callers are spawned", f"{rate:,.0f}/s", ">= 350/s", rate >= 350
        )
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure, print; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="processor time")
    parser.add_argument("--check", action="store_true", help="exit 1 when a gate is missed")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each pair; 3")
    given = parser.parse_args(arguments)
    clock = time.process_time_ns if given.cpu else time.perf_counter_ns
    figures = [
        *wake_ups(clock, given.seconds),
        *behind_guards(clock, given.seconds),
        *machines(clock),
        *schedules(clock),
    ]
    for figure in figures:
        print(figure)
    return 1 if given.check and not all(figure.kept for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
