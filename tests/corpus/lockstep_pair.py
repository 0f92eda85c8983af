"""Every frame is heard once and in order; the twin counts free and filled buffers."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint

FRAMES = 6


class DoubleBuffer:
    """One buffer is filled while the other is played; neither side waits if buggy.

    That works as long as both go at the same pace: filled is always one step ahead.
    """

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.buffers = [-1, -1]
        self.started = trio.Event()
        self.free = trio.Semaphore(2)
        self.filled = trio.Semaphore(0)

    async def fill(self, frame: int) -> None:
        if not self.buggy:
            await self.free.acquire()
        self.buffers[frame % 2] = frame
        self.started.set()
        self.filled.release()
        await checkpoint()  # the decoder works on the next one

    async def play(self, number: int) -> int:
        if not self.buggy:
            await self.filled.acquire()
        frame = self.buffers[number % 2]
        self.free.release()
        await checkpoint()  # the loudspeaker
        return frame


async def program(rng: Random, buggy: bool) -> list[int]:
    sound = DoubleBuffer(buggy)
    heard: list[int] = []

    async def decoder() -> None:
        for frame in range(FRAMES):
            await sound.fill(frame)

    async def player() -> None:
        await sound.started.wait()
        for number in range(FRAMES):
            heard.append(await sound.play(number))  # noqa: PERF401

    async with trio.open_nursery() as nursery:
        nursery.start_soon(decoder)
        nursery.start_soon(player)
    return heard


def check(obs: list[int]) -> None:
    assert obs == list(range(FRAMES)), (
        f"heard {obs}: nothing keeps one task from being several steps ahead of the other, so"
        " a buffer was written over before it was played, or played again"
    )
