"""Adaptive limits and load shedders are guards; loads are told by plain functions, or by what limits."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    LimitReachedError,
    LoadShedder,
    LoadShedError,
    load_of,
)
from agentflow_trio.robustness import (
    AdaptiveLimitPermit,
    AdaptiveLimitStatistics,
    Guard,
    LoadShedderStatistics,
)


@define
class Reply:
    status: int


def is_overloaded(reply: object) -> bool:
    return isinstance(reply, Reply) and reply.status == 503


def queue_length() -> int:
    return 3


async def fetch(url: str, depth: int) -> Reply:
    return Reply(503 if url else depth)


policy = AdaptiveLimitPolicy(
    initial=4, maximum=10, slow_after=2, record=(OSError,), failed_result=is_overloaded
)
model = AdaptiveLimit("model", policy)
by_default: AdaptiveLimit = AdaptiveLimit("other")
places = Bulkhead("places", limit=3)
door = LoadShedder("door", queue_length, threshold=5)
guards: tuple[Guard, ...] = (
    model,
    by_default,
    door,
    LoadShedder("a", load_of(model), threshold=0.9),
    LoadShedder("b", load_of(places), threshold=2),
)


async def main() -> None:
    assert_type(await model.call(fetch, "x", 3), Reply)
    async with model as permit:
        assert_type(permit, AdaptiveLimitPermit)
        permit.record(await fetch("", 200))
    with by_default.enter_nowait() as permit:
        permit.record(OSError())
    assert_type(model.statistics(), AdaptiveLimitStatistics)
    assert assert_type(model.statistics().limit, int) == 3
    async with door as nothing:
        assert_type(nothing, None)
    assert_type(door.statistics(), LoadShedderStatistics)
    assert_type(door.statistics().load, float | None)
    assert_type(await door.call(fetch, "", 200), Reply)
    assert load_of(places)() == 0.0
    try:
        async with model, LoadShedder("full", lambda: 2.0, threshold=1):
            raise AssertionError
    except LimitReachedError as full:
        raise AssertionError(full.retry_after) from full
    except LoadShedError as shed:
        assert_type(shed.reason, str)
