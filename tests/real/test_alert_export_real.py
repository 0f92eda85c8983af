"""Prometheus' own promtool reads every exported rule, and finds the same alerts in the same numbers as we do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from alerts_kit import ended
from prometheus_kit import find_program

from agentflow_trio.observe import AlertRule, Histogram, MetricsCollector, as_prometheus
from agentflow_trio.observe._alert_core import Watchers

pytestmark = pytest.mark.real

SHARE: Final = "rate(editing.error_count[5s]) / rate(editing.execution_count[5s])"
RULES: Final = (
    AlertRule("value", "editing.error_count", 20.5, "log"),
    AlertRule("rate", "rate(editing.error_count[5s])", 0.5, "log"),
    AlertRule("increase", "increase(editing.error_count[5s])", 2, "log", op=">="),
    AlertRule("long", "rate(editing.error_count[5s])", 0.5, "log", for_=25.0),
    AlertRule("idle", "rate(editing.execution_count[5s])", 0.1, "log", op="<"),
    AlertRule("share", SHARE, 0.4, "log"),
    AlertRule("calm", SHARE, 0.4, "log", resolve_below=0.15),
    AlertRule("few", SHARE, 0.3, "log", op="<="),
    AlertRule("shy", SHARE, 0.1, "log", op="<", resolve_below=0.3),
    AlertRule("slow", "p95(editing.duration_ms[5s])", 1000, "log"),
    AlertRule("ever slow", "editing.duration_ms.p95", 1000, "log"),
    AlertRule("work", "rate(editing.duration_ms[5s])", 5000, "log"),
    AlertRule("mean", "rate(editing.duration_ms[5s]) / rate(editing.duration_ms.count[5s])", 1000, "log"),
    AlertRule("never seen", "reading.error_count", 1, "log", op="<"),
    AlertRule("no gauge", "reading.active", 1, "log", op="<"),
    AlertRule("by nothing", "editing.error_count / reading.error_count", 100, "log"),
    AlertRule("guard", "db.retry_count", 1, "log", op="<", severity="info"),
)  # fmt: skip

# What happens each second of a phase of fifteen: successes and errors, and how long each takes.
PHASES: Final = ((1, 0, 0.5), (1, 1, 3.0), (4, 1, 3.0), (0, 0, 0.0), (3, 0, 0.5), (4, 1, 0.5))
LENGTH: Final = 15
ENDS: Final = tuple(LENGTH * (at + 1) - 1 for at in range(len(PHASES)))
"""Seconds at which every window lies within one phase, so that nothing hangs on how its ends are taken."""

ALWAYS: Final = ("never seen", "by nothing", "guard")
FIRING: Final = {
    14: ("few", "shy"),
    29: ("rate", "increase", "share", "calm", "slow", "ever slow", "work", "mean"),
    44: ("value", "rate", "increase", "long", "calm", "few", "slow", "ever slow", "work", "mean"),
    59: ("value", "idle", "ever slow"),
    74: ("value", "few", "shy", "ever slow"),
    89: ("value", "rate", "increase", "few", "shy", "ever slow"),
}  # fmt: skip


async def promtool(folder: Path, *arguments: str) -> str:
    """Run it in *folder* and return what it says, once it is content."""
    done = await trio.run_process(
        [find_program("promtool"), *arguments],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


async def test_promtool_reads_exported_rules(tmp_path: Path) -> None:
    names = AlertRule("größe", '"{{flöße.error_count"', 1.5, "log", for_=0.25, severity="x-1.y")
    (tmp_path / "rules.json").write_text(as_prometheus([*RULES, names]), encoding="utf-8")
    said = await promtool(tmp_path, "check", "rules", "rules.json")
    assert f"{len(RULES) + 1} rules found" in said


async def test_promtool_finds_the_alerts_that_we_find(tmp_path: Path) -> None:
    told = json.loads(as_prometheus(RULES))
    for rule in told["groups"][0]["rules"]:
        del rule["annotations"]  # promtool would compare the very value
    (tmp_path / "rules.json").write_text(json.dumps(told), encoding="utf-8")
    series, firing = what_we_find()
    assert {at: names for at, names in firing.items() if at in ENDS} == {
        at: tuple(rule.name for rule in RULES if rule.name in (*FIRING[at], *ALWAYS))
        for at in ENDS
    }
    tests = {
        "rule_files": ["rules.json"],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [
                    {"series": name, "values": " ".join(values)}
                    for name, values in series.items()
                ],
                "alert_rule_test": [
                    expectation(rule, at, is_firing=rule.name in firing[at])
                    for rule in RULES
                    for at in ENDS
                ],
            }
        ],
    }
    (tmp_path / "tests.json").write_text(json.dumps(tests), encoding="utf-8")
    assert "SUCCESS" in await promtool(tmp_path, "test", "rules", "tests.json")


def what_we_find() -> tuple[Mapping[str, Sequence[str]], Mapping[int, tuple[str, ...]]]:
    """The series of Prometheus second by second, and the alerts that fire then."""
    metrics = MetricsCollector()
    ended(metrics, "success", seconds=0.5)
    ended(metrics, "error", seconds=0.5)  # every series is there from the beginning
    watchers = Watchers(RULES, metrics)
    series: dict[str, list[str]] = {}
    firing: dict[int, tuple[str, ...]] = {}
    for second in range(len(PHASES) * LENGTH):
        successes, errors, seconds = PHASES[second // LENGTH]
        ended(metrics, "success", times=successes, seconds=seconds)
        ended(metrics, "error", times=errors, seconds=seconds)
        for name, value in shown(metrics):
            series.setdefault(name, []).append(f"{value:g}")
        watchers.look(float(second))
        names = {event.alert for event in watchers.firing()}
        firing[second] = tuple(rule.name for rule in RULES if rule.name in names)
    return series, firing


def shown(metrics: MetricsCollector) -> Iterator[tuple[str, float]]:
    """All series, as Prometheus sees them; gauges left out."""
    for family in metrics.snapshot():
        name = family.metric.name
        for sample in family.samples:
            labels = dict(zip(family.metric.labels, sample.labels, strict=True))
            if isinstance(sample.value, Histogram):
                bounds = [*map(repr, sample.value.bounds), "+Inf"]
                for bound, count in zip(bounds, sample.value.cumulative, strict=True):
                    yield selector(f"{name}_bucket", {**labels, "le": bound}), count
                yield selector(f"{name}_count", labels), sample.value.count
                yield selector(f"{name}_sum", labels), sample.value.total
            elif family.metric.kind == "counter":
                yield selector(name, labels), sample.value


def selector(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
    return f"{name}{{{inside}}}"


def expectation(rule: AlertRule, at: int, *, is_firing: bool) -> Mapping[str, Any]:
    labels = {"severity": rule.severity, "action": rule.action}
    return {
        "eval_time": f"{at}s",
        "alertname": rule.name,
        "exp_alerts": [{"exp_labels": labels}] if is_firing else [],
    }
