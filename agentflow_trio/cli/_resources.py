"""``--resources NAME``: what steps of the flow use, opened for one run by a function beside the flow.

Layer: cli. Rules: it is open before the run begins and closed after it has ended; what goes wrong with it is an error of
the command before the run, and a line after it, which then has its outcome.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias, final

import attrs
import trio

from .._typing import TypeIs
from ..types import Resource
from ._exit import UsageError
from ._loading import did_you_mean

__all__ = ["HINT", "Resources"]

Opened: TypeAlias = Mapping[Resource[Any], object]

HINT = "On the command line: --resources NAME, a function beside the flow that opens them."


@final
@attrs.frozen
class Resources:
    """What was asked for.

    Attributes:
        name: of the function, as typed; None if none was.
        beside: what stands beside the flow.
    """

    name: str | None = None
    beside: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    @asynccontextmanager
    async def opened(self, say: Callable[[str], object]) -> AsyncGenerator[Opened]:
        """Open them for as long as this is entered; *say* is told what could not be closed. Always a checkpoint.

        Raises:
            UsageError: there is no such function, or it raises.
        """
        await trio.lowlevel.checkpoint()
        if self.name is None:
            yield {}
            return
        stack = AsyncExitStack()
        found = await self._open(self.name, stack)
        try:
            yield found
        finally:
            try:
                await stack.aclose()
            except Exception as error:  # noqa: BLE001 - whatever it raises, the run has its outcome
                say(f"--resources {self.name}: not closed: {type(error).__name__}: {error}")

    async def _open(self, name: str, stack: AsyncExitStack) -> Opened:
        await trio.lowlevel.checkpoint()
        if name not in self.beside:
            near = did_you_mean(name, self.beside)
            raise UsageError(
                problem=f"--resources: there is no {name!r} beside the flow{near}", hint=_HOW
            )
        function = self.beside[name]
        try:
            given: object = function() if callable(function) else function
            if _is_manager(given):
                given = await stack.enter_async_context(given)
        except (Exception, SystemExit) as error:
            problem = f"--resources {name}: {type(error).__name__}: {error}"
            raise UsageError(problem=problem) from error
        if not _is_opened(given):
            problem = (
                f"--resources {name}: it gives {type(given).__name__}, not {{RESOURCE: value}}"
            )
            raise UsageError(problem=problem, hint=_HOW)
        return given


def _is_manager(given: object) -> TypeIs[AbstractAsyncContextManager[object]]:
    return isinstance(given, AbstractAsyncContextManager)


def _is_mapping(given: object) -> TypeIs[Mapping[object, object]]:
    return isinstance(given, Mapping)


def _is_opened(given: object) -> TypeIs[Opened]:
    return _is_mapping(given) and all(isinstance(key, Resource) for key in given)


_HOW = "Write an @asynccontextmanager without parameters that yields {RESOURCE: value}."
