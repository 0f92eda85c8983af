"""Nobody writes after a newer holder did; the twin's ledger refuses the token of an older one."""

from __future__ import annotations

from math import inf
from random import Random

import trio
from trio.lowlevel import checkpoint

LEASE = 1.0


class Leases:
    """Leaves the lease to its holder for LEASE seconds and numbers the holders."""

    def __init__(self) -> None:
        self.token = 0
        self.expires = -inf

    async def take(self) -> int:
        while trio.current_time() < self.expires:  # noqa: ASYNC110 - the holder may change
            await trio.sleep_until(self.expires)
        self.token += 1
        self.expires = trio.current_time() + LEASE
        return self.token


class Ledger:
    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.tokens: list[int] = []

    async def write(self, token: int) -> bool:
        await checkpoint()  # the network
        if not self.buggy and self.tokens and token < self.tokens[-1]:
            return False
        self.tokens.append(token)
        return True


async def program(rng: Random, buggy: bool) -> list[int]:
    leases, ledger = Leases(), Ledger(buggy)

    async def worker() -> None:
        token = await leases.take()
        await ledger.write(token)
        for _ in range(10):
            await trio.sleep(0.1)  # one chunk; ten fit in a lease
        await ledger.write(token)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(worker)
    return ledger.tokens


def check(obs: list[int]) -> None:
    assert obs == sorted(obs), (
        f"tokens {obs}: a holder wrote after its lease had expired and somebody else had"
        " written; only the store can refuse it, by the token"
    )
    assert obs[-1] == 2, f"tokens {obs}: the newer holder was refused"
