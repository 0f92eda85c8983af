"""What a node may know and ask for while it runs: `current_step()`.

Layer: engine. Rules: made on first request, valid for one visit. What it opens is closed in the task that runs the step.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from random import Random
from typing import Final, TypeVar, TypeVarTuple, final

import trio

from ..errors import NoStepError, ResourceError, StepEndedError
from ..types import Resource, Stream
from ._cleanup import Cleanup
from ._frames import name_of
from ._live import CURRENT, Strand
from ._private import PublicStatus, find_status
from ._trail import Place

__all__ = ["StepContext", "current_step"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class StepContext:
    """One visit, seen from inside. Get it with `current_step()`; it is over when the visit is.

    In the step's own task everything works; in its child tasks everything but `enter` and `on_cleanup`; in a thread
    that it hopped to, `report` and what can be read.

    Attributes:
        serial: the number of the visit in its run, from 1.
    """

    __slots__ = ("_place", "_random", "_strand", "serial")

    def __init__(self, strand: Strand, /) -> None:
        self._strand = strand
        self.serial: Final[int] = strand.steps
        self._place: Place | None = None
        self._random: tuple[int, Random] | None = None

    def _live(self) -> Strand:
        if self._strand.steps != self.serial:
            raise StepEndedError(path=self._place.path if self._place else "this step")
        return self._strand

    def _here(self) -> Place:
        strand = self._live()
        if self._place is None:
            self._place = strand.trail.here()
        return self._place

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._live().run.run_id

    @property
    def path(self) -> str:
        """Where this is, as ``editorial/editing/review#2``."""
        return self._here().path

    @property
    def visit(self) -> int:
        """How often this execution of the flow has come to this step, from 1."""
        return self._here().visit

    @property
    def item(self) -> int | None:
        """In exec of ``each`` the number of the item, of ``batch`` that of the part, from 0; None elsewhere.

        In all steps of a flow that is run per item, it is the number of that item.
        """
        return self._strand.item_of(self._here())

    @property
    def attempt(self) -> int:
        """Which try of exec in this visit, from 1; those that a hedge makes beside each other are counted, too."""
        return self._live().attempt

    @property
    def caught(self) -> BaseException | None:
        """The error that a ``.catch`` routed here; None if the step was reached by an exit."""
        strand = self._live()
        return strand.trouble.caught if strand.trouble.caught_at == self.serial else None

    @property
    def deadline(self) -> float:
        """When the time of the innermost limit runs out, on Trio's clock; ``inf`` without any."""
        self._live()
        if _in_thread():
            return trio.from_thread.run_sync(trio.current_effective_deadline)
        return trio.current_effective_deadline()

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this visit (or item) and differs between visits, items and runs."""
        return f"{self.run_id}/{_ENTRY.sub('', self.path)}"

    @property
    def random(self) -> Random:
        """Dice of this attempt's own, derived from the run's seed and the path: no other step disturbs its draws."""
        strand, place = self._live(), self._here()
        if self._random is None or self._random[0] != strand.attempt:
            item = "" if place.item is None else f"[{place.item}]"
            where = f"{place.prefix}{place.step.name}#{place.visit}{item}"
            dice = Random(f"{strand.run.seed}/{where}@{strand.attempt}")
            self._random = strand.attempt, dice
        return self._random[1]

    def now(self) -> float:
        """The time on Trio's clock, in seconds."""
        return self._live().run.clock()

    def use(self, resource: Resource[Value], /) -> Value:
        """Return what the application put in the engine for *resource*.

        Raises:
            ResourceError: the step does not declare it with ``uses=``.
        """
        strand = self._live()
        step = strand.trail.here().step
        if resource not in step.uses:
            raise ResourceError(
                resource=resource.name,
                step=step.name,
                reason=f"not declared; write uses=({resource.name.upper()},) where the step is made",
            )
        value = strand.run.settings.resources[resource]
        if not isinstance(value, resource.kind):
            raise ResourceError(
                resource=resource.name,
                step=step.name,
                reason=f"is not a {resource.kind.__name__}",
            )
        return value

    def report(self, fraction: float, text: str = "", /) -> None:
        """Say how far the step is, and that it is alive: an ``idle_timeout`` starts anew. Works from threads too.

        Args:
            fraction: 0 to 1.
            text: a few words for people.

        Raises:
            ValueError: *fraction* is not between 0 and 1.
        """
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"report: fraction must be between 0 and 1, not {fraction!r}")
        if _in_thread():
            trio.from_thread.run_sync(self._report, fraction, text)
        else:
            self._report(fraction, text)

    def _report(self, fraction: float, text: str) -> None:
        strand = self._live()
        now = strand.run.clock()
        for scope, seconds in strand.heartbeats:
            scope.deadline = now + seconds
        if strand.run.bus is not None:
            strand.run.bus.progress(self.path, float(fraction), text)

    async def to_thread(
        self,
        fn: Callable[[*PosArgs], Value],
        /,
        *args: *PosArgs,
        abandon_on_cancel: bool = False,
    ) -> Value:
        """Call a blocking function in a thread and wait for it, as ``trio.to_thread.run_sync``. Always a checkpoint.

        At most ``max_threads`` of the engine's calls are made at once (without an engine, as many as Trio's default
        limiter says), the others wait in line. Cancellation waits for the call to end: a thread cannot be stopped.

        Args:
            fn: what to call.
            args: with what; ``functools.partial`` gives keywords.
            abandon_on_cancel: let cancellation leave the thread behind instead, at work on what nobody waits for. That
                is told by events when it happens and when the thread ends at last, by the `CancelReport`, by
                ``engine.statistics()``, and on leaving the engine. Until then it counts among ``max_threads``. Only
                for calls that touch nothing anybody else uses.
        """
        run = self._live().run
        from ._threads import in_thread  # noqa: PLC0415 - 1 ms of import, for who needs it

        return await in_thread(run, lambda: self.path, fn, args, abandon=abandon_on_cancel)

    async def to_process(self, fn: Callable[[*PosArgs], Value], /, *args: *PosArgs) -> Value:
        """Call a function that keeps a core busy in a process of its own, and wait for it. Always a checkpoint.

        At most ``max_processes`` of the engine's calls are made at once, the others wait in line. The process is kept for
        the next call and ends with the engine; without an engine it is made for this call. Cancellation kills it.

        Pickle copies the function (by its name: it must stand in a module), the arguments and the result. A program that
        is started as a script needs its ``if __name__ == "__main__":``, since the process imports it. In a simulation
        the function is called in place, on copies, and takes no virtual time; replace the step with ``Scripted`` to
        have it take some.

        Raises:
            ExtraMissingError: ``pip install "agentflow_trio[cpu]"`` was not done.
            NotPicklableError: something cannot be passed between processes.
            WorkerDiedError: the process died.
        """
        from ._processes import in_process  # noqa: PLC0415 - as above

        return await in_process(self._live().run, fn, args)

    async def emit(self, stream: Stream[Value], chunk: Value, /) -> None:
        """Pass *chunk* to everybody who reads *stream* from the run's handle; waits for slow readers. Always a checkpoint.

        Without a reader the chunk is dropped.

        Raises:
            TypeError: the chunk is not of the stream's kind.
        """
        strand = self._live()
        if not isinstance(chunk, stream.kind):
            raise TypeError(
                f"stream {stream.name!r} carries {stream.kind.__name__}, not {type(chunk).__name__}"
            )
        reach = strand.run.reach
        if reach is not None and reach.streams is not None:
            await reach.streams.put(stream, chunk)
        await trio.lowlevel.checkpoint()

    async def enter(
        self,
        resource: AbstractAsyncContextManager[Value, bool | None]
        | AbstractContextManager[Value, bool | None],
        /,
    ) -> Value:
        """Enter a context manager for the rest of the phase; it is left however the phase ends.

        Entered in ``prep`` it stays for the whole visit, in ``exec`` for that attempt, in ``post`` for post. Left last
        in first out, in this task, shielded from cancellation for the run's ``cleanup_grace``; it learns of the error
        but cannot swallow it. A checkpoint if entering is one.

        Raises:
            NoStepError: called in a child task, or *resource* keeps a nursery or cancel scope open, which only a
                block in the node's own code can close in order: use ``async with`` there.
        """
        strand = self._owner("enter")
        find, task = find_status(), strand.task
        around = find(task)
        if isinstance(resource, AbstractAsyncContextManager):
            value = await resource.__aenter__()
            leave: Callable[[BaseException | None], Awaitable[object]] = functools.partial(
                _leave_async, resource
            )
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            value = resource.__enter__()
            leave = functools.partial(_leave, resource)
        if find(task) is not around and find is not PublicStatus:
            await leave(None)
            raise NoStepError(reason=_KEEPS_SCOPE.format(type(resource).__name__))
        strand.open(Cleanup(strand.phase, type(resource).__name__, leave))
        return value

    def on_cleanup(
        self, fn: Callable[[*PosArgs], Awaitable[object]], /, *args: *PosArgs
    ) -> None:
        """Have ``await fn(*args)`` called when the phase ends, however it ends; order and grace as for `enter`.

        Raises:
            NoStepError: called in a child task.
        """

        async def call(_: BaseException | None) -> object:
            return await fn(*args)

        strand = self._owner("on_cleanup")
        strand.open(Cleanup(strand.phase, name_of(fn), call))

    def _owner(self, what: str) -> Strand:
        strand = self._live()
        if _in_thread() or trio.lowlevel.current_task() is not strand.task:
            raise NoStepError(
                reason=f"{what}() works in the step's own task only; use 'async with' in this one"
            )
        if strand.phase == "cleanup":
            raise NoStepError(
                reason=f"{what}() does not work in a cleanup, which is the end of the phase"
            )
        return strand


