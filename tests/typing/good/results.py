"""What a run gives back, attribute by attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from attrs import define

from agentflow_trio import Next, RunResult, Wiring, flow, step


@define
class Article:
    topic: str
    draft: str = ""


@step
async def write(article: Article) -> None:
    article.draft = article.topic


@flow
def writing(*, done: Next) -> Wiring[Article]:
    return [write.then(done)]


async def main() -> None:
    before = Article("trio")
    result = await writing.run(before, timeout=60, run_id="run-1", seed=7)
    assert_type(result, RunResult[Article])
    assert_type(result.state, Article)
    assert_type(result.exit, str | None)
    assert_type(result.duration, float)
    assert_type(result.steps, int)
    assert_type(result.run_id, str)
    assert_type(result.visits, Mapping[str, int])
    assert_type(result.tail, tuple[str, ...])
    assert (result.exit, result.steps, result.run_id) == ("done", 1, "run-1")
    assert result.visits == {"writing/write": 1}
    assert result.tail == ("writing/write",)
    assert before.draft == ""
