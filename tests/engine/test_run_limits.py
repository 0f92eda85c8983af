"""Bounds on loops and runs, and that a long run needs neither memory nor stack."""

from __future__ import annotations

import math
import tracemalloc

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    FlowFailedError,
    MaxVisitsError,
    Next,
    Step,
    StepLimitError,
    Wiring,
    current_step,
    flow,
    race,
    step,
)
from agentflow_trio.errors import Failure
from agentflow_trio.events import ExecutionEvent

from .engine_kit import (
    Act,
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    looping,
    picture,
    saying,
    sleeping,
)

OBSERVED_OR_NOT = pytest.mark.parametrize("observed", [False, True])


def loop(times: int, *, max_visits: int | None = None) -> Step[Notes, []]:
    """A nested flow of one step that loops, as often as it takes."""
    again = looping(times).with_(max_visits=max_visits)

    @flow(name="loop")
    def looped() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    return Step(looped)


# ---------------------------------------------------------------- max_visits


@OBSERVED_OR_NOT
async def test_a_step_may_be_visited_as_often_as_it_says(observed: bool) -> None:
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(chain("f", loop(5, max_visits=5)), Notes())
    assert result.state.count == 5


@OBSERVED_OR_NOT
async def test_a_step_visited_more_often_than_it_may_fails_before_it_runs(
    observed: bool, autojump_clock: MockClock
) -> None:
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", loop(9, max_visits=5)), Notes())
    error = caught.value.only()
    assert isinstance(error, MaxVisitsError)
    assert (error.step, error.max_visits) == ("f/loop/again", 5)
    assert str(error) == (
        "f/loop/again would be visited more than max_visits=5 times; "
        "raise it, or look at who routes back"
    )
    assert caught.value.find(error) == Failure("f/loop/again#6", "prep", 1, 0.0)
    inner = caught.value.exceptions[0]
    assert isinstance(inner, FlowFailedError)
    assert inner.state == Notes([], 5)


@OBSERVED_OR_NOT
@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_max_visits_counts_per_execution_of_the_flow(
    timeout: float | None, observed: bool
) -> None:
    counts: list[int] = []

    @step(max_visits=2)
    async def twice(notes: Notes, *, more: Next, done: Next) -> Next:
        counts.append(current_step().visit)
        return more if current_step().visit == 1 else done

    @flow
    def inner() -> Wiring[Notes]:
        return [twice.to(more=twice, done=END)]

    nested, again = Step(inner, timeout=timeout), looping(3)

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(again), again.to(more=nested, done=END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes())
    assert counts == [1, 2] * 3
    assert result.visits["f/inner/twice"] == 6


@OBSERVED_OR_NOT
async def test_a_nested_flow_visited_too_often_can_be_caught_where_it_stands(
    observed: bool,
) -> None:
    paths: list[str] = []

    async def look() -> None:
        paths.append(current_step().path)

    nested = Step(chain("inner", saying("x")), max_visits=2)
    again, saved = looping(99), doing(look, "saved")

    @flow
    def f() -> Wiring[Notes]:
        return [
            nested.then(again).catch(MaxVisitsError, to=saved),
            again.to(more=nested, done=END),
            saved.then(END),
        ]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes())
    assert paths == ["f/saved"]
    assert result.visits == {"f/inner": 3, "f/inner/x": 2, "f/again": 2, "f/saved": 1}
    assert result.tail[-2:] == ("f/inner#3", "f/saved")


