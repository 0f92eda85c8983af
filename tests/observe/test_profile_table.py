"""The table of a profile: aligned, as wide as it may be, the same every time."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.events import (
    CacheHit,
    ExecutionEvent,
    FallbackUsed,
    ItemFailed,
    LoopBlocked,
    NodeFailed,
    NodeSucceeded,
    WaitEnded,
)
from agentflow_trio.observe import Profile

from .profile_kit import (
    RETRY,
    begun,
    ended,
    every_shape,
    failing,
    recorded,
    row,
    taking,
    tolerant,
    visited,
)

EVENTS = recorded(every_shape())


def shapes() -> Profile:
    """The profile of a run of every shape."""
    return Profile.of(EVENTS)


def test_a_table_in_full() -> None:
    assert (
        shapes().table(top=4)
        == """\
shapes, run sim-1-1, success, 34.000 s
17 steps, 3 failures, 4 retries, 0 rejections

place               visits   total    self  waits  attempts  failed    p50    p95  waits for
shapes/items[*]          6  13.000  13.000  0.000         6       1  2.000  4.000
shapes/nested/slow       2  10.000  10.000  0.000         2       0  5.000  5.000
shapes/flaky             1   6.000   3.000  3.000         3       0  6.000  6.000  a retry 3.000
shapes/both/a            1   2.000   1.000  1.000         1       0  2.000  2.000  guard 'db' 1.000
times in s; 12 more places not shown

critical path of run sim-1-1, 34.000 s
place                            share       s  times
shapes/nested/slow               29.4%  10.000      2
shapes/items[*]                  23.5%   8.000      3
shapes/flaky                      8.8%   3.000      3
shapes/flaky, waits for a retry   8.8%   3.000      2

what failed
shapes/items[1], after 9.000 s, tried again
    OSError: gone
shapes/nested/bad, after 24.000 s, tried again
    ValueError: bad, time 1
shapes/fails, after 33.000 s, caught by rescue
    ValueError: fails, time 1
