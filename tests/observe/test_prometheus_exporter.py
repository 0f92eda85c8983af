"""What Prometheus is shown is what was counted, in both of its formats, on a registry of the application's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import pytest
import trio
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    BulkheadPolicy,
    CircuitBreaker,
    Engine,
    KeyedRateLimiter,
    RateLimiter,
    TokenBucketPolicy,
    WindowPolicy,
    open_pool,
)
from agentflow_trio.events import CircuitChanged, NodeSucceeded, WaitStarted
from agentflow_trio.observe import METRICS, MetricsCollector
from agentflow_trio.observe.prometheus import PrometheusExporter

from .metric_examples import EXPECTED
from .metrics_kit import Notes, row, taking

HEAD: Final[dict[str, Any]] = {"run_id": "r", "seq": 1, "timestamp": 0.0}

# the module of this format has no types
_OPENMETRICS: Final = "prometheus_client.openmetrics"
openmetrics: Final[Callable[[CollectorRegistry], bytes]] = import_module(
    f"{_OPENMETRICS}.exposition"
).generate_latest
parse_openmetrics: Final[Callable[[str], Iterable[Metric]]] = import_module(
    f"{_OPENMETRICS}.parser"
).text_string_to_metric_families

Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told(samples: list[Sample]) -> Shown:
    return {(one.name, tuple(sorted(one.labels.items()))): float(one.value) for one in samples}


def scraped(exporter: PrometheusExporter) -> Shown:
    """Every sample of its page."""
    families = text_string_to_metric_families(generate_latest(exporter.registry).decode())
    return told([sample for family in families for sample in family.samples])


def full() -> MetricsCollector:
    """A collector that has been told every event."""
    metrics = MetricsCollector(buckets=(0.25, 1.0))
    for event, _ in EXPECTED:
        metrics.observe(event)
    return metrics


def test_a_histogram_is_shown_with_its_buckets_its_count_and_its_sum() -> None:
    metrics = MetricsCollector(buckets=(0.25, 1.0))
    for ms in (250.0, 500.0, 2000.0):
        metrics.observe(NodeSucceeded(**HEAD, path="f/a/b", duration_ms=ms, exit=None))
    labels = 'flow="f",node="a/b"'
    page = generate_latest(PrometheusExporter(metrics).registry).decode()
    assert page.splitlines()[5:] == [
        "# HELP agentflow_node_duration_seconds How long visits of a step took, retries and waiting included, however they ended.",
        "# TYPE agentflow_node_duration_seconds histogram",
        'agentflow_node_duration_seconds_bucket{flow="f",le="0.25",node="a/b"} 1.0',
        'agentflow_node_duration_seconds_bucket{flow="f",le="1.0",node="a/b"} 2.0',
        'agentflow_node_duration_seconds_bucket{flow="f",le="+Inf",node="a/b"} 3.0',
        f"agentflow_node_duration_seconds_count{{{labels}}} 3.0",
        f"agentflow_node_duration_seconds_sum{{{labels}}} 2.75",
    ]


def test_every_number_is_shown_in_both_formats() -> None:
    registry = PrometheusExporter(full()).registry
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    plain = told([sample for family in families for sample in family.samples])
    assert {
        family.name if family.type != "counter" else f"{family.name}_total"
        for family in families
    } == {metric.name for metric in METRICS if metric.feeds}
    modern = list(parse_openmetrics(openmetrics(registry).decode()))
    assert told([sample for family in modern for sample in family.samples]) == plain
    units = {family.name: family.unit for family in modern}
    assert units["agentflow_flow_duration_seconds"] == "seconds"
    assert units["agentflow_node_batch_items"] == "items"


def test_what_could_have_happened_and_did_not_is_shown_as_0() -> None:
    """So that the first failure is seen as a rise, which it is not from nothing."""
    metrics = MetricsCollector()
    metrics.ledger.append(("f", "a", "out", 0.5))
    shown = scraped(PrometheusExporter(metrics))
    assert {
        dict(labels).get("outcome"): value
        for (name, labels), value in shown.items()
        if name == "agentflow_node_executions_total"
    } == {"success": 1, "error": 0, "cancelled": 0}
    assert {name for name, _ in shown if name.endswith("_total")} == {
        "agentflow_node_executions_total",
        "agentflow_node_routed_total",
    }


def test_labels_may_hold_any_text() -> None:
    metrics, name = MetricsCollector(), 'a"b\\c\nd'
    metrics.observe(WaitStarted(guard=name, timestamp=0.0, waiting=1))
    assert scraped(PrometheusExporter(metrics)) == {
        ("agentflow_guard_waiting", (("guard", name),)): 1
    }


def test_numbers_are_read_when_somebody_asks() -> None:
    metrics = MetricsCollector()
    exporter = PrometheusExporter(metrics)
    assert scraped(exporter) == {}
    metrics.ledger.append(("f", "a", None, 0.5))
    labels = (("flow", "f"), ("node", "a"), ("outcome", "success"))
    assert scraped(exporter)["agentflow_node_executions_total", labels] == 1


def test_the_registry_is_of_the_applications_choice() -> None:
    registry = CollectorRegistry()
    requests = Counter("requests", "Requests.", registry=registry)
    requests.inc()
    exporter = PrometheusExporter(full(), registry=registry)
    assert exporter.registry is registry
    assert scraped(exporter)["requests_total", ()] == 1
    assert PrometheusExporter(MetricsCollector()).registry is not registry
    with pytest.raises(ValueError, match="this registry has another one"):
        PrometheusExporter(MetricsCollector(), registry=registry)


async def test_gauges_are_read_from_guards_and_engines(autojump_clock: object) -> None:
    async def make() -> object:
        await trio.lowlevel.checkpoint()
        return object()

    breaker, bulkhead = CircuitBreaker("db"), Bulkhead("gate", BulkheadPolicy(limit=3))
    window = RateLimiter("api", WindowPolicy(limit=5, window=1.0))
    bucket = RateLimiter("drops", TokenBucketPolicy(limit=7, window=1.0))
    users = KeyedRateLimiter[str]("users", WindowPolicy(limit=5, window=1.0))
    adaptive = AdaptiveLimit("llm", AdaptiveLimitPolicy(initial=6))
    metrics = MetricsCollector()
    async with (
        open_pool(make, size=4, name="sessions") as pool,
        Engine(observers=[metrics]) as engine,
        Engine() as other,
    ):
        live = (breaker, bulkhead, adaptive, window, bucket, users, pool, engine, other)
        exporter = PrometheusExporter(metrics, live=live)
        flow = row("f", taking(9.0, "a"))
        async with (
            bulkhead,
            adaptive,
            window,
            users.of("ann"),
            users.of("bob"),
            pool.lend(),
            breaker,
            engine.start(flow, Notes()),
            other.start(flow, Notes()),
        ):
            await trio.sleep(0.5)
            seen = scraped(exporter)
    guards = {
        f"{name.removeprefix('agentflow_')}.{dict(labels)['guard']}": value
        for (name, labels), value in seen.items()
        if [key for key, _ in labels] == ["guard"]
    }
    assert guards == {
        "guard_waiting.gate": 0,
        "guard_waiting.llm": 0,
        "guard_waiting.api": 0,
        "guard_waiting.drops": 0,
        "guard_waiting.sessions": 0,
        "guard_in_use.gate": 1,
        "guard_in_use.llm": 1,
        "guard_in_use.db": 1,
        "guard_in_use.sessions": 1,
        "guard_limit.gate": 3,
        "guard_limit.llm": 6,
        "guard_limit.api": 5,
        "guard_limit.drops": 7,
        "guard_limit.sessions": 4,
        "guard_free.api": 4,
        "guard_free.drops": 7,
        "guard_free.sessions": 0,
        "limiter_keys.users": 2,
    }
    assert seen["agentflow_circuit_state", (("guard", "db"), ("state", "closed"))] == 1
    assert seen["agentflow_circuit_state", (("guard", "db"), ("state", "open"))] == 0
    engines = {name: value for (name, labels), value in seen.items() if "engine" in name}
    assert engines == {
        "agentflow_engine_runs": 2,
        "agentflow_engine_threads": 0,
        "agentflow_engine_threads_waiting": 0,
        "agentflow_engine_threads_abandoned": 0,
        "agentflow_engine_events_missed_total": 0,
        "agentflow_engine_processes": 0,
        "agentflow_engine_processes_waiting": 0,
    }


async def test_what_is_read_now_counts_more_than_what_was_told() -> None:
    metrics, breaker = MetricsCollector(), CircuitBreaker("db")
    for guard in ("db", "elsewhere"):
        metrics.observe(
            CircuitChanged(
                guard=guard,
                timestamp=0.0,
                before="closed",
                state="open",
                generation=1,
                cause="c",
                retry_after=1.0,
            )
        )
    seen = scraped(PrometheusExporter(metrics, live=[breaker]))
    assert seen["agentflow_circuit_state", (("guard", "db"), ("state", "open"))] == 0
    assert seen["agentflow_circuit_state", (("guard", "elsewhere"), ("state", "open"))] == 1


async def test_gauges_are_read_in_the_loop_whoever_asks() -> None:
    limiter = RateLimiter("api", WindowPolicy(limit=5, window=1.0))
    exporter = PrometheusExporter(MetricsCollector(), live=[limiter])
    seen = await trio.to_thread.run_sync(scraped, exporter)
    assert seen["agentflow_guard_limit", (("guard", "api"),)] == 5


def test_gauges_of_a_loop_that_is_over_are_left_out() -> None:
    metrics = MetricsCollector()
    metrics.observe(WaitStarted(guard="db", timestamp=0.0, waiting=1))

    async def make() -> PrometheusExporter:
        await trio.lowlevel.checkpoint()
        return PrometheusExporter(metrics, live=[CircuitBreaker("db")])

    assert scraped(trio.run(make)) == {("agentflow_guard_waiting", (("guard", "db"),)): 1}


def test_gauges_need_a_loop_to_be_read_in() -> None:
    with pytest.raises(RuntimeError, match="must be called from async context"):
        PrometheusExporter(MetricsCollector(), live=[CircuitBreaker("db")])


async def test_who_asks_in_another_loop_disturbs_no_guard_in_use() -> None:
    """It would be asked there as by a new program, and start blank."""
    breaker = CircuitBreaker("db")
    exporter = PrometheusExporter(MetricsCollector(), live=[breaker])

    async def scrape() -> Shown:
        return scraped(exporter)

    async with breaker:
        with pytest.raises(RuntimeError, match="in another loop than this; ask in a thread"):
            await trio.to_thread.run_sync(trio.run, scrape)
        assert breaker.statistics().running == 1


def test_who_asks_in_a_later_loop_sees_no_guard_of_the_one_before() -> None:
    async def make() -> PrometheusExporter:
        return PrometheusExporter(MetricsCollector(), live=[CircuitBreaker("db")])

    async def scrape(exporter: PrometheusExporter) -> Shown:
        return scraped(exporter)

    assert trio.run(scrape, trio.run(make)) == {}
