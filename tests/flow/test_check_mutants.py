"""Promises of the wiring check that only a changed line in its core broke: blame, hiding.

Mutation testing (docs/mutants.md) found lines that could be changed unnoticed; each test here
notices one of them.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    FlowDefinitionError,
    Next,
    Problem,
    Step,
    StepLimitError,
    flow,
    step,
)


@attrs.define
class Article:
    draft: str = ""


@step
async def write(article: Article) -> None: ...


def only(lines: Any) -> Problem:
    """The one mistake in these lines."""
    with pytest.raises(FlowDefinitionError) as caught:
        flow(name="editing")(lambda: lines)
    (problem,) = caught.value.problems
    return problem


# ---------------------------------------------------------------- whose mistake it is


@pytest.mark.parametrize(
    "lines", [None, [], write.then(END), "write"], ids=["none", "empty", "bare", "text"]
)
def test_a_wiring_without_lines_is_the_mistake_of_no_step(lines: object) -> None:
    problem = only(lines)
    assert (problem.code, problem.step) == ("no_lines", "")


@pytest.mark.parametrize(
    "kind", [StepLimitError, KeyboardInterrupt, "OSError"], ids=["limit", "exit", "text"]
)
def test_what_cannot_be_caught_is_the_mistake_of_the_step_that_catches_it(kind: Any) -> None:
    problem = only([write.then(END).catch(kind, to=END)])
    assert (problem.code, problem.step) == ("bad_catch", "write")


def test_catching_twice_is_the_mistake_of_the_step_that_does() -> None:
    problem = only([write.then(END).catch(OSError, to=END).catch(OSError, to=END)])
    assert (problem.code, problem.step) == ("hidden_catch", "write")


def test_a_bare_next_is_the_mistake_of_the_step_that_leads_to_it() -> None:
    problem = only([write.then(Next())])
    assert (problem.code, problem.step) == ("foreign_exit", "write")


def test_a_condition_of_a_step_that_is_no_branch_is_the_mistake_of_that_step() -> None:
    problem = only([write.when(lambda article: bool(article.draft)).then(END)])
    assert (problem.code, problem.step) == ("when_outside", "write")


# ---------------------------------------------------------------- what hides what


def test_a_catch_hides_all_later_ones_and_not_just_the_next() -> None:
    line = write.then(END).catch(OSError, to=END).catch(ValueError, to=END)
    assert only([line.catch(TimeoutError, to=END)]).sentence == (
        "step 'write' catches TimeoutError, but an earlier catch of OSError takes it"
    )


# ---------------------------------------------------------------- exits that are not keyword-only


def test_a_default_of_an_exit_is_seen_though_it_could_be_passed_by_position() -> None:
    async def polish(article: Article, short: Next = END) -> Next:
        return short

    class Lax:
        async def prep(self, shared: Article) -> None: ...

        async def exec(self, prepared: None) -> None: ...

        async def post(
            self, shared: Article, prepared: None, result: None, short: Next = END
        ) -> Next:
            return short

    for lax in (step(polish), Step(Lax())):
        route: Any = lax.to
        problem = only([route(short=END)])
        assert (problem.code, problem.step) == ("exit_default", lax.name)
