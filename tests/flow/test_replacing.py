"""The same wiring with other nodes: fakes in tests, variants in production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    Fallback,
    Flow,
    FlowDefinitionError,
    Next,
    Step,
    Wiring,
    each,
    flow,
    parallel,
    race,
    step,
)


@attrs.define
class Article:
    trail: tuple[str, ...] = ()


@attrs.frozen
class Says:
    word: str

    async def prep(self, shared: Article) -> str:
        return self.word

    async def exec(self, word: str) -> str:
        return word

    async def post(self, shared: Article, prepared: str, word: str) -> None:
        shared.trail = (*shared.trail, word)


class Review(Says):
    async def post(  # type: ignore[override]
        self, shared: Article, prepared: str, word: str, *, good: Next, bad: Next
    ) -> Next:
        await super().post(shared, prepared, word)
        return good


class Reversed(Says):
    """The same exits in another order, and it takes the other one."""

    async def post(  # type: ignore[override]
        self, shared: Article, prepared: str, word: str, *, bad: Next, good: Next
    ) -> Next:
        await super().post(shared, prepared, word)
        return bad


write = Step(Says("write"), name="write", timeout=9.0)
review: Step[Article, ...] = Step(Review("review"), name="review")
safe = Step(Says("safe"), name="safe", fallback=Fallback("sorry"))


@step
async def publish(article: Article) -> None:
    article.trail += ("publish",)


@flow
def editing(*, done: Next) -> Wiring[Article]:
    return [write.then(review), review.to(good=done, bad=write).catch(OSError, to=write)]


edit = Step(editing, name="edit")


@flow
def editorial() -> Wiring[Article]:
    return [edit.to(done=safe), safe.then(publish), publish.then(END)]


async def trail(made: Flow[Article, ...]) -> tuple[str, ...]:
    return (await made.run(Article())).state.trail


def refused(nodes: Any, made: Flow[Article, ...] = editorial) -> FlowDefinitionError:
    with pytest.raises(FlowDefinitionError) as caught:
        made.replacing(nodes)
    return caught.value


async def test_a_node_is_replaced_and_the_flow_itself_is_not() -> None:
    other = editorial.replacing({safe: Says("other")})
    assert await trail(other) == ("write", "review", "other", "publish")
    assert await trail(editorial) == ("write", "review", "safe", "publish")
    assert [edge.source.name for edge in other.edges] == ["edit", "safe", "publish"]
    assert other.edges[1].source.policies == safe.policies
    assert (other.name, other.exits, other.doc) == (editorial.name, (), "")
    assert other.state_type is Article


async def test_lines_that_nothing_was_replaced_in_are_the_same_lines() -> None:
    other = editorial.replacing({publish: Says("p")})
    assert other.edges[0] is editorial.edges[0]
    assert other.edges[1] is not editorial.edges[1]
    assert editorial.replacing({}).edges == editorial.edges


async def test_a_step_of_a_nested_flow_is_replaced_where_it_is() -> None:
    other = editorial.replacing({write: Says("w"), publish: Says("p")})
    assert await trail(other) == ("w", "review", "safe", "p")
    inner = other.start.flow
    assert inner is not None
    assert inner is not editing
    assert inner.exits == editing.exits
    assert inner.start.policies.timeout == 9.0
    assert [len(edge.catches) for edge in inner.edges] == [0, 1]
    assert inner.edges[1].catches[0].target is inner.start


async def test_what_was_replaced_can_be_replaced_again_by_the_first_name() -> None:
    once = editorial.replacing({write: Says("w"), safe: Says("s")})
    twice = once.replacing({write: Says("x")}).replacing({write: Says("y"), safe: Says("t")})
    assert await trail(twice) == ("y", "review", "t", "publish")


async def test_a_copy_of_the_very_step_brings_its_options_and_another_step_does_not() -> None:
    other = editorial.replacing({safe: safe.with_(name="other", timeout=3.0)})
    step_ = other.edges[1].source
    assert (step_.name, step_.policies.timeout) == ("safe", 3.0)
    assert step_.policies.fallback == Fallback("sorry")
    again = other.replacing({safe: Step(Says("again"), timeout=1.0)})
    assert again.edges[1].source.policies.timeout == 3.0
    free = again.replacing({safe: safe.with_(timeout=None)})
    assert free.edges[1].source.policies.timeout is None
    assert await trail(free) == ("write", "review", "again", "publish")


async def test_options_of_a_step_and_what_is_in_it_are_replaced_together() -> None:
    other = editorial.replacing({edit: edit.with_(timeout=3.0), write: Says("other")})
    assert other.edges[0].source.policies.timeout == 3.0
    assert await trail(other) == ("other", "review", "safe", "publish")
    again = editorial.replacing({write: Says("other")}).replacing({
        edit: edit.with_(timeout=2.0)
    })
    assert again.edges[0].source.policies.timeout == 2.0
    assert await trail(again) == ("other", "review", "safe", "publish")


async def test_a_nested_flow_is_replaced_as_a_whole() -> None:
    @flow
    def short(*, done: Next) -> Wiring[Article]:
        return [publish.then(done)]

    assert await trail(editorial.replacing({edit: short})) == ("publish", "safe", "publish")
    assert str(refused({edit: short, write: Says("w")})) == (
        "flow 'editorial': step 'write' is not in flow 'editorial': it has edit, safe, publish"
    )


async def test_a_step_may_stand_for_its_node() -> None:
    @step(timeout=1.0)
    async def fake(article: Article) -> None:
        article.trail += ("fake",)

    other = editorial.replacing({publish: fake, write: fake})
    assert await trail(other) == ("fake", "review", "safe", "fake")
    assert other.edges[2].source.name == "publish"
    assert other.edges[2].source.policies.timeout is None


async def test_a_step_of_a_flow_within_another_state_is_replaced() -> None:
    @attrs.define
    class Desk:
        article: Article

    def put(desk: Desk, article: Article) -> None:
        desk.article = article

    at_desk: Step[Desk, ...] = Step(editing.within(lambda desk: desk.article, put))

    @flow
    def desk() -> Wiring[Desk]:
        return [at_desk.to(done=END)]

    other = desk.replacing({write: Says("w")})
    assert (await other.run(Desk(Article()))).state == Desk(Article(("w", "review")))
    assert (await desk.run(Desk(Article()))).state == Desk(Article(("write", "review")))


async def test_exits_are_matched_by_name_not_by_order() -> None:
    gone: list[int] = []

    class Once(Reversed):
        async def post(  # type: ignore[override]
            self, shared: Article, prepared: str, word: str, *, bad: Next, good: Next
        ) -> Next:
            gone.append(1)
            return bad if len(gone) == 1 else good

    other = editing.replacing({review: Once("")})
    result = await other.run(Article())
    assert (result.state.trail, result.exit) == (("write", "write"), "done")


async def test_a_replaced_flow_can_be_replaced_in_again() -> None:
    once = editorial.replacing({publish: Says("p")})
    twice = once.replacing({once.edges[2].source: Says("q"), write: Says("w")})
    assert await trail(twice) == ("w", "review", "safe", "q")


# ---------------------------------------------------------------- in shapes


@attrs.define
class Shelf:
    articles: tuple[Article, ...] = ()
    done: tuple[Article, ...] = ()


def split(shelf: Shelf) -> Sequence[Article]:
    return shelf.articles


def join(shelf: Shelf, articles: Sequence[Article]) -> None:
    shelf.done = tuple(articles)


@flow
def small() -> Wiring[Article]:
    return [write.then(END)]


per_item: Step[Shelf, []] = Step(each(small.over(split, join), concurrent=2), name="per_item")


@flow
def shelving() -> Wiring[Shelf]:
    return [per_item.then(END)]


never = publish.when(lambda _: False)
small_step = Step(small, name="small")
both = Step(race(small_step, never), name="both")
wrapped = Step(parallel(both), name="wrapped")


@flow
def at_once() -> Wiring[Article]:
    return [wrapped.then(END)]


async def test_branches_and_what_is_in_them_are_replaced() -> None:
    assert await trail(at_once) == ("write",)
    other = at_once.replacing({write: Says("w")})
    assert await trail(other) == ("w",)
    assert await trail(other.replacing({write: Says("x")})) == ("x",)
    assert await trail(at_once.replacing({small_step: Says("s")})) == ("s",)
    assert await trail(at_once.replacing({both: Says("b")})) == ("b",)
    assert await trail(at_once) == ("write",)


async def test_a_branch_keeps_its_name_and_its_condition() -> None:
    for key in (publish, never):
        other = at_once.replacing({key: Says("p"), write: Says("w")})
        assert await trail(other) == ("w",)
        inner = other.start.branches[0].branches
        assert [one.name for one in inner] == ["small", "publish"]
        assert inner[1].condition is never.condition
        assert inner[1].node == Says("p")


async def test_branches_that_nothing_was_replaced_in_are_the_same_steps() -> None:
    other = editorial.replacing({write: Says("w")})
    assert at_once.replacing({}).edges[0] is at_once.edges[0]
    assert other.edges[0] is not editorial.edges[0]


async def test_a_step_of_a_flow_per_item_is_replaced() -> None:
    shelf = Shelf((Article(), Article(("old",))))
    other = shelving.replacing({write: Says("w")})
    result = await other.run(shelf)
    assert [one.trail for one in result.state.done] == [("w",), ("old", "w")]
    assert (await shelving.run(shelf)).state.done[0].trail == ("write",)
    again = other.replacing({write: Says("x")})
    assert (await again.run(shelf)).state.done[0].trail == ("x",)


def test_replacements_of_branches_are_checked_like_any() -> None:
    error = refused({never: Review(""), safe: Says("")}, at_once)
    assert [(problem.code, problem.step) for problem in error.problems] == [
        ("other_exits", "publish"),
        ("unknown_step", "safe"),
    ]


def test_a_step_that_is_not_in_the_flow() -> None:
    stray = write.with_(name="wrote")
    error = refused({stray: Says("")})
    assert error.problems[0].code == "unknown_step"
    assert error.problems[0].step == "wrote"
    assert str(error) == (
        "flow 'editorial': step 'wrote' is not in flow 'editorial': did you mean 'write'?"
    )


def test_another_step_of_the_same_name() -> None:
    assert str(refused({write.with_(): Says("")})) == (
        "flow 'editorial': step 'write' is not in flow 'editorial': "
        "it has another one of that name; name that very object"
    )


def test_a_step_given_by_name() -> None:
    error = refused({"write": Says("")})
    assert str(error) == (
        "flow 'editorial': 'write' is not a step: write replacing({step: node})"
    )
    assert (error.problems[0].code, error.problems[0].step) == ("unknown_step", "")


def test_a_replacement_with_other_exits() -> None:
    error = refused({review: Says(""), publish: Review("")})
    assert str(error) == (
        "flow 'editorial' has 2 problems:\n"
        "  1. the replacement of step 'review' has other exits: "
        "the step has good, bad, the node none\n"
        "  2. the replacement of step 'publish' has other exits: "
        "the step has none, the node good, bad"
    )
    assert [problem.code for problem in error.problems] == ["other_exits"] * 2


def test_a_replacement_that_is_no_node() -> None:
    error = refused({write: Says, publish: 3})
    assert [(problem.code, problem.step) for problem in error.problems] == [
        ("node_class", "write"),
        ("missing_phase", "publish"),
        ("missing_phase", "publish"),
        ("missing_phase", "publish"),
    ]


def test_a_replacement_that_has_no_use_for_the_fallback_of_the_step() -> None:
    error = refused({safe: publish})
    assert str(error) == (
        "flow 'editorial': a function has no result of exec for a fallback to replace: "
        "route its errors with .catch(...)"
    )
    assert error.problems[0].code == "no_fallback"


def test_all_mistakes_of_a_replacement_are_told_together() -> None:
    error = refused({write: Says, review: Says(""), write.with_(name="w"): Says("")})
    assert [problem.code for problem in error.problems] == [
        "node_class",
        "other_exits",
        "unknown_step",
    ]
