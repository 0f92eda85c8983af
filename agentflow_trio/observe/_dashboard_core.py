"""A dashboard for Grafana, made from the table of metrics: whatever is counted is on it.

Layer: observe. Pure. Rule: a metric gets the panels that its kind asks for; what several metrics tell together (the share of
runs that failed, a table of steps, the history of circuits) has a panel of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs

from ._metric_core import Metric
from ._metric_table_core import METRICS

__all__ = ["grafana_dashboard"]

Json: TypeAlias = "dict[str, Any]"

_SOURCE: Final[Json] = {"type": "prometheus", "uid": "${source}"}
_WIDE, _HIGH, _WHOLE = 8, 7, 24
_QUANTILES: Final = (0.5, 0.95, 0.99)
_VARIABLES: Final = {
    "flow": "agentflow_flow_executions_total",
    "guard": '{__name__=~"agentflow_.+",guard!=""}',
}
"""What can be chosen at the top, and where its values are found."""

_CIRCUITS: Final = {
    "closed": "green",
    "half_open": "yellow",
    "open": "red",
    "isolated": "purple",
    "disabled": "gray",
}


@attrs.frozen
class _Query:
    expr: str
    legend: str = ""


def grafana_dashboard() -> str:
    """The dashboard as JSON, to be imported into Grafana (9 or later); it asks for a Prometheus and for flows and guards."""
    board: Json = {
        "uid": "agentflow",
        "title": "agentflow_trio",
        "tags": ["agentflow"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [*_variables()]},
        "annotations": {"list": []},
        "panels": _placed([*_sections()]),
    }
    return json.dumps(board, indent=1) + "\n"


def _variables() -> Iterator[Json]:
    yield {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    for name, series in _VARIABLES.items():
        query = f"label_values({series}, {name})"
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


def _sections() -> Iterator[tuple[str, Sequence[Json]]]:
    """Titles of rows, and the panels of each."""
    of = {
        "Flows": [metric for metric in METRICS if metric.owner == ("flow",)],
        "Steps": [metric for metric in METRICS if metric.owner == ("flow", "node")],
        "Guards": [metric for metric in METRICS if metric.owner == ("guard",)],
    }
    known = {metric.name for metrics in of.values() for metric in metrics}
    of["Engine, alerts and the metrics themselves"] = [
        metric for metric in METRICS if metric.name not in known
    ]
    first = {"Flows": [_failed_share()], "Steps": [_steps()], "Guards": [_circuits()]}
    for title, metrics in of.items():
        own = [_panel(metric) for metric in metrics if metric.name != "agentflow_circuit_state"]
        yield title, [*first.get(title, []), *own]


def _placed(sections: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
    """All panels, below one another as far as they do not fit beside, each with a number."""
    placed: list[Json] = []
    top = 0
    for title, panels in sections:
        row: Json = {"type": "row", "title": title, "collapsed": False, "panels": []}
        placed.append({**row, "gridPos": {"x": 0, "y": top, "w": _WHOLE, "h": 1}})
        top, left = top + 1, 0
        for panel in panels:
            wide = _WHOLE if panel["type"] in {"table", "state-timeline"} else _WIDE
            if left + wide > _WHOLE:
                top, left = top + _HIGH, 0
            placed.append({**panel, "gridPos": {"x": left, "y": top, "w": wide, "h": _HIGH}})
            left += wide
        top += _HIGH
    return [{"id": number, **panel} for number, panel in enumerate(placed, 1)]


# ---------------------------------------------------------------- panels of one metric


def _panel(metric: Metric) -> Json:
    """How a metric runs over time: a counter per second, a gauge as it is, a histogram by its quantiles."""
    title = metric.name.removeprefix("agentflow_").removesuffix("_total").replace("_", " ")
    by = ", ".join(metric.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels) or metric.name
    series = metric.name + _chosen(metric)
    if metric.kind == "counter":
        queries = [_Query(f"sum by ({by}) (rate({series}[$__rate_interval]))", legend)]
        return _curves(f"{title} per second", metric.help, queries, "ops")
    if metric.kind == "gauge":
        queries = [_Query(f"sum by ({by}) ({series})", legend)]
        return _curves(title, metric.help, queries, "short")
    queries = [
        _Query(_quantile(metric, share), f"p{share * 100:g} {legend}") for share in _QUANTILES
    ]
    unit = "s" if metric.unit == "seconds" else "short"
    return _curves(title, metric.help, queries, unit)


def _chosen(metric: Metric) -> str:
    """The matchers of what was chosen at the top."""
    own = [f'{name}=~"${name}"' for name in _VARIABLES if name in metric.labels]
    return f"{{{','.join(own)}}}" if own else ""


def _quantile(metric: Metric, share: float) -> str:
    by = ", ".join(("le", *metric.labels))
    series = f"{metric.name}_bucket{_chosen(metric)}"
    return f"histogram_quantile({share:g}, sum by ({by}) (rate({series}[$__rate_interval])))"


def _curves(title: str, text: str, queries: Sequence[_Query], unit: str) -> Json:
    return {
        "type": "timeseries",
        "title": title[0].upper() + title[1:],
        "description": text,
        "datasource": _SOURCE,
        "targets": _targets(queries),
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"}
        },
    }


def _targets(queries: Sequence[_Query], **more: object) -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            **more,
        }
        for number, query in enumerate(queries)
    ]


# ---------------------------------------------------------------- panels of several


def _failed_share() -> Json:
    rate = 'sum by (flow) (rate(agentflow_flow_executions_total{flow=~"$flow"%s}[$__rate_interval]))'
    failed = rate % ',outcome="error"'
    query = _Query(f"{failed} / {rate % ''}", "{{flow}}")
    return _curves("Runs that failed", "Share of the runs that ended.", [query], "percentunit")


def _steps() -> Json:
    """A line for each step: how often, how often badly, how slowly."""
    visits = 'sum by (flow, node) (increase(agentflow_node_executions_total{flow=~"$flow"%s}[$__range]))'
    slow = 'sum by (le, flow, node) (increase(agentflow_node_duration_seconds_bucket{flow=~"$flow"}[$__range]))'
    columns = {
        "visits": visits % "",
        "errors": visits % ',outcome="error"',
        "p95": f"histogram_quantile(0.95, {slow})",
    }
    return {
        "type": "table",
        "title": "Steps at a glance",
        "description": "All steps within the time that is shown.",
        "datasource": _SOURCE,
        "targets": _targets(
            [_Query(expr) for expr in columns.values()], format="table", instant=True
        ),
        "transformations": [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "renameByName": {
                        f"Value #{chr(ord('A') + number)}": name
                        for number, name in enumerate(columns)
                    },
                },
            },
        ],
        "fieldConfig": {
            "defaults": {"decimals": 0},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": "p95"},
                    "properties": [
                        {"id": "unit", "value": "s"},
                        {"id": "decimals", "value": 3},
                    ],
                }
            ],
        },
        "options": {"sortBy": [{"displayName": "errors", "desc": True}]},
    }


def _circuits() -> Json:
    """What each circuit was when."""
    series = 'agentflow_circuit_state{guard=~"$guard",state="%s"}'
    codes = [f"({series % state} == 1) * {number}" for number, state in enumerate(_CIRCUITS)]
    query = _Query(f"max by (guard) ({' or '.join(codes)})", "{{guard}}")
    colours = {
        str(number): {"text": state.replace("_", "-"), "color": colour, "index": number}
        for number, (state, colour) in enumerate(_CIRCUITS.items())
    }
    return {
        "type": "state-timeline",
        "title": "Circuits",
        "description": "What each circuit breaker did with calls.",
        "datasource": _SOURCE,
        "targets": _targets([query]),
        "fieldConfig": {
            "defaults": {"mappings": [{"type": "value", "options": colours}]},
            "overrides": [],
        },
        "options": {"mergeValues": True, "showValue": "auto"},
    }
