"""to_thread takes a function and its arguments, and returns what the function returns."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import current_step, step


@define
class Page:
    text: str
    digest: bytes = b""
    length: int = 0


def digest(text: str, rounds: int) -> bytes:
    current_step().report(0.5, "in a thread")
    return text.encode() * rounds


@step
async def hash_it(page: Page) -> None:
    here = current_step()
    found = await here.to_thread(digest, page.text, 2)
    assert_type(found, bytes)
    page.digest = found
    page.length = await here.to_thread(len, found)
    assert_type(await here.to_thread(round, 2.7), int)
    assert_type(await here.to_thread(len, found, abandon_on_cancel=True), int)


@step
async def hash_it_elsewhere(page: Page) -> None:
    found = await current_step().to_process(digest, page.text, 2)
    assert_type(found, bytes)
    page.digest = found


async def main() -> None:
    assert (await hash_it.run(Page("ab"))).state == Page("ab", b"abab", 4)
