"""Metrics for Prometheus: a collector for a registry of ``prometheus_client``, and a small server for scrapes.

Layer: observe; the only home of ``prometheus_client``. Rule: nothing is counted here. Numbers are read when somebody asks,
and put into no registry but the one that is given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import final

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as PrometheusMetric

from ._histogram_core import Histogram
from ._live_core import Live, live_values
from ._metric_core import Labels, Metric
from ._metric_table_core import METRICS
from ._metrics import Family, MetricsCollector, Sample
from ._metrics_server import MetricsServer, serving

__all__ = ["Live", "MetricsServer", "PrometheusExporter", "serve_metrics"]


@final
class PrometheusExporter:
    """Shows a `MetricsCollector` to Prometheus: ``PrometheusExporter(metrics, registry=REGISTRY)``.

    It may be asked from any thread, and so by every server and pusher of ``prometheus_client``.

    Attributes:
        registry: where it is registered.
    """

    def __init__(
        self,
        metrics: MetricsCollector,
        /,
        *,
        registry: CollectorRegistry | None = None,
        live: Sequence[Live] = (),
    ) -> None:
        """Register with *registry*.

        Args:
            metrics: what is shown.
            registry: of the application's choice; a new one by default, with nothing else in it.
            live: guards and engines whose ``statistics()`` are shown as gauges; read in the loop, whoever asks, and
                kept until the exporter is unregistered.

        Raises:
            ValueError: there is another exporter in *registry*.
            RuntimeError: *live* was given, and no loop runs here that they could be read in.
        """
        self._metrics = metrics
        self._live = tuple(live)
        self._loop = trio.lowlevel.current_trio_token() if live else None
        self.registry: CollectorRegistry = CollectorRegistry() if registry is None else registry
        try:
            self.registry.register(self)
        except ValueError:  # its text has the names of all metrics there are
            raise ValueError(
                "PrometheusExporter: this registry has another one, or metrics of the same names; one collector may "
                "observe any number of engines, and registry.unregister(exporter) makes room"
            ) from None

    def describe(self) -> Iterator[PrometheusMetric]:
        """Every metric without its numbers, for the registry."""
        return (_family(metric, ()) for metric in METRICS)

    def collect(self) -> Iterator[PrometheusMetric]:
        """Every metric that has numbers, as they are now."""
        live = self._read_live()
        for family in self._metrics.snapshot():
            samples = _zeros(family)
            samples |= {sample.labels: sample for sample in family.samples}
            samples |= {
                labels: Sample(labels, value)
                for labels, value in live.get(family.metric.name, {}).items()
            }
            if samples:
                yield _family(family.metric, [samples[labels] for labels in sorted(samples)])

    def _read_live(self) -> Mapping[str, Mapping[Labels, float]]:
        if self._loop is None:
            return {}
        try:
            if not trio.lowlevel.in_trio_run():
                return trio.from_thread.run_sync(live_values, self._live, trio_token=self._loop)
            if trio.lowlevel.current_trio_token() is self._loop:
                return live_values(self._live)
            self._loop.run_sync_soon(_nothing)  # does it go on?
        except trio.RunFinishedError:  # then they hold nobody any more
            return {}
        raise RuntimeError(
            "PrometheusExporter: its guards are in use in another loop than this; ask in a thread, with "
            "await trio.to_thread.run_sync(generate_latest, registry)"
        )


def _nothing() -> None:
    """Only asked for."""


def _zeros(family: Family) -> dict[Labels, Sample]:
    """What has not happened to those it could have happened to: a rate needs something to rise from."""
    metric = family.metric
    values = [value for value in metric.seed.values() if value is not None]
    owners = {sample.labels[: len(metric.owner)]: None for sample in family.samples}
    return {
        (*owner, value): Sample((*owner, value), 0.0) for owner in owners for value in values
    }


def _family(metric: Metric, samples: Sequence[Sample]) -> PrometheusMetric:
    name = metric.name.removesuffix("_total")
    family = PrometheusMetric(name, metric.help, metric.kind, metric.unit)
    for sample in samples:
        labels = dict(zip(metric.labels, sample.labels, strict=True))
        value = sample.value
        if isinstance(value, Histogram):
            bounds = [*map(repr, value.bounds), "+Inf"]
            for bound, count in zip(bounds, value.cumulative, strict=True):
                family.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
            family.add_sample(f"{name}_count", labels, value.count)
            family.add_sample(f"{name}_sum", labels, value.total)
        else:
            family.add_sample(metric.name, labels, value)
    return family


@asynccontextmanager
async def serve_metrics(
    metrics: MetricsCollector | CollectorRegistry,
    /,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    live: Sequence[Live] = (),
) -> AsyncGenerator[MetricsServer]:
    """Serve ``/metrics`` while the body of ``async with`` runs, at ``server.url``.

    In the text format of Prometheus or in OpenMetrics, as the client asks. Always a checkpoint; when it is left, no task
    and no socket of it is left. A client has 5 seconds and 8 KiB for its request and 10 seconds to take the answer, and
    there are 16 at once at most.

    Args:
        metrics: what is served; or a registry with whatever the application has put into it.
        port: where; any free port by default, which the server tells.
        host: the address to listen at. Whoever reaches it can read the metrics: by default only this machine.
        live: guards and engines whose gauges are served as well; not with a registry, whose exporter has its own.

    Raises:
        OSError: the address cannot be listened at.
        ValueError: *live* was given with a registry.
    """
    if isinstance(metrics, MetricsCollector):
        registry = PrometheusExporter(metrics, live=live).registry
    elif live:
        raise ValueError(
            "serve_metrics: live= belongs to the PrometheusExporter of the registry"
        )
    else:
        registry = metrics

    def page(accept: str) -> tuple[bytes, str]:
        encode, kind = choose_encoder(accept)
        return encode(registry), kind

    async with serving(page, host, port) as server:
        yield server
