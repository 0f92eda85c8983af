"""Retry in virtual time: when attempts begin, what is raised in the end, and what is told."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import pytest
import trio
from retry_kit import EXACT, Tape, change, told
from trio.testing import MockClock

from agentflow_trio.errors import (
    BulkheadFullError,
    CircuitOpenError,
    GuardInUseError,
    GuardMisuseError,
)
from agentflow_trio.robustness import (
    Attempt,
    AttemptFailed,
    BudgetStatistics,
    GaveUp,
    GuardEvent,
    Retry,
    RetryBudget,
    RetryPolicy,
    RetryStatistics,
)
from agentflow_trio.robustness._dice import Dice
from agentflow_trio.robustness._retry_core import retry_after_of
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere


async def looped(retry: Retry, body: Tape) -> None:
    async for attempt in retry:
        async with attempt:
            await body()


# ---------------------------------------------------------------- when attempts begin


async def test_the_seeds_table_in_time(autojump_clock: MockClock) -> None:
    """Attempt 1 at once, 2 after 100 ms, 3 after 200 ± 20, 4 after 400 ± 40, 5 after 800 ± 80."""
    body = Tape([*map(ValueError, range(4)), "at last"])
    retry = Retry(RetryPolicy(max_attempts=5), seed="table")
    assert await retry.call(body) == "at last"
    draw = Random("table/retry#1").random
    waits = [0.1, *(delay * (1.0 + 0.1 * (2.0 * draw() - 1.0)) for delay in (0.2, 0.4, 0.8))]
    expected = [0.0]
    for wait in waits:
        expected.append(expected[-1] + wait)
    assert body.starts == expected


@pytest.mark.parametrize("attempts", [5, 6])
async def test_attempts_count_the_first_and_retries_do_not(
    autojump_clock: MockClock, attempts: int
) -> None:
    """The seed's table ends after attempt 5, with "max retries reached": five attempts, or six if it means retries."""
    body = Tape([ValueError(number) for number in range(1, 7)])
    with pytest.raises(ValueError) as caught:
        await Retry(change(max_attempts=attempts)).call(body)
    assert caught.value.args == (attempts,)
    assert body.starts == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0][:attempts]


async def test_a_delay_starts_when_the_attempt_ended(autojump_clock: MockClock) -> None:
    body = Tape([ValueError(), ValueError(), 3], takes=0.5)
    assert await Retry(EXACT).call(body) == 3
    assert body.starts == [0.0, 1.5, 4.0]


async def test_a_first_attempt_that_succeeds_takes_no_time(autojump_clock: MockClock) -> None:
    async def add(left: int, right: int) -> int:
        return left + right

    assert await Retry().call(add, 1, 2) == 3
    assert await Retry()(add)(1, right=2) == 3
    assert trio.current_time() == 0.0


async def test_time_is_trios(autojump_clock: MockClock) -> None:
    """Other libraries measure with the system's clock: under a mock clock theirs never runs out."""
    body = Tape([ValueError()] * 50)
    with pytest.raises(ValueError):
        await Retry(change(backoff="constant", max_attempts=50, max_elapsed=5.0)).call(body)
    assert body.starts == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_the_first_attempt_does_not_yield() -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("other task")

    async def body() -> None:
        ran.append("body")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        await Retry().call(body)
        await Retry()(body)()
        async for attempt in Retry():
            async with attempt:
                await body()
    assert ran == ["body", "body", "body", "other task"]


# ---------------------------------------------------------------- giving up


async def test_the_last_error_itself_is_raised_with_a_note(autojump_clock: MockClock) -> None:
    errors = [ValueError(number) for number in range(3)]
    with pytest.raises(ValueError) as caught:
        await Retry(EXACT, name="fetch").call(Tape(errors))
    assert caught.value is errors[2]
    assert errors[2].__notes__ == [
        "retry 'fetch': gave up after 3 attempts in 3 s: max_attempts=3"
    ]
    assert not hasattr(errors[0], "__notes__")


