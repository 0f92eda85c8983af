"""A pipeline is its members, one inside the other: whatever they are, whatever the bodies do, whenever somebody gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from pipeline_kit import (
    Call,
    Composed,
    DownError,
    Recipe,
    SlowError,
    by_hand,
    cut_at,
    entered,
    fits,
    made,
    nested_at,
    piped,
    seen,
)

from agentflow_trio import CircuitOpenError


def sixteenths(least: int, most: int) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda number: number / 16)


ENDS: Final[Sequence[Callable[[], object]]] = (
    lambda: "done",
    lambda: "done",
    lambda: "busy",
    lambda: DownError("x"),
    lambda: DownError("x"),
    SlowError,
    lambda: KeyError("not tried again"),
    lambda: CircuitOpenError(guard="elsewhere", reason="open", retry_after=0.75),
    lambda: ExceptionGroup("both", [DownError("x"), SlowError()]),
    KeyboardInterrupt,
)
CALLS: Final = st.builds(
    Call,
    after=sixteenths(0, 8),
    takes=st.one_of(st.just(0.0), sixteenths(1, 24), st.just(9.0)),
    ends=st.sampled_from(ENDS),
    patience=st.one_of(st.just(60.0), sixteenths(0, 24)),
)
CALLERS: Final = st.lists(st.lists(CALLS, min_size=2, max_size=4), min_size=1, max_size=3)
SEEDS: Final = st.integers(0, 3)

MAX_WAIT: Final = st.sampled_from([0.0, 0.5, 30.0])
GUARDS: Final[Sequence[st.SearchStrategy[Recipe]]] = (
    st.tuples(st.just("timeout"), st.just("t"), st.sampled_from([1.0, 2.0, 4.0])),
    st.tuples(st.just("adaptive"), st.just("a"), st.sampled_from([0.75, 2.0])),
    st.tuples(st.just("breaker"), st.just("c"), st.integers(1, 3), st.sampled_from([0.5, 1.0])),
    st.tuples(st.just("limiter"), st.just("l"), st.integers(1, 3), MAX_WAIT),
    st.tuples(st.just("bulkhead"), st.just("b"), st.integers(1, 2), MAX_WAIT),
    st.tuples(st.just("adaptive limit"), st.just("m"), st.integers(1, 3), st.integers(0, 1)),
    st.tuples(st.just("parity"), st.just("p")),
    st.tuples(
        st.just("chaos"), st.just("x"), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 1.0])
    ),
)
OTHERS: Final[Sequence[st.SearchStrategy[Recipe]]] = (
    st.tuples(
        st.just("retry"),
        st.just("r"),
        st.integers(1, 3),
        st.sampled_from(["raise", "retry", "wait"]),
    ),
    st.tuples(st.just("outcome"), st.just("o"), st.sampled_from([0.5, 1.0])),
    st.tuples(st.just("hedge"), st.just("h"), st.sampled_from([0.0, 0.25])),
    st.tuples(
        st.just("fallback"),
        st.just("f"),
        st.sampled_from([(Exception,), (DownError, CircuitOpenError), (TimeoutError,)]),
    ),
)
ANY_GUARD: Final = st.one_of(*GUARDS)
ANY_MEMBER: Final = st.one_of(*GUARDS, *OTHERS)
LAST: Final[Recipe] = ("timeout", "last", 0.5)


@st.composite
def orders(draw: DrawFn, member: st.SearchStrategy[Recipe]) -> list[Recipe]:
    """Members in an order that makes sense, each with a name of its own."""
    found: list[Recipe] = []
    drawn = draw(st.lists(member, min_size=2, max_size=5))
    for number, (kind, name, *settings) in enumerate(drawn):
        more: list[Recipe] = [*found, (kind, f"{name}{number}", *settings)]
        if wrong(more) <= {"hang_unseen"}:
            found = more
    if wrong(found):
        chaos = [at for at, (kind, *_) in enumerate(found) if kind in {"chaos", "outcome"}]
        found.insert(chaos[0] if chaos else len(found), LAST)
    return found


def wrong(recipes: Sequence[Recipe]) -> set[str]:
    return fits([made(recipe, lambda _: None) for recipe in recipes])


@given(ANY_MEMBER, CALLERS, SEEDS)
def test_a_pipeline_of_one_is_that_one(
    recipe: Recipe, callers: list[list[Call]], seed: int
) -> None:
    def alone(members: Sequence[Any]) -> Composed:
        call: Composed = members[0].call
        return call

    assert seen(piped, [recipe], callers, seed) == seen(alone, [recipe], callers, seed)


@given(orders(ANY_MEMBER), CALLERS, SEEDS)
@example([], [[Call(0.0, 1.0, lambda: "done", 60.0)]], 0)
def test_a_pipeline_does_what_its_members_do_one_inside_the_other(
    recipes: list[Recipe], callers: list[list[Call]], seed: int
) -> None:
    assert seen(piped, recipes, callers, seed) == seen(by_hand, recipes, callers, seed)


@given(orders(ANY_GUARD), CALLERS, SEEDS)
def test_entering_it_is_entering_them(
    recipes: list[Recipe], callers: list[list[Call]], seed: int
) -> None:
    assume(all(call.ends is not ENDS[2] for calls in callers for call in calls))
    assert seen(entered, recipes, callers, seed) == seen(by_hand, recipes, callers, seed)


@given(orders(ANY_MEMBER), st.lists(st.integers(0, 6), max_size=3), CALLERS, SEEDS)
def test_pipelines_in_a_pipeline_are_one_pipeline(
    recipes: list[Recipe], cuts: list[int], callers: list[list[Call]], seed: int
) -> None:
    assume(not any(wrong(part) for part in cut_at(cuts, recipes)))
    assert seen(nested_at(cuts), recipes, callers, seed) == seen(piped, recipes, callers, seed)
