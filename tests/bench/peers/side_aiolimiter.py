# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""aiolimiter's side, on asyncio. It is a leaky bucket: up to twice the limit can begin in one window."""

from __future__ import annotations

from aiolimiter import AsyncLimiter


def admit(limit, calls):
    async def body():
        limiter = AsyncLimiter(limit, limit * 1e-7)
        for _ in range(calls):
            await limiter.acquire()
        return calls

    return body
