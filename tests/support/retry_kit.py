"""What the tests of retries share: bodies that follow a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
import trio

from agentflow_trio.robustness import (
    AttemptFailed,
    GaveUp,
    GuardEvent,
    RetryPolicy,
    RetryScheduled,
    RuleFailed,
)

EXACT: Final = RetryPolicy(base_delay=1.0, jitter_kind="none")
"""Delays of 1, 2, 4 ... seconds, three attempts."""


def change(**settings: Any) -> RetryPolicy:
    """`EXACT` with other settings."""
    return attrs.evolve(EXACT, **settings)


@attrs.define
class Tape:
    """A body that does what is on its tape, each time it is called, and notes when.

    Attributes:
        moves: what each call does: raise an error, or return a value.
        takes: seconds before that.
        starts: when it was called.
    """

    moves: Sequence[object]
    takes: float = 0.0
    starts: list[float] = attrs.field(factory=list[float])

    async def __call__(self) -> object:
        self.starts.append(trio.current_time())
        move = self.moves[len(self.starts) - 1]
        if self.takes:
            await trio.sleep(self.takes)
        if isinstance(move, BaseException):
            raise move
        return move


def told(events: Sequence[GuardEvent]) -> list[tuple[object, ...]]:
    """The events of a retry in short, with their times."""
    short: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case AttemptFailed():
                short.append((event.timestamp, "failed", event.attempt, event.error))
            case RetryScheduled():
                short.append((event.timestamp, "again", event.attempt, event.delay))
            case GaveUp():
                short.append((event.timestamp, "gave up", event.attempts, event.reason))
            case RuleFailed():
                short.append((event.timestamp, "rule", event.error, event.message))
            case _:
                raise AssertionError(event)
    return short
