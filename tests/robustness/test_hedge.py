"""A hedge: one outcome, whichever attempt it comes from, and no attempt left over."""

from __future__ import annotations

import trio

from agentflow_trio import Hedge


async def test_a_slow_attempt_is_overtaken(autojump_clock: trio.testing.MockClock) -> None:
    hedge = Hedge(after=0.25)

    async def work(number: int) -> int:
        await trio.sleep((4.0, 0.5)[number - 1])
        return number

    assert await hedge.attempts(work) == 2
    assert trio.current_time() == 0.75
