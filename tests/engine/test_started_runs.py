"""A run with a handle: when it begins, how its body is left, who gets its failure, and what cancelling it reports."""

# ruff: noqa: PT012, SIM117 - how a body is left is what is tested, so bodies are written out

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked
from typing_extensions import override

from agentflow_trio import (
    END,
    CancelReport,
    CleanupOverrunError,
    DeadlineExceededError,
    Engine,
    FlowFailedError,
    Run,
    RunCancelledError,
    RunResult,
    SelfWaitError,
    Step,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.errors import CutOff

from .engine_kit import (
    Act,
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    failing,
    picture,
    saying,
    sleeping,
    texts,
)


def failing_later(error: Exception, seconds: float) -> Act:
    async def fail() -> None:
        await trio.sleep(seconds)
        raise error

    return fail


def failing_when_cancelled(error: Exception) -> Act:
    async def fail() -> None:
        raise error

    async def work() -> None:
        current_step().on_cleanup(fail)
        await trio.sleep_forever()

    return work


# ---------------------------------------------------------------- the result


async def test_a_started_run_gives_the_result_that_run_gives(autojump_clock: MockClock) -> None:
    row = chain("f", sleeping(1, "a"), Step(chain("inner", saying("b"))))
    plain = await row.run(Notes(), run_id="r")
    async with Engine() as engine, engine.start(row, Notes(), run_id="r") as run:
        result = await run.result()
        assert run.run_id == "r"
    assert (result.state, result.exit, result.duration, result.steps, result.run_id) == (
        plain.state,
        plain.exit,
        plain.duration,
        plain.steps,
        plain.run_id,
    )
    assert result.visits == plain.visits
    assert result.tail == plain.tail


async def test_a_started_run_works_on_a_fork_made_when_it_was_started() -> None:
    given = Notes(["given"])
    async with Engine() as engine, engine.start(chain("f", saying("a")), given) as run:
        given.log.append("later")
        result = await run.result()
    assert result.state.log == ["given", "a"]
    assert given.log == ["given", "later"]


async def test_a_run_begins_at_the_first_checkpoint_of_the_body() -> None:
    log: list[str] = []

    async def work() -> None:
        log.append("run")

    async with Engine() as engine, engine.start(chain("f", doing(work, "a")), Notes()):
        log.append("body")
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        log.append("body again")
    assert log == ["body", "run", "body again"]


async def test_starting_a_run_is_always_a_checkpoint() -> None:
    async with Engine() as engine:
        manager = engine.start(chain("f", saying("a")), Notes())
        with assert_checkpoints():
            await manager.__aenter__()
        await manager.__aexit__(None, None, None)


async def test_the_result_may_be_asked_for_often_by_anybody_and_is_always_a_checkpoint() -> (
    None
):
    results: list[RunResult[Notes]] = []
    async with Engine() as engine, engine.start(chain("f", saying("a")), Notes()) as run:

        async def ask() -> None:
            results.append(await run.result())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        with assert_checkpoints():
            await ask()
    with assert_checkpoints():
        await ask()
    assert len(results) == 4
    assert all(result is results[0] for result in results)


async def test_a_handle_still_tells_everything_when_the_engine_is_gone(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine, engine.start(chain("f", sleeping(1, "a")), Notes()) as run:
        result = await run.result()
    await trio.sleep(9)
    assert await run.result() is result
    assert [event.seq async for event in run.events(after=-1)] == [0, 1, 2, 3, 4]
    assert (await run.cancel("too late")).cut_off == ()
    run.request_cancel("too late")
    assert await run.result() is result


async def test_two_started_runs_go_on_at_the_same_time(autojump_clock: MockClock) -> None:
    async with (
        Engine() as engine,
        engine.start(chain("f", sleeping(3, "a")), Notes()) as one,
        engine.start(chain("f", sleeping(4, "a")), Notes()) as other,
    ):
        assert one.run_id != other.run_id
        assert (await one.result()).duration == 3.0
        assert (await other.result()).duration == 4.0
    assert trio.current_time() == 4.0


async def test_the_timeout_of_a_started_run_counts_from_its_beginning(
    autojump_clock: MockClock,
) -> None:
    row = chain("f", sleeping(9, "a"))
    async with Engine() as engine, engine.start(row, Notes(), timeout=2) as run:
        with pytest.raises(FlowFailedError) as caught:
            await run.result()
    assert isinstance(caught.value.only(), DeadlineExceededError)
    assert trio.current_time() == 2.0


# ---------------------------------------------------------------- leaving the body normally


async def test_leaving_normally_waits_for_the_run(autojump_clock: MockClock) -> None:
    async with Engine() as engine:
        async with engine.start(chain("f", sleeping(3, "a")), Notes()) as run:
            pass
        assert trio.current_time() == 3.0
        assert (await run.result()).state.log == ["a"]


async def test_leaving_normally_raises_a_failure_that_nobody_asked_for(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("no")
    async with Engine() as engine:
        row = chain("f", doing(failing_later(error, 2), "a"))
        with pytest.raises(FlowFailedError) as caught:
            async with engine.start(row, Notes()):
                await trio.sleep(1)
    assert caught.value.only() is error
    assert trio.current_time() == 2.0


@pytest.mark.parametrize("how", ["result", "cancel"])
async def test_leaving_normally_does_not_raise_a_failure_that_somebody_got(how: str) -> None:
    async with Engine() as engine:
        async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()) as run:
            if how == "result":
                with pytest.raises(FlowFailedError):
                    await run.result()
            else:
                await wait_all_tasks_blocked()
                report = await run.cancel("too late")
                assert [str(failure) for failure in report.failures] == ["no"]


@pytest.mark.parametrize("attempt", range(8))  # whatever order the scheduler takes
async def test_leaving_normally_does_not_raise_a_failure_that_another_task_waits_for(
    attempt: int, autojump_clock: MockClock
) -> None:
    got: list[BaseException] = []

    async def wait(run: Run[Notes]) -> None:
        try:
            await run.result()
        except FlowFailedError as error:
            got.append(error)

    async with trio.open_nursery() as nursery, Engine() as engine:
        row = chain("f", doing(failing_later(ValueError(), 2), "a"))
        async with engine.start(row, Notes()) as run:
            nursery.start_soon(wait, run)
            await trio.sleep(1)
    assert len(got) == 1


async def test_a_failure_that_was_asked_for_but_not_waited_for_is_raised(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("no")
    async with Engine() as engine:
        row = chain("f", doing(failing_later(error, 5), "a"))
        with pytest.raises(FlowFailedError) as caught:
            async with engine.start(row, Notes()) as run:
                with trio.move_on_after(1):
                    await run.result()
    assert caught.value.only() is error


async def test_a_cancelled_run_that_nobody_asked_about_raises_when_the_body_is_left() -> None:
    async with Engine() as engine:
        with pytest.raises(RunCancelledError, match="enough"):
            async with engine.start(chain("f", sleeping(9, "a")), Notes()) as run:
                run.request_cancel("enough")


async def test_leaving_normally_is_always_a_checkpoint() -> None:
    async with Engine() as engine:
        manager = engine.start(chain("f", saying("a")), Notes())
        run = await manager.__aenter__()
        await run.result()
        with assert_checkpoints():
            await manager.__aexit__(None, None, None)


# ---------------------------------------------------------------- leaving it otherwise


async def test_leaving_by_an_exception_cancels_the_run_and_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def clean() -> None:
        await trio.sleep(2)
        log.append(f"cleaned at {trio.current_time():g}")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    error = KeyError("body")
    async with Engine() as engine:
        with pytest.raises(KeyError) as caught:
            async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
                await trio.sleep(1)
                raise error
        assert caught.value is error
        assert not hasattr(error, "__notes__")
        assert log == ["cleaned at 3"]
        with pytest.raises(RunCancelledError, match="its body was left by KeyError"):
            await run.result()


async def test_leaving_by_an_exception_adds_the_failure_of_the_run_as_a_note(
    autojump_clock: MockClock,
) -> None:
    error = KeyError("body")
    async with Engine() as engine:
        row = chain("f", doing(failing_when_cancelled(ValueError("dirt")), "a"))
        with pytest.raises(KeyError) as caught:
            async with engine.start(row, Notes(), run_id="r"):
                await trio.sleep(1)
                raise error
    (note,) = caught.value.__notes__
    assert note == (
        "and run r failed meanwhile:\n"
        "flow 'f' was cancelled and failed: 2 failures\n"
        "  (place unknown)\n"
        "    RunCancelledError: the run was cancelled in f/a: its body was left by KeyError\n"
        "  cleanup of f/a, after 1 s\n"
        "    ValueError: dirt"
    )


async def test_leaving_by_an_exception_after_the_run_failed_adds_the_note(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:
        with pytest.raises(KeyError) as caught:
            async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()):
                await trio.sleep(1)
                raise KeyError
    (note,) = caught.value.__notes__
    assert note.endswith("ValueError: no")


async def test_leaving_by_an_exception_adds_no_note_of_a_failure_that_somebody_got(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:
        with pytest.raises(KeyError) as caught:
            async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()) as run:
                with pytest.raises(FlowFailedError):
                    await run.result()
                raise KeyError
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("attempt", range(8))  # whatever order the scheduler takes
async def test_leaving_by_an_exception_adds_no_note_of_a_failure_that_another_task_waits_for(
    attempt: int, autojump_clock: MockClock
) -> None:
    got: list[BaseException] = []

    async def wait(run: Run[Notes]) -> None:
        try:
            await run.result()
        except FlowFailedError as error:
            got.append(error)

    row = chain("f", doing(failing_when_cancelled(ValueError("dirt")), "a"))
    async with trio.open_nursery() as nursery, Engine() as engine:
        with pytest.raises(KeyError) as caught:
            async with engine.start(row, Notes()) as run:
                nursery.start_soon(wait, run)
                await trio.sleep(1)
                raise KeyError
    assert len(got) == 1
    assert not hasattr(caught.value, "__notes__")


async def test_leaving_by_the_failure_of_the_run_itself_is_that_failure() -> None:
    error = ValueError("no")
    async with Engine() as engine:
        with pytest.raises(FlowFailedError) as caught:
            async with engine.start(chain("f", failing(error, "a")), Notes()) as run:
                await run.result()
    assert picture(caught.value) == ("f", [error])
    assert not hasattr(caught.value, "__notes__")


async def test_leaving_by_an_exception_that_takes_no_notes_raises_it_all_the_same(
    autojump_clock: MockClock,
) -> None:
    class FrozenError(Exception):
        @override
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{name} cannot be set")

    async with Engine() as engine:
        with pytest.raises(FrozenError):
            async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()):
                await trio.sleep(1)
                raise FrozenError


async def test_leaving_by_cancellation_cancels_the_run_and_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def clean() -> None:
        await trio.sleep(2)
        log.append("cleaned")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async with Engine() as engine:
        with trio.move_on_after(1) as scope:
            async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert log == ["cleaned"]
        assert trio.current_time() == 3.0
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_being_cancelled_while_leaving_cancels_the_run_and_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def clean() -> None:
        await trio.sleep(2)
        log.append("cleaned")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async with Engine() as engine:
        with trio.move_on_after(1) as scope:
            async with engine.start(chain("f", doing(work, "a")), Notes()):
                pass
        assert scope.cancelled_caught
        assert log == ["cleaned"]
        assert trio.current_time() == 3.0


async def test_a_cancelled_leaver_learns_of_the_failure_in_a_note(
    autojump_clock: MockClock,
) -> None:
    notes: list[str] = []
    row = chain("f", doing(failing_when_cancelled(ValueError("dirt")), "a"))
    async with Engine() as engine:
        with trio.move_on_after(1):
            try:
                async with engine.start(row, Notes()):
                    pass
            except trio.Cancelled as cancelled:
                notes.extend(cancelled.__notes__)
                raise
    assert len(notes) == 1
    assert notes[0].endswith("ValueError: dirt")


async def test_the_failure_of_a_run_never_cancels_the_body(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with Engine() as engine:
        with pytest.raises(FlowFailedError):
            async with engine.start(chain("f", failing(ValueError("no"), "a")), Notes()):
                await trio.sleep(5)
                log.append("undisturbed")
    assert log == ["undisturbed"]
    assert trio.current_time() == 5.0


async def test_the_failure_of_a_run_never_disturbs_another_run(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:
        async with (
            engine.start(chain("f", failing(ValueError("no"), "a")), Notes()) as bad,
            engine.start(chain("f", sleeping(2, "a")), Notes()) as good,
        ):
            with pytest.raises(FlowFailedError):
                await bad.result()
            assert (await good.result()).state.log == ["a"]


# ---------------------------------------------------------------- cancelling


async def test_cancelling_waits_for_the_end_and_says_what_was_cut_off(
    autojump_clock: MockClock,
) -> None:
    async def clean() -> None:
        await trio.sleep(2)

    async def prep() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep(0.5)

    node = Step(Acts(prep=prep, work=trio.lowlevel.checkpoint, post=trio.sleep_forever))
    innermost = Step(chain("innermost", sleeping(1, "a"), node))
    inner = Step(chain("inner", sleeping(1, "a"), innermost), timeout=99.0)
    async with Engine() as engine, engine.start(chain("f", inner), Notes()) as run:
        await trio.sleep(4)
        report = await run.cancel("enough")
        assert trio.current_time() == 6.0
        assert report == CancelReport(
            reason="enough",
            cut_off=(
                CutOff(path="f/inner", phase="exec", attempt=1, elapsed=6.0),
                CutOff(path="f/inner/innermost", phase="exec", attempt=1, elapsed=5.0),
                CutOff(path="f/inner/innermost/acts", phase="post", attempt=1, elapsed=4.0),
            ),
            overruns=(),
            failures=(),
            duration=2.0,
        )
        with pytest.raises(RunCancelledError) as caught:
            await run.result()
    assert caught.value.cut_off == report.cut_off
    assert str(caught.value) == "the run was cancelled in f/inner/innermost/acts: enough"


async def test_cancelling_tells_what_failed_and_what_overran(autojump_clock: MockClock) -> None:
    dirt = ValueError("dirt")

    async def clean() -> None:
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(trio.sleep_forever)
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async with Engine() as engine, engine.start(chain("f", doing(work, "a")), Notes()) as run:
        await trio.sleep(1)
        report = await run.cancel("enough")
        with pytest.raises(FlowFailedError) as caught:
            await run.result()
    (overrun,) = report.overruns
    assert isinstance(overrun, CleanupOverrunError)
    assert overrun.callback == "sleep_forever"
    assert report.failures == (dirt, overrun)
    assert report.duration == 5.0
    assert texts(caught.value)[:2] == [
        "RunCancelledError: the run was cancelled in f/a: enough",
        "ValueError: dirt",
    ]
    assert caught.value.path == "f"


async def test_the_first_reason_counts(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(chain("f", sleeping(9, "a")), Notes()) as run:
        await trio.sleep(1)
        run.request_cancel("first")
        run.request_cancel("second")
        report = await run.cancel("third")
        assert (report.reason, report.duration) == ("first", 0.0)
        run.request_cancel("too late")
        await trio.sleep(9)
        assert await run.cancel("again") == report


async def test_requesting_does_not_wait(autojump_clock: MockClock) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append("ended")

    async with Engine() as engine, engine.start(chain("f", doing(work, "a")), Notes()) as run:
        await trio.sleep(1)
        run.request_cancel("enough")
        log.append("requested")
        with pytest.raises(RunCancelledError):
            await run.result()
    assert log == ["requested", "ended"]


async def test_a_run_cancelled_before_it_began_cuts_off_nothing() -> None:
    ran: list[str] = []

    async def work() -> None:
        ran.append("a")

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
            report = await run.cancel("at once")
    assert (report.reason, report.cut_off, report.failures) == ("at once", (), ())
    assert ran == []
    assert [event.event_type for event in recorder.events] == ["run_start", "run_end"]


async def test_cancelling_a_run_that_is_over_changes_nothing(autojump_clock: MockClock) -> None:
    async with Engine() as engine, engine.start(chain("f", saying("a")), Notes()) as run:
        result = await run.result()
        report = await run.cancel("too late")
        assert report == CancelReport(
            reason="", cut_off=(), overruns=(), failures=(), duration=0.0
        )
        assert await run.result() is result


async def test_a_run_that_ends_well_although_it_was_cancelled_has_its_result() -> None:
    """Cancellation is noticed at boundaries and checkpoints; this run meets none any more."""

    async def last() -> None:
        run.request_cancel("too late")

    async with Engine() as engine, engine.start(chain("f", doing(last, "a")), Notes()) as run:
        assert (await run.result()).state.log == ["a"]
        assert (await run.cancel("again")).cut_off == ()


async def test_cancelling_is_always_a_checkpoint() -> None:
    async with Engine() as engine, engine.start(chain("f", saying("a")), Notes()) as run:
        await run.result()
        with assert_checkpoints():
            await run.cancel("too late")


async def test_what_a_limit_cut_off_earlier_is_not_in_the_report(
    autojump_clock: MockClock,
) -> None:
    nested = Step(chain("inner", sleeping(9, "slow")), timeout=1.0)
    after = sleeping(99, "after")

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(END).catch(DeadlineExceededError, to=after), after.then(END)]

    async with Engine() as engine, engine.start(f, Notes()) as run:
        await trio.sleep(3)
        report = await run.cancel("enough")
    assert report.cut_off == (CutOff(path="f/after", phase="exec", attempt=1, elapsed=2.0),)


async def test_a_node_may_request_the_end_of_its_own_run(autojump_clock: MockClock) -> None:
    async def quit_() -> None:
        run.request_cancel("I quit")

    row = chain("f", doing(quit_, "a"), saying("b"))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        with pytest.raises(RunCancelledError) as caught:
            await run.result()
    assert str(caught.value) == "the run was cancelled: I quit"


# ---------------------------------------------------------------- waiting for oneself


@pytest.mark.parametrize("how", ["result", "cancel"])
@pytest.mark.parametrize("where", ["node", "child", "run in a node", "cleanup"])
async def test_a_run_cannot_wait_for_itself(how: str, where: str) -> None:
    async def ask() -> None:
        with pytest.raises(SelfWaitError) as caught:
            await (run.result() if how == "result" else run.cancel("me"))
        asked.append(str(caught.value))

    async def work() -> None:
        if where == "child":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
        elif where == "run in a node":
            await chain("other", doing(ask, "x")).run(Notes())
        elif where == "cleanup":
            current_step().on_cleanup(ask)
        else:
            await ask()

    asked: list[str] = []
    async with Engine() as engine:
        async with engine.start(chain("f", doing(work, "a")), Notes(), run_id="r") as run:
            assert (await run.result()).state.log == ["a"]
    assert asked == ["run r cannot wait for itself; use request_cancel(), which does not wait"]


async def test_a_run_started_by_a_node_cannot_wait_for_the_run_of_that_node(
    autojump_clock: MockClock,
) -> None:
    asked: list[str] = []

    async def ask() -> None:
        with pytest.raises(SelfWaitError):
            await run.result()
        asked.append("asked")

    async def starts() -> None:
        async with engine.start(chain("other", doing(ask, "x")), Notes()) as other:
            await other.result()

    with trio.fail_after(60):  # or they would wait for each other
        async with Engine() as engine:
            async with engine.start(chain("f", doing(starts, "a")), Notes()) as run:
                await run.result()
    assert asked == ["asked"]


async def test_a_run_may_wait_for_another_one(autojump_clock: MockClock) -> None:
    async def ask() -> str:
        return str((await first.result()).duration)

    async with Engine() as engine:
        async with engine.start(chain("f", sleeping(3, "a")), Notes()) as first:
            second = await engine.run(chain("g", Step(Acts(work=ask))), Notes())
    assert second.state.log == ["3.0"]


async def test_a_task_that_outlives_its_node_may_wait_for_the_run(
    autojump_clock: MockClock,
) -> None:
    results: list[RunResult[Notes]] = []

    async def watch() -> None:
        results.append(await run.result())

    async def work() -> None:
        outer.start_soon(watch)
        await trio.sleep(1)

    async with trio.open_nursery() as outer, Engine() as engine:
        async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
            pass
    assert len(results) == 1


# ---------------------------------------------------------------- what ends the program


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_in_a_started_run_ends_the_engine(
    kind: type[BaseException], autojump_clock: MockClock
) -> None:
    log: list[str] = []
    end = kind()

    async def work() -> None:
        await trio.sleep(1)
        raise end

    with pytest.RaisesGroup(kind) as caught:
        async with Engine() as engine:
            try:
                async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
                    await trio.sleep_forever()
            finally:
                log.append(f"body ended at {trio.current_time():g}")
    assert caught.value.exceptions == (end,)
    assert log == ["body ended at 1"]
    with pytest.raises(RunCancelledError, match=f"it was stopped by {kind.__name__}"):
        await run.result()


async def test_failures_with_what_ends_the_program_come_back_with_it(
    autojump_clock: MockClock,
) -> None:
    async def clean() -> None:
        raise ValueError("dirt")

    async def work() -> None:
        current_step().on_cleanup(clean)
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with Engine() as engine:
            async with engine.start(chain("f", doing(work, "a")), Notes()):
                await trio.sleep_forever()
    interrupts, rest = caught.value.split(KeyboardInterrupt)
    assert interrupts is not None
    assert rest is not None
    assert rest.subgroup(ValueError) is not None
    assert isinstance(rest.exceptions[0], FlowFailedError)


async def test_what_ends_the_program_in_one_run_cancels_the_others(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def work() -> None:
        await trio.sleep(1)
        raise KeyboardInterrupt

    async def other() -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append(f"other ended at {trio.current_time():g}")

    with pytest.RaisesGroup(KeyboardInterrupt):
        async with (
            Engine() as engine,
            engine.start(chain("f", doing(work, "a")), Notes()),
            engine.start(chain("g", doing(other, "a")), Notes()),
        ):
            pass
    assert log == ["other ended at 1"]


@pytest.mark.parametrize("attempt", range(20))  # whatever order the scheduler takes
async def test_a_failure_is_raised_though_its_waiter_is_cancelled_as_the_run_ends(
    attempt: int, autojump_clock: MockClock
) -> None:
    @step
    async def late(notes: Notes) -> None:
        await trio.sleep(1)
        raise ValueError("late")

    with pytest.raises(FlowFailedError) as caught:
        async with Engine() as engine, engine.start(chain("f", late), Notes()) as run:
            with trio.move_on_after(1):
                await run.result()
    assert isinstance(caught.value.only(), ValueError)


async def test_a_cancelled_run_that_is_stopped_as_well_says_both(
    autojump_clock: MockClock,
) -> None:
    async def clean() -> None:
        raise KeyboardInterrupt

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        async with Engine() as engine:
            async with engine.start(chain("f", doing(work, "a")), Notes()) as run:
                await trio.sleep(1)
                run.request_cancel("enough")
                await trio.sleep_forever()
    with pytest.raises(FlowFailedError) as caught:
        await run.result()
    assert [text.rpartition(": ")[2] for text in texts(caught.value)] == [
        "enough",
        "it was stopped by FlowAbortedError",
    ]
