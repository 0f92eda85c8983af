"""What an observer can do, found out once for an engine: isinstance of a Protocol takes 4 us.

Layer: engine. Loaded with the engine, so it knows no kind of event.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias, final

import attrs

from ..ports import Observer, SelectiveObserver, StepScope, VisitLedger, Where

if TYPE_CHECKING:
    from ..events import ExecutionEvent

__all__ = ["Line", "Seat", "seat_of"]

Line: TypeAlias = tuple[str, str, str | None, float]
"""A `VisitRecord` as a plain tuple, which takes a tenth of the time to make."""


@final
@attrs.frozen(eq=False, repr=False, kw_only=True)
class Seat:
    """An observer of an engine.

    Attributes:
        name: what reports call it.
        observe: tells it.
        wants: the kinds it is told of; None: all.
        ledger: where it has visits written down that ended well; None: it is told by events.
        settle: has it read its ledger.
        around: asks it what is to surround a stretch of the run; None: nothing.
    """

    name: str
    observe: Callable[[ExecutionEvent], object]
    wants: frozenset[type[ExecutionEvent]] | None = None
    ledger: list[Line] | None = None
    settle: Callable[[], object] | None = None
    around: Callable[[Where], AbstractContextManager[object]] | None = None


def seat_of(observer: Observer) -> Seat:
    """The seat of *observer*."""
    seat = Seat(
        name=observer.name,
        observe=observer.observe,
        wants=frozenset(observer.wants) if isinstance(observer, SelectiveObserver) else None,
        around=observer.around if isinstance(observer, StepScope) else None,
    )
    if isinstance(observer, VisitLedger):
        return attrs.evolve(seat, ledger=observer.ledger, settle=observer.settle)
    return seat
