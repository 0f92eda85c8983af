"""Whoever is woken finds an item; the twin checks again after waiting, since others are quick."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


class Shelf:
    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.items: list[int] = []
        self.filled = trio.Condition()

    async def put(self, item: int) -> None:
        async with self.filled:
            self.items.append(item)
            self.filled.notify()

    async def take(self) -> int:
        async with self.filled:
            if self.buggy:
                if not self.items:
                    await self.filled.wait()
            else:
                while not self.items:
                    await self.filled.wait()
            assert self.items, "woken for an item that somebody else has taken: wait in a loop"
            return self.items.pop(0)


async def program(rng: Random, buggy: bool) -> list[int]:
    shelf = Shelf(buggy)
    taken: list[int] = []

    async def customer(way: int) -> None:
        for _ in range(way):
            await checkpoint()
        taken.append(await shelf.take())

    async def baker() -> None:
        for loaf in (1, 2, 3):
            for _ in range(3):
                await checkpoint()  # the oven
            await shelf.put(loaf)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(baker)
        for way in (0, 4, 11):
            nursery.start_soon(customer, way)
    return taken


def check(obs: list[int]) -> None:
    assert sorted(obs) == [1, 2, 3], f"loaves 1, 2 and 3 were baked, but {obs} were taken"
