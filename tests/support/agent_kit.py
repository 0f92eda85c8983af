"""A scripted model for the tests of docs/examples/agent.py: what it plays, in virtual time or over HTTP."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs
import httpx
import trio
from typing_extensions import override

import agent as example
from agentflow_trio import Engine, RunResult
from endpoint import Chat, Model

if TYPE_CHECKING:
    from loopback import Behaviour, Handler

    from agentflow_trio.ports import Observer

__all__ = [
    "Ask",
    "Network",
    "Play",
    "Script",
    "cut",
    "fails",
    "over_http",
    "run",
    "said",
    "says",
    "slowly",
    "wants",
]

Piece: TypeAlias = bytes | float | Exception
"""What is sent, for how long nothing is, or what goes wrong."""


@final
@attrs.frozen
class Play:
    """How one request is answered, piece by piece."""

    pieces: tuple[Piece, ...] = ()
    status: int = 200
    retry_after: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": self.retry_after} if self.retry_after else {}


Script: TypeAlias = Mapping[str, Sequence[Play]]
"""By the name of who asks, what happens to the first request, the second, and so on."""


def chunk(delta: Mapping[str, object], end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return b"data: %s\n\n" % json.dumps({"id": "1", "choices": [choice]}).encode()


DONE = b"data: [DONE]\n\n"


def says(*words: str) -> Play:
    """The answer, word by word."""
    pieces = (chunk({"content": word}) for word in words)
    return Play((chunk({"role": "assistant"}), *pieces, chunk({}, "stop"), DONE))


def wants(*calls: tuple[str, str]) -> Play:
    """Tools, each with arguments, which come in two pieces."""
    pieces = list[bytes]()
    for at, (tool, arguments) in enumerate(calls):
        half = len(arguments) // 2
        begun = {"name": tool, "arguments": arguments[:half]}
        for part in (
            {"index": at, "id": f"call{at}", "type": "function", "function": begun},
            {"index": at, "function": {"arguments": arguments[half:]}},
        ):
            pieces.append(chunk({"content": None, "tool_calls": [part]}))
    return Play((*pieces, chunk({}, "tool_calls"), DONE))


def cut(play: Play, after: int, *how: Piece) -> Play:
    """*play* until so many pieces were sent, and then this; by default it just ends there."""
    return attrs.evolve(play, pieces=(*play.pieces[:after], *how))


def slowly(play: Play, seconds: float) -> Play:
    """*play* with a pause before each piece."""
    return attrs.evolve(
        play, pieces=tuple(one for piece in play.pieces for one in (seconds, piece))
    )


def fails(status: int, retry_after: str = "") -> Play:
    return Play((b"sorry",), status, retry_after)


# ---------------------------------------------------------------- in virtual time


@final
@attrs.frozen
class Ask:
    """A request that came."""

    at: float
    who: str
    body: Mapping[str, Any]


@final
class Network:
    """What stands for the network: plays a script.

    Attributes:
        asked: the requests that came, in order.
        open: how many answers are being sent.
    """

    def __init__(self, script: Script, *, down: tuple[float, float] = (0.0, 0.0)) -> None:
        """*down*: from when to when it answers 503, whatever the script says."""
        self.script = script
        self.down = down
        self.asked = list[Ask]()
        self.open = 0
        self._counts = defaultdict[str, int](int)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.MockTransport(self._answer), base_url="http://model/v1"
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        who = re.findall(r"\w+", body["messages"][1]["content"])[1]
        self.asked.append(Ask(trio.current_time(), who, body))
        await trio.lowlevel.checkpoint()
        play = self._next(who)
        first = play.pieces[0] if play.pieces else b""
        if isinstance(first, Exception):
            raise first
        stream = _Stream(self, play.pieces)
        return httpx.Response(play.status, headers=play.headers, stream=stream)

    def _next(self, who: str) -> Play:
        first, end = self.down
        if first <= trio.current_time() < end:
            return fails(503)
        self._counts[who] += 1
        return self.script[who][self._counts[who] - 1]

    def times(self, who: str) -> list[float]:
        return [ask.at for ask in self.asked if ask.who == who]


@final
class _Stream(httpx.AsyncByteStream):
    def __init__(self, network: Network, pieces: Sequence[Piece]) -> None:
        self._network = network
        self._pieces = pieces
        self._network.open += 1

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await trio.sleep(piece)

    @override
    async def aclose(self) -> None:
        self._network.open -= 1


async def run(
    network: Network,
    state: Chat,
    *,
    budget: int = 40,
    tokens: list[example.Token] | None = None,
    observers: Sequence[Observer] = (),
) -> RunResult[Chat]:
    """Run the agent to its end, and read what it says."""
    async with (
        network.client() as client,
        Engine(
            resources={example.MODEL: Model(client, "m1", budget)}, observers=observers
        ) as engine,
        engine.start(example.agent, state) as going,
    ):
        async for token in going.stream(example.TOKENS):
            if tokens is not None:
                tokens.append(token)
        return await going.result()


def said(tokens: Sequence[example.Token], path: str) -> str:
    """What a reader has heard from there in the end."""
    heard = ""
    for token in tokens:
        if token.path == path:
            heard = "" if token.restart else heard + token.text
    return heard


# ---------------------------------------------------------------- over HTTP


def over_http(play: Play) -> Behaviour:
    """The same from a server: what goes wrong is a reset, or a hang-up; a pause lasts while the test goes on."""

    def behave(handler: Handler, _: str) -> None:
        handler.send_response(play.status)
        for name, value in {**play.headers, "Transfer-Encoding": "chunked"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        for piece in play.pieces:
            match piece:
                case bytes():
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                case float():
                    handler.model.hang()
                    handler.model.leaving.wait()
                    handler.close_connection = True
                    return
                case httpx.ReadError():
                    handler.reset()
                    return
                case Exception():
                    handler.close_connection = True
                    return
        handler.wfile.write(b"0\r\n\r\n")

    return behave
