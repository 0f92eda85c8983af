"""What is used of OpenTelemetry, or how to install it.

Layer: observe.
"""

from __future__ import annotations

from ...errors import ExtraMissingError

try:
    from opentelemetry.context import Context, attach, detach
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
    from opentelemetry.sdk.trace import TracerProvider as Provider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import (
        Span,
        StatusCode,
        Tracer,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("opentelemetry"):
        raise
    raise ExtraMissingError(what="agentflow_trio.observe.otel", extra="otel") from missing

__all__ = [
    "SERVICE_NAME",
    "BatchSpanProcessor",
    "Context",
    "IdGenerator",
    "Provider",
    "ReadableSpan",
    "Resource",
    "Span",
    "SpanExportResult",
    "SpanExporter",
    "SpanLimits",
    "StatusCode",
    "Tracer",
    "TracerProvider",
    "attach",
    "detach",
    "get_tracer",
    "set_span_in_context",
]
