"""Which bodies chaos strikes, and with what. No clock, no I/O; chance is drawn by whoever asks.

Layer: robustness, a core. Rules: off costs no draw; on, each body costs three, whatever they come to, so that the same
seed strikes the same bodies, and at a higher rate those and more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, final

from ._chaos_policy import ChaosPolicy, MakesError

__all__ = ["ChaosCore", "Fault", "Strike"]

Fault: TypeAlias = Literal["latency", "behaviour", "error", "outcome"]
"""What goes wrong."""


class Strike(NamedTuple):
    """What befalls one body.

    Attributes:
        latency: seconds before it; 0 for none.
        error: makes what is raised in its place; None: nothing is.
    """

    latency: float
    error: MakesError | None


@final
class ChaosCore:
    """Decides for one body after another, and counts.

    Attributes:
        calls: how many bodies came by.
        struck: how many of them were struck.
        injected: what went wrong, how often; a body may meet several.
    """

    __slots__ = ("_longest", "_makers", "_shortest", "calls", "injected", "struck")

    def __init__(self, policy: ChaosPolicy) -> None:
        self._shortest, self._longest = policy.bounds
        self._makers = policy.makers
        self.calls: int = 0
        self.struck: int = 0
        self.injected: dict[Fault, int] = {}

    def meet(self, rate: float | None, draw: Callable[[], float]) -> Strike | None:
        """What befalls a body that begins now; None: nothing.

        Args:
            rate: the share that is struck; None: it is off.
            draw: gives numbers from 0 to 1, 1 excluded.
        """
        self.calls += 1
        if rate is None:
            return None
        chance, how_long, which = draw(), draw(), draw()
        if chance >= rate:
            return None
        self.struck += 1
        latency = self._shortest + how_long * (self._longest - self._shortest)
        makers = self._makers
        return Strike(latency, makers[int(which * len(makers))] if makers else None)

    def count(self, fault: Fault) -> None:
        """Take note that *fault* was injected."""
        self.injected[fault] = self.injected.get(fault, 0) + 1
