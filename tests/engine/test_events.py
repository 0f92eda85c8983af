"""The facts of a run: which, in which order, numbered without a gap; first RunStarted, last RunEnded, after everything was unwound."""

from __future__ import annotations

import contextlib

import attrs
import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    MaxVisitsError,
    Next,
    Step,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.events import ExecutionEvent, RunEnded, RunStarted

from .engine_kit import (
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    failing,
    looping,
    nothing,
    saying,
    sleeping,
    told,
)


async def lines_of(one: Flow[Notes, ...], *, timeout: float | None = None) -> list[str]:
    """The events of a run that was observed and of one that was started: they are the same."""
    recorder = Recorder()
    async with Engine(observers=[recorder], max_steps=50) as engine:
        with contextlib.suppress(FlowFailedError):
            await engine.run(one, Notes(), timeout=timeout, run_id="r", seed=1)
    assert [event.seq for event in recorder.events] == [*range(len(recorder.events))]
    assert {event.run_id for event in recorder.events} == {"r"}
    async with (
        Engine(max_steps=50) as engine,
        engine.start(one, Notes(), timeout=timeout, run_id="r", seed=1) as run,
    ):
        events = run.events()
        with contextlib.suppress(FlowFailedError):
            await run.result()
        read = [event async for event in events]
    assert told(read) == recorder.lines()
    assert [event.seq for event in read] == [*range(len(read))]
    return recorder.lines()


# ---------------------------------------------------------------- typical runs


async def test_a_row_of_steps() -> None:
    assert await lines_of(chain("f", saying("a"), Step(Acts()))) == [
        "run_start f",
        "node_start f/a",
        "node_success f/a",
        "routed f/a target=acts",
        "node_start f/acts",
        "node_success f/acts",
        "routed f/acts target=end",
        "run_end f outcome=success steps=2",
    ]


async def test_a_loop_with_exits() -> None:
    again = looping(2)

    @flow
    def f(*, ready: Next) -> Wiring[Notes]:
        return [again.to(more=again, done=ready)]

    assert await lines_of(f) == [
        "run_start f",
        "node_start f/again",
        "node_success f/again exit=more",
        "routed f/again exit=more target=again",
        "node_start f/again#2",
        "node_success f/again#2 exit=done",
        "routed f/again#2 exit=done target=ready",
        "run_end f outcome=success exit=ready steps=2",
    ]


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_a_nested_flow(timeout: float | None) -> None:
    inner = Step(chain("inner", saying("b")), timeout=timeout)
    assert await lines_of(chain("outer", inner, saying("c"))) == [
        "run_start outer",
        "node_start outer/inner",
        "node_start outer/inner/b",
        "node_success outer/inner/b",
        "routed outer/inner/b target=end",
        "node_success outer/inner",
        "routed outer/inner target=c",
        "node_start outer/c",
        "node_success outer/c",
        "routed outer/c target=end",
        "run_end outer outcome=success steps=3",
    ]


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_a_nested_flow_with_exits(timeout: float | None) -> None:
    again, after = looping(1), saying("after")

    @flow
    def inner(*, ready: Next, never: Next) -> Wiring[Notes]:
        return [again.to(more=never, done=ready)]

    nested = Step(inner, timeout=timeout)

    @flow
    def outer() -> Wiring[Notes]:
        return [nested.to(ready=after, never=END), after.then(END)]

    assert (await lines_of(outer))[2:7] == [
        "node_start outer/inner/again",
        "node_success outer/inner/again exit=done",
        "routed outer/inner/again exit=done target=ready",
        "node_success outer/inner exit=ready",
        "routed outer/inner exit=ready target=after",
    ]


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_a_failure_in_a_nested_flow(timeout: float | None) -> None:
    inner = Step(chain("inner", failing(ValueError("no"), "bad")), timeout=timeout)
    assert await lines_of(chain("outer", inner)) == [
        "run_start outer",
        "node_start outer/inner",
        "node_start outer/inner/bad",
        "node_error outer/inner/bad phase=exec attempt=1 error=ValueError message=no",
        "node_error outer/inner phase=exec attempt=1 error=FlowFailedError message=ValueError: no",
        "run_end outer outcome=error steps=2 error=FlowFailedError: ValueError: no",
    ]


