"""Loading once for all in whatever order tasks go on, wherever they are cancelled, and in programs drawn by chance."""

from __future__ import annotations

from typing import TypeAlias

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio import LoadFailedError, SingleFlight, TTLCache
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, explore, simulate

SEEDS = 60

Came: TypeAlias = tuple[str, str, float]
"""Who came, what it got, and when."""


class Model:
    """A load of 1 s that counts how many go on at once."""

    def __init__(self, fails: int = 0) -> None:
        self.begun = self.inside = self.most = 0
        self.fails = fails

    async def load(self, key: str) -> str:
        self.begun += 1
        number = self.begun
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await trio.sleep(1.0)
        finally:
            self.inside -= 1
        if number <= self.fails:
            raise OSError
        return f"{key}{number}"


async def ask(
    flight: SingleFlight[str, str] | TTLCache[str, str],
    name: str,
    limit: float,
    story: list[Came],
) -> None:
    came = "cancelled"
    try:
        with trio.CancelScope(deadline=limit):
            came = await flight.get("x")
    except OSError:
        came = "failed"
    except LoadFailedError:
        came = "told"
    story.append((name, came, trio.current_time()))


def test_whoever_is_cancelled_in_the_instant_in_which_a_load_ends_nobody_is_lost() -> None:
    """Four ask at 0; the time of two is over at 1.0, when the load ends. Whoever leads, the last two have a value."""

    async def program() -> tuple[list[Came], int, int]:
        model, story = Model(), list[Came]()
        flight = SingleFlight(model.load)
        with assert_no_leaks(flight):
            async with trio.open_nursery() as nursery:
                for name, limit in (("a", 1.0), ("b", 1.0), ("c", 9.0), ("d", 9.0)):
                    nursery.start_soon(ask, flight, name, limit, story)
        return story, model.begun, model.most

    def check(seen: tuple[list[Came], int, int]) -> None:
        story, begun, most = seen
        came = {name: (what, at) for name, what, at in story}
        assert most == 1
        assert 1 <= begun <= 2
        assert set(came) == set("abcd")
        assert all(came[name] in {("x1", 1.0), ("cancelled", 1.0)} for name in "ab")
        assert came["c"] == came["d"] == (f"x{begun}", float(begun))

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_one_after_the_other_is_cancelled_in_one_instant_and_the_last_one_loads() -> None:
    """Whichever of the first three leads at 0.5, all of them are cancelled then, each by another."""

    async def program() -> tuple[list[Came], int]:
        model, story = Model(), list[Came]()
        flight, scopes = SingleFlight(model.load), [trio.CancelScope() for _ in range(3)]

        async def one(number: int) -> None:
            try:
                with scopes[number]:
                    await flight.get("x")
            finally:
                scopes[(number + 1) % 3].cancel()

        with assert_no_leaks(flight):
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(one, number)
                nursery.start_soon(ask, flight, "last", 9.0, story)
                await trio.sleep(0.5)
                scopes[0].cancel()
        return story, model.most

    def check(seen: tuple[list[Came], int]) -> None:
        [(_, came, at)], most = seen
        assert most == 1
        assert came.startswith("x")
        assert at in {1.0, 1.5}

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_what_is_invalidated_in_the_instant_in_which_it_is_loaded_is_not_kept_for_later() -> (
    None
):
    async def program() -> tuple[str, str, int]:
        model, version = Model(), 0
        got = list[str]()

        async def load(_: str) -> str:
            before = version
            await model.load("x")
            return f"version {before}"

        cache = TTLCache(load, ttl=60.0)

        async def write() -> None:
            nonlocal version
            await trio.sleep(1.0)
            version = 1
            cache.invalidate("x")
            got.append(await cache.get("x"))

        with assert_no_leaks(cache):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cache.get, "x")
                nursery.start_soon(cache.get, "x")
                nursery.start_soon(write)
        return got[0], await cache.get("x"), model.begun

    def check(seen: tuple[str, str, int]) -> None:
        assert seen == ("version 1", "version 1", 2)

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_everybody_has_an_error_of_its_own_in_any_order() -> None:
    async def program() -> list[Came]:
        story = list[Came]()
        flight = SingleFlight(Model(fails=1).load)
        with assert_no_leaks(flight):
            async with trio.open_nursery() as nursery:
                for name in "abcd":
                    nursery.start_soon(ask, flight, name, 9.0, story)
        return story

    def check(story: list[Came]) -> None:
        assert sorted(came for _, came, _ in story) == ["failed", "told", "told", "told"]

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("seeds", [1, 3])
def test_wherever_it_is_cancelled_nothing_is_left_and_who_is_shielded_has_its_value(
    seeds: int, fails: int
) -> None:
    got: list[str] = []

    async def program() -> None:
        got.clear()
        model, story = Model(fails=fails), list[Came]()
        cache = TTLCache(model.load, ttl=60.0)

        async def shielded() -> None:
            with trio.CancelScope(shield=True):
                try:
                    got.append(await cache.get("x"))
                except (OSError, LoadFailedError):
                    got.append("failed")

        with assert_no_leaks(cache):
            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(ask, cache, name, 9.0, story)
                nursery.start_soon(shielded)
        assert model.most == 1

    def check(cut: Cut[None]) -> None:
        if cut.step:
            assert len(got) == 1
            assert not cut.cancelled or cut.time <= 2.0

    assert cancel_everywhere(program, check=check, seeds=seeds) > 5


