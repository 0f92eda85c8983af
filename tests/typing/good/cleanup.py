"""enter gives what the context manager gives; on_cleanup takes an async function and its arguments."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import assert_type

import trio
from attrs import define

from agentflow_trio import Step, current_step

LOG: list[str] = []


@asynccontextmanager
async def connection(name: str) -> AsyncGenerator[bytes]:
    LOG.append(f"open {name}")
    yield name.encode()
    LOG.append(f"close {name}")


@contextmanager
def lock() -> Generator[int]:
    LOG.append("lock")
    yield 3
    LOG.append("unlock")


async def note(text: str, times: int) -> int:
    await trio.lowlevel.checkpoint()
    LOG.append(text * times)
    return times


@define
class Page:
    text: str = ""


class Fetch:
    async def prep(self, shared: Page) -> bytes:
        opened = await current_step().enter(connection("db"))
        assert_type(opened, bytes)
        return opened

    async def exec(self, opened: bytes) -> str:
        here = current_step()
        locked = await here.enter(lock())
        assert_type(locked, int)
        here.on_cleanup(note, "x", 2)
        here.on_cleanup(trio.sleep, 0)
        return opened.decode() * locked

    async def post(self, shared: Page, opened: bytes, text: str) -> None:
        shared.text = text


async def main() -> None:
    LOG.clear()
    result = await Step(Fetch()).run(Page())
    assert result.state.text == "dbdbdb"
    assert LOG == ["open db", "lock", "xx", "unlock", "close db"]