async def test_a_caught_failure() -> None:
    bad, saved = failing(ValueError("no"), "bad"), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    assert await lines_of(f) == [
        "run_start f",
        "node_start f/bad",
        "node_error f/bad phase=exec attempt=1 error=ValueError message=no",
        "caught f/bad error=ValueError message=no target=saved",
        "node_start f/saved",
        "node_success f/saved",
        "routed f/saved target=end",
        "run_end f outcome=success steps=2",
    ]


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_a_caught_failure_of_a_nested_flow(timeout: float | None) -> None:
    nested = Step(chain("inner", failing(ValueError("no"), "bad")), timeout=timeout)
    saved = saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(END).catch(ValueError, to=saved), saved.then(END)]

    assert (await lines_of(f))[3:7] == [
        "node_error f/inner/bad phase=exec attempt=1 error=ValueError message=no",
        "node_error f/inner phase=exec attempt=1 error=FlowFailedError message=ValueError: no",
        "caught f/inner error=FlowFailedError message=ValueError: no target=saved",
        "node_start f/saved",
    ]


async def test_a_step_out_of_time(autojump_clock: MockClock) -> None:
    slow = sleeping(9, "slow").with_(timeout=2.0)
    text = "timeout of f/slow (2 s) ran out; spent: f/slow 2 s"
    assert await lines_of(chain("f", slow)) == [
        "run_start f",
        "node_start f/slow",
        f"node_error f/slow phase=exec attempt=1 error=DeadlineExceededError message={text}",
        f"run_end f outcome=error steps=1 error=FlowFailedError: DeadlineExceededError: {text}",
    ]


async def test_a_nested_flow_out_of_time_and_caught(autojump_clock: MockClock) -> None:
    """What its limit cut off was cancelled; the limit itself is an error."""
    nested = Step(chain("inner", sleeping(9, "slow")), timeout=2.0)
    saved = saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(END).catch(DeadlineExceededError, to=saved), saved.then(END)]

    lines = await lines_of(f)
    assert [line.split(" error=")[0] for line in lines[1:6]] == [
        "node_start f/inner",
        "node_start f/inner/slow",
        "node_cancelled f/inner/slow phase=exec attempt=1",
        "node_error f/inner phase=exec attempt=1",
        "caught f/inner",
    ]
    assert lines[-1] == "run_end f outcome=success steps=3"


async def test_a_run_out_of_time(autojump_clock: MockClock) -> None:
    inner = Step(chain("inner", sleeping(9, "slow")))
    text = "DeadlineExceededError: timeout of the run (2 s) ran out; spent: f/inner/slow 2 s"
    assert await lines_of(chain("f", inner), timeout=2) == [
        "run_start f",
        "node_start f/inner",
        "node_start f/inner/slow",
        "node_cancelled f/inner/slow phase=exec attempt=1",
        "node_cancelled f/inner phase=exec attempt=1",
        f"run_end f outcome=error steps=2 error=FlowFailedError: {text}",
    ]


async def test_a_fallback() -> None:
    async def fail() -> None:
        raise ValueError("no")

    assert (await lines_of(chain("f", Step(Acts(work=fail), fallback=Fallback(1)))))[1:4] == [
        "node_start f/acts",
        "fallback_used f/acts guard=fallback error=ValueError message=no",
        "node_success f/acts",
    ]


async def test_a_step_and_its_cleanup_that_fail() -> None:
    async def clean() -> None:
        raise OSError("dirt")

    async def work() -> None:
        current_step().on_cleanup(clean)
        raise ValueError("no")

    text = "ValueError: no; OSError: dirt"
    assert (await lines_of(chain("f", doing(work, "a"))))[2:] == [
        f"node_error f/a phase=exec attempt=1 error=FlowFailedError message={text}",
        f"run_end f outcome=error steps=1 error=FlowFailedError: {text}",
    ]


async def test_a_cleanup_that_fails_alone() -> None:
    async def clean() -> None:
        raise OSError("dirt")

    async def work() -> None:
        current_step().on_cleanup(clean)

    assert (await lines_of(chain("f", doing(work, "a"))))[2] == (
        "node_error f/a phase=cleanup attempt=1 error=OSError message=dirt"
    )


