"""Never more than two calls at once; the twin takes its place before it waits, not after."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint

LIMIT = 2


class Obs(NamedTuple):
    served: int
    peak: int


class Limiter:
    """Turns callers away, rather than let them wait, while LIMIT calls are under way."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.active = 0
        self.peak = 0

    async def enter(self) -> bool:
        if self.active >= LIMIT:
            return False
        if self.buggy:
            await self.authorise()
            self.active += 1
        else:
            self.active += 1
            await self.authorise()
        self.peak = max(self.peak, self.active)
        return True

    async def authorise(self) -> None:
        await checkpoint()

    def leave(self) -> None:
        self.active -= 1


async def program(rng: Random, buggy: bool) -> Obs:
    limiter = Limiter(buggy)
    served = 0

    async def caller(arrival: int) -> None:
        nonlocal served
        for _ in range(arrival):
            await checkpoint()
        if await limiter.enter():
            for _ in range(3):
                await checkpoint()  # the call
            served += 1
            limiter.leave()

    async with trio.open_nursery() as nursery:
        for arrival in (0, 2, 3, 4):
            nursery.start_soon(caller, arrival)
    return Obs(served, limiter.peak)


def check(obs: Obs) -> None:
    assert obs.served >= LIMIT, f"only {obs.served} callers were served: places went missing"
    assert obs.peak <= LIMIT, (
        f"{obs.peak} calls at once, {LIMIT} allowed: what was checked before an await need not"
        " be true after it"
    )
