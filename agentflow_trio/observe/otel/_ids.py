"""Ids of spans that a simulation repeats.

Layer: observe.
"""

from __future__ import annotations

from random import Random, SystemRandom
from typing import final

import trio

from ..._typing import override
from ...ports import Simulated
from ._api import IdGenerator

__all__ = ["SimulatedIds"]


@final
class SimulatedIds(IdGenerator):
    """Ids for ``TracerProvider(id_generator=SimulatedIds())``: in a simulation they come from its seed, elsewhere they are random.

    The provider's own draw from the dice of the whole program, which a simulation does not repeat, and which a node may
    have seeded. Spans begun in a thread take the ids of the loop that last asked.
    """

    def __init__(self) -> None:
        self._random = SystemRandom()
        self._dice: Random = self._random
        self._execution: object = None

    @override
    def generate_span_id(self) -> int:
        """64 bits, not all zero."""
        return self._draw(64)

    @override
    def generate_trace_id(self) -> int:
        """128 bits, not all zero."""
        return self._draw(128)

    @override
    def is_trace_id_random(self) -> bool:
        """They are."""
        return True

    def _draw(self, bits: int) -> int:
        if trio.lowlevel.in_trio_run():
            self._settle(trio.lowlevel.current_clock())
        return self._dice.getrandbits(bits) or 1

    def _settle(self, clock: trio.abc.Clock) -> None:
        """Let the dice be those of the execution that goes on."""
        execution: object = None
        dice: Random = self._random
        if isinstance(clock, Simulated):
            execution = clock.execution
            dice = self._dice if execution is self._execution else Random(f"{clock.seed}/spans")
        self._execution, self._dice = execution, dice
