"""What an agent knows of OpenAI-compatible endpoints: messages, tools, streams, and what may go wrong.

No flow: a model that is asked and answers, or says whether asking again makes sense. It needs httpx
(``pip install httpx``), and the key, if the endpoint wants one, in OPENAI_API_KEY.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import trio
from attrs import define, field, frozen
from typing_extensions import override

if TYPE_CHECKING:
    import httpx

Json: TypeAlias = dict[str, Any]
Function: TypeAlias = Callable[..., Awaitable[str]]


@frozen
class Call:
    """What the model wants done: a tool, with arguments in JSON, if it can write that."""

    id: str
    tool: str
    arguments: str

    async def on(self, tools: Mapping[str, Function]) -> str:
        """Do it, with one of these functions."""
        if self.tool not in tools:
            raise LookupError(f"there is no tool {self.tool!r}, only {', '.join(tools)}")
        return await tools[self.tool](**json.loads(self.arguments or "{}"))


@frozen
class Message:
    """One turn. calls: of the assistant. answers: the call, if it is what came of a tool."""

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    answers: str = ""

    def as_json(self) -> Json:
        message: Json = {"role": self.role, "content": self.content}
        if self.answers:
            message["tool_call_id"] = self.answers
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.tool, "arguments": call.arguments},
                }
                for call in self.calls
            ]
        return message


@frozen
class Tool:
    """What the model may ask for, and what it is told of it. parameters: all of them texts."""

    name: str
    about: str
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, name: str, function: Function) -> Tool:
        """The tool that calls a function: its docstring is for the model."""
        parameters = inspect.signature(function).parameters
        return cls(name, inspect.getdoc(function) or "", tuple(parameters))

    def as_json(self) -> Json:
        texts = {name: {"type": "string"} for name in self.parameters}
        schema = {"type": "object", "properties": texts, "required": self.parameters}
        function = {"name": self.name, "description": self.about, "parameters": schema}
        return {"type": "function", "function": function}


def toolbox(**functions: Function) -> dict[str, Function]:
    """Functions by the names that the model knows them by."""
    return functions


@define
class Chat:
    """What the model is asked, and the state of an agent: what was said, and what it may ask for."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    @classmethod
    def of(cls, question: str, task: str, *tools: Tool) -> Chat:
        return cls((Message("system", task), Message("user", question)), tools)

    @property
    def last(self) -> Message:
        return self.messages[-1]

    @override
    def __str__(self) -> str:
        return self.last.content


class ModelError(Exception):
    """The model gave no answer that can be used."""


class RefusedError(ModelError):
    """It would give none if asked again."""


class LaterError(ModelError):
    """It may give one if asked again, in ``retry_after`` seconds at the earliest."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@define
class Model:
    """An endpoint, and how often all who share it may still ask. A retry is asking, too."""

    client: httpx.AsyncClient
    name: str
    budget: int

    async def ask(self, chat: Chat, say: Callable[[str], Awaitable[object]]) -> Message:
        """Return the model's next message; *say* its text, piece by piece as it comes."""
        import httpx  # noqa: PLC0415 - only who asks a model needs it

        if self.budget <= 0:
            raise RefusedError("the budget of calls is spent")
        self.budget -= 1
        told = [message.as_json() for message in chat.messages]
        body: Json = {"model": self.name, "messages": told, "stream": True}
        if chat.tools:
            body["tools"] = [tool.as_json() for tool in chat.tools]
        reply = Reply()
        try:
            async with self.client.stream("POST", "chat/completions", json=body) as response:
                if not response.is_success:
                    raise refusal(response)
                await reply.take(response, say)
        except httpx.HTTPError as error:  # its text may quote the key
            raise LaterError(f"the model gave no answer ({type(error).__name__})") from None
        return reply.message()


