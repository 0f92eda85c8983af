"""What an adaptive limit promises in Trio: how it moves, exact times, order of arrival, and nothing lost by cancelling."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import pytest
import trio
from trio.testing import (
    MockClock,
    assert_checkpoints,
    assert_no_checkpoints,
    wait_all_tasks_blocked,
)

from agentflow_trio import CircuitOpenError, FlowFailedError, Step, Timeout, each, step
from agentflow_trio.errors import (
    DeadlineExceededError,
    GuardInUseError,
    GuardMisuseError,
    GuardReentryError,
    LimitReachedError,
)
from agentflow_trio.robustness import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    AdaptiveLimitStatistics,
    Bulkhead,
    GuardEvent,
    pipeline,
)

BLANK = AdaptiveLimitStatistics(
    limit=20,
    inside=0,
    waiting=0,
    entered=0,
    refused=0,
    cancelled=0,
    succeeded=0,
    slow=0,
    failed=0,
    unjudged=0,
    stale=0,
)


def of(initial: int = 10, **settings: Any) -> AdaptiveLimit:
    return AdaptiveLimit("llm", AdaptiveLimitPolicy(initial=initial, **settings))


def now_at(limit: AdaptiveLimit) -> int:
    return limit.statistics().limit


@attrs.define
class Sums:
    """The state of a step."""

    total: int = 0


async def ending(error: BaseException | None, after: float) -> None:
    await trio.sleep(after)
    if error is not None:
        raise error


def expected(error: BaseException | None) -> AbstractContextManager[object]:
    return nullcontext() if error is None else pytest.raises(type(error))


async def end(
    limit: AdaptiveLimit, error: BaseException | None = None, *, after: float = 0.0
) -> int:
    """Run a body that takes so long and ends so; what the limit is then."""
    with expected(error):
        await limit.call(ending, error, after)
    return now_at(limit)


async def together(limit: AdaptiveLimit, *ends: BaseException | None) -> int:
    """Bodies that all come in before the first ends, and then end in this order; what the limit is then."""
    events = [trio.Event() for _ in ends]

    async def body(error: BaseException | None, event: trio.Event) -> None:
        with expected(error):
            async with limit:
                await event.wait()
                await ending(error, 0.0)

    async with trio.open_nursery() as nursery:
        for error, event in zip(ends, events, strict=True):
            await in_order(nursery, body, error, event)
        assert limit.statistics().inside == len(ends)
        for event in events:
            event.set()
            await wait_all_tasks_blocked()
    return now_at(limit)


async def in_order(
    nursery: trio.Nursery, fn: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task and let it come to where it waits before the next one is started."""
    nursery.start_soon(fn, *args)
    await wait_all_tasks_blocked()


async def stay(
    limit: AdaptiveLimit, seconds: float, name: str, log: list[tuple[str, float]]
) -> None:
    try:
        async with limit:
            log.append((f"{name} in", trio.current_time()))
            await trio.sleep(seconds)
    except LimitReachedError as error:
        log.append((f"{name} {error.reason}", trio.current_time()))


# ---------------------------------------------------------------- how it moves


async def test_a_failure_takes_a_tenth_of_it_rounded_down() -> None:
    limit = of(20)
    seen = [await end(limit, OSError()) for _ in range(12)]
    assert seen == [18, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3]


async def test_it_is_never_below_its_minimum() -> None:
    limit = of(6, minimum=4)
    assert [await end(limit, OSError()) for _ in range(4)] == [5, 4, 4, 4]
    assert [await end(of(1), OSError()) for _ in range(2)] == [1, 1]


async def test_a_success_adds_one_while_at_least_half_of_it_is_in_use() -> None:
    assert await together(of(4), None) == 4
    assert await together(of(4), None, None) == 5
    assert await together(of(5), None, None) == 5
    assert await together(of(5), None, None, None) == 6


async def test_who_comes_alone_never_makes_it_more_than_three() -> None:
    limit = of(1)
    assert [await end(limit) for _ in range(5)] == [2, 3, 3, 3, 3]


