"""Several guards entered as one.

Layer: robustness. Rules: the same happens as in ``async with outer, inner:``; who was entered is left again, the last one
first, if a later one refuses or is cancelled; no state of its own: each guard knows what it has let in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Never, TypeVar, TypeVarTuple, final

from trio.lowlevel import enable_ki_protection

from .._typing import override
from ._fault_point import FAULTS
from ._guard import Guard, Member

__all__ = ["Passage"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class Passage(Member[Never]):
    """Guards to go through, the outermost first.

    Attributes:
        guards: what is entered.
    """

    __slots__ = ("_judging", "_timed", "guards")

    def __init__(self, guards: Sequence[Guard], timed: int, judging: Sequence[int]) -> None:
        """Time that a guard measures begins when the first *timed* are entered; permits of those *judging* are told results."""
        self.guards: tuple[Guard, ...] = tuple(guards)
        self._timed = timed
        self._judging = tuple(judging)

    @enable_ki_protection
    async def __aenter__(self) -> Sequence[Any]:  # noqa: ASYNC910 - as its guards do
        """Enter all, and return their permits."""
        permits: list[Any] = []
        try:
            for guard in self.guards:
                if len(permits) == self._timed:
                    _start(permits)
                permit = await guard.__aenter__()
                permits.append(permit)  # at once: it is left if the next one refuses
            if len(permits) == self._timed:
                _start(permits)
        except BaseException as error:
            await self._leave(  # noqa: ASYNC102 - leaving never waits
                len(permits), type(error), error, error.__traceback__
            )
            raise
        return permits  # noqa: ASYNC910 - as its guards do

    @enable_ki_protection
    async def __aexit__(  # noqa: ASYNC910 - an await here would lose the body's error
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Leave all, the innermost first. What one of them raises is what those around it see."""
        await self._leave(len(self.guards), kind, error, trace)  # noqa: ASYNC102 - never waits

    async def _leave(  # noqa: ASYNC910 - the same
        self,
        number: int,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the first *number*. One calls itself in the handler of the other, so that no error forgets its context."""
        while number:
            number -= 1
            try:
                await self.guards[number].__aexit__(kind, error, trace)
            except BaseException as another:
                await self._leave(  # noqa: ASYNC102 - never waits
                    number, type(another), another, another.__traceback__
                )
                raise

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value:
        """Enter, return ``await fn(*args)``, leave."""
        async with self as permits:
            plan = FAULTS.get()
            result = await (
                fn(*args) if plan is None else plan.call(self._names, partial(fn, *args))
            )
            for number in self._judging:
                permits[number].record(result)
            return result

    def _names(self) -> Sequence[str]:
        return tuple(guard.name for guard in self.guards)


def _start(permits: Sequence[object]) -> None:
    """Let time count from now for those that measure it: guards inside them may have made them wait."""
    for permit in permits:
        start: object = getattr(permit, "start", None)
        if callable(start):
            start()
