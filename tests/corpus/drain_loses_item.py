"""Every order is stored or still queued; the twin shields what it has received until stored."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint


class Obs(NamedTuple):
    orders: list[int]
    stored: list[int]
    left: list[int]


async def program(rng: Random, buggy: bool) -> Obs:
    orders = sorted(rng.sample(range(100), 5))
    stored: list[int] = []
    left: list[int] = []
    send, receive = trio.open_memory_channel[int](len(orders))

    async def clerk() -> None:
        async for order in receive:
            with trio.CancelScope(shield=not buggy):
                await checkpoint()  # the database
                stored.append(order)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(clerk)
        for order in orders:
            await send.send(order)
        for _ in range(6):
            await checkpoint()  # until the signal to stop
        nursery.cancel_scope.cancel()

    while receive.statistics().current_buffer_used:
        left.append(receive.receive_nowait())
    return Obs(orders, stored, left)


def check(obs: Obs) -> None:
    missing = [order for order in obs.orders if order not in obs.stored + obs.left]
    assert not missing, (
        f"orders {missing} are neither stored nor queued: a worker was cancelled with one in"
        " its hand"
    )
    assert sorted(obs.stored + obs.left) == obs.orders, "an order is there twice"
