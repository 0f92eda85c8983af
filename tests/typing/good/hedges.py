"""A hedge: values, arguments and results keep their types, in both forms."""

from __future__ import annotations

from typing import assert_type

from agentflow_trio import AdaptiveDelay, Hedge, HedgePolicy, RetryBudget

policy = HedgePolicy(
    after=AdaptiveDelay(maximum=2.0, percentile=90),
    max_attempts=3,
    on=(OSError, TimeoutError),
    budget=RetryBudget("web"),
)
hedge = Hedge(policy, name="web")


async def fetch(url: str, depth: int = 0) -> bytes:
    return f"{url}{depth}".encode()


@hedge
async def ask(question: str, *, model: str = "m") -> int:
    return len(await fetch(question + model))


class Client:
    @hedge
    async def get(self, url: str) -> bytes:
        return await fetch(url)


async def numbered(attempt: int) -> str:
    return f"attempt {attempt}"


def is_busy(error: Exception) -> bool:
    return "busy" in str(error)


async def main() -> None:
    assert_type(await hedge.call(fetch, "x", 3), bytes)
    assert_type(await ask("x", model="y"), int)
    assert_type(await Client().get("x"), bytes)
    assert assert_type(await hedge.attempts(numbered), str) == "attempt 1"
    assert hedge.statistics().completed == 4
    assert assert_type(Hedge(after=0.5).policy, HedgePolicy).max_attempts == 2
    assert Hedge(HedgePolicy(after=1, on=is_busy)).policy.on is is_busy
