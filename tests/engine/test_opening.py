"""What a step opens with ``enter`` and ``on_cleanup``: as long as the phase lasts, closed last in first out, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from agentflow_trio import (
    END,
    Engine,
    FlowFailedError,
    NoStepError,
    Step,
    Wiring,
    current_step,
    flow,
)
from agentflow_trio.engine._private import PublicStatus

from .engine_kit import Act, Acts, Notes, Opened, Recorder, chain, doing, saying

OBSERVED_OR_NOT = pytest.mark.parametrize("observed", [False, True])
HOW = pytest.mark.parametrize("how", ["quiet", "observed", "timed", "caught"])


def noting(log: list[str], word: str) -> Act:
    async def note() -> None:
        log.append(word)

    return note


def opening(log: list[str], word: str) -> Act:
    """Notes *word*, and opens two things that note when they are closed."""

    async def open_two() -> None:
        current_step().on_cleanup(noting(log, f"close {word} 1"))
        current_step().on_cleanup(noting(log, f"close {word} 2"))
        log.append(word)

    return open_two


# ---------------------------------------------------------------- how long


@HOW
async def test_what_a_phase_opens_lives_as_long_as_the_phase(how: str) -> None:
    """Of prep: the visit; of exec: exec; of post: post; last in, first out."""
    log: list[str] = []
    node = Step(
        Acts(prep=opening(log, "prep"), work=opening(log, "exec"), post=opening(log, "post")),
        timeout=5.0 if how == "timed" else None,
    )
    after = doing(noting(log, "next step"), "b")

    @flow
    def f() -> Wiring[Notes]:
        line = node.then(after)
        return [line.catch(OSError, to=END) if how == "caught" else line, after.then(END)]

    async with Engine(observers=[Recorder()] if how == "observed" else []) as engine:
        await engine.run(f, Notes())
    assert log == [
        "prep",
        "exec",
        "close exec 2",
        "close exec 1",
        "post",
        "close post 2",
        "close post 1",
        "close prep 2",
        "close prep 1",
        "next step",
    ]


@HOW
async def test_what_a_function_step_opens_is_closed_before_the_next_step(how: str) -> None:
    log: list[str] = []
    node = doing(opening(log, "a"), "a").with_(timeout=5.0 if how == "timed" else None)
    after = doing(noting(log, "b"), "b")

    @flow
    def f() -> Wiring[Notes]:
        line = node.then(after)
        return [line.catch(OSError, to=END) if how == "caught" else line, after.then(END)]

    async with Engine(observers=[Recorder()] if how == "observed" else []) as engine:
        await engine.run(f, Notes())
    assert log == ["a", "close a 2", "close a 1", "b"]


@HOW
@pytest.mark.parametrize("failing", ["prep", "exec", "post"])
async def test_whichever_phase_fails_everything_is_closed_last_in_first_out(
    failing: str, how: str
) -> None:
    log: list[str] = []

    def act(phase: str) -> Act:
        async def open_and_perhaps_fail() -> None:
            await opening(log, phase)()
            if phase == failing:
                raise ValueError

        return open_and_perhaps_fail

    node = Step(
        Acts(prep=act("prep"), work=act("exec"), post=act("post")),
        timeout=5.0 if how == "timed" else None,
    )

    @flow
    def f() -> Wiring[Notes]:
        line = node.then(END)
        return [line.catch(ValueError, to=END) if how == "caught" else line]

    async with Engine(observers=[Recorder()] if how == "observed" else []) as engine:
        if how == "caught":
            await engine.run(f, Notes())
        else:
            with pytest.raises(FlowFailedError):
                await engine.run(f, Notes())
    closed = {
        "prep": ["prep"],
        "exec": ["prep", "exec", "close exec 2", "close exec 1"],
        "post": ["prep", "exec", "close exec 2", "close exec 1", "post"],
    }[failing]
    if failing == "post":
        closed += ["close post 2", "close post 1"]
    assert log == [*closed, "close prep 2", "close prep 1"]


async def test_everything_is_closed_when_the_caller_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []

    async def forever() -> None:
        await opening(log, "exec")()
        await trio.sleep_forever()

    node = Step(Acts(prep=opening(log, "prep"), work=forever))
    with trio.move_on_after(1):
        await chain("f", Step(chain("inner", node))).run(Notes())
    assert log == [
        "prep",
        "exec",
        "close exec 2",
        "close exec 1",
        "close prep 2",
        "close prep 1",
    ]


async def test_every_cleanup_runs_whatever_the_others_raise() -> None:
    log: list[str] = []

    async def bad(number: int) -> None:
        log.append(f"bad {number}")
        raise OSError(number)

    async def work() -> None:
        current_step().on_cleanup(noting(log, "good 1"))
        current_step().on_cleanup(bad, 1)
        current_step().on_cleanup(noting(log, "good 2"))
        current_step().on_cleanup(bad, 2)

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert log == ["bad 2", "good 2", "bad 1", "good 1"]
    assert [str(leaf) for leaf in caught.value.leaves()] == ["2", "1"]


async def test_a_cleanup_gets_its_arguments() -> None:
    got: list[tuple[int, str]] = []

    async def clean(number: int, word: str) -> None:
        got.append((number, word))

    async def work() -> None:
        current_step().on_cleanup(clean, 5, "five")

    await doing(work, "a").run(Notes())
    assert got == [(5, "five")]


async def test_everything_happens_in_the_steps_own_task() -> None:
    tasks: list[trio.lowlevel.Task] = []

    async def note() -> None:
        tasks.append(trio.lowlevel.current_task())

    class Noting:
        async def __aenter__(self) -> None:
            await note()

        async def __aexit__(self, *_: object) -> None:
            await note()

    async def work() -> None:
        await current_step().enter(Noting())
        current_step().on_cleanup(note)

    async with Engine(observers=[Recorder()]) as engine:
        await engine.run(chain("f", doing(work, "a")), Notes())
    assert tasks == [trio.lowlevel.current_task()] * 3


# ---------------------------------------------------------------- context managers


@OBSERVED_OR_NOT
async def test_entering_gives_what_the_manager_gives(observed: bool) -> None:
    log: list[str] = []

    async def work() -> None:
        log.append(await current_step().enter(Opened(log, "async")))
        log.append("working")

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        await engine.run(chain("f", doing(work, "a")), Notes())
    assert log == ["open async", "async", "working", "close async"]


class Sync:
    """A plain context manager that notes what happens to it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.errors: list[BaseException | None] = []

    def __enter__(self) -> str:
        self.log.append("open")
        return "sync"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        assert kind is (None if error is None else type(error))
        assert tb is (None if error is None else error.__traceback__)
        self.errors.append(error)
        self.log.append("close")
        return True


