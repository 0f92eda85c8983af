"""The dashboard and the rules beside the pages are what the code makes today, and make sense to Grafana and Prometheus."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_kit import find_program

from agentflow_trio.observe import METRICS, Metric, grafana_dashboard, prometheus_rules

PROGRAM: Final = runpy.run_path(str(Path(__file__).with_name("dashboards.py")))
FILES: Final[Mapping[str, Callable[[], str]]] = PROGRAM["FILES"]
FOLDER: Final[Path] = PROGRAM["FOLDER"]
BOARD: Final[dict[str, Any]] = json.loads(grafana_dashboard())
PANELS: Final[list[dict[str, Any]]] = BOARD["panels"]
QUERIES: Final[list[str]] = [
    target["expr"] for panel in PANELS for target in panel.get("targets", [])
]
RULES: Final = prometheus_rules()
NAMES: Final = re.compile(r"\bagentflow_[a-z_]+")


def series(metric: Metric) -> set[str]:
    """What Prometheus calls the series of a metric."""
    if metric.kind != "histogram":
        return {metric.name}
    return {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}


SERIES: Final = set().union(*map(series, METRICS))


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_made_from_the_table(name: str) -> None:
    made = FILES[name]()
    told = "run  python tests/docs/dashboards.py"
    assert (FOLDER / name).read_text(encoding="utf-8") == made, told


def test_there_is_no_other_file() -> None:
    assert {path.name for path in FOLDER.iterdir()} == FILES.keys()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_on_the_dashboard(metric: Metric) -> None:
    asked = {name for query in QUERIES for name in NAMES.findall(query)}
    assert asked & series(metric)


def test_a_query_asks_only_for_what_there_is() -> None:
    variables = json.dumps(BOARD["templating"]).replace("agentflow_.+", "")
    for text in (*QUERIES, variables):
        assert {*NAMES.findall(text)} <= SERIES, text
    recorded = set(re.findall(r"record: \w+:(\w+):", RULES))
    assert {*NAMES.findall(RULES)} - {
        "agentflow_recorded",
        "agentflow_alerts",
        "agentflow_trio",
    } <= (SERIES | recorded)


def test_labels_in_legends_and_summaries_are_those_of_the_metric() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    legends = [
        target["legendFormat"] for panel in PANELS for target in panel.get("targets", [])
    ]
    named = re.findall(r"\{\{(\w+)\}\}", " ".join(legends)) + re.findall(
        r"\$labels\.(\w+)", RULES
    )
    assert named
    assert set(named) <= labels


def test_panels_have_numbers_of_their_own_and_lie_beside_each_other() -> None:
    assert [panel["id"] for panel in PANELS] == list(range(1, len(PANELS) + 1))
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    covered = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(covered) == len(set(covered))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_what_grafana_needs(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"row", "timeseries", "table", "state-timeline"}
    assert panel["title"]
    if panel["type"] != "row":
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${source}"
        assert [target["refId"] for target in panel["targets"]] == [
            letter for letter, _ in zip("ABCDEFGH", panel["targets"], strict=False)
        ]
    titles = [other["title"] for other in PANELS if other["type"] != "row"]
    assert max(len(list(same)) for _, same in itertools.groupby(sorted(titles))) == 1


def test_variables_that_are_used_can_be_chosen() -> None:
    known = {variable["name"] for variable in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", grafana_dashboard())) - {"__all"}
    assert used - known == {"__rate_interval", "__range"}


@pytest.mark.real
def test_promtool_accepts_the_rules_and_every_query(tmp_path: Path) -> None:
    promtool = find_program("promtool")
    queries = [
        query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$flow", ".*")
        for query in QUERIES
    ]
    rules = [{"record": f"query{at}", "expr": query} for at, query in enumerate(queries)]
    of_board = tmp_path / "queries.yml"
    of_board.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    for file in (FOLDER / "agentflow.rules.yml", of_board):
        done = subprocess.run(
            [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


SERIES_OF_A_BAD_DAY: Final = {
    'agentflow_flow_executions_total{flow="f",outcome="success"}': "0+9x30",
    'agentflow_flow_executions_total{flow="f",outcome="error"}': "0+1x30",
    'agentflow_flow_executions_total{flow="g",outcome="success"}': "0+99x30",
    'agentflow_flow_executions_total{flow="g",outcome="error"}': "0+1x30",
    'agentflow_circuit_state{guard="db",state="open"}': "1x30",
    'agentflow_circuit_state{guard="db",state="closed"}': "0x30",
    'agentflow_circuit_state{guard="api",state="closed"}': "1x30",
    'agentflow_rejections_total{guard="db",reason="open"}': "0+120x30",
    'agentflow_loop_blocked_seconds_count{flow="f",node="a"}': "3x9 4x20",
    'agentflow_threads_abandoned_working{flow="f",node="a"}': "2x30",
    'agentflow_threads_abandoned_working{flow="f",node="b"}': "0x30",
    'agentflow_cleanup_overruns_total{flow="f",node="a"}': "_x10 1x20",
    'agentflow_observers_switched_off_total{observer="logs"}': "_x10 1x20",
    'agentflow_metrics_overflow_total{metric="m"}': "7+1x30",
}
FIRING: Final = {
    "AgentflowRunsFail": {"flow": "f", "outcome": "error"},
    "AgentflowCircuitOpen": {"guard": "db", "state": "open"},
    "AgentflowGuardRejects": {"guard": "db"},
    "AgentflowLoopBlocked": {"flow": "f", "node": "a"},
    "AgentflowThreadsAbandoned": {"flow": "f", "node": "a"},
    "AgentflowCleanupOverruns": {"flow": "f", "node": "a"},
    "AgentflowObserverOff": {"observer": "logs"},
    "AgentflowMetricsOverflow": {"metric": "m"},
}
"""What fires on such a day after twelve minutes, for whom."""


def test_every_alert_has_its_bad_day() -> None:
    assert re.findall(r"alert: (\w+)", RULES) == [*FIRING]


def told(when: str, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What promtool is to expect of an alert: that it fires for *labels*, or not at all."""
    rule = next(text for text in RULES.split("- alert: ") if text.startswith(f"{name}\n"))
    severity, summary = (
        rule.partition(f"{key}: ")[2].partition("\n")[0] for key in ("severity", "summary")
    )
    said: str = json.loads(summary)
    for label, value in (labels or {}).items():
        said = said.replace(f"{{{{ $labels.{label} }}}}", value)
    alert = {
        "exp_labels": {**(labels or {}), "severity": severity},
        "exp_annotations": {"summary": said},
    }
    return {
        "eval_time": when,
        "alertname": name,
        "exp_alerts": [] if labels is None else [alert],
    }


@pytest.mark.real
def test_the_alerts_fire_for_whom_they_should_and_nobody_else(tmp_path: Path) -> None:
    expected = [told("12m", name, FIRING[name]) for name in FIRING]
    calm = [
        told("25m", name)
        for name in ("AgentflowLoopBlocked", "AgentflowCleanupOverruns", "AgentflowObserverOff")
    ]
    series = [
        {"series": name, "values": values} for name, values in SERIES_OF_A_BAD_DAY.items()
    ]
    day = {
        "rule_files": [str(FOLDER / "agentflow.rules.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {"interval": "1m", "input_series": series, "alert_rule_test": expected + calm}
        ],
    }
    file = tmp_path / "day.yml"
    file.write_text(json.dumps(day))
    done = subprocess.run(
        [find_program("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
