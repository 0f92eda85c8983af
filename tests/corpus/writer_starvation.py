"""Each reader goes before a waiting writer once at most; the twin's readers queue behind it."""

from __future__ import annotations

from random import Random

import trio

READERS = 2


class ReadWriteLock:
    """Many readers or one writer."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.readers = 0
        self.writers_waiting = 0
        self.overtakings = 0
        self.changed = trio.Condition()

    async def start_reading(self) -> None:
        async with self.changed:
            while self.writers_waiting and not self.buggy:
                await self.changed.wait()
            self.overtakings += self.writers_waiting
            self.readers += 1

    async def stop_reading(self) -> None:
        async with self.changed:
            self.readers -= 1
            self.changed.notify_all()

    async def write(self, config: list[int]) -> None:
        async with self.changed:
            self.writers_waiting += 1
            while self.readers:
                await self.changed.wait()
            self.writers_waiting -= 1
            config.append(len(config))
            self.changed.notify_all()


async def reader(lock: ReadWriteLock, config: list[int]) -> None:
    for _ in range(5):
        await lock.start_reading()
        await trio.lowlevel.checkpoint()
        await lock.stop_reading()
        await trio.lowlevel.checkpoint()


async def program(rng: Random, buggy: bool) -> int:
    lock = ReadWriteLock(buggy)
    config = [0]
    async with trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(reader, lock, config)
        nursery.start_soon(lock.write, config)
    return lock.overtakings


def check(obs: int) -> None:
    assert obs <= READERS, (
        f"{obs} times a reader went in before a waiting writer, with {READERS} readers in all"
    )
