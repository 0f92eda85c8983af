"""Who keeps the loop from going round: an instrument that times every task step, and a thread that looks at long ones.

Layer: engine. Rules: the stack is taken while the step blocks, so that it names the line; the thread only reads, and
ends with the engine; what was found is told in the loop, when the step is over. Imported when somebody wants it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from operator import attrgetter
from types import FrameType
from typing import Final, NamedTuple, final

import trio
from trio.lowlevel import Task

from .._typing import override
from ._frames import places, upto
from ._hiding import Veil
from ._live import CURRENT, Settings, Strand
from ._snapshot import Blocked

__all__ = ["Watchdog"]

_LOG: Final = logging.getLogger("agentflow_trio.watchdog")
_MOST_PLACES: Final = 100
_MOST_SAMPLES: Final = 100
_ELSEWHERE: Final = "elsewhere"
"""What is counted for places beyond the first hundred."""

_frames: Final[Callable[[], dict[int, FrameType]]] = attrgetter("_current_frames")(sys)
"""Documented, though its name looks private."""


class _Sample(NamedTuple):
    """What was seen of a step that blocks: for whom it works, and where it stands."""

    strand: Strand | None
    path: str
    stack: tuple[str, ...]


@final
class Watchdog(trio.abc.Instrument):
    """Times the steps of all tasks of the loop.

    Attributes:
        found: by place.
    """

    # with slots and two plain attributes the hook takes 0.19 us of the 0.62 that Trio's call of it takes; with a
    # tuple in a __dict__ 0.54 of 1.23
    __slots__ = (
        "_clock",
        "_due",
        "_limit",
        "_loop",
        "_over",
        "_samples",
        "_seen",
        "_settings",
        "_task",
        "_thread",
        "found",
    )

    def __init__(
        self, limit: float, settings: Settings, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Report what blocks for more than *limit* seconds on *clock*; events go to the runs with *settings*."""
        self.found: dict[str, Blocked] = {}
        self._limit = limit
        self._settings = settings
        self._clock = clock
        # when the step that goes on is too long; its identity tells steps apart
        self._due = clock() + limit
        self._task = trio.lowlevel.current_task()
        self._seen = math.inf  # which step the samples are of
        self._samples: tuple[_Sample, ...] = ()
        self._loop = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="agentflow watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin, in the loop's thread."""
        self._thread.start()
        trio.lowlevel.add_instrument(self)

    def stop(self) -> None:
        """End, the thread included; it is never in anything long."""
        self._over.set()
        self._thread.join()
        self.settle()
        with contextlib.suppress(
            KeyError
        ):  # an observer ended the program in it: Trio has removed it
            trio.lowlevel.remove_instrument(self)

    # ---------------------------------------------------------------- in the loop: the hot path

    @override
    def before_task_step(self, task: Task) -> None:
        # one hook for each step, not two: what follows a step at once is the next one, or waiting for I/O
        now = self._clock()
        if now > self._due:
            self._tell(now)
            now = self._clock()
        self._due = now + self._limit
        self._task = task

    @override
    def before_io_wait(self, timeout: float) -> None:
        now = self._clock()
        if now > self._due:
            self._tell(now)
        self._due = math.inf

    def settle(self) -> None:
        """Tell of the step that goes on, if it is too long already; the rest of it is another."""
        now = self._clock()
        if now > self._due:
            self._tell(now)
            self._due = self._clock() + self._limit

    def _tell(self, now: float) -> None:
        due, self._due = self._due, math.inf  # told once, even if an observer ends the program
        seconds, task = now - due + self._limit, self._task
        samples = self._samples if self._seen is due else ()
        # the line that was seen most often; without samples it was too short for the thread, or held the GIL
        sample = max(samples, key=samples.count, default=None) or _Sample(*_whose(task), ())
        strand, path, stack = sample
        # a task may be called by what it works on
        veil = Veil(self._settings.redactor) if strand is None else strand.run.veil
        name = veil(task.name)
        where = stack[-1] if stack else f"task {name}"
        if self._note(where, path, name, seconds, stack):
            who = path or f"task {name!r}"
            _LOG.warning(
                "%s blocked the loop for %.3g s%s",
                who,
                seconds,
                "".join(f"\n  {line}" for line in stack) or "; no stack was taken",
            )
        if strand is not None and strand.run.bus is not None and self._ours(strand):
            strand.run.bus.loop_blocked(path, seconds, name, stack)

    def _ours(self, strand: Strand) -> bool:
        return strand.run.settings is self._settings

    def _note(
        self, where: str, path: str, task: str, seconds: float, stack: tuple[str, ...]
    ) -> bool:
        """Count it. Whether it is the first at that place."""
        if where not in self.found and len(self.found) >= _MOST_PLACES:
            where = _ELSEWHERE
        before = self.found.get(where)
        self.found[where] = Blocked(
            place=where,
            path=path,
            task=task,
            times=1 if before is None else before.times + 1,
            total=seconds if before is None else before.total + seconds,
            longest=seconds if before is None else max(before.longest, seconds),
            stack=stack,
        )
        return before is None

    # ---------------------------------------------------------------- in the thread

    def _watch(self) -> None:
        while not self._over.wait(self._limit / 4):
            self.look()

    def look(self) -> None:
        """Take the stack of the step that goes on, if it is too long already. In any thread."""
        due, task = self._due, self._task
        if self._clock() <= due:
            return
        if self._seen is not due:
            self._seen, self._samples = due, ()
        outermost = next((frame for frame, _ in task.iter_await_frames()), None)
        stack = [] if outermost is None else [*upto(_frames()[self._loop], outermost)]
        try:
            strand, path = _whose(task)
        except IndexError:  # its log changed while it was read: it goes on after all
            return
        sample = _Sample(strand, path, tuple(places(reversed(stack))))
        if self._due is due and len(self._samples) < _MOST_SAMPLES:
            self._samples = (*self._samples, sample)


def _whose(task: Task) -> tuple[Strand | None, str]:
    """The strand that *task* works for, and the path of its visit; nothing is changed, for it may be at work."""
    strand = task.context.get(CURRENT)
    if strand is None or strand.steps <= 0 or not strand.contains(task):
        return None, ""
    return strand, strand.trail.copy().here().path
