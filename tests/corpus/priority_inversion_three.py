"""Urgent work waits for no lesser work; in the twin, who holds its lock inherits its urgency."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

import trio


@dataclass
class Job:
    name: str
    urgency: int
    writes: bool
    arrives_after: int


class Machine:
    """A processor for the most urgent job, and a journal with one writer at a time."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.busy = False
        self.ready: list[tuple[Job, trio.Event]] = []
        self.writer: Job | None = None
        self.writers: deque[tuple[Job, trio.Event]] = deque()
        self.inversions: list[str] = []

    async def run(self, job: Job) -> None:
        for _ in range(job.arrives_after):
            await trio.lowlevel.checkpoint()
        if job.writes:
            await self.open_journal(job)
            await self.compute(job)
            self.writer = None
            if self.writers:
                self.writer, opened = self.writers.popleft()
                opened.set()
        else:
            await self.compute(job)

    async def open_journal(self, job: Job) -> None:
        if self.writer is None:
            self.writer = job
            await trio.lowlevel.checkpoint()
        else:
            opened = trio.Event()
            self.writers.append((job, opened))
            await opened.wait()

    async def compute(self, job: Job) -> None:
        if self.busy:
            turn = trio.Event()
            self.ready.append((job, turn))
            await turn.wait()
        self.busy = True
        for _half in range(2):
            await trio.lowlevel.checkpoint()
        self.busy = bool(self.ready)
        if self.ready:
            chosen, turn = entry = max(self.ready, key=self.rank)
            self.ready.remove(entry)
            self.watch(chosen)
            turn.set()

    def rank(self, entry: tuple[Job, trio.Event]) -> int:
        waiting = [job for job, _ in self.writers]
        inherits = entry[0] is self.writer and not self.buggy
        return max(job.urgency for job in [entry[0], *(waiting if inherits else [])])

    def watch(self, chosen: Job) -> None:
        if any(job is self.writer for job, _ in self.ready):
            for job, _ in self.writers:
                if job.urgency > chosen.urgency:
                    self.inversions.append(f"{chosen.name} went before {job.name}")


async def program(rng: Random, buggy: bool) -> list[str]:
    machine = Machine(buggy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.run, Job("page one", 2, writes=False, arrives_after=2))
        nursery.start_soon(machine.run, Job("page two", 2, writes=False, arrives_after=4))
        nursery.start_soon(machine.run, Job("backup", 1, writes=True, arrives_after=0))
        nursery.start_soon(machine.run, Job("alarm", 3, writes=True, arrives_after=4))
    return machine.inversions


def check(obs: list[str]) -> None:
    assert not obs, (
        f"{obs[0]}, which was waiting for the journal of a job that never got its turn"
    )
