"""An exported rule says in PromQL what its condition says; tests/real shows that a Prometheus agrees."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from agentflow_trio.observe import AlertRule, as_prometheus
from agentflow_trio.observe._alert_export_core import promql
from agentflow_trio.observe._alert_rule import Op

RUNS: Final = "agentflow_flow_executions_total"
VISITS: Final = "agentflow_node_executions_total"
TOOK: Final = "agentflow_flow_duration_seconds"
VISIT_TOOK: Final = "agentflow_node_duration_seconds"
ANY: Final = r'node=~"(.*[./])?editing"'
OF_FLOW: Final = 'flow="editing"'


@pytest.mark.parametrize(
    ("condition", "expression"),
    [
        (
            "editing.error_count",
            f'(sum({RUNS}{{{OF_FLOW},outcome="error"}} or {VISITS}{{{ANY},outcome="error"}}) or vector(0))',
        ),
        (
            "rate(editing.execution_count[60s])",
            f"(sum(rate({RUNS}{{{OF_FLOW}}}[60s]) or rate({VISITS}{{{ANY}}}[60s])) or vector(0))",
        ),
        (
            "increase(editing.execution_count[1h])",
            f"(sum(increase({RUNS}{{{OF_FLOW}}}[3600s]) or increase({VISITS}{{{ANY}}}[3600s])) or vector(0))",
        ),
        (
            "p95(editing.duration_ms[5m])",
            (
                f"(histogram_quantile(0.95, sum by (le) (rate({TOOK}_bucket{{{OF_FLOW}}}[300s])"
                f" or rate({VISIT_TOOK}_bucket{{{ANY}}}[300s]))) * 1000)"
            ),
        ),
        (
            "editing.duration_ms.p50",
            (
                f"(histogram_quantile(0.5, sum by (le) ({TOOK}_bucket{{{OF_FLOW}}}"
                f" or {VISIT_TOOK}_bucket{{{ANY}}})) * 1000)"
            ),
        ),
        (
            "editing.duration_ms",
            f"(sum({TOOK}_sum{{{OF_FLOW}}} or {VISIT_TOOK}_sum{{{ANY}}}) * 1000 or vector(0))",
        ),
        (
            "editing.duration_ms.count",
            f"(sum({TOOK}_count{{{OF_FLOW}}} or {VISIT_TOOK}_count{{{ANY}}}) or vector(0))",
        ),
        (
            "p99(db.wait_ms[1m])",
            (
                "(histogram_quantile(0.99, sum by (le) "
                '(rate(agentflow_wait_duration_seconds_bucket{guard="db"}[60s]))) * 1000)'
            ),
        ),
        ("editing.active", f"sum(agentflow_flow_active{{{OF_FLOW}}})"),
        ("db.retry_count", '(sum(agentflow_retries_total{guard="db"}) or vector(0))'),
        (
            "db.rejected_count.full",
            '(sum(agentflow_rejections_total{guard="db",reason="full"}) or vector(0))',
        ),
        (
            '"the \\ db.circuit_open"',
            'sum(agentflow_circuit_state{guard="the \\\\ db",state="open"})',
        ),
        (
            "step-1.part_count",
            r'(sum(agentflow_node_parts_total{node=~"(.*[./])?step\\-1"}) or vector(0))',
        ),
        (
            "a.b.c.part_count",
            (
                r'(sum(agentflow_node_parts_total{node=~"(.*[./])?a[./]b[./]c"} or '
                r'agentflow_node_parts_total{flow="a",node=~"b[./]c"}) or vector(0))'
            ),
        ),
        (
            "a.cleanup_overrun_count",
            (
                '(sum(agentflow_cleanup_overruns_total{node=~"(.*[./])?a"} or '
                'agentflow_cleanup_overruns_total{flow="a",node=""}) or vector(0))'
            ),
        ),
        (
            "db.retry_count / rate(db.rejected_count[5m])",
            (
                '(sum(agentflow_retries_total{guard="db"}) or vector(0)) / '
                '(sum(rate(agentflow_rejections_total{guard="db"}[300s])) or vector(0))'
            ),
        ),
    ],
)
def test_a_condition_becomes_an_expression(condition: str, expression: str) -> None:
    assert promql(AlertRule("r", condition, 0.5, "log", op=">=")) == f"{expression} >= 0.5"


@pytest.mark.parametrize(
    ("op", "resolve", "stays"),
    [(">", 2, ">="), (">=", 2, ">="), ("<", 8, "<="), ("<=", 8, "<=")],
)
def test_hysteresis_asks_whether_the_alert_is_firing(op: Any, resolve: int, stays: str) -> None:
    rule = AlertRule("r x", "db.retry_count", 5, "log", op=op, resolve_below=resolve)
    value = '(sum(agentflow_retries_total{guard="db"}) or vector(0))'
    assert promql(rule) == (
        f"{value} {op} 5 or {value} {stays} {resolve} and on() "
        'ALERTS{alertname="r x",alertstate="firing"}'
    )


def exported(*rules: AlertRule) -> Any:
    return json.loads(as_prometheus(rules))


def test_a_file_has_one_group_with_all_rules_in_their_order() -> None:
    a = AlertRule("a", "db.retry_count", 5, "log")
    b = AlertRule(
        "b",
        "db.retry_count",
        0.5,
        "page",
        op="<",
        for_=90.0,
        severity="critical",
        resolve_below=1.25,
    )
    assert exported(a, b) == {
        "groups": [
            {
                "name": "agentflow",
                "rules": [
                    {
                        "alert": "a",
                        "expr": promql(a),
                        "labels": {"severity": "warning", "action": "log"},
                        "annotations": {
                            "summary": "a: db.retry_count > 5",
                            "value": "{{ $value }}",
                        },
                    },
                    {
                        "alert": "b",
                        "expr": promql(b),
                        "for": "90000ms",
                        "labels": {"severity": "critical", "action": "page"},
                        "annotations": {
                            "summary": "b: db.retry_count < 0.5",
                            "value": "{{ $value }}",
                            "resolved": "when it is above 1.25",
                        },
                    },
                ],
            }
        ]
    }
    sides: list[tuple[Op, str]] = [(">", "below"), (">=", "below"), ("<=", "above")]
    for op, side in sides:
        resolved = AlertRule("c", "db.retry_count", 5, "log", op=op, resolve_below=5)
        (told,) = exported(resolved)["groups"][0]["rules"]
        assert told["annotations"]["resolved"] == f"when it is {side} 5"
    assert json.loads(as_prometheus([a], group="mine"))["groups"][0]["name"] == "mine"


def test_it_is_read_by_people_too() -> None:
    text = as_prometheus([AlertRule("größe", '"flöße.error_count"', 5, "log")])
    assert "größe" in text
    assert 'flow=\\"flöße\\"' in text
    assert text.startswith('{\n  "groups": [\n')
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1.0, "1000ms"), (2.5, "2500ms"), (0.0001, "1ms"), (0.0015, "2ms"), (0.3, "300ms")],
)
def test_a_wait_is_told_in_milliseconds_of_which_there_is_at_least_one(
    seconds: float, told: str
) -> None:
    rule = AlertRule("r", "db.retry_count", 5, "log", for_=seconds)
    assert exported(rule)["groups"][0]["rules"][0]["for"] == told


def test_a_name_is_never_taken_for_a_template() -> None:
    rule = AlertRule("r", '"{{db.retry_count"', 5, "log")
    summary = exported(rule)["groups"][0]["rules"][0]["annotations"]["summary"]
    assert summary == 'r: "{{ "{{" }}db.retry_count" > 5'
