"""Step boundaries: checkpoints are counted, cancellation is noticed at the very next one, by the private name and by the public way."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from agentflow_trio import END, Engine, FlowFailedError, Next, Step, Wiring, flow, step
from agentflow_trio.engine import _private
from agentflow_trio.engine._private import PublicStatus, find_status, probe

from .engine_kit import (
    Acts,
    Notes,
    Passes,
    Recorder,
    chain,
    counted_passes,
    doing,
    failing,
    looping,
    saying,
)


@pytest.fixture(params=["the private name", "the public way"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run every test of this file twice: as Trio is, and as if it had lost its private name."""
    if request.param == "the public way":
        monkeypatch.setattr(_private, "attrgetter", lambda _: attrgetter("no_such_name"))
    find_status.cache_clear()
    yield request.param
    find_status.cache_clear()


def test_the_way_is_what_the_parameter_says(way: str) -> None:
    async def look() -> bool:
        return find_status() is PublicStatus

    assert trio.run(look) is (way == "the public way")


# ---------------------------------------------------------------- the reader itself


async def test_the_reader_sees_cancelled_and_shielded_scopes() -> None:
    task = trio.lowlevel.current_task()

    def cancelled() -> bool:
        return find_status()(task).effectively_cancelled

    assert not cancelled()
    # no await in them: they are looked at, not used
    with trio.CancelScope() as outer:  # noqa: ASYNC100
        assert not cancelled()
        with trio.CancelScope() as inner:  # noqa: ASYNC100
            outer.cancel()
            assert cancelled()
            inner.shield = True
            assert not cancelled()
        assert cancelled()
    assert not cancelled()


async def test_a_status_found_once_stays_true_to_its_scope() -> None:
    task = trio.lowlevel.current_task()
    with trio.CancelScope() as scope:  # noqa: ASYNC100
        status = find_status()(task)
        assert not status.effectively_cancelled
        scope.cancel()
        assert status.effectively_cancelled


class Blind:
    """A cancel status that never sees anything."""

    effectively_cancelled = False


