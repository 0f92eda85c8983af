"""Histograms: counts of how many durations, or sizes, fell between which bounds.

Layer: observe. Pure. Rule: a bucket holds what is at most its bound, and more than the one before, as Prometheus has it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias, final

import attrs

__all__ = ["Cell", "Histogram", "add", "add_all", "added", "empty", "merged"]

Cell: TypeAlias = "list[float]"
"""A histogram that grows: the count of each bucket, that of what is above all bounds, the sum.

A list: a thousand visits are counted in 0.2 ms so, in 0.3 ms with an object of two attributes.
"""


@final
@attrs.frozen
class Histogram:
    """A picture of a histogram.

    Attributes:
        bounds: the upper bounds of the buckets, rising; the last bucket has none.
        counts: how many values lie in each bucket, one more than there are bounds.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many values are at most each bound; of the last bucket, all."""
        return tuple(accumulate(self.counts))

    def quantile(self, share: float) -> float | None:
        """Estimate the value below which *share* (0 to 1) of the values lie; None if there are none.

        As ``histogram_quantile()`` of Prometheus does: values are taken to lie evenly in their bucket, the first of which
        begins at 0; what is above all bounds counts as the highest of them.

        Source: https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return None
        rank, below, start = share * self.count, 0, 0.0
        for bound, inside in zip(self.bounds, self.counts, strict=False):  # the last has none
            if inside and below + inside >= rank:
                return start + (bound - start) * (rank - below) / inside
            below += inside
            start = bound
        return start


def empty(bounds: Sequence[float]) -> Cell:
    """A histogram without values."""
    return [0] * (len(bounds) + 1) + [0.0]


def add(cell: Cell, bounds: Sequence[float], value: float) -> None:
    """Count *value*."""
    cell[bisect_left(bounds, value)] += 1
    cell[-1] += value


def add_all(cell: Cell, bounds: Sequence[float], values: Sequence[float]) -> None:
    """Count *values*, in any order."""
    ordered, below = sorted(values), 0
    for index, bound in enumerate(bounds):
        if below == len(ordered):
            break
        upto = bisect_right(ordered, bound, below)
        cell[index] += upto - below
        below = upto
    cell[len(bounds)] += len(ordered) - below
    cell[-1] += sum(values)


def merged(bounds: Sequence[float], cells: Iterable[Cell]) -> Histogram:
    """All *cells* as one."""
    together = [empty(bounds), *cells]
    *counts, total = map(sum, zip(*together, strict=True))
    return Histogram(tuple(bounds), tuple(int(count) for count in counts), total)


def added(histograms: Sequence[Histogram]) -> Histogram:
    """Several, of the same bounds, as one."""
    cells = [[*each.counts, each.total] for each in histograms]
    return merged(histograms[0].bounds, cells)
