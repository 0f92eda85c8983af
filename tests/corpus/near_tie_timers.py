"""A report on ten samples has ten; the twin waits for the sampler instead of for as long."""

from __future__ import annotations

from random import Random

import trio

SAMPLES = 10


async def program(rng: Random, buggy: bool) -> list[int]:
    samples: list[int] = []
    report: list[int] = []
    complete = trio.Event()

    async def sampler() -> None:
        for _ in range(SAMPLES):
            await trio.sleep(0.1)
            samples.append(rng.randint(18, 24))
        complete.set()

    async def reporter() -> None:
        if buggy:
            await trio.sleep(1.0)
        else:
            await complete.wait()
        report.extend(samples)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sampler)
        nursery.start_soon(reporter)
    return report


def check(obs: list[int]) -> None:
    assert len(obs) == SAMPLES, (
        f"the report has {len(obs)} of {SAMPLES} samples: ten sleeps of 0.1 s and one of 1.0 s"
        " may end in either order"
    )
