"""A queue is open until its last producer is done; the twin gives each one its own handle."""

from __future__ import annotations

from random import Random

import trio


async def scan(folder: list[str], found: trio.MemorySendChannel[str]) -> None:
    """Send every file of one folder, then say that there are no more."""
    async with found:
        for file in folder:
            await found.send(file)
        for _ in range(3):  # the sizes are added up
            await trio.lowlevel.checkpoint()


async def index(found: trio.MemoryReceiveChannel[str], indexed: list[str]) -> None:
    async for file in found:
        await trio.lowlevel.checkpoint()  # it is read
        indexed.append(file)


async def program(rng: Random, buggy: bool) -> list[str]:
    indexed: list[str] = []
    found, files = trio.open_memory_channel[str](8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index, files, indexed)
        if buggy:
            nursery.start_soon(scan, ["a1", "a2", "a3"], found)
            nursery.start_soon(scan, ["b1", "b2", "b3"], found)
        else:
            nursery.start_soon(scan, ["a1", "a2", "a3"], found.clone())
            nursery.start_soon(scan, ["b1", "b2", "b3"], found.clone())
            found.close()
    return indexed


def check(obs: list[str]) -> None:
    assert sorted(obs) == ["a1", "a2", "a3", "b1", "b2", "b3"], f"files were missed: {obs}"
