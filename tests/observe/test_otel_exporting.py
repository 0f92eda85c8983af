"""Spans on their way: a real receiver of OTLP over HTTP gets them, or somebody is told that it did not."""

from __future__ import annotations

import logging
import socket
import sys
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler
from otlp_kit import nobody, receiver
from typing_extensions import override

from agentflow_trio import END, Engine, Flow, Step, Wiring, current_step, flow, parallel, step
from agentflow_trio.errors import ExtraMissingError
from agentflow_trio.observe.otel import OpenTelemetry, exporting_to
from agentflow_trio.observe.otel._exporting import _Sending

pytestmark = pytest.mark.otel


@attrs.define
class Notes:
    count: int = 0


def work(provider: TracerProvider) -> Flow[Notes, []]:
    """A flow with a span of its own inside a node, in a thread, in a nested flow and in branches."""
    tracer = provider.get_tracer("mine")

    def mine(name: str) -> None:
        with tracer.start_as_current_span(name):
            pass

    @step
    async def plan(notes: Notes) -> None:
        mine("in the node")
        await current_step().to_thread(mine, "in a thread")

    @step
    async def left(notes: Notes) -> None:
        mine("in a branch")

    @step
    async def right(notes: Notes) -> None:
        mine("in the other")

    @step
    async def deep(notes: Notes) -> None:
        mine("deep down")

    @flow
    def inner() -> Wiring[Notes]:
        return [deep.then(END)]

    nested = Step(inner, name="nested")
    both = Step(parallel(left, right), name="both")

    @flow
    def news() -> Wiring[Notes]:
        return [plan.then(nested), nested.then(both), both.then(END)]

    return news


async def run_with(url: str, **options: Any) -> list[str]:
    """Run it with spans sent to *url*; what is told about that."""
    told = list[str]()
    async with (
        exporting_to(url, tell=told.append, **options) as provider,
        Engine(observers=[OpenTelemetry(provider)]) as engine,
    ):
        await engine.run(work(provider), Notes())
    return told


async def test_a_collector_gets_every_span_with_its_parent() -> None:
    with receiver() as received:
        assert await run_with(received.url) == []
    assert received.parents == {
        "run news": None,
        "step plan": "run news",
        "in the node": "step plan",
        "in a thread": "step plan",
        "step nested": "run news",
        "step deep": "step nested",
        "deep down": "step deep",
        "step both": "run news",
        "step left": "step both",
        "in a branch": "step left",
        "step right": "step both",
        "in the other": "step right",
    }
    assert received.paths == ["/v1/traces"]
    assert received.service == "agentflow"


async def test_credentials_of_the_url_are_sent_as_a_header_and_told_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with receiver() as received:
        url = received.url.replace("//", "//me:hunter%32@")
        assert await run_with(f"{url}/otlp/", service="newsroom") == []
        (headers,) = received.headers
        assert b64decode(headers["authorization"].removeprefix("Basic ")) == b"me:hunter2"
        assert received.paths == ["/otlp"]
        assert received.service == "newsroom"
        received.status = 400
        (told,) = await run_with(url, timeout=0.5)
    host = received.url.removeprefix("http://")
    assert told.startswith(f"12 spans could not be sent to http://{host}/v1/traces: ")
    assert "400" in told
    assert "hunter" not in told
    assert "hunter" not in caplog.text


async def test_the_environment_says_the_name_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
    with receiver() as received:
        await run_with(received.url, service="ours")
    assert received.service == "theirs"


async def test_a_collector_that_is_not_there_is_told_at_once_and_not_raised() -> None:
    """Nobody waits for one to come: the timeout is for one that is there."""
    url = nobody()
    before = trio.current_time()
    (told,) = await run_with(url, timeout=60.0)
    assert trio.current_time() - before < 20.0
    assert told.startswith(f"12 spans could not be sent to {url}/v1/traces: ")
    assert "refused" in told


async def test_what_the_exporter_tried_again_is_told_as_well() -> None:
    with receiver(status=503) as received:
        (told,) = await run_with(received.url)
    assert "Service Unavailable" in told
    assert ". Failed to export " in told  # after it had tried again


