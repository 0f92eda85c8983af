"""What counts as a failure for a circuit breaker: errors, cancellation, results, slowness."""

from __future__ import annotations

import attrs
import pytest
import trio
from breaker_kit import (
    CLOSED,
    OPEN,
    DownError,
    fail,
    quick,
    state_of,
    succeed,
)
from trio.testing import MockClock

from agentflow_trio.errors import (
    CircuitOpenError,
    RejectedError,
)
from agentflow_trio.robustness._breaker import CircuitBreaker
from agentflow_trio.robustness._circuit_policy import CircuitPolicy
from agentflow_trio.robustness._events import (
    CircuitChanged,
    GuardEvent,
    RuleFailed,
)
from agentflow_trio.robustness._guard import own_limits

# ---------------------------------------------------------------- verdicts


async def test_the_callers_cancellation_is_no_verdict_and_stays_the_callers(
    autojump_clock: MockClock,
) -> None:
    breaker = quick()
    for _ in range(10):
        with trio.move_on_after(1.0) as scope:
            async with breaker:
                await trio.sleep(10.0)
        assert scope.cancelled_caught
    seen = breaker.statistics()
    assert (seen.state, seen.cancelled, seen.failed, seen.running) == (CLOSED, 10, 0, 0)
    assert trio.current_time() == 10.0


async def test_a_hang_cut_by_a_timeout_inside_is_a_failure(autojump_clock: MockClock) -> None:
    breaker = quick()

    async def hang() -> None:
        with trio.fail_after(2.0):
            await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        await breaker.call(hang)
    assert state_of(breaker) is OPEN


async def test_a_hang_cut_by_a_limit_of_the_same_step_is_a_failure(
    autojump_clock: MockClock,
) -> None:
    breaker = quick()
    with trio.move_on_after(2.0) as limit, own_limits(limit):
        async with breaker:
            await trio.sleep_forever()
    assert limit.cancelled_caught
    assert state_of(breaker) is OPEN


async def test_a_hang_cut_by_the_callers_scope_around_the_step_is_not(
    autojump_clock: MockClock,
) -> None:
    breaker = quick()
    with trio.move_on_after(1.0) as callers:
        with trio.move_on_after(2.0) as limit, own_limits(limit):
            async with breaker:
                await trio.sleep_forever()
    assert callers.cancelled_caught
    assert (state_of(breaker), breaker.statistics().cancelled) == (CLOSED, 1)


async def test_the_bodys_error_is_never_replaced() -> None:
    breaker = quick(failure_threshold=2)
    first, second = (
        DownError(1),
        ExceptionGroup("g", [DownError(2), RejectedError(guard="x", reason="y")]),
    )
    for error in (first, second):
        with pytest.raises(type(error)) as caught:
            async with breaker:
                raise error
        assert caught.value is error
        assert caught.value.__cause__ is None
    assert state_of(breaker) is OPEN


