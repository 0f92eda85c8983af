"""Settings of rate limiters: a sliding window, or several; or a token bucket.

Layer: robustness. Rule: nonsense is refused where it is written, by the name of the field and its bound.
"""

from __future__ import annotations

import math
from typing import final

import attrs

from .._typing import TypeIs
from ._bounds import Number, Whole
from ._limiter_core import Meter
from ._token_bucket_core import Bucket
from ._window_core import Edge, Window, Windows

__all__ = ["Rate", "TokenBucketPolicy", "WindowPolicy", "policy_of"]


@final
@attrs.frozen
class Rate:
    """So much in so many seconds: ``Rate(100, 60.0)``.

    Attributes:
        limit: how much, >= 1.
        window: seconds, > 0 and finite.
    """

    limit: int = attrs.field(validator=Whole(1))
    window: float = attrs.field(validator=Number(above=0.0))


def _check_edge(_: WindowPolicy, field: attrs.Attribute[Edge], edge: Edge) -> None:
    if edge not in {"open", "closed"}:
        raise ValueError(f"WindowPolicy: {field.name} must be 'open' or 'closed', not {edge!r}")


def _check_also(
    policy: WindowPolicy, field: attrs.Attribute[tuple[Rate, ...]], also: tuple[Rate, ...]
) -> None:
    if not _are_rates(also):
        raise ValueError(f"WindowPolicy: {field.name} must be a tuple of Rates, not {also!r}")
    windows = [policy.window, *(rate.window for rate in also)]
    if any(window in windows[:at] for at, window in enumerate(windows)):
        raise ValueError(f"WindowPolicy: {field.name} must be of other windows, not {windows}")


def _are_rates(values: object) -> bool:
    return _is_tuple(values) and all(isinstance(value, Rate) for value in values)


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


@final
@attrs.frozen(kw_only=True)
class WindowPolicy:
    """An exact sliding window: what is admitted in ``[t, t + window)`` weighs at most ``limit``, for every t.

    Attributes:
        limit: how much, >= 1.
        window: seconds, > 0 and finite.
        also: further windows, of other lengths; all must have room.
        edge: ``"open"``: what was admitted at t does not count any more at ``t + window``;
            ``"closed"``: it does, and no longer right after it.
        max_wait: seconds that a caller may have to wait, >= 0; ``inf`` by default. Who would have to
            wait longer is refused on arrival.
        max_waiters: how many may wait at once, >= 0; None, the default: any number.
    """

    limit: int = attrs.field(validator=Whole(1))
    window: float = attrs.field(validator=Number(above=0.0))
    also: tuple[Rate, ...] = attrs.field(default=(), validator=_check_also)
    edge: Edge = attrs.field(default="open", validator=_check_edge)
    max_wait: float = attrs.field(default=math.inf, validator=Number(at_most=math.inf))
    max_waiters: int | None = attrs.field(default=None, validator=Whole(0, optional=True))

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All windows: the first, and the further ones."""
        return (Rate(self.limit, self.window), *self.also)

    def meter(self) -> Meter:
        """Make a blank meter of these settings."""
        each = [Window(rate.limit, rate.window, self.edge) for rate in self.rates]
        return each[0] if len(each) == 1 else Windows(tuple(each))


def _limit_of(policy: TokenBucketPolicy) -> int:
    return policy.limit


@final
@attrs.frozen(kw_only=True)
class TokenBucketPolicy:
    """A token bucket: a burst at once, then a steady rate. In any d seconds at most ``burst + d * limit / window``.

    Attributes:
        limit: how much comes back in a window, >= 1.
        window: seconds, > 0 and finite.
        burst: how much may come at once, >= 1; *limit* by default. With 1 all is evenly spaced.
        max_wait: seconds that a caller may have to wait, >= 0; ``inf`` by default. Who would have to
            wait longer is refused on arrival.
        max_waiters: how many may wait at once, >= 0; None, the default: any number.
    """

    limit: int = attrs.field(validator=Whole(1))
    window: float = attrs.field(validator=Number(above=0.0))
    burst: int = attrs.field(
        default=attrs.Factory(_limit_of, takes_self=True), validator=Whole(1)
    )
    max_wait: float = attrs.field(default=math.inf, validator=Number(at_most=math.inf))
    max_waiters: int | None = attrs.field(default=None, validator=Whole(0, optional=True))

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The rate at which it fills, as one of several."""
        return (Rate(self.limit, self.window),)

    def meter(self) -> Meter:
        """Make a blank meter of these settings."""
        return Bucket(self.limit, self.window, self.burst)


def policy_of(
    owner: str,
    policy: WindowPolicy | TokenBucketPolicy | None,
    limit: int | None,
    window: float | None,
) -> WindowPolicy | TokenBucketPolicy:
    """Return *policy*, or the one that *limit* and *window* are short for.

    Raises:
        TypeError: neither is given, or both are; *owner* was to be made.
    """
    if policy is None and limit is not None and window is not None:
        return WindowPolicy(limit=limit, window=window)
    if policy is None or limit is not None or window is not None:
        raise TypeError(f"{owner}: give either a policy, or limit= and window=")
    return policy
