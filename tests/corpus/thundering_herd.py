"""One release lets one waiter in; the twin's waiters look again when they wake up."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


class Printer:
    """Serves one at a time; whoever finds it busy waits until it is released."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.users = 0
        self.peak = 0
        self.released = trio.Event()

    async def acquire(self) -> None:
        if self.buggy:
            if self.users:
                await self.released.wait()
        else:
            while self.users:
                await self.released.wait()
        self.users += 1
        self.peak = max(self.peak, self.users)

    def release(self) -> None:
        self.users -= 1
        self.released.set()
        self.released = trio.Event()


async def program(rng: Random, buggy: bool) -> int:
    printer = Printer(buggy)

    async def job(pages: int) -> None:
        for _ in range(pages):
            await checkpoint()  # rendering
        await printer.acquire()
        for _ in range(2):
            await checkpoint()  # printing
        printer.release()

    async with trio.open_nursery() as nursery:
        for pages in (1, 2, 6, 9):
            nursery.start_soon(job, pages)
    return printer.peak


def check(obs: int) -> None:
    assert obs == 1, (
        f"{obs} jobs printed at once: one release wakes every waiter, so each must look again"
        " whether it is its turn"
    )
