"""What was logged is on disk after `close`; the twin closes the queue and lets it run dry."""

from __future__ import annotations

from random import Random

import trio


class Log:
    """Lines are queued, and written behind the caller's back."""

    def __init__(self, nursery: trio.Nursery, buggy: bool) -> None:
        self.nursery = nursery
        self.buggy = buggy
        self.disk: list[str] = []
        self.queue, self.lines = trio.open_memory_channel[str](16)
        nursery.start_soon(self.write)

    async def write(self) -> None:
        async for line in self.lines:
            await trio.lowlevel.checkpoint()
            self.disk.append(line)

    def close(self) -> None:
        self.queue.close()
        if self.buggy:
            self.nursery.cancel_scope.cancel()


async def serve(log: Log, name: str) -> None:
    log.queue.send_nowait(f"{name} begins")
    await trio.lowlevel.checkpoint()
    log.queue.send_nowait(f"{name} ends")


async def program(rng: Random, buggy: bool) -> list[str]:
    async with trio.open_nursery() as nursery:
        log = Log(nursery, buggy)
        async with trio.open_nursery() as requests:
            requests.start_soon(serve, log, "get")
            requests.start_soon(serve, log, "put")
        for _ in range(10):  # say goodbye to the load balancer
            await trio.lowlevel.checkpoint()
        log.close()
    return log.disk


def check(obs: list[str]) -> None:
    assert sorted(obs) == ["get begins", "get ends", "put begins", "put ends"], (
        f"lines that had been logged are missing on disk: {obs}"
    )
