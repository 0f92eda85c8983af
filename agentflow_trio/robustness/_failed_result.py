"""Which results count as failures, for the guards whose permits take note of one.

Layer: robustness. Rule: a function of the user's that raises must not fail a body that did its work.
"""

from __future__ import annotations

from collections.abc import Callable

from ._guard import Listener, conclude
from ._verdict_core import Judge

__all__ = ["is_failure"]


def is_failure(
    result: object,
    rule: Callable[[object], bool] | None,
    judge: Judge,
    listener: Listener,
    *,
    whose: str,
) -> bool:
    """Whether *result* counts as failure. Not a checkpoint.

    An error is judged by *judge*, anything else by *rule*; a rule that raises counts as failure, and is told to
    *listener* as a `RuleFailed` event.

    Raises:
        TypeError: *result* is no error, and the guard, which is *whose*, has no rule.
    """
    if isinstance(result, BaseException):
        return conclude(judge, result) == "failure"
    if rule is None:
        raise TypeError(
            f"{whose} cannot tell whether this result is a failure; "
            "give its policy failed_result=, a function of the result"
        )
    try:
        return rule(result)
    except Exception as wrong:  # noqa: BLE001 - the body did its work; a rule must not fail it
        listener.complain(wrong)
        return True
