"""A recorded run: what it looked like at any time, the same again live, and what would have come otherwise.

Layer: testing. What was seen is kept as far as there is room; everything else is had by running again, which costs no
more than recording did. A run that is repeated is compared with what was recorded, so that nothing is made up.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Generic, TypeVar, final, overload

from typing_extensions import override

from ..events import ExecutionEvent
from ._diff import Account, Diff, compared
from ._errors import DeadlockError, StuckError
from ._faults import Faults
from ._histories import Historian, TaskHistory
from ._looking import Recorder, Watcher, same_so_far, swept
from ._moment import Moment
from ._past import Live, Past
from ._recipe import Change, Recipe
from ._shown import shown_text
from ._simulate import Simulating, Simulation
from ._switch import Replacing
from ._timeline_core import Instants, Series, check_time, matches
from ._timeline_picture_core import Sketch
from ._world import Ended

__all__ = ["Timeline", "recorded"]

S = TypeVar("S")
Value = TypeVar("Value")
Event = TypeVar("Event", bound=ExecutionEvent)


def recorded(recipe: Recipe, like: Instants | None = None, until: float = 0.0) -> Timeline[Any]:
    """Run *recipe* to its end, and keep what can be seen of it; make sure that it is *like* that before *until*.

    Raises:
        NondeterminismError: it is not.
        UnusedFaultError: it ended well, and a fault was planned at a place it never came to.
        BaseException: as for `record`.
    """
    used = recipe.used()
    subject = recipe.subject(used)
    world = recipe.world()
    recorder = Recorder(subject, world)
    ended = swept(
        world, recipe, subject, recorder.look, begin=recorder.begin, finish=recorder.finish
    )
    if like is not None:
        same_so_far(like, recorder.instants, until)
    timeline = Timeline(recipe, ended, recorder, tuple(subject.events))
    if timeline.error is None and not timeline.cancelled:
        used.check()
    return timeline


@final
class Timeline(Generic[S]):
    """A run that was recorded, of a flow whose state is ``S``, or of a program, which has None. Get one with `record`.

    Time is virtual seconds since the run began. What is seen *at* a time is what had come of everything due before it.

    Attributes:
        events: what the flow reported, in order; empty for a program.
    """

    def __init__(
        self,
        recipe: Recipe,
        ended: Ended[object],
        recorder: Recorder[S],
        events: tuple[ExecutionEvent, ...],
    ) -> None:
        """`record` does this."""
        self.events: Sequence[ExecutionEvent] = events
        self._recipe = recipe
        self._ended = ended
        self._kept = recorder
        self._times = array("d", [event.timestamp for event in events])

    @override
    def __repr__(self) -> str:
        return f"<Timeline of {self.duration:.9g} s, {len(self.events)} events>"

    # ---------------------------------------------------------------- how it ended

    @property
    def duration(self) -> float:
        """How long it took, in virtual seconds."""
        return self._ended.time

    @property
    def error(self) -> Exception | None:
        """What it raised; None if it ended well or was cancelled."""
        return self._ended.error

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._ended.outcome is None

    @property
    def result(self) -> object:
        """What the program returned; for a flow its `RunResult`.

        Raises:
            RunCancelledError: it was cancelled.
            Exception: it failed, with this.
        """
        return self._ended.result()

    @property
    def final(self) -> Moment[S]:
        """What it looked like when everything was over."""
        return self._moment(self.duration, len(self.times) - 1, len(self.events))

    # ---------------------------------------------------------------- what it looked like

    @property
    def times(self) -> Sequence[float]:
        """The times at which something happened, ascending."""
        return self._kept.instants.times

    def at(self, time: float, /) -> Moment[S]:
        """What it looked like when all that was due before *time* had happened: at 0 nothing; after the end, `final`.

        Nothing is run for it, but for what tasks did, and for what there was no room to keep (states of very long runs):
        then it is run again up to *time*.

        Raises:
            ValueError: *time* is no moment.
        """
        number = self._kept.instants.before(check_time(time))
        return self._moment(min(time, self.duration), number, bisect_left(self._times, time))

    @overload
    def select(
        self,
        kind: None = None,
        /,
        *,
        path: str | None = None,
        since: float = 0.0,
        before: float = math.inf,
    ) -> Sequence[ExecutionEvent]: ...
    @overload
    def select(
        self,
        kind: type[Event],
        /,
        *,
        path: str | None = None,
        since: float = 0.0,
        before: float = math.inf,
    ) -> Sequence[Event]: ...
    def select(
        self,
        kind: type[Any] | None = None,
        /,
        *,
        path: str | None = None,
        since: float = 0.0,
        before: float = math.inf,
    ) -> Sequence[Any]:
        """Some of the events, in order: ``timeline.select(NodeFailed, path="editorial/review", before=60.0)``.

        Args:
            kind: a class of `agentflow_trio.events`; all by default.
            path: only at this place or in it: all its visits, attempts and items, unless the path has their numbers.
            since: only those from then on, virtual seconds.
            before: only those before that.

        Raises:
            ValueError: *since* or *before* is no moment.
        """
        first, end = (bisect_left(self._times, check_time(time)) for time in (since, before))
        return [
            event
            for event in self.events[first:end]
            if isinstance(event, kind or object) and (path is None or matches(event.path, path))
        ]

    def watch(self, name: str, fn: Callable[[Moment[S]], Value], /) -> Series[Value]:
        """How a value changes over time: ``timeline.watch("drafts", lambda now: len(now.state.drafts))``.

        Runs again, once.

        Args:
            name: what it is called.
            fn: is given the present, at the end of every instant at which something happened; quick and without effect.

        Raises:
            NondeterminismError: it did something else this time.
            Exception: what *fn* raised.
        """
        subject, world = self._recipe.subject(self._recipe.used()), self._recipe.world()
        watcher = Watcher(subject, world, fn)
        swept(world, self._recipe, subject, watcher.look, begin=watcher.look)
        same_so_far(self._kept.instants, watcher.instants)
        return Series(name, watcher.start, watcher.changes)

    @cached_property
    def tasks(self) -> Sequence[TaskHistory]:
        """What every task did over virtual time, in the order in which they began. Runs again when first asked for.

        Raises:
            NondeterminismError: it did something else this time.
        """
        subject, world = self._recipe.subject(self._recipe.used()), self._recipe.world()
        historian, instants = Historian(world), Instants()

        def look() -> None:
            instants.add(world.clock.time, world.order.steps)
            historian.look()

        swept(world, self._recipe, subject, look, begin=historian.begin)
        same_so_far(self._kept.instants, instants)
        return historian.histories()

    # ---------------------------------------------------------------- the same again, or otherwise

    def live(self, time: float = 0.0, /) -> AbstractContextManager[Simulation[S, object]]:
        """The same run again, as a simulation that stands at *time*: ``with timeline.live(12.5) as sim:``.

        From there it goes on as it did, unless it is told otherwise. If the run had ended by *time*, so has the simulation.
        Leaving the body cancels what still runs; what fails thereby is not raised. In the body this thread cannot run
        Trio otherwise, so this timeline can be asked for what was kept only.

        Raises:
            NondeterminismError: it did something else this time.
            ValueError: *time* is no moment.
        """
        recipe = self._recipe
        world = recipe.world()
        subject = recipe.subject(recipe.used())
        simulating: Simulating[S, object] = Simulating(world, subject, recipe.trial(world))
        stand = math.inf if check_time(time) > self.duration else time
        return Live(simulating, world, self._kept.instants, stand)

    def fork(
        self,
        *,
        at: float = 0.0,
        faults: Faults | None = None,
        replacing: Replacing | None = None,
        doing: Callable[[], object] | None = None,
        seed: int | None = None,
    ) -> Timeline[S]:
        """The same history before *at*, and another future: ``timeline.fork(at=12.5, faults=Faults(model=always()))``.

        With nothing changed the fork is the same to the last step. What a timeline was itself changed in later than *at*
        stays, unless this fork changes that.

        Args:
            at: virtual seconds; what is due then happens in the fork's way.
            faults: what fails from then on, instead of what failed until then; ``Faults()`` lets nothing fail. Calls are
                counted from then on.
            replacing: step -> the node that is run in its place by visits that begin from then on, a flow or a `parallel`
                as well; or that step with other options: ``{draft: draft.with_(retry=None, guards=[other])}``. A visit
                that began before ends as it began.
            doing: plain code that is called once, then, before anything that is due: ``breaker.open``, ``event.set``. It
                is called anew whenever this is run again, so it must not keep count.
            seed: what the order of tasks and faults are drawn from then on.

        Raises:
            UnusedFaultError: a fault was planned at a place the run did not come to from then on.
            FlowDefinitionError: a step is not in this flow, or a node does not fit it.
            NondeterminismError: the history was another this time.
            TypeError: a program has no steps to replace, or *doing* is async.
            ValueError: *at* is no moment, or nothing can be done then since all is over.
            Exception: what *doing* raised.
        """
        if (
            doing is not None
            and at > self.duration
            and not isinstance(self.error, DeadlockError)
        ):
            raise ValueError(
                f"nothing can be done at {at!r} s: all was over at {self.duration!r} s"
            )
        change = Change(
            at=check_time(at), faults=faults, replacing=replacing, doing=doing, seed=seed
        )
        stuck = isinstance(self.error, StuckError)  # who ends it then makes steps of its own
        until = min(at, self.duration) if stuck else at
        return recorded(self._recipe.changed(change), self._kept.instants, until)

    def diff(self, other: Timeline[S], /) -> Diff:
        """Where this timeline and *other* part."""
        return compared(self._account(), other._account(), lambda: (self.trace, other.trace))

    @cached_property
    def trace(self) -> Sequence[str]:
        """What happened, line by line: ``0.5 worker#2`` for a step of a task, ``0.5 | node_start writing/draft`` for an event.

        Runs again when first asked for. Two timelines with equal traces are the same run.

        Raises:
            NondeterminismError: it did something else this time.
        """
        world = self._recipe.world(trace=True)
        subject = self._recipe.subject(self._recipe.used())
        instants = Instants()
        subject.heard = lambda event: world.note(f"{event.event_type} {event.path}")

        def look() -> None:
            instants.add(world.clock.time, world.order.steps)

        swept(world, self._recipe, subject, look)
        same_so_far(self._kept.instants, instants)
        return world.trace_lines()

    def to_svg(self, *, width: int = 1100, lanes: int = 40) -> str:
        """A picture of the run: tasks over virtual time, what each waited for, its steps, and what guards did.

        One SVG without scripts, for light and dark pages, of bounded size; the same run gives the same bytes. Long idle
        stretches are drawn broken. Within an instant, steps stand in their order where there is room. The choices of a
        schedule that was given as ``replay`` are marked. Runs again when first asked for.

        Args:
            width: pixels, at least 480.
            lanes: how many tasks are drawn one by one, the oldest first; 1 to 60. The others are drawn as their number.

        Raises:
            NondeterminismError: it did something else this time.
            ValueError: an argument makes no sense.
        """
        from ._timeline_drawing import drawn  # noqa: PLC0415 - who draws nothing need not load it

        return drawn(lambda: self._sketch, width=width, lanes=lanes)

    @cached_property
    def _sketch(self) -> Sketch:
        from ._sketched import sketched  # noqa: PLC0415 - the same

        return sketched(self._recipe, self._ended, self._kept.instants)

    # ---------------------------------------------------------------- how it works

    def _moment(self, time: float, number: int, events: int) -> Moment[S]:
        past = Past(
            time, self._kept, number, self.events, events, lambda: self._again(time, number)
        )
        return Moment(time, past)

    def _again(self, time: float, number: int) -> AbstractContextManager[Simulation[S, object]]:
        over = number == len(self.times) - 1 and time >= self.duration
        return self.live(math.inf if over else time)

    def _account(self) -> Account:
        ended = self._ended
        return Account(
            events=self.events,
            instants=self._kept.instants,
            choices=(ended.deviations, ended.widths),
            state=self.final.state,
            end=self._end(),
            time=self.duration,
        )

    def _end(self) -> str:
        if self.cancelled:
            return "was cancelled"
        error = self.error
        if error is None:
            return "ended well"
        return f"{type(error).__name__}: {shown_text(error, error)}"
