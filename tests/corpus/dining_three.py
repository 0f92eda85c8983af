"""Three jobs that share three machines all end; the twin takes machines in one fixed order."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint

NEEDS = {"cut": (0, 1), "drill": (1, 2), "paint": (2, 0)}


async def program(rng: Random, buggy: bool) -> list[str]:
    machines = [trio.Lock() for _ in NEEDS]
    finished: list[str] = []

    async def job(name: str, lead: int) -> None:
        first, second = NEEDS[name] if buggy else sorted(NEEDS[name])
        for _ in range(lead):
            await checkpoint()  # the material is brought
        for _ in range(2):
            async with machines[first]:
                await checkpoint()  # setting up
                async with machines[second]:
                    await checkpoint()
        finished.append(name)

    async with trio.open_nursery() as nursery:
        for lead, name in enumerate(NEEDS):
            nursery.start_soon(job, name, 4 * lead)
    return finished


def check(obs: list[str]) -> None:
    assert sorted(obs) == sorted(NEEDS), f"only {obs} finished"