async def test_it_is_never_above_its_maximum() -> None:
    limit = of(1, maximum=2)
    assert [await end(limit) for _ in range(3)] == [2, 2, 2]
    assert limit.statistics().stale == 0


async def test_all_that_fail_at_once_are_one_piece_of_news() -> None:
    limit = of(20)
    assert await together(limit, *[OSError()] * 20) == 18
    assert limit.statistics() == attrs.evolve(BLANK, limit=18, entered=20, failed=20, stale=19)


async def test_all_that_end_well_at_once_add_one() -> None:
    limit = of(8)
    assert await together(limit, *[None] * 8) == 9
    assert limit.statistics() == attrs.evolve(BLANK, limit=9, entered=8, succeeded=8, stale=7)


async def test_who_came_in_before_it_went_down_does_not_bring_it_up_again() -> None:
    assert await together(of(8), OSError(), *[None] * 7) == 7


async def test_a_slow_one_among_fast_ones_is_no_old_news(autojump_clock: MockClock) -> None:
    """While it ran the others brought the limit up, four times: it failed even under a lower one."""
    limit = of(2, slow_after=3.0)
    async with trio.open_nursery() as nursery:
        for seconds in (4.5, 1.0):
            nursery.start_soon(lambda after: end(limit, after=after), seconds)
        for _ in range(3):
            await trio.sleep(1.0)
            for _ in range(2):
                nursery.start_soon(lambda: end(limit, after=1.0))
        await trio.sleep(1.25)
        assert now_at(limit) == 6
    assert now_at(limit) == 5


async def test_a_body_is_slow_from_that_very_time_on(autojump_clock: MockClock) -> None:
    limit = of(10, slow_after=0.3)
    await trio.sleep(5.3)  # for (5.3, 0.3) now - begun is less than slow_after at the end
    assert await end(limit, after=math.nextafter(0.3, 0.0) / 2) == 10
    assert await end(limit, after=0.3) == 9
    assert await end(limit, after=9.0) == 8
    assert limit.statistics() == attrs.evolve(BLANK, limit=8, entered=3, succeeded=1, slow=2)


async def test_a_slow_failure_counts_once(autojump_clock: MockClock) -> None:
    limit = of(10, slow_after=1.0)
    assert await end(limit, OSError(), after=2.0) == 9
    assert (limit.statistics().failed, limit.statistics().slow) == (1, 0)


async def test_by_default_no_time_is_too_long(autojump_clock: MockClock) -> None:
    assert await end(of(10), after=1e6) == 10


async def test_what_was_cancelled_or_is_ignored_says_nothing(
    autojump_clock: MockClock,
) -> None:
    limit = of(2, slow_after=1.0, ignore=KeyError)
    for error in (
        KeyError("x"),
        CircuitOpenError(guard="inner", reason="open"),
        KeyboardInterrupt(),
    ):
        assert await end(limit, error, after=2.0) == 2
    with trio.move_on_after(3.0):
        await end(limit, after=math.inf)
    assert limit.statistics() == attrs.evolve(BLANK, limit=2, entered=4, unjudged=4)


async def test_what_is_recorded_decides_what_fails() -> None:
    limit = of(10, record=OSError)
    assert await end(limit, ValueError("bad request")) == 10
    assert await end(limit, ExceptionGroup("", [ValueError(), OSError()])) == 9


async def test_what_an_inner_timeout_cuts_off_has_failed_and_by_an_outer_one_says_nothing(
    autojump_clock: MockClock,
) -> None:
    limit = of(10)
    with pytest.raises(DeadlineExceededError):
        async with limit, Timeout(1.0):
            await trio.sleep_forever()
    assert now_at(limit) == 9
    with pytest.raises(DeadlineExceededError):
        async with Timeout(1.0), limit:
            await trio.sleep_forever()
    assert now_at(limit) == 9


