"""docs/examples/digest.py asking a model: a real HTTP server on loopback, which behaves or does not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio
from digest_kit import page, quick, quoted, sections, summary
from model_server import Behaviour, Handler, Model, completion, says, stalls
from trio.testing import MockClock

import digest as example
from agentflow_trio import Engine, FlowFailedError, RunCancelledError
from digest import Digest, ModelError

NAMES: Final = ("bean", "kale", "leek")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- a model that answers


async def test_each_document_is_condensed_by_the_model(model: Model, start: Digest) -> None:
    start.model = model.url
    result = await example.digest.run(start)
    assert result.exit == "published"
    assert result.state.unanswered == {}
    assert len(model.asked) == 3
    for name, body in sections(result).items():
        assert f"- {summary(name)}\n" in body
        assert "quoted" not in body
    assert "They are the words of m1 where not marked as quoted.\n" in page(result)


async def test_the_model_is_asked_as_openai_compatible_endpoints_are(
    model: Model, start: Digest
) -> None:
    start.model = f"{model.url}/"
    await example.digest.run(start)
    paths, keys, bodies = zip(*model.asked, strict=True)
    assert set(paths) == {"/v1/chat/completions"}
    assert set(keys) == {None}
    contents = list[str]()
    for body in bodies:
        assert body["model"] == "m1"
        system, user = body["messages"]
        assert system["role"] == "system"
        assert user["role"] == "user"
        contents.append(user["content"])
    for name, content in zip(NAMES, sorted(contents), strict=True):
        assert content.startswith(f"The {name}\n\n{quoted(name)} ")


async def test_the_key_is_sent_and_shown_nowhere(
    model: Model, start: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-secret\n")
    model.behaviours["kale"] = [says(b"who are you, sk-secret?", status=401)]
    start.model = model.url
    result = await example.digest.run(start)
    assert {key for _, key, _ in model.asked} == {"Bearer sk-secret"}
    assert result.state.unanswered == {"kale.md": "the model answered 401"}
    assert "sk-secret" not in repr(result.state)
    assert "sk-secret" not in page(result)


@pytest.mark.parametrize("key", ["sk-\nsecret", "sk-\N{SNOWMAN}secret"])
async def test_a_key_that_cannot_be_sent_is_shown_nowhere_either(
    key: str, model: Model, start: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    start.model = model.url
    result = await quick().run(start)
    assert model.asked == []
    assert len(result.state.unanswered) == 3
    for why in result.state.unanswered.values():
        assert why.startswith("the model gave no answer (")
    assert "secret" not in repr(result.state)
    assert "secret" not in page(result)


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
    misbehaves, why = MISBEHAVIOURS[kind]
    model.behaviours["kale"] = [misbehaves]
    start.model = model.url
    result = await quick().run(start)
    assert result.exit == "published"
    assert result.state.unanswered == {"kale.md": why}
    told = sections(result)
    for name in ("bean", "leek"):
        assert f"- {summary(name)}\n" in told[name]
        assert "quoted" not in told[name]
    assert f"- {quoted('kale')}\n" in told["kale"]
    assert f"words, quoted: {why}*\n" in told["kale"]


async def test_nobody_there_is_no_answer_either(model: Model, start: Digest) -> None:
    start.model = "http://127.0.0.1:9/v1"  # discard; nobody listens
    result = await quick().run(start)
    assert result.exit == "published"
    why = "the model gave no answer (ConnectError)"
    assert result.state.unanswered == {f"{name}.md": why for name in NAMES}


async def test_for_an_answer_there_is_a_minute_three_times(
    model: Model, start: Digest, autojump_clock: MockClock
) -> None:
    model.otherwise = [stalls]
    start.model = model.url
    began = trio.current_time()
    result = await example.digest.run(start)
    shortest, longest = (3 * 60.0 + 2.0 + last for last in (3.6, 4.4))
    assert shortest <= trio.current_time() - began <= longest
    assert result.exit == "published"
    why = "the model gave no answer within 60 s"
    assert result.state.unanswered == {f"{name}.md": why for name in NAMES}


async def test_a_run_that_is_cancelled_meanwhile_publishes_nothing(
    model: Model, start: Digest, tmp_path: Path
) -> None:
    model.otherwise = [stalls]
    start.model = model.url
    async with Engine() as engine, engine.start(example.digest, start) as run:
        await trio.to_thread.run_sync(model.arrived.wait)
        report = await run.cancel("enough")
        assert {cut.path.partition("[")[0] for cut in report.cut_off} == {"digest/ask"}
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
    model.otherwise = [says(completion("I am sorry, but I cannot help you with that."))]
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

    model.otherwise = [rambles]
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