@pytest.mark.parametrize("fails", [False, True])
async def test_plain_context_managers_work_too_and_cannot_swallow(fails: bool) -> None:
    log: list[str] = []
    manager, error = Sync(log), ValueError()

    async def work() -> None:
        log.append(await current_step().enter(manager))
        if fails:
            raise error

    if fails:
        with pytest.raises(FlowFailedError) as caught:
            await doing(work, "a").run(Notes())
        assert caught.value.only() is error
        assert manager.errors == [error]
    else:
        await doing(work, "a").run(Notes())
        assert manager.errors == [None]
    assert log == ["open", "sync", "close"]


@OBSERVED_OR_NOT
async def test_a_manager_learns_of_the_error_and_cannot_swallow_it(observed: bool) -> None:
    log: list[str] = []
    manager, error = Opened(log, swallow=True), ValueError()

    async def work() -> None:
        await current_step().enter(manager)
        raise error

    async with Engine(observers=[Recorder()] if observed else []) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", doing(work, "a")), Notes())
    assert caught.value.only() is error
    assert manager.errors == [error]
    assert log == ["open it", "close it"]


@OBSERVED_OR_NOT
async def test_what_prep_opened_learns_of_the_error_of_exec_and_of_post(observed: bool) -> None:
    log: list[str] = []
    error = ValueError()

    async def fail() -> None:
        raise error

    for acts in ({"work": fail}, {"post": fail}):
        manager = Opened(log)

        async def prep(manager: Opened = manager) -> None:
            await current_step().enter(manager)

        async with Engine(observers=[Recorder()] if observed else []) as engine:
            with pytest.raises(FlowFailedError):
                await engine.run(chain("f", Step(Acts(prep=prep, **acts))), Notes())
        assert manager.errors == [error]


