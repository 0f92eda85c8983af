"""What a metric is, and how events change it.

Layer: observe. Pure: no clock, no I/O. Rules: labels are bounded sets: places of a flow's definition, names of guards,
stable words; never a run's id, an error's text, an item's number or a key of a keyed limiter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias, TypeVar, final

import attrs

from ..events import ExecutionEvent

__all__ = [
    "DURATIONS",
    "Change",
    "Feed",
    "Labels",
    "Metric",
    "at",
    "feed",
    "guard_label",
    "lasted",
    "place",
]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[str, ...]
Change: TypeAlias = tuple[Labels, float]
"""The values of a metric's labels, and what is added to it there (or, where it is *set*, what it is now)."""

E = TypeVar("E", bound=ExecutionEvent)

DURATIONS: Final = (
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
)  # fmt: skip
"""Bounds of buckets in seconds, from what does not wait to a long call of a model."""


@final
@attrs.frozen
class Feed:
    """How one kind of event changes a metric.

    Attributes:
        kind: the kind of event.
        changes: what an event of it changes.
    """

    kind: type[object]
    changes: Callable[[ExecutionEvent], Iterable[Change]]


def _first_labels(metric: Metric) -> Labels:
    return metric.labels[:2] if metric.labels[1:2] == ("node",) else metric.labels[:1]


@final
@attrs.frozen(kw_only=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: what Prometheus calls it: with its unit, and ``_total`` if it only ever grows.
        kind: counter, gauge or histogram.
        labels: the names of its labels.
        unit: ``seconds``, ``items``; empty for a plain number.
        help: a sentence.
        seed: its names for ``get_metric``, without whose it is; for each the value of the last label that it stands for,
            None for the sum over all of them. One that ends with ``_ms`` is told in milliseconds.
        feeds: the events it is made of; none for what is read from live objects or counted by the collector itself.
        sets: whether events say what it is now, not by how much it changes.
        live: the fields of ``statistics()`` of guards and engines that it is read from, if there are any.
        bounds: of a histogram's buckets; empty for the bounds of durations that the collector was given.
        owner: the labels that say whose it is: the first, or ``flow`` and ``node`` together.
    """

    name: str
    kind: Kind
    labels: Labels
    unit: str = ""
    help: str
    seed: Mapping[str, str | None] = attrs.field(factory=dict[str, str | None])
    feeds: tuple[Feed, ...] = ()
    sets: bool = False
    live: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    owner: Labels = attrs.field(
        init=False, default=attrs.Factory(_first_labels, takes_self=True)
    )

    @property
    def events(self) -> tuple[type[object], ...]:
        """The kinds of events that feed it."""
        return tuple(feed.kind for feed in self.feeds)


_NUMBERED: Final = re.compile(r"[#@\[][^/]*")


@lru_cache(maxsize=4096)
def place(path: str) -> tuple[str, str]:
    """The flow and the node of a *path*, without numbers: ``digest/map#2/embed[3]`` is ``digest``, ``map/embed``."""
    flow, _, node = _NUMBERED.sub("", path).partition("/")
    return flow, node


def guard_label(name: str) -> str:
    """The label of a guard called *name*; one of a keyed limiter, ``limits[user 7]``, counts as ``limits``."""
    return name.partition("[")[0] if name.endswith("]") else name


# ---------------------------------------------------------------- how events change metrics


def feed(kind: type[E], changes: Callable[[E], Iterable[Change]]) -> Feed:
    def read(event: ExecutionEvent) -> Iterable[Change]:
        return changes(event) if isinstance(event, kind) else ()

    return Feed(kind, read)


def at(kind: type[E], *rest: str, by: float = 1.0) -> Feed:
    """Events of a place count there."""
    return feed(kind, lambda event: [((*place(event.path), *rest), by)])


def lasted(kind: type[E]) -> Feed:
    """How long what an event ends took, at its place."""
    return feed(kind, lambda event: [(place(event.path), (event.duration_ms or 0.0) / 1000.0)])
