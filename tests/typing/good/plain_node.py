"""A node is any object with three async methods; nobody writes a type parameter."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Flow, RunResult, Step, Wiring, flow


@define
class Article:
    topic: str
    draft: str = ""


class Write:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> bytes:
        return topic.encode()

    async def post(self, shared: Article, topic: str, text: bytes) -> None:
        shared.draft = f"{topic}: {text.decode()}"


write = Step(Write())


@flow
def writing() -> Wiring[Article]:
    return [write.then(END)]


async def main() -> None:
    assert_type(write, Step[Article, []])
    assert_type(writing, Flow[Article, []])
    result = await writing.run(Article("trio"))
    assert_type(result, RunResult[Article])
    assert_type(result.state.draft, str)
    assert result.state == Article("trio", "trio: trio")
