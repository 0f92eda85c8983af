"""A subclass replaces one phase; the exits stay."""

from __future__ import annotations

from attrs import define
from typing_extensions import override

from agentflow_trio import END, Next, Step, Wiring, flow


@define
class Article:
    draft: str
    verdicts: tuple[str, ...] = ()


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next, rejected: Next
    ) -> Next:
        shared.verdicts += (f"{type(self).__name__} {good}",)
        return approved if good else rejected


class StrictReview(Review):
    @override
    async def exec(self, draft: str) -> bool:
        return len(draft) > 9


review = Step(Review())
strict = Step(StrictReview())


@flow
def reviewing() -> Wiring[Article]:
    return [review.to(approved=strict, rejected=END), strict.to(approved=END, rejected=END)]


async def main() -> None:
    result = await reviewing.run(Article("trio"))
    assert result.state.verdicts == ("Review True", "StrictReview False")
