"""flow.within(enter, leave) makes a flow a node for a state of another type, typed both ways."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Flow, Next, Step, Wiring, flow, step


@define
class Article:
    topic: str
    draft: str = ""


@define
class Desk:
    article: Article
    log: tuple[str, ...] = ()


@step
async def write(article: Article, *, done: Next) -> Next:
    article.draft = article.topic * 2
    return done


@flow
def editing(*, published: Next) -> Wiring[Article]:
    return [write.to(done=published)]


def take(desk: Desk) -> Article:
    return desk.article


def put(desk: Desk, article: Article) -> None:
    desk.article = article
    desk.log += (article.draft,)


edit = Step(editing.within(take, put), name="edit", timeout=3.0)


@flow
def desk_work() -> Wiring[Desk]:
    return [edit.to(published=END)]


async def main() -> None:
    assert_type(desk_work, Flow[Desk, []])
    result = await desk_work.run(Desk(Article("trio")))
    assert_type(result.state, Desk)
    assert result.state == Desk(Article("trio", "triotrio"), ("triotrio",))
    assert (await edit.run(Desk(Article("x")))).exit == "published"
