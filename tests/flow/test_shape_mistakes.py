"""parallel, race, each, batch, when and over refuse what makes no sense, all mistakes at once."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    Count,
    FlowDefinitionError,
    Next,
    Node,
    Share,
    Step,
    StepDefinitionError,
    Wiring,
    batch,
    each,
    flow,
    fold,
    parallel,
    race,
    step,
)


@attrs.define
class Article:
    notes: tuple[str, ...] = ()


@step
async def web(article: Article) -> None: ...


@step
async def papers(article: Article) -> None: ...


@step
async def review(article: Article, *, good: Next, bad: Next) -> Next:
    return good


@step
async def strict(article: Article, *, bad: Next, good: Next) -> Next:
    return good


@step
async def other(article: Article, *, good: Next, worse: Next) -> Next:
    return good


@flow
def ending() -> Wiring[Article]:
    return [web.then(END)]


@flow
def editing(*, good: Next, bad: Next) -> Wiring[Article]:
    return [review.to(good=good, bad=bad)]


class Titles:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, title: str) -> str:
        return title

    async def post(
        self, shared: Article, titles: Sequence[str], same: Sequence[str]
    ) -> None: ...


# What checkers would refuse is made through these.
all_of: Any = parallel
first_of: Any = race
for_each: Any = each
in_parts: Any = batch
folded: Any = fold
make: Any = Step


def refused(define: Callable[[], object]) -> tuple[str, tuple[str, ...]]:
    """The text of the StepDefinitionError that *define* raises, and the codes of its problems."""
    with pytest.raises(StepDefinitionError) as caught:
        define()
    return str(caught.value), tuple(problem.code for problem in caught.value.problems)


# ---------------------------------------------------------------- branches


@pytest.mark.parametrize(("shape", "name"), [(all_of, "parallel"), (first_of, "race")])
def test_no_branches(shape: Any, name: str) -> None:
    said = f"step '{name}': {name} has no branches: write {name}(a, b)"
    assert refused(shape) == (said, ("no_branches",))


def test_a_branch_that_is_no_step() -> None:
    assert refused(lambda: all_of(web, ending, 3)) == (
        (
            "step 'parallel' has 2 problems:\n"
            f"  1. parallel takes steps, not {ending!r}: place it in a step: Step(...)\n"
            "  2. parallel takes steps, not 3: place it in a step: Step(...)"
        ),
        ("not_a_step", "not_a_step"),
    )


def test_branches_in_a_list() -> None:
    text, codes = refused(lambda: first_of([web, papers]))
    assert text.endswith(": write race(*branches)")
    assert codes == ("not_a_step",)


def test_a_branch_given_twice_and_two_of_one_name() -> None:
    assert refused(lambda: parallel(web, papers, web, papers.with_())) == (
        (
            "step 'parallel' has 2 problems:\n"
            "  1. parallel has step 'web' twice: "
            "give one of them a name of its own: .with_(name='web_2')\n"
            "  2. two branches of parallel are called 'papers': "
            "give one of them a name of its own: .with_(name='papers_2')"
        ),
        ("branch_twice", "duplicate_name"),
    )


def test_branches_with_exits_in_parallel() -> None:
    assert refused(lambda: all_of(web, review, Step(editing))) == (
        (
            "step 'parallel' has 2 problems:\n"
            "  1. branch 'review' has exits, which parallel cannot follow: "
            "wire it in a flow of its own that ends: review.to(good=END, bad=END)\n"
            "  2. branch 'editing' has exits, which parallel cannot follow: "
            "wire it in a flow of its own that ends: editing.to(good=END, bad=END)"
        ),
        ("branch_exits", "branch_exits"),
    )


def test_races_whose_exits_differ() -> None:
    assert refused(lambda: first_of(review, strict, other)) == (
        (
            "step 'race': the branches of a race have the same exits, "
            "but 'other' has 'good' and 'worse' and 'review' has 'good' and 'bad': "
            "wire one of them in a flow of its own that has the exits of the other"
        ),
        ("race_exits",),
    )
    text, _ = refused(lambda: first_of(web, review))
    assert "but 'review' has 'good' and 'bad' and 'web' has none:" in text


def test_races_with_the_same_exits_in_another_order_are_fine() -> None:
    assert Step(race(review, strict)).exits == ("good", "bad")


def test_a_branch_whose_exit_has_a_default_is_told_by_the_flow() -> None:
    @step
    async def lax(article: Article, *, good: Next = END, bad: Next) -> Next:
        return good

    class Lax(Titles):
        async def post(  # type: ignore[override]
            self,
            shared: Article,
            titles: Sequence[str],
            same: Sequence[str],
            *,
            full: Next = END,
        ) -> Next:
            return full

    opinions: Any = Step(first_of(review, lax), name="opinions")
    items: Any = Step(for_each(Lax(), concurrent=1), name="items")
    with pytest.raises(FlowDefinitionError) as caught:

        @flow
        def row() -> Wiring[Article]:
            return [opinions.to(good=items, bad=END), items.to(full=END)]

    assert [(one.code, one.step) for one in caught.value.problems] == [
        ("exit_default", "opinions"),
        ("exit_default", "items"),
    ]


# ---------------------------------------------------------------- when


async def later(article: Article) -> bool:
    return True


def generate(*_: object) -> Any:
    yield True


@pytest.mark.parametrize("predicate", [later, generate, True, functools.partial(later)])
def test_a_condition_that_is_no_plain_function(predicate: Any) -> None:
    assert refused(lambda: web.when(predicate)) == (
        (
            f"step 'web': when must be a plain function, not {predicate!r}: "
            "what has to wait is a step of its own"
        ),
        ("not_a_function",),
    )


def test_a_condition_that_does_not_take_the_state() -> None:
    wrong: Any = lambda: True  # noqa: E731 - it takes nothing
    text = "step 'web': when must take 1 positional argument"
    assert refused(lambda: web.when(wrong)) == (text, ("bad_signature",))


def test_a_condition_outside_of_parallel_and_race() -> None:
    sometimes = web.when(lambda article: bool(article.notes))
    with pytest.raises(FlowDefinitionError) as caught:

        @flow
        def row() -> Wiring[Article]:
            return [sometimes.then(papers), papers.then(END)]

    assert str(caught.value) == (
        "flow 'row': step 'web' has a when(...), but is no branch of parallel or race: "
        "let the step before it decide with an exit"
    )
    assert caught.value.problems[0].code == "when_outside"


async def test_a_step_with_a_condition_runs_alone_whatever_it_says() -> None:
    assert (await web.when(lambda _: False).run(Article())).steps == 1


# ---------------------------------------------------------------- each and batch


def test_a_node_without_phases_and_wrong_numbers_are_told_together() -> None:
    text, codes = refused(lambda: in_parts(3, size=0, concurrent=True, tolerate=0.05))
    assert codes == (
        "missing_phase",
        "missing_phase",
        "missing_phase",
        "bad_number",
        "bad_number",
        "bad_tolerance",
    )
    assert text.endswith(
        "  4. batch: size must be a whole number >= 1, not 0\n"
        "  5. batch: concurrent must be a whole number >= 1, not True\n"
        "  6. batch: tolerate must be a Count or a Share, not 0.05: write tolerate=Share(0.05)"
    )


def test_a_tolerance_that_is_a_number() -> None:
    text = "step 'titles': each: tolerate must be a Count or a Share, not {}: write tolerate={}"
    codes = ("bad_tolerance",)
    for given, hint in ((3, "Count(3)"), (0.5, "Share(0.05)"), (True, "Share(0.05)")):
        wrong = functools.partial(for_each, Titles(), concurrent=1, tolerate=given)
        assert refused(wrong) == (text.format(given, hint), codes)
    for fine in (Count(3), Share(0.5)):
        for_each(Titles(), concurrent=1, tolerate=fine)


def test_a_fold_that_is_none() -> None:
    assert refused(lambda: for_each(Titles(), concurrent=1, into=(int, operator.add))) == (
        (
            f"step 'titles': each: into must be a Fold, not {(int, operator.add)!r}: "
            "write into=fold(start, add)"
        ),
        ("bad_fold",),
    )


def test_functions_of_a_fold() -> None:
    async def add(total: int, title: str) -> int:
        return total

    into = folded(3, add, order="complete")
    text, codes = refused(lambda: for_each(Titles(), concurrent=1, into=into))
    assert codes == ("not_a_function", "not_a_function", "bad_fold")
    assert "1. start of the fold must be a plain function, not 3:" in text
    assert "2. add of the fold must be a plain function, not <function" in text
    assert text.endswith(
        "3. each: order of the fold must be 'input' or 'completion', not 'complete'"
    )
    into = folded(lambda _: 0, int.__neg__)
    assert refused(lambda: for_each(Titles(), concurrent=1, into=into)) == (
        (
            "step 'titles' has 2 problems:\n"
            "  1. start of the fold must take no arguments\n"
            "  2. add of the fold must take 2 positional arguments"
        ),
        ("bad_signature", "bad_signature"),
    )
    for start in (int, float, list, dict, lambda: 0):
        for_each(Titles(), concurrent=1, into=folded(start, operator.add))


def test_the_orders_of_a_fold() -> None:
    for order in ("input", "completion"):
        for_each(Titles(), concurrent=1, into=folded(int, operator.add, order=order))


@pytest.mark.parametrize(
    ("define", "steps"),
    [
        (all_of, [""]),
        (lambda: all_of(web, 3), [""]),
        (lambda: parallel(web, papers, web, papers.with_()), ["web", "papers"]),
        (lambda: all_of(web, review, Step(editing)), ["review", "editing"]),
        (lambda: first_of(review, strict, other), ["other"]),
        (lambda: in_parts(ending.over(split, join), size=2, concurrent=1), ["ending"]),
        (lambda: for_each(parallel(web), concurrent=1), ["parallel"]),
        (lambda: for_each(Titles, concurrent=1), ["titles"]),
        (lambda: for_each(Titles(), concurrent=0, tolerate=3, into=4), ["titles"] * 3),
        (
            lambda: for_each(Titles(), concurrent=1, into=folded(3, 4, order="none")),
            ["titles"] * 3,
        ),
    ],
)
def test_every_mistake_tells_the_step_it_is_about(
    define: Callable[[], object], steps: Sequence[str]
) -> None:
    with pytest.raises(StepDefinitionError) as caught:
        define()
    assert [problem.step for problem in caught.value.problems] == steps


def test_an_exec_that_is_not_async() -> None:
    class Sync(Titles):
        def exec(self, title: str) -> str:  # type: ignore[override]
            return title

    text = "step 'sync': exec of Sync is not async: write 'async def exec'"
    assert refused(lambda: for_each(Sync(), concurrent=1)) == (text, ("sync_phase",))


def test_a_prep_that_yields_items() -> None:
    class Lines(Titles):
        async def prep(self, shared: Article) -> AsyncIterator[str]:  # type: ignore[override]
            yield "line"

    assert refused(lambda: for_each(Lines(), concurrent=1, into=fold(int, operator.add))) == (
        (
            "step 'lines': prep of Lines is a generator: put what yields in a method of its own "
            "and write 'async def prep(self, ...): return self.items(...)', with into=fold(...)"
        ),
        ("generator_phase",),
    )


def test_what_is_no_node_of_items() -> None:
    assert refused(lambda: for_each(Titles, concurrent=1)) == (
        "step 'titles': Titles is a class, not a node: write each(Name(...), ...)",
        ("node_class",),
    )
    assert refused(lambda: for_each(web, concurrent=1)) == (
        (
            "step 'step': 'web' is a step already: "
            "give each the node, and Step(...) what each returns"
        ),
        ("step_of_step",),
    )

    class Dull(Node[Article, Any, Any, ...]): ...

    _, codes = refused(lambda: for_each(Dull(), concurrent=1))  # type: ignore[abstract]
    assert codes == ("inherits_node",)


def test_a_flow_or_a_shape_as_the_node_of_items() -> None:
    assert refused(lambda: for_each(ending, concurrent=1)) == (
        (
            "step 'ending': each cannot give items to 'ending', which works on a whole state: "
            "write each(ending.over(split, join), concurrent=8)"
        ),
        ("no_item_node",),
    )
    text, _ = refused(lambda: in_parts(parallel(web, papers), size=3))
    assert text == (
        "step 'parallel': batch cannot give items to 'parallel', which works on a whole state: "
        "give it to a flow, and write each(that_flow.over(split, join), concurrent=8)"
    )


# ---------------------------------------------------------------- over


def split(article: Article) -> list[Article]:
    return [article]


def join(article: Article, articles: Sequence[Article]) -> None: ...


def refused_flow(define: Callable[[], object]) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(FlowDefinitionError) as caught:
        define()
    return str(caught.value), tuple(problem.code for problem in caught.value.problems)


def test_functions_of_over_and_exits_of_its_flow_are_told_together() -> None:
    made: Any = editing
    text, codes = refused_flow(lambda: made.over(later, generate))
    assert codes == ("not_a_function", "not_a_function", "item_exits")
    assert "1. split must be a plain function, not <function later" in text
    assert "2. join must be a plain function, not <function generate" in text
    assert text.endswith(
        "3. flow 'editing' has exits, which each cannot follow for every item: "
        "wire it in a flow of its own that ends: Step(editing).to(good=END, bad=END)"
    )


def test_functions_of_over_take_what_they_are_given() -> None:
    made: Any = ending

    def no_items() -> Any:
        yield 1

    assert refused_flow(lambda: made.over(join, split)) == (
        (
            "flow 'ending' has 2 problems:\n"
            "  1. split must take 1 positional argument\n"
            "  2. join must take 2 positional arguments"
        ),
        ("bad_signature", "bad_signature"),
    )
    text = "flow 'ending': split must take 1 positional argument"
    assert refused_flow(lambda: made.over(no_items, join)) == (text, ("bad_signature",))
    made.over(generate, join)


def test_a_flow_per_item_outside_of_each() -> None:
    over = ending.over(split, join)
    assert refused(lambda: make(over)) == (
        (
            "step 'ending': ending.over(...) is for the items of each: "
            "write Step(each(ending.over(...), concurrent=8))"
        ),
        ("not_each",),
    )
    assert refused(lambda: in_parts(over, size=3)) == (
        (
            "step 'ending': a flow is run for one item at a time: "
            "write each(ending.over(...), concurrent=8)"
        ),
        ("flow_batch",),
    )


def test_a_flow_per_item_is_called_like_its_flow() -> None:
    assert Step(each(ending.over(split, join), concurrent=1)).name == "ending"


def test_within_takes_functions_of_one_and_of_two_states() -> None:
    made: Any = ending
    assert refused_flow(lambda: made.within(join, generate)) == (
        (
            "flow 'ending' has 2 problems:\n"
            "  1. enter must take 1 positional argument\n"
            f"  2. leave must be a plain function, not {generate!r}: "
            "what has to wait is a step of its own"
        ),
        ("bad_signature", "not_a_function"),
    )
