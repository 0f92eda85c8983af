"""Tasks that a strand waits for: the arms of a parallel step or a race, and the workers of each and batch.

Layer: engine. Rules: when it is over, all of them have ended; whom the crowd itself cut off has not failed; all that
failed is in one group, in declared order, whoever was first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import trio

from ..errors import Failure, members_of
from ._failures import cancelled_in, in_step, must_end_all, what_failed, without_cancelled
from ._live import Strand
from ._trail import Place

__all__ = ["Crowd"]


class _Member(NamedTuple):
    """What one of them raised besides cancellation, and where it arose; no mark for a group that knows for itself.

    ``late``: while it was being cancelled.
    """

    number: int
    error: BaseException
    mark: Failure | None
    late: bool


@final
class Crowd:
    """The tasks of one visit.

    Attributes:
        strand: who waits for them.
        place: the visit.
        race: one that ends well is enough, and failures do not end the others.
        flows: each of them runs a flow, whose failures stay together in a group of its own.
        outside: what came from outside while they went on, if anything: cancellation, or a KeyboardInterrupt.
        stopped: one of them was drained, so that there is no result.
        expired: limits of theirs that had run out when all was cancelled from outside.
        left_out: those that were cancelled alone, by number, and the errors that stand for them.
    """

    __slots__ = (
        "_cut",
        "_ending",
        "_members",
        "_scope",
        "expired",
        "flows",
        "left_out",
        "outside",
        "place",
        "race",
        "stopped",
        "strand",
    )

    def __init__(
        self, strand: Strand, place: Place, *, race: bool = False, flows: bool = False
    ) -> None:
        self.strand = strand
        self.race = race
        self.flows = flows
        self.place = place
        self.outside: BaseException | None = None
        self.expired: tuple[tuple[float, str], ...] = ()
        self.stopped = False
        self.left_out: dict[int, Exception] | None = None
        self._members: list[_Member] = []
        self._scope: trio.CancelScope  # from `run` on
        self._ending = False
        self._cut = False

    @property
    def broken(self) -> bool:
        """Whether it did not simply come to its end."""
        return bool(self._members) or self.outside is not None

    async def run(self, start: Callable[[trio.Nursery], object]) -> None:
        """Let *start* start them, and wait until all have ended."""
        self.strand.wait_for_others()
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                start(nursery)
        # said by `conclude`, together with what failed
        except BaseException as error:  # noqa: ASYNC103, BLE001
            self.outside = error
        if self.left_out:
            self.strand.run.suppress(self.left_out[number] for number in sorted(self.left_out))
        if self.outside is None and self._ending:
            self.strand.run.forget_cuts(self.place.path)
            self.strand.calm_down()

    async def end(self) -> None:
        """Cancel all that go on. Always a checkpoint, shielded.

        Whoever can end at this very moment does: several may fail at once, and of several that end well in a race the
        first declared wins. (Cancelled first, a sleep that is over at the same moment would count as cancelled.)
        """
        self._ending = True
        await trio.lowlevel.cancel_shielded_checkpoint()
        self.strand.begin_grace()
        self._scope.cancel()

    def note(
        self, number: int, error: BaseException, mark: Failure | None, *, late: bool = False
    ) -> BaseException | None:
        """Keep what the one of that *number* raised, and return what it is to raise in its task, if anything.

        A group that the engine made for it is kept by its members, but for that of a flow. Of all that are cancelled only the first raises it,
        which tells Trio as much: 10,000 in a group take half a second to take apart.
        """
        members = members_of(error) if mark is None and not self.flows else None
        for one, its_mark in members or [(error, mark)]:
            failure = without_cancelled(one)
            if failure is not None:
                self._members.append(_Member(number, failure, its_mark, late))
        cancelled = cancelled_in(error)
        if cancelled is None or self._cut:
            return None
        self._cut = True
        return cancelled

    def leave_out(self, number: int, error: Exception) -> None:
        """The one of that *number* was cancelled alone, and the others go on without it."""
        self.left_out = {**(self.left_out or {}), number: error}

    def suppress(self) -> None:
        """Swallow what failed, unless nothing may go on after it: it is told by the result, and `conclude` forgets it.

        If all was cancelled from outside, what failed while it unwound has not been decided, and is kept.
        """
        if any(must_end_all(member.error) for member in self._members):
            return
        cut = self.outside is not None
        errors = [member.error for member in self._in_order() if not (cut and member.late)]
        self.strand.run.suppress(error for error in errors if isinstance(error, Exception))
        self._members = [member for member in self._members if cut and member.late]

    def conclude(self) -> None:
        """Raise all that failed and what came from outside, if anything did."""
        members = [(member.error, member.mark) for member in self._in_order()]
        outside = self.outside
        self._members, self.outside = [], None
        if outside is not None:
            self.strand.trouble.expired += self.expired
            here = self.strand.failure("exec")
            told = (what_failed(outside), cancelled_in(outside))
            members += [(error, here) for error in told if error is not None]
        if not members:
            return
        try:
            if len(members) == 1 and not isinstance(members[0][0], Exception):
                raise members[0][0]
            raise in_step(self.strand, self.place, members) from None
        finally:
            # or each would be kept alive by the frame in its own traceback
            del members, outside

    def _in_order(self) -> list[_Member]:
        return sorted(self._members, key=lambda member: member.number)