async def test_by_default_the_log_is_told_and_the_exporter_does_not_speak_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with exporting_to(nobody(), timeout=0.5) as provider:
        provider.get_tracer("mine").start_span("one").end()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("agentflow_trio.traces", logging.WARNING)
    assert record.getMessage().startswith("1 spans could not be sent to ")


async def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        before = trio.current_time()
        (told,) = await run_with(url, timeout=0.2)
        assert trio.current_time() - before < 1.5
    assert told.startswith("12 spans could not be sent")


async def test_the_end_is_waited_for_also_when_the_body_fails() -> None:
    async def fail(url: str) -> None:
        async with exporting_to(url) as provider:
            provider.get_tracer("mine").start_span("one").end()
            raise ValueError("mine")

    with receiver() as received:
        with pytest.raises(ValueError, match=r"^mine$"):
            await fail(received.url)
        assert received.parents == {"one": None}


async def test_the_end_is_waited_for_also_when_it_is_cancelled() -> None:
    with receiver() as received, trio.CancelScope() as scope:
        async with exporting_to(received.url) as provider:
            provider.get_tracer("mine").start_span("one").end()
            scope.cancel()
    assert received.parents == {"one": None}


async def test_what_is_not_sampled_is_not_missed() -> None:
    told = list[str]()
    async with exporting_to(nobody(), tell=told.append) as provider:
        provider.sampler = StaticSampler(Decision.RECORD_ONLY)
        provider.get_tracer("mine").start_span("one").end()
    assert not told


class Refusing(SpanExporter):
    """Takes no spans."""

    asked = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.FAILURE


class Unreachable(Refusing):
    """Nobody is there; pauses before it tries again, until it is shut down."""

    closed = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        super().export(spans)
        self.sending.hears(record_of("%s, again in %d s", OSError("nobody"), 4))
        return SpanExportResult.FAILURE

    @override
    def shutdown(self) -> None:
        self.closed += 1
        self.sending.hears(record_of("shut down"))

    def __init__(self) -> None:
        self.sending = _Sending(self)


def record_of(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("exporter", logging.WARNING, "", 0, text, args, None)


@pytest.mark.parametrize("many", [0, 1], ids=["at the end", "before"])
def test_where_nobody_is_there_the_end_waits_for_no_other_try(many: int) -> None:
    exporter = Unreachable()
    for _ in range(many):
        exporter.sending.export([])
    assert exporter.closed == 0
    exporter.sending.close_soon()
    exporter.sending.export([])
    exporter.sending.export([])
    exporter.sending.shutdown()
    assert (exporter.asked, exporter.closed) == (1, 1)
    assert exporter.sending.reason == "nobody"


def test_an_exporter_that_raises_has_failed_and_says_why() -> None:
    class Broken(Refusing):
        @override
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            raise ValueError("torn")

    sending = _Sending(Broken())
    assert sending.export([]) is SpanExportResult.FAILURE
    assert sending.reason == "ValueError: torn"
    sending.shutdown()


def test_at_the_end_one_failure_is_enough() -> None:
    exporter = Refusing()
    sending = _Sending(exporter)
    for _ in range(2):
        sending.export([])
    sending.close_soon()
    for _ in range(3):
        assert sending.export([]) is SpanExportResult.FAILURE
    assert exporter.asked == 3
    assert sending.sent == 0


async def test_what_others_say_in_the_exporters_log_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    async with exporting_to(nobody()):
        logging.getLogger(module).warning("theirs")
    assert [record.getMessage() for record in caplog.records] == ["theirs"]
    assert not logging.getLogger(module).filters


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:4318", "it must begin with http:// or https:// and a host"),
        ("http://", "it must begin with http:// or https:// and a host"),
        ("http://me:hunter2/x@host", "it is no URL"),
        ("http://[me", "it is no URL"),
        ("http://host/?token=hunter2", "it has a query"),
    ],
)
async def test_a_url_that_is_none_of_a_collector_is_refused_without_being_shown(
    url: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"cannot be used: {problem}") as caught:
        async with exporting_to(url):
            pass
    assert "hunter" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
async def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"timeout must be a number of seconds > 0, not "):
        async with exporting_to("http://localhost:4318", timeout=timeout):
            pass


async def test_without_the_exporter_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissingError, match=r"exporting_to\(\) needs an extra"):
        async with exporting_to("http://localhost:4318"):
            pass
