"""What observers put around a run, its visits, items and attempts: entered and left in the task that makes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from agentflow_trio import (
    END,
    Count,
    Engine,
    Flow,
    FlowFailedError,
    RetryPolicy,
    Step,
    Wiring,
    current_step,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.events import ExecutionEvent
from agentflow_trio.ports import StepScope, Where

from .engine_kit import Acts, Notes, Opened, Recorder, chain, doing, failing, looping, saying
from .scopes_kit import INSIDE, Surrounding


@pytest.fixture(autouse=True)
def virtual_time(autojump_clock: MockClock) -> None:
    """Or a busy machine would take an observer's budget."""


class Telling(Surrounding):
    """Has the events in its story, too."""

    @override
    def observe(self, event: ExecutionEvent, /) -> None:
        super().observe(event)
        self.story.append(f"  {event.event_type} {event.path} in {len(INSIDE.get())}")


async def story_of(
    work: Flow[Notes, []], *, fails: bool = False, notes: Notes | None = None
) -> list[str]:
    surrounding = Telling()
    assert isinstance(surrounding, StepScope)
    async with Engine(observers=[surrounding]) as engine:
        if fails:
            with pytest.raises(FlowFailedError):
                await engine.run(work, notes or Notes())
        else:
            await engine.run(work, notes or Notes())
    assert INSIDE.get() == ()
    assert surrounding.open == []
    return surrounding.story


def only_scopes(story: list[str]) -> list[str]:
    return [line for line in story if line[0] != " "]


async def test_the_run_and_each_visit_are_surrounded_with_all_that_is_told_of_them() -> None:
    assert await story_of(chain("f", saying("a"), saying("b"))) == [
        "> run f",
        "  run_start f in 1",
        "> step f/a",
        "  node_start f/a in 2",
        "  node_success f/a in 2",
        "  routed f/a in 2",
        "< step f/a",
        "> step f/b",
        "  node_start f/b in 2",
        "  node_success f/b in 2",
        "  routed f/b in 2",
        "< step f/b",
        "  run_end f in 1",
        "< run f",
    ]


async def test_a_visit_is_left_with_its_exception_after_its_cleanups() -> None:
    log: list[str] = []

    async def work() -> None:
        await current_step().enter(Opened(log))
        current_step().on_cleanup(note)
        raise ValueError("no")

    async def note() -> None:
        log.append(INSIDE.get()[-1])

    story = await story_of(chain("f", doing(work, "a")), fails=True)
    assert log == ["open it", "step f/a", "close it"]
    assert story[2:] == [
        "> step f/a",
        "  node_start f/a in 2",
        "  node_error f/a in 2",
        "< step f/a by ValueError",
        "  run_end f in 1",
        "< run f by FlowFailedError",
    ]


async def test_nested_flows_are_surrounded_and_left_one_by_one_when_one_fails() -> None:
    inner = Step(chain("inner", saying("a"), failing(ValueError("no"), "b")), name="inner")
    middle = Step(chain("middle", inner), name="middle")
    rescue = saying("rescue")

    @flow(name="f")
    def outer() -> Wiring[Notes]:
        return [middle.then(END).catch(ValueError, to=rescue), rescue.then(END)]

    assert only_scopes(await story_of(outer)) == [
        "> run f",
        "> step f/middle",
        "> step f/middle/inner",
        "> step f/middle/inner/a",
        "< step f/middle/inner/a",
        "> step f/middle/inner/b",
        "< step f/middle/inner/b by ValueError",
        "< step f/middle/inner by FlowFailedError",
        "< step f/middle by FlowFailedError",
        "> step f/rescue",
        "< step f/rescue",
        "< run f",
    ]


async def test_a_nested_flow_with_a_limit_is_surrounded_like_one_without() -> None:
    for limit in (None, 5.0):
        inner = Step(chain("inner", saying("a")), name="inner", timeout=limit)
        assert only_scopes(await story_of(chain("f", inner))) == [
            "> run f",
            "> step f/inner",
            "> step f/inner/a",
            "< step f/inner/a",
            "< step f/inner",
            "< run f",
        ]


def failing_times(many: int) -> Acts:
    left = [many]

    async def work() -> None:
        if left[0]:
            left[0] -= 1
            raise OSError("not yet")

    return Acts(work=work)


