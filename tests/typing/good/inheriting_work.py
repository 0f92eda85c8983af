"""Inheriting Work says the types of the first two phases outright and leaves the exits alone."""

from __future__ import annotations

from attrs import define
from typing_extensions import override

from agentflow_trio import Next, Step, Work


@define
class Article:
    draft: str
    verdict: str = ""


@define
class Review(Work[Article, str, int]):
    threshold: int = 3

    @override
    async def prep(self, shared: Article) -> str:
        return shared.draft

    @override
    async def exec(self, draft: str) -> int:
        return len(draft)

    async def post(
        self, shared: Article, draft: str, length: int, *, approved: Next, rejected: Next
    ) -> Next:
        shared.verdict = f"{draft} has {length}"
        return approved if length > self.threshold else rejected


class ShorterNames(Work[Article, str, bool]):
    """The parameters are positional: their names are free."""

    @override
    async def prep(self, a: Article) -> str:
        return a.draft

    @override
    async def exec(self, d: str) -> bool:
        return bool(d)

    async def post(self, a: Article, d: str, ok: bool) -> None:
        a.verdict = f"{d} {ok}"


async def main() -> None:
    long = await Step(Review()).run(Article("trio"))
    assert (long.exit, long.state.verdict) == ("approved", "trio has 4")
    short = await Step(Review(threshold=9)).run(Article("trio"))
    assert short.exit == "rejected"
    assert (await Step(ShorterNames()).run(Article("trio"))).state.verdict == "trio True"
