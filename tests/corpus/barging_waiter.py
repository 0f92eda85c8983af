"""Whoever waits is served before whoever asks later; the twin's nowait looks at the queue too."""

from __future__ import annotations

from collections import deque
from random import Random

import trio


class MemoryBudget:
    """So many megabytes, handed out first come, first served."""

    def __init__(self, free: int, buggy: bool) -> None:
        self.free = free
        self.buggy = buggy
        self.queue: deque[tuple[int, trio.Event]] = deque()
        self.barged = 0

    def try_acquire(self, amount: int) -> bool:
        if self.free < amount or (self.queue and not self.buggy):
            return False
        self.barged += bool(self.queue)
        self.free -= amount
        return True

    async def acquire(self, amount: int) -> None:
        if not self.queue and self.try_acquire(amount):
            return
        granted = trio.Event()
        self.queue.append((amount, granted))
        await granted.wait()

    def release(self, amount: int) -> None:
        self.free += amount
        while self.queue and self.queue[0][0] <= self.free:
            amount, granted = self.queue.popleft()
            self.free -= amount
            granted.set()


async def thumbnails(budget: MemoryBudget) -> None:
    """Small pictures are made whenever there is room, and skipped otherwise."""
    for _ in range(3):
        if budget.try_acquire(1):
            await trio.lowlevel.checkpoint()
            budget.release(1)
        await trio.lowlevel.checkpoint()


async def panorama(budget: MemoryBudget) -> None:
    for _ in range(3):
        await trio.lowlevel.checkpoint()
    await budget.acquire(4)
    budget.release(4)


async def program(rng: Random, buggy: bool) -> int:
    budget = MemoryBudget(4, buggy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thumbnails, budget)
        nursery.start_soon(thumbnails, budget)
        nursery.start_soon(panorama, budget)
    return budget.barged


def check(obs: int) -> None:
    assert obs == 0, (
        f"{obs} small requests went past a big one that had been waiting before them"
    )
