# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""Trio's own semaphore. It lends nothing, and does not know who holds it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
from bench_pairs import Staged
from bench_robustness import queue, semaphore

lend = semaphore


def line(waiters):
    @asynccontextmanager
    async def stage():
        places = trio.Semaphore(1)
        async with queue(waiters, lambda: places) as body:
            yield body

    return Staged(stage)
