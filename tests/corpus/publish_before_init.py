"""Who finds the index can use it; the twin publishes it only when it is loaded."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint

LATER = "try again later"
PLACES = {"bee": "page 3", "elk": "page 8"}


class Obs(NamedTuple):
    answers: dict[str, str]


class Index:
    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    async def load(self) -> None:
        for word, place in PLACES.items():
            await checkpoint()  # the disk
            self.places[word] = place

    def find(self, word: str) -> str:
        return self.places.get(word, "not in the book")


async def program(rng: Random, buggy: bool) -> Obs:
    published: list[Index] = []
    answers: dict[str, str] = {}

    async def librarian() -> None:
        index = Index()
        if buggy:
            published.append(index)
            await index.load()
        else:
            await index.load()
            published.append(index)

    async def reader(word: str, way: int) -> None:
        for _ in range(way):
            await checkpoint()
        answers[word] = published[0].find(word) if published else LATER

    async with trio.open_nursery() as nursery:
        nursery.start_soon(librarian)
        for way, word in ((4, "bee"), (2, "elk")):
            nursery.start_soon(reader, word, way)
    return Obs(answers)


def check(obs: Obs) -> None:
    for word, place in PLACES.items():
        assert obs.answers[word] in {place, LATER}, (
            f"{word}: {obs.answers[word]!r}, but it is on {place}: the index could be seen"
            " before it was loaded"
        )
