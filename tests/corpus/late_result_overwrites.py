"""The hits shown belong to the last query; the twin drops a response to an older one."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio


class Obs(NamedTuple):
    typed: str
    shown: str


class SearchBox:
    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.typed = ""
        self.shown = ""

    async def search(self, query: str, latency: float) -> None:
        self.typed = query
        await trio.sleep(latency)  # the search server
        if self.buggy or query == self.typed:
            self.shown = query


async def program(rng: Random, buggy: bool) -> Obs:
    box = SearchBox(buggy)
    async with trio.open_nursery() as nursery:
        for query in ("t", "tr", "tri", "trio"):
            nursery.start_soon(box.search, query, rng.choice((0.1, 0.2, 0.3)))
            await trio.sleep(0.1)  # the next key
    return Obs(box.typed, box.shown)


def check(obs: Obs) -> None:
    assert obs.shown == obs.typed, (
        f"hits for {obs.shown!r} are shown under {obs.typed!r}: an older response came later;"
        " apply a response only if nothing newer was asked"
    )
