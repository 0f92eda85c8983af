"""How exec is tried: behind guards, in limited time, and again after it failed.

Layer: engine. ``retry(hedge(guards(attempt_timeout(exec))))``, outermost first. Loaded when a step is made that needs it.
Rules: what an attempt opened is closed, and its guards are left, before anything else happens; a failed attempt leaves
nothing behind but events; cancellation is never tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, final

import attrs

from ..errors import RejectedError
from ..robustness import FaultPlan, Guard, RetryPolicy, Trial
from ._failures import must_end_all, note, pass_notes
from ._limits import Limit, bounded, conclude_in
from ._live import Strand

if TYPE_CHECKING:
    from ..robustness import Hedge, Passage
    from ._hedging import Logs

__all__ = ["Trying"]

Value = TypeVar("Value")


@final
@attrs.frozen(eq=False, repr=False, kw_only=True)
class Trying:
    """What is around exec, decided once for a step, or for the items of one.

    Attributes:
        retry: when to try again; None: never.
        hedge: when to try again while others go on; None: never.
        guards: what each attempt enters, outermost first.
        attempt_timeout: seconds for exec in each attempt, once the guards have let it in.
    """

    retry: RetryPolicy | None = None
    hedge: Hedge | None = None
    guards: tuple[Guard, ...] = ()
    attempt_timeout: float | None = None
    _passage: Passage | None = attrs.field(
        init=False,
        default=attrs.Factory(lambda trying: _way_through(trying.guards), takes_self=True),
    )

    async def run(
        self,
        strand: Strand,
        name: str,
        work: Callable[[Strand], Awaitable[Value]],
        *,
        once: str = "",
    ) -> Value:
        """Do *work* for *strand* or, beside others, for a strand of its own, as often as it takes; *once* says why it cannot be done again, if it cannot.

        Raises:
            Exception: the last that *work* or a guard raised.
        """
        strand.attempt = 1
        if strand.faults is not None and (self.guards or self.hedge is not None):
            work = self._faulty(strand.faults, work)
        if self.retry is None and self.hedge is None:
            return await self._attempt(strand, work)
        if self.retry is None:
            return await self._round(strand, work)
        begun = strand.run.clock()
        Trial.begin(self.retry, begun)
        try:
            return await self._round(strand, work)
        except Exception as error:
            if must_end_all(error):
                raise
            if once:
                note(error, f"not tried again: {once}")
                raise
            failed = error
        # not in the handler: whatever is raised while it waits would have the error as its context
        try:
            return await self._again(strand, name, self.retry, work, begun, failed)
        finally:
            del failed  # or it would be kept alive by the frame in its own traceback

    def logs(self, strand: Strand) -> Logs | None:
        """Where attempts beside each other log what is inside the visit of *strand*; None without any."""
        if self.hedge is None:
            return None
        from ._hedging import Logs  # noqa: PLC0415 - see below

        return Logs(strand)

    def _faulty(
        self, faults: FaultPlan, work: Callable[[Strand], Awaitable[Value]]
    ) -> Callable[[Strand], Awaitable[Value]]:
        """*work* as a call behind the guards, and behind the hedge, of which each attempt is one."""
        names = [guard.name for guard in self.guards]
        if self.hedge is not None:
            names.append(self.hedge.name)
        return lambda strand: faults.call(lambda: names, partial(work, strand))

    async def _again(
        self,
        strand: Strand,
        name: str,
        retry: RetryPolicy,
        work: Callable[[Strand], Awaitable[Value]],
        begun: float,
        error: Exception,
    ) -> Value:
        """Go on after the first attempt failed with *error*."""
        trial, trouble = Trial.alone(name, retry, begun), strand.trouble
        body_error: Exception | None = None
        failure: Exception | None = None
        try:
            while True:
                if not isinstance(error, RejectedError):
                    body_error = error
                elif body_error is not None:
                    error.__cause__ = body_error
                owed, failure = trouble.owed, _with_owed(trouble.owed, error)
                # attempts of a hedge have numbers, too
                last = None if self.hedge is None else strand.attempt
                again = None if failure is None else trial.failed(failure, last)
                if again is None or failure is None:
                    pass_notes(failure, error)
                    raise error
                trouble.owed, trouble.marked = (), None
                if not await trial.pause(again, failure):
                    trouble.owed = owed
                    pass_notes(failure, error)
                    raise error
                strand.attempt = again.attempt if last is None else last + 1
                try:
                    result = await self._round(strand, work)
                except Exception as another:
                    if must_end_all(another):
                        raise
                    error = another
                else:
                    trial.succeeded()
                    return result
        finally:
            # or each would be kept alive by the frame in its own traceback
            del error, body_error, failure

    # not async: a coroutine around another would cost each attempt of a retry 0.1 us
    def _round(
        self, strand: Strand, work: Callable[[Strand], Awaitable[Value]]
    ) -> Awaitable[Value]:
        """One of several attempts, or several of them beside each other."""
        if self.hedge is None:
            return self._surrounded(strand, work)
        from ._hedging import hedged  # noqa: PLC0415 - most steps have none

        return hedged(strand, self.hedge, lambda own: self._surrounded(own, work))

    async def _surrounded(
        self, strand: Strand, work: Callable[[Strand], Awaitable[Value]]
    ) -> Value:
        """One of several attempts, with what observers put around it."""
        scopes = strand.scopes
        if scopes is None:
            return await self._attempt(strand, work)
        scopes.enter(strand, "attempt")
        try:
            result = await self._attempt(strand, work)
        except BaseException as error:
            scopes.leave(strand, error)
            raise
        scopes.leave(strand, None)
        return result

    async def _attempt(
        self, strand: Strand, work: Callable[[Strand], Awaitable[Value]]
    ) -> Value:
        if self._passage is not None:
            async with self._passage:
                return await self._in_time(strand, work)
        for guard in self.guards:  # the only one
            async with guard:
                return await self._in_time(strand, work)
        return await self._in_time(strand, work)

    async def _in_time(
        self, strand: Strand, work: Callable[[Strand], Awaitable[Value]]
    ) -> Value:
        if self.attempt_timeout is None:
            return await work(strand)
        place = strand.trail.here()
        account = None if place.step.deep else place.account
        limit = Limit(
            f"attempt_timeout of {place.path}", self.attempt_timeout, place.path, account
        )
        return await bounded(strand, limit, partial(work, strand), conclude_in(strand))


def _way_through(guards: tuple[Guard, ...]) -> Passage | None:
    """The way through *guards*, if they are several."""
    if len(guards) < 2:  # noqa: PLR2004 - one is entered as it is
        return None
    from ..robustness import passage_of  # noqa: PLC0415 - others need no pipelines

    return passage_of(guards)


def _with_owed(
    marked: Sequence[tuple[BaseException, object]], error: Exception
) -> Exception | None:
    """*error* and what else the attempt raised while it closed things; None if that ends everything."""
    owed = [one for one, _ in marked]
    plain = [one for one in owed if isinstance(one, Exception)]
    if len(plain) < len(owed):
        return None
    return ExceptionGroup("", [error, *plain]) if plain else error