async def test_each_attempt_of_a_retried_step_is_surrounded(autojump_clock: MockClock) -> None:
    policy = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0)
    story = await story_of(chain("f", Step(failing_times(2), name="a", retry=policy)))
    assert story[2:-2] == [
        "> step f/a",
        "  node_start f/a in 2",
        "> attempt f/a @1",
        "< attempt f/a @1 by OSError",
        "  attempt_failed f/a in 2",
        "  retry_scheduled f/a in 2",
        "> attempt f/a @2",
        "< attempt f/a @2 by OSError",
        "  attempt_failed f/a in 2",
        "  retry_scheduled f/a in 2",
        "> attempt f/a @3",
        "< attempt f/a @3",
        "  node_success f/a in 2",
        "  routed f/a in 2",
        "< step f/a",
    ]


async def test_a_retried_flow_is_surrounded_inside_of_the_attempt(
    autojump_clock: MockClock,
) -> None:
    policy = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)
    inner = chain("inner", Step(failing_times(1), name="a"))
    story = await story_of(chain("f", Step(inner, name="inner", retry=policy)))
    assert only_scopes(story) == [
        "> run f",
        "> step f/inner",
        "> attempt f/inner @1",
        "> step f/inner/a",
        "< step f/inner/a by OSError",
        "< attempt f/inner @1 by FlowFailedError",
        "> attempt f/inner @2",
        "> step f/inner@2/a",
        "< step f/inner@2/a",
        "< attempt f/inner @2",
        "< step f/inner",
        "< run f",
    ]


async def test_the_where_of_a_loop_has_the_number_of_the_visit() -> None:
    again, surrounding = looping(2), Surrounding()

    @flow(name="f")
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    async with Engine(observers=[surrounding]) as engine:
        await engine.run(loop, Notes(), run_id="r")
    assert surrounding.wheres == [
        Where("run", "r", "f", "f", 1, 1, None),
        Where("step", "r", "f", "f/again", 1, 1, None),
        Where("step", "r", "f", "f/again#2", 2, 1, None),
    ]


def silent(name: str, seconds: float = 0.0) -> Step[Notes, []]:
    @step(name=name)
    async def sleeps(notes: Notes) -> None:
        await trio.sleep(seconds)

    return sleeps


async def test_branches_are_surrounded_in_their_own_tasks(autojump_clock: MockClock) -> None:
    both = Step(parallel(silent("one", 1.0), silent("two", 2.0)), name="both")
    story = await story_of(chain("f", both))
    # Trio begins tasks in any order
    assert sorted(only_scopes(story)[2:4]) == ["> step f/both/one", "> step f/both/two"]
    assert only_scopes(story)[4:] == [
        "< step f/both/one",
        "< step f/both/two",
        "< step f/both",
        "< run f",
    ]
    assert "  node_success f/both/one in 3" in story


async def test_who_loses_a_race_is_left_by_cancellation(autojump_clock: MockClock) -> None:
    both = Step(race(silent("fast", 1.0), silent("slow", 2.0)), name="both")
    assert only_scopes(await story_of(chain("f", both)))[4:] == [
        "< step f/both/fast",
        "< step f/both/slow by Cancelled",
        "< step f/both",
        "< run f",
    ]


class Three:
    """Works on three items; the second fails at once."""

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return range(3)

    async def exec(self, item: int, /) -> int:
        shared = INSIDE.get()
        await trio.sleep(1.0)
        assert INSIDE.get() == shared
        if item == 1:
            raise ValueError(item)
        return item

    async def post(self, shared: Notes, items: Sequence[int], got: Sequence[object], /) -> None:
        shared.count = len(got)


async def test_items_are_surrounded_in_their_workers_and_left_with_what_was_told_of_them(
    autojump_clock: MockClock,
) -> None:
    node = each(Three(), concurrent=1, tolerate=Count(1))
    story = await story_of(chain("f", Step(node, name="many")))
    assert story[2:] == [
        "> step f/many",
        "  node_start f/many in 2",
        "> item f/many[0]",
        "  batch f/many[0] in 3",
        "< item f/many[0]",
        "> item f/many[1]",
        "  item_failed f/many[1] in 3",
        "< item f/many[1] by ValueError",
        "> item f/many[2]",
        "  batch f/many[2] in 3",
        "< item f/many[2]",
        "  node_success f/many in 2",
        "  routed f/many in 2",
        "< step f/many",
        "  run_end f in 1",
        "< run f",
    ]


async def test_items_that_are_cut_off_are_left_by_cancellation(
    autojump_clock: MockClock,
) -> None:
    node = each(Three(), concurrent=3)
    scopes = only_scopes(await story_of(chain("f", Step(node, name="many")), fails=True))
    assert sorted(scopes[5:8]) == [
        "< item f/many[0]",
        "< item f/many[1] by ValueError",
        "< item f/many[2]",
    ]
    assert scopes[8:] == [
        "< step f/many by FlowFailedError",
        "< run f by FlowFailedError",
    ]


