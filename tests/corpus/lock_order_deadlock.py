"""Transfers always end; the twin locks the account with the lower number first."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


class Account:
    def __init__(self, number: int) -> None:
        self.number = number
        self.balance = 100
        self.lock = trio.Lock()


async def program(rng: Random, buggy: bool) -> list[int]:
    accounts = [Account(number) for number in range(2)]

    async def transfer(source: Account, target: Account, amount: int) -> None:
        first, second = source, target
        if not buggy and first.number > second.number:
            first, second = second, first
        async with first.lock:
            await checkpoint()  # the audit trail
            async with second.lock:
                source.balance -= amount
                target.balance += amount

    async def teller(forms: int, source: Account, target: Account) -> None:
        for _ in range(forms):
            await checkpoint()
        await transfer(source, target, rng.randint(1, 50))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller, 0, accounts[0], accounts[1])
        nursery.start_soon(teller, 3, accounts[1], accounts[0])
        nursery.start_soon(teller, 8, accounts[0], accounts[1])
    return [account.balance for account in accounts]


def check(obs: list[int]) -> None:
    assert sum(obs) == 200, f"balances {obs}: a transfer must not make or lose money"
