"""@flow may say name and state outright; the types stay."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Edge, Flow, Step, Wiring, flow, step


@define
class Article:
    draft: str = ""


@step
async def write(article: Article) -> None:
    article.draft = "text"


@flow(name="news")
def named() -> Wiring[Article]:
    """What it is for."""
    return [write.then(END)]


@flow(state=Article)
def stated() -> Wiring[Article]:
    return [write.then(END)]


@flow(name="both", state=Article)
def named_and_stated() -> list[Edge[Article]]:
    return [write.then(END)]


@flow()
def neither() -> tuple[Edge[Article], ...]:
    return (write.then(END),)


async def main() -> None:
    for one in (named, stated, named_and_stated, neither):
        assert_type(one, Flow[Article, []])
        assert_type(one.state_type, type[Article])
        assert_type(one.edges, tuple[Edge[Article], ...])
        assert (await one.run(Article())).state.draft == "text"
    assert [one.name for one in (named, stated, named_and_stated)] == ["news", "stated", "both"]
    assert (named.doc, named.exits, named.start is write) == ("What it is for.", (), True)
    assert stated.state_type is Article
    assert_type(stated.start, Step[Article, ...])
