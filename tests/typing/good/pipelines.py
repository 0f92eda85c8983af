"""Pipelines: of guards only they are entered, else called; results keep their types, and fallbacks add theirs."""

from __future__ import annotations

from typing import assert_type

import attrs

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Hedge,
    Pipeline,
    RateLimiter,
    Repeating,
    Retry,
    Timeout,
    pipeline,
    step,
)
from agentflow_trio.robustness import Guard

breaker = CircuitBreaker("search")
guarded = pipeline(breaker, RateLimiter("search", limit=5, window=1.0), Timeout(3.0))
again = pipeline(Retry(), Hedge(after=1.0), guarded, name="search")
safe = pipeline(Fallback(None), Timeout(30.0), again)


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


@guarded
async def ask(question: str, *, model: str = "m") -> int:
    return len(question + model)


@safe
async def find(question: str, *, model: str = "m") -> int:
    return len(question + model)


class Client:
    @again
    async def get(self, url: str) -> bytes:
        return await fetch(url, 1)


@attrs.define
class Article:
    text: str = ""


@step(guards=(guarded, Bulkhead("search", limit=3)))
async def write(article: Article) -> None:
    article.text = "done"


async def main() -> None:
    assert_type(guarded, Pipeline)
    assert_type(pipeline(), Pipeline)
    assert_type(pipeline(Bulkhead("more", limit=3), guarded, name="more"), Pipeline)
    guard: Guard = guarded
    async with guarded, guard as lent:
        assert lent is None
    assert_type(await guarded.call(fetch, "x", 3), bytes)
    assert_type(await again.call(fetch, "x", 3), bytes)
    assert_type(safe, Repeating[None])
    assert_type(await safe.call(fetch, "x", 3), bytes | None)
    assert_type(await pipeline(Fallback("none"), breaker).call(fetch, "x", 3), bytes | str)
    assert_type(await ask("x", model="y"), int)
    assert_type(await find("x", model="y"), int | None)
    assert_type(await Client().get("x"), bytes)
    assert len(guarded.members) == 3
    same = write.with_(name="same", guards=[guarded])
    assert (await same.run(Article())).state.text == "done"
