"""A flow's own exits are the keyword parameters of its wiring; as a step it must be wired with them."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Next, Step, Wiring, flow, step


@define
class Article:
    draft: str
    place: str = ""


@step
async def judge(article: Article, *, good: Next, bad: Next, unclear: Next) -> Next:
    match article.draft:
        case "":
            return unclear
        case "trio":
            return good
        case _:
            return bad


@flow
def judging(*, published: Next, abandoned: Next) -> Wiring[Article]:
    return [judge.to(good=published, bad=abandoned, unclear=abandoned)]


@step
async def print_it(article: Article) -> None:
    article.place = "printed"


@step
async def bin_it(article: Article) -> None:
    article.place = "binned"


edit = Step(judging)


@flow
def editorial() -> Wiring[Article]:
    return [
        edit.to(published=print_it, abandoned=bin_it),
        print_it.then(END),
        bin_it.then(END),
    ]


async def main() -> None:
    assert judging.exits == edit.exits == ("published", "abandoned")
    alone = await judging.run(Article("trio"))
    assert_type(alone.exit, str | None)
    assert alone.exit == "published"
    assert (await editorial.run(Article("trio"))).state.place == "printed"
    assert (await editorial.run(Article(""))).state.place == "binned"
    assert (await editorial.run(Article(""))).exit is None
