"""A retry in its three forms: values, arguments and results keep their types."""

from __future__ import annotations

from typing import assert_type

from agentflow_trio import Retry, RetryBudget, RetryPolicy

quick = RetryPolicy(base_delay=0.0, on=(OSError, TimeoutError), budget=RetryBudget("web"))
retry = Retry(quick, name="web", seed=7)


class Server:
    """Fails every other time."""

    def __init__(self) -> None:
        self.calls = 0

    async def get(self, url: str, depth: int = 0) -> bytes:
        self.calls += 1
        if self.calls % 2:
            raise ConnectionError
        return f"{url}{depth}".encode()


server = Server()


@retry
async def ask(question: str, *, model: str = "m") -> int:
    return len(await server.get(question + model))


class Client:
    @retry
    async def get(self, url: str) -> bytes:
        return await server.get(url)


def is_short(page: bytes) -> bool:
    return len(page) < 2


def is_busy(error: Exception) -> bool:
    return "busy" in str(error)


def steps(attempt: int) -> float:
    return 0.5 * attempt


async def main() -> None:
    assert_type(await retry.call(server.get, "x", 3), bytes)
    assert_type(await retry.call(server.get, "x", 3, retry_if=is_short), bytes)
    assert_type(await ask("x", model="y"), int)
    assert_type(await Client().get("x"), bytes)
    page = b""
    async for attempt in retry:
        async with attempt as same:
            assert_type(same.number, int)
            page = await server.get("x")
        if attempt.failed:
            assert not page
    assert page == b"x0"
    assert retry.statistics().recovered == 5
    assert Retry(RetryPolicy(on=is_busy, backoff=steps, max_elapsed=None)).policy.on is is_busy
    assert assert_type(Retry().policy, RetryPolicy).max_attempts == 3
