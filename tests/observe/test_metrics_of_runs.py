"""What runs do is what their metrics say: exact values, in virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import Engine, FlowFailedError
from agentflow_trio.observe import MetricsCollector

from .metrics_kit import Notes, raising, row, shown, taking


async def test_a_run_counts_for_its_flow_and_each_of_its_steps(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    async with Engine(observers=[metrics]) as engine:
        await engine.run(row("editorial", taking(1.0, "write"), taking(2.0, "review")), Notes())
    assert shown(metrics) == {
        "flow_executions_total{editorial,success}": 1,
        "flow_duration_seconds_count{editorial}": 1,
        "flow_duration_seconds_sum{editorial}": 3.0,
        "flow_active{editorial}": 0,
        "flow_steps_total{editorial}": 2,
        "node_executions_total{editorial,review,success}": 1,
        "node_executions_total{editorial,write,success}": 1,
        "node_duration_seconds_count{editorial,review}": 1,
        "node_duration_seconds_sum{editorial,review}": 2.0,
        "node_duration_seconds_count{editorial,write}": 1,
        "node_duration_seconds_sum{editorial,write}": 1.0,
    }


async def test_the_names_of_the_design_are_answered(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    flow = row("editorial", taking(1.0, "write"), raising(OSError("no ink"), "print"))
    async with Engine(observers=[metrics]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(flow, Notes())
    assert metrics.get_metric("editorial.execution_count") == 1
    assert metrics.get_metric("editorial.success_count") == 0
    assert metrics.get_metric("editorial.error_count") == 1
    assert metrics.get_metric("editorial.duration_ms") == 2000.0
    assert metrics.get_metric("write.success_count") == 1
    assert metrics.get_metric("print.error_count") == 1
    assert metrics.get_metric("editorial.print.duration_ms") == 1000.0
    assert metrics.get_metric("proof.error_count") is None
    assert metrics.get_metric("nonsense") is None


async def test_a_run_is_active_until_it_ends(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    flow = row("f", taking(2.0, "a"))
    async with Engine(observers=[metrics]) as engine:
        async with engine.start(flow, Notes()), engine.start(flow, Notes()):
            await trio.sleep(1.0)
            assert metrics.get_metric("f.active") == 2
            assert metrics.get_metric("f.execution_count") is None
        assert metrics.get_metric("f.active") == 0
        assert metrics.get_metric("f.execution_count") == 2