def refusal(response: httpx.Response) -> ModelError:
    """What to raise for a response that is no answer."""
    text = f"the model answered {response.status_code}"
    if response.status_code in {408, 409, 429} or response.is_server_error:
        wait = response.headers.get("Retry-After", "")
        return LaterError(text, float(wait) if wait.isdecimal() else 0.0)  # it may be a date
    return RefusedError(f"{text}; are its address, its name and OPENAI_API_KEY right?")


@define
class Reply:
    """A message, put together from the lines of a stream. trouble: why it is none yet."""

    text: str = ""
    calls: dict[int, list[str]] = field(factory=dict[int, list[str]])
    end: str = ""
    trouble: str = ""

    async def take(
        self, response: httpx.Response, say: Callable[[str], Awaitable[object]]
    ) -> None:
        """Read all there is.

        httpx reads with async generators: one that is left where it stands, as when *say* is
        cancelled, is cleaned up some time later. In a task that only reads it never is left.
        """
        sender, lines = trio.open_memory_channel[str](math.inf)  # no longer than an answer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, response, sender)
            async for line in lines:
                if text := self.add(line):
                    await say(text)

    async def _read(
        self, response: httpx.Response, sender: trio.MemorySendChannel[str]
    ) -> None:
        import httpx  # noqa: PLC0415

        with sender:
            try:
                async for line in response.aiter_lines():
                    sender.send_nowait(line)
            except httpx.HTTPError as error:
                self.trouble = f"the model's answer broke off ({type(error).__name__})"

    def add(self, line: str) -> str:
        """Put the next line where it belongs; return the text in it."""
        if not line.startswith("data:") or line.endswith("[DONE]"):
            return ""
        try:
            return "".join(map(self._take, json.loads(line[5:])["choices"]))
        except (AttributeError, LookupError, TypeError, ValueError):
            self.trouble = "the model's answer makes no sense"
            return ""

    def _take(self, choice: Json) -> str:
        delta, self.end = choice["delta"], choice.get("finish_reason") or self.end
        for part in delta.get("tool_calls") or ():
            call = self.calls.setdefault(part.get("index", len(self.calls)), ["", "", ""])
            function: Json = part["function"]
            call[0] += part.get("id") or ""
            call[1] += function.get("name") or ""
            call[2] += function.get("arguments") or ""
        text: str = delta.get("content") or ""
        self.text += text
        return text

    def message(self) -> Message:
        """The whole of it."""
        if self.trouble or not self.end:
            raise LaterError(self.trouble or "the model's answer broke off")
        if self.end == "length":
            raise RefusedError("the model's answer is longer than it may be")
        calls = (Call(*self.calls[at]) for at in sorted(self.calls))
        return Message("assistant", self.text, tuple(calls))


@asynccontextmanager
async def connected(url: str, name: str, budget: int) -> AsyncGenerator[Model]:
    """The model *name* at *url*, which may be asked so often."""
    try:
        import httpx  # noqa: PLC0415
    except ImportError:
        raise SystemExit("to ask a model, run  pip install httpx") from None
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SystemExit("OPENAI_API_KEY has characters that no key has")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    unlimited = httpx.Timeout(None)  # an attempt's timeout is for everything together
    try:
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=unlimited)
    except httpx.InvalidURL as error:
        raise SystemExit(f"{url} is no address of an endpoint: {error}") from None
    async with client:
        yield Model(client, name, budget)


def options() -> argparse.Namespace:
    """What a command line asks, and whom: ``question``, ``url``, ``model``, ``budget``."""
    parser = argparse.ArgumentParser(description="Ask an agent.")
    parser.add_argument("question")
    for name in ("url", "model"):
        variable = f"OPENAI_{'BASE_URL' if name == 'url' else 'MODEL'}"
        default = os.environ.get(variable)
        about = f"{name} of the endpoint; by default what {variable} says"
        parser.add_argument(f"--{name}", default=default, required=not default, help=about)
    parser.add_argument("--budget", type=int, default=40, help="calls of the model at most; 40")
    return parser.parse_args()
