"""The server for scrapes: one page, for whoever asks properly and in time; nothing of it is left behind."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import pytest
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from trio.testing import MockClock, memory_stream_pair

from agentflow_trio.observe import MetricsCollector
from agentflow_trio.observe._metrics_server import Handler, answer
from agentflow_trio.observe.prometheus import MetricsServer, PrometheusExporter, serve_metrics
from agentflow_trio.robustness import CircuitBreaker

HOST = b"Host: x\r\n\r\n"


def page(accept: str) -> tuple[bytes, str]:
    return f"all of it, as {accept!r}\n".encode(), "text/plain"


@asynccontextmanager
async def asking() -> AsyncGenerator[trio.abc.Stream]:
    """One end of a connection; what is at the other answers."""
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, theirs, page)
        yield ours


async def rest(stream: trio.abc.Stream) -> bytes:
    """All that still comes."""
    whole = b""
    while more := await stream.receive_some():
        whole += more
    return whole


async def asked(*sent: bytes) -> str:
    """The whole answer to a request that comes in pieces."""
    async with asking() as ours:
        for piece in sent:
            await ours.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        return (await rest(ours)).decode()


BODY = b"all of it, as 'text/plain, x/y'\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /metrics HTTP/1.1\r\nAccept: text/plain\r\naccept:x/y\r\n" + HOST,),
        (b"GET /metrics?name=x HTTP/1.0\r\nACCEPT: text/plain, x/y\r\n", b"\r", b"\n"),
        tuple(
            bytes([one]) for one in b"GET /metrics HTTP/1.1\r\nAccept: text/plain, x/y\r\n\r\n"
        ),
    ],
    ids=["at once", "in pieces", "byte by byte"],
)
async def test_the_page_comes_however_the_request_does(pieces: tuple[bytes, ...]) -> None:
    head, _, body = (await asked(*pieces)).partition("\r\n\r\n")
    assert body == BODY.decode()
    assert head.split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        f"Content-Length: {len(BODY)}",
        "Connection: close",
    ]


async def test_what_is_accepted_may_have_a_colon_in_it() -> None:
    told = await asked(b'GET /metrics HTTP/1.1\r\nAccept: text/plain; x="a:b"\r\n' + HOST)
    assert told.endswith("as 'text/plain; x=\"a:b\"'\n")


async def test_head_has_the_length_and_no_body() -> None:
    head, _, body = (await asked(b"HEAD /metrics HTTP/1.1\r\n" + HOST)).partition("\r\n\r\n")
    assert body == ""
    assert f"Content-Length: {len(page('')[0])}" in head


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"GET /metrics/ HTTP/1.1", "404 Not Found"),
        (b"POST /elsewhere HTTP/1.1", "404 Not Found"),
        (b"POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"GET /metrics", "400 Bad Request"),
        (b"GET  /metrics HTTP/1.1", "400 Bad Request"),
        (b"GET /metrics HTTP/2", "400 Bad Request"),
        (b"get /metrics HTTP/1.1", "400 Bad Request"),
        (b"\xff\x00", "400 Bad Request"),
        (b"", "400 Bad Request"),
    ],
)
async def test_anything_else_is_refused(request_line: bytes, status: str) -> None:
    told = await asked(request_line + b"\r\n" + HOST)
    head, _, body = told.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert body.endswith("\n")
    assert ("Allow: GET, HEAD" in told) is (status[:3] == "405")


async def test_a_head_that_is_too_long_is_refused() -> None:
    line = b"GET /metrics HTTP/1.1\r\n"
    fits = line + b"X: " + b"x" * (8_192 - len(line) - 5) + b"\r\n"
    assert len(fits) == 8_192
    assert (await asked(fits, b"\r\n")).startswith("HTTP/1.1 200 OK")
    assert (await asked(b"x" + fits)).startswith("HTTP/1.1 431 ")
    assert (await asked(b"x" * 20_000)).startswith("HTTP/1.1 431 ")


async def test_a_request_has_five_seconds_however_busily_it_trickles(
    autojump_clock: MockClock,
) -> None:
    async with asking() as ours:
        for _ in range(5):
            await ours.send_all(b"x")
            await trio.sleep(0.999)
        assert (await rest(ours)).startswith(b"HTTP/1.1 408 Request Timeout")
    assert trio.current_time() == pytest.approx(5.0)


async def test_an_answer_that_is_not_taken_is_given_up_after_ten_seconds(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, theirs, page)
        await ours.send_all(b"DELETE /metrics HTTP/1.1\r\n\r\n")
    assert trio.current_time() == 10.0


async def test_a_client_that_goes_away_is_no_failure() -> None:
    async with asking() as ours:
        await ours.send_all(b"GET /met")
        await ours.aclose()
    async with asking() as ours:
        await ours.send_all(b"GET /metrics HTTP/1.1\r\n\r\n")
        await ours.aclose()


async def test_who_comes_when_there_are_too_many_is_told_so() -> None:
    ours, theirs = memory_stream_pair()
    await answer(theirs, page, full=True)
    assert (await rest(ours)).startswith(b"HTTP/1.1 503 Service Unavailable")


async def fetched(url: str, accept: str = "") -> tuple[str, str]:
    """Head and body of a page, over a real connection."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n".encode())
        head, _, body = (await rest(stream)).decode().partition("\r\n\r\n")
    return head, body


