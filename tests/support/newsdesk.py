"""A flow in which a little of everything happens, by the dice of its steps: nobody foresees what a run of it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import trio

from agentflow_trio import (
    END,
    Bulkhead,
    CircuitBreaker,
    CircuitPolicy,
    Next,
    RateLimiter,
    RetryPolicy,
    Step,
    Wiring,
    added,
    current_step,
    each,
    flow,
    merged_by,
    parallel,
    step,
)

__all__ = ["CIRCUIT", "DESKS", "PACE", "Desk", "LineDownError", "ask", "newsdesk", "sort_out"]


class LineDownError(Exception):
    """What asking raises now and then."""


@attrs.define
class Desk:
    """The state.

    Attributes:
        rounds: how often the loop is gone through.
        notes: who wrote here.
        words: of all items.
    """

    rounds: int = 2
    notes: list[str] = attrs.field(factory=list[str], metadata=merged_by(added))
    words: float = 0.0


CIRCUIT: Final = CircuitBreaker(
    "agency", CircuitPolicy(failure_threshold=2, recovery_timeout=4.0)
)
PACE: Final = RateLimiter("pace", limit=2, window=5.0)
DESKS: Final = Bulkhead("desks", limit=1)


async def some_time() -> float:
    """Sleep up to 4 s; some of these sleeps end at the same moment."""
    seconds = current_step().random.randrange(33) / 8
    await trio.sleep(seconds)
    return seconds


@step(retry=RetryPolicy(max_attempts=6, base_delay=0.5), guards=(CIRCUIT,))
async def ask(desk: Desk) -> None:
    """Fails now and then, behind a circuit breaker."""
    await some_time()
    if current_step().random.random() < 0.3:
        raise LineDownError
    desk.notes.append("asked")


@step(guards=(PACE, DESKS))
async def listen(desk: Desk) -> None:
    """One of two that are done at once."""
    await some_time()
    desk.notes.append("heard")


@step(guards=(DESKS,))
async def read(desk: Desk) -> None:
    """The other."""
    await some_time()
    desk.notes.append("read")


class Sorting:
    """Some items, three at a time."""

    async def prep(self, shared: Desk) -> Sequence[int]:
        """As many as there are notes."""
        return range(len(shared.notes))

    async def exec(self, number: int) -> float:
        """Take some time."""
        return number + await some_time()

    async def post(self, shared: Desk, numbers: Sequence[int], words: Sequence[float]) -> None:
        """Add them up."""
        shared.words += sum(words)


sort_out: Final = Step(each(Sorting(), concurrent=3), name="sort_out")


@step
async def decide(desk: Desk, *, again: Next, enough: Next) -> Next:
    """The loop."""
    desk.rounds -= 1
    return again if desk.rounds else enough


@flow
def newsdesk() -> Wiring[Desk]:
    """All of it."""
    gather = Step(parallel(listen, read), name="gather")
    return [
        ask.then(gather).catch(Exception, to=gather),
        gather.then(sort_out),
        sort_out.then(decide),
        decide.to(again=ask, enough=END),
    ]
