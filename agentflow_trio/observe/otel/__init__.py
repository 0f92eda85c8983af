"""Traces, through OpenTelemetry: the home of that import. Needs the extra ``otel``.

A span for each run, visit, item and attempt, current inside of nodes; and a way to send them to a collector.
"""

from ._exporting import exporting_to
from ._ids import SimulatedIds
from ._telemetry import OpenTelemetry

__all__ = ["OpenTelemetry", "SimulatedIds", "exporting_to"]