async def test_it_listens_at_a_free_port_and_tells_it() -> None:
    metrics = MetricsCollector()
    metrics.ledger.append(("f", "a", None, 0.5))
    async with serve_metrics(metrics) as server, serve_metrics(metrics) as other:
        assert server.url == f"http://127.0.0.1:{server.port}/metrics"
        assert server.port != other.port
        head, body = await fetched(server.url)
    assert "Content-Type: text/plain; version=" in head
    assert 'agentflow_node_executions_total{flow="f",node="a",outcome="success"} 1.0' in body
    with pytest.raises(OSError, match="all attempts to connect"):
        await fetched(server.url)


async def test_the_client_chooses_the_format() -> None:
    async with serve_metrics(MetricsCollector()) as server:
        head, body = await fetched(server.url, "application/openmetrics-text;version=1.0.0")
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in head
    assert body == "# EOF\n"


async def test_a_registry_is_served_as_it_is() -> None:
    metrics = MetricsCollector()
    metrics.ledger.append(("f", "a", None, 0.5))
    exporter = PrometheusExporter(metrics)
    async with serve_metrics(exporter.registry) as server:
        assert "agentflow_node_duration_seconds_bucket" in (await fetched(server.url))[1]
    with pytest.raises(ValueError, match="live= belongs to the PrometheusExporter"):
        async with serve_metrics(exporter.registry, live=[CircuitBreaker("db")]):
            pytest.fail("it was served")


async def test_gauges_are_served_too() -> None:
    async with serve_metrics(MetricsCollector(), live=[CircuitBreaker("db")]) as server:
        assert 'agentflow_guard_in_use{guard="db"} 0.0' in (await fetched(server.url))[1]


async def test_a_collector_that_fails_is_a_failed_scrape_and_nothing_more() -> None:
    class Broken:
        def collect(self) -> Iterable[Metric]:
            raise OSError("a password, perhaps")

    registry = CollectorRegistry()
    registry.register(Broken())
    async with serve_metrics(registry) as server:
        head, body = await fetched(server.url)
    assert head.startswith("HTTP/1.1 500 Internal Server Error")
    assert body == "a collector of this registry raised OSError\n"


async def test_slow_clients_keep_nobody_else_waiting_until_there_are_sixteen() -> None:
    handler = Handler(page)
    async with trio.open_nursery() as nursery:

        async def answered() -> bytes:
            ours, theirs = memory_stream_pair()
            await ours.send_all(b"GET /metrics HTTP/1.1\r\n\r\n")
            await handler.handle(theirs)
            return await rest(ours)

        for _ in range(15):
            nursery.start_soon(handler.handle, memory_stream_pair()[1])
        await trio.testing.wait_all_tasks_blocked()
        assert (await answered()).startswith(b"HTTP/1.1 200 OK")
        slow, theirs = memory_stream_pair()
        nursery.start_soon(handler.handle, theirs)
        await trio.testing.wait_all_tasks_blocked()
        assert (await answered()).startswith(b"HTTP/1.1 503 ")
        await slow.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (await answered()).startswith(b"HTTP/1.1 200 OK")
        nursery.cancel_scope.cancel()


async def test_leaving_ends_connections_that_go_on() -> None:
    async with serve_metrics(MetricsCollector()) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(b"GET")
        await fetched(server.url)  # who came before has been let in
    async with stream:
        assert await rest(stream) == b""


async def test_the_bodys_failure_is_raised_as_it_is() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with serve_metrics(MetricsCollector()):
            raise error
    assert caught.value is error


async def test_cancelling_the_body_is_no_failure() -> None:
    with trio.move_on_after(0) as scope:
        async with serve_metrics(MetricsCollector()):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_port_in_use_is_an_error_at_once() -> None:
    async with serve_metrics(MetricsCollector()) as server:
        told = f"Address already in use: '127.0.0.1:{server.port}'"
        with pytest.raises(OSError, match=re.escape(told)):
            async with serve_metrics(MetricsCollector(), server.port):
                pytest.fail("it was served")


def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    assert MetricsServer("::1", 80).url == "http://[::1]:80/metrics"
