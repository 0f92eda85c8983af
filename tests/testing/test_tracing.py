"""Traces tell who made a step when, and pictures what tasks wait for, in words of the program."""

from __future__ import annotations

from types import CodeType
from typing import Any

import attrs
import trio

from agentflow_trio import END, Wiring, flow, step
from agentflow_trio.testing import TaskPicture, check_deterministic, simulate
from agentflow_trio.testing._picture import name_of, place_of, tasks_below
from agentflow_trio.testing._search_core import trial
from agentflow_trio.testing._trace import Trace
from agentflow_trio.testing._world import World


async def two_of_a_name() -> None:
    async def worker() -> None:
        await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        nursery.start_soon(worker)


def test_a_trace_is_written_where_the_order_is_trios_own_too() -> None:
    async def alone(_: int) -> None:
        await trio.sleep(0.5)
        await trio.sleep(0.5)

    world = World(control="time", trace=True)
    world.execute(alone, trial("batch", 0, slack=False))
    assert world.trace_lines() == ["0.5 main", "1.0 main"]


def test_a_trace_numbers_tasks_of_one_name_as_they_appear() -> None:
    world = World(trace=True)
    world.execute(lambda _: two_of_a_name(), trial("batch", 0, slack=False))
    assert world.trace_lines() == [
        "0.0 worker",
        "0.0 worker#2",
        "0.5 worker",
        "0.5 worker#2",
        "0.5 main",
    ] or world.trace_lines() == [
        "0.0 worker",
        "0.0 worker#2",
        "0.5 worker#2",
        "0.5 worker",
        "0.5 main",
    ]


def test_a_world_without_a_trace_has_no_lines() -> None:
    world = World()
    world.execute(lambda _: two_of_a_name(), trial("batch", 0, slack=False))
    assert world.trace_lines() == []


def test_notes_stand_between_the_steps() -> None:
    world = World()
    world.clock.time = 1.5
    trace = Trace(world.clock)
    trace.begin()
    trace.note("something happened")
    assert list(trace.lines()) == ["1.5 | something happened"]
    trace.end()
    trace.note("after the end")
    assert list(trace.lines()) == ["1.5 | something happened"]
    trace.begin()
    assert list(trace.lines()) == []


def test_places_are_lines_of_the_program() -> None:
    async def program() -> None:
        await trio.sleep(1)

    line = program.__code__.co_firstlineno + 1
    first, _ = check_deterministic(program, hash_seed=None)
    assert first == f"1.0 main test_tracing.py:{line}"


async def test_a_task_is_called_by_the_last_part_of_its_name() -> None:
    async def worker() -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        nursery.start_soon(trio.sleep_forever, name="a name. of its own")
        nursery.start_soon(trio.sleep_forever, name="ends with a dot.")
        nursery.start_soon(trio.sleep_forever, name="<one of trio.own>")
        await trio.testing.wait_all_tasks_blocked()
        tasks = tasks_below(trio.lowlevel.current_task())[1:]
        names = [name_of(task) for task in tasks]
        assert names == ["worker", " of its own", "ends with a dot.", "<one of trio.own>"]
        assert place_of(tasks[0]).startswith("test_tracing.py:")
        assert place_of(tasks[1]) == ""
        nursery.cancel_scope.cancel()


def frame_of(path: str) -> CodeType:
    return compile("async def library(wait): await wait()", path, "exec")


def test_frames_of_packages_whose_names_begin_like_trios_belong_to_the_program() -> None:
    scope: dict[str, object] = {}
    path = trio.__file__.replace("/trio/__init__.py", "/trio_something/__init__.py")
    exec(frame_of(path), scope)  # noqa: S102 - code with a file name of its own
    library: Any = scope["library"]

    with simulate(lambda: library(trio.sleep_forever)) as sim:
        sim.settle()
        (picture,) = sim.tasks()
        assert picture.stack == ("__init__.py:1 in library: ",)
        assert picture.waits_for == "sleep_forever"
        sim.cancel("seen")
        sim.run()


def test_a_picture_reads_like_a_sentence() -> None:
    picture = TaskPicture(
        name="worker",
        waits_for="Lock held by main",
        stack=("jobs.py:31 in worker: async with lock:",),
        limit=None,
        shielded=True,
        service=True,
    )
    assert str(picture) == (
        "worker: waits for Lock held by main (a service; a shield keeps its cancellation away)\n"
        "    jobs.py:31 in worker: async with lock:"
    )


def test_a_task_that_has_not_begun_can_go_on() -> None:
    box: list[trio.Nursery] = []

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            box.append(nursery)
            await trio.sleep(1)

    with simulate(program) as sim:
        sim.run_until(0.5)
        event = trio.Event()
        box[0].start_soon(event.wait, name="new")
        waits = {picture.name: picture.waits_for for picture in sim.tasks()}
        assert waits == {"main": "sleep", "new": ""}
        sim.settle()
        waits = {picture.name: picture.waits_for for picture in sim.tasks()}
        assert waits == {"main": "sleep", "new": "Event"}
        event.set()
        assert {picture.waits_for for picture in sim.tasks()} == {"sleep", ""}
        sim.run()


def test_a_nursery_waits_for_its_children_by_their_names() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 3, name="one")
            nursery.start_soon(trio.sleep, 5, name="other")

    with simulate(program) as sim:
        sim.run_until(1)
        assert sim.tasks()[0].waits_for == "its children one, other"
        sim.run_until(4)
        assert sim.tasks()[0].waits_for == "its children other"
        sim.run()


def test_who_waits_for_a_thread_says_so() -> None:
    async def program() -> None:
        def work() -> None:
            trio.from_thread.run(trio.sleep, 10)

        await trio.to_thread.run_sync(work)

    with simulate(program) as sim:
        sim.run_until(5)
        assert sim.tasks()[0].waits_for == "Run"
        sim.run()


@attrs.define
class Article:
    done: bool = False


def test_the_steps_of_a_flow_are_seen_with_their_own_lines() -> None:
    @step
    async def slow(article: Article) -> None:
        await trio.sleep(10)

    @flow
    def waiting() -> Wiring[Article]:
        return [slow.then(END)]

    with simulate(waiting, Article()) as sim:
        sim.run_until(5)
        stacks = [line for picture in sim.tasks() for line in picture.stack]
        assert any("in slow: await trio.sleep(10)" in line for line in stacks)
        sim.run()
