"""What a bulkhead promises in Trio: times are exact, order is of arrival, and nothing is lost by cancelling."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from agentflow_trio.errors import (
    BulkheadFullError,
    GuardInUseError,
    GuardMisuseError,
    GuardReentryError,
)
from agentflow_trio.robustness import (
    Bulkhead,
    BulkheadPolicy,
    BulkheadStatistics,
    GuardEvent,
)
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere


@attrs.define
class Log:
    """Who did what, and when."""

    lines: list[tuple[str, float]] = attrs.field(factory=list[tuple[str, float]])

    def note(self, what: str) -> None:
        self.lines.append((what, trio.current_time()))


NOT_TOLD = {"guard", "run_id", "seq", "path", "duration_ms"}


def told(events: list[GuardEvent]) -> list[dict[str, Any]]:
    return [
        {"event": type(event).__name__}
        | attrs.asdict(event, filter=lambda a, _: a.name not in NOT_TOLD)
        for event in events
    ]


async def stay(bulkhead: Bulkhead, seconds: float, name: str, log: Log) -> None:
    try:
        async with bulkhead:
            log.note(f"{name} in")
            await trio.sleep(seconds)
    except BulkheadFullError as error:
        log.note(f"{name} {error.reason}")


async def in_order(
    nursery: trio.Nursery, fn: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task and let it come to where it waits before the next one is started."""
    nursery.start_soon(fn, *args)
    await wait_all_tasks_blocked()


def settled(bulkhead: Bulkhead) -> bool:
    told = bulkhead.statistics()
    return (told.inside, told.waiting) == (0, 0)


# ---------------------------------------------------------------- entering, waiting, leaving


async def test_at_most_limit_bodies_run_at_once_and_the_others_in_order_of_arrival(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", limit=2), Log()
    async with trio.open_nursery() as nursery:
        for name, seconds in zip("abcdef", (3.0, 1.0, 1.0, 4.0, 0.5, 0.5), strict=True):
            await in_order(nursery, stay, bulkhead, seconds, name, log)
    assert log.lines == [
        ("a in", 0.0),
        ("b in", 0.0),
        ("c in", 1.0),
        ("d in", 2.0),
        ("e in", 3.0),
        ("f in", 3.5),
    ]
    assert bulkhead.statistics() == attrs.evolve(
        bulkhead.statistics(), limit=2, inside=0, waiting=0, entered=6, refused=0, cancelled=0
    )


async def test_a_thousand_waiters_are_served_in_order_of_arrival(
    autojump_clock: MockClock,
) -> None:
    bulkhead, served = Bulkhead("db", limit=1), list[int]()

    async def wait(number: int) -> None:
        async with bulkhead:
            served.append(number)
            await trio.sleep(1 / 16)

    async with trio.open_nursery() as nursery, bulkhead:
        for number in range(1000):
            nursery.start_soon(wait, number)
            while bulkhead.statistics().waiting <= number:
                await trio.lowlevel.checkpoint()
    assert served == list(range(1000))
    assert trio.current_time() == 1000 / 16


async def test_entering_is_a_checkpoint_and_leaving_is_not(autojump_clock: MockClock) -> None:
    bulkhead = Bulkhead("db", limit=1)
    with assert_checkpoints():
        await bulkhead.__aenter__()
    with trio.testing.assert_no_checkpoints():
        await bulkhead.__aexit__(None, None, None)
    assert settled(bulkhead)


async def test_a_cancelled_caller_takes_nothing(autojump_clock: MockClock) -> None:
    bulkhead = Bulkhead("db", limit=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with bulkhead:
            raise AssertionError
    assert scope.cancelled_caught
    assert bulkhead.statistics().entered == 0


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), BaseExceptionGroup("g", [SystemExit()])]
)
async def test_the_error_of_the_body_comes_out_as_it_is(error: BaseException) -> None:
    bulkhead = Bulkhead("db", limit=1)
    with pytest.raises(type(error)) as caught:
        async with bulkhead:
            raise error
    assert caught.value is error
    assert settled(bulkhead)


