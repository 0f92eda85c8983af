"""Nodes made of shapes have three phases like any node, and steps of them are values like any step."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from agentflow_trio import (
    END,
    FlowFailedError,
    Next,
    Step,
    Wiring,
    added,
    batch,
    each,
    flow,
    merged_by,
    parallel,
    race,
    step,
)
from agentflow_trio.testing import phases


@attrs.define
class Article:
    notes: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))


@step
async def web(article: Article) -> None:
    article.notes += ("web",)


@step
async def papers(article: Article) -> None:
    article.notes += ("papers",)


@step
async def review(article: Article, *, good: Next, bad: Next) -> Next:
    article.notes += ("reviewed",)
    return bad


@step
async def broken(article: Article, *, good: Next, bad: Next) -> Next:
    raise OSError("broken")


class Shout:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, notes: Sequence[str]) -> Sequence[str]:
        return [note.upper() for note in notes]

    async def post(self, shared: Article, quiet: Sequence[str], loud: Sequence[str]) -> None:
        shared.notes = tuple(loud)


async def test_phases_of_parallel() -> None:
    article = Article(("old",))
    done = await phases(parallel(web, papers), article)
    assert article.notes == ("old", "web", "papers")
    assert done.result.visits == {"parallel": 1, "parallel/web": 1, "parallel/papers": 1}
    assert done.exit is None
    assert done.prepared == Article(("old",))


async def test_phases_of_a_race() -> None:
    article = Article()
    done = await phases(race(broken, review), article)
    assert (done.exit, article.notes) == ("bad", ("reviewed",))
    assert [str(error) for error in done.result.suppressed] == ["broken"]
    with pytest.raises(FlowFailedError):
        await phases(race(broken, broken.with_(name="too")), article)


async def test_phases_of_a_batch() -> None:
    article = Article(("a", "b", "c"))
    done = await phases(batch(Shout(), size=2), article)
    assert done.result == ["A", "B", "C"]
    assert article.notes == ("A", "B", "C")


def test_a_step_knows_its_branches() -> None:
    assert Step(race(review, broken)).branches == (review, broken)
    assert web.branches == Step(Shout()).branches == ()


def test_a_copy_keeps_its_condition() -> None:
    def never(article: Article) -> bool:
        return False

    sometimes = web.when(never)
    assert sometimes.condition is sometimes.with_(name="other").condition is never
    assert (sometimes.name, sometimes.node, sometimes.policies) == (
        web.name,
        web.node,
        web.policies,
    )
    assert web.condition is None
    assert sometimes.when(bool).condition is bool


def test_what_holds_no_steps_takes_none() -> None:
    with pytest.raises(NotImplementedError, match="ending has no inner steps"):
        flow(ending).among(())


def ending() -> Wiring[Article]:
    return [web.then(END)]


def test_shapes_are_called_after_what_they_are() -> None:
    assert Step(parallel(web)).name == "parallel"
    assert Step(race(web)).name == "race"
    assert Step(batch(Shout(), size=3)).name == "shout"
    assert Step(each(flow(ending).over(split, join), concurrent=1)).name == "ending"


def split(article: Article) -> Sequence[Article]:
    return (article,)


def join(article: Article, articles: Sequence[Article]) -> None: ...
