"""A cancelled download gives its permit back; the twin has no checkpoint before its `try`."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint

PERMITS = 2


async def program(rng: Random, buggy: bool) -> int:
    permits = trio.Semaphore(PERMITS)
    log: list[str] = []

    async def note(line: str) -> None:
        await checkpoint()  # the disk
        log.append(line)

    async def fetch() -> None:
        for _ in range(6):
            await checkpoint()

    async def download(name: str) -> None:
        if buggy:
            await permits.acquire()
            await note(f"{name} starts")
            try:
                await fetch()
            finally:
                permits.release()
        else:
            async with permits:
                await note(f"{name} starts")
                await fetch()

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(download, name)
        for _ in range(5):
            await checkpoint()  # the user looks for the stop button
        nursery.cancel_scope.cancel()
    return permits.value


def check(obs: int) -> None:
    assert obs == PERMITS, (
        f"{obs} of {PERMITS} permits are left when nobody holds one: a task cancelled between"
        " acquire() and try: never comes to its finally:"
    )
