"""Spans on their way to a collector, by OTLP over HTTP, and what becomes of them at the end.

Layer: observe. Rules: waiting for a collector is bounded; what could not be sent is told and never raised; no text has the
credentials of a URL in it.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final, final
from urllib.parse import unquote, urlsplit, urlunsplit

import trio

from ..._typing import override
from ...errors import ExtraMissingError, text_of
from ._api import (
    SERVICE_NAME,
    BatchSpanProcessor,
    Provider,
    ReadableSpan,
    Resource,
    SpanExporter,
    SpanExportResult,
    SpanLimits,
)
from ._ids import SimulatedIds

__all__ = ["exporting_to"]

_LOG: Final = logging.getLogger("agentflow_trio.traces")
_MODULE: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_LONGEST: Final = 4096
"""Characters of an attribute: the text of an error may hold a whole page."""


@asynccontextmanager
async def exporting_to(
    url: str,
    *,
    service: str = "agentflow",
    timeout: float = 5.0,
    tell: Callable[[str], None] | None = None,
) -> AsyncGenerator[Provider]:
    """Make a provider that sends its spans to a collector.

    As ``async with exporting_to("http://localhost:4318") as provider, Engine(observers=[OpenTelemetry(provider)]) as engine:``.
    Leaving it sends what is left, which takes at most two timeouts whatever the collector does, and no time if nobody
    is there; entering and leaving are checkpoints. Spans that could not be sent are no error: *tell* is called once, at the end, with a sentence about them.

    Args:
        url: of OTLP over HTTP; without a path, ``/v1/traces``. Credentials in it (``user:password@``) are sent as a header.
        service: the name of the program in traces; the environment's ``OTEL_SERVICE_NAME`` comes first.
        timeout: seconds for each attempt to send.
        tell: gets the sentence; by default it is a warning of the logger ``agentflow_trio.traces``.

    Raises:
        ValueError: there is no collector at such a URL, or no such timeout.
        ExtraMissingError: the exporter is not installed.
    """
    if not 0.0 < timeout < math.inf:
        raise ValueError(
            f"exporting_to: timeout must be a number of seconds > 0, not {timeout!r}"
        )
    collector, headers = _collector(url)
    sending = _Sending(_exporter(collector, headers, timeout))
    provider = Provider(
        resource=Resource.create({
            SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or service
        }),
        shutdown_on_exit=False,
        id_generator=SimulatedIds(),
        span_limits=SpanLimits(max_attribute_length=_LONGEST),
    )
    processor = _Counting(sending)
    provider.add_span_processor(processor)
    logger = logging.getLogger(_MODULE)
    logger.addFilter(sending.hears)
    try:
        await trio.lowlevel.checkpoint()
        yield provider
    finally:
        sending.close_soon()
        with trio.move_on_after(2.0 * timeout, shield=True):
            await trio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)
        logger.removeFilter(sending.hears)
        lost = processor.ended - sending.sent
        if lost:
            why = f": {sending.reason}" if sending.reason else ""
            (tell or _LOG.warning)(f"{lost} spans could not be sent to {collector}{why}")


def _collector(url: str) -> tuple[str, dict[str, str]]:
    """The URL to send to, and the headers that say who does: what is secret in *url* is in no text from here on."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text may have a piece of a password
        raise _no_collector("it is no URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _no_collector("it must begin with http:// or https:// and a host")
    if parts.query or parts.fragment:
        raise _no_collector("it has a query; a token belongs into OTEL_EXPORTER_OTLP_HEADERS")
    headers: dict[str, str] = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    path = parts.path.rstrip("/") or "/v1/traces"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, path, "", "")), headers


def _no_collector(problem: str) -> ValueError:
    return ValueError(
        f"exporting_to: the URL of the collector cannot be used: {problem}; "
        "write it as http://localhost:4318"
    )


def _exporter(url: str, headers: dict[str, str], timeout: float) -> SpanExporter:
    try:
        # 70 ms, and only who sends spans needs it
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
    except ModuleNotFoundError as missing:
        raise ExtraMissingError(what="exporting_to()", extra="otel") from missing
    return OTLPSpanExporter(endpoint=url, headers=headers, timeout=timeout)


_SENDING: Final[ContextVar[object]] = ContextVar("agentflow_trio.observe.otel", default=None)


@final
class _Sending(SpanExporter):
    """Sends spans, and remembers what became of them.

    Attributes:
        sent: spans that the collector took.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self.sent: int = 0
        self._said: dict[int, str] = {}
        self._exporter = exporter
        self._closing = self._failed = self._unreachable = self._given_up = False

    def close_soon(self) -> None:
        """From now on one failure is enough: the rest is not even tried, nor again where nobody is there."""
        self._failed, self._closing = False, True
        if self._unreachable:
            self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        self._exporter.shutdown()  # ends a pause before another try

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send *spans*, in whatever thread."""
        if self._given_up or (self._failed and self._closing):
            return SpanExportResult.FAILURE
        token = _SENDING.set(self)
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - the processor would log it with its whole traceback
            self._said[logging.ERROR] = f"{type(error).__name__}: {text_of(error)}"
            result = SpanExportResult.FAILURE
        finally:
            _SENDING.reset(token)
        self._failed = result is not SpanExportResult.SUCCESS
        if not self._failed:
            self.sent += len(spans)
            self._unreachable = False
        return result

    def hears(self, record: logging.LogRecord) -> bool:
        """Take what the exporter says in the log while it sends for us; the rest is others'."""
        if _SENDING.get() is not self:
            return True
        match record.args:
            case _ if self._given_up:
                pass  # only that it was told so
            case (Exception() as error, *_):
                self._unreachable = True
                self._said = {record.levelno: text_of(error)}
                if self._closing:
                    self._give_up()
            case _:
                self._said[record.levelno] = record.getMessage()
        return False

    @property
    def reason(self) -> str:
        """Why spans could not be sent; the exporter says so in the log only: what it tried again, and that it gave up."""
        return " ".join(self._said.values())

    @override
    def shutdown(self) -> None:
        """Give up what goes on."""
        if not self._given_up:
            self._give_up()


@final
class _Counting(BatchSpanProcessor):
    """Gathers spans and has them sent. Attributes: ended: spans that are to be sent, so far."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)
        self.ended: int = 0
        self._lock = threading.Lock()

    @override
    def on_end(self, span: ReadableSpan) -> None:
        """Count it, if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            with self._lock:
                self.ended += 1
        super().on_end(span)
