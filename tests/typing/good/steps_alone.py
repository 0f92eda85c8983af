"""A step can be run alone, whatever its exits, on a state that has the fields it wants."""

from __future__ import annotations

from typing import Protocol, assert_type

from attrs import define

from agentflow_trio import Engine, Next, RunResult, step


class HasDraft(Protocol):
    draft: str


@define
class Article:
    draft: str
    rank: int = 0


@define
class Special(Article):
    shelf: str = ""


@step
async def clear(item: HasDraft) -> None:
    item.draft = ""


@step
async def judge(article: Article, *, good: Next, bad: Next) -> Next:
    article.rank += 1
    return good if article.draft else bad


async def main() -> None:
    judged = await judge.run(Article("trio"), timeout=3.0, seed=1)
    assert_type(judged, RunResult[Article])
    assert (judged.exit, judged.state.rank) == ("good", 1)
    cleared = await clear.run(Article("trio"))
    assert cleared.state.draft == ""
    special = await judge.run(Special("", shelf="top"))
    assert special.exit == "bad"
    async with Engine() as engine:
        in_engine = await engine.run(judge, Article("trio"))
        assert_type(in_engine, RunResult[Article])
        assert in_engine.exit == "good"
