"""Attempts of exec beside each other: what a step does behind its ``hedge=``.

Layer: engine. Loaded when a step is made that has one. Rules: each attempt is a task with a strand of its own, in which all
is as it would be for a single one, and what it opened is closed before it ends; no two attempts of a visit have one number,
through all rounds of a retry; what an attempt raised is raised by the visit or is among what was suppressed.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, NoReturn, TypeVar, final

import trio

from ..errors import Failure
from ..robustness import Dice
from ..types import Phase
from ._drain import has_stopped, stop_here
from ._failures import (
    cancelled_in,
    mark_once,
    must_end_all,
    pass_notes,
    without_cancelled,
)
from ._live import CURRENT, Strand
from ._trail import Place, Trail

if TYPE_CHECKING:
    from ..robustness import Hedge

__all__ = ["ATTEMPT", "Logs", "hedged"]

Value = TypeVar("Value")


async def hedged(
    strand: Strand, hedge: Hedge, work: Callable[[Strand], Awaitable[Value]]
) -> Value:
    """Do *work* as often at once as *hedge* says, each time with a strand of its own; return what the winner gave.

    Raises:
        BaseException: what the hedge raises, together with what else was not decided when it was cut off.
    """
    beside = _Beside(strand, work)
    strand.wait_for_others()
    try:
        number, result = await hedge.attempts_of_step(beside.attempt, strand.attempt - 1)
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, outside the handler
        failure = error
    else:
        beside.won()
        strand.attempt = number
        return result
    try:
        await beside.failed(failure)
    finally:
        # or it would be kept alive by the frame in its own traceback
        del failure


class _Lost(NamedTuple):
    """An attempt that raised something besides cancellation.

    Attributes:
        number: which of the visit.
        told: what the hedge was told of it.
        error: what it raised.
        mark: where that arose; None for a group that the engine made.
        owed: what else it raised, while it closed what it had opened.
        late: while it was being cancelled, so that it decided nothing.
    """

    number: int
    told: BaseException
    error: BaseException
    mark: Failure | None
    owed: tuple[tuple[BaseException, Failure | None], ...]
    phase: Phase
    late: bool

    def is_raised(self, error: BaseException, *, cut: bool) -> bool:
        """Whether the visit raises it, given what the hedge raised, and whether all was *cut* off before that was decided."""
        return self.told is error or (self.late and cut) or _ends_all(self.error)

    @property
    def all(self) -> tuple[tuple[BaseException, Failure | None], ...]:
        return (self.error, self.mark), *self.owed


@final
class _EndsAll(BaseException):
    """Passes through the hedge in place of what nothing may go on after, be it an Exception, or when all have stopped."""


@final
class _Beside(Generic[Value]):
    """The attempts that a hedge makes of one visit or item, until one ends well: a round of a retry."""

    __slots__ = (
        "_all_stopped",
        "_cut",
        "_expired",
        "_going",
        "_lost",
        "_place",
        "_strand",
        "_work",
    )

    def __init__(self, strand: Strand, work: Callable[[Strand], Awaitable[Value]]) -> None:
        self._strand = strand
        self._work = work
        self._place = strand.trail.here()
        self._going = 0
        self._all_stopped = trio.Event()
        self._lost: list[_Lost] = []
        self._cut: BaseException | None = None  # what one that was cut off has raised
        self._expired: tuple[tuple[float, str], ...] = ()

    async def attempt(self, number: int) -> tuple[int, Value]:
        """Make the visit's attempt of that *number*; return the number, and what it gave."""
        strand = self._begin(number)
        CURRENT.set(strand)
        self._going += 1
        try:
            return number, await self._work(strand)
        # kept for whoever waits for all of them
        except BaseException as error:  # noqa: ASYNC103, BLE001
            if not has_stopped(strand, error):
                self._raise(number, strand, error)
        finally:
            CURRENT.set(self._strand)  # whatever the hedge tells of it is told of the visit
            strand.steps = -1
            strand.forget()
            self._going -= 1
            if not self._going:
                self._all_stopped.set()
        # it was drained at a boundary inside, and others may still come to their ends
        await self._all_stopped.wait()
        raise _EndsAll

    def _raise(self, number: int, strand: Strand, error: BaseException) -> NoReturn:
        told = self._note(number, strand, error)
        try:
            if told is error:
                raise told
            raise told from None
        finally:
            # or each would be kept alive by the frame in its own traceback
            del told, error

    def _begin(self, number: int) -> Strand:
        """A strand that knows what the visit's knows."""
        around, place = self._strand, self._place
        trail = Trail(around.run.plan)
        trail.at, trail.item = place, place.item
        strand = Strand(around.run, around, trail)
        strand.steps, strand.phase, strand.started = 1, "exec", around.started
        strand.attempt = number
        around.attempt = max(around.attempt, number)
        if around.trouble.caught_at == around.steps:
            strand.trouble.caught, strand.trouble.caught_at = around.trouble.caught, 1
        if number > 1:  # the first has the dice that it would have without a hedge
            dice = Dice(f"{around.where(place)}@{number}")
            strand.trouble.dealt = strand.steps, place.item, dice
        return strand

    def _note(self, number: int, strand: Strand, error: BaseException) -> BaseException:
        """Keep what an attempt raised, unless that is but cancellation; return what the hedge is told."""
        trouble, late = strand.trouble, strand.is_cancelled()
        self._expired += trouble.expired
        failure, owed = without_cancelled(error), trouble.owed
        if failure is not None:
            plain = failure is error is trouble.tree
            mark = None if plain else mark_once(strand, failure, strand.phase)
        elif owed:
            ((failure, mark), *more) = owed
            owed = tuple(more)
        else:
            self._cut = error
            return error
        told = _told(error, [one for one, _ in trouble.owed])
        self._lost.append(_Lost(number, told, failure, mark, owed, strand.phase, late))
        return told

    def won(self) -> None:
        """One has ended well: what others raised is told by the result."""
        self._settle([], outside=False)

    async def failed(self, error: BaseException) -> NoReturn:
        """The hedge raised *error*: raise what the visit is to raise. A checkpoint only if it was drained."""
        cancelled = cancelled_in(error)
        outside = cancelled is not None or self._strand.is_cancelled()
        # that others were cut off says more than what one of them raised meanwhile
        if outside and cancelled is None and not isinstance(error, _EndsAll):
            cancelled = self._cut
        raised = [lost for lost in self._in_order() if lost.is_raised(error, cut=outside)]
        self._settle(raised, outside=outside)
        if outside:
            self._strand.trouble.expired += self._expired
        if isinstance(error, _EndsAll) and not raised:
            await stop_here(self._strand)
        try:
            raise self._outcome(error, cancelled, raised)
        finally:
            # or each would be kept alive by the frame in its own traceback
            del error, cancelled, raised

    def _outcome(
        self, error: BaseException, cancelled: BaseException | None, raised: list[_Lost]
    ) -> BaseException:
        """The one error of all that are to be raised; the others go with it."""
        strand, owed = self._strand, [one for lost in raised for one in lost.all]
        if cancelled is not None:
            error = cancelled
        elif raised:
            first = raised[0]
            pass_notes(first.told, first.error)
            (error, mark), *owed = owed
            strand.phase = first.phase
            if mark is None:
                strand.trouble.tree = error
            else:
                strand.trouble.marked = error, mark
        strand.trouble.owed = (*strand.trouble.owed, *owed)
        return error

    def _settle(self, raised: list[_Lost], *, outside: bool) -> None:
        """Swallow what is not *raised*; whom the hedge itself cut off inside was not cancelled from *outside*."""
        run = self._strand.run
        swallowed = [lost for lost in self._in_order() if lost not in raised]
        errors = [error for lost in swallowed for error, _ in lost.all]
        run.suppress(error for error in errors if isinstance(error, Exception))
        if not outside:
            run.forget_cuts(self._place.path)
        self._lost, self._cut = [], None

    def _in_order(self) -> list[_Lost]:
        return sorted(self._lost, key=lambda lost: lost.number)


