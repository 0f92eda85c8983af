"""Errors routed like exits: which catch takes what, that no trace is left, who sees the error; and fallback, which is for exec only."""

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
    MaxVisitsError,
    Next,
    Step,
    StepLimitError,
    Wiring,
    WrongExitError,
    current_step,
    flow,
    step,
)

from .engine_kit import (
    Act,
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
)

OBSERVED_OR_NOT = pytest.mark.parametrize("observed", [False, True])


def raising(error: BaseException) -> Act:
    async def fail() -> None:
        raise error

    return fail


# ---------------------------------------------------------------- which catch


@pytest.mark.parametrize(
    ("error", "taken"),
    [
        (KeyError(), "first"),
        (IndexError(), "second"),
        (LookupError(), "second"),
        (OSError(), "third"),
        (ValueError(), "third"),
    ],
)
async def test_the_first_catch_in_written_order_that_fits_wins(
    error: Exception, taken: str
) -> None:
    bad, first, second, third = (
        failing(error, "bad"),
        saying("first"),
        saying("second"),
        saying("third"),
    )

    @flow
    def f() -> Wiring[Notes]:
        return [
            bad
            .then(END)
            .catch(KeyError, to=first)
            .catch(LookupError, to=second)
            .catch(OSError, ValueError, to=third),
            first.then(END),
            second.then(END),
            third.then(END),
        ]

    assert (await f.run(Notes())).state.log == [taken]


async def test_an_error_that_no_catch_takes_fails_the_flow() -> None:
    error, saved = ValueError(), saying("saved")
    bad = failing(error, "bad")

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(KeyError, to=saved), saved.then(END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert caught.value.only() is error


async def test_a_target_may_be_the_end_or_an_exit_of_the_flow() -> None:
    bad = failing(ValueError(), "bad")

    @flow
    def ends() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=END)]

    @flow
    def leaves(*, good: Next, failed: Next) -> Wiring[Notes]:
        return [bad.then(good).catch(ValueError, to=failed)]

    assert (await ends.run(Notes(["given"]))).state == Notes(["given"])
    assert (await leaves.run(Notes())).exit == "failed"


async def test_a_step_may_be_its_own_target() -> None:
    @step
    async def stubborn(notes: Notes) -> None:
        tries.append(current_step().visit)
        if len(tries) < 3:
            raise ValueError

    tries: list[int] = []

    @flow
    def f() -> Wiring[Notes]:
        return [stubborn.then(END).catch(ValueError, to=stubborn)]

    await f.run(Notes())
    assert tries == [1, 2, 3]


@pytest.mark.parametrize(
    ("group", "is_taken"),
    [
        (ExceptionGroup("g", [ValueError(), KeyError()]), True),
        (ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [KeyError()])]), True),
        (ExceptionGroup("g", [ValueError(), OSError()]), False),
        (ExceptionGroup("g", [ExceptionGroup("h", [OSError()])]), False),
    ],
)
@OBSERVED_OR_NOT
async def test_a_group_is_caught_only_if_every_leaf_matches(
    group: ExceptionGroup[Exception], is_taken: bool, observed: bool
) -> None:
    bad, saved = failing(group, "bad"), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, KeyError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        if is_taken:
            assert (await engine.run(f, Notes())).state.log == ["saved"]
            return
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(f, Notes())
    assert caught.value.only() is group


async def test_leaves_of_a_group_are_not_split_over_several_catches() -> None:
    group = ExceptionGroup("g", [ValueError(), KeyError()])
    bad, saved, other = failing(group, "bad"), saying("saved"), saying("other")

    @flow
    def f() -> Wiring[Notes]:
        return [
            bad.then(END).catch(ValueError, to=saved).catch(KeyError, to=other),
            saved.then(END),
            other.then(END),
        ]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert caught.value.only() is group


