"""Watching a run while it is made again: what each of its tasks did when, and what its guards did.

Layer: testing. An instrument of Trio's, which may be as slow as it likes: no virtual time passes. Of a long run less is
looked at, and what is kept is bounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, final

import attrs
import trio
from trio.lowlevel import Task
from typing_extensions import TypeIs, override

from ..events import (
    AttemptFailed,
    CallRejected,
    CallTimedOut,
    ExecutionEvent,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    RetryScheduled,
)
from ..ports import Met
from ._choice_core import Chooser, index_of
from ._errors import DeadlockError, StuckError
from ._looking import same_so_far, swept
from ._picture import name_of, place_of, wait_of
from ._private import can_go_on, errors_in, is_being_cancelled
from ._program import is_flow, title_of
from ._recipe import Recipe
from ._time_scale_core import Instant, Spot
from ._timeline_core import Instants
from ._timeline_picture_core import (
    Band,
    Bar,
    Doing,
    Lane,
    Mark,
    MarkKind,
    Outcome,
    Sketch,
    add_bar,
    add_mark,
)
from ._world import Ended, World

__all__ = ["LANES", "sketched"]

LANES: Final = 60
"""Tasks that are looked at; of the others it is known when they began and ended."""

_GUARDS: Final = 24
LONG: Final = 20_000
"""Steps from which on a run is long: guards are looked at when time goes on, and what is short is drawn together."""

_GRAINS: Final = 2_000
"""How many stretches a long run is cut into."""

_COUNTED: Final[Sequence[tuple[str, MarkKind, str]]] = (
    ("rejected", "rejected", "turned away by"),
    ("refused", "rejected", "turned away by"),
    ("retries", "retry", "tried again by"),
    ("timed_out", "timeout", "cut off by"),
)
"""What statistics of guards count, and what it is called."""


def sketched(recipe: Recipe, ended: Ended[object], instants: Instants) -> Sketch:
    """Run *recipe* again, which *ended* so and made its steps at these *instants*, and watch it.

    Raises:
        NondeterminismError: it did something else this time.
    """
    world = recipe.world()
    subject = recipe.subject(recipe.used())
    trial = recipe.trial(world)
    noting = None if recipe.replay is None else Noting(trial.chooser)
    again = Instants()
    sketcher = Sketcher(
        world,
        title_of(recipe.program),
        f"seed {recipe.seed}" if recipe.replay is None else f"schedule {recipe.replay}",
        is_flow=is_flow(recipe.program),
        ended=ended,
        noting=noting,
    )
    subject.heard = sketcher.heard

    def look() -> None:
        again.add(world.clock.time, world.order.steps)
        sketcher.look()

    def finish() -> None:
        look()
        sketcher.finish()

    swept(
        world,
        recipe,
        subject,
        look,
        begin=sketcher.begin,
        finish=finish,
        trial=attrs.evolve(trial, chooser=noting or trial.chooser),
    )
    same_so_far(instants, again)
    return sketcher.sketch()


@final
class Noting(Chooser):
    """Chooses as another one does, and notes where that was not the usual choice."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._whole_passes = False
        self.deviations: list[tuple[object, object]] = []

    @override
    def choose(self, point: int, tasks: Sequence[object], usual: int, /) -> int:
        choice = self._chooser.choose(point, tasks, usual)
        if choice:
            self.deviations.append((tasks[index_of(choice, usual)], tasks[usual]))
        return choice

    @override
    def tie(self, point: int, options: int, /) -> int:
        return self._chooser.tie(point, options)


@final
@attrs.define(eq=False)
class _Guard:
    """What is known of a guard: its band, and what its statistics counted so far."""

    band: Band
    counts: dict[str, int] = attrs.field(factory=dict[str, int])


