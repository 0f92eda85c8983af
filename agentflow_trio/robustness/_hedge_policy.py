"""How a hedge behaves: plain settings, checked where they are written.

Layer: robustness. Rule: a setting that makes no sense is an error that names the field and its bound.
"""

from __future__ import annotations

import math
from typing import TypeAlias, final

import attrs

from ._bounds import Number, Whole
from ._budget_core import RetryBudget
from ._verdict_core import Errors, check_errors

__all__ = ["AdaptiveDelay", "Delay", "HedgePolicy"]


@final
@attrs.frozen(kw_only=True)
class AdaptiveDelay:
    """A delay learned from calls: a percentile of how long the last ones took, kept within bounds.

    What is learned from are calls that returned something, from the beginning of the first attempt on, however many it
    took; one that failed or was cancelled tells nothing. So with 95, hedges make about one call of twenty begin again.

    Attributes:
        maximum: seconds, > 0; also the delay until there are ``min_samples``.
        minimum: seconds, > 0 and at most ``maximum``.
        percentile: more than 0 and up to 100, by the nearest rank: at least so many of a hundred calls were no longer.
        min_samples: how many durations it takes to learn, >= 1.
        history: how many of the last durations count, >= ``min_samples``.
    """

    maximum: float = attrs.field(validator=Number(above=0.0))
    minimum: float = attrs.field(default=0.01, validator=Number(above=0.0))
    percentile: float = attrs.field(
        default=95.0, validator=Number(what="", above=0.0, at_most=100.0)
    )
    min_samples: int = attrs.field(default=10, validator=Whole(1))
    history: int = attrs.field(default=100, validator=Whole(1))

    def __attrs_post_init__(self) -> None:
        for name, small, bound, large in (
            ("minimum", self.minimum, "maximum", self.maximum),
            ("min_samples", self.min_samples, "history", self.history),
        ):
            if small > large:
                raise ValueError(
                    f"AdaptiveDelay: {name} must be <= {bound}={large!r}, not {small!r}"
                )


Delay: TypeAlias = float | AdaptiveDelay
"""Seconds, or how to learn them."""


def check_delay(owner: str, after: object) -> None:
    """Raise ValueError unless *after*, a field of *owner*, is a delay."""
    if not isinstance(after, AdaptiveDelay):
        Number(at_most=math.inf).check(owner, "after", after)


def _is_delay(policy: HedgePolicy, _: attrs.Attribute[Delay], after: Delay) -> None:
    check_delay(type(policy).__name__, after)


@final
@attrs.frozen(kw_only=True)
class HedgePolicy:
    """When another attempt is begun beside those that go on.

    Attributes:
        after: seconds, >= 0, from the beginning of one attempt to that of the next, if none has ended the call until
            then; 0 begins all at once, ``inf`` one only after a failure. Or an `AdaptiveDelay`.
        max_attempts: how many may be begun, the first included, >= 1.
        on: the errors after which the next attempt begins at once: a class, a tuple of classes or a function of the
            error. A group is one if each of its leaves is. Any other error ends the call. Cancellation is none, and a
            `RejectedError` neither begins an attempt nor ends the call while other attempts go on.
        ignore: the errors that end the call, even if they are ``on``.
        budget: the budget that pays for every attempt after the first; if it does not, none is begun, and those that go
            on decide. Shared by name with retries. Default: none, they are free.
    """

    after: Delay = attrs.field(validator=_is_delay)
    max_attempts: int = attrs.field(default=2, validator=Whole(1))
    on: Errors = (Exception,)
    ignore: Errors = ()
    budget: RetryBudget | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of(RetryBudget)),
    )

    def __attrs_post_init__(self) -> None:
        instead = "it never begins an attempt; put a Retry around"
        check_errors("HedgePolicy: on", self.on, rejected=instead)
        check_errors("HedgePolicy: ignore", self.ignore)