"""
    )


def test_what_nobody_handled_stands_first_in_as_many_lines_as_there_is_room_for() -> None:
    bad = failing(9, "a_name_that_is_longer_than_the_others_are")
    flows = row("f", failing(1, "x").with_(retry=RETRY)), row("f", bad)
    made = Profile.of(recorded(row("f", tolerant(*[1.0] * 30, bad=(4, 5))), *flows))
    assert made.table(width=60, top=2).splitlines()[-6:] == [
        "what failed",
        "f/a_name_..._than_the_others_are, after 1.000 s, not handled",
        "    ValueError: a_name_that_is_longer_than_the_others_are...",
        "f/items[4], after 5.000 s, tolerated",
        "    OSError: gone",
        "1 more failure not shown",
    ]
    events: list[ExecutionEvent] = [begun(), visited("f/a", at=0.0, seq=1)]
    silent = ItemFailed(
        run_id="r",
        seq=2,
        path="f/a[0]",
        timestamp=1.0,
        tolerated=False,
        attempt=1,
        error="E",
        message="",
    )
    assert Profile.of([*events, silent]).table().endswith("not handled\n    E\n")


def test_no_text_moves_the_cursor_or_turns_the_direction_of_reading() -> None:
    evil = "\x1b[2J\x07gone\u202etxt\x9b1m"
    failed = NodeFailed(
        run_id="r",
        seq=2,
        path=f"f/{evil}",
        timestamp=1.0,
        phase="exec",
        attempt=1,
        error="E",
        message=evil,
    )
    table = Profile.of([begun(), visited(f"f/{evil}", at=0.0, seq=1), failed]).table()
    assert all(each.isprintable() for each in table.replace("\n", ""))
    assert table.endswith("    E:  [2J gone txt 1m\n")


def test_the_head_says_what_else_happened() -> None:
    events: list[ExecutionEvent] = [
        begun(),
        visited("f/a", at=0.0, seq=1),
        *(
            CacheHit(run_id="r", seq=seq, path="f/a", timestamp=1.0, guard="c", source="stored")
            for seq in (2, 3)
        ),
        FallbackUsed(
            run_id="r", seq=4, path="f/a", timestamp=1.0, guard="a", error="E", message=""
        ),
    ]
    assert Profile.of(events).table().splitlines()[1] == (
        "1 step, 0 failures, 0 retries, 0 rejections, 1 fallback, 2 cache hits"
    )


def test_a_narrow_table_shortens_paths_in_their_middle_and_what_was_waited_for_at_its_end() -> (
    None
):
    assert shapes().table(width=86, top=4).splitlines()[3:8] == [
        "place               visits   total    self  waits  attempts  failed    p50    p95",
        "shapes/items[*]          6  13.000  13.000  0.000         6       1  2.000  4.000",
        "shapes/nested/slow       2  10.000  10.000  0.000         2       0  5.000  5.000",
        "shapes/flaky             1   6.000   3.000  3.000         3       0  6.000  6.000",
        "shapes/both/a            1   2.000   1.000  1.000         1       0  2.000  2.000",
    ]
    assert shapes().table(width=79, top=2).splitlines()[3:6] == [
        "place             visits   total    self  waits  attempts  failed    p50    p95",
        "shapes/items[*]        6  13.000  13.000  0.000         6       1  2.000  4.000",
        "shap...sted/slow       2  10.000  10.000  0.000         2       0  5.000  5.000",
    ]


@given(st.integers(77, 140))
def test_no_line_of_the_places_is_wider_than_it_may_be(width: int) -> None:
    """Below that, the numbers take more than there is."""
    lines = shapes().table(width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines == [line.rstrip() for line in lines]


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    made = Profile.of(
        recorded(row("f", taking(1.0, "読む"), taking(2.0, "e\N{COMBINING ACUTE ACCENT}")))
    )
    lines = made.table().splitlines()
    assert lines[3].index("visits") == len("f/読む") + 2 + len("  ")
    assert lines[4].startswith("f/e\N{COMBINING ACUTE ACCENT}          1 ")
    assert lines[5].startswith("f/読む       1 ")


def test_short_runs_are_told_in_milliseconds_and_their_exit_is_named() -> None:
    end = attrs.evolve(ended(at=0.25, seq=1), exit="done")
    assert Profile.of([begun(), end]).table().splitlines()[0] == (
        "f, run r, success (done), 250.000 ms"
    )


def test_several_runs_are_counted() -> None:
    flows = [row("f", taking(1.0, "a")), row("f", taking(2.0, "a")), row("f", failing(9, "b"))]
    assert Profile.of(recorded(*flows)).table().splitlines()[:2] == [
        "3 runs: 2 ended well, 1 failed; the slowest: f, run sim-1-2, success, 2.000 s",
        "3 steps, 1 failure, 0 retries, 0 rejections",
    ]


@pytest.mark.parametrize(
    ("seq", "told"),
    [
        (2, "1 event of these runs is missing: the figures are too low"),
        (1001, "1,000 events of these runs are missing: the figures are too low"),
    ],
)
def test_events_that_are_missing_are_told(seq: int, told: str) -> None:
    assert told in Profile.of([begun(), ended(at=1.0, seq=seq)]).table().splitlines()


def test_a_blocked_loop_is_told() -> None:
    blocked = LoopBlocked(
        run_id="r", seq=1, path="f/a", timestamp=1.0, seconds=0.5, task="t", stack=()
    )
    made = Profile.of([begun(), blocked, ended(at=1.0, seq=2)])
    assert "the loop was blocked for 0.500 s" in made.table().splitlines()


def test_of_a_visit_that_has_not_ended_there_are_no_percentiles() -> None:
    made = Profile.of([begun(), visited("f/a", at=1.0, seq=1)])
    assert [line.split()[-2:] for line in made.table().splitlines()[4:6]] == [["-", "-"]] * 2


def test_no_runs() -> None:
    assert Profile.of([]).table() == "no runs\n"


def test_what_was_waited_for_is_cut_where_the_line_ends() -> None:
    def waited(guard: str, seq: int) -> ExecutionEvent:
        return WaitEnded(
            run_id="r",
            seq=seq,
            path="f/a",
            timestamp=2.0,
            guard=guard,
            outcome="admitted",
            waited=1.0,
        )

    events: list[ExecutionEvent] = [
        begun(),
        visited("f/a", at=0.0, seq=1),
        *(waited(f"guard number {number}", number + 2) for number in range(9)),
        NodeSucceeded(run_id="r", seq=11, path="f/a", timestamp=2.0, exit=None),
        ended(at=2.0, seq=12),
    ]
    table = Profile.of(events).table()
    line = table.splitlines()[4]
    assert len(line) == 100
    assert line.endswith("2.000  guard 'guard number 0' 1.000,...")
