"""Telling observers: one event after the other, each of them at once, and what becomes of one that fails.

Layer: engine. Rules: telling is synchronous and never raises, but for what must end the program. An observer that raises
or exceeds its budget is switched off, for as long as these folds last, and reported once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeVarTuple, final

from ..errors import text_of
from ._seats import Line, Seat

if TYPE_CHECKING:
    from ..events import ExecutionEvent

__all__ = ["Folds", "said"]

Args = TypeVarTuple("Args")

_CAUSED: Final = 1_000
"""An observer that reports progress in answer to what it is told, of its own reports too, would go on for ever."""


@final
class _Wanting(dict[type["ExecutionEvent"], tuple[Seat, ...]]):
    """Who is to be told of each kind: found out at its first event, and from then on read, in a third of a call's time."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[type[ExecutionEvent]], tuple[Seat, ...]]) -> None:
        self._find = find

    def __missing__(self, kind: type[ExecutionEvent], /) -> tuple[Seat, ...]:
        who = self[kind] = self._find(kind)
        return who


@final
class Folds:
    """The observers of a run, or of an engine, that have done well until now.

    Attributes:
        note: writes a visit into every ledger; None if nobody keeps one.
        wanting: who is to be told of each kind of event.
    """

    __slots__ = (
        "_budget",
        "_clock",
        "_on",
        "_pending",
        "_report",
        "_spared",
        "_telling",
        "note",
        "wanting",
    )

    def __init__(
        self,
        seats: Iterable[Seat],
        clock: Callable[[], float],
        budget: float,
        *,
        spared: Iterable[type[ExecutionEvent]],
        report: Callable[[str, str, str], object],
    ) -> None:
        """Tell *seats*.

        Args:
            seats: who is told.
            clock: for the budget.
            budget: seconds that one may take for one event.
            spared: the kinds that those with a ledger need not be told of.
            report: called with a path, an observer's name and the reason why it was switched off.
        """
        self._on: tuple[Seat, ...] = tuple(seats)
        self._clock = clock
        self._budget = budget
        self._spared = frozenset(spared)
        self._report = report
        self._pending: deque[ExecutionEvent] = deque()
        self._telling: int = 0  # if it goes on, one more than events were caused by that
        self.wanting: Final[_Wanting] = _Wanting(self._who_wants)
        self.note: Callable[[Line], object] | None = self._writer()

    def is_on(self, seat: Seat) -> bool:
        """Whether that one has done well until now."""
        return seat in self._on

    def _who_wants(self, kind: type[ExecutionEvent]) -> tuple[Seat, ...]:
        spared = kind in self._spared
        return tuple(
            seat
            for seat in self._on
            if (seat.wants is None or kind in seat.wants)
            and not (spared and seat.ledger is not None)
        )

    def tell(self, event: ExecutionEvent, now: float | None = None) -> float | None:
        """Tell everybody who wants it of one event before anybody is told of the next, also of those that observers cause.

        Args:
            event: what is told.
            now: what the clock says, if the caller has just looked.

        Returns:
            What the clock says after that, if anybody has looked: five looks for each visit are saved, 0.1 us each.
        """
        if self._telling:
            self._pending.append(event)
            self._telling += 1
            # to who is told now, and causes it
            if self._telling > _CAUSED and event.event_type != "observer_failed":
                raise RuntimeError(f"it caused {_CAUSED:,} events while it was told of one")
            return None
        self._telling = 1
        clock = self._clock
        try:
            while True:
                for seat in self.wanting[type(event)]:
                    before = clock() if now is None else now
                    reason = None
                    try:
                        seat.observe(event)
                    except Exception as error:  # noqa: BLE001 - whatever an observer raises must not reach the run; it is reported
                        reason = said(error)
                    now = clock()
                    if reason is None and now - before > self._budget:
                        reason = self._too_long(now - before, "one event")
                    if reason is not None:
                        self.switch_off(seat, event.path, reason)
                if not self._pending:
                    return now
                event = self._pending.popleft()
        finally:
            self._telling = 0

    def _too_long(self, took: float, what: str) -> str:
        return f"took {took:.3g} s for {what}; the budget is {self._budget:g} s"

    def attempt(
        self,
        seat: Seat,
        path: str,
        what: str,
        act: Callable[[*Args], object],
        *args: *Args,
    ) -> bool:
        """Have *seat* do something that is no telling, under the same rules; return whether it did not raise."""
        before = self._clock()
        try:
            act(*args)
        except Exception as error:  # noqa: BLE001 - as above
            self.switch_off(seat, path, said(error))
            return False
        took = self._clock() - before
        if took > self._budget:
            self.switch_off(seat, path, self._too_long(took, what))
        return True

    def switch_off(self, seat: Seat, path: str, reason: str) -> None:
        """Tell *seat* nothing more, and say so to the others; once only."""
        if seat not in self._on:
            return
        self._on = tuple(other for other in self._on if other is not seat)
        self.wanting.clear()
        self.note = self._writer()
        self._report(path, seat.name, reason)

    # ---------------------------------------------------------------- ledgers

    def _writer(self) -> Callable[[Line], object] | None:
        match [seat.ledger for seat in self._on if seat.ledger is not None]:
            case []:
                return None
            case [ledger]:
                return ledger.append
            case ledgers:

                def write(line: Line) -> None:
                    for ledger in ledgers:
                        ledger.append(line)

                return write

    def settle(self, path: str, *, above: int = 0) -> None:
        """Have all ledgers read that are longer than *above*; none is longer after that, whatever its reader did."""
        for seat in self._on:
            if seat.settle is not None and seat.ledger is not None and len(seat.ledger) > above:
                self.attempt(seat, path, "its ledger", seat.settle)
                seat.ledger.clear()


def said(error: Exception) -> str:
    """An error as reports of observers tell it."""
    return f"{type(error).__name__}: {text_of(error)}"
