"""Orders that make no sense are refused with the reason and what to do; all others are let through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.errors import Problem
from agentflow_trio.robustness._pipeline_core import Kind, Seat, order_problems

KINDS: Final[Sequence[Kind]] = (
    "fallback",
    "timeout",
    "retry",
    "hedge",
    "breaker",
    "limiter",
    "bulkhead",
    "adaptive limit",
    "load shedder",
    "chaos",
    "guard",
    "member",
)


def seat(
    kind: Kind,
    name: str = "",
    *,
    budget: str | None = None,
    seconds: float | None = None,
    catches_all: bool = False,
) -> Seat:
    return Seat(kind, name or kind, object(), budget, seconds, catches_all)


def codes(*seats: Seat) -> list[str]:
    return [problem.code for problem in order_problems(seats)]


def only(*seats: Seat) -> Problem:
    (problem,) = order_problems(seats)
    assert problem.step == ""
    return problem


WHOLE, ATTEMPT = seat("timeout", "whole", seconds=9.0), seat("timeout", "attempt", seconds=2.0)
RETRY, HEDGE, BREAKER = seat("retry", "again"), seat("hedge", "beside"), seat("breaker", "db")
ANYTHING = seat("fallback", "nothing", catches_all=True)
SOMETHING = seat("fallback", "cached")


def test_the_recommended_order_makes_sense_and_so_does_any_part_of_it() -> None:
    recommended = [
        *(ANYTHING, WHOLE, RETRY, HEDGE, BREAKER, seat("limiter"), seat("bulkhead")),
        *(ATTEMPT, seat("chaos")),
    ]
    assert codes(*recommended) == []
    for left_out in (ANYTHING, WHOLE, RETRY, HEDGE, BREAKER):
        assert codes(*(one for one in recommended if one is not left_out)) == []
    assert codes() == []


def test_one_stands_there_twice() -> None:
    assert only(BREAKER, seat("limiter"), BREAKER) == Problem(
        "guard_twice", "", "guard 'db' stands in the pipeline twice", "keep one of the two"
    )
    mine = seat("member", "mine")
    assert only(mine, mine).sentence == "member 'mine' stands in the pipeline twice"
    assert only(
        RETRY._replace(budget="b"), seat("limiter"), RETRY._replace(budget="b")
    ).sentence == ("retry 'again' stands in the pipeline twice")
    assert codes(mine, seat("member", "mine")) == []
    assert codes(mine, mine, mine) == ["guard_twice", "guard_twice"]


def test_a_breaker_that_would_never_learn_of_hangs() -> None:
    assert only(WHOLE, BREAKER) == Problem(
        "hang_unseen",
        "",
        "breaker 'db' stands inside timeout 'whole', so it would learn of a hang only when all the time is used up",
        "put a timeout inside the breaker: the limit of one call",
    )
    assert codes(BREAKER, WHOLE) == []
    assert codes(BREAKER) == []
    assert codes(WHOLE, RETRY, BREAKER, ATTEMPT) == []
    last = only(WHOLE, BREAKER, ATTEMPT, seat("breaker", "b"), seat("breaker", "c"))
    assert last.sentence.startswith("breaker 'b' stands inside timeout 'attempt'")


@pytest.mark.parametrize(("outer", "inner"), [(2.0, 2.0), (2.0, 3.0)])
def test_a_timeout_that_could_never_cut_anything_off(outer: float, inner: float) -> None:
    around, inside = seat("timeout", "a", seconds=outer), seat("timeout", "b", seconds=inner)
    assert only(around, RETRY, inside) == Problem(
        "timeout_idle",
        "",
        f"timeout 'b' ({inner:g} s) stands inside timeout 'a' ({outer:g} s), "
        "so it would never cut anything off",
        "make the inner one shorter, or leave it out",
    )


def test_only_fixed_times_are_compared_and_with_the_shortest_around() -> None:
    learned = seat("timeout", "learned")
    assert codes(ATTEMPT, learned) == []
    assert codes(learned, WHOLE) == []
    assert codes(WHOLE, learned, ATTEMPT) == []
    third = seat("timeout", "third", seconds=5.0)
    assert "inside timeout 'attempt' (2 s)" in only(WHOLE, ATTEMPT, third).sentence


def test_attempts_that_multiply() -> None:
    other = seat("retry", "often")
    assert only(RETRY, other) == Problem(
        "attempts_multiply",
        "",
        "retry 'often' stands inside retry 'again', so their attempts multiply",
        "keep one of the two, or let one RetryBudget pay for both",
    )
    assert only(HEDGE, RETRY) == Problem(
        "attempts_multiply",
        "",
        "retry 'again' stands inside hedge 'beside', so their attempts multiply, "
        "and while it pauses the hedge would not",
        "put the retry outside the hedge",
    )
    assert codes(HEDGE, seat("hedge", "more")) == ["attempts_multiply"]
    assert codes(RETRY, HEDGE) == []
    assert codes(RETRY, other, seat("retry", "third")) == ["attempts_multiply"] * 3
    assert codes(seat("limiter"), RETRY, seat("limiter"), other) == ["attempts_multiply"]


def test_one_budget_for_both_keeps_attempts_from_multiplying() -> None:
    one, same = seat("retry", "one", budget="llm"), seat("retry", "two", budget="llm")
    assert codes(one, same) == []
    assert codes(one, seat("retry", "two", budget="db")) == ["attempts_multiply"]
    assert codes(one, RETRY) == ["attempts_multiply"]
    assert codes(RETRY, one) == ["attempts_multiply"]
    assert codes(seat("hedge", "h", budget="llm"), one) == []


@pytest.mark.parametrize("kind", ["fallback", "retry", "hedge", "breaker", "adaptive limit"])
def test_a_fallback_that_hides_every_failure(kind: Kind) -> None:
    outer = seat(kind, "outer")
    assert only(outer, ANYTHING) == Problem(
        "failure_hidden",
        "",
        f"fallback 'nothing' stands inside {kind} 'outer', which would never see a failure",
        "put the fallback first, or say in on= which errors it is for",
    )
    assert codes(ANYTHING, outer) == []
    assert codes(outer, SOMETHING) == []


@pytest.mark.parametrize("kind", ["timeout", "limiter", "bulkhead", "load shedder", "guard"])
def test_who_does_not_look_at_failures_may_stand_around_a_fallback(kind: Kind) -> None:
    assert codes(seat(kind), ANYTHING) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "chaos"])
def test_chaos_stands_next_to_the_body(kind: Kind) -> None:
    inside = seat(kind, "inside")
    assert only(seat("chaos", "drill"), inside) == Problem(
        "chaos_unseen",
        "",
        f"chaos 'drill' stands outside {kind} 'inside', which would see nothing of it",
        "put chaos last, next to the body",
    )
    assert codes(inside, seat("chaos", "faults"), seat("chaos", "delays")) == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    seats = [seat("chaos"), ATTEMPT, WHOLE, BREAKER, RETRY, RETRY, ANYTHING]
    assert codes(*seats) == [
        *("guard_twice", "hang_unseen", "timeout_idle", "failure_hidden", "chaos_unseen"),
    ]


# ---------------------------------------------------------------- any order


def naive(seats: Sequence[Seat]) -> Iterator[str]:
    """The rules in other words: for every two of which one stands inside the other."""
    pairs = [(a, b) for at, b in enumerate(seats) for a in seats[:at]]
    last = max([at for at, one in enumerate(seats) if one.kind == "timeout"], default=-1)
    if any(a.member is b.member for a, b in pairs):
        yield "guard_twice"
    if last >= 0 and any(one.kind == "breaker" for one in seats[last:]):
        yield "hang_unseen"
    fixed = [(a.seconds, b.seconds) for a, b in pairs if a.seconds and b.seconds]
    if any(inner >= outer for outer, inner in fixed if outer and inner):
        yield "timeout_idle"
    if any(
        (a.kind, b.kind) in {("retry", "retry"), ("hedge", "hedge"), ("hedge", "retry")}
        and a.member is not b.member
        and (a.budget is None or a.budget != b.budget)
        for a, b in pairs
    ):
        yield "attempts_multiply"
    judges = {"fallback", "retry", "hedge", "breaker", "adaptive limit"}
    if any(b.catches_all and a.kind in judges for a, b in pairs):
        yield "failure_hidden"
    if any(a.kind == "chaos" != b.kind for a, b in pairs):
        yield "chaos_unseen"


def seats_of_a_kind(kind: Kind) -> st.SearchStrategy[Seat]:
    return st.builds(
        Seat,
        kind=st.just(kind),
        name=st.sampled_from("ab"),
        member=st.integers(0, 9),
        budget=st.sampled_from([None, "llm", "db"])
        if kind in {"retry", "hedge"}
        else st.none(),
        seconds=st.sampled_from([None, 1.0, 2.0, 4.0]) if kind == "timeout" else st.none(),
        catches_all=st.booleans() if kind == "fallback" else st.just(value=False),
    )


@given(st.lists(st.one_of(*map(seats_of_a_kind, KINDS)), max_size=6))
def test_in_any_order_the_same_is_refused_as_by_looking_at_every_pair(
    seats: list[Seat],
) -> None:
    assert {*codes(*seats)} == {*naive(seats)}
