# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""aiobreaker's side: its own way to call, on asyncio."""

from __future__ import annotations

from aiobreaker import CircuitBreaker, CircuitBreakerError


async def one():
    return 1


def closed(calls):
    async def body():
        breaker, done = CircuitBreaker(), 0
        for _ in range(calls):
            done += await breaker.call_async(one)
        return done

    return body


def rejected(calls):
    async def body():
        breaker, refused = CircuitBreaker(), 0
        breaker.open()
        for _ in range(calls):
            try:
                await breaker.call_async(one)
            except CircuitBreakerError:
                refused += 1
        return refused

    return body
