"""Watching a run while it is made again: what each of its tasks did when.

Layer: testing. An instrument of Trio's, which may be as slow as it likes: no virtual time passes. Of a long run less is
looked at, and what is kept is bounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, final

import trio
from trio.lowlevel import Task
from typing_extensions import TypeIs, override

from ..events import ExecutionEvent
from ._choice_core import Chooser, index_of
from ._errors import DeadlockError, StuckError
from ._picture import name_of, place_of, waits_for
from ._private import can_go_on, errors_in, is_being_cancelled
from ._shown import shown_text
from ._sketch_guards import Guards, was_cut_off
from ._sketch_page import Page
from ._time_scale_core import Spot
from ._timeline_picture_core import (
    LANES,
    Bar,
    Doing,
    Lane,
    Mark,
    Outcome,
    Sketch,
    add_bar,
)
from ._world import Ended, World

__all__ = ["LONG", "Noting", "Sketcher", "outcome_of", "told"]

LONG: Final = 20_000
"""Steps from which on a run is long: guards are looked at when time goes on, and what is short is drawn together."""

_GRAINS: Final = 2_000
"""How many stretches a long run is cut into."""


@final
class Noting(Chooser):
    """Chooses as another one does, and notes where that was not the usual choice."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self._deviations: list[tuple[object, object]] = []

    @override
    def choose(self, point: int, tasks: Sequence[object], usual: int, /) -> int:
        choice = self._chooser.choose(point, tasks, usual)
        if choice:
            self._deviations.append((tasks[index_of(choice, usual)], tasks[usual]))
        return choice

    @override
    def tie(self, point: int, options: int, /) -> int:
        return self._chooser.tie(point, options)

    def passed_over(self, task: Task) -> Sequence[Task]:
        """What would have gone on instead of *task*, each time it was chosen since this was asked."""
        found = [
            usual
            for chosen, usual in self._deviations
            if chosen is task and isinstance(usual, Task)
        ]
        self._deviations = [pair for pair in self._deviations if pair[0] is not task]
        return found


