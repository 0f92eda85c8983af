"""Random flows with policies and failures in any phase end as a naive interpreter says; quiet, observed and started runs agree."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import attrs
import pytest
from engine_flows import (
    FlowPlan,
    Ledger,
    Log,
    Move,
    assemble,
    engine_flows,
    tapes,
)
from engine_interpreter import Story, pictured, told_by
from hypothesis import event, given, settings
from hypothesis import strategies as st

from agentflow_trio import Engine, Flow, FlowFailedError, RunResult
from agentflow_trio.engine import _private
from agentflow_trio.engine._private import PublicStatus, find_status
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere

from .engine_kit import Recorder, told, well_formed

MAX_STEPS = 40


@attrs.define
class Stage:
    """Where the ledger of the run that goes on is found: flows are made once, runs need a tape each."""

    ledger: Ledger = attrs.field(factory=lambda: Ledger([]))

    def now(self) -> Ledger:
        return self.ledger


@attrs.frozen
class Told:
    """What one run told."""

    result: RunResult[Log] | None
    error: FlowFailedError | None
    ledger: Ledger
    lines: list[str]


async def quiet(one: Flow[Log, ...], stage: Stage, tape: Sequence[Move]) -> Told:
    async with Engine(max_steps=MAX_STEPS) as engine:
        return await told_of(engine, one, stage, tape, Recorder())


async def observed(one: Flow[Log, ...], stage: Stage, tape: Sequence[Move]) -> Told:
    recorder = Recorder()
    async with Engine(max_steps=MAX_STEPS, observers=[recorder]) as engine:
        return await told_of(engine, one, stage, tape, recorder)


async def told_of(
    engine: Engine, one: Flow[Log, ...], stage: Stage, tape: Sequence[Move], recorder: Recorder
) -> Told:
    stage.ledger = Ledger(tape)
    try:
        result = await engine.run(one, Log())
    except FlowFailedError as error:
        return Told(None, error, stage.ledger, recorder.lines())
    return Told(result, None, stage.ledger, recorder.lines())


async def started(one: Flow[Log, ...], stage: Stage, tape: Sequence[Move]) -> Told:
    stage.ledger = Ledger(tape)
    async with Engine(max_steps=MAX_STEPS) as engine, engine.start(one, Log()) as run:
        events = run.events()
        try:
            result = await run.result()
        except FlowFailedError as error:
            return Told(None, error, stage.ledger, told([each async for each in events]))
        return Told(result, None, stage.ledger, told([each async for each in events]))


def agree(one: Told, story: Story) -> None:
    """Whether the run was what the interpreter says."""
    assert one.ledger.closed == story.closed
    assert sorted(one.ledger.opened) == sorted(one.ledger.closed)
    if story.tree is not None:
        assert one.error is not None
        assert pictured(one.error) == story.tree
    if one.result is not None:
        assert one.result.state.words == story.words
        assert one.result.exit == story.exit
        assert one.result.steps == len(story.tail)
        assert one.result.visits == story.visits
        assert list(one.result.tail) == story.tail[-100:]
    if one.lines:
        assert one.lines == story.lines


@given(plan=engine_flows(), tape=tapes)
async def test_every_kind_of_run_is_what_a_naive_interpreter_says(
    plan: FlowPlan, tape: list[Move]
) -> None:
    story, stage = told_by(plan, tape, MAX_STEPS), Stage()
    one = assemble(plan, stage.now)
    event("fails" if story.tree else "succeeds")
    event(f"steps: {len(story.tail) // 10 * 10}+")
    for run in (quiet, observed, started):
        agree(await run(one, stage, tape), story)


@given(plan=engine_flows(), tape=tapes)
@settings(max_examples=25)
async def test_the_public_way_to_see_cancellation_changes_nothing(
    plan: FlowPlan, tape: list[Move]
) -> None:
    story, stage = told_by(plan, tape, MAX_STEPS), Stage()
    one = assemble(plan, stage.now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_private, "attrgetter", lambda _: attrgetter("no_such_name"))
        find_status.cache_clear()
        assert find_status() is PublicStatus
        for run in (quiet, observed):
            agree(await run(one, stage, tape), story)
    find_status.cache_clear()


@given(plan=engine_flows(), tape=tapes, at=st.integers(0, 40), seen=st.booleans())
def test_a_run_cancelled_at_a_random_step_leaves_nothing(
    plan: FlowPlan, tape: list[Move], at: int, *, seen: bool
) -> None:
    story, stage, recorder = told_by(plan, tape, MAX_STEPS), Stage(Ledger(tape)), Recorder()
    one = assemble(plan, stage.now)

    async def program() -> bool:
        observers = [recorder] if seen else []
        with assert_no_leaks():
            try:
                async with Engine(max_steps=MAX_STEPS, observers=observers) as engine:
                    await engine.run(one, Log())
            except FlowFailedError:
                return False
            return True

    def check(cut: Cut[bool]) -> None:
        event("cancelled" if cut.cancelled else "came to its end")
        ledger = stage.ledger
        assert sorted(ledger.opened) == sorted(ledger.closed)
        # up to the interruption it is the run that the interpreter knows
        begun = [line for line in recorder.lines() if line.startswith("node_start")]
        assert (
            begun
            == [line for line in story.lines if line.startswith("node_start")][: len(begun)]
        )
        if recorder.events:  # none if the engine itself was interrupted
            well_formed(recorder.events)
        if not cut.reached:
            assert (story.tree is None) == cut.result

    cancel_everywhere(program, check=check, replay=f"o0x{at}:")
