"""Series: the numbers of each metric, one for each combination of labels, and no more than there may be.

Layer: observe. Pure. Rule: what comes when there is no room is counted as ``other``, and that it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, final

from ._histogram_core import Cell, Histogram, add, add_all, empty, merged
from ._metric_core import Labels, Metric
from ._metric_table_core import METRICS, OVERFLOW

__all__ = ["OTHER", "SeriesTable"]

OTHER: Final = "other"
_FEW: Final = frozenset({"outcome", "state", "severity"})
"""Labels whose values are few, so that they stay when others become ``other``."""


@final
class SeriesTable:
    """All series of all metrics."""

    __slots__ = ("_bounds", "_cells", "_max_series", "_values")

    def __init__(self, bounds: tuple[float, ...], max_series: int) -> None:
        self._bounds = bounds
        self._max_series = max_series
        self._values: dict[str, dict[Labels, float]] = {
            metric.name: {} for metric in METRICS if metric.kind != "histogram"
        }
        self._cells: dict[str, dict[Labels, Cell]] = {
            metric.name: {} for metric in METRICS if metric.kind == "histogram"
        }

    def of(self, metric: Metric) -> Collection[Labels]:
        """The labels of its series."""
        return (self._cells if metric.kind == "histogram" else self._values)[metric.name]

    def bounds(self, metric: Metric) -> tuple[float, ...]:
        """The bounds of its buckets."""
        return metric.bounds or self._bounds

    def value(self, metric: Metric, labels: Labels) -> float:
        """One number."""
        return self._values[metric.name][labels]

    def together(self, metric: Metric, series: Sequence[Labels]) -> Histogram:
        """Some series of a histogram, as one."""
        cells = self._cells[metric.name]
        return merged(self.bounds(metric), [cells[labels] for labels in series])

    def copy(self) -> SeriesTable:
        """The same, which others do not change."""
        twin = SeriesTable(self._bounds, self._max_series)
        twin._values = {name: values.copy() for name, values in self._values.items()}
        twin._cells = {
            name: {labels: cell.copy() for labels, cell in cells.items()}
            for name, cells in self._cells.items()
        }
        return twin

    def change(self, metric: Metric, labels: Labels, by: float, *, times: int = 1) -> None:
        """Add to a number, or set it, or count a value in a histogram, as *metric* has it; for so many *times* of it."""
        labels = self._room(metric, labels, times)
        if metric.kind == "histogram":
            add(self._cell(metric, labels), self.bounds(metric), by)
            return
        values = self._values[metric.name]
        values[labels] = by if metric.sets else values.get(labels, 0.0) + by

    def count(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        """Count *values* in a histogram."""
        labels = self._room(metric, labels, len(values))
        add_all(self._cell(metric, labels), self.bounds(metric), values)

    def _cell(self, metric: Metric, labels: Labels) -> Cell:
        cells = self._cells[metric.name]
        if labels not in cells:
            cells[labels] = empty(self.bounds(metric))
        return cells[labels]

    def _room(self, metric: Metric, labels: Labels, times: int) -> Labels:
        """*labels* if there is such a series, or room for it; else those of what has no room, which is counted."""
        series = self.of(metric)
        if labels in series or len(series) < self._max_series:
            return labels
        over = self._values[OVERFLOW.name]
        over[metric.name,] = over.get((metric.name,), 0.0) + times
        return tuple(
            value if label in _FEW else OTHER
            for label, value in zip(metric.labels, labels, strict=True)
        )
