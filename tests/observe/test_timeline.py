"""What a timeline draws of a run: all of a small one, of a large one what is alike as one bar; nothing on top of another."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.observe import Span, spans_of
from agentflow_trio.observe._timeline_core import MAX_BARS, Bar, bars_of, occupancy

from .profile_kit import every_shape, recorded


def span(
    path: str, start: float, end: float, *children: Span, outcome: str = "success"
) -> Span:
    """A visit or, if its path says so, an item."""
    return Span(
        kind="item" if path.endswith("]") else "visit",
        path=path,
        start=start,
        end=end,
        outcome="error" if outcome == "error" else "success",
        children=children,
    )


def items(many: int, *, bad: int = 0) -> Span:
    """A run of a step with so many items, ten at once; the first are bad."""
    parts = [
        span(
            f"f/a[{number}]",
            number // 10,
            number // 10 + 1,
            outcome="error" if number < bad else "success",
        )
        for number in range(many)
    ]
    return span("f", 0, many / 10, span("f/a", 0, many / 10, *parts))


def test_every_shape_lane_by_lane() -> None:
    """Steps one after the other share a lane; what is inside is below, what goes on at once below one another."""
    (run,) = spans_of(recorded(every_shape()))
    lanes: dict[int, list[str]] = {}
    for bar in bars_of(run.root):
        lanes.setdefault(bar.lane, []).append(bar.label)
    assert lanes == {
        0: ["shapes"],
        1: ["flaky", "loop", "loop#2", "items", "both", "nested", "first", "fails", "rescue"],
        2: ["[0]", "[0]", "[2]", "b", "slow", "bad", "slow", "bad", "hare"],
        3: ["[1]", "[1]", "[3]", "a", "tortoise"],
    }


@st.composite
def forests(draw: st.DrawFn) -> Span:
    """A run of any spans inside one another."""

    def grown(path: str, low: int, high: int, depth: int) -> Span:
        children: list[Span] = []
        for number in range(draw(st.integers(0, 4 if depth < 3 else 0))):
            start = draw(st.integers(low, high))
            end = draw(st.integers(start, high))
            name = draw(st.sampled_from([f"s{number}", f"[{number}]", f"again#{number + 2}"]))
            inner = path + name if name.startswith("[") else f"{path}/{name}"
            children.append(grown(inner, start, end, depth + 1))
        return span(path, low, high, *children)

    return grown("f", 0, 1000, 0)


def overlapping(bars: tuple[Bar, ...]) -> list[tuple[Bar, Bar]]:
    """Bars that are drawn over one another."""
    return [
        (one, other)
        for one, other in itertools.combinations(bars, 2)
        if one.lane == other.lane and one.start < other.end and other.start < one.end
    ]


@given(forests())
def test_no_bar_is_drawn_over_another_and_a_small_run_is_drawn_whole(root: Span) -> None:
    bars = bars_of(root)
    assert overlapping(bars) == []
    assert sum(len(bar.spans) + bar.inside for bar in bars) == sum(1 for _ in root.walk())
    if len(bars) == 1 or all(len(bar.spans) == 1 for bar in bars):
        assert sorted(bar.path for bar in bars) == sorted(one.path for one in root.walk())


@pytest.mark.parametrize("many", [201, 100_000])
def test_the_items_of_a_large_run_are_one_bar_that_says_how_they_ended(many: int) -> None:
    run, step, group = bars_of(items(many, bad=3))
    assert (run.label, step.label, group.label) == ("f", "a", f"{many:,} items")
    assert (group.path, group.outcome, group.outcomes["error"]) == ("f/a[*]", "error", 3)
    assert (group.start, group.end) == (0, (many - 1) // 10 + 1)


def test_the_visits_of_a_long_loop_are_one_bar() -> None:
    loop = [span(f"f/again#{number}", number, number + 1) for number in range(300)]
    run, group, last = bars_of(span("f", 0, 301, *loop, span("f/end", 300, 301)))
    assert (run.label, group.label, last.label) == ("f", "again, 300 visits", "end")
    assert len(group.spans) == 300


def test_of_too_many_branches_the_longest_are_drawn_and_the_others_counted() -> None:
    arms = [
        span(f"f/both/arm{number}", 0, number + 1, span(f"f/both/arm{number}/x", 0, 1))
        for number in range(1000)
    ]
    bars = bars_of(span("f", 0, 1000, span("f/both", 0, 1000, *arms)))
    assert len(bars) <= MAX_BARS
    (rest,) = [bar for bar in bars if len(bar.spans) > 1]
    assert rest.label == f"{len(rest.spans):,} shorter ones"
    assert (rest.path, rest.inside) == ("f/both", len(rest.spans))
    assert sum(len(bar.spans) + bar.inside for bar in bars) == 2002
    assert overlapping(bars) == []


def test_where_no_room_is_left_a_bar_says_what_is_inside() -> None:
    deep = [
        span(f"f/s{number}", 0, 1, span(f"f/s{number}/x", 0, 1), span(f"f/s{number}/y", 0, 1))
        for number in range(MAX_BARS - 2)
    ]
    bars = bars_of(span("f", 0, 1, *deep))
    assert len(bars) == MAX_BARS - 1
    assert {bar.inside for bar in bars[1:]} == {2}


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), min_size=1),
    st.integers(1, 7),
    st.sampled_from([0, 100]),
)
def test_how_many_went_on_at_once_is_the_time_of_all_in_a_stretch(
    stretches: list[list[int]], columns: int, low: int
) -> None:
    spans = [span("f/a", start, end) for start, end in stretches]
    width = 60 / columns
    expected = [
        sum(
            max(0.0, min(one.end, (at + 1) * width) - max(one.start, at * width))
            for one in spans
        )
        / width
        for at in range(columns)
    ]
    assert occupancy(
        [(low + start, low + end) for start, end in stretches], low, low + 60, columns
    ) == pytest.approx(expected)


def test_what_takes_no_time_at_the_end_is_in_the_last_column() -> None:
    assert occupancy([(100, 160), (160, 160)], 100, 160, 4) == [1, 1, 1, 1]
