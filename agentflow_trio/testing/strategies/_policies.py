"""Settings of guards: each valid by construction, the simplest first.

Layer: testing. What depends on another setting is drawn after it, so nothing is thrown away.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from ...robustness import (
    AdaptiveDelay,
    AdaptiveLimitPolicy,
    AdaptiveTimeout,
    BulkheadPolicy,
    CachePolicy,
    ChaosPolicy,
    CircuitPolicy,
    HedgePolicy,
    PoolPolicy,
    Rate,
    RetryBudget,
    RetryPolicy,
    TokenBucketPolicy,
    WindowPolicy,
)
from ._hypothesis import DrawFn, SearchStrategy, st
from ._numbers import TICKS, durations, few, limits, shares, some
from ._printing import made

__all__ = [
    "adaptive_limit_policies",
    "bulkhead_policies",
    "cache_policies",
    "chaos_policies",
    "circuit_policies",
    "hedge_policies",
    "pool_policies",
    "rates",
    "retry_budgets",
    "retry_policies",
    "timeouts",
    "token_bucket_policies",
    "window_policies",
]

_LONGEST: Final = 10.0


# ---------------------------------------------------------------- trying again


def retry_budgets(name: str = "budget", /) -> SearchStrategy[RetryBudget]:
    """Budgets for retries, called *name*; shrinks to one that pays for nothing."""
    return made(
        RetryBudget,
        name=st.just(name),
        ratio=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        reserve=st.integers(0, 4),
        window=some(_LONGEST),
    )


def retry_policies(
    *, max_attempts: int = 5, longest: float = _LONGEST, exact: bool = False
) -> SearchStrategy[RetryPolicy]:
    """Ways to try again; shrinks to a single attempt.

    Args:
        max_attempts: at most so many attempts, the first included.
        longest: no delay is longer before jitter, seconds.
        exact: without jitter and budget, so that a test knows the delays.
    """
    return _retry_policies(max_attempts, longest, exact=exact)


@st.composite
def _retry_policies(
    draw: DrawFn, max_attempts: int, longest: float, *, exact: bool
) -> RetryPolicy:
    attempts = draw(few(max_attempts))
    base = draw(durations(longest))
    policy = RetryPolicy(
        max_attempts=attempts,
        base_delay=base,
        max_delay=draw(durations(longest, shortest=base)),
        multiplier=draw(st.sampled_from([1.0, 1.5, 2.0])),
        backoff=draw(st.sampled_from(["exponential", "linear", "constant"])),
        jitter_kind="none",
        on_rejected=draw(st.sampled_from(["raise", "retry", "wait"])),
        max_elapsed=draw(st.none() | some(longest * attempts + 1.0)),
    )
    return policy if exact else draw(_with_chance(policy))


@st.composite
def _with_chance(draw: DrawFn, policy: RetryPolicy) -> RetryPolicy:
    """The same with jitter of some kind, maybe, and a budget, maybe."""
    kinds = ["none", "ratio", "full", "equal"]
    if policy.backoff == "exponential":
        kinds.append("decorrelated")
    return attrs.evolve(
        policy,
        jitter_kind=draw(st.sampled_from(kinds)),
        jitter=draw(st.sampled_from([0.0, 0.25, 1.0])),
        jitter_first=draw(st.booleans()),
        budget=draw(st.none() | retry_budgets()),
    )


def hedge_policies(
    *, max_attempts: int = 3, longest: float = _LONGEST, exact: bool = False
) -> SearchStrategy[HedgePolicy]:
    """Ways to begin other attempts; shrinks to a single one.

    Args:
        max_attempts: at most so many attempts, the first included.
        longest: no delay is longer, seconds.
        exact: with a delay that is not learned and without a budget, so that a test knows when attempts begin.
    """
    plain = durations(longest)
    budgets = st.none() | retry_budgets("hedges")
    return made(
        HedgePolicy,
        after=plain if exact else plain | _learned_delays(longest),
        max_attempts=few(max_attempts),
        budget=st.none() if exact else budgets,
    )


@st.composite
def _learned_delays(draw: DrawFn, longest: float) -> AdaptiveDelay:
    maximum = draw(some(longest))
    samples = draw(few())
    return AdaptiveDelay(
        maximum=maximum,
        minimum=draw(durations(maximum, shortest=1 / TICKS)),
        percentile=draw(st.sampled_from([100.0, 95.0, 50.0])),
        min_samples=samples,
        history=draw(st.integers(samples, 8)),
    )


# ---------------------------------------------------------------- circuits


def circuit_policies(
    *, longest: float = _LONGEST, exact: bool = False
) -> SearchStrategy[CircuitPolicy]:
    """Settings of circuit breakers; shrinks to one that opens at the first failure, for a sixteenth of a second.

    Args:
        longest: at most so many seconds for each setting that is a time.
        exact: without jitter, so that a test knows when a circuit admits a probe.
    """
    return _circuit_policies(longest, exact=exact)


@st.composite
def _circuit_policies(draw: DrawFn, longest: float, *, exact: bool) -> CircuitPolicy:
    last = draw(few())
    of_last = st.tuples(st.integers(1, last), st.just(last))
    slow = draw(st.none() | st.tuples(shares(), some(longest)))
    recovery = draw(some(longest))
    return CircuitPolicy(
        failure_threshold=draw(st.sampled_from([1, 2, 3, 4, None])),
        failures_of_last=draw(st.none() | of_last),
        failure_rate=draw(st.none() | shares()),
        slow_rate=slow and slow[0],
        slow_after=slow and slow[1],
        window=draw(some(longest)),
        min_calls=draw(few()),
        recovery_timeout=recovery,
        multiplier=draw(st.sampled_from([1.0, 2.0])),
        max_recovery_timeout=draw(st.none() | durations(4 * longest, shortest=recovery)),
        jitter=0.0 if exact else draw(st.sampled_from([0.0, 0.5])),
        half_open_max_calls=draw(few()),
        success_threshold=draw(few()),
        half_open_max_duration=draw(st.just(math.inf) | some(longest)),
    )


# ---------------------------------------------------------------- limits


def rates(*, most: int = 8, longest: float = _LONGEST) -> SearchStrategy[Rate]:
    """So much in so many seconds; shrinks to one in a sixteenth of a second."""
    return made(Rate, limit=few(most), window=some(longest))


def window_policies(
    *, most: int = 8, longest: float = _LONGEST
) -> SearchStrategy[WindowPolicy]:
    """Sliding windows, up to three at once; shrinks to a single one that admits one.

    Args:
        most: no window admits more.
        longest: no window is longer, seconds.
    """
    several = st.lists(
        rates(most=most, longest=longest), min_size=1, max_size=3, unique_by=_window_of
    )
    return several.flatmap(
        lambda rates: made(
            WindowPolicy,
            limit=st.just(rates[0].limit),
            window=st.just(rates[0].window),
            also=st.just(tuple(rates[1:])),
            edge=st.sampled_from(["open", "closed"]),
            max_wait=limits(longest),
            max_waiters=st.none() | st.integers(0, 4),
        )
    )


def _window_of(rate: Rate) -> float:
    return rate.window


def token_bucket_policies(
    *, most: int = 8, longest: float = _LONGEST
) -> SearchStrategy[TokenBucketPolicy]:
    """Token buckets; shrinks to one that gives one at a time.

    Args:
        most: no bucket holds more, nor gives more in its window.
        longest: no window is longer, seconds.
    """
    return made(
        TokenBucketPolicy,
        limit=few(most),
        window=some(longest),
        burst=few(most),
        max_wait=limits(longest),
        max_waiters=st.none() | st.integers(0, 4),
    )


def bulkhead_policies(
    *, most: int = 4, longest: float = _LONGEST
) -> SearchStrategy[BulkheadPolicy]:
    """Bulkheads; shrinks to one with a single place.

    Args:
        most: at most so many places.
        longest: nobody waits for longer, seconds, unless for any time.
    """
    return made(
        BulkheadPolicy,
        limit=few(most),
        max_waiters=st.none() | st.integers(0, 4),
        max_wait=limits(longest),
    )


def adaptive_limit_policies(
    *, most: int = 8, longest: float = _LONGEST
) -> SearchStrategy[AdaptiveLimitPolicy]:
    """Adaptive limits; shrinks to one that is always a single place.

    Args:
        most: it never admits more at once.
        longest: at most so many seconds for each setting that is a time, unless it is any time.
    """
    return _adaptive_limits(most, longest)


@st.composite
def _adaptive_limits(draw: DrawFn, most: int, longest: float) -> AdaptiveLimitPolicy:
    maximum = draw(few(most))
    initial = draw(few(maximum))
    return AdaptiveLimitPolicy(
        initial=initial,
        minimum=draw(few(initial)),
        maximum=maximum,
        backoff=draw(st.sampled_from([0.9, 0.5])),
        slow_after=draw(st.none() | some(longest)),
        max_waiters=draw(st.integers(0, 4)),
        max_wait=draw(limits(longest)),
    )


def pool_policies(*, most: int = 4, longest: float = _LONGEST) -> SearchStrategy[PoolPolicy]:
    """Pools; shrinks to one of a single object, which lives for ever.

    Args:
        most: at most so many objects.
        longest: at most so many seconds for each setting that is a time, unless it is any time.
    """
    ages = st.just(math.inf) | some(longest)
    return made(
        PoolPolicy,
        size=few(most),
        max_waiters=st.none() | st.integers(0, 4),
        max_wait=limits(longest),
        max_idle=ages,
        max_life=ages,
        close_timeout=some(longest),
    )


def cache_policies(*, most: int = 4, longest: float = _LONGEST) -> SearchStrategy[CachePolicy]:
    """Caches; shrinks to one that keeps everything for ever.

    Args:
        most: at most so many values are kept, unless it is any number.
        longest: a value is good, and then may stand in, for at most so many seconds, unless it is good for ever.
    """
    return made(
        CachePolicy,
        ttl=st.just(math.inf) | some(longest),
        max_size=st.none() | few(most),
        stale_if_error=st.just(0.0) | durations(longest),
    )


def timeouts(*, longest: float = _LONGEST) -> SearchStrategy[float | AdaptiveTimeout]:
    """Limits for `Timeout`: seconds, the simplest, or learned ones; none longer than *longest*."""
    return some(longest) | _adaptive(longest)


@st.composite
def _adaptive(draw: DrawFn, longest: float) -> AdaptiveTimeout:
    maximum = draw(some(longest))
    samples = draw(few())
    return AdaptiveTimeout(
        maximum=maximum,
        minimum=draw(durations(maximum, shortest=1 / TICKS)),
        percentile=draw(st.sampled_from([100.0, 95.0, 50.0])),
        factor=draw(st.sampled_from([1.0, 1.5, 2.0])),
        min_samples=samples,
        history=draw(st.integers(samples, 8)),
    )


# ---------------------------------------------------------------- what goes wrong on purpose


def chaos_policies(*, longest: float = _LONGEST) -> SearchStrategy[ChaosPolicy]:
    """Chaos of OSErrors, KeyErrors and latency; shrinks to one that lets nobody through.

    Args:
        longest: nobody is later than so many seconds.
    """
    return _chaos_policies(longest)


_ERRORS: Final[list[tuple[type[Exception], ...]]] = [
    (OSError,),
    (KeyError,),
    (OSError, KeyError, OSError),
]


@st.composite
def _chaos_policies(draw: DrawFn, longest: float) -> ChaosPolicy:
    rate = draw(st.sampled_from([1.0, 0.5, 0.25, 0.0]))
    longer = draw(st.just(0.0) | some(longest))
    if not longer:
        return ChaosPolicy(rate=rate, errors=draw(st.sampled_from(_ERRORS)))
    shortest = draw(st.none() | durations(longer))
    return ChaosPolicy(
        rate=rate,
        latency=longer if shortest is None else (shortest, longer),
        errors=draw(st.sampled_from([*_ERRORS, ()])),
    )