@pytest.mark.parametrize(
    ("policy", "error", "seconds", "note"),
    [
        ({"max_attempts": 1}, ValueError(), 0.0, "1 attempt in 0 s: max_attempts=1"),
        (
            {"on": OSError},
            ValueError(),
            0.0,
            "1 attempt in 0 s: ValueError is not tried again",
        ),
        (
            {"max_elapsed": 3.0},
            ValueError(),
            1.0,
            ("2 attempts in 1 s: the next attempt would not begin within max_elapsed=3 s"),
        ),
        (
            {"max_retry_after": 5.0},
            CircuitOpenError(guard="db", reason="open", retry_after=6.0),
            0.0,
            "1 attempt in 0 s: retry_after=6 s is above max_retry_after=5 s",
        ),
        (
            {"budget": RetryBudget("b", ratio=0.0, reserve=1)},
            ValueError(),
            1.0,
            "2 attempts in 1 s: the retry budget is used up",
        ),
        (
            {"backoff": lambda attempt: 1 / (3 - attempt)},
            ValueError(),
            1.0,
            "2 attempts in 1 s: backoff raised ZeroDivisionError",
        ),
    ],
    ids=["attempts", "not_retryable", "max_elapsed", "retry_after", "budget", "rule_failed"],
)
async def test_each_reason_to_give_up(
    autojump_clock: MockClock,
    request: pytest.FixtureRequest,
    policy: dict[str, Any],
    error: Exception,
    seconds: float,
    note: str,
) -> None:
    events: list[GuardEvent] = []
    retry = Retry(change(on_rejected="retry", **policy), on_event=events.append)
    with pytest.raises(type(error)) as caught:
        await retry.call(Tape([error] * 9))
    assert caught.value is error
    assert error.__notes__[-1] == f"retry 'retry': gave up after {note}"
    assert trio.current_time() == seconds
    reason = request.node.callspec.id
    assert retry.statistics().gave_up == {reason: 1}
    assert told(events)[-1] == (seconds, "gave up", 1 + int(seconds), reason)


async def test_an_error_that_takes_no_note_is_raised_all_the_same() -> None:
    class StubbornError(Exception):
        def add_note(self, note: str, /) -> None:
            raise AttributeError(note)

    error = StubbornError()
    with pytest.raises(StubbornError) as caught:
        await Retry(change(max_attempts=1)).call(Tape([error]))
    assert caught.value is error


async def test_a_failed_attempt_says_how_long_it_took(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    body = Tape([ValueError(), ValueError(), None], takes=0.25)
    retry = Retry(EXACT, on_event=events.append)
    await retry.call(body)
    async for attempt in retry:
        async with attempt:
            await trio.sleep(0.5)
            if attempt.number < 3:
                raise ValueError
    told = [event for event in events if isinstance(event, AttemptFailed)]
    assert [(event.attempt, event.duration_ms) for event in told] == [
        (1, 250.0),
        (2, 250.0),
        (1, 500.0),
        (2, 500.0),
    ]


async def test_an_error_without_a_text_is_raised_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    events: list[GuardEvent] = []
    with pytest.raises(MuteError):
        await Retry(change(max_attempts=1), on_event=events.append).call(Tape([MuteError()]))
    assert isinstance(events[0], AttemptFailed)
    assert (events[0].error, events[0].message) == ("MuteError", "")


class Held:
    """Something in a frame of a body."""


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("form", ["call", "loop"])
async def test_no_failed_body_is_kept_in_a_cycle(
    autojump_clock: MockClock, form: str, *, late: bool
) -> None:
    """An error holds the frames it went through; none of them may hold the error."""
    kept: list[weakref.ref[Held]] = []

    async def body() -> None:
        held = Held()
        kept.append(weakref.ref(held))
        raise ValueError

    async def loop() -> None:
        async for attempt in retry:
            async with attempt:
                await body()

    retry = Retry(change(max_elapsed=10.0))
    gc.disable()
    try:
        async with trio.open_nursery() as nursery:
            if late:
                nursery.start_soon(busy, autojump_clock)
            with contextlib.suppress(ValueError):
                await (retry.call(body) if form == "call" else loop())
        assert [ref() for ref in kept] == [None] * (1 if late else 3)
    finally:
        gc.enable()


# ---------------------------------------------------------------- deadlines


@pytest.mark.parametrize("deadline", [3.0, 2.5], ids=["at it", "after it"])
async def test_no_attempt_begins_at_or_after_the_callers_deadline(
    autojump_clock: MockClock, deadline: float
) -> None:
    """Attempt 3 would begin at 3 s: the error comes at once, not a cancellation after a sleep in vain."""
    body = Tape([ValueError(1), ValueError(2), "never"])
    with trio.move_on_after(deadline) as scope:
        with pytest.raises(ValueError) as caught:
            await Retry(EXACT).call(body)
        assert caught.value.args == (2,)
        note = "2 attempts in 1 s: the next attempt would not begin before the deadline"
        assert caught.value.__notes__ == [f"retry 'retry': gave up after {note}"]
    assert not scope.cancelled_caught
    assert trio.current_time() == 1.0


async def test_an_attempt_just_before_the_deadline_begins(autojump_clock: MockClock) -> None:
    body = Tape([ValueError(1), ValueError(2), "in time"])
    with trio.fail_after(math.nextafter(3.0, 4.0)):
        assert await Retry(EXACT).call(body) == "in time"


@pytest.mark.parametrize("max_elapsed", [3.0, 2.5])
async def test_no_attempt_begins_at_or_after_max_elapsed(
    autojump_clock: MockClock, max_elapsed: float
) -> None:
    body = Tape([ValueError(1), ValueError(2), "never"])
    with pytest.raises(ValueError):
        await Retry(change(max_elapsed=max_elapsed)).call(body)
    assert body.starts == [0.0, 1.0]


@pytest.mark.parametrize(
    ("deadline", "reason"), [(2.0, "deadline"), (3.0, "max_elapsed"), (4.0, "max_elapsed")]
)
async def test_of_two_limits_the_one_that_comes_first_is_the_reason(
    autojump_clock: MockClock, deadline: float, reason: str
) -> None:
    retry = Retry(change(base_delay=9.0, max_elapsed=3.0))
    with trio.move_on_after(deadline), pytest.raises(ValueError):
        await retry.call(Tape([ValueError(), "never"]))
    assert retry.statistics().gave_up == {reason: 1}


async def test_max_elapsed_does_not_cut_an_attempt_off(autojump_clock: MockClock) -> None:
    body = Tape(["slow"], takes=9.0)
    assert await Retry(change(max_elapsed=1.0)).call(body) == "slow"


async def test_a_deadline_that_is_brought_forward_counts(autojump_clock: MockClock) -> None:
    """A shield keeps the cancellation out, so that only the decision can tell."""
    scope = trio.CancelScope(shield=True)
    body = Tape([ValueError(1), ValueError(2), "never"])

    async def sooner() -> None:
        await trio.sleep(0.5)
        scope.deadline = 3.0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sooner)
        with scope, pytest.raises(ValueError):
            await Retry(EXACT).call(body)
    assert body.starts == [0.0, 1.0]


