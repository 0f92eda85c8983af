"""@step makes a step of an async function of the state, with or without options and exits."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Next, Step, Wiring, flow, step


@define
class Article:
    topic: str
    log: tuple[str, ...] = ()


@step
async def begin(article: Article) -> None:
    article.log += ("begin",)


@step(timeout=3.0, idle_timeout=2, version="2")
async def work(article: Article) -> None:
    article.log += ("work",)


@step(name="sort", max_visits=9)
async def triage(article: Article, *, long: Next, short: Next) -> Next:
    article.log += ("triage",)
    return long if len(article.topic) > 9 else short


@step()
async def finish(article: Article) -> None:
    article.log += ("finish",)


@flow
def working() -> Wiring[Article]:
    return [
        begin.then(work),
        work.then(triage),
        triage.to(long=END, short=finish),
        finish.then(END),
    ]


async def main() -> None:
    assert_type(begin, Step[Article, []])
    assert_type(work, Step[Article, []])
    assert_type(finish, Step[Article, []])
    assert_type(triage.name, str)
    assert triage.exits == ("long", "short")
    result = await working.run(Article("trio"))
    assert result.state.log == ("begin", "work", "triage", "finish")
    assert result.tail[2] == "working/sort"
