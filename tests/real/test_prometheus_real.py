"""A real Prometheus scrapes a running engine, and its answers are the engine's numbers."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from prometheus_kit import starting_prometheus

from agentflow_trio import END, Engine, RateLimiter, Wiring, flow, step
from agentflow_trio.observe import MetricsCollector
from agentflow_trio.observe.prometheus import serve_metrics

pytestmark = pytest.mark.real


@attrs.define
class Pages:
    """What is printed."""

    printed: int = 0


gate = RateLimiter("press", limit=100, window=1.0)


@step
async def write(pages: Pages) -> None:
    """Writes."""
    await trio.sleep(0.01)
    pages.printed += 1


@step
async def press(pages: Pages) -> None:
    """Prints."""
    async with gate:
        pages.printed += 1


@flow
def editorial() -> Wiring[Pages]:
    """Writes, then prints."""
    return [write.then(press), press.then(END)]


async def test_a_real_prometheus_sees_the_numbers_of_a_running_engine(tmp_path: Path) -> None:
    metrics = MetricsCollector()
    async with (
        Engine(observers=[metrics]) as engine,
        serve_metrics(metrics, live=[engine, gate]) as server,
        starting_prometheus(tmp_path, f"{server.host}:{server.port}") as prometheus,
    ):
        for _ in range(3):
            await engine.run(editorial, Pages())
        await prometheus.until("sum(agentflow_flow_executions_total)", lambda runs: runs == 3)
        executions = (
            'agentflow_node_executions_total{flow="editorial",node="write",outcome="success"}'
        )
        assert await prometheus.value(executions) == 3
        count = 'agentflow_node_duration_seconds_count{flow="editorial",node="press"}'
        assert await prometheus.value(count) == 3
        took = metrics.get_metric("editorial.write.duration_ms.p95")
        p95 = "histogram_quantile(0.95, agentflow_node_duration_seconds_bucket{node='write'})"
        assert await prometheus.value(f"1000 * {p95}") == pytest.approx(took)
        assert await prometheus.value("agentflow_engine_runs") == 0
        assert await prometheus.value('agentflow_guard_limit{guard="press"}') == 100
        await engine.run(editorial, Pages())
        await prometheus.until("sum(agentflow_flow_executions_total)", lambda runs: runs == 4)
        assert await prometheus.value("up") == 1
        (target,) = (await prometheus.get("targets"))["activeTargets"]
        assert target["lastError"] == ""
        told = await prometheus.get("metadata", metric="agentflow_flow_duration_seconds")
        assert told["agentflow_flow_duration_seconds"][0]["type"] == "histogram"
        assert told["agentflow_flow_duration_seconds"][0]["unit"] == "seconds"
