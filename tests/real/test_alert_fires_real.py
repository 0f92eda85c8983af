"""A real Prometheus scrapes a running engine, and fires the alert that the engine's own alerts fire."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from prometheus_kit import Prometheus, starting_prometheus

from agentflow_trio import END, Engine, Wiring, flow, step
from agentflow_trio.events import AlertEvent, AlertResolved
from agentflow_trio.observe import AlertRule, Alerts, MetricsCollector, as_prometheus
from agentflow_trio.observe.prometheus import serve_metrics

pytestmark = pytest.mark.real

RULE = AlertRule(
    "many-errors",
    "rate(editing.write.error_count[2s]) / rate(editing.write.execution_count[2s])",
    0.5,
    "page",
    for_=1.0,
    severity="critical",
)


@attrs.define
class Draft:
    """What is written."""

    words: int = 0


@step
async def write(draft: Draft) -> None:
    """Has nothing to say."""
    await trio.sleep(0.01)
    raise ValueError("no words")


@flow
def editing() -> Wiring[Draft]:
    """One step."""
    return [write.then(END)]


async def failing(engine: Engine) -> None:
    """Runs that fail, twenty a second."""
    while True:
        with pytest.raises(ExceptionGroup):
            await engine.run(editing, Draft())
        await trio.sleep(0.05)


async def until(prometheus: Prometheus, *wanted: str) -> dict[str, object]:
    """Ask for its alerts until there is none, or one in a state that is *wanted*; return what it says of that."""
    with trio.fail_after(10.0):
        while True:
            alerts = (await prometheus.get("alerts"))["alerts"]
            if [alert["state"] for alert in alerts] == list(wanted):
                return alerts[0] if alerts else {}
            await trio.sleep(0.05)


async def test_an_exported_rule_goes_pending_fires_and_is_resolved(tmp_path: Path) -> None:
    metrics, paged, over = MetricsCollector(), list[str](), trio.Event()

    def page(event: AlertEvent) -> None:
        paged.append(event.event_type)
        if isinstance(event, AlertResolved):
            over.set()

    alerts = Alerts([RULE], metrics, actions={"page": page})
    async with (
        Engine(observers=[metrics, alerts]) as engine,
        serve_metrics(metrics) as server,
        starting_prometheus(
            tmp_path, f"{server.host}:{server.port}", rules=as_prometheus([RULE])
        ) as prometheus,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing, engine)
            pending = await until(prometheus, "pending")
            assert pending["labels"] == {
                "alertname": "many-errors",
                "severity": "critical",
                "action": "page",
            }
            fires = await until(prometheus, "firing")
            assert fires["activeAt"] == pending["activeAt"]
            assert fires["annotations"] == {
                "summary": f"many-errors: {RULE.condition} > 0.5",
                "value": "1",
            }
            assert paged == ["alert_fired"]
            assert await prometheus.value('ALERTS{alertstate="firing"}') == 1
            nursery.cancel_scope.cancel()
        await until(prometheus)
        with trio.fail_after(5.0):
            await over.wait()
    assert paged == ["alert_fired", "alert_resolved"]
