"""A hedge: one outcome, whichever attempt it comes from, and no attempt left over."""

from __future__ import annotations

import gc
import logging
import math
import signal
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from attrs import define, field
from outcome import Error, acapture
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import (
    AdaptiveDelay,
    Bulkhead,
    BulkheadFullError,
    CircuitBreaker,
    DeadlineExceededError,
    GuardInUseError,
    Hedge,
    HedgePolicy,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
)
from agentflow_trio.robustness import (
    AttemptFailed,
    GaveUp,
    GuardEvent,
    HedgeStarted,
    HedgeWon,
    RuleFailed,
)
from agentflow_trio.testing import Faults, assert_no_leaks, first, simulate


@define
class Replicas:
    """Attempt n takes ``takes[n-1]`` seconds; what it then raises, or while it is cut off, is said by number."""

    takes: tuple[float, ...]
    fails: dict[int, BaseException] = field(factory=dict)
    fails_cut: dict[int, BaseException] = field(factory=dict)
    begun: list[float] = field(factory=list)
    cut: list[int] = field(factory=list)
    running: int = 0

    async def ask(self, number: int) -> str:
        self.begun.append(trio.current_time())
        self.running += 1
        try:
            await trio.sleep(self.takes[number - 1])
        except trio.Cancelled:
            self.cut.append(number)
            if number in self.fails_cut:
                raise self.fails_cut[number] from None
            raise
        finally:
            self.running -= 1
        if number in self.fails:
            raise self.fails[number]
        return f"answer {number}"


async def raised_by(hedge: Hedge, replicas: Replicas) -> BaseException:
    """What the call raises itself: no group, nothing that it came of."""
    with assert_no_leaks(hedge):
        ended = await acapture(hedge.attempts, replicas.ask)
    assert replicas.running == 0
    assert isinstance(ended, Error)
    return ended.error


# ---------------------------------------------------------------- slow attempts


async def test_an_attempt_that_is_quick_enough_is_the_only_one(
    autojump_clock: MockClock,
) -> None:
    hedge, replicas = Hedge(after=0.25), Replicas((0.125,))
    assert await hedge.attempts(replicas.ask) == "answer 1"
    assert trio.current_time() == 0.125
    counts = hedge.statistics()
    assert (counts.calls, counts.completed, counts.hedges, counts.won) == (1, 1, {}, 0)


async def test_a_slow_attempt_is_overtaken_and_cut_off(autojump_clock: MockClock) -> None:
    hedge, replicas = Hedge(after=0.25), Replicas((4.0, 0.5))
    assert await hedge.attempts(replicas.ask) == "answer 2"
    assert replicas.begun == [0.0, 0.25]
    assert replicas.cut == [1]
    assert trio.current_time() == 0.75
    counts = hedge.statistics()
    assert (counts.hedges, counts.won, counts.inside) == ({"delay": 1}, 1, 0)


async def test_a_slow_attempt_may_win_all_the_same(autojump_clock: MockClock) -> None:
    hedge, replicas = Hedge(after=0.25), Replicas((0.5, 4.0))
    assert await hedge.attempts(replicas.ask) == "answer 1"
    assert (replicas.cut, trio.current_time()) == ([2], 0.5)
    assert hedge.statistics().won == 0


async def test_each_further_attempt_begins_a_delay_after_the_one_before(
    autojump_clock: MockClock,
) -> None:
    hedge, replicas = Hedge(HedgePolicy(after=0.5, max_attempts=4)), Replicas((9.0,) * 4)
    await hedge.attempts(replicas.ask)
    assert replicas.begun == [0.0, 0.5, 1.0, 1.5]
    assert trio.current_time() == 9.0


async def test_without_a_delay_all_begin_at_once(autojump_clock: MockClock) -> None:
    hedge, replicas = Hedge(HedgePolicy(after=0, max_attempts=3)), Replicas((3.0, 2.0, 1.0))
    assert await hedge.attempts(replicas.ask) == "answer 3"
    assert replicas.begun == [0.0, 0.0, 0.0]
    assert trio.current_time() == 1.0


async def test_with_a_delay_that_never_ends_another_begins_only_after_a_failure(
    autojump_clock: MockClock,
) -> None:
    replicas = Replicas((9.0, 0.5), fails={1: OSError()})
    assert await Hedge(after=math.inf).attempts(replicas.ask) == "answer 2"
    assert replicas.begun == [0.0, 9.0]
    assert await Hedge(after=math.inf).attempts(Replicas((900.0,)).ask) == "answer 1"