@pytest.mark.parametrize(
    ("kind", "phase"), [("prep", "prep"), ("exec", "exec"), ("post", "post")]
)
async def test_a_failure_in_each_phase(kind: str, phase: str) -> None:
    async def fail() -> None:
        raise ValueError("no")

    acts = {"prep": Acts(prep=fail), "exec": Acts(work=fail), "post": Acts(post=fail)}
    assert (await lines_of(chain("f", Step(acts[kind]))))[2] == (
        f"node_error f/acts phase={phase} attempt=1 error=ValueError message=no"
    )


async def test_a_wrong_exit() -> None:
    @step
    async def wrong(notes: Notes, *, on: Next) -> Next:
        return END

    @flow
    def f() -> Wiring[Notes]:
        return [wrong.to(on=END)]

    lines = await lines_of(f)
    assert [line.split(" ")[0] for line in lines] == [
        "run_start",
        "node_start",
        "node_error",
        "run_end",
    ]


async def test_a_step_visited_too_often() -> None:
    again, saved = looping(9).with_(max_visits=1), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END).catch(MaxVisitsError, to=saved), saved.then(END)]

    lines = await lines_of(f)
    assert [line.split(" error=")[0] for line in lines[4:7]] == [
        "node_start f/again#2",
        "node_error f/again#2 phase=prep attempt=1",
        "caught f/again#2",
    ]


async def test_the_step_limit_is_no_failure_of_a_step() -> None:
    again = looping(99)

    @flow
    def inner() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    lines = await lines_of(chain("f", Step(inner)))
    text = "StepLimitError: the run reached max_steps=50; busiest: f/inner/again (49 visits), f/inner (1 visits)"
    assert lines[-2:] == [
        f"node_error f/inner phase=exec attempt=1 error=FlowFailedError message={text}",
        f"run_end f outcome=error steps=50 error=FlowFailedError: {text}",
    ]


# ---------------------------------------------------------------- cancelled


async def cancelled_lines(one: Flow[Notes, ...], seconds: float) -> list[str]:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with trio.move_on_after(seconds) as scope:
            await engine.run(one, Notes())
    assert scope.cancelled_caught
    return recorder.lines()


@pytest.mark.parametrize("timeout", [None, 50.0])
async def test_cancelling_emits_one_event_for_each_live_step(
    timeout: float | None, autojump_clock: MockClock
) -> None:
    inner = Step(chain("inner", saying("a"), sleeping(9, "slow")), timeout=timeout)
    lines = await cancelled_lines(chain("f", inner), 2)
    assert lines[5:-1] == [
        "node_start f/inner/slow",
        "node_cancelled f/inner/slow phase=exec attempt=1",
        "node_cancelled f/inner phase=exec attempt=1",
    ]
    assert lines[-1] == "run_end f outcome=cancelled steps=3"


async def test_a_cancellation_between_two_steps_cuts_off_no_step() -> None:
    async def cancel() -> None:
        scope.cancel()

    recorder = Recorder()
    inner = Step(chain("inner", doing(cancel, "a"), saying("b")))
    async with Engine(observers=[recorder]) as engine:
        with trio.CancelScope() as scope:
            await engine.run(chain("f", inner), Notes())
    lines = recorder.lines()
    assert lines[3:6] == [
        "node_success f/inner/a",
        "routed f/inner/a target=b",
        "node_cancelled f/inner phase=exec attempt=1",
    ]
    assert lines[6] == "run_end f outcome=cancelled steps=2"


async def test_a_run_that_is_cancelled_before_its_first_step() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.run(chain("f", saying("a")), Notes())
    assert [line.split(" error=")[0] for line in recorder.lines()] == [
        "run_start f",
        "run_end f outcome=cancelled steps=0",
    ]


async def test_a_failure_while_cancelled_is_told_with_the_cancellation(
    autojump_clock: MockClock,
) -> None:
    async def clean() -> None:
        raise OSError("dirt")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError), trio.move_on_after(1):
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert recorder.lines()[2] == (
        "node_cancelled f/a phase=exec attempt=1 error=OSError message=dirt"
    )
    assert recorder.lines()[3].startswith("run_end f outcome=error steps=1 ")


