"""What a strand keeps of what went wrong: made when something does, for most strands end without.

Layer: engine. Rule: it lives as long as its strand; `Strand.forget` drops it, or it would tie errors and frames into a
cycle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from ..errors import Failure
    from ..robustness import Dice

__all__ = ["Trouble"]


@final
class Trouble:
    """What only failures and cancellation need (with it in the strand, each would be 64 bytes larger and 0.2 us slower).

    Attributes:
        caught: the error that ``.catch`` routed to the visit with the number ``caught_at``.
        dealt: in which visit and item dice were handed out to guards last, and which.
        expired: limits that ran out and were then overtaken by an outer one, with their deadlines.
        grace_ends: when cleanups must have ended, once one was done while cancelled.
        last: the state of the flow that failed last, as its last finished step left it.
        marked: the error that is being raised and where it arose, once that was noted.
        owed: failures of this visit that go with the one that is being raised, and where they arose.
        tree: the last failure group the engine itself made, to tell it from groups that nodes raise.
    """

    __slots__ = (
        "caught",
        "caught_at",
        "dealt",
        "expired",
        "grace_ends",
        "last",
        "marked",
        "owed",
        "tree",
    )

    def __init__(self) -> None:
        self.caught: BaseException | None = None
        self.caught_at: int = 0
        self.expired: tuple[tuple[float, str], ...] = ()
        self.grace_ends: float = math.inf
        self.last: object = None
        self.marked: tuple[BaseException, Failure] | None = None
        self.owed: tuple[tuple[BaseException, Failure | None], ...] = ()
        self.dealt: tuple[int, int | None, Dice] | None = None
        self.tree: BaseException | None = None
