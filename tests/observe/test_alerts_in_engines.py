"""An engine with alerts: they look while it is open, every observer is told, and its runs are none the wiser."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import END, Engine, FlowFailedError, Wiring, flow, step
from agentflow_trio.events import AlertEvent, AlertFired, AlertResolved, ExecutionEvent
from agentflow_trio.observe import AlertRule, Alerts, MetricsCollector


@attrs.define
class Draft:
    tries: int = 0


@step
async def write(draft: Draft) -> None:
    await trio.sleep(0.25)
    raise ValueError("no words")


@flow
def editing() -> Wiring[Draft]:
    return [write.then(END)]


ERRORS = AlertRule("errors", "rate(editing.error_count[10s])", 0.15, "page")


class Notes:
    """An observer that keeps all events."""

    name = "notes"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent, /) -> None:
        self.events.append(event)


async def test_failing_runs_fire_an_alert_that_every_observer_hears_of(
    autojump_clock: MockClock,
) -> None:
    metrics, notes = MetricsCollector(), Notes()
    paged: list[AlertEvent] = []
    alerts = Alerts([ERRORS], metrics, actions={"page": paged.append})
    async with Engine(observers=[metrics, alerts, notes]) as engine:
        for _ in range(2):
            try:
                await engine.run(editing, Draft())
            except* ValueError:
                await trio.sleep(0.0)
        assert paged == []
        await trio.sleep(1.0)
        assert [event.alert for event in alerts.firing()] == ["errors"]
        assert metrics.get_metric("errors.firing") == 1.0
        await trio.sleep(20.0)
        assert metrics.get_metric("errors.firing") == 0.0
    told = [event for event in notes.events if isinstance(event, AlertFired | AlertResolved)]
    assert told == paged
    assert [event.event_type for event in told] == ["alert_fired", "alert_resolved"]
    assert metrics.get_metric("errors.fired_count") == 1.0


async def test_how_the_last_run_ended_is_looked_at_when_the_engine_closes(
    autojump_clock: MockClock,
) -> None:
    """A command that runs one flow has no second after it."""
    metrics, notes = MetricsCollector(), Notes()
    paged: list[AlertEvent] = []
    failed = AlertRule("failed", "editing.error_count", 0.0, "page")
    waits = AlertRule("waits", "editing.error_count", 0.0, "page", for_=0.5)
    alerts = Alerts([failed, waits], metrics, actions={"page": paged.append})
    async with Engine(observers=[metrics, alerts, notes]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(editing, Draft())
        assert paged == []
    assert [event.alert for event in paged] == ["failed"]
    assert [event for event in notes.events if isinstance(event, AlertFired)] == paged


async def test_an_engine_closes_while_an_alert_fires_and_another_goes_on(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    paged: list[AlertEvent] = []
    alerts = Alerts([ERRORS], metrics, actions={"page": paged.append})
    for _ in range(2):
        async with Engine(observers=[metrics, alerts]) as engine:
            for _ in range(3):
                try:
                    await engine.run(editing, Draft())
                except FlowFailedError:
                    await trio.sleep(1.0)
    assert [event.event_type for event in paged] == ["alert_fired"]
    assert [event.alert for event in alerts.firing()] == ["errors"]