@OBSERVED_OR_NOT
async def test_a_step_whose_cleanup_failed_with_it_is_caught_only_if_both_match(
    observed: bool,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(raising(KeyError()))
        raise ValueError

    bad, saved = doing(work, "bad"), saying("saved")

    @flow
    def both() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, KeyError, to=saved), saved.then(END)]

    @flow
    def one() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        assert (await engine.run(both, Notes())).state.log == ["saved"]
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(one, Notes())
    assert len(list(caught.value.leaves())) == 2


# ---------------------------------------------------------------- never caught


@OBSERVED_OR_NOT
async def test_cancellation_is_never_caught(observed: bool, autojump_clock: MockClock) -> None:
    slow, saved = sleeping(99, "slow"), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [slow.then(END).catch(Exception, to=saved), saved.then(END)]

    recorder = Recorder()
    async with Engine(observers=[recorder] if observed else []) as engine:
        with trio.move_on_after(2) as scope:
            await engine.run(f, Notes())
    assert scope.cancelled_caught
    assert not any(line.startswith("caught") for line in recorder.lines())


async def test_a_group_with_a_cancelled_leaf_is_never_caught(autojump_clock: MockClock) -> None:
    error = ValueError()

    async def work() -> None:
        current_step().on_cleanup(raising(error))
        await trio.sleep_forever()

    slow, saved = doing(work, "slow"), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [slow.then(END).catch(Exception, to=saved), saved.then(END)]

    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(2):
        await f.run(Notes())
    assert caught.value.only() is error


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit()])
async def test_what_ends_the_program_is_never_caught(end: BaseException) -> None:
    bad, saved = failing(end, "bad"), saying("saved")
    both = failing(BaseExceptionGroup("g", [end, ValueError()]), "both")

    @flow
    def alone() -> Wiring[Notes]:
        return [bad.then(END).catch(Exception, to=saved), saved.then(END)]

    @flow
    def grouped() -> Wiring[Notes]:
        return [both.then(END).catch(Exception, to=saved), saved.then(END)]

    with pytest.raises(type(end)):
        await alone.run(Notes())
    with pytest.raises(FlowAbortedError):
        await grouped.run(Notes())


@pytest.mark.parametrize("timeout", [None, 99.0])
async def test_the_step_limit_is_never_caught(timeout: float | None) -> None:
    again, saved = looping(99), saying("saved")

    @flow
    def inner() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    nested = Step(inner, timeout=timeout)

    @flow
    def f() -> Wiring[Notes]:
        return [nested.then(END).catch(Exception, to=saved), saved.then(END)]

    async with Engine(max_steps=5) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(f, Notes())
    assert isinstance(caught.value.only(), StepLimitError)


# ---------------------------------------------------------------- what can be caught, without a trace


class WritesAndFails:
    """Writes to the state in ``prep`` and ``post``, then fails in the phase it was told."""

    def __init__(self, phase: str) -> None:
        self.phase = phase

    async def prep(self, shared: Notes, /) -> None:
        shared.log.append("prep")
        shared.count = 99
        if self.phase == "prep":
            raise ValueError

    async def exec(self, prepared: None, /) -> None:
        if self.phase == "exec":
            raise ValueError

    async def post(self, shared: Notes, prepared: None, result: None, /) -> None:
        shared.log.append("post")
        if self.phase == "post":
            raise ValueError


@OBSERVED_OR_NOT
@pytest.mark.parametrize("phase", ["prep", "exec", "post"])
async def test_a_caught_class_node_left_no_trace_in_the_state(
    phase: str, observed: bool
) -> None:
    bad, saved = Step(WritesAndFails(phase)), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes(["given"], 1))
    assert result.state == Notes(["given", "saved"], 1)


