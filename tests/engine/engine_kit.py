"""What the engine's tests have in common: a state, nodes made of functions, a recorder, and pictures of what came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeAlias

import attrs
import trio
from typing_extensions import override

from agentflow_trio import (
    END,
    Flow,
    FlowAbortedError,
    FlowFailedError,
    Next,
    Step,
    Wiring,
    flow,
    step,
)
from agentflow_trio.events import ExecutionEvent

Act: TypeAlias = Callable[[], Awaitable[object]]


@attrs.define
class Notes:
    """The state of nearly every flow here."""

    log: list[str] = attrs.field(factory=list[str])
    count: int = 0


async def nothing() -> None:
    """Not even a checkpoint."""


class Acts:
    """A node without exits, its phases given as functions; ``post`` logs what exec returned, if anything."""

    def __init__(
        self, *, prep: Act = nothing, work: Act = nothing, post: Act = nothing
    ) -> None:
        self._prep, self._work, self._post = prep, work, post

    async def prep(self, shared: Notes, /) -> object:
        return await self._prep()

    async def exec(self, prepared: object, /) -> object:
        return await self._work()

    async def post(self, shared: Notes, prepared: object, result: object, /) -> None:
        await self._post()
        if result is not None:
            shared.log.append(str(result))


def doing(act: Act, name: str) -> Step[Notes, []]:
    """A function step that does *act*, then notes its name."""

    @step(name=name)
    async def does(notes: Notes) -> None:
        await act()
        notes.log.append(name)

    return does


def saying(name: str) -> Step[Notes, []]:
    """A function step that notes its name and never waits."""
    return doing(nothing, name)


def sleeping(seconds: float, name: str) -> Step[Notes, []]:
    """A function step that sleeps, then notes its name."""

    async def sleep() -> None:
        await trio.sleep(seconds)

    return doing(sleep, name)


def failing(error: BaseException, name: str) -> Step[Notes, []]:
    """A function step that notes its name and raises *error*."""

    @step(name=name)
    async def fails(notes: Notes) -> None:
        notes.log.append(name)
        raise error

    return fails


def looping(times: int, name: str = "again") -> Step[Notes, ...]:
    """A function step with the exits ``more`` and ``done`` that counts, and takes ``more`` below *times*."""

    @step(name=name)
    async def loops(notes: Notes, *, more: Next, done: Next) -> Next:
        notes.count += 1
        return more if notes.count < times else done

    return loops


def chain(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    """A flow of *steps* in a row."""

    @flow(name=name)
    def row() -> Wiring[Notes]:
        following = [*steps[1:], END]
        return [one.then(after) for one, after in zip(steps, following, strict=True)]

    return row


class Recorder:
    """An observer that keeps every event."""

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent, /) -> None:
        self.events.append(event)

    def lines(self) -> list[str]:
        return told(self.events)


def told(events: Iterable[ExecutionEvent]) -> list[str]:
    """Events as lines: type, path, and what this kind of event says beyond that (of RunStarted nothing)."""
    return [_line(event) for event in events]


def _line(event: ExecutionEvent) -> str:
    words = [event.event_type, event.path]
    if event.event_type != "run_start":
        words += [f"{name}={value}" for name, value in event.metadata.items() if name != "flow"]
    return " ".join(words)


def well_formed(events: Sequence[ExecutionEvent]) -> None:
    """Whether these can be all events of one run, however it ended."""
    assert [event.seq for event in events] == [*range(len(events))]
    assert events[0].event_type == "run_start"
    assert events[-1].event_type == "run_end"
    open_: list[str] = []
    for event in events:
        if event.event_type == "node_start":
            open_.append(event.path)
        elif event.event_type in {"node_success", "node_error", "node_cancelled"}:
            assert open_.pop() == event.path
    assert open_ == []


Picture: TypeAlias = Any
"""``(path, [picture, ...])`` for a group that the engine made, else the exception itself."""


def picture(error: BaseException) -> Picture:
    """The shape of a failure tree; exceptions compare by identity."""
    if isinstance(error, FlowFailedError | FlowAbortedError):
        return error.path, [picture(one) for one in error.exceptions]
    return error


def texts(error: BaseException) -> list[str]:
    """The leaves of a failure tree as ``Class: text``."""
    assert isinstance(error, FlowFailedError | FlowAbortedError)
    return [f"{type(leaf).__name__}: {leaf}" for leaf in error.leaves()]


class Passes(trio.abc.Instrument):
    """Counts how often the task that made it is scheduled."""

    def __init__(self) -> None:
        self.count = 0
        self._task = trio.lowlevel.current_task()

    @override
    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


@contextmanager
def counted_passes() -> Iterator[Passes]:
    """Count the scheduler passes of this task."""
    passes = Passes()
    trio.lowlevel.add_instrument(passes)
    try:
        yield passes
    finally:
        trio.lowlevel.remove_instrument(passes)


class Opened:
    """An async context manager that notes in *log* when it is entered and left, and with which error."""

    def __init__(
        self,
        log: list[str],
        name: str = "it",
        *,
        raises: Exception | None = None,
        swallow: bool = False,
    ) -> None:
        self.log, self.name, self.raises, self.swallow = log, name, raises, swallow
        self.errors: list[BaseException | None] = []

    async def __aenter__(self) -> str:
        await trio.lowlevel.checkpoint()
        self.log.append(f"open {self.name}")
        return self.name

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        self.errors.append(error)
        assert kind is (None if error is None else type(error))
        assert tb is (None if error is None else error.__traceback__)
        await trio.lowlevel.checkpoint()
        self.log.append(f"close {self.name}")
        if self.raises is not None:
            raise self.raises
        return self.swallow