async def test_the_end_of_the_program_is_an_error_of_the_run() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(KeyboardInterrupt):
            await engine.run(chain("f", failing(KeyboardInterrupt(), "a")), Notes())
    assert recorder.lines() == [
        "run_start f",
        "node_start f/a",
        "node_error f/a phase=exec attempt=1 error=KeyboardInterrupt message=",
        "run_end f outcome=error steps=1 error=KeyboardInterrupt: ",
    ]


# ---------------------------------------------------------------- what they hold


async def test_times_and_durations_are_exact(autojump_clock: MockClock) -> None:
    async def clean() -> None:
        await trio.sleep(0.5)

    async def fail() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep(4)
        raise ValueError

    recorder = Recorder()
    inner = Step(chain("inner", sleeping(2, "a"), doing(fail, "b")))
    await trio.sleep(10)
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", sleeping(1, "first"), inner), Notes())
    assert [
        (event.event_type, event.path, event.timestamp, event.duration_ms)
        for event in recorder.events
    ] == [
        ("run_start", "f", 10.0, None),
        ("node_start", "f/first", 10.0, None),
        ("node_success", "f/first", 11.0, 1000.0),
        ("routed", "f/first", 11.0, None),
        ("node_start", "f/inner", 11.0, None),
        ("node_start", "f/inner/a", 11.0, None),
        ("node_success", "f/inner/a", 13.0, 2000.0),
        ("routed", "f/inner/a", 13.0, None),
        ("node_start", "f/inner/b", 13.0, None),
        ("node_error", "f/inner/b", 17.5, 4500.0),
        ("node_error", "f/inner", 17.5, 6500.0),
        ("run_end", "f", 17.5, 7500.0),
    ]


async def test_the_first_event_says_what_runs() -> None:
    class Noon:
        def now(self) -> float:
            return 12.0

    @attrs.define
    class Versioned:
        __schema_version__ = 3
        word: str = ""

    @step
    async def say(state: Versioned) -> None:
        state.word = "said"

    @flow
    def talk() -> Wiring[Versioned]:
        return [say.then(END)]

    recorder = Recorder()
    async with Engine(observers=[recorder], wall_clock=Noon(), seed=7) as engine:
        await engine.run(talk, Versioned())
        await engine.run(talk, Versioned(), seed=8)
        await engine.run(chain("f", saying("a")), Notes())
    first, second, third = [event for event in recorder.events if isinstance(event, RunStarted)]
    assert (first.flow, first.seed, first.schema_version, first.wall_time) == (
        "talk",
        7,
        3,
        12.0,
    )
    assert len(first.definition_hash) == 16
    assert (second.definition_hash, second.seed) == (first.definition_hash, 8)
    assert (third.flow, third.seed, third.schema_version) == ("f", 7, 1)
    assert third.definition_hash != first.definition_hash


async def test_the_seed_in_the_first_event_is_the_one_that_is_used() -> None:
    rolls: list[float] = []

    async def roll() -> None:
        rolls.append(current_step().random.random())

    recorder, one = Recorder(), chain("f", doing(roll, "a"))
    async with Engine(observers=[recorder]) as engine:
        await engine.run(one, Notes())
    started = recorder.events[0]
    assert isinstance(started, RunStarted)
    await one.run(Notes(), seed=started.seed)
    assert rolls[0] == rolls[1]


def changed(how: str) -> Flow[Notes, ...]:
    a, b, c = saying("a"), saying("b"), saying("c")
    flows = {
        "name": chain("g", a, b, c),
        "a step's name": chain("f", a, b, saying("d")),
        "order": chain("f", b, a, c),
        "version": chain("f", a.with_(version="2"), b, c),
        "a nested flow": chain("f", Step(chain("inner", a), name="a"), b, c),
        "within it": chain("f", Step(chain("inner", b), name="a"), b, c),
    }

    @flow
    def f() -> Wiring[Notes]:
        line = a.then(b)
        if how == "a catch":
            line = line.catch(ValueError, to=END)
        elif how == "another catch":
            line = line.catch(KeyError, to=END)
        return [line, b.then(c), c.then(END)]

    return flows.get(how, f)


