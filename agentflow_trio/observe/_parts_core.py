"""How many items each part of a batch had: events say how many are done so far.

Layer: observe. Pure. Rule: what is remembered of a visit goes with its end, and all of a run with the run's.
"""

from __future__ import annotations

from typing import final

from ..events import (
    AttemptFailed,
    BatchDone,
    ExecutionEvent,
    NodeCancelled,
    NodeFailed,
    NodeSucceeded,
    RunEnded,
)

__all__ = ["PartSizes"]


@final
class PartSizes:
    """Items done so far, of visits that go on."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done: dict[str, dict[str, int]] = {}

    def done(self, event: BatchDone) -> int:
        """How many items the part had that ended here."""
        visit = event.path.rpartition("[")[0]
        seen = self._done.setdefault(event.run_id, {})
        before = seen.get(visit, 0)
        seen[visit] = event.done
        return event.done - before

    def forget(self, event: ExecutionEvent) -> None:
        """Take note of what ends a visit, or makes it begin its items again."""
        if not self._done:
            return
        match event:
            case NodeSucceeded() | NodeFailed() | NodeCancelled() | AttemptFailed():
                self._done.get(event.run_id, {}).pop(event.path, None)
            case RunEnded():
                self._done.pop(event.run_id, None)
            case _:
                pass
