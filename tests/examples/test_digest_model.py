"""docs/examples/digest.py asking a model: a real HTTP server on loopback, which behaves or does not."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeAlias, final

import httpx
import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

import digest as example
from agentflow_trio import Engine, FlowFailedError, RunCancelledError, RunResult
from digest import Digest, ModelError

NAMES: Final = ("bean", "kale", "leek")


def text(name: str) -> str:
    """A document whose sentences have nothing in common but the garden."""
    own = (" ".join(f"{name}{number}{at}" for at in range(9)) for number in range(3))
    return f"# The {name}\n\n" + "\n".join(f"{words} garden.".capitalize() for words in own)


def summary(name: str) -> str:
    return f"In the garden {name}0 and {name}1 keep {name}2 company."


def quoted(name: str) -> str:
    return text(name).splitlines()[2]


# ---------------------------------------------------------------- the server


@final
class Model(ThreadingHTTPServer):
    """An endpoint that answers each request as the next of *behaviours* does; the last one stays.

    Attributes:
        asked: the requests that came: path, Authorization, body.
        arrived: set when a request is being answered.
        leaving: set when the test is over; who stalls waits for it.
    """

    daemon_threads = False  # so that closing waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Behaviour] = []
        self.asked: list[tuple[str, str | None, Mapping[str, Any]]] = []
        self.arrived = threading.Event()
        self.leaving = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up is what some tests are about."""


