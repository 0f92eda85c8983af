"""The law of retries: the loop, the call and the decorator do the same, whatever the body does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from retry_kit import Tape, told
from trio.testing import MockClock

from agentflow_trio.errors import CircuitOpenError
from agentflow_trio.robustness import (
    GuardEvent,
    Retry,
    RetryBudget,
    RetryPolicy,
    RetryStatistics,
)


async def called(retry: Retry, body: Tape) -> object:
    return await retry.call(body)


async def decorated(retry: Retry, body: Tape) -> object:
    @retry
    async def tried(it: Tape) -> object:
        return await it()

    return await tried(it=body)


async def looped(retry: Retry, body: Tape) -> object:
    result: object = None
    async for attempt in retry:
        async with attempt:
            result = await body()
    return result


FORMS: Final[Mapping[str, Callable[[Retry, Tape], Awaitable[object]]]] = {
    "called": called,
    "decorated": decorated,
    "looped": looped,
}


@attrs.frozen
class Told:
    """Everything that can be seen of one use."""

    starts: list[float]
    ended: float
    result: object
    error: str | None
    notes: list[str]
    cancelled: bool
    events: list[tuple[object, ...]]
    statistics: RetryStatistics


def used(
    form: Callable[[Retry, Tape], Awaitable[object]],
    policy: RetryPolicy,
    moves: list[Callable[[], object]],
    takes: float,
    deadline: float,
) -> Told:
    events: list[GuardEvent] = []
    retry = Retry(policy, seed="law", on_event=events.append)
    body = Tape([move() for move in moves], takes)

    async def main() -> Told:
        result: object = None
        failure: BaseException | None = None
        with trio.move_on_after(deadline) as scope:
            try:
                result = await form(retry, body)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - compared below
                failure = error
        return Told(
            starts=body.starts,
            ended=trio.current_time(),
            result=result,
            error=None if failure is None else repr(failure),
            notes=getattr(failure, "__notes__", []),
            cancelled=scope.cancelled_caught,
            events=told(events),
            statistics=retry.statistics(),
        )

    return trio.run(main, clock=MockClock(autojump_threshold=0))


class BusyError(Exception):
    retry_after = 1.5


MOVES: Final[st.SearchStrategy[Callable[[], object]]] = st.sampled_from([
    lambda: ValueError("x"),
    lambda: ValueError("x"),
    BusyError,
    lambda: KeyError("not on"),
    lambda: CircuitOpenError(guard="db", reason="open", retry_after=0.75),
    lambda: CircuitOpenError(guard="db", reason="isolated"),
    lambda: ExceptionGroup("g", [ValueError("x"), BusyError()]),
    KeyboardInterrupt,
    lambda: "done",
])
POLICIES: Final = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 5),
    base_delay=st.integers(0, 16).map(lambda number: number / 16),
    jitter_kind=st.sampled_from(["ratio", "none", "full", "equal", "decorrelated"]),
    on=st.just((ValueError, BusyError)),
    on_rejected=st.sampled_from(["raise", "retry", "wait"]),
    max_elapsed=st.one_of(st.none(), st.integers(1, 8).map(float)),
    budget=st.one_of(
        st.none(), st.integers(0, 3).map(lambda many: RetryBudget("b", reserve=many))
    ),
)


@given(
    policy=POLICIES,
    moves=st.lists(MOVES, min_size=1, max_size=6),
    takes=st.integers(0, 8).map(lambda number: number / 16),
    deadline=st.integers(1, 64).map(lambda number: number / 8),
)
def test_the_three_forms_do_the_same(
    policy: RetryPolicy, moves: list[Callable[[], object]], takes: float, deadline: float
) -> None:
    tape = [*moves, *[lambda: "done"] * 9]
    call, *others = [used(form, policy, tape, takes, deadline) for form in FORMS.values()]
    for other in others:
        assert other == call
