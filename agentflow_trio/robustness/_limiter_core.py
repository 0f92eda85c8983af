"""Rate-limiter rules: who is admitted, who waits, who is refused, and when each will be served. No clock, no I/O.

Layer: robustness, above the meters (window and token bucket). Rules: first come, first served, weights included; nobody
passes a line, not even one who does not want to wait; who would have to wait too long is refused on arrival; one who
leaves the line behaves as if it had never come. A core is told the time, which never goes back.

When somebody is served can be read from the meter as long as the line is shorter than what fits into a window: it is
when there is room for all before him and himself. Beyond that a fork of the meter, the forecast, is told every waiter
of the line at his instant. It grows with the line; it is made anew, in a time proportional to the line, when a waiter
left it or the limit was changed, and then only if somebody asks.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, final

import attrs

from ._clock_core import seconds_until

__all__ = [
    "LimiterCore",
    "Meter",
    "Outlook",
    "RateLimiterStatistics",
    "Refusal",
    "Waiter",
    "seconds_until",
]

Reason: TypeAlias = Literal["full", "queue", "max_wait", "deadline", "lowered"]
"""Why somebody is refused; ``lowered``: the limit was lowered, so that a waiter cannot be served as agreed."""


class Meter(Protocol):
    """How much was admitted, and when there is room again."""

    @property
    def limits(self) -> tuple[int, ...]:
        """The limits as they are now."""
        ...

    @property
    def capacity(self) -> int:
        """The largest weight that can ever be admitted."""
        ...

    @property
    def horizon(self) -> int:
        """The largest weight that `ready_at` can tell of."""
        ...

    @property
    def admitted(self) -> int:
        """The weight admitted in all."""
        ...

    def admit(self, weight: int, now: float, /) -> bool:
        """Admit *weight* if there is room at *now*; return whether there was. If not, nothing is changed."""
        ...

    def ready_at(self, weight: int, /) -> float:
        """Return the instant since which there is room for *weight*, if nothing else comes."""
        ...

    def free(self, now: float, /) -> int:
        """Return the weight that would be admitted at *now*."""
        ...

    def is_idle(self, now: float, /) -> bool:
        """Whether nothing that was admitted counts any more at *now*."""
        ...

    def set_limit(self, limit: int, now: float, at: int, /) -> None:
        """Change limit number *at*."""
        ...

    def fork(self) -> Meter:
        """Return a copy that goes its own way."""
        ...


@final
@attrs.frozen(kw_only=True)
class RateLimiterStatistics:
    """How things stand.

    Attributes:
        limits: the limits as they are now, in the order of the policy's windows.
        free: the weight that would be admitted now if nobody waited.
        waiting: how many wait.
        waiting_weight: what they weigh together.
        admitted: the weight admitted since the start.
        refused: how many were refused since the start.
        cancelled: how many were cancelled while they waited.
    """

    limits: tuple[int, ...]
    free: int
    waiting: int
    waiting_weight: int
    admitted: int
    refused: int
    cancelled: int


@final
@attrs.frozen(eq=False)
class Outlook:
    """What statistics say later if nothing else happens.

    Attributes:
        said: what they said when this was made.
        meter: a copy of the limiter's.
    """

    said: RateLimiterStatistics
    meter: Meter

    def at(self, now: float) -> RateLimiterStatistics:
        """What they say at *now*, which is not before this was made."""
        return attrs.evolve(self.said, free=self.meter.free(now))

    def holds(self, now: RateLimiterStatistics) -> bool:
        """Whether nothing else has happened until statistics said *now*."""
        return attrs.evolve(now, free=self.said.free) == self.said


@final
@attrs.frozen
class Refusal:
    """Why somebody is not served, and in how many seconds a try would succeed if nobody else came."""

    reason: Reason
    retry_after: float | None


class Waiter:
    """Somebody in the line.

    Attributes:
        weight: what is asked for.
        since: when it came.
        latest: the last instant at which it still wants to be served.
        due: when it will be served, according to the forecast if there is one.
    """

    __slots__ = ("due", "latest", "since", "weight")

    def __init__(self, weight: int, since: float, latest: float = math.inf) -> None:
        self.weight = weight
        self.since = since
        self.latest = latest
        self.due = since


Who = TypeVar("Who", bound=Waiter)


@final
class _Forecast:
    """When everybody in the line will be served, and who comes next: a fork of the meter that was told them all.

    Attributes:
        lateness_allowed: how many may still be served at another instant than foretold before it is worthless.
    """

    __slots__ = ("_last_due", "_meter", "lateness_allowed")

    def __init__(self, meter: Meter, now: float, lateness_allowed: int) -> None:
        self._meter = meter.fork()
        self._last_due = now
        self.lateness_allowed = lateness_allowed

    def due(self, weight: int) -> float:
        """Return when one more with *weight* would be served."""
        return max(self._last_due, self._meter.ready_at(weight))

    def add(self, waiter: Waiter) -> None:
        """Add *waiter* at the end."""
        waiter.due = self._last_due = self.due(waiter.weight)
        self._meter.admit(waiter.weight, waiter.due)


@final
class LimiterCore(Generic[Who]):
    """A meter and the line before it.

    Attributes:
        meter: what was admitted.
        max_waiters: how many may wait; None: any number.
        line: who waits, first to last.
    """

    __slots__ = (
        "_cancelled",
        "_forecast",
        "_refused",
        "_waiting_weight",
        "line",
        "max_waiters",
        "meter",
    )

    def __init__(self, meter: Meter, max_waiters: int | None = None) -> None:
        self.meter = meter
        self.max_waiters = max_waiters
        # A plain dict looks at all its deleted entries to find the first that is left.
        self.line: OrderedDict[Who, None] = OrderedDict()
        self._waiting_weight = 0
        self._forecast: _Forecast | None = None
        self._refused = 0
        self._cancelled = 0

    # ------------------------------------------------------------ coming

    def admit(self, weight: int, now: float) -> bool:
        """Admit *weight* if nobody waits and there is room; return whether. If not, nothing is changed."""
        return not self.line and self.meter.admit(weight, now)

    def refuse(self, reason: Reason, weight: int, now: float) -> Refusal:
        """Refuse somebody with *weight* who does not join the line, or had to leave it."""
        self._refused += 1
        if weight > self.meter.capacity:
            return Refusal(reason, None)
        return Refusal(reason, seconds_until(self.due(weight, now), now))

    def join(self, waiter: Who, now: float, deadline: float = math.inf) -> Refusal | None:
        """Put *waiter* at the end of the line, or refuse it.

        It is refused if too many wait, or if it would be served later than ``waiter.latest``, or not before
        *deadline*, since it will be cancelled then.
        """
        if self.max_waiters is not None and len(self.line) >= self.max_waiters:
            return self.refuse("queue", waiter.weight, now)
        if waiter.latest < math.inf or deadline < math.inf:
            due = self.due(waiter.weight, now)
            if due > waiter.latest:
                return self.refuse("max_wait", waiter.weight, now)
            if due >= deadline:
                return self.refuse("deadline", waiter.weight, now)
        if self._forecast is not None:
            self._forecast.add(waiter)
        self.line[waiter] = None
        self._waiting_weight += waiter.weight
        return None

    def due(self, weight: int, now: float) -> float:
        """Return when somebody with *weight* who comes at *now* would be served."""
        whole = self._waiting_weight + weight
        if whole <= self.meter.horizon:
            return max(now, self.meter.ready_at(whole))
        if self._forecast is None:
            self._forecast = _Forecast(self.meter, now, len(self.line))
            for waiter in self.line:
                self._forecast.add(waiter)
        return self._forecast.due(weight)

    # ------------------------------------------------------------ waiting

    @property
    def head(self) -> Who | None:
        """Who is next."""
        return next(iter(self.line), None)

    def serve(self, waiter: Who, now: float) -> float:
        """Admit *waiter*, the head, and take it out, if there is room. Return the instant since which there is, or will be.

        It was served if that instant is not later than *now*.
        """
        due = self.meter.ready_at(waiter.weight)
        if due <= now:
            self.meter.admit(waiter.weight, now)
            self._take_out(waiter)
            if self._forecast is not None:
                self._check_forecast(self._forecast, is_late=waiter.due != now)
        return due

    def leave(self, waiter: Who) -> bool:
        """Take *waiter*, which was cancelled, out of the line, wherever it stands. Return whether it was the head."""
        was_head = waiter is self.head
        self._take_out(waiter)
        self._forecast = None
        self._cancelled += 1
        return was_head

    def _take_out(self, waiter: Who) -> None:
        del self.line[waiter]
        self._waiting_weight -= waiter.weight

    def _check_forecast(self, forecast: _Forecast, *, is_late: bool) -> None:
        # Real clocks wake the head a little late, and all behind it will be as late. To make the
        # forecast anew for each would cost the length of the line each time.
        forecast.lateness_allowed -= is_late
        if forecast.lateness_allowed < 0 or not self.line:
            self._forecast = None

    # ------------------------------------------------------------ looking and changing

    def set_limit(self, limit: int, now: float, at: int) -> list[tuple[Who, Refusal]]:
        """Change limit number *at*. Return whom it can no longer serve, or not by ``latest``, first to last.

        They are out of the line, as if they had been refused on arrival.
        """
        self.meter.set_limit(limit, now, at)
        self._forecast = forecast = _Forecast(self.meter, now, len(self.line))
        lost: list[Who] = []
        for waiter in tuple(self.line):
            if waiter.weight <= self.meter.capacity and (
                forecast.due(waiter.weight) <= waiter.latest
            ):
                forecast.add(waiter)
            else:
                self._take_out(waiter)
                lost.append(waiter)
        self._check_forecast(forecast, is_late=False)
        return [(waiter, self.refuse("lowered", waiter.weight, now)) for waiter in lost]

    def statistics(self, now: float) -> RateLimiterStatistics:
        """Return how things stand at *now*."""
        return RateLimiterStatistics(
            limits=self.meter.limits,
            free=self.meter.free(now),
            waiting=len(self.line),
            waiting_weight=self._waiting_weight,
            admitted=self.meter.admitted,
            refused=self._refused,
            cancelled=self._cancelled,
        )
