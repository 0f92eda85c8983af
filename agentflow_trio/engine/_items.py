"""Exec for every item: `each`, and `batch`, where it gets several at once.

Layer: engine. Rules: as many workers as calls at once, not a task for each item; what post gets is in input order and
does not depend on timing; what failed beyond the tolerance ends the others, and all of it is raised.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, final

import trio

from .._typing import TypeIs
from ..errors import CutOff, Failure, WrongItemsError, WrongOutputsError
from ._attempts import attempt, cleaning_up, closed
from ._cleanup import Cleanup, close_attempt
from ._crowd import Crowd
from ._drain import has_stopped, is_drained, stop_here
from ._failures import combined, mark_once, named, without_cancelled
from ._item_flows import run_item_flow
from ._live import CURRENT, MARK, RunPlan, Strand
from ._outputs import outputs_of
from ._plan import Call, Items, ItemValue, PlanStep
from ._private import find_status
from ._reach import Part, Reach
from ._sources import Pulled, closing, is_many, is_stream, iterate, parts
from ._tally import FailedPart, Tally
from ._trail import Place, Trail

__all__ = ["WORK", "run_items"]

_AFTER_ALL: Final = sys.maxsize
"""The number, among parts, of a source that failed."""

_NOTHING: Final = object()


async def run_items(
    strand: Strand,
    step: PlanStep,
    items: Items,
    source: object,
    place: Place,
    run_plan: RunPlan,
) -> object:
    """Run exec (or a flow, with *run_plan*) for all items of *source*; return what post gets."""
    _close_in_the_end(strand, place, source)

    async def work() -> object:
        return await _Shift(strand, step, items, source, place, run_plan).run()

    return await cleaning_up(strand, work)


def _close_in_the_end(strand: Strand, place: Place, source: object) -> None:
    close = closing(source)
    if close is not None:
        strand.open(Cleanup("exec", f"the source of {place.path}", close))


async def _accounted(strand: Strand, work: Call, job: ItemValue) -> ItemValue:
    """Do *work* for *job*, and account for the time."""
    try:
        return await work(job)
    finally:
        strand.spend(strand.trail.here(), strand.run.clock() - strand.started)


@final
class _Shift:
    """One visit's work on its items."""

    def __init__(
        self,
        strand: Strand,
        step: PlanStep,
        items: Items,
        source: object,
        place: Place,
        run_plan: RunPlan,
    ) -> None:
        self._crowd = Crowd(strand, place, flows=items.inner is not None)
        self._step = step
        self._inner, self._run_plan = items.inner, run_plan
        self._size = items.size
        self._trying = items.trying
        self._place = place
        length = len(source) if _is_sequence(source) else None
        if length is None and items.start is None:
            raise self._wrong(source, "a Sequence; only with into=fold(...) may it be less")
        self._known = length is not None
        self._workers = items.concurrent
        if length is not None:
            self._workers = min(items.concurrent, -(-length // (items.size or 1)))
        self._outputs = outputs_of(items, length)
        self._tally = Tally(items.tolerated, length)
        iterator = source if length is not None else iterate(source)
        if iterator is not source:  # made here, so nobody else can close it
            _close_in_the_end(strand, place, iterator)
        self._stream = Pulled(iterator, items) if is_stream(iterator) else None
        if self._stream is None and not is_many(iterator):
            raise self._wrong(source, "an iterable or asynchronous iterable")
        self._sync = parts(iterator, items.size) if is_many(iterator) else iter(())

    def _wrong(self, source: object, expected: str) -> WrongItemsError:
        returned = type(source).__name__
        return WrongItemsError(step=self._step.name, returned=returned, expected=expected)

    async def run(self) -> object:
        """Let the workers do it."""
        crowd, tally = self._crowd, self._tally
        strand, begun = crowd.strand, crowd.strand.run.clock()
        await crowd.run(self._hire)
        if strand.spent and self._inner is None:  # that is the items' time, not the step's
            strand.spend(self._place, begun - strand.run.clock())
        if not crowd.broken and not crowd.stopped and tally.end():
            self._give_up()
        errors = (failed.error for failed in sorted(tally.kept, key=lambda one: one.number))
        strand.run.suppress(errors)
        crowd.conclude()
        if crowd.stopped:
            await stop_here(strand)
        return self._outputs.result()

    def _hire(self, nursery: trio.Nursery) -> None:
        for number in range(self._workers):
            nursery.start_soon(self.work, name=f"{self._step.name} worker {number}")

    async def work(self) -> None:
        """Work on one part after the other until there is none, or somebody failed."""
        parent = self._crowd.strand
        trail = Trail(parent.run.plan)
        trail.at = self._place
        strand = Strand(parent.run, parent, trail)
        strand.phase = "exec"
        CURRENT.set(strand)
        reach = strand.run.reach
        try:
            if reach is not None and (reach.streams is not None or self._stream is not None):
                await self._work_apart(strand, reach)
            else:
                while await self._go_on(strand):
                    pass
        finally:
            strand.steps = -1
            strand.forget()

    async def _work_apart(self, strand: Strand, reach: Reach) -> None:
        """The same, so that the item in hand can be cancelled alone, and waiting for another one be ended by a drain."""
        part = reach.parts[strand] = Part(strand)
        try:
            more = True
            while more:
                part.scope, failure = trio.CancelScope(), None
                try:
                    with part.scope:
                        more = await self._go_on(strand, part)
                # what failed while it unwound, or that all is cancelled
                except BaseException as error:  # noqa: ASYNC103
                    if not part.scope.cancel_called:
                        raise
                    failure = error
                    part.know(error)
                if part.scope.cancelled_caught or failure is not None:
                    more = await self._cut_short(strand, part, failure)
        finally:
            del reach.parts[strand]
            part.close(None)

    async def _cut_short(
        self, strand: Strand, part: Part, failure: BaseException | None
    ) -> bool:
        """Its scope was cancelled, and *failure* came out of it; return whether the worker goes on."""
        if failure is None and part.job is _NOTHING:
            part.close(None)  # it had none, or that had ended already
            return not self._stops(strand)
        try:
            if failure is None:
                self._cut_off(strand)
                failure = part.error()
            return await self._failed(strand, part.job, failure)
        finally:
            part.close(failure)
            del failure

    def _stops(self, strand: Strand) -> bool:
        """Whether the run is drained, so that nothing more is taken; at the end of a known number of items there is nothing more."""
        strand.stop = math.inf
        if not is_drained(strand):
            return False
        if self._known and next(self._sync, None) is None:
            return False
        self._take_no_more()
        return True

    def _take_no_more(self) -> None:
        self._crowd.stopped = True
        if self._outputs.window is not None:
            self._outputs.window.open()

    async def _go_on(self, strand: Strand, part: Part | None = None) -> bool:  # noqa: C901, PLR0912, PLR0915 - the hot path: a call costs 0.1 us
        """Work until a part fails and that is tolerated: True; or until there is none: False."""
        task, trail, clock = strand.task, strand.trail, strand.run.clock
        status, patience, mark = find_status()(task), strand.run.settings.patience, MARK
        put = self._outputs.put
        sync, stream, size = self._sync, self._stream, self._size
        window, tally = self._outputs.window, self._tally
        bus, scopes = strand.run.bus, strand.scopes
        work, idle, working = self._work(strand), strand.idle, False
        job: ItemValue = _NOTHING
        try:
            while True:
                # ---- the boundary
                trail.item = None
                strand.steps += 1
                if task.custom_sleep_data is not mark:
                    task.custom_sleep_data = mark
                    idle = 0
                else:
                    idle += 1
                    if idle >= patience:
                        await trio.lowlevel.checkpoint()
                if status.effectively_cancelled:
                    await trio.lowlevel.checkpoint_if_cancelled()
                if window is not None:
                    if window.taken < window.room:  # the coroutine would be 0.15 us
                        window.taken += 1
                    else:
                        await window.enter()
                if strand.steps >= strand.stop and self._stops(strand):
                    return False
                # ---- the next part
                if stream is None:
                    pulled = next(sync, None)
                else:
                    pulled = await stream.pull()
                    if strand.steps >= strand.stop and self._stops(strand):
                        return False
                if pulled is None:
                    return False
                trail.item, job = pulled
                strand.started = clock()
                working = True
                if scopes is not None:
                    scopes.enter(strand, "item")
                output = await work(job)
                if strand.cleanups:
                    await closed(strand, attempt=True)
                # the usual answer is one look away, the call 0.1 us
                if size is not None and (
                    output.__class__ is not list or len(output) != len(job)
                ):
                    _check(self._step.name, job, output)
                working = False
                put(trail.item, output)
                tally.seen += 1 if size is None else len(job)
                if bus is not None:
                    bus.batch_done(trail.here().path, strand.started, *tally.told())
                if scopes is not None:
                    scopes.leave(strand, None)
        except BaseException as error:  # noqa: ASYNC103 - what is not kept there is raised again
            strand.idle = idle
            job = job if working else _NOTHING
            if part is not None and part.scope.cancel_called:
                part.job = job
                raise
            # it shields what it awaits
            return await self._failed(strand, job, error)  # noqa: ASYNC102, ASYNC104

    def _work(self, strand: Strand) -> Call:
        """What does one part, and accounts for the time if somebody wants to know."""
        work = self._attempt(strand)
        if strand.spent and self._inner is None:
            return partial(_accounted, strand, work)
        return work

    def _attempt(self, strand: Strand) -> Call:
        """What does one part, as the node says: again, guarded, in limited time. Nothing of that costs nothing."""
        step, work, trying = self._step, self._call(strand), self._trying
        if strand.faults is None and trying is None:
            return work

        async def once(job: ItemValue) -> ItemValue:
            return await attempt(strand, step, lambda: work(job))

        if trying is None:
            return once

        async def tried(job: ItemValue) -> ItemValue:
            strand.trail.at = self._place._replace(entry=0)
            return await trying.run(strand, step.name, lambda own: go_in(own, job))

        async def go_in(own: Strand, job: ItemValue) -> ItemValue:
            at = strand.trail.at or self._place
            if own is strand:
                strand.trail.at = at._replace(entry=at.entry + 1)
                return await once(job)
            own.trail.at = at._replace(entry=own.attempt)
            call = self._call(own)
            return await attempt(own, step, lambda: call(job))

        return tried

    def _call(self, strand: Strand) -> Call:
        """What makes one call for *strand*: exec, or the flow of an item."""
        if self._inner is None:
            return self._step.exec
        log = self._crowd.strand.trail
        return partial(run_item_flow, strand, log, self._inner, self._run_plan)

    # ---------------------------------------------------------------- what went wrong

    async def _failed(self, strand: Strand, job: ItemValue, error: BaseException) -> bool:
        """Take note of *error*, raised by exec for *job* or, without one, by what is around exec.

        Returns:
            Whether that is tolerated, so that the worker goes on.

        Raises:
            BaseException: cancellation.
        """
        try:
            return await self._judged(strand, job, error)
        finally:
            if strand.scopes is not None:
                strand.scopes.leave_all(strand, error)
            del error  # or it would be kept alive by the frame in its own traceback

    async def _judged(self, strand: Strand, job: ItemValue, error: BaseException) -> bool:
        if isinstance(error, GeneratorExit):  # a closed coroutine cannot wait
            raise error
        self._crowd.expired += strand.trouble.expired
        if has_stopped(strand, error):
            self._cut_off(strand)
            self._take_no_more()
            return False
        error, cleanups = named(self._step, "exec", error), list[BaseException]()
        if strand.cleanups:
            mark_once(strand, error, strand.phase)
            cleanups = await close_attempt(strand, error)
        outcome, mark = combined(strand, strand.phase, error, cleanups)
        strand.phase = "exec"
        try:
            if job is not _NOTHING and self._tolerated(strand, job, outcome, mark):
                return True
            cancelled = await self._note(strand, job, outcome, mark)
            if cancelled is not None:
                raise cancelled from None
            return False
        finally:
            # or each would be kept alive by the frame in its own traceback
            del error, cleanups, outcome

    def _tolerated(
        self, strand: Strand, job: ItemValue, outcome: BaseException, mark: Failure | None
    ) -> bool:
        """Whether the failure of *job* is one that the others need not care about."""
        tally, number = self._tally, strand.trail.item
        if number is None or not isinstance(outcome, Exception) or not tally.tolerates(outcome):
            return False
        many = 1 if self._size is None else len(job)
        if tally.loses(many):
            return False
        tally.keep(FailedPart(number, outcome, mark))
        self._outputs.put_failed(number, many, outcome)
        self._tell(strand, outcome, tolerated=True)
        return True

    async def _note(
        self, strand: Strand, job: ItemValue, outcome: BaseException, mark: Failure | None
    ) -> BaseException | None:
        """Keep what failed and end the others; return cancellation that is to be raised."""
        number = strand.trail.item
        failure, working = without_cancelled(outcome), job is not _NOTHING
        if working and failure is not outcome:
            self._cut_off(strand)
        if failure is not None:
            if working:
                self._tell(strand, failure, tolerated=False)
            self._give_up()
        cancelled = self._crowd.note(_AFTER_ALL if number is None else number, outcome, mark)
        if failure is not None:
            await self._crowd.end()
        return cancelled

    def _give_up(self) -> None:
        """The step has failed. If too many did, those that were tolerated until now are failures like any other."""
        if self._tally.lost:
            for failed in self._tally.kept:
                self._crowd.note(*failed)
            self._tally.kept = []

    def _cut_off(self, strand: Strand) -> None:
        elapsed = strand.run.clock() - strand.started
        cut = CutOff(
            path=strand.trail.here().path, phase="exec", attempt=strand.attempt, elapsed=elapsed
        )
        strand.run.cut(cut)

    def _tell(self, strand: Strand, error: BaseException, *, tolerated: bool) -> None:
        bus, path = strand.run.bus, strand.trail.here().path
        if bus is not None:
            bus.item_failed(path, strand.started, strand.attempt, error, tolerated=tolerated)


WORK: Final = _Shift.work.__code__
"""What runs in a worker's task: whoever looks at the tasks knows one by it, and reads ``strand``."""


def _check(step: str, job: Sequence[object], output: ItemValue) -> None:
    """Whether exec returned one output for each item of *job*."""
    try:  # isinstance(output, Sized) would take 0.3 us
        many: int | None = len(output)
    except TypeError:
        many = None
    if many != len(job):
        returned = type(output).__name__ if many is None else str(many)
        raise WrongOutputsError(step=step, items=len(job), returned=returned)


def _is_sequence(source: object) -> TypeIs[Sequence[Any]]:
    return isinstance(source, Sequence)
