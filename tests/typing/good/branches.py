"""Steps at once: branches of narrower states, with conditions and policies; races that keep their exits."""

from __future__ import annotations

from typing import Protocol, assert_type

from attrs import define, field

from agentflow_trio import (
    END,
    Next,
    Step,
    Wiring,
    added,
    flow,
    merged_by,
    parallel,
    race,
    step,
)


@define
class Article:
    topic: str
    draft: str = ""
    notes: tuple[str, ...] = field(default=(), metadata=merged_by(added))


class HasDraft(Protocol):
    draft: str


@step
async def web(article: Article) -> None:
    article.notes += ("web",)


@step(timeout=3.0)
async def papers(article: Article) -> None:
    article.notes += ("papers",)


class Shout:
    async def prep(self, shared: HasDraft) -> str:
        return shared.draft

    async def exec(self, text: str) -> str:
        return text.upper()

    async def post(self, shared: HasDraft, text: str, loud: str) -> None:
        shared.draft = loud


@step
async def review(article: Article, *, approved: Next, rejected: Next) -> Next:
    return approved if article.notes else rejected


def is_long(article: Article) -> bool:
    return len(article.topic) > 800


shout = Step(Shout())
research = Step(parallel(web, papers, shout), name="research", timeout=10.0)
assert_type(research, Step[Article, []])
assert_type(web.when(is_long), Step[Article, []])

sometimes = Step(parallel(web, papers.when(is_long), shout.when(lambda state: not state.draft)))
assert_type(sometimes, Step[Article, []])

many = Step(parallel(*[web.with_(name=f"web {number}") for number in range(3)]), name="many")
assert_type(many, Step[Article, []])

opinions = Step(race(review, review.with_(name="strict")), name="opinions")


@flow
def reviewed() -> Wiring[Article]:
    return [review.to(approved=END, rejected=END)]


nested = Step(parallel(Step(reviewed), opinions_once := Step(race(web, papers))), name="nested")
assert_type(opinions_once, Step[Article, []])


@flow
def editorial(*, done: Next) -> Wiring[Article]:
    return [
        research.then(sometimes),
        sometimes.then(many),
        many.then(nested),
        nested.then(opinions),
        opinions.to(approved=done, rejected=research),
    ]


async def main() -> None:
    result = await editorial.run(Article("trio", draft="x"))
    assert result.exit == "done"
    assert result.state.draft == "X"
    assert result.state.notes[:5] == ("web", "papers", "web", "web", "web")
