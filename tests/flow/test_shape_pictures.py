"""What pictures show of branches, races and items, word for word."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

import pytest
from attrs import define

from agentflow_trio import (
    END,
    Count,
    Next,
    Share,
    Step,
    Wiring,
    batch,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.flow.pictures import to_dot, to_mermaid, to_text


@define
class Article:
    topics: tuple[str, ...] = ()


@step
async def web(article: Article) -> None: ...


@step(timeout=3.0)
async def papers(article: Article) -> None: ...


@step
async def review(article: Article, *, good: Next, bad: Next) -> Next:
    return good


@flow
def opinion() -> Wiring[Article]:
    return [review.to(good=END, bad=END)]


@flow
def strict(*, good: Next, bad: Next) -> Wiring[Article]:
    return [review.to(good=good, bad=bad)]


class Embed:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.topics

    async def exec(self, topics: Sequence[str]) -> Sequence[str]:
        return topics

    async def post(
        self, shared: Article, topics: Sequence[str], same: Sequence[object]
    ) -> None: ...


class EmbedOne(Embed):
    async def exec(self, topic: str) -> str:  # type: ignore[override]
        return topic


def is_long(article: Article) -> bool:
    return True


def split(article: Article) -> Sequence[Article]:
    return ()


def join(article: Article, articles: Sequence[Article]) -> None: ...


research = Step(
    parallel(web, papers.when(is_long), Step(opinion).when(lambda _: True)),
    name="research",
    timeout=10.0,
)
verdict = Step(race(review, Step(strict)), name="verdict")
opinions = Step(each(opinion.over(split, join), concurrent=8), name="opinions")
embed = Step(batch(Embed(), size=100, concurrent=2))


@flow
def editorial() -> Wiring[Article]:
    return [
        research.then(verdict).catch(OSError, to=embed),
        verdict.to(good=opinions, bad=END),
        opinions.then(embed),
        embed.then(END),
    ]


def test_text_has_a_line_for_each_branch() -> None:
    assert to_text(editorial) == (
        """\
flow editorial
* research  [all at once, timeout 10 s]
    & web
    & papers  [when is_long, timeout 3 s]
    & opinion  [on a condition]
        | flow opinion
        | * review
        |     good -> END
        |     bad -> END
    -> verdict
    on OSError -> embed
  verdict  [the first to end well]
    & review
    & strict
        | flow strict (exits: good, bad)
        | * review
        |     good -> exit good
        |     bad -> exit bad
    good -> opinions
    bad -> END
  opinions  [each, x 8 at once]
    | flow opinion
    | * review
    |     good -> END
    |     bad -> END
    -> embed
  embed  [batch of 100, x 2 at once]
    -> END
"""
    )


def test_mermaid_shows_branches_from_their_start_to_where_they_are_joined() -> None:
    lines = [line.strip() for line in to_mermaid(editorial).splitlines()]
    small = "<br/><small>{}</small>".format
    begin = lines.index('subgraph research[" "]')
    assert lines[begin : begin + 10] == [
        'subgraph research[" "]',
        f'research_start(["research{small("all at once")}{small("timeout 10 s")}"])',
        'research_web["web"]',
        f'research_papers["papers{small("when is_long")}{small("timeout 3 s")}"]',
        'subgraph research_opinion[" "]',
        f'research_opinion_start(["opinion{small("on a condition")}"])',
        'research_opinion_review["review"]',
        'research_opinion_end((("end")))',
        "end",
        'research_joined(["joined"])',
    ]
    assert [line for line in lines if "--> research" in line or "research_joined" in line] == [
        'research_joined(["joined"])',
        "research_opinion_start --> research_opinion_review",
        "research_start --> research_web",
        "research_web --> research_joined",
        "research_start --> research_papers",
        "research_papers --> research_joined",
        "research_start --> research_opinion_start",
        "research_opinion_end --> research_joined",
        "start --> research_start",
        "research_joined --> verdict_start",
        "research_joined ~~~ embed",
    ]


def test_branches_of_a_race_lead_to_its_exits() -> None:
    lines = [line.strip() for line in to_mermaid(editorial).splitlines()]
    arrows = [line for line in lines if line.startswith("verdict") and "-->" in line]
    assert arrows == [
        "verdict_strict_start --> verdict_strict_review",
        'verdict_strict_review -->|"good"| verdict_strict_good',
        'verdict_strict_review -->|"bad"| verdict_strict_bad',
        "verdict_start --> verdict_review",
        "verdict_review --> verdict_good",
        "verdict_review --> verdict_bad",
        "verdict_start --> verdict_strict_start",
        "verdict_strict_good --> verdict_good",
        "verdict_strict_bad --> verdict_bad",
        "verdict_good --> opinions_start",
        "verdict_bad --> end_2",
    ]


def test_dot_shows_branches_as_a_cluster() -> None:
    dot = to_dot(editorial)
    note = '<br/><font point-size="9" color="#57606a">{}</font>'.format
    label = f"<<b>research</b>{note('all at once')}{note('timeout 10 s')}>"
    assert f"subgraph cluster_research {{\n        label={label} labeljust=l\n" in dot
    assert (
        "    research_start -> research_opinion_start [lhead=cluster_research_opinion]\n" in dot
    )
    assert "    research_opinion_end -> research_joined\n" in dot
    assert "    research_joined -> verdict_start [lhead=cluster_verdict]\n" in dot
    assert f"embed [label=<<b>embed</b>{note('batch of 100, x 2 at once')}>]" in dot
    label = f"<<b>opinions</b>{note('flow opinion')}{note('each, x 8 at once')}>"
    assert f"subgraph cluster_opinions {{\n        label={label} labeljust=l\n" in dot


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it() -> None:
    done = subprocess.run(
        ["dot", "-Tsvg"], input=to_dot(editorial), capture_output=True, check=True, text=True
    )
    assert not done.stderr
    assert done.stdout.count('class="cluster"') == 5


def test_a_tolerance_is_shown() -> None:
    some = Step(each(EmbedOne(), concurrent=1, tolerate=Count(3)), name="some")
    share = Step(batch(Embed(), size=2, tolerate=Share(0.05)), name="share")

    @flow
    def row() -> Wiring[Article]:
        return [some.then(share), share.then(END)]

    assert to_text(row) == (
        "flow row\n"
        "* some  [each, x 1 at once, 3 may fail]\n    -> share\n"
        "  share  [batch of 2, x 1 at once, 5 % may fail]\n    -> END\n"
    )