@final
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        model = self.server
        assert isinstance(model, Model)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model.asked.append((self.path, self.headers["Authorization"], body))
        model.arrived.set()
        behave = model.behaviours.pop(0) if len(model.behaviours) > 1 else model.behaviours[0]
        behave(self, body["messages"][1]["content"])

    def answer(self, content: bytes, *, status: int = 200, promised: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(promised or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = bool(promised)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


Behaviour: TypeAlias = Callable[[Handler, str], None]


def completion(content: object, **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, **more}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


def condenses(handler: Handler, document: str) -> None:
    name = document.split()[1]
    handler.answer(completion(summary(name), finish_reason="stop"))


def says(content: bytes, *, status: int = 200, promised: int = 0) -> Behaviour:
    return lambda handler, _: handler.answer(content, status=status, promised=promised)


def stalls(handler: Handler, _: str) -> None:
    model = handler.server
    assert isinstance(model, Model)
    model.leaving.wait()
    handler.close_connection = True


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.leaving.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def start(tmp_path: Path) -> Digest:
    """Three documents; the model is the test's to name."""
    (tmp_path / "beds").mkdir()
    for name in NAMES:
        (tmp_path / "beds" / f"{name}.md").write_text(text(name), encoding="utf-8")
    return Digest(
        folder=str(tmp_path / "beds"), out=str(tmp_path / "digest.md"), model_name="m1"
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def page(result: RunResult[Digest]) -> str:
    return Path(result.state.published).read_text(encoding="utf-8")


def sections(result: RunResult[Digest]) -> dict[str, str]:
    """What the page says of each document: its text by its title."""
    parts = (part.partition("\n") for part in page(result).split("\n## ")[1:])
    return {heading.split("]")[0].removeprefix("[The "): body for heading, _, body in parts}


# ---------------------------------------------------------------- a model that answers


async def test_each_document_is_condensed_by_the_model(model: Model, start: Digest) -> None:
    model.behaviours = [condenses]
    start.model = model.url
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert result.visits["digest/ask"] == 3
    assert result.state.trouble == ""
    for name, body in sections(result).items():
        assert f"- {summary(name)}\n" in body
        assert "quoted" not in body
    assert "They are the words of m1 where not marked as quoted.\n" in page(result)


async def test_the_model_is_asked_as_openai_compatible_endpoints_are(
    model: Model, start: Digest
) -> None:
    model.behaviours = [condenses]
    start.model = f"{model.url}/"
    await example.digest.run(start)
    paths, keys, bodies = zip(*model.asked, strict=True)
    assert set(paths) == {"/v1/chat/completions"}
    assert set(keys) == {None}
    for name, body in zip(NAMES, bodies, strict=True):
        assert body["model"] == "m1"
        system, user = body["messages"]
        assert system["role"] == "system"
        assert user["role"] == "user"
        assert user["content"].startswith(f"The {name}\n\n{quoted(name)} ")


async def test_the_key_is_sent_and_shown_nowhere(
    model: Model, start: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-secret\n")
    model.behaviours = [condenses, says(b"who are you, sk-secret?", status=401)]
    start.model = model.url
    result = await example.digest.run(start)
    assert {key for _, key, _ in model.asked} == {"Bearer sk-secret"}
    assert result.state.trouble == "the model answered 401"
    assert "sk-secret" not in repr(result.state)
    assert "sk-secret" not in page(result)


@pytest.mark.parametrize("key", ["sk-\nsecret", "sk-\N{SNOWMAN}secret"])
async def test_a_key_that_cannot_be_sent_is_shown_nowhere_either(
    key: str, model: Model, start: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    start.model = model.url
    result = await example.digest.run(start)
    assert model.asked == []
    assert result.state.trouble.startswith("the model gave no answer (")
    assert "secret" not in repr(result.state)


# ---------------------------------------------------------------- a model that does not


NO_SENTENCE: Final = "the model's answer holds no sentence"
MISBEHAVIOURS: Final[Mapping[str, tuple[Behaviour, str]]] = {
    "an error": (says(b"", status=500), "the model answered 500"),
    "a redirect": (says(b"", status=302), "the model answered 302"),
    "half of it": (
        says(b"{" * 9, promised=99),
        "the model gave no answer (RemoteProtocolError)",
    ),
    "no JSON": (says(b"certainly!"), "the model gave no answer (JSONDecodeError)"),
    "no text": (says(b"\xff{}"), "the model gave no answer (UnicodeDecodeError)"),
    "a list": (says(b"[]"), NO_SENTENCE),
    "no choice": (says(b'{"choices": []}'), NO_SENTENCE),
    "no content": (says(b'{"choices": [{"message": {}}]}'), NO_SENTENCE),
    "null": (says(completion(None)), NO_SENTENCE),
    "parts": (says(completion(["A list."])), NO_SENTENCE),
    "nothing": (says(completion(" \n")), NO_SENTENCE),
    "a heading": (says(completion("# Only a heading.")), NO_SENTENCE),
    "a beginning": (
        says(completion("Half of an answer. And then", finish_reason="length")),
        "the model's answer was cut off",
    ),
}


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
async def test_what_it_does_not_answer_is_quoted_and_the_page_says_why(
    kind: str, model: Model, start: Digest
) -> None:
    misbehaves, trouble = MISBEHAVIOURS[kind]
    model.behaviours = [condenses, misbehaves]
    start.model = model.url
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert result.visits["digest/ask"] == 2
    assert result.state.trouble == trouble
    assert f"It was not asked to the end: {trouble}.\n" in page(result)
    told = sections(result)
    assert summary("bean") in told["bean"]
    assert "quoted" not in told["bean"]
    for name in ("kale", "leek"):
        assert f"- {quoted(name)}\n" in told[name]
        assert ", quoted*\n" in told[name]


async def test_nobody_there_is_no_answer_either(model: Model, start: Digest) -> None:
    start.model = "http://127.0.0.1:9/v1"  # discard; nobody listens
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert result.state.trouble == "the model gave no answer (ConnectError)"


async def test_a_model_that_never_answers_has_a_minute(
    model: Model, start: Digest, autojump_clock: MockClock
) -> None:
    model.behaviours = [stalls]
    start.model = model.url
    began = trio.current_time()
    result = await example.digest.run(start)
    assert trio.current_time() - began == 60.0
    assert result.exit == "published"
    assert result.state.trouble == "the model gave no answer within 60 s"


async def test_a_run_that_is_cancelled_meanwhile_publishes_nothing(
    model: Model, start: Digest, tmp_path: Path
) -> None:
    model.behaviours = [stalls]
    start.model = model.url
    async with Engine() as engine, engine.start(example.digest, start) as run:
        await trio.to_thread.run_sync(model.arrived.wait)
        report = await run.cancel("enough")
        assert [cut.path for cut in report.cut_off] == ["digest/ask"]
        with pytest.raises(RunCancelledError):
            await run.result()
    assert names(tmp_path) == ["beds"]


async def test_without_httpx_it_says_what_to_install(
    start: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    start.model = "http://127.0.0.1:9/v1"
    with pytest.raises(FlowFailedError) as caught:
        await example.digest.run(start)
    assert str(caught.value.only()) == "to ask a model, run  pip install httpx"
    start.model = ""
    assert (await example.digest.run(start)).exit == "published"


async def test_an_address_that_is_none_is_an_error(start: Digest) -> None:
    start.model = "http://127.0.0.1:port"
    with pytest.raises(FlowFailedError) as caught:
        await example.digest.run(start)
    assert isinstance(caught.value.only(), httpx.InvalidURL)


# ---------------------------------------------------------------- its answers are reviewed too


async def test_a_model_that_says_the_same_of_everything_is_not_quoted(
    model: Model, start: Digest
) -> None:
    model.behaviours = [says(completion("I am sorry, but I cannot help you with that."))]
    start.model = model.url
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert [each.split(":")[0] for each in result.state.revisions] == ["repetition", "coverage"]
    assert page(result).count("sorry") == 1
    assert page(result).count(", quoted*\n") == 2


async def test_a_model_that_is_long_winded_gives_way_to_the_text(
    model: Model, start: Digest
) -> None:
    def rambles(handler: Handler, document: str) -> None:
        name = document.split()[1]
        handler.answer(completion(" ".join([f"The {name}", *["gardens"] * 40]) + "."))

    model.behaviours = [rambles]
    start.model = model.url
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert result.state.revisions[0].startswith("sentences: 42 in the longest")
    assert all(", quoted*\n" in body for body in sections(result).values())


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        ({"choices": [{"message": {"content": "One is. *Two* is."}}]}, ("One is.", "Two is.")),
        ({"choices": [{"message": {"content": "It is."}, "finish_reason": None}]}, ("It is.",)),
    ],
)
def test_a_chat_completion_holds_sentences(answer: object, sentences: tuple[str, ...]) -> None:
    assert example.condensed(answer) == sentences


@pytest.mark.parametrize(
    "answer", [None, "It is.", [], {"choices": {}}, {"choices": [{"text": "It is."}]}]
)
def test_anything_else_holds_none(answer: object) -> None:
    with pytest.raises(ModelError):
        example.condensed(answer)
