"""What observers put around a run, its visits, items and attempts, in the very task that makes them.

Layer: engine. Rules: entered before anything is told of the stretch, left after everything was, cleanups included, with
the exception that ended it and without a chance to swallow it. Who raises is switched off; what is open of it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from ..ports import Where
from ._folds import Folds
from ._seats import Seat

if TYPE_CHECKING:
    from ._live import Strand
    from ._trail import Place

__all__ = ["Around", "Scopes"]

Around: TypeAlias = Callable[[Where], AbstractContextManager[object]]
_Open: TypeAlias = list[tuple[Seat, AbstractContextManager[object]]]


@final
class Scopes:
    """What is open around the strands of one run, for each of them the innermost last."""

    __slots__ = ("_flow", "_folds", "_open", "_run_id", "_seats")

    def __init__(
        self, seats: Sequence[tuple[Seat, Around]], folds: Folds, run_id: str, flow: str
    ) -> None:
        self._seats = seats
        self._folds = folds
        self._run_id = run_id
        self._flow = flow
        self._open: dict[Strand, list[tuple[str, _Open]]] = {}

    def enter_run(self, strand: Strand) -> None:
        """Begin what surrounds the run. Not a checkpoint, like all of these."""
        self._enter(strand, Where("run", self._run_id, self._flow, self._flow, 1, 1, None))

    def enter(
        self,
        strand: Strand,
        kind: Literal["step", "item", "attempt"],
        place: Place | None = None,
    ) -> None:
        """Begin what surrounds the visit, item or attempt that *strand* begins, at *place* if the caller knows it."""
        if place is None:
            place = strand.trail.here()
        attempt = strand.attempt if kind == "attempt" else 1
        item = strand.item_of(place)
        where = Where(kind, self._run_id, self._flow, place.path, place.visit, attempt, item)
        self._enter(strand, where)

    def _enter(self, strand: Strand, where: Where) -> None:
        entered: _Open = []
        stack, folds, path = self._open.get(strand), self._folds, where.path
        if stack is None:
            stack = self._open[strand] = []
        stack.append((path, entered))
        for seat, around in self._seats:
            if folds.is_on(seat):
                folds.attempt(
                    seat, path, "entering its scope", _begin, seat, around, where, entered
                )

    def leave(self, strand: Strand, error: BaseException | None) -> None:
        """End what is innermost around *strand*."""
        stack = self._open[strand]
        path, entered = stack.pop()
        if not stack:
            del self._open[strand]
        kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
        self._leave(path, entered, kind, error, trace)

    def leave_all(self, strand: Strand, error: BaseException | None) -> None:
        """End all that is around *strand*, if anything is."""
        while strand in self._open:
            self.leave(strand, error)

    def _leave(
        self,
        path: str,
        entered: _Open,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while entered:
            seat, manager = entered.pop()
            try:
                self._folds.attempt(
                    seat, path, "leaving its scope", manager.__exit__, kind, error, trace
                )
            except BaseException:
                self._leave(path, entered, kind, error, trace)
                raise


def _begin(seat: Seat, around: Around, where: Where, entered: _Open) -> None:
    manager = around(where)
    manager.__enter__()
    entered.append((seat, manager))
