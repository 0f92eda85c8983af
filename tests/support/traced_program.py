"""A program with everything in it that could differ from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random

import attrs
import trio
from typing_extensions import override

from agentflow_trio import (
    END,
    AdaptiveLimit,
    AdaptiveTimeout,
    Chaos,
    CircuitBreaker,
    CircuitPolicy,
    Engine,
    FlowFailedError,
    Hedge,
    Next,
    RetryPolicy,
    Step,
    Timeout,
    TTLCache,
    Wiring,
    Work,
    flow,
    step,
)
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.robustness import CachePolicy, ChaosPolicy, Guard, pipeline
from agentflow_trio.testing import fault_point


@attrs.define
class Order:
    """A state with a number, a list and a text."""

    number: int
    notes: list[str] = attrs.field(factory=list[str])
    total: float = 0.0


@attrs.define
class Price(Work[Order, int, float]):
    """Draws from the run's own dice, and waits for as long."""

    shop: trio.CapacityLimiter

    @override
    async def prep(self, shared: Order) -> int:
        return shared.number

    @override
    async def exec(self, prepared: int) -> float:
        async with self.shop:
            await trio.sleep(prepared / 7)
        await fault_point("price")
        return prepared * 1.1

    async def post(
        self, shared: Order, prepared: int, result: float, *, cheap: Next, dear: Next
    ) -> Next:
        shared.total += result
        return cheap if result < 5 else dear


@step
async def haggle(order: Order) -> None:
    order.number -= 3
    order.notes.append(f"haggled down to {order.number}")
    await trio.lowlevel.checkpoint()


@attrs.define
class Tape:
    """Keeps every event as text."""

    lines: list[str]
    name: str = "tape"

    def observe(self, event: ExecutionEvent) -> None:
        self.lines.append(repr(event))


async def crowd(
    name: str, dice: Random, lock: trio.Lock, send: trio.MemorySendChannel[str]
) -> None:
    """Fights for the lock, with little patience."""
    async with send:
        for _ in range(5):
            with trio.move_on_after(dice.random()) as scope:
                async with lock:
                    await trio.sleep(dice.random())
                    await send.send(f"{name} had the lock")
            if scope.cancelled_caught:
                await send.send(f"{name} gave up")


def guards() -> Sequence[Guard]:
    """Those that leave something to chance, or learn from what happens."""
    policy = CircuitPolicy(failure_threshold=2, recovery_timeout=0.3, jitter=0.5)
    within = pipeline(CircuitBreaker("prices", policy), AdaptiveLimit("callers"))
    return within, Timeout(AdaptiveTimeout(maximum=3.0, min_samples=2)), drill


drill = Chaos("drill", ChaosPolicy(rate=0.3, latency=(0.1, 0.4), errors=(OSError,)))


async def program(dice: Random) -> list[str]:
    """Six orders at once in a shop for two, while a crowd shares a lock, a channel and timers."""
    lines: list[str] = []
    price = Step(
        Price(trio.CapacityLimiter(2)),
        retry=RetryPolicy(
            max_attempts=5, base_delay=0.1, jitter_kind="full", on_rejected="wait"
        ),
        hedge=Hedge(after=0.9),
        guards=guards(),
    )

    @flow
    def shopping() -> Wiring[Order]:
        return [price.to(cheap=END, dear=haggle), haggle.then(price)]

    async def shop(engine: Engine, number: int) -> None:
        with suppress(FlowFailedError):  # of which the tape tells
            result = await engine.run(shopping, Order(number), seed=dice.randrange(1000))
            note(f"{result.run_id} {result.state}")

    async def listen(receive: trio.MemoryReceiveChannel[str]) -> None:
        async for line in receive:
            note(line)

    def note(text: str) -> None:
        lines.append(f"{trio.current_time()!r} {text}")

    drill.enable()
    cache = TTLCache(trio.sleep, CachePolicy(ttl=2.0, max_size=2))
    send, receive = trio.open_memory_channel[str](1)
    lock = trio.Lock()
    async with Engine(observers=[Tape(lines)]) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(listen, receive)
        for number in (2, 1, 2, 3, 1):
            nursery.start_soon(cache.get, number / 3)
        for number in range(3, 9):
            nursery.start_soon(shop, engine, number)
        async with send:
            for name in ("ann", "bob", "cho"):
                nursery.start_soon(crowd, name, dice, lock, send.clone())
    lines.append(await trio.to_thread.run_sync(lambda: "and a thread"))
    return lines
