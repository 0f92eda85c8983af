"""What a guard counted in one run of Trio is told after that run, and is no news to the next one, whatever asks first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest
import trio

from agentflow_trio import (
    AdaptiveLimit,
    Bulkhead,
    Chaos,
    ChaosPolicy,
    CircuitBreaker,
    Hedge,
    LoadShedder,
    RateLimiter,
    Retry,
    SingleFlight,
    Timeout,
    TTLCache,
)
from agentflow_trio.testing import simulate


async def load(key: str) -> str:
    await trio.lowlevel.checkpoint()
    return key


class Counting(Protocol):
    """A guard, or a cache."""

    def statistics(self) -> object: ...


Use = Callable[[str], Awaitable[object]]


def retry() -> tuple[Counting, Use]:
    one = Retry()
    return one, lambda key: one.call(load, key)


def hedge() -> tuple[Counting, Use]:
    one = Hedge(after=1.0)
    return one, lambda key: one.call(load, key)


def timeout() -> tuple[Counting, Use]:
    one = Timeout(1.0)
    return one, lambda key: one.call(load, key)


def breaker() -> tuple[Counting, Use]:
    one = CircuitBreaker("b")
    return one, lambda key: one.call(load, key)


def limiter() -> tuple[Counting, Use]:
    one = RateLimiter("l", limit=9, window=1.0)
    return one, lambda key: one.call(load, key)


def bulkhead() -> tuple[Counting, Use]:
    one = Bulkhead("b", limit=9)
    return one, lambda key: one.call(load, key)


def adaptive_limit() -> tuple[Counting, Use]:
    one = AdaptiveLimit("a")
    return one, lambda key: one.call(load, key)


def load_shedder() -> tuple[Counting, Use]:
    one = LoadShedder("s", lambda: 0.5, threshold=1.0)
    return one, lambda key: one.call(load, key)


def chaos() -> tuple[Counting, Use]:
    one = Chaos("c", ChaosPolicy(rate=0.5, errors=OSError))
    return one, lambda key: one.call(load, key)


def single_flight() -> tuple[Counting, Use]:
    one = SingleFlight(load)
    return one, one.get


def cache() -> tuple[Counting, Use]:
    one = TTLCache(load, ttl=1.0)
    return one, one.get


EVERY = pytest.mark.parametrize(
    "make",
    [
        retry, hedge, timeout, breaker, limiter, bulkhead, adaptive_limit, load_shedder,
        chaos, single_flight, cache,
    ],
)  # fmt: skip


@EVERY
def test_they_are_blank_in_the_next_run(make: Callable[[], tuple[Counting, Use]]) -> None:
    guard, use = make()
    blank = guard.statistics()
    trio.run(use, "a")
    used = guard.statistics()
    assert used != blank

    async def ask() -> object:
        return guard.statistics()

    assert trio.run(ask) == blank
    trio.run(use, "a")
    assert guard.statistics() == used


@EVERY
def test_they_are_blank_in_each_simulation(make: Callable[[], tuple[Counting, Use]]) -> None:
    guard, use = make()
    blank = guard.statistics()

    found = list[object]()

    async def program() -> None:
        found.append(guard.statistics())
        await use("a")

    for _ in range(2):
        with simulate(program) as sim:
            sim.run()
    assert found == [blank, blank]