async def test_what_a_limit_of_its_own_pipeline_or_step_cuts_off_has_failed(
    autojump_clock: MockClock,
) -> None:
    limit, timeout = of(10), Timeout(1.0)

    @step(guards=(timeout, limit))
    async def hangs(sums: Sums) -> None:
        await trio.sleep_forever()

    with pytest.raises(DeadlineExceededError):
        await pipeline(timeout, limit).call(trio.sleep_forever)
    assert now_at(limit) == 9
    with pytest.raises(FlowFailedError):
        await hangs.run(Sums())
    assert now_at(limit) == 8


async def test_a_pipeline_looks_at_the_result_for_it() -> None:
    limit = of(10, failed_result=is_bad)

    async def answer() -> str:
        return "busy"

    assert await pipeline(Bulkhead("places", limit=1), limit).call(answer) == "busy"
    assert now_at(limit) == 9


# ---------------------------------------------------------------- results and time


def is_bad(result: object) -> bool:
    return result == "busy"


async def test_call_looks_at_the_result() -> None:
    limit = of(10, failed_result=is_bad)

    async def answer(text: str) -> str:
        return text

    assert await limit.call(answer, "busy") == "busy"
    assert await limit.call(answer, "fine") == "fine"
    assert (now_at(limit), limit.statistics().failed) == (9, 1)


async def test_call_does_not_look_where_it_cannot_tell() -> None:
    limit = of(10)

    async def answer() -> str:
        return "busy"

    assert await limit.call(answer) == "busy"
    assert now_at(limit) == 10


async def test_one_failure_among_what_a_permit_recorded_is_enough() -> None:
    limit = of(10, failed_result=is_bad, ignore=KeyError)
    async with limit as permit:
        for result in ("fine", KeyError("x"), "busy", "fine"):
            permit.record(result)
    assert now_at(limit) == 9
    async with limit as permit:
        permit.record(OSError("an error that was handled"))
    assert now_at(limit) == 8


async def test_what_the_body_raises_comes_before_what_it_recorded() -> None:
    limit = of(10, failed_result=is_bad, ignore=KeyError)
    with pytest.raises(KeyError):  # noqa: PT012 - one thing, in its place
        async with limit as permit:
            permit.record("busy")
            raise KeyError
    assert (now_at(limit), limit.statistics().unjudged) == (10, 1)


async def test_a_result_that_nobody_can_judge_is_refused() -> None:
    limit = of(10)
    async with limit as permit:
        with pytest.raises(TypeError) as caught:
            permit.record("busy")
    assert str(caught.value) == (
        "limit 'llm' cannot tell whether this result is a failure; "
        "give its policy failed_result=, a function of the result"
    )


async def test_rules_that_raise_count_as_failures_and_are_told(
    autojump_clock: MockClock,
) -> None:
    def bad_rule(_: object) -> bool:
        raise LookupError("oops")

    events: list[GuardEvent] = []
    policy = AdaptiveLimitPolicy(initial=10, record=bad_rule, failed_result=bad_rule)
    limit = AdaptiveLimit("llm", policy, on_event=events.append)
    async with limit as permit:
        permit.record("fine")
    assert await end(limit, OSError()) == 8
    assert [event.event_type for event in events] == ["rule_failed", "limit_changed"] * 2


async def test_time_counts_from_where_a_permit_starts_it(autojump_clock: MockClock) -> None:
    limit = of(10, slow_after=2.0)
    async with limit as permit:
        await trio.sleep(5.0)  # other guards inside make it wait
        permit.start()
        await trio.sleep(1.0)
    assert now_at(limit) == 10


# ---------------------------------------------------------------- entering and leaving


async def test_who_finds_no_room_is_refused_at_once(autojump_clock: MockClock) -> None:
    limit, log = of(2), list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, stay, limit, 1.0, name, log)
    assert log == [("a in", 0.0), ("b in", 0.0), ("c full", 0.0)]
    assert limit.statistics() == attrs.evolve(
        BLANK, limit=3, entered=2, refused=1, succeeded=2, stale=1
    )


