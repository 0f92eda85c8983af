"""One step's life and the way through a flow: phases in order, exits, loops, and whose state is whose."""

from __future__ import annotations

from collections.abc import Awaitable

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    FlowFailedError,
    Next,
    NotAwaitableError,
    Step,
    Wiring,
    WrongExitError,
    flow,
    step,
)
from agentflow_trio.errors import Failure

from .engine_kit import Acts, Notes, chain, doing, failing, looping, nothing, saying, sleeping


class Phased:
    """Notes each phase with what it was given."""

    async def prep(self, shared: Notes, /) -> str:
        shared.log.append("prep")
        return "prepared"

    async def exec(self, prepared: str, /) -> str:
        return f"exec({prepared})"

    async def post(self, shared: Notes, prepared: str, result: str, /) -> None:
        shared.log.append(f"post({prepared}, {result})")


class Choosing:
    """Takes the exit that the state names."""

    async def prep(self, shared: Notes, /) -> str:
        return shared.log[-1]

    async def exec(self, prepared: str, /) -> str:
        return prepared

    async def post(
        self, shared: Notes, prepared: str, result: str, /, *, left: Next, right: Next
    ) -> Next:
        return left if result == "left" else right


async def test_prep_exec_and_post_run_once_each_in_this_order() -> None:
    result = await chain("f", Step(Phased())).run(Notes())
    assert result.state.log == ["prep", "post(prepared, exec(prepared))"]


async def test_each_phase_is_awaited_where_it_stands(autojump_clock: MockClock) -> None:
    times: list[float] = []

    async def second() -> None:
        times.append(trio.current_time())
        await trio.sleep(1)

    start = trio.current_time()
    result = await Step(Acts(prep=second, work=second, post=second)).run(Notes())
    assert times == [start, start + 1, start + 2]
    assert result.duration == 3.0


async def test_steps_follow_the_wiring() -> None:
    result = await chain("f", saying("a"), saying("b"), saying("c")).run(Notes())
    assert result.state.log == ["a", "b", "c"]
    assert result.exit is None
    assert result.steps == 3
    assert result.visits == {"f/a": 1, "f/b": 1, "f/c": 1}
    assert result.tail == ("f/a", "f/b", "f/c")


@pytest.mark.parametrize("side", ["left", "right"])
async def test_a_class_node_takes_the_exit_that_post_returns(side: str) -> None:
    choose = Step(Choosing())
    left, right = saying("went left"), saying("went right")

    @flow
    def f() -> Wiring[Notes]:
        return [choose.to(left=left, right=right), left.then(END), right.then(END)]

    result = await f.run(Notes([side]))
    assert result.state.log == [side, f"went {side}"]
    assert result.visits == {"f/choosing": 1, f"f/went {side}": 1}


@pytest.mark.parametrize("side", ["left", "right"])
async def test_a_function_step_takes_the_exit_it_returns(side: str) -> None:
    @step
    async def choose(notes: Notes, *, left: Next, right: Next) -> Next:
        return left if notes.log == ["left"] else right

    @flow
    def f(*, here: Next, there: Next) -> Wiring[Notes]:
        return [choose.to(left=here, right=there)]

    result = await f.run(Notes([side]))
    assert result.exit == {"left": "here", "right": "there"}[side]


async def test_several_exits_may_lead_to_one_way_out() -> None:
    again = looping(3)

    @flow
    def f(*, ready: Next) -> Wiring[Notes]:
        return [again.to(more=again, done=ready)]

    result = await f.run(Notes())
    assert result.exit == "ready"
    assert result.state.count == 3
    assert result.steps == 3
    assert result.visits == {"f/again": 3}
    assert result.tail == ("f/again", "f/again#2", "f/again#3")


async def test_the_tail_holds_the_last_hundred_places() -> None:
    again = looping(1234)

    @flow
    def f() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    result = await f.run(Notes())
    assert result.tail == tuple(f"f/again#{visit}" for visit in range(1135, 1235))
    assert result.visits == {"f/again": 1234}