async def _leave_async(
    resource: AbstractAsyncContextManager[object, bool | None], error: BaseException | None
) -> None:
    await resource.__aexit__(
        None if error is None else type(error),
        error,
        None if error is None else error.__traceback__,
    )


async def _leave(  # noqa: ASYNC124 - awaited like its async sister
    resource: AbstractContextManager[object, bool | None], error: BaseException | None
) -> None:
    resource.__exit__(
        None if error is None else type(error),
        error,
        None if error is None else error.__traceback__,
    )


_ENTRY: Final = re.compile(r"@\d+(?=/)")
"""What the path says of how often a flow around was tried."""

_KEEPS_SCOPE = (
    "enter() cannot keep {} open, for it holds a nursery or cancel scope, and those belong to a block; "
    "use 'async with' in exec, or lend it to the step as a Resource"
)


def current_step() -> StepContext:
    """The visit that is going on, for the node that calls this. Not a checkpoint.

    Works in a node's phases, in tasks they wait for, and in threads they hop to.

    Raises:
        NoStepError: no step is running here.
    """
    strand = CURRENT.get()
    if strand is None or strand.steps <= 0 or not strand.contains_caller():
        raise NoStepError
    context = strand.context
    if context is None or context.serial != strand.steps:
        context = strand.context = StepContext(strand)
    return context


def _in_thread() -> bool:
    return not trio.lowlevel.in_trio_task()
