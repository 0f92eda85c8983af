"""Adaptive limits and load shedders keep their promises in every order of tasks, wherever they are cancelled, and begin anew each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    LimitReachedError,
    LoadShedder,
    LoadShedError,
    load_of,
)
from agentflow_trio.robustness import AdaptiveLimitStatistics
from agentflow_trio.testing import (
    Cut,
    Faults,
    assert_no_leaks,
    cancel_everywhere,
    explore,
    first,
    simulate,
)

SEEDS = 40


async def crowd(work: Callable[[int], Awaitable[object]], many: int) -> None:
    """Do it so many times at once."""

    async def one(number: int) -> None:
        await work(number)

    async with trio.open_nursery() as nursery:
        for number in range(many):
            nursery.start_soon(one, number, name=f"task {number}")


def test_never_are_more_inside_than_the_maximum_and_everybody_is_served() -> None:
    async def program() -> tuple[int, AdaptiveLimitStatistics]:
        policy = AdaptiveLimitPolicy(initial=2, maximum=3, backoff=0.5, max_waiters=9)
        limit = AdaptiveLimit("a", policy)
        inside = most = 0

        async def call(number: int) -> None:
            nonlocal inside, most
            with suppress(OSError):
                async with limit:
                    inside += 1
                    most = max(most, inside)
                    await trio.sleep(1.0)
                    inside -= 1
                    if number == 0:
                        raise OSError

        with assert_no_leaks(limit):
            await crowd(call, 6)
        return most, limit.statistics()

    def check(seen: tuple[int, AdaptiveLimitStatistics]) -> None:
        most, told = seen
        assert 2 <= most <= 3
        assert (told.entered, told.succeeded, told.failed) == (6, 5, 1)
        assert 1 <= told.limit <= 3

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


SHARED = AdaptiveLimit("shared", AdaptiveLimitPolicy(initial=10))


def test_a_shared_limit_begins_as_its_policy_says_in_each_execution() -> None:
    async def program() -> list[int]:
        seen = list[int]()

        async def fail() -> None:
            raise OSError

        for _ in range(3):
            with suppress(OSError):
                await SHARED.call(fail)
            seen.append(SHARED.statistics().limit)
        return seen

    def check(seen: list[int]) -> None:
        assert seen == [9, 8, 7]

    explore(program, check=check, seeds=10).raise_on_failure()


@pytest.mark.parametrize("max_waiters", [0, 9])
def test_a_place_is_given_back_wherever_its_user_is_cancelled(max_waiters: int) -> None:
    told: list[AdaptiveLimitStatistics] = []

    async def program() -> None:
        policy = AdaptiveLimitPolicy(initial=1, max_waiters=max_waiters, max_wait=1.5)
        limit = AdaptiveLimit("a", policy)

        async def call(_: int) -> None:
            with suppress(LimitReachedError):
                async with limit:
                    await trio.sleep(1.0)

        try:
            with assert_no_leaks(limit):
                await crowd(call, 3)
        finally:
            told.append(limit.statistics())

    def check(cut: Cut[None]) -> None:
        last = told[-1]
        assert (last.inside, last.waiting) == (0, 0)
        assert last.limit == 1 + last.succeeded - last.stale
        assert cut.reached or last.unjudged == 0

    assert cancel_everywhere(program, check=check) > 5


def test_a_line_behind_a_shedder_is_as_long_as_the_load_allows_in_every_order() -> None:
    async def program() -> tuple[int, int]:
        places = Bulkhead("places", limit=1)
        door = LoadShedder("door", load_of(places), threshold=1)

        async def call(_: int) -> None:
            with suppress(LoadShedError):
                async with door, places:
                    await trio.sleep(1.0)

        with assert_no_leaks(places, door):
            for _ in range(2):
                await crowd(call, 4)
        return door.statistics().entered, door.statistics().refused

    def check(seen: tuple[int, int]) -> None:
        assert seen == (4, 4)  # one inside and one behind it, twice

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_calls_behind_a_limit_can_be_made_to_fail_by_its_name() -> None:
    async def program() -> list[int]:
        limit, seen = AdaptiveLimit("model"), list[int]()
        for _ in range(3):
            with suppress(OSError):
                await limit.call(trio.sleep, 1.0)
            seen.append(limit.statistics().limit)
        return seen

    with simulate(program, faults=Faults(model=first(2, OSError))) as sim:
        sim.run()
        assert sim.result == [18, 16, 16]
