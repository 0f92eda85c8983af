"""A real HTTP server on loopback that answers by script as a model does, or misbehaves."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final, TypeAlias, final

from typing_extensions import override

__all__ = [
    "Behaviour",
    "Handler",
    "Model",
    "completion",
    "crawls",
    "hangs_up",
    "resets",
    "resets_midway",
    "says",
    "stalls",
]

CLOSE_BY_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


@final
class Model(ThreadingHTTPServer):
    """An endpoint that answers the n-th request about a document as the n-th of its behaviours does; the last one stays.

    Its name is the second word of the first message that is the user's: "The bean ..." is about the bean.

    Attributes:
        behaviours: by the name of a document, what happens.
        otherwise: what happens to those it does not name.
        asked: the requests that came: path, Authorization, body.
        requests: how many came about each document.
        forgotten: connections on which nothing came any more, and which nobody closed.
        arrived: set when a request is being answered.
        hung: how many requests will not be answered while the test goes on.
        leaving: set when the test is over; who stalls waits for it.
    """

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 64

    def __init__(self, *otherwise: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.otherwise = list(otherwise)
        self.asked: list[tuple[str, str | None, Mapping[str, Any]]] = []
        self.requests: Counter[str] = Counter()
        self.forgotten = 0
        self.hung = 0
        self.arrived = threading.Event()
        self.leaving = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_for(self, name: str) -> Behaviour:
        with self._lock:
            self.requests[name] += 1
            script = self.behaviours.get(name, self.otherwise)
            return script[min(self.requests[name], len(script)) - 1]

    def hang(self) -> None:
        with self._lock:
            self.hung += 1

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up is what some tests are about."""


@final
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 10.0  # seconds for a next request

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][1]["content"]
        self.model.asked.append((self.path, self.headers["Authorization"], body))
        self.model.arrived.set()
        self.model.next_for(re.findall(r"\w+", content)[1])(self, content)

    @property
    def model(self) -> Model:
        assert isinstance(self.server, Model)
        return self.server

    def answer(
        self, content: bytes, *, status: int = 200, promised: int = 0, **headers: str
    ) -> None:
        """Send *content*; if more is *promised*, that is all of it. In *headers* an underscore is a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(promised or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = bool(promised)

    def reset(self) -> None:
        """End the connection at once, by RST: no FIN, whatever is under way is lost."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_BY_RESET)
        socket.close(self.connection.detach())
        self.close_connection = True

    @override
    def log_error(self, format: str, *args: object) -> None:
        if any(isinstance(error, TimeoutError) for error in args):
            self.model.forgotten += 1

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


Behaviour: TypeAlias = Callable[[Handler, str], None]


def completion(content: object, **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, **more}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


def says(content: bytes, *, status: int = 200, promised: int = 0, **headers: str) -> Behaviour:
    return lambda handler, _: handler.answer(
        content, status=status, promised=promised, **headers
    )


def stalls(handler: Handler, _: str) -> None:
    """Answer nothing while the test goes on."""
    handler.model.hang()
    handler.model.leaving.wait()
    handler.close_connection = True


def crawls(handler: Handler, _: str) -> None:
    """Answer a byte every 10 ms, until the client has enough of it."""
    handler.answer(b"{", promised=10**6)
    handler.model.hang()
    while not handler.model.leaving.wait(0.01):
        handler.wfile.write(b" ")


def resets(handler: Handler, _: str) -> None:
    """Reset the connection before the answer."""
    handler.reset()


def resets_midway(handler: Handler, _: str) -> None:
    """Reset the connection in the middle of the answer."""
    handler.answer(b'{"choices": [', promised=99)
    handler.reset()


def hangs_up(handler: Handler, _: str) -> None:
    """Close the connection in an orderly manner instead of answering."""
    handler.close_connection = True
