"""Metrics: plain numbers made of events, read by name or all at once.

Layer: observe. Rules: a fold of `METRICS`, which decides everything; no clock, no tasks. The number of series is bounded.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from threading import RLock
from typing import Final, TypeAlias, final

import attrs

from ..events import EVENT_TYPES, BatchDone, ExecutionEvent
from ._histogram_core import Histogram, added
from ._metric_core import DURATIONS, Change, Labels, Metric, place
from ._metric_names_core import Selection, endings, is_whose, selections
from ._metric_table_core import (
    BATCH_SIZE,
    METRICS,
    NODE_DURATION,
    NODE_EXECUTIONS,
    NODE_ROUTED,
)
from ._parts_core import PartSizes
from ._series_core import SeriesTable

__all__ = ["Family", "MetricsCollector", "Sample"]

_Waiting: TypeAlias = "defaultdict[tuple[str, str, str | None], array[float]]"
_Changes: TypeAlias = Callable[[ExecutionEvent], Iterable[Change]]


def _fed() -> Mapping[type[object], list[tuple[Metric, _Changes]]]:
    found: dict[type[object], list[tuple[Metric, _Changes]]] = {}
    for metric in METRICS:
        for feed in metric.feeds:
            found.setdefault(feed.kind, []).append((metric, feed.changes))
    return found


_FED: Final = _fed()

_MANY: Final = 50_000
"""Durations that wait to be counted, at most: 0.4 MB. Those of a step are counted together, in half the time."""


def _durations() -> array[float]:
    return array("d")


@final
@attrs.frozen
class Sample:
    """One series, as it is now.

    Attributes:
        labels: the values of the metric's labels, in its order.
        value: a number; of a histogram, its buckets.
    """

    labels: tuple[str, ...]
    value: float | Histogram


@final
@attrs.frozen
class Family:
    """All series of a metric, as they are now.

    Attributes:
        metric: its entry in `METRICS`.
        samples: its series, in the order of their labels.
    """

    metric: Metric
    samples: tuple[Sample, ...]


@final
class MetricsCollector:
    """Counts what happens in runs: ``Engine(observers=[metrics])``, then ``metrics.get_metric("editing.error_count")``.

    One collector may observe many engines, and any number of runs at once. What it counts is in `METRICS`, the table of
    metrics; `names` says what there is at the moment. Executions are counted when they end.

    Reading is allowed in every thread; events and the ledger belong to the thread of the loop.

    Attributes:
        name: what reports of the engine call it.
        ledger: where the engine writes plain visits; see `VisitLedger`.
    """

    name: str = "metrics"

    def __init__(
        self, *, buckets: Sequence[float] = DURATIONS, max_series: int = 2_000
    ) -> None:
        """Start at zero.

        Args:
            buckets: the upper bounds of histograms of durations, in seconds, rising.
            max_series: how many series a metric may have. What comes after them is counted together, with the label
                ``other``, and each time in ``agentflow_metrics_overflow_total``.

        Raises:
            ValueError: the bounds do not rise or are not finite, or there is no room for any series.
        """
        _check(buckets, max_series)
        self.ledger: list[tuple[str, str, str | None, float]] = []
        self._bounds = tuple(map(float, buckets))
        self._table = SeriesTable(self._bounds, max_series)
        self._lock = RLock()
        self._waiting: _Waiting = defaultdict(_durations)
        self._many = 0
        self._parts = PartSizes()

    @property
    def wants(self) -> Collection[type[ExecutionEvent]]:
        """The kinds of events that are counted."""
        return frozenset(kind for kind in EVENT_TYPES.values() if kind in _FED)

    def observe(self, event: ExecutionEvent, /) -> None:
        """Count what happened. Not a checkpoint."""
        with self._lock:
            for metric, changes in _FED.get(type(event), ()):
                for labels, by in changes(event):
                    self._table.change(metric, labels, by)
            if isinstance(event, BatchDone):
                self._table.change(BATCH_SIZE, place(event.path), self._parts.done(event))
            else:
                self._parts.forget(event)

    def settle(self) -> None:
        """Count what is in the ledger, and empty it. Not a checkpoint."""
        with self._lock:
            self._take()
            if self._many > _MANY:
                self._fold()

    def get_metric(self, name: str, /) -> float | None:
        """The metric called *name*, or None if nothing of it has been seen. Not a checkpoint.

        A name says whose the metric is, what it is, and perhaps which part of it:

        - whose: a flow, a step by its path from the flow (``editorial.editing.review``) or by any ending of it
          (``review``: all places of that name together), a guard, an alert, an observer.
        - what: ``execution_count``, ``error_count``, ``duration_ms`` ...: the names in `METRICS`. Of a count, all labels
          together.
        - which part: a label (``review.routed_count.approve``, ``db.rejected_count.open``), and of a histogram ``count``,
          ``sum`` (which it is without a part) or a quantile, ``p50``, ``p95``, ``p99.9``, estimated as Prometheus' own
          ``histogram_quantile()`` does.

        What is whose has been seen but this never happened to is 0, except for quantiles, which are None then.
        """
        with self._lock:
            self._fold()
            seen = self._seen(name)
            return self._answer(seen) if seen else None

    def get_histogram(self, name: str, /) -> Histogram | None:
        """The buckets behind a name as ``editing.duration_ms``, in the unit of its metric: seconds. Not a checkpoint.

        None if nothing of it has been seen, or it is no histogram.
        """
        with self._lock:
            self._fold()
            seen = self._seen(name)
            if not seen or seen[0][0].reading == "value":
                return None
            return added([self._table.together(each.metric, series) for each, series in seen])

    def names(self) -> Sequence[str]:
        """Every name that `get_metric` knows at the moment, sorted; other endings of paths and quantiles work as well."""
        with self._lock:
            self._fold()
            return sorted({
                f"{owner}.{suffix}{part}"
                for metric in METRICS
                for labels in self._table.of(metric)
                for owner in endings(metric, labels)
                for suffix, value in metric.seed.items()
                for part in _parts(metric, value, labels)
            })

    def snapshot(self) -> tuple[Family, ...]:
        """All metrics as they are now, those without series included, in the order of `METRICS`. Not a checkpoint."""
        with self._lock:
            self._fold()
            table = self._table.copy()
        # outside of the lock, for it takes a while and runs go on
        return tuple(
            Family(
                metric,
                tuple(_sample(table, metric, labels) for labels in sorted(table.of(metric))),
            )
            for metric in METRICS
        )

    def _take(self) -> None:
        """Put what is in the ledger with what waits to be counted."""
        entries = self.ledger[:]
        del self.ledger[: len(entries)]  # the engine may append meanwhile, at the end
        waiting = self._waiting
        # 0.08 us each; 0.2 with a search for the bucket
        for flow, node, taken, seconds in entries:
            waiting[flow, node, taken].append(seconds)
        self._many += len(entries)

    def _fold(self) -> None:
        """Bring what came through the ledger to where events are counted."""
        self._take()
        waiting, self._waiting, self._many = self._waiting, defaultdict(_durations), 0
        for (flow, node, taken), seconds in waiting.items():
            visits, success = len(seconds), (flow, node, "success")
            self._table.change(NODE_EXECUTIONS, success, visits, times=visits)
            self._table.count(NODE_DURATION, (flow, node), seconds)
            if taken is not None:
                self._table.change(NODE_ROUTED, (flow, node, taken), visits, times=visits)

    def _seen(self, name: str) -> list[tuple[Selection, list[Labels]]]:
        """What *name* means, of all it may mean: the first that has series."""
        for asked in selections(name):
            found = [(each, self._series_of(each)) for each in asked]
            seen = [(each, series) for each, series in found if series]
            if seen:
                return seen
        return []

    def _series_of(self, asked: Selection) -> list[Labels]:
        """Its owner's series, whatever their last label."""
        metric = asked.metric
        return [each for each in self._table.of(metric) if is_whose(metric, each, asked.owner)]

    def _answer(self, seen: Sequence[tuple[Selection, Sequence[Labels]]]) -> float | None:
        asked = seen[0][0]
        if asked.reading == "value":
            return sum(
                self._table.value(each.metric, labels)
                for each, series in seen
                for labels in series
                if each.value in {None, labels[-1]}
            )
        found = [self._table.together(each.metric, series) for each, series in seen]
        return asked.read(added(found))


def _sample(table: SeriesTable, metric: Metric, labels: Labels) -> Sample:
    if metric.kind == "histogram":
        return Sample(labels, table.together(metric, [labels]))
    return Sample(labels, table.value(metric, labels))


def _parts(metric: Metric, value: str | None, labels: Labels) -> Sequence[str]:
    """What may follow a name of a series: nothing, and the parts of it that are known."""
    if metric.kind == "histogram":
        return ("", ".count", ".sum", ".p50", ".p95", ".p99")
    if value is None and len(metric.labels) > len(metric.owner):
        return ("", f".{labels[-1]}")
    return ("",)


def _check(buckets: Sequence[float], max_series: int) -> None:
    rising = all(low < high for low, high in pairwise(buckets))
    if not buckets or not rising or not all(map(math.isfinite, buckets)):
        raise ValueError(
            f"MetricsCollector: buckets must be finite bounds that rise, not {buckets!r}; "
            "for example (0.01, 0.1, 1.0, 10.0)"
        )
    if max_series < 1:
        raise ValueError(f"MetricsCollector: max_series must be >= 1, not {max_series!r}")