async def test_a_step_alone_has_the_life_it_has_in_a_flow(autojump_clock: MockClock) -> None:
    before = Notes(["before"])
    result = await sleeping(2.5, "nap").run(before)
    assert result.state == Notes(["before", "nap"])
    assert before == Notes(["before"])
    assert (result.exit, result.steps, result.duration) == (None, 1, 2.5)
    assert result.visits == {"nap": 1}
    assert result.tail == ("nap",)


async def test_a_step_alone_says_which_exit_it_took() -> None:
    assert (await looping(1).run(Notes())).exit == "done"
    assert (await looping(2).run(Notes())).exit == "more"


async def test_the_state_passed_in_never_changes() -> None:
    given = Notes(["mine"], 7)

    class Rude:
        async def prep(self, shared: Notes, /) -> None:
            shared.log.append("prep")

        async def exec(self, prepared: None, /) -> None:
            pass

        async def post(self, shared: Notes, prepared: None, result: None, /) -> None:
            shared.log.append("post")
            shared.count = 0

    result = await chain("f", Step(Rude()), saying("a")).run(given)
    assert given == Notes(["mine"], 7)
    assert result.state == Notes(["mine", "prep", "post", "a"], 0)
    assert result.state is not given
    assert result.state.log is not given.log


async def test_the_state_passed_in_does_not_change_when_the_run_fails() -> None:
    given = Notes(["mine"])
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", saying("a"), failing(ValueError(), "b")).run(given)
    assert given == Notes(["mine"])
    assert caught.value.state == Notes(["mine", "a"])


async def test_what_is_frozen_in_the_state_is_shared_never_copied() -> None:
    @attrs.frozen
    class Payload:
        text: str

    @attrs.define
    class Holding:
        payload: Payload

    @step
    async def look(holding: Holding) -> None:
        seen.append(holding.payload)

    @flow
    def f() -> Wiring[Holding]:
        return [look.then(END)]

    seen: list[Payload] = []
    given = Holding(Payload("x" * 1000))
    result = await f.run(given)
    assert seen[0] is given.payload
    assert result.state.payload is given.payload


async def test_a_function_step_works_on_a_fork_that_is_kept_when_it_ends_well() -> None:
    seen: list[Notes] = []

    @step
    async def first(notes: Notes) -> None:
        seen.append(notes)

    @step
    async def second(notes: Notes) -> None:
        seen.append(notes)

    result = await chain("f", first, second).run(Notes())
    assert seen[0] is not seen[1]
    assert result.state is seen[1]


async def test_class_nodes_in_a_row_work_on_one_object() -> None:
    seen: list[Notes] = []

    class Look:
        async def prep(self, shared: Notes, /) -> None:
            seen.append(shared)

        async def exec(self, prepared: None, /) -> None:
            pass

        async def post(self, shared: Notes, prepared: None, result: None, /) -> None:
            seen.append(shared)

    result = await chain("f", Step(Look()), Step(Look(), name="again")).run(Notes())
    assert [one is result.state for one in seen] == [True] * 4


async def test_a_failed_function_step_leaves_no_trace_in_the_state() -> None:
    @step
    async def writes_and_fails(notes: Notes) -> None:
        notes.log.append("half")
        raise ValueError("no")

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", saying("a"), writes_and_fails).run(Notes())
    assert caught.value.state == Notes(["a"])


# ---------------------------------------------------------------- mistakes that types cannot see