async def test_leaving_while_cancelled_does_not_lose_the_error_of_the_body(
    autojump_clock: MockClock,
) -> None:
    bulkhead = Bulkhead("db", limit=1)
    scope = trio.CancelScope()
    with scope, pytest.raises(ValueError, match="cleanup"):  # noqa: PT012 - one thing, in its place
        async with bulkhead:
            scope.cancel()
            raise ValueError("cleanup")
    assert settled(bulkhead)


async def test_call_enters_calls_and_leaves(autojump_clock: MockClock) -> None:
    bulkhead = Bulkhead("db", limit=1)

    async def inside(factor: int) -> int:
        return factor * bulkhead.statistics().inside

    assert await bulkhead.call(inside, 7) == 7
    assert settled(bulkhead)


# ---------------------------------------------------------------- refusing


async def test_a_full_queue_refuses_at_once(autojump_clock: MockClock) -> None:
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_waiters=1)), Log()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
    assert log.lines == [("a in", 0.0), ("c queue", 0.0), ("b in", 1.0)]


async def test_who_waited_for_max_wait_is_refused_at_exactly_that_time(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=0.3)), Log()
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 9.0, "a", log)
        await trio.sleep(5.3)  # for (5.3, 0.3) now - begun is less than max_wait at the end
        await in_order(nursery, stay, bulkhead, 1.0, "b", log)
        await trio.sleep(0.1)
        await in_order(nursery, stay, bulkhead, 1.0, "c", log)
    assert log.lines == [
        ("a in", 0.0),
        ("b max_wait", 5.3 + 0.3),
        ("c max_wait", 5.3 + 0.1 + 0.3),
    ]
    assert bulkhead.statistics().refused == 2
    assert bulkhead.statistics().cancelled == 0


async def test_those_who_came_together_are_refused_together(autojump_clock: MockClock) -> None:
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=1.0)), Log()
    names = [f"w{number}" for number in range(40)]
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 2.0, "a", log)
        for name in names:
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
        assert bulkhead.statistics().waiting == 40
        await trio.sleep(1.0)
        assert bulkhead.statistics().waiting == 0
    assert sorted(log.lines[1:]) == sorted((f"{name} max_wait", 1.0) for name in names)


async def test_a_place_that_becomes_free_as_max_wait_ends_comes_too_late(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=1.0)), Log()
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 1.0, "a", log)
        await in_order(nursery, stay, bulkhead, 1.0, "b", log)
    assert log.lines == [("a in", 0.0), ("b max_wait", 1.0)]


async def test_who_is_served_in_time_is_not_refused_later(autojump_clock: MockClock) -> None:
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=1.0)), Log()
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 0.5, "a", log)
        await in_order(nursery, stay, bulkhead, 3.0, "b", log)
        await trio.sleep(0.25)
        await in_order(nursery, stay, bulkhead, 1.0, "c", log)
    assert log.lines == [("a in", 0.0), ("b in", 0.5), ("c max_wait", 1.25)]


async def test_max_wait_zero_never_waits(autojump_clock: MockClock) -> None:
    bulkhead = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=0.0))

    async def late() -> None:
        with pytest.raises(BulkheadFullError) as caught:
            async with bulkhead:
                raise AssertionError
        assert caught.value.reason == "max_wait"
        assert caught.value.guard == "db"
        assert caught.value.retry_after is None

    async with trio.open_nursery() as nursery, bulkhead:
        nursery.start_soon(late)
        await wait_all_tasks_blocked()
    assert trio.current_time() == 0.0


async def test_the_callers_own_deadline_is_a_cancellation_and_no_refusal(
    autojump_clock: MockClock,
) -> None:
    """At the same instant the outer scope wins, as everywhere in Trio."""
    bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=1.0)), Log()

    async def hurried(seconds: float) -> None:
        with trio.move_on_after(seconds) as scope:
            await stay(bulkhead, 1.0, "hurried", log)
        assert scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 3.0, "a", log)
        nursery.start_soon(hurried, 0.5)
        nursery.start_soon(hurried, 1.0)
    assert log.lines == [("a in", 0.0)]
    told = bulkhead.statistics()
    assert (told.refused, told.cancelled) == (0, 2)