def notes_of(notes: Notes) -> Sequence[Notes]:
    return [Notes() for _ in range(notes.count)]


def put(notes: Notes, after: Sequence[Notes]) -> None:
    notes.log = [str(len(one.log)) for one in after]


async def test_steps_of_an_items_flow_are_inside_of_the_item_and_know_its_number(
    autojump_clock: MockClock,
) -> None:
    surrounding = Surrounding()
    policy = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)
    leaf = chain("leaf", Step(failing_times(1), name="a")).over(notes_of, put)
    many = Step(each(leaf, concurrent=1, retry=policy), name="many")
    async with Engine(observers=[surrounding]) as engine:
        await engine.run(chain("f", many), Notes(count=1), run_id="r")
    assert [(where.kind, *where[3:]) for where in surrounding.wheres] == [
        ("run", "f", 1, 1, None),
        ("step", "f/many", 1, 1, None),
        ("item", "f/many[0]", 1, 1, 0),
        ("attempt", "f/many[0]", 1, 1, 0),
        ("step", "f/many[0]/a", 1, 1, 0),
        ("attempt", "f/many[0]", 1, 2, 0),
        ("step", "f/many[0]@2/a", 1, 1, 0),
    ]


async def test_child_tasks_and_threads_inherit_what_is_set_there() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    async def child() -> None:
        seen.append(("child", INSIDE.get()))

    def in_thread() -> None:
        assert threading.current_thread() is not threading.main_thread()
        seen.append(("thread", INSIDE.get()))

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        await trio.to_thread.run_sync(in_thread)
        await current_step().to_thread(in_thread)

    await story_of(chain("f", doing(work, "a")))
    inside = ("run f", "step f/a")
    assert seen == [("child", inside), ("thread", inside), ("thread", inside)]


async def test_a_run_that_was_started_is_surrounded_too() -> None:
    surrounding = Surrounding()
    async with (
        Engine(observers=[surrounding]) as engine,
        engine.start(chain("f", saying("a")), Notes()) as run,
    ):
        await run.result()
    assert surrounding.story == ["> run f", "> step f/a", "< step f/a", "< run f"]


async def test_a_run_that_is_cancelled_leaves_everything(autojump_clock: MockClock) -> None:
    surrounding = Surrounding()
    both = Step(parallel(silent("one", 9.0), silent("two", 9.0)), name="both")
    with trio.move_on_after(1.0):
        async with Engine(observers=[surrounding]) as engine:
            await engine.run(chain("f", both), Notes())
    assert surrounding.open == []
    assert surrounding.story[-2:] == ["< step f/both by Cancelled", "< run f by Cancelled"]


async def test_scopes_are_entered_in_order_and_left_in_reverse() -> None:
    log: list[str] = []

    class Logging(Surrounding):
        @override
        def around(self, where: Where, /) -> AbstractContextManager[object]:
            return logged(f"{self.name} {where.kind}")

    @contextmanager
    def logged(what: str) -> Iterator[None]:
        log.append(f"> {what}")
        yield
        log.append(f"< {what}")

    async with Engine(observers=[Logging("one"), Recorder(), Logging("two")]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert log == [
        "> one run",
        "> two run",
        "> one step",
        "> two step",
        "< two step",
        "< one step",
        "< two run",
        "< one run",
    ]


class Swallowing:
    """A context manager that says it dealt with whatever happened."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool:
        return True


async def test_a_scope_cannot_swallow_an_exception() -> None:
    class Greedy(Surrounding):
        @override
        def around(self, where: Where, /) -> AbstractContextManager[object]:
            return Swallowing()

    greedy = Greedy()
    policy = RetryPolicy(max_attempts=2, base_delay=0.0, jitter=0.0)
    work = Step(failing_times(9), name="a", retry=policy)
    async with Engine(observers=[greedy]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", work), Notes())
    assert isinstance(caught.value.only(), OSError)


async def test_all_scopes_are_left_also_if_one_ends_the_program() -> None:
    class Ending(Surrounding):
        @override
        def around(self, where: Where, /) -> AbstractContextManager[object]:
            return ended() if where.kind == "step" else super().around(where)

    @contextmanager
    def ended() -> Iterator[None]:
        yield
        raise SystemExit(3)

    outer = Surrounding("outer")
    with pytest.raises(SystemExit):
        async with Engine(observers=[outer, Ending()]) as engine:
            await engine.run(chain("f", saying("a")), Notes())
    assert outer.story == ["> run f", "> step f/a", "< step f/a", "< run f by SystemExit"]