async def test_a_group_with_a_cancellation_in_it_is_no_verdict(
    autojump_clock: MockClock,
) -> None:
    breaker = quick()

    async def fail_while_unwinding() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise DownError

    async def cut_off() -> None:
        with trio.move_on_after(1.0):
            async with breaker, trio.open_nursery() as nursery:
                nursery.start_soon(fail_while_unwinding)
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await cut_off()
    assert caught.group_contains(DownError)
    assert (state_of(breaker), breaker.statistics().cancelled) == (CLOSED, 1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_is_no_exception_is_ignored(kind: type[BaseException]) -> None:
    breaker = quick()
    with pytest.raises(kind):
        async with breaker:
            raise kind
    assert (state_of(breaker), breaker.statistics().ignored) == (CLOSED, 1)


async def test_the_policy_says_which_errors_count() -> None:
    breaker = quick(record=(DownError, KeyError), ignore=lambda error: "fine" in str(error))
    for error in (ValueError(), KeyError("fine")):
        with pytest.raises(type(error)):
            async with breaker:
                raise error
    assert (state_of(breaker), breaker.statistics().ignored) == (CLOSED, 2)
    with pytest.raises(KeyError):
        async with breaker:
            raise KeyError
    assert state_of(breaker) is OPEN


async def test_a_rule_that_raises_counts_as_failure_and_is_told() -> None:
    def broken(error: Exception) -> bool:
        raise ZeroDivisionError("oops")

    told = list[GuardEvent]()
    breaker = quick(record=broken, on_event=told.append)
    await fail(breaker)
    assert state_of(breaker) is OPEN
    (rule_failed, changed) = told
    assert isinstance(rule_failed, RuleFailed)
    assert (rule_failed.error, rule_failed.message) == ("ZeroDivisionError", "oops")
    assert isinstance(changed, CircuitChanged)
    await fail(quick(record=broken))  # and without a listener


# ---------------------------------------------------------------- results


@attrs.frozen
class Response:
    status: int


def is_bad(result: object) -> bool:
    return isinstance(result, Response) and result.status >= 500


async def test_a_result_can_count_as_failure() -> None:
    breaker = quick(failed_result=is_bad)
    async with breaker as permit:
        permit.record(Response(200))
    assert state_of(breaker) is CLOSED
    async with breaker as permit:
        permit.record(Response(503))
        permit.record(Response(503))
        permit.record(Response(200))
    assert state_of(breaker) is OPEN
    assert breaker.statistics().failed == 1


async def test_an_error_that_did_not_leave_the_body_can_count_too() -> None:
    breaker = quick(ignore=KeyError)
    async with breaker as permit:
        permit.record(KeyError())
    assert state_of(breaker) is CLOSED
    async with breaker as permit:
        permit.record(ExceptionGroup("g", [KeyError(), DownError()]))
    assert state_of(breaker) is OPEN


async def test_what_the_body_raises_comes_before_what_it_recorded(
    autojump_clock: MockClock,
) -> None:
    breaker = quick(failed_result=is_bad, ignore=KeyError)

    async def record_and_raise() -> None:
        async with breaker as permit:
            permit.record(Response(503))
            raise KeyError

    with pytest.raises(KeyError):
        await record_and_raise()
    with trio.move_on_after(1.0):
        async with breaker as permit:
            permit.record(Response(503))
            await trio.sleep_forever()
    seen = breaker.statistics()
    assert (seen.state, seen.ignored, seen.cancelled) == (CLOSED, 1, 1)


async def test_call_records_the_result() -> None:
    async def ask(status: int) -> Response:
        return Response(status)

    breaker = quick(failed_result=is_bad)
    assert await breaker.call(ask, 200) == Response(200)
    assert await breaker.call(ask, 503) == Response(503)
    assert state_of(breaker) is OPEN
    with pytest.raises(CircuitOpenError):
        await breaker.call(ask, 200)


async def test_call_without_a_rule_for_results() -> None:
    async def ask(status: int) -> Response:
        return Response(status)

    breaker = quick()
    assert await breaker.call(ask, 503) == Response(503)
    with pytest.raises(DownError):
        await breaker.call(fail_at_once)
    assert state_of(breaker) is OPEN


async def fail_at_once() -> None:
    raise DownError


async def test_a_result_nobody_can_judge_is_a_mistake() -> None:
    breaker = quick()
    with pytest.raises(
        TypeError, match=r"circuit 'db' cannot tell .* give its policy failed_result="
    ):
        async with breaker as permit:
            permit.record(Response(503))


async def test_a_rule_for_results_that_raises_counts_as_failure_and_is_told() -> None:
    def broken(result: object) -> bool:
        raise ZeroDivisionError("oops")

    told = list[GuardEvent]()
    breaker = quick(failed_result=broken, on_event=told.append)
    async with breaker as permit:
        permit.record(Response(200))
    assert state_of(breaker) is OPEN
    assert isinstance(told[0], RuleFailed)


# ---------------------------------------------------------------- slow calls


def slow_breaker() -> CircuitBreaker:
    return CircuitBreaker(
        "db",
        CircuitPolicy(failure_threshold=None, slow_rate=0.5, slow_after=2.0, min_calls=2),
    )


async def test_slow_calls_open_the_circuit(autojump_clock: MockClock) -> None:
    breaker = slow_breaker()
    for seconds in (1.0, 2.0):
        assert state_of(breaker) is CLOSED
        async with breaker:
            await trio.sleep(seconds)
    assert state_of(breaker) is OPEN
    assert breaker.statistics().succeeded == 2


async def test_the_time_of_a_slow_call_starts_when_the_innermost_body_does(
    autojump_clock: MockClock,
) -> None:
    breaker = slow_breaker()
    for _ in range(2):
        async with breaker as permit:
            await trio.sleep(60.0)  # waits for a rate limiter, say
            permit.start()
            await trio.sleep(1.9)
    assert state_of(breaker) is CLOSED
    easy = CircuitBreaker("db")
    async with easy as permit:
        permit.start()


async def test_failure_rate_over_a_window(autojump_clock: MockClock) -> None:
    breaker = CircuitBreaker(
        "db",
        CircuitPolicy(failure_threshold=None, failure_rate=0.5, window=10.0, min_calls=4),
    )
    await fail(breaker)  # out of the window at exactly 10.0
    await trio.sleep(4.0)
    await succeed(breaker)
    await succeed(breaker)
    await trio.sleep(6.0)
    await fail(breaker)
    assert state_of(breaker) is CLOSED
    await fail(breaker)
    assert state_of(breaker) is OPEN
