"""What a node may know and ask for while it runs, in its task, its child tasks and its threads; and where it may not."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextvars import copy_context
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    FlowFailedError,
    NoStepError,
    Resource,
    ResourceError,
    Step,
    StepContext,
    StepEndedError,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.events import ExecutionEvent, Progress

from .engine_kit import Acts, Notes, Recorder, chain, doing, failing, looping, nothing, saying

# ---------------------------------------------------------------- what can be read


async def test_a_node_knows_where_it_is(autojump_clock: MockClock) -> None:
    seen: list[tuple[str, int, int, str, str, float]] = []

    async def look() -> None:
        here = current_step()
        seen.append((
            here.path,
            here.visit,
            here.attempt,
            here.run_id,
            here.idempotency_key,
            here.now(),
        ))
        await trio.sleep(1)

    node, again = Step(Acts(prep=look, work=look, post=look), name="node"), looping(2)
    inner = Step(chain("inner", node))

    @flow
    def f() -> Wiring[Notes]:
        return [inner.then(again), again.to(more=inner, done=END)]

    await f.run(Notes(), run_id="r")
    first, second = "f/inner/node", "f/inner#2/node"
    assert seen == [
        (first, 1, 1, "r", f"r/{first}", 0.0),
        (first, 1, 1, "r", f"r/{first}", 1.0),
        (first, 1, 1, "r", f"r/{first}", 2.0),
        (second, 1, 1, "r", f"r/{second}", 3.0),
        (second, 1, 1, "r", f"r/{second}", 4.0),
        (second, 1, 1, "r", f"r/{second}", 5.0),
    ]


async def test_a_later_visit_has_its_number() -> None:
    seen: list[tuple[str, int, str]] = []

    async def look() -> None:
        seen.append((current_step().path, current_step().visit, current_step().idempotency_key))

    node, again = doing(look, "node"), looping(3)

    @flow
    def f() -> Wiring[Notes]:
        return [node.then(again), again.to(more=node, done=END)]

    await f.run(Notes(), run_id="r")
    assert seen == [
        ("f/node", 1, "r/f/node"),
        ("f/node#2", 2, "r/f/node#2"),
        ("f/node#3", 3, "r/f/node#3"),
    ]


async def test_visits_are_numbered_beyond_what_is_kept_in_the_log() -> None:
    paths: list[str] = []

    @step
    async def note(notes: Notes) -> None:
        paths.append(current_step().path)

    again = looping(1500)

    @flow
    def f() -> Wiring[Notes]:
        return [note.then(again), again.to(more=note, done=END)]

    result = await f.run(Notes())
    assert paths == ["f/note", *(f"f/note#{visit}" for visit in range(2, 1501))]
    assert result.visits == {"f/note": 1500, "f/again": 1500}


async def test_one_visit_has_one_context() -> None:
    contexts: list[StepContext] = []

    async def look() -> None:
        contexts.append(current_step())

    await Step(Acts(prep=look, work=look, post=look)).run(Notes())
    assert contexts[0] is contexts[1] is contexts[2]


async def test_the_run_id_is_the_same_in_node_and_result_when_none_was_given() -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(current_step().run_id)

    result = await doing(look, "a").run(Notes())
    assert seen == [result.run_id]


# ---------------------------------------------------------------- dice


def rolling(name: str, rolls: list[float], times: int = 1) -> Step[Notes, []]:
    async def roll() -> None:
        rolls.extend(current_step().random.random() for _ in range(times))

    return doing(roll, name)


async def test_the_same_seed_gives_the_same_draws_whatever_other_steps_do() -> None:
    alone: list[float] = []
    beside: list[float] = []
    ignored: list[float] = []
    await chain("f", rolling("a", alone), rolling("b", alone)).run(Notes(), seed=7)
    await chain(
        "f", rolling("x", ignored, 5), rolling("a", beside), saying("c"), rolling("b", beside)
    ).run(Notes(), seed=7)
    assert alone == beside
    assert len({*alone, *ignored}) == 7


async def test_dice_are_derived_from_seed_path_visit_and_attempt() -> None:
    rolls: list[float] = []
    node, again = rolling("node", rolls, 2), looping(2)

    @flow
    def inner() -> Wiring[Notes]:
        return [node.then(again), again.to(more=node, done=END)]

    await chain("f", Step(inner)).run(Notes(), seed=7)
    first, second = Random("7/f/inner/node#1@1"), Random("7/f/inner/node#2@1")
    assert rolls == [first.random(), first.random(), second.random(), second.random()]


async def test_another_seed_gives_other_draws_and_no_seed_some() -> None:
    rolls: list[float] = []
    for seed in (1, 2, None, None):
        await rolling("a", rolls).run(Notes(), seed=seed)
    assert len({*rolls}) == 4


async def test_zero_is_a_seed_like_any_other() -> None:
    rolls: list[float] = []
    async with Engine(seed=7) as engine:
        await engine.run(chain("f", rolling("a", rolls)), Notes(), seed=0)
    async with Engine(seed=0) as engine:
        await engine.run(chain("f", rolling("a", rolls)), Notes())
    assert rolls == [Random("0/f/a#1@1").random()] * 2


async def test_the_engines_seed_is_for_runs_that_are_given_none() -> None:
    rolls: list[float] = []
    node = chain("f", rolling("a", rolls))
    async with Engine(seed=7) as engine:
        await engine.run(node, Notes())
        await engine.run(node, Notes(), seed=8)
        async with engine.start(node, Notes()):
            pass
    await node.run(Notes(), seed=7)
    await node.run(Notes(), seed=8)
    assert rolls[0] == rolls[2] == rolls[3]
    assert rolls[1] == rolls[4] != rolls[0]


# ---------------------------------------------------------------- resources

WORDS: Resource[list[str]] = Resource("words", list)
NUMBER: Resource[int] = Resource("number", int)


async def test_a_step_borrows_what_it_declares() -> None:
    words, seen = ["hello"], list[object]()

    @step(uses=(WORDS, NUMBER))
    async def borrow(notes: Notes) -> None:
        seen.extend([current_step().use(WORDS), current_step().use(NUMBER)])

    async with Engine(resources={WORDS: words, NUMBER: 5}) as engine:
        await engine.run(chain("f", borrow), Notes())
    assert seen[0] is words
    assert seen[1] == 5


async def test_borrowing_what_is_not_declared_says_where_to_declare_it() -> None:
    async def borrow() -> None:
        current_step().use(WORDS)

    async with Engine(resources={WORDS: [], NUMBER: 5}) as engine:
        greedy = doing(borrow, "greedy").with_(uses=(NUMBER,))
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", greedy), Notes())
    assert str(caught.value.only()) == (
        "resource 'words' of step 'greedy': not declared; write uses=(WORDS,) where the step is made"
    )


async def test_a_resource_that_changed_its_class_meanwhile_is_refused() -> None:
    class Client:
        pass

    class Closed:
        pass

    client = Client()
    resource = Resource("client", Client)

    @step(uses=(resource,))
    async def borrow(notes: Notes) -> None:
        client.__class__ = Closed  # type: ignore[assignment]
        current_step().use(resource)

    async with Engine(resources={resource: client}) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", borrow), Notes())
    assert str(caught.value.only()) == "resource 'client' of step 'borrow': is not a Client"


# ---------------------------------------------------------------- progress


async def test_a_report_is_an_event(autojump_clock: MockClock) -> None:
    async def work() -> None:
        current_step().report(0, "begun")
        await trio.sleep(2)
        current_step().report(0.5)
        current_step().report(1.0, "done")

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", doing(work, "a")), Notes())
    progress = [event for event in recorder.events if isinstance(event, Progress)]
    assert [
        (event.path, event.fraction, event.text, event.timestamp) for event in progress
    ] == [("f/a", 0.0, "begun", 0.0), ("f/a", 0.5, "", 2.0), ("f/a", 1.0, "done", 2.0)]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
async def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    async def work() -> None:
        current_step().report(fraction)

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert str(caught.value.only()) == (
        f"report: fraction must be between 0 and 1, not {fraction!r}"
    )


async def test_a_report_is_no_checkpoint_and_works_when_nobody_listens() -> None:
    ticks: list[int] = []

    async def work() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            current_step().report(0.5)
            ticks.append(1)
            await trio.lowlevel.checkpoint()

    await doing(work, "a").run(Notes())
    assert ticks == [1]


# ---------------------------------------------------------------- child tasks


async def test_child_tasks_know_the_step_too(autojump_clock: MockClock) -> None:
    paths: list[str] = []

    async def grandchild() -> None:
        paths.append(f"grandchild {current_step().path}")

    async def child() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(grandchild)
        paths.append(f"child {current_step().path}")
        current_step().report(0.5)

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    await chain("f", doing(work, "a"), doing(work, "b")).run(Notes())
    assert paths == ["grandchild f/a", "child f/a", "grandchild f/b", "child f/b"]


@pytest.mark.parametrize("what", ["enter", "on_cleanup"])
async def test_child_tasks_cannot_open_what_the_steps_task_has_to_close(what: str) -> None:
    async def child() -> None:
        if what == "enter":
            await current_step().enter(trio.Lock())
        else:
            current_step().on_cleanup(nothing)

    async def work() -> None:
        with pytest.RaisesGroup(NoStepError) as caught:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
        texts.append(str(caught.value.exceptions[0]))

    texts: list[str] = []
    await doing(work, "a").run(Notes())
    assert texts == [
        f"{what}() works in the step's own task only; use 'async with' in this one"
    ]


async def test_a_task_in_somebody_elses_nursery_is_in_no_step() -> None:
    errors: list[Exception] = []

    async def stray(ready: trio.Event) -> None:
        try:
            current_step()
        except NoStepError as error:
            errors.append(error)
        ready.set()

    async def work() -> None:
        ready = trio.Event()
        outer.start_soon(stray, ready)
        await ready.wait()
        assert current_step().path == "a"

    async with trio.open_nursery() as outer:
        await doing(work, "a").run(Notes())
    assert len(errors) == 1


async def test_a_stray_task_is_in_no_step_while_the_next_one_runs() -> None:
    errors: list[Exception] = []
    go, done = trio.Event(), trio.Event()

    async def stray() -> None:
        await go.wait()
        try:
            current_step()
        except NoStepError as error:
            errors.append(error)
        done.set()

    async def first() -> None:
        outer.start_soon(stray)
        await wait_all_tasks_blocked()

    async def second() -> None:
        go.set()
        await done.wait()

    async with trio.open_nursery() as outer:
        await chain("f", doing(first, "a"), doing(second, "b")).run(Notes())
    assert len(errors) == 1


async def test_a_system_task_is_in_no_step() -> None:
    errors: list[Exception] = []
    done = trio.Event()

    async def system() -> None:
        try:
            current_step()
        except NoStepError as error:
            errors.append(error)
        done.set()

    async def work() -> None:
        trio.lowlevel.spawn_system_task(system, context=copy_context())
        await done.wait()

    await doing(work, "a").run(Notes())
    assert len(errors) == 1


async def test_a_child_task_that_runs_a_flow_is_in_that_flows_steps() -> None:
    paths: list[str] = []

    async def look() -> None:
        paths.append(current_step().path)

    async def child() -> None:
        await look()
        await chain("other", doing(look, "x")).run(Notes())
        await look()

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    await chain("f", doing(work, "a")).run(Notes())
    assert paths == ["f/a", "other/x", "f/a"]


async def test_runs_side_by_side_in_one_node_are_each_in_their_own_steps(
    autojump_clock: MockClock,
) -> None:
    paths: list[str] = []

    async def look() -> None:
        await trio.sleep(1)
        paths.append(current_step().path)

    async def child(name: str) -> None:
        await chain(name, doing(look, "x"), doing(look, "y")).run(Notes())

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "one")
            nursery.start_soon(child, "two")
        paths.append(current_step().path)

    await chain("f", doing(work, "a")).run(Notes())
    assert sorted(paths[:2]) == ["one/x", "two/x"]
    assert sorted(paths[2:4]) == ["one/y", "two/y"]
    assert paths[4] == "f/a"


# ---------------------------------------------------------------- threads


async def test_a_thread_can_read_and_report(mock_clock: MockClock) -> None:
    def grind(number: int, word: str) -> str:
        here = current_step()
        here.report(0.5, word)
        seen.extend([
            here.path,
            here.visit,
            here.attempt,
            here.run_id,
            here.idempotency_key,
            here.caught,
        ])
        seen.extend([here.deadline, here.now(), here.random.random(), here.use(NUMBER)])
        return word * number

    async def work() -> None:
        seen.append(await current_step().to_thread(grind, 2, "ab"))

    seen: list[object] = []
    recorder = Recorder()
    async with Engine(observers=[recorder], resources={NUMBER: 5}) as engine:
        node = doing(work, "a").with_(uses=(NUMBER,))
        await engine.run(chain("f", node), Notes(), run_id="r", seed=3, timeout=9)
    dice = Random("3/f/a#1@1").random()
    assert seen == ["f/a", 1, 1, "r", "r/f/a", None, 9.0, 0.0, dice, 5, "abab"]
    assert "progress f/a fraction=0.5 text=ab" in recorder.lines()


async def test_a_context_handed_to_a_thread_works_there_as_well() -> None:
    def grind(here: StepContext) -> str:
        here.report(0.5)
        return here.path

    async def work() -> None:
        seen.append(await trio.to_thread.run_sync(grind, current_step()))

    seen: list[str] = []
    await doing(work, "a").run(Notes())
    assert seen == ["a"]


@pytest.mark.parametrize("what", ["enter", "on_cleanup"])
async def test_a_thread_cannot_open_what_the_steps_task_has_to_close(what: str) -> None:
    def grind() -> None:
        here = current_step()
        if what == "on_cleanup":
            here.on_cleanup(nothing)
        else:
            here.enter(trio.Lock()).send(None)

    async def work() -> None:
        await current_step().to_thread(grind)

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert isinstance(caught.value.only(), NoStepError)
    assert "in the step's own task only" in str(caught.value.only())


async def test_a_thread_that_its_step_abandoned_is_in_no_step(mock_clock: MockClock) -> None:
    go, asked = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    seen: list[str] = []

    def grind() -> None:
        trio.from_thread.run_sync(mock_clock.jump, 5.0)  # out of time
        assert go.wait(30)
        try:
            seen.append(current_step().path)
        except (NoStepError, StepEndedError) as error:
            seen.append(type(error).__name__)
        token.run_sync_soon(asked.set)

    async def first() -> None:
        await trio.to_thread.run_sync(grind, abandon_on_cancel=True)

    async def second() -> None:
        go.set()
        await asked.wait()

    a, b = doing(first, "a").with_(timeout=1.0), doing(second, "b")

    @flow
    def f() -> Wiring[Notes]:
        return [a.then(END).catch(DeadlineExceededError, to=b), b.then(END)]

    await f.run(Notes())
    assert seen in (["NoStepError"], ["StepEndedError"])
    # it has asked, and may still be on its way out
    while trio.to_thread.current_default_thread_limiter().borrowed_tokens:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("inherits", [False, True])
async def test_a_thread_of_ones_own_has_no_step(inherits: bool) -> None:
    """Not even if it was given the context of the step: Trio knows nothing of it."""

    def other() -> None:
        try:
            current_step()
        except NoStepError as error:
            errors.append(error)

    def grind() -> None:
        act = functools.partial(copy_context().run, other) if inherits else other
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    async def work() -> None:
        await current_step().to_thread(grind)

    errors: list[Exception] = []
    await doing(work, "a").run(Notes())
    assert len(errors) == 1


async def test_a_thread_that_raises_fails_the_step_with_its_error() -> None:
    error = ValueError("thread")

    def grind() -> None:
        raise error

    async def work() -> None:
        await current_step().to_thread(grind)

    with pytest.raises(FlowFailedError) as caught:
        await doing(work, "a").run(Notes())
    assert caught.value.only() is error


async def test_cancellation_waits_for_a_thread_and_is_noticed_at_the_next_boundary() -> None:
    def grind() -> str:
        trio.from_thread.run_sync(scope.cancel)
        with pytest.raises(trio.Cancelled):
            trio.from_thread.check_cancelled()
        return "done"

    async def work() -> None:
        seen.append(await current_step().to_thread(grind))

    async def after() -> None:
        seen.append("ran on")

    seen: list[str] = []
    with trio.CancelScope() as scope:
        await chain("f", doing(work, "a"), doing(after, "b")).run(Notes())
    assert scope.cancelled_caught
    assert seen == ["done"]


# ---------------------------------------------------------------- where there is no step


async def test_outside_a_run_there_is_no_step() -> None:
    with pytest.raises(NoStepError, match="no step is running here"):
        current_step()


def test_outside_the_loop_there_is_no_step() -> None:
    with pytest.raises(NoStepError):
        current_step()


async def test_after_a_run_there_is_no_step() -> None:
    await saying("a").run(Notes())
    with pytest.raises(NoStepError):
        current_step()
    with pytest.raises(FlowFailedError):
        await failing(ValueError(), "a").run(Notes())
    with pytest.raises(NoStepError):
        current_step()


async def test_a_run_that_could_not_begin_leaves_no_step() -> None:
    class Broken:
        def now(self) -> float:
            raise OSError

    async with Engine(observers=[Recorder()], wall_clock=Broken()) as engine:
        with pytest.raises(OSError):
            await engine.run(chain("f", saying("a")), Notes())
    with pytest.raises(NoStepError):
        current_step()


async def test_before_the_first_step_and_after_the_last_there_is_no_step() -> None:
    class Curious(Recorder):
        @override
        def observe(self, event: ExecutionEvent, /) -> None:
            try:
                seen.append(f"{event.event_type} {current_step().path}")
            except NoStepError:
                seen.append(f"{event.event_type} none")

    seen: list[str] = []
    async with Engine(observers=[Curious()]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert seen[0] == "run_start none"
    assert seen[-1] == "run_end none"
    assert seen[1:3] == ["node_start f/a", "node_success f/a"]


USES: dict[str, Callable[[StepContext], object]] = {
    "path": lambda here: here.path,
    "visit": lambda here: here.visit,
    "attempt": lambda here: here.attempt,
    "run_id": lambda here: here.run_id,
    "idempotency_key": lambda here: here.idempotency_key,
    "deadline": lambda here: here.deadline,
    "caught": lambda here: here.caught,
    "random": lambda here: here.random,
    "now": lambda here: here.now(),
    "use": lambda here: here.use(WORDS),
    "report": lambda here: here.report(0.5),
    "on_cleanup": lambda here: here.on_cleanup(nothing),
}


@pytest.mark.parametrize("what", [*USES])
@pytest.mark.parametrize("when", ["in the next visit", "after the run", "in a nested flow"])
async def test_a_context_is_over_when_its_visit_is(what: str, when: str) -> None:
    kept: list[StepContext] = []

    async def keep() -> None:
        kept.append(current_step())
        assert current_step().path

    async def late() -> None:
        with pytest.raises(StepEndedError, match="the visit of f/a is over"):
            USES[what](kept[0])

    after = (
        Step(chain("inner", doing(late, "b"))) if when == "in a nested flow" else saying("b")
    )
    if when == "in the next visit":
        after = doing(late, "b")
    await chain("f", doing(keep, "a"), after).run(Notes())
    await late()


async def test_an_ended_context_waits_for_nothing() -> None:
    kept: list[StepContext] = []

    async def keep() -> None:
        kept.append(current_step())

    await chain("f", doing(keep, "a")).run(Notes())
    with pytest.raises(StepEndedError, match="the visit of this step is over"):
        await kept[0].enter(trio.Lock())
    with pytest.raises(StepEndedError):
        await kept[0].to_thread(int)


async def test_a_context_is_over_in_the_second_visit_of_the_same_step() -> None:
    kept: list[StepContext] = []
    ended: list[bool] = []

    async def keep() -> None:
        if kept:
            with pytest.raises(StepEndedError):
                assert kept[0].path
            ended.append(True)
        kept.append(current_step())

    node, again = doing(keep, "node"), looping(2)

    @flow
    def f() -> Wiring[Notes]:
        return [node.then(again), again.to(more=node, done=END)]

    await f.run(Notes())
    assert ended == [True]
    assert kept[0] is not kept[1]


async def test_a_resource_declared_by_one_step_is_not_another_ones() -> None:
    async def borrow() -> None:
        current_step().use(NUMBER)

    first, second = doing(nothing, "first").with_(uses=(NUMBER,)), doing(borrow, "second")
    async with Engine(resources={NUMBER: 5}) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", first, second), Notes())
    assert isinstance(caught.value.only(), ResourceError)
