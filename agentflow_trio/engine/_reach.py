"""How a run of an engine is reached from outside while it goes on: its strands, and its parts that can be ended alone.

Layer: engine. Rules: strands are looked for when somebody asks, nothing is kept for it; a cancel scope (4 us) have only
the branches of started runs, for nobody else can name them, and the workers of each and batch that somebody may have to wake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar, final

import trio

from ..errors import (
    BranchCancelledError,
    CleanupOverrunError,
    CutOff,
    UnknownBranchError,
    is_tree,
)
from ._failures import leaves
from ._live import CURRENT, LiveRun, Strand
from ._trail import Trail

if TYPE_CHECKING:
    from ._bus import Bus
    from ._streams import Streams

__all__ = ["Ending", "Part", "Reach", "apart", "stop_from_inside"]

Value = TypeVar("Value")


@final
class Reach:
    """What leads into a run of an engine.

    Attributes:
        task: in which it goes on; None before and after.
        state: of the flow, as its last finished step left it; kept while somebody listens.
        leave: ends the run, for the strand that all others have come back to; None until it is drained.
        streams: what its handle reads, if somebody has one.
        parts: those of its branches and workers that can be ended alone.
        ended: the logs of branches that have ended while others go on, if steps are limited.
        scope: around all of it.
        reason: why what goes on in it had it stop, if that did.
    """

    __slots__ = ("ended", "leave", "parts", "reason", "scope", "state", "streams", "task")

    def __init__(self, streams: Streams | None, scope: trio.CancelScope) -> None:
        self.task: trio.lowlevel.Task | None = None
        self.state: object = None
        self.leave: Callable[[], object] | None = None
        self.streams: Streams | None = streams
        self.parts: dict[Strand, Part] = {}
        self.ended: dict[Trail, None] = {}
        self.scope: trio.CancelScope = scope
        self.reason: str | None = None

    def strands(self, run: LiveRun) -> Iterator[Strand]:
        """The strands of *run* that go on, in whatever order."""
        tasks = [] if self.task is None else [self.task]
        while tasks:
            task = tasks.pop()
            strand = _strand_of(task, run)
            first = 0
            if strand is not None:
                first = strand.nurseries
                yield strand
            for nursery in task.child_nurseries[first:]:
                tasks += nursery.child_tasks

    def visits(self, run: LiveRun) -> Mapping[str, int]:
        """Visits per step in all of *run*, wherever it goes on."""
        counts = Counter[str]()
        for trail in (*self.ended, *(strand.trail for strand in self.strands(run))):
            counts.update(trail.visits)
        return counts

    def drain(self, run: LiveRun, leave: Callable[[], object]) -> None:
        """Have every strand of *run* stop at its next boundary; the last one left calls *leave*. Not a checkpoint."""
        self.leave = leave
        run.look_always()
        for strand in self.strands(run):
            strand.stop = 0
        for part in self.parts.values():
            if part.strand.trail.is_idle:
                part.scope.cancel()

    def end(self, path: str, reason: str, now: float) -> Ending:
        """Ask the part at *path* to end. Not a checkpoint.

        Raises:
            UnknownBranchError: none is live there.
        """
        for part in self.parts.values():
            if part.strand.trail.part == path:
                return part.end(path, reason, now)
        live = [part.strand.trail.part for part in self.parts.values()]
        return _unknown(path, [one for one in live if one is not None])


def _strand_of(task: trio.lowlevel.Task, run: LiveRun) -> Strand | None:
    """The strand of *run* whose task this is. A node in it may have begun another run there."""
    strand = task.context.get(CURRENT)
    while strand is not None and (strand.run is not run or strand.task is not task):
        strand = strand.run.outer
    return strand


def _unknown(path: str, live: Sequence[str]) -> NoReturn:
    from difflib import get_close_matches  # noqa: PLC0415 - only for this error

    near = get_close_matches(path, sorted(live)[:1000], n=3, cutoff=0.5)
    raise UnknownBranchError(path=path, near=tuple(near), live=len(live))


# ---------------------------------------------------------------- from inside


def stop_from_inside(reason: str, *, part: bool) -> bool:
    """Have the run stop in which this is called, or the innermost branch or item around; whether an engine has such.

    Not a checkpoint: the next one learns of it.
    """
    strand = CURRENT.get()
    while strand is not None:
        reach = strand.run.reach
        if reach is not None and not part:
            if not reach.scope.cancel_called:
                reach.reason = reason
                reach.scope.cancel()
            return True
        if reach is not None and _ended_part(strand, reach, reason):
            return True
        strand = strand.run.outer
    return False


def _ended_part(strand: Strand | None, reach: Reach, reason: str) -> bool:
    while strand is not None:
        part, path = reach.parts.get(strand), strand.trail.part
        if part is not None and path is not None:
            part.end(path, reason, strand.run.clock())
            return True
        strand = strand.parent
    return False


# ---------------------------------------------------------------- ending one part


@final
class Ending:
    """A part that somebody asked to end.

    Attributes:
        reason: what the first who asked said.
        requested, ended: when; the latter once it has.
        over: set then.
        cut_off: visits that it cut off, outermost first.
        failures: what failed while it unwound.
    """

    __slots__ = ("cut_off", "ended", "failures", "over", "path", "reason", "requested")

    def __init__(self, path: str, reason: str, now: float) -> None:
        self.path: str = path
        self.reason: str = reason
        self.requested: float = now
        self.ended: float = now
        self.over: trio.Event = trio.Event()
        self.cut_off: tuple[CutOff, ...] = ()
        self.failures: tuple[Exception, ...] = ()

    @property
    def overruns(self) -> tuple[CleanupOverrunError, ...]:
        """The cleanups that used up the grace."""
        return tuple(one for one in self.failures if isinstance(one, CleanupOverrunError))


@final
class Part:
    """A branch, or a worker with the item it has in hand.

    Attributes:
        scope: around its work; a worker gets a new one for the next item.
        ending: the request that it end, if there was one.
        job: what a worker had in hand when its scope was left.
    """

    __slots__ = ("ending", "job", "scope", "strand")

    def __init__(self, strand: Strand) -> None:
        self.strand = strand
        self.scope = trio.CancelScope()
        self.ending: Ending | None = None
        self.job: object = None

    def end(self, path: str, reason: str, now: float) -> Ending:
        """Cancel it; the first reason counts."""
        if self.ending is None:
            self.ending = Ending(path, reason, now)
            self.scope.cancel()
        return self.ending

    def error(self) -> BranchCancelledError:
        """What stands for its result after it was cut off."""
        ending = self.ending
        assert ending is not None  # noqa: S101 - nobody else cancels the scope of a part that works
        return BranchCancelledError(path=ending.path, reason=ending.reason)

    def know(self, error: BaseException) -> None:
        """When its scope takes the cancellation out of what the engine made, the rest is a new object."""
        trouble = self.strand.trouble
        if self.scope.cancelled_caught and trouble.tree is not None and is_tree(error):
            trouble.tree = error

    def close(self, error: BaseException | None) -> None:
        """It is over, or the item that was to end is: whoever waits for that may go on."""
        ending, self.ending = self.ending, None
        if ending is None:
            return
        run = self.strand.run
        ending.ended = run.clock()
        if self.scope.cancelled_caught:
            ending.cut_off = run.take_cuts(ending.path)
        ending.failures = tuple(_failures(error))
        ending.over.set()


def _raise_left_out(part: Part, bus: Bus, begun: float) -> NoReturn:
    error = part.error()
    bus.branch_cancelled(error.path, begun, error.reason)
    raise error


def _failures(error: BaseException | None) -> Iterator[Exception]:
    """What failed, in *error*, while a part that was cancelled unwound."""
    if error is None:
        return
    for leaf in leaves(error):
        if isinstance(leaf, Exception) and not isinstance(leaf, BranchCancelledError):
            yield leaf


async def apart(strand: Strand, work: Callable[[], Awaitable[Value]]) -> Value:
    """Do the *work* of a branch so that it can be ended alone. A checkpoint if *work* is one.

    Raises:
        BranchCancelledError: it was.
    """
    reach, bus, begun = strand.run.reach, strand.run.bus, strand.run.clock()
    if reach is None or reach.streams is None or bus is None:
        return await work()
    part, failure = Part(strand), None
    reach.parts[strand] = part
    try:
        with part.scope:
            return await work()
        _raise_left_out(part, bus, begun)
    except BaseException as error:
        failure = error
        part.know(error)
        raise
    finally:
        del reach.parts[strand]
        part.close(failure)
        del failure
