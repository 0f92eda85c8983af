"""The faults of one execution: asked at every call, and carried out.

Layer: testing. Which calls were struck is written down, so that a failure can be had with fewer of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeAlias, TypeVar, final

import attrs
import trio

from ..engine import stop_from_inside
from ..robustness import FAULTS
from ._clock import SimulatedClock
from ._code_core import Strikes
from ._errors import UnusedFaultError
from ._faults import CALLER, Body, Cancel, Delay, Duplicate, Faults, LostReply, Wrong

__all__ = ["Hit", "Turn", "Used"]

T = TypeVar("T")

Hit: TypeAlias = tuple[str, int]
"""A call that was struck: its name, and its number, counted from 1."""

_NONE: Final = Faults()
_KNOWN: Final = 300


@final
@attrs.frozen
class Turn:
    """From a moment on other things go wrong.

    Attributes:
        at: that moment, virtual seconds.
        faults: what goes wrong from then on; calls are counted anew. None: as before.
        seed: what is drawn from; None: as before.
    """

    at: float
    faults: Faults | None
    seed: int | None = None


@final
class _Plan:
    """The faults of one execution.

    Attributes:
        calls: how often each name was asked for.
        met: names that could have been asked for, some hundred at most.
        hits: the calls that were struck, in order.
    """

    def __init__(
        self, faults: Faults, turns: Sequence[Turn], only: frozenset[Hit] | None, seed: int
    ) -> None:
        self._faults = faults
        self._seed = seed
        self._only = only
        self._turns = [*turns]
        self._idle = not faults.names and not turns
        self.calls: Counter[str] = Counter()
        self.met: dict[str, None] = {}
        self.hits: list[Hit] = []

    async def point(self, name: str, /) -> None:  # noqa: ASYNC910 - as it says: no checkpoint unless it is told to wait
        """Let happen what is to happen at the fault point of that name."""
        if not self._idle:
            await self.call(lambda: (name,), _nothing)

    async def call(  # noqa: ASYNC910 - the same
        self, names: Callable[[], Sequence[str]], work: Callable[[], Awaitable[T]], /
    ) -> T:
        """Make a call that has these names, the most telling first, and let go wrong with it what is to go wrong."""
        wrong = None if self._idle else self._struck(names())
        return await _made(wrong, work)

    def calls_at_the_end(self) -> Mapping[str, int]:
        """How often each name was asked for, after the last turn."""
        self._turn(math.inf)
        return self.calls

    def _struck(self, names: Sequence[str]) -> Wrong | None:
        """What goes wrong with a call of these *names*; each of them counts it."""
        if self._turns:
            self._turn(trio.current_time())
        found: Wrong | None = None
        for name in dict.fromkeys(names):  # a step that runs alone has its name as path
            if len(self.met) < _KNOWN:
                self.met[name] = None
            if name in self._faults:
                self.calls[name] += 1
                struck = self._at(name, self.calls[name])
                found = struck if found is None else found
        return found

    def _at(self, name: str, call: int) -> Wrong | None:
        wrong = self._faults.strike(name, call, self._seed)
        if wrong is None or (self._only is not None and (name, call) not in self._only):
            return None
        self.hits.append((name, call))
        return wrong

    def _turn(self, now: float) -> None:
        while self._turns and now >= self._turns[0].at:
            turn = self._turns.pop(0)
            self._only = None
            self._seed = self._seed if turn.seed is None else turn.seed
            if turn.faults is not None:
                self._faults = turn.faults
                self.calls.clear()


async def _made(wrong: Wrong | None, work: Callable[[], Awaitable[T]]) -> T:
    """Make the call with what goes wrong."""
    while isinstance(wrong, Delay):
        await trio.sleep(wrong.seconds)
        wrong = wrong.then
    match wrong:
        case LostReply():
            await work()
            raise wrong.error
        case Duplicate():
            await work()
        case Cancel():
            _cancel(wrong)
            await trio.lowlevel.checkpoint_if_cancelled()
        case None:
            pass
        case _:
            raise wrong
    return await work()


async def _nothing() -> None:
    """A fault point does nothing itself."""


def _cancel(wrong: Cancel) -> None:
    """Cancel that, or else what is next larger."""
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, SimulatedClock):
        return
    if wrong.of == "branch" and stop_from_inside(_REASON, part=True):
        return
    if wrong.of in {"branch", "run"} and stop_from_inside(_REASON, part=False):
        return
    caller = None if wrong.of == "program" else CALLER.get()
    if caller is None:
        clock.idle.cancel()
    else:
        caller.cancel()


_REASON: Final = "a fault had it cancelled"


@final
class Used:
    """The faults of executions, and which of them were asked for by any.

    Args:
        faults: from the beginning on.
        turns: from later moments on, in order. With any, even none, there is a plan in any case: so that steps go the
            same way whether something is planned or not.

    Attributes:
        only: the calls that may be struck; None: all.
        hits: the calls that were struck in the last execution, in order.
    """

    def __init__(self, faults: Faults | None, turns: Sequence[Turn] | None = None) -> None:
        self._faults = faults
        self._turns = turns
        self._asked: Counter[str] = Counter()
        self._met: dict[str, None] = {}
        self._guards: dict[str, None] = {}
        self.only: frozenset[Hit] | None = None
        self.hits: Sequence[Hit] = ()

    def strikes(self, hits: Sequence[Hit]) -> Strikes:
        """*hits* as a replay code has them."""
        names = [] if self._faults is None else [*self._faults.names]
        return tuple((names.index(name), call) for name, call in hits)

    def allow(self, strikes: Strikes | None) -> None:
        """Let only those calls be struck; None: all. Of names that the plan has not got, none."""
        names = () if self._faults is None else self._faults.names
        self.only = None
        if strikes is not None:
            known = dict(enumerate(names))
            self.only = frozenset((known.get(name, ""), call) for name, call in strikes)

    def around(self, body: Body[T]) -> Body[T]:
        """*body* with the faults in force in its task and whatever that starts."""
        if self._faults is None and self._turns is None:
            return body
        faults, turns = self._faults or _NONE, self._turns or ()

        async def faulty(seed: int) -> T:
            __tracebackhide__ = True
            plan = _Plan(faults, turns, self.only, seed)
            token = FAULTS.set(plan)
            try:
                return await body(seed)
            finally:
                FAULTS.reset(token)
                self._asked.update(plan.calls_at_the_end())
                self._met.update(plan.met)
                self._guards.update(_guards_of(trio.lowlevel.current_clock()))
                self.hits = plan.hits

        return faulty

    def check(self) -> None:
        """Make sure that every name was asked for; of several turns, of those that came last.

        Raises:
            UnusedFaultError: some were not.
        """
        last = self._turns[-1].faults if self._turns else self._faults
        names = () if last is None or last.lenient else last.names
        unused = tuple(name for name in names if not self._asked[name])
        if unused:
            entered = tuple(name for name in unused if name in self._guards)
            lost = [name for name in unused if name not in entered]
            near = {name: get_close_matches(name, [*self._met], n=1) for name in lost}
            raise UnusedFaultError(
                names=unused,
                entered=entered,
                near={name: found[0] for name, found in near.items() if found},
            )


def _guards_of(clock: object) -> Mapping[str, None]:
    """The names of the guards that were used."""
    met = clock.met if isinstance(clock, SimulatedClock) else ()
    return dict.fromkeys(guard.name for guard in met)
