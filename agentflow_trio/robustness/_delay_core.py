"""Retry delays: how long to wait before attempt k. No clock, no I/O; chance is passed in.

Layer: robustness. Rules: the cap comes before the dice, so that jitter never collapses at it, and
before the power can overflow; attempt 2 of the default kind is undisturbed, as in the seed's table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, assert_never

from ._retry_policy import RetryPolicy

__all__ = ["capped_delay", "draw_delay"]

FIRST_RETRY: Final = 2


def capped_delay(policy: RetryPolicy, attempt: int) -> float:
    """Return the seconds before *attempt* (2 is the first retry) without chance, at most ``max_delay``.

    Raises:
        ValueError: the policy's own ``backoff`` gave no finite number of seconds >= 0.

    What an own ``backoff`` raises is raised.
    """
    if callable(policy.backoff):
        seconds = policy.backoff(attempt)
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"backoff({attempt}) gave {seconds!r}, not seconds >= 0")
    elif policy.backoff == "exponential":
        seconds = _exponential(policy, attempt)
    elif policy.backoff == "linear":
        seconds = policy.base_delay * (attempt - 1)
    else:
        seconds = policy.base_delay
    return min(seconds, policy.max_delay)


def _exponential(policy: RetryPolicy, attempt: int) -> float:
    try:
        return policy.base_delay * math.pow(policy.multiplier, attempt - FIRST_RETRY)
    except OverflowError:  # 2.0 ** 1024: far above any cap, unless there is nothing to multiply
        return policy.max_delay if policy.base_delay else 0.0


def draw_delay(
    policy: RetryPolicy, attempt: int, previous: float, draw: Callable[[], float]
) -> float:
    """Return the seconds before *attempt*, at most ``max_delay * (1 + jitter)``.

    Args:
        policy: what to compute.
        attempt: 2 is the first retry.
        previous: what this returned for the attempt before, ``base_delay`` at first; only the kind
            "decorrelated" asks.
        draw: a number in [0, 1); called once if the kind needs chance, else never.

    Raises:
        ValueError: the policy's own ``backoff`` gave no finite number of seconds >= 0.

    Sources: "ratio" is the seed's table; "full", "equal" and "decorrelated" are Marc Brooker's, but
    the cap bounds the range the last one draws from: cutting off what was drawn would make two of
    three delays equal to it.
    """
    if policy.jitter_kind == "decorrelated":
        most = min(policy.max_delay, 3.0 * previous)
        return policy.base_delay + draw() * (most - policy.base_delay)
    delay = capped_delay(policy, attempt)
    match policy.jitter_kind:
        case "none":
            return delay
        case "ratio":
            if attempt == FIRST_RETRY and not policy.jitter_first:
                return delay
            return delay * (1.0 + policy.jitter * (2.0 * draw() - 1.0))
        case "full":
            return delay * draw()
        case "equal":
            return delay * (0.5 + 0.5 * draw())
        case _:
            assert_never(policy.jitter_kind)
