"""How a pool behaves, and what it calls.

Layer: robustness. Rule: a setting that makes no sense is an error with the field's name and bound.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

import attrs

from ._bounds import Number, Whole

__all__ = ["PoolPolicy", "Rules"]

Object = TypeVar("Object")


@final
@attrs.frozen(kw_only=True)
class PoolPolicy:
    """How a pool behaves.

    Attributes:
        size: how many objects may exist at once, those being made or closed included, >= 1.
        max_waiters: how many may wait for one, >= 0; None, the default, is any number.
        max_wait: seconds one may wait in line, >= 0; ``inf``, the default, is as long as it takes, 0 not at all.
        max_idle: seconds after which an object that nobody used is lent no more, > 0; ``inf`` by default.
        max_life: seconds after it was made from which on an object is lent no more, > 0; ``inf`` by default.
        close_timeout: seconds that closing an object may take, > 0 and finite; 5 by default.
    """

    size: int = attrs.field(validator=Whole(1))
    max_waiters: int | None = attrs.field(default=None, validator=Whole(0, optional=True))
    max_wait: float = attrs.field(default=math.inf, validator=Number(at_most=math.inf))
    max_idle: float = attrs.field(
        default=math.inf, validator=Number(above=0.0, at_most=math.inf)
    )
    max_life: float = attrs.field(
        default=math.inf, validator=Number(above=0.0, at_most=math.inf)
    )
    close_timeout: float = attrs.field(default=5.0, validator=Number(above=0.0))


@final
@attrs.frozen(kw_only=True)
class Rules(Generic[Object]):
    """What a pool calls; `open_pool` describes each."""

    factory: Callable[[], Awaitable[Object]]
    close: Callable[[Object], Awaitable[object] | None] | None
    validate: Callable[[Object], bool] | None
    reusable: Callable[[Object, BaseException], bool] | None
