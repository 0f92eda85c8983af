"""What fails in a test, and when: by the name of a step or of a `fault_point`, repeatable from the seed.

Layer: testing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Final, TypeAlias, TypeVar, final

import attrs
import trio
from typing_extensions import override

from ..robustness import FAULTS
from ._errors import UnusedFaultError

__all__ = [
    "Body",
    "Fault",
    "Faults",
    "InjectedError",
    "Turn",
    "Used",
    "always",
    "error_rate",
    "first",
]


T = TypeVar("T")

Body: TypeAlias = Callable[[int], Awaitable[T]]
"""A program, given its seed."""


class InjectedError(Exception):
    """What a fault raises unless told otherwise."""


Error: TypeAlias = Exception | type[Exception]


class Fault(ABC):
    """Decides call by call."""

    @abstractmethod
    def strike(self, call: int, dice: Random, /) -> Exception | None:
        """What the n-th call (counted from 1) raises, if anything. *dice* belong to this call alone."""


Strike: TypeAlias = Fault | Callable[[int], Exception | None]
"""A `Fault`, or a function of the number of the call, counted from 1."""


@final
@attrs.frozen
class _Always(Fault):
    error: Error

    @override
    def strike(self, call: int, dice: Random, /) -> Exception:
        return _made(self.error)


@final
@attrs.frozen
class _First(Fault):
    count: int
    error: Error

    @override
    def strike(self, call: int, dice: Random, /) -> Exception | None:
        return _made(self.error) if call <= self.count else None


@final
@attrs.frozen
class _Rate(Fault):
    rate: float
    error: Error

    @override
    def strike(self, call: int, dice: Random, /) -> Exception | None:
        return _made(self.error) if dice.random() < self.rate else None


def always(error: Error = InjectedError, /) -> Fault:
    """Every call fails: ``Faults(model=always(TimeoutError))``."""
    return _Always(error)


def first(count: int, error: Error = InjectedError, /) -> Fault:
    """The first *count* calls fail.

    Raises:
        ValueError: *count* is negative.
    """
    if count < 0:
        raise ValueError(f"count must be >= 0, not {count}")
    return _First(count, error)


def error_rate(rate: float, error: Error = InjectedError, /) -> Fault:
    """Each call fails with a chance of *rate*, drawn from the seed of the execution, the name and the number of the call.

    Raises:
        ValueError: *rate* is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be between 0 and 1, not {rate}")
    return _Rate(rate, error)


@final
class Faults:
    """What fails: ``Faults(model=error_rate(0.05), save=first(2, OSError))``.

    A name is that of a step, whose every attempt of ``exec`` is a call, or of an ``await fault_point("name")``. A name
    that nothing asked for is an error when the simulation ends: it is probably misspelt. Immutable; calls are counted
    by each execution for itself.
    """

    __slots__ = ("_by_name",)

    def __init__(self, **by_name: Strike) -> None:
        """Say what fails.

        Raises:
            TypeError: a value is neither a `Fault` nor a function of the number of the call.
        """
        for name, strike in by_name.items():
            if not isinstance(strike, Fault) and not callable(strike):
                raise TypeError(
                    f"Faults({name}=...) takes a fault or a function, not {strike!r}"
                )
        self._by_name: Mapping[str, Strike] = dict(by_name)

    @override
    def __repr__(self) -> str:
        return f"Faults({', '.join(f'{name}={strike!r}' for name, strike in self._by_name.items())})"

    @property
    def names(self) -> tuple[str, ...]:
        """What can fail."""
        return tuple(self._by_name)

    def strike(self, name: str, call: int, seed: int) -> Exception | None:
        """What that call at *name* raises, if anything."""
        strike = self._by_name[name]
        if isinstance(strike, Fault):
            return strike.strike(call, Random(f"{seed}/{name}#{call}"))
        return strike(call)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name


_NONE: Final = Faults()


@final
@attrs.frozen
class Turn:
    """From a moment on other things fail.

    Attributes:
        at: that moment, virtual seconds.
        faults: what fails from then on; calls are counted anew. None: as before.
        seed: what is drawn from; None: as before.
    """

    at: float
    faults: Faults | None
    seed: int | None = None


@final
class _Plan:
    """The faults of one execution."""

    def __init__(self, faults: Faults, turns: Sequence[Turn], seed: int) -> None:
        self._faults = faults
        self._seed = seed
        self._turns = [*turns]
        self.calls: Counter[str] = Counter()

    def strike(self, name: str, /) -> None:
        """Raise what is to fail at *name* now."""
        if self._turns:
            self._turn(trio.current_time())
        if name not in self._faults:
            return
        self.calls[name] += 1
        error = self._faults.strike(name, self.calls[name], self._seed)
        if error is not None:
            raise error

    def calls_at_the_end(self) -> Mapping[str, int]:
        """How often each name was asked for, after the last turn."""
        self._turn(math.inf)
        return self.calls

    def _turn(self, now: float) -> None:
        while self._turns and now >= self._turns[0].at:
            turn = self._turns.pop(0)
            self._faults = self._faults if turn.faults is None else turn.faults
            self._seed = self._seed if turn.seed is None else turn.seed
            self.calls.clear()


@final
class Used:
    """The faults of executions, and which of them were asked for by any.

    Args:
        faults: from the beginning on.
        turns: from later moments on, in order. With any, even none, there is a plan in any case: so that steps go the
            same way whether something is planned or not.
    """

    def __init__(self, faults: Faults | None, turns: Sequence[Turn] | None = None) -> None:
        self._faults = faults
        self._turns = turns
        self._asked: Counter[str] = Counter()

    def around(self, body: Body[T]) -> Body[T]:
        """*body* with the faults in force in its task and whatever that starts."""
        if self._faults is None and self._turns is None:
            return body
        faults, turns = self._faults or _NONE, self._turns or ()

        async def faulty(seed: int) -> T:
            __tracebackhide__ = True
            plan = _Plan(faults, turns, seed)
            token = FAULTS.set(plan)
            try:
                return await body(seed)
            finally:
                FAULTS.reset(token)
                self._asked.update(plan.calls_at_the_end())

        return faulty

    def check(self) -> None:
        """Make sure that every name was asked for; of several turns, of those that came last.

        Raises:
            UnusedFaultError: some were not.
        """
        last = self._turns[-1].faults if self._turns else self._faults
        names = () if last is None else last.names
        unused = tuple(name for name in names if not self._asked[name])
        if unused:
            raise UnusedFaultError(names=unused)


def _made(error: Error) -> Exception:
    return error() if isinstance(error, type) else error
