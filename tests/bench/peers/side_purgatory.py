# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""purgatory's side: its context manager, asked of its factory once, on asyncio."""

from __future__ import annotations

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState


async def one():
    return 1


def closed(calls):
    async def body():
        breaker, done = await AsyncCircuitBreakerFactory().get_breaker("bench"), 0
        for _ in range(calls):
            async with breaker:
                done += await one()
        return done

    return body


def rejected(calls):
    async def body():
        breaker, refused = await AsyncCircuitBreakerFactory(1, 3600).get_breaker("bench"), 0
        try:
            async with breaker:
                raise ValueError  # noqa: TRY301 - this opens it
        except ValueError:
            pass
        for _ in range(calls):
            try:
                async with breaker:
                    await one()
            except OpenedState:
                refused += 1
        return refused

    return body
