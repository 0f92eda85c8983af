# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""pybreaker's side: its context manager around the same call, on Trio."""

from __future__ import annotations

from pybreaker import CircuitBreaker, CircuitBreakerError


async def one():
    return 1


def closed(calls):
    async def body():
        breaker, done = CircuitBreaker(), 0
        for _ in range(calls):
            with breaker.calling():
                done += await one()
        return done

    return body


def rejected(calls):
    async def body():
        breaker, refused = CircuitBreaker(), 0
        breaker.open()
        for _ in range(calls):
            try:
                with breaker.calling():
                    await one()
            except CircuitBreakerError:
                refused += 1
        return refused

    return body
