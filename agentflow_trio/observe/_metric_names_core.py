"""Names of metrics as the application asks for them: whose it is, what it is, and which part: ``editing.duration_ms.p95``.

Layer: observe. Pure. Rule: a step answers to its whole path, ``editorial.editing.review``, and to every ending of it,
``review``, which means all the places of that name together; so does a flow of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias, final

import attrs

from ._histogram_core import Histogram
from ._metric_core import Labels, Metric
from ._metric_table_core import METRICS

__all__ = ["Reading", "Selection", "endings", "is_whose", "selections", "whose"]

Reading: TypeAlias = Literal["value", "count", "sum", "quantile"]

_QUANTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


@final
@attrs.frozen
class Selection:
    """What a name asks of one metric.

    Attributes:
        metric: the metric.
        owner: whose, in dots.
        value: the value of the metric's last label; None for all of them together.
        reading: of a histogram its count, its sum or a quantile; else its value.
        share: which quantile, 0 to 1.
        scale: what the answer is multiplied by: 1000 where seconds are told as milliseconds.
    """

    metric: Metric
    owner: str
    value: str | None
    reading: Reading
    share: float = 0.0
    scale: float = 1.0

    def read(self, histogram: Histogram) -> float | None:
        """What it asks of a *histogram*; None for a quantile of nothing."""
        match self.reading:
            case "quantile":
                found = histogram.quantile(self.share)
                return None if found is None else found * self.scale
            case "count":
                return histogram.count
            case _:
                return histogram.total * self.scale


def _known() -> Mapping[str, list[tuple[Metric, str | None]]]:
    found: dict[str, list[tuple[Metric, str | None]]] = {}
    for metric in METRICS:
        for suffix, value in metric.seed.items():
            found.setdefault(suffix, []).append((metric, value))
    return found


_SUFFIXES: Final = _known()


def selections(name: str) -> Iterator[tuple[Selection, ...]]:
    """What *name* may mean, the likeliest first: what it asks of each metric that has such a suffix."""
    words = name.split(".")
    for at in range(len(words) - 1, 0, -1):
        owner, suffix, rest = ".".join(words[:at]), words[at], ".".join(words[at + 1 :])
        asked = [
            selection
            for metric, value in _SUFFIXES.get(suffix, [])
            if (selection := _selection(metric, owner, value, suffix, rest)) is not None
        ]
        if asked:
            yield tuple(asked)


def _selection(
    metric: Metric, owner: str, value: str | None, suffix: str, rest: str
) -> Selection | None:
    scale = 1000.0 if suffix.endswith("_ms") else 1.0
    if metric.kind == "histogram":
        quantile = _QUANTILE.fullmatch(rest)
        if quantile:
            return Selection(metric, owner, None, "quantile", float(quantile[1]) / 100.0, scale)
        if rest in {"", "sum"}:
            return Selection(metric, owner, None, "sum", scale=scale)
        return Selection(metric, owner, None, "count") if rest == "count" else None
    if rest and (value is not None or metric.labels == metric.owner):
        return None
    return Selection(metric, owner, value or rest or None, "value")


@lru_cache(maxsize=8192)
def whose(metric: Metric, labels: Labels) -> str:
    """The owner of a series, in dots: the whole path of a step, or the name of a flow, a guard or an alert."""
    if len(metric.owner) == 1:
        return labels[0]
    flow, node = labels[:2]
    return f"{flow}.{node.replace('/', '.')}" if node else flow


def is_whose(metric: Metric, labels: Labels, owner: str) -> bool:
    """Whether *owner* means this series."""
    whole = whose(metric, labels)
    return whole == owner or (len(metric.owner) > 1 and whole.endswith(f".{owner}"))


def endings(metric: Metric, labels: Labels) -> tuple[str, ...]:
    """What `is_whose` can be asked for most simply: the whole name, and the last part of it."""
    whole = whose(metric, labels)
    if len(metric.owner) == 1 or not labels[1]:
        return (whole,)
    last = labels[1].rpartition("/")[2]
    return (whole, last)