async def test_entering_is_a_checkpoint_and_leaving_is_not() -> None:
    limit = of(1)
    with assert_checkpoints():
        await limit.__aenter__()
    with assert_no_checkpoints():
        await limit.__aexit__(None, None, None)
    assert limit.statistics().inside == 0


async def test_a_cancelled_caller_takes_nothing() -> None:
    limit = of(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with limit:
            raise AssertionError
    assert scope.cancelled_caught
    assert limit.statistics().entered == 0


async def test_leaving_while_cancelled_does_not_lose_the_error_of_the_body() -> None:
    limit, scope = of(10), trio.CancelScope()
    with scope, pytest.raises(ValueError, match="cleanup"):  # noqa: PT012 - one thing, in its place
        async with limit:
            scope.cancel()
            raise ValueError("cleanup")
    assert (now_at(limit), limit.statistics().inside) == (9, 0)


async def test_nowait_takes_a_free_place_or_is_refused() -> None:
    limit = of(1, max_waiters=5)

    async def other() -> None:
        with pytest.raises(LimitReachedError) as caught, limit.enter_nowait():
            raise AssertionError
        assert str(caught.value) == "limit 'llm' is reached"
        assert caught.value.retry_after is None

    async with trio.open_nursery() as nursery:
        with assert_no_checkpoints():
            place = limit.enter_nowait()
            permit = place.__enter__()
        await in_order(nursery, other)
        permit.record(OSError())
        place.__exit__(None, None, None)
    assert limit.statistics().failed == 1
    with pytest.raises(OSError, match="down"), limit.enter_nowait():
        raise OSError("down")
    assert (limit.statistics().failed, limit.statistics().inside) == (2, 0)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), BaseExceptionGroup("g", [SystemExit()])]
)
async def test_the_error_of_the_body_comes_out_as_it_is(error: BaseException) -> None:
    limit = of(10)
    with pytest.raises(type(error)) as caught:
        async with limit:
            raise error
    assert caught.value is error
    assert limit.statistics().inside == 0


# ---------------------------------------------------------------- waiting


async def test_as_many_wait_as_may_and_come_in_in_order_of_arrival(
    autojump_clock: MockClock,
) -> None:
    """Each that ends makes room for two: its own place, and one more."""
    limit, log = of(1, max_waiters=4), list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        for name in "abcdef":
            await in_order(nursery, stay, limit, 1.0, name, log)
    assert log[:2] == [("a in", 0.0), ("f queue", 0.0)]
    assert sorted(log[2:]) == [("b in", 1.0), ("c in", 1.0), ("d in", 2.0), ("e in", 2.0)]


async def test_nobody_comes_in_while_more_are_inside_than_a_lower_limit(
    autojump_clock: MockClock,
) -> None:
    limit, log = of(4, backoff=0.5, max_waiters=4), list[tuple[str, float]]()

    async def fail() -> None:
        with pytest.raises(OSError, match="down"):
            await limit.call(ending, OSError("down"), 1.0)

    async with trio.open_nursery() as nursery:
        await in_order(nursery, fail)
        for name, seconds in zip("abcde", (2.0, 3.0, 4.0, 1.0, 1.0), strict=True):
            await in_order(nursery, stay, limit, seconds, name, log)
    # from 4 down to 2 at 1.0 with three inside; at 2.0 two are, at 3.0 there is a place
    assert log[3:] == [("d in", 3.0), ("e in", 4.0)]


async def test_who_waited_for_max_wait_is_refused_at_exactly_that_time(
    autojump_clock: MockClock,
) -> None:
    limit, log = of(1, max_waiters=3, max_wait=0.3), list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, limit, 9.0, "a", log)
        await trio.sleep(5.3)
        await in_order(nursery, stay, limit, 1.0, "b", log)
    assert log == [("a in", 0.0), ("b max_wait", 5.3 + 0.3)]