async def test_the_definition_hash_changes_with_the_definition_and_with_nothing_else() -> None:
    recorder = Recorder()
    changes = [
        "nothing",
        "name",
        "a step's name",
        "order",
        "version",
        "a nested flow",
        "within it",
        "a catch",
        "another catch",
    ]
    async with Engine(observers=[recorder]) as engine:
        for how in [*changes, *changes]:
            await engine.run(changed(how), Notes())
    hashes = [
        event.definition_hash for event in recorder.events if isinstance(event, RunStarted)
    ]
    assert hashes[: len(changes)] == hashes[len(changes) :]
    assert len({*hashes}) == len(changes)


async def test_the_definition_hash_changes_with_the_fields_of_the_state() -> None:
    @attrs.define
    class One:
        a: int = 0

    @attrs.define
    class Other:
        a: str = ""

    def of(kind: type[One | Other]) -> Flow[One | Other, []]:
        @step
        async def same(state: One | Other) -> None:
            pass

        @flow
        def f() -> Wiring[One | Other]:
            return [same.then(END)]

        return f

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(of(One), One())
        await engine.run(of(Other), Other())
    one, other = [event for event in recorder.events if isinstance(event, RunStarted)]
    assert one.definition_hash != other.definition_hash


async def test_the_last_event_says_how_it_ended() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", saying("a"), saying("b")), Notes())
        with pytest.raises(FlowFailedError):
            await engine.run(chain("f", failing(ValueError("no"), "a")), Notes())
    good, bad = [event for event in recorder.events if isinstance(event, RunEnded)]
    assert (good.flow, good.outcome, good.exit, good.steps, good.error) == (
        "f",
        "success",
        None,
        2,
        None,
    )
    assert (bad.flow, bad.outcome, bad.exit, bad.steps, bad.error) == (
        "f",
        "error",
        None,
        1,
        "FlowFailedError: ValueError: no",
    )


async def test_the_last_event_comes_after_everything_was_unwound(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    class Logging:
        name = "logging"

        def observe(self, event: ExecutionEvent, /) -> None:
            if isinstance(event, RunEnded):
                log.append(f"run_end at {event.timestamp:g}")

    async def clean() -> None:
        await trio.sleep(2)
        log.append("cleaned")

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append("child ended")

    async def work() -> None:
        current_step().on_cleanup(clean)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    async with Engine(observers=[Logging()]) as engine:
        with trio.move_on_after(1):
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert log == ["child ended", "cleaned", "run_end at 3"]


async def test_the_name_of_the_step_is_in_every_event() -> None:
    recorder = Recorder()
    again = looping(2)

    @flow
    def inner() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", Step(inner)), Notes())
    assert {event.node_id for event in recorder.events} == {"f", "inner", "again"}


async def test_a_run_that_was_refused_has_no_events() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(TypeError):
            await engine.run(chain("f", saying("a")), {})  # type: ignore[misc]
    assert recorder.events == []


async def test_every_visit_that_began_has_exactly_one_end(autojump_clock: MockClock) -> None:
    bad, saved = failing(ValueError(), "bad"), sleeping(9, "saved")

    @flow
    def inner() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with trio.move_on_after(1):
            await engine.run(chain("f", doing(nothing, "a"), Step(inner)), Notes())
    kinds = ("node_success", "node_error", "node_cancelled")
    begun = [event.path for event in recorder.events if event.event_type == "node_start"]
    ended = [event.path for event in recorder.events if event.event_type in kinds]
    assert sorted(begun) == sorted(ended)
    assert len(begun) == 4


async def test_an_error_whose_text_cannot_be_made_is_told_without_it() -> None:
    class MuteError(Exception):
        @override
        def __str__(self) -> str:
            raise ZeroDivisionError

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", failing(MuteError(), "a")), Notes())
    assert recorder.lines()[2] == "node_error f/a phase=exec attempt=1 error=MuteError message="
    assert (
        recorder.lines()[-1]
        == "run_end f outcome=error steps=1 error=FlowFailedError: MuteError: "
    )
    assert "    MuteError: " in caught.value.report().splitlines()
