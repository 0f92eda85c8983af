"""Of a failure under faults, as few faults are kept as it takes; the code that repeats it says which."""

from __future__ import annotations

from random import Random

import pytest
import trio

from agentflow_trio.testing import (
    Delay,
    Faults,
    InjectedError,
    always,
    cancel_everywhere,
    chance,
    error_rate,
    explore,
    fault_point,
    record,
    simulate,
)


async def till(dice: Random) -> int:
    """Three take payments, six each, some of which are lost; four losses are too many."""
    paid = 0

    async def pay() -> None:
        nonlocal paid
        for _ in range(6):
            try:
                await fault_point("pay")
                paid += 1
            except InjectedError:
                pass
            await fault_point("log")
            await trio.sleep(0.1 + dice.random())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(pay)
    assert paid >= 15, f"{paid} paid"
    return paid


LOSSES = Faults(log=chance(0.5, Delay(1.0)), pay=error_rate(0.3))


def test_as_few_faults_are_left_as_it_takes() -> None:
    failure = explore(till, seeds=50, faults=LOSSES).failures[0]
    assert len(failure.faults) == 4
    assert all(hit.startswith("pay#") for hit in failure.faults)
    assert failure.faults_found_with > 4
    assert failure.deviations == 0
    told = str(failure).splitlines()[1]
    assert (
        told == f"faults: {', '.join(failure.faults)}, shrunk from {failure.faults_found_with}"
    )


def test_the_code_says_which_faults_and_everything_that_replays_understands_it() -> None:
    failure = explore(till, seeds=50, faults=LOSSES).failures[0]
    assert len(failure.code) <= 80
    again = explore(till, faults=LOSSES, replay=failure.code).failures[0]
    assert again.faults == failure.faults
    assert str(again.error).startswith("14 paid")
    timeline = record(till, faults=LOSSES, replay=failure.code)
    assert str(timeline.error).startswith("14 paid")
    with (
        simulate(till, faults=LOSSES, replay=failure.code) as sim,
        pytest.raises(AssertionError, match="14 paid"),
    ):
        sim.run()
    with pytest.raises(AssertionError, match="14 paid"):
        cancel_everywhere(till, faults=LOSSES, replay=failure.code)


def test_faults_that_have_nothing_to_do_with_it_are_all_left_out() -> None:
    async def program() -> None:
        await fault_point("log")
        raise LookupError

    failure = explore(program, seeds=1, faults=Faults(log=always(Delay(1)))).failures[0]
    assert failure.faults == ()
    assert failure.code.endswith("+")
    assert str(failure).splitlines()[1] == "faults: none needed, shrunk from 1"


def test_faults_that_are_all_needed_are_not_in_the_code() -> None:
    async def program() -> None:
        await fault_point("log")

    failure = explore(program, seeds=1, faults=Faults(log=always(OSError))).failures[0]
    assert failure.faults == ("log#1",)
    assert "+" not in failure.code
    assert str(failure).splitlines()[1] == "faults: log#1"


def test_where_too_many_are_needed_for_a_code_none_is_left_out() -> None:
    async def program() -> None:
        lost = 0
        for _ in range(90):
            try:
                await fault_point("pay")
            except InjectedError:
                lost += 1
            await fault_point("log")
        assert lost < 30

    faults = Faults(log=chance(0.1, Delay(1.0)), pay=error_rate(0.45))
    failure = explore(program, seeds=9, faults=faults).failures[0]
    assert "+" not in failure.code
    assert len(failure.faults) == failure.faults_found_with
    assert failure.confirmed


def test_a_race_that_a_fault_opens_keeps_both() -> None:
    async def program() -> None:
        value = 0

        async def add() -> None:
            nonlocal value
            before = value
            for _ in range(3):
                await fault_point("slow")
            value = before + 1

        async def adds() -> None:
            for _ in range(2):
                await add()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(adds)
            nursery.start_soon(adds)
        assert value == 4

    failure = explore(program, seeds=20, faults=Faults(slow=chance(0.5, Delay(1.0)))).failures[
        0
    ]
    assert len(failure.faults) <= 2
    assert failure.confirmed
