"""The first branch that ends well counts; of several at one moment the first declared; the others are told of."""

from __future__ import annotations

from typing import get_args

import pytest
import trio

from agentflow_trio import (
    END,
    Engine,
    Flow,
    FlowFailedError,
    Next,
    NoBranchError,
    Step,
    StepLimitError,
    Wiring,
    current_step,
    flow,
    race,
    step,
)
from agentflow_trio.testing import Cut, Policy, assert_no_leaks, cancel_everywhere, explore

from .engine_kit import Notes, Recorder, chain, doing, failing, looping, picture, sleeping


def first_of(*branches: Step[Notes, []], timeout: float | None = None) -> Flow[Notes, []]:
    return chain("f", Step(race(*branches), name="first", timeout=timeout))


def failing_after(seconds: float, error: BaseException, name: str) -> Step[Notes, []]:
    async def fail() -> None:
        await trio.sleep(seconds)
        raise error

    return doing(fail, name)


async def test_the_first_to_end_well_counts_and_the_others_end_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    closed = list[str]()

    async def close() -> None:
        closed.append("b")

    async def hold() -> None:
        current_step().on_cleanup(close)
        await trio.sleep(9)

    result = await first_of(sleeping(2, "a"), doing(hold, "b"), sleeping(1, "c")).run(Notes())
    assert trio.current_time() == 1
    assert result.state.log == ["c"]
    assert closed == ["b"]
    assert result.suppressed == ()
    assert result.visits == {"f/first": 1, "f/first/a": 1, "f/first/b": 1, "f/first/c": 1}
    assert result.steps == 4


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_of_several_at_one_moment_the_first_declared_wins(
    order: str, autojump_clock: trio.testing.MockClock
) -> None:
    result = await first_of(*(sleeping(1, name) for name in order)).run(Notes())
    assert result.state.log == [order[0]]


async def test_what_failed_before_somebody_won_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    errors, recorder = [ValueError("a"), OSError("b")], Recorder()
    row = first_of(
        failing_after(2, errors[0], "a"), failing_after(1, errors[1], "b"), sleeping(3, "c")
    )
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(row, Notes())
    assert result.state.log == ["c"]
    assert list(result.suppressed) == errors
    failed = [line for line in recorder.lines() if line.startswith("node_error")]
    assert [line.split()[1] for line in failed] == ["f/first/b", "f/first/a"]
    assert errors[0].__notes__ == ["in exec of f/first/a, after 2 s"]


async def test_what_fails_while_losers_unwind_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep(9)
        finally:
            raise OSError("late")

    result = await first_of(doing(fail_late, "a"), sleeping(1, "b")).run(Notes())
    assert result.state.log == ["b"]
    assert [str(error) for error in result.suppressed] == ["late"]


async def test_what_was_swallowed_is_in_the_report_of_a_run_that_fails_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    swallowed, error = ValueError("lost"), OSError("late")
    first = Step(race(failing(swallowed, "a"), sleeping(1, "b")), name="first")
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", first, failing(error, "c")).run(Notes())
    assert list(caught.value.leaves()) == [error]
    assert caught.value.suppressed == (swallowed,)
    assert caught.value.report().splitlines() == [
        "flow 'f' failed: 1 failure",
        "  exec of f/c, after 0 s",
        "    OSError: late",
        "swallowed before: 1",
        "  exec of f/first/a, after 0 s",
        "    ValueError: lost",
    ]
    left = caught.value.split(OSError)[0]
    assert isinstance(left, FlowFailedError)
    assert left.suppressed == (swallowed,)


async def test_if_all_fail_all_of_it_is_raised_in_declared_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    errors = [ValueError(), OSError()]
    with pytest.raises(FlowFailedError) as caught:
        await first_of(failing_after(2, errors[0], "a"), failing(errors[1], "b")).run(Notes())
    assert picture(caught.value) == ("f", [("f/first", errors)])
    assert caught.value.state == Notes()


