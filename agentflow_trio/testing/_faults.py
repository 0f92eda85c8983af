"""What goes wrong in a test, and when: by the name of a step, an item, a guard or a `fault_point`, repeatable from the seed.

Layer: testing. All of it are values; what one execution makes of them is its plan's business (`_fault_plan`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from random import Random
from typing import Final, Literal, TypeAlias, TypeVar, final

import attrs
import trio
from typing_extensions import override

__all__ = [
    "CALLER",
    "Body",
    "Cancel",
    "Delay",
    "Duplicate",
    "Effect",
    "Fault",
    "Faults",
    "InjectedError",
    "LostReply",
    "Wrong",
    "always",
    "chance",
    "error_rate",
    "first",
    "script",
]

T = TypeVar("T")

Body: TypeAlias = Callable[[int], Awaitable[T]]
"""A program, given its seed."""


CALLER: Final[ContextVar[trio.CancelScope | None]] = ContextVar(
    "agentflow_trio.caller", default=None
)
"""What cancels the spawned task that a call is made in; None in the program itself."""


class InjectedError(Exception):
    """What a fault raises unless told otherwise."""


Error: TypeAlias = Exception | type[Exception]


# ---------------------------------------------------------------- what goes wrong


@final
@attrs.frozen(repr=False)
class Delay:
    """The call takes longer: it begins after so many seconds, and then does what it does, or fails.

    Attributes:
        seconds: how many, >= 0.
        most: with it, any number from *seconds* to this, drawn for each call.
        then: what goes wrong then; nothing by default.
    """

    seconds: float
    most: float | None = None
    then: Wrong | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        most = self.seconds if self.most is None else self.most
        if not 0 <= self.seconds <= most < math.inf:
            raise ValueError(
                f"Delay takes seconds >= 0, or two with the smaller one first, not {self.seconds!r}, {self.most!r}"
            )

    @override
    def __repr__(self) -> str:
        most = "" if self.most is None else f", {self.most!r}"
        then = "" if self.then is None else f", then={_said(self.then)}"
        return f"Delay({self.seconds!r}{most}{then})"

    def drawn(self, dice: Random) -> Delay:
        """The same without a choice."""
        return (
            self
            if self.most is None
            else Delay(dice.uniform(self.seconds, self.most), then=self.then)
        )


@final
@attrs.frozen(repr=False)
class LostReply:
    """The call does all it does, and then fails: the work is done, and nobody is told.

    Attributes:
        error: what it raises.
    """

    error: Error = InjectedError

    @override
    def __repr__(self) -> str:
        return f"LostReply({'' if self.error is InjectedError else _said(self.error)})"


@final
@attrs.frozen
class Duplicate:
    """The call is made twice, one after the other, as a message that is delivered twice; the second reply counts."""


@final
@attrs.frozen
class Cancel:
    """Whoever waits for the call has gone: something around it is cancelled, before the call does anything.

    Attributes:
        of: what is cancelled. ``"program"``: all of it. ``"caller"``: the task of `Simulation.spawn` that makes the call.
            ``"run"``: the run of a flow that it is made in, as `Run.request_cancel` does. ``"branch"``: the branch of a
            `parallel` or `race`, or the item, as ``request_cancel(at=...)`` does. Where there is no such thing, it is the
            next larger one: a branch, a run, a caller, the program. Runs and branches are those of an `Engine`, as
            `record` and `simulate` have them.
    """

    of: Literal["program", "caller", "run", "branch"] = "program"

    def __attrs_post_init__(self) -> None:
        if self.of not in _SIZES:
            raise ValueError(f"Cancel takes {', '.join(map(repr, _SIZES))}, not {self.of!r}")


_SIZES: Final = ("program", "caller", "run", "branch")


Effect: TypeAlias = Delay | LostReply | Duplicate | Cancel
"""What can happen to a call besides an error."""

Wrong: TypeAlias = Error | Effect
"""What goes wrong: an error, its class, or an effect."""


# ---------------------------------------------------------------- when


class Fault(ABC):
    """Decides call by call."""

    @abstractmethod
    def strike(self, call: int, dice: Random, /) -> Wrong | None:
        """What goes wrong with the n-th call (counted from 1), if anything. *dice* belong to this call alone."""


Strike: TypeAlias = Fault | Callable[[int], Wrong | None]
"""A `Fault`, or a function of the number of the call, counted from 1."""


def _said(wrong: Wrong | None) -> str:
    """*wrong* as one would write it."""
    return wrong.__name__ if isinstance(wrong, type) else repr(wrong)


@final
@attrs.frozen(repr=False)
class _Always(Fault):
    wrong: Wrong

    @override
    def __repr__(self) -> str:
        return f"always({_said(self.wrong)})"

    @override
    def strike(self, call: int, dice: Random, /) -> Wrong:
        return self.wrong


@final
@attrs.frozen(repr=False)
class _First(Fault):
    count: int
    wrong: Wrong

    @override
    def __repr__(self) -> str:
        return f"first({self.count}, {_said(self.wrong)})"

    @override
    def strike(self, call: int, dice: Random, /) -> Wrong | None:
        return self.wrong if call <= self.count else None


@final
@attrs.frozen(repr=False)
class _Chance(Fault):
    chance: float
    wrong: Wrong

    @override
    def __repr__(self) -> str:
        return f"chance({self.chance}, {_said(self.wrong)})"

    @override
    def strike(self, call: int, dice: Random, /) -> Wrong | None:
        return self.wrong if dice.random() < self.chance else None


@final
@attrs.frozen(repr=False)
class _Script(Fault):
    entries: tuple[Wrong | None, ...]

    @override
    def __repr__(self) -> str:
        return f"script([{', '.join(map(_said, self.entries))}])"

    @override
    def strike(self, call: int, dice: Random, /) -> Wrong | None:
        return self.entries[call - 1] if call <= len(self.entries) else None


def always(wrong: Wrong = InjectedError, /) -> Fault:
    """With every call: ``Faults(model=always(TimeoutError))``."""
    return _Always(wrong)


def first(count: int, wrong: Wrong = InjectedError, /) -> Fault:
    """With the first *count* calls: ``Faults(model=first(2, Delay(30.0)))``.

    Raises:
        ValueError: *count* is negative.
    """
    if count < 0:
        raise ValueError(f"count must be >= 0, not {count}")
    return _First(count, wrong)


def chance(share: float, wrong: Wrong, /) -> Fault:
    """With each call by a chance of *share*, drawn from the seed of the execution, the name and the number of the call.

    Raises:
        ValueError: *share* is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a chance must be between 0 and 1, not {share}")
    return _Chance(share, wrong)


