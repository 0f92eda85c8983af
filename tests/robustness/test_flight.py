"""What SingleFlight promises in Trio: one load for all, whoever is cancelled, and an answer for everybody."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from loading_kit import Shop, told
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from agentflow_trio import (
    GuardInUseError,
    GuardReentryError,
    LoadFailedError,
    RateLimitedError,
    Retry,
    RetryPolicy,
    SingleFlight,
    Timeout,
    TTLCache,
    classify,
)
from agentflow_trio.robustness import GuardEvent, SingleFlightStatistics
from agentflow_trio.testing import Faults, assert_no_leaks, first, simulate

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def counts(flight: SingleFlight[Any, Any]) -> tuple[int, int, int, int, int, int]:
    """running, waiting, joined, loaded, failed, cancelled."""
    now = flight.statistics()
    return now.running, now.waiting, now.joined, now.loaded, now.failed, now.cancelled


# ---------------------------------------------------------------- one load for all


async def test_all_who_ask_at_the_same_time_share_one_load_in_the_task_of_the_first(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", "b", "c")
        assert counts(flight) == (1, 2, 2, 0, 0, 0)
        await trio.sleep(0.5)
        await shop.asked_by(nursery, flight.get, "x", "d")
    assert shop.begun == [("a", "x", 0.0)]
    assert sorted(shop.story) == [(name, "x1", 1.0) for name in "abcd"]
    assert counts(flight) == (0, 0, 3, 1, 0, 0)


async def test_all_get_the_very_same_value(autojump_clock: MockClock) -> None:
    async def load(key: str) -> object:
        await trio.sleep(1.0)
        return [key]

    flight, got = SingleFlight(load), list[object]()

    async def ask() -> None:
        got.append(await flight.get("x"))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert got == [["x"]] * 3
    assert len({id(value) for value in got}) == 1


@pytest.mark.parametrize("value", [None, ValueError("a value like any other")])
async def test_a_value_may_be_none_or_an_error(
    autojump_clock: MockClock, value: object
) -> None:
    async def load(_: str) -> object:
        await trio.sleep(1.0)
        return value

    flight, got = SingleFlight(load), list[object]()

    async def ask() -> None:
        got.append(await flight.get("x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert got == [value, value]


async def test_nothing_is_kept(autojump_clock: MockClock) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    assert await flight.get("x") == "x1"
    assert await flight.get("x") == "x2"
    assert trio.current_time() == 2.0


async def test_each_key_is_loaded_for_itself(autojump_clock: MockClock) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a")
        await shop.asked_by(nursery, flight.get, "y", "b")
        assert counts(flight) == (2, 0, 0, 0, 0, 0)
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "y2", 1.0)]


async def test_who_has_another_key_is_not_woken(autojump_clock: MockClock) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", "b")
        await trio.sleep(0.5)
        await shop.asked_by(nursery, flight.get, "y", "c", "d")
    assert sorted(shop.story) == [
        ("a", "x1", 1.0),
        ("b", "x1", 1.0),
        ("c", "y2", 1.5),
        ("d", "y2", 1.5),
    ]


async def test_the_load_has_the_context_of_the_one_who_loads(autojump_clock: MockClock) -> None:
    async def load(_: str) -> str:
        await trio.sleep(1.0)
        return WHO.get()

    flight, got = SingleFlight(load), dict[str, str]()

    async def ask(name: str) -> None:
        WHO.set(name)
        got[name] = await flight.get("x")

    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(ask, name)
            await wait_all_tasks_blocked()
    assert got == {"a": "a", "b": "a"}


async def test_a_key_that_cannot_be_one_changes_nothing() -> None:
    flight: SingleFlight[Any, str] = SingleFlight(Shop().load)
    with pytest.raises(TypeError, match="unhashable"):
        await flight.get([])
    assert counts(flight) == (0, 0, 0, 0, 0, 0)


# ---------------------------------------------------------------- checkpoints


async def test_asking_is_a_checkpoint_as_the_load_is_one(autojump_clock: MockClock) -> None:
    flight = SingleFlight(Shop().load)
    with assert_checkpoints():
        await flight.get("x")

    async def ask() -> None:
        with assert_checkpoints():
            await flight.get("x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)


async def test_who_is_cancelled_already_begins_nothing() -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    with trio.CancelScope() as scope:
        scope.cancel()
        await flight.get("x")
    assert scope.cancelled_caught
    assert (shop.begun, counts(flight)) == ([], (0, 0, 0, 0, 0, 0))


# ---------------------------------------------------------------- cancelling


async def test_when_the_one_who_loads_is_cancelled_the_next_begins_anew_at_once(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    scopes = [trio.CancelScope() for _ in range(3)]
    with assert_no_leaks(flight):
        async with trio.open_nursery() as nursery:
            for name, scope in zip("abc", scopes, strict=True):
                await shop.asked_by(nursery, flight.get, "x", name, scope=scope)
            await shop.asked_by(nursery, flight.get, "x", "d", "e")
            for scope in scopes:
                await trio.sleep(0.75)
                scope.cancel()
    assert shop.begun == [("a", "x", 0.0), ("b", "x", 0.75), ("c", "x", 1.5), ("d", "x", 2.25)]
    assert sorted(shop.story) == [
        ("a", "cancelled", 0.75),
        ("b", "cancelled", 1.5),
        ("c", "cancelled", 2.25),
        ("d", "x4", 3.25),
        ("e", "x4", 3.25),
    ]
    assert counts(flight) == (0, 0, 4, 1, 0, 3)


async def test_who_was_cancelled_while_it_loaded_may_ask_again_and_waits_for_its_heir(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)

    async def again(key: str) -> str:
        with trio.move_on_after(0.5):
            return await flight.get(key)
        return await flight.get(key)

    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, again, "x", "a")
        await shop.asked_by(nursery, flight.get, "x", "b")
    assert sorted(shop.story) == [("a", "x2", 1.5), ("b", "x2", 1.5)]


async def test_a_time_limit_of_the_one_who_loads_is_its_own(autojump_clock: MockClock) -> None:
    """Around the asking, not in the load: neither a scope nor a Timeout there says anything about the load."""
    shop = Shop(seconds=2.0)
    flight = SingleFlight(shop.load)
    hasty = Timeout(1.0)

    async def in_haste(key: str) -> str:
        return await hasty.call(flight.get, key)

    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, in_haste, "x", "a")
        await shop.asked_by(nursery, flight.get, "x", "b", scope=trio.CancelScope(deadline=1.5))
        await shop.asked_by(nursery, flight.get, "x", "c")
    assert sorted(shop.story) == [
        ("a", "failed", 1.0),  # DeadlineExceededError, of its own Timeout
        ("b", "cancelled", 1.5),
        ("c", "x3", 3.5),
    ]


async def test_a_time_limit_in_the_load_is_everybodys(autojump_clock: MockClock) -> None:
    shop, limit = Shop(seconds=2.0), Timeout(1.0)

    async def load(key: str) -> str:
        return await limit.call(shop.load, key)

    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", "b")
    assert sorted(shop.story) == [("a", "failed", 1.0), ("b", "told of a failure", 1.0)]
    assert shop.errors["b"].__cause__ is shop.errors["a"]


async def test_who_waits_may_be_cancelled_and_nobody_notices(autojump_clock: MockClock) -> None:
    shop, scope = Shop(), trio.CancelScope()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a")
        await shop.asked_by(nursery, flight.get, "x", "b", scope=scope)
        await shop.asked_by(nursery, flight.get, "x", "c")
        await trio.sleep(0.5)
        scope.cancel()
    assert shop.begun == [("a", "x", 0.0)]
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "cancelled", 0.5), ("c", "x1", 1.0)]
    assert counts(flight) == (0, 0, 2, 1, 0, 0)


async def test_when_all_are_cancelled_nothing_remains(autojump_clock: MockClock) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    with assert_no_leaks(flight):
        async with trio.open_nursery() as nursery:
            for name in "abc":
                scope = trio.CancelScope(deadline=0.5)
                await shop.asked_by(nursery, flight.get, "x", name, scope=scope)
    assert [(came, at) for _, came, at in shop.story] == [("cancelled", 0.5)] * 3
    assert await flight.get("x") == f"x{len(shop.begun)}"


async def test_who_waits_when_the_load_ends_has_the_value_though_cancelled_in_that_instant(
    autojump_clock: MockClock,
) -> None:
    scope, got = trio.CancelScope(), list[str]()

    async def load(key: str) -> str:
        await trio.sleep(1.0)
        return key

    flight = SingleFlight(load)

    async def lead() -> None:
        await flight.get("x")
        scope.cancel()  # before anybody else has moved

    async def wait() -> None:
        with scope:
            got.append(await flight.get("x"))
            await trio.lowlevel.checkpoint()
            raise AssertionError

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await wait_all_tasks_blocked()
        nursery.start_soon(wait)
    assert got == ["x"]
    assert scope.cancelled_caught


async def test_who_is_cancelled_before_the_load_ends_gets_nothing(
    autojump_clock: MockClock,
) -> None:
    shop, scope = Shop(), trio.CancelScope()

    async def load(key: str) -> str:
        value = await shop.load(key)
        scope.cancel()  # and ends without another checkpoint
        return value

    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a")
        await shop.asked_by(nursery, flight.get, "x", "b", scope=scope)
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "cancelled", 1.0)]
    assert counts(flight) == (0, 0, 1, 1, 0, 0)


async def test_an_heir_who_is_cancelled_in_the_same_instant_hands_on(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    first_scope, second_scope = trio.CancelScope(), trio.CancelScope()

    async def lead(key: str) -> str:
        try:
            return await flight.get(key)
        finally:
            second_scope.cancel()  # the next has been chosen, and has not begun

    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, lead, "x", "a", scope=first_scope)
        await shop.asked_by(nursery, flight.get, "x", "b", scope=second_scope)
        await shop.asked_by(nursery, flight.get, "x", "c")
        await trio.sleep(0.5)
        first_scope.cancel()
    assert sorted(shop.story) == [
        ("a", "cancelled", 0.5),
        ("b", "cancelled", 0.5),
        ("c", "x3", 1.5),
    ]


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        BaseExceptionGroup("both", [ValueError(), KeyboardInterrupt()]),
    ],
)
async def test_what_ends_a_program_is_no_answer(
    autojump_clock: MockClock, error: BaseException
) -> None:
    async def load(_: str) -> str:
        await trio.sleep(1.0)
        if trio.current_time() == 1.0:
            raise error
        return "anew"

    flight, got = SingleFlight(load), list[str]()

    async def wait() -> None:
        got.append(await flight.get("x"))

    async def lead() -> None:
        with pytest.raises(type(error)) as caught:
            await flight.get("x")
        assert caught.value is error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await wait_all_tasks_blocked()
        nursery.start_soon(wait)
    assert got == ["anew"]
    assert trio.current_time() == 2.0


async def test_a_group_with_a_cancellation_in_it_is_one(autojump_clock: MockClock) -> None:
    shop, scope = Shop(), trio.CancelScope()

    async def clumsy() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("broken by being cancelled")

    async def load(key: str) -> str:
        if not shop.begun:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clumsy)
                await shop.load(key)
        return await shop.load(key)

    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", scope=scope)
        await shop.asked_by(nursery, flight.get, "x", "b")
        await trio.sleep(0.5)
        scope.cancel()
    assert [came for name, came, _ in shop.story if name == "b"] == ["x2"]
    assert counts(flight) == (0, 0, 1, 1, 0, 1)


async def test_who_fails_because_it_was_cancelled_fails_alone(
    autojump_clock: MockClock,
) -> None:
    shop, scope = Shop(), trio.CancelScope()

    async def load(key: str) -> str:
        try:
            return await shop.load(key)
        except trio.Cancelled:
            raise ConnectionError from None

    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", scope=scope)
        await shop.asked_by(nursery, flight.get, "x", "b")
        await trio.sleep(0.5)
        scope.cancel()
    assert sorted(shop.story) == [("a", "failed", 0.5), ("b", "x2", 1.5)]


# ---------------------------------------------------------------- errors


async def test_who_loads_has_the_error_and_who_waits_has_one_of_its_own(
    autojump_clock: MockClock,
) -> None:
    shop = Shop(error=OSError("no route"))
    flight = SingleFlight(shop.load, name="prices")
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "secret", "a", "b", "c")
    assert shop.errors["a"] is shop.error
    waited = [shop.errors[name] for name in "bc"]
    assert waited[0] is not waited[1]
    for error in waited:
        assert isinstance(error, LoadFailedError)
        assert error.__cause__ is shop.error
        assert error.guard == "prices"
        assert "secret" not in f"{error} {error!r}"
    assert [at for _, _, at in shop.story] == [1.0] * 3
    assert counts(flight) == (0, 0, 2, 0, 1, 0)


async def test_errors_are_not_kept(autojump_clock: MockClock) -> None:
    shop = Shop(error=OSError())
    flight = SingleFlight(shop.load)
    with pytest.raises(OSError):
        await flight.get("x")
    shop.error = None
    assert await flight.get("x") == "x2"


async def test_guards_judge_both_by_the_error_of_the_load(autojump_clock: MockClock) -> None:
    """Around the asking, a retry of OSErrors repeats both; the second time they share a load again."""
    shop = Shop(error=OSError())
    flight = SingleFlight(shop.load)
    retry = Retry(RetryPolicy(max_attempts=2, base_delay=1.0, on=OSError))

    async def again(key: str) -> str:
        return await retry.call(flight.get, key)

    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, again, "x", "a", "b")
        await trio.sleep(1.5)
        shop.error = None
    assert len(shop.begun) == 2
    assert sorted(shop.story) == [("a", "x2", 3.0), ("b", "x2", 3.0)]


def test_a_failure_that_was_shared_is_of_the_kind_of_its_cause() -> None:
    error = LoadFailedError(guard="g")
    assert classify(error) == "permanent"
    error.__cause__ = ExceptionGroup("g", [RateLimitedError(guard="l", reason="full")])
    assert classify(error) == "rejected"


# ---------------------------------------------------------------- asking within a load


async def test_a_load_that_asks_for_itself_is_told_at_once(autojump_clock: MockClock) -> None:
    async def load(key: int) -> int:
        return await flight.get(key if key == 3 else key + 1)

    flight: SingleFlight[int, int] = SingleFlight(load, name="ring")
    with pytest.raises(GuardReentryError, match="'ring': loading a key asks for the same key"):
        await flight.get(1)
    assert counts(flight) == (0, 0, 0, 0, 3, 0)


async def test_a_task_of_the_load_is_in_it(autojump_clock: MockClock) -> None:
    async def load(key: int) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flight.get, key)
        return key

    flight: SingleFlight[int, int] = SingleFlight(load)
    with pytest.raises(ExceptionGroup) as caught:
        await flight.get(1)
    assert caught.group_contains(GuardReentryError)
    assert trio.current_time() == 0.0


async def test_a_task_that_does_not_belong_to_the_load_may_wait_for_it(
    autojump_clock: MockClock,
) -> None:
    """Its nursery was open before, so the load does not wait for it."""
    got = list[str]()

    async def load(key: str) -> str:
        nursery.start_soon(ask)
        await trio.sleep(1.0)
        return key

    async def ask() -> None:
        got.append(await flight.get("x"))

    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await flight.get("x")
    assert got == ["x"]


async def test_two_loads_that_ask_for_each_other_are_no_deadlock(
    autojump_clock: MockClock,
) -> None:
    async def load(key: str) -> str:
        await trio.sleep(1.0 if key == "x" else 2.0)
        other = "y" if key == "x" else "x"
        return key + await flight.get(other)

    shop = Shop()
    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a")
        await shop.asked_by(nursery, flight.get, "y", "b")
    assert isinstance(shop.errors["b"], GuardReentryError)
    assert shop.errors["a"].__cause__ is shop.errors["b"]
    assert [at for _, _, at in shop.story] == [2.0, 2.0]


async def test_a_load_may_ask_for_another_key(autojump_clock: MockClock) -> None:
    async def load(key: str) -> str:
        await trio.sleep(1.0)
        return key if len(key) == 1 else f"{key[0]}({await flight.get(key[1:])})"

    shop = Shop()
    flight = SingleFlight(load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "xyz", "a")
        await shop.asked_by(nursery, flight.get, "yz", "b")
    assert sorted(shop.story) == [("a", "x(y(z))", 2.0), ("b", "y(z)", 2.0)]


# ---------------------------------------------------------------- what is loaded is old


async def test_who_comes_after_invalidate_gets_nothing_that_was_begun_before(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", "b")
        await trio.sleep(0.5)
        flight.invalidate("x")
        flight.invalidate("y")
        await shop.asked_by(nursery, flight.get, "x", "c", "d")
        assert counts(flight) == (2, 2, 2, 0, 0, 0)
    assert sorted(shop.story) == [
        ("a", "x1", 1.0),
        ("b", "x1", 1.0),
        ("c", "x2", 1.5),
        ("d", "x2", 1.5),
    ]


async def test_what_is_begun_anew_after_that_is_new(autojump_clock: MockClock) -> None:
    shop, scope = Shop(), trio.CancelScope()
    flight = SingleFlight(shop.load)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", scope=scope)
        await shop.asked_by(nursery, flight.get, "x", "b")
        flight.invalidate("x")
        await trio.sleep(0.5)
        scope.cancel()
        await wait_all_tasks_blocked()
        await shop.asked_by(nursery, flight.get, "x", "c")
    assert sorted(shop.story) == [("a", "cancelled", 0.5), ("b", "x2", 1.5), ("c", "x2", 1.5)]


# ---------------------------------------------------------------- the run it belongs to


def test_in_another_run_it_starts_blank() -> None:
    shop = Shop()
    flight = SingleFlight(shop.load)

    async def left_behind() -> None:
        async with trio.open_nursery() as nursery:
            await shop.asked_by(nursery, flight.get, "x", "a", "b")
            nursery.cancel_scope.cancel()

    async def anew() -> str:
        return await flight.get("x")

    trio.run(left_behind, clock=MockClock(autojump_threshold=0))
    assert counts(flight) == (0, 0, 1, 0, 0, 1 + (len(shop.begun) - 1))
    assert trio.run(anew, clock=MockClock(autojump_threshold=0)).startswith("x")
    assert flight.statistics() == SingleFlightStatistics(
        running=0, waiting=0, joined=0, loaded=1, failed=0, cancelled=0
    )


async def test_under_two_runs_at_once_it_is_refused(autojump_clock: MockClock) -> None:
    flight, found = SingleFlight(Shop().load), list[BaseException]()

    def elsewhere() -> None:
        for use in (flight.get, invalidate):
            try:
                trio.run(use, "x")
            except GuardInUseError as error:
                found.append(error)

    async def invalidate(key: str) -> None:
        flight.invalidate(key)

    await flight.get("x")
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [type(error) for error in found] == [GuardInUseError] * 2
    assert counts(flight) == (0, 0, 0, 1, 0, 0)


def test_invalidate_needs_a_run() -> None:
    with pytest.raises(RuntimeError, match="must be called from async context"):
        SingleFlight(Shop().load).invalidate("x")


# ---------------------------------------------------------------- settings and events


@pytest.mark.parametrize(
    ("args", "settings", "message"),
    [
        ((7,), {}, "SingleFlight: load must be a function, not 7"),
        ((print,), {"name": 7}, "SingleFlight: name must be a string, not 7"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    args: tuple[Any, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        SingleFlight(*args, **settings)
    assert str(caught.value) == message


async def test_every_event_is_told_in_order_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    shop, scope = Shop(), trio.CancelScope()
    flight = SingleFlight(shop.load, name="prices", on_event=events.append)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "secret", "a", scope=scope)
        await shop.asked_by(nursery, flight.get, "secret", "b", "c")
        await trio.sleep(0.5)
        scope.cancel()
    shop.error = OSError()
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "secret", "d", "e")
    assert {event.guard for event in events} == {"prices"}
    assert "secret" not in repr(events)
    joined = {"event": "CacheHit", "source": "joined"}
    ended = {"event": "LoadEnded", "duration_ms": 1000.0}
    assert told(events) == [
        joined | {"timestamp": 0.0},
        joined | {"timestamp": 0.0},
        ended | {"timestamp": 0.5, "duration_ms": 500.0, "outcome": "cancelled", "callers": 3},
        ended | {"timestamp": 1.5, "outcome": "loaded", "callers": 2},
        joined | {"timestamp": 1.5},
        ended | {"timestamp": 2.5, "outcome": "failed", "callers": 2},
    ]


async def test_a_listener_that_raises_hurts_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(event: GuardEvent) -> None:
        raise ValueError(event)

    shop = Shop()
    flight = SingleFlight(shop.load, on_event=bad)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, flight.get, "x", "a", "b")
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "x1", 1.0)]
    assert "on_event of guard 'single_flight' raised" in caplog.text


# ---------------------------------------------------------------- faults and Ctrl-C


def test_the_load_is_a_call_behind_the_guard_of_that_name() -> None:
    async def program() -> str:
        shop = Shop()
        flight = SingleFlight(shop.load, name="prices")
        with pytest.raises(OSError):
            await flight.get("x")
        return await flight.get("x")

    with simulate(program, faults=Faults(prices=first(1, OSError))) as sim:
        sim.run()
        assert sim.result == "x1"


def test_ctrl_c_reaches_the_load_and_nothing_around_it() -> None:
    seen: list[tuple[str, bool]] = []

    def note(what: str) -> None:
        seen.append((what, trio.lowlevel.currently_ki_protected()))

    async def load(_: str) -> None:
        await wait_all_tasks_blocked()
        note("load")

    async def main() -> None:
        flight = SingleFlight(load, on_event=lambda event: note(event.event_type))
        cache = TTLCache(load, ttl=60.0, on_event=lambda event: note(event.event_type))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flight.get, "x")
            nursery.start_soon(flight.get, "x")
        await cache.get("x")
        await cache.get("x")

    trio.run(main)
    assert seen == [
        ("cache_hit", True),
        ("load", False),
        ("load_end", True),
        ("load", False),
        ("load_end", True),
        ("cache_hit", True),
    ]