@final
class Sketcher(trio.abc.Instrument):
    """Sees what happens.

    Args:
        world: in which it happens.
        title: of the program.
        is_flow: whether it is a flow, whose engine's own task is not shown.
        ended: how it ended the first time.
        noting: the chooser, if what it chooses is to be marked.
    """

    def __init__(
        self,
        world: World,
        title: str,
        *,
        is_flow: bool,
        ended: Ended[object],
        noting: Noting | None,
    ) -> None:
        self._world = world
        self._title = title
        self._is_flow = is_flow
        self._ended = ended
        self._noting = noting
        self._long = ended.steps > LONG
        self._page = Page(lambda: world.clock.time, ended.time / _GRAINS if self._long else 0.0)
        self._guards = Guards(self._page)
        self._last_step = ended.error.steps if isinstance(ended.error, StuckError) else math.inf
        self._over = False
        self._names: Counter[str] = Counter()
        self._known: dict[Task, str] = {}
        self._lane_of: dict[Task, int] = {}
        self._others: list[tuple[Spot, Spot]] = []
        self._born: dict[Task, Spot] = {}
        self._since: dict[Task, tuple[Spot, Doing, str]] = {}
        self._now: Task | None = None
        self._errors = 0
        self._from = ""
        self._cut_off: Callable[[], bool] | None = None
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
            self._add_step(self._now, self._page.spot(1.0), "its end")
        self._over = True

    def sketch(self, origin: str) -> Sketch:
        """What was seen of what came of *origin*: a seed, or the code of a schedule."""
        page, error = self._page, self._ended.error
        endless = isinstance(error, DeadlockError)
        page.step += endless  # what lasts for ever is one more
        end = self._ended.time, float(page.step + 1)
        for task in [*self._known]:
            self._leave(task, end, "unfinished", "")
        page.close_all(end)
        if not self._is_flow and not endless:
            page.lanes[0].how = outcome_of(self._ended)
        return Sketch(
            title=self._title,
            origin=origin,
            end=told(self._ended),
            failed=error is not None,
            endless=endless,
            duration=self._ended.time,
            instants=page.instants(),
            lanes=page.lanes,
            others=self._others,
            bands=self._guards.bands(),
        )

    # ---------------------------------------------------------------- told by Trio, and by the flow

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
        self._page.step += 1
        self._page.told.clear()
        self._now = task
        nursery = task.parent_nursery
        self._errors = 0 if nursery is None else len(errors_in(nursery))
        spot = self._page.spot(0.0)
        if task in self._lane_of:
            _, _, words = self._since.get(task, (spot, "work", ""))
            if is_being_cancelled(task):
                self._cut_off = was_cut_off(self._world.clock.met, words)
            self._note_order(task, spot)
            self._finish_doing(task, spot)
            self._from = "" if self._long else place_of(task)

    @override
    def after_task_step(self, task: Task) -> None:
        if self._over or task is not self._now:
            return
        self._end_step(task)
        if task in self._lane_of:
            end = self._page.spot(1.0)
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
            why = "" if how == "cancelled" else _said(error, self._ended.error or error)
        self._end_step(task)
        end = self._page.spot(1.0)
        if task in self._lane_of:
            self._add_step(task, end, "its end")
        self._leave(task, end, how, why)

    def heard(self, event: ExecutionEvent) -> None:
        """The flow reported something."""
        number = None if self._now is None else self._lane_of.get(self._now)
        if number is not None and not self._over:
            self._page.heard(event, number)

    # ---------------------------------------------------------------- tasks

    def _meet(self, task: Task, parent: Task | None) -> None:
        is_root, lanes = parent is None, self._page.lanes
        spot = self._page.spot(0.0 if is_root else 0.5)
        if is_root and self._is_flow:  # the engine's: the run itself is the next task
            self._known[task] = self._title
            return
        name = name_of(task) if lanes else self._title
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}#{self._names[name]}"
        self._known[task] = name
        if len(lanes) >= LANES:
            self._born[task] = spot
            return
        self._lane_of[task] = len(lanes)
        lanes.append(
            Lane(name, None if parent is None else self._lane_of.get(parent), spot, spot)
        )
        if not is_root:
            self._since[task] = (spot, "ready", "to begin")

    def _leave(self, task: Task, end: Spot, how: Outcome, why: str) -> None:
        del self._known[task]
        if task in self._born:
            self._others.append((self._born.pop(task), end))
        elif task in self._lane_of:
            self._finish_doing(task, end)
            lane = self._page.lanes[self._lane_of.pop(task)]
            lane.end, lane.how, lane.why = end, how, why

    def _doing(self, task: Task) -> tuple[Doing, str]:
        if can_go_on(task):
            return "ready", "its turn"
        words = waits_for(task, self._known)
        if words.startswith("sleep"):
            return "sleep", "sleep for ever" if words == "sleep_forever" else "sleep"
        return "tasks" if words.startswith("its children") else "wait", words

    def _finish_doing(self, task: Task, end: Spot) -> None:
        begin, kind, words = self._since.pop(task, (end, "ready", ""))
        if begin < end:
            self._add(task, Bar(begin, end, kind, words))

    def _add(self, task: Task, bar: Bar) -> None:
        add_bar(self._page.lanes[self._lane_of[task]].doing, bar, self._page.grain)

    def _add_step(self, task: Task, end: Spot, to: str) -> None:
        words = f"from {self._from} to {to}" if self._from and to else "a step"
        first, last = (place.rpartition(":")[2] for place in (self._from, to))
        label = first if first == last else f"{first}\N{EN DASH}{last.removeprefix('its ')}"
        begin = self._page.spot(0.0)
        self._add(task, Bar(begin, end, "work", words, label=label if self._from else ""))

    def _end_step(self, task: Task) -> None:
        if not self._long:
            self._look_at_guards()
        timed_out = any(kind == "timeout" for kind, _ in self._page.told)
        if self._cut_off is not None and not timed_out and self._cut_off():
            mark = Mark(self._page.spot(0.0), "cancelled", "cancelled")
            self._page.mark(self._lane_of[task], mark)
        self._cut_off = None

    def _note_order(self, task: Task, spot: Spot) -> None:
        for usual in () if self._noting is None else self._noting.passed_over(task):
            words = f"{self._known[task]} goes on before {self._known.get(usual, 'Trio')}"
            other, number = self._lane_of.get(usual), self._lane_of[task]
            self._page.mark(number, Mark(spot, "preemption", words, other=other))

    def _look_at_guards(self) -> None:
        number = None if self._now is None else self._lane_of.get(self._now)
        self._guards.look(self._world.clock.met, number)


def outcome_of(ended: Ended[object]) -> Outcome:
    """How the program ended."""
    if ended.outcome is None:
        return "cancelled"
    return "success" if ended.error is None else "error"


def told(ended: Ended[object]) -> str:
    """The same in a line."""
    if ended.outcome is None:
        return "cancelled"
    return "ended well" if ended.error is None else _said(ended.error, ended.error)


def _said(error: BaseException, within: BaseException) -> str:
    """What it is, in a line; of a group, the first error in it. *within*: how all ended."""
    while _is_group(error):
        error = error.exceptions[0]
    text = shown_text(error, within)
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}".removesuffix(": ")


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