@pytest.mark.parametrize("winner", ["x", "y"])
async def test_the_exit_of_the_winner_is_the_exit_of_the_race(
    winner: str, autojump_clock: trio.testing.MockClock
) -> None:
    @step(name="x")
    async def good(notes: Notes, *, yes: Next, no: Next) -> Next:
        await trio.sleep(1 if winner == "x" else 2)
        return yes

    @step(name="y")
    async def bad(notes: Notes, *, yes: Next, no: Next) -> Next:
        await trio.sleep(1 if winner == "y" else 2)
        return no

    both = Step(race(good, bad), name="both")

    @flow(name="f")
    def fork(*, well: Next, ill: Next) -> Wiring[Notes]:
        return [both.to(yes=well, no=ill)]

    result = await fork.run(Notes())
    assert result.exit == ("well" if winner == "x" else "ill")


async def test_a_race_that_nobody_runs_in_is_an_error() -> None:
    with pytest.raises(FlowFailedError) as caught:
        await first_of(sleeping(1, "a").when(lambda _: False)).run(Notes())
    assert isinstance(caught.value.only(), NoBranchError)


async def test_the_step_limit_is_never_swallowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    again = looping(100)

    @flow(name="loop")
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with Engine(max_steps=20) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(first_of(Step(loop), sleeping(1, "b")), Notes())
    assert isinstance(caught.value.only(), StepLimitError)
    assert trio.current_time() == 0


async def test_a_keyboard_interrupt_of_a_loser_passes_bare() -> None:
    with pytest.raises(KeyboardInterrupt):
        await first_of(failing(KeyboardInterrupt(), "a"), sleeping(9, "b")).run(Notes())


async def test_a_race_that_is_cut_off_has_not_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep(9)
        finally:
            raise OSError("late")

    error = ValueError("early")
    with trio.move_on_after(1) as scope:
        await first_of(failing(error, "a"), sleeping(9, "b")).run(Notes())
    assert scope.cancelled_caught
    # but what fails while it unwinds is told
    row = first_of(failing(error, "a"), doing(fail_late, "b"), sleeping(9, "c"))
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(1):
        await row.run(Notes())
    assert str(caught.value.only()) == "late"


async def test_a_race_within_a_time_limit(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(FlowFailedError) as caught:
        await first_of(sleeping(2, "a"), sleeping(3, "b"), timeout=1).run(Notes())
    assert str(caught.value.only()).startswith("timeout of f/first (1 s) ran out")


async def test_a_cancelled_run_says_nothing_of_losers_that_were_ended_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    row = chain("f", Step(race(sleeping(9, "a"), sleeping(1, "b")), name="r"), sleeping(9, "c"))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        await trio.sleep(2)
        report = await run.cancel("enough")
    assert [cut.path for cut in report.cut_off] == ["f/c"]


@pytest.mark.parametrize("policy", get_args(Policy))
def test_in_whatever_order_one_wins_and_only_its_state_is_kept(policy: Policy) -> None:
    row = first_of(
        sleeping(1, "a"),
        Step(chain("b", sleeping(0.5, "x"), sleeping(0.5, "y"))),
        failing(ValueError(), "c"),
    )

    async def program() -> tuple[list[str], int]:
        with assert_no_leaks():
            result = await row.run(Notes())
        return result.state.log, len(result.suppressed)

    def check(ended: tuple[list[str], int]) -> None:
        assert ended in ((["a"], 1), (["x", "y"], 1))

    explore(program, check=check, seeds=30, policy=policy).raise_on_failure()


def test_cancelled_at_every_step_it_leaves_nothing() -> None:
    row = first_of(sleeping(1, "a"), Step(chain("b", sleeping(1, "x"), sleeping(1, "y"))))

    async def program() -> list[str]:
        with assert_no_leaks():
            return (await row.run(Notes())).state.log

    def check(cut: Cut[list[str]]) -> None:
        assert cut.cancelled or cut.result == ["a"]

    cancel_everywhere(program, check=check, seeds=3)


async def test_a_loser_that_cannot_be_stopped_and_ends_well_later_does_not_win(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)

    result = await first_of(doing(shielded, "a"), sleeping(1, "b")).run(Notes())
    assert trio.current_time() == 2
    assert result.state.log == ["b"]


async def test_a_keyboard_interrupt_at_the_moment_somebody_wins_is_not_swallowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        await first_of(failing_after(1, KeyboardInterrupt(), "a"), sleeping(1, "b")).run(
            Notes()
        )
