"""A slot whose connection never came is free again; the twin connects inside the `try`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import trio


class Pool:
    """At most one connection at a time."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.slots = trio.Semaphore(1)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[str]:
        await self.slots.acquire()
        if self.buggy:
            name = await connect()
            try:
                yield name
            finally:
                self.slots.release()
        else:
            try:
                yield await connect()
            finally:
                self.slots.release()


async def connect() -> str:
    for _greeting in ("hello", "password", "welcome"):
        await trio.lowlevel.checkpoint()
    return "connection"


async def program(rng: Random, buggy: bool) -> list[str]:
    pool = Pool(buggy)
    served: list[str] = []
    request = trio.CancelScope()

    async def handle(name: str, scope: trio.CancelScope) -> None:
        with scope:
            async with pool.connection():
                served.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle, "mobile", request)
        for _ in range(6):
            await trio.lowlevel.checkpoint()
        request.cancel()  # the phone went into a tunnel
        nursery.start_soon(handle, "desktop", trio.CancelScope())
    return served


def check(obs: list[str]) -> None:
    assert "desktop" in obs, "a request that nobody cancelled was never served"
