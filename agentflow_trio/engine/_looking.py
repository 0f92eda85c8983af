"""Finding out what goes on: from a run's task down through its nurseries, and into the frames they are suspended in.

Layer: engine. Rules: nothing is recorded for this while things run, so it costs nothing until somebody looks; the
variables of ours that it reads in frames are those of `_run`, `run_plan`, `visit`, `_run_arm`, `_run_function`,
`_Shift.work` and `_Beside.attempt`.
"""

from __future__ import annotations

import inspect
import sys
from types import CodeType, FrameType
from typing import Final, NamedTuple, final

import trio
from trio.lowlevel import Task

from ._branches import ARMS, Arm
from ._cleanup import WATCH
from ._crowd import Crowd
from ._frames import Stack, upto
from ._hedging import ATTEMPT
from ._items import WORK
from ._live import CURRENT, LiveRun, Strand
from ._plan import Kind
from ._private import PublicStatus, find_status
from ._recover import Frame
from ._run import RUN
from ._sequence import run_plan
from ._snapshot import Live, RunSnapshot, RunState, TaskSnapshot, VisitSnapshot
from ._visit import visit
from ._waits import Wait, wait_of

__all__ = ["check_place", "look", "stack_of"]

_LOOP: Final = run_plan.__code__
_VISIT: Final = visit.__code__
_WITH_STRAND: Final[frozenset[CodeType]] = frozenset({RUN, _LOOP, WORK, ATTEMPT, *ARMS})


def check_place(what: str) -> None:
    """Refuse to look from another thread, where everything may change meanwhile."""
    if not trio.lowlevel.in_trio_run():
        remedy = f"from a thread: trio.from_thread.run_sync({what}.snapshot)"
        raise RuntimeError(f"{what}.snapshot() works in the loop's own thread; {remedy}")


def look(live: LiveRun, reason: str | None, *, ended: bool) -> RunSnapshot:
    """What goes on in *live*, a run of an engine. *reason*: why it is to end, if it is."""
    check_place("run")
    looker, task = _Looker(), None if live.reach is None else live.reach.task
    strands = [] if task is None else looker.strands(task, live)
    if task is None or not strands:
        return RunSnapshot(
            run_id=live.run_id,
            flow=live.path,
            state="starting" if task is None and not ended else "ended",
            reason=reason,
            age=0.0,
            steps=0,
        )
    return looker.run(task, strands, stack_of(task), _state(live, task, reason), reason)


def _state(live: LiveRun, task: Task, reason: str | None = None) -> RunState:
    find = find_status()
    # PublicStatus tells of the running task only
    cancelled = find is not PublicStatus and find(task).effectively_cancelled
    if reason is not None or cancelled:
        return "cancelling"
    draining = live.reach is not None and live.reach.leave is not None
    return "draining" if draining else "running"


def _name_of(task: Task) -> str:
    """What *task* is called, which may be what it works on."""
    strand = task.context.get(CURRENT)
    return task.name if strand is None else strand.run.veil(task.name)


def _shown(wait: Wait, strand: Strand | None) -> Wait:
    """*wait* as it may be shown in the run of *strand*: the name of a keyed guard has what it is asked for, ``calls[key]``."""
    if strand is None or "[" not in wait.words:
        return wait
    return wait._replace(words=strand.run.veil(wait.words))


def stack_of(task: Task) -> Stack:
    """The frames of *task*, outermost first, be it suspended or the one that asks."""
    suspended = [*task.iter_await_frames()]
    if not suspended or task is not _running():
        return suspended
    stack = [*upto(inspect.currentframe(), suspended[0][0])]
    return stack[::-1]


def _running() -> Task | None:
    return trio.lowlevel.current_task() if trio.lowlevel.in_trio_task() else None


class _Key(NamedTuple):
    """Where something stands among what goes on beside it."""

    rank: int
    number: int
    text: str = ""