# ---------------------------------------------------------------- drawn by chance


Guest: TypeAlias = tuple[int, int]
"""When it comes and how long it stays, in quarters of a second."""

GUESTS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
    max_size=6,
    unique_by=lambda guest: guest[0],
)
LOAD = 13 / 16


def leaves(number: int, guest: Guest) -> float:
    """When it has enough: an eighth after a quarter and a bit of its own, so that nothing else happens then."""
    return sum(guest) / 4 + 1 / 8 + number / 1024


def expected(guests: list[Guest]) -> dict[int, tuple[str, float]]:
    """What becomes of each, as told by somebody who stands beside the line."""
    steps = [(guest[0] / 4, number, True) for number, guest in enumerate(guests)]
    steps += [(leaves(number, guest), number, False) for number, guest in enumerate(guests)]
    line: list[int] = []
    became: dict[int, tuple[str, float]] = {}
    loads, ready = 0, 0.0
    for now, number, comes in sorted(steps):
        if line and ready < now:
            became |= dict.fromkeys(line, (f"x{loads}", ready))
            line.clear()
        leader = line[0] if line else None
        if comes:
            line.append(number)
        elif number in line:
            line.remove(number)
            became[number] = ("cancelled", now)
        if line and line[0] != leader:
            loads, ready = loads + 1, now + LOAD
    return became


@given(GUESTS)
def test_any_program_goes_as_somebody_who_stands_beside_the_line_says(
    guests: list[Guest],
) -> None:
    async def program() -> dict[int, tuple[str, float]]:
        loads = 0
        became: dict[int, tuple[str, float]] = {}

        async def load(key: str) -> str:
            nonlocal loads
            loads += 1
            number = loads
            await trio.sleep(LOAD)
            return f"{key}{number}"

        flight = SingleFlight(load)

        async def come(number: int, guest: Guest) -> None:
            await trio.sleep_until(guest[0] / 4)
            came = "cancelled"
            with trio.CancelScope(deadline=leaves(number, guest)):
                came = await flight.get("x")
            became[number] = (came, trio.current_time())

        with assert_no_leaks(flight):
            async with trio.open_nursery() as nursery:
                for number, guest in enumerate(guests):
                    nursery.start_soon(come, number, guest)
        return became

    with simulate(program) as sim:
        sim.run()
        assert sim.result == expected(guests)
