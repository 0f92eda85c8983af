"""The table of the metrics of guards: circuits, retries, limits, pools, caches. The table of all is `_metric_table_core`.

Layer: observe. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from ..events import (
    AttemptFailed,
    CacheHit,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    FaultInjected,
    GaveUp,
    GuardEvent,
    HedgeStarted,
    HedgeWon,
    LimitChanged,
    LoadEnded,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    RuleFailed,
    WaitEnded,
    WaitStarted,
)
from ..robustness import BreakerState
from ._metric_core import Change, Feed, Labels, Metric, feed, guard_label

__all__ = ["GUARDS"]

G = TypeVar("G", bound=GuardEvent)


def _of_guard(
    kind: type[G], rest: Callable[[G], Labels] = lambda _: (), *, by: float = 1.0
) -> Feed:
    """Events of a guard count for it."""
    return feed(kind, lambda event: [((guard_label(event.guard), *rest(event)), by)])


def _circuit_is(event: CircuitChanged) -> Iterable[Change]:
    guard = guard_label(event.guard)
    return [((guard, state.value), float(state.value == event.state)) for state in BreakerState]


def _late_win(event: HedgeWon) -> Iterable[Change]:
    return [((guard_label(event.guard),), float(event.attempt > 1))]


_GUARD: Final = ("guard",)

GUARDS: Final = (
    Metric(
        name="agentflow_attempts_failed_total",
        kind="counter",
        labels=_GUARD,
        help="Attempts of a retry or a hedge that failed.",
        seed={"attempt_failed_count": None},
        feeds=(_of_guard(AttemptFailed),),
    ),
    Metric(
        name="agentflow_retries_total",
        kind="counter",
        labels=_GUARD,
        help="Further attempts that a retry scheduled.",
        seed={"retry_count": None},
        feeds=(_of_guard(RetryScheduled),),
    ),
    Metric(
        name="agentflow_retries_given_up_total",
        kind="counter",
        labels=(*_GUARD, "reason"),
        help="Calls after whose failure a retry or a hedge made no further attempt.",
        seed={"gave_up_count": None},
        feeds=(_of_guard(GaveUp, lambda event: (event.reason,)),),
    ),
    Metric(
        name="agentflow_rejections_total",
        kind="counter",
        labels=(*_GUARD, "reason"),
        help="Calls that a guard did not let through.",
        seed={"rejected_count": None},
        feeds=(_of_guard(CallRejected, lambda event: (event.reason,)),),
    ),
    Metric(
        name="agentflow_timeouts_total",
        kind="counter",
        labels=_GUARD,
        help="Bodies that a timeout cut off.",
        seed={"timeout_count": None},
        feeds=(_of_guard(CallTimedOut),),
    ),
    Metric(
        name="agentflow_waits_total",
        kind="counter",
        labels=(*_GUARD, "outcome"),
        help="Waits for a guard that ended: admitted, rejected or cancelled.",
        seed={"wait_count": None},
        feeds=(_of_guard(WaitEnded, lambda event: (event.outcome,)),),
    ),
    Metric(
        name="agentflow_wait_duration_seconds",
        kind="histogram",
        labels=_GUARD,
        unit="seconds",
        help="How long callers waited for a guard, however it ended.",
        seed={"wait_ms": None},
        feeds=(feed(WaitEnded, lambda event: [((guard_label(event.guard),), event.waited)]),),
    ),
    Metric(
        name="agentflow_guard_waiting",
        kind="gauge",
        labels=_GUARD,
        help="Callers that wait for a guard.",
        seed={"waiting": None},
        feeds=(_of_guard(WaitStarted), _of_guard(WaitEnded, by=-1.0)),
        live=("waiting",),
    ),
    Metric(
        name="agentflow_circuit_state",
        kind="gauge",
        labels=(*_GUARD, "state"),
        help="Whether a circuit is in this state (1) or not (0).",
        seed={f"circuit_{state.value}": state.value for state in BreakerState},
        feeds=(feed(CircuitChanged, _circuit_is),),
        sets=True,
        live=("state",),
    ),
    Metric(
        name="agentflow_circuit_transitions_total",
        kind="counter",
        labels=(*_GUARD, "state"),
        help="Changes of a circuit, by the state it came to.",
        seed={"circuit_change_count": None},
        feeds=(_of_guard(CircuitChanged, lambda event: (event.state,)),),
    ),
    Metric(
        name="agentflow_pool_opened_total",
        kind="counter",
        labels=_GUARD,
        help="Objects that a pool made.",
        seed={"opened_count": None},
        feeds=(_of_guard(ResourceOpened),),
    ),
    Metric(
        name="agentflow_pool_closed_total",
        kind="counter",
        labels=(*_GUARD, "reason"),
        help="Objects that a pool parted with.",
        seed={"closed_count": None},
        feeds=(_of_guard(ResourceClosed, lambda event: (event.reason,)),),
    ),
    Metric(
        name="agentflow_limit_changes_total",
        kind="counter",
        labels=_GUARD,
        help="Changes of a guard's limit while it was in use.",
        seed={"limit_change_count": None},
        feeds=(_of_guard(LimitChanged),),
    ),
    Metric(
        name="agentflow_rule_failures_total",
        kind="counter",
        labels=_GUARD,
        help="Functions given to a guard as rules that raised.",
        seed={"rule_failed_count": None},
        feeds=(_of_guard(RuleFailed),),
    ),
    Metric(
        name="agentflow_hedges_total",
        kind="counter",
        labels=(*_GUARD, "reason"),
        help="Attempts that a hedge began beside others: after a delay, or after a failure.",
        seed={"hedge_count": None},
        feeds=(_of_guard(HedgeStarted, lambda event: (event.reason,)),),
    ),
    Metric(
        name="agentflow_hedges_won_total",
        kind="counter",
        labels=_GUARD,
        help="Calls of a hedge that a later attempt than the first won.",
        seed={"hedge_won_count": None},
        feeds=(feed(HedgeWon, _late_win),),
    ),
    Metric(
        name="agentflow_cache_hits_total",
        kind="counter",
        labels=(*_GUARD, "source"),
        help="Callers that did not load: the value was stored, or they joined who was loading it.",
        seed={"cache_hit_count": None},
        feeds=(_of_guard(CacheHit, lambda event: (event.source,)),),
    ),
    Metric(
        name="agentflow_loads_total",
        kind="counter",
        labels=(*_GUARD, "outcome"),
        help="Loads that ended: loaded, failed or cancelled.",
        seed={"load_count": None},
        feeds=(_of_guard(LoadEnded, lambda event: (event.outcome,)),),
    ),
    Metric(
        name="agentflow_faults_injected_total",
        kind="counter",
        labels=(*_GUARD, "fault"),
        help="What chaos let go wrong: latency, behaviour, error or outcome.",
        seed={"fault_injected_count": None},
        feeds=(_of_guard(FaultInjected, lambda event: (event.fault,)),),
    ),
    Metric(
        name="agentflow_guard_in_use",
        kind="gauge",
        labels=_GUARD,
        help="Callers inside a guard: of a bulkhead, a circuit or a timeout its bodies, of a pool its loans.",
        live=("inside", "running", "lent"),
    ),
    Metric(
        name="agentflow_guard_limit",
        kind="gauge",
        labels=_GUARD,
        help="How many a guard admits: of a pool its size, of a rate limiter the limit of its first window.",
        live=("limit", "size", "limits"),
    ),
    Metric(
        name="agentflow_guard_free",
        kind="gauge",
        labels=_GUARD,
        help="What is free: of a rate limiter the weight it would admit now, of a pool its idle objects.",
        live=("free", "idle"),
    ),
    Metric(
        name="agentflow_limiter_keys",
        kind="gauge",
        labels=_GUARD,
        help="Keys of a keyed limiter that have a limiter now.",
        live=("keys",),
    ),
)
