"""Robustness primitives, usable alone in any Trio program.

The parts of a guard: `_policy` (settings), `_core` (rules, without clock and I/O), and a shell of the guard's name.

- circuit breaker: `_breaker`, with `_circuit_policy`, `_circuit_records` and the cores `_breaker_core`,
  `_breaker_counts_core` and `_breaker_states_core`
- retry: `_retry`, with `_retry_policy`, `_attempts` (the loop), `_trial`, `_budget` and the cores `_retry_core`,
  `_delay_core`, `_budget_core`, `_classify_core`
- rate limiters: `_limiter`, `_keyed_limiter`, with `_limiter_policy` and the cores `_limiter_core`, `_window_core`,
  `_token_bucket_core`
- bulkhead and pool: `_bulkhead`, `_bulkhead_core`; `_pool`, `_vault`, `_pool_policy`, `_pool_core`
- adaptive limit: `_adaptive_limit`, `_adaptive_limit_policy`, `_adaptive_limit_core`
- load shedder: `_load_shedder`, `_load_shedder_core`
- timeout: `_timeout`, `_timeout_core`
- fallback: `_fallback`
- chaos: `_chaos`, `_drill` (who turns it on), with `_chaos_policy`, `_chaos_state` and the core `_chaos_core`
- loading once for all who ask: `_flight`, `_cache`, with `_cache_policy`, `_loading` and the cores `_flight_core`, `_cache_core`
- pipeline: `_pipeline`, with `_passage`, `_seating` and the core `_pipeline_core`
- hedge: `_hedge`, with `_hedge_policy`, `_hedge_bout` (the tasks of a call), `_hedge_state` and the core `_hedge_core`
- what they share: `_guard`, `_verdict_core`, `_events`, `_bounds`, `_dice`, `_parking`, `_line_core`, `_clock_core`, `_private`,
  `_failed_result`
- where steps and tests come in: `_around`, `_own_limits`, `_fault_point`

Not for programs, and not promised to them: `AROUND`, `FAULTS`, `Around`, `Dice`, `FaultPlan`, `Passage`, `Surroundings`, `Trial`,
`has_own_limits` and `own_limits`, by which the engine and the simulator are told of guards, and guards of steps;
`as_entered`, `is_guard`, `misplaced_chaos`, `passage_of`, `seated_twice`, `seats_of` and `unseen_hang`, by which a step's guards are
checked and entered as a pipeline's are.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._around import AROUND, Around, Surroundings
from ._dice import Dice
from ._fault_point import FAULTS, FaultPlan, fault_point
from ._own_limits import has_own_limits, own_limits

if TYPE_CHECKING:
    from ._adaptive_limit import AdaptiveLimit, AdaptiveLimitPermit
    from ._adaptive_limit_core import AdaptiveLimitStatistics
    from ._adaptive_limit_policy import AdaptiveLimitPolicy
    from ._attempts import Attempt
    from ._breaker import CircuitBreaker, CircuitPermit
    from ._breaker_states_core import BreakerState
    from ._budget_core import BudgetStatistics, RetryBudget
    from ._bulkhead import Bulkhead, BulkheadPolicy
    from ._bulkhead_core import BulkheadStatistics
    from ._cache import TTLCache, TTLCacheStatistics
    from ._cache_policy import CachePolicy
    from ._chaos import Chaos, ChaosOutcome
    from ._chaos_policy import ChaosPolicy
    from ._chaos_state import ChaosStatistics
    from ._circuit_policy import CircuitPolicy
    from ._circuit_records import CircuitSnapshot, CircuitStatistics
    from ._classify_core import ErrorKind, RecoveryRule, classify, of_kind
    from ._drill import Drill, Drilled
    from ._events import (
        AttemptFailed,
        CacheHit,
        CallRejected,
        CallTimedOut,
        CircuitChanged,
        FallbackUsed,
        FaultInjected,
        GaveUp,
        GuardEvent,
        HedgeStarted,
        HedgeWon,
        LimitChanged,
        LoadEnded,
        OnEvent,
        ResourceClosed,
        ResourceOpened,
        RetryScheduled,
        RuleFailed,
        WaitEnded,
        WaitStarted,
    )
    from ._fallback import Fallback
    from ._flight import SingleFlight, SingleFlightStatistics
    from ._guard import Guard, Member
    from ._hedge import Hedge
    from ._hedge_policy import AdaptiveDelay, HedgePolicy
    from ._hedge_state import HedgeStatistics
    from ._keyed_limiter import KeyedRateLimiter, KeyedRateLimiterStatistics
    from ._limiter import RateLimiter, WeightedEntry
    from ._limiter_core import Outlook, RateLimiterStatistics
    from ._limiter_policy import Rate, TokenBucketPolicy, WindowPolicy
    from ._load_shedder import LoadShedder, load_of
    from ._load_shedder_core import LoadShedderStatistics
    from ._passage import Passage
    from ._pipeline import (
        Pipeline,
        Repeating,
        as_entered,
        passage_of,
        pipeline,
        seats_of,
    )
    from ._pipeline_core import misplaced_chaos, seated_twice, unseen_hang
    from ._pool import OpenPool, ResourcePool, open_pool
    from ._pool_core import PoolStatistics
    from ._pool_policy import PoolPolicy
    from ._retry import Retry
    from ._retry_policy import RetryPolicy
    from ._seating import is_guard
    from ._timeout import Timeout, TimeoutStatistics
    from ._timeout_core import AdaptiveTimeout
    from ._trial import RetryStatistics, Trial
    from ._verdict_core import Errors, Verdict
else:
    __getattr__ = lazily(
        __name__,
        {
            "AdaptiveDelay": "._hedge_policy",
            "AdaptiveLimit": "._adaptive_limit",
            "AdaptiveLimitPermit": "._adaptive_limit",
            "AdaptiveLimitPolicy": "._adaptive_limit_policy",
            "AdaptiveLimitStatistics": "._adaptive_limit_core",
            "AdaptiveTimeout": "._timeout_core",
            "Attempt": "._attempts",
            "AttemptFailed": "._events",
            "BreakerState": "._breaker_states_core",
            "BudgetStatistics": "._budget_core",
            "Bulkhead": "._bulkhead",
            "BulkheadPolicy": "._bulkhead",
            "BulkheadStatistics": "._bulkhead_core",
            "CacheHit": "._events",
            "CachePolicy": "._cache_policy",
            "CallRejected": "._events",
            "CallTimedOut": "._events",
            "Chaos": "._chaos",
            "ChaosOutcome": "._chaos",
            "ChaosPolicy": "._chaos_policy",
            "ChaosStatistics": "._chaos_state",
            "CircuitBreaker": "._breaker",
            "CircuitChanged": "._events",
            "CircuitPermit": "._breaker",
            "CircuitPolicy": "._circuit_policy",
            "CircuitSnapshot": "._circuit_records",
            "CircuitStatistics": "._circuit_records",
            "Drill": "._drill",
            "Drilled": "._drill",
            "ErrorKind": "._classify_core",
            "Errors": "._verdict_core",
            "Fallback": "._fallback",
            "FallbackUsed": "._events",
            "FaultInjected": "._events",
            "GaveUp": "._events",
            "Guard": "._guard",
            "GuardEvent": "._events",
            "Hedge": "._hedge",
            "HedgePolicy": "._hedge_policy",
            "HedgeStarted": "._events",
            "HedgeStatistics": "._hedge_state",
            "HedgeWon": "._events",
            "KeyedRateLimiter": "._keyed_limiter",
            "KeyedRateLimiterStatistics": "._keyed_limiter",
            "LimitChanged": "._events",
            "LoadEnded": "._events",
            "LoadShedder": "._load_shedder",
            "LoadShedderStatistics": "._load_shedder_core",
            "Member": "._guard",
            "OnEvent": "._events",
            "OpenPool": "._pool",
            "Outlook": "._limiter_core",
            "Passage": "._passage",
            "Pipeline": "._pipeline",
            "PoolPolicy": "._pool_policy",
            "PoolStatistics": "._pool_core",
            "Rate": "._limiter_policy",
            "RateLimiter": "._limiter",
            "RateLimiterStatistics": "._limiter_core",
            "RecoveryRule": "._classify_core",
            "Repeating": "._pipeline",
            "ResourceClosed": "._events",
            "ResourceOpened": "._events",
            "ResourcePool": "._pool",
            "Retry": "._retry",
            "RetryBudget": "._budget_core",
            "RetryPolicy": "._retry_policy",
            "RetryScheduled": "._events",
            "RetryStatistics": "._trial",
            "RuleFailed": "._events",
            "SingleFlight": "._flight",
            "SingleFlightStatistics": "._flight",
            "TTLCache": "._cache",
            "TTLCacheStatistics": "._cache",
            "Timeout": "._timeout",
            "TimeoutStatistics": "._timeout",
            "TokenBucketPolicy": "._limiter_policy",
            "Trial": "._trial",
            "Verdict": "._verdict_core",
            "WaitEnded": "._events",
            "WaitStarted": "._events",
            "WeightedEntry": "._limiter",
            "WindowPolicy": "._limiter_policy",
            "as_entered": "._pipeline",
            "classify": "._classify_core",
            "is_guard": "._seating",
            "load_of": "._load_shedder",
            "misplaced_chaos": "._pipeline_core",
            "of_kind": "._classify_core",
            "open_pool": "._pool",
            "passage_of": "._pipeline",
            "pipeline": "._pipeline",
            "seated_twice": "._pipeline_core",
            "seats_of": "._pipeline",
            "unseen_hang": "._pipeline_core",
        },
    )

__all__ = [
    "AROUND",
    "FAULTS",
    "AdaptiveDelay",
    "AdaptiveLimit",
    "AdaptiveLimitPermit",
    "AdaptiveLimitPolicy",
    "AdaptiveLimitStatistics",
    "AdaptiveTimeout",
    "Around",
    "Attempt",
    "AttemptFailed",
    "BreakerState",
    "BudgetStatistics",
    "Bulkhead",
    "BulkheadPolicy",
    "BulkheadStatistics",
    "CacheHit",
    "CachePolicy",
    "CallRejected",
    "CallTimedOut",
    "Chaos",
    "ChaosOutcome",
    "ChaosPolicy",
    "ChaosStatistics",
    "CircuitBreaker",
    "CircuitChanged",
    "CircuitPermit",
    "CircuitPolicy",
    "CircuitSnapshot",
    "CircuitStatistics",
    "Dice",
    "Drill",
    "Drilled",
    "ErrorKind",
    "Errors",
    "Fallback",
    "FallbackUsed",
    "FaultInjected",
    "FaultPlan",
    "GaveUp",
    "Guard",
    "GuardEvent",
    "Hedge",
    "HedgePolicy",
    "HedgeStarted",
    "HedgeStatistics",
    "HedgeWon",
    "KeyedRateLimiter",
    "KeyedRateLimiterStatistics",
    "LimitChanged",
    "LoadEnded",
    "LoadShedder",
    "LoadShedderStatistics",
    "Member",
    "OnEvent",
    "OpenPool",
    "Outlook",
    "Passage",
    "Pipeline",
    "PoolPolicy",
    "PoolStatistics",
    "Rate",
    "RateLimiter",
    "RateLimiterStatistics",
    "RecoveryRule",
    "Repeating",
    "ResourceClosed",
    "ResourceOpened",
    "ResourcePool",
    "Retry",
    "RetryBudget",
    "RetryPolicy",
    "RetryScheduled",
    "RetryStatistics",
    "RuleFailed",
    "SingleFlight",
    "SingleFlightStatistics",
    "Surroundings",
    "TTLCache",
    "TTLCacheStatistics",
    "Timeout",
    "TimeoutStatistics",
    "TokenBucketPolicy",
    "Trial",
    "Verdict",
    "WaitEnded",
    "WaitStarted",
    "WeightedEntry",
    "WindowPolicy",
    "as_entered",
    "classify",
    "fault_point",
    "has_own_limits",
    "is_guard",
    "load_of",
    "misplaced_chaos",
    "of_kind",
    "open_pool",
    "own_limits",
    "passage_of",
    "pipeline",
    "seated_twice",
    "seats_of",
    "unseen_hang",
]