@OBSERVED_OR_NOT
async def test_a_nested_flow_visited_too_often_fails_in_the_flow_around_it(
    observed: bool,
) -> None:
    nested, again = Step(chain("inner", saying("x")), max_visits=1), looping(99)

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(again), again.to(more=nested, done=END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(f, Notes())
    error = caught.value.only()
    assert isinstance(error, MaxVisitsError)
    assert error.step == "f/inner"
    assert picture(caught.value) == ("f", [error])
    found = caught.value.find(error)
    assert found is not None
    assert found.path == "f/inner#2"


# ---------------------------------------------------------------- max_steps


@OBSERVED_OR_NOT
@pytest.mark.parametrize("limit", [1, 2, 399, 400, 401, 1000])
async def test_a_run_makes_exactly_as_many_steps_as_it_may(limit: int, observed: bool) -> None:
    observers = [Recorder()] if observed else []
    async with Engine(max_steps=limit, observers=observers) as engine:
        again = looping(limit)

        @flow
        def f() -> Wiring[Notes]:
            return [again.to(more=again, done=END)]

        assert (await engine.run(f, Notes())).steps == limit
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(f, Notes([], -1))
    error = caught.value.only()
    assert isinstance(error, StepLimitError)
    assert error.max_steps == limit
    assert error.busiest == {"f/again": limit}
    assert caught.value.state == Notes([], limit - 1)


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_the_error_names_the_three_busiest_steps(
    timeout: float | None, autojump_clock: MockClock
) -> None:
    first, busy = saying("first"), saying("busy")
    nested, again = Step(chain("inner", busy, saying("as busy")), timeout=timeout), looping(999)

    @flow
    def f() -> Wiring[Notes]:
        return [first.then(nested), nested.then(again), again.to(more=nested, done=END)]

    async with Engine(max_steps=18) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(f, Notes())
    error = caught.value.only()
    assert isinstance(error, StepLimitError)
    # first, then four rounds of inner, busy, as busy, again; then inner once more
    assert list(error.busiest.items()) == [
        ("f/inner", 5),
        ("f/again", 4),
        ("f/inner/as busy", 4),
    ]
    assert str(error) == (
        "the run reached max_steps=18; busiest: f/inner (5 visits), f/again (4 visits), "
        "f/inner/as busy (4 visits)"
    )
    assert caught.value.find(error) == Failure("f/inner#5", "flow", 1, 0.0)
    assert picture(caught.value) == ("f", [("f/inner#5", [error])])


async def test_steps_of_nested_flows_count() -> None:
    inner = Step(chain("inner", saying("x")))
    async with Engine(max_steps=2) as engine:
        assert (await engine.run(chain("f", inner), Notes())).steps == 2
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", inner, saying("y")), Notes())


async def test_the_step_limit_is_per_run() -> None:
    async with Engine(max_steps=3) as engine:
        for _ in range(3):
            await engine.run(chain("f", saying("a"), saying("b"), saying("c")), Notes())


# ---------------------------------------------------------------- memory and stack


async def peak_of(run: Act) -> int:
    """The most memory that was in use during *run*, beyond what was before, in bytes."""
    tracemalloc.start()
    try:
        await run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "times"),
    [("function", 8_000), ("class", 8_000), ("nested", 5_000), ("timed", 1_500)],
)
async def test_a_long_loop_needs_flat_memory(kind: str, times: int) -> None:
    """What is kept is a few hundred log entries and a hundred places."""

    @step
    async def quiet(notes: Notes) -> None:
        pass

    again = looping(times)
    bodies: dict[str, Step[Notes, []]] = {
        "function": quiet,
        "class": Step(Acts()),
        "nested": Step(chain("inner", quiet)),
        "timed": quiet.with_(timeout=50.0),
    }
    body = bodies[kind]

    @flow
    def f() -> Wiring[Notes]:
        return [body.then(again), again.to(more=body, done=END)]

    async def run() -> None:
        result = await f.run(Notes())
        assert result.state.count == times
        assert result.visits["f/again"] == times

    assert await peak_of(run) < 500_000


async def test_a_long_observed_loop_needs_flat_memory() -> None:
    class Counter:
        name = "counter"
        count = 0

        def observe(self, event: ExecutionEvent, /) -> None:
            self.count += 1

    counter, again = Counter(), looping(3_000)

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async def run() -> None:
        # or a busy machine would take its budget
        async with Engine(observers=[counter], observer_budget=math.inf) as engine:
            await engine.run(f, Notes())
        async with Engine() as engine, engine.start(f, Notes()) as started:
            events = started.events()
            await started.result()
            assert events.missed == 3 * 3_000 + 2 - 1000

    assert await peak_of(run) < 2_000_000
    assert counter.count == 3 * 3_000 + 2


async def test_a_loop_of_many_steps_needs_no_stack() -> None:
    again = looping(20_000)

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    result = await f.run(Notes())
    assert result.steps == 20_000
    assert result.tail[0] == "f/again#19901"
    assert len(result.tail) == 100


async def test_a_loop_of_failures_that_are_caught_needs_flat_memory() -> None:
    @step
    async def bad(notes: Notes) -> None:
        raise ValueError("x" * 1000)

    again = looping(2_000)

    @flow
    def f() -> Wiring[Notes]:
        return [
            bad.then(END).catch(ValueError, to=again),
            again.to(more=bad, done=END),
        ]

    async def run() -> None:
        await f.run(Notes())

    assert await peak_of(run) < 500_000


@OBSERVED_OR_NOT
async def test_a_step_that_was_cut_off_before_it_began_is_not_counted(
    observed: bool, autojump_clock: MockClock
) -> None:
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)

    inner = Step(chain("inner", doing(shielded, "a"), saying("b")), timeout=1.0)
    arms = Step(
        race(Step(chain("slow", doing(shielded, "x"), saying("y"))), sleeping(1, "z")), name="r"
    )

    @flow(name="f")
    def row() -> Wiring[Notes]:
        return [inner.then(arms).catch(DeadlineExceededError, to=arms), arms.then(END)]

    recorder = Recorder()
    async with Engine(observers=[recorder] if observed else [], max_steps=6) as engine:
        result = await engine.run(row, Notes())
    assert result.steps == sum(result.visits.values()) == 6