async def test_the_time_of_who_waits_begins_when_it_comes_in(
    autojump_clock: MockClock,
) -> None:
    limit, log = of(1, maximum=1, max_waiters=1, slow_after=2.0), list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        for name in "ab":
            await in_order(nursery, stay, limit, 1.5, name, log)
    assert log == [("a in", 0.0), ("b in", 1.5)]
    assert (limit.statistics().succeeded, limit.statistics().slow) == (2, 0)


async def test_who_came_in_from_the_line_tells_of_the_limit_it_came_in_under(
    autojump_clock: MockClock,
) -> None:
    limit, log = of(1, max_waiters=1), list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        for name in "ab":
            await in_order(nursery, stay, limit, 1.0, name, log)
    assert limit.statistics() == attrs.evolve(BLANK, limit=3, entered=2, succeeded=2)


# ---------------------------------------------------------------- misuse


async def test_entered_in_its_own_body_it_says_so() -> None:
    limit = of(10)

    async def child() -> None:
        with pytest.raises(GuardReentryError):
            await limit.__aenter__()

    async with limit, trio.open_nursery() as nursery:
        with pytest.raises(GuardReentryError, match=r"'llm'.*inside its own body"):
            await limit.__aenter__()
        with pytest.raises(GuardReentryError), limit.enter_nowait():
            raise AssertionError
        nursery.start_soon(child)
    assert limit.statistics().entered == 1


async def test_a_task_of_a_nursery_around_the_body_just_enters() -> None:
    limit = of(10)
    async with trio.open_nursery() as outer, limit:
        await in_order(outer, end, limit)
    assert limit.statistics().entered == 2


async def test_left_by_a_task_that_did_not_enter_it_changes_nothing() -> None:
    limit = of(10)
    with pytest.raises(GuardMisuseError, match=r"'llm'.*did not enter it") as caught:
        await limit.__aexit__(OSError, error := OSError(), None)
    assert caught.value.__cause__ is error
    assert limit.statistics() == attrs.evolve(BLANK, limit=10)


def test_in_another_run_it_starts_blank() -> None:
    limit = of(10)

    async def abandon() -> int:
        await limit.__aenter__()
        async with trio.open_nursery() as nursery:
            trio.lowlevel.spawn_system_task(end, limit, OSError())
            await in_order(nursery, trio.sleep, 0)
        return now_at(limit)

    async def look() -> AdaptiveLimitStatistics:
        return limit.statistics()

    async def anew() -> AdaptiveLimitStatistics:
        async with limit:
            return limit.statistics()

    assert trio.run(abandon) == 9
    assert now_at(limit) == 9  # outside of any
    assert trio.run(look) == attrs.evolve(BLANK, limit=10)
    assert trio.run(anew) == attrs.evolve(BLANK, limit=10, inside=1, entered=1)


async def test_under_two_runs_at_once_it_is_refused() -> None:
    limit = of(2)
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            trio.run(limit.__aenter__)
        except GuardInUseError as error:
            found.append(error)

    async with limit:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
    assert [type(error) for error in found] == [GuardInUseError]


# ---------------------------------------------------------------- on a step


async def test_each_item_of_a_step_may_learn(autojump_clock: MockClock) -> None:
    limit = of(2, max_waiters=10)

    class Numbers:
        async def prep(self, sums: Sums) -> list[int]:
            return [1, 2, 3, 4, 5]

        async def exec(self, item: int) -> int:
            await trio.sleep(1.0)
            return item

        async def post(self, sums: Sums, items: Sequence[int], results: Sequence[int]) -> None:
            sums.total = sum(results)

    result = await Step(each(Numbers(), concurrent=5, guards=(limit,))).run(Sums())
    assert result.state.total == 15
    assert limit.statistics().succeeded == 5
    assert trio.current_time() == 2.0  # two at first, then three