async def busy(clock: MockClock) -> None:
    """Keep the loop from running between 0.5 s and 20.5 s."""
    await trio.sleep(0.5)
    clock.jump(20.0)


@pytest.mark.parametrize("form", ["call", "loop"])
async def test_an_attempt_that_comes_too_late_does_not_begin(
    autojump_clock: MockClock, form: str
) -> None:
    events: list[GuardEvent] = []
    budget = RetryBudget("b", ratio=0.0, reserve=5)
    retry = Retry(change(max_elapsed=10.0, budget=budget), on_event=events.append)
    error = ValueError(1)
    body = Tape([error, "never"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy, autojump_clock)
        with pytest.raises(ValueError) as caught:
            await (retry.call(body) if form == "call" else looped(retry, body))
    assert caught.value is error
    assert body.starts == [0.0]
    assert told(events) == [
        (0.0, "failed", 1, "ValueError"),
        (0.0, "again", 2, 1.0),
        (20.5, "gave up", 1, "max_elapsed"),
    ]
    seen = retry.statistics()
    assert (seen.retries, seen.gave_up, seen.waiting) == (0, {"max_elapsed": 1}, 0)
    assert seen.budget is not None
    assert (seen.budget.retries, seen.budget.affordable) == (0, 5)


async def test_the_end_of_an_iterator_does_not_end_the_loop_in_silence(
    autojump_clock: MockClock,
) -> None:
    """As in a generator (PEP 479): where the loop asks for the next attempt, this error means another thing."""
    error = StopAsyncIteration()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy, autojump_clock)
        with pytest.raises(RuntimeError) as caught:
            await looped(Retry(change(max_elapsed=10.0)), Tape([error, "never"]))
    assert caught.value.__cause__ is error


async def test_a_result_that_is_not_wanted_stays_when_it_is_too_late(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy, autojump_clock)
        retry = Retry(change(max_elapsed=10.0))
        assert (
            await retry.call(Tape(["meh", "never"]), retry_if=lambda it: it == "meh") == "meh"
        )


# ---------------------------------------------------------------- which errors


