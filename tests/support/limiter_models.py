"""What rate limiters promise, in the plainest words: lists of what was admitted, gone through from the beginning.

Nothing here looks into a limiter. A model knows when who was admitted with which weight, as every caller does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import attrs

__all__ = ["Admission", "BucketModel", "Model", "Waiting", "WindowModel", "WindowsModel"]


@attrs.frozen
class Admission:
    """Somebody was admitted."""

    at: float
    weight: int


@attrs.frozen
class Waiting:
    """Somebody waits; ``latest``: the last instant at which it still wants to be served."""

    number: int
    weight: int
    latest: float = math.inf


class Model(Protocol):
    """When there is room."""

    @property
    def largest(self) -> int:
        """The largest weight that can ever be admitted."""
        ...

    def earliest(self, admitted: Sequence[Admission], now: float, weight: int) -> float:
        """The first instant, not before *now*, at which *weight* may be admitted after all of *admitted*."""
        ...

    def instants(self, admitted: Sequence[Admission], now: float) -> list[float]:
        """The first instants for each weight from 1 to the largest."""
        ...

    def change(self, now: float, limit: int) -> None:
        """Another limit holds from *now* on; of several, the first."""
        ...


@attrs.define
class WindowModel:
    """At every instant, what was admitted less than a window ago weighs at most *limit*."""

    limit: int
    window: float
    is_closed: bool = False

    @property
    def largest(self) -> int:
        return self.limit

    def over(self, admission: Admission) -> float:
        """The instant at which an admission does not count any more."""
        end = admission.at + self.window
        return math.nextafter(end, math.inf) if self.is_closed else end

    def live(self, admitted: Sequence[Admission], at: float) -> list[Admission]:
        """What counts at an instant."""
        # Not by `over`, since it is asked of every admission at every step.
        if self.is_closed:
            return [each for each in admitted if each.at + self.window >= at]
        return [each for each in admitted if each.at + self.window > at]

    def used(self, admitted: Sequence[Admission], at: float) -> int:
        return sum(each.weight for each in self.live(admitted, at))

    def earliest(self, admitted: Sequence[Admission], now: float, weight: int) -> float:
        live = self.live(admitted, now)
        instants = sorted({now, *map(self.over, live)})
        return next(at for at in instants if self.used(live, at) + weight <= self.limit)

    def instants(self, admitted: Sequence[Admission], now: float) -> list[float]:
        return [self.earliest(admitted, now, weight + 1) for weight in range(self.largest)]

    def change(self, now: float, limit: int) -> None:
        self.limit = limit


@attrs.define
class WindowsModel:
    """Every window has room."""

    each: list[WindowModel]

    @property
    def largest(self) -> int:
        return min(model.limit for model in self.each)

    def earliest(self, admitted: Sequence[Admission], now: float, weight: int) -> float:
        at = now
        while (later := max(m.earliest(admitted, at, weight) for m in self.each)) > at:
            at = later
        return at

    def instants(self, admitted: Sequence[Admission], now: float) -> list[float]:
        return [self.earliest(admitted, now, weight + 1) for weight in range(self.largest)]

    def change(self, now: float, limit: int) -> None:
        self.each[0].limit = limit


@attrs.define
class BucketModel:
    """A bucket that is filled at a rate, drop by drop. Exact only where times and rates are powers of two."""

    limit: int
    window: float
    burst: int
    _rates: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])

    @property
    def largest(self) -> int:
        return self.burst

    def level(self, admitted: Sequence[Admission], at: float) -> float:
        """What is in the bucket at an instant after all of *admitted*."""
        events = [(each.at, each.weight) for each in admitted] + [(at, 0)]
        changes = [*self._rates, (math.inf, self.limit)]
        level, before = float(self.burst), events[0][0]
        for instant, weight in events:
            while changes[0][0] <= instant:
                until, limit = changes.pop(0)
                level, before = self._filled(level, before, until, limit), max(before, until)
            level = self._filled(level, before, instant, changes[0][1]) - weight
            before = instant
        return level

    def _filled(self, level: float, since: float, until: float, limit: int) -> float:
        rate = limit / self.window
        gone = max(0.0, until - since)
        return min(self.burst, level + gone * rate)

    def earliest(self, admitted: Sequence[Admission], now: float, weight: int) -> float:
        return self._when(now, weight - self.level(admitted, now))

    def _when(self, now: float, missing: float) -> float:
        rate = self.limit / self.window
        return now + max(0.0, missing) / rate

    def instants(self, admitted: Sequence[Admission], now: float) -> list[float]:
        level = self.level(admitted, now)
        return [self._when(now, weight + 1 - level) for weight in range(self.largest)]

    def change(self, now: float, limit: int) -> None:
        self._rates.append((now, self.limit))
        self.limit = limit