async def test_nowait_takes_a_free_place_or_is_refused(autojump_clock: MockClock) -> None:
    bulkhead = Bulkhead("db", limit=1)

    async def other() -> None:
        with pytest.raises(BulkheadFullError) as caught, bulkhead.enter_nowait():
            raise AssertionError
        assert caught.value.reason == "full"

    with trio.testing.assert_no_checkpoints(), bulkhead.enter_nowait():
        assert bulkhead.statistics().inside == 1
    async with trio.open_nursery() as nursery:
        with bulkhead.enter_nowait():
            nursery.start_soon(other)
            await wait_all_tasks_blocked()
    assert settled(bulkhead)


async def test_nowait_does_not_get_past_the_line(autojump_clock: MockClock) -> None:
    """Between the end of one body and the beginning of the next the place is not free."""
    bulkhead, log = Bulkhead("db", limit=1), Log()
    async with trio.open_nursery() as nursery:
        async with bulkhead:
            await in_order(nursery, stay, bulkhead, 1.0, "b", log)
        with pytest.raises(BulkheadFullError), bulkhead.enter_nowait():
            raise AssertionError
        assert log.lines == []
        await in_order(nursery, stay, bulkhead, 1.0, "c", log)
    assert log.lines == [("b in", 0.0), ("c in", 1.0)]


# ---------------------------------------------------------------- cancelling


async def test_who_is_cancelled_in_line_might_as_well_never_have_come(
    autojump_clock: MockClock,
) -> None:
    async def served(*, with_b: bool) -> list[tuple[str, float]]:
        bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=1, max_wait=2.5)), Log()
        begun, scope = trio.current_time(), trio.CancelScope()

        async def b() -> None:
            with scope:
                await stay(bulkhead, 1.0, "b", log)

        async with trio.open_nursery() as nursery:
            await in_order(nursery, stay, bulkhead, 1.0, "a", log)
            if with_b:
                await in_order(nursery, b)
            for name in "cde":
                await in_order(nursery, stay, bulkhead, 1.0, name, log)
            await trio.sleep(0.5)
            scope.cancel()
        assert settled(bulkhead)
        return [(what, at - begun) for what, at in log.lines]

    without = await served(with_b=False)
    assert without == [("a in", 0.0), ("c in", 1.0), ("d in", 2.0), ("e max_wait", 2.5)]
    assert await served(with_b=True) == without


@pytest.mark.parametrize("leave_first", [True, False])
async def test_a_place_handed_on_is_not_lost_when_its_heir_is_cancelled_in_the_same_instant(
    autojump_clock: MockClock, leave_first: bool
) -> None:
    """asyncio's semaphores lost theirs."""
    bulkhead, log, heirs = Bulkhead("db", limit=1), Log(), trio.CancelScope()

    async def heir() -> None:
        with heirs:
            await stay(bulkhead, 1.0, "heir", log)

    async with trio.open_nursery() as nursery:
        await bulkhead.__aenter__()
        await in_order(nursery, heir)
        await in_order(nursery, stay, bulkhead, 1.0, "next", log)
        if leave_first:
            await bulkhead.__aexit__(None, None, None)
            heirs.cancel()
        else:
            heirs.cancel()
            await bulkhead.__aexit__(None, None, None)
    assert log.lines == [("heir in", 0.0)] * leave_first + [("next in", 0.0)]
    assert settled(bulkhead)


@pytest.mark.parametrize("max_wait", [math.inf, 1.5])
def test_cancelled_anywhere_nothing_is_left(max_wait: float) -> None:
    seen: list[BulkheadStatistics] = []

    async def program() -> None:
        bulkhead, log = Bulkhead("db", BulkheadPolicy(limit=2, max_wait=max_wait)), Log()
        try:
            with assert_no_leaks(bulkhead):
                async with trio.open_nursery() as nursery:
                    for name in "abcdef":
                        nursery.start_soon(stay, bulkhead, 1.0, name, log)
                    await trio.sleep(0.5)
                    bulkhead.resize(1)
                    await trio.sleep(1.0)
                    bulkhead.resize(3)
        finally:
            seen.append(bulkhead.statistics())

    def check(cut: Cut[None]) -> None:
        told = seen[-1]
        assert (told.inside, told.waiting) == (0, 0)
        if not cut.reached:
            assert told.entered + told.refused == 6

    assert cancel_everywhere(program, check=check) > 15


