"""Pipelines: what can be entered, what is a member, and what comes out."""

from __future__ import annotations

import attrs

from agentflow_trio import (
    CircuitBreaker,
    Fallback,
    KeyedRateLimiter,
    Retry,
    RetryPolicy,
    Timeout,
    open_pool,
    pipeline,
    step,
)

breaker = CircuitBreaker("search")
retry = Retry()


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


async def connect() -> str:
    return "connection"


# ---- what repeats its body cannot be entered
async def entered() -> None:
    async with pipeline(breaker, retry):  # bad
        ...


# ---- nor can what replaces its result
async def replaced() -> None:
    async with pipeline(Fallback(None), breaker):  # bad
        ...


# ---- a pipeline without async
async def sync() -> None:
    with pipeline(breaker):  # bad
        ...


# ---- what repeats its body is no guard of a step
@attrs.define
class Article:
    text: str = ""


@step(guards=(pipeline(breaker, retry),))  # bad
async def write(article: Article) -> None: ...


# ---- a policy is no member
pipeline(RetryPolicy(), breaker)  # bad

# ---- nor is a class
pipeline(Retry, breaker)  # bad

# ---- nor is a number
pipeline(breaker, 3.0)  # bad

# ---- nor are limiters by key
pipeline(KeyedRateLimiter[str]("users", limit=1, window=1.0))  # bad

# ---- nor is a pool, which lends something
pipeline(open_pool(connect, size=1), breaker)  # bad

# ---- a name is a keyword
pipeline("search", breaker)  # bad

# ---- a name is a string
pipeline(breaker, name=3)  # bad


# ---- call with an argument missing
async def argument_missing() -> None:
    await pipeline(breaker).call(fetch, "x")  # bad


# ---- call with an argument of another type
async def argument_type() -> None:
    await pipeline(breaker, retry).call(fetch, "x", "3")  # bad


# ---- the result may be what a fallback says
async def fallback() -> None:
    page: bytes = await pipeline(Fallback(None), Timeout(3.0)).call(fetch, "x", 3)  # bad
    print(page)


# ---- a decorated function keeps its parameters
@pipeline(retry, breaker)
async def ask(question: str, *, model: str = "m") -> int:
    return len(question + model)


async def parameters() -> None:
    await ask("x", modle="y")  # bad


# ---- a decorated function keeps its result
async def decorated_result() -> None:
    text: str = await ask("x")  # bad
    print(text)


# ---- a decorated function that is not async
@pipeline(breaker)  # bad
def sync_function() -> int:
    return 3
