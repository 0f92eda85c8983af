"""A stream carries chunks of one type from a step to whoever reads the handle."""

from __future__ import annotations

from typing import assert_type

from attrs import define, frozen

from agentflow_trio import (
    END,
    Engine,
    Stream,
    StreamReader,
    Wiring,
    current_step,
    flow,
    step,
)


@frozen
class Token:
    text: str


TOKENS = Stream("tokens", Token)
LENGTHS = Stream("lengths", int)


@define
class Article:
    topic: str


@step
async def speak(article: Article) -> None:
    here = current_step()
    for letter in article.topic:
        await here.emit(TOKENS, Token(letter))
        await here.emit(LENGTHS, len(letter))


@flow
def speaking() -> Wiring[Article]:
    return [speak.then(END)]


async def main() -> None:
    assert_type(TOKENS, Stream[Token])
    async with Engine() as engine, engine.start(speaking, Article("trio")) as run:
        reader = run.stream(TOKENS)
        assert_type(reader, StreamReader[Token])
        heard: list[str] = []
        async for token in reader:
            assert_type(token, Token)
            heard.append(token.text)
        assert heard == ["t", "r", "i", "o"]
