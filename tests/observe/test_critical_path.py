"""The critical path of any spans: one chain, whose every stretch is on a span that went on then."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.observe import Span, Wait, critical_path
from agentflow_trio.observe._spans_core import measure


@st.composite
def forests(draw: st.DrawFn) -> Span:
    """A run of any spans inside one another, some cancelled, with waits."""

    def stretch(low: int, high: int) -> tuple[int, int]:
        start = draw(st.integers(low, high))
        return start, draw(st.integers(start, high))

    def grown(path: str, low: int, high: int, depth: int) -> Span:
        children: list[Span] = []
        for number in range(draw(st.integers(0, 4 if depth < 3 else 0))):
            start, end = stretch(low, high)
            children.append(grown(f"{path}/{number}", start, end, depth + 1))
        waits = [stretch(low, high) for _ in range(draw(st.integers(0, 2)))]
        return Span(
            kind="visit",
            path=path,
            start=low,
            end=high,
            outcome=draw(st.sampled_from(["success", "success", "error", "cancelled"])),
            waits=tuple(Wait(guard="g", start=start, end=end) for start, end in waits),
            children=tuple(children),
        )

    return grown("f", 0, 40, 0)


@given(forests())
def test_it_is_one_chain_of_spans_that_went_on_then(root: Span) -> None:
    links = critical_path(root)
    assert [links[0].start, *(link.end for link in links)] == [
        *(link.start for link in links),
        root.end,
    ]
    assert links[0].start == root.start
    for link in links:
        assert link.span.start <= link.start < link.end <= link.span.end
        assert any(link.span is span for span in root.walk())
        if link.reason is not None:
            waits = [(wait.start, wait.end) for wait in link.span.waits]
            assert measure(waits, link.start, link.end) == link.seconds


@given(forests())
def test_nothing_waited_for_and_nothing_inside_is_overlooked(root: Span) -> None:
    """What a span worked itself while something inside of it was on the way to its end, is that which was inside."""
    for link in critical_path(root):
        if link.reason is None:
            inside = [span for span in link.span.children if span.outcome != "cancelled"]
            assert not any(
                span.start <= link.start and span.end == link.end < link.span.end
                for span in inside
                if span.end > span.start
            )


def leaf(path: str, start: float, end: float, *, cancelled: bool = False) -> Span:
    return Span(
        kind="visit",
        path=path,
        start=start,
        end=end,
        outcome="cancelled" if cancelled else "success",
    )


def told(*children: Span, end: float) -> list[tuple[str, float, float]]:
    root = attrs.evolve(leaf("f", 0.0, end), children=children)
    return [(link.path, link.start, link.end) for link in critical_path(root)]


def test_losers_of_a_race_count_from_the_winners_end_on() -> None:
    """They took half a second to clean up."""
    winner, loser = leaf("f/w", 0.0, 2.0), leaf("f/l", 0.0, 2.5, cancelled=True)
    assert told(winner, loser, end=2.5) == [("f/w", 0.0, 2.0), ("f/l", 2.0, 2.5)]


def test_what_ended_after_a_loser_did_not_cancel_it() -> None:
    """A step that followed the race."""
    winner, loser = leaf("f/w", 0.0, 2.0), leaf("f/l", 0.0, 2.5, cancelled=True)
    after = leaf("f/after", 3.0, 4.0)
    assert told(winner, loser, after, end=4.0) == [
        ("f/w", 0.0, 2.0),
        ("f/l", 2.0, 2.5),
        ("f", 2.5, 3.0),
        ("f/after", 3.0, 4.0),
    ]


def test_what_was_cancelled_by_something_else_counts_in_full() -> None:
    """A time limit of the step around: nothing beside it had ended meanwhile."""
    before, cut = leaf("f/a", 0.0, 1.0), leaf("f/b", 1.0, 3.0, cancelled=True)
    assert told(before, cut, end=3.0) == [("f/a", 0.0, 1.0), ("f/b", 1.0, 3.0)]
    later = leaf("f/c", 3.0, 4.0)
    assert told(before, cut, later, end=4.0)[1:] == [("f/b", 1.0, 3.0), ("f/c", 3.0, 4.0)]


def test_a_beginning_that_is_computed_may_miss_by_what_a_clock_cannot_tell() -> None:
    """The item before ended at the very moment, and not 1e-11 s later, when this one had begun."""
    first, second = leaf("f/a[0]", 0.0, 1.0 + 1e-11), leaf("f/a[1]", 1.0, 2.0)
    assert told(first, second, end=2.0) == [("f/a[0]", 0.0, 1.0), ("f/a[1]", 1.0, 2.0)]


def test_a_beginning_that_all_but_is_that_of_the_run_is_that_of_the_run() -> None:
    assert told(leaf("f/a", 5e-10, 1.0), end=1.0) == [("f/a", 0.0, 1.0)]


def test_what_misses_by_all_that_a_clock_may_miss_still_stands_for_the_same_moment() -> None:
    """A nanosecond: from the beginning, to the end, and after the next one had begun."""
    whole = leaf("f/a", 1e-9, 2.0 - 1e-9)
    assert told(whole, end=2.0) == [("f/a", 0.0, 2.0)]
    first, second = leaf("f/a[0]", 0.0, 1.0 + 1e-9), leaf("f/a[1]", 1.0, 2.0)
    assert told(first, second, end=2.0) == [("f/a[0]", 0.0, 1.0), ("f/a[1]", 1.0, 2.0)]


def test_what_took_no_time_is_no_link_also_where_it_all_but_reaches_the_beginning() -> None:
    assert told(leaf("f/a", 5e-10, 5e-10), end=1.0) == [("f", 0.0, 1.0)]


def test_what_ended_last_is_found_in_whatever_order_the_spans_are_given() -> None:
    late, early = leaf("f/late", 0.0, 3.0), leaf("f/early", 0.0, 1.0)
    assert told(late, early, end=3.0) == [("f/late", 0.0, 3.0)]


def test_of_two_that_ended_together_the_later_in_the_events_was_the_last() -> None:
    one, other = leaf("f/a", 0.0, 1.0), leaf("f/b", 0.0, 1.0)
    assert told(one, other, end=1.0) == [("f/b", 0.0, 1.0)]


def test_stretches_of_one_span_are_joined() -> None:
    """A wait in the middle of a wait for the same guard."""
    waits = (Wait(guard="g", start=0.0, end=2.0), Wait(guard="g", start=1.0, end=3.0))
    (link,) = critical_path(attrs.evolve(leaf("f", 0.0, 3.0), waits=waits))
    assert (link.start, link.end, link.reason, link.seconds) == (0.0, 3.0, "guard 'g'", 3.0)


def test_a_run_without_length_has_none() -> None:
    assert critical_path(leaf("f", 1.0, 1.0)) == ()
