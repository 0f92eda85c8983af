"""A phase may be any function that returns an awaitable, if its annotation says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from attrs import define

from agentflow_trio import Step


@define
class Article:
    topic: str
    draft: str = ""


async def echo(text: str) -> str:
    return text * 2


class Delegate:
    def __init__(self, model: Callable[[str], Coroutine[Any, Any, str]]) -> None:
        self.model = model

    async def prep(self, shared: Article) -> str:
        return shared.topic

    def exec(self, topic: str) -> Awaitable[str]:
        return self.model(topic)

    async def post(self, shared: Article, topic: str, text: str) -> None:
        shared.draft = text


async def main() -> None:
    assert (await Step(Delegate(echo)).run(Article("ab"))).state.draft == "abab"
