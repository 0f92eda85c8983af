"""Rules for Prometheus, made from the table of metrics: what is worth computing beforehand, and what is worth a call.

Layer: observe. Pure. Rule: names of recorded series say level, metric and operation, as Prometheus advises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, final

import attrs

from ._metric_core import Metric
from ._metric_table_core import METRICS

__all__ = ["prometheus_rules"]

_WINDOW: Final = "5m"


@final
@attrs.frozen
class _Alert:
    name: str
    expr: str
    for_: str
    severity: str
    summary: str


def _grew(name: str, by: str) -> str:
    """Whether a counter grew, or is there for the first time: what begins at 1 has no increase."""
    return (
        f"sum by ({by}) (increase({name}[{_WINDOW}])) > 0 "
        f"or sum by ({by}) ({name} unless {name} offset {_WINDOW}) > 0"
    )


_ALERTS: Final = (
    _Alert(
        "AgentflowRunsFail",
        'flow_outcome:agentflow_flow_executions:ratio_rate5m{outcome="error"} > 0.05',
        "5m",
        "warning",
        "More than 5 % of the runs of {{ $labels.flow }} fail.",
    ),
    _Alert(
        "AgentflowCircuitOpen",
        'agentflow_circuit_state{state=~"open|isolated"} == 1',
        "1m",
        "warning",
        "The circuit {{ $labels.guard }} is {{ $labels.state }}.",
    ),
    _Alert(
        "AgentflowGuardRejects",
        "sum by (guard) (rate(agentflow_rejections_total[5m])) > 1",
        "5m",
        "warning",
        "{{ $labels.guard }} turns away more than one call a second.",
    ),
    _Alert(
        "AgentflowLoopBlocked",
        _grew("agentflow_loop_blocked_seconds_count", "flow, node"),
        "0s",
        "warning",
        "{{ $labels.flow }}/{{ $labels.node }} keeps the loop from going round.",
    ),
    _Alert(
        "AgentflowThreadsAbandoned",
        "sum by (flow, node) (agentflow_threads_abandoned_working) > 0",
        "5m",
        "warning",
        "Threads that {{ $labels.flow }}/{{ $labels.node }} left behind still work.",
    ),
    _Alert(
        "AgentflowCleanupOverruns",
        _grew("agentflow_cleanup_overruns_total", "flow, node"),
        "0s",
        "warning",
        "A cleanup of {{ $labels.flow }}/{{ $labels.node }} used up the grace of its run.",
    ),
    _Alert(
        "AgentflowObserverOff",
        _grew("agentflow_observers_switched_off_total", "observer"),
        "0s",
        "warning",
        "The observer {{ $labels.observer }} failed and was switched off for a run.",
    ),
    _Alert(
        "AgentflowMetricsOverflow",
        _grew("agentflow_metrics_overflow_total", "metric"),
        "0s",
        "info",
        "{{ $labels.metric }} has more series than it may have; the rest is in 'other'.",
    ),
)


def prometheus_rules() -> str:
    """A file of rules as YAML: recorded rates, shares and quantiles of flows, steps and guards, and alerts for them.

    The alerts are a beginning: thresholds that fit are yours to set. Rules of your own, see `AlertRule`, can be written to
    such a file as well.
    """
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "# Made by agentflow_trio from its table of metrics; see observe.prometheus_rules()."
    yield "groups:"
    yield "  - name: agentflow_recorded"
    yield "    rules:"
    for metric in METRICS:
        for record, expr in _recorded(metric):
            yield f"      - record: {record}"
            yield f"        expr: {json.dumps(expr)}"
    yield "  - name: agentflow_alerts"
    yield "    rules:"
    for alert in _ALERTS:
        yield f"      - alert: {alert.name}"
        yield f"        expr: {json.dumps(alert.expr)}"
        yield f"        for: {alert.for_}"
        yield "        labels:"
        yield f"          severity: {alert.severity}"
        yield "        annotations:"
        yield f"          summary: {json.dumps(alert.summary)}"


def _recorded(metric: Metric) -> Iterator[tuple[str, str]]:
    """What is computed beforehand of a metric: what ends, by outcome, and how long it takes."""
    level, base = "_".join(metric.owner), metric.name.removesuffix("_total")
    by = ", ".join(metric.owner)
    if metric.labels == (*metric.owner, "outcome"):
        rate = f"rate({metric.name}[{_WINDOW}])"
        each = f"sum by ({by}, outcome) ({rate})"
        yield f"{level}_outcome:{base}:rate{_WINDOW}", each
        whole = f"on ({by}) group_left () sum by ({by}) ({rate})"
        yield f"{level}_outcome:{base}:ratio_rate{_WINDOW}", f"{each} / {whole}"
    if metric.unit == "seconds":
        buckets = f"sum by (le, {by}) (rate({metric.name}_bucket[{_WINDOW}]))"
        for share in (0.5, 0.95, 0.99):
            name = f"{level}:{base}:p{share * 100:g}_{_WINDOW}"
            yield name, f"histogram_quantile({share:g}, {buckets})"
