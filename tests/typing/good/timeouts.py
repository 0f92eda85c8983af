"""A timeout is entered or calls a function; limits are seconds, learned, or in a table."""

from __future__ import annotations

from typing import assert_type

from agentflow_trio import AdaptiveTimeout, DeadlineExceededError, Timeout

tools = Timeout(
    30, name="tools", operations={"search": 5.0, "think": AdaptiveTimeout(maximum=60.0)}
)


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


async def main() -> None:
    assert_type(await tools.call(fetch, "x", 3), bytes)
    async with tools.of("search"):
        page = await fetch("x", 3)
    assert_type(page, bytes)
    try:
        async with tools.of("think") as nothing:
            assert_type(nothing, None)
    except DeadlineExceededError as error:
        raise AssertionError(error.limit) from error
    assert assert_type(tools.seconds, float) == 30
    assert tools.of("think").statistics().samples == 1
