"""One answer is used, however many were asked; the twin looks whether one has won already."""

from __future__ import annotations

from random import Random

import trio


async def replica(name: str, takes: float, reply: trio.MemorySendChannel[str]) -> None:
    await trio.sleep(takes)
    reply.send_nowait(name)


class Hedge:
    """Asks a second replica when the first one is slow, and uses the first answer."""

    def __init__(self, network: trio.Nursery, buggy: bool) -> None:
        self.network = network
        self.buggy = buggy
        self.used: list[str] = []

    async def attempt(self, name: str, takes: float, race: trio.CancelScope) -> None:
        send, receive = trio.open_memory_channel[str](1)
        self.network.start_soon(replica, name, takes, send)
        answer = await receive.receive()
        if self.used and not self.buggy:
            return
        self.used.append(answer)
        race.cancel()

    async def ask(self) -> None:
        async with trio.open_nursery() as attempts:
            attempts.start_soon(self.attempt, "first", 0.3, attempts.cancel_scope)
            await trio.sleep(0.1)
            attempts.start_soon(self.attempt, "second", 0.2, attempts.cancel_scope)


async def program(rng: Random, buggy: bool) -> list[str]:
    async with trio.open_nursery() as network:
        hedge = Hedge(network, buggy)
        await hedge.ask()
    return hedge.used


def check(obs: list[str]) -> None:
    assert len(obs) == 1, f"the order was placed {len(obs)} times: {obs}"
