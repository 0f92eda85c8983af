"""Thousands of histories of a circuit breaker's rules, against a model that only reads what a caller can see."""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentflow_trio.robustness._breaker_core import BreakerCore, Ticket
from agentflow_trio.robustness._breaker_states_core import TRANSITIONS, Act, BreakerState, Cause
from agentflow_trio.robustness._circuit_policy import CircuitPolicy
from agentflow_trio.robustness._verdict_core import Verdict

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
ISOLATED, DISABLED = BreakerState.ISOLATED, BreakerState.DISABLED

# Sixteenths add up exactly: every time below is compared with ==.
ticks: Final = st.integers(1, 64).map(lambda count: count / 16)
few: Final = st.integers(1, 4)
dice: Final = st.sampled_from([0.0, 0.25, 0.5, 0.75])


@st.composite
def policies(draw: st.DrawFn) -> CircuitPolicy:
    last = draw(few)
    slow_after = draw(st.none() | ticks)
    recovery = draw(ticks)
    return CircuitPolicy(
        failure_threshold=draw(st.none() | few),
        failures_of_last=draw(st.none() | st.just((draw(st.integers(1, last)), last))),
        failure_rate=draw(st.none() | st.sampled_from([0.25, 0.5, 1.0])),
        slow_rate=None if slow_after is None else draw(st.sampled_from([0.25, 0.5, 1.0])),
        slow_after=slow_after,
        window=draw(ticks),
        min_calls=draw(few),
        recovery_timeout=recovery,
        multiplier=draw(st.sampled_from([1.0, 2.0])),
        max_recovery_timeout=draw(st.none() | st.sampled_from([recovery, 4 * recovery])),
        jitter=draw(st.sampled_from([0.0, 0.0, 0.5])),
        half_open_max_calls=draw(few),
        success_threshold=draw(few),
        half_open_max_duration=draw(ticks | st.just(math.inf)),
    )


@attrs.define(eq=False)
class Call:
    """A call somebody made, and what he saw of it."""

    core: BreakerCore
    ticket: Ticket
    generation: int
    begun: float
    recorded: bool = False


@attrs.define
class Model:
    """What follows from the promises, counted by hand from lists that are only ever added to.

    history: the calls that counted since the state last changed: when each ended, whether it failed, was slow.
    entered: each state entered, oldest first, restored ones left out.
    """

    policy: CircuitPolicy
    state: BreakerState = CLOSED
    generation: int = 0
    since: float = 0.0
    until: float = math.inf
    history: list[tuple[float, bool, bool]] = attrs.field(factory=list)
    entered: list[BreakerState] = attrs.field(factory=lambda: [CLOSED])
    probes: list[Call] = attrs.field(factory=list)
    stirred: float = 0.0
    totals: dict[str, int] = attrs.field(
        factory=lambda: dict.fromkeys(
            ("succeeded", "failed", "ignored", "cancelled", "stale", "rejected", "opened"), 0
        )
    )

    def trips(self) -> int:
        """How often it opened since it was anything but open or half-open."""
        row = 0
        for state in reversed(self.entered):
            if state not in {OPEN, HALF_OPEN}:
                break
            row += state is OPEN
        return row

    def streak(self) -> int:
        row = 0
        for _, failed, _ in reversed(self.history):
            if not failed:
                break
            row += 1
        return row

    def change(self, state: BreakerState, at: float, u: float) -> None:
        self.generation += 1
        self.entered.append(state)
        self.state, self.since, self.until = state, at, math.inf
        self.history, self.probes = [], []
        if state is OPEN:
            self.totals["opened"] += 1
            self.until = at + self.open_for(self.trips(), u)

    def open_for(self, trips: int, u: float) -> float:
        policy, seconds = self.policy, self.policy.recovery_timeout
        for _ in range(trips - 1):
            seconds *= policy.multiplier
        cap = policy.max_recovery_timeout or 10 * policy.recovery_timeout
        return min(seconds, cap) * (1 + policy.jitter * (2 * u - 1))

    def pass_time(self, now: float, u: float) -> None:
        """Probes that stir nothing for too long hang; the circuit opened when that was so."""
        overdue = self.stirred + self.policy.half_open_max_duration
        if self.state is HALF_OPEN and self.probes and overdue <= now:
            self.change(OPEN, overdue, u)

    def refusal(self, now: float, u: float) -> tuple[str, float | None] | None:
        self.pass_time(now, u)
        if self.state is OPEN and now >= self.until:
            self.change(HALF_OPEN, now, u)
        if self.state is OPEN:
            return "open", self.until - now
        if self.state is ISOLATED:
            return "isolated", None
        needed = self.policy.success_threshold - len(self.history)
        full = len(self.probes) >= min(self.policy.half_open_max_calls, needed)
        return ("half_open", None) if self.state is HALF_OPEN and full else None

    def admitted(self, call: Call, now: float) -> None:
        if self.state is HALF_OPEN:
            if not self.probes:
                self.stirred = now
            self.probes.append(call)

    def ended(self, call: Call, verdict: Verdict, now: float, u: float) -> None:
        self.pass_time(now, u)
        if call.generation != self.generation:
            self.totals["stale"] += 1
            return
        if self.state is DISABLED:
            return
        verdict = "failure" if verdict == "success" and call.recorded else verdict
        named = {"success": "succeeded", "failure": "failed"}.get(verdict, verdict)
        self.totals[named] += 1
        if call in self.probes:
            self.probes.remove(call)
            self.stirred = now
        if verdict not in {"success", "failure"}:
            return
        slow_after = self.policy.slow_after
        slow = slow_after is not None and now - call.begun >= slow_after
        self.history.append((now, verdict == "failure", slow))
        after = self.after_outcome(now)
        if after is not None:
            self.change(after, now, u)

    def after_outcome(self, now: float) -> BreakerState | None:
        if self.state is HALF_OPEN:
            _, failed, slow = self.history[-1]
            if failed or slow:
                return OPEN
            return CLOSED if len(self.history) == self.policy.success_threshold else None
        return OPEN if self.tripped(now) else None

    def tripped(self, now: float) -> bool:
        policy = self.policy
        if policy.failure_threshold and self.streak() >= policy.failure_threshold:
            return True
        if policy.failures_of_last:
            failures, last = policy.failures_of_last
            if sum(failed for _, failed, _ in self.history[-last:]) >= failures:
                return True
        young = [call for call in self.history if call[0] > now - policy.window]
        if len(young) < policy.min_calls:
            return False
        failed, slow = (sum(call[which] for call in young) for which in (1, 2))
        return (
            policy.failure_rate is not None and failed >= policy.failure_rate * len(young)
        ) or (policy.slow_rate is not None and slow >= policy.slow_rate * len(young))


