"""Making a failing schedule short: as few deviations from the usual order as still fail.

Layer: testing, sans-IO. Delta debugging (ddmin: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE TSE 28(2), 2002) over the list of deviations; but first of all the usual order itself, since many programs
fail in that, too. What is tried is bounded by *effort*, so that the result depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ._choice_core import Deviations

__all__ = ["Try", "shrink"]

Try: TypeAlias = Callable[[Deviations], tuple[Deviations | None, int]]
"""Runs a schedule; says which deviations it took if it failed in the same way (else None), and what that cost."""


def shrink(deviations: Deviations, attempt: Try, effort: int) -> Deviations:
    """Return the shortest deviations found with which *attempt* still fails, for about *effort*.

    Given enough of it, none of them can be left out any more.
    """
    best = _Best(deviations, attempt, effort)
    if deviations:
        best.improve({})
    parts = 2
    while len(best.deviations) > 1 and best.effort > 0:
        if _without_one_of(best, parts):
            parts = max(parts - 1, 2)
        elif parts >= len(best.deviations):
            break
        else:
            parts = min(2 * parts, len(best.deviations))
    return best.deviations


class _Best:
    """The shortest so far."""

    def __init__(self, deviations: Deviations, attempt: Try, effort: int) -> None:
        self.deviations = deviations
        self.effort = effort
        self._attempt = attempt

    def improve(self, candidate: Deviations) -> bool:
        """Take *candidate* if it fails too, as it was really taken."""
        if self.effort <= 0:
            return False
        taken, cost = self._attempt(candidate)
        self.effort -= cost
        if taken is None or len(taken) >= len(self.deviations):
            return False
        self.deviations = taken
        return True


def _without_one_of(best: _Best, parts: int) -> bool:
    """Leave out one of *parts* equal parts, the late ones first: they matter least."""
    points = sorted(best.deviations)
    for part in reversed(_split(points, parts)):
        left_out = frozenset(part)
        rest = {p: c for p, c in best.deviations.items() if p not in left_out}
        if best.improve(rest):
            return True
    return False


def _split(points: Sequence[int], parts: int) -> list[Sequence[int]]:
    size, extra = divmod(len(points), parts)
    found: list[Sequence[int]] = []
    start = 0
    for number in range(parts):
        end = start + size + (number < extra)
        found.append(points[start:end])
        start = end
    return [part for part in found if part]
