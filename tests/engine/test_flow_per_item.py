"""A flow for every item: a fork, a path, visits and failures of its own; in the run's count of steps, exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import attrs
import pytest
import trio
from outcome import Error, Maybe, Value

from agentflow_trio import (
    END,
    Count,
    CutOff,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    MaxVisitsError,
    Next,
    StateTypeError,
    Step,
    StepLimitError,
    Wiring,
    current_step,
    each,
    flow,
    fold,
    parallel,
    step,
)
from agentflow_trio.testing import (
    Cut,
    Faults,
    assert_no_leaks,
    cancel_everywhere,
    explore,
    first,
    phases,
)

from .engine_kit import Recorder, picture


@attrs.define
class Chapter:
    """An item: outlined, then written for so many seconds, as often as *rounds* says."""

    title: str
    seconds: float = 0
    rounds: int = 1
    text: str = ""


@attrs.define
class Book:
    """The outer state."""

    titles: tuple[Chapter, ...] = ()
    chapters: tuple[Any, ...] = ()
    words: int = 0


@step
async def outline(chapter: Chapter) -> None:
    chapter.text = "o"


@step
async def write(chapter: Chapter, *, again: Next, done: Next) -> Next:
    if chapter.seconds:
        await trio.sleep(chapter.seconds)
    if chapter.title == "bad":
        raise ValueError(chapter.seconds)
    chapter.text += "w"
    return done if len(chapter.text) > chapter.rounds else again


@flow
def chapter() -> Wiring[Chapter]:
    return [outline.then(write), write.to(again=write, done=END)]


def split(book: Book) -> Sequence[Chapter]:
    return book.titles


def join(book: Book, chapters: Sequence[Chapter]) -> None:
    book.chapters = tuple(chapters)


def join_some(book: Book, chapters: Sequence[Maybe[Chapter]]) -> None:
    book.chapters = tuple(chapters)


def put(book: Book, words: int) -> None:
    book.words = words


def length(total: int, one: Chapter) -> int:
    return total + len(one.text)


chapters = Step(each(chapter.over(split, join), concurrent=2), name="chapters")


@flow
def digest() -> Wiring[Book]:
    return [chapters.then(END)]


def digest_of(one: Step[Book, []]) -> Flow[Book, []]:
    @flow(name="digest")
    def made() -> Wiring[Book]:
        return [one.then(END)]

    return made


def book(*titles: str, **options: Any) -> Book:
    return Book(tuple(Chapter(title, **options) for title in titles))


async def test_every_item_goes_through_the_flow_on_a_fork_of_its_own() -> None:
    given = book("a", "b", "c", rounds=2)
    result = await digest.run(given)
    assert [one.text for one in result.state.chapters] == ["oww", "oww", "oww"]
    assert [one.text for one in result.state.titles] == ["", "", ""]
    assert [one.text for one in given.titles] == ["", "", ""]


async def test_visits_of_all_items_are_the_runs() -> None:
    node = each(chapter.over(split, join), concurrent=1)
    result = await digest_of(Step(node, name="chapters")).run(book("a", "b", rounds=2))
    assert result.steps == 7
    assert result.visits == {
        "digest/chapters": 1,
        "digest/chapters/outline": 2,
        "digest/chapters/write": 4,
    }
    assert result.tail == (
        "digest/chapters",
        "digest/chapters[0]/outline",
        "digest/chapters[0]/write",
        "digest/chapters[0]/write#2",
        "digest/chapters[1]/outline",
        "digest/chapters[1]/write",
        "digest/chapters[1]/write#2",
    )


async def test_after_the_items_the_outer_flow_goes_on() -> None:
    paths = list[str]()

    @step
    async def note(book: Book) -> None:
        paths.append(current_step().path)

    last = chapters.with_(name="last")

    @flow(name="digest")
    def twice(*, done: Next) -> Wiring[Book]:
        return [chapters.then(note), note.then(last), last.then(done)]

    result = await twice.run(book("a"))
    assert paths == ["digest/note"]
    assert result.exit == "done"
    assert list(result.visits) == [
        "digest/chapters/outline",
        "digest/chapters/write",
        "digest/last/outline",
        "digest/last/write",
        "digest/chapters",
        "digest/note",
        "digest/last",
    ]


async def test_a_step_of_an_item_knows_its_item_path_and_key() -> None:
    told = list[tuple[str, int | None, str, float]]()

    async def tell() -> None:
        here = current_step()
        told.append((here.path, here.item, here.idempotency_key, here.random.random()))

    @step
    async def alone(chapter: Chapter) -> None:
        await tell()

    @step
    async def branch(chapter: Chapter) -> None:
        await tell()

    both = Step(parallel(branch), name="both")

    @flow
    def inner() -> Wiring[Chapter]:
        return [alone.then(both), both.then(END)]

    def note(book: Book, chapters: Sequence[Chapter]) -> None:
        told.append((current_step().path, current_step().item, "", 0))

    node = each(inner.over(split, note), concurrent=1)
    await digest_of(Step(node, name="chapters")).run(book("a", "b"), run_id="r", seed=1)
    assert [(path, item) for path, item, _, _ in told] == [
        ("digest/chapters[0]/alone", 0),
        ("digest/chapters[0]/both/branch", 0),
        ("digest/chapters[1]/alone", 1),
        ("digest/chapters[1]/both/branch", 1),
        ("digest/chapters", None),
    ]
    assert told[0][2] == "r/digest/chapters[0]/alone"
    assert len({dice for *_, dice in told}) == len(told)


async def test_items_of_items_have_the_inner_number() -> None:
    told = list[tuple[str, int | None]]()

    class Words:
        async def prep(self, shared: Chapter) -> Sequence[str]:
            told.append((current_step().path, current_step().item))
            return shared.title

        async def exec(self, letter: str) -> str:
            told.append((current_step().path, current_step().item))
            return letter

        async def post(
            self, shared: Chapter, letters: Sequence[str], same: Sequence[str]
        ) -> None: ...

    words: Step[Chapter, []] = Step(each(Words(), concurrent=1), name="words")

    @flow
    def inner() -> Wiring[Chapter]:
        return [words.then(END)]

    node = each(inner.over(split, join), concurrent=1)
    await digest_of(Step(node, name="chapters")).run(book("", "ab"))
    assert told == [
        ("digest/chapters[0]/words", 0),
        ("digest/chapters[1]/words", 1),
        ("digest/chapters[1]/words[0]", 0),
        ("digest/chapters[1]/words[1]", 1),
    ]


async def test_so_many_at_once(autojump_clock: trio.testing.MockClock) -> None:
    await digest.run(book(*"abcde", seconds=1))
    assert trio.current_time() == 3


async def test_a_stream_of_items_is_folded() -> None:
    async def stream(book: Book) -> AsyncIterator[Chapter]:
        for one in book.titles:
            yield one

    def generate(book: Book) -> Iterator[Chapter]:
        yield from book.titles

    into = fold(int, length)
    plain = each(chapter.over(split, put), concurrent=2, into=into)
    waiting = each(chapter.over(stream, put), concurrent=2, into=into)
    lazy = each(chapter.over(generate, put), concurrent=2, into=into)
    for node in (plain, waiting, lazy):
        assert (await Step(node).run(book("a", "b"))).state.words == 4


async def test_failures_are_in_a_group_for_each_item(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(FlowFailedError) as caught:
        await digest.run(book("bad", "bad", "fine", seconds=1))
    error = caught.value
    one, two = error.leaves()
    inside = [("digest/chapters[0]", [one]), ("digest/chapters[1]", [two])]
    assert picture(error) == ("digest", [("digest/chapters", inside)])
    places = [place and (place.path, place.phase) for place in map(error.find, (one, two))]
    assert places == [
        ("digest/chapters[0]/write", "exec"),
        ("digest/chapters[1]/write", "exec"),
    ]
    outer = error.exceptions[0]
    assert isinstance(outer, ExceptionGroup)
    group = outer.exceptions[0]
    assert isinstance(group, FlowFailedError)
    assert str(group).startswith("flow 'chapter' failed")
    assert group.state == Chapter("bad", seconds=1, text="o")


async def test_a_tolerated_failure_is_what_the_items_flow_raised() -> None:
    node = each(chapter.over(split, join_some), concurrent=1, tolerate=Count(1))
    result = await Step(node, name="chapters").run(book("a", "bad"))
    fine, failed = result.state.chapters
    assert fine == Value(Chapter("a", text="ow"))
    assert isinstance(failed, Error)
    assert isinstance(failed.error, FlowFailedError)
    assert failed.error.path == "chapters[1]"
    assert isinstance(failed.error.only(), ValueError)
    assert result.suppressed == (failed.error,)


async def test_one_too_many_ends_the_step_with_a_group_for_each_item(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = each(chapter.over(split, join_some), concurrent=1, tolerate=Count(1))
    with pytest.raises(FlowFailedError) as caught:
        await Step(node, name="chapters").run(book("bad", "a", "bad", "a", seconds=1))
    one, two = caught.value.leaves()
    groups = [("chapters[0]", [one]), ("chapters[2]", [two])]
    assert picture(caught.value) == ("chapters", [("chapters", groups)])
    assert trio.current_time() == 3


async def test_a_fallback_stands_in_for_all_items() -> None:
    node = each(chapter.over(split, join), concurrent=1)
    one = Step(node, fallback=Fallback([Chapter("spare")]))
    assert (await one.run(book("a", "bad"))).state.chapters == (Chapter("spare"),)


async def test_an_item_that_is_no_state_is_a_failure_at_that_item() -> None:
    def numbers(book: Book) -> Any:
        return [Chapter("a"), 3]

    node: Any = each(chapter.over(numbers, join), concurrent=1)
    with pytest.raises(FlowFailedError) as caught:
        await digest_of(Step(node, name="chapters")).run(book())
    error = caught.value.only()
    place = caught.value.find(error)
    assert isinstance(error, StateTypeError)
    assert place is not None
    assert (place.path, place.phase) == ("digest/chapters[1]", "exec")


@pytest.mark.parametrize(("which", "phase"), [("split", "prep"), ("join", "post")])
async def test_split_and_join_that_fail_fail_as_prep_and_post(which: str, phase: str) -> None:
    def wrong(*_: object) -> Any:
        raise OSError(which)

    made: Any = {"split": split, "join": join, which: wrong}
    node: Any = each(chapter.over(made["split"], made["join"]), concurrent=1)

    @step
    async def spare(book: Book) -> None:
        book.words = -1

    only: Step[Book, []] = Step(node, name="chapters")

    @flow(name="digest")
    def caught_then_again() -> Wiring[Book]:
        return [only.then(END).catch(OSError, to=spare), spare.then(END)]

    with pytest.raises(FlowFailedError) as caught:
        await digest_of(only).run(book("a"))
    place = caught.value.find(caught.value.only())
    assert place is not None
    assert (place.path, place.phase) == ("digest/chapters", phase)
    result = await caught_then_again.run(book("a"))
    assert result.state.words == -1
    assert result.tail[-1] == "digest/spare"


@pytest.mark.parametrize("concurrent", [1, 3])
async def test_max_steps_holds_exactly(concurrent: int) -> None:
    node = each(chapter.over(split, join), concurrent=concurrent)
    made = digest_of(Step(node, name="chapters"))
    visited = list[str]()

    class Count_:  # noqa: N801 - an observer
        name = "count"

        def observe(self, event: Any, /) -> None:
            if event.event_type == "node_start":
                visited.append(event.path)

    given = book(*"abcd", rounds=2)
    for observers in ((), (Count_(),)):
        async with Engine(max_steps=13, observers=observers) as engine:
            assert (await engine.run(made, given)).steps == 13
        visited.clear()
        async with Engine(max_steps=12, observers=observers) as engine:
            with pytest.raises(FlowFailedError) as caught:
                await engine.run(made, given)
        assert isinstance(caught.value.only(), StepLimitError)
        assert len(visited) == (12 if observers else 0)


async def test_the_step_limit_is_not_tolerated() -> None:
    node = each(chapter.over(split, join_some), concurrent=1, tolerate=Count(9))
    async with Engine(max_steps=4) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(Step(node), book(*"abcd"))
    assert isinstance(caught.value.only(), StepLimitError)


async def test_max_visits_counts_for_each_item_anew() -> None:
    bounded = write.with_(max_visits=2)

    @flow
    def inner() -> Wiring[Chapter]:
        return [bounded.to(again=bounded, done=END)]

    made = digest_of(Step(each(inner.over(split, join), concurrent=1), name="chapters"))
    await made.run(book("a", "b", "c", rounds=1))
    with pytest.raises(FlowFailedError) as caught:
        await made.run(book("a", "b", rounds=2))
    error = caught.value.only()
    place = caught.value.find(error)
    assert isinstance(error, MaxVisitsError)
    assert place is not None
    assert place.path == "digest/chapters[0]/write#3"


async def test_events_have_the_paths_of_items() -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(digest, book("a"))
    assert [line for line in recorder.lines() if "chapters" in line] == [
        "node_start digest/chapters",
        "node_start digest/chapters[0]/outline",
        "node_success digest/chapters[0]/outline",
        "routed digest/chapters[0]/outline target=write",
        "node_start digest/chapters[0]/write",
        "node_success digest/chapters[0]/write exit=done",
        "routed digest/chapters[0]/write exit=done target=end",
        "batch digest/chapters[0] done=1 failed=0 total=1",
        "node_success digest/chapters",
        "routed digest/chapters target=end",
    ]


async def test_an_item_that_fails_is_told_after_its_step(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(digest, book("bad", "a", seconds=2))
    told = [line.split()[:2] for line in recorder.lines() if "[" in line]
    assert ["node_error", "digest/chapters[0]/write"] in told
    assert ["item_failed", "digest/chapters[0]"] in told
    assert told.index(["node_error", "digest/chapters[0]/write"]) < told.index([
        "item_failed",
        "digest/chapters[0]",
    ])


async def test_a_cancelled_run_says_which_items_and_which_of_their_steps_were_cut_off(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with Engine() as engine, engine.start(digest, book(*"abc", seconds=2)) as started:
        await trio.sleep(3)
        report = await started.cancel("enough")
    cuts: Sequence[CutOff] = report.cut_off
    outermost, *inside = [cut.path for cut in cuts]
    assert outermost == "digest/chapters"
    assert inside == ["digest/chapters[2]", "digest/chapters[2]/write"]


async def test_a_time_limit_around_all_items_says_who_used_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = each(chapter.over(split, join), concurrent=1)
    one = Step(node, name="chapters", timeout=5.0)
    with pytest.raises(FlowFailedError) as caught:
        await digest_of(one).run(book(*"abc", seconds=2))
    error: Any = caught.value.only()
    assert str(error).startswith("timeout of digest/chapters (5 s) ran out")
    assert error.spent == {
        "digest/chapters[0]/write": 2.0,
        "digest/chapters[1]/write": 2.0,
        "digest/chapters[2]/write": 1.0,
        "digest/chapters[0]/outline": 0.0,
        "digest/chapters[1]/outline": 0.0,
        "digest/chapters[2]/outline": 0.0,
    }


async def test_many_quick_items_still_let_others_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    node = each(chapter.over(split, join), concurrent=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await Step(node).run(book(*"a" * 80, rounds=2))
        nursery.cancel_scope.cancel()
    assert 240 // 17 <= turns <= 2 * 240 // 17


async def test_the_tail_and_the_log_stay_short() -> None:
    node = each(chapter.over(split, join), concurrent=1)
    made = digest_of(Step(node, name="chapters"))
    result = await made.run(book(*"a" * 300, rounds=2))
    assert len(result.tail) == 100
    assert result.tail[-1] == "digest/chapters[299]/write#2"
    assert result.visits["digest/chapters/write"] == 600


async def test_its_phases_can_be_run_alone() -> None:
    given = book("a", "b")
    done = await phases(chapters.node, given)
    assert done.prepared == given.titles
    assert [one.text for one in given.chapters] == ["ow", "ow"]
    node = chapter.over(split, join)
    assert await node.exec(Chapter("a")) == Chapter("a", text="ow")


def test_a_test_can_make_one_item_or_one_of_its_steps_fail() -> None:
    async def program() -> int:
        node = each(chapter.over(split, join_some), concurrent=2, tolerate=Count(2))
        result = await digest_of(Step(node, name="chapters")).run(book(*"abcd"))
        return len(result.suppressed)

    def check(failed: int) -> None:
        assert failed == 2

    faults = Faults(chapters=first(1), write=first(1))
    explore(program, check=check, faults=faults, seeds=5).raise_on_failure()


def test_what_join_gets_does_not_depend_on_the_schedule() -> None:
    async def program() -> list[tuple[str, str]]:
        given = Book(tuple(Chapter(name, seconds=len(name) % 3) for name in ("aaa", "b", "cc")))
        with assert_no_leaks():
            state = (await digest.run(given)).state
        return [(one.title, one.text) for one in state.chapters]

    def check(ended: list[tuple[str, str]]) -> None:
        assert ended == [("aaa", "ow"), ("b", "ow"), ("cc", "ow")]

    explore(program, check=check, seeds=40).raise_on_failure()


def test_cancelled_at_every_step_it_leaves_nothing() -> None:
    async def program() -> int:
        async def stream(book: Book) -> AsyncIterator[Chapter]:
            for one in book.titles:
                await trio.lowlevel.checkpoint()
                yield one

        with assert_no_leaks():
            node = each(chapter.over(stream, put), concurrent=2, into=fold(int, length))
            return (await Step(node).run(book(*"abc", seconds=1))).state.words

    def check(cut: Cut[int]) -> None:
        assert cut.cancelled or cut.result == 6

    cancel_everywhere(program, check=check, seeds=3)
