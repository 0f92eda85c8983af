"""Any guard above a function or method: arguments and results keep their types."""

from __future__ import annotations

from typing import assert_type

from agentflow_trio import Bulkhead, CircuitBreaker, Fallback, RateLimiter, Timeout, pipeline

breaker = CircuitBreaker("search")


@breaker
async def ask(question: str, *, times: int = 1) -> str:
    return question * times


@Fallback(None)
@Timeout(2.0)
async def find(question: str) -> int:
    return len(question)


@pipeline(RateLimiter("search", limit=5, window=1.0), Bulkhead("search", limit=3))
async def count(question: str) -> float:
    return float(len(question))


class Client:
    @breaker
    async def get(self, url: str) -> bytes:
        return url.encode()


async def main() -> None:
    assert assert_type(await ask("why", times=2), str) == "whywhy"
    assert assert_type(await find("why"), int | None) == 3
    assert assert_type(await count("why"), float) == 3.0
    assert assert_type(await Client().get("x"), bytes) == b"x"