@pytest.mark.parametrize(
    ("policy", "error", "again"),
    [
        ({}, KeyError(), True),
        ({"on": LookupError}, KeyError(), True),
        ({"on": (OSError, LookupError)}, KeyError(), True),
        ({"on": OSError}, KeyError(), False),
        ({"ignore": KeyError}, KeyError(), False),
        ({"on": LookupError, "ignore": KeyError}, KeyError(), False),
        ({"on": lambda error: "busy" in str(error)}, KeyError("busy"), True),
        ({"on": lambda error: "busy" in str(error)}, KeyError("gone"), False),
        ({"on": OSError}, ExceptionGroup("", [OSError(), TimeoutError()]), True),
        ({"on": OSError}, ExceptionGroup("", [OSError(), KeyError()]), False),
        (
            {"on": OSError},
            ExceptionGroup("", [ExceptionGroup("", [OSError()]), KeyError()]),
            False,
        ),
        ({}, CircuitOpenError(guard="db", reason="open", retry_after=1.0), False),
        ({}, ExceptionGroup("", [BulkheadFullError(guard="b", reason="full")]), False),
        ({"on_rejected": "retry"}, BulkheadFullError(guard="b", reason="full"), True),
        (
            {"on_rejected": "retry", "on": OSError},
            BulkheadFullError(guard="b", reason="full"),
            True,
        ),
    ],
)
async def test_which_errors_are_tried_again(
    autojump_clock: MockClock, policy: dict[str, Any], error: Exception, *, again: bool
) -> None:
    body = Tape([error, "done"])
    if again:
        assert await Retry(change(**policy)).call(body) == "done"
    else:
        with pytest.raises(type(error)) as caught:
            await Retry(change(**policy)).call(body)
        assert caught.value is error
    assert len(body.starts) == 1 + again


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        BaseExceptionGroup("", [ValueError(), KeyboardInterrupt()]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("form", ["call", "loop"])
async def test_what_is_no_exception_is_neither_tried_again_nor_given_a_note(
    error: BaseException, form: str
) -> None:
    body, retry = Tape([error, "never"]), Retry(EXACT)
    with pytest.raises(type(error)) as caught:
        await (retry.call(body) if form == "call" else looped(retry, body))
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert len(body.starts) == 1
    assert retry.statistics().gave_up == {}


async def test_a_rule_that_raises_is_told_and_its_error_is_not_tried_again(
    autojump_clock: MockClock,
) -> None:
    def confused(error: Exception) -> bool:
        raise LookupError("confused")

    events: list[GuardEvent] = []
    error = ValueError(1)
    retry = Retry(change(on=confused), on_event=events.append)
    with pytest.raises(ValueError) as caught:
        await retry.call(Tape([error, "never"]))
    assert caught.value is error
    assert told(events) == [
        (0.0, "rule", "LookupError", "confused"),
        (0.0, "failed", 1, "ValueError"),
        (0.0, "gave up", 1, "not_retryable"),
    ]
    with pytest.raises(ValueError):
        await Retry(change(on=confused)).call(Tape([error, "never"]))


async def test_a_backoff_that_raises_is_told(autojump_clock: MockClock) -> None:
    def broken(attempt: int) -> float:
        raise LookupError(f"no {attempt}")

    events: list[GuardEvent] = []
    with pytest.raises(ValueError):
        await Retry(change(backoff=broken), on_event=events.append).call(Tape([ValueError()]))
    assert told(events) == [
        (0.0, "failed", 1, "ValueError"),
        (0.0, "rule", "LookupError", "no 2"),
        (0.0, "gave up", 1, "rule_failed"),
    ]


# ---------------------------------------------------------------- retry_after, rejections


@attrs.define(eq=False)
class BusyError(Exception):
    retry_after: object


class OddError(Exception):
    @property
    def retry_after(self) -> float:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (BusyError(2), 2.0),
        (BusyError(0.25), 0.25),
        (BusyError(math.inf), math.inf),
        (BusyError(0.0), 0.0),
        (BusyError(-3.0), 0.0),
        (BusyError(math.nan), 0.0),
        (BusyError("9"), 0.0),
        (BusyError(True), 0.0),
        (BusyError(None), 0.0),
        (OddError(), 0.0),
        (ValueError(), 0.0),
    ],
)
def test_an_error_says_when_with_a_number_of_seconds(error: Exception, seconds: float) -> None:
    assert retry_after_of(error) == seconds


@pytest.mark.parametrize(
    ("errors", "starts"),
    [
        ([BusyError(0.25), BusyError(5)], [0.0, 1.0, 6.0]),
        ([BusyError(60.0), ValueError()], [0.0, 60.0, 62.0]),
        ([BusyError(None), BusyError(-3.0)], [0.0, 1.0, 3.0]),
        ([BusyError(math.nan), BusyError("9")], [0.0, 1.0, 3.0]),
        ([BusyError(True), OddError()], [0.0, 1.0, 3.0]),
        ([ExceptionGroup("", [BusyError(3.0), BusyError(7.0), KeyError()])], [0.0, 7.0]),
    ],
)
async def test_an_errors_retry_after_is_a_floor(
    autojump_clock: MockClock, errors: list[Exception], starts: list[float]
) -> None:
    body = Tape([*errors, "done"])
    assert await Retry(EXACT).call(body) == "done"
    assert body.starts == starts


class ResponseError(Exception):
    """As of an HTTP client: what it asks for stands in a header."""

    def __init__(self, header: str, retry_after: float | None = None) -> None:
        super().__init__(header)
        self.header = header
        self.retry_after = retry_after


def in_the_header(error: Exception) -> float | None:
    return float(error.header) if isinstance(error, ResponseError) and error.header else None


