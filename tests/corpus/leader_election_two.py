"""One leader a term; the twin takes the office with one compare-and-set."""

from __future__ import annotations

from random import Random

import trio


class Store:
    """A key-value store somewhere in the network; each call is one round trip."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        await trio.lowlevel.checkpoint()
        return self.data.get(key)

    async def put(self, key: str, value: str) -> None:
        await trio.lowlevel.checkpoint()
        self.data[key] = value

    async def put_if_absent(self, key: str, value: str) -> bool:
        await trio.lowlevel.checkpoint()
        return self.data.setdefault(key, value) == value


async def campaign(store: Store, name: str, term: str, buggy: bool) -> bool:
    if await store.get(term) is not None:
        return False
    if buggy:
        await store.put(term, name)
        return True
    return await store.put_if_absent(term, name)


async def node(store: Store, name: str, boot_steps: int, led: list[str], buggy: bool) -> None:
    for _ in range(boot_steps):
        await trio.lowlevel.checkpoint()
    if await campaign(store, name, "term-4", buggy):
        led.append(name)


async def program(rng: Random, buggy: bool) -> list[str]:
    store = Store()
    led: list[str] = []
    async with trio.open_nursery() as nursery:
        for name, boot_steps in (("ann", 0), ("bob", 4), ("cid", 8)):
            nursery.start_soon(node, store, name, boot_steps, led, buggy)
    return led


def check(obs: list[str]) -> None:
    assert len(obs) == 1, f"term-4 was led by {' and '.join(obs) or 'nobody'}"
