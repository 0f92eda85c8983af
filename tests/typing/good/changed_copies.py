"""with_ gives a changed copy: the same node twice, with other names and policies and the same exits."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Next, Step, Wiring, flow, step


@define
class Article:
    drafts: tuple[str, ...] = ()


@step(timeout=30.0)
async def write(article: Article) -> None:
    article.drafts += ("draft",)


@step
async def review(article: Article, *, good: Next, bad: Next) -> Next:
    return good if len(article.drafts) > 1 else bad


rewrite = write.with_(name="rewrite", timeout=60.0)
final = review.with_(name="final", timeout=None, max_visits=2)


@flow
def editing() -> Wiring[Article]:
    return [
        write.then(review),
        review.to(good=END, bad=rewrite),
        rewrite.then(final),
        final.to(good=END, bad=END),
    ]


async def main() -> None:
    assert_type(rewrite, Step[Article, []])
    assert_type(write.policies.timeout, float | None)
    assert (write.policies.timeout, rewrite.policies.timeout) == (30.0, 60.0)
    assert final.policies.max_visits == 2
    result = await editing.run(Article())
    assert result.state.drafts == ("draft", "draft")
    assert [place.partition("/")[2] for place in result.tail] == [
        "write",
        "review",
        "rewrite",
        "final",
    ]
