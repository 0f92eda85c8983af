# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""pyrate-limiter's side, on asyncio. Its shortest window is a millisecond, so small limits refuse most of the calls."""

from __future__ import annotations

from pyrate_limiter import InMemoryBucket, Limiter, Rate

SMALLER = {"R3x": ((100_000, 20_000), 20_000)}


def admit(limit, calls):
    async def body():
        limiter = Limiter(InMemoryBucket([Rate(limit, max(1, limit // 10_000))]))
        for _ in range(calls):
            await limiter.try_acquire_async("bench", blocking=False)
        return calls

    return body
