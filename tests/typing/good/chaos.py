"""Chaos is a guard; another outcome is a member that has a type; a fallback around any body adds its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_type

from agentflow_trio import (
    Chaos,
    ChaosOutcome,
    ChaosPolicy,
    Drill,
    Fallback,
    Pipeline,
    Repeating,
    Retry,
    Timeout,
    pipeline,
)


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


async def kill() -> None:
    raise ConnectionResetError


down = Chaos("down", ChaosPolicy(rate=0.5, errors=(OSError, lambda: TimeoutError("late"))))
worse = Chaos("worse", ChaosPolicy(rate=0.5, latency=(1, 2.0), behaviour=kill, when=bool))
garbled = ChaosOutcome("garbled", "?", ChaosPolicy(rate=1.0))
fresh = ChaosOutcome("fresh", by=list[int], policy=ChaosPolicy(rate=1.0))
nothing = Fallback(None)


@nothing
async def quiet(url: str, *, depth: int) -> bytes:
    return await fetch(url, depth)


async def main() -> None:
    assert_type(garbled, ChaosOutcome[str])
    assert_type(fresh, ChaosOutcome[list[int]])
    assert_type(await down.call(fetch, "x", 3), bytes)
    assert_type(await nothing.call(fetch, "x", 3), bytes | None)
    assert_type(await quiet("x", depth=3), bytes | None)
    async with down, worse as entered:
        assert_type(entered, None)
    with Drill({"garbled": None, "fresh": 0}) as drill:
        found = await garbled.call(fetch, "x", 3)
        assert_type(found, bytes | str)
        assert found == "?"
        assert_type(await fresh.call(fetch, "x", 3), bytes | list[int])
    assert drill.did["garbled"].struck == 1
    guards = pipeline(Timeout(3.0), down)
    assert_type(guards, Pipeline)
    whole = pipeline(nothing, Retry(), garbled)
    composed: Repeating[str | None] = whole
    assert await composed.call(fetch, "x", 3) == b"x3"
    call: Callable[[str, int], Awaitable[bytes | str]] = garbled(fetch)
    assert await call("x", 3) == b"x3"
    down.enable(rate=1)
    assert_type(down.rate, float | None)
