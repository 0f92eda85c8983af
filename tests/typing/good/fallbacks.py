"""A fallback has the type of what exec returns: a value, or a function of the error."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import Fallback, Step


@define
class Article:
    topic: str
    draft: str = ""


class Write:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> str:
        raise ConnectionError(topic)

    async def post(self, shared: Article, topic: str, text: str) -> None:
        shared.draft = text


class Count:
    async def prep(self, shared: Article) -> str:
        return shared.topic

    async def exec(self, topic: str) -> float:
        raise ConnectionError(topic)

    async def post(self, shared: Article, topic: str, words: float) -> None:
        shared.draft = str(words)


def sorry(error: Exception) -> str:
    return f"sorry: {error}"


nothing = Fallback("nothing")
by_error = Fallback(by=sorry, on=(ConnectionError,), name="apology")


async def main() -> None:
    assert_type(nothing, Fallback[str])
    assert_type(by_error, Fallback[str])
    assert (await Step(Write(), fallback=nothing).run(Article("x"))).state.draft == "nothing"
    assert (await Step(Write(), fallback=by_error).run(Article("x"))).state.draft == "sorry: x"
    inline = Step(Write(), fallback=Fallback(by=lambda error: f"no {error}"))
    assert (await inline.run(Article("x"))).state.draft == "no x"
    # An int is a float, so a Fallback[int] may stand in for one.
    assert (await Step(Count(), fallback=Fallback(3)).run(Article("x"))).state.draft == "3"
    assert (await Step(Write(), fallback=None, max_visits=1).node.prep(Article("x"))) == "x"
