"""flow.replacing keeps wiring, names and types: fakes in tests, variants in production."""

from __future__ import annotations

from typing import assert_type

import pytest
from attrs import define

from agentflow_trio import END, Flow, FlowDefinitionError, Next, Step, Wiring, flow, step


@define
class Article:
    draft: str = ""


class Write:
    async def prep(self, shared: Article) -> None: ...

    async def exec(self, nothing: None) -> str:
        raise ConnectionError("no network in tests")

    async def post(self, shared: Article, nothing: None, text: str) -> None:
        shared.draft = text


@define
class Scripted:
    answer: str

    async def prep(self, shared: Article) -> None: ...

    async def exec(self, nothing: None) -> str:
        return self.answer

    async def post(self, shared: Article, nothing: None, text: str) -> None:
        shared.draft = text


@step
async def scripted(article: Article) -> None:
    article.draft = "scripted"


@step
async def branching(article: Article, *, left: Next, right: Next) -> Next:
    return left if article.draft else right


write = Step(Write())


@flow
def writing(*, done: Next) -> Wiring[Article]:
    return [write.then(done)]


nested = Step(writing)


@flow
def outer() -> Wiring[Article]:
    return [nested.to(done=END)]


async def main() -> None:
    tested = outer.replacing({write: Scripted("fake")})
    assert_type(tested, Flow[Article, []])
    assert (await tested.run(Article())).state.draft == "fake"
    assert (await outer.replacing({write: scripted}).run(Article())).state.draft == "scripted"
    with pytest.raises(FlowDefinitionError, match="has other exits"):
        outer.replacing({write: branching})
