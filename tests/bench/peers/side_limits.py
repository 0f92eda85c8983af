# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""limits' side, on asyncio: its exact window. Its shortest is a second, so small limits refuse most of the calls."""

from __future__ import annotations

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

SMALLER = {"R3x": ((100_000, 20_000), 20_000)}


def admit(limit, calls):
    async def body():
        limiter, item = MovingWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(limit)
        for _ in range(calls):
            await limiter.hit(item, "bench")
        return calls

    return body