@OBSERVED_OR_NOT
async def test_a_caught_wrong_exit_left_no_trace_in_the_state(observed: bool) -> None:
    class Wrong(WritesAndFails):
        async def post(  # type: ignore[override]
            self, shared: Notes, prepared: None, result: None, /, *, on: Next
        ) -> Next:
            await super().post(shared, prepared, result)
            return Next()

    @step
    async def function(notes: Notes, *, on: Next) -> Next:
        notes.log.append("written")
        return Next()

    node, saved = Step(Wrong("none")), saying("saved")

    @flow
    def of_a_node() -> Wiring[Notes]:
        return [node.to(on=END).catch(WrongExitError, to=saved), saved.then(END)]

    @flow
    def of_a_function() -> Wiring[Notes]:
        return [function.to(on=END).catch(WrongExitError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        for one in (of_a_node, of_a_function):
            assert (await engine.run(one, Notes())).state == Notes(["saved"])


@OBSERVED_OR_NOT
async def test_a_caught_step_whose_cleanup_failed_left_no_trace_in_the_state(
    observed: bool,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(raising(ValueError()))

    bad, node, saved = doing(work, "bad"), Step(Acts(post=work)), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [
            bad.then(END).catch(ValueError, to=node),
            node.then(END).catch(ValueError, to=saved),
            saved.then(END),
        ]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes())
    assert result.state.log == ["saved"]


async def test_what_was_written_before_a_caught_step_is_kept() -> None:
    bad, saved = Step(WritesAndFails("post")), saying("saved")
    first = saying("first")

    @flow
    def f() -> Wiring[Notes]:
        return [first.then(bad), bad.then(END).catch(ValueError, to=saved), saved.then(END)]

    assert (await f.run(Notes())).state.log == ["first", "saved"]


@OBSERVED_OR_NOT
async def test_a_nested_flow_that_failed_is_caught_as_a_whole(observed: bool) -> None:
    error, seen = ValueError("deep"), list[BaseException | None]()

    @step
    async def saved(notes: Notes) -> None:
        seen.append(current_step().caught)

    innermost = Step(chain("innermost", saying("lost"), failing(error, "bad")))
    inner = Step(chain("inner", innermost))

    @flow
    def f() -> Wiring[Notes]:
        return [inner.then(END).catch(ValueError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes(["given"]))
    assert result.state.log == ["given"]
    (tree,) = seen
    assert isinstance(tree, FlowFailedError)
    assert picture(tree) == ("f/inner", [("f/inner/innermost", [error])])
    assert result.tail[-1] == "f/saved"


async def test_the_innermost_edge_that_fits_catches() -> None:
    bad, near, far = failing(ValueError(), "bad"), saying("near"), saying("far")

    @flow
    def inner() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=near), near.then(END)]

    nested = Step(inner)

    @flow
    def outer() -> Wiring[Notes]:
        return [nested.then(END).catch(ValueError, to=far), far.then(END)]

    assert (await outer.run(Notes())).state.log == ["near"]


async def test_a_flow_may_be_the_target() -> None:
    bad, nested = failing(ValueError(), "bad"), Step(chain("rescue", saying("a"), saying("b")))

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=nested), nested.then(END)]

    result = await f.run(Notes())
    assert result.state.log == ["a", "b"]
    assert result.tail == ("f/bad", "f/rescue", "f/rescue/a", "f/rescue/b")


@OBSERVED_OR_NOT
async def test_a_step_that_was_visited_too_often_can_be_caught(observed: bool) -> None:
    again, saved = looping(99).with_(max_visits=3), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END).catch(MaxVisitsError, to=saved), saved.then(END)]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        result = await engine.run(f, Notes())
    assert result.state == Notes(["saved"], 3)


# ---------------------------------------------------------------- who sees the error


