"""What an application's runs have in common: bounds, resources, ids; and that leaving the engine leaves nothing."""

# ruff: noqa: PT012 - how a body is left is what is tested, so bodies are written out

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from agentflow_trio import (
    END,
    Engine,
    EngineClosedError,
    FlowFailedError,
    Resource,
    ResourceError,
    RunCancelledError,
    StateForkError,
    StateTypeError,
    Step,
    TooManyRunsError,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.errors import CutOff
from agentflow_trio.events import ExecutionEvent

from .engine_kit import Notes, Recorder, chain, doing, failing, nothing, saying, sleeping

WORDS: Resource[list[str]] = Resource("words", list)
NUMBER: Resource[int] = Resource("number", int)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_steps": 0}, "Engine: max_steps must be a whole number >= 1, not 0"),
        ({"max_runs": 0}, "Engine: max_runs must be a whole number >= 1, not 0"),
        ({"max_runs": -5}, "Engine: max_runs must be a whole number >= 1, not -5"),
        (
            {"cleanup_grace": -1.0},
            "Engine: cleanup_grace must be a number of seconds >= 0, not -1.0",
        ),
        (
            {"cleanup_grace": float("inf")},
            "Engine: cleanup_grace must be a number of seconds >= 0, not inf",
        ),
        (
            {"observer_budget": float("nan")},
            "Engine: observer_budget must be a number of seconds >= 0, not nan",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    settings: dict[str, float], text: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Engine(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == text


async def test_run_ids_come_from_where_the_engine_is_told() -> None:
    class Counting:
        count = 0

        def run_id(self) -> str:
            self.count += 1
            return f"run-{self.count}"

    async with Engine(ids=Counting()) as engine:
        first = await engine.run(chain("f", saying("a")), Notes())
        assert first.run_id == "run-1"
        given = await engine.run(chain("f", saying("a")), Notes(), run_id="given")
        async with engine.start(chain("f", saying("a")), Notes()) as run:
            await run.result()
        assert (given.run_id, run.run_id) == ("given", "run-2")


async def test_an_engine_without_settings_runs_like_the_flow_alone(
    autojump_clock: MockClock,
) -> None:
    row = chain("f", sleeping(1, "a"), saying("b"))
    given = Notes(["given"])
    async with Engine() as engine:
        result = await engine.run(row, given, timeout=5, seed=3)
    assert result.state == Notes(["given", "a", "b"])
    assert given == Notes(["given"])
    assert (result.exit, result.steps, result.duration) == (None, 2, 1.0)


async def test_engine_run_raises_what_run_raises(autojump_clock: MockClock) -> None:
    error = ValueError("no")
    async with Engine() as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", failing(error, "a")), Notes())
        assert caught.value.only() is error
        with trio.move_on_after(1) as scope:
            await engine.run(chain("f", sleeping(9, "a")), Notes())
        assert scope.cancelled_caught
        with pytest.raises(KeyboardInterrupt):
            await engine.run(chain("f", failing(KeyboardInterrupt(), "a")), Notes())


# ---------------------------------------------------------------- resources


async def test_a_missing_resource_is_reported_before_anything_runs() -> None:
    ran: list[str] = []

    async def work() -> None:
        ran.append("ran")

    needy = doing(nothing, "needy").with_(uses=(WORDS,))
    inner = Step(chain("inner", needy))
    row = chain("f", doing(work, "a"), inner)
    text = (
        "resource 'words' of step 'needy': missing; run it with Engine(resources={WORDS: ...})"
    )
    recorder = Recorder()
    async with Engine(observers=[recorder], resources={NUMBER: 5}) as engine:
        with pytest.raises(ResourceError) as caught:
            await engine.run(row, Notes())
        assert str(caught.value) == text
        with pytest.raises(ResourceError):
            async with engine.start(row, Notes()):
                pytest.fail("the body ran")
    with pytest.raises(ResourceError) as caught:
        await row.run(Notes())
    assert str(caught.value) == text
    with pytest.raises(ResourceError):
        await needy.run(Notes())
    assert ran == []
    assert recorder.events == []


def test_a_resource_of_the_wrong_kind_is_refused_when_the_engine_is_made() -> None:
    with pytest.raises(ResourceError) as caught:
        Engine(resources={NUMBER: "five"})
    assert str(caught.value) == "resource 'number': must be a int, not a str"


async def test_resources_stay_the_applications_to_close() -> None:
    words: list[str] = []
    async with Engine(resources={WORDS: words}) as engine:

        async def use() -> None:
            current_step().use(WORDS).append("used")

        await engine.run(chain("f", doing(use, "a").with_(uses=(WORDS,))), Notes())
    assert words == ["used"]


async def test_the_mapping_given_may_change_afterwards() -> None:
    resources: dict[Resource[object], object] = {NUMBER: 5}
    engine = Engine(resources=resources)
    resources.clear()
    async with engine:
        await engine.run(chain("f", saying("a").with_(uses=(NUMBER,))), Notes())


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("state", [{}, [], "text", object()])
async def test_a_state_of_the_wrong_kind_is_refused_before_anything_runs(
    state: object,
) -> None:
    row = chain("f", saying("a"))
    async with Engine() as engine:
        with pytest.raises(StateTypeError):
            await row.run(state)  # type: ignore[arg-type]
        with pytest.raises(StateTypeError):
            await engine.run(row, state)  # type: ignore[misc]
        with pytest.raises(StateTypeError):
            async with engine.start(row, state):  # type: ignore[misc]
                pytest.fail("the body ran")


async def test_a_state_that_cannot_be_forked_is_refused_before_anything_runs() -> None:
    given = Notes()
    given.log = (number for number in [1])  # type: ignore[assignment]
    with pytest.raises(StateForkError):
        await chain("f", saying("a")).run(given)


async def test_an_engine_that_is_not_open_runs_nothing() -> None:
    row = chain("f", saying("a"))
    engine = Engine()
    with pytest.raises(EngineClosedError):
        await engine.run(row, Notes())
    async with engine:
        await engine.run(row, Notes())
    with pytest.raises(EngineClosedError):
        await engine.run(row, Notes())
    with pytest.raises(EngineClosedError):
        async with engine.start(row, Notes()):
            pytest.fail("the body ran")


async def test_an_engine_is_opened_once() -> None:
    engine = Engine()
    async with engine:
        with pytest.raises(EngineClosedError):
            await engine.__aenter__()
    with pytest.raises(EngineClosedError):
        await engine.__aenter__()


async def test_an_engine_runs_as_many_flows_at_once_as_it_may(
    autojump_clock: MockClock,
) -> None:
    row = chain("f", sleeping(1, "a"))
    async with Engine(max_runs=2) as engine:
        async with engine.start(row, Notes()), engine.start(row, Notes()) as second:
            with pytest.raises(TooManyRunsError) as caught:
                await engine.run(row, Notes())
            with pytest.raises(TooManyRunsError):
                async with engine.start(row, Notes()):
                    pytest.fail("the body ran")
            await second.result()
        for _ in range(3):
            await engine.run(row, Notes())
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", failing(ValueError(), "a")), Notes())
        async with engine.start(row, Notes()), engine.start(row, Notes()):
            pass
    assert caught.value.max_runs == 2
    assert str(caught.value) == "the engine already has 2 runs, its max_runs"


async def test_what_was_refused_takes_no_place() -> None:
    needy = saying("a").with_(uses=(WORDS,))
    async with Engine(max_runs=1) as engine:
        for _ in range(3):
            with pytest.raises(ResourceError):
                await engine.run(chain("f", needy), Notes())
            with pytest.raises(ValueError, match="timeout"):
                await engine.run(chain("f", saying("a")), Notes(), timeout=-1)
        await engine.run(chain("f", saying("a")), Notes())


# ---------------------------------------------------------------- leaving it


async def test_opening_and_leaving_an_engine_are_checkpoints() -> None:
    engine = Engine()
    with assert_checkpoints():
        await engine.__aenter__()
    with assert_checkpoints():
        await engine.__aexit__(None, None, None)


async def test_leaving_what_was_never_entered_does_nothing() -> None:
    engine = Engine()
    await engine.__aexit__(None, None, None)
    started = engine.start(chain("f", saying("a")), Notes())
    await started.__aexit__(None, None, None)
    async with engine:
        await engine.run(chain("f", saying("a")), Notes())


async def test_leaving_an_engine_waits_for_runs_in_other_tasks(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def other(engine: Engine) -> None:
        result = await engine.run(chain("f", sleeping(3, "a")), Notes())
        log.append(f"{result.state.log} at {trio.current_time():g}")

    async with trio.open_nursery() as nursery:
        async with Engine() as engine:
            nursery.start_soon(other, engine)
            await trio.sleep(1)
        log.append(f"left at {trio.current_time():g}")
    assert sorted(log) == ["['a'] at 3", "left at 3"]


async def test_while_an_engine_is_being_left_it_begins_no_runs(
    autojump_clock: MockClock,
) -> None:
    refused: list[EngineClosedError] = []

    async def tries(engine: Engine) -> None:
        try:
            await engine.run(chain("g", saying("b")), Notes())
        except EngineClosedError as error:
            refused.append(error)

    async def last() -> None:
        await trio.sleep(2)
        await tries(engine)

    async def other(engine: Engine) -> None:
        await engine.run(chain("f", doing(last, "a")), Notes())

    async with trio.open_nursery() as nursery, Engine() as engine:
        nursery.start_soon(other, engine)
        await trio.sleep(1)
    assert len(refused) == 1


async def test_leaving_an_engine_by_an_exception_cancels_its_runs_and_waits(
    autojump_clock: MockClock,
) -> None:
    errors: list[RunCancelledError] = []

    async def clean() -> None:
        await trio.sleep(2)

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async def other(engine: Engine) -> None:
        try:
            inner = Step(chain("inner", doing(work, "a")))
            await engine.run(chain("f", inner), Notes())
        except RunCancelledError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError):
            async with Engine() as engine:
                nursery.start_soon(other, engine)
                await trio.sleep(1)
                raise KeyError
        assert trio.current_time() == 3.0
    (error,) = errors
    assert error.reason == "the engine was left by KeyError"
    assert error.cut_off == (
        CutOff(path="f/inner", phase="exec", attempt=1, elapsed=3.0),
        CutOff(path="f/inner/a", phase="exec", attempt=1, elapsed=3.0),
    )


async def test_leaving_an_engine_by_cancellation_cancels_its_runs_and_waits(
    autojump_clock: MockClock,
) -> None:
    errors: list[RunCancelledError] = []

    async def other(engine: Engine) -> None:
        try:
            await engine.run(chain("f", sleeping(9, "a")), Notes())
        except RunCancelledError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as scope:
            async with Engine() as engine:
                nursery.start_soon(other, engine)
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() == 1.0
    assert [error.reason for error in errors] == ["the engine was left by Cancelled"]


async def test_being_cancelled_while_leaving_an_engine_cancels_its_runs_and_waits(
    autojump_clock: MockClock,
) -> None:
    errors: list[RunCancelledError] = []

    async def other(engine: Engine) -> None:
        try:
            await engine.run(chain("f", sleeping(9, "a")), Notes())
        except RunCancelledError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(2) as scope:
            async with Engine() as engine:
                nursery.start_soon(other, engine)
                await trio.sleep(1)
        assert scope.cancelled_caught
        assert trio.current_time() == 2.0
    assert [error.reason for error in errors] == ["the engine was left by Cancelled"]


async def test_a_caller_and_the_engine_cancelled_at_once_is_the_callers_cancellation(
    autojump_clock: MockClock,
) -> None:
    with trio.move_on_after(1) as scope:
        async with Engine() as engine:
            await engine.run(chain("f", sleeping(9, "a")), Notes())
    assert scope.cancelled_caught


async def test_a_failed_run_that_was_asked_for_does_not_disturb_leaving() -> None:
    async with Engine() as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", failing(ValueError(), "a")), Notes())
    with pytest.raises(EngineClosedError):
        await engine.run(chain("f", saying("a")), Notes())


async def test_a_node_may_run_another_flow_on_its_own_engine(autojump_clock: MockClock) -> None:
    recorder = Recorder()

    async def runs() -> None:
        await engine.run(chain("other", sleeping(1, "x")), Notes())

    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(chain("f", doing(runs, "a")), Notes())
    assert result.duration == 1.0
    assert len({event.run_id for event in recorder.events}) == 2
    by_run: dict[str, list[int]] = {}
    for event in recorder.events:
        by_run.setdefault(event.run_id, []).append(event.seq)
    assert [*by_run.values()] == [[0, 1, 2, 3, 4]] * 2


async def test_many_runs_at_once_are_each_their_own(autojump_clock: MockClock) -> None:
    results: list[tuple[int, list[str]]] = []

    async def one(engine: Engine, number: int) -> None:
        result = await engine.run(
            chain("f", sleeping(number % 7, "a"), saying(str(number))), Notes()
        )
        results.append((number, result.state.log))

    async with Engine() as engine, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, engine, number)
    assert sorted(results) == [(number, ["a", str(number)]) for number in range(100)]


async def test_one_flow_may_be_run_by_many_tasks_at_once(autojump_clock: MockClock) -> None:
    """It is a value: what differs between its runs is in the runs."""

    @step
    async def work(notes: Notes) -> None:
        await trio.sleep(notes.count % 5)
        notes.log.append(
            f"{notes.count} {current_step().path} {current_step().random.random()}"
        )
        if notes.count % 3 == 0:
            raise ValueError(notes.count)

    @step
    async def saved(notes: Notes) -> None:
        notes.log.append(f"saved {current_step().caught}")

    inner = Step(chain("inner", work), timeout=3.5)

    @flow
    def f() -> Wiring[Notes]:
        return [inner.then(END).catch(Exception, to=saved), saved.then(END)]

    async def one(engine: Engine, number: int) -> None:
        result = await engine.run(f, Notes([], number), seed=number)
        results[number] = result.state.log

    results: dict[int, list[str]] = {}
    async with Engine() as engine, trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(one, engine, number)
    for number in range(60):
        (line,) = results[number]
        if number % 5 == 4:
            assert line.startswith("saved timeout of f/inner")
        elif number % 3 == 0:
            assert line == "saved flow 'inner' failed (1 sub-exception)"
        else:
            dice = Random(f"{number}/f/inner/work#1@1").random()
            assert line == f"{number} f/inner/work {dice}"


class Waiting:
    name = "waiting"

    async def observe(self, event: object, /) -> None:
        await trio.sleep(1.0)

    def __repr__(self) -> str:
        return "Waiting"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"observers": [3]}, "Engine: 3 cannot be an observer; it needs a name and a method"),
        (
            {"observers": [Waiting()]},
            "Engine: observe() of Waiting is async; it is called while",
        ),
        (
            {"resources": {"http": 1}},
            "Engine: resources must be keyed by Resources, not 'http'",
        ),
    ],
)
def test_what_a_checker_would_refuse_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        Engine(**settings)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("steps", ["3", True, 1.5])
def test_a_bound_that_is_no_whole_number_is_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="max_steps must be a whole number >= 1"):
        Engine(max_steps=steps)


async def test_an_engine_is_entered_once() -> None:
    async with Engine() as engine:
        with pytest.raises(EngineClosedError, match="entered before; make another"):
            await engine.__aenter__()


async def test_an_engine_runs_a_step_alone() -> None:
    lent = Resource("word", str)

    @step(uses=(lent,))
    async def borrow(notes: Notes) -> None:
        notes.log += [current_step().use(lent), current_step().path]

    async with Engine(resources={lent: "lent"}) as engine:
        result = await engine.run(borrow, Notes())
    assert result.state.log == ["lent", "borrow"]


async def test_every_observer_is_told_in_order_also_of_what_an_observer_causes() -> None:
    class Reporting:
        name = "reporting"

        def __init__(self) -> None:
            self.seen: list[int] = []

        def observe(self, event: ExecutionEvent, /) -> None:
            self.seen.append(event.seq)
            if event.event_type == "node_start":
                current_step().report(0.5)

    first, second = Reporting(), Recorder()
    async with Engine(observers=[first, second]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert first.seen == [event.seq for event in second.events] == [0, 1, 2, 3, 4, 5]