@pytest.mark.parametrize("at", range(1, 8))
async def test_one_of_many_interrupted_delays_nobody(
    autojump_clock: MockClock, at: int
) -> None:
    """The second of five, cancelled at each of its steps: the others come in one after the other, without a gap."""
    bulkhead, log, scope = Bulkhead("db", limit=1), Log(), trio.CancelScope()
    steps = 0

    class Cancel(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal steps
            if task.name == "second":
                steps += 1
                if steps == at:
                    scope.cancel()

    async def second() -> None:
        with scope:
            await stay(bulkhead, 1.0, "b", log)

    cancel = Cancel()
    trio.lowlevel.add_instrument(cancel)
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 1.0, "a", log)
        nursery.start_soon(second, name="second")
        await wait_all_tasks_blocked()
        for name in "cde":
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
    trio.lowlevel.remove_instrument(cancel)
    times = {what: when for what, when in log.lines if what != "b in"}
    late = 1.0 if ("b in", 1.0) in log.lines and not scope.cancelled_caught else 0.0
    assert times == {"a in": 0.0, "c in": 1.0 + late, "d in": 2.0 + late, "e in": 3.0 + late}
    assert settled(bulkhead)


# ---------------------------------------------------------------- the limit


async def test_a_higher_limit_lets_in_as_many_as_there_is_room_for_at_once(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", limit=1), Log()
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await in_order(nursery, stay, bulkhead, 4.0, name, log)
        await trio.sleep(1.0)
        with trio.testing.assert_no_checkpoints():
            bulkhead.resize(3)
        assert bulkhead.statistics().inside == 3
    assert sorted(log.lines) == [("a in", 0.0), ("b in", 1.0), ("c in", 1.0), ("d in", 4.0)]


async def test_a_lower_limit_puts_nobody_out_and_lets_nobody_in_until_enough_have_left(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", limit=3), Log()
    async with trio.open_nursery() as nursery:
        for name, seconds in zip("abcde", (1.0, 2.0, 3.0, 1.0, 1.0), strict=True):
            await in_order(nursery, stay, bulkhead, seconds, name, log)
        bulkhead.resize(1)
        assert bulkhead.statistics().inside == 3
    assert [at for _, at in log.lines] == [0.0, 0.0, 0.0, 3.0, 4.0]
    assert bulkhead.policy.limit == 3


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
async def test_a_limit_that_makes_no_sense_changes_nothing(limit: Any) -> None:
    bulkhead = Bulkhead("db", limit=2)
    with pytest.raises(ValueError, match=r"^Bulkhead: limit must be a whole number >= 1, not"):
        bulkhead.resize(limit)
    assert bulkhead.statistics().limit == 2


# ---------------------------------------------------------------- nesting


async def test_entered_in_its_own_body_it_says_so_instead_of_waiting_for_itself(
    autojump_clock: MockClock,
) -> None:
    bulkhead = Bulkhead("db", limit=2)
    async with bulkhead:
        with pytest.raises(GuardReentryError, match=r"'db'.*inside its own body"):
            async with bulkhead:
                raise AssertionError
        with pytest.raises(GuardReentryError), bulkhead.enter_nowait():
            raise AssertionError
        assert bulkhead.statistics().inside == 1
    assert settled(bulkhead)


async def test_a_child_task_of_the_body_would_make_it_wait_for_itself(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", limit=1), Log()

    async def grandchild() -> None:
        with pytest.raises(GuardReentryError):
            async with bulkhead:
                raise AssertionError
        log.note("refused")

    async def child() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(grandchild)

    async with bulkhead, trio.open_nursery() as nursery:
        nursery.start_soon(child)
    assert log.lines == [("refused", 0.0)]


async def test_a_task_of_a_nursery_around_the_body_just_waits(
    autojump_clock: MockClock,
) -> None:
    bulkhead, log = Bulkhead("db", limit=1), Log()
    async with trio.open_nursery() as outer, bulkhead, trio.open_nursery() as inner:
        inner.start_soon(trio.sleep, 1.0)
        outer.start_soon(stay, bulkhead, 1.0, "outer", log)
    assert log.lines == [("outer in", 1.0)]


async def test_two_bulkheads_nest(autojump_clock: MockClock) -> None:
    one, other = Bulkhead("one", limit=1), Bulkhead("other", limit=1)
    async with one, other:
        assert (one.statistics().inside, other.statistics().inside) == (1, 1)


async def test_left_by_a_task_that_did_not_enter_it_changes_nothing() -> None:
    bulkhead = Bulkhead("db", limit=1)

    async def stranger() -> None:
        with pytest.raises(GuardMisuseError, match=r"'db'.*did not enter it"):
            await bulkhead.__aexit__(None, None, None)

    async with trio.open_nursery() as nursery, bulkhead:
        nursery.start_soon(stranger)
        await wait_all_tasks_blocked()
        assert bulkhead.statistics().inside == 1


# ---------------------------------------------------------------- one run of Trio


def test_in_another_run_it_starts_blank() -> None:
    bulkhead = Bulkhead("db", limit=1)

    async def abandon() -> None:
        bulkhead.resize(3)
        await bulkhead.__aenter__()
        assert bulkhead.statistics().inside == 1

    async def anew() -> None:
        async with bulkhead:
            told = bulkhead.statistics()
            assert (told.limit, told.inside, told.entered) == (1, 1, 1)

    trio.run(abandon)
    trio.run(anew)
    trio.run(anew)


async def test_under_two_runs_at_once_it_is_refused() -> None:
    bulkhead = Bulkhead("db", limit=2)
    found: list[BaseException] = []

    def elsewhere() -> None:
        async def main() -> None:
            async with bulkhead:
                raise AssertionError

        try:
            trio.run(main)
        except GuardInUseError as error:
            found.append(error)

    async with bulkhead:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        assert bulkhead.statistics().entered == 1
    assert [type(error) for error in found] == [GuardInUseError]


# ---------------------------------------------------------------- settings and events


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 0}, "limit must be a whole number >= 1, not 0"),
        ({"limit": 1.0}, "limit must be a whole number >= 1, not 1.0"),
        (
            {"limit": 1, "max_waiters": -1},
            "max_waiters must be a whole number >= 0 or None, not -1",
        ),
        ({"limit": 1, "max_wait": -0.5}, "max_wait must be a number of seconds >= 0, not -0.5"),
        (
            {"limit": 1, "max_wait": math.nan},
            "max_wait must be a number of seconds >= 0, not nan",
        ),
        ({"limit": 1, "max_wait": "3"}, "max_wait must be a number of seconds >= 0, not '3'"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        BulkheadPolicy(**settings)
    assert str(caught.value) == f"BulkheadPolicy: {message}"


def test_a_policy_is_a_value() -> None:
    policy = BulkheadPolicy(limit=3)
    assert (policy.max_waiters, policy.max_wait) == (None, math.inf)
    assert Bulkhead("a", limit=3).policy == Bulkhead("b", policy).policy
    frozen: Any = policy
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        frozen.limit = 4


@pytest.mark.parametrize("settings", [{}, {"policy": BulkheadPolicy(limit=1), "limit": 2}])
def test_either_a_limit_or_a_policy(settings: dict[str, Any]) -> None:
    make: Any = Bulkhead
    policy = settings.pop("policy", None)
    with pytest.raises(TypeError, match="either limit= or a BulkheadPolicy"):
        make("db", *([policy] if policy else []), **settings)


async def test_every_event_is_told_in_order_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    policy = BulkheadPolicy(limit=1, max_waiters=2, max_wait=2.0)
    bulkhead, log = Bulkhead("db", policy, on_event=events.append), Log()
    cancelled = trio.CancelScope()

    async def c() -> None:
        with cancelled:
            await stay(bulkhead, 1.0, "c", log)

    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 1.0, "a", log)
        await in_order(nursery, stay, bulkhead, 3.0, "b", log)
        await in_order(nursery, c)
        await in_order(nursery, stay, bulkhead, 1.0, "d", log)
        await trio.sleep(0.5)
        cancelled.cancel()
        await trio.sleep(1.0)
        await in_order(nursery, stay, bulkhead, 1.0, "e", log)
        await trio.sleep(3.0)
        bulkhead.resize(2)
        bulkhead.resize(2)
        with bulkhead.enter_nowait():
            bulkhead.resize(1)
    assert {event.guard for event in events} == {"db"}
    assert told(events) == [
        {"event": "WaitStarted", "timestamp": 0.0, "waiting": 1},
        {"event": "WaitStarted", "timestamp": 0.0, "waiting": 2},
        {"event": "CallRejected", "timestamp": 0.0, "reason": "queue", "retry_after": None},
        {"event": "WaitEnded", "timestamp": 0.5, "outcome": "cancelled", "waited": 0.5},
        {"event": "WaitEnded", "timestamp": 1.0, "outcome": "admitted", "waited": 1.0},
        {"event": "WaitStarted", "timestamp": 1.5, "waiting": 1},
        {"event": "WaitEnded", "timestamp": 3.5, "outcome": "rejected", "waited": 2.0},
        {"event": "CallRejected", "timestamp": 3.5, "reason": "max_wait", "retry_after": None},
        {"event": "LimitChanged", "timestamp": 4.5, "before": 1, "limit": 2},
        {"event": "LimitChanged", "timestamp": 4.5, "before": 2, "limit": 1},
    ]


async def test_a_listener_that_raises_hurts_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(event: GuardEvent) -> None:
        raise ValueError(event)

    bulkhead, log = Bulkhead("db", limit=1, on_event=bad), Log()
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
    assert [at for _, at in log.lines] == [0.0, 1.0, 2.0]
    assert "on_event of guard 'db' raised" in caplog.text


async def test_a_listener_may_make_room_for_the_very_caller_it_is_told_of(
    autojump_clock: MockClock,
) -> None:
    def grow(event: GuardEvent) -> None:
        if event.event_type == "wait_start":
            bulkhead.resize(bulkhead.statistics().limit + 1)

    policy, log = BulkheadPolicy(limit=1, max_wait=2.0), Log()
    bulkhead = Bulkhead("db", policy, on_event=grow)
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
    assert log.lines == [("a in", 0.0), ("b in", 0.0), ("c in", 0.0)]
    assert bulkhead.statistics().limit == 3


async def test_a_listener_may_make_room_for_others_while_it_is_told_of_a_caller(
    autojump_clock: MockClock,
) -> None:
    """Three wait; told of the fourth, the listener lets in the first two."""

    def grow(event: GuardEvent) -> None:
        if event.event_type == "wait_start" and event.waiting == 3:
            bulkhead.resize(3)

    policy, log = BulkheadPolicy(limit=1, max_wait=0.5), Log()
    bulkhead = Bulkhead("db", policy, on_event=grow)
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await in_order(nursery, stay, bulkhead, 1.0, name, log)
    assert sorted(log.lines) == [
        ("a in", 0.0),
        ("b in", 0.0),
        ("c in", 0.0),
        ("d max_wait", 0.5),
    ]


async def test_a_listener_may_cancel_who_has_just_been_let_in(
    autojump_clock: MockClock,
) -> None:
    heirs, log = trio.CancelScope(), Log()

    def cancel(event: GuardEvent) -> None:
        if event.event_type == "limit_changed":
            heirs.cancel()

    async def heir() -> None:
        with heirs:
            await stay(bulkhead, 1.0, "heir", log)

    bulkhead = Bulkhead("db", limit=1, on_event=cancel)
    async with trio.open_nursery() as nursery:
        await in_order(nursery, stay, bulkhead, 1.0, "a", log)
        await in_order(nursery, heir)
        bulkhead.resize(2)
    assert heirs.cancelled_caught
    assert log.lines == [("a in", 0.0), ("heir in", 0.0)]
    assert settled(bulkhead)
