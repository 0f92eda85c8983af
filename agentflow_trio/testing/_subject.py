"""What is simulated: a program, or a flow with its state; and what can be seen of it while it runs.

Layer: testing. One subject is executed once.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, final

import trio
from typing_extensions import override

from ..engine import Engine, Run, Runnable
from ..errors import UnknownBranchError
from ..events import ExecutionEvent
from ..state import fork
from ..types import AttrsState, RunResult
from ._clock import SimulatedClock, Turning
from ._fault_plan import Used
from ._faults import Body
from ._program import body_of, is_flow, title_of

__all__ = ["Subject", "plainly", "subject_of"]

State = TypeVar("State", bound=AttrsState)
S_co = TypeVar("S_co", covariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Subject(ABC, Generic[S_co, R_co]):
    """What is simulated. ``S_co`` is the state of a flow (None for a program), ``R_co`` what comes of it.

    Attributes:
        used: what of its faults was asked for.
        events: what it has reported.
        heard: is told each of them, too.
        broken: what was raised by what is done to it from outside, which has cancelled it.
    """

    def __init__(self, used: Used, turns: Sequence[Turning]) -> None:
        self.used: Used = used
        self.events: list[ExecutionEvent] = []
        self.heard: Callable[[ExecutionEvent], None] | None = None
        self.broken: Exception | None = None
        self._turns = turns

    async def execute(self, seed: int) -> R_co:  # noqa: ASYNC910 - as much of a checkpoint as what it does
        """Do it; at the moments that were asked for, what was to be done then is done."""
        clock = trio.lowlevel.current_clock()
        if self._turns and isinstance(clock, SimulatedClock):
            clock.turns = [self._guarded(turn, clock) for turn in self._turns]
        return await self._do(seed)

    def _guarded(self, turn: Turning, clock: SimulatedClock) -> Turning:
        """*turn* that raises nothing into Trio."""

        def act() -> None:
            try:
                turn.act()
            except Exception as error:  # noqa: BLE001 - raised when the run is over
                self.broken = error
                clock.idle.cancel()

        return turn._replace(act=act)

    @abstractmethod
    async def _do(self, seed: int) -> R_co: ...

    @abstractmethod
    def state(self) -> S_co:
        """A fork of the state as it is now."""

    @abstractmethod
    def cancel(self, reason: str) -> bool:
        """Cancel it in its own way; False if it has none."""

    @abstractmethod
    def cancel_part(self, reason: str, path: str) -> None:
        """Cancel the branch or item at *path*.

        Raises:
            UnknownBranchError: none is going on there.
            TypeError: there are never any.
        """


def subject_of(
    program: Any,  # noqa: ANN401 - the public functions are typed
    state: Any,  # noqa: ANN401 - the same
    used: Used,
    turns: Sequence[Turning] = (),
    instead: Runnable[Any] | None = None,
) -> Subject[Any, Any]:
    """What is simulated of *program*, or of the flow it is with *state*, or of what is run *instead* of that flow.

    *turns* are done to it, in order of time.

    Raises:
        TypeError: it is neither a flow with its state nor a function of at most one argument.
    """
    body = body_of(program, state)
    if is_flow(program):
        return _FlowSubject(instead or program, state, used, turns)
    return _ProgramSubject(body, used, turns)


def plainly(act: Callable[[], object]) -> Callable[[], None]:
    """*act*, which must be plain code."""

    def do() -> None:
        returned = act()
        if inspect.iscoroutine(returned):
            returned.close()
            raise TypeError(
                f"{title_of(act)}() is async; what is done at a moment is plain code, for time stands still"
            )

    return do


@final
class _ProgramSubject(Subject[None, R]):
    """An async function."""

    def __init__(self, body: Body[R], used: Used, turns: Sequence[Turning]) -> None:
        super().__init__(used, turns)
        self._body = body

    @override
    async def _do(self, seed: int) -> R:
        return await self._body(seed)

    @override
    def state(self) -> None:
        return None

    @override
    def cancel(self, reason: str) -> bool:
        return False

    @override
    def cancel_part(self, reason: str, path: str) -> None:
        raise TypeError(
            "only a flow has branches and items to cancel; cancel what spawn() returned, or a scope of your own"
        )


@final
class _FlowSubject(Subject[State, RunResult[State]]):
    """A flow, run by an engine that listens."""

    def __init__(
        self, flow: Runnable[State], state: State, used: Used, turns: Sequence[Turning]
    ) -> None:
        super().__init__(used, turns)
        self._flow = flow
        self._state = state
        self._run: Run[State] | None = None

    @property
    def name(self) -> str:
        """As an observer."""
        return "simulation"

    def observe(self, event: ExecutionEvent, /) -> None:
        """Keep what is reported."""
        self.events.append(event)
        if self.heard is not None:
            self.heard(event)

    @override
    async def _do(self, seed: int) -> RunResult[State]:
        async with (
            Engine(observers=[self], observer_budget=math.inf) as engine,
            engine.start(self._flow, self._state, seed=seed) as run,
        ):
            self._run = run
            return await run.result()

    @override
    def state(self) -> State:
        return fork(self._state) if self._run is None else self._run.state

    @override
    def cancel(self, reason: str) -> bool:
        if self._run is None:
            return False
        self._run.request_cancel(reason)
        return True

    @override
    def cancel_part(self, reason: str, path: str) -> None:
        if self._run is None:
            raise UnknownBranchError(path=path, near=(), live=0)
        self._run.request_cancel(reason, at=path)
