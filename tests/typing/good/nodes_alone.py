"""phases runs a node's three phases alone and keeps their types; post needs nothing but two Nexts."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import Next, Wiring, flow, step
from agentflow_trio.testing import Phases, phases


@define
class Article:
    draft: str
    rank: int = 0


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> int:
        return len(draft)

    async def post(
        self, shared: Article, draft: str, length: int, *, approved: Next, rejected: Next
    ) -> Next:
        shared.rank = length
        return approved if length else rejected


@step
async def promote(article: Article) -> None:
    article.rank += 1


@flow
def promoting(*, done: Next) -> Wiring[Article]:
    return [promote.then(done)]


async def main() -> None:
    article = Article("trio")
    seen = await phases(Review(), article)
    assert_type(seen, Phases[str, int])
    assert_type(seen.prepared, str)
    assert_type(seen.result, int)
    assert_type(seen.exit, str | None)
    assert (seen.prepared, seen.result, seen.exit) == ("trio", 4, "approved")
    assert article.rank == 4
    approved, rejected = Next(), Next()
    chosen = await Review().post(article, "", 0, approved=approved, rejected=rejected)
    assert_type(chosen, Next)
    assert chosen is rejected
    whole = await phases(promoting, article)
    assert (whole.exit, article.rank) == ("done", 1)
