"""The order in which tasks go on: asks a chooser at every point and keeps what it chose.

Layer: testing. Called by Trio's scheduler once per pass, between steps; it must be quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, final

from trio.lowlevel import Task

from ._choice_core import TURN, Chooser, Fixed, index_of
from ._picture import is_serving
from ._private import Loop
from ._search_core import Trial
from ._trace import Trace

__all__ = ["NEVER", "Order"]

NEVER: Final = 1 << 62
"""A number of steps that is never reached."""

_ENDING: Final = 10_000
"""Steps that system tasks have to end once the program has."""

_USUAL: Final = Trial("batch", 0, "batch", slack=False, chooser=Fixed())


@final
class Order:
    """Orders the tasks of one Trio run, for one execution after the other.

    Attributes:
        steps: how many steps tasks have made in this execution.
        look: at that number of steps, `attend` is called.
        deviations: choices that were not the usual one, by point.
        widths: how many options there were at each point.
        serving: tasks whose steps are no news, with what they start.
        others: how many steps had been made when another one last made one; kept while there are such.
        preempted: is told of every task that could have gone on and must wait for another instead.
        trace: writes down who makes a step, if anybody does.
    """

    __slots__ = (
        "_attend",
        "_callbacks",
        "_chooser",
        "_given_up",
        "_held_back",
        "_holds_back",
        "_last",
        "_loop",
        "_ran",
        "_turn",
        "_whole_passes",
        "deviations",
        "look",
        "others",
        "preempted",
        "serving",
        "steps",
        "trace",
        "widths",
    )

    def __init__(self, attend: Callable[[], None]) -> None:
        self._attend = attend
        self.trace: Trace | None = None
        self._loop: Loop | None = None
        self._callbacks: Task | None = None
        self.preempted: Callable[[Task], None] | None = None
        self.serving: Collection[object] = ()
        self.begin(_USUAL)

    def attach(self, loop: Loop | None, callbacks: Task | None) -> None:
        """Begin to work on *loop*, whose *callbacks* task runs what other threads send; None between runs."""
        self._loop = loop
        self._callbacks = callbacks

    def begin(self, trial: Trial) -> None:
        """Begin an execution."""
        self._chooser: Chooser = trial.chooser
        self._whole_passes = trial.mode == "batch"
        self._last: Task | None = None
        self._ran: dict[Task, int] = {}
        self._turn = 0
        self._holds_back = True
        self._held_back = 0
        self._given_up: list[Task] = []
        self.steps: int = 0
        self.others: int = 0
        self.look: int = NEVER
        self.deviations: dict[int, int] = {}
        self.widths: list[int] = []

    def go_on_as(self, trial: Trial) -> None:
        """Choose as *trial* does from here on."""
        self._chooser = trial.chooser

    def end(self) -> None:
        """End the execution: what Trio still has to do is done in the usual order."""
        self._chooser = _USUAL.chooser
        self._whole_passes = True
        self._holds_back = False
        self.look = self.steps + _ENDING

    def __call__(self, batch: list[Task]) -> None:
        """Order *batch*; what goes next stands last."""
        if len(batch) > 1:
            loop = self._loop
            if loop is None:
                self._arrange(batch)
            else:
                self._order(batch, loop)
        elif not batch:
            return
        elif batch[0] is self._callbacks:
            self._gather()
        count, trace = len(batch), self.trace
        steps = self.steps = self.steps + count
        if not self._whole_passes:
            self._ran[batch[0]] = steps
            self._last = batch[0]
        if self.serving:
            self._note_others(batch)
        if trace is not None:
            if count == 1:
                trace.step(batch[0])
            else:
                trace.steps(reversed(batch))
        if steps >= self.look:
            self._attend()

    def stepped(self, task: Task) -> None:
        """Count a step of a run whose order is Trio's own."""
        self.steps += 1
        if self.serving:
            self._note_others([task])
        if self.trace is not None:
            self.trace.step(task)
        if self.steps >= self.look:
            self._attend()

    def _note_others(self, batch: Sequence[Task]) -> None:
        if not all(is_serving(task, self.serving) for task in batch):
            self.others = self.steps

    def tie(self, options: int) -> int:
        """Choose among *options* of how many timers fire together."""
        return self._note(self._chooser.tie(len(self.widths), options), options)

    def _note(self, choice: int, options: int) -> int:
        if choice:
            self.deviations[len(self.widths)] = choice
        self.widths.append(options)
        return choice

    def _order(self, batch: list[Task], loop: Loop) -> None:
        """Order two or more tasks, some of which may be put off."""
        self._hold_back(batch, loop)
        if self._whole_passes:
            self._arrange(batch)
        elif len(batch) > 1:
            self._pick(batch, loop)

    def _pick(self, batch: list[Task], loop: Loop) -> None:
        """Let one of *batch* go on; the others are asked again."""
        usual = self._usual(batch)
        choice = self._chooser.choose(len(self.widths), batch, usual)
        self._note(choice, len(batch))
        if choice and self.preempted is not None and batch[usual] is self._last:
            self.preempted(batch[usual])
        chosen = batch.pop(index_of(choice, usual))
        self._turn = self._turn + 1 if chosen is self._last else 1
        loop.put_back(batch)
        batch[:] = [chosen]

    def _usual(self, batch: list[Task]) -> int:
        """Where the task stands that goes on by itself: the last one, or else the one that has waited longest."""
        if self._last in batch and self._turn * len(batch) < TURN:
            return batch.index(self._last)
        ran, steps = self._ran, self.steps
        longest = min(batch, key=lambda task: ran.setdefault(task, steps))
        return batch.index(longest)

    def _arrange(self, batch: list[Task]) -> None:
        """Choose the order of a whole pass, the usual one being the order in which they were made."""
        waiting = batch[:]
        batch.clear()
        while len(waiting) > 1:
            choice = self._chooser.choose(len(self.widths), waiting, 0)
            self._note(choice, len(waiting))
            batch.append(waiting.pop(choice))
        batch.append(waiting[0])
        batch.reverse()

    def _hold_back(self, batch: list[Task], loop: Loop) -> None:
        """What threads send waits until no task can go on, so that it always comes at the same moment."""
        callbacks = self._callbacks
        if callbacks is None or not self._holds_back or callbacks not in batch[:2]:
            return
        self._held_back += 1
        if self._held_back % TURN:
            batch.remove(callbacks)
            loop.put_back([callbacks])
        else:
            self._gather()

    def _gather(self) -> None:
        """What several threads send is taken up together, in the order of their tasks."""
        if self._loop is not None and self._holds_back:
            self._loop.gather(self._given_up)
