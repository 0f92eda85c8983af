"""An order is paid at most once; the twin's retries carry one key, by which the bank knows them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio


class Obs(NamedTuple):
    receipts: dict[str, str | None]
    payments: list[str]


class Bank:
    def __init__(self) -> None:
        self.payments: list[str] = []
        self.receipts: dict[str, str] = {}

    async def pay(self, order: str, key: str, latency: float) -> str:
        if key not in self.receipts:
            self.payments.append(order)
            self.receipts[key] = f"receipt {len(self.payments)}"
        await trio.sleep(latency)  # the way back
        return self.receipts[key]


async def program(rng: Random, buggy: bool) -> Obs:
    bank = Bank()
    receipts: dict[str, str | None] = {}

    async def buy(order: str) -> None:
        receipts[order] = None
        for attempt in range(3):
            key = f"{order}/{attempt}" if buggy else order
            with trio.move_on_after(1.0):
                receipts[order] = await bank.pay(order, key, rng.uniform(0.1, 1.1))
                return

    async with trio.open_nursery() as nursery:
        for order in ("book", "lamp", "tea"):
            nursery.start_soon(buy, order)
    return Obs(receipts, bank.payments)


def check(obs: Obs) -> None:
    for order in obs.receipts:
        assert obs.payments.count(order) == 1, (
            f"{order} was paid {obs.payments.count(order)} times: after a timeout nobody knows"
            " whether it was done, so every attempt has to carry the same key"
        )