@OBSERVED_OR_NOT
@pytest.mark.parametrize("how", ["then", "nested", "self"])
async def test_the_caught_error_is_seen_by_the_target_only(how: str, observed: bool) -> None:
    error, seen = ValueError(), list[tuple[str, BaseException | None]]()

    def looking(name: str) -> Step[Notes, []]:
        async def look() -> None:
            seen.append((current_step().path, current_step().caught))

        return doing(look, name)

    first, bad, target, after = (
        looking("first"),
        failing(error, "bad"),
        looking("target"),
        looking("after"),
    )
    if how == "nested":
        after = Step(chain("inner", after))

    @flow
    def f() -> Wiring[Notes]:
        return [
            first.then(bad),
            bad.then(END).catch(ValueError, to=target),
            target.then(after),
            after.then(END),
        ]

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        await engine.run(f, Notes())
    last = "f/inner/after" if how == "nested" else "f/after"
    assert seen == [("f/first", None), ("f/target", error), (last, None)]


async def test_all_phases_of_the_target_see_the_caught_error() -> None:
    error, seen = ValueError(), list[BaseException | None]()

    async def look() -> None:
        seen.append(current_step().caught)

    bad, target = failing(error, "bad"), Step(Acts(prep=look, work=look, post=look))

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=target), target.then(END)]

    await f.run(Notes())
    assert seen == [error, error, error]


async def test_a_later_visit_of_the_target_sees_nothing() -> None:
    seen: list[BaseException | None] = []
    error = ValueError()

    @step
    async def target(notes: Notes, *, more: Next, done: Next) -> Next:
        seen.append(current_step().caught)
        notes.count += 1
        return more if notes.count < 3 else done

    bad = failing(error, "bad")

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=target), target.to(more=target, done=END)]

    await f.run(Notes())
    assert seen == [error, None, None]


async def test_an_error_caught_to_the_exit_of_a_flow_is_over_there() -> None:
    seen: list[BaseException | None] = []

    async def look() -> None:
        seen.append(current_step().caught)

    bad, after = failing(ValueError(), "bad"), doing(look, "after")

    @flow
    def inner(*, good: Next, failed: Next) -> Wiring[Notes]:
        return [bad.then(good).catch(ValueError, to=failed)]

    nested = Step(inner)

    @flow
    def outer() -> Wiring[Notes]:
        return [nested.to(good=END, failed=after), after.then(END)]

    await outer.run(Notes())
    assert seen == [None]


# ---------------------------------------------------------------- fallback


@OBSERVED_OR_NOT
async def test_a_fallback_stands_in_for_the_result_of_exec(observed: bool) -> None:
    recorder = Recorder()
    node = Step(Acts(work=raising(ValueError("no"))), fallback=Fallback("instead"))
    async with Engine(observers=[recorder] if observed else []) as engine:
        result = await engine.run(chain("f", node), Notes())
    assert result.state.log == ["instead"]
    if observed:
        assert recorder.lines() == [
            "run_start f",
            "node_start f/acts",
            "fallback_used f/acts guard=fallback error=ValueError message=no",
            "node_success f/acts",
            "routed f/acts target=end",
            "run_end f outcome=success steps=1",
        ]


async def test_a_fallback_may_be_a_function_of_the_error() -> None:
    def apologise(error: Exception) -> str:
        return f"sorry for {error!r}"

    node = Step(Acts(work=raising(ValueError("no"))), fallback=Fallback(by=apologise))
    assert (await node.run(Notes())).state.log == ["sorry for ValueError('no')"]


async def test_a_fallback_is_not_used_when_exec_succeeds() -> None:
    async def good() -> str:
        return "good"

    node = Step(Acts(work=good), fallback=Fallback("instead"))
    assert (await node.run(Notes())).state.log == ["good"]


@pytest.mark.parametrize("phase", ["prep", "post"])
async def test_a_fallback_is_not_for_prep_nor_for_post(phase: str) -> None:
    error = ValueError()
    acts = {"prep": Acts(prep=raising(error)), "post": Acts(post=raising(error))}
    with pytest.raises(FlowFailedError) as caught:
        await Step(acts[phase], fallback=Fallback("instead")).run(Notes())
    assert caught.value.only() is error


