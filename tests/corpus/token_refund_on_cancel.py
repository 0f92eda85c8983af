"""A caller who gives up costs nobody a turn; the twin books a slot only once it is used."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import trio

INTERVAL = 1.0


class Pacer:
    """One call each INTERVAL seconds, first come, first served."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.next_slot = trio.current_time()
        self.line = trio.Lock()

    async def acquire(self) -> None:
        if self.buggy:
            slot = max(self.next_slot, trio.current_time())
            self.next_slot = slot + INTERVAL
            await trio.sleep_until(slot)
            return
        async with self.line:
            await trio.sleep_until(self.next_slot)
            self.next_slot = trio.current_time() + INTERVAL


async def program(rng: Random, buggy: bool) -> list[float]:
    pacer = Pacer(buggy)
    served: list[float] = []

    async def client(patience: float) -> None:
        with trio.move_on_after(patience):
            await pacer.acquire()
            served.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for patience in (60.0, 60.0, 2.5, 60.0, 60.0):  # all five arrive at once
            nursery.start_soon(client, patience)
    return served


def check(obs: list[float]) -> None:
    for earlier, later in pairwise(obs):
        assert later - earlier < 1.5 * INTERVAL, (
            f"nobody was served for {later - earlier:.1f} s while others stood in line: "
            "a slot was kept for somebody who had left"
        )
