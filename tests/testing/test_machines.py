"""State machines that step a simulation: their rules, their ends, and what they find."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any, ClassVar

import pytest
import trio
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
)
from agentflow_trio.testing import DeadlockError, Faults, InjectedError, LeakError, fault_point
from agentflow_trio.testing.strategies import (
    SimulationMachine,
    circuit_policies,
    durations,
    fault_plans,
)

FEW = settings(
    max_examples=10, stateful_step_count=10, deadline=None, derandomize=True, database=None
)
FIND = settings(
    max_examples=2000,  # it ends at the first one found
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)


def failure_of(machine: type[SimulationMachine]) -> tuple[Exception, list[str]]:
    """What it fails with, and the steps that lead there, made as few as can be."""
    with pytest.raises(Exception) as caught, redirect_stdout(io.StringIO()):
        run_state_machine_as_test(machine, settings=FIND)
    steps = [line for note in caught.value.__notes__ for line in note.splitlines()]
    return caught.value, [line for line in steps if line.startswith("state.")]


# ---------------------------------------------------------------- one that holds


class Breakers(SimulationMachine):
    """A breaker as its callers see it."""

    @initialize(
        policy=circuit_policies(exact=True),
        faults=fault_plans("model"),
        seed=st.integers(0, 3),
    )
    def make(self, policy: CircuitPolicy, faults: Faults, seed: int) -> None:
        self.breaker = CircuitBreaker("model", policy)
        self.inside = 0
        self.start(seed=seed, faults=faults)

    async def ask(self) -> None:
        try:
            async with self.breaker:
                self.inside += 1
                try:
                    await fault_point("model")
                    await trio.sleep(1.0)
                finally:
                    self.inside -= 1
        except (CircuitOpenError, InjectedError):
            pass

    @rule()
    def somebody_asks(self) -> None:
        self.spawn(self.ask)

    @invariant()
    def what_the_breaker_tells_is_what_callers_see(self) -> None:
        assert self.breaker.statistics().running == self.inside


Breakers.TestCase.settings = settings(max_examples=settings().max_examples, deadline=None)
TestBreakers = Breakers.TestCase


# ---------------------------------------------------------------- what it finds


class Forgetful(SimulationMachine):
    async def wait(self) -> None:
        await trio.sleep_forever()

    @rule()
    def somebody_waits(self) -> None:
        self.spawn(self.wait)


def test_who_never_ends_is_a_deadlock_with_the_shortest_script() -> None:
    error, steps = failure_of(Forgetful)
    assert isinstance(error, DeadlockError)
    assert [task.name for task in error.tasks] == ["main", "wait"]
    assert steps == [
        "state.order_is_drawn(seed=0)",
        "state.somebody_waits()",
        "state.teardown()",
    ]


class Careless(SimulationMachine):
    """Who is cancelled while it holds the place keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.db = Bulkhead("db", limit=3)

    async def work(self) -> None:
        await self.db.__aenter__()
        await trio.sleep(1.0)
        await self.db.__aexit__(None, None, None)

    @rule()
    def somebody_works(self) -> None:
        self.spawn(self.work)


def test_what_is_held_at_the_end_is_a_leak() -> None:
    error, steps = failure_of(Careless)
    assert isinstance(error, LeakError)
    assert "of 'db'" in str(error)
    assert any(step.startswith("state.caller_is_cancelled(") for step in steps)
    assert len(steps) <= 8


def test_the_shortest_script_that_leaves_something_held_repeats_it() -> None:
    state = Careless()
    state.order_is_drawn(seed=0)
    state.somebody_works()
    state.all_settle()
    state.caller_is_cancelled(name="work")
    with pytest.raises(LeakError, match="of 'db'"):
        state.teardown()


class Patient(Careless):
    """Nobody is cancelled, so nothing is left."""

    cancels: ClassVar[bool] = False


def test_a_machine_whose_callers_are_not_cancelled() -> None:
    run_state_machine_as_test(Patient, settings=FEW)


class Late(SimulationMachine):
    """Fails while time passes: from 3 s on."""

    times: ClassVar[st.SearchStrategy[float]] = durations(4.0)

    async def work(self) -> None:
        await trio.sleep(3.0)
        raise OSError("too late")

    @rule()
    def somebody_works(self) -> None:
        self.spawn(self.work)


