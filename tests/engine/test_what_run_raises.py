"""Every row of "What run() raises": success, failures in one tree, cancellation untouched, both together, and who ends a run."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    FlowAbortedError,
    FlowFailedError,
    RunCancelledError,
    Step,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.errors import Failure

from .engine_kit import (
    Acts,
    Notes,
    Recorder,
    chain,
    doing,
    failing,
    looping,
    picture,
    saying,
    sleeping,
    texts,
)

# ---------------------------------------------------------------- success


async def test_success_is_a_result(autojump_clock: MockClock) -> None:
    result = await chain("f", sleeping(1.5, "a"), saying("b")).run(Notes(), run_id="r1")
    assert result.state == Notes(["a", "b"])
    assert result.exit is None
    assert result.run_id == "r1"
    assert result.duration == 1.5
    assert result.steps == 2
    assert result.visits == {"f/a": 1, "f/b": 1}
    assert result.tail == ("f/a", "f/b")


async def test_a_run_id_is_made_when_none_is_given_and_stays() -> None:
    result = await saying("a").run(Notes())
    assert len(result.run_id) == 36
    assert result.run_id == result.run_id
    assert result.run_id != (await saying("a").run(Notes())).run_id


# ---------------------------------------------------------------- failures


async def test_one_failure_is_a_tree_with_the_very_exception_as_leaf(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("no")

    async def work() -> None:
        await trio.sleep(2.5)
        raise error

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", saying("a"), doing(work, "b")).run(Notes())
    tree = caught.value
    where = Failure(path="f/b", phase="exec", attempt=1, elapsed=2.5)
    assert picture(tree) == ("f", [error])
    assert tree.only() is error
    assert tree.find(error) == where
    assert tree.marks == (where,)
    assert error.__notes__ == ["in exec of f/b, after 2.5 s"]
    assert tree.state == Notes(["a"])
    assert str(tree) == "flow 'f' failed (1 sub-exception)"
    assert tree.report() == (
        "flow 'f' failed: 1 failure\n  exec of f/b, after 2.5 s\n    ValueError: no"
    )


@pytest.mark.parametrize("phase", ["prep", "exec", "post"])
@pytest.mark.parametrize("observed", [False, True])
async def test_a_failure_knows_its_phase(
    phase: str, observed: bool, autojump_clock: MockClock
) -> None:
    error = ValueError("no")

    async def fail() -> None:
        raise error

    async def second() -> None:
        await trio.sleep(1)

    acts = {
        "prep": Acts(prep=fail),
        "exec": Acts(prep=second, work=fail),
        "post": Acts(prep=second, work=second, post=fail),
    }
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", Step(acts[phase])), Notes())
    found = caught.value.find(error)
    assert found is not None
    assert (found.path, found.phase) == ("f/acts", phase)
    assert found.elapsed == {"prep": 0.0, "exec": 1.0, "post": 2.0}[phase]


async def test_a_failed_step_alone_is_a_tree_too(autojump_clock: MockClock) -> None:
    error = ValueError("no")
    with pytest.raises(FlowFailedError) as caught:
        await failing(error, "a").run(Notes())
    assert picture(caught.value) == ("a", [error])
    assert caught.value.find(error) == Failure(path="a", phase="exec", attempt=1, elapsed=0.0)
    assert caught.value.report().startswith("the step failed: 1 failure\n  exec of a")


async def test_the_path_of_a_failure_has_the_visit_number() -> None:
    @step
    async def unlucky(notes: Notes) -> None:
        if notes.count == 2:
            raise ValueError

    again = looping(9)

    @flow
    def g() -> Wiring[Notes]:
        return [unlucky.then(again), again.to(more=unlucky, done=END)]

    with pytest.raises(FlowFailedError) as caught:
        await g.run(Notes())
    found = caught.value.find(caught.value.only())
    assert found is not None
    assert found.path == "g/unlucky#3"


@pytest.mark.parametrize("observed", [False, True])
async def test_a_step_and_its_cleanup_that_both_fail_are_one_group_at_the_steps_path(
    observed: bool, autojump_clock: MockClock
) -> None:
    error, dirt = ValueError("work"), KeyError("cleanup")

    async def clean() -> None:
        await trio.sleep(1)
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep(2)
        raise error

    inner = Step(chain("inner", saying("a"), doing(work, "b")))
    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("outer", inner), Notes())
    tree = caught.value
    assert picture(tree) == ("outer", [("outer/inner", [("outer/inner/b", [error, dirt])])])
    assert list(tree.leaves()) == [error, dirt]
    assert tree.find(error) == Failure("outer/inner/b", "exec", 1, 2.0)
    assert tree.find(dirt) == Failure("outer/inner/b", "cleanup", 1, 3.0)
    assert error.__notes__ == ["in exec of outer/inner/b, after 2 s"]
    assert dirt.__notes__ == ["in cleanup of outer/inner/b, after 3 s"]
    assert tree.report() == (
        "flow 'outer' failed: 2 failures\n"
        "  exec of outer/inner/b, after 2 s\n"
        "    ValueError: work\n"
        "  cleanup of outer/inner/b, after 3 s\n"
        "    KeyError: 'cleanup'"
    )
    with pytest.raises(ValueError, match="there are 2 failures, not one"):
        tree.only()


@pytest.mark.parametrize("observed", [False, True])
async def test_a_cleanup_that_fails_alone_fails_the_step(
    observed: bool, autojump_clock: MockClock
) -> None:
    dirt = KeyError("cleanup")

    async def clean() -> None:
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(work, "a"), saying("b")), Notes())
    assert picture(caught.value) == ("f", [dirt])
    assert caught.value.find(dirt) == Failure("f/a", "cleanup", 1, 0.0)
    assert dirt.__notes__ == ["in cleanup of f/a, after 0 s"]
    assert caught.value.state == Notes([])


@pytest.mark.parametrize("observed", [False, True])
async def test_several_cleanups_that_fail_are_all_there_in_the_order_they_ran(
    observed: bool,
) -> None:
    first, second = KeyError("first"), KeyError("second")

    async def clean(error: Exception) -> None:
        raise error

    async def work() -> None:
        current_step().on_cleanup(clean, second)
        current_step().on_cleanup(clean, first)

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert picture(caught.value) == ("f", [("f/a", [first, second])])
    assert str(caught.value.exceptions[0]) == "step 'a' failed (2 sub-exceptions)"


@pytest.mark.parametrize("observed", [False, True])
async def test_exec_its_cleanup_and_the_cleanup_of_prep_are_one_group(observed: bool) -> None:
    error, of_exec, of_prep = ValueError("work"), KeyError("exec"), KeyError("prep")

    async def clean(dirt: Exception) -> None:
        raise dirt

    async def prep() -> None:
        current_step().on_cleanup(clean, of_prep)

    async def work() -> None:
        current_step().on_cleanup(clean, of_exec)
        raise error

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", Step(Acts(prep=prep, work=work))), Notes())
    assert picture(caught.value) == ("f", [("f/acts", [error, of_exec, of_prep])])


async def test_a_group_raised_by_a_node_is_one_leaf() -> None:
    group = ExceptionGroup("mine", [ValueError("a"), KeyError("b")])
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", failing(group, "a")).run(Notes())
    assert caught.value.only() is group
    assert picture(caught.value) == ("f", [group])
    assert len(group.__notes__) == 1
    assert caught.value.report().endswith("    ExceptionGroup: mine (2 sub-exceptions)")


async def test_a_node_whose_nursery_fails_raises_the_nurserys_group() -> None:
    gate = trio.Event()

    async def child(error: Exception) -> None:
        await gate.wait()
        raise error

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, ValueError("a"))
            nursery.start_soon(child, KeyError("b"))
            await wait_all_tasks_blocked()
            gate.set()

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert pytest.RaisesGroup(ValueError, KeyError).matches(caught.value.only())


async def test_a_node_that_lets_out_the_failure_of_another_flow_has_it_as_leaf(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("no")

    async def runs() -> None:
        await trio.sleep(1)
        await chain("other", failing(error, "x")).run(Notes())

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(runs, "a")).run(Notes())
    leaf = caught.value.only()
    assert isinstance(leaf, FlowFailedError)
    assert leaf.only() is error
    assert caught.value.find(leaf) == Failure("f/a", "exec", 1, 1.0)
    assert leaf.find(error) == Failure("other/x", "exec", 1, 0.0)
    assert leaf.__notes__ == ["in exec of f/a, after 1 s"]


async def test_a_frozen_exception_takes_no_note_and_is_found_all_the_same() -> None:
    class FrozenError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{name} cannot be set")

    error = FrozenError("no")
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", failing(error, "a")).run(Notes())
    assert caught.value.only() is error
    assert not hasattr(error, "__notes__")
    found = caught.value.find(error)
    assert found is not None
    assert found.path == "f/a"


async def test_an_exception_raised_in_two_runs_has_a_note_of_each(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("again")
    for name in ("one", "two"):
        with pytest.raises(FlowFailedError) as caught:
            await chain(name, failing(error, "a")).run(Notes())
        assert caught.value.find(error) == Failure(f"{name}/a", "exec", 1, 0.0)
    assert error.__notes__ == ["in exec of one/a, after 0 s", "in exec of two/a, after 0 s"]


async def test_an_exception_that_was_caught_and_is_raised_again_is_found_where_it_ended() -> (
    None
):
    error = ValueError("again")

    @step
    async def rethrow(notes: Notes) -> None:
        raise current_step().caught or AssertionError

    first = failing(error, "first")

    @flow
    def f() -> Wiring[Notes]:
        return [first.then(END).catch(ValueError, to=rethrow), rethrow.then(END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert picture(caught.value) == ("f", [error])
    found = caught.value.find(error)
    assert found is not None
    assert found.path == "f/rethrow"
    assert [note.partition(",")[0] for note in error.__notes__] == [
        "in exec of f/first",
        "in exec of f/rethrow",
    ]


async def test_the_caught_failure_of_a_flow_raised_again_is_found_where_it_ended() -> None:
    error = ValueError("again")

    @step
    async def rethrow(notes: Notes) -> None:
        raise current_step().caught or AssertionError

    inner = Step(chain("inner", failing(error, "x")))

    @flow
    def f() -> Wiring[Notes]:
        return [inner.then(END).catch(ValueError, to=rethrow), rethrow.then(END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    found = caught.value.find(caught.value.exceptions[0])
    assert found is not None
    assert found.path == "f/rethrow"


async def test_one_exception_raised_by_a_step_and_by_its_cleanup_counts_once() -> None:
    """As `async with` does it: an ``__aexit__`` that raises what it was given adds nothing."""
    error = ValueError("same")

    async def clean() -> None:
        raise error

    async def work() -> None:
        current_step().on_cleanup(clean)
        raise error

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(work, "a")).run(Notes())
    assert picture(caught.value) == ("f", [error])


async def test_a_failure_group_tells_the_state_as_the_last_finished_step_left_it() -> None:
    @step
    async def half(notes: Notes) -> None:
        notes.log.append("half")
        raise ValueError

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", saying("a"), half).run(Notes(["given"]))
    assert caught.value.state == Notes(["given", "a"])


# ---------------------------------------------------------------- cancelled


async def test_the_callers_cancellation_passes_untouched_to_the_callers_scope(
    autojump_clock: MockClock,
) -> None:
    seen: list[BaseException] = []

    async def wait() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            seen.append(cancelled)
            raise

    inner = Step(chain("inner", doing(wait, "a")), timeout=100)
    with trio.move_on_after(3) as scope:
        try:
            await chain("outer", inner).run(Notes(), timeout=50)
        except trio.Cancelled as cancelled:
            seen.append(cancelled)
            raise
    assert scope.cancelled_caught
    assert seen[0] is seen[1]
    assert not hasattr(seen[0], "__notes__")
    assert not seen[0].__suppress_context__
    assert trio.current_time() == 3.0


async def test_a_group_of_nothing_but_cancelled_passes_untouched(
    autojump_clock: MockClock,
) -> None:
    seen: list[BaseException] = []

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        try:
            await chain("f", doing(work, "a")).run(Notes())
        except BaseException as error:
            seen.append(error)
            raise
    assert scope.cancelled_caught
    assert not isinstance(seen[0], FlowAbortedError)


# ---------------------------------------------------------------- failures together with what ends a run


async def test_a_failure_during_cancellation_comes_back_with_it(
    autojump_clock: MockClock,
) -> None:
    error = ValueError("while cancelled")

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async def clean() -> None:
        raise error

    seen: list[FlowAbortedError] = []
    inner = Step(chain("inner", doing(work, "a")))
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(2) as scope:  # noqa: PT012
        try:
            await chain("outer", inner).run(Notes(["given"]))
        except FlowAbortedError as both:
            seen.append(both)
            raise
    assert scope.cancelled_caught
    (aborted,) = seen
    cancelled, leaf = aborted.leaves()
    assert isinstance(cancelled, trio.Cancelled)
    assert leaf is error
    assert aborted.find(error) == Failure("outer/inner/a", "cleanup", 1, 2.0)
    assert aborted.find(cancelled) == Failure("outer/inner/a", "exec", 1, 2.0)
    assert "2 failures" in aborted.report()
    # what Trio leaves when it has taken its Cancelled out
    tree = caught.value
    assert picture(tree) == ("outer", [("outer/inner", [("outer/inner/a", [error])])])
    assert tree.find(error) == Failure("outer/inner/a", "cleanup", 1, 2.0)
    assert tree.state == Notes(["given"])
    assert error.__notes__ == ["in cleanup of outer/inner/a, after 2 s"]
    assert not hasattr(cancelled, "__notes__")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_passes_untouched_when_nothing_else_failed(
    kind: type[BaseException],
) -> None:
    error = kind()
    inner = Step(chain("inner", failing(error, "a")), timeout=5)
    with pytest.raises(kind) as caught:
        await chain("outer", inner).run(Notes(), timeout=9)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert not error.__suppress_context__


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_a_failure_together_with_what_ends_the_program_comes_back_with_it(
    kind: type[BaseException],
) -> None:
    end, dirt = kind(), ValueError("cleanup")

    async def clean() -> None:
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)
        raise end

    with pytest.raises(FlowAbortedError) as caught:
        await chain("f", doing(work, "a")).run(Notes())
    assert picture(caught.value) == ("f", [("f/a", [end, dirt])])
    rest = caught.value.split(kind)[1]
    assert isinstance(rest, FlowFailedError)
    assert picture(rest) == ("f", [("f/a", [dirt])])
    assert rest.find(dirt) == caught.value.find(dirt)


async def test_a_group_with_what_ends_the_program_is_aborted(autojump_clock: MockClock) -> None:
    end, error = KeyboardInterrupt(), ValueError()
    group = BaseExceptionGroup("mine", [end, error])
    with pytest.raises(FlowAbortedError) as caught:
        await chain("f", failing(group, "a")).run(Notes())
    assert picture(caught.value) == ("f", [group])
    assert caught.value.find(group) == Failure("f/a", "exec", 1, 0.0)


async def test_a_cleanup_that_raises_what_ends_the_program_raises_it() -> None:
    end = KeyboardInterrupt()

    async def clean() -> None:
        raise end

    async def work() -> None:
        current_step().on_cleanup(clean)

    with pytest.raises(KeyboardInterrupt) as caught:
        await chain("f", doing(work, "a")).run(Notes())
    assert caught.value is end


# ---------------------------------------------------------------- cancelled through a handle, out of time


async def test_a_run_cancelled_through_its_handle_raises_run_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine, engine.start(chain("f", sleeping(9, "a")), Notes()) as run:
        await trio.sleep(2)
        run.request_cancel("enough")
        with pytest.raises(RunCancelledError) as caught:
            await run.result()
    assert str(caught.value) == "the run was cancelled in f/a: enough"
    assert caught.value.reason == "enough"
    assert [
        (cut.path, cut.phase, cut.attempt, cut.elapsed) for cut in caught.value.cut_off
    ] == [("f/a", "exec", 1, 2.0)]


async def test_a_cancelled_run_that_also_failed_raises_both(autojump_clock: MockClock) -> None:
    error = ValueError("cleanup")

    async def clean() -> None:
        raise error

    async def work() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    async with Engine() as engine, engine.start(chain("f", doing(work, "a")), Notes()) as run:
        await trio.sleep(2)
        run.request_cancel("enough")
        with pytest.raises(FlowFailedError) as caught:
            await run.result()
    assert texts(caught.value) == [
        "RunCancelledError: the run was cancelled in f/a: enough",
        "ValueError: cleanup",
    ]
    assert caught.value.find(error) == Failure("f/a", "cleanup", 1, 2.0)


async def test_the_timeout_of_the_run_is_a_failure_with_a_deadline_leaf(
    autojump_clock: MockClock,
) -> None:
    inner = Step(chain("inner", sleeping(1, "a"), sleeping(9, "b")))
    with pytest.raises(FlowFailedError) as caught:
        await chain("outer", inner).run(Notes(["given"]), timeout=4)
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert error.limit == "timeout of the run"
    assert error.seconds == 4.0
    assert error.spent == {"outer/inner/b": 3.0, "outer/inner/a": 1.0}
    assert str(error) == (
        "timeout of the run (4 s) ran out; spent: outer/inner/b 3 s, outer/inner/a 1 s"
    )
    assert caught.value.find(error) == Failure("outer", "flow", 1, 4.0)
    assert error.__notes__ == ["in flow of outer, after 4 s"]
    assert picture(caught.value) == ("outer", [error])
    assert caught.value.state == Notes(["given"])


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
async def test_a_timeout_that_makes_no_sense_is_refused_before_anything_runs(
    seconds: float,
) -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("ran")

    one = doing(note, "a")
    async with Engine() as engine:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: one.run(Notes(), timeout=seconds),
            lambda: chain("f", one).run(Notes(), timeout=seconds),
            lambda: engine.run(chain("f", one), Notes(), timeout=seconds),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="timeout must be a number of seconds > 0"):
                await call()
        with pytest.raises(ValueError, match="timeout must be a number of seconds > 0"):
            async with engine.start(chain("f", one), Notes(), timeout=seconds):
                pytest.fail("the body ran")
    assert ran == []


# ---------------------------------------------------------------- as groups


async def test_except_star_picks_leaves_and_leaves_the_rest_with_type_and_path() -> None:
    wanted, dirt = TimeoutError("wanted"), KeyError("dirt")

    async def clean() -> None:
        raise dirt

    async def work() -> None:
        current_step().on_cleanup(clean)
        raise wanted

    picked: list[BaseException] = []
    with pytest.raises(FlowFailedError) as caught:  # noqa: PT012
        try:
            await chain("f", Step(chain("inner", doing(work, "a")))).run(Notes())
        except* TimeoutError as group:
            picked.append(group)
    assert picture(picked[0]) == ("f", [("f/inner", [("f/inner/a", [wanted])])])
    assert picture(caught.value) == ("f", [("f/inner", [("f/inner/a", [dirt])])])
    found = caught.value.find(dirt)
    assert found is not None
    assert found.phase == "cleanup"
    assert caught.value.state == Notes()


async def test_what_split_leaves_of_a_nodes_own_group_keeps_its_place() -> None:
    wanted, rest = TimeoutError("wanted"), KeyError("rest")
    group = ExceptionGroup("mine", [wanted, rest])
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", failing(group, "a")).run(Notes())
    left = caught.value.split(TimeoutError)[1]
    assert isinstance(left, FlowFailedError)
    assert left.marks == caught.value.marks
    leaf = left.only()
    assert isinstance(leaf, ExceptionGroup)
    assert leaf.exceptions == (rest,)
    assert left.report().splitlines()[1] == caught.value.report().splitlines()[1]


async def test_derive_gives_the_type_that_fits() -> None:
    error = ValueError()
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", failing(error, "a")).run(Notes())
    tree = caught.value
    same = tree.derive([error])
    assert isinstance(same, FlowFailedError)
    assert (same.path, same.state, same.marks) == ("f", Notes(), tree.marks)
    other = tree.derive([KeyboardInterrupt(), error])
    assert isinstance(other, FlowAbortedError)
    assert other.path == "f"
    assert other.marks == (None, tree.marks[0])
    assert isinstance(other.derive([error]), FlowFailedError)


async def test_a_hand_made_failure_can_be_split_like_any_group() -> None:
    error, other = ValueError(), KeyError()
    left = FlowFailedError("made", [error, other]).split(ValueError)[1]
    assert isinstance(left, FlowFailedError)
    assert left.exceptions == (other,)
    assert left.find(other) is None
    assert left.report() == "made: 1 failure\n  (place unknown)\n    KeyError: "
    aborted = FlowAbortedError("made", [KeyboardInterrupt(), other])
    assert isinstance(aborted.split(KeyboardInterrupt)[1], FlowFailedError)
    assert [type(leaf) for leaf in aborted.leaves()] == [KeyboardInterrupt, KeyError]


async def test_find_knows_only_its_own_leaves() -> None:
    with pytest.raises(FlowFailedError) as caught:
        await failing(ValueError(), "a").run(Notes())
    assert caught.value.find(ValueError()) is None


async def test_a_failure_keeps_no_reference_cycle(autojump_clock: MockClock) -> None:
    """Whoever drops the error drops the state and the frames it holds, at once."""

    async def fail() -> None:
        raise ValueError("no")

    inner = Step(chain("inner", doing(fail, "a")))
    kept: list[weakref.ref[FlowFailedError]] = []
    gc.collect()
    gc.disable()
    try:
        try:
            await chain("f", inner).run(Notes())
        except FlowFailedError as error:
            kept.append(weakref.ref(error))
        assert kept[0]() is None
    finally:
        gc.enable()
