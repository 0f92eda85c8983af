"""An observer that surrounds everything, and notes what it surrounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import trio

from agentflow_trio.ports import Where

from .engine_kit import Recorder

INSIDE: ContextVar[tuple[str, ...]] = ContextVar("inside", default=())
"""What surrounds the caller, as `short` says it, outermost first."""


def short(where: Where) -> str:
    """``step f/a``, with the number of the attempt, if it is one."""
    attempt = f" @{where.attempt}" if where.kind == "attempt" else ""
    return f"{where.kind} {where.path}{attempt}"


class Surrounding(Recorder):
    """Surrounds every stretch, and tells events and stretches in one list of lines."""

    def __init__(self, name: str = "surrounding") -> None:
        super().__init__(name)
        self.wheres: list[Where] = []
        self.story: list[str] = []
        self.open: list[str] = []

    def around(self, where: Where, /) -> AbstractContextManager[object]:
        self.wheres.append(where)
        return self._around(short(where))

    @contextmanager
    def _around(self, what: str) -> Iterator[None]:
        task, token = trio.lowlevel.current_task(), INSIDE.set((*INSIDE.get(), what))
        self.open.append(what)
        self.story.append(f"> {what}")
        how = ""
        try:
            yield
        except BaseException as error:
            how = f" by {type(error).__name__}"
            raise
        finally:
            self.story.append(f"< {what}{how}")
            self.open.remove(what)
            assert trio.lowlevel.current_task() is task
            INSIDE.reset(token)