def error_rate(rate: float, error: Error = InjectedError, /) -> Fault:
    """Each call fails with a chance of *rate*; see `chance`.

    Raises:
        ValueError: *rate* is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be between 0 and 1, not {rate}")
    return _Chance(rate, error)


def script(entries: Sequence[Wrong | None], /) -> Fault:
    """With call after call what is written, None for nothing: ``script([None, LostReply(), TimeoutError])``; then nothing."""
    return _Script(tuple(entries))


# ---------------------------------------------------------------- where


@final
class Faults:
    """What goes wrong: ``Faults(model=error_rate(0.05), save=first(2, OSError))``.

    A name is one of these, the first that fits:

    * the path of a visit or an item, ``"digest/condense#2"`` or ``"digest/condense[17]"``;
    * an item of a step, ``"condense[17]"``;
    * a step, whose every attempt of ``exec`` is a call;
    * a guard: what steps behind it do is a call, inside of the guard, and so is ``guard.call(fn)``;
    * an ``await fault_point("name")``.

    Names that are no words come in a mapping: ``Faults({"condense[17]": always()}, save=first(2))``. A name that nothing
    asked for is an error when the simulation ends: it is probably misspelt. Immutable; calls are counted by each
    execution for itself.
    """

    __slots__ = ("_by_name", "lenient")

    def __init__(self, named: Mapping[str, Strike] | None = None, /, **by_name: Strike) -> None:
        """Say what goes wrong.

        Raises:
            TypeError: a value is neither a `Fault` nor a function of the number of the call.
        """
        strikes = {**(named or {}), **by_name}
        for name, strike in strikes.items():
            if not _decides(strike):
                raise TypeError(
                    f"Faults({name}=...) takes a fault or a function, not {strike!r}; "
                    "what goes wrong with every call is always(...)"
                )
        self._by_name: Mapping[str, Strike] = strikes
        self.lenient: bool = False

    @override
    def __repr__(self) -> str:
        words = {name: each for name, each in self._by_name.items() if name.isidentifier()}
        others = {name: each for name, each in self._by_name.items() if name not in words}
        told = [repr(others)] if others else []
        told += [f"{name}={strike!r}" for name, strike in words.items()]
        return f"Faults({', '.join(told)}){'.if_reached()' if self.lenient else ''}"

    def if_reached(self) -> Faults:
        """The same, but that it is no error if nothing asks for a name: for plans that are drawn by chance."""
        faults = Faults(self._by_name)
        faults.lenient = True
        return faults

    @property
    def names(self) -> tuple[str, ...]:
        """Where something can go wrong."""
        return tuple(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def strike(self, name: str, call: int, seed: int) -> Wrong | None:
        """What goes wrong with that call at *name*, if anything."""
        strike = self._by_name[name]
        if not isinstance(strike, Fault):
            return strike(call)
        dice = Random(f"{seed}/{name}#{call}")
        wrong = strike.strike(call, dice)
        return wrong.drawn(dice) if isinstance(wrong, Delay) else wrong


def _decides(strike: object) -> bool:
    """Whether it can be asked; a class of errors can be called, but says nothing of when."""
    return isinstance(strike, Fault) or (callable(strike) and not isinstance(strike, type))