async def test_a_manager_made_of_a_generator_works_and_may_raise_again() -> None:
    log: list[str] = []
    error = ValueError()

    @asynccontextmanager
    async def client() -> AsyncIterator[str]:
        try:
            yield "client"
        except ValueError:
            log.append("saw it")
            raise
        finally:
            await trio.lowlevel.checkpoint()
            log.append("closed")

    @contextmanager
    def lock() -> Iterator[str]:
        yield "lock"
        log.append("never: the error comes up at the yield")

    async def work() -> None:
        log.append(await current_step().enter(client()))
        log.append(await current_step().enter(lock()))
        raise error

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert caught.value.only() is error
    assert log == ["client", "lock", "saw it", "closed"]


async def test_a_manager_that_fails_at_the_end_adds_its_error() -> None:
    log: list[str] = []
    error, dirt = ValueError(), OSError()

    async def work() -> None:
        await current_step().enter(Opened(log, raises=dirt))
        raise error

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert list(caught.value.leaves()) == [error, dirt]


async def test_a_manager_that_cannot_be_entered_is_not_left() -> None:
    error = OSError("no")

    class Closed:
        async def __aenter__(self) -> None:
            raise error

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("it was never entered")

    async def work() -> None:
        await current_step().enter(Closed())

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert caught.value.only() is error


async def test_a_manager_whose_enter_is_cancelled_is_not_left(
    autojump_clock: MockClock,
) -> None:
    left: list[str] = []

    class Slow:
        async def __aenter__(self) -> None:
            await trio.sleep_forever()

        async def __aexit__(self, *_: object) -> None:
            left.append("left")

    async def work() -> None:
        await current_step().enter(Slow())

    with trio.move_on_after(1):
        await doing(work, "a").run(Notes())
    assert left == []


async def test_entering_a_plain_manager_when_cancelled_raises_and_opens_nothing() -> None:
    log: list[str] = []

    async def work() -> None:
        scope.cancel()
        await current_step().enter(Sync(log))

    with trio.CancelScope() as scope:
        await doing(work, "a").run(Notes())
    assert scope.cancelled_caught
    assert log == []


async def test_a_manager_of_a_nursery_or_scope_is_refused_and_closed() -> None:
    """Only a block in the node's own code can close those in order."""
    log: list[str] = []

    @asynccontextmanager
    async def with_nursery() -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                yield
            finally:
                log.append("closed")
                nursery.cancel_scope.cancel()

    async def work() -> None:
        for manager in (trio.open_nursery(), with_nursery(), trio.move_on_after(5)):
            with pytest.raises(NoStepError, match="it holds a nursery or cancel scope"):
                await current_step().enter(manager)
        log.append("went on")

    result = await doing(work, "a").run(Notes())
    assert result.state.log == ["a"]
    assert log == ["closed", "went on"]


async def test_a_manager_that_gives_nothing_to_await_is_blamed_itself() -> None:
    class Wrong:
        def __aenter__(self) -> int:
            return 5

        async def __aexit__(self, *_: object) -> None:
            pass

    async def work() -> None:
        await current_step().enter(Wrong())  # type: ignore[arg-type]

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert type(caught.value.only()) is TypeError


