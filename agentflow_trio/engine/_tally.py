"""How many items of each and batch failed, and whether that is more than is tolerated.

Layer: engine. Rule: a share of a source of unknown length can be judged only at its end, so what failed is kept until then.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from ..errors import Failure
from ..types import Count, Share
from ._failures import must_end_all

__all__ = ["FailedPart", "Tally"]

_KEPT: Final = 1_000
"""So many tolerated failures are kept in case the tolerance is lost."""


class FailedPart(NamedTuple):
    """A part that failed, and where."""

    number: int
    error: Exception
    mark: Failure | None


@final
class Tally:
    """How many items there were, how many failed, and whether that is more than is tolerated.

    Attributes:
        seen: items that ended well.
        failed: items that failed and were tolerated, or would have been but for their number.
        lost: whether that is too many, so that the step fails.
        kept: the first of those that failed.
    """

    __slots__ = ("_length", "_tolerated", "failed", "kept", "lost", "seen")

    def __init__(self, tolerated: Count | Share | None, length: int | None) -> None:
        self._tolerated = tolerated
        self._length = length
        self.seen = 0
        self.failed = 0
        self.lost = False
        self.kept: list[FailedPart] = []

    def tolerates(self, error: Exception) -> bool:
        """Whether *error* is one that may be tolerated at all."""
        return self._tolerated is not None and not self.lost and not must_end_all(error)

    def loses(self, many: int) -> bool:
        """Whether so *many* items that failed are too many."""
        self.failed += many
        self._judge(self._length)
        return self.lost

    def keep(self, failed: FailedPart) -> None:
        """Keep a failure, for it may still be one too many."""
        if len(self.kept) < _KEPT:
            self.kept.append(failed)

    def end(self) -> bool:
        """There are no more, so that a share of any source is known. Whether it is lost."""
        self._judge(self.seen + self.failed)
        return self.lost

    def _judge(self, length: int | None) -> None:
        match self._tolerated:
            case Count(most=most):
                self.lost = self.failed > most
            case Share(most=most) if length:
                # not `most * length`, which is 28.999... for 0.29 of 100
                self.lost = self.failed / length > most
            case _:
                pass

    def told(self) -> tuple[int, int, int | None]:
        """What an event tells: items done, failed, and how many there are if that is known."""
        return self.seen, self.failed, self._length
