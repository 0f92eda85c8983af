"""How many items each part of a batch had: events say how many are done so far.

Layer: observe. Pure. Rule: what is remembered of a run goes with its end, and is never more than of a thousand visits.
"""

from __future__ import annotations

from typing import Final, final

from ..events import (
    AttemptFailed,
    BatchDone,
    ExecutionEvent,
    NodeCancelled,
    NodeFailed,
    RunEnded,
)

__all__ = ["PartSizes"]

_VISITS: Final = 1_000


@final
class PartSizes:
    """Items done so far in visits that go on, as far as events tell: of a visit that ended well there may be none."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, int]] = {}

    def done(self, event: BatchDone) -> int:
        """How many items the part had that ended here."""
        visit = event.path.rpartition("[")[0]
        visits = self._runs.setdefault(event.run_id, {})
        before = visits.pop(visit, 0)  # and in again at the end, where the latest are
        visits[visit] = event.done
        if len(visits) > _VISITS:
            del visits[next(iter(visits))]
        return event.done - before

    def forget(self, event: ExecutionEvent) -> None:
        """Take note of what ends a visit, or makes it begin its items again."""
        match event:
            case NodeFailed() | NodeCancelled() | AttemptFailed():
                self._runs.get(event.run_id, {}).pop(event.path, None)
            case RunEnded():
                self._runs.pop(event.run_id, None)
            case _:
                pass
