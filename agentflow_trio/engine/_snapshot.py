"""What goes on in an engine at one moment: frozen records, which hold nothing of the runs alive.

Layer: engine. Rule: the tree is the tree of tasks; what is side by side in it goes on at once, in an order that does
not depend on timing: branches as declared, items by number, tasks by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, final

import attrs

from .._typing import override
from ..errors import AbandonedThread
from ..types import Phase

__all__ = [
    "Blocked",
    "Live",
    "RunSnapshot",
    "RunState",
    "Snapshot",
    "TaskSnapshot",
    "VisitSnapshot",
]

RunState: TypeAlias = Literal["starting", "running", "draining", "cancelling", "ended"]
"""``starting``: its task has not begun. ``ended``: seen through its handle only."""


@final
@attrs.frozen(kw_only=True)
class VisitSnapshot:
    """A visit that goes on, or one item of it.

    Attributes:
        path: where it is, as ``editorial/editing/review#2`` or ``digest/embed[17]``.
        phase: what of it goes on; ``flow`` before it has begun.
        age: seconds since the visit began, or for an item since the item did.
        attempt: which try of exec, from 1.
        item: the number of the item (of ``batch``: of the part), from 0; None elsewhere.
        waits_for: what it waits for, in words: ``a thread: parse``, ``3 branches``, ``pool 'db'``, ``Event.wait``; empty for what
            runs just now, which is who asks.
        at: the innermost line of the node's own code, as ``file:line function``; None while none of it runs.
        inside: what goes on in it at once.
    """

    path: str
    phase: Phase
    age: float
    attempt: int = 1
    item: int | None = None
    waits_for: str
    at: str | None = None
    inside: tuple[Live, ...] = ()


@final
@attrs.frozen(kw_only=True)
class TaskSnapshot:
    """A task that a node's own nursery holds, or an idle worker of ``each`` and ``batch``.

    Attributes:
        name: as Trio knows it.
        waits_for, at, inside: as for a visit.
    """

    name: str
    waits_for: str
    at: str | None = None
    inside: tuple[Live, ...] = ()


@final
@attrs.frozen(kw_only=True)
class RunSnapshot:
    """A run that goes on.

    Attributes:
        run_id: its id.
        flow: the flow's name, or the step's that runs alone.
        state: whether it is to end.
        reason: why it is to end, if ``cancel`` was told.
        age: seconds since it began.
        steps: visits begun, those of the branches that go on included.
        inside: the visit that goes on; empty between two visits.
        waits_for: what keeps it between two visits; empty while a visit goes on.
    """

    run_id: str
    flow: str
    state: RunState
    reason: str | None = None
    age: float
    steps: int
    inside: tuple[Live, ...] = ()
    waits_for: str = ""

    def visits(self) -> Iterator[VisitSnapshot]:
        """Every visit in it, outermost first, those of nested runs included."""
        return _visits(self.inside)

    def nested(self) -> Iterator[RunSnapshot]:
        """Every run that one of its nodes waits for, and those inside of them."""
        return _nested(self.inside)

    @override
    def __str__(self) -> str:
        return self.render()

    def render(self, *, most: int = 10) -> str:
        """Draw the tree; see `Snapshot.render`."""
        from ._drawing import draw_run  # noqa: PLC0415 - most programs never draw one

        return "\n".join(draw_run(self, most))


Live: TypeAlias = VisitSnapshot | TaskSnapshot | RunSnapshot
"""What can go on inside of something: a visit, a task of a node's own, a run that a node began."""


@final
@attrs.frozen(kw_only=True)
class Blocked:
    """A place that kept the loop from going round; see ``Engine(watchdog=)``.

    Attributes:
        place: the innermost line of the stack; the task's name if none could be taken.
        path: of the step, the last time; empty if it was no step's.
        task: the task's name, the last time.
        times: how often.
        total, longest: seconds.
        stack: outermost first, the last time.
    """

    place: str
    path: str
    task: str
    times: int
    total: float
    longest: float
    stack: tuple[str, ...]


@final
@attrs.frozen(kw_only=True)
class Snapshot:
    """What goes on in an engine at one moment.

    Attributes:
        time: of that moment, on Trio's clock.
        runs: in the order they began; a run that a node waits for in its own task is inside of that visit.
        blocked: what blocked the loop until now, the worst first; empty without a watchdog.
        abandoned: threads that nobody waits for any more and that still work, oldest first.
    """

    time: float
    runs: tuple[RunSnapshot, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    abandoned: tuple[AbandonedThread, ...] = ()

    def visits(self) -> Iterator[VisitSnapshot]:
        """Every visit that goes on, run by run, outermost first."""
        return _visits(self.runs)

    @override
    def __str__(self) -> str:
        return self.render()

    def render(self, *, most: int = 10) -> str:
        """Draw it for people, a line for everything that goes on.

        Args:
            most: so many things side by side are drawn one by one; of more, those that are alike share a line.
        """
        from ._drawing import draw  # noqa: PLC0415 - most programs never draw one

        return "\n".join(draw(self, most))


def _visits(inside: tuple[Live, ...]) -> Iterator[VisitSnapshot]:
    for one in inside:
        if isinstance(one, VisitSnapshot):
            yield one
        yield from _visits(one.inside)


def _nested(inside: tuple[Live, ...]) -> Iterator[RunSnapshot]:
    for one in inside:
        if isinstance(one, RunSnapshot):
            yield one
        yield from _nested(one.inside)