class Breakers(RuleBasedStateMachine):
    """Somebody calls, waits, fails, succeeds, cancels, acts by hand, and carries the state elsewhere.

    1. A call is let through or refused exactly as the model says, with the reason it says.
    2. ``retry_after`` is what is missing to the end of the open time; None when isolated, or half-open and full.
    3. The first call at or after the end of the open time is let through; none before.
    4. Half-open there are never more probes out than allowed at once, nor than successes are still needed.
    5. A cancelled or ignored probe gives its place back at once; a hung one after `half_open_max_duration`.
    6. A failed or slow probe opens at once; so many successes as are needed close, not one less.
    7. What began in an older generation changes nothing but ``stale``.
    8. Cancelled and ignored calls, and refusals, change no state and move no time.
    9. Closed, it opens exactly when a rule holds for the first time, evaluated after every outcome.
    10. Each opening in a row lasts as the formula says, capped, with jitter; closing forgets how many there were.
    11. The generation goes up by exactly one with every change and every act by hand, and never otherwise.
    12. Every change told is a row of the table, begins where the one before ended, and there are as many as changes.
    13. Totals are those counted by hand; disabled, nothing is counted.
    14. A snapshot restored in the same or in another breaker goes on like the original.
    15. Never stuck: with time and successful calls alone, it closes.
    16. ``easy`` never hides a decision: it is set only when nothing but failures in a row matters.
    """

    calls: Bundle[Call] = Bundle("calls")
    core: BreakerCore
    model: Model

    @initialize(policy=policies())
    def make(self, policy: CircuitPolicy) -> None:
        self.now, self.u = 0.0, 0.5
        self.model = Model(policy)
        self.core = BreakerCore(policy, lambda: self.u)
        self.told, self.last_state, self.carried = 0, CLOSED, 0

    @rule(seconds=ticks, u=dice)
    def wait(self, seconds: float, u: float) -> None:
        self.now += seconds
        self.u = u

    @precondition(lambda self: self.now < self.model.until < math.inf)
    @rule(early=st.booleans())
    def wait_until_the_open_time_is_over(self, early: bool) -> None:
        self.now = max(self.now, self.model.until - early / 16)

    @precondition(lambda self: self.model.probes)
    @rule(early=st.booleans())
    def wait_until_probes_hang(self, early: bool) -> None:
        overdue = self.model.stirred + self.model.policy.half_open_max_duration
        if overdue < math.inf:
            self.now = max(self.now, overdue - early / 16)

    @rule(target=calls)
    def call(self) -> Call | MultipleResults[Call]:
        expected = self.model.refusal(self.now, self.u)
        assert self.core.admit(self.now) == expected
        if expected is not None:
            self.model.totals["rejected"] += 1
            return multiple()
        ticket = Ticket()
        ticket.generation, ticket.begun = self.core.generation, self.now
        call = Call(self.core, ticket, self.model.generation, self.now)
        self.model.admitted(call, self.now)
        return call

    @rule(call=calls)
    def record_a_failure(self, call: Call) -> None:
        if not call.recorded:
            call.recorded = True
            call.ticket.generation = ~call.ticket.generation

    @rule(call=calls)
    def start_later(self, call: Call) -> None:
        call.begun = call.ticket.begun = self.now

    @rule(
        call=consumes(calls),
        verdict=st.sampled_from([
            "success",
            "success",
            "failure",
            "failure",
            "ignored",
            "cancelled",
        ]),
    )
    def end(self, call: Call, verdict: Verdict) -> None:
        if call.core is not self.core:
            return  # the breaker it was made through is not looked at any more
        self.model.ended(call, verdict, self.now, self.u)
        self.core.settle(call.ticket, verdict, self.now)

    @rule(
        act=st.sampled_from([
            "opened_by_hand",
            "closed_by_hand",
            "isolated_by_hand",
            "disabled_by_hand",
            "reset",
        ])
    )
    def act(self, act: Act) -> None:
        goal = {
            "opened_by_hand": OPEN,
            "closed_by_hand": CLOSED,
            "isolated_by_hand": ISOLATED,
            "disabled_by_hand": DISABLED,
            "reset": CLOSED,
        }[act]
        if act == "reset":
            self.model.totals = dict.fromkeys(self.model.totals, 0)
        self.model.change(goal, self.now, self.u)
        self.core.act(act, self.now)

    @rule(elsewhere=st.booleans())
    def carry_over(self, elsewhere: bool) -> None:
        model = self.model
        model.pass_time(self.now, self.u)
        snapshot = self.core.snapshot(self.now)
        self.every_change_is_told()
        if elsewhere:
            self.core = BreakerCore(model.policy, lambda: self.u)
            model.totals = dict.fromkeys(model.totals, 0)
            model.generation = self.told = 0
        self.core.restore(snapshot, self.now)
        assert [change.cause for change in self.core.changes] == ["restored"]
        assert self.core.changes[0].retry_after == (
            max(0.0, model.until - self.now) if model.state is OPEN else None
        )
        self.core.changes.clear()
        model.generation += 1
        self.told += 1
        model.probes = []
        if model.state is OPEN:
            model.until = max(model.until, self.now)

    def every_change_is_told(self) -> None:
        rows = {(row.before, row.cause): row.after for row in TRANSITIONS}
        for change in self.core.changes:
            cause: Cause | Literal["restored"] = change.cause
            assert cause != "restored"
            assert change.before is self.last_state
            assert rows[change.before, cause] is change.after
            assert (change.retry_after is not None) == (change.after is OPEN)
            self.told += 1
            assert change.generation == self.told
            self.last_state = change.after
        self.core.changes.clear()

    @invariant()
    def a_caller_sees_what_the_model_says(self) -> None:
        self.every_change_is_told()
        core, model = self.core, self.model
        assert core.state is model.state
        assert core.generation == model.generation == self.told
        assert core.until == model.until
        assert core.trips == model.trips()
        assert core.streak == (model.streak() if model.state is CLOSED else 0)
        assert {name: getattr(core, name) for name in model.totals} == model.totals

    @invariant()
    def it_is_easy_only_when_nothing_else_matters(self) -> None:
        policy = self.model.policy
        others = policy.failures_of_last, policy.failure_rate, policy.slow_rate
        only_streaks = others == (None, None, None)
        is_easy = self.model.state is CLOSED and only_streaks
        assert self.core.easy == (self.core.generation if is_easy else None)

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        core, model = self.core, self.model
        if model.state in {ISOLATED, DISABLED}:
            core.act("closed_by_hand", self.now)
            assert core.state is CLOSED
            return
        if model.policy.half_open_max_duration == math.inf and model.probes:
            return  # by choice a probe may take for ever
        for now in range(10_000, 20_000, 1000):
            if core.state is not CLOSED:
                assert core.admit(now) is None
                ticket = Ticket()
                ticket.generation, ticket.begun = core.generation, now
                core.settle(ticket, "success", now)
        assert core.state is CLOSED


@pytest.mark.parametrize("steps", [12, 50])
def test_a_breaker_keeps_its_promises(steps: int) -> None:
    run_state_machine_as_test(Breakers, settings=settings(stateful_step_count=steps))