@final
class Sketcher(trio.abc.Instrument):
    """Sees what happens.

    Args:
        world: in which it happens.
        title: of the program.
        origin: the seed, or the code of the schedule.
        is_flow: whether it is a flow, whose engine's own task is not shown.
        ended: how it ended the first time.
        noting: the chooser, if what it chooses is to be marked.
    """

    def __init__(
        self,
        world: World,
        title: str,
        origin: str,
        *,
        is_flow: bool,
        ended: Ended[object],
        noting: Noting | None,
    ) -> None:
        self._world = world
        self._title = title
        self._origin = origin
        self._is_flow = is_flow
        self._ended = ended
        self._noting = noting
        self._long = ended.steps > LONG
        self._grain = ended.time / _GRAINS if self._long else 0.0
        self._last_step = ended.error.steps if isinstance(ended.error, StuckError) else math.inf
        self._over = False
        self._step = 0
        self._names: Counter[str] = Counter()
        self._known: dict[Task, str] = {}
        self._lanes: list[Lane] = []
        self._lane_of: dict[Task, int] = {}
        self._others: list[tuple[Spot, Spot]] = []
        self._born: dict[Task, Spot] = {}
        self._since: dict[Task, tuple[Spot, Doing, str]] = {}
        self._now: Task | None = None
        self._errors = 0
        self._from = ""
        self._cut_off: Callable[[], bool] | None = None
        self._instants: list[Instant] = []
        self._open: dict[str, tuple[int, Spot, int]] = {}
        self._guards: dict[int, _Guard] = {}
        self._told: set[tuple[MarkKind, str]] = set()
        world.looking_on.append(self)

    # ---------------------------------------------------------------- around the run

    def begin(self) -> None:
        """Begin to look, in the task that runs the program."""
        root = trio.lowlevel.current_task()
        self._now = root
        self._meet(root, None)

    def look(self) -> None:
        """Time is about to go on."""
        if self._long and not self._over:
            self._look_at_guards()

    def finish(self) -> None:
        """It has ended; in the task that ran it."""
        self.look()
        if not self._over and self._now in self._lane_of:
            self._add_step(self._now, self._spot(1.0), "its end")
        self._over = True

    def sketch(self) -> Sketch:
        """What was seen."""
        error = self._ended.error
        endless = isinstance(error, DeadlockError)
        self._step += endless  # what lasts for ever is one more
        end = (self._ended.time, float(self._step + 1))
        for task in [*self._known]:
            self._leave(task, end, "unfinished", "")
        for path in [*self._open]:
            self._close(path, end, "unfinished")
        if self._lanes:
            self._close_root()
        return Sketch(
            title=self._title,
            origin=self._origin,
            end=self._told_end(),
            failed=error is not None,
            endless=endless,
            duration=self._ended.time,
            instants=self._counted_instants(),
            lanes=self._lanes,
            others=self._others,
            bands=[g.band for g in self._guards.values() if g.band.worth_drawing],
        )

    def _close_root(self) -> None:
        root, error = self._lanes[0], self._ended.error
        if root.how == "unfinished" and not isinstance(error, DeadlockError):
            root.how = "error" if error is not None else "success"
            if self._ended.outcome is None:
                root.how = "cancelled"

    def _told_end(self) -> str:
        error = self._ended.error
        if self._ended.outcome is None:
            return "cancelled"
        if error is None:
            return "ended well"
        return _said(_leaf(error))

    def _counted_instants(self) -> Sequence[Instant]:
        firsts = [instant.first for instant in self._instants[1:]]
        pairs = zip(self._instants, [*firsts, self._step + 1], strict=True)
        return [attrs.evolve(at, steps=after - at.first) for at, after in pairs]

    # ---------------------------------------------------------------- told by Trio

    @override
    def task_spawned(self, task: Task) -> None:
        nursery = task.parent_nursery
        if not self._over and nursery is not None and nursery.parent_task in self._known:
            self._meet(task, nursery.parent_task)

    @override
    def before_task_step(self, task: Task) -> None:
        self._over = self._over or self._world.order.steps > self._last_step
        if self._over or task not in self._known:
            return
        self._step += 1
        self._now = task
        nursery = task.parent_nursery
        self._errors = 0 if nursery is None else len(errors_in(nursery))
        spot = self._spot(0.0)
        self._told.clear()
        if task in self._lane_of:
            self._cut_off = self._cut_off_of(task) if is_being_cancelled(task) else None
            self._note_order(task, spot)
            self._finish_doing(task, spot)
            self._from = "" if self._long else place_of(task)

    @override
    def after_task_step(self, task: Task) -> None:
        if self._over or task is not self._now:
            return
        if not self._long:
            self._look_at_guards()
        self._mark_cut_off(task)
        end = self._spot(1.0)
        if task in self._lane_of:
            self._add_step(task, end, "" if self._long else place_of(task))
            self._since[task] = (end, *self._doing(task))
        self._now = None

    @override
    def task_exited(self, task: Task) -> None:
        if self._over or task not in self._known:
            return
        nursery = task.parent_nursery
        raised = [] if nursery is None else [*errors_in(nursery)][self._errors :]
        how: Outcome = "success"
        why = ""
        for error in raised:
            how = "cancelled" if isinstance(error, trio.Cancelled) else "error"
            why = "" if how == "cancelled" else _said(_leaf(error))
        self._mark_cut_off(task)
        end = self._spot(1.0)
        if task in self._lane_of:
            self._add_step(task, end, "its end")
        if not self._long:
            self._look_at_guards()
        self._leave(task, end, how, why)

    # ---------------------------------------------------------------- told by the flow

    def heard(self, event: ExecutionEvent) -> None:
        """The flow reported something."""
        task = self._now
        if self._over or task not in self._lane_of:
            return
        number = self._lane_of[task]
        match event:
            case NodeStarted():
                depth = sum(1 for lane, _, _ in self._open.values() if lane == number)
                self._open[event.path] = number, self._spot(0.0), depth
            case NodeSucceeded():
                self._close(event.path, self._spot(1.0), "success")
            case NodeFailed():
                self._close(
                    event.path, self._spot(1.0), "error", f"{event.error}: {event.message}"
                )
            case NodeCancelled():
                self._close(event.path, self._spot(1.0), "cancelled")
            case AttemptFailed():
                words = f"attempt {event.attempt} failed, {event.error}: {event.message}"
                self._mark(number, "failed", words, event.guard)
            case RetryScheduled():
                self._mark(
                    number,
                    "retry",
                    f"attempt {event.attempt} in {event.delay:.3g} s",
                    event.guard,
                )
            case CallRejected():
                self._mark(
                    number,
                    "rejected",
                    f"turned away by {event.guard!r}: {event.reason}",
                    event.guard,
                )
            case CallTimedOut():
                self._mark(
                    number,
                    "timeout",
                    f"cut off by {event.guard!r} after {event.seconds:g} s",
                    event.guard,
                )
            case _:
                pass

    # ---------------------------------------------------------------- tasks

    def _meet(self, task: Task, parent: Task | None) -> None:
        is_root = parent is None
        spot = self._spot(0.0 if is_root else 0.5)
        if is_root and self._is_flow:  # the engine's: the run itself is the next task
            self._known[task] = self._title
            return
        name = name_of(task) if self._lanes else self._title
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}#{self._names[name]}"
        self._known[task] = name
        if len(self._lanes) >= LANES:
            self._born[task] = spot
            return
        self._lane_of[task] = len(self._lanes)
        above = None if parent is None else self._lane_of.get(parent)
        self._lanes.append(Lane(name, above, spot, spot))
        if not is_root:
            self._since[task] = (spot, "ready", "to begin")

    def _leave(self, task: Task, end: Spot, how: Outcome, why: str) -> None:
        del self._known[task]
        if task in self._born:
            self._others.append((self._born.pop(task), end))
        elif task in self._lane_of:
            self._finish_doing(task, end)
            lane = self._lanes[self._lane_of.pop(task)]
            lane.end, lane.how, lane.why = end, how, why

    def _doing(self, task: Task) -> tuple[Doing, str]:
        if can_go_on(task):
            return "ready", "its turn"
        words, _ = wait_of(task, self._known)
        if words.startswith("sleep"):
            return "sleep", "sleep for ever" if words == "sleep_forever" else "sleep"
        return "tasks" if words.startswith("its children") else "wait", words

    def _finish_doing(self, task: Task, end: Spot) -> None:
        begin, kind, words = self._since.pop(task, (end, "ready", ""))
        if begin < end:
            self._add(task, Bar(begin, end, kind, words))

    def _add(self, task: Task, bar: Bar) -> None:
        add_bar(self._lanes[self._lane_of[task]].doing, bar, self._grain)

    def _add_step(self, task: Task, end: Spot, to: str) -> None:
        words = f"from {self._from} to {to}" if self._from and to else "a step"
        first, last = (place.rpartition(":")[2] for place in (self._from, to))
        label = first if first == last else f"{first}\N{EN DASH}{last.removeprefix('its ')}"
        label = label if self._from else ""
        self._add(task, Bar(self._spot(0.0), end, "work", words, label=label))

    def _cut_off_of(self, task: Task) -> Callable[[], bool]:
        """Tells later whether it was one: some guards end the waits of their callers by a cancellation of their own."""
        _, _, words = self._since.get(task, (None, "work", ""))
        for guard in self._world.clock.met:
            before = _cancelled(guard)
            if before is not None and words == f"{type(guard).__name__} {guard.name!r}":
                return lambda: _cancelled(guard) != before
        return lambda: True

    def _mark_cut_off(self, task: Task) -> None:
        timed_out = any(kind == "timeout" for kind, _ in self._told)
        if self._cut_off is not None and not timed_out and self._cut_off():
            self._mark(self._lane_of[task], "cancelled", "cancelled", "", self._spot(0.0))
        self._cut_off = None

    def _note_order(self, task: Task, spot: Spot) -> None:
        if self._noting is None:
            return
        for chosen, usual in self._noting.deviations:
            if chosen is task and isinstance(usual, Task):
                other = self._lane_of.get(usual)
                words = f"{self._known[task]} goes on before {self._known.get(usual, 'Trio')}"
                mark = Mark(spot, "preemption", words, other=other)
                add_mark(self._lanes[self._lane_of[task]].marks, mark, self._grain)
                self._instants[-1] = attrs.evolve(self._instants[-1], shown=True)
        self._noting.deviations = [
            pair for pair in self._noting.deviations if pair[0] is not task
        ]

    # ---------------------------------------------------------------- visits, guards, moments

    def _close(self, path: str, end: Spot, how: Outcome, why: str = "") -> None:
        if path in self._open:
            number, begin, depth = self._open.pop(path)
            name = path.rpartition("/")[2]
            label = f"{name}: {why}" if why else name
            bar = Bar(begin, end, how, path, depth=depth, label=label)
            add_bar(self._lanes[number].visits, bar, self._grain)

    def _mark(
        self, number: int, kind: MarkKind, words: str, guard: str, spot: Spot | None = None
    ) -> None:
        mark = Mark(spot or self._spot(0.5), kind, words)
        add_mark(self._lanes[number].marks, mark, self._grain)
        self._told.add((kind, guard))

    def _look_at_guards(self) -> None:
        for number, guard in enumerate(self._world.clock.met[:_GUARDS]):
            self._look_at(number, guard)

    def _look_at(self, number: int, met: Met) -> None:
        statistics = met.statistics()
        spot = self._spot(0.5)
        guard = self._guards.get(number)
        if guard is None:
            guard = _Guard(Band(met.name, f"{_kind_of(met)} {met.name!r}", []))
            self._guards[number] = guard
        level = _level(statistics)
        levels = guard.band.levels
        if not levels or levels[-1][1] != level:
            levels.append((spot, level))
        for field, kind, words in _COUNTED:
            count = getattr(statistics, field, 0)
            more = count - guard.counts.get(field, 0)
            guard.counts[field] = count
            if more:
                self._count(guard.band, kind, f"{words} {guard.band.title}", spot)

    def _count(self, band: Band, kind: MarkKind, words: str, spot: Spot) -> None:
        if kind == "rejected":
            add_mark(band.marks, Mark(spot, kind, words), self._grain)
        now = self._now
        if now in self._lane_of and (kind, band.name) not in self._told:
            self._mark(self._lane_of[now], kind, words, band.name)

    def _spot(self, within: float) -> Spot:
        """Now, as far into the step that is made."""
        time = self._world.clock.time
        if not self._instants or self._instants[-1].time < time:
            self._instants.append(Instant(time, self._step, 0))
        return time, self._step + within


def _level(statistics: object) -> str | int:
    """The state of a circuit, or how many wait for a guard."""
    state = getattr(statistics, "state", None)
    if isinstance(state, Enum):
        return str(state.value)
    if hasattr(statistics, "retries"):
        return 0  # lanes tell of them
    waiting: int = getattr(statistics, "waiting", 0)
    return waiting


def _cancelled(guard: Met) -> int | None:
    """How many were cancelled while they waited for it, if it counts them."""
    count: int | None = getattr(guard.statistics(), "cancelled", None)
    return count


def _kind_of(guard: Met) -> str:
    """``circuit breaker``."""
    words = type(guard).__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in words).strip()


def _leaf(error: BaseException) -> BaseException:
    """Of a group, the first error in it."""
    while _is_group(error):
        error = error.exceptions[0]
    return error


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".removesuffix(": ")
