"""A hedge keeps its promises in whatever order tasks go on, wherever the caller is cancelled, and seed for seed."""

from __future__ import annotations

from contextlib import suppress

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio import (
    END,
    AdaptiveDelay,
    Hedge,
    HedgePolicy,
    RetryBudget,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.robustness import GuardEvent, HedgeWon
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, explore, simulate

SEEDS = 40

SHARED = Hedge(
    HedgePolicy(after=AdaptiveDelay(maximum=0.25), budget=RetryBudget("b")), name="h"
)


class Work:
    """What runs, and what has come out of it."""

    def __init__(self, *takes: float) -> None:
        self.takes = takes
        self.running = 0
        self.begun = 0

    async def __call__(self, number: int) -> int:
        self.running += 1
        self.begun += 1
        try:
            await trio.sleep(self.takes[number - 1])
        finally:
            self.running -= 1
        return number


async def three_that_end_at_one_instant() -> tuple[int, int]:
    work = Work(0.75, 0.5, 0.25)
    winner = await Hedge(HedgePolicy(after=0.25, max_attempts=3)).attempts(work)
    return winner, work.running


def test_of_those_that_end_in_one_pass_the_first_attempt_wins_in_any_order_within_it() -> None:
    def check(seen: tuple[int, int]) -> None:
        assert seen == (1, 0)

    explore(
        three_that_end_at_one_instant, check=check, seeds=SEEDS, policy="batch"
    ).raise_on_failure()


def test_one_of_those_that_end_at_one_instant_wins_in_any_order_of_all() -> None:
    def check(seen: tuple[int, int]) -> None:
        assert seen in {(1, 0), (2, 0), (3, 0)}

    explore(three_that_end_at_one_instant, check=check, seeds=SEEDS).raise_on_failure()


def test_there_is_one_answer_and_nobody_is_left_in_any_order() -> None:
    async def program() -> list[tuple[float, int]]:
        answers: list[tuple[float, int]] = []

        async def one() -> None:
            work = Work(0.5, 0.125)
            winner = await SHARED.attempts(work)
            assert (work.running, work.begun) == (0, 2)
            answers.append((trio.current_time(), winner))

        with assert_no_leaks(SHARED):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(one)
        assert SHARED.statistics().calls == 3  # it began blank
        return answers

    def check(answers: list[tuple[float, int]]) -> None:
        assert answers == [(0.375, 2)] * 3

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_an_error_ends_the_call_in_any_order() -> None:
    wrong = ValueError("wrong")

    async def program() -> tuple[BaseException | None, float]:
        async def work(number: int) -> int:
            await trio.sleep(0.5)
            if number == 2:
                raise wrong
            await trio.sleep(9.0)
            return number

        try:
            await Hedge(HedgePolicy(after=0.25, on=OSError)).attempts(work)
        except ValueError as error:
            return error, trio.current_time()
        return None, trio.current_time()

    def check(seen: tuple[BaseException | None, float]) -> None:
        assert seen == (wrong, 0.75)

    explore(program, check=check, seeds=SEEDS).raise_on_failure()


def test_nobody_is_left_wherever_the_caller_is_cancelled() -> None:
    works: list[Work] = []

    async def program() -> int:
        hedge = Hedge(HedgePolicy(after=0.25, max_attempts=3))
        works.append(Work(2.0, 1.0, 0.25))
        with assert_no_leaks(hedge):
            return await hedge.attempts(works[-1])

    def check(cut: Cut[int]) -> None:
        assert works[-1].running == 0
        assert cut.cancelled or cut.result == 3

    assert cancel_everywhere(program, check=check, seeds=3) > 6


def test_failures_begin_others_wherever_the_caller_is_cancelled() -> None:
    async def program() -> int:
        async def work(number: int) -> int:
            await trio.sleep(0.25)
            if number < 3:
                raise OSError(number)
            return number

        hedge = Hedge(HedgePolicy(after=9.0, max_attempts=3))
        with (
            assert_no_leaks(hedge),
            suppress(OSError),
        ):  # which fails as the caller is cancelled
            return await hedge.attempts(work)
        return 0

    def check(cut: Cut[int]) -> None:
        assert cut.cancelled or cut.result == 0 or (cut.result, cut.time) == (3, 0.75)

    assert cancel_everywhere(program, check=check) > 4


def test_the_same_seed_gives_the_same_run() -> None:
    async def program() -> list[GuardEvent]:
        told: list[GuardEvent] = []
        hedge = Hedge(HedgePolicy(after=0.25, max_attempts=3), on_event=told.append)
        for _ in range(4):
            await hedge.attempts(Work(0.75, 0.5, 0.25))
        return told

    def told_with(seed: int) -> list[GuardEvent]:
        with simulate(program, seed=seed) as sim:
            sim.run()
            return sim.result

    for seed in range(3):
        first = told_with(seed)
        assert told_with(seed) == first
        assert sum(isinstance(event, HedgeWon) for event in first) == 4


@given(
    takes=st.lists(st.integers(0, 16), min_size=4, max_size=4),
    after=st.integers(1, 8),
    most=st.integers(1, 4),
)
def test_who_wins_and_when_is_what_a_child_would_say(
    takes: list[int], after: int, most: int
) -> None:
    """In sixteenths of a second: an attempt begins unless one has ended by then; the earliest end wins."""
    ends = [takes[0]]
    while len(ends) < most and len(ends) * after < min(ends):
        ends.append(len(ends) * after + takes[len(ends)])
    expected = ends.index(min(ends)) + 1, min(ends) / 16, len(ends)

    async def program() -> tuple[int, float, int]:
        work = Work(*(take / 16 for take in takes))
        winner = await Hedge(HedgePolicy(after=after / 16, max_attempts=most)).attempts(work)
        return winner, trio.current_time(), work.begun

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(program, clock=clock) == expected


@attrs.define
class Asked:
    paths: list[str] = attrs.field(factory=list)


@step
async def ask(asked: Asked) -> None:
    async def work(number: int) -> int:
        await trio.lowlevel.checkpoint()
        asked.paths.append(current_step().path)
        if number == 1:
            raise OSError
        return number

    await Hedge(after=9.0).attempts(work)


@flow
def asking() -> Wiring[Asked]:
    return [ask.then(END)]


async def test_attempts_are_in_the_step_that_makes_the_call() -> None:
    result = await asking.run(Asked())
    assert result.state.paths == ["asking/ask", "asking/ask"]