async def test_time_in_a_step_counts_from_when_all_guards_have_let_it_in(
    autojump_clock: MockClock,
) -> None:
    limit = of(10, slow_after=2.0)
    gate = Bulkhead("gate", limit=1)

    @step(guards=(limit, gate))
    async def work(sums: Sums) -> None:
        await trio.sleep(1.0)

    async def hold() -> None:
        async with gate:
            await trio.sleep(5.0)

    async with trio.open_nursery() as nursery:
        await in_order(nursery, hold)
        await work.run(Sums())
    assert trio.current_time() == 6.0
    assert limit.statistics().slow == 0


# ---------------------------------------------------------------- settings and events


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial": 0, "minimum": 1}, "initial must be a whole number >= 1, not 0"),
        ({"minimum": 0}, "minimum must be a whole number >= 1, not 0"),
        ({"maximum": 2.5}, "maximum must be a whole number >= 1, not 2.5"),
        ({"minimum": 21}, "minimum must be <= initial=20, not 21"),
        ({"maximum": 19}, "initial must be <= maximum=19, not 20"),
        ({"backoff": 1.0}, "backoff must be a number > 0 and < 1, not 1.0"),
        ({"backoff": 0}, "backoff must be a number > 0 and < 1, not 0"),
        ({"backoff": math.nan}, "backoff must be a number > 0 and < 1, not nan"),
        (
            {"slow_after": 0.0},
            "slow_after must be a number of seconds > 0 and finite or None, not 0.0",
        ),
        ({"max_waiters": None}, "max_waiters must be a whole number >= 0, not None"),
        ({"max_wait": -1.0}, "max_wait must be a number of seconds >= 0, not -1.0"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        AdaptiveLimitPolicy(**settings)
    assert str(caught.value) == f"AdaptiveLimitPolicy: {message}"


@pytest.mark.parametrize("field", ["record", "ignore", "failed_result"])
def test_rules_must_be_plain(field: str) -> None:
    async def later(_: object) -> bool:
        return True

    rules: dict[str, Any] = {field: later}
    with pytest.raises(TypeError, match=f"^{field} must be a plain function, not"):
        AdaptiveLimitPolicy(**rules)


def test_a_policy_is_a_value() -> None:
    assert AdaptiveLimit("a").policy == AdaptiveLimitPolicy() == AdaptiveLimitPolicy(initial=20)
    frozen: Any = AdaptiveLimitPolicy()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        frozen.initial = 4


async def test_every_event_is_told_in_order_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    policy = AdaptiveLimitPolicy(initial=1, max_waiters=1)
    limit = AdaptiveLimit("llm", policy, on_event=events.append)
    log = list[tuple[str, float]]()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, stay, limit, 1.0, name, log)
    assert await end(limit, OSError()) == 2
    told = [
        {
            field: value
            for field, value in attrs.asdict(event).items()
            if field not in {"run_id", "seq", "path", "duration_ms"}
        }
        | {"event": event.event_type}
        for event in events
    ]
    assert told == [
        {"guard": "llm"} | each
        for each in (
            {"event": "wait_start", "timestamp": 0.0, "waiting": 1},
            {"event": "rejected", "timestamp": 0.0, "reason": "queue", "retry_after": None},
            {"event": "limit_changed", "timestamp": 1.0, "before": 1, "limit": 2},
            {"event": "wait_end", "timestamp": 1.0, "outcome": "admitted", "waited": 1.0},
            {"event": "limit_changed", "timestamp": 2.0, "before": 2, "limit": 3},
            {"event": "limit_changed", "timestamp": 2.0, "before": 3, "limit": 2},
        )
    ]


async def test_a_listener_may_use_the_limit_it_is_told_of() -> None:
    """Told that there is more room, it takes a place."""
    permits = list[object]()

    def take(event: GuardEvent) -> None:
        if event.event_type == "limit_changed" and not permits:
            permits.append(limit.enter_nowait().__enter__())

    limit = AdaptiveLimit("llm", AdaptiveLimitPolicy(initial=1), on_event=take)
    async with limit:
        pass
    assert limit.statistics() == attrs.evolve(BLANK, limit=2, inside=1, entered=2, succeeded=1)
    limit.enter_nowait().__exit__(None, None, None)