class Shieldless:
    """A cancel status that looks through shields."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task

    @property
    def effectively_cancelled(self) -> bool:
        scopes = [self.task._cancel_status]
        while (parent := scopes[-1]._parent) is not None:
            scopes.append(parent)
        return any(status._scope.cancel_called for status in scopes)


async def test_a_reader_that_is_blind_is_refused() -> None:
    assert probe(lambda _: Blind()) is PublicStatus


async def test_a_reader_that_looks_through_shields_is_refused() -> None:
    assert probe(Shieldless) is PublicStatus


async def test_a_reader_whose_name_is_gone_is_refused() -> None:
    assert probe(attrgetter("no_such_name")) is PublicStatus


async def test_a_right_reader_is_taken() -> None:
    private = attrgetter("_cancel_status")
    assert probe(private) is private


async def test_probing_works_inside_a_cancelled_scope_too() -> None:
    private = attrgetter("_cancel_status")
    with trio.CancelScope() as scope:  # noqa: ASYNC100
        scope.cancel()
        assert probe(private) is private


async def test_probing_is_no_checkpoint() -> None:
    with counted_passes() as passes:
        probe(attrgetter("_cancel_status"))
        assert passes.count == 0


# ---------------------------------------------------------------- run() is a checkpoint


async def test_run_is_a_checkpoint_even_if_no_node_waits() -> None:
    with assert_checkpoints():
        await chain("f", saying("a")).run(Notes())


async def test_run_of_a_step_is_a_checkpoint_even_if_the_node_does_not_wait() -> None:
    with assert_checkpoints():
        await saying("a").run(Notes())


async def test_run_with_a_timeout_is_a_checkpoint_even_if_no_node_waits() -> None:
    with assert_checkpoints():
        await chain("f", saying("a")).run(Notes(), timeout=5)


@pytest.mark.parametrize("observed", [False, True])
async def test_engine_run_is_a_checkpoint_even_if_no_node_waits(observed: bool) -> None:
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with assert_checkpoints():
            await engine.run(chain("f", saying("a")), Notes())


async def test_run_is_a_checkpoint_also_when_a_flow_inside_failed_and_was_caught() -> None:
    inner, saved = Step(chain("inner", failing(ValueError(), "a")), timeout=5.0), saying("b")

    @flow(name="f")
    def row() -> Wiring[Notes]:
        return [inner.then(END).catch(ValueError, to=saved), saved.then(END)]

    with assert_checkpoints():
        await row.run(Notes())


async def test_a_run_in_a_run_is_a_checkpoint_of_its_own() -> None:
    passes: list[int] = []

    async def runs() -> None:
        with counted_passes() as counted:
            await saying("inner").run(Notes())
            passes.append(counted.count)

    await doing(runs, "outer").run(Notes())
    assert passes == [1]


async def test_run_adds_no_scheduler_pass_to_those_of_its_nodes() -> None:
    """A pass costs as much as twenty steps."""
    with counted_passes() as passes:
        await chain("f", saying("a"), doing(trio.lowlevel.checkpoint, "b"), saying("c")).run(
            Notes()
        )
        assert passes.count == 1


async def test_run_without_a_wait_costs_one_pass() -> None:
    with counted_passes() as passes:
        await chain("f", saying("a"), saying("b")).run(Notes())
        assert passes.count == 1


async def test_what_waits_in_a_node_passes_through_one_coroutine_of_ours() -> None:
    """Each more would be 0.1 us for every wait, and half a kilobyte for every flow that waits."""
    inner = Step(chain("inner", doing(trio.sleep_forever, "waits")), name="nested")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chain("f", saying("first"), inner).run, Notes())
        await trio.testing.wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        names = [frame.f_code.co_name for frame, _ in task.iter_await_frames()]
        nursery.cancel_scope.cancel()
    assert names[:2] == ["run_plan", "does"]


# ---------------------------------------------------------------- counted checkpoints


def loop_that_notes(passes: Passes, times: int) -> tuple[Step[Notes, ...], list[int]]:
    """A loop that never waits and notes how often its task was scheduled before each visit."""
    seen: list[int] = []

    @step
    async def again(notes: Notes, *, more: Next, done: Next) -> Next:
        seen.append(passes.count)
        notes.count += 1
        return more if notes.count < times else done

    return again, seen


@pytest.mark.parametrize("observed", [False, True])
async def test_a_full_checkpoint_follows_after_sixteen_boundaries_without_a_wait(
    observed: bool,
) -> None:
    with counted_passes() as passes:
        again, seen = loop_that_notes(passes, 60)

        @flow
        def f() -> Wiring[Notes]:
            return [again.to(more=again, done=END)]

        async with Engine(observers=[Recorder()] if observed else []) as engine:
            before = passes.count
            await engine.run(f, Notes())
        # at the 16th boundary; at the 17th the task has waited; then at the 33rd, the 50th ...
        assert [count - before for count in seen] == [0] * 15 + [1] * 17 + [2] * 17 + [3] * 11


async def test_a_wait_of_a_node_starts_the_count_anew() -> None:
    with counted_passes() as passes:
        seen: list[int] = []

        @step
        async def again(notes: Notes, *, more: Next, done: Next) -> Next:
            seen.append(passes.count)
            notes.count += 1
            if notes.count == 10:
                await trio.lowlevel.checkpoint()
            return more if notes.count < 40 else done

        @flow
        def f() -> Wiring[Notes]:
            return [again.to(more=again, done=END)]

        await f.run(Notes())
        # visit 10 waits itself; boundary 11 sees it; 12..27 are sixteen without
        assert seen == [0] * 10 + [1] * 16 + [2] * 14


async def test_class_nodes_are_counted_like_function_steps() -> None:
    with counted_passes() as passes:
        counts: list[int] = []

        async def look() -> None:
            counts.append(passes.count)

        steps = [Step(Acts(work=look), name=f"s{number}") for number in range(20)]
        await chain("f", *steps).run(Notes())
        assert counts == [0] * 15 + [1] * 5


async def test_nested_flows_share_the_count() -> None:
    with counted_passes() as passes:
        again, seen = loop_that_notes(passes, 30)
        inner = Step(chain("inner", saying("x")))

        @flow
        def f() -> Wiring[Notes]:
            return [again.to(more=inner, done=END), inner.then(again)]

        await f.run(Notes())
        # again, inner, x: three boundaries a round, so the 16th is that of visit 6
        assert seen[:12] == [0] * 5 + [1] * 6 + [2]


@pytest.mark.parametrize("timeout", [None, 1000.0])
@pytest.mark.parametrize("length", [1, 10, 15])
async def test_a_loop_over_a_nested_flow_lets_others_run_too(
    timeout: float | None, length: int
) -> None:
    with counted_passes() as passes:
        seen: list[int] = []

        async def look() -> None:
            seen.append(passes.count)

        row = [doing(look, f"s{number}") for number in range(length)]
        inner, again = Step(chain("inner", *row), timeout=timeout), looping(20)

        @flow
        def f() -> Wiring[Notes]:
            return [inner.then(again), again.to(more=inner, done=END)]

        await f.run(Notes())
    assert max(seen.count(passed) for passed in seen) <= 17


async def test_another_task_gets_its_turn_while_no_node_waits() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    again = looping(1000)

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await f.run(Notes())
        assert (
            1000 // 17 - 2 <= turns <= 1000 // 17 + 2
        )  # within a scheduler pass, order is chance
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- cancellation


async def test_no_step_runs_if_the_caller_is_cancelled_already() -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("a")

    with trio.CancelScope() as scope:
        scope.cancel()
        await chain("f", doing(note, "a")).run(Notes())
    assert scope.cancelled_caught
    assert ran == []


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("kind", ["function", "class", "nested", "timed"])
async def test_a_node_that_cancels_its_callers_scope_is_the_last_one(
    kind: str,
    observed: bool,
) -> None:
    ran: list[str] = []

    async def cancel() -> None:
        scope.cancel()
        ran.append("cancels")

    async def note() -> None:
        ran.append("ran on")

    first: Step[Notes, []] = doing(cancel, "first")
    if kind == "class":
        first = Step(Acts(post=cancel), name="first")
    elif kind == "nested":
        first = Step(chain("inner", first))
    elif kind == "timed":
        first = first.with_(timeout=5)
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with trio.CancelScope() as scope:
            await engine.run(chain("f", first, doing(note, "second")), Notes())
    assert scope.cancelled_caught
    assert ran == ["cancels"]


async def test_phases_of_one_step_are_not_boundaries() -> None:
    """Cancellation reaches a node that never waits after its post, not between its phases."""
    ran: list[str] = []

    async def cancel() -> None:
        scope.cancel()

    async def note() -> None:
        ran.append("ran")

    with trio.CancelScope() as scope:
        await chain(
            "f", Step(Acts(prep=cancel, work=note, post=note)), Step(Acts(prep=note), name="b")
        ).run(Notes())
    assert ran == ["ran", "ran"]


async def test_the_last_step_may_cancel_its_caller_and_the_result_is_kept() -> None:
    """After the last step there is no boundary left, and the checkpoint of run() is shielded."""

    async def cancel() -> None:
        scope.cancel()

    with trio.CancelScope() as scope:
        result = await chain("f", saying("a"), doing(cancel, "b")).run(Notes())
        assert result.state.log == ["a", "b"]
    assert not scope.cancelled_caught


async def test_a_node_that_swallows_cancellation_puts_it_off_to_the_next_boundary() -> None:
    ran: list[str] = []

    async def deaf() -> None:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:  # noqa: ASYNC103 - what a node should not do
            ran.append("swallowed")

    async def note() -> None:
        ran.append("ran on")

    with trio.CancelScope() as scope:
        await chain("f", doing(deaf, "a"), doing(note, "b")).run(Notes())
    assert scope.cancelled_caught
    assert ran == ["swallowed"]


async def test_a_shield_around_the_run_keeps_cancellation_out() -> None:
    async def cancel() -> None:
        scope.cancel()

    with trio.CancelScope() as scope, trio.CancelScope(shield=True):
        result = await chain("f", doing(cancel, "a"), saying("b")).run(Notes())
        assert result.state.log == ["a", "b"]


async def test_a_scope_that_a_node_opens_and_cancels_is_its_own_affair() -> None:
    async def own() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.checkpoint()

    result = await chain("f", doing(own, "a"), saying("b")).run(Notes())
    assert result.state.log == ["a", "b"]


async def test_a_loop_that_never_waits_notices_its_callers_deadline(
    mock_clock: MockClock,
) -> None:
    """At the counted checkpoint at the latest: a deadline passes without anybody running."""
    visits: list[int] = []

    @step
    async def again(notes: Notes, *, more: Next, done: Next) -> Next:
        mock_clock.jump(1.0)
        notes.count += 1
        visits.append(notes.count)
        return more

    @flow
    def f(*, never: Next) -> Wiring[Notes]:
        return [again.to(more=again, done=never)]

    with trio.move_on_after(4.0) as scope:
        await f.run(Notes())
    assert scope.cancelled_caught
    assert 4 <= visits[-1] <= 16


async def test_a_step_that_fails_after_cancelling_its_caller_fails() -> None:
    error = ValueError("meant")

    async def cancel() -> None:
        scope.cancel()
        raise error

    with trio.CancelScope() as scope, pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(cancel, "a")).run(Notes())
    assert caught.value.only() is error
    assert not scope.cancelled_caught


async def test_a_caught_failure_does_not_hide_a_cancellation() -> None:
    ran: list[str] = []

    async def cancel() -> None:
        scope.cancel()
        raise ValueError

    async def note() -> None:
        ran.append("ran")

    first, second = doing(cancel, "a"), doing(note, "b")

    @flow
    def f() -> Wiring[Notes]:
        return [first.then(END).catch(ValueError, to=second), second.then(END)]

    with trio.CancelScope() as scope:
        await f.run(Notes())
    assert scope.cancelled_caught
    assert ran == []
