"""A slot has one owner at a time; the twin swaps the head only if its version is unchanged."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


class FreeList:
    """Free slots as a linked list in a store; the head is changed by compare-and-swap."""

    def __init__(self, size: int, buggy: bool) -> None:
        self.buggy = buggy
        self.head: int = 0
        self.version: int = 0
        self.below = {slot: slot + 1 for slot in range(size)}
        self.used: list[int] = []
        self.clashes: list[int] = []

    async def take(self) -> int:
        while True:
            head, version, below = self.head, self.version, self.below[self.head]
            await checkpoint()  # the round trip to the store
            if self.head == head and (self.buggy or self.version == version):
                break
        self.head = below
        self.version += 1
        if head in self.used:
            self.clashes.append(head)
        self.used.append(head)
        return head

    def give(self, slot: int) -> None:
        self.used.remove(slot)
        self.below[slot] = self.head
        self.head = slot
        self.version += 1


async def program(rng: Random, buggy: bool) -> list[int]:
    slots = FreeList(5, buggy)

    async def uploader() -> None:
        for _ in range(2):
            first = await slots.take()
            second = await slots.take()
            await checkpoint()
            slots.give(second)
            slots.give(first)

    async def mover() -> None:
        for _ in range(2):
            source = await slots.take()
            target = await slots.take()
            await checkpoint()
            slots.give(source)
            for _ in range(3):
                await checkpoint()
            slots.give(target)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(uploader)
        nursery.start_soon(mover)
    return slots.clashes


def check(obs: list[int]) -> None:
    assert not obs, (
        f"slots {obs} were given out while in use: that the head is the same again does not"
        " mean that what was below it is still free; compare a version that never comes back"
    )
