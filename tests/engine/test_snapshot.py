"""Seeing what runs: the tree of a snapshot, what is waited for, and how it is drawn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio import (
    END,
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    BulkheadPolicy,
    Engine,
    Flow,
    RateLimiter,
    Retry,
    RetryPolicy,
    RunSnapshot,
    Snapshot,
    Step,
    Stream,
    TaskSnapshot,
    TTLCache,
    VisitSnapshot,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    fold,
    parallel,
    race,
    step,
)
from agentflow_trio.engine import Live
from agentflow_trio.events import NodeStarted
from agentflow_trio.testing import simulate

from .engine_kit import Act, Acts, Notes, Recorder, chain, looping, nothing


def doing(act: Act, name: str) -> Step[Notes, []]:
    """A function step that does *act* and leaves the state alone, so that branches can be merged."""

    @step(name=name)
    async def does(notes: Notes) -> None:
        await act()

    return does


def sleeping(seconds: float, name: str) -> Step[Notes, []]:
    async def sleep() -> None:
        await trio.sleep(seconds)

    return doing(sleep, name)


def saying(name: str) -> Step[Notes, []]:
    return doing(nothing, name)


def tree(inside: Sequence[Live], depth: int = 0) -> Iterator[str]:
    """What goes on, a line each, indented: name or path, phase, what is waited for, in which function."""
    for one in inside:
        match one:
            case VisitSnapshot():
                again = f" @{one.attempt}" if one.attempt > 1 else ""
                head = f"{one.path} {one.phase}{again}"
            case TaskSnapshot():
                head = f"task {one.name}"
            case _:
                head = f"run {one.run_id} {one.state}"
        at = getattr(one, "at", None)
        where = "" if at is None else f" in {at.rpartition(' ')[2].rpartition('.')[2]}"
        yield f"{'  ' * depth}{head}: {one.waits_for or '-'}{where}"
        yield from tree(one.inside, depth + 1)


def seen(engine: Engine) -> list[str]:
    return [*tree(engine.snapshot().runs)]


@asynccontextmanager
async def running(
    what: Any, *, at: float = 1.0, run_id: str = "r", **settings: Any
) -> AsyncGenerator[Engine]:
    """An engine in which *what* has run for so many seconds."""
    async with Engine(**settings) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(partial(engine.run, what, Notes(), run_id=run_id))
        await trio.sleep(at)
        await wait_all_tasks_blocked()
        yield engine
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- the tree


async def test_an_engine_without_runs_has_nothing_to_show(autojump_clock: MockClock) -> None:
    async with Engine() as engine:
        await trio.sleep(3.0)
        assert engine.snapshot() == Snapshot(time=trio.current_time())
        assert str(engine.snapshot()) == "no runs"
    assert engine.snapshot().runs == ()


async def test_a_run_tells_its_age_its_steps_and_the_visit_that_goes_on(
    autojump_clock: MockClock,
) -> None:
    news = chain("news", sleeping(1.0, "write"), sleeping(5.0, "review"))
    async with running(news, at=3.0) as engine:
        (run,) = engine.snapshot().runs
        assert (run.run_id, run.flow, run.state, run.reason) == ("r", "news", "running", None)
        assert (run.age, run.steps, run.waits_for) == (3.0, 2, "")
        (visit,) = run.visits()
        assert (visit.path, visit.phase, visit.age) == ("news/review", "exec", 2.0)
        assert (visit.attempt, visit.item, visit.inside) == (1, None, ())
        assert visit.waits_for == "a sleep, 3 s more"
        assert visit.at is not None
        file, _, rest = visit.at.partition(".py:")
        assert file.endswith("test_snapshot")
        assert rest.endswith(" sleeping.<locals>.sleep")
        assert int(rest.partition(" ")[0]) > 0


async def test_every_phase_is_told(autojump_clock: MockClock) -> None:
    async def second() -> None:
        await trio.sleep(1.0)

    async def leave() -> None:
        current_step().on_cleanup(trio.sleep, 1.0)

    async def work() -> None:
        await second()
        await leave()

    node = Step(Acts(prep=second, work=work, post=second), name="node")
    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(engine.run, chain("f", node), Notes())
        phases = []
        for _ in range(4):
            await trio.sleep(0.5)
            phases += [visit.phase for visit in engine.snapshot().visits()]
            await trio.sleep(0.5)
    assert phases == ["prep", "exec", "cleanup", "post"]


async def test_a_loop_tells_the_number_of_the_visit(autojump_clock: MockClock) -> None:
    review = sleeping(1.0, "review")
    again = looping(500)

    @flow
    def loop() -> Wiring[Notes]:
        return [review.then(again), again.to(more=review, done=END)]

    async with running(loop, at=450.5) as engine:
        (run,) = engine.snapshot().runs
        (visit,) = run.visits()
        assert (run.steps, visit.path) == (901, "loop/review#451")
        assert (visit.age, run.age) == (0.5, 450.5)


async def test_flows_in_flows_are_visits_in_visits_each_with_its_own_age(
    autojump_clock: MockClock,
) -> None:
    deep = Step(chain("deep", sleeping(1.0, "a"), sleeping(9.0, "b")), name="deep")
    limited = Step(chain("limited", sleeping(2.0, "c"), deep), name="limited", timeout=60.0)
    outer = chain("outer", sleeping(4.0, "before"), Step(chain("plain", limited), name="plain"))
    async with running(outer, at=10.0) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  outer/plain exec: its steps",
            "    outer/plain/limited exec: its steps",
            "      outer/plain/limited/deep exec: its steps",
            "        outer/plain/limited/deep/b exec: a sleep, 6 s more in sleep",
        ]
        ages = [visit.age for visit in engine.snapshot().visits()]
        assert ages == [6.0, 6.0, 4.0, 3.0]


async def test_branches_stand_in_declared_order_and_their_steps_count(
    autojump_clock: MockClock,
) -> None:
    inner = Step(chain("inner", saying("one"), sleeping(9.0, "two")), name="inner")
    many = Step(
        parallel(sleeping(9.0, "z"), inner, saying("done"), sleeping(8.0, "a")), name="many"
    )
    async with running(chain("f", many)) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  f/many exec: 3 branches",
            "    f/many/z exec: a sleep, 8 s more in sleep",
            "    f/many/inner exec: its steps",
            "      f/many/inner/two exec: a sleep, 8 s more in sleep",
            "    f/many/a exec: a sleep, 7 s more in sleep",
        ]
        assert engine.snapshot().runs[0].steps == 7


async def test_branches_that_somebody_listens_to_look_the_same(
    autojump_clock: MockClock,
) -> None:
    many = Step(race(sleeping(9.0, "z"), sleeping(8.0, "a")), name="many")
    async with running(chain("f", many), observers=[Recorder()]) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  f/many exec: the first of 2 branches",
            "    f/many/z exec: a sleep, 8 s more in sleep",
            "    f/many/a exec: a sleep, 7 s more in sleep",
        ]


async def test_branches_that_have_not_begun_wait_for_their_turn(
    autojump_clock: MockClock,
) -> None:
    engine = Engine()
    looks: list[list[str]] = []

    class Looks:
        name = "looks"
        wants = (NodeStarted,)

        def observe(self, event: Any, /) -> None:
            looks.append(seen(engine))

    engine = Engine(observers=[Looks()])
    async with engine:
        many = Step(parallel(saying("a"), saying("b")), name="many")
        await engine.run(chain("f", many), Notes(), run_id="r")
    first, *others = looks
    assert first == ["run r running: -", "  f/many prep: - in seen"]
    assert [len(look) for look in others] == [
        4,
        3,
    ]  # the one that looks, and the one that waits
    waits = [line for look in others for line in look if "its turn" in line]
    assert len(waits) == 1
    assert waits[0].startswith(("    f/many/a flow", "    f/many/b flow"))


class Sleeps:
    """A node that sleeps for each item as long as the item says."""

    async def prep(self, notes: Notes, /) -> Sequence[float]:
        return [1.0, 5.0, 6.0, 7.0]

    async def exec(self, seconds: float, /) -> float:
        await trio.sleep(seconds)
        return seconds

    async def post(
        self, notes: Notes, prepared: Sequence[float], slept: Sequence[float], /
    ) -> None: ...


async def test_items_are_told_by_number_with_an_age_of_their_own(
    autojump_clock: MockClock,
) -> None:
    naps = Step(each(Sleeps(), concurrent=2), name="naps")
    async with running(chain("f", naps), at=2.0) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  f/naps exec: 2 items",
            "    f/naps[1] exec: a sleep, 3 s more in exec",
            "    f/naps[2] exec: a sleep, 5 s more in exec",
        ]
        items = [*engine.snapshot().visits()][1:]
        assert [(item.item, item.age) for item in items] == [(1, 2.0), (2, 1.0)]


def plus(total: float, one: float) -> float:
    return total + one


async def test_workers_without_an_item_say_what_they_wait_for(
    autojump_clock: MockClock,
) -> None:
    async def numbers() -> Any:
        yield 1.0
        await trio.sleep(60.0)

    class Pulls:
        async def prep(self, notes: Notes, /) -> Any:
            return numbers()

        async def exec(self, seconds: float, /) -> float:
            await trio.sleep(9.0)
            return seconds

        async def post(self, notes: Notes, prepared: Any, total: float, /) -> None: ...

    naps = Step(each(Pulls(), concurrent=3, into=fold(float, plus)), name="naps")
    async with running(chain("f", naps)) as engine:
        lines = seen(engine)
        assert lines[:3] == [
            "run r running: -",
            "  f/naps exec: 1 item",
            "    f/naps[0] exec: a sleep, 8 s more in exec",
        ]
        assert sorted(line.partition(": ")[2] for line in lines[3:]) == [
            "a sleep, 59 s more in numbers",
            "the source of the items",
        ]


async def test_an_item_ahead_of_the_fold_waits_for_those_before(
    autojump_clock: MockClock,
) -> None:
    class First:
        async def prep(self, notes: Notes, /) -> Sequence[float]:
            return [60.0] + [0.0] * 9

        async def exec(self, seconds: float, /) -> float:
            await trio.sleep(seconds)
            return seconds

        async def post(self, notes: Notes, prepared: Any, total: float, /) -> None: ...

    async with running(
        chain("f", Step(each(First(), concurrent=2, into=fold(float, plus)), name="e"))
    ) as engine:
        first, second = seen(engine)[2:]
        assert first == "    f/e[0] exec: a sleep, 59 s more in exec"
        assert second in {  # whoever took the long one
            "    task e worker 0: earlier items, to be folded first",
            "    task e worker 1: earlier items, to be folded first",
        }


async def test_a_batch_tells_the_number_of_the_part(autojump_clock: MockClock) -> None:
    class Parts:
        async def prep(self, notes: Notes, /) -> Sequence[int]:
            return [1, 2, 3]

        async def exec(self, part: Sequence[int], /) -> Sequence[int]:
            await trio.sleep(9.0)
            return part

        async def post(
            self, notes: Notes, prepared: Any, outputs: Sequence[int], /
        ) -> None: ...

    parts = Step(batch(Parts(), size=2, concurrent=2), name="parts")
    async with running(chain("f", parts)) as engine:
        assert [visit.path for visit in engine.snapshot().visits()] == [
            "f/parts",
            "f/parts[0]",
            "f/parts[1]",
        ]


async def test_the_flow_of_an_item_is_inside_of_the_item(autojump_clock: MockClock) -> None:
    chapter = chain("chapter", saying("outline"), sleeping(9.0, "write"))

    def split(notes: Notes) -> Sequence[Notes]:
        return [Notes(), Notes()]

    def join(notes: Notes, done: Sequence[Notes]) -> None: ...

    chapters = Step(each(chapter.over(split, join), concurrent=2), name="chapters")
    async with running(chain("f", chapters)) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  f/chapters exec: 2 items",
            "    f/chapters[0] exec: its steps",
            "      f/chapters[0]/write exec: a sleep, 8 s more in sleep",
            "    f/chapters[1] exec: its steps",
            "      f/chapters[1]/write exec: a sleep, 8 s more in sleep",
        ]
        assert engine.snapshot().runs[0].steps == 5


# ---------------------------------------------------------------- runs and tasks in nodes


async def test_a_run_that_a_node_waits_for_is_inside_of_its_visit(
    autojump_clock: MockClock,
) -> None:
    inner = chain("inner", sleeping(9.0, "nap"))
    engine = Engine()

    async def nested() -> None:
        await engine.run(inner, Notes(), run_id="mine")

    async def alone() -> None:
        await inner.run(Notes(), run_id="alone")

    both = Step(parallel(doing(nested, "nested"), doing(alone, "alone")), name="both")
    async with engine, trio.open_nursery() as nursery:
        nursery.start_soon(partial(engine.run, chain("f", both), Notes(), run_id="r"))
        await trio.sleep(1.0)
        assert seen(engine) == [
            "run r running: -",
            "  f/both exec: 2 branches",
            "    f/both/nested exec: run mine in nested",
            "      run mine running: -",
            "        inner/nap exec: a sleep, 8 s more in sleep",
            "    f/both/alone exec: run alone in alone",
            "      run alone running: -",
            "        inner/nap exec: a sleep, 8 s more in sleep",
        ]
        assert [run.run_id for run in engine.snapshot().runs[0].nested()] == ["mine", "alone"]


async def test_a_started_run_stands_alone_and_who_waits_for_it_says_so(
    autojump_clock: MockClock,
) -> None:
    inner = chain("inner", sleeping(9.0, "nap"))
    engine = Engine()

    async def asks() -> None:
        async with engine.start(inner, Notes(), run_id="asked") as run:
            await run.result()

    async def leaves() -> None:
        async with engine.start(inner, Notes(), run_id="left"):
            pass

    both = Step(parallel(doing(asks, "asks"), doing(leaves, "leaves")), name="both")
    async with engine, trio.open_nursery() as nursery:
        nursery.start_soon(partial(engine.run, chain("f", both), Notes(), run_id="r"))
        await trio.sleep(1.0)
        assert seen(engine)[:4] == [
            "run r running: -",
            "  f/both exec: 2 branches",
            "    f/both/asks exec: run asked in asks",
            "    f/both/leaves exec: run left in leaves",
        ]
        assert sorted(run.run_id for run in engine.snapshot().runs[1:]) == ["asked", "left"]


async def test_tasks_of_a_nodes_own_are_told_by_name_with_the_runs_in_them(
    autojump_clock: MockClock,
) -> None:
    inner = chain("inner", sleeping(9.0, "nap"))

    async def waits(event: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(event.wait, name="deeper")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, trio.Event(), name="waits")
            nursery.start_soon(partial(inner.run, Notes(), run_id="in"), name="runs")
            nursery.start_soon(trio.sleep_forever, name="sleeps")

    async with running(chain("f", doing(work, "work"))) as engine:
        assert seen(engine) == [
            "run r running: -",
            "  f/work exec: 3 tasks in work",
            "    task runs: run in",
            "      run in running: -",
            "        inner/nap exec: a sleep, 8 s more in sleep",
            "    task sleeps: a sleep without end",
            "    task waits: 1 task in waits",
            "      task deeper: Event.wait",
        ]


async def test_nurseries_around_a_run_are_none_of_its_business(
    autojump_clock: MockClock,
) -> None:
    async def application(engine: Engine) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="not ours")
            await engine.run(chain("f", sleeping(9.0, "nap")), Notes(), run_id="r")

    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(application, engine)
        await trio.sleep(1.0)
        assert seen(engine) == [
            "run r running: -",
            "  f/nap exec: a sleep, 8 s more in sleep",
        ]
        nursery.cancel_scope.cancel()


async def test_the_watch_over_a_cleanup_is_none_of_the_nodes_tasks(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        current_step().on_cleanup(trio.sleep, 2.0)
        await trio.sleep(9.0)

    async with (
        Engine() as engine,
        engine.start(chain("f", doing(work, "work")), Notes()) as run,
    ):
        await trio.sleep(1.0)
        run.request_cancel("enough")
        await trio.sleep(1.0)
        (snapshot,) = engine.snapshot().runs
        assert (snapshot.state, snapshot.reason) == ("cancelling", "enough")
        (visit,) = snapshot.visits()
        assert (visit.inside, visit.waits_for) == ((), "cleanup sleep")
        await run.cancel("again")


# ---------------------------------------------------------------- from where it may be asked


async def test_a_node_sees_itself_running(autojump_clock: MockClock) -> None:
    engine = Engine()
    looks: list[list[str]] = []

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        looks.append(seen(engine))

    async def nested() -> None:
        await chain("inner", doing(look, "look")).run(Notes(), run_id="in")

    async with engine:
        deep = Step(chain("deep", doing(look, "look"), doing(nested, "nested")), name="deep")
        await engine.run(chain("f", deep), Notes(), run_id="r")
    assert looks == [
        ["run r running: -", "  f/deep exec: its steps", "    f/deep/look exec: - in seen"],
        [
            "run r running: -",
            "  f/deep exec: its steps",
            "    f/deep/nested exec: run in in nested",
            "      run in running: -",
            "        inner/look exec: - in seen",
        ],
    ]


async def test_a_node_in_a_task_of_its_own_a_branch_or_an_item_sees_it_running(
    autojump_clock: MockClock,
) -> None:
    engine = Engine()
    looks: list[list[str]] = []

    async def look() -> None:
        looks.append([line for line in seen(engine) if ": -" in line][1:])

    async def in_a_task() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, name="looks")

    class Items:
        async def prep(self, notes: Notes, /) -> Sequence[int]:
            return [0]

        async def exec(self, item: int, /) -> None:
            await look()

        async def post(self, notes: Notes, prepared: Any, results: Any, /) -> None: ...

    many = Step(
        parallel(doing(in_a_task, "task"), Step(each(Items(), concurrent=1), name="each")),
        name="many",
    )
    async with engine:
        await engine.run(chain("f", many), Notes(), run_id="r")
    assert sorted(looks) == [
        ["      f/many/each[0] exec: - in seen"],
        ["      task looks: - in seen"],
    ]


async def test_anybody_in_the_loop_may_ask_and_a_thread_through_trio() -> None:
    async with running(chain("f", doing(trio.sleep_forever, "nap")), at=0.0) as engine:
        here = engine.snapshot()

        def in_a_thread() -> tuple[Snapshot, str]:
            with pytest.raises(RuntimeError) as caught:
                engine.snapshot()
            return trio.from_thread.run_sync(engine.snapshot), str(caught.value)

        there, refusal = await trio.to_thread.run_sync(in_a_thread)
        assert [*tree(there.runs)] == [*tree(here.runs)]
        assert "trio.from_thread.run_sync(engine.snapshot)" in refusal


async def test_a_handle_shows_its_own_run_also_before_it_begins_and_after_it_ended(
    autojump_clock: MockClock,
) -> None:
    async with Engine() as engine:
        async with engine.start(chain("f", sleeping(9.0, "nap")), Notes(), run_id="r") as run:
            before = run.snapshot()
            assert (before.state, before.steps, before.inside) == ("starting", 0, ())
            await trio.sleep(1.0)
            assert (run.snapshot(),) == engine.snapshot().runs
        assert (run.snapshot().state, engine.snapshot().runs) == ("ended", ())


async def test_at_its_first_event_a_run_is_running_and_at_its_last_it_has_ended(
    autojump_clock: MockClock,
) -> None:
    looks: list[tuple[str, str, int]] = []

    class Looks:
        name = "looks"

        def observe(self, event: Any, /) -> None:
            (look,) = engine.snapshot().runs
            looks.append((event.event_type, look.state, len(look.inside)))

    async with Engine(observers=[Looks()]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
    assert looks == [
        ("run_start", "running", 0),
        ("node_start", "running", 1),
        ("node_success", "running", 1),
        ("routed", "running", 1),
        ("run_end", "ended", 0),
    ]


async def test_a_run_that_is_drained_says_so(autojump_clock: MockClock) -> None:
    async with running(chain("f", sleeping(9.0, "nap"), saying("after"))) as engine:
        engine.request_drain()
        (run,) = engine.snapshot().runs
        assert (run.state, [one.path for one in run.visits()]) == ("draining", ["f/nap"])


# ---------------------------------------------------------------- what is waited for


async def waits_of(act: Act) -> str:
    """What a node waits for that does *act*, a second later."""
    async with running(chain("f", doing(act, "act"))) as engine:
        (visit,) = engine.snapshot().visits()
        return visit.waits_for


TOKENS = Stream("tokens", str)


async def test_a_wait_in_trio_is_called_by_what_the_node_calls(
    autojump_clock: MockClock,
) -> None:
    send, receive = trio.open_memory_channel[int](0)
    full, lock = trio.CapacityLimiter(1), trio.Lock()
    full.acquire_on_behalf_of_nowait("somebody")

    async def until() -> None:
        await trio.sleep_until(11.0 + begun)

    async def with_limiter() -> None:
        async with full:
            pytest.fail("it is full")

    async def bare() -> None:
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    async with send, receive:
        begun = trio.current_time()
        assert await waits_of(until) == "a sleep, 10 s more"
        assert await waits_of(partial(trio.sleep, 2.5)) == "a sleep, 1.5 s more"
        assert await waits_of(trio.sleep_forever) == "a sleep without end"
        assert await waits_of(trio.Event().wait) == "Event.wait"
        assert await waits_of(receive.receive) == "MemoryReceiveChannel.receive"
        assert await waits_of(with_limiter) == "CapacityLimiter"
        assert await waits_of(bare) == "wait_task_rescheduled"
        async with lock:
            assert await waits_of(lock.acquire) == "Lock.acquire"


async def test_a_node_at_a_checkpoint_waits_for_its_turn(autojump_clock: MockClock) -> None:
    async def yields() -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(look)
        await trio.lowlevel.cancel_shielded_checkpoint()
        while not looks:
            await trio.lowlevel.checkpoint()

    def look() -> None:
        looks.append(seen(engine))

    looks: list[list[str]] = []
    async with Engine() as engine:
        await engine.run(chain("f", doing(yields, "yields")), Notes(), run_id="r")
    assert looks == [["run r running: -", "  f/yields exec: its turn in yields"]]


async def test_a_wait_for_a_thread_tells_its_function() -> None:
    import threading  # noqa: PLC0415

    gate, begun = threading.Event(), threading.Event()

    def parse() -> None:
        begun.set()
        gate.wait()

    async def hop() -> None:
        await current_step().to_thread(parse)

    try:
        async with Engine() as engine, trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, chain("f", doing(hop, "hop")), Notes())
            while not begun.is_set():
                await trio.lowlevel.checkpoint()
            (visit,) = engine.snapshot().visits()
            gate.set()
    finally:
        gate.set()
    assert visit.waits_for.startswith("a thread: ")
    assert visit.waits_for.endswith("parse")


async def test_a_wait_for_a_guard_tells_its_kind_and_name(autojump_clock: MockClock) -> None:
    inside = Bulkhead("db", BulkheadPolicy(limit=1))
    limiter = RateLimiter("llm", limit=1, window=60.0)
    retry = Retry(RetryPolicy(base_delay=60.0, max_delay=60.0, jitter=0.0), name="fetch")

    async def enters() -> None:
        async with inside:
            await trio.sleep(5.0)

    async def admitted() -> None:
        async with limiter:
            pass

    async def fails() -> None:
        raise ValueError

    async def retries() -> None:
        await retry.call(fails)

    await admitted()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enters)
        assert await waits_of(enters) == "bulkhead 'db'"
        learned = AdaptiveLimit("model", AdaptiveLimitPolicy(initial=1, max_waiters=1))

        async def learns() -> None:
            await learned.call(trio.sleep, 5.0)

        nursery.start_soon(learns)
        assert await waits_of(learns) == "adaptive limit 'model'"
    assert await waits_of(admitted) == "rate limiter 'llm'"
    assert await waits_of(retries) == "retry 'fetch'"
    cache = TTLCache(trio.sleep, ttl=60.0, name="prices")

    async def joins() -> None:
        await cache.get(5.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(joins)
        assert await waits_of(joins) == "ttl cache 'prices'"

    async def loops() -> None:
        async for attempt in retry:
            async with attempt:
                raise ValueError

    assert await waits_of(loops) == "a sleep, 59 s more"


def looping_flow(name: str) -> Flow[Notes, []]:
    """It makes 2,000 steps and never waits by itself."""
    again = looping(2_000)

    @flow(name=name)
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    return loop


async def test_a_wait_for_who_reads_tells_what_is_read(autojump_clock: MockClock) -> None:
    async def talks() -> None:
        for _ in range(3_000):
            await current_step().emit(TOKENS, "word")

    async with Engine() as engine:
        async with engine.start(chain("f", doing(talks, "talks")), Notes()) as run:
            tokens = run.stream(TOKENS)
            await wait_all_tasks_blocked()
            (visit,) = run.snapshot().visits()
            assert visit.waits_for == "readers of stream 'tokens'"
            tokens.close()
        async with engine.start(looping_flow("f"), Notes()) as run:
            events = run.events(pace=True)
            await wait_all_tasks_blocked()
            paced = run.snapshot()
            assert (paced.inside, paced.waits_for) == ((), "slow readers of its events")
            events.close()


async def test_between_the_steps_of_a_nested_flow_that_flow_is_what_goes_on(
    autojump_clock: MockClock,
) -> None:
    both = Step(parallel(Step(looping_flow("g"), name="in a branch")), name="both")
    for nested in (chain("f", Step(looping_flow("loop"), name="loop")), chain("f", both)):
        async with Engine() as engine, engine.start(nested, Notes()) as run:
            events = run.events(pace=True)
            await wait_all_tasks_blocked()
            *_, last = run.snapshot().visits()
            assert last.path in {"f/loop", "f/both/in a branch"}
            assert (last.phase, last.waits_for) == ("exec", "slow readers of its events")
            events.close()


async def test_an_engine_that_is_left_says_what_it_waits_for(autojump_clock: MockClock) -> None:
    outer = Engine()

    async def owns() -> None:
        async with Engine() as inner:
            scope.start_soon(inner.run, chain("g", sleeping(9.0, "nap")), Notes())
            await trio.sleep(0.5)

    async with outer, trio.open_nursery() as scope:
        scope.start_soon(outer.run, chain("f", doing(owns, "owns")), Notes())
        await trio.sleep(1.0)
        (visit,) = outer.snapshot().visits()
        assert visit.waits_for == "the runs of an engine"


async def test_a_run_that_is_abandoned_is_still_waited_for(autojump_clock: MockClock) -> None:
    engine = Engine()

    async def slow() -> None:
        current_step().on_cleanup(trio.sleep, 3.0)
        await trio.sleep_forever()

    async def abandons() -> None:
        async with engine.start(chain("g", doing(slow, "slow")), Notes(), run_id="left"):
            await trio.sleep(0.5)
            raise ValueError("abandoned")

    async with engine, engine.start(chain("f", doing(abandons, "abandons")), Notes()) as run:
        await trio.sleep(1.0)
        (visit,) = run.snapshot().visits()
        assert visit.waits_for == "run left"
        await run.cancel("enough")


async def test_what_a_library_of_the_standard_one_awaits_is_called_by_its_function(
    autojump_clock: MockClock,
) -> None:
    from contextlib import AsyncExitStack  # noqa: PLC0415

    async def leaves() -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(trio.sleep, 9.0)

    assert await waits_of(leaves) == "AsyncExitStack"


async def test_a_node_of_an_installed_package_is_its_authors_code(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentflow_trio.engine import _frames  # noqa: PLC0415

    here = __file__.rpartition("/")[0] + "/"
    _frames._is_a_librarys.cache_clear()
    monkeypatch.setattr(_frames, "_libraries", lambda: (here,))
    try:
        assert await waits_of(partial(trio.sleep, 2.5)) == "a sleep, 1.5 s more"
    finally:
        _frames._is_a_librarys.cache_clear()


# ---------------------------------------------------------------- cancelled, simulated


async def test_a_run_that_its_caller_cancels_is_cancelling(autojump_clock: MockClock) -> None:
    async def outer(engine: Engine) -> None:
        await engine.run(chain("f", doing(hold, "hold")), Notes())

    looks: list[str] = []

    async def hold() -> None:
        try:
            await trio.sleep_forever()
        finally:
            looks.append(engine.snapshot().runs[0].state)

    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(outer, engine)
        await trio.sleep(1.0)
        looks.append(engine.snapshot().runs[0].state)
        nursery.cancel_scope.cancel()
    assert looks == ["running", "cancelling"]


def test_in_a_simulation_the_same_seed_gives_the_same_snapshots() -> None:
    looks: list[str] = []

    async def program() -> None:
        async def own_tasks() -> None:
            async with trio.open_nursery() as nursery:
                for number in (3, 1, 2):
                    nursery.start_soon(trio.sleep, number, name=f"task {number}")

        branches = [sleeping(number / 7, f"b{number}") for number in range(9)]
        many = Step(parallel(*branches, doing(own_tasks, "own")), name="many")
        async with Engine() as engine, trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, chain("f", many), Notes())
            for _ in range(5):
                await trio.sleep(0.25)
                looks.append(str(engine.snapshot()))

    for _ in range(2):
        with simulate(program, seed=7) as sim:
            sim.run()
    assert looks[:5] == looks[5:]
    assert "run sim-7-1" in looks[0]


# ---------------------------------------------------------------- the drawing


def visit(path: str, **fields: Any) -> VisitSnapshot:
    return VisitSnapshot(**{
        "path": path,
        "phase": "exec",
        "age": 1.25,
        "waits_for": "",
        **fields,
    })


def run(*inside: Live, **fields: Any) -> RunSnapshot:
    known = {"run_id": "r1", "flow": "f", "state": "running", "age": 2.5, "steps": 3}
    return RunSnapshot(**{**known, "inside": inside, **fields})


def test_a_drawing_has_a_line_for_everything_that_goes_on() -> None:
    item = visit(
        "f/edit/embed[3]", item=3, waits_for="a sleep, 1 s more", at="/a/b.py:7 N.exec"
    )
    nested = run(visit("in/x", age=0.25), run_id="r2", flow="in", steps=1, age=0.0)
    task = TaskSnapshot(name="feeder", waits_for="run r2", inside=(nested,))
    embed = visit("f/edit/embed", waits_for="2 items", inside=(item, visit("f/edit/embed[5]")))
    branches = (embed, visit("f/edit/ask#2", attempt=3, phase="prep", inside=(task,)))
    edit = visit("f/edit", waits_for="2 branches", inside=branches)
    starting = run(state="starting", reason="enough", waits_for="its turn", flow="g", steps=0)
    assert str(Snapshot(time=5.0, runs=(run(edit), starting))).splitlines() == [
        "f  run r1, running, 2.5 s, 3 steps",
        "└─ edit  exec 1.2 s, waits for 2 branches",
        "   ├─ embed  exec 1.2 s, waits for 2 items",
        "   │  ├─ [3]  exec 1.2 s, waits for a sleep, 1 s more at b.py:7 N.exec",
        "   │  └─ [5]  exec 1.2 s, running",
        "   └─ ask#2  prep attempt 3 1.2 s, running",
        "      └─ task feeder  waits for run r2",
        "         └─ in  run r2, running, 0.0 s, 1 step",
        "            └─ x  exec 250 ms, running",
        "g  run r1, starting, 2.5 s, 0 steps, waits for its turn (enough)",
    ]


def test_a_path_that_is_not_below_what_is_around_it_is_drawn_whole() -> None:
    assert str(run(visit("alone"))).splitlines()[1] == "└─ alone  exec 1.2 s, running"


def test_of_many_things_side_by_side_those_that_are_alike_share_a_line() -> None:
    asks = [
        visit(f"f/many/a{n}", waits_for=f"a sleep, {n}.5 s more", age=n) for n in range(998)
    ]
    odd = [visit("f/many/odd", waits_for="pool 'db'"), visit("f/many/b", phase="cleanup")]
    many = run(visit("f/many", waits_for="1000 branches", inside=(*asks, *odd)))
    assert len([*many.visits()]) == 1001
    assert str(many).splitlines()[2:] == [
        "   ├─ a0  exec 0.0 s, waits for a sleep, 0.5 s more",
        "   │  … and 997 more, 1.0 s to 997.0 s",
        "   ├─ odd  exec 1.2 s, waits for pool 'db'",
        "   └─ b  cleanup 1.2 s, running",
    ]
    assert many.render(most=2).splitlines()[2:] == [
        "   ├─ a0  exec 0.0 s, waits for a sleep, 0.5 s more",
        "   │  … and 997 more, 1.0 s to 997.0 s",
        "   └─ odd  exec 1.2 s, waits for pool 'db'",
        "      … and 1 more, 1.2 s to 1.2 s",
    ]


def test_runs_and_tasks_that_are_alike_share_a_line_too() -> None:
    tasks = [TaskSnapshot(name=f"t{n}", waits_for="Event.wait") for n in range(5)]
    runs = [run(run_id=f"r{n}") for n in range(5)]
    node = visit("f/node", inside=(*tasks, *runs))
    assert run(node).render(most=3).splitlines()[2:] == [
        "   ├─ task t0  waits for Event.wait",
        "   │  … and 4 more",
        "   └─ f  run r0, running, 2.5 s, 3 steps",
        "      … and 4 more, 2.5 s to 2.5 s",
    ]
