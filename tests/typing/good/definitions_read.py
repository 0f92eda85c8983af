"""A definition can be read: steps, lines, targets and policies are typed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from attrs import define

from agentflow_trio import END, Edge, Exit, Flow, Next, Step, Wiring, flow, step


@define
class Article:
    draft: str = ""


@step(timeout=3.0)
async def write(article: Article) -> None:
    article.draft = "text"


@step
async def review(article: Article, *, approved: Next, rejected: Next) -> Next:
    return approved if article.draft else rejected


@flow
def editing(*, published: Next) -> Wiring[Article]:
    return [
        write.then(review).catch(ValueError, to=published),
        review.to(approved=published, rejected=write),
    ]


def names(targets: Mapping[str, Next]) -> dict[str, str]:
    return {
        name: target.name for name, target in targets.items() if isinstance(target, Step | Exit)
    }


async def main() -> None:
    assert_type(END, Exit)
    assert_type(editing.edges, tuple[Edge[Article], ...])
    first, second = editing.edges
    assert_type(first.source, Step[Article, ...])
    assert_type(first.targets, Mapping[str, Next])
    assert_type(first.source.flow, Flow[Any, ...] | None)
    assert_type(first.source.exits, tuple[str, ...])
    assert_type(first.source.policies.timeout, float | None)
    assert_type(first.source.policies.max_visits, int | None)
    assert (names(first.targets), names(second.targets)) == (
        {"": "review"},
        {"approved": "published", "rejected": "write"},
    )
    (caught,) = first.catches
    assert_type(caught.errors, tuple[type[Exception], ...])
    assert caught.errors == (ValueError,)
    assert first.source.policies.timeout == 3.0
