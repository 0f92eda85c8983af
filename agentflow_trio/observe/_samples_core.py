"""What the terms of conditions are, read from metrics at one instant after another, with as much memory as windows need.

Layer: observe. Pure: `now` is an argument, and metrics are asked, not waited for. Rules: a window ends with what was read
at its beginning, so it is at most one reading longer than it says; before the first reading nothing had been counted since
the samples were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias, final

import attrs

from ._condition_core import Lookback, Term
from ._histogram_core import Histogram
from ._metric_names_core import Selection, selections

__all__ = ["MetricsReader", "Samples"]


class MetricsReader(Protocol):
    """Where conditions find metrics, as in a `MetricsCollector`."""

    def get_metric(self, name: str, /) -> float | None:
        """What it is now; None if nothing of it has been seen."""
        ...

    def get_histogram(self, name: str, /) -> Histogram | None:
        """The buckets behind it; None if nothing of it has been seen."""
        ...


@final
class _Value:
    """What a metric is now."""

    def __init__(self, term: Term, metrics: MetricsReader) -> None:
        self._term = term
        self._metrics = metrics

    def read(self, now: float) -> float | None:  # noqa: ARG002 - as of all readings
        return self._now()

    def restart(self) -> None:
        """It remembers nothing."""

    def _now(self) -> float | None:
        found = self._metrics.get_metric(self._term.metric)
        return self._term.unseen if found is None else found


@final
class _Growth:
    """How much a metric grew within a window, or that per second."""

    def __init__(self, term: Term, metrics: MetricsReader) -> None:
        self._metric = term.metric
        self._per = term.window if term.how == "rate" else 1.0
        self._metrics = metrics
        self._window = Lookback(term.window, self._now())

    def read(self, now: float) -> float | None:
        value = self._now()
        return (value - self._window.back(now, value)) / self._per

    def restart(self) -> None:
        self._window.restart()

    def _now(self) -> float:
        return self._metrics.get_metric(self._metric) or 0.0


@final
class _Quantile:
    """The quantile of what a histogram took in within a window."""

    def __init__(self, term: Term, metrics: MetricsReader) -> None:
        self._metric = term.metric
        (asked, *_) = next(selections(term.metric))
        self._asked: Selection = attrs.evolve(asked, reading="quantile", share=term.share)
        self._metrics = metrics
        self._window = Lookback(term.window, metrics.get_histogram(term.metric))

    def read(self, now: float) -> float | None:
        value = self._metrics.get_histogram(self._metric)
        before = self._window.back(now, value)
        return None if value is None else self._asked.read(_grown(value, before))

    def restart(self) -> None:
        self._window.restart()


_Reading: TypeAlias = _Value | _Growth | _Quantile


def _grown(value: Histogram, before: Histogram | None) -> Histogram:
    """What *value* took in since it was as *before*."""
    if before is None:
        return value
    counts = zip(value.counts, before.counts, strict=True)
    return Histogram(
        value.bounds,
        tuple(new - old for new, old in counts),
        value.total - before.total,
    )


@final
class Samples:
    """Reads terms from metrics; equal terms share what is remembered."""

    def __init__(self, terms: Iterable[Term], metrics: MetricsReader) -> None:
        """Take note of what is counted already: windows do not see it."""
        self._readings: dict[Term, _Reading] = {}
        for term in terms:
            if term not in self._readings:
                self._readings[term] = _reading(term, metrics)

    def read(self, now: float) -> Mapping[Term, float | None]:
        """What each term is at *now*, no earlier than the time before; None: there is no data."""
        return {term: reading.read(now) for term, reading in self._readings.items()}

    def restart(self) -> None:
        """From here on another clock may tell the time: windows begin anew, with what was read last."""
        for reading in self._readings.values():
            reading.restart()


def _reading(term: Term, metrics: MetricsReader) -> _Reading:
    match term.how:
        case "value":
            return _Value(term, metrics)
        case "quantile":
            return _Quantile(term, metrics)
        case _:
            return _Growth(term, metrics)