@final
class _Looker:
    """One look at one run, and at the runs that its nodes began.

    Attributes:
        now: when it looks.
        running: the task that asks, if one does.
        uncounted: steps of branches, which the run learns of when they end.
    """

    def __init__(self) -> None:
        self.now: float = trio.current_time()
        self.running: Task | None = _running()
        self.uncounted: dict[LiveRun, int] = {}

    def strands(self, task: Task, live: LiveRun | None = None) -> list[Strand]:
        """The strands in *task*, outermost first, beginning with that of *live*: more than one if its node runs flows."""
        found, strand = list[Strand](), task.context.get(CURRENT)
        while strand is not None and strand.task is task:
            found.append(strand)
            if strand.run is live:
                break
            strand = strand.run.outer
        else:
            if live is not None:  # its last event is being told
                return []
        return found[::-1]

    def run(
        self,
        task: Task,
        strands: list[Strand],
        stack: Stack,
        state: RunState,
        reason: str | None = None,
    ) -> RunSnapshot:
        """The run of the first of *strands*, all of them in *task*."""
        first = strands[0]
        run = first.run
        inside, wait = self._strand(task, strands, stack)
        return RunSnapshot(
            run_id=run.run_id,
            flow=run.path,
            state=state,
            reason=reason,
            age=self.now - run.began,
            steps=first.steps_of_all() + self.uncounted.pop(run, 0),
            inside=inside,
            waits_for="" if inside else wait.words,
        )

    def _strand(
        self, task: Task, strands: list[Strand], stack: Stack
    ) -> tuple[tuple[Live, ...], Wait]:
        """What goes on in the first of *strands*: its visits, each in the one before; and what its task waits for."""
        first, *deeper = strands
        mine, theirs = _divided(stack, first, deeper[0] if deeper else None)
        until = deeper[0].nurseries if deeper else None
        inside = self._tasks(task.child_nurseries[first.nurseries : until])
        if first.parent is not None and first.trail.at is None:  # a worker makes no steps
            uncounted = abs(first.steps) - first.counted
            self.uncounted[first.run] = self.uncounted.get(first.run, 0) + uncounted
        if deeper and deeper[0].run is first.run:  # the flow of an item
            inside, wait = self._strand(task, deeper, theirs)
            wait = Wait("its steps", None) if inside else wait
        elif deeper:
            nested = self.run(task, deeper, theirs, _state(deeper[0].run, task))
            inside = (nested, *inside)
            wait = wait_of(mine, self.now, running=False)._replace(words=f"run {nested.run_id}")
        else:
            wait = _shown(wait_of(mine, self.now, running=task is self.running), first)
        return self._visits(first, mine, wait, inside), wait

    def _visits(
        self, strand: Strand, stack: Stack, wait: Wait, inside: tuple[Live, ...]
    ) -> tuple[Live, ...]:
        between = strand.phase == "flow"
        places = strand.trail.open_places(between=between)
        starts = _starts(stack)
        starts += [strand.started] * (len(places) - len(starts))
        for place, start in reversed([*zip(places, starts, strict=False)]):
            innermost = place is places[-1]
            one = VisitSnapshot(
                path=place.path,
                phase=strand.phase if innermost and not between else "exec",
                age=self.now - start,
                attempt=strand.attempt if innermost else 1,
                item=place.item,
                waits_for=_counted(wait.words, place.step.kind, inside)
                if innermost
                else "its steps",
                at=wait.at if innermost else None,
                inside=inside,
            )
            inside = (one,)
        return inside

    # ---------------------------------------------------------------- tasks

    def _tasks(self, nurseries: list[trio.Nursery]) -> tuple[Live, ...]:
        """What goes on in the tasks of *nurseries*."""
        found = [
            self._task(task)
            for nursery in nurseries
            for task in nursery.child_tasks  # a set: sorted below
            if task.name != WATCH
        ]
        found.sort(key=lambda keyed: keyed[0])
        return tuple(one for _, some in found for one in some)

    def _task(self, task: Task) -> tuple[_Key, tuple[Live, ...]]:
        stack = stack_of(task)
        outermost = stack[0][0]
        if outermost.f_code in ARMS:
            return self._arm(task, outermost, stack)
        if outermost.f_code is WORK:
            return self._worker(task, outermost, stack)
        attempt = next((frame for frame, _ in stack if frame.f_code is ATTEMPT), None)
        if attempt is not None:
            return self._attempt(task, attempt, stack)
        strands = self.strands(task)
        until = strands[0].nurseries if strands else None
        inside = self._tasks(task.child_nurseries[:until])
        wait = wait_of(stack, self.now, running=task is self.running)
        wait = _shown(wait, task.context.get(CURRENT))
        if strands:
            mine, theirs = _divided(stack, None, strands[0])
            nested = self.run(task, strands, theirs, _state(strands[0].run, task))
            inside = (nested, *inside)
            wait = wait_of(mine, self.now, running=False)._replace(words=f"run {nested.run_id}")
        one = TaskSnapshot(
            name=_name_of(task),
            waits_for=_counted(wait.words, None, inside),
            at=wait.at,
            inside=inside,
        )
        return _Key(2, 0, repr(one)), (one,)

    def _arm(self, task: Task, frame: FrameType, stack: Stack) -> tuple[_Key, tuple[Live, ...]]:
        crowd, arm, strand = map(frame.f_locals.get, ("crowd", "arm", "strand"))
        assert isinstance(crowd, Crowd)  # noqa: S101 - our own variables
        assert isinstance(arm, Arm)  # noqa: S101 - likewise
        inside = tuple[Live, ...]()
        if isinstance(strand, Strand):
            inside, _ = self._strand(task, self._from(task, strand), stack)
        if not inside:  # not begun, or between two of its steps
            path = f"{crowd.place.path}/{arm.branch.name}"
            wait = wait_of(stack, self.now, running=task is self.running)
            words = wait.words if isinstance(strand, Strand) else "its turn"
            inside = (VisitSnapshot(path=path, phase="flow", age=0.0, waits_for=words),)
        return _Key(0, arm.number), inside

    def _worker(
        self, task: Task, frame: FrameType, stack: Stack
    ) -> tuple[_Key, tuple[Live, ...]]:
        strand = frame.f_locals.get("strand")
        if not isinstance(strand, Strand) or strand.trail.item is None:
            wait = wait_of(stack, self.now, running=task is self.running)
            words = wait.words if isinstance(strand, Strand) else "its turn"
            idle = TaskSnapshot(name=task.name, waits_for=words, at=wait.at)
            return _Key(1, sys.maxsize, task.name), (idle,)
        inside, _ = self._strand(task, self._from(task, strand), stack)
        return _Key(1, strand.trail.item), inside

    def _attempt(
        self, task: Task, frame: FrameType, stack: Stack
    ) -> tuple[_Key, tuple[Live, ...]]:
        strand = frame.f_locals.get("strand")
        assert isinstance(strand, Strand)  # noqa: S101 - our own variable
        inside, _ = self._strand(task, self._from(task, strand), stack)
        return _Key(0, strand.attempt), inside

    def _from(self, task: Task, strand: Strand) -> list[Strand]:
        """*strand* and those of the runs that its node began in the same task."""
        strands = self.strands(task)
        if strand in strands:
            return strands[strands.index(strand) :]
        return [
            strand,
            *strands,
        ]  # of a worker whose item has a flow, which its task knows of instead