@pytest.mark.parametrize(
    ("errors", "starts"),
    [
        ([ResponseError("2.5"), ResponseError("0")], [0.0, 2.5, 4.5]),
        ([ResponseError("", 5.0), ResponseError("3", 9.0)], [0.0, 5.0, 8.0]),
        ([ExceptionGroup("", [ResponseError("3"), BusyError(7.0), KeyError()])], [0.0, 7.0]),
        ([ExceptionGroup("", [ResponseError("9"), BusyError(7.0)])], [0.0, 9.0]),
    ],
)
async def test_a_function_reads_what_an_error_asks_for(
    autojump_clock: MockClock, errors: list[Exception], starts: list[float]
) -> None:
    body = Tape([*errors, "done"])
    assert await Retry(change(retry_after=in_the_header)).call(body) == "done"
    assert body.starts == starts


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", "could not convert string to float"),
        ("-1", "retry_after gave -1.0, not seconds >= 0 or None"),
        ("nan", "retry_after gave nan, not seconds >= 0 or None"),
    ],
)
async def test_a_function_that_cannot_read_it_is_told_and_ends_the_retry(
    autojump_clock: MockClock, header: str, rule: str
) -> None:
    error = ResponseError(header)
    events: list[GuardEvent] = []
    retry = Retry(change(retry_after=in_the_header), on_event=events.append)
    with pytest.raises(ResponseError) as caught:
        await retry.call(Tape([error]))
    assert caught.value is error
    assert error.__notes__ == [
        "retry 'retry': gave up after 1 attempt in 0 s: retry_after raised ValueError"
    ]
    failed, told_of, gave_up = told(events)
    assert (failed, gave_up) == (
        (0.0, "failed", 1, "ResponseError"),
        (0.0, "gave up", 1, "rule_failed"),
    )
    assert rule in str(told_of[3])


async def test_an_error_that_is_not_tried_again_is_not_asked_how_long_to_wait(
    autojump_clock: MockClock,
) -> None:
    asked: list[Exception] = []
    policy = change(on=OSError, retry_after=asked.append)
    with pytest.raises(ValueError):
        await Retry(policy).call(Tape([ValueError()]))
    assert asked == []


async def test_jitter_takes_nothing_from_retry_after(autojump_clock: MockClock) -> None:
    body = Tape([BusyError(1.5), "done"])
    await Retry(RetryPolicy(base_delay=1.0, jitter_kind="full")).call(body)
    assert body.starts == [0.0, 1.5]


async def test_a_retry_after_without_end_gives_up(autojump_clock: MockClock) -> None:
    with pytest.raises(BusyError):
        await Retry(EXACT).call(Tape([BusyError(math.inf), "never"]))
    assert trio.current_time() == 0.0


def rejection(retry_after: float | None) -> CircuitOpenError:
    return CircuitOpenError(guard="db", reason="open", retry_after=retry_after)


async def test_a_rejection_can_be_waited_out_and_spends_no_attempt(
    autojump_clock: MockClock,
) -> None:
    events: list[GuardEvent] = []
    body = Tape([rejection(5.0), rejection(0.25), ValueError(1), rejection(2.0), ValueError(2)])
    retry = Retry(change(max_attempts=2, on_rejected="wait"), on_event=events.append)
    with pytest.raises(ValueError) as caught:
        await retry.call(body)
    assert caught.value.args == (2,)
    assert body.starts == [0.0, 5.0, 5.25, 6.25, 8.25]
    assert [one for one in told(events) if one[1] == "again"] == [
        (0.0, "again", 1, 5.0),
        (5.0, "again", 1, 0.25),
        (5.25, "again", 2, 1.0),
        (6.25, "again", 2, 2.0),
    ]


@pytest.mark.parametrize("retry_after", [None, 0.0])
async def test_a_rejection_that_says_no_time_spends_an_attempt(
    autojump_clock: MockClock, retry_after: float | None
) -> None:
    """It would be asked again for ever, without any time passing."""
    body = Tape([rejection(retry_after)] * 3)
    with pytest.raises(CircuitOpenError):
        await Retry(change(on_rejected="wait")).call(body)
    assert body.starts == [0.0, 1.0, 3.0]


async def test_a_group_of_rejections_is_waited_out_and_a_mixed_one_is_not(
    autojump_clock: MockClock,
) -> None:
    body = Tape([
        ExceptionGroup("", [rejection(2.0), rejection(3.0)]),
        ExceptionGroup("", [rejection(2.0), BusyError(2.5)]),
        ExceptionGroup("", [rejection(None), rejection(3.0)]),
        "done",
    ])
    assert await Retry(change(on_rejected="wait")).call(body) == "done"
    assert body.starts == [0.0, 3.0, 5.5, 8.5]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [({"max_retry_after": 4.0}, "retry_after"), ({"max_elapsed": 5.0}, "max_elapsed")],
)
async def test_waiting_for_a_rejection_has_the_same_bounds(
    autojump_clock: MockClock, policy: dict[str, Any], reason: str
) -> None:
    retry = Retry(change(on_rejected="wait", **policy))
    with pytest.raises(CircuitOpenError):
        await retry.call(Tape([rejection(5.0), "never"]))
    assert retry.statistics().gave_up == {reason: 1}
    assert trio.current_time() == 0.0


# ---------------------------------------------------------------- results


