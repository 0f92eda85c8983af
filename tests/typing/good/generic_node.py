"""A generic node: the type parameters are found from its constructor's arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, assert_type

from attrs import define

from agentflow_trio import END, Next, Step, Wiring, flow

Shared = TypeVar("Shared")
Value = TypeVar("Value")


class Cached(Generic[Shared, Value]):
    def __init__(
        self,
        key: Callable[[Shared], str],
        load: Callable[[str], Awaitable[Value]],
        save: Callable[[Shared, Value], None],
    ) -> None:
        self.key, self.load, self.save = key, load, save
        self.cache: dict[str, Value] = {}

    async def prep(self, shared: Shared) -> str:
        return self.key(shared)

    async def exec(self, key: str) -> tuple[bool, Value]:
        if key in self.cache:
            return True, self.cache[key]
        self.cache[key] = await self.load(key)
        return False, self.cache[key]

    async def post(
        self, shared: Shared, key: str, found: tuple[bool, Value], *, hit: Next, miss: Next
    ) -> Next:
        self.save(shared, found[1])
        return hit if found[0] else miss


@define
class Article:
    topic: str
    words: int = 0


def topic_of(article: Article) -> str:
    return article.topic


async def count(text: str) -> int:
    return len(text)


def save_words(article: Article, words: int) -> None:
    article.words += words


node = Cached(topic_of, count, save_words)
cached = Step(node)


@flow
def twice(*, done: Next) -> Wiring[Article]:
    return [cached.to(miss=cached, hit=done)]


counting = Step(twice)


@flow
def outer() -> Wiring[Article]:
    return [counting.to(done=END)]


async def main() -> None:
    assert_type(node, Cached[Article, int])
    result = await outer.run(Article("trio"))
    assert result.state.words == 8
    assert result.visits["outer/twice/cached"] == 2
