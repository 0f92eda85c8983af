"""Where retry budgets are kept: one of each name for each run of Trio.

Layer: robustness. Rule: who uses one name means the same settings.
"""

from __future__ import annotations

from typing import Final

from trio.lowlevel import RunVar, current_clock

from ..ports import Simulated
from ._budget_core import Budget, RetryBudget

__all__ = ["budget_of"]

_BUDGETS: Final[RunVar[dict[str, tuple[RetryBudget, Budget]]]] = RunVar("retry budgets")


def budget_of(settings: RetryBudget) -> Budget:
    """The budget of this name in the run that is going on; made on first use. Not a checkpoint.

    Raises:
        ValueError: it is in use with other settings.
        RuntimeError: no run of Trio is going on here.
    """
    try:
        budgets = _BUDGETS.get()
    except LookupError:
        budgets = dict[str, tuple[RetryBudget, Budget]]()
        _BUDGETS.set(budgets)
    clock = current_clock()
    if not budgets and isinstance(
        clock, Simulated
    ):  # the next execution has budgets of its own
        clock.when_over(budgets.clear)
    used, budget = budgets.setdefault(settings.name, (settings, Budget(settings)))
    if used != settings:
        raise ValueError(f"one retry budget with two settings: {used} and {settings}")
    return budget
