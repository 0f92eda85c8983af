"""A timeline knows what every task did over virtual time."""

from __future__ import annotations

from random import Random

import pytest
import trio
from newsdesk import Desk, newsdesk

from agentflow_trio import Bulkhead
from agentflow_trio.testing import (
    DeadlockError,
    NondeterminismError,
    TaskHistory,
    Timeline,
    explore,
    record,
)


def by_name(timeline: Timeline[None]) -> dict[str, TaskHistory]:
    return {history.name: history for history in timeline.tasks}


async def at_the_desk() -> None:
    """Two want one desk; the second is cancelled while it waits."""
    desk = Bulkhead("desk", limit=1)

    async def sit(seconds: float) -> None:
        async with desk:
            await trio.sleep(seconds)

    async def impatient() -> None:
        with trio.move_on_after(2.0):
            await sit(1.0)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sit, 5.0)
        await trio.sleep(1.0)
        nursery.start_soon(impatient)
        nursery.start_soon(sit, 3.0)


def test_tasks_are_told_with_their_lives_and_their_waits() -> None:
    told = by_name(record(at_the_desk))
    assert [*told] == ["main", "sit", "impatient", "sit#2"]
    first = told["sit"]
    assert (first.parent, first.began, first.ended) == ("main", 0.0, 5.0)
    assert [(wait.begin, wait.end, wait.waits_for) for wait in first.waits] == [
        (0.0, 5.0, "sleep")
    ]
    assert first.waits[0].at.endswith("in sit: await trio.sleep(seconds)")
    second = told["sit#2"]
    assert (second.began, second.ended) == (1.0, 8.0)
    assert [wait.waits_for for wait in second.waits] == ["Bulkhead 'desk'", "sleep"]
    assert [(wait.begin, wait.end) for wait in second.waits] == [(1.0, 5.0), (5.0, 8.0)]
    main = told["main"].waits
    assert [wait.waits_for.partition(" sit")[0] for wait in main] == ["sleep", "its children"]


def test_a_task_is_told_when_it_was_cancelled() -> None:
    told = by_name(record(at_the_desk))
    assert told["impatient"].cancelled == (3.0,)
    assert [(wait.begin, wait.end) for wait in told["impatient"].waits] == [(1.0, 3.0)]
    assert told["sit"].cancelled == ()


def test_a_wait_can_be_asked_for_by_time() -> None:
    second = by_name(record(at_the_desk))["sit#2"]
    found = [second.wait_at(time) for time in (0.5, 1.0, 4.9, 5.0, 7.0, 8.0)]
    assert [wait and wait.waits_for for wait in found] == [
        None,
        "Bulkhead 'desk'",
        "Bulkhead 'desk'",
        "sleep",
        "sleep",
        None,
    ]


def test_who_never_went_on_never_ended_its_wait() -> None:
    async def program() -> None:
        await trio.sleep(1)
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
            await trio.Event().wait()

    timeline = record(program)
    assert isinstance(timeline.error, DeadlockError)
    waits = timeline.tasks[0].waits
    assert [(wait.begin, wait.end) for wait in waits[:2]] == [(0.0, 1.0), (1.0, 2.0)]


def test_who_had_to_wait_for_others_though_it_could_go_on_was_preempted() -> None:
    async def program() -> None:
        value = 0

        async def add() -> None:
            nonlocal value
            await trio.sleep(1)
            before = value
            await trio.lowlevel.checkpoint()
            value = before + 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            nursery.start_soon(add)
        assert value == 2

    failure = explore(program, seeds=100, policy="preemptions").failures[0]
    timeline = record(program, replay=failure.code)
    preempted = {history.name: history.preempted for history in timeline.tasks}
    assert sum(map(len, preempted.values())) == 1
    assert preempted["main"] == ()
    assert next(filter(None, preempted.values())) == (1.0,)


def test_every_step_of_a_flow_is_somebodys() -> None:
    for seed in range(3):
        timeline = record(newsdesk, Desk(rounds=1), seed=seed)
        steps = sum(not line.partition(" ")[2].startswith("|") for line in timeline.trace)
        own = sum(history.steps for history in timeline.tasks)
        assert own <= steps <= own + 2
        assert [history.parent for history in timeline.tasks][:2] == [None, "main"]
        for history in timeline.tasks:
            ends = [wait.end or timeline.duration for wait in history.waits]
            begins = [wait.begin for wait in history.waits]
            assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))
            assert history.wait_at(timeline.duration + 1) is None


def test_histories_of_another_run_are_refused() -> None:
    dice = Random(1)

    async def program() -> None:
        await trio.sleep(dice.random())

    timeline = record(program)
    with pytest.raises(NondeterminismError):
        _ = timeline.tasks
