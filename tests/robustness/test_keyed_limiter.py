"""A rate limiter for each key, kept as long as anybody could tell."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio.errors import GuardInUseError, RateLimitedError
from agentflow_trio.robustness._events import CallRejected, GuardEvent
from agentflow_trio.robustness._keyed_limiter import KeyedRateLimiter
from agentflow_trio.robustness._limiter_policy import TokenBucketPolicy, WindowPolicy


async def test_each_key_has_a_limit_of_its_own(autojump_clock: MockClock) -> None:
    limits: KeyedRateLimiter[str] = KeyedRateLimiter("users", limit=1, window=1.0)
    async with limits.of("ann"), limits.of("ben"):
        assert trio.current_time() == 0.0
    async with limits.of("ann"):
        assert trio.current_time() == 1.0
    assert limits.of("ann").name == "users[ann]"
    assert limits.of("ann").policy is limits.policy


async def test_a_key_keeps_its_limiter_while_anything_counts(
    autojump_clock: MockClock,
) -> None:
    limits: KeyedRateLimiter[int] = KeyedRateLimiter("x", limit=1, window=1.0)
    for key in range(10):
        limits.of(key).acquire_nowait()
    for key in range(10):
        with pytest.raises(RateLimitedError):
            limits.of(key).acquire_nowait()
    assert (limits.statistics().keys, limits.statistics().evicted) == (10, 0)


async def test_idle_keys_are_let_go_two_for_each_new_one(autojump_clock: MockClock) -> None:
    limits: KeyedRateLimiter[int] = KeyedRateLimiter("x", limit=1, window=1.0)
    for key in range(10):
        limits.of(key).acquire_nowait()
    await trio.sleep(1.0)
    for key in range(10, 20):
        limits.of(key).acquire_nowait()
    assert (limits.statistics().keys, limits.statistics().evicted) == (10, 10)
    await trio.sleep(1.0)
    for key in range(20, 5_000):
        limits.of(key)
    assert limits.statistics().keys <= 2


async def test_a_limiter_that_somebody_holds_is_never_replaced(
    autojump_clock: MockClock,
) -> None:
    limits: KeyedRateLimiter[str] = KeyedRateLimiter("x", limit=1, window=1.0)
    held = limits.of("held")
    for number in range(100):
        limits.of(str(number))
    assert limits.of("held") is held
    del held
    gc.collect()
    for number in range(100):
        limits.of(str(number))
    assert limits.statistics().evicted >= 100


async def test_a_changed_limit_is_kept(autojump_clock: MockClock) -> None:
    limits: KeyedRateLimiter[str] = KeyedRateLimiter("x", limit=1, window=1.0)
    limits.of("vip").set_limit(5)
    for number in range(100):
        limits.of(str(number))
    assert limits.of("vip").statistics().limits == (5,)


async def test_a_limiter_with_a_line_is_kept(autojump_clock: MockClock) -> None:
    policy = TokenBucketPolicy(limit=1, window=1.0)
    limits: KeyedRateLimiter[str] = KeyedRateLimiter("x", policy)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(limits.of("busy").acquire)
        await trio.sleep(0.5)
        for number in range(100):
            limits.of(str(number))
        assert limits.of("busy").statistics().waiting == 2
    assert trio.current_time() == 2.0


async def test_events_name_the_key(autojump_clock: MockClock) -> None:
    told: list[GuardEvent] = []
    policy = WindowPolicy(limit=1, window=1.0)
    limits: KeyedRateLimiter[int] = KeyedRateLimiter("x", policy, on_event=told.append)
    limits.of(7).acquire_nowait()
    with pytest.raises(RateLimitedError, match=r"rate limiter 'x\[7\]' has no room now"):
        limits.of(7).acquire_nowait()
    assert told == [CallRejected(guard="x[7]", timestamp=0.0, reason="full", retry_after=1.0)]


@pytest.mark.parametrize("arguments", [{}, {"limit": 1}, {"window": 1.0}])
def test_either_a_policy_or_a_limit_and_a_window(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="KeyedRateLimiter: give either a policy, or limit="):
        KeyedRateLimiter("x", **arguments)


def test_it_starts_blank_in_another_run() -> None:
    limits: KeyedRateLimiter[int] = KeyedRateLimiter("x", limit=1, window=1.0)

    async def main() -> None:
        for key in range(10):
            limits.of(key).acquire_nowait()

    trio.run(main)
    trio.run(main)


async def test_it_is_used_under_one_run_at_a_time() -> None:
    limits: KeyedRateLimiter[int] = KeyedRateLimiter("x", limit=1, window=1.0)
    limits.of(1).acquire_nowait()

    async def main() -> None:
        with pytest.raises(GuardInUseError):
            limits.of(2)

    await trio.to_thread.run_sync(trio.run, main)
    with pytest.raises(RateLimitedError):
        limits.of(1).acquire_nowait()
