# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""DBOS's side: async workflows and steps, durable in a sqlite file, which is what it is for; so everything is dear."""

from __future__ import annotations

import asyncio
import atexit
import tempfile
from pathlib import Path

from dbos import DBOS

SMALLER = {
    "F1": ((200,), 200),
    "F1n": ((200,), 200),
    "F2": ((500,), 500),
    "F5": ((50, 1), 50),
    "F6": ((20, 10), 200),
}
"""A step is milliseconds here."""

folder = tempfile.TemporaryDirectory()
atexit.register(folder.cleanup)


@DBOS.step()
async def count(done: int) -> int:
    await asyncio.sleep(0)
    return done + 1


@DBOS.step()
async def count_quiet(done: int) -> int:
    return done + 1


@DBOS.workflow()
async def chained(nodes: int) -> int:
    done = 0
    for _ in range(nodes):
        done = await count(done)
    return done


@DBOS.workflow()
async def chained_quiet(nodes: int) -> int:
    done = 0
    for _ in range(nodes):
        done = await count_quiet(done)
    return done


@DBOS.workflow()
async def looping(steps: int) -> int:
    done = 0
    while done < steps:
        done = await count(done)
    return done


@DBOS.workflow()
async def level(card: dict, below: int) -> dict:
    card["done"] = await count(card["done"])
    return await level(card, below - 1) if below else card


DBOS(
    config={
        "name": "bench",
        "system_database_url": f"sqlite:///{Path(folder.name) / 'bench.sqlite'}",
        "log_level": "ERROR",
    }
)
DBOS.launch()
atexit.register(DBOS.destroy)


def chain(nodes):
    return lambda: chained(nodes)


def by_hand_quiet(nodes):
    return lambda: chained_quiet(nodes)


def loop(steps):
    return lambda: looping(steps)


def nested(depth, times):
    async def body():
        done = 0
        for _ in range(times):
            card = {"done": 0, "title": "a card", "tags": ["one", "two"], "score": 0.5}
            done += (await level(card, depth - 1))["done"]
        return done

    return body


def fleet(flows, nodes):
    async def body():
        return sum(await asyncio.gather(*(chained(nodes) for _ in range(flows))))

    return body
