"""Every result is collected; the twin stops when nobody works AND nothing is left to collect."""

from __future__ import annotations

from collections import deque
from random import Random

import trio


class FanIn:
    """Results of several workers, for one collector."""

    def __init__(self, workers: int) -> None:
        self.working = workers
        self.results: deque[int] = deque()
        self.news = trio.Event()

    def put(self, result: int) -> None:
        self.results.append(result)
        self.news.set()

    def leave(self) -> None:
        self.working -= 1
        self.news.set()


async def worker(fan_in: FanIn, jobs: list[int]) -> None:
    for job in jobs:
        await trio.lowlevel.checkpoint()
        fan_in.put(job * job)
    for _ in range(8):  # a word to the statistics server
        await trio.lowlevel.checkpoint()
    fan_in.leave()


async def collect(fan_in: FanIn, table: list[int], buggy: bool) -> None:
    while fan_in.working or (fan_in.results and not buggy):
        if fan_in.results:
            await trio.lowlevel.checkpoint()  # a row is written
            table.append(fan_in.results.popleft())
        else:
            fan_in.news = trio.Event()
            await fan_in.news.wait()


async def program(rng: Random, buggy: bool) -> list[int]:
    fan_in = FanIn(workers=2)
    table: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker, fan_in, [1, 2, 3])
        nursery.start_soon(worker, fan_in, [4, 5])
        nursery.start_soon(collect, fan_in, table, buggy)
    return table


def check(obs: list[int]) -> None:
    assert sorted(obs) == [1, 4, 9, 16, 25], f"not all squares of 1..5 were collected: {obs}"
