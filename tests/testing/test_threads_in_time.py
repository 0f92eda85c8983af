"""Simulations in several threads do not disturb each other, nor what else runs Trio meanwhile; threads of one are in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random, SystemRandom
from typing import TypeVar

import pytest
import trio
import trio.testing

from agentflow_trio.testing import _private, check_deterministic, explore, record, simulate

T = TypeVar("T")


async def busy() -> list[str]:
    """Five tasks whose order tells the schedule."""
    told: list[str] = []

    async def work(name: str) -> None:
        for number in range(6):
            told.append(f"{name}{number} at {trio.current_time()}")
            await trio.lowlevel.checkpoint()
            await trio.sleep(0.25)

    async with trio.open_nursery() as nursery:
        for name in "abcde":
            nursery.start_soon(work, name)
    return told


def side_by_side(*acts: Callable[[], T]) -> list[T]:
    """What each of *acts* returns, all run at once in threads of their own."""
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    together = threading.Barrier(len(acts))

    def run(number: int) -> None:
        together.wait(10)
        try:
            results[number] = acts[number]()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return [results[number] for number in range(len(acts))]


def traces(seed: int) -> list[Sequence[str]]:
    return [check_deterministic(busy, seed=seed, hash_seed=None) for _ in range(4)]


def test_two_simulations_in_two_threads_do_what_each_does_alone() -> None:
    alone = traces(1), traces(2)
    assert alone[0] != alone[1]
    assert side_by_side(lambda: traces(1), lambda: traces(2)) == list(alone)


def test_a_plain_run_in_a_third_thread_works_meanwhile() -> None:
    async def plain() -> int:
        done = 0

        async def work() -> None:
            nonlocal done
            await trio.sleep(0.001)
            done += 1

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(work)
        return done

    def often() -> object:
        return [trio.run(plain) for _ in range(20)]

    alone = traces(1)
    first, plainly, second = side_by_side(lambda: traces(1), often, lambda: traces(1))
    assert plainly == [5] * 20
    assert first == second == alone


def test_a_simulation_that_stands_still_in_one_thread_leaves_that_in_another_alone() -> None:
    alone = traces(7)
    with simulate(busy, seed=3) as sim:
        sim.run_until(0.6)
        assert side_by_side(lambda: traces(7)) == [alone]
        sim.run()
        here = sim.result
    with simulate(busy, seed=3) as sim:
        sim.run()
        assert sim.result == here


def test_searches_in_two_threads_find_what_each_finds_alone() -> None:
    def in_order(told: list[str]) -> None:
        assert told[0] != "c0 at 0.0"

    def code() -> str:
        return explore(busy, seeds=100, policy="batch", check=in_order).failures[0].code

    alone = code()
    assert side_by_side(code, code) == [alone, alone]


def test_a_simulation_may_begin_in_a_thread_of_a_program_that_runs_trio() -> None:
    def simulated() -> float:
        with simulate(trio.sleep_forever) as sim:
            sim.run_until(5)
            return sim.time

    async def main() -> float:
        return await trio.to_thread.run_sync(simulated)

    assert trio.run(main) == 5.0


# ---------------------------------------------------------------- threads of the program


async def in_threads(dice: Random) -> list[str]:
    """Four workers, each with three calls in threads that take any time and ask the loop for things."""
    told: list[str] = []

    async def work(name: str) -> None:
        for number in range(3):
            await trio.sleep(dice.choice([0.0, 0.5]))
            told.append(await trio.to_thread.run_sync(call, name, number))

    def call(name: str, number: int) -> str:
        threading.Event().wait(SystemRandom().random() * 0.002)
        if number == 1:
            trio.from_thread.run(trio.sleep, 0.25)
        if number == 2:
            trio.from_thread.run_sync(told.append, f"{name} asks")
        return f"{name}{number}"

    async with trio.open_nursery() as nursery:
        for name in "abcd":
            nursery.start_soon(work, name)
    return told


def test_several_threads_at_once_answer_in_an_order_that_can_be_had_again() -> None:
    timeline = record(in_threads, seed=3)
    for _ in range(4):
        again = record(in_threads, seed=3)
        assert again.result == timeline.result
        assert again.trace == timeline.trace
    fork = timeline.fork(at=timeline.duration / 2)
    assert not timeline.diff(fork)
    assert fork.to_svg() == timeline.to_svg()
    assert record(in_threads, seed=4).result != timeline.result


def test_who_waits_for_a_thread_says_what_that_works_on() -> None:
    go_on = threading.Event()

    def resize() -> None:
        go_on.wait()

    async def program() -> None:
        limiter = trio.CapacityLimiter(1)
        async with trio.open_nursery() as nursery:
            for name in ("first", "second"):
                nursery.start_soon(
                    partial(trio.to_thread.run_sync, resize, limiter=limiter), name=name
                )
            await trio.testing.wait_all_tasks_blocked()
            told.extend(task.waits_for for task in simulation.tasks())
            go_on.set()

    told: list[str] = []
    with simulate(program) as simulation:
        simulation.run()
    assert sorted(told) == ["", "a free thread, for resize", "a thread: resize"]


def test_where_trio_does_not_tell_who_sent_what_it_is_taken_up_as_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(_: object) -> None: ...

    monkeypatch.setattr(_private, "_sender", nobody)
    assert sorted(_told(in_threads)) == sorted(_told(in_threads))
    monkeypatch.setattr(_private, "active_thread_count", lambda: 1)

    async def without_a_queue() -> None:
        loop = _private.Loop()
        loop._entry = None
        loop.gather([])

    trio.run(without_a_queue)


def _told(program: Callable[[Random], Awaitable[list[str]]]) -> list[str]:
    with simulate(program, seed=3) as sim:
        sim.run()
        return sim.result


def test_threads_that_ask_trio_itself_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_private, "_PATIENCE", 1_000.0)

    async def program() -> list[float]:
        token = trio.lowlevel.current_trio_token()
        told: list[float] = []

        def call() -> None:
            trio.from_thread.run(trio.sleep, 1.0, trio_token=token)
            told.append(trio.from_thread.run_sync(trio.current_time, trio_token=token))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.to_thread.run_sync, call)
        return told

    assert record(program).result == [1.0] * 3


def test_threads_that_wait_for_each_other_hold_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_private, "_PATIENCE", 0.02)
    post: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def program() -> list[int]:
        told: list[int] = []

        async def take() -> None:
            told.append(await trio.to_thread.run_sync(post.get))

        async def give(number: int) -> None:
            told.append(await trio.to_thread.run_sync(int, number))
            if number == 2:
                post.put(7)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            for number in range(3):
                nursery.start_soon(give, number)
        return sorted(told)

    assert record(program).result == [0, 1, 2, 7]