@final
class Logs:
    """The logs of attempts beside each other at a step that has steps in it: one after the other, the visit's takes them in."""

    __slots__ = ("_going", "_logs", "_strand")

    def __init__(self, strand: Strand) -> None:
        self._strand = strand
        self._going = 0
        self._logs: list[tuple[int, Trail]] = []

    async def inside(
        self, strand: Strand, here: Place, work: Callable[[], Awaitable[Value]]
    ) -> Value:
        """Do *work*, for which *strand* goes in at *here*, with a log of its own."""
        if not self._going:  # the round before is over
            self.take_in()
        log = strand.trail = Trail(strand.run.plan, here)
        log.at = here
        self._logs.append((here.entry, log))
        self._going += 1
        try:
            return await work()
        finally:
            self._going -= 1
            if strand.limit < math.inf and strand.run.reach is not None:
                strand.run.reach.ended[log] = None

    def take_in(self) -> None:
        """Count in the visit's log what those say that have ended, in the order of attempts."""
        reach = self._strand.run.reach
        for _, log in sorted(self._logs, key=lambda one: one[0]):
            log.fold()  # for its entries stand for other places than the visit's would
            self._strand.trail.absorb(log)
            if reach is not None:
                reach.ended.pop(log, None)
        self._logs = []


ATTEMPT: Final = _Beside[object].attempt.__code__
"""What runs in an attempt's task: whoever looks at the tasks knows one by it, and reads ``strand``."""


def _told(error: BaseException, owed: list[BaseException]) -> BaseException:
    """What the hedge judges: *error* and what is *owed* with it."""
    if any(map(_ends_all, (error, *owed))):
        return _EndsAll()
    return BaseExceptionGroup("", [error, *owed]) if owed else error


def _ends_all(error: BaseException) -> bool:
    """Whether nothing may go on after *error*, apart from cancellation."""
    failure = without_cancelled(error)
    return failure is not None and must_end_all(failure)
