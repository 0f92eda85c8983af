"""Every watcher sees the last version; the twin takes the event before it looks, not after."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint

LAST = 3


class Settings:
    """Each version has its own event, set when the next one comes."""

    def __init__(self) -> None:
        self.version = 0
        self.changed = trio.Event()

    async def read(self) -> int:
        version = self.version
        await checkpoint()  # the way back
        return version

    def publish(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = trio.Event()


async def program(rng: Random, buggy: bool) -> list[list[int]]:
    settings = Settings()
    seen: list[list[int]] = [[], []]

    async def watcher(mine: list[int]) -> None:
        known = 0
        while known < LAST:
            changed = settings.changed
            version = await settings.read()
            if version > known:
                known = version
                mine.append(version)
            elif buggy:
                await settings.changed.wait()
            else:
                await changed.wait()

    async def editor() -> None:
        for _ in range(LAST):
            for _ in range(5):
                await checkpoint()  # typing
            settings.publish()

    async with trio.open_nursery() as nursery:
        for mine in seen:
            nursery.start_soon(watcher, mine)
        nursery.start_soon(editor)
    return seen


def check(obs: list[list[int]]) -> None:
    assert all(mine == sorted(mine) and mine[-1] == LAST for mine in obs), (
        f"watchers saw {obs}: each must come to version {LAST}, and never go back; what is set"
        " between looking and waiting must still be noticed"
    )
