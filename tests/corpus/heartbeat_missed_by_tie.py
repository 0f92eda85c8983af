"""A worker that is alive keeps its lease; the twin renews at half time, not at the last moment."""

from __future__ import annotations

from random import Random

import trio

TTL = 1.0


class Lease:
    """Ours until `expires`, unless we renew it before."""

    def __init__(self) -> None:
        self.taken_over = False
        self.expires = trio.current_time() + TTL

    def renew(self) -> None:
        self.expires = trio.current_time() + TTL

    async def watch(self) -> None:
        while not self.taken_over:
            await trio.sleep_until(self.expires)
            self.taken_over = trio.current_time() >= self.expires


async def work(lease: Lease, renew_every: int) -> int:
    for done in range(15):
        if lease.taken_over:
            return done
        if done and done % renew_every == 0:
            lease.renew()
        await trio.sleep(0.1)
    return 15


async def program(rng: Random, buggy: bool) -> int:
    lease = Lease()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.watch)
        done = await work(lease, renew_every=10 if buggy else 5)
        nursery.cancel_scope.cancel()
    return done


def check(obs: int) -> None:
    assert obs == 15, f"the lease was taken from a live worker after {obs} of 15 pieces"
