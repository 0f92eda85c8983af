"""An order is charged or given up, never both; in the twin whoever comes first settles it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio

CONNECT, ANSWER = 0.1, 0.2


class Obs(NamedTuple):
    told: str
    charged: int


class Order:
    def __init__(self, price: int) -> None:
        self.price = price
        self.charged = 0
        self.given_up = False
        self.paid = trio.Event()


async def bank(order: Order, buggy: bool) -> None:
    await trio.sleep(0.3)
    if buggy or not order.given_up:
        order.charged += order.price
        order.paid.set()


async def customer(order: Order, buggy: bool) -> str:
    with trio.move_on_after(CONNECT + ANSWER):
        await order.paid.wait()
        return "paid"
    if not buggy and order.charged:
        return "paid"  # at the last instant
    order.given_up = True
    return "given up"


async def program(rng: Random, buggy: bool) -> Obs:
    order = Order(rng.randint(1, 99))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bank, order, buggy)
        told = await customer(order, buggy)
    return Obs(told, order.charged)


def check(obs: Obs) -> None:
    assert (obs.told == "paid") == (obs.charged > 0), (
        f"the customer was told {obs.told!r} and charged {obs.charged}: a timeout does not"
        " mean that it did not happen; one of the two sides has to decide"
    )
