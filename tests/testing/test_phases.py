"""`phases` runs the three phases of any node, alone, and says what came of each."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    Exit,
    Next,
    NoStepError,
    Step,
    StepDefinitionError,
    Wiring,
    WrongExitError,
    current_step,
    flow,
    step,
)
from agentflow_trio.testing import Phases, phases


@attrs.define
class Article:
    draft: str = ""


class Write:
    async def prep(self, shared: Article) -> str:
        return f"{shared.draft}1"

    async def exec(self, topic: str) -> str:
        return f"{topic}2"

    async def post(self, shared: Article, topic: str, text: str) -> None:
        shared.draft = f"{text}3"


class Review(Write):
    async def post(  # type: ignore[override]
        self, shared: Article, topic: str, text: str, *, good: Next, bad: Next
    ) -> Next:
        await super().post(shared, topic, text)
        return bad


class Positional(Write):
    async def post(  # type: ignore[override]
        self, shared: Article, topic: str, text: str, good: Next, bad: Next
    ) -> Next:
        return good


@step
async def archive(article: Article) -> None:
    article.draft += "!"


@step
async def triage(article: Article, *, long: Next, short: Next) -> Next:
    article.draft += "?"
    return short


@flow
def editing(*, published: Next, abandoned: Next) -> Wiring[Article]:
    return [archive.then(triage), triage.to(long=abandoned, short=published)]


@flow
def ending() -> Wiring[Article]:
    return [archive.then(END)]


async def test_a_node_without_exits() -> None:
    article = Article("0")
    assert await phases(Write(), article) == Phases(prepared="01", result="012", exit=None)
    assert article == Article("0123")


async def test_a_node_with_exits() -> None:
    article = Article()
    assert await phases(Review(), article) == Phases("1", "12", "bad")
    assert article == Article("123")
    assert await phases(Positional(), article) == Phases("1231", "12312", "good")


async def test_a_function() -> None:
    article = Article()
    made = await phases(archive.node, article)
    assert (made.prepared, made.exit) == (Article("!"), None)
    assert article == Article("!")
    made = await phases(triage.node, article)
    assert (made.result, made.exit) == ((Article("!?"), "short"), "short")
    assert article == Article("!?")


async def test_a_flow() -> None:
    article = Article()
    made = await phases(editing, article)
    assert (made.prepared, made.result.state, made.exit) == (
        Article(),
        Article("!?"),
        "published",
    )
    assert made.result.visits == {"editing/archive": 1, "editing/triage": 1}
    assert article == Article("!?")
    assert (await phases(ending, article)).exit is None
    assert article == Article("!?!")


async def test_a_flow_within_another_state() -> None:
    @attrs.define
    class Desk:
        article: Article

    def put(desk: Desk, article: Article) -> None:
        desk.article = article

    desk = Desk(Article())
    made = await phases(editing.within(lambda each: each.article, put), desk)
    assert (made.prepared, made.exit) == (Article(), "published")
    assert desk == Desk(Article("!?"))


async def test_the_node_of_a_step_is_what_phases_takes() -> None:
    assert (await phases(Step(Review(), name="r").node, Article())).exit == "bad"
    wrong: Any = archive
    with pytest.raises(StepDefinitionError, match="'archive' is a step already"):
        await phases(wrong, Article())


async def test_what_no_flow_would_take_is_refused() -> None:
    class Sync(Write):
        def exec(self, topic: str) -> str:  # type: ignore[override]
            return topic

    article = Article()
    with pytest.raises(StepDefinitionError) as caught:
        await phases(Sync(), article)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "step 'sync': exec of Sync is not async: write 'async def exec'"
    )
    assert article == Article()


@pytest.mark.parametrize(
    ("returned", "text"),
    [(None, "None"), ("good", "'good'"), (END, "Exit(name='end')"), (Exit("good"),) * 2],
    ids=["None", "text", "END", "another exit"],
)
async def test_a_post_that_returns_none_of_its_exits(returned: Any, text: object) -> None:
    class Wrong(Review):
        async def post(  # type: ignore[override]
            self, shared: Article, topic: str, text: str, *, good: Next, bad: Next
        ) -> Next:
            taken: Next = returned
            return taken

    with pytest.raises(WrongExitError) as caught:
        await phases(Wrong(), Article())
    assert str(caught.value) == (
        f"step 'wrong' returned {text}, which is not one of its exits: good, bad"
    )


async def test_a_post_that_returns_something_and_has_no_exits() -> None:
    class Wrong(Write):
        async def post(self, shared: Article, topic: str, text: str) -> Any:
            return text

    with pytest.raises(WrongExitError) as caught:
        await phases(Wrong(), Article())
    assert str(caught.value) == (
        "step 'wrong' has no exits but returned '12'; let it return None"
    )


async def test_a_function_that_returns_none_of_its_exits() -> None:
    @step
    async def wrong(article: Article, *, good: Next) -> Any:
        return None

    @step
    async def also(article: Article) -> Any:
        return END

    article = Article()
    with pytest.raises(
        WrongExitError, match="step 'wrong' returned None, which is not one of its"
    ):
        await phases(wrong.node, article)
    with pytest.raises(WrongExitError, match="step 'also' has no exits but returned Exit"):
        await phases(also.node, article)
    assert article == Article()


async def test_there_is_no_run_around_it() -> None:
    @step
    async def asks(article: Article) -> None:
        current_step()

    with pytest.raises(NoStepError):
        await phases(asks.node, Article())


async def test_what_a_phase_raises_is_raised_as_it_is() -> None:
    class Fails(Write):
        async def exec(self, topic: str) -> str:
            raise ValueError(topic)

    article = Article("0")
    with pytest.raises(ValueError, match="01"):
        await phases(Fails(), article)
    assert article == Article("0")
