"""Each page is loaded once; in the twin whoever misses first loads, and the others wait."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint


class Obs(NamedTuple):
    answers: list[str]
    loads: list[str]


class Cache:
    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.pages: dict[str, str] = {}
        self.locks: dict[str, trio.Lock] = {}
        self.loads: list[str] = []

    async def get(self, name: str) -> str:
        lock = self.locks.setdefault(name, trio.Lock())
        async with nullcontext() if self.buggy else lock:
            if name not in self.pages:
                self.pages[name] = await self.load(name)
            return self.pages[name]

    async def load(self, name: str) -> str:
        self.loads.append(name)
        for _ in range(3):
            await checkpoint()  # the database
        return f"page {name}"


async def program(rng: Random, buggy: bool) -> Obs:
    cache = Cache(buggy)
    answers: list[str] = []

    async def visitor(name: str, arrival: int) -> None:
        for _ in range(arrival):
            await checkpoint()
        answers.append(await cache.get(name))

    async with trio.open_nursery() as nursery:
        for arrival, name in ((0, "home"), (1, "news"), (3, "home"), (6, "news")):
            nursery.start_soon(visitor, name, arrival)
    return Obs(answers, cache.loads)


def check(obs: Obs) -> None:
    assert sorted(obs.answers) == ["page home"] * 2 + ["page news"] * 2, "a wrong page"
    assert sorted(obs.loads) == ["home", "news"], (
        f"loaded {obs.loads}: everyone who missed while the first was loading loaded again"
    )
