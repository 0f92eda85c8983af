"""Retries and timeouts together with the other guards: what one concludes of the other's errors."""

from __future__ import annotations

import pytest
import trio
from retry_kit import EXACT, Tape, change
from trio.testing import MockClock

from agentflow_trio.errors import CircuitOpenError, DeadlineExceededError
from agentflow_trio.robustness import CircuitBreaker, CircuitPolicy, Retry, RetryPolicy, Timeout


def breaker(failures: int = 1) -> CircuitBreaker:
    policy = CircuitPolicy(failure_threshold=failures, recovery_timeout=30.0)
    return CircuitBreaker("db", policy)


async def test_waiting_for_an_open_circuit_ends_exactly_when_it_admits_a_probe(
    autojump_clock: MockClock,
) -> None:
    circuit, body = breaker(), Tape([ValueError(), "done"])
    policy = RetryPolicy(base_delay=0.3, max_attempts=2, on_rejected="wait")
    assert await Retry(policy).call(circuit.call, body) == "done"
    assert body.starts == [0.0, 30.0]


async def test_a_rejection_ends_a_retry_that_was_not_asked_to_go_on(
    autojump_clock: MockClock,
) -> None:
    circuit, body = breaker(failures=2), Tape([ValueError(1), ValueError(2), "never"])
    with pytest.raises(CircuitOpenError):
        await Retry(change(max_attempts=9)).call(circuit.call, body)
    assert body.starts == [0.0, 1.0]
    assert trio.current_time() == 3.0


async def test_an_attempt_that_timed_out_is_a_failure_for_breaker_and_retry(
    autojump_clock: MockClock,
) -> None:
    circuit, limit = breaker(failures=3), Timeout(2.0, name="attempt")
    body = Tape(["late", "late", "late"], takes=9.0)

    async def guarded() -> None:
        async with circuit, limit:
            await body()

    retry = Retry(change(on=DeadlineExceededError))
    with pytest.raises(DeadlineExceededError) as caught:
        await retry.call(guarded)
    assert caught.value.limit == "attempt"
    assert body.starts == [0.0, 3.0, 7.0]
    with pytest.raises(CircuitOpenError):
        await guarded()


async def test_a_limit_on_the_whole_ends_the_retry_before_it_sleeps_in_vain(
    autojump_clock: MockClock,
) -> None:
    body = Tape([ValueError(1), ValueError(2), "never"], takes=1.0)
    retry = Retry(EXACT)
    with pytest.raises(ValueError):
        await Timeout(5.0).call(retry.call, body)
    assert trio.current_time() == 3.0


async def test_a_limit_on_the_whole_cuts_off_an_attempt_and_the_retry_lets_it_pass(
    autojump_clock: MockClock,
) -> None:
    body = Tape([ValueError(1), "late"], takes=2.0)
    retry = Retry(EXACT)
    with pytest.raises(DeadlineExceededError) as caught:
        await Timeout(4.0, name="whole").call(retry.call, body)
    assert caught.value.limit == "whole"
    assert body.starts == [0.0, 3.0]
    assert retry.statistics().gave_up == {}
