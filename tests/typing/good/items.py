"""Exec for every item or for parts of them: outputs, tolerated failures, totals, lists and streams."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import assert_never, assert_type

from attrs import define
from outcome import Error, Maybe, Value

from agentflow_trio import (
    END,
    Count,
    Fallback,
    Next,
    Node,
    Share,
    Source,
    Step,
    Wiring,
    batch,
    each,
    flow,
    fold,
)


@define
class Article:
    notes: tuple[str, ...] = ()
    words: int = 0
    total: float = 0
    seen: int = 0


class Sections:
    async def prep(self, shared: Article) -> list[str]:
        return ["a", "bb"]

    async def exec(self, title: str) -> int:
        return len(title)

    async def post(self, shared: Article, titles: Sequence[str], words: Sequence[int]) -> None:
        shared.words = sum(words)


class Fetches:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, url: str) -> bytes:
        return url.encode("ascii")

    async def post(
        self,
        shared: Article,
        urls: Sequence[str],
        pages: Sequence[Maybe[bytes]],
        *,
        some: Next,
        none: Next,
    ) -> Next:
        for page in pages:
            match page:
                case Value(value):
                    assert_type(value, bytes)
                    shared.seen += 1
                case Error(error):
                    assert_type(error, BaseException)
                case _:
                    assert_never(page)
        return some if shared.seen else none


class Lines:
    async def prep(self, shared: Article) -> AsyncIterable[str]:
        return lines()

    async def exec(self, line: str) -> int:
        return len(line)

    async def post(self, shared: Article, source: object, total: float) -> None:
        shared.total += total


class MoreLines:
    async def prep(self, shared: Article) -> AsyncIterator[str]:
        return lines()

    async def exec(self, line: str) -> int:
        return len(line)

    async def post(self, shared: Article, source: Source[str], total: float) -> None:
        shared.total += total


class Embeds:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]

    async def post(
        self,
        shared: Article,
        texts: Sequence[str],
        vectors: Sequence[float],
        *,
        full: Next,
        empty: Next,
    ) -> Next:
        return full if vectors else empty


class Sums:
    async def prep(self, shared: Article) -> list[int]:
        return [1, 2, 3]

    async def exec(self, numbers: Sequence[int]) -> Sequence[int]:
        return numbers

    async def post(self, shared: Article, source: object, total: int) -> None:
        shared.words += total


async def lines() -> AsyncIterator[str]:
    yield "line"
    yield "another"


def plus(total: float, n: int) -> float:
    return total + n


def plus_some(total: float, n: Maybe[int]) -> float:
    return total + (n.value if isinstance(n, Value) else 0)


lengths = each(Sections(), concurrent=8)
assert_type(lengths, Node[Article, object, Sequence[int], []])
sections = Step(lengths, name="sections", timeout=60.0, fallback=Fallback([1, 2]))
assert_type(sections, Step[Article, []])
fetches = Step(each(Fetches(), concurrent=8, tolerate=Share(0.5)), name="fetches")
total = Step(each(Lines(), concurrent=8, into=fold(float, plus)), name="total")
latest = Step(
    each(MoreLines(), concurrent=8, into=fold(float, lambda a, n: a + n, order="completion")),
    name="latest",
)
some = Step(
    each(Lines(), concurrent=8, tolerate=Count(1), into=fold(float, plus_some)), name="some"
)
embeds = Step(batch(Embeds(), size=3, concurrent=2), name="embeds")
sums = Step(batch(Sums(), size=2, into=fold(int, operator.add)), name="sums")


@flow
def digest() -> Wiring[Article]:
    return [
        sections.then(fetches),
        fetches.to(some=total, none=END),
        total.then(latest),
        latest.then(some),
        some.then(embeds),
        embeds.to(full=sums, empty=END),
        sums.then(END),
    ]


async def main() -> None:
    result = await digest.run(Article(("one", "zwö")))
    assert result.state == Article(("one", "zwö"), words=9, total=33.0, seen=1)
    assert len(result.suppressed) == 1
