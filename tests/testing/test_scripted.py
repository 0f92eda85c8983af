"""A `Scripted` step plays a script instead of doing anything."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import END, Flow, FlowFailedError, Next, RunResult, Wiring, flow, step
from agentflow_trio.testing import Fail, Scripted, ScriptEndedError, explore, phases, simulate


@attrs.define
class Article:
    log: list[str] = attrs.field(factory=list[str])


@step
async def model(article: Article, *, ok: Next, bad: Next) -> Next:
    raise AssertionError("it is replaced")


@step
async def note(article: Article) -> None:
    article.log.append(f"noted at {trio.current_time()}")


@flow
def asking() -> Wiring[Article]:
    return [model.to(ok=END, bad=note).catch(TimeoutError, to=model), note.then(model)]


def scripted(*script: Any) -> Flow[Article, []]:
    """The flow with its model replaced."""
    return asking.replacing({model: Scripted(Article, script, exits=("ok", "bad"))})


def played(*script: Any) -> tuple[list[str], float]:
    """What the flow noted, and when it ended."""
    with simulate(scripted(*script), Article()) as sim:
        sim.run()
        return sim.result.state.log, sim.time


def test_it_takes_the_exits_it_is_told_to() -> None:
    assert played("ok") == ([], 0.0)
    assert played("bad", "bad", "ok") == (["noted at 0.0", "noted at 0.0"], 0.0)


def test_it_waits_as_long_as_it_is_told_to() -> None:
    assert played(3, "bad", 0.5, 2, "ok") == (["noted at 3.0"], 5.5)


def test_it_fails_as_it_is_told_to() -> None:
    assert played(Fail(TimeoutError()), 1.5, Fail(TimeoutError()), 3.0, "ok") == ([], 4.5)
    error = LookupError("lost")
    with (
        simulate(scripted(Fail(error)), Article()) as sim,
        pytest.raises(FlowFailedError) as caught,
    ):
        sim.run()
    assert caught.value.exceptions == (error,)


def test_every_execution_begins_the_script_anew() -> None:
    seen: list[RunResult[Article]] = []
    explore(
        scripted("bad", 1.0, "ok"), Article(), seeds=4, check=seen.append
    ).raise_on_failure()
    assert [result.state.log for result in seen] == [["noted at 0.0"]] * 4


def test_every_run_of_one_program_begins_it_anew() -> None:
    asked = scripted("bad", "ok")

    async def program() -> list[int]:
        return [len((await asked.run(Article())).state.log) for _ in range(3)]

    with simulate(program) as sim:
        sim.run()
        assert sim.result == [1, 1, 1]
    assert trio.run(program) == [1, 1, 1]


def test_a_script_that_is_over_says_so() -> None:
    with (
        simulate(scripted("bad", "bad"), Article()) as sim,
        pytest.raises(FlowFailedError) as caught,
    ):
        sim.run()
    (error,) = caught.value.exceptions
    assert isinstance(error, ScriptEndedError)
    assert error.calls == 2
    assert str(error) == (
        "the script is over: it has 2 calls, and this is one more; add an exit or a Fail"
    )


def test_it_takes_the_place_of_a_step_without_exits() -> None:
    @flow
    def noting() -> Wiring[Article]:
        return [note.then(END)]

    for script in ([None], [2.0]):
        quiet = noting.replacing({note: Scripted(Article, script)})
        with simulate(quiet, Article()) as sim:
            sim.run()
            assert sim.result.state.log == []
            assert sim.time == sum(delay for delay in script if delay is not None)


async def test_its_phases_can_be_run_alone(autojump_clock: MockClock) -> None:
    node = Scripted(Article, [1, "ok", Fail(TimeoutError()), 2])
    assert (await phases(node, Article())).exit == "ok"
    assert trio.current_time() == 1.0
    with pytest.raises(TimeoutError):
        await phases(node, Article())
    assert await node.exec(None) is None
    assert trio.current_time() == 3.0
    with pytest.raises(ScriptEndedError):
        await node.exec(None)


async def test_a_call_is_a_checkpoint() -> None:
    with trio.testing.assert_checkpoints():
        await Scripted(Article, ["ok"]).exec(None)


def test_it_knows_its_exits_and_its_name() -> None:
    node = Scripted(Article, ["b", "a", "b", Fail(OSError())], exits=("c", "a"), name="model")
    assert node.exits == ("b", "a", "c")
    assert node.name == "model"
    assert node.calls[:2] == ((0.0, "b"), (0.0, "a"))
    assert Scripted(Article, [1]).name == "scripted"


@pytest.mark.parametrize("delay", [-1, math.nan, True])
def test_a_delay_is_a_number_of_seconds(delay: float) -> None:
    with pytest.raises(ValueError, match=r"a delay is a number of seconds >= 0, not"):
        Scripted(Article, [delay, "ok"])


def test_a_script_has_something_in_it() -> None:
    with pytest.raises(ValueError, match="a script for Article needs at least one entry"):
        Scripted(Article, [])
