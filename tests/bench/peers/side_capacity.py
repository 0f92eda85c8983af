# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""Trio's own capacity limiter. It knows who holds it, and lends nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
from bench_pairs import Staged
from bench_robustness import queue


def lend(calls):
    async def body():
        places, done = trio.CapacityLimiter(1), 0
        for _ in range(calls):
            async with places:
                done += 1
        return done

    return body


def line(waiters):
    @asynccontextmanager
    async def stage():
        places = trio.CapacityLimiter(1)
        async with queue(waiters, lambda: places) as body:
            yield body

    return Staged(stage)
