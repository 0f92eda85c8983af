"""A receiver of OTLP over HTTP, on a port of its own: what a collector of traces gets. Needs the extra ``otel``."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override

__all__ = ["Received", "nobody", "receiver"]


@attrs.define
class Received:
    """What a receiver was sent: spans by name, their parents by name, and headers."""

    url: str
    status: int = 200
    parents: dict[str, str | None] = attrs.field(factory=dict[str, str | None])
    headers: list[Mapping[str, str]] = attrs.field(factory=list[Mapping[str, str]])
    paths: list[str] = attrs.field(factory=list[str])
    service: str = ""
    _spans: list[tuple[bytes, bytes, str]] = attrs.field(factory=list[tuple[bytes, bytes, str]])

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.paths.append(path)
        self.headers.append(headers)
        data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.service = attribute.value.string_value
            for scope in resource.scope_spans:
                self._spans += [(s.span_id, s.parent_span_id, s.name) for s in scope.spans]
        names = {id_: name for id_, _, name in self._spans}
        self.parents = {name: names.get(parent) for _, parent, name in self._spans}


@contextmanager
def receiver(status: int = 200) -> Iterator[Received]:
    """A collector on a port of its own, in threads of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            if received.status == 200:
                received.take(self.path, headers, body)
            self.send_response(received.status)
            self.send_header("Retry-After", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Received(f"http://127.0.0.1:{server.server_port}", status)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def nobody() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"
