"""A small server for scrapes, on Trio's sockets: ``GET /metrics`` and nothing else.

Layer: observe. Rules: whoever connects is bounded in bytes, in seconds and in number; what it does never fails the program.
A page is made in a thread, for it may have ten thousand lines and runs go on meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, TypeAlias, final

import attrs
import trio

from ._http_core import HEAD_BYTES, Request, parse, response

__all__ = ["Handler", "MetricsServer", "Page", "answer", "serving"]

Page: TypeAlias = "Callable[[str], tuple[bytes, str]]"
"""Makes the page: what the client accepts -> the page and its content type."""

_HEAD_SECONDS: Final = 5.0
_SEND_SECONDS: Final = 10.0
_CONNECTIONS: Final = 16
_END: Final = b"\r\n\r\n"


@final
@attrs.frozen
class MetricsServer:
    """A server of metrics that runs.

    Attributes:
        host: where it listens.
        port: the port, also if any was asked for.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """What to scrape."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"


@asynccontextmanager
async def serving(page: Page, host: str, port: int) -> AsyncGenerator[MetricsServer]:
    """Serve *page* while the body runs. Always a checkpoint; when it is left, nothing of it is alive."""
    listeners = await _listeners(host, port)
    handler = Handler(page)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        # the sockets listen already: who connects before it runs waits in their queue
        nursery.start_soon(trio.serve_listeners, handler.handle, listeners)  # noqa: ASYNC113
        bound: int = listeners[0].socket.getsockname()[1]
        try:
            yield MetricsServer(host, bound)
        except Exception as error:  # noqa: BLE001 - raised again below, not in a group of the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen there. Always a checkpoint."""
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error


@final
class Handler:
    """Answers connections, sixteen at once; others are turned away."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._inside = 0

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Answer one connection and close it. Always a checkpoint."""
        self._inside += 1
        try:
            await answer(stream, self._page, full=self._inside > _CONNECTIONS)
        finally:
            self._inside -= 1


async def answer(stream: trio.abc.Stream, page: Page, *, full: bool = False) -> None:
    """Answer the request that comes through *stream*, and close it; if the server is *full*, unread. Always a checkpoint.

    A client that goes away or takes too long gets no answer, and nobody is told.
    """
    async with stream:
        try:
            told = _FULL if full else await _answer_to(stream, page)
            with trio.move_on_after(_SEND_SECONDS):
                await stream.send_all(told)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()


async def _answer_to(stream: trio.abc.Stream, page: Page) -> bytes:
    """The answer to the request that comes, nothing to one that does not. Always a checkpoint."""
    head = b""
    with trio.move_on_after(_HEAD_SECONDS) as limit:
        head = await _head(stream)
    if limit.cancelled_caught:
        return _TOO_SLOW
    if _END not in head[: HEAD_BYTES + len(_END)]:
        return _TOO_LARGE if len(head) > HEAD_BYTES else b""
    request = parse(head.partition(_END)[0])
    return _NONSENSE if request is None else await _asked(request, page)


async def _head(stream: trio.abc.Stream) -> bytes:
    """What comes until the head is over, is too long, or the client has gone. Always a checkpoint."""
    head = b""
    while True:
        more = await stream.receive_some(HEAD_BYTES)
        head += more
        if not more or _END in head or len(head) > HEAD_BYTES:
            return head


async def _asked(request: Request, page: Page) -> bytes:
    """The answer to *request*. Always a checkpoint."""
    await trio.lowlevel.checkpoint()
    head_only = request.method == "HEAD"
    if request.path != "/metrics":
        return response(
            HTTPStatus.NOT_FOUND, b"the metrics are at /metrics\n", head_only=head_only
        )
    if request.method not in {"GET", "HEAD"}:
        return _NO_SUCH_METHOD
    try:
        body, kind = await trio.to_thread.run_sync(page, request.accept)
    except Exception as error:  # noqa: BLE001 - of a collector of somebody else; Prometheus sees that the scrape failed
        text = f"a collector of this registry raised {type(error).__name__}\n"
        return response(HTTPStatus.INTERNAL_SERVER_ERROR, text.encode(), head_only=head_only)
    return response(HTTPStatus.OK, body, kind=kind, head_only=head_only)


_FULL: Final = response(HTTPStatus.SERVICE_UNAVAILABLE, b"too many connections\n")
_TOO_SLOW: Final = response(HTTPStatus.REQUEST_TIMEOUT, b"the request took too long\n")
_TOO_LARGE: Final = response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"the head of the request is too long\n"
)
_NONSENSE: Final = response(HTTPStatus.BAD_REQUEST, b"this is no request of HTTP/1.1\n")
_NO_SUCH_METHOD: Final = response(
    HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", more={"Allow": "GET, HEAD"}
)
