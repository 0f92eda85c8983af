"""What fails in a test, and when: by the name of a step or of a `fault_point`, repeatable from the seed.

Layer: testing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TypeAlias, TypeVar, final

import attrs
from typing_extensions import override

from ..robustness import FAULTS
from ._errors import UnusedFaultError

__all__ = ["Body", "Fault", "Faults", "InjectedError", "Used", "always", "error_rate", "first"]


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

    def plan(self, seed: int) -> _Plan:
        """What one execution has of it."""
        return _Plan(self._by_name, seed)


@final
class _Plan:
    """The faults of one execution."""

    def __init__(self, by_name: Mapping[str, Strike], seed: int) -> None:
        self._by_name = by_name
        self._seed = seed
        self.calls: Counter[str] = Counter()

    def strike(self, name: str, /) -> None:
        """Raise what is to fail at *name* now."""
        strike = self._by_name.get(name)
        if strike is None:
            return
        self.calls[name] += 1
        call = self.calls[name]
        if isinstance(strike, Fault):
            error = strike.strike(call, Random(f"{self._seed}/{name}#{call}"))
        else:
            error = strike(call)
        if error is not None:
            raise error


@final
class Used:
    """Which faults were asked for by any execution."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults
        self._asked: Counter[str] = Counter()

    def around(self, body: Body[T]) -> Body[T]:
        """*body* with the faults in force in its task and whatever that starts."""
        faults = self._faults
        if faults is None:
            return body

        async def faulty(seed: int) -> T:
            __tracebackhide__ = True
            plan = faults.plan(seed)
            token = FAULTS.set(plan)
            try:
                return await body(seed)
            finally:
                FAULTS.reset(token)
                self._asked.update(plan.calls)

        return faulty

    def check(self) -> None:
        """Make sure that every name was asked for.

        Raises:
            UnusedFaultError: some were not.
        """
        names = () if self._faults is None else self._faults.names
        unused = tuple(name for name in names if not self._asked[name])
        if unused:
            raise UnusedFaultError(names=unused)


def _made(error: Error) -> Exception:
    return error() if isinstance(error, type) else error
