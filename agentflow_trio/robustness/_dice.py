"""Chance that can be repeated: derived from a seed and a name, never shared.

Layer: robustness. Rule: whoever needs chance gets dice of its own, made on first use, so that one guard, call or branch
never disturbs what another one draws.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from random import Random
from typing import Final, Protocol, final

from trio.lowlevel import current_clock, in_trio_run

from ..ports import Simulated
from ._around import AROUND

__all__ = ["Deals", "Dice", "derived_dice", "shared_dice"]

_PROCESS: Final = Random().getrandbits(64)
"""Where nobody gives a seed, processes must differ, or all of them would come back at the same moment."""


@final
class Dice:
    """Hands out dice: the n-th of a name are ``Random(f"{seed}/{name}#{n}")``.

    ``with Dice(seed):`` makes it the one that guards without a seed of their own ask, here and in the tasks started
    inside; so that they draw the same in each run of a step with the same seed. Without a seed it is that of the
    simulation that goes on, else one of this process.
    """

    __slots__ = ("_handed", "_seed", "_tokens")

    def __init__(self, seed: object = None) -> None:
        self._seed = seed
        self._handed: dict[str, int] = {}
        self._tokens: list[Token[Dice | None]] = []

    def of(self, name: str) -> Random:
        """The next dice of this name."""
        number = self._handed.get(name, 0) + 1
        self._handed[name] = number
        seed = _usual_seed() if self._seed is None else self._seed
        return Random(f"{seed}/{name}#{number}")

    def __enter__(self) -> None:
        self._tokens.append(_DERIVED.set(self))

    def __exit__(self, *_: object) -> None:
        _DERIVED.reset(self._tokens.pop())


def _usual_seed() -> int:
    clock: object = current_clock() if in_trio_run() else None
    return clock.seed if isinstance(clock, Simulated) else _PROCESS


_DERIVED: Final[ContextVar[Dice | None]] = ContextVar("dice", default=None)


class Deals(Protocol):
    """Whoever hands out dice."""

    def __call__(self, name: str, /) -> Random:
        """The next dice of this name."""
        ...


def derived_dice() -> Deals | None:
    """Whom a body without a seed of its own asks here: of a ``with Dice``, else of the step around; None: nobody."""
    dice = _DERIVED.get()
    if dice is not None:
        return dice.of
    around = AROUND.find()
    return None if around is None else around.dice


def shared_dice() -> Deals | None:
    """Whom a guard without a seed of its own asks, which many steps share: as `derived_dice`, but for the whole run."""
    dice = _DERIVED.get()
    if dice is not None:
        return dice.of
    around = AROUND.find()
    return None if around is None else Dice(around.seed).of
