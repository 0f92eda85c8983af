"""Guards without flows: what they tell, note and log has nothing in it that must not be shown."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import Fallback, Hedge, KeyedRateLimiter, Retry, RetryPolicy, Secret
from agentflow_trio.events import AttemptFailed, FallbackUsed
from agentflow_trio.robustness import GuardEvent

SECRET = Secret("k4n4ry of nobody")
RETRY = RetryPolicy(max_attempts=2, base_delay=0.1)


async def refuse() -> str:
    await trio.lowlevel.checkpoint()
    raise ValueError(f"no {SECRET.reveal()}, token=abc")


async def test_what_they_report_is_redacted(autojump_clock: MockClock) -> None:
    told: list[GuardEvent] = []
    retry, instead = Retry(RETRY, on_event=told.append), Fallback("", on_event=told.append)
    limits = KeyedRateLimiter[str]("calls", limit=1, window=1.0, on_event=told.append)
    assert await instead.call(retry.call, refuse) == ""
    for key in (SECRET.reveal(), "ada"):
        async with limits.of(key), trio.open_nursery() as nursery:
            nursery.start_soon(limits.of(key).acquire)
    said = [one.message for one in told if isinstance(one, AttemptFailed | FallbackUsed)]
    assert said == ["no ***, token=***"] * 3
    waits = [one.guard for one in told if one.guard.startswith("calls")]
    assert dict.fromkeys(waits) == {"calls[***]": None, "calls[ada]": None}


async def test_the_note_of_a_hedge_and_its_log_are_redacted(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    with pytest.raises(ValueError, match="k4n4ry") as caught:
        await Hedge(after=0.1).call(refuse)
    (note,) = caught.value.__notes__
    assert "attempt 1: ValueError: no ***, token=***" in note

    async def late(number: int) -> int:
        try:
            await trio.sleep(9.0 / number**4)
        except trio.Cancelled:
            raise ValueError(SECRET.reveal()) from None
        return number

    with caplog.at_level(logging.WARNING):
        assert await Hedge(after=0.1).attempts(late) == 2
    assert "ValueError: ***" in caplog.text
    assert "k4n4ry" not in caplog.text
