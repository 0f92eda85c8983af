"""A flow as a step: its own fork, its exits, its visits; adopted at the exit, dropped on failure."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    Engine,
    FlowFailedError,
    Next,
    NoStepError,
    StateForkError,
    Step,
    StepContext,
    StepEndedError,
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
)

# A nested flow is a frame of the loop, or with a policy a visit of its own: what it means is the same.
EITHER_WAY = pytest.mark.parametrize("timeout", [None, 100.0], ids=["plain", "timed"])


@EITHER_WAY
async def test_a_nested_flow_runs_where_it_stands(timeout: float | None) -> None:
    inner = Step(chain("inner", saying("b"), saying("c")), timeout=timeout)
    result = await chain("outer", saying("a"), inner, saying("d")).run(Notes())
    assert result.state.log == ["a", "b", "c", "d"]
    assert result.steps == 5
    assert result.tail == (
        "outer/a",
        "outer/inner",
        "outer/inner/b",
        "outer/inner/c",
        "outer/d",
    )
    assert result.visits == {
        "outer/a": 1,
        "outer/inner": 1,
        "outer/inner/b": 1,
        "outer/inner/c": 1,
        "outer/d": 1,
    }


@EITHER_WAY
@pytest.mark.parametrize("exit_", ["kept", "thrown"])
async def test_the_exits_of_a_flow_are_the_exits_of_its_step(
    timeout: float | None, exit_: str
) -> None:
    @step
    async def choose(notes: Notes, *, keep: Next, throw: Next) -> Next:
        return keep if exit_ == "kept" else throw

    @flow
    def inner(*, kept: Next, thrown: Next) -> Wiring[Notes]:
        return [choose.to(keep=kept, throw=thrown)]

    nested, kept, thrown = Step(inner, timeout=timeout), saying("kept"), saying("thrown")

    @flow
    def outer() -> Wiring[Notes]:
        return [nested.to(kept=kept, thrown=thrown), kept.then(END), thrown.then(END)]

    assert (await outer.run(Notes())).state.log == [exit_]


@EITHER_WAY
async def test_a_nested_flow_works_on_a_fork_that_is_adopted_at_its_exit(
    timeout: float | None,
) -> None:
    seen: list[Notes] = []

    class Look:
        async def prep(self, shared: Notes, /) -> None:
            seen.append(shared)

        async def exec(self, prepared: None, /) -> None:
            pass

        async def post(self, shared: Notes, prepared: None, result: None, /) -> None:
            shared.log.append(str(len(seen)))

    inner = Step(chain("inner", Step(Look(), name="in")), timeout=timeout)
    result = await chain("outer", Step(Look(), name="before"), inner, Step(Look())).run(Notes())
    before, inside, after = seen
    assert inside is not before
    assert before.log == ["1"]
    assert after is inside
    assert result.state is inside
    assert result.state.log == ["1", "2", "3"]


@EITHER_WAY
async def test_a_nested_flow_that_fails_is_dropped_with_its_fork(timeout: float | None) -> None:
    error, saved = ValueError("no"), saying("saved")
    inner = Step(chain("inner", saying("lost"), failing(error, "b")), timeout=timeout)

    @flow
    def outer() -> Wiring[Notes]:
        return [inner.then(END).catch(ValueError, to=saved), saved.then(END)]

    result = await outer.run(Notes(["kept"]))
    assert result.state.log == ["kept", "saved"]
    assert result.tail == ("outer/inner", "outer/inner/lost", "outer/inner/b", "outer/saved")


@EITHER_WAY
async def test_an_uncaught_failure_tells_the_path_of_each_flow(
    timeout: float | None, autojump_clock: MockClock
) -> None:
    error = ValueError("no")
    innermost = Step(chain("innermost", sleeping(1, "a"), failing(error, "b")), timeout=timeout)
    inner = Step(chain("inner", innermost), timeout=timeout)
    with pytest.raises(FlowFailedError) as caught:
        await chain("outer", saying("first"), inner).run(Notes())
    assert picture(caught.value) == (
        "outer",
        [("outer/inner", [("outer/inner/innermost", [error])])],
    )
    assert caught.value.find(error) == Failure(
        path="outer/inner/innermost/b", phase="exec", attempt=1, elapsed=0.0
    )
    assert error.__notes__ == ["in exec of outer/inner/innermost/b, after 0 s"]
    assert caught.value.state == Notes(["first"])
    outer = caught.value.exceptions[0]
    assert isinstance(outer, FlowFailedError)
    assert isinstance(outer.exceptions[0], FlowFailedError)
    assert outer.exceptions[0].state == Notes(["first", "a"])


@EITHER_WAY
async def test_each_execution_of_a_flow_counts_its_visits_anew(timeout: float | None) -> None:
    paths: list[str] = []

    @step
    async def note(notes: Notes) -> None:
        paths.append(current_step().path)

    inner, again = Step(chain("inner", note), timeout=timeout), looping(3)

    @flow
    def outer() -> Wiring[Notes]:
        return [inner.then(again), again.to(more=inner, done=END)]

    result = await outer.run(Notes())
    assert paths == ["outer/inner/note", "outer/inner#2/note", "outer/inner#3/note"]
    assert result.visits == {"outer/inner/note": 3, "outer/inner": 3, "outer/again": 3}


@EITHER_WAY
async def test_the_same_flow_may_be_nested_under_two_names(timeout: float | None) -> None:
    inner = chain("inner", saying("x"))
    first, second = Step(inner, timeout=timeout), Step(inner, name="second", timeout=timeout)
    result = await chain("outer", first, second).run(Notes())
    assert result.state.log == ["x", "x"]
    assert result.tail == ("outer/inner", "outer/inner/x", "outer/second", "outer/second/x")


async def test_a_nested_flow_alone_is_run_as_a_step(autojump_clock: MockClock) -> None:
    error = ValueError()
    good = Step(chain("inner", sleeping(2, "a")))
    result = await good.run(Notes())
    assert (result.state.log, result.duration, result.steps) == (["a"], 2.0, 2)
    assert result.tail == ("inner", "inner/a")
    with pytest.raises(FlowFailedError) as caught:
        await Step(chain("inner", failing(error, "b"))).run(Notes())
    assert picture(caught.value) == ("inner", [("inner", [error])])


@EITHER_WAY
async def test_time_in_a_nested_flow_is_time_of_the_run(
    timeout: float | None, autojump_clock: MockClock
) -> None:
    inner = Step(chain("inner", sleeping(1, "a"), sleeping(2, "b")), timeout=timeout)
    result = await chain("outer", inner, sleeping(4, "c")).run(Notes())
    assert result.duration == 7.0


async def test_four_hundred_levels_work_and_fail_with_the_whole_path() -> None:
    def deep(bottom: Step[Notes, []]) -> Step[Notes, []]:
        for level in reversed(range(400)):
            bottom = Step(chain(f"level{level}", bottom))
        return bottom

    path = "/".join(f"level{level}" for level in range(400))
    result = await deep(saying("bottom")).run(Notes())
    assert result.steps == 401
    assert result.tail[-1] == f"{path}/bottom"
    error = ValueError()
    with pytest.raises(FlowFailedError) as caught:
        await deep(failing(error, "bottom")).run(Notes())
    assert caught.value.only() is error
    assert error.__notes__[0].startswith(f"in exec of {path}/bottom, ")


async def test_four_hundred_levels_work_when_they_are_observed() -> None:
    recorder, bottom = Recorder(), saying("bottom")
    inner = chain("level", bottom)
    for _ in range(399):
        inner = chain("level", Step(inner))
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(inner, Notes())
    assert result.steps == 400
    assert len(recorder.events) == 2 + 3 * 400


async def test_levels_with_a_time_limit_each_may_be_nested_fifty_deep(
    autojump_clock: MockClock,
) -> None:
    """Each of them costs stack, and Python has some for about 150; half of that under a tracer."""
    bottom = sleeping(1, "bottom")
    for level in range(50):
        bottom = Step(chain(f"level{level}", bottom), timeout=5.0)
    result = await bottom.run(Notes())
    assert (result.steps, result.duration) == (51, 1.0)


@EITHER_WAY
@pytest.mark.parametrize("kind", ["function", "class", "nested"])
async def test_a_state_that_can_no_longer_be_forked_fails_the_step_that_would_fork_it(
    kind: str, timeout: float | None
) -> None:
    @step
    async def spoil(notes: Notes) -> None:
        notes.log = (number for number in [1])  # type: ignore[assignment]

    after, saved = saying("after").with_(timeout=timeout), Step(Acts(), name="saved")
    if kind == "class":
        after = Step(Acts(), name="after", timeout=timeout)
    elif kind == "nested":
        after = Step(chain("after", saying("x")), timeout=timeout)

    @flow
    def f() -> Wiring[Notes]:
        return [
            spoil.then(after),
            after.then(END).catch(StateForkError, to=saved),
            saved.then(END),
        ]

    result = await f.run(Notes())
    assert result.tail == ("f/spoil", "f/after", "f/saved")
    assert result.visits == {"f/spoil": 1, "f/after": 1, "f/saved": 1}


# ---------------------------------------------------------------- within another state


@attrs.define
class Page:
    notes: Notes
    title: str = ""


def enter(page: Page) -> Notes:
    return page.notes


def leave(page: Page, notes: Notes) -> None:
    page.title = ",".join(notes.log)


@EITHER_WAY
async def test_within_gives_the_flow_its_state_and_writes_back_what_became_of_it(
    timeout: float | None,
) -> None:
    inner = chain("inner", saying("a"), saying("b"))
    nested = Step(inner.within(enter, leave), timeout=timeout)

    @flow
    def outer() -> Wiring[Page]:
        return [nested.then(END)]

    given = Page(Notes(["given"]))
    result = await outer.run(given)
    assert result.state == Page(Notes(["given"]), "given,a,b")
    assert given == Page(Notes(["given"]))
    assert result.tail == ("outer/inner", "outer/inner/a", "outer/inner/b")


@EITHER_WAY
async def test_within_keeps_exits(timeout: float | None) -> None:
    again = looping(2)

    @flow
    def inner(*, ready: Next) -> Wiring[Notes]:
        return [again.to(more=again, done=ready)]

    nested = Step(inner.within(enter, leave), timeout=timeout)

    @flow
    def outer(*, done: Next) -> Wiring[Page]:
        return [nested.to(ready=done)]

    result = await outer.run(Page(Notes()))
    assert result.exit == "done"
    assert result.state.notes.count == 0


@EITHER_WAY
@pytest.mark.parametrize("caught_by", ["nobody", "an edge"])
async def test_an_enter_that_raises_is_a_failure_of_the_step(
    timeout: float | None, caught_by: str, autojump_clock: MockClock
) -> None:
    error = KeyError("enter")

    def bad(page: Page) -> Notes:
        raise error

    @step
    async def after(page: Page) -> None:
        assert current_step().caught is error
        paths.append(current_step().path)

    paths: list[str] = []
    nested = Step(chain("inner", saying("a")).within(bad, leave), timeout=timeout)

    @flow
    def uncaught() -> Wiring[Page]:
        return [nested.then(END)]

    @flow
    def caught() -> Wiring[Page]:
        return [nested.then(END).catch(KeyError, to=after), after.then(END)]

    if caught_by == "an edge":
        result = await caught.run(Page(Notes()))
        assert paths == ["caught/after"]
        assert result.visits == {"caught/inner": 1, "caught/after": 1}
        return
    with pytest.raises(FlowFailedError) as raised:
        await uncaught.run(Page(Notes()))
    assert picture(raised.value) == ("uncaught", [error])
    found = raised.value.find(error)
    assert found is not None
    assert (found.path, found.elapsed) == ("uncaught/inner", 0.0)


@EITHER_WAY
@pytest.mark.parametrize("caught_by", ["nobody", "an edge"])
async def test_a_leave_that_raises_is_a_failure_of_the_step_and_leaves_no_trace_if_caught(
    timeout: float | None, caught_by: str, autojump_clock: MockClock
) -> None:
    error = KeyError("leave")

    def bad(page: Page, notes: Notes) -> None:
        page.title = "half"
        raise error

    @step
    async def after(page: Page) -> None:
        paths.append(current_step().path)

    paths: list[str] = []
    nested = Step(chain("inner", sleeping(3, "a")).within(enter, bad), timeout=timeout)

    @flow
    def uncaught() -> Wiring[Page]:
        return [nested.then(END)]

    @flow
    def caught() -> Wiring[Page]:
        return [nested.then(END).catch(KeyError, to=after), after.then(END)]

    if caught_by == "an edge":
        result = await caught.run(Page(Notes()))
        assert result.state == Page(Notes())
        assert paths == ["caught/after"]
        assert result.tail == ("caught/inner", "caught/inner/a", "caught/after")
        return
    with pytest.raises(FlowFailedError) as raised:
        await uncaught.run(Page(Notes()))
    assert picture(raised.value) == ("uncaught", [error])
    assert raised.value.find(error) == Failure(
        path="uncaught/inner", phase="post", attempt=1, elapsed=3.0
    )


@EITHER_WAY
@pytest.mark.parametrize("where", ["enter", "leave"])
async def test_enter_and_leave_are_between_steps(timeout: float | None, where: str) -> None:
    """They change one state into another; what a step may ask for, they may not."""
    kept: list[StepContext] = []

    @step
    async def last(notes: Notes) -> None:
        kept.append(current_step())

    def ask(page: Page, notes: Notes | None = None) -> Notes:
        with pytest.raises(NoStepError):
            current_step()
        for context in kept:
            with pytest.raises(StepEndedError):
                assert context.path
        asked.append(where)
        return page.notes

    asked: list[str] = []
    inner = chain("inner", saying("a"), last)
    within = inner.within(ask, leave) if where == "enter" else inner.within(enter, ask)
    nested = Step(within, timeout=timeout)

    @flow
    def outer() -> Wiring[Page]:
        return [nested.then(END)]

    await outer.run(Page(Notes()))
    assert asked == [where]


# ---------------------------------------------------------------- a node that runs another flow


async def test_a_node_may_run_another_flow_which_is_a_run_of_its_own() -> None:
    ids: list[str] = []

    @step
    async def note(notes: Notes) -> None:
        ids.append(current_step().run_id)
        notes.log.append(current_step().path)

    @step
    async def runs(notes: Notes) -> None:
        result = await chain("other", note).run(notes)
        notes.log = result.state.log
        assert current_step().path == "f/runs"
        ids.append(current_step().run_id)

    result = await chain("f", note, runs, note.with_(name="last")).run(Notes())
    assert result.state.log == ["f/note", "other/note", "f/last"]
    assert result.steps == 3
    assert ids[0] == ids[2] == ids[3] == result.run_id
    assert ids[1] != ids[0]


async def test_class_nodes_and_flows_mix(autojump_clock: MockClock) -> None:
    async def second() -> str:
        await trio.sleep(1)
        return "worked"

    inner = chain("inner", Step(Acts(work=second)), doing(second, "function"))
    result = await chain("outer", Step(Acts(work=second)), Step(inner)).run(Notes())
    assert result.state.log == ["worked", "worked", "function"]
    assert result.duration == 3.0
