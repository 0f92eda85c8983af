"""Nobody is a round ahead; the twin puts up a new gate when it opens the old one."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import trio


class Barrier:
    """All parties meet, then all go on; to be used again for the next round."""

    def __init__(self, parties: int, buggy: bool) -> None:
        self.parties = parties
        self.buggy = buggy
        self.arrived = 0
        self.left = 0
        self.gate = trio.Event()

    async def wait(self) -> None:
        self.arrived += 1
        gate = self.gate
        if self.arrived < self.parties:
            await gate.wait()
        else:
            gate.set()
            if not self.buggy:
                self.clear()
        self.left += 1
        if self.left == self.parties and self.buggy:
            self.clear()

    def clear(self) -> None:
        self.arrived = 0
        self.left = 0
        self.gate = trio.Event()


async def program(rng: Random, buggy: bool) -> list[int]:
    barrier = Barrier(3, buggy)
    finished: list[int] = []  # the number of the round, whenever a worker is done with it

    async def worker() -> None:
        for number in range(3):
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            finished.append(number)
            await barrier.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(worker)
    return finished


def check(obs: list[int]) -> None:
    for earlier, later in pairwise(obs):
        assert earlier <= later, (
            f"somebody was done with round {earlier} before all were done with round {later}"
        )
