"""The settings of a circuit breaker: frozen, checked where they are written.

Layer: robustness. Plain data; how long a circuit stays open is computed here, since it depends on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

import attrs

from ._bounds import Number, Whole
from ._verdict_core import Errors, Judge, check_plain

__all__ = ["CircuitPolicy"]

_SHARE: Final = Number(what="", above=0.0, at_most=1.0, optional=True)
_DEFAULT_CAP: Final = 10.0


@final
@attrs.frozen(kw_only=True)
class CircuitPolicy:
    """When a circuit opens, how long it stays open, and what closes it. Any rule that holds opens it.

    Attributes:
        failure_threshold: so many failures in a row open it (the last of them does), >= 1; None: no such rule.
        failures_of_last: ``(k, n)``: k failures among the last n calls open it, 1 <= k <= n. Default: no such rule.
        failure_rate: this share of failures among the calls of *window* opens it, above 0 to 1. Default: no such rule.
        slow_rate: this share of slow calls among the calls of *window* opens it, above 0 to 1. Default: no such rule.
        slow_after: a call that took so many seconds is slow, > 0; needed with *slow_rate*.
        window: seconds that the two rates look back, > 0; a call counts while it is younger than that. Each call in
            it takes about 100 bytes.
        min_calls: the rates say nothing before there are so many calls in *window*, >= 1.
        recovery_timeout: seconds from opening to the first probe, > 0.
        multiplier: each further opening without closing in between lasts so many times longer, >= 1.
        max_recovery_timeout: and no longer than this, >= *recovery_timeout*; by default ten times that.
        jitter: share by which each time is lengthened or shortened at random, after the cap, 0 to 1.
        half_open_max_calls: probes at once, >= 1.
        success_threshold: so many successful probes close it, >= 1.
        half_open_max_duration: if for so many seconds no probe ended though some were out, they hang and the
            circuit opens again, > 0; ``inf``: they may take any time.
        record: which errors are failures: classes or a plain function of the error.
        ignore: which of them are not; ``ignore`` wins.
        failed_result: a plain function that tells which results of ``call`` and ``permit.record`` are failures.
    """

    failure_threshold: int | None = attrs.field(default=5, validator=Whole(1, optional=True))
    failures_of_last: tuple[int, int] | None = None
    failure_rate: float | None = attrs.field(default=None, validator=_SHARE)
    slow_rate: float | None = attrs.field(default=None, validator=_SHARE)
    slow_after: float | None = attrs.field(
        default=None, validator=Number(above=0.0, optional=True)
    )
    window: float = attrs.field(default=60.0, validator=Number(above=0.0))
    min_calls: int = attrs.field(default=10, validator=Whole(1))
    recovery_timeout: float = attrs.field(default=30.0, validator=Number(above=0.0))
    multiplier: float = attrs.field(default=1.0, validator=Number(what="", at_least=1.0))
    max_recovery_timeout: float | None = attrs.field(
        default=None, validator=Number(above=0.0, optional=True)
    )
    jitter: float = attrs.field(default=0.0, validator=Number(what="", at_most=1.0))
    half_open_max_calls: int = attrs.field(default=1, validator=Whole(1))
    success_threshold: int = attrs.field(default=1, validator=Whole(1))
    half_open_max_duration: float = attrs.field(
        default=60.0, validator=Number(above=0.0, at_most=math.inf)
    )
    record: Errors = (Exception,)
    ignore: Errors = ()
    failed_result: Callable[[object], bool] | None = None

    def __attrs_post_init__(self) -> None:
        if self.failures_of_last is not None:
            failures, last = self.failures_of_last
            Whole(1).check("CircuitPolicy", "failures_of_last[0]", failures)
            Whole(failures).check("CircuitPolicy", "failures_of_last[1]", last)
        if (self.slow_rate is None) != (self.slow_after is None):
            raise ValueError("CircuitPolicy: slow_rate and slow_after need each other")
        if self.max_recovery_timeout is not None:
            bound = Number(at_least=self.recovery_timeout)
            bound.check("CircuitPolicy", "max_recovery_timeout", self.max_recovery_timeout)
        Judge(self.record, self.ignore)
        if self.failed_result is not None:
            check_plain("failed_result", self.failed_result)

    def open_for(self, trips: int, draw: Callable[[], float], /) -> float:
        """Return the seconds that the circuit stays open at the *trips*-th opening in a row.

        ``min(recovery_timeout * multiplier ** (trips - 1), max_recovery_timeout) * (1 + jitter * (2 u - 1))``, u
        drawn from 0 to 1 only if there is jitter.

        Args:
            trips: from 1; however many, nothing overflows.
            draw: makes u.
        """
        seconds = self.recovery_timeout
        if trips > 1 and self.multiplier > 1.0:
            seconds = self._lengthened(seconds, trips - 1)
        return seconds * (1.0 + self.jitter * (2.0 * draw() - 1.0)) if self.jitter else seconds

    def _lengthened(self, base: float, times: int) -> float:
        cap = self.max_recovery_timeout
        if cap is None:
            cap = _DEFAULT_CAP * base
        # by logarithms first, since 2.0 ** 1024 overflows
        if times * math.log(self.multiplier) >= math.log(cap / base):
            return cap
        return min(base * self.multiplier**times, cap)
