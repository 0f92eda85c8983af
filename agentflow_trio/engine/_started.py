"""A run in a task of its own that lasts as long as a body: what ``engine.start`` returns.

Layer: engine. Rule: it begins when the body is entered, and leaving the body waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar, final

import trio

from ._execution import Execution
from ._handle import Run

__all__ = ["Started"]

State = TypeVar("State")


@final
class Started(Generic[State]):
    """A run as long as the body of ``async with engine.start(...)``."""

    def __init__(self, launch: Callable[[], Execution[State]]) -> None:
        self._launch = launch
        self._run: Execution[State] | None = None

    async def __aenter__(self) -> Run[State]:
        await trio.lowlevel.checkpoint()
        self._run = self._launch()
        return Run(self._run)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        if self._run is not None:
            await self._run.leave(exc)  # noqa: ASYNC102 - bounded by the run's cleanup_grace
