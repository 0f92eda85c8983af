"""A success closes only the breaker it was asked under; the twin compares generations."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import trio


class Breaker:
    """Two failures in a row open it; after a cooldown one success closes it again."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.state = "closed"
        self.generation = 0
        self.failures = 0
        self.log: list[str] = []

    def become(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.failures = 0
        self.log.append(state)

    def succeeded(self, generation: int) -> None:
        if generation != self.generation and not self.buggy:
            return
        self.failures = 0
        if self.state != "closed":
            self.become("closed")

    def failed(self, generation: int) -> None:
        if generation != self.generation:
            return
        self.failures += 1
        if self.failures == 2:
            self.become("open")


async def read_body(chunks: int) -> None:
    for _ in range(chunks):
        await trio.lowlevel.checkpoint()


async def good_call(breaker: Breaker) -> None:
    generation = breaker.generation
    await trio.sleep(1.0)
    await read_body(chunks=1)
    breaker.succeeded(generation)


async def bad_call(breaker: Breaker) -> None:
    generation = breaker.generation
    await trio.sleep(1.0)
    await read_body(chunks=3)  # error pages are long
    breaker.failed(generation)


async def program(rng: Random, buggy: bool) -> list[str]:
    breaker = Breaker(buggy)
    async with trio.open_nursery() as nursery:
        for call in (good_call, bad_call, bad_call):
            nursery.start_soon(call, breaker)
    await trio.sleep(0.5)
    if breaker.state == "open":
        breaker.become("half-open")
        breaker.succeeded(breaker.generation)
    return breaker.log


def check(obs: list[str]) -> None:
    for before, after in pairwise(obs):
        assert (before, after) != ("open", "closed"), (
            f"a call from before the breaker opened closed it without any probe: {obs}"
        )
