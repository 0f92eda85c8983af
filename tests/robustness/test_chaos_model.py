"""Whom chaos strikes, and with what, against a naive reading of its page: programs of switches, drills, runs and bodies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from random import Random

import trio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from trio.testing import MockClock

from agentflow_trio import Chaos, ChaosPolicy, Drill
from agentflow_trio.events import FaultInjected
from agentflow_trio.robustness import ChaosStatistics, GuardEvent
from agentflow_trio.robustness._chaos_core import ChaosCore, Fault
from agentflow_trio.testing.strategies import chaos_policies

FAULTS: list[Fault] = ["latency", "behaviour", "error", "outcome"]
RATES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
SHARES = st.integers(0, 15).map(lambda sixteenths: sixteenths / 16)


# ---------------------------------------------------------------- the core, with numbers drawn by the test


class CoreMachine(RuleBasedStateMachine):
    """What must hold, whatever is drawn.

    1. Off, nothing is drawn and nobody is struck.
    2. On, three numbers are drawn for each body, struck or not.
    3. A body is struck if the first of them is below the rate: at 0 never, at 1 always.
    4. Its latency lies between the bounds, where the second number says.
    5. Its error is one of those written, where the third number says; none if none is written.
    6. Counts are those of the bodies that came by, and of what was injected.
    """

    @initialize(policy=chaos_policies())
    def begin(self, policy: ChaosPolicy) -> None:
        self.policy, self.core = policy, ChaosCore(policy)
        self.calls = self.struck = 0
        self.noted: list[str] = []

    @rule(rate=st.none() | RATES, numbers=st.tuples(SHARES, SHARES, SHARES))
    def meet(self, rate: float | None, numbers: tuple[float, float, float]) -> None:
        left = [*numbers]
        strike = self.core.meet(rate, lambda: left.pop(0))
        self.calls += 1
        assert len(left) == (3 if rate is None else 0)
        if rate is None or numbers[0] >= rate:
            assert strike is None
            assert rate != 1.0
            return
        assert rate != 0.0
        assert strike is not None
        self.struck += 1
        latency, errors = self.policy.latency, self.policy.errors
        low, high = latency if isinstance(latency, tuple) else (latency, latency)
        assert strike.latency == low + numbers[1] * (high - low)
        assert low <= strike.latency <= high
        written = errors if isinstance(errors, tuple) else (errors,)
        places = [i for i, one in enumerate(written) if i / len(written) <= numbers[2]]
        assert strike.error is (written[places[-1]] if written else None)

    @rule(fault=st.sampled_from(FAULTS))
    def count(self, fault: Fault) -> None:
        self.core.count(fault)
        self.noted.append(fault)

    @invariant()
    def counts(self) -> None:
        assert (self.core.calls, self.core.struck) == (self.calls, self.struck)
        assert self.core.injected == {one: self.noted.count(one) for one in self.noted}


TestCore = CoreMachine.TestCase


# ---------------------------------------------------------------- the shell, in runs of Trio


class Reading:
    """The page, read naively: the last switch of the run holds, else the innermost drill that names it, else it is off."""

    def __init__(self, policy: ChaosPolicy) -> None:
        self.policy = policy
        self.drills: list[dict[str, float | None]] = []
        self.begin_run()

    def begin_run(self) -> None:
        """Nothing is known of the run before."""
        self.switches: list[float | None] = []
        self.dice = Random("7/model#1")
        self.calls = self.struck = 0

    @property
    def rate(self) -> float | None:
        """What holds now."""
        if self.switches:
            return self.switches[-1]
        said = [rates["model"] for rates in self.drills if "model" in rates]
        if not said:
            return None
        return self.policy.rate if said[-1] is None else said[-1]

    def expected(self) -> tuple[float, bool]:
        """How late the next body begins, and whether it fails."""
        self.calls += 1
        if self.rate is None:
            return 0.0, False
        first, second, _ = (self.dice.random() for _ in range(3))
        if first >= self.rate:
            return 0.0, False
        self.struck += 1
        low, high = self.policy.bounds
        return low + second * (high - low), bool(self.policy.makers)


class ShellMachine(RuleBasedStateMachine):
    """Programs of what a caller can do; each is run in the end, all of its runs of Trio one after another."""

    @initialize(policy=chaos_policies())
    def begin(self, policy: ChaosPolicy) -> None:
        self.policy = policy
        self.runs: list[list[Callable[[Play], None]]] = [[]]
        self.bodies: list[int] = []

    @rule(times=st.integers(1, 5))
    def enter(self, times: int) -> None:
        self.runs[-1] += [Play.body] * times

    @rule(rate=st.none() | RATES)
    def enable(self, rate: float | None) -> None:
        self.runs[-1].append(lambda play: play.enable(rate))

    @rule()
    def disable(self) -> None:
        self.runs[-1].append(lambda play: play.disable())

    @rule(name=st.sampled_from(["model", "search"]), rate=st.none() | RATES)
    def hold(self, name: str, rate: float | None) -> None:
        self.runs[-1].append(lambda play: play.hold({name: rate}))

    @rule()
    def end_drill(self) -> None:
        self.runs[-1].append(lambda play: play.end_drill())

    @rule()
    def another_run(self) -> None:
        self.runs.append([])

    def teardown(self) -> None:
        if hasattr(self, "policy"):
            play = Play(self.policy)
            for run in self.runs:
                play.reading.begin_run()
                trio.run(play.all, run, clock=MockClock(autojump_threshold=0))
                play.reading.drills.clear()


class Play:
    """One program: the chaos itself beside the reading of it."""

    def __init__(self, policy: ChaosPolicy) -> None:
        self.events: list[GuardEvent] = []
        self.chaos = Chaos("model", policy, seed=7, on_event=self.events.append)
        self.reading = Reading(policy)
        self.due: list[bool] = []
        self.drills: list[ExitStack] = []

    async def all(self, acts: list[Callable[[Play], None]]) -> None:
        for act in acts:
            act(self)
            while self.due:
                self.due.pop()
                await self._body()
            assert self.chaos.rate == self.reading.rate
        while self.drills:
            self.drills.pop().close()

    def body(self) -> None:
        self.due.append(True)

    def enable(self, rate: float | None) -> None:
        self.chaos.enable(rate)
        self.reading.switches.append(self.reading.policy.rate if rate is None else rate)

    def disable(self) -> None:
        self.chaos.disable()
        self.reading.switches.append(None)

    def hold(self, rates: dict[str, float | None]) -> None:
        self.drills.append(ExitStack())
        self.drills[-1].enter_context(Drill(rates))
        self.reading.drills.append(rates)

    def end_drill(self) -> None:
        if self.drills:
            self.drills.pop().close()
            self.reading.drills.pop()

    async def _body(self) -> None:
        self.events.clear()
        begun, failed = trio.current_time(), False
        late, fails = self.reading.expected()
        try:
            async with self.chaos:
                pass
        except (OSError, KeyError):
            failed = True
        assert (trio.current_time(), failed) == (begun + late, fails)
        told = [event.fault for event in self.events if isinstance(event, FaultInjected)]
        assert told == ["latency"] * bool(late) + ["error"] * fails
        seen = self.chaos.statistics()
        assert isinstance(seen, ChaosStatistics)
        assert (seen.calls, seen.struck) == (self.reading.calls, self.reading.struck)


TestShell = ShellMachine.TestCase
