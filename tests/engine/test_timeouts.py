"""Time limits: what each covers, who fired, who used the time, and whose scope catches what."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    Fallback,
    FlowAbortedError,
    FlowFailedError,
    Step,
    Wiring,
    current_step,
    flow,
)
from agentflow_trio.errors import Failure

from .engine_kit import (
    Acts,
    Notes,
    Opened,
    Recorder,
    chain,
    doing,
    looping,
    picture,
    saying,
    sleeping,
)

OBSERVED_OR_NOT = pytest.mark.parametrize("observed", [False, True])


def act(seconds: float) -> Sleep:
    return Sleep(seconds)


class Sleep:
    """An act that takes some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def __call__(self) -> None:
        await trio.sleep(self.seconds)


def deadline_of(caught: pytest.ExceptionInfo[FlowFailedError]) -> DeadlineExceededError:
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    return error


# ---------------------------------------------------------------- of a step


async def test_a_step_out_of_time_fails_with_the_limits_name(autojump_clock: MockClock) -> None:
    slow = sleeping(10, "slow").with_(timeout=3.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", sleeping(1, "a"), slow).run(Notes())
    error = deadline_of(caught)
    assert error.limit == "timeout of f/slow"
    assert error.seconds == 3.0
    assert error.spent == {"f/slow": 3.0}
    assert str(error) == "timeout of f/slow (3 s) ran out; spent: f/slow 3 s"
    assert caught.value.find(error) == Failure("f/slow", "exec", 1, 3.0)
    assert error.__notes__ == ["in exec of f/slow, after 3 s"]
    assert trio.current_time() == 4.0


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize(
    ("prep", "work", "post", "fits"),
    [
        (2.0, 0.9, 99.0, True),  # post has all the time it wants
        (2.0, 1.1, 0.0, False),  # prep and exec share theirs
        (3.1, 0.0, 0.0, False),
        (0.0, 0.0, 99.0, True),
    ],
)
async def test_the_timeout_of_a_step_is_for_prep_and_exec_together(
    prep: float,
    work: float,
    post: float,
    fits: bool,
    observed: bool,
    autojump_clock: MockClock,
) -> None:
    node = Step(Acts(prep=act(prep), work=act(work), post=act(post)), timeout=3.0)
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        if fits:
            result = await engine.run(chain("f", node), Notes())
            assert result.duration == prep + work + post
            return
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", node), Notes())
    assert deadline_of(caught).limit == "timeout of f/acts"
    found = caught.value.find(caught.value.only())
    assert found is not None
    assert found.phase == ("prep" if prep > 3.0 else "exec")
    assert trio.current_time() == 3.0


async def test_the_path_in_a_limits_name_has_the_visit_number(
    autojump_clock: MockClock,
) -> None:
    turn: list[str] = []

    async def slower_and_slower() -> None:
        turn.append(current_step().path)
        await trio.sleep(len(turn))

    slow, again = doing(slower_and_slower, "slow").with_(timeout=2.5), looping(9)

    @flow
    def f() -> Wiring[Notes]:
        return [slow.then(again), again.to(more=slow, done=END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert deadline_of(caught).limit == "timeout of f/slow#3"
    assert deadline_of(caught).spent == {"f/slow": 2.5}


async def test_a_body_that_finished_in_time_keeps_its_result(autojump_clock: MockClock) -> None:
    """Also one that never notices that its time is over."""

    async def late() -> str:
        autojump_clock.jump(99)
        return "late but done"

    result = await Step(Acts(work=late), timeout=3.0).run(Notes())
    assert result.state.log == ["late but done"]


@OBSERVED_OR_NOT
async def test_a_limit_that_passes_while_exec_is_cleaned_up_does_not_fire(
    observed: bool, autojump_clock: MockClock
) -> None:
    """The work was done in time; its cleanup is shielded, and after it there is nothing left to cut off."""

    async def work() -> str:
        current_step().on_cleanup(trio.sleep, 2)
        await trio.sleep(2)
        return "in time"

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(chain("f", Step(Acts(work=work), timeout=3.0)), Notes())
    assert result.state.log == ["in time"]
    assert result.duration == 4.0


async def test_a_body_that_swallows_its_limit_and_returns_has_its_result(
    autojump_clock: MockClock,
) -> None:
    async def deaf() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:  # noqa: ASYNC103 - what a node should not do
            return "swallowed"
        raise AssertionError

    result = await Step(Acts(work=deaf), timeout=3.0).run(Notes())
    assert result.state.log == ["swallowed"]


async def test_the_deadline_a_node_sees_is_the_nearest_of_all(
    autojump_clock: MockClock,
) -> None:
    seen: list[float] = []

    async def look() -> None:
        seen.append(current_step().deadline)

    node = Step(Acts(prep=look, work=look, post=look), timeout=30.0)
    inner = Step(chain("inner", node, doing(look, "free")), timeout=40.0)
    with trio.move_on_after(60):
        await chain("f", doing(look, "first"), inner, doing(look, "last")).run(
            Notes(), timeout=50
        )
        await doing(look, "alone").run(Notes())
    await doing(look, "alone").run(Notes())
    assert seen == [50.0, 30.0, 30.0, 40.0, 40.0, 50.0, 60.0, float("inf")]


# ---------------------------------------------------------------- of a nested flow


async def test_the_timeout_of_a_nested_flow_is_for_all_of_it(autojump_clock: MockClock) -> None:
    inner = Step(chain("inner", sleeping(2, "a"), sleeping(3, "b")), timeout=4.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("outer", inner).run(Notes(["given"]))
    error = deadline_of(caught)
    assert error.limit == "timeout of outer/inner"
    assert error.spent == {"outer/inner/a": 2.0, "outer/inner/b": 2.0}
    assert picture(caught.value) == ("outer", [error])
    assert caught.value.find(error) == Failure("outer/inner", "exec", 1, 4.0)
    assert caught.value.state == Notes(["given"])


async def test_a_nested_flow_out_of_time_can_be_caught_and_leaves_no_trace(
    autojump_clock: MockClock,
) -> None:
    inner = Step(chain("inner", sleeping(2, "a"), sleeping(3, "b")), timeout=4.0)
    after = sleeping(1, "after")

    @flow
    def outer() -> Wiring[Notes]:
        return [inner.then(after).catch(DeadlineExceededError, to=after), after.then(END)]

    result = await outer.run(Notes())
    assert result.state.log == ["after"]
    assert result.duration == 5.0
    assert result.tail == ("outer/inner", "outer/inner/a", "outer/inner/b", "outer/after")


async def test_spent_tells_who_used_the_time_most_first_whatever_became_of_them(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        await trio.sleep(2)
        raise ValueError

    failing = doing(fail, "failing")
    deep = Step(chain("deep", sleeping(1, "x"), sleeping(2.5, "y")))
    again, last = looping(2), sleeping(99, "last")

    @flow
    def f() -> Wiring[Notes]:
        return [
            deep.then(failing),
            failing.then(END).catch(ValueError, to=again),
            again.to(more=deep, done=last),
            last.then(END),
        ]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes(), timeout=12)
    spent = deadline_of(caught).spent
    assert list(spent.items()) == [
        ("f/deep/y", 5.0),
        ("f/failing", 4.0),
        ("f/deep/x", 2.0),
        ("f/last", 1.0),
        ("f/again", 0.0),
    ]


async def test_each_limit_accounts_for_its_own_time_only(autojump_clock: MockClock) -> None:
    inner = Step(chain("inner", sleeping(2, "a"), sleeping(99, "b")), timeout=4.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", sleeping(7, "before"), inner).run(Notes(), timeout=100)
    assert deadline_of(caught).spent == {"f/inner/a": 2.0, "f/inner/b": 2.0}


# ---------------------------------------------------------------- nested limits


async def test_of_nested_limits_the_first_to_end_fires(autojump_clock: MockClock) -> None:
    slow = sleeping(99, "slow").with_(timeout=5.0)
    inner = Step(chain("inner", slow), timeout=4.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes(), timeout=6)
    assert deadline_of(caught).limit == "timeout of f/inner"


async def test_of_equal_nested_limits_the_outermost_fires(autojump_clock: MockClock) -> None:
    slow = sleeping(99, "slow").with_(timeout=4.0)
    inner = Step(chain("inner", slow), timeout=4.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes())
    assert deadline_of(caught).limit == "timeout of f/inner"
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes(), timeout=4)
    assert deadline_of(caught).limit == "timeout of the run"
    assert trio.current_time() == 8.0


async def test_an_equal_deadline_of_the_caller_is_the_callers(
    autojump_clock: MockClock,
) -> None:
    with trio.move_on_after(4) as scope:
        await chain("f", sleeping(99, "slow").with_(timeout=4.0)).run(Notes(), timeout=4)
    assert scope.cancelled_caught
    assert trio.current_time() == 4.0


async def test_the_callers_own_scopes_stay_the_callers(autojump_clock: MockClock) -> None:
    with pytest.raises(trio.TooSlowError), trio.fail_after(2):
        await chain("f", sleeping(99, "slow").with_(timeout=4.0)).run(Notes(), timeout=5)
    assert trio.current_time() == 2.0


async def test_a_scope_that_the_node_opened_is_the_nodes(autojump_clock: MockClock) -> None:
    async def patient() -> None:
        with trio.move_on_after(1):
            await trio.sleep_forever()

    result = await doing(patient, "a").with_(timeout=3.0).run(Notes())
    assert result.duration == 1.0


async def test_an_error_raised_in_answer_to_the_timeout_is_the_failure(
    autojump_clock: MockClock,
) -> None:
    """Cancelled was turned into something else, so nothing was cut off by the limit."""
    error = ValueError("instead")

    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise error from None

    with pytest.raises(FlowFailedError) as caught:
        await doing(stubborn, "a").with_(timeout=3.0).run(Notes())
    assert caught.value.only() is error


# ---------------------------------------------------------------- failures while a limit unwinds


@pytest.mark.parametrize("observed", [False, True])
async def test_a_cleanup_that_fails_while_a_timeout_unwinds_is_in_the_tree_too(
    observed: bool, autojump_clock: MockClock
) -> None:
    dirt = KeyError("cleanup")

    async def clean() -> None:
        await trio.sleep(1)
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    slow = doing(work, "slow").with_(timeout=3.0)
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", slow), Notes())
    deadline, leaf = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert deadline.limit == "timeout of f/slow"
    assert leaf is dirt
    assert picture(caught.value) == ("f", [("f/slow", [deadline, dirt])])
    found = caught.value.find(dirt)
    assert found == Failure("f/slow", "cleanup", 1, 4.0)
    assert dirt.__notes__ == ["in cleanup of f/slow, after 4 s"]
    assert trio.current_time() == 4.0


async def test_failures_inside_a_nested_flow_that_is_out_of_time_keep_their_places(
    autojump_clock: MockClock,
) -> None:
    dirt = KeyError("cleanup")

    async def clean() -> None:
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    inner = Step(chain("inner", doing(work, "slow")), timeout=3.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes())
    deadline, leaf = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert leaf is dirt
    assert caught.value.find(deadline) == Failure("f/inner", "exec", 1, 3.0)
    assert caught.value.find(dirt) == Failure("f/inner/slow", "cleanup", 1, 3.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(work, "slow")).run(Notes(), timeout=3)
    deadline, leaf = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert deadline.limit == "timeout of the run"
    assert caught.value.find(dirt) == Failure("f/slow", "cleanup", 1, 3.0)


async def test_a_child_that_fails_while_a_timeout_unwinds_is_in_the_tree_too(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("child")

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await trio.sleep_forever()

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").with_(timeout=3.0).run(Notes())
    deadline, group = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert isinstance(group, ExceptionGroup)
    assert group.exceptions == (error,)


async def test_the_end_of_the_program_while_a_timeout_unwinds_comes_with_the_deadline(
    autojump_clock: MockClock,
) -> None:
    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await trio.sleep_forever()

    after = saying("after")
    slow = doing(work, "slow").with_(timeout=3.0)

    @flow
    def f() -> Wiring[Notes]:
        return [slow.then(after).catch(DeadlineExceededError, to=after), after.then(END)]

    with pytest.raises(FlowAbortedError) as caught:
        await f.run(Notes())
    deadline, group = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert pytest.RaisesGroup(KeyboardInterrupt).matches(group)


async def test_a_cancelled_caller_wins_over_a_limit_that_ends_at_the_same_time(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(4) as scope:
        await doing(work, "a").with_(timeout=3.0).run(Notes())
    assert scope.cancelled_caught


# ---------------------------------------------------------------- idle


async def test_a_step_that_reports_nothing_for_too_long_is_cut_off(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        for pause in (1, 2, 2.5, 3.5, 1):
            await trio.sleep(pause)
            current_step().report(0.5, "alive")

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(work, "slow").with_(idle_timeout=3.0)).run(Notes())
    error = deadline_of(caught)
    assert error.limit == "idle_timeout of f/slow"
    assert error.seconds == 3.0
    assert error.spent == {"f/slow": 8.5}
    assert caught.value.find(error) == Failure("f/slow", "exec", 1, 8.5)
    assert trio.current_time() == 8.5


@pytest.mark.parametrize("observed", [False, True])
async def test_reports_keep_a_step_alive_as_long_as_it_likes(
    observed: bool, autojump_clock: MockClock
) -> None:
    async def work() -> None:
        for count in range(100):
            await trio.sleep(2)
            current_step().report(count / 100)

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        slow = doing(work, "slow").with_(idle_timeout=2.5)
        result = await engine.run(chain("f", slow), Notes())
    assert result.duration == 200.0


async def test_timeout_and_idle_timeout_of_one_step_both_hold(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        for _ in range(100):
            await trio.sleep(1)
            current_step().report(0.0)

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").with_(timeout=10.0, idle_timeout=3.0).run(Notes())
    assert deadline_of(caught).limit == "timeout of a"
    assert trio.current_time() == 10.0


async def test_of_equal_limits_of_one_step_the_timeout_fires(autojump_clock: MockClock) -> None:
    slow = sleeping(99, "a").with_(timeout=3.0, idle_timeout=3.0)
    with pytest.raises(FlowFailedError) as caught:
        await slow.run(Notes())
    assert deadline_of(caught).limit == "timeout of a"


async def test_the_idle_timeout_is_for_prep_and_exec_not_for_post(
    autojump_clock: MockClock,
) -> None:
    node = Step(Acts(prep=act(1), work=act(1), post=act(99)), idle_timeout=2.5)
    assert (await node.run(Notes())).duration == 101.0


async def test_a_report_of_an_inner_step_keeps_the_flow_around_it_alive(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        for _ in range(5):
            await trio.sleep(2)
            current_step().report(0.0)

    inner = Step(chain("inner", doing(work, "a"), sleeping(3, "b")), idle_timeout=2.5)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes())
    assert deadline_of(caught).limit == "idle_timeout of f/inner"
    assert deadline_of(caught).spent == {"f/inner/a": 10.0, "f/inner/b": 2.5}


async def test_a_report_from_a_thread_keeps_a_step_alive(mock_clock: MockClock) -> None:
    def grind() -> None:
        for _ in range(5):
            trio.from_thread.run_sync(mock_clock.jump, 2.0)
            current_step().report(0.5)

    async def work() -> None:
        await current_step().to_thread(grind)

    result = await doing(work, "a").with_(idle_timeout=3.0).run(Notes())
    assert result.duration == 10.0


async def test_a_thread_that_reports_nothing_is_out_of_time_when_it_returns(
    mock_clock: MockClock,
) -> None:
    def grind() -> None:
        for _ in range(5):
            trio.from_thread.run_sync(mock_clock.jump, 2.0)

    async def work() -> None:
        await current_step().to_thread(grind)
        await trio.lowlevel.checkpoint()

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").with_(idle_timeout=3.0).run(Notes())
    assert deadline_of(caught).limit == "idle_timeout of a"


async def test_a_report_in_the_cleanup_of_a_step_cut_off_for_idleness_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    async def clean() -> None:
        current_step().report(1.0, "late")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").with_(idle_timeout=3.0).run(Notes())
    assert deadline_of(caught).limit == "idle_timeout of a"
    assert trio.current_time() == 3.0


# ---------------------------------------------------------------- together with others


async def test_a_fallback_stands_in_when_exec_is_out_of_time(autojump_clock: MockClock) -> None:
    node = Step(Acts(work=act(99)), timeout=3.0, fallback=Fallback("instead"))
    result = await node.run(Notes())
    assert result.state.log == ["instead"]
    assert result.duration == 3.0


async def test_a_fallback_does_not_stand_in_when_prep_is_out_of_time(
    autojump_clock: MockClock,
) -> None:
    node = Step(Acts(prep=act(99)), timeout=3.0, fallback=Fallback("instead"))
    with pytest.raises(FlowFailedError) as caught:
        await node.run(Notes())
    assert deadline_of(caught).limit == "timeout of acts"


async def test_what_prep_opened_learns_of_the_deadline_what_exec_opened_of_the_cancellation(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    of_prep, of_exec = Opened(log, "prep's"), Opened(log, "exec's")

    async def prep() -> None:
        await current_step().enter(of_prep)

    async def work() -> None:
        await current_step().enter(of_exec)
        await trio.sleep_forever()

    with pytest.raises(FlowFailedError) as caught:
        await Step(Acts(prep=prep, work=work), timeout=3.0).run(Notes())
    assert log == ["open prep's", "open exec's", "close exec's", "close prep's"]
    assert of_prep.errors == [deadline_of(caught)]
    assert isinstance(of_exec.errors[0], trio.Cancelled)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
async def test_a_limit_on_the_run_notices_a_loop_that_never_waits(
    seconds: float, mock_clock: MockClock
) -> None:
    async def tick() -> None:
        mock_clock.jump(0.25)

    node, again = doing(tick, "tick"), looping(1000)

    @flow
    def f() -> Wiring[Notes]:
        return [node.then(again), again.to(more=node, done=END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes(), timeout=seconds)
    assert deadline_of(caught).limit == "timeout of the run"
    assert trio.current_time() <= 16 * 0.25


async def test_a_run_that_is_over_in_time_leaves_no_deadline_behind(
    autojump_clock: MockClock,
) -> None:
    await chain("f", saying("a")).run(Notes(), timeout=3)
    await trio.sleep(10)
    assert trio.current_effective_deadline() == float("inf")


async def test_a_limit_that_was_overtaken_while_it_unwound_is_told_by_the_one_that_overtook_it(
    autojump_clock: MockClock,
) -> None:
    async def slowly() -> None:
        await trio.sleep(2)

    async def work() -> None:
        current_step().on_cleanup(slowly)
        await trio.sleep_forever()

    inner = Step(chain("inner", doing(work, "a")), timeout=2.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes(), timeout=3.0)
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert (error.limit, error.earlier) == ("timeout of the run", ("timeout of f/inner",))
    assert str(error).startswith(
        "timeout of the run (3 s) ran out, after timeout of f/inner; spent: "
    )
    assert trio.current_time() == 4.0


async def test_a_failure_that_outlives_the_limit_around_it_while_it_is_closed_keeps_its_place(
    autojump_clock: MockClock,
) -> None:
    error = ValueError()

    async def fail() -> None:
        current_step().on_cleanup(act(2))
        raise error

    inner = Step(chain("inner", doing(fail, "bad")), timeout=1.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes())
    assert trio.current_time() == 2
    # leaving a scope that has expired makes another group of it
    assert picture(caught.value) == ("f", [("f/inner", [error])])
    assert caught.value.find(error) == Failure("f/inner/bad", "exec", 1, 0.0)


async def test_the_failure_of_a_run_in_a_node_is_a_failure_of_the_node_also_when_it_is_out_of_time(
    autojump_clock: MockClock,
) -> None:
    async def fail() -> None:
        raise OSError

    async def hold() -> None:
        current_step().on_cleanup(fail)
        await trio.sleep(9)

    async def run_another() -> None:
        await chain("other", doing(hold, "slow")).run(Notes())

    limited = doing(run_another, "outer").with_(timeout=1.0)
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", limited).run(Notes())
    deadline, other = caught.value.leaves()
    assert isinstance(deadline, DeadlineExceededError)
    assert isinstance(other, FlowFailedError)
    assert caught.value.find(other) == Failure("f/outer", "exec", 1, 1.0)
