"""One key, one charge; the twin notes that a request is under way before it awaits."""

from __future__ import annotations

from random import Random

import trio


class Payments:
    """Answers a repeated key with the receipt of the first request."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.receipts: dict[str, str] = {}
        self.under_way: dict[str, trio.Event] = {}
        self.charges: list[str] = []

    async def pay(self, key: str) -> str:
        if key in self.under_way and not self.buggy:
            await self.under_way[key].wait()
        if key in self.receipts:
            return self.receipts[key]
        self.under_way[key] = trio.Event()
        self.receipts[key] = await self.charge(key)
        self.under_way[key].set()
        return self.receipts[key]

    async def charge(self, key: str) -> str:
        self.charges.append(key)
        for _stage in ("authorise", "capture"):
            await trio.lowlevel.checkpoint()
        return f"receipt {len(self.charges)}"


async def request(payments: Payments, key: str, hops: int) -> None:
    for _ in range(hops):
        await trio.lowlevel.checkpoint()
    await payments.pay(key)


async def program(rng: Random, buggy: bool) -> list[str]:
    payments = Payments(buggy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request, payments, "order-7", 1)
        nursery.start_soon(request, payments, "order-8", 2)
        nursery.start_soon(request, payments, "order-7", 6)  # the client tries again
    return payments.charges


def check(obs: list[str]) -> None:
    assert sorted(obs) == ["order-7", "order-8"], f"a customer was charged twice: {obs}"