class Wrong:
    """Returns from ``post`` whatever it was told to."""

    def __init__(self, returned: Next) -> None:
        self.returned = returned

    async def prep(self, shared: Notes, /) -> None:
        pass

    async def exec(self, prepared: None, /) -> None:
        pass

    async def post(
        self, shared: Notes, prepared: None, result: None, /, *, yes: Next, no: Next
    ) -> Next:
        shared.log.append("posted")
        return self.returned


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "returned None, which is not one of its exits: yes, no"),
        ("yes", "returned 'yes', which is not one of its exits: yes, no"),
        ([], "returned [], which is not one of its exits: yes, no"),  # cannot even be looked up
        (END, "returned the exit 'end', which is not one of its exits: yes, no"),
    ],
)
async def test_an_exit_that_is_none_of_the_steps_own_is_a_named_error(
    returned: object, text: str, autojump_clock: MockClock
) -> None:
    wrong = Step(Wrong(returned))  # type: ignore[arg-type]

    @flow
    def f() -> Wiring[Notes]:
        return [wrong.to(yes=END, no=END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    error = caught.value.only()
    assert isinstance(error, WrongExitError)
    assert str(error) == f"step 'wrong' {text}"
    assert error.exits == ("yes", "no")
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert caught.value.find(error) == Failure(
        path="f/wrong", phase="post", attempt=1, elapsed=0.0
    )


async def test_the_exit_of_another_step_is_not_an_exit_of_this_one() -> None:
    kept: list[Next] = []

    @step
    async def first(notes: Notes, *, on: Next) -> Next:
        kept.append(on)
        return on

    @step
    async def second(notes: Notes, *, on: Next) -> Next:
        return kept[0]

    @flow
    def f() -> Wiring[Notes]:
        return [first.to(on=second), second.to(on=END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert str(caught.value.only()) == (
        "step 'second' returned the exit 'on', which is not one of its exits: on"
    )


async def test_a_step_without_exits_that_returns_something_is_a_named_error() -> None:
    @step
    async def chatty(notes: Notes) -> None:
        return 5  # type: ignore[return-value]

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", chatty).run(Notes())
    assert str(caught.value.only()) == (
        "step 'chatty' has no exits but returned 5; let it return None"
    )


async def test_a_function_step_with_a_wrong_exit_leaves_no_trace_in_the_state() -> None:
    @step
    async def wrong(notes: Notes, *, on: Next) -> Next:
        notes.log.append("written")
        return Next()

    @flow
    def f() -> Wiring[Notes]:
        return [wrong.to(on=END)]

    with pytest.raises(FlowFailedError) as caught:
        await f.run(Notes())
    assert caught.value.state == Notes([])


class Sync:
    """Says that its phases can be awaited, but one of them returns something else."""

    def __init__(self, phase: str, returned: Awaitable[None]) -> None:
        self.phase, self.returned = phase, returned

    def prep(self, shared: Notes, /) -> Awaitable[None]:
        return self._return("prep")

    def exec(self, prepared: None, /) -> Awaitable[None]:
        return self._return("exec")

    def post(self, shared: Notes, prepared: None, result: None, /) -> Awaitable[None]:
        return self._return("post")

    def _return(self, phase: str) -> Awaitable[None]:
        if phase == self.phase:
            return self.returned
        return nothing()


@pytest.mark.parametrize(
    ("phase", "returned", "kind"),
    [("prep", 5, "int"), ("exec", "text", "str"), ("post", None, "NoneType")],
)
@pytest.mark.parametrize("timeout", [None, 5.0])
async def test_a_phase_that_gives_nothing_to_await_is_a_named_error(
    phase: str, returned: object, kind: str, timeout: float | None
) -> None:
    sync = Sync(phase, returned)  # type: ignore[arg-type]
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", Step(sync, timeout=timeout)).run(Notes())
    error = caught.value.only()
    assert isinstance(error, NotAwaitableError)
    assert (error.step, error.phase, error.returned) == ("sync", phase, kind)
    found = caught.value.find(error)
    assert found is not None
    assert (found.path, found.phase) == ("f/sync", phase)


async def test_a_function_step_that_gives_nothing_to_await_is_a_named_error() -> None:
    @step
    def wrong(notes: Notes) -> Awaitable[None]:
        return 5  # type: ignore[return-value]

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", wrong).run(Notes())
    assert str(caught.value.only()) == (
        "exec of step 'wrong' gave nothing to await (int); write 'async def exec'"
    )


async def test_the_same_complaint_about_the_nodes_own_await_is_left_alone() -> None:
    async def wrong() -> None:
        await 5  # type: ignore[misc]

    with pytest.raises(FlowFailedError) as caught:
        await chain("f", doing(wrong, "wrong")).run(Notes())
    assert type(caught.value.only()) is TypeError


async def test_a_type_error_of_another_kind_is_left_alone() -> None:
    error = TypeError("object int can't be used in 'await' expression, or so")
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", failing(error, "wrong")).run(Notes())
    assert caught.value.only() is error
