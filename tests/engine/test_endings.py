"""However a run ends, whatever its shape: nothing is alive, every cleanup ran once, and so did the closing of every source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    Flow,
    Fold,
    RunCancelledError,
    Step,
    Wiring,
    added,
    batch,
    current_step,
    each,
    flow,
    fold,
    merged_by,
    parallel,
    race,
)
from agentflow_trio.testing import (
    Cut,
    assert_no_leaks,
    cancel_everywhere,
    cancel_with,
    explore,
    simulate,
)

pytestmark = pytest.mark.slow

BREAKS = 1.5
"""When somebody ends the run, if it does not end by itself."""


class LeftError(Exception):
    """Ends the body of an engine or a handle."""


@attrs.define
class Words:
    """The state; what can be written at once."""

    said: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))


@attrs.define
class Books:
    """What was opened and closed in one run, what is to fail where, and how it ended.

    Attributes:
        raises: what exec, post, the fold or the source raises.
        closed: how often each thing that was opened was closed.
        sources: how many were begun, and how many were closed.
        limits: options of the outermost step.
        ended: the class of what came out of the run, or ``well``.
    """

    raises: dict[str, type[BaseException]] = attrs.field(factory=dict[str, type[BaseException]])
    limits: dict[str, float] = attrs.field(factory=dict[str, float])
    closed: list[int] = attrs.field(factory=list[int])
    begun: int = 0
    over: int = 0
    ended: str = ""

    def open(self) -> None:
        """Register a cleanup that waits."""
        self.closed.append(0)
        current_step().on_cleanup(self._close, len(self.closed) - 1)

    async def _close(self, number: int) -> None:
        await trio.lowlevel.checkpoint()
        self.closed[number] += 1
        await trio.lowlevel.checkpoint()

    def strike(self, where: str) -> None:
        """Fail if that is asked for."""
        if where in self.raises:
            raise self.raises[where]

    def balanced(self) -> None:
        """Whether everything was closed exactly once."""
        assert all(times == 1 for times in self.closed)
        assert self.begun == self.over


# ---------------------------------------------------------------- shapes


@attrs.frozen
class Busy:
    """A node that opens something in every phase; one that takes no time never fails."""

    books: Books
    name: str
    seconds: float

    async def prep(self, shared: Words, /) -> None:
        self.books.open()

    async def exec(self, prepared: None, /) -> None:
        self.books.open()
        await trio.sleep(self.seconds)
        if self.seconds:
            self.books.strike("exec")

    async def post(self, shared: Words, prepared: None, result: None, /) -> None:
        self.books.open()
        if self.seconds:
            self.books.strike("post")
        shared.said += (self.name,)


@attrs.frozen
class Handles:
    """The same for five items of a second each."""

    books: Books
    source: str

    async def prep(self, shared: Words, /) -> Any:
        self.books.open()
        if self.source == "sequence":
            return range(5)
        return self.stream() if self.source == "stream" else self.iterable()

    def iterable(self) -> Iterator[int]:
        self.books.begun += 1
        try:
            for number in range(5):
                if number == 3:
                    self.books.strike("source")
                yield number
        finally:
            self.books.over += 1

    async def stream(self) -> AsyncIterator[int]:
        self.books.begun += 1
        try:
            for number in range(5):
                await trio.lowlevel.checkpoint()
                if number == 3:
                    self.books.strike("source")
                yield number
        finally:
            self.books.over += 1

    async def exec(self, item: Any, /) -> Any:
        self.books.open()
        await trio.sleep(1)
        self.books.strike("exec")
        return item if isinstance(item, int) else [*item]

    async def post(self, shared: Words, items: Any, received: Any, /) -> None:
        self.books.open()
        self.books.strike("post")
        shared.said += (str(received),)

    def add(self, total: int, one: int) -> int:
        self.books.strike("fold")
        return total + one

    @property
    def into(self) -> Fold[Any, Any]:
        return fold(int, self.add)


def busy(books: Books, name: str, seconds: float) -> Step[Words, []]:
    return Step(Busy(books, name, seconds), name=name)


def row(name: str, *steps: Step[Words, []]) -> Flow[Words, []]:
    @flow(name=name)
    def wired() -> Wiring[Words]:
        return [one.then(after) for one, after in zip(steps, [*steps[1:], END], strict=True)]

    return wired


def all_of(books: Books) -> Any:
    return parallel(busy(books, "a", 2), busy(books, "b", 3), busy(books, "c", 4))


def first_of(books: Books) -> Any:
    return race(busy(books, "a", 2), busy(books, "b", 3), busy(books, "c", 4))


def every_item(books: Books) -> Any:
    return each(Handles(books, "sequence"), concurrent=2)


def every_item_of_an_iterable(books: Books) -> Any:
    node = Handles(books, "iterable")
    return each(node, concurrent=2, into=node.into)


def every_item_of_a_stream(books: Books) -> Any:
    node = Handles(books, "stream")
    return each(node, concurrent=2, into=node.into)


def parts_of_a_stream(books: Books) -> Any:
    node = Handles(books, "stream")
    return batch(node, size=2, concurrent=2, into=node.into)


def a_mix(books: Books) -> Any:
    inner = row("inner", busy(books, "x", 1), Step(first_of(books), name="first"))
    return parallel(
        Step(inner),
        Step(every_item_of_a_stream(books), name="items"),
        Step(parallel(busy(books, "y", 2), Step(every_item(books), name="e")), name="deep"),
    )


def a_race_of_rows(books: Books) -> Any:
    slow = row("slow", busy(books, "x", 1), Step(all_of(books), name="all"))
    return race(Step(slow), Step(every_item_of_an_iterable(books), name="items"))


def flows_per_item(books: Books) -> Any:
    inner = row("inner", busy(books, "x", 1), busy(books, "y", 1))
    return each(inner.over(three_words, nothing_more), concurrent=2)


def three_words(words: Words) -> list[Words]:
    return [Words(), Words(), Words()]


def nothing_more(words: Words, received: Any) -> None:
    words.said += ("joined",)


Make: TypeAlias = Callable[[Books], Any]
SHAPES: tuple[Make, ...] = (
    all_of,
    first_of,
    every_item,
    every_item_of_an_iterable,
    every_item_of_a_stream,
    parts_of_a_stream,
    a_mix,
    a_race_of_rows,
    flows_per_item,
)
FOLDED: tuple[Make, ...] = (
    every_item_of_an_iterable,
    every_item_of_a_stream,
    parts_of_a_stream,
    a_mix,
)


def made(make: Make, books: Books) -> Flow[Words, []]:
    """The shape between two plain steps."""
    shape: Step[Words, []] = Step(
        make(books),
        name="shape",
        timeout=books.limits.get("timeout"),
        idle_timeout=books.limits.get("idle_timeout"),
    )
    return row("f", busy(books, "before", 0), shape, busy(books, "after", 0))


# ---------------------------------------------------------------- endings

End: TypeAlias = Callable[[Make, Books], Awaitable[object]]


async def alone(make: Make, books: Books) -> None:
    await made(make, books).run(Words())


async def in_an_engine(make: Make, books: Books) -> None:
    async with Engine() as engine:
        await engine.run(made(make, books), Words())


async def started(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()) as run:
        await run.result()


async def cut_off_by_the_caller(make: Make, books: Books) -> None:
    with trio.fail_after(BREAKS):
        await in_an_engine(make, books)


async def out_of_time(make: Make, books: Books) -> None:
    await made(make, books).run(Words(), timeout=BREAKS)


async def cancelled(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()) as run:
        await trio.sleep(BREAKS)
        await run.cancel("enough")
        await run.result()


async def asked_to_cancel(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()) as run:
        cancel_with(lambda: run.request_cancel("interrupted"))
        await trio.sleep(BREAKS)
        run.request_cancel("enough")


async def engine_left(make: Make, books: Books) -> None:
    async with trio.open_nursery() as nursery, Engine() as engine:
        nursery.start_soon(engine.run, made(make, books), Words())
        await trio.sleep(BREAKS)
        raise LeftError


async def handle_left(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()):
        await trio.sleep(BREAKS)
        raise LeftError


async def drained(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()) as run:
        await trio.sleep(BREAKS)
        await engine.drain(grace=0.25)
        await run.result()


async def drained_in_peace(make: Make, books: Books) -> None:
    async with Engine() as engine, engine.start(made(make, books), Words()) as run:
        await trio.sleep(BREAKS)
        engine.request_drain()
        await run.result()


@attrs.frozen
class Ending:
    """One way to end a run, and what comes out of it.

    Attributes:
        raised: the classes of the leaves of what is raised; ``well`` if nothing is.
    """

    name: str
    end: End
    raised: tuple[str, ...]
    raises: dict[str, type[BaseException]] = attrs.field(factory=dict[str, Any])
    limits: dict[str, float] = attrs.field(factory=dict[str, float])
    shapes: tuple[Make, ...] = SHAPES


DEADLINE = DeadlineExceededError.__name__
CANCELLED = RunCancelledError.__name__
ENDINGS = (
    Ending("well", alone, ("well",)),
    Ending("well in an engine", in_an_engine, ("well",)),
    Ending("well, started", started, ("well",)),
    Ending("an error", alone, ("ValueError",), {"exec": ValueError}),
    Ending("an error, started", started, ("ValueError",), {"exec": ValueError}),
    Ending("an error in post", started, ("ValueError",), {"post": ValueError}),
    Ending("an error in the fold", started, ("ValueError",), {"fold": ValueError}, {}, FOLDED),
    Ending(
        "an error in the source", started, ("ValueError",), {"source": ValueError}, {}, FOLDED
    ),
    Ending("the caller", cut_off_by_the_caller, ("TooSlowError",)),
    Ending("cancelled", cancelled, (CANCELLED,)),
    Ending("asked to cancel", asked_to_cancel, (CANCELLED,)),
    Ending("the engine was left", engine_left, ("LeftError", CANCELLED)),
    Ending("the handle was left", handle_left, ("LeftError",)),
    Ending("a step out of time", started, (DEADLINE,), {}, {"timeout": BREAKS}),
    Ending("a step idle too long", in_an_engine, (DEADLINE,), {}, {"idle_timeout": BREAKS}),
    Ending("a run out of time", out_of_time, (DEADLINE,)),
    Ending("Ctrl-C", in_an_engine, ("KeyboardInterrupt",), {"exec": KeyboardInterrupt}),
    Ending("Ctrl-C, started", started, ("KeyboardInterrupt",), {"exec": KeyboardInterrupt}),
    Ending("the end of the program", alone, ("SystemExit",), {"exec": SystemExit}),
    Ending("drained", drained, (CANCELLED,)),
    Ending("drained in peace", drained_in_peace, (CANCELLED,)),
)
ALL = [
    pytest.param(ending, make, id=f"{ending.name}: {make.__name__}")
    for ending in ENDINGS
    for make in ending.shapes
]


class Program:
    """One run; keeps the books of the last one."""

    def __init__(self, ending: Ending, make: Make) -> None:
        self.ending, self.make = ending, make
        self.books = Books()

    async def __call__(self) -> None:
        books = self.books = Books(raises=self.ending.raises, limits=self.ending.limits)
        cancelled: BaseException | None = None
        with assert_no_leaks():
            try:
                await self.ending.end(self.make, books)
            except BaseException as error:  # noqa: BLE001 - raised again but for what is expected
                cancelled, rest = parted(error)
                books.ended = " ".join(sorted({type(one).__name__ for one in leaves(rest)}))
            else:
                books.ended = "well"
            if cancelled is not None:
                raise cancelled


def parted(
    error: BaseException,
) -> tuple[BaseException | None, BaseException | None]:
    """The cancellation in *error*, and the rest."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    return error.split(trio.Cancelled)


def leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [] if error is None else [error]


@pytest.mark.parametrize(("ending", "make"), ALL)
def test_nothing_is_left(ending: Ending, make: Make) -> None:
    program = Program(ending, make)
    with simulate(program) as sim:
        sim.run()
    program.books.balanced()
    assert program.books.ended == " ".join(sorted(ending.raised))
    assert len(program.books.closed) > 2


@pytest.mark.parametrize(("ending", "make"), ALL)
def test_nothing_is_left_in_whatever_order(ending: Ending, make: Make) -> None:
    program = Program(ending, make)

    def check(_: None) -> None:
        program.books.balanced()
        assert set(program.books.ended.split()) & set(ending.raised)

    explore(program, check=check, seeds=2).raise_on_failure()


EVERYWHERE = {"well", "an error, started", "asked to cancel", "a step out of time"}


@pytest.mark.parametrize(
    ("ending", "make"),
    [param for param in ALL if str(param.id).partition(":")[0] in EVERYWHERE],
)
def test_nothing_is_left_when_it_is_cancelled_at_any_step_besides(
    ending: Ending, make: Make
) -> None:
    program = Program(ending, make)

    def check(_: Cut[None]) -> None:
        program.books.balanced()

    assert cancel_everywhere(program, check=check) >= 10
