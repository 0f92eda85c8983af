"""A node takes what it needs in its constructor, functions included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, frozen

from agentflow_trio import Step


@define
class Article:
    topic: str
    draft: str = ""


@frozen
class Ask:
    prompt: str
    model: Callable[[str], Awaitable[str]]
    retries: int = 0

    async def prep(self, shared: Article) -> str:
        return self.prompt.format(topic=shared.topic)

    async def exec(self, question: str) -> str:
        return await self.model(question)

    async def post(self, shared: Article, question: str, answer: str) -> None:
        shared.draft = answer


async def echo(question: str) -> str:
    return f"{question}!"


async def shout(question: str) -> str:
    return question.upper()


ask = Step(Ask("what is {topic}?", echo))
ask_loudly = Step(Ask(prompt="{topic}", model=shout, retries=2), name="ask_loudly")


async def main() -> None:
    assert (await ask.run(Article("trio"))).state.draft == "what is trio?!"
    assert (await ask_loudly.run(Article("trio"))).state.draft == "TRIO"