async def test_nothing_goes_on_when_the_call_returns(autojump_clock: MockClock) -> None:
    """The one that is cut off takes its time, and is waited for."""
    closed: list[float] = []

    async def work(number: int) -> int:
        try:
            await trio.sleep(4.0 if number == 1 else 0.5)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2.0)
            closed.append(trio.current_time())
        return number

    assert await Hedge(after=0.25).attempts(work) == 2
    assert closed == [2.75, 4.75]


async def test_of_those_that_end_in_one_pass_the_first_attempt_wins(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):  # Trio runs the tasks of a pass in any order
        hedge, replicas = Hedge(after=0.25), Replicas((0.75, 0.5))
        assert await hedge.attempts(replicas.ask) == "answer 1"
        assert hedge.statistics().won == 0


class Ticking(trio.abc.Clock):
    """No two readings are the same; nobody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    @override
    def start_clock(self) -> None:
        """It goes."""

    @override
    def current_time(self) -> float:
        self.now += 2.0**-20
        return self.now

    @override
    def deadline_to_sleep_time(self, deadline: float) -> float:
        self.now = max(self.now, deadline)
        return 0.0


def test_it_wins_too_if_the_caller_wakes_between_the_two_and_time_goes_on() -> None:
    async def call() -> int:
        gate = trio.Event()

        async def work(number: int) -> int:
            if number == 3:
                gate.set()
                raise OSError  # which wakes the caller, in the pass in which the gate lets the others go
            await gate.wait()
            return number

        return await Hedge(HedgePolicy(after=0.125, max_attempts=3)).attempts(work)

    assert [trio.run(call, clock=Ticking()) for _ in range(20)] == [1] * 20


async def test_one_that_ends_when_the_next_is_due_needs_none_beside_it(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):
        replicas = Replicas((0.25, 0.0))
        assert await Hedge(after=0.25).attempts(replicas.ask) == "answer 1"
        assert replicas.begun[1:] == []


# ---------------------------------------------------------------- failed attempts


async def test_after_a_failure_the_next_begins_at_once(autojump_clock: MockClock) -> None:
    hedge = Hedge(after=9.0)
    replicas = Replicas((0.5, 0.5), fails={1: OSError()})
    assert await hedge.attempts(replicas.ask) == "answer 2"
    assert (replicas.begun, trio.current_time()) == ([0.0, 0.5], 1.0)
    assert hedge.statistics().hedges == {"failure": 1}


async def test_two_failures_begin_two(autojump_clock: MockClock) -> None:
    policy = HedgePolicy(after=0.25, max_attempts=4)
    replicas = Replicas((0.375, 0.125, 9.0, 1.0), fails={1: OSError(), 2: OSError()})
    assert await Hedge(policy).attempts(replicas.ask) == "answer 4"
    assert replicas.begun == [0.0, 0.25, 0.375, 0.375]


async def test_an_error_that_is_not_handled_ends_the_call(autojump_clock: MockClock) -> None:
    wrong = ValueError("wrong question")
    hedge = Hedge(HedgePolicy(after=0.25, on=OSError), name="h")
    replicas = Replicas((9.0, 0.5), fails={2: wrong})
    assert await raised_by(hedge, replicas) is wrong
    assert (replicas.cut, trio.current_time()) == ([1], 0.75)
    note = "hedge 'h': failed after 2 attempts in 0.75 s: ValueError begins no other attempt"
    assert wrong.__notes__ == [note]
    assert (wrong.__context__, wrong.__cause__) == (None, None)
    counts = hedge.statistics()
    assert (counts.failed, counts.completed, counts.samples) == (1, 0, 0)


async def test_if_all_fail_the_last_error_is_raised_and_tells_of_the_others(
    autojump_clock: MockClock,
) -> None:
    first, last = ConnectionError("first"), OSError()
    hedge = Hedge(after=0.25, name="h")
    replicas = Replicas((2.0, 0.25), fails={1: first, 2: last})
    assert await raised_by(hedge, replicas) is first
    note = "hedge 'h': failed after 2 attempts in 2 s: max_attempts=2; attempt 2: OSError"
    assert first.__notes__ == [note]
    replicas = Replicas((0.25, 2.0), fails={1: ConnectionError("x"), 2: last})
    assert await raised_by(hedge, replicas) is last
    assert last.__notes__[0].endswith("max_attempts=2; attempt 1: ConnectionError: x")


async def test_of_those_that_fail_together_the_last_attempt_is_the_last(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):
        errors = {1: OSError(1), 2: OSError(2)}
        replicas = Replicas((0.75, 0.5), fails={**errors})
        assert await raised_by(Hedge(after=0.25), replicas) is errors[2]


async def test_an_answer_goes_before_an_error_of_the_same_moment(
    autojump_clock: MockClock,
) -> None:
    for _ in range(20):
        hedge = Hedge(HedgePolicy(after=0.25, on=OSError))
        replicas = Replicas((0.75, 0.5), fails={1: ValueError()})
        assert await hedge.attempts(replicas.ask) == "answer 2"


async def test_a_note_tells_of_nine_others(autojump_clock: MockClock) -> None:
    hedge = Hedge(HedgePolicy(after=0, max_attempts=12), name="h")
    replicas = Replicas((1.0,) * 12, fails={number: OSError() for number in range(1, 13)})
    error = await raised_by(hedge, replicas)
    assert error.__notes__[0].endswith("attempt 8: OSError; attempt 9: OSError; and 2 more")
    hedge = Hedge(HedgePolicy(after=0, max_attempts=10), name="h")
    error = await raised_by(hedge, replicas)
    assert error.__notes__[0].endswith("attempt 8: OSError; attempt 9: OSError")


async def test_a_single_attempt_that_fails_says_so(autojump_clock: MockClock) -> None:
    error = OSError("x")
    hedge = Hedge(HedgePolicy(after=1.0, max_attempts=1), name="h")
    assert await raised_by(hedge, Replicas((0.5,), fails={1: error})) is error
    assert error.__notes__ == ["hedge 'h': failed after 1 attempt in 0.5 s: max_attempts=1"]


async def test_an_error_that_takes_no_notes_is_raised_all_the_same(
    autojump_clock: MockClock,
) -> None:
    class StubbornError(OSError):
        @override
        def add_note(self, note: str, /) -> None:
            raise RuntimeError(note)

    error = StubbornError()
    assert (
        await raised_by(Hedge(after=9.0), Replicas((0.0, 0.0), {1: OSError(), 2: error}))
        is error
    )


async def test_a_group_is_handled_if_each_of_its_leaves_is(autojump_clock: MockClock) -> None:
    hedge = Hedge(HedgePolicy(after=9.0, on=OSError))
    good = ExceptionGroup("", [OSError(), ConnectionError()])
    assert await hedge.attempts(Replicas((0.5, 0.5), {1: good}).ask) == "answer 2"
    bad = ExceptionGroup("", [OSError(), ValueError()])
    assert await raised_by(hedge, Replicas((0.5, 0.5), {1: bad})) is bad


async def test_a_rule_that_raises_ends_the_call_with_the_error_it_was_asked_about(
    autojump_clock: MockClock,
) -> None:
    def rule(error: Exception) -> bool:
        raise KeyError(str(error))

    told: list[GuardEvent] = []
    error = OSError("x")
    hedge = Hedge(HedgePolicy(after=9.0, on=rule), name="h", on_event=told.append)
    assert await raised_by(hedge, Replicas((0.5, 0.5), {1: error})) is error
    failed = RuleFailed(guard="h", timestamp=0.5, error="KeyError", message="'x'")
    assert [event for event in told if isinstance(event, RuleFailed)] == [failed]
    quiet = Hedge(HedgePolicy(after=9.0, on=rule))
    assert await raised_by(quiet, Replicas((0.5, 0.5), {1: error})) is error


async def test_what_is_no_error_ends_all_and_passes(autojump_clock: MockClock) -> None:
    for stop in (KeyboardInterrupt(), SystemExit(3), BaseExceptionGroup("", [SystemExit()])):
        replicas = Replicas((9.0, 0.5), fails={2: stop})
        assert await raised_by(Hedge(after=0.25), replicas) is stop
        assert replicas.cut == [1]


async def test_what_is_no_error_passes_from_the_only_attempt() -> None:
    stop = KeyboardInterrupt()

    async def work(_: int) -> int:
        raise stop

    with pytest.raises(KeyboardInterrupt) as caught:
        await Hedge(after=1.0).attempts(work)
    assert caught.value is stop


async def test_what_is_no_error_passes_even_from_one_that_is_cut_off(
    autojump_clock: MockClock,
) -> None:
    stop = SystemExit(3)
    hedge = Hedge(after=0.25)
    assert await raised_by(hedge, Replicas((9.0, 0.5), fails_cut={1: stop})) is stop
    counts = hedge.statistics()
    assert (counts.completed, counts.failed, counts.cancelled) == (0, 0, 0)


# ---------------------------------------------------------------- cut off, and failed by that


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_what_fails_while_it_is_cut_off_is_logged_if_nobody_listens(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    late = ValueError("cannot close")
    hedge = Hedge(after=0.25, name="h")
    assert await hedge.attempts(Replicas((9.0, 0.5), fails_cut={1: late}).ask) == "answer 2"
    assert warnings_in(caplog) == [
        "attempt 1 of hedge 'h' failed, but another decided the call"
    ]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.exc_info is not None
    assert record.exc_info[1] is late
    assert hedge.statistics().failed_late == 1


async def test_an_error_beside_an_answer_is_logged_if_nobody_listens(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    hedge = Hedge(HedgePolicy(after=0.25, on=OSError), name="h")
    assert await hedge.attempts(Replicas((0.75, 0.5), {1: ValueError()}).ask) == "answer 2"
    assert len(warnings_in(caplog)) == 1
    assert await hedge.attempts(Replicas((0.5, 0.5), {1: OSError()}).ask) == "answer 2"
    assert len(warnings_in(caplog)) == 1  # a hedge is there for that
    assert hedge.statistics().failed_late == 0


async def test_what_fails_while_it_is_cut_off_is_told_by_the_error_that_is_raised(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    wrong, late = ValueError("wrong"), OSError("cannot close")
    hedge = Hedge(HedgePolicy(after=0.25, on=OSError))
    replicas = Replicas((9.0, 0.5), fails={2: wrong}, fails_cut={1: late})
    assert await raised_by(hedge, replicas) is wrong
    assert wrong.__notes__[0].endswith("; attempt 1: OSError: cannot close")
    assert warnings_in(caplog) == []


async def test_of_a_group_only_what_is_no_cancellation_is_told(
    autojump_clock: MockClock,
) -> None:
    async def closes_badly() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cannot close")  # noqa: B012, RUF100 - what is tested

    async def work(number: int) -> int:
        if number == 1:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(closes_badly)
                nursery.start_soon(trio.sleep_forever)
        await trio.sleep(0.5)
        return number

    told: list[GuardEvent] = []
    assert await Hedge(after=0.25, on_event=told.append).attempts(work) == 2
    (failed,) = [event for event in told if isinstance(event, AttemptFailed)]
    assert (failed.error, failed.message) == (
        "ExceptionGroup",
        "Exceptions from Trio nursery (1 sub-exception)",
    )


# ---------------------------------------------------------------- cancelled


async def test_a_call_that_is_cancelled_cancels_all(autojump_clock: MockClock) -> None:
    hedge, replicas = Hedge(after=0.25), Replicas((9.0, 9.0))
    with trio.move_on_at(1.0) as scope:
        await hedge.attempts(replicas.ask)
    assert scope.cancelled_caught
    assert (sorted(replicas.cut), replicas.running) == ([1, 2], 0)
    counts = hedge.statistics()
    assert (counts.cancelled, counts.failed, counts.inside) == (1, 0, 0)


async def test_the_cancellation_is_raised_in_no_group(autojump_clock: MockClock) -> None:
    with trio.move_on_at(1.0):
        ended = await acapture(Hedge(after=0.25).attempts, Replicas((9.0, 9.0)).ask)
    assert isinstance(ended, Error)
    assert type(ended.error) is trio.Cancelled


async def test_a_call_cancelled_before_it_begins_does_nothing(
    autojump_clock: MockClock,
) -> None:
    budget = RetryBudget("b", ratio=1.0)
    hedge, replicas = Hedge(HedgePolicy(after=0.25, budget=budget)), Replicas((1.0,))
    with trio.CancelScope() as scope:
        scope.cancel()
        await hedge.attempts(replicas.ask)
    assert (replicas.begun, hedge.statistics().calls) == ([], 0)


async def test_a_failure_before_the_cancellation_does_not_hide_it(
    autojump_clock: MockClock,
) -> None:
    hedge, replicas = Hedge(after=9.0), Replicas((0.5, 9.0), fails={1: OSError()})
    with trio.move_on_at(1.0) as scope:
        await hedge.attempts(replicas.ask)
    assert scope.cancelled_caught


async def test_what_fails_while_the_call_is_cancelled_is_raised(
    autojump_clock: MockClock,
) -> None:
    first, other = ValueError("first"), ValueError("other")
    told: list[GuardEvent] = []
    hedge = Hedge(after=0.25, name="h", on_event=told.append)
    replicas = Replicas((9.0,) * 2, fails_cut={1: first, 2: other})
    with trio.move_on_at(1.0):
        assert await raised_by(hedge, replicas) is first
    note = "hedge 'h': failed after 2 attempts in 1 s: it was cancelled; attempt 2: ValueError: other"
    assert first.__notes__ == [note]
    assert hedge.statistics().failed_late == 2
    assert not [event for event in told if isinstance(event, GaveUp)]
    with trio.move_on_after(0.5):
        assert await raised_by(hedge, Replicas((9.0,) * 2, fails_cut={2: other})) is other


async def test_an_answer_that_comes_all_the_same_is_kept(autojump_clock: MockClock) -> None:
    async def work(number: int) -> int:
        with trio.CancelScope(shield=number == 1):
            await trio.sleep(2.0)
        return number

    with trio.move_on_at(1.0) as scope:
        assert await Hedge(after=0.25).attempts(work) == 1
    assert not scope.cancelled_caught


async def test_its_own_cutting_off_is_not_the_callers_cancellation(
    autojump_clock: MockClock,
) -> None:
    """Many scopes around, none of which is cancelled."""
    with trio.CancelScope() as outer:
        async with trio.open_nursery() as nursery:
            assert await Hedge(after=0.25).attempts(Replicas((9.0, 0.5)).ask) == "answer 2"
            assert not nursery.cancel_scope.cancel_called
    assert not outer.cancelled_caught


async def test_none_begins_at_the_callers_deadline(autojump_clock: MockClock) -> None:
    hedge, replicas = Hedge(after=0.25), Replicas((9.0, 9.0))
    with trio.move_on_at(0.25):
        await hedge.attempts(replicas.ask)
    assert replicas.begun == [0.0]


async def test_a_failure_at_the_deadline_is_the_last(autojump_clock: MockClock) -> None:
    error = OSError()

    async def work(number: int) -> int:
        assert number == 1
        with trio.CancelScope(shield=True):
            await trio.sleep(1.0)
        raise error

    with trio.move_on_at(1.0), pytest.raises(OSError) as caught:
        await Hedge(after=9.0).attempts(work)
    assert caught.value is error


async def test_a_failure_in_a_scope_that_is_over_its_deadline_says_so(
    autojump_clock: MockClock,
) -> None:
    """The clock is past it, though nothing was cancelled yet."""
    error = OSError()

    async def work(number: int) -> int:
        scope.deadline = trio.current_time()
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise error

    with trio.CancelScope() as scope, pytest.raises(OSError):
        await Hedge(after=9.0, name="h").attempts(work)
    assert len(error.__notes__) == 1


@pytest.mark.usefixtures("heeds_control_c")
def test_ctrl_c_while_the_caller_waits_passes_as_it_is() -> None:
    @trio.lowlevel.enable_ki_protection
    async def interrupts() -> None:
        await trio.sleep(0.5)
        signal.raise_signal(signal.SIGINT)

    replicas = Replicas((9.0, 9.0))
    seen: list[BaseException] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupts)
            seen.append(await raised_by(Hedge(after=0.25), replicas))

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert [type(error) for error in seen] == [KeyboardInterrupt]
    assert sorted(replicas.cut) == [1, 2]


# ---------------------------------------------------------------- budgets


async def test_a_budget_that_does_not_pay_leaves_the_attempt_that_goes_on(
    autojump_clock: MockClock,
) -> None:
    budget = RetryBudget("b", ratio=0.0, reserve=1)
    hedge = Hedge(HedgePolicy(after=0.25, budget=budget))
    assert await hedge.attempts(Replicas((9.0, 0.5)).ask) == "answer 2"
    slow = Replicas((3.0,))
    assert await hedge.attempts(slow.ask) == "answer 1"
    counts = hedge.statistics()
    assert (counts.refused, counts.completed) == (1, 2)
    assert counts.budget is not None
    assert (counts.budget.first_attempts, counts.budget.retries, counts.budget.refused) == (
        2,
        1,
        1,
    )


async def test_a_budget_is_shared_by_name_with_retries(autojump_clock: MockClock) -> None:
    budget = RetryBudget("b", ratio=0.0, reserve=1)

    async def fails() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError

    with suppress(OSError):
        await Retry(RetryPolicy(budget=budget)).call(fails)
    error = OSError()
    hedge = Hedge(HedgePolicy(after=9.0, budget=budget), name="h")
    assert await raised_by(hedge, Replicas((0.5,), {1: error})) is error
    note = "hedge 'h': failed after 1 attempt in 0.5 s: the retry budget is used up"
    assert error.__notes__ == [note]


async def test_one_budget_has_one_kind_of_settings(autojump_clock: MockClock) -> None:
    mine, other = RetryBudget("b", reserve=1), RetryBudget("b", reserve=2)
    await Hedge(HedgePolicy(after=1.0, budget=mine)).attempts(Replicas((0.0,)).ask)
    with pytest.raises(ValueError, match="one retry budget with two settings"):
        await Hedge(HedgePolicy(after=1.0, budget=other)).attempts(Replicas((0.0,)).ask)


# ---------------------------------------------------------------- with other guards


async def test_a_rejection_ends_nothing_while_another_goes_on(
    autojump_clock: MockClock,
) -> None:
    rooms = Bulkhead("rooms", limit=1)
    assert await Hedge(after=0.25).attempts(lambda _: rooms.call(Replicas((2.0,)).ask, 1))
    rejection = BulkheadFullError(guard="rooms", reason="full")
    replicas = Replicas((2.0, 0.5), {2: rejection})
    assert await Hedge(after=0.25).attempts(replicas.ask) == "answer 1"


async def test_a_rejection_begins_no_other_and_is_raised_if_there_is_nothing_else(
    autojump_clock: MockClock,
) -> None:
    rejection = BulkheadFullError(guard="rooms", reason="full")
    replicas = Replicas((0.125,), {1: rejection})
    assert await raised_by(Hedge(after=0.25, name="h"), replicas) is rejection
    note = "hedge 'h': failed after 1 attempt in 0.125 s: a rejection begins no other attempt"
    assert rejection.__notes__ == [note]
    failure = OSError()
    replicas = Replicas((0.125, 0.125), {1: failure, 2: rejection})
    assert await raised_by(Hedge(after=0.25), replicas) is failure
    mixed = ExceptionGroup("", [OSError(), rejection])
    assert await raised_by(Hedge(after=0.25), Replicas((0.125,), {1: mixed})) is mixed


async def test_one_that_is_cut_off_is_no_verdict_for_a_breaker(
    autojump_clock: MockClock,
) -> None:
    breaker, replicas = CircuitBreaker("b"), Replicas((9.0, 0.5))
    assert (
        await Hedge(after=0.25).attempts(lambda n: breaker.call(replicas.ask, n)) == "answer 2"
    )
    counts = breaker.statistics()
    assert (counts.succeeded, counts.failed, counts.running) == (1, 0, 0)


async def test_a_timeout_around_cuts_all_attempts_off(autojump_clock: MockClock) -> None:
    replicas = Replicas((9.0, 9.0))
    with pytest.raises(DeadlineExceededError):
        await Timeout(1.0).call(Hedge(after=0.25).attempts, replicas.ask)
    assert sorted(replicas.cut) == [1, 2]


async def test_a_timeout_of_an_attempt_is_a_failure_like_any_other(
    autojump_clock: MockClock,
) -> None:
    limit, replicas = Timeout(0.5), Replicas((9.0, 0.25))
    assert await Hedge(after=9.0).attempts(lambda n: limit.call(replicas.ask, n)) == "answer 2"
    assert trio.current_time() == 0.75


async def test_a_retry_around_begins_anew(autojump_clock: MockClock) -> None:
    calls = 0

    async def work(_: int) -> int:
        nonlocal calls
        calls += 1
        await trio.sleep(0.25)
        if calls < 4:
            raise OSError
        return calls

    assert await Retry().call(Hedge(after=9.0).attempts, work) == 4
    assert trio.current_time() == 0.25 * 4 + 0.1


# ---------------------------------------------------------------- what attempts see

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def test_each_attempt_sees_the_callers_variables_and_keeps_its_own(
    autojump_clock: MockClock,
) -> None:
    seen: list[str] = []

    async def work(number: int) -> int:
        seen.append(WHO.get())
        WHO.set(f"attempt {number}")
        await trio.sleep(9.0 if number == 1 else 0.5)
        return number

    WHO.set("caller")
    assert await Hedge(after=0.25).attempts(work) == 2
    assert (seen, WHO.get()) == (["caller", "caller"], "caller")


async def test_each_attempt_is_a_task_with_a_name(autojump_clock: MockClock) -> None:
    names: list[str] = []

    async def work(number: int) -> int:
        names.append(trio.lowlevel.current_task().name)
        await trio.sleep(1.0)
        return number

    await Hedge(after=0.25, name="replicas").attempts(work)
    assert names == ["replicas: attempt 1", "replicas: attempt 2"]


async def test_one_hedge_serves_many_tasks_at_once(autojump_clock: MockClock) -> None:
    hedge, answers = Hedge(after=0.25), list[str]()

    async def one(seconds: float) -> None:
        replicas = Replicas((seconds, seconds))
        answers.append(await hedge.attempts(replicas.ask))

    async with trio.open_nursery() as nursery:
        for seconds in (0.125, 0.5, 9.0):
            nursery.start_soon(one, seconds)
        await trio.sleep(1.0)
        assert hedge.statistics().inside == 1
    assert answers == ["answer 1"] * 3
    assert hedge.statistics().calls == 3


async def test_a_hedge_may_be_used_inside_its_own_attempts(autojump_clock: MockClock) -> None:
    hedge = Hedge(after=0.25)
    assert (
        await hedge.attempts(lambda _: hedge.attempts(Replicas((1.0, 0.125)).ask)) == "answer 2"
    )


# ---------------------------------------------------------------- call and decorator


async def test_call_and_decorator_do_the_same(autojump_clock: MockClock) -> None:
    class Server:
        def __init__(self) -> None:
            self.asked = 0

        async def get(self, url: str, *, depth: int = 0) -> str:
            """Get it."""
            self.asked += 1
            await trio.sleep(9.0 if self.asked % 2 else 0.5)
            return f"{url}{depth}"

    hedge, server = Hedge(after=0.25), Server()
    hedged = hedge(server.get)
    assert await hedge.call(server.get, "/a") == "/a0"
    assert await hedged("/b", depth=2) == "/b2"
    assert hedged.__doc__ == "Get it."
    assert trio.current_time() == 1.5


def test_faults_strike_single_attempts() -> None:
    hedge = Hedge(after=9.0, name="h")

    async def fetch() -> str:
        await trio.sleep(0.5)
        return "answer"

    async def program() -> tuple[str, float]:
        return await hedge.call(fetch), trio.current_time()

    with simulate(program, faults=Faults(h=first(1, OSError))) as sim:
        sim.run()
        assert sim.result == ("answer", 0.5)


# ---------------------------------------------------------------- a delay that is learned


async def test_a_delay_is_learned_from_calls_that_return(autojump_clock: MockClock) -> None:
    delay = AdaptiveDelay(maximum=8.0, minimum=0.5, percentile=50, min_samples=3, history=4)
    hedge = Hedge(after=delay)
    for seconds in (1.0, 2.0, 4.0):
        assert hedge.statistics().after == 8.0
        await hedge.attempts(Replicas((seconds,)).ask)
    assert (hedge.statistics().after, hedge.statistics().samples) == (2.0, 3)
    slow = Replicas((9.0, 0.5))
    await hedge.attempts(slow.ask)  # 2.5 s in all
    assert slow.begun[1] - slow.begun[0] == 2.0
    assert hedge.statistics().after == 2.0
    await hedge.attempts(Replicas((2.75, 9.0)).ask)  # which forgets the first
    assert (hedge.statistics().after, hedge.statistics().samples) == (2.5, 4)


async def test_what_fails_or_is_cancelled_teaches_nothing(autojump_clock: MockClock) -> None:
    hedge = Hedge(after=AdaptiveDelay(maximum=8.0, min_samples=1))
    await raised_by(hedge, Replicas((1.0, 1.0), {1: OSError(), 2: OSError()}))
    with trio.move_on_after(1.0):
        await hedge.attempts(Replicas((9.0,)).ask)
    assert hedge.statistics().samples == 0
    for _ in range(3):
        await hedge.attempts(Replicas((0.0,)).ask)
    assert hedge.statistics().after == 0.01


# ---------------------------------------------------------------- telling


async def test_what_a_hedge_tells(autojump_clock: MockClock) -> None:
    told: list[GuardEvent] = []
    hedge = Hedge(HedgePolicy(after=0.25, max_attempts=3), name="h", on_event=told.append)
    replicas = Replicas((9.0, 0.5, 0.25), {2: OSError("down")}, {1: ValueError("late")})
    await hedge.attempts(replicas.ask)
    assert told == [
        HedgeStarted(guard="h", timestamp=0.25, attempt=2, reason="delay"),
        HedgeStarted(guard="h", timestamp=0.5, attempt=3, reason="delay"),
        AttemptFailed(
            guard="h",
            timestamp=0.75,
            duration_ms=500.0,
            attempt=2,
            error="OSError",
            message="down",
        ),
        AttemptFailed(
            guard="h",
            timestamp=0.75,
            duration_ms=750.0,
            attempt=1,
            error="ValueError",
            message="late",
        ),
        HedgeWon(guard="h", timestamp=0.75, duration_ms=750.0, attempt=3, attempts=3),
    ]


async def test_a_call_that_needs_no_hedge_tells_nothing(autojump_clock: MockClock) -> None:
    told: list[GuardEvent] = []
    await Hedge(after=0.25, on_event=told.append).attempts(Replicas((0.125,)).ask)
    assert told == []


@pytest.mark.parametrize(
    ("policy", "fails", "reason"),
    [
        (HedgePolicy(after=9.0), OSError(), "attempts"),
        (HedgePolicy(after=9.0, on=KeyError), OSError(), "not_hedged"),
        (HedgePolicy(after=9.0), BulkheadFullError(guard="r", reason="full"), "rejected"),
        (HedgePolicy(after=9.0, budget=RetryBudget("b", reserve=0)), OSError(), "budget"),
    ],
)
async def test_a_call_that_fails_says_why_no_other_attempt_began(
    policy: HedgePolicy, fails: Exception, reason: str, autojump_clock: MockClock
) -> None:
    told: list[GuardEvent] = []
    hedge = Hedge(policy, name="h", on_event=told.append)
    await raised_by(hedge, Replicas((0.5, 0.5), {1: fails, 2: fails}))
    attempts = hedge.statistics().hedges.get("failure", 0) + 1
    assert told[-1] == GaveUp(
        guard="h",
        timestamp=attempts / 2,
        attempts=attempts,
        elapsed=attempts / 2,
        reason=reason,
    )


# ---------------------------------------------------------------- runs and memory


def test_a_hedge_starts_blank_in_another_run() -> None:
    hedge = Hedge(after=AdaptiveDelay(maximum=1.0, min_samples=1))

    async def main() -> tuple[int, float]:
        await hedge.attempts(Replicas((0.5,)).ask)
        counts = hedge.statistics()
        return counts.calls, counts.after

    for _ in range(2):
        assert trio.run(main, clock=MockClock(autojump_threshold=0)) == (1, 0.5)


async def test_a_hedge_belongs_to_one_run_at_a_time(autojump_clock: MockClock) -> None:
    hedge = Hedge(after=0.25)

    async def work(_: int) -> int:
        await trio.lowlevel.checkpoint()
        return await trio.to_thread.run_sync(trio.run, hedge.attempts, work)

    with pytest.raises(GuardInUseError):
        await hedge.attempts(work)


async def test_an_error_dies_when_it_is_forgotten(autojump_clock: MockClock) -> None:
    """Nothing keeps it in a circle that only the collector would find."""

    class MarkedError(OSError):
        pass

    async def fails(_: int) -> None:
        await trio.lowlevel.checkpoint()
        raise MarkedError

    gc.collect()
    gc.disable()
    try:
        known: list[weakref.ref[MarkedError]] = []
        try:
            await Hedge(after=9.0).attempts(fails)
        except MarkedError as error:
            known.append(weakref.ref(error))
        await trio.lowlevel.checkpoint()
        assert known[0]() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Hedge(after=-1.0),
            "HedgePolicy: after must be a number of seconds >= 0, not -1.0",
        ),
        (
            lambda: Hedge(after=math.nan),
            "HedgePolicy: after must be a number of seconds >= 0, not nan",
        ),
        (
            lambda: HedgePolicy(after=1.0, max_attempts=0),
            "HedgePolicy: max_attempts must be a whole number >= 1, not 0",
        ),
        (
            lambda: AdaptiveDelay(maximum=0.0),
            "AdaptiveDelay: maximum must be a number of seconds > 0 and finite, not 0.0",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, minimum=0.0),
            "AdaptiveDelay: minimum must be a number of seconds > 0 and finite, not 0.0",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, percentile=101),
            "AdaptiveDelay: percentile must be a number > 0 and <= 100, not 101",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, min_samples=0),
            "AdaptiveDelay: min_samples must be a whole number >= 1, not 0",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, history=0),
            "AdaptiveDelay: history must be a whole number >= 1, not 0",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, minimum=2.0),
            "AdaptiveDelay: minimum must be <= maximum=1.0, not 2.0",
        ),
        (
            lambda: AdaptiveDelay(maximum=1.0, history=9),
            "AdaptiveDelay: min_samples must be <= history=9, not 10",
        ),
        (
            lambda: HedgePolicy(after=1.0, on=BulkheadFullError),
            "HedgePolicy: on must be a class or a tuple of classes of Exceptions, or a plain function, not BulkheadFullError: it never begins an attempt; put a Retry around",
        ),
        (
            lambda: HedgePolicy(after=1.0, ignore=(OSError, ExceptionGroup)),
            "HedgePolicy: ignore must be a class or a tuple of classes of Exceptions, or a plain function, not ExceptionGroup: each of its leaves is asked about; name their classes",
        ),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == says


@pytest.mark.parametrize("wrong", [3, KeyboardInterrupt, (OSError, "x")])
def test_errors_are_classes_or_a_function(wrong: Any) -> None:
    with pytest.raises(ValueError) as caught:
        HedgePolicy(after=1.0, on=wrong)
    assert str(caught.value).endswith(f"or a plain function, not {wrong!r}")


def test_a_function_says_which_errors() -> None:
    policy = HedgePolicy(after=1.0, on=lambda error: bool(error.args), ignore=OSError)
    assert policy.ignore is OSError


def test_either_a_policy_or_a_delay() -> None:
    make: Any = Hedge
    for arguments, settings in (((), {}), ((HedgePolicy(after=1.0),), {"after": 1.0})):
        with pytest.raises(TypeError, match="give either after= or a HedgePolicy"):
            make(*arguments, **settings)
    with pytest.raises(TypeError, match="name must be a string"):
        make(after=1.0, name=3)
    assert Hedge(after=1.0).policy == HedgePolicy(after=1.0)
