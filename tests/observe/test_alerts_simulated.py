"""In a simulation alerts hide no deadlock if their task is named a service."""

from __future__ import annotations

import pytest
import trio

from agentflow_trio import Engine
from agentflow_trio.observe import AlertRule, Alerts, MetricsCollector
from agentflow_trio.testing import DeadlockError, simulate


async def waits_for_ever() -> None:
    metrics = MetricsCollector()
    rules = [AlertRule("errors", "f.error_count", 3, "log")]
    async with Engine(observers=[metrics, Alerts(rules, metrics)]):
        await trio.sleep_forever()


def test_who_waits_for_ever_is_found_though_alerts_look_every_second() -> None:
    with (
        pytest.raises(DeadlockError),
        simulate(waits_for_ever, services=["agentflow observer alerts"]) as sim,
    ):
        sim.run()
