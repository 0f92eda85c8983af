"""A step is an immutable value with a name, exits and policies; its line says what follows it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable
from typing import Any, NamedTuple

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    Fallback,
    FlowFailedError,
    Next,
    Resource,
    Step,
    Wiring,
    Work,
    flow,
    step,
)
from agentflow_trio.flow import exits_of

HTTP = Resource("http", str)


@attrs.define
class Article:
    draft: str = ""


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        if draft == "bad":
            raise ValueError(draft)
        return bool(draft)

    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next, rejected: Next
    ) -> Next:
        shared.draft = f"{draft}!"
        return approved if good else rejected


@step
async def archive(article: Article) -> None:
    """Put it away."""
    article.draft = ""


review = Step(Review())


def same(outer: Article) -> Article:
    return outer


def ignore(outer: Article, inner: Article) -> None: ...


# ---------------------------------------------------------------- names


class HTMLPage(Review): ...


class GPT4Writer(Review): ...


class _Private(Review): ...


class RAG(Review): ...


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (Review(), "review"),
        (HTMLPage(), "html_page"),
        (GPT4Writer(), "gpt4_writer"),
        (_Private(), "_private"),
        (RAG(), "rag"),
    ],
    ids=["Review", "HTMLPage", "GPT4Writer", "_Private", "RAG"],
)
def test_a_step_is_called_like_its_class_in_snake_case(node: Review, name: str) -> None:
    assert Step(node).name == name


def test_a_function_step_is_called_like_its_function_and_a_flow_like_itself() -> None:
    @flow(name="the desk")
    def desk(*, done: Next) -> Wiring[Article]:
        return [archive.then(done)]

    within = desk.within(same, ignore)
    assert archive.name == "archive"
    assert Step(desk).name == "the desk"
    assert Step(within).name == "the desk"
    assert Step(desk, name="desk").name == "desk"


# ---------------------------------------------------------------- values


def test_a_step_cannot_be_changed() -> None:
    changes: Any = review
    text = "a Step is a value and cannot be changed; with_(...) returns a copy"
    with pytest.raises(AttributeError, match=text.replace("(...)", r"\(\.\.\.\)")):
        changes.name = "other"
    with pytest.raises(AttributeError):
        changes.extra = 3
    with pytest.raises(AttributeError):
        del changes.name
    assert review.name == "review"


def test_a_step_shows_its_name_and_its_node() -> None:
    assert repr(review) == "<Step 'review' of Review>"
    assert repr(archive) == "<Step 'archive' of FunctionNode>"


def test_a_copy_of_a_step_is_the_step_itself() -> None:
    """It is a target by identity: another object would lead nowhere."""
    assert copy.copy(review) is review
    assert copy.deepcopy({"step": review}) == {"step": review}


def test_with_gives_a_changed_copy_and_leaves_the_rest() -> None:
    fallback = Fallback(value := True)
    first = Step(Review(), fallback=fallback, timeout=3.0, uses=[HTTP])
    second = first.with_(name="again", max_visits=2, timeout=None, idle_timeout=1, version="b")
    assert second is not first
    assert second.node is first.node
    assert second.exits == first.exits == ("approved", "rejected")
    assert first.name == "review"
    assert attrs.asdict(first.policies, recurse=False) == {
        "timeout": 3.0,
        "attempt_timeout": None,
        "idle_timeout": None,
        "retry": None,
        "hedge": None,
        "guards": (),
        "max_visits": None,
        "uses": (HTTP,),
        "version": "",
        "fallback": fallback,
    }
    assert second.name == "again"
    assert attrs.asdict(second.policies, recurse=False) == {
        "timeout": None,
        "attempt_timeout": None,
        "idle_timeout": 1,
        "retry": None,
        "hedge": None,
        "guards": (),
        "max_visits": 2,
        "uses": (HTTP,),
        "version": "b",
        "fallback": fallback,
    }
    assert value is True


def test_with_nothing_is_still_another_step() -> None:
    assert review.with_() is not review
    assert review.with_().policies == review.policies


def test_only_a_step_of_a_flow_has_a_flow() -> None:
    @flow
    def archiving() -> Wiring[Article]:
        return [archive.then(END)]

    within = archiving.within(same, ignore)
    assert Step(archiving).flow is archiving
    assert Step(within).flow is archiving
    assert review.flow is None
    assert archive.flow is None


# ---------------------------------------------------------------- exits


def test_exits_may_be_positional_parameters() -> None:
    @step
    async def triage(article: Article, long: Next, short: Next) -> Next:
        return long

    assert triage.exits == ("long", "short")
    assert triage.to(long=END, short=archive).targets == {"long": END, "short": archive}
    assert triage.to(END, archive).targets == {"long": END, "short": archive}
    assert triage.to(END, short=archive).targets == {"long": END, "short": archive}


def test_an_exit_may_be_called_self() -> None:
    async def turn(article: Article, *, self: Next) -> Next:
        return self

    made: Any = step(turn)
    assert made.to(self=END).targets == {"self": END}


class Starred(NamedTuple):
    """Takes what comes: prep and exec are passed one argument, whatever they call it."""

    async def prep(self, *args: Any, **kwargs: Any) -> int:
        return len(args) + len(kwargs)

    async def exec(self, *args: int, extra: int = 3) -> int:
        return args[0] + extra

    async def post(self, *_: object) -> None: ...


async def test_phases_may_take_more_than_they_are_passed() -> None:
    starred: Any = Starred()
    made: Step[Article, []] = Step(starred)
    assert made.exits == ()
    assert (await made.run(Article())).steps == 1


def test_lines_are_values() -> None:
    line = review.to(approved=END, rejected=archive)
    caught = line.catch(ValueError, KeyError, to=archive).catch(OSError, to=END)
    assert line.catches == ()
    assert line.source is caught.source is review
    assert [(each.errors, each.target) for each in caught.catches] == [
        ((ValueError, KeyError), archive),
        ((OSError,), END),
    ]
    assert archive.then(END).targets == {"": END}


def test_work_says_at_once_which_phase_is_missing() -> None:
    class Half(Work[Article, str, str]):
        async def prep(self, shared: Article) -> str:
            return ""

    with pytest.raises(TypeError, match="exec"):
        Half()  # type: ignore[abstract]


def test_the_exits_of_a_node_are_in_the_order_of_its_post() -> None:
    assert exits_of(Review()) == ("approved", "rejected")
    assert exits_of(archive.node) == ()


# ---------------------------------------------------------------- alone


async def test_a_step_runs_alone_on_a_fork() -> None:
    article = Article("text")
    result = await review.run(article, run_id="r1", seed=3)
    assert (result.state, result.exit, result.run_id) == (Article("text!"), "approved", "r1")
    assert (result.steps, result.visits, result.tail) == (1, {"review": 1}, ("review",))
    assert article == Article("text")
    assert (await review.run(Article())).exit == "rejected"
    result = await archive.run(article)
    assert (result.state, result.exit) == (Article(""), None)


async def test_a_nested_flow_runs_alone_as_a_step() -> None:
    @flow
    def desk(*, done: Next) -> Wiring[Article]:
        return [archive.then(done)]

    result = await Step(desk).run(Article("text"))
    assert (result.state, result.exit) == (Article(""), "done")
    assert result.visits == {"desk": 1, "desk/archive": 1}


async def test_a_step_alone_has_its_fallback() -> None:
    with_fallback = Step(Review(), fallback=Fallback(value := True, on=(ValueError,)))
    assert (await with_fallback.run(Article("bad"))).exit == "approved"
    assert value is True
    with pytest.raises(FlowFailedError, match="the step failed") as caught:
        await review.run(Article("bad"))
    failure = caught.value.find(error := caught.value.only())
    assert failure is not None
    assert (repr(error), failure.path, failure.phase) == ("ValueError('bad')", "review", "exec")


async def test_a_step_alone_has_its_timeout(autojump_clock: trio.testing.MockClock) -> None:
    @step(timeout=3.0)
    async def hang(article: Article) -> None:
        await trio.sleep_forever()

    with pytest.raises(FlowFailedError, match="the step failed") as caught:
        await hang.run(Article())
    assert str(caught.value.only()) == "timeout of hang (3 s) ran out; spent: hang 3 s"
    assert trio.current_time() == 3.0
    with pytest.raises(FlowFailedError) as caught:
        await hang.run(Article(), timeout=1.0)
    assert str(caught.value.only()) == "timeout of the run (1 s) ran out; spent: hang 1 s"


def test_a_step_is_made_of_anything_with_async_phases() -> None:
    """Awaitables are promised by annotations or by ``async def``; nothing is called to find out."""

    class Promises(Review):
        def prep(self, shared: Article) -> Awaitable[str]:  # type: ignore[override]
            raise NotImplementedError

    assert Step(Promises()).exits == ("approved", "rejected")
