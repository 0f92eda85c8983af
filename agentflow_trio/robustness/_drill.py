"""Drills: which chaos is on, said from outside of the program that has it, and what it did.

Layer: robustness. Rule: a drill is found through a context variable, so that what runs beside it does not meet it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Final, final
from weakref import WeakKeyDictionary

import attrs

from ..errors import GuardMisuseError
from ._chaos_core import Fault
from ._chaos_policy import SHARE

__all__ = ["DRILL", "KNOWN", "Drill", "Drilled", "make_known"]


@final
@attrs.frozen(kw_only=True)
class Drilled:
    """What a chaos did in a drill.

    Attributes:
        calls: how many bodies came by.
        struck: how many of them were struck.
        injected: what went wrong, how often; a body may meet several.
    """

    calls: int = 0
    struck: int = 0
    injected: Mapping[Fault, int] = attrs.field(factory=dict[Fault, int])


@final
class Drill:
    """Turns chaos on by name, in whatever is called or started inside: ``with Drill({"model": 0.1}):``.

    The program need not be changed for it. `Chaos.enable` and `Chaos.disable` in the program come before it. Of two
    drills, one inside the other, the inner one says the rate of what both name; both are told what happens.
    """

    __slots__ = ("_did", "_outer", "_rates", "_token")

    def __init__(self, rates: Mapping[str, float | None]) -> None:
        """Make a drill; it begins with ``with``.

        Args:
            rates: the name of each chaos that is to be on, and the share of bodies that it strikes; None: what its
                policy says.

        Raises:
            ValueError: a rate is not from 0 to 1.
        """
        for name, rate in rates.items():
            if rate is not None:
                SHARE.check("Drill", f"the rate of {name!r}", rate)
        self._rates = dict(rates)
        self._did: dict[str, Drilled] = {}
        self._outer: Drill | None = None
        self._token: Token[Drill | None] | None = None

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names of all chaos that exists in this process, in the order made: what a drill can turn on."""
        return tuple(dict.fromkeys(KNOWN.values()))

    @property
    def did(self) -> Mapping[str, Drilled]:
        """What each chaos of this drill did so far; one that no body came by is not there."""
        return dict(self._did)

    def __enter__(self) -> Drill:
        """Begin.

        Raises:
            GuardMisuseError: it goes on already. Afterwards it may be held again, and goes on counting.
        """
        if self._token is not None:
            raise GuardMisuseError(guard="drill", reason="it is held already; hold another one")
        self._outer = DRILL.get()
        self._token = DRILL.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """End; what goes on that was started inside is still in it."""
        if self._token is not None:
            DRILL.reset(self._token)
            self._token = None

    def rate_of(self, name: str, usual: float) -> float | None:
        """The share of bodies that the chaos called *name* strikes, *usual* by itself; None: it is off."""
        if name in self._rates:
            rate = self._rates[name]
            return usual if rate is None else rate
        return None if self._outer is None else self._outer.rate_of(name, usual)

    def note(self, name: str, *, struck: int = 0, fault: Fault | None = None) -> None:
        """Take note that a body came by the chaos called *name*, or, with *fault*, that this befell it."""
        if self._outer is not None:
            self._outer.note(name, struck=struck, fault=fault)
        if name not in self._rates:
            return
        did = self._did.get(name) or Drilled()
        if fault is None:
            did = attrs.evolve(did, calls=did.calls + 1, struck=did.struck + struck)
        else:
            injected = {**did.injected, fault: did.injected.get(fault, 0) + 1}
            did = attrs.evolve(did, injected=injected)
        self._did[name] = did


DRILL: Final[ContextVar[Drill | None]] = ContextVar("agentflow_trio.drill", default=None)
"""The drill that goes on, if one does."""

KNOWN: Final[WeakKeyDictionary[object, str]] = WeakKeyDictionary()
"""All chaos that exists in this process, and its names, in the order made."""


def make_known(chaos: object, name: str) -> None:
    """Let drills know of *chaos*, as long as it exists."""
    KNOWN[chaos] = name
