"""The settings of an adaptive limit: frozen, checked where they are written.

Layer: robustness. Plain data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import attrs

from ._bounds import Number, Whole
from ._verdict_core import Errors, Judge, check_plain

__all__ = ["AdaptiveLimitPolicy"]


@final
@attrs.frozen(kw_only=True)
class AdaptiveLimitPolicy:
    """How an adaptive limit moves, and what becomes of those for whom there is no room.

    Attributes:
        initial: how many bodies may run at once at first, from *minimum* to *maximum*.
        minimum: the limit is never lower, >= 1.
        maximum: nor higher, >= *minimum*.
        backoff: a body that failed or was slow makes the limit so many times what it was, rounded down; above 0 and
            below 1.
        slow_after: a body that took so many seconds is slow, > 0; None, the default: no time is too long.
        max_waiters: how many may wait, >= 0; 0, the default: who finds no room is refused at once.
        max_wait: seconds one may wait, >= 0; ``inf``, the default, is as long as it takes.
        record: which errors are failures: classes or a plain function of the error.
        ignore: which of them are not; ``ignore`` wins.
        failed_result: a plain function that tells which results of ``call`` and ``permit.record`` are failures.
    """

    initial: int = attrs.field(default=20, validator=Whole(1))
    minimum: int = attrs.field(default=1, validator=Whole(1))
    maximum: int = attrs.field(default=200, validator=Whole(1))
    backoff: float = attrs.field(default=0.9, validator=Number(what="", above=0.0, below=1.0))
    slow_after: float | None = attrs.field(
        default=None, validator=Number(above=0.0, optional=True)
    )
    max_waiters: int = attrs.field(default=0, validator=Whole(0))
    max_wait: float = attrs.field(default=math.inf, validator=Number(at_most=math.inf))
    record: Errors = (Exception,)
    ignore: Errors = ()
    failed_result: Callable[[object], bool] | None = None

    def __attrs_post_init__(self) -> None:
        for small, below, large, above in (
            ("minimum", self.minimum, "initial", self.initial),
            ("initial", self.initial, "maximum", self.maximum),
        ):
            if below > above:
                raise ValueError(
                    f"AdaptiveLimitPolicy: {small} must be <= {large}={above!r}, not {below!r}"
                )
        Judge(self.record, self.ignore)
        if self.failed_result is not None:
            check_plain("failed_result", self.failed_result)
