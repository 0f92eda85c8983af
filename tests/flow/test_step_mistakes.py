"""Step and @step refuse what is no node and what makes no sense, all mistakes at once."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    Fallback,
    Next,
    Node,
    Resource,
    Step,
    StepDefinitionError,
    Wiring,
    flow,
    step,
)


@attrs.define
class Article:
    draft: str = ""


class Write:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> str:
        return draft

    async def post(self, shared: Article, draft: str, text: str) -> None: ...


class Review(Write):
    async def post(  # type: ignore[override]
        self, shared: Article, draft: str, text: str, *, good: Next, bad: Next
    ) -> Next:
        return good


@step
async def archive(article: Article) -> None: ...


@flow
def archiving() -> Wiring[Article]:
    return [archive.then(END)]


# What checkers would refuse is made through these.
make: Any = Step
over: Any = step


def refused(define: Callable[[], object]) -> tuple[str, tuple[str, ...]]:
    """The text of the StepDefinitionError that *define* raises, and the codes of its problems."""
    with pytest.raises(StepDefinitionError) as caught:
        define()
    return str(caught.value), tuple(problem.code for problem in caught.value.problems)


def test_an_object_without_phases() -> None:
    assert refused(lambda: make(3)) == (
        (
            "step 'int' has 3 problems:\n"
            "  1. int has no prep: write 'async def prep(self, ...)'\n"
            "  2. int has no exec: write 'async def exec(self, ...)'\n"
            "  3. int has no post: write 'async def post(self, ...)'"
        ),
        ("missing_phase",) * 3,
    )


def test_a_phase_that_is_not_a_method() -> None:
    class Odd(Write):
        exec = None  # type: ignore[assignment]

    assert refused(lambda: make(Odd())) == (
        "step 'odd': Odd has no exec: write 'async def exec(self, ...)'",
        ("missing_phase",),
    )


def test_a_phase_that_is_not_async() -> None:
    class Sync(Write):
        def exec(self, draft: str) -> str:  # type: ignore[override]
            return draft

    assert refused(lambda: make(Sync())) == (
        "step 'sync': exec of Sync is not async: write 'async def exec'",
        ("sync_phase",),
    )


def test_a_phase_that_yields() -> None:
    class Yields(Write):
        async def prep(self, shared: Article) -> AsyncIterator[str]:  # type: ignore[override]
            yield ""

        def exec(self, draft: str) -> Any:
            yield draft

    assert refused(lambda: make(Yields())) == (
        (
            "step 'yields' has 2 problems:\n"
            "  1. prep of Yields is a generator: let it return instead of yield\n"
            "  2. exec of Yields is a generator: let it return instead of yield"
        ),
        ("generator_phase", "generator_phase"),
    )


def test_phases_that_do_not_take_what_they_are_given() -> None:
    class Off:
        async def prep(self) -> None: ...

        async def exec(self, prepared: None, retries: int) -> None: ...

        async def post(self, shared: Article) -> None: ...

    assert refused(lambda: make(Off())) == (
        (
            "step 'off' has 3 problems:\n"
            "  1. prep of Off does not take 1 positional argument\n"
            "  2. exec of Off takes 'retries', which nothing will pass\n"
            "  3. post of Off does not take 3 positional arguments"
        ),
        ("bad_signature",) * 3,
    )


def test_a_post_whose_exits_have_no_names() -> None:
    class Loose(Write):
        async def post(self, *args: object, **exits: Next) -> Next:  # type: ignore[override]
            return exits["good"]

    class Stars(Write):
        async def post(  # type: ignore[override]
            self, shared: Article, draft: str, text: str, *exits: Next
        ) -> Next:
            return exits[0]

    class Nameless(Write):
        async def post(  # type: ignore[override]
            self, shared: Article, draft: str, text: str, good: Next, /
        ) -> Next:
            return good

    hint = "name each exit as a keyword-only parameter; let decorators use functools.wraps"
    for node, what in ((Loose(), "**exits"), (Stars(), "*exits"), (Nameless(), "good")):
        text, codes = refused(functools.partial(make, node))
        kind = type(node).__name__
        assert text == f"step '{kind.lower()}': post of {kind} takes {what!r}: {hint}"
        assert codes == ("bad_signature",)


def test_a_phase_whose_parameters_cannot_be_read() -> None:
    class Odd(Write):
        def __init__(self) -> None:
            self.exec = Unreadable()  # type: ignore[method-assign]

    class Unreadable:
        __signature__ = "odd"

        async def __call__(self, draft: str) -> str:
            return draft

    assert refused(lambda: make(Odd())) == (
        (
            "step 'odd': the parameters of exec of Odd cannot be read: "
            "wrap it in a function of your own"
        ),
        ("bad_signature",),
    )


def test_a_class_instead_of_a_node() -> None:
    assert refused(lambda: make(Write)) == (
        "step 'write': Write is a class, not a node: write Step(Write(...))",
        ("node_class",),
    )


def test_a_step_of_a_step() -> None:
    assert refused(lambda: make(archive)) == (
        (
            "step 'step': 'archive' is a step already: "
            "use it as it is, or make a copy .with_(name=...)"
        ),
        ("step_of_step",),
    )


def test_a_node_that_inherits_node() -> None:
    class Dull(Node[Article, str, str, ...]):
        async def prep(self, shared: Article, /) -> str:
            return ""

        async def exec(self, prepared: str, /) -> str:
            return ""

        async def post(self, shared: Article, prepared: str, result: str, /) -> None: ...

    assert refused(lambda: make(Dull())) == (
        (
            "step 'dull': Dull inherits Node, which hides its exits from type checkers: "
            "inherit Work[State, Prepared, Result] or nothing"
        ),
        ("inherits_node",),
    )


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "a#2", "a@2", "a[1]", "a\n", 3, None])
def test_a_name_that_cannot_stand_in_a_path(name: Any) -> None:
    expected = (
        (
            f"step {str(name)!r}: a step cannot be called {name!r}: "
            "a name is text without / # @ [ ] and without spaces at its ends"
        ),
        ("bad_name",),
    )
    assert refused(lambda: make(Write(), name=name)) == expected
    assert refused(lambda: archive.with_(name=name)) == expected
    assert refused(lambda: step(name=name)(_archive)) == expected


@pytest.mark.parametrize("name", ["a", "a b", "\u00e9t\u00e9", "a-b.c:d", "<lambda>"])
def test_names_that_can(name: str) -> None:
    assert Step(Write(), name=name).name == name


@pytest.mark.parametrize("seconds", [0, -1, 0.0, True, "3s", float("inf"), float("nan"), [1]])
@pytest.mark.parametrize("option", ["timeout", "idle_timeout"])
def test_a_time_limit_that_is_none(option: str, seconds: object) -> None:
    options: Any = {option: seconds}
    expected = (
        f"step 'archive': {option} must be a number of seconds > 0, not {seconds!r}",
        ("bad_policy",),
    )
    assert refused(lambda: make(Write(), name="archive", **options)) == expected
    assert refused(lambda: archive.with_(**options)) == expected
    assert refused(lambda: step(name="archive", **options)(_archive)) == expected


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "3"])
def test_a_number_of_visits_that_is_none(count: Any) -> None:
    assert refused(lambda: archive.with_(max_visits=count)) == (
        f"step 'archive': max_visits must be a whole number >= 1, not {count!r}",
        ("bad_policy",),
    )


@pytest.mark.parametrize("uses", [Resource("http", str), "http", ["http"], 3, None])
def test_resources_that_are_none(uses: Any) -> None:
    assert refused(lambda: archive.with_(uses=uses)) == (
        f"step 'archive': uses must be a tuple of Resources, not {uses!r}: write uses=(HTTP,)",
        ("bad_policy",),
    )


def test_a_version_that_is_no_text() -> None:
    version: Any = 3
    assert refused(lambda: archive.with_(version=version)) == (
        "step 'archive': version must be a str, not 3",
        ("bad_policy",),
    )


def test_a_fallback_that_is_a_bare_value() -> None:
    fallback: Any = "nothing"
    assert refused(lambda: make(Write(), fallback=fallback)) == (
        (
            "step 'write': fallback must be a Fallback, not 'nothing': "
            "write fallback=Fallback(value)"
        ),
        ("bad_policy",),
    )


def test_a_fallback_where_exec_has_no_result_of_its_own() -> None:
    fallback: Any = Fallback("nothing")
    options: Any = {"fallback": fallback}
    assert refused(lambda: make(archiving, fallback=fallback)) == (
        (
            "step 'archiving': a flow has no result of exec for a fallback to replace: "
            "route its errors with .catch(...)"
        ),
        ("no_fallback",),
    )
    assert refused(lambda: make(archive.node, fallback=fallback)) == (
        (
            "step 'archive': a function has no result of exec for a fallback to replace: "
            "route its errors with .catch(...)"
        ),
        ("no_fallback",),
    )
    reason = "a step no longer knows the type of its exec's result"
    expected = (
        (
            f"step 'archive': there is no option 'fallback': {reason}; "
            "write Step(node, fallback=...)"
        ),
        ("unknown_option",),
    )
    assert refused(lambda: archive.with_(**options)) == expected
    assert refused(lambda: step(name="archive", **options)(_archive)) == expected


def test_an_option_that_does_not_exist() -> None:
    near: Any = {"timout": 3.0}
    far: Any = {"zzz": 3}
    misspelt: Any = {"falback": None}
    names = "name, timeout, attempt_timeout, idle_timeout, retry, hedge, guards, max_visits, uses, version"
    assert refused(lambda: archive.with_(**near)) == (
        "step 'archive': there is no option 'timout': did you mean 'timeout'?",
        ("unknown_option",),
    )
    assert refused(lambda: archive.with_(**far)) == (
        f"step 'archive': there is no option 'zzz': there are {names}",
        ("unknown_option",),
    )
    assert refused(lambda: make(Write(), **far)) == (
        f"step 'write': there is no option 'zzz': there are {names}, fallback",
        ("unknown_option",),
    )
    assert refused(lambda: make(Write(), **misspelt)) == (
        "step 'write': there is no option 'falback': did you mean 'fallback'?",
        ("unknown_option",),
    )


def test_all_mistakes_of_a_step_are_told_together() -> None:
    options: Any = {"name": "a/b", "timeout": -1, "retries": 3}

    class Sync(Write):
        def exec(self, draft: str) -> str:  # type: ignore[override]
            return draft

    codes = ("bad_name", "bad_policy", "unknown_option", "sync_phase")
    assert refused(lambda: make(Sync(), **options))[1] == codes

    def sync(article: Article) -> None: ...

    assert refused(lambda: over(**options)(sync))[1] == codes
    assert refused(lambda: archive.with_(**options))[1] == codes[:3]


# ---------------------------------------------------------------- function steps


async def _archive(article: Article) -> None: ...


def test_step_over_a_function_that_is_not_async() -> None:
    def sync(article: Article) -> None: ...

    assert refused(lambda: over(sync)) == (
        "step 'sync': sync is not async: write 'async def sync'",
        ("sync_phase",),
    )


def test_step_over_an_async_generator() -> None:
    async def lines(article: Article) -> AsyncIterator[str]:
        yield ""

    assert refused(lambda: over(lines)) == (
        "step 'lines': lines is a generator: let it return instead of yield",
        ("generator_phase",),
    )


def test_step_over_a_function_that_does_not_take_the_state() -> None:
    async def nothing() -> None: ...

    assert refused(lambda: over(nothing)) == (
        "step 'nothing': nothing does not take 1 positional argument",
        ("bad_signature",),
    )


def test_step_over_something_else() -> None:
    not_a_function: Any = "archive"
    assert refused(lambda: over(not_a_function)) == (
        (
            "step 'str': 'archive' is not a function: "
            "@step goes over 'async def name(state: State) -> None: ...'"
        ),
        ("not_a_function",),
    )


# ---------------------------------------------------------------- lines


def test_more_targets_than_exits() -> None:
    review: Any = Step(Review())
    hint = "name each exit: to(exit=target)"
    assert refused(lambda: review.to(END, END, END)) == (
        f"step 'review': step 'review' was given 3 targets, more than it has exits: {hint}",
        ("surplus_target",),
    )
    write: Any = Step(Write())
    assert refused(lambda: write.to(END)) == (
        f"step 'write': step 'write' was given 1 targets, more than it has exits: {hint}",
        ("surplus_target",),
    )


def test_two_targets_for_one_exit() -> None:
    review: Any = Step(Review())
    assert refused(lambda: review.to(END, END, bad=END)) == (
        "step 'review': exit 'bad' of step 'review' was given two targets: name each exit once",
        ("surplus_target",),
    )


# ---------------------------------------------------------------- what counts as async


class Archive:
    async def __call__(self, article: Article) -> None: ...


def _promises(article: Article) -> Awaitable[None]:
    return _archive(article)


class FutureArticle(Article): ...


def _mentions(article: Article) -> FutureArticle:
    raise NotImplementedError


@functools.wraps(_archive)
def _wrapped(*args: Any) -> Any:
    return _archive(*args)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (_archive, "_archive"),
        (functools.partial(_archive), "_archive"),
        (functools.partial(functools.partial(_wrapped)), "_archive"),
        (_wrapped, "_archive"),
        (_promises, "_promises"),
        (Archive(), "archive"),
        (functools.partial(Archive()), "archive"),
        (Archive().__call__, "__call__"),
    ],
    ids=[
        "function",
        "partial",
        "partial of partial",
        "wrapper",
        "annotated",
        "object",
        "partial of object",
        "method",
    ],
)
def test_anything_that_gives_an_awaitable_is_a_function_step(function: Any, name: str) -> None:
    made: Step[Article, []] = step(function)
    assert made.name == name
    assert made.exits == ()


def test_a_wrapper_counts_for_more_than_what_it_wraps() -> None:
    async def lines(article: Article) -> AsyncIterator[str]:
        yield ""

    @functools.wraps(lines)
    async def drained(article: Article) -> None: ...

    @functools.wraps(_archive)
    async def yields(article: Article) -> AsyncIterator[str]:
        yield ""

    assert over(drained).name == "lines"
    assert refused(lambda: over(yields))[1] == ("generator_phase",)


def test_a_class_that_is_only_called_like_an_awaitable_is_none() -> None:
    assert refused(lambda: over(_mentions)) == (
        "step '_mentions': _mentions is not async: write 'async def _mentions'",
        ("sync_phase",),
    )