async def test_entering_is_a_checkpoint_if_the_manager_is_one() -> None:
    log: list[str] = []

    async def work() -> None:
        with assert_checkpoints():
            await current_step().enter(Opened(log))

    await doing(work, "a").run(Notes())
    assert log == ["open it", "close it"]


# ---------------------------------------------------------------- in a cleanup


@pytest.mark.parametrize("what", ["enter", "on_cleanup"])
async def test_a_cleanup_cannot_open_more(what: str) -> None:
    log: list[str] = []

    async def clean() -> None:
        with pytest.raises(NoStepError, match="does not work in a cleanup"):  # noqa: PT012
            if what == "enter":
                await current_step().enter(Opened(log))
            else:
                current_step().on_cleanup(noting(log, "never"))
        log.append("cleaned")

    async def work() -> None:
        current_step().on_cleanup(clean)

    await doing(work, "a").run(Notes())
    assert log == ["cleaned"]


async def test_a_cleanup_knows_its_step(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    async def clean() -> None:
        seen.append(current_step().path)

    async def work() -> None:
        current_step().on_cleanup(clean)

    async def fail() -> None:
        current_step().on_cleanup(clean)
        raise ValueError

    async def slow() -> None:
        current_step().on_cleanup(clean)
        await trio.sleep_forever()

    inner = Step(chain("inner", doing(fail, "b")))

    @flow
    def f() -> Wiring[Notes]:
        a, last = doing(work, "a"), doing(slow, "c")
        return [a.then(inner), inner.then(END).catch(ValueError, to=last), last.then(END)]

    with trio.move_on_after(1):
        await f.run(Notes())
    assert seen == ["f/a", "f/inner/b", "f/c"]


async def test_a_cleanup_may_run_a_flow() -> None:
    log: list[str] = []

    async def clean() -> None:
        result = await chain("tidy", saying("x"), saying("y")).run(Notes())
        log.extend(result.state.log)

    async def work() -> None:
        current_step().on_cleanup(clean)

    await chain("f", doing(work, "a"), doing(noting(log, "b"), "b")).run(Notes())
    assert log == ["x", "y", "b"]


async def test_what_a_run_inside_a_node_opens_is_its_own() -> None:
    log: list[str] = []

    async def inner() -> None:
        current_step().on_cleanup(noting(log, "close inner"))

    async def outer() -> None:
        current_step().on_cleanup(noting(log, "close outer"))
        await chain("other", doing(inner, "x")).run(Notes())
        log.append("inner run over")

    await doing(outer, "a").run(Notes())
    assert log == ["close inner", "inner run over", "close outer"]


@OBSERVED_OR_NOT
async def test_a_run_whose_coroutine_is_closed_cleans_up_nothing_that_has_to_wait(
    observed: bool,
) -> None:
    """As at the end of a program that was torn down: nobody can wait any more."""
    log: list[str] = []

    async def work() -> None:
        current_step().on_cleanup(noting(log, "never"))
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    recorder = Recorder()
    async with Engine(observers=[recorder] if observed else []) as engine:
        inner = Step(chain("inner", Step(Acts(prep=opening(log, "prep"), work=work))))
        coroutine = engine.run(chain("f", inner), Notes())
        coroutine.send(None)
        coroutine.close()
    assert log == ["prep"]
    with pytest.raises(NoStepError):
        current_step()
    if observed:
        assert recorder.events[-1].event_type == "run_end"


async def test_without_trios_private_name_scopes_cannot_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be seen is not refused; a manager without a scope works all the same."""
    monkeypatch.setattr("agentflow_trio.engine._context.find_status", lambda: PublicStatus)
    log: list[str] = []

    async def work() -> None:
        await current_step().enter(Opened(log))

    await doing(work, "a").run(Notes())
    assert log == ["open it", "close it"]
