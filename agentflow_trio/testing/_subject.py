"""What is simulated: a program, or a flow with its state; and what can be seen of it while it runs.

Layer: testing. One subject is executed once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

from typing_extensions import override

from ..engine import Engine, Run
from ..events import ExecutionEvent
from ..flow import Flow
from ..state import fork
from ..types import AttrsState, RunResult
from ._fault_plan import Used
from ._faults import Body
from ._program import body_of, is_flow

__all__ = ["Subject", "subject_of"]

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
    """

    def __init__(self, used: Used) -> None:
        self.used: Used = used
        self.events: list[ExecutionEvent] = []
        self.heard: Callable[[ExecutionEvent], None] | None = None

    @abstractmethod
    async def execute(self, seed: int) -> R_co:
        """Do it."""

    @abstractmethod
    def state(self) -> S_co:
        """A fork of the state as it is now."""

    @abstractmethod
    def cancel(self, reason: str) -> bool:
        """Cancel it in its own way; False if it has none."""


def subject_of(program: Any, state: Any, used: Used) -> Subject[Any, Any]:  # noqa: ANN401 - the public functions are typed
    """What is simulated of *program*, or of the flow it is with *state*.

    Raises:
        TypeError: it is neither a flow with its state nor a function of at most one argument.
    """
    body = body_of(program, state)
    if is_flow(program):
        return _FlowSubject(program, state, used)
    return _ProgramSubject(body, used)


@final
class _ProgramSubject(Subject[None, R]):
    """An async function."""

    def __init__(self, body: Body[R], used: Used) -> None:
        super().__init__(used)
        self._body = body

    @override
    async def execute(self, seed: int) -> R:
        return await self._body(seed)

    @override
    def state(self) -> None:
        return None

    @override
    def cancel(self, reason: str) -> bool:
        return False


@final
class _FlowSubject(Subject[State, RunResult[State]]):
    """A flow, run by an engine that listens."""

    def __init__(self, flow: Flow[State, ...], state: State, used: Used) -> None:
        super().__init__(used)
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
    async def execute(self, seed: int) -> RunResult[State]:
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
