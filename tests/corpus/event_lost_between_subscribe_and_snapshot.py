"""A mirror ends up like its original; the twin subscribes first and then asks for a snapshot."""

from __future__ import annotations

import math
from random import Random

import trio


class Store:
    """Keys, values, and who wants to know about changes."""

    def __init__(self) -> None:
        self.data: dict[str, int] = {}
        self.closed = False
        self.followers: list[trio.MemorySendChannel[dict[str, int]]] = []

    def put(self, key: str, value: int) -> None:
        self.data[key] = value
        for follower in self.followers:
            follower.send_nowait({key: value})

    def close(self) -> None:
        self.closed = True
        for follower in self.followers:
            follower.close()

    async def snapshot(self) -> dict[str, int]:
        data = dict(self.data)
        await trio.lowlevel.checkpoint()  # it travels
        return data

    def subscribe(self) -> trio.MemoryReceiveChannel[dict[str, int]]:
        follower, changes = trio.open_memory_channel[dict[str, int]](math.inf)
        self.followers.append(follower)
        if self.closed:
            follower.close()
        return changes


async def mirror(store: Store, copy: dict[str, int], buggy: bool) -> None:
    if buggy:
        copy.update(await store.snapshot())
        changes = store.subscribe()
    else:
        changes = store.subscribe()
        copy.update(await store.snapshot())
    async for change in changes:
        copy.update(change)


async def fill(store: Store) -> None:
    for key, value in (("b", 2), ("c", 3)):
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        store.put(key, value)
    store.close()


async def program(rng: Random, buggy: bool) -> tuple[dict[str, int], dict[str, int]]:
    store = Store()
    store.put("a", 1)
    copy: dict[str, int] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mirror, store, copy, buggy)
        nursery.start_soon(fill, store)
    return store.data, copy


def check(obs: tuple[dict[str, int], dict[str, int]]) -> None:
    original, copy = obs
    assert copy == original, f"the mirror shows {copy}, the store holds {original}"
