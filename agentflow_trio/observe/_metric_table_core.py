"""The table of metrics: what each is called, counts, and is fed by. All else about metrics is made from it.

Layer: observe. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..events import (
    AlertFired,
    AlertResolved,
    BatchDone,
    BranchCancelled,
    Caught,
    CleanupOverrun,
    FallbackUsed,
    ItemFailed,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeSucceeded,
    ObserverFailed,
    Routed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
)
from ._guard_table_core import GUARDS
from ._metric_core import Change, Feed, Metric, at, feed, lasted, place

__all__ = [
    "BATCH_SIZE",
    "METRICS",
    "NODE_DURATION",
    "NODE_EXECUTIONS",
    "NODE_ROUTED",
    "OVERFLOW",
]


def _routed(event: Routed) -> Iterable[Change]:
    return [] if event.exit is None else [((*place(event.path), event.exit), 1.0)]


def _item_failed(event: ItemFailed) -> Iterable[Change]:
    outcome = "tolerated" if event.tolerated else "failed"
    return [((*place(event.path), outcome), 1.0)]


def _alert_told(kind: type[AlertFired | AlertResolved], value: float) -> Feed:
    return feed(kind, lambda event: [((event.alert, event.severity), value)])


_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

_OUTCOMES: Final = {
    "execution_count": None,
    "success_count": "success",
    "error_count": "error",
    "cancelled_count": "cancelled",
}
_NODE: Final = ("flow", "node")
_NODE_ENDED: Final = (
    at(NodeSucceeded, "success"),
    at(NodeFailed, "error"),
    at(NodeCancelled, "cancelled"),
)

_FLOWS: Final = (
    Metric(
        name="agentflow_flow_executions_total",
        kind="counter",
        labels=("flow", "outcome"),
        help="Runs that ended, by how: success, error or cancelled.",
        seed=_OUTCOMES,
        feeds=(feed(RunEnded, lambda event: [((event.flow, event.outcome), 1.0)]),),
    ),
    Metric(
        name="agentflow_flow_duration_seconds",
        kind="histogram",
        labels=("flow",),
        unit="seconds",
        help="How long runs took, however they ended.",
        seed={"duration_ms": None},
        feeds=(
            feed(
                RunEnded, lambda event: [((event.flow,), (event.duration_ms or 0.0) / 1000.0)]
            ),
        ),
    ),
    Metric(
        name="agentflow_flow_active",
        kind="gauge",
        labels=("flow",),
        help="Runs that go on.",
        seed={"active": None},
        feeds=(
            feed(RunStarted, lambda event: [((event.flow,), 1.0)]),
            feed(RunEnded, lambda event: [((event.flow,), -1.0)]),
        ),
    ),
    Metric(
        name="agentflow_flow_steps_total",
        kind="counter",
        labels=("flow",),
        help="Visits that ended runs made, nested ones included.",
        seed={"step_count": None},
        feeds=(feed(RunEnded, lambda event: [((event.flow,), float(event.steps))]),),
    ),
)

NODE_EXECUTIONS: Final = Metric(
    name="agentflow_node_executions_total",
    kind="counter",
    labels=(*_NODE, "outcome"),
    help="Visits of a step that ended, by how: success, error or cancelled.",
    seed=_OUTCOMES,
    feeds=_NODE_ENDED,
)
NODE_DURATION: Final = Metric(
    name="agentflow_node_duration_seconds",
    kind="histogram",
    labels=_NODE,
    unit="seconds",
    help="How long visits of a step took, retries and waiting included, however they ended.",
    seed={"duration_ms": None},
    feeds=(lasted(NodeSucceeded), lasted(NodeFailed), lasted(NodeCancelled)),
)
NODE_ROUTED: Final = Metric(
    name="agentflow_node_routed_total",
    kind="counter",
    labels=(*_NODE, "exit"),
    help="Visits that left a step by each of its exits; a step without exits has none.",
    seed={"routed_count": None},
    feeds=(feed(Routed, _routed),),
)
BATCH_SIZE: Final = Metric(
    name="agentflow_node_batch_items",
    kind="histogram",
    labels=_NODE,
    unit="items",
    help="How many items each part of a batch had that ended well; of each, 1.",
    seed={"batch_size": None},
    feeds=(feed(BatchDone, lambda _: ()),),  # events tell the sum so far: see the collector
    bounds=_SIZES,
)

_NODES: Final = (
    NODE_EXECUTIONS,
    NODE_DURATION,
    NODE_ROUTED,
    Metric(
        name="agentflow_node_caught_total",
        kind="counter",
        labels=_NODE,
        help="Errors of a step that an edge of catch routed.",
        seed={"caught_count": None},
        feeds=(at(Caught),),
    ),
    Metric(
        name="agentflow_node_fallbacks_total",
        kind="counter",
        labels=_NODE,
        help="Results that a fallback stood in for.",
        seed={"fallback_count": None},
        feeds=(at(FallbackUsed),),
    ),
    Metric(
        name="agentflow_node_parts_total",
        kind="counter",
        labels=(*_NODE, "outcome"),
        help="Items of each, or parts of a batch, that ended: done, failed or (failed, but) tolerated.",
        seed={
            "part_count": None,
            "part_done_count": "done",
            "part_failed_count": "failed",
            "part_tolerated_count": "tolerated",
        },
        feeds=(at(BatchDone, "done"), feed(ItemFailed, _item_failed)),
    ),
    Metric(
        name="agentflow_node_part_duration_seconds",
        kind="histogram",
        labels=_NODE,
        unit="seconds",
        help="How long items of each, or parts of a batch, took.",
        seed={"part_duration_ms": None},
        feeds=(lasted(BatchDone), lasted(ItemFailed)),
    ),
    BATCH_SIZE,
    Metric(
        name="agentflow_node_branches_cancelled_total",
        kind="counter",
        labels=_NODE,
        help="Branches that were cancelled alone, while the others went on.",
        seed={"branch_cancelled_count": None},
        feeds=(at(BranchCancelled),),
    ),
    Metric(
        name="agentflow_cleanup_overruns_total",
        kind="counter",
        labels=_NODE,
        help="Cleanups that used up the grace of their run and had not ended.",
        seed={"cleanup_overrun_count": None},
        feeds=(at(CleanupOverrun),),
    ),
    Metric(
        name="agentflow_threads_abandoned_total",
        kind="counter",
        labels=_NODE,
        help="Threads that a cancelled step left behind at work.",
        seed={"thread_abandoned_count": None},
        feeds=(at(ThreadAbandoned),),
    ),
    Metric(
        name="agentflow_threads_abandoned_working",
        kind="gauge",
        labels=_NODE,
        help="Threads that a cancelled step left behind and that still work.",
        seed={"threads_abandoned": None},
        feeds=(at(ThreadAbandoned), at(ThreadEnded, by=-1.0)),
    ),
    Metric(
        name="agentflow_loop_blocked_seconds",
        kind="histogram",
        labels=_NODE,
        unit="seconds",
        help="How long a step kept the loop from going round, each time it did so for too long.",
        seed={"loop_blocked_ms": None},
        feeds=(feed(LoopBlocked, lambda event: [(place(event.path), event.seconds)]),),
    ),
)

_ALERT: Final = ("alert", "severity")

OVERFLOW: Final = Metric(
    name="agentflow_metrics_overflow_total",
    kind="counter",
    labels=("metric",),
    help="Changes counted as 'other', because the metric had as many series as it may have.",
    seed={"overflow_count": None},
)

_REST: Final = (
    Metric(
        name="agentflow_alerts_fired_total",
        kind="counter",
        labels=_ALERT,
        help="How often an alert fired.",
        seed={"fired_count": None},
        feeds=(_alert_told(AlertFired, 1.0),),
    ),
    Metric(
        name="agentflow_alert_firing",
        kind="gauge",
        labels=_ALERT,
        help="Whether an alert is firing (1) or not (0).",
        seed={"firing": None},
        feeds=(_alert_told(AlertFired, 1.0), _alert_told(AlertResolved, 0.0)),
        sets=True,
    ),
    Metric(
        name="agentflow_observers_switched_off_total",
        kind="counter",
        labels=("observer",),
        help="How often an observer failed, or took too long, and was switched off for a run.",
        seed={"switched_off_count": None},
        feeds=(feed(ObserverFailed, lambda event: [((event.observer,), 1.0)]),),
    ),
    OVERFLOW,
    Metric(
        name="agentflow_engine_runs",
        kind="gauge",
        labels=(),
        help="Runs that go on in the engines looked at.",
        live=("runs",),
    ),
    Metric(
        name="agentflow_engine_threads",
        kind="gauge",
        labels=(),
        help="Threads that make calls for steps, abandoned ones among them.",
        live=("threads",),
    ),
    Metric(
        name="agentflow_engine_threads_waiting",
        kind="gauge",
        labels=(),
        help="Calls that wait for a thread.",
        live=("threads_waiting",),
    ),
    Metric(
        name="agentflow_engine_threads_abandoned",
        kind="gauge",
        labels=(),
        help="Threads that were abandoned and still work.",
        live=("abandoned",),
    ),
    Metric(
        name="agentflow_engine_events_missed_total",
        kind="counter",
        labels=(),
        help="Events that subscribers of runs did not read in time, so that they were dropped.",
        live=("missed_in_all",),
    ),
    Metric(
        name="agentflow_engine_processes",
        kind="gauge",
        labels=(),
        help="Worker processes that make calls.",
        live=("processes",),
    ),
    Metric(
        name="agentflow_engine_processes_waiting",
        kind="gauge",
        labels=(),
        help="Calls that wait for a worker process.",
        live=("processes_waiting",),
    ),
)

METRICS: Final = (*_FLOWS, *_NODES, *GUARDS, *_REST)
"""Every metric, in the order of the reference page."""
