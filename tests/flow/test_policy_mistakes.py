"""Policies that make no sense, each by itself or with another, are refused where they are written, with a remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import pytest

from agentflow_trio import (
    END,
    AdaptiveLimit,
    Bulkhead,
    CircuitBreaker,
    DefinitionError,
    Fallback,
    Hedge,
    HedgePolicy,
    RateLimiter,
    Retry,
    RetryPolicy,
    Step,
    Timeout,
    Wiring,
    batch,
    each,
    flow,
    open_pool,
    parallel,
    pipeline,
    step,
)

BREAKER, LIMITER, BULKHEAD = (
    CircuitBreaker("search"),
    RateLimiter("calls", limit=1, window=1.0),
    Bulkhead("model", limit=1),
)


@attrs.define
class Article:
    topic: str = ""


@step
async def write(article: Article) -> None: ...


async def connect() -> list[int]:
    return []


class Sections:
    async def prep(self, shared: Article, /) -> Sequence[str]:
        return []

    async def exec(self, item: Any, /) -> Any:
        return item

    async def post(self, shared: Article, items: object, received: object, /) -> None: ...


def refused(make: Callable[[], object]) -> list[tuple[str, str, str]]:
    """Code, sentence and hint of each problem."""
    with pytest.raises(DefinitionError) as caught:
        make()
    return [(one.code, one.sentence, one.hint) for one in caught.value.problems]


def only(make: Callable[[], object]) -> tuple[str, str, str]:
    (problem,) = refused(make)
    return problem


def with_(options: Mapping[str, Any]) -> object:
    return write.with_(**options)


A_POLICY = "write retry=RetryPolicy(max_attempts=5)"
HELD = "a policy holds no count of its own: write retry=RetryPolicy(...)"
ANOTHER = "what repeats or replaces exec has an option of its own: retry=, hedge=, fallback="
NAMED = "a guard has a name and is entered with 'async with'"


@pytest.mark.parametrize(
    ("retry", "hint"), [(3, A_POLICY), (RetryPolicy, A_POLICY), (Retry(name="r"), HELD)]
)
def test_a_retry_is_a_policy(retry: object, hint: str) -> None:
    code, sentence, told = only(lambda: with_({"retry": retry}))
    assert (code, told) == ("bad_policy", hint)
    assert sentence == f"retry must be a RetryPolicy, not {retry!r}"


@pytest.mark.parametrize(
    ("guard", "hint"),
    [
        (RetryPolicy(), ANOTHER),
        (Retry(), ANOTHER),
        (Fallback(1), ANOTHER),
        (CircuitBreaker, "write CircuitBreaker(...)"),
        ("search", NAMED),
        (object(), NAMED),
    ],
)
def test_guards_are_guards(guard: object, hint: str) -> None:
    code, sentence, told = only(lambda: with_({"guards": (BREAKER, guard)}))
    assert (code, sentence, told) == (
        "bad_policy",
        f"guards must be guards, not {guard!r}",
        hint,
    )


async def test_a_pool_is_no_guard() -> None:
    opening = open_pool(connect, size=1)
    async with opening as pool:
        for what in (opening, pool):
            told = only(partial(with_, {"guards": (what,)}))
            assert told[2] == "it lends something, which a guard cannot pass on: lend in exec"


@pytest.mark.parametrize(
    ("guards", "hint"),
    [
        (BREAKER, "write guards=(breaker,)"),
        ("search", 'write guards=(CircuitBreaker("search"),)'),
        (None, 'write guards=(CircuitBreaker("search"),)'),
    ],
)
def test_guards_are_a_tuple(guards: object, hint: str) -> None:
    code, sentence, told = only(lambda: with_({"guards": guards}))
    assert (code, told) == ("bad_policy", hint)
    assert sentence == f"guards must be a tuple, not {guards!r}"


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan"), True, "3"])
def test_a_limit_for_an_attempt_is_a_number_of_seconds(seconds: object) -> None:
    code, sentence, _ = only(lambda: with_({"attempt_timeout": seconds}))
    assert code == "bad_policy"
    assert sentence == f"attempt_timeout must be a number of seconds > 0, not {seconds!r}"


def test_the_same_guard_twice() -> None:
    assert only(lambda: write.with_(guards=(BREAKER, LIMITER, BREAKER))) == (
        "guard_twice",
        "guard 'search' stands in guards twice",
        "keep one of the two",
    )


def test_a_breaker_that_would_never_learn_of_hangs() -> None:
    outside = (Timeout(3.0, name="mine"), BREAKER)
    unseen = (
        "hang_unseen",
        (
            "breaker 'search' stands inside timeout 'mine', "
            "so it would learn of a hang only when all the time is used up"
        ),
        "put the timeout after the breaker, or write attempt_timeout=",
    )
    assert only(lambda: write.with_(guards=outside)) == unseen
    assert only(lambda: Step(Sections(), guards=outside)) == unseen
    assert only(lambda: each(Sections(), concurrent=1, guards=outside)) == unseen
    assert only(lambda: write.with_(guards=(*outside, CircuitBreaker("b")))) == unseen
    write.with_(guards=outside[::-1])
    write.with_(guards=(*outside, Timeout(2.0)))
    limited = write.with_(guards=outside, attempt_timeout=2.0)
    assert only(lambda: limited.with_(attempt_timeout=None)) == unseen


def test_a_pipeline_is_checked_as_if_its_guards_stood_there() -> None:
    twice = (
        "guard_twice",
        "guard 'search' stands in guards twice",
        "keep one of the two",
    )
    assert only(lambda: write.with_(guards=(BREAKER, pipeline(LIMITER, BREAKER)))) == twice
    assert only(lambda: write.with_(guards=(pipeline(BREAKER), pipeline(BREAKER)))) == twice
    outer = Timeout(3.0, name="mine")
    code, sentence, _ = only(lambda: write.with_(guards=(outer, pipeline(BREAKER))))
    assert (code, "'search' stands inside timeout 'mine'" in sentence) == ("hang_unseen", True)
    write.with_(guards=(outer, pipeline(BREAKER), Timeout(2.0)))
    write.with_(guards=(outer, pipeline(BREAKER)), attempt_timeout=2.0)


def test_a_pipeline_that_repeats_or_replaces_is_no_guard() -> None:
    code, sentence, hint = only(lambda: with_({"guards": (pipeline(Retry(), BREAKER),)}))
    assert code == "bad_policy"
    assert sentence == "guards must be guards, not <Repeating 'pipeline': 'retry', 'search'>"
    assert (
        hint
        == "it repeats or replaces exec, for which there are options: retry=, hedge=, fallback="
    )


def test_all_that_is_wrong_is_told_together() -> None:
    options: Any = {"retry": 3, "guards": [3], "attempt_timeout": 0, "retries": 2}
    assert [code for code, _, _ in refused(lambda: Step(Sections(), **options))] == [
        *("bad_policy", "bad_policy", "bad_policy"),
        "unknown_option",
    ]


@pytest.mark.parametrize(
    ("hedge", "hint"),
    [
        (0.5, "write hedge=Hedge(after=0.5)"),
        (Hedge, "write hedge=Hedge(after=0.5)"),
        (
            HedgePolicy(after=0.5),
            "a hedge learns and counts, for all who share it: write hedge=Hedge(policy)",
        ),
    ],
)
def test_a_hedge_is_a_hedge(hedge: Any, hint: str) -> None:
    told = ("bad_policy", f"hedge must be a Hedge, not {hedge!r}", hint)
    assert only(lambda: Step(Sections(), hedge=hedge)) == told
    assert only(lambda: step(hedge=hedge)(write_it)) == told
    assert only(lambda: write.with_(hedge=hedge)) == told
    assert only(lambda: each(Sections(), concurrent=1, hedge=hedge)) == told


async def write_it(article: Article) -> None: ...


@pytest.mark.parametrize(
    "node", [each(Sections(), concurrent=1), batch(Sections(), size=2)], ids=["each", "batch"]
)
def test_all_items_are_not_hedged_as_a_whole(node: Any) -> None:
    told = (
        "hedge_of_items",
        "a hedge around all items would do each of them again, and cannot read a source twice",
        "hedge them one by one: write each(..., hedge=...)",
    )
    hedge = Hedge(after=0.5)
    hedged = write.with_(hedge=hedge)

    @flow
    def outer() -> Wiring[Article]:
        return [hedged.then(END)]

    assert only(lambda: Step(node, hedge=hedge)) == told
    assert only(lambda: Step(node).with_(hedge=hedge)) == told
    assert only(lambda: outer.replacing({hedged: node})) == told


@pytest.mark.parametrize("shape", ["each", "batch"])
def test_policies_of_items_are_checked_too(shape: str) -> None:
    def make(**options: Any) -> object:
        if shape == "each":
            return each(Sections(), concurrent=1, **options)
        return batch(Sections(), size=1, **options)

    assert only(lambda: make(retry=3))[1] == "retry must be a RetryPolicy, not 3"
    assert only(lambda: make(hedge=3))[1] == "hedge must be a Hedge, not 3"
    assert only(lambda: make(guards=(BREAKER, BREAKER)))[0] == "guard_twice"
    assert only(lambda: make(timeout=3.0)) == (
        "unknown_option",
        "there is no option 'timeout'",
        "it is for the whole: give it to the Step around this node",
    )
    assert only(lambda: make(retrie=3)) == (
        "unknown_option",
        "there is no option 'retrie'",
        "did you mean 'retry'?",
    )


# ---------------------------------------------------------------- guards that meet


def flow_of(inner: Step[Article, []]) -> Callable[[], object]:
    def define() -> object:
        @flow
        def outer() -> Wiring[Article]:
            return [inner.then(END)]

        return outer

    return define


@pytest.mark.parametrize("places", [BULKHEAD, AdaptiveLimit("model")])
def test_a_guard_that_would_wait_for_itself(places: Bulkhead | AdaptiveLimit) -> None:
    guarded = write.with_(guards=(places,))

    @flow
    def inner() -> Wiring[Article]:
        return [write.with_(name="first").then(guarded), guarded.then(END)]

    def nested(inside: str) -> tuple[str, str, str]:
        return (
            "guard_nested",
            f"step 'outer' and {inside!r} inside it both enter 'model'",
            "the inner one would wait for the outer one for ever; guard one of them",
        )

    for node in (inner, parallel(Step(inner)), parallel(guarded)):
        outer = Step(node, name="outer", guards=(LIMITER, places))
        assert only(flow_of(outer)) == nested("write")
        with pytest.raises(DefinitionError) as caught:
            flow_of(outer)()
        assert [problem.step for problem in caught.value.problems] == ["outer"]
    for inside, around in (
        (places, places),
        (pipeline(places), places),
        (places, pipeline(places)),
        (pipeline(BREAKER, places), pipeline(LIMITER, pipeline(places))),
    ):
        items = each(Sections(), concurrent=1, guards=(inside,))
        assert only(flow_of(Step(items, name="outer", guards=(around,)))) == nested("outer")


def test_guards_that_may_meet() -> None:
    """A breaker passes on its permit, and a limiter counts each entry."""
    guarded = write.with_(guards=(BREAKER, LIMITER))

    @flow
    def inner() -> Wiring[Article]:
        return [guarded.then(END)]

    flow_of(Step(inner, guards=(BREAKER, LIMITER)))()
    flow_of(Step(inner, guards=(BULKHEAD,)))()
    flow_of(Step(inner, name="bare"))()
