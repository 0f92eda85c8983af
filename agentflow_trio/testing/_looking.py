"""Running a recipe and looking at it whenever time is about to go on.

Layer: testing. What looks may be as slow as it likes: no virtual time passes. It must not raise into Trio, so what it
raises waits until the run is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import zip_longest
from typing import Final, Generic, TypeVar, final

from ..ports import Met
from ..robustness import Outlook, RateLimiter
from ._errors import NondeterminismError
from ._moment import Moment, Present
from ._recipe import Recipe
from ._search_core import Trial
from ._subject import Subject
from ._timeline_core import BEFORE, Instants, Kept, weight_of
from ._world import Ended, World

__all__ = ["Recorder", "Watcher", "same_so_far", "swept"]

S = TypeVar("S")
Value = TypeVar("Value")

_ROOM: Final = 2_000_000
"""Values that the states of a timeline may hold together; about 100 MB if all are numbers in lists."""


@final
class Recorder(Generic[S]):
    """Keeps state and statistics of every instant, as far as there is room; those of the end in any case.

    Attributes:
        instants: when something happened.
        states: by instant.
        statistics: of every guard in ``met`` that had been used, by instant; of a rate limiter an `Outlook`.
        met: the guards, in the order of first use.
        end: how it looked when it was over.
    """

    def __init__(self, subject: Subject[S, object], world: World) -> None:
        self.instants: Instants = Instants()
        self.states: Kept[S] = Kept(_ROOM)
        self.statistics: Kept[tuple[object, ...]] = Kept(_ROOM)
        self.met: list[Met] = []
        self.end: Moment[S] | None = None
        self._subject = subject
        self._world = world
        self._last: tuple[object, ...] = ()

    def begin(self) -> None:
        """Take a picture of what is before everything."""
        self._keep_state(BEFORE)

    def look(self) -> None:
        """Take a picture of now."""
        world = self._world
        number = self.instants.add(world.clock.time, world.order.steps)
        if self.states.wants(number):
            self._keep_state(number)
        met = self.met = world.clock.met
        if self.statistics.wants(number):
            told = tuple(_told(guard, last) for guard, last in zip_longest(met, self._last))
            if told == self._last:
                told = self._last  # one tuple for as long as nothing changes
            self.statistics.put(number, told, 1 + len(told))
            self._last = told

    def finish(self) -> None:
        """Take the last picture."""
        self.look()
        present = Present(self._subject, self._world)
        self.end = Moment(self._world.clock.time, present).settled()
        present.over = True

    def _keep_state(self, number: int) -> None:
        state = self._subject.state()
        self.states.put(number, state, weight_of(state))


def _told(guard: Met, last: object) -> object:
    """What is kept of *guard*: its statistics, or what tells them if they change by themselves while time passes."""
    if isinstance(guard, RateLimiter):
        return guard.outlook(last if isinstance(last, Outlook) else None)
    told = guard.statistics()
    return last if told == last else told


@final
class Watcher(Generic[S, Value]):
    """Asks a function at every instant, and keeps what it said when that was something else.

    Attributes:
        instants: when it was asked, the first time aside.
        start: what it said before anything had happened.
        changes: when it changed, and to what.
    """

    def __init__(
        self, subject: Subject[S, object], world: World, fn: Callable[[Moment[S]], Value]
    ) -> None:
        self._subject = subject
        self._world = world
        self._fn = fn
        self.instants: Instants = Instants()
        self._said: list[Value] = []

    def look(self) -> None:
        """Ask."""
        present = Present(self._subject, self._world)
        time = self._world.clock.time
        said = self._fn(Moment(time, present))
        present.over = True
        number = BEFORE
        if self._said:
            number = self.instants.add(time, self._world.order.steps)
        del self._said[number + 1 :]
        self._said.append(said)

    @property
    def start(self) -> Value:
        """What it said before anything had happened."""
        return self._said[0]

    @property
    def changes(self) -> tuple[tuple[float, Value], ...]:
        """When it said something else, and what."""
        pairs = zip(self.instants.times, self._said, self._said[1:], strict=False)
        return tuple((time, new) for time, old, new in pairs if new != old)


def swept(
    world: World,
    recipe: Recipe,
    subject: Subject[S, object],
    look: Callable[[], None],
    *,
    begin: Callable[[], None] | None = None,
    finish: Callable[[], None] | None = None,
    trial: Trial | None = None,
) -> Ended[object]:
    """Execute *subject* in *world*, with *look* called at the end of every instant.

    *begin* is called before the first; *finish*, by default *look*, at the end of the last. *trial* is the schedule if it
    is not to be made anew.

    Raises:
        Exception: what *look* raised, or what was to be done at a moment.
    """
    looking = _Looking(world, look, finish or look)

    async def body(seed: int) -> object:
        __tracebackhide__ = True
        looking.begin(begin)
        try:
            return await faulty(seed)
        finally:
            looking.end()

    faulty = subject.used.around(subject.execute)
    ended = world.execute(body, trial or recipe.trial(world))
    error = subject.broken or looking.error
    if error is not None:
        raise error
    return ended


@final
class _Looking:
    def __init__(
        self, world: World, look: Callable[[], None], last: Callable[[], None]
    ) -> None:
        self._clock = world.clock
        self._look = look
        self._last = last
        self.error: Exception | None = None

    def begin(self, first: Callable[[], None] | None) -> None:
        self._clock.leaving = self
        if first is not None:
            self._try(first)

    def end(self) -> None:
        self._try(self._last)
        self._clock.leaving = None

    def __call__(self) -> None:
        self._try(self._look)

    def _try(self, look: Callable[[], None]) -> None:
        if self.error is not None:
            return
        try:
            look()
        except Exception as error:  # noqa: BLE001 - raised when the run is over
            self.error = error


def same_so_far(one: Instants, two: Instants, end: float = math.inf) -> None:
    """Make sure that what ran again did the same before *end*.

    Raises:
        NondeterminismError: it did not.
    """
    number = one.parts(two, end)
    if number is not None:
        first, second = one.told(number), two.told(number)
        raise NondeterminismError(line=number + 1, first=first, second=second, before=())
