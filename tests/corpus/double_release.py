"""One job at a time on the device, failures included; the twin releases in one place only."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import trio
from trio.lowlevel import checkpoint


class Obs(NamedTuple):
    log: list[str]
    peak: int


class Device:
    def __init__(self) -> None:
        self.permit = trio.Semaphore(1)
        self.jobs = 0
        self.peak = 0

    async def work(self, name: str) -> None:
        self.jobs += 1
        self.peak = max(self.peak, self.jobs)
        try:
            for _ in range(2):
                await checkpoint()
            if name == "broken":
                raise OSError(name)
        finally:
            self.jobs -= 1


async def program(rng: Random, buggy: bool) -> Obs:
    device = Device()
    log: list[str] = []

    async def job(name: str, arrival: int) -> None:
        for _ in range(arrival):
            await checkpoint()
        await device.permit.acquire()
        try:
            await device.work(name)
            log.append(f"{name} done")
        except OSError:
            if buggy:
                device.permit.release()  # so that nobody waits for the log
            await checkpoint()
            log.append(f"{name} failed")
        finally:
            device.permit.release()

    async with trio.open_nursery() as nursery:
        for name, arrival in (("broken", 0), ("a", 6), ("b", 10), ("c", 14)):
            nursery.start_soon(job, name, arrival)
    return Obs(log, device.peak)


def check(obs: Obs) -> None:
    assert len(obs.log) == 4, f"of four jobs only these ended: {obs.log}"
    assert obs.peak == 1, (
        f"{obs.peak} jobs used the device at once: a permit released twice is one too many, and"
        " is found only when two come together later"
    )
