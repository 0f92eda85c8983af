"""What TTLCache promises in Trio: values as long as they are good, one load for all, and nothing of the past."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
import trio
from loading_kit import Shop, told
from trio.testing import MockClock, assert_checkpoints, assert_no_checkpoints

from agentflow_trio import CachePolicy, GuardInUseError, LoadFailedError, TTLCache
from agentflow_trio.robustness import GuardEvent, TTLCacheStatistics
from agentflow_trio.testing import assert_no_leaks, simulate

# ---------------------------------------------------------------- as long as it is good


async def test_a_value_is_good_until_ttl_seconds_after_it_was_loaded(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0)
    assert await cache.get("x") == "x1"  # loaded at 1.0
    await trio.sleep_until(5.9375)
    assert await cache.get("x") == "x1"
    assert trio.current_time() == 5.9375
    await trio.sleep_until(6.0)
    assert await cache.get("x") == "x2"
    assert trio.current_time() == 7.0


async def test_a_value_is_good_for_ever_if_so_asked(autojump_clock: MockClock) -> None:
    cache = TTLCache(Shop().load, ttl=math.inf)
    await cache.get("x")
    await trio.sleep(80_000.0)
    assert await cache.get("x") == "x1"


async def test_all_who_miss_at_the_same_time_share_one_load(autojump_clock: MockClock) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0)
    with assert_no_leaks(cache):
        async with trio.open_nursery() as nursery:
            await shop.asked_by(nursery, cache.get, "x", "a", "b")
            await trio.sleep(1.5)
            await shop.asked_by(nursery, cache.get, "x", "c")
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "x1", 1.0), ("c", "x1", 1.5)]
    assert cache.statistics() == TTLCacheStatistics(
        stored=1,
        hits=1,
        stale=0,
        evicted=0,
        running=0,
        waiting=0,
        joined=1,
        loaded=1,
        failed=0,
        cancelled=0,
    )


async def test_what_the_heir_of_a_cancelled_load_loads_is_kept(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope(deadline=0.5)
        await shop.asked_by(nursery, cache.get, "x", "a", scope=scope)
        await shop.asked_by(nursery, cache.get, "x", "b")
    assert sorted(shop.story) == [("a", "cancelled", 0.5), ("b", "x2", 1.5)]
    assert cache.peek("x") == "x2"


async def test_errors_are_never_kept(autojump_clock: MockClock) -> None:
    shop = Shop(error=OSError())
    cache = TTLCache(shop.load, ttl=5.0)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "x", "a", "b")
    assert shop.errors["a"] is shop.error
    assert isinstance(shop.errors["b"], LoadFailedError)
    shop.error = None
    assert await cache.get("x") == "x2"


async def test_who_was_used_longest_ago_goes_first(autojump_clock: MockClock) -> None:
    shop = Shop(seconds=0.0)
    cache = TTLCache(shop.load, CachePolicy(ttl=60.0, max_size=2))
    for key in "xyxz":
        await cache.get(key)
    assert [cache.peek(key) for key in "xyz"] == ["x1", None, "z3"]
    assert cache.statistics().evicted == 1


async def test_of_as_many_as_one_likes_none_has_to_go(autojump_clock: MockClock) -> None:
    async def load(key: int) -> int:
        await trio.lowlevel.checkpoint()
        return key

    cache = TTLCache(load, CachePolicy(ttl=60.0, max_size=None))
    for key in range(2000):
        await cache.get(key)
    assert (cache.statistics().stored, cache.statistics().evicted) == (2000, 0)
    assert CachePolicy(ttl=60.0).max_size == 1024


# ---------------------------------------------------------------- when a load fails


async def test_what_is_old_stands_in_for_what_cannot_be_loaded(
    autojump_clock: MockClock,
) -> None:
    events: list[GuardEvent] = []
    shop = Shop()
    policy = CachePolicy(ttl=5.0, stale_if_error=10.0)
    cache = TTLCache(shop.load, policy, on_event=events.append)
    assert await cache.get("x") == "x1"  # good until 6.0, of use until 16.0
    shop.error = OSError("no route")
    await trio.sleep_until(6.0)
    assert cache.peek("x") is None
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "x", "a", "b")
    assert sorted(shop.story) == [("a", "x1", 7.0), ("b", "x1", 7.0)]
    assert (cache.statistics().stale, cache.statistics().failed) == (1, 1)
    assert told(events)[-2:] == [
        {
            "event": "LoadEnded",
            "timestamp": 7.0,
            "duration_ms": 1000.0,
            "outcome": "failed",
            "callers": 2,
        },
        {
            "event": "FallbackUsed",
            "timestamp": 7.0,
            "error": "OSError",
            "message": "no route",
        },
    ]
    await trio.sleep_until(14.9375)
    assert await cache.get("x") == "x1"
    assert trio.current_time() == 15.9375  # each tries again: a failure is not kept
    with pytest.raises(OSError, match="no route"):
        await cache.get("x")
    shop.error = None
    assert await cache.get("x") == "x5"


async def test_nothing_stands_in_for_what_was_invalidated_or_cancelled(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, CachePolicy(ttl=5.0, stale_if_error=math.inf))
    await cache.get("x")
    await trio.sleep(5.0)
    with trio.move_on_after(0.5) as scope:
        await cache.get("x")
    assert scope.cancelled_caught
    cache.invalidate("x")
    shop.error = OSError()
    with pytest.raises(OSError):
        await cache.get("x")
    assert cache.statistics().stale == 0


# ---------------------------------------------------------------- how long, value by value


def short(_: str, value: str) -> float:
    return {"x1": 2.0, "y2": 100.0}[value]


async def test_each_value_may_say_how_long_it_is_good_but_not_longer_than_ttl(
    autojump_clock: MockClock,
) -> None:
    cache = TTLCache(Shop(seconds=0.0).load, ttl=5.0, ttl_of=short)
    assert (await cache.get("x"), await cache.get("y")) == ("x1", "y2")
    await trio.sleep(1.9375)
    assert (cache.peek("x"), cache.peek("y")) == ("x1", "y2")
    await trio.sleep(0.0625)
    assert (cache.peek("x"), cache.peek("y")) == (None, "y2")
    await trio.sleep(3.0)
    assert cache.peek("y") is None


async def test_what_is_good_for_no_time_is_not_kept(autojump_clock: MockClock) -> None:
    cache = TTLCache(Shop().load, ttl=5.0, ttl_of=lambda _, value: 0.0)
    assert await cache.get("x") == "x1"
    assert await cache.get("x") == "x2"
    assert cache.statistics().stored == 0


def raises(_: str, __: str) -> float:
    raise KeyError("expires_in")


@pytest.mark.parametrize(
    ("ttl_of", "error", "message"),
    [
        (raises, "KeyError", "'expires_in'"),
        (
            lambda _, __: -1.0,
            "ValueError",
            "TTLCache: what ttl_of returns must be a number of seconds >= 0, not -1.0",
        ),
        (
            lambda _, __: None,
            "ValueError",
            "TTLCache: what ttl_of returns must be a number of seconds >= 0, not None",
        ),
    ],
)
async def test_a_value_of_which_nobody_can_tell_is_given_out_but_not_kept(
    autojump_clock: MockClock, ttl_of: Any, error: str, message: str
) -> None:
    events: list[GuardEvent] = []
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0, ttl_of=ttl_of, on_event=events.append)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "x", "a", "b")
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "x1", 1.0)]
    assert cache.peek("x") is None
    failed = {"event": "RuleFailed", "timestamp": 1.0, "error": error, "message": message}
    assert told(events)[1] == failed
    unheard = TTLCache(shop.load, ttl=5.0, ttl_of=ttl_of)
    unheard.put("x", "put")
    assert unheard.peek("x") is None


# ---------------------------------------------------------------- checkpoints


async def test_asking_is_a_checkpoint_also_for_what_is_kept(autojump_clock: MockClock) -> None:
    cache = TTLCache(Shop().load, ttl=5.0)
    with assert_checkpoints():
        await cache.get("x")
    with assert_checkpoints():
        await cache.get("x")
    with assert_no_checkpoints():
        assert cache.peek("x") == "x1"


async def test_who_is_cancelled_already_uses_nothing(autojump_clock: MockClock) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0)
    await cache.get("x")
    with trio.CancelScope() as scope:
        scope.cancel()
        await cache.get("x")
    assert scope.cancelled_caught
    assert cache.statistics().hits == 0


async def test_who_is_cancelled_while_it_is_given_a_kept_value_has_it(
    autojump_clock: MockClock,
) -> None:
    cache, got = TTLCache(Shop().load, ttl=5.0), list[str]()
    await cache.get("x")

    async def cancel() -> None:
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel)
            got.append(await cache.get("x"))
            await trio.sleep_forever()
    assert got == ["x1"]


# ---------------------------------------------------------------- by hand


async def test_what_is_put_is_found_for_ttl_seconds(autojump_clock: MockClock) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0)
    cache.put("x", "mine")
    await trio.sleep(4.9375)
    assert await cache.get("x") == "mine"
    await trio.sleep(0.0625)
    assert await cache.get("x") == "x1"
    cache.put("x", "again")
    assert await cache.get("x") == "again"


async def test_peek_loads_nothing_and_is_no_use(autojump_clock: MockClock) -> None:
    async def load(_: str) -> str | None:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    cache = TTLCache(load, CachePolicy(ttl=5.0, max_size=2))
    assert (cache.peek("x"), cache.peek("x", 7)) == (None, 7)
    cache.put("x", None)
    cache.put("y", "there")
    assert (cache.peek("x"), cache.peek("x", 7), cache.peek("y", 7)) == (None, None, "there")
    assert cache.statistics().hits == 0
    cache.put("z", "new")
    assert cache.peek("x", 7) == 7


async def test_what_is_invalidated_is_loaded_anew(autojump_clock: MockClock) -> None:
    cache = TTLCache(Shop().load, ttl=60.0)
    assert [await cache.get(key) for key in "xyz"] == ["x1", "y2", "z3"]
    cache.invalidate("x")
    cache.invalidate("never there")
    assert [await cache.get(key) for key in "xyz"] == ["x4", "y2", "z3"]
    cache.clear()
    assert cache.statistics().stored == 0
    assert [await cache.get(key) for key in "xyz"] == ["x5", "y6", "z7"]


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_what_becomes_invalid_while_it_is_loaded_is_given_out_but_not_kept(
    autojump_clock: MockClock, how: str
) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=60.0)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "x", "a", "b")
        await trio.sleep(0.5)
        if how == "clear":
            cache.clear()
        else:
            cache.invalidate("x")
        await trio.sleep(0.25)
        await shop.asked_by(nursery, cache.get, "x", "c")
        await trio.sleep_until(1.25)
        assert cache.peek("x") is None
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "x1", 1.0), ("c", "x2", 1.75)]
    assert cache.peek("x") == "x2"


async def test_the_older_of_two_loads_never_replaces_the_newer(
    autojump_clock: MockClock,
) -> None:
    times = [3.0, 1.0]

    async def load(_: str) -> str:
        seconds = times.pop(0)
        await trio.sleep(seconds)
        return f"after {seconds}"

    cache = TTLCache(load, ttl=60.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cache.get, "x")
        await trio.sleep(1.0)
        cache.invalidate("x")
        assert await cache.get("x") == "after 1.0"
    assert trio.current_time() == 3.0
    assert cache.peek("x") == "after 1.0"


async def test_what_is_put_is_newer_than_what_is_being_loaded(
    autojump_clock: MockClock,
) -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=60.0)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "x", "a", "b")
        await trio.sleep(0.5)
        cache.put("x", "put")
        await shop.asked_by(nursery, cache.get, "x", "c")
    assert sorted(shop.story) == [("a", "x1", 1.0), ("b", "x1", 1.0), ("c", "put", 0.5)]
    assert cache.peek("x") == "put"


async def test_what_a_listener_declares_invalid_when_its_load_ends_is_not_kept(
    autojump_clock: MockClock,
) -> None:
    def forget(event: GuardEvent) -> None:
        if event.event_type == "load_end":
            cache.invalidate("x")

    cache = TTLCache(Shop().load, ttl=60.0, on_event=forget)
    assert await cache.get("x") == "x1"
    assert cache.peek("x") is None


# ---------------------------------------------------------------- the run it belongs to


def test_in_another_run_it_starts_empty() -> None:
    cache = TTLCache(Shop().load, ttl=math.inf)

    async def ask() -> str:
        return await cache.get("x")

    async def look() -> str | None:
        return cache.peek("x")

    assert trio.run(ask, clock=MockClock(autojump_threshold=0)) == "x1"
    assert cache.statistics().stored == 1
    assert trio.run(look) is None
    assert (cache.statistics().stored, cache.statistics().loaded) == (0, 0)
    assert trio.run(ask, clock=MockClock(autojump_threshold=0)) == "x2"


def test_each_execution_of_a_simulation_starts_empty() -> None:
    shop = Shop()
    cache = TTLCache(shop.load, ttl=math.inf)

    async def twice() -> tuple[str, str]:
        return await cache.get("x"), await cache.get("x")

    for number in (1, 2):
        with simulate(twice) as sim:
            sim.run()
            assert sim.result == (f"x{number}", f"x{number}")


async def test_under_two_runs_at_once_it_is_refused(autojump_clock: MockClock) -> None:
    cache, refused = TTLCache(Shop().load, ttl=5.0), list[str]()

    async def everything() -> None:
        uses = {
            "put": lambda: cache.put("x", "no"),
            "peek": lambda: cache.peek("x"),
            "invalidate": lambda: cache.invalidate("x"),
            "clear": cache.clear,
        }
        for name, use in uses.items():
            try:
                use()
            except GuardInUseError:
                refused.append(name)
        try:
            await cache.get("x")
        except GuardInUseError:
            refused.append("get")

    await cache.get("x")
    thread = threading.Thread(target=trio.run, args=(everything,))
    thread.start()
    thread.join()
    assert refused == ["put", "peek", "invalidate", "clear", "get"]
    assert cache.peek("x") == "x1"


def test_what_is_not_asked_in_trio_has_no_time() -> None:
    cache = TTLCache(Shop().load, ttl=5.0)
    with pytest.raises(RuntimeError, match="must be called from async context"):
        cache.put("x", "y")
    assert cache.statistics().stored == 0


# ---------------------------------------------------------------- settings and events


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ttl": 0.0}, "ttl must be a number of seconds > 0, not 0.0"),
        ({"ttl": math.nan}, "ttl must be a number of seconds > 0, not nan"),
        ({"ttl": "5"}, "ttl must be a number of seconds > 0, not '5'"),
        (
            {"ttl": 5.0, "stale_if_error": -1.0},
            "stale_if_error must be a number of seconds >= 0, not -1.0",
        ),
        ({"ttl": 5.0, "max_size": 0}, "max_size must be a whole number >= 1 or None, not 0"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        CachePolicy(**settings)
    assert str(caught.value) == f"CachePolicy: {message}"


async def later(_: str, __: str) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("args", "settings", "message"),
    [
        ((7,), {"ttl": 5.0}, "load must be a function, not 7"),
        ((print,), {"ttl": 5.0, "name": 7}, "name must be a string, not 7"),
        ((print,), {}, "give either ttl= or a CachePolicy"),
        ((print, CachePolicy(ttl=5.0)), {"ttl": 5.0}, "give either ttl= or a CachePolicy"),
        ((print,), {"ttl": 5.0, "ttl_of": 7}, "ttl_of must be a plain function, not 7"),
        (
            (print,),
            {"ttl": 5.0, "ttl_of": later},
            f"ttl_of must be a plain function, not {later!r}",
        ),
    ],
    ids=map(str, range(6)),
)
def test_a_setting_that_makes_no_sense_is_refused(
    args: tuple[Any, ...], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        TTLCache(*args, **settings)
    assert str(caught.value) == f"TTLCache: {message}"


async def test_every_event_is_told_in_order_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    shop = Shop()
    cache = TTLCache(shop.load, ttl=5.0, name="prices", on_event=events.append)
    async with trio.open_nursery() as nursery:
        await shop.asked_by(nursery, cache.get, "secret", "a", "b")
        await trio.sleep(2.0)
        await shop.asked_by(nursery, cache.get, "secret", "c")
    assert {event.guard for event in events} == {"prices"}
    assert "secret" not in repr(events)
    assert told(events) == [
        {"event": "CacheHit", "timestamp": 0.0, "source": "joined"},
        {
            "event": "LoadEnded",
            "timestamp": 1.0,
            "duration_ms": 1000.0,
            "outcome": "loaded",
            "callers": 2,
        },
        {"event": "CacheHit", "timestamp": 2.0, "source": "stored"},
    ]