def test_a_caller_that_raises_fails_the_machine() -> None:
    error, steps = failure_of(Late)
    assert isinstance(error, OSError)
    assert "in 'work', spawned at 0 s" in error.__notes__
    # time passes by a rule, or at the end: which is simpler, each version of Hypothesis has its own mind
    assert [step for step in steps if step != "state.next_is_due()"] == [
        "state.order_is_drawn(seed=0)",
        "state.somebody_works()",
        "state.teardown()",
    ]


class Broken(SimulationMachine):
    """A rule fails while a caller holds on to what it should not."""

    async def wait(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2.0)
        raise OSError("and a caller, too")

    @rule()
    def somebody_waits(self) -> None:
        self.spawn(self.wait)
        self.sim.settle()
        raise AssertionError("the rule")


def test_a_rule_that_fails_is_what_is_told_and_all_is_closed() -> None:
    error, _ = failure_of(Broken)
    assert str(error) == "the rule"
    assert any("OSError('and a caller, too')" in note for note in error.__notes__)
    trio.run(trio.lowlevel.checkpoint)  # this thread can run Trio again


# ---------------------------------------------------------------- by hand, as a printed script does


def test_a_machine_is_played_by_hand() -> None:
    state = Breakers()
    state.make(CircuitPolicy(failure_threshold=1), Faults(), 1)
    with pytest.raises(RuntimeError, match="the simulation has begun"):
        state.start()
    assert state.callers == []
    for _ in range(2):
        state.somebody_asks()
    assert [caller.name for caller in state.callers] == ["ask", "ask#2"]
    state.time_passes(1.0)
    assert state.inside == 2
    state.caller_is_cancelled("ask#2")
    state.next_is_due()
    assert state.callers == []
    state.next_is_due()
    state.all_settle()
    state.teardown()


def test_one_whose_simulation_never_began_has_nothing_to_end() -> None:
    state = Forgetful()
    assert state.callers == []
    state.order_is_drawn(3)
    state.teardown()


class Waking(Forgetful):
    """What callers wait for comes in the end."""

    def finish(self) -> None:
        for caller in self.callers:
            caller.cancel()
        super().finish()


def test_who_waits_for_a_rule_is_let_go_in_finish() -> None:
    run_state_machine_as_test(Waking, settings=FEW)


# ---------------------------------------------------------------- mistakes, and the order of tasks


def test_a_rule_that_is_async_is_refused_where_it_is_written() -> None:
    any_rule: Any = rule  # type checkers refuse it, too

    with pytest.raises(TypeError, match=r"Slow\.come is async; .* self\.spawn\(self\.caller\)"):

        class Slow(SimulationMachine):
            async def come(self) -> None:
                await trio.sleep(1.0)

            come = any_rule()(come)

    with pytest.raises(TypeError, match=r"Wary\.holds is async"):

        class Wary(SimulationMachine):
            @invariant()
            async def holds(self) -> None:
                await trio.lowlevel.checkpoint()


class Unready(SimulationMachine):
    def __init__(self) -> None:  # without that of its base
        self.free = 2

    @rule()
    def somebody_comes(self) -> None:
        self.sim.settle()


def test_who_forgets_to_set_up_the_machine_is_told() -> None:
    error, _ = failure_of(Unready)
    assert isinstance(error, TypeError)
    assert str(error) == "Unready.__init__ must begin with super().__init__()"


def order_of(seed: int | None, *, begun: bool, own: int | None = None) -> str:
    """In which order callers go on whose machine begins before or after the seed is drawn."""
    state, came = Forgetful(), list[str]()

    async def come(name: str) -> None:
        await trio.lowlevel.checkpoint()
        came.append(name)

    if begun:
        state.start(seed=own)
    if seed is not None:
        state.order_is_drawn(seed)
    for name in "abcd":
        state.spawn(come, name)
    state.teardown()
    return "".join(came)


def test_the_order_is_drawn_for_a_machine_that_has_begun_too() -> None:
    assert len({order_of(seed, begun=False) for seed in range(8)}) > 3
    assert len({order_of(seed, begun=True) for seed in range(8)}) > 3
    of_its_own = order_of(None, begun=True, own=3)
    assert {order_of(seed, begun=True, own=3) for seed in range(8)} == {of_its_own}
