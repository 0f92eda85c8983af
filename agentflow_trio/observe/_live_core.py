"""What can be read of guards and engines at any moment: how many are inside, how many wait, in which state a circuit is.

Layer: observe. Pure. Rule: known by the fields of their ``statistics()``, for observers know neither engines nor every guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Protocol, runtime_checkable

from ..robustness import BreakerState
from ._metric_core import Labels, Metric, guard_label
from ._metric_table_core import METRICS

__all__ = ["Live", "live_values"]


class Live(Protocol):
    """A guard or an engine: something that shows how it stands."""

    def statistics(self) -> object:
        """A frozen picture."""
        ...


@runtime_checkable
class _Named(Protocol):
    @property
    def name(self) -> str: ...


@runtime_checkable
class _Windowed(Protocol):
    @property
    def limits(self) -> tuple[int, ...]: ...


def live_values(sources: Iterable[Live]) -> Mapping[str, Mapping[Labels, float]]:
    """The numbers of all *sources*: name of the metric -> labels -> value. Those of one name are added up."""
    found: dict[str, dict[Labels, float]] = {}
    for source in sources:
        owner = (guard_label(source.name),) if isinstance(source, _Named) else ()
        statistics = source.statistics()
        for metric in METRICS:
            if metric.live and len(metric.owner) == len(owner):
                values = found.setdefault(metric.name, {})
                for labels, value in _values(metric, owner, statistics):
                    values[labels] = values.get(labels, 0.0) + value
    return found


def _values(
    metric: Metric, owner: Labels, statistics: object
) -> Iterable[tuple[Labels, float]]:
    for field in metric.live:
        match _field(statistics, field):
            case BreakerState() as state:
                for each in BreakerState:
                    yield (*owner, each.value), float(each is state)
            case int() as number:
                yield owner, float(number)
            case Sized() as several:
                yield owner, float(len(several))
            case _:
                pass


def _field(statistics: object, field: str) -> object:
    if field == "limits" and isinstance(statistics, _Windowed):
        return statistics.limits[0]
    return getattr(statistics, field, None)
