"""What it costs to record a long run, to look at it and to fork it; and how many state machines a second can be tried.

    python tests/bench/bench_timeline.py             all figures
    python tests/bench/bench_timeline.py --cpu       processor time, for a machine that has other things to do
    python tests/bench/bench_timeline.py --check     exit 1 when a gate is missed

TL: a client that asks once a second for twenty simulated hours, behind a retry and a circuit breaker; for five minutes
of each hour nobody answers.
TM: machines of thirty steps. A core is a breaker's rules alone; a shell is a breaker in a simulation, in which plain code
lets a call begin, end well or fail, or lets time pass, and looks at the breaker after each step.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

import trio
from bench_simulation import Figure

from agentflow_trio import CircuitBreaker, CircuitOpenError, CircuitPolicy, Retry, RetryPolicy
from agentflow_trio.robustness import BreakerState
from agentflow_trio.robustness._breaker_core import BreakerCore, Ticket
from agentflow_trio.testing import Faults, always, fault_point, record, simulate

HOURS = 20
END = HOURS * 3600.0
STEPS = 30

Clock = Callable[[], int]
T = TypeVar("T")

breaker = CircuitBreaker("backend", CircuitPolicy(recovery_timeout=30.0))
retry = Retry(RetryPolicy(base_delay=0.5))


# ---------------------------------------------------------------- TL: twenty hours


async def ask() -> None:
    """One request; nobody answers in the first five minutes of each hour."""
    async with breaker:
        await trio.sleep(0.05)
        await fault_point("backend")
        if trio.current_time() % 3600 < 300:
            raise ConnectionError


async def client() -> tuple[int, int]:
    """Ask once a second; return how often that went well, and how often it did not."""
    served = failed = 0
    while trio.current_time() < END:
        try:
            await retry.call(ask)
            served += 1
        except (ConnectionError, CircuitOpenError):
            failed += 1
        await trio.sleep(1.0)
    return served, failed


def twenty_hours(clock: Clock) -> list[Figure]:
    def timed(work: Callable[[], T]) -> tuple[T, float]:
        before = clock()
        done = work()
        return done, (clock() - before) / 1e9

    def back_to(when: float) -> float:
        def go() -> None:
            with timeline.live(when) as sim:
                assert sim.time == when

        return timed(go)[1]

    timeline, recording = timed(lambda: record(client))
    hours = [3600.0 * hour + 150.0 for hour in range(HOURS)]
    states, looking = timed(
        lambda: [timeline.at(hour).of(breaker).state for hour in hours * 50]
    )
    assert BreakerState.OPEN in states
    watched, watching = timed(
        lambda: timeline.watch("circuit", lambda now: now.of(breaker).state)
    )
    fork, forking = timed(lambda: timeline.fork(at=END / 2, faults=Faults(backend=always())))
    parted, comparing = timed(lambda: timeline.diff(fork).time)
    assert parted is not None
    assert parted >= END / 2
    halfway, all_the_way = back_to(END / 2), back_to(END - 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure(
            f"TL {HOURS} hours recorded", f"{recording:.2f} s, {len(timeline.times):,} instants"
        ),
        Figure("TL the breaker at one time", f"{looking / len(states) * 1e6:.1f} us"),
        Figure(
            "TL the breaker watched all the time",
            f"{watching:.2f} s, {len(watched.changes)} changes",
        ),
        Figure(
            "TL forked in the middle", f"{forking:.2f} s; where they part {comparing:.2f} s"
        ),
        Figure(
            "TL back to the middle; to the end",
            f"{halfway:.2f} s; {all_the_way:.2f} s",
            "<= recording",
            all_the_way <= recording,
        ),
        Figure("TL memory, two timelines", f"{memory:.0f} MB"),
    ]


# ---------------------------------------------------------------- TM: machines


DICE = Random(1)


def core_machine(_: int) -> None:
    dice, now = DICE, 0.0
    core = BreakerCore(CircuitPolicy(failure_threshold=2, recovery_timeout=3.0), lambda: 0.5)
    for _ in range(STEPS):
        now += dice.random()
        if core.admit(now) is None:
            ticket = Ticket()
            ticket.generation, ticket.begun = core.generation, now
            core.settle(ticket, "failure" if dice.random() < 0.6 else "success", now)
        assert core.state is not BreakerState.DISABLED


async def answer(*, fails: bool) -> None:
    await trio.sleep(0.1)
    if fails:
        raise OSError


def shell_machine(seed: int) -> None:
    dice = Random(seed)
    own = CircuitBreaker("own", CircuitPolicy(failure_threshold=2, recovery_timeout=3.0))
    send, receive = trio.open_memory_channel[bool](STEPS)

    async def program() -> None:
        async for fails in receive:
            try:
                async with own:
                    await answer(fails=fails)
            except (OSError, CircuitOpenError):
                pass

    with simulate(program, seed=seed) as sim:
        for _ in range(STEPS):
            if dice.random() < 0.6:
                send.send_nowait(dice.random() < 0.6)
            else:
                sim.run_until(sim.time + dice.random())
            sim.settle()
            assert own.statistics().running <= 1
        sim.cancel("enough")


def machines(clock: Clock) -> list[Figure]:
    def rate(machine: Callable[[int], None], count: int) -> float:
        best = 0.0
        for _ in range(3):
            before = clock()
            for seed in range(count):
                machine(seed)
            best = max(best, count / ((clock() - before) / 1e9))
        return best

    cores, shells = rate(core_machine, 2_000), rate(shell_machine, 100)
    return [
        Figure("TM cores of 30 steps", f"{cores:,.0f}/s", ">= 30,000/s", cores >= 30_000),
        Figure("TM shells of 30 steps", f"{shells:,.0f}/s", ">= 350/s", shells >= 350),
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure, print; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="processor time")
    parser.add_argument("--check", action="store_true", help="exit 1 when a gate is missed")
    given = parser.parse_args(arguments)
    clock = time.process_time_ns if given.cpu else time.perf_counter_ns
    figures = [*twenty_hours(clock), *machines(clock)]
    for figure in figures:
        print(figure)
    return 1 if given.check and not all(figure.kept for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
