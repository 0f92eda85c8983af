"""An event of every kind, and exactly the numbers that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agentflow_trio.events import (
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    BranchCancelled,
    CacheHit,
    CallRejected,
    CallTimedOut,
    Caught,
    CircuitChanged,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    LimitChanged,
    LoadEnded,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    Routed,
    RuleFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
    WaitEnded,
    WaitStarted,
)

WHERE: Final[dict[str, Any]] = {"run_id": "r", "seq": 1, "path": "f/a#2/b[3]", "timestamp": 0.0}
RUN: Final[dict[str, Any]] = {**WHERE, "path": "f"}
GUARD: Final[dict[str, Any]] = {"guard": "db", "timestamp": 0.0}
ALERT: Final[dict[str, Any]] = {
    "alert": "slow",
    "severity": "page",
    "condition": "c",
    "value": 2.0,
    "threshold": 1.0,
    "timestamp": 0.0,
}
FAILED: Final[dict[str, Any]] = {"error": "OSError", "message": "secret"}

EXPECTED: Final[list[tuple[ExecutionEvent, Mapping[str, float]]]] = [
    (
        RunStarted(
            **RUN, flow="f", definition_hash="", seed=1, schema_version=1, wall_time=0.0
        ),
        {"flow_active{f}": 1},
    ),
    (
        RunEnded(
            **RUN, duration_ms=1500.0, flow="f", outcome="error", exit=None, steps=7, error="x"
        ),
        {
            "flow_executions_total{f,error}": 1,
            "flow_duration_seconds_count{f}": 1,
            "flow_duration_seconds_sum{f}": 1.5,
            "flow_active{f}": -1,
            "flow_steps_total{f}": 7,
        },
    ),
    (NodeStarted(**WHERE), {}),
    (
        NodeSucceeded(**WHERE, duration_ms=500.0, exit=None),
        {
            "node_executions_total{f,a/b,success}": 1,
            "node_duration_seconds_count{f,a/b}": 1,
            "node_duration_seconds_sum{f,a/b}": 0.5,
        },
    ),
    (
        NodeFailed(**WHERE, duration_ms=500.0, phase="exec", attempt=1, **FAILED),
        {
            "node_executions_total{f,a/b,error}": 1,
            "node_duration_seconds_count{f,a/b}": 1,
            "node_duration_seconds_sum{f,a/b}": 0.5,
        },
    ),
    (
        NodeCancelled(**WHERE, duration_ms=None, phase="exec", attempt=1),
        {
            "node_executions_total{f,a/b,cancelled}": 1,
            "node_duration_seconds_count{f,a/b}": 1,
            "node_duration_seconds_sum{f,a/b}": 0,
        },
    ),
    (Routed(**WHERE, exit="approve", target="end"), {"node_routed_total{f,a/b,approve}": 1}),
    (Routed(**WHERE, exit=None, target="end"), {}),
    (Caught(**WHERE, **FAILED, target="c"), {"node_caught_total{f,a/b}": 1}),
    (FallbackUsed(**WHERE, **FAILED, guard="fallback"), {"node_fallbacks_total{f,a/b}": 1}),
    (
        BatchDone(**WHERE, duration_ms=250.0, done=4, failed=1, total=9),
        {
            "node_parts_total{f,a/b,done}": 1,
            "node_part_duration_seconds_count{f,a/b}": 1,
            "node_part_duration_seconds_sum{f,a/b}": 0.25,
            "node_batch_items_count{f,a/b}": 1,
            "node_batch_items_sum{f,a/b}": 4,
        },
    ),
    (
        ItemFailed(**WHERE, duration_ms=250.0, attempt=1, **FAILED, tolerated=False),
        {
            "node_parts_total{f,a/b,failed}": 1,
            "node_part_duration_seconds_count{f,a/b}": 1,
            "node_part_duration_seconds_sum{f,a/b}": 0.25,
        },
    ),
    (
        ItemFailed(**WHERE, duration_ms=250.0, attempt=1, **FAILED, tolerated=True),
        {
            "node_parts_total{f,a/b,tolerated}": 1,
            "node_part_duration_seconds_count{f,a/b}": 1,
            "node_part_duration_seconds_sum{f,a/b}": 0.25,
        },
    ),
    (BranchCancelled(**WHERE, reason="r"), {"node_branches_cancelled_total{f,a/b}": 1}),
    (Progress(**WHERE, fraction=0.5, text="half"), {}),
    (
        CleanupOverrun(**WHERE, callback="c", grace=5.0, stack=()),
        {"cleanup_overruns_total{f,a/b}": 1},
    ),
    (
        ThreadAbandoned(**WHERE, function="read"),
        {"threads_abandoned_total{f,a/b}": 1, "threads_abandoned_working{f,a/b}": 1},
    ),
    (
        ThreadEnded(**WHERE, function="read", error=None, message=None),
        {"threads_abandoned_working{f,a/b}": -1},
    ),
    (
        LoopBlocked(**WHERE, seconds=0.5, task="t", stack=()),
        {"loop_blocked_seconds_count{f,a/b}": 1, "loop_blocked_seconds_sum{f,a/b}": 0.5},
    ),
    (
        ObserverFailed(**WHERE, observer="logs", reason="r"),
        {"observers_switched_off_total{logs}": 1},
    ),
    (
        CallRejected(**GUARD, reason="open", retry_after=None),
        {"rejections_total{db,open}": 1},
    ),
    (WaitStarted(**GUARD, waiting=3), {"guard_waiting{db}": 1}),
    (
        WaitEnded(**GUARD, outcome="admitted", waited=2.0),
        {
            "waits_total{db,admitted}": 1,
            "wait_duration_seconds_count{db}": 1,
            "wait_duration_seconds_sum{db}": 2.0,
            "guard_waiting{db}": -1,
        },
    ),
    (LimitChanged(**GUARD, before=1, limit=2), {"limit_changes_total{db}": 1}),
    (
        CircuitChanged(
            **GUARD, before="closed", state="open", generation=1, cause="c", retry_after=1.0
        ),
        {
            "circuit_state{db,closed}": 0,
            "circuit_state{db,open}": 1,
            "circuit_state{db,half_open}": 0,
            "circuit_state{db,isolated}": 0,
            "circuit_state{db,disabled}": 0,
            "circuit_transitions_total{db,open}": 1,
        },
    ),
    (AttemptFailed(**GUARD, attempt=1, **FAILED), {"attempts_failed_total{db}": 1}),
    (RetryScheduled(**GUARD, attempt=2, delay=1.0), {"retries_total{db}": 1}),
    (
        GaveUp(**GUARD, attempts=3, elapsed=7.0, reason="max_attempts"),
        {"retries_given_up_total{db,max_attempts}": 1},
    ),
    (CallTimedOut(**GUARD, seconds=1.0), {"timeouts_total{db}": 1}),
    (ResourceOpened(**GUARD, size=1), {"pool_opened_total{db}": 1}),
    (ResourceClosed(**GUARD, reason="aged", size=0), {"pool_closed_total{db,aged}": 1}),
    (RuleFailed(**GUARD, **FAILED), {"rule_failures_total{db}": 1}),
    (HedgeStarted(**GUARD, attempt=2, reason="delay"), {"hedges_total{db,delay}": 1}),
    (HedgeWon(**GUARD, attempt=2, attempts=2), {"hedges_won_total{db}": 1}),
    (CacheHit(**GUARD, source="joined"), {"cache_hits_total{db,joined}": 1}),
    (LoadEnded(**GUARD, outcome="loaded", callers=2), {"loads_total{db,loaded}": 1}),
    (
        FaultInjected(**GUARD, fault="error", delay=0.0, error="OSError"),
        {"faults_injected_total{db,error}": 1},
    ),
    (
        AlertFired(**ALERT),
        {"alerts_fired_total{slow,page}": 1, "alert_firing{slow,page}": 1},
    ),
    (AlertResolved(**ALERT), {"alert_firing{slow,page}": 0}),
]
