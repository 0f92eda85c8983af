"""Shutting down ends; the twin's recorder tells that it is done even when it was cancelled."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


async def program(rng: Random, buggy: bool) -> list[str]:
    send, receive = trio.open_memory_channel[str](8)
    flushed = trio.Event()
    closed: list[str] = []

    async def recorder() -> None:
        try:
            async for _ in receive:
                await checkpoint()  # the disk
            flushed.set()
        finally:
            if not buggy:
                flushed.set()

    async def service() -> None:
        try:
            for line in ("up", "busy", "down"):
                await send.send(line)
        finally:
            send.close()
            with trio.CancelScope(shield=True):
                await flushed.wait()  # no line may be lost
            closed.append("service")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder)
        nursery.start_soon(service)
        for _ in range(12):
            await checkpoint()  # until the signal to shut down
        nursery.cancel_scope.cancel()
    return closed


def check(obs: list[str]) -> None:
    assert obs == ["service"], f"{obs} closed: whatever is cancelled, the service closes once"
