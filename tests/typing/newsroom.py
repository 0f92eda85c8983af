"""The nodes and flows that the bad programs misuse: one state, a plain step, a branching one, two flows."""

from __future__ import annotations

from attrs import define, frozen

from agentflow_trio import END, Next, Resource, Step, Stream, Wiring, flow, step


@define
class Article:
    topic: str
    draft: str = ""
    notes: tuple[str, ...] = ()


@define
class Order:
    """Another state, unlike an Article."""

    number: int = 0


@frozen
class Client:
    url: str = ""

    async def get(self, path: str) -> bytes:
        return f"{self.url}/{path}".encode()


class Write:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> str:
        return topic * 3

    async def post(self, shared: Article, topic: str, text: str) -> None:
        shared.draft = text


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return len(draft) > 8

    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next, rejected: Next
    ) -> Next:
        return approved if good else rejected


write = Step(Write())
review = Step(Review())


@step
async def archive(article: Article) -> None:
    article.draft = ""


@step
async def ship(order: Order) -> None:
    order.number += 1


@flow
def editing(*, published: Next, abandoned: Next) -> Wiring[Article]:
    return [
        write.then(review).catch(ValueError, to=abandoned),
        review.to(approved=published, rejected=write),
    ]


@flow
def editorial() -> Wiring[Article]:
    return [write.then(archive), archive.then(END)]


HTTP = Resource("http", Client)
TOKENS = Stream("tokens", str)
