"""Every mistake in a wiring is found where the flow is defined, with the step, a sentence and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    Exit,
    FlowDefinitionError,
    Next,
    Problem,
    Step,
    StepDefinitionError,
    StepLimitError,
    Wiring,
    flow,
    step,
)


@attrs.define
class Article:
    draft: str = ""


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)

    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next, rejected: Next
    ) -> Next:
        return approved if good else rejected


@step
async def write(article: Article) -> None: ...


@step
async def archive(article: Article) -> None: ...


review = Step(Review())


def mistakes(*lines: Any) -> FlowDefinitionError:
    """What defining a flow without exits of *lines* raises."""

    def wiring() -> Sequence[Any]:
        return lines

    return refused(wiring)


def refused(wiring: Any, name: str = "editing") -> FlowDefinitionError:
    with pytest.raises(FlowDefinitionError) as caught:
        flow(name=name)(wiring)
    return caught.value


def only(error: FlowDefinitionError | StepDefinitionError) -> Problem:
    (problem,) = error.problems
    return problem


def test_a_wiring_that_forgets_to_return() -> None:
    error = refused(lambda: None)
    assert str(error) == "flow 'editing': editing returned None: return the list of its lines"
    assert only(error).code == "no_lines"
    assert only(error).step == ""


def test_a_wiring_without_lines() -> None:
    def wiring() -> Wiring[Article]:
        return []

    error = refused(wiring)
    assert str(error) == (
        "flow 'editing': editing has no lines: write at least 'return [first.then(END)]'"
    )
    assert only(error).code == "no_lines"


def test_a_wiring_that_returns_its_one_line_bare() -> None:
    error = refused(lambda: write.then(END))
    assert str(error) == (
        "flow 'editing': editing returned one line, not a list: put it in brackets: return [...]"
    )
    assert only(error).code == "no_lines"


@pytest.mark.parametrize("lines", ["write", {"write": END}, 3])
def test_a_wiring_that_returns_something_else(lines: object) -> None:
    error = refused(lambda: lines)
    assert str(error) == (
        f"flow 'editing': editing returned {lines!r}: return the list of its lines"
    )
    assert only(error).code == "no_lines"


def test_a_step_that_stands_alone() -> None:
    error = mistakes(write, archive.then(END))
    assert str(error) == (
        "flow 'editing': step 'write' stands alone and does not say what follows it: "
        "write write.then(...)"
    )
    assert only(error).code == "not_a_line"
    assert only(error).step == "write"


def test_a_branching_step_that_stands_alone_may_be_a_target_and_is_told_once() -> None:
    error = mistakes(write.then(review), review)
    assert str(error) == (
        "flow 'editing': step 'review' stands alone and does not say what follows it: "
        "write review.to(approved=..., rejected=...)"
    )


def test_a_line_that_is_none() -> None:
    error = mistakes(write.then(END), "archive")
    assert str(error) == (
        "flow 'editing': 'archive' is not a line of wiring: "
        "a line is step.then(...) or step.to(...)"
    )
    assert only(error).code == "not_a_line"
    assert only(error).step == ""


def test_a_step_with_two_lines() -> None:
    error = mistakes(write.then(archive), archive.then(END), write.then(END))
    assert str(error) == (
        "flow 'editing': step 'write' has two lines: write one line for each step"
    )
    assert only(error).code == "wired_twice"
    assert only(error).step == "write"


def test_the_targets_of_both_lines_of_a_step_count_as_reached() -> None:
    error = mistakes(
        write.then(archive),
        write.then(review),
        archive.then(END),
        *[review.to(approved=END, rejected=END)],
    )
    assert [problem.code for problem in error.problems] == ["wired_twice"]


def test_two_steps_of_one_name() -> None:
    again = write.with_(timeout=3.0)
    error = mistakes(write.then(again), again.then(END))
    assert str(error) == (
        "flow 'editing': two different steps are called 'write': "
        "give one of them a name of its own: .with_(name='write_2')"
    )
    assert only(error).code == "duplicate_name"
    assert only(error).step == "write"


def test_a_branching_step_with_then() -> None:
    line = Step(Review()).then(END)  # type: ignore[misc]
    error = mistakes(line)
    assert str(error) == (
        "flow 'editing': step 'review' branches, so 'then' is not enough: "
        "write review.to(approved=..., rejected=...)"
    )
    assert only(error).code == "exit_unrouted"
    assert only(error).step == "review"


def test_a_step_without_exits_that_leads_nowhere() -> None:
    error = mistakes(write.to())
    assert str(error) == ("flow 'editing': step 'write' leads nowhere: write write.then(...)")
    assert only(error).code == "no_target"
    assert only(error).step == "write"


def test_an_exit_that_leads_nowhere() -> None:
    error = mistakes(review.to(approved=END))  # type: ignore[call-arg]
    assert str(error) == (
        "flow 'editing': exit 'rejected' of step 'review' leads nowhere: add rejected=..."
    )
    assert only(error).code == "exit_unrouted"
    assert only(error).step == "review"


def test_a_misspelt_exit() -> None:
    error = mistakes(
        review.to(approved=END, rejected=END, aproved=END)  # type: ignore[call-arg]
    )
    assert str(error) == (
        "flow 'editing': step 'review' has no exit 'aproved': did you mean 'approved'?"
    )
    assert only(error).code == "unknown_exit"
    assert only(error).step == "review"


def test_an_exit_that_looks_like_none_of_them() -> None:
    error = mistakes(review.to(approved=END, rejected=END, zzz=END))  # type: ignore[call-arg]
    assert str(error) == (
        "flow 'editing': step 'review' has no exit 'zzz': "
        "it has approved, rejected: write review.to(approved=..., rejected=...)"
    )


def test_an_exit_of_a_step_without() -> None:
    error = mistakes(write.to(done=END))  # type: ignore[call-arg]
    assert str(error) == (
        "flow 'editing': step 'write' has no exit 'done': it has none: write write.then(...)"
    )
    assert only(error).code == "unknown_exit"


def test_a_route_of_a_defaulted_exit_could_be_left_out() -> None:
    class Lax(Review):
        async def post(
            self,
            shared: Article,
            draft: str,
            good: bool,
            *,
            approved: Next,
            rejected: Next = END,
        ) -> Next:
            return approved

    lax = Step(Lax())
    expected = (
        "flow 'editing': exit 'rejected' of step 'lax' has a default, "
        "so its route could be left out: write '*, rejected: Next'"
    )
    for line in (lax.to(approved=END), lax.to(approved=END, rejected=END)):
        error = mistakes(line)
        assert str(error) == expected
        assert only(error).code == "exit_default"
        assert only(error).step == "lax"


def test_a_defaulted_exit_of_a_function_step() -> None:
    @step
    async def lax(article: Article, *, long: Next, short: Next = END) -> Next:
        return long

    error = mistakes(lax.to(long=END))
    assert str(error) == (
        "flow 'editing': exit 'short' of step 'lax' has a default, "
        "so its route could be left out: write '*, short: Next'"
    )


def test_a_defaulted_exit_of_the_flow() -> None:
    def wiring(*, done: Next = END) -> Wiring[Article]:
        return [write.then(done)]

    error = refused(wiring)
    assert str(error) == (
        "flow 'editing': exit 'done' of flow 'editing' has a default: write '*, done: Next'"
    )
    assert only(error).code == "exit_default"
    assert only(error).step == ""


def test_a_target_without_a_line_is_told_once_for_each_line() -> None:
    error = mistakes(review.to(approved=archive, rejected=archive))
    assert str(error) == (
        "flow 'editing': step 'review' leads to 'archive', which has no line of its own: "
        "add archive.then(...)"
    )
    assert only(error).code == "no_line"
    assert only(error).step == "review"


def test_a_target_without_a_line_that_looks_like_one_with() -> None:
    error = mistakes(write.then(archive.with_(name="wrote")))
    assert str(error) == (
        "flow 'editing': step 'write' leads to 'wrote', which has no line of its own: "
        "did you mean 'write'?"
    )


def test_a_target_that_only_has_the_name_of_a_step_with_a_line() -> None:
    error = mistakes(write.then(archive.with_(timeout=3.0)), archive.then(END))
    assert str(error) == (
        "flow 'editing' has 2 problems:\n"
        "  1. step 'write' leads to 'archive', which has no line of its own: "
        "the line is another step's of that name; name that very object\n"
        "  2. step 'archive' is never reached from 'write': "
        "lead a step to it, or remove its line"
    )
    assert [problem.code for problem in error.problems] == ["no_line", "unreachable"]


def test_end_in_a_flow_with_exits() -> None:
    def wiring(*, published: Next, abandoned: Next) -> Wiring[Article]:
        return [
            review.to(approved=published, rejected=write),
            write.then(END).catch(ValueError, to=abandoned),
        ]

    error = refused(wiring)
    assert str(error) == (
        "flow 'editing': step 'write' leads to END, but this flow has exits: "
        "lead it to published or abandoned"
    )
    assert only(error).code == "end_with_exits"
    assert only(error).step == "write"


def test_an_exit_of_another_flow() -> None:
    error = mistakes(write.then(Exit("published")))
    assert str(error) == (
        "flow 'editing': step 'write' leads to 'published', an exit of another flow or step: "
        "name it as a parameter of this flow"
    )
    assert only(error).code == "foreign_exit"
    assert only(error).step == "write"


def test_a_bare_next() -> None:
    error = mistakes(write.then(Next()))
    assert str(error) == (
        "flow 'editing': step 'write' leads to a bare Next(): "
        "name a step, an exit of this flow, or END"
    )
    assert only(error).code == "foreign_exit"


def test_a_target_by_name() -> None:
    error = mistakes(write.then("archive"), archive.then(END))  # type: ignore[arg-type]
    assert error.problems[0] == Problem(
        "not_a_target",
        "write",
        "step 'write' leads to 'archive', which is not a step",
        "did you mean 'archive'?",
    )
    error = mistakes(write.then(3))  # type: ignore[arg-type]
    assert str(error) == (
        "flow 'editing': step 'write' leads to 3, which is not a step: name the step itself"
    )


def test_a_target_that_cannot_be_hashed() -> None:
    error = mistakes(write.then([archive]), archive.then(END))  # type: ignore[arg-type]
    assert [problem.code for problem in error.problems] == ["not_a_target", "unreachable"]


def test_the_target_of_a_catch_is_a_target() -> None:
    error = mistakes(write.then(END).catch(ValueError, to=archive))
    assert str(error) == (
        "flow 'editing': step 'write' leads to 'archive', which has no line of its own: "
        "add archive.then(...)"
    )


def test_a_step_that_nothing_leads_to() -> None:
    error = mistakes(write.then(END), archive.then(END))
    assert str(error) == (
        "flow 'editing': step 'archive' is never reached from 'write': "
        "lead a step to it, or remove its line"
    )
    assert only(error).code == "unreachable"
    assert only(error).step == "archive"


def test_steps_that_lead_only_to_each_other() -> None:
    error = mistakes(
        write.then(review), review.to(approved=archive, rejected=write), archive.then(review)
    )
    assert str(error) == (
        "flow 'editing': steps 'write', 'review' and 'archive' lead only to each other: "
        "lead one of them to an exit or END"
    )
    assert only(error).code == "no_way_out"
    assert only(error).step == "write"


def test_a_step_that_leads_only_to_itself_is_told_without_those_that_lead_there() -> None:
    error = mistakes(write.then(archive), archive.then(archive))
    assert str(error) == (
        "flow 'editing': step 'archive' leads only to itself: lead it to an exit or END"
    )
    assert only(error).code == "no_way_out"


def test_every_loop_without_a_way_out_is_told() -> None:
    one, two, three = (write.with_(name=name) for name in ("one", "two", "three"))
    error = mistakes(
        review.to(approved=one, rejected=three), one.then(two), two.then(one), three.then(three)
    )
    assert [problem.sentence for problem in error.problems] == [
        "steps 'one' and 'two' lead only to each other",
        "step 'three' leads only to itself",
    ]


def test_a_loop_may_be_left_by_an_error_only() -> None:
    @flow
    def serve() -> Wiring[Article]:
        return [write.then(archive).catch(EOFError, to=END), archive.then(write)]

    assert serve.start is write


def test_a_step_whose_exit_is_unrouted_is_not_also_stuck() -> None:
    error = mistakes(write.then(review), review.to(rejected=write))  # type: ignore[call-arg]
    assert [problem.code for problem in error.problems] == ["exit_unrouted"]


def test_an_exit_that_is_never_taken() -> None:
    def wiring(*, published: Next, abandoned: Next) -> Wiring[Article]:
        return [write.then(published)]

    error = refused(wiring)
    assert str(error) == (
        "flow 'editing': exit 'abandoned' is never taken: "
        "lead a step to it, or remove the parameter"
    )
    assert only(error).code == "exit_unused"
    assert only(error).step == ""


def test_a_narrower_catch_behind_a_wider_one() -> None:
    error = mistakes(
        write.then(END).catch(OSError, to=END).catch(ValueError, TimeoutError, to=END)
    )
    assert str(error) == (
        "flow 'editing': step 'write' catches TimeoutError, "
        "but an earlier catch of OSError takes it: put the narrower catch first"
    )
    assert only(error).code == "hidden_catch"
    assert only(error).step == "write"


def test_the_same_catch_twice() -> None:
    error = mistakes(write.then(END).catch(OSError, to=END).catch(OSError, to=END))
    assert str(error) == (
        "flow 'editing': step 'write' catches OSError twice: only the first can take it; keep one"
    )
    assert only(error).code == "hidden_catch"


def test_a_catch_of_what_is_no_exception() -> None:
    error = mistakes(write.then(END).catch(KeyboardInterrupt, to=END))  # type: ignore[arg-type]
    assert str(error) == (
        "flow 'editing': step 'write' catches KeyboardInterrupt, which is no Exception: "
        "cancellation and what ends the program are never caught; name classes of Exception"
    )
    assert only(error).code == "bad_catch"
    assert only(error).step == "write"


@pytest.mark.parametrize("kind", ["OSError", ValueError("x"), (OSError, ValueError)])
def test_a_catch_of_what_is_no_class(kind: Any) -> None:
    error = mistakes(write.then(END).catch(kind, to=END))
    assert str(error) == (
        f"flow 'editing': step 'write' catches {kind!r}, which is no class: "
        "name classes of Exception: catch(TimeoutError, OSError, to=...)"
    )
    assert only(error).code == "bad_catch"


def test_a_catch_of_the_step_limit() -> None:
    error = mistakes(write.then(END).catch(StepLimitError, to=END))
    assert str(error) == (
        "flow 'editing': step 'write' catches StepLimitError, which ends the run: "
        "set max_visits on a step to route a loop that goes on too long"
    )
    assert only(error).code == "bad_catch"


# ---------------------------------------------------------------- @flow itself


def test_flow_over_a_class() -> None:
    error = refused(Review)
    assert str(error) == (
        f"flow 'editing': {Review!r} is not a wiring function: "
        "@flow goes over 'def name(*, done: Next) -> Wiring[State]: return [...]'"
    )
    assert only(error).code == "not_a_function"


def test_flow_over_an_async_function_or_a_generator() -> None:
    async def coroutine() -> None: ...

    def generator() -> Any:
        yield write.then(END)

    async def both() -> Any:
        yield write.then(END)

    for wiring in (coroutine, generator, both):
        error = refused(wiring)
        assert str(error) == (
            "flow 'editing': editing must be a plain function that returns its lines: "
            "@flow goes over 'def name(*, done: Next) -> Wiring[State]: return [...]'"
        )
        assert only(error).code == "not_a_function"


def test_flow_over_a_function_whose_parameters_are_not_exits() -> None:
    def wiring(*exits: Next) -> Wiring[Article]:
        return [write.then(exits[0])]

    error = refused(wiring)
    assert only(error).code == "bad_signature"
    assert str(error) == (
        "flow 'editing': editing takes '*exits': name each exit as a keyword-only parameter; "
        "let decorators use functools.wraps"
    )


def test_flow_with_a_name_that_cannot_stand_in_a_path() -> None:
    error = refused(lambda: [write.then(END)], name="a/b")
    assert str(error) == (
        "flow 'a/b': a flow cannot be called 'a/b': "
        "a name is text without / # @ [ ] and without spaces at its ends"
    )
    assert only(error).code == "bad_name"
    assert only(error).step == ""


def test_flow_with_a_state_that_is_no_attrs_class() -> None:
    define: Any = flow
    with pytest.raises(FlowDefinitionError) as caught:
        define(state=dict)(lambda: [write.then(END)])
    assert str(caught.value) == (
        "flow '<lambda>': state=<class 'dict'> is no attrs class: "
        "name the class, defined with @attrs.define"
    )
    assert only(caught.value).code == "bad_state"


# ---------------------------------------------------------------- together


def test_five_mistakes_are_five_problems() -> None:
    @step
    async def polish(article: Article) -> None: ...

    def wiring(*, published: Next, abandoned: Next) -> Wiring[Article]:
        return [
            write.then(review),
            review.to(approved=published, rejected=write, aproved=archive),  # type: ignore[call-arg]
            archive.then(END),
            polish.then(published),
            write.then(published),
        ]

    error = refused(wiring)
    assert error.name == "editing"
    assert [(problem.code, problem.step) for problem in error.problems] == [
        ("wired_twice", "write"),
        ("unknown_exit", "review"),
        ("end_with_exits", "archive"),
        ("unreachable", "polish"),
        ("exit_unused", ""),
    ]
    assert str(error) == (
        "flow 'editing' has 5 problems:\n"
        "  1. step 'write' has two lines: write one line for each step\n"
        "  2. step 'review' has no exit 'aproved': did you mean 'approved'?\n"
        "  3. step 'archive' leads to END, but this flow has exits: "
        "lead it to published or abandoned\n"
        "  4. step 'polish' is never reached from 'write': "
        "lead a step to it, or remove its line\n"
        "  5. exit 'abandoned' is never taken: lead a step to it, or remove the parameter"
    )


def test_an_error_in_the_wiring_function_itself_passes() -> None:
    with pytest.raises(ZeroDivisionError):
        flow(broken)


def broken() -> Wiring[Article]:
    return [write.then(END)] * (1 // 0)
