"""A half-open breaker lets one probe through; the twin marks the probe before it awaits."""

from __future__ import annotations

from random import Random

import trio


class RefusedError(Exception):
    """The breaker is open, or somebody else is trying the backend."""


class Breaker:
    """It has been open; from now on one caller may find out whether the backend is back."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.closed = False
        self.probing = False
        self.probes = 0

    async def call(self) -> str:
        if not self.closed:
            return await self.probe()
        return await ask_backend()

    async def probe(self) -> str:
        if self.probing:
            raise RefusedError
        if not self.buggy:
            self.probing = True
        await audit()
        self.probing = True
        self.probes += 1
        answer = await ask_backend()
        self.closed = True
        return answer


async def audit() -> None:
    """Tell the operators that the breaker is half-open."""
    await trio.lowlevel.checkpoint()


async def ask_backend() -> str:
    await trio.sleep(0.1)
    return "hello"


async def caller(breaker: Breaker, header_lines: int) -> None:
    for _ in range(header_lines):
        await trio.lowlevel.checkpoint()
    try:
        await breaker.call()
    except RefusedError:
        return


async def program(rng: Random, buggy: bool) -> int:
    breaker = Breaker(buggy)
    async with trio.open_nursery() as nursery:
        for header_lines in (0, 3, 6):
            nursery.start_soon(caller, breaker, header_lines)
    return breaker.probes


def check(obs: int) -> None:
    assert obs == 1, f"{obs} callers probed a backend that was to be spared all but one"
