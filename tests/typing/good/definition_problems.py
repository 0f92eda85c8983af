"""What is wrong with a definition is told all at once, as records."""

from __future__ import annotations

from typing import assert_type

import pytest
from attrs import define

from agentflow_trio import FlowDefinitionError, Next, Problem, Wiring, flow, step


@define
class Article:
    draft: str = ""


@step
async def write(article: Article) -> None:
    article.draft = "text"


@step
async def check(article: Article, *, good: Next, bad: Next) -> Next:
    return good if article.draft else bad


async def main() -> None:
    def broken(*, done: Next, never: Next) -> Wiring[Article]:
        return [write.then(check), write.then(done)]

    with pytest.raises(FlowDefinitionError) as refused:
        flow(broken)
    error = refused.value
    assert_type(error.problems, tuple[Problem, ...])
    assert_type(error.problems[0].code, str)
    assert error.name == "broken"
    assert "step 'write' has two lines" in str(error)
    assert len(error.problems) == 3
