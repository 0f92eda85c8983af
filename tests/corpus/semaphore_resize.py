"""A smaller limit holds once it is set; the twin lets `free` go below zero as a debt."""

from __future__ import annotations

from collections import deque
from random import Random

import trio


class Limiter:
    """At most `limit` at a time; the limit may be changed while some are inside."""

    def __init__(self, limit: int, buggy: bool) -> None:
        self.buggy = buggy
        self.limit = limit
        self.free = limit
        self.inside = 0
        self.queue: deque[trio.Event] = deque()
        self.most_beyond = 0

    def resize(self, limit: int) -> None:
        self.free += limit - self.limit
        self.limit = limit
        if self.buggy:
            self.free = max(self.free, 0)

    async def __aenter__(self) -> None:
        if self.free > 0:
            self.admit()
            await trio.lowlevel.checkpoint()
        else:
            granted = trio.Event()
            self.queue.append(granted)
            await granted.wait()

    async def __aexit__(self, *_: object) -> None:
        self.inside -= 1
        self.free += 1
        if self.queue and self.free > 0:
            self.admit()
            self.queue.popleft().set()

    def admit(self) -> None:
        self.free -= 1
        self.inside += 1
        self.most_beyond = max(self.most_beyond, self.inside - self.limit)


async def upload(limiter: Limiter, arrives_after: float) -> None:
    await trio.sleep(arrives_after)
    async with limiter:
        await trio.sleep(0.1)


async def program(rng: Random, buggy: bool) -> int:
    limiter = Limiter(2, buggy)
    async with trio.open_nursery() as nursery:
        for arrives_after in (0.0, 0.0, 0.5, 0.5):
            nursery.start_soon(upload, limiter, arrives_after)
        await trio.sleep(0.1)
        for _ in range(3):  # a page with a slider
            await trio.lowlevel.checkpoint()
        limiter.resize(1)
    return limiter.most_beyond


def check(obs: int) -> None:
    assert obs == 0, f"somebody was let in with {obs} more inside than the limit allows"
