"""The table of metrics: what each is called, counts, and is fed by. All else about metrics is made from it.

Layer: observe. Pure: no clock, no I/O. Rules: labels are bounded sets: places of a flow's definition, names of guards,
stable words; never a run's id, an error's text, an item's number or a key of a keyed limiter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias, TypeVar, final

import attrs

from ..events import (
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
    GuardEvent,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    LimitChanged,
    LoadEnded,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeSucceeded,
    ObserverFailed,
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
from ..robustness import BreakerState

__all__ = [
    "BATCH_SIZE",
    "DURATIONS",
    "METRICS",
    "NODE_DURATION",
    "NODE_EXECUTIONS",
    "NODE_ROUTED",
    "OVERFLOW",
    "Change",
    "Feed",
    "Labels",
    "Metric",
    "guard_label",
    "place",
]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = tuple[str, ...]
Change: TypeAlias = tuple[Labels, float]
"""The values of a metric's labels, and what is added to it there (or, where it is *set*, what it is now)."""

E = TypeVar("E", bound=ExecutionEvent)
G = TypeVar("G", bound=GuardEvent)

DURATIONS: Final = (
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
)  # fmt: skip
"""Bounds of buckets in seconds, from what does not wait to a long call of a model."""

_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@final
@attrs.frozen
class Feed:
    """How one kind of event changes a metric.

    Attributes:
        kind: the kind of event.
        changes: what an event of it changes.
    """

    kind: type[object]
    changes: Callable[[ExecutionEvent], Iterable[Change]]


def _first_labels(metric: Metric) -> Labels:
    return metric.labels[:2] if metric.labels[1:2] == ("node",) else metric.labels[:1]


