"""No point earned is lost; the twin holds a lock from reading the balance to writing it."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint


class Obs(NamedTuple):
    earned: int
    balance: int


class Account:
    """A balance in a store: reading it and writing it is one round trip each."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.stored = 0

    async def load(self) -> int:
        await checkpoint()
        return self.stored

    async def save(self, balance: int) -> None:
        await checkpoint()
        self.stored = balance


async def program(rng: Random, buggy: bool) -> Obs:
    account = Account()
    baskets = [[rng.randint(1, 9) for _ in range(size)] for size in (1, 2, 4)]

    async def till(basket: list[int]) -> None:
        points = 0
        for price in basket:
            await checkpoint()  # the scanner
            points += price
        async with nullcontext() if buggy else account.lock:
            balance = await account.load()
            await account.save(balance + points)

    async with trio.open_nursery() as nursery:
        for basket in baskets:
            nursery.start_soon(till, basket)
    return Obs(sum(map(sum, baskets)), account.stored)


def check(obs: Obs) -> None:
    assert obs.balance == obs.earned, (
        f"{obs.earned} points were earned but {obs.balance} stored: two tills read the same"
        " balance, and the one that wrote last undid the other"
    )
