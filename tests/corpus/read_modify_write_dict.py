"""No sale is forgotten; the twin awaits first and then changes the stock in one step."""

from __future__ import annotations

from random import Random

import trio


async def confirm(item: str) -> None:
    """Ask the warehouse whether the item can leave."""
    await trio.lowlevel.checkpoint()


async def till(stock: dict[str, int], basket: list[str], buggy: bool) -> None:
    for item in basket:
        if buggy:
            left = stock[item]
            await confirm(item)
            stock[item] = left - 1
        else:
            await confirm(item)
            stock[item] -= 1


async def program(rng: Random, buggy: bool) -> dict[str, int]:
    shelf = ("apples", "bread", "cheese", "dates", "eggs", "figs")
    stock: dict[str, int] = dict.fromkeys(shelf, 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(till, stock, ["apples", "bread", "cheese"], buggy)
        nursery.start_soon(till, stock, ["dates", "eggs", "apples"], buggy)
    return stock


def check(obs: dict[str, int]) -> None:
    assert obs["apples"] == 8, f"two apples of 10 were sold, yet {obs['apples']} are left"
    assert sum(obs.values()) == 54, f"six things of 60 were sold, yet the stock is {obs}"
