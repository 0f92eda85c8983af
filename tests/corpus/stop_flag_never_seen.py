"""`stop` stops a worker even before it runs; the twin does not take the flag down at the start."""

from __future__ import annotations

from random import Random

import trio


class Poller:
    """Looks for mail until it is told to stop."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.stopping = False
        self.stopped = False
        self.polls = 0

    async def run(self) -> None:
        if self.buggy:
            self.stopping = False
        while not self.stopping:
            self.polls += 1
            await after_you()
        self.stopped = True

    async def stop(self) -> None:
        self.stopping = True
        while not self.stopped:
            await after_you()


async def after_you() -> None:
    """Let the others run first."""
    await trio.lowlevel.checkpoint()


async def program(rng: Random, buggy: bool) -> bool:
    poller = Poller(buggy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        for _ in range(3):  # the configuration is read, and says that nobody wants mail
            await trio.lowlevel.checkpoint()
        await poller.stop()
    return poller.stopped


def check(obs: bool) -> None:
    assert obs, "stop() returned while the poller was running"