def _divided(stack: Stack, first: Strand | None, deeper: Strand | None) -> tuple[Stack, Stack]:
    """The frames of *first* (all before *deeper*, if None), and those from *deeper* on."""
    starts = [
        (index, frame.f_locals.get("strand"))
        for index, (frame, _) in enumerate(stack)
        if frame.f_code in _WITH_STRAND
    ]
    begin = next((index for index, strand in starts if strand is first is not None), 0)
    end = next((index for index, strand in starts if strand is deeper is not None), len(stack))
    return stack[begin:end], stack[end:]


def _starts(stack: Stack) -> list[float]:
    """When the visits began whose ends are awaited in *stack*, outermost first."""
    starts = list[float]()
    for frame, _ in stack:
        if frame.f_code is _LOOP:
            nested, inner = list[float](), frame.f_locals.get("frame")
            while isinstance(inner, Frame):
                nested.append(inner.started)
                inner = inner.outer
            starts += reversed(nested)
        elif frame.f_code is _VISIT:
            started = frame.f_locals.get("started")
            starts += [started] if isinstance(started, float) else []
    return starts


def _counted(words: str, kind: Kind | None, inside: tuple[Live, ...]) -> str:
    """*words*, with the number of the tasks that are waited for."""
    if words != "its tasks":
        return words
    many = len(inside)
    match kind:
        case Kind.PARALLEL:
            return _plural(many, "branch", "branches")
        case Kind.RACE:
            return f"the first of {_plural(many, 'branch', 'branches')}"
        case Kind.ITEMS:
            items = sum(isinstance(one, VisitSnapshot) for one in inside)
            return _plural(items, "item", "items")
        case _:
            return _plural(many, "task", "tasks")


def _plural(many: int, one: str, several: str) -> str:
    return f"{many} {one if many == 1 else several}"