@final
@attrs.frozen(kw_only=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: what Prometheus calls it: with its unit, and ``_total`` if it only ever grows.
        kind: counter, gauge or histogram.
        labels: the names of its labels.
        unit: ``seconds``, ``items``; empty for a plain number.
        help: a sentence.
        seed: its names for ``get_metric``, without whose it is; for each the value of the last label that it stands for,
            None for the sum over all of them. One that ends with ``_ms`` is told in milliseconds.
        feeds: the events it is made of; none for what is read from live objects or counted by the collector itself.
        sets: whether events say what it is now, not by how much it changes.
        live: the fields of ``statistics()`` of guards and engines that it is read from, if there are any.
        bounds: of a histogram's buckets; empty for the bounds of durations that the collector was given.
        owner: the labels that say whose it is: the first, or ``flow`` and ``node`` together.
    """

    name: str
    kind: Kind
    labels: Labels
    unit: str = ""
    help: str
    seed: Mapping[str, str | None] = attrs.field(factory=dict[str, str | None])
    feeds: tuple[Feed, ...] = ()
    sets: bool = False
    live: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    owner: Labels = attrs.field(
        init=False, default=attrs.Factory(_first_labels, takes_self=True)
    )

    @property
    def events(self) -> tuple[type[object], ...]:
        """The kinds of events that feed it."""
        return tuple(feed.kind for feed in self.feeds)


_NUMBERED: Final = re.compile(r"[#@\[][^/]*")


@lru_cache(maxsize=4096)
def place(path: str) -> tuple[str, str]:
    """The flow and the node of a *path*, without numbers: ``digest/map#2/embed[3]`` is ``digest``, ``map/embed``."""
    flow, _, node = _NUMBERED.sub("", path).partition("/")
    return flow, node


def guard_label(name: str) -> str:
    """The label of a guard called *name*; one of a keyed limiter, ``limits[user 7]``, counts as ``limits``."""
    return name.partition("[")[0] if name.endswith("]") else name


# ---------------------------------------------------------------- how events change metrics


def _feed(kind: type[E], changes: Callable[[E], Iterable[Change]]) -> Feed:
    def read(event: ExecutionEvent) -> Iterable[Change]:
        return changes(event) if isinstance(event, kind) else ()

    return Feed(kind, read)


def _at(kind: type[E], *rest: str, by: float = 1.0) -> Feed:
    """Events of a place count there."""
    return _feed(kind, lambda event: [((*place(event.path), *rest), by)])


def _lasted(kind: type[E]) -> Feed:
    """How long what an event ends took, at its place."""
    return _feed(kind, lambda event: [(place(event.path), (event.duration_ms or 0.0) / 1000.0)])


def _of_guard(
    kind: type[G], rest: Callable[[G], Labels] = lambda _: (), *, by: float = 1.0
) -> Feed:
    """Events of a guard count for it."""
    return _feed(kind, lambda event: [((guard_label(event.guard), *rest(event)), by)])


def _circuit_is(event: CircuitChanged) -> Iterable[Change]:
    guard = guard_label(event.guard)
    return [((guard, state.value), float(state.value == event.state)) for state in BreakerState]


def _late_win(event: HedgeWon) -> Iterable[Change]:
    return [((guard_label(event.guard),), float(event.attempt > 1))]


def _routed(event: Routed) -> Iterable[Change]:
    return [] if event.exit is None else [((*place(event.path), event.exit), 1.0)]


def _item_failed(event: ItemFailed) -> Iterable[Change]:
    outcome = "tolerated" if event.tolerated else "failed"
    return [((*place(event.path), outcome), 1.0)]


def _alert_told(kind: type[AlertFired | AlertResolved], value: float) -> Feed:
    return _feed(kind, lambda event: [((event.alert, event.severity), value)])


# ---------------------------------------------------------------- the table

_OUTCOMES: Final = {
    "execution_count": None,
    "success_count": "success",
    "error_count": "error",
    "cancelled_count": "cancelled",
}
_NODE: Final = ("flow", "node")
_NODE_ENDED: Final = (
    _at(NodeSucceeded, "success"),
    _at(NodeFailed, "error"),
    _at(NodeCancelled, "cancelled"),
)

_FLOWS: Final = (
    Metric(
        name="agentflow_flow_executions_total",
        kind="counter",
        labels=("flow", "outcome"),
        help="Runs that ended, by how: success, error or cancelled.",
        seed=_OUTCOMES,
        feeds=(_feed(RunEnded, lambda event: [((event.flow, event.outcome), 1.0)]),),
    ),
    Metric(
        name="agentflow_flow_duration_seconds",
        kind="histogram",
        labels=("flow",),
        unit="seconds",
        help="How long runs took, however they ended.",
        seed={"duration_ms": None},
        feeds=(
            _feed(
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
            _feed(RunStarted, lambda event: [((event.flow,), 1.0)]),
            _feed(RunEnded, lambda event: [((event.flow,), -1.0)]),
        ),
    ),
    Metric(
        name="agentflow_flow_steps_total",
        kind="counter",
        labels=("flow",),
        help="Visits that ended runs made, nested ones included.",
        seed={"step_count": None},
        feeds=(_feed(RunEnded, lambda event: [((event.flow,), float(event.steps))]),),
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
    feeds=(_lasted(NodeSucceeded), _lasted(NodeFailed), _lasted(NodeCancelled)),
)
NODE_ROUTED: Final = Metric(
    name="agentflow_node_routed_total",
    kind="counter",
    labels=(*_NODE, "exit"),
    help="Visits that left a step by each of its exits; a step without exits has none.",
    seed={"routed_count": None},
    feeds=(_feed(Routed, _routed),),
)
BATCH_SIZE: Final = Metric(
    name="agentflow_node_batch_items",
    kind="histogram",
    labels=_NODE,
    unit="items",
    help="How many items each part of a batch had that ended well; of each, 1.",
    seed={"batch_size": None},
    feeds=(_feed(BatchDone, lambda _: ()),),  # events tell the sum so far: see the collector
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
        feeds=(_at(Caught),),
    ),
    Metric(
        name="agentflow_node_fallbacks_total",
        kind="counter",
        labels=_NODE,
        help="Results that a fallback stood in for.",
        seed={"fallback_count": None},
        feeds=(_at(FallbackUsed),),
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
        feeds=(_at(BatchDone, "done"), _feed(ItemFailed, _item_failed)),
    ),
    Metric(
        name="agentflow_node_part_duration_seconds",
        kind="histogram",
        labels=_NODE,
        unit="seconds",
        help="How long items of each, or parts of a batch, took.",
        seed={"part_duration_ms": None},
        feeds=(_lasted(BatchDone), _lasted(ItemFailed)),
    ),
    BATCH_SIZE,
    Metric(
        name="agentflow_node_branches_cancelled_total",
        kind="counter",
        labels=_NODE,
        help="Branches that were cancelled alone, while the others went on.",
        seed={"branch_cancelled_count": None},
        feeds=(_at(BranchCancelled),),
    ),
    Metric(
        name="agentflow_cleanup_overruns_total",
        kind="counter",
        labels=_NODE,
        help="Cleanups that used up the grace of their run and had not ended.",
        seed={"cleanup_overrun_count": None},
        feeds=(_at(CleanupOverrun),),
    ),
    Metric(
        name="agentflow_threads_abandoned_total",
        kind="counter",
        labels=_NODE,
        help="Threads that a cancelled step left behind at work.",
        seed={"thread_abandoned_count": None},
        feeds=(_at(ThreadAbandoned),),
    ),
    Metric(
        name="agentflow_threads_abandoned_working",
        kind="gauge",
        labels=_NODE,
        help="Threads that a cancelled step left behind and that still work.",
        seed={"threads_abandoned": None},
        feeds=(_at(ThreadAbandoned), _at(ThreadEnded, by=-1.0)),
    ),
    Metric(
        name="agentflow_loop_blocked_seconds",
        kind="histogram",
        labels=_NODE,
        unit="seconds",
        help="How long a step kept the loop from going round, each time it did so for too long.",
        seed={"loop_blocked_ms": None},
        feeds=(_feed(LoopBlocked, lambda event: [(place(event.path), event.seconds)]),),
    ),
)

_GUARD: Final = ("guard",)

_GUARDS: Final = (
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
        feeds=(_feed(WaitEnded, lambda event: [((guard_label(event.guard),), event.waited)]),),
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
        feeds=(_feed(CircuitChanged, _circuit_is),),
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
        feeds=(_feed(HedgeWon, _late_win),),
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
        feeds=(_feed(ObserverFailed, lambda event: [((event.observer,), 1.0)]),),
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

METRICS: Final = (*_FLOWS, *_NODES, *_GUARDS, *_REST)
"""Every metric, in the order of the reference page."""
