"""No second sees more than LIMIT calls; the twin remembers each call, not a window's count."""

from __future__ import annotations

from collections import deque
from random import Random

import trio

LIMIT = 3
PERIOD = 1.0


class Limiter:
    """At most LIMIT calls in any PERIOD; callers wait in line."""

    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.lock = trio.Lock()
        self.calls: deque[float] = deque()

    async def acquire(self) -> float:
        async with self.lock:
            if self.calls and self.calls[0] + PERIOD <= trio.current_time():
                self.forget()
            while len(self.calls) == LIMIT:
                await trio.sleep_until(self.calls[0] + PERIOD)
                self.forget()
            now = trio.current_time()
            self.calls.append(now)
            return now

    def forget(self) -> None:
        """Make room: a window that is over takes all its calls with it, or each goes alone."""
        now = trio.current_time()
        if self.buggy:
            self.calls.clear()
        while self.calls and self.calls[0] + PERIOD <= now:
            self.calls.popleft()


async def program(rng: Random, buggy: bool) -> list[float]:
    limiter = Limiter(buggy)
    admitted: list[float] = []

    async def client(arrives_after: float) -> None:
        await trio.sleep(arrives_after)
        admitted.append(await limiter.acquire())

    async with trio.open_nursery() as nursery:
        for _ in range(7):
            nursery.start_soon(client, rng.uniform(0.0, 5.0))
    return admitted


def check(obs: list[float]) -> None:
    for first, beyond in zip(obs, obs[LIMIT:], strict=False):
        assert beyond - first >= PERIOD - 1e-9, (
            f"{LIMIT + 1} calls within {beyond - first:.3f} s, where {LIMIT} a second are allowed"
        )