async def test_a_result_can_be_tried_again(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    body = Tape([None, ValueError(), "text"])
    retry = Retry(EXACT, on_event=events.append)
    assert await retry.call(body, retry_if=lambda text: text is None) == "text"
    assert body.starts == [0.0, 1.0, 3.0]
    assert told(events) == [
        (0.0, "failed", 1, ""),
        (0.0, "again", 2, 1.0),
        (1.0, "failed", 2, "ValueError"),
        (1.0, "again", 3, 2.0),
    ]
    assert isinstance(events[0], AttemptFailed)
    assert events[0].message == "unwanted result"
    assert retry.statistics().recovered == 1


async def test_the_last_result_is_returned_when_no_attempt_is_left(
    autojump_clock: MockClock,
) -> None:
    retry = Retry(EXACT)
    assert await retry.call(Tape([1, 2, 3]), retry_if=lambda _: True) == 3
    assert retry.statistics().gave_up == {"attempts": 1}
    assert retry.statistics().recovered == 0


async def test_what_retry_if_raises_is_raised(autojump_clock: MockClock) -> None:
    body = Tape([1, 2])
    with pytest.raises(ZeroDivisionError):
        await Retry(EXACT).call(body, retry_if=lambda _: 1 // 0 == 0)
    assert len(body.starts) == 1


# ---------------------------------------------------------------- dice


async def starts_of(retry: Retry) -> list[float]:
    body = Tape([ValueError()] * 9)
    begun = trio.current_time()
    with pytest.raises(ValueError):
        await retry.call(body)
    return [start - begun for start in body.starts]


def run(main: Callable[[], Any]) -> Any:
    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_the_same_seed_gives_the_same_delays() -> None:
    policy = RetryPolicy(base_delay=1.0, jitter_kind="full", max_attempts=6)

    def seeded(seed: int | str | None) -> list[float]:
        starts: list[float] = run(functools.partial(starts_of, Retry(policy, seed=seed)))
        return starts

    assert seeded(7) == seeded(7)
    assert seeded(7) != seeded(8)
    assert seeded("7") == seeded(7)
    assert seeded(None) != seeded(7)


def test_a_retry_in_a_new_run_draws_as_in_the_first() -> None:
    retry = Retry(RetryPolicy(jitter_kind="full", max_attempts=6), seed=1)

    async def twice() -> list[list[float]]:
        return [await starts_of(retry), await starts_of(retry)]

    first = run(twice)
    assert first[0] != first[1]  # each body has dice of its own
    assert run(twice) == first


async def test_a_retry_without_a_seed_asks_the_step_it_is_in(autojump_clock: MockClock) -> None:
    policy = RetryPolicy(jitter_kind="full", max_attempts=6)
    one, other = Retry(policy), Retry(policy)
    own = Retry(policy, seed="own")
    with Dice("7/flow/step#1"):
        before = await starts_of(one)
        with Dice("inner"):
            inner = await starts_of(one)
        own_here = await starts_of(own)
    with Dice("7/flow/step#1"):
        assert await starts_of(other) == pytest.approx(before)
    assert inner != pytest.approx(before)
    assert own_here == pytest.approx(await starts_of(Retry(policy, seed="own")))


async def test_bodies_side_by_side_do_not_share_attempts_or_delays(
    autojump_clock: MockClock,
) -> None:
    """A retry whose iterator is shared counts the attempts of all tasks together."""
    retry = Retry(RetryPolicy(base_delay=1.0, max_delay=9.0, jitter_kind="decorrelated"))
    bodies = [Tape([ValueError(), ValueError(), "done"]) for _ in range(20)]
    async with trio.open_nursery() as nursery:
        for body in bodies[:10]:
            nursery.start_soon(retry.call, body)
        for body in bodies[10:]:
            nursery.start_soon(looped, retry, body)
    assert {len(body.starts) for body in bodies} == {3}
    assert len({tuple(body.starts) for body in bodies}) == 20
    for body in bodies:
        assert 1.0 <= body.starts[1] <= 3.0
        assert 1.0 <= body.starts[2] - body.starts[1] <= min(9.0, 3.0 * body.starts[1])
    assert retry.statistics() == RetryStatistics(
        name="retry", calls=20, retries=40, recovered=20, gave_up={}, waiting=0, budget=None
    )


# ---------------------------------------------------------------- budgets


async def test_retries_inside_retries_share_a_budget_by_its_name(
    autojump_clock: MockClock,
) -> None:
    """Three attempts of three attempts would be nine calls to a server that is down already."""
    outer = Retry(change(budget=RetryBudget("llm", ratio=0.0, reserve=3)), name="outer")
    inner = Retry(change(budget=RetryBudget("llm", ratio=0.0, reserve=3)), name="inner")
    body = Tape([ValueError()] * 9)
    with pytest.raises(ValueError):
        await outer.call(inner.call, body)
    assert len(body.starts) == 4
    expected = BudgetStatistics(first_attempts=3, retries=3, refused=2, affordable=0)
    assert outer.statistics().budget == inner.statistics().budget == expected


async def test_a_budget_of_another_name_is_another(autojump_clock: MockClock) -> None:
    one = Retry(change(budget=RetryBudget("one", ratio=0.0, reserve=1)))
    other = Retry(change(budget=RetryBudget("other", ratio=0.0, reserve=1)))
    for retry in (one, other):
        body = Tape([ValueError()] * 3)
        with pytest.raises(ValueError):
            await retry.call(body)
        assert len(body.starts) == 2


async def test_one_budget_has_one_setting(autojump_clock: MockClock) -> None:
    one = Retry(change(budget=RetryBudget("llm", reserve=1)))
    other = Retry(change(budget=RetryBudget("llm", reserve=2)))
    assert await one.call(Tape([1])) == 1
    with pytest.raises(ValueError, match=r"one retry budget with two settings: .*llm"):
        await other.call(Tape([2]))


def test_every_run_has_fresh_budgets() -> None:
    retry = Retry(change(budget=RetryBudget("llm", ratio=0.0, reserve=1), max_attempts=2))
    assert retry.statistics().budget is None

    async def main() -> None:
        assert await retry.call(Tape([ValueError(), 1])) == 1

    run(main)
    run(main)
    assert retry.statistics().budget == BudgetStatistics(
        first_attempts=1, retries=1, refused=0, affordable=0
    )


# ---------------------------------------------------------------- cancellation


@pytest.mark.parametrize("form", ["call", "loop"])
async def test_a_cancelled_body_is_not_tried_again(
    autojump_clock: MockClock, form: str
) -> None:
    body, retry = Tape(["never"] * 3, takes=9.0), Retry(EXACT)
    with trio.move_on_after(2.0) as scope:
        await (retry.call(body) if form == "call" else looped(retry, body))
        pytest.fail("what is below a cancelled body must not run")
    assert scope.cancelled_caught
    assert body.starts == [0.0]
    assert trio.current_time() == 2.0
    assert retry.statistics().gave_up == {}


@pytest.mark.parametrize("form", ["call", "loop"])
async def test_a_cancelled_body_that_fails_while_it_unwinds_is_not_tried_again(
    autojump_clock: MockClock, form: str
) -> None:
    starts: list[float] = []

    async def body() -> None:
        starts.append(trio.current_time())
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async def loop() -> None:
        async for attempt in retry:
            async with attempt:
                await body()

    retry = Retry(EXACT)
    with trio.move_on_after(2.0) as scope, pytest.raises(ValueError) as caught:
        await (retry.call(body) if form == "call" else loop())
    assert not scope.cancelled_caught
    assert starts == [0.0]
    assert caught.value.__notes__[0].endswith("would not begin before the deadline")


async def test_a_group_with_a_cancellation_is_not_tried_again(
    autojump_clock: MockClock,
) -> None:
    starts: list[float] = []

    async def fail_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async def body() -> None:
        starts.append(trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_in_cleanup)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup), trio.move_on_after(2.0) as scope:
        await Retry(EXACT).call(body)
    assert scope.cancelled_caught
    assert starts == [0.0]


async def test_a_caller_cancelled_already_begins_nothing() -> None:
    budget = RetryBudget("b")
    retry = Retry(change(budget=budget))
    body = Tape([1])
    with trio.CancelScope() as scope:
        scope.cancel()
        await retry.call(body)
    with trio.CancelScope() as scope:
        scope.cancel()
        await looped(retry, body)
    assert body.starts == []
    assert retry.statistics().calls == 0


@pytest.mark.parametrize("form", ["call", "decorated", "loop"])
def test_every_await_can_be_cancelled(form: str) -> None:
    """Nothing is left, nobody waits, and the budget has back what was not used."""
    seen: list[tuple[RetryStatistics, int]] = []

    async def program() -> str:
        retry = Retry(change(budget=RetryBudget("b", ratio=0.0, reserve=5)))
        tape = Tape([ValueError(), ValueError(), "done"], takes=0.5)
        try:
            with assert_no_leaks(retry):
                if form == "loop":
                    await looped(retry, tape)
                else:
                    assert (
                        await (retry.call(tape) if form == "call" else retry(tape)()) == "done"
                    )
            return "done"
        finally:
            seen.append((retry.statistics(), len(tape.starts)))

    def check(cut: Cut[str]) -> None:
        told, starts = seen[-1]
        assert told.waiting == 0
        assert told.retries == max(0, starts - 1)
        if told.budget is None:
            assert told.calls == 0
        else:
            assert told.budget.retries == told.retries
        assert told.gave_up == {}
        assert cut.cancelled == cut.reached
        assert cut.result == (None if cut.cancelled else "done")

    assert cancel_everywhere(program, check=check) >= 5


# ---------------------------------------------------------------- the loop form


async def test_attempts_are_numbered_and_know_that_they_failed(
    autojump_clock: MockClock,
) -> None:
    body = Tape([ValueError(1), "done"])
    seen: list[tuple[int, bool]] = []
    async for attempt in Retry(EXACT):
        async with attempt as same:
            assert same is attempt
            await body()
        seen.append((attempt.number, attempt.failed))
    assert seen == [(1, True), (2, False)]


async def test_an_error_that_is_not_tried_again_leaves_from_the_body(
    autojump_clock: MockClock,
) -> None:
    async def loop() -> None:
        async for attempt in Retry(change(on=OSError)):
            async with attempt:
                raise KeyError
            pytest.fail("below the body")

    with pytest.raises(KeyError):
        await loop()


async def test_a_loop_may_be_left_in_any_way(autojump_clock: MockClock) -> None:
    async def find() -> int:
        async for attempt in Retry(EXACT):
            async with attempt:
                if attempt.number == 2:
                    return attempt.number
                raise ValueError
        raise AssertionError

    assert await find() == 2
    retry = Retry(EXACT)
    numbers: list[int] = []
    async for attempt in retry:
        async with attempt:
            numbers.append(attempt.number)
            continue
    async for attempt in retry:
        async with attempt:
            numbers.append(attempt.number)
            break
    async for attempt in retry:
        numbers.append(attempt.number)
        break
    assert numbers == [1, 1, 1]
    assert retry.statistics().calls == 3


async def test_a_loop_is_over_once_its_body_ended(autojump_clock: MockClock) -> None:
    for moves in (["done"], [KeyError()]):
        attempts = aiter(Retry(change(on=OSError)))
        attempt = await anext(attempts)
        try:
            async with attempt:
                await Tape(moves)()
        except KeyError:
            pass
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(attempts)


async def test_an_attempt_that_is_not_entered_is_an_error() -> None:
    """The body would run once, unguarded, and nobody would notice."""
    with pytest.raises(GuardMisuseError) as caught:
        async for _ in Retry(EXACT, name="fetch"):
            pass
    text = "guard 'fetch': write 'async with attempt:' in the loop, around the body"
    assert str(caught.value) == text


async def test_an_attempt_is_entered_once_and_in_its_turn(autojump_clock: MockClock) -> None:
    async def enter(attempt: Attempt) -> None:
        with pytest.raises(GuardMisuseError, match="each attempt is entered once"):
            async with attempt:
                pytest.fail("entered")

    kept: list[Attempt] = []
    async for attempt in Retry(EXACT):
        for old in kept:
            await enter(old)
        kept.append(attempt)
        async with attempt:
            await enter(attempt)
            if attempt.number < 3:
                raise ValueError
        await enter(attempt)
    assert [attempt.number for attempt in kept] == [1, 2, 3]


async def test_a_loop_cannot_go_on_inside_its_own_body() -> None:
    attempts = aiter(Retry(EXACT))
    async with await anext(attempts):
        with pytest.raises(GuardMisuseError):
            await anext(attempts)


# ---------------------------------------------------------------- sharing, runs, listeners


async def test_a_method_can_be_decorated(autojump_clock: MockClock) -> None:
    class Client:
        def __init__(self) -> None:
            self.tape = Tape([ValueError(), "page"])

        @Retry(EXACT)
        async def get(self, url: str, *, page: int = 1) -> object:
            """Get a page."""
            return url, page, await self.tape()

    assert await Client().get("/x", page=2) == ("/x", 2, "page")
    assert (Client.get.__name__, Client.get.__doc__) == ("get", "Get a page.")


def test_a_retry_starts_blank_in_a_new_run() -> None:
    retry = Retry(EXACT)

    async def main() -> None:
        await retry.call(Tape([ValueError(), 1]))

    run(main)
    run(main)
    seen = retry.statistics()
    assert (seen.calls, seen.retries, seen.recovered) == (1, 1, 1)


async def test_a_retry_cannot_be_used_under_two_runs_at_once() -> None:
    retry = Retry(EXACT)
    await retry.call(Tape([1]))

    def other() -> None:
        with pytest.raises(GuardInUseError):
            run(functools.partial(retry.call, Tape([1])))

    await trio.to_thread.run_sync(other)
    assert retry.statistics().calls == 1


async def test_a_listener_that_raises_changes_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(event: GuardEvent) -> None:
        raise ZeroDivisionError

    body = Tape([ValueError(), "done"])
    assert await Retry(EXACT, on_event=listen).call(body) == "done"
    assert len(caplog.records) == 1


async def test_what_is_told_of_giving_up(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    with pytest.raises(ValueError):
        await Retry(EXACT, name="fetch", on_event=events.append).call(
            Tape([ValueError("x")] * 3)
        )
    assert told(events) == [
        (0.0, "failed", 1, "ValueError"),
        (0.0, "again", 2, 1.0),
        (1.0, "failed", 2, "ValueError"),
        (1.0, "again", 3, 2.0),
        (3.0, "failed", 3, "ValueError"),
        (3.0, "gave up", 3, "attempts"),
    ]
    last = events[-1]
    assert isinstance(last, GaveUp)
    assert (last.guard, last.elapsed) == ("fetch", 3.0)


async def test_who_waits_is_counted(autojump_clock: MockClock) -> None:
    retry = Retry(EXACT)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(retry.call, Tape([ValueError(), 1]))
        await trio.sleep(0.5)
        assert retry.statistics().waiting == 3
    assert retry.statistics().waiting == 0
    assert retry.policy is EXACT