@pytest.mark.parametrize(
    ("error", "stands_in"),
    [
        (KeyError(), True),
        (OSError(), False),
        (ExceptionGroup("g", [KeyError(), IndexError()]), True),
        (ExceptionGroup("g", [KeyError(), OSError()]), False),
    ],
)
async def test_a_fallback_is_for_its_errors_and_for_groups_of_nothing_else(
    error: Exception, stands_in: bool
) -> None:
    node = Step(Acts(work=raising(error)), fallback=Fallback("instead", on=(LookupError,)))
    if stands_in:
        assert (await node.run(Notes())).state.log == ["instead"]
        return
    with pytest.raises(FlowFailedError) as caught:
        await node.run(Notes())
    assert caught.value.only() is error


async def test_a_fallback_never_stands_in_for_cancellation(autojump_clock: MockClock) -> None:
    asked: list[Exception] = []

    def by(error: Exception) -> None:
        asked.append(error)

    async def forever() -> None:
        await trio.sleep_forever()

    with trio.move_on_after(3) as scope:
        await Step(Acts(work=forever), fallback=Fallback(by=by)).run(Notes())
    assert scope.cancelled_caught
    assert asked == []


async def test_a_fallback_that_raises_fails_the_step_with_the_error_as_context() -> None:
    error, instead = ValueError("exec"), KeyError("fallback")

    def by(_: Exception) -> None:
        raise instead

    node = Step(Acts(work=raising(error)), fallback=Fallback(by=by))
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", node).run(Notes())
    assert caught.value.only() is instead
    assert instead.__context__ is error
    found = caught.value.find(instead)
    assert found is not None
    assert (found.path, found.phase) == ("f/acts", "exec")


async def test_post_and_catch_come_after_the_fallback() -> None:
    """Fallback first; only what it leaves goes to the edges."""
    saved = saying("saved")
    node = Step(
        Acts(work=raising(ValueError()), post=raising(KeyError("post"))),
        fallback=Fallback("instead"),
    )

    @flow
    def f() -> Wiring[Notes]:
        return [node.then(END).catch(KeyError, to=saved), saved.then(END)]

    assert (await f.run(Notes())).state.log == ["saved"]


async def test_a_failing_cleanup_of_exec_is_part_of_what_the_fallback_is_for() -> None:
    async def work() -> None:
        current_step().on_cleanup(raising(OSError("cleanup")))
        raise KeyError("exec")

    wide = Step(Acts(work=work), fallback=Fallback("instead"))
    assert (await wide.run(Notes())).state.log == ["instead"]
    narrow = Step(Acts(work=work), fallback=Fallback("instead", on=(KeyError,)))
    with pytest.raises(FlowFailedError) as caught:
        await narrow.run(Notes())
    assert [type(leaf) for leaf in caught.value.leaves()] == [KeyError, OSError]


async def test_a_fallback_does_not_silence_the_end_of_the_program() -> None:
    async def work() -> None:
        current_step().on_cleanup(raising(KeyboardInterrupt()))
        raise KeyError("exec")

    with pytest.raises(FlowAbortedError):
        await Step(Acts(work=work), fallback=Fallback("instead")).run(Notes())


async def test_the_fallback_event_tells_every_error_it_stands_in_for() -> None:
    async def work() -> None:
        current_step().on_cleanup(raising(OSError("cleanup")))
        raise KeyError("exec")

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        node = Step(Acts(work=work), fallback=Fallback("instead"))
        await engine.run(chain("f", node), Notes())
    (line,) = [line for line in recorder.lines() if line.startswith("fallback_used")]
    assert "KeyError: 'exec'" in line
    assert "OSError: cleanup" in line


async def test_an_exceeded_deadline_can_be_routed(autojump_clock: MockClock) -> None:
    slow, saved = sleeping(9, "slow").with_(timeout=2.0), saying("saved")

    @flow
    def f() -> Wiring[Notes]:
        return [slow.then(END).catch(DeadlineExceededError, to=saved), saved.then(END)]

    result = await f.run(Notes())
    assert (result.state.log, result.duration) == (["saved"], 2.0)
