"""Retry budgets: how many retries so many first attempts pay for. No clock, no I/O.

Layer: robustness. Rules: what is paid in or taken out counts for one window, measured in sixteenths of it; amounts
are whole numbers, so that ten deposits of 0.1 are one retry, not a little less.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, final

import attrs

from ._bounds import Number, Whole, named

__all__ = ["Budget", "BudgetStatistics", "RetryBudget"]

RETRY: Final = 1_000_000_000
"""What one retry costs; shares of it are rounded to whole units."""

SLICES: Final = 16


def _named(_: object, __: attrs.Attribute[str], name: str) -> None:
    named("RetryBudget", name)


@final
@attrs.frozen
class RetryBudget:
    """A budget for retries, shared by all who name it: within any window at most ``reserve + ratio * first attempts``.

    Without one, retries inside retries multiply: three attempts of three attempts are nine calls to a server that is
    down already. Nobody waits for a budget: a retry it does not pay for is not made, and the error is raised.

    The state belongs to the run of Trio and the name; every run starts with a fresh one. Who uses one name must mean
    the same settings.

    Attributes:
        name: what it is shared by.
        ratio: retries that each first attempt pays for, 0 to 1.
        reserve: retries in every window that need no first attempts, >= 0.
        window: seconds after which what was paid in, or taken out, no longer counts, > 0.
    """

    name: str = attrs.field(validator=_named)
    ratio: float = attrs.field(
        default=0.2, kw_only=True, validator=Number(what="", at_most=1.0)
    )
    reserve: int = attrs.field(default=10, kw_only=True, validator=Whole(0))
    window: float = attrs.field(default=10.0, kw_only=True, validator=Number(above=0.0))


@final
@attrs.frozen(kw_only=True)
class BudgetStatistics:
    """A picture of a budget.

    Attributes:
        first_attempts: how many paid in since the run of Trio began.
        retries: how many were paid for.
        refused: how many were not.
        affordable: how many more could have been made when the budget was last used.
    """

    first_attempts: int
    retries: int
    refused: int
    affordable: int


@final
class Budget:
    """What is in a budget."""

    __slots__ = (
        "_deposit",
        "_paid",
        "_refused",
        "_reserve",
        "_slices",
        "_span",
        "_sum",
        "_taken",
    )

    def __init__(self, settings: RetryBudget) -> None:
        self._deposit = round(settings.ratio * RETRY)
        self._reserve = settings.reserve * RETRY
        self._span = settings.window / SLICES
        self._slices: deque[list[int]] = deque()  # [number of the slice, balance of it]
        self._sum = 0
        self._paid = 0
        self._taken = 0
        self._refused = 0

    def deposit(self, now: float) -> None:
        """Pay for a first attempt that begins at *now*."""
        self._paid += 1
        self._book(self._slice(now), self._deposit)

    def withdraw(self, now: float) -> bool:
        """Take a retry out at *now* if it can be afforded."""
        at = self._slice(now)
        self._expire(at)
        if self._reserve + self._sum < RETRY:
            self._refused += 1
            return False
        self._taken += 1
        self._book(at, -RETRY)
        return True

    def give_back(self, then: float, now: float) -> None:
        """Undo the withdrawal made at *then*: that retry did not come to begin."""
        self._taken -= 1
        at = self._slice(then)
        self._expire(self._slice(now))
        for entry in self._slices:
            if entry[0] == at:
                entry[1] += RETRY
                self._sum += RETRY

    def statistics(self) -> BudgetStatistics:
        """A picture as of the last time it was used."""
        return BudgetStatistics(
            first_attempts=self._paid,
            retries=self._taken,
            refused=self._refused,
            affordable=max(0, (self._reserve + self._sum) // RETRY),
        )

    def _slice(self, now: float) -> int:
        return math.floor(now / self._span)

    def _book(self, at: int, amount: int) -> None:
        slices = self._slices
        if slices and slices[-1][0] == at:
            slices[-1][1] += amount
        else:
            slices.append([at, amount])
            self._expire(at)
        self._sum += amount

    def _expire(self, at: int) -> None:
        slices = self._slices
        while slices and slices[0][0] <= at - SLICES:
            self._sum -= slices.popleft()[1]
