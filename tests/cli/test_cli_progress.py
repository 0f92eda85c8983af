"""What a run looks like while it goes on: the rows folded from its events, and the pictures of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from attrs import define
from rich.console import Console, ConsoleDimensions
from trio.testing import MockClock

from agentflow_trio import RunSnapshot, VisitSnapshot
from agentflow_trio.cli._board import Board, Row, place_of
from agentflow_trio.cli._lines import Lines, one_line
from agentflow_trio.cli.progress import Display, picture
from agentflow_trio.events import (
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    BranchCancelled,
    CallRejected,
    CallTimedOut,
    Caught,
    CircuitChanged,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    ItemFailed,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    RetryScheduled,
    Routed,
    RuleFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
    WaitStarted,
)
from agentflow_trio.flow import Step, Wiring, flow, parallel, step
from agentflow_trio.ports import Observer
from agentflow_trio.types import END, Next


@define
class Nothing:
    pass


@step
async def write(nothing: Nothing) -> None: ...


@step
async def review(nothing: Nothing, *, good: Next, bad: Next) -> Next:
    await trio.lowlevel.checkpoint()
    return good


@step
async def archive(nothing: Nothing) -> None: ...


@flow
def editing(*, done: Next) -> Wiring[Nothing]:
    return [write.then(review), review.to(good=done, bad=write)]


edit = Step(editing, name="edit")


@flow
def once() -> Wiring[Nothing]:
    return [edit.to(done=END)]


edit_once = Step(once)


@flow
def news() -> Wiring[Nothing]:
    return [edit.to(done=archive), archive.then(END)]


class Teller:
    """Makes events of one run, numbered, and tells them to an observer."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.seq = 0

    def __call__(
        self, kind: Callable[..., ExecutionEvent], path: str, at: float, **fields: object
    ) -> None:
        event = kind(run_id="r1", seq=self.seq, path=path, timestamp=at, **fields)
        self.seq += 1
        self.observer.observe(event)


def begin(observer: Observer) -> Teller:
    tell = Teller(observer)
    tell(
        RunStarted,
        "news",
        10.0,
        flow="news",
        definition_hash="h",
        seed=7,
        schema_version=1,
        wall_time=0.0,
    )
    return tell


def end(tell: Teller, at: float, outcome: str, exit_: str | None = None) -> None:
    tell(RunEnded, "news", at, flow="news", outcome=outcome, exit=exit_, steps=3, error=None)


def rows(board: Board) -> dict[str, Row]:
    return {row.place: row for row in board.rows}


# ---------------------------------------------------------------- rows


def test_every_step_has_a_row_before_anything_runs() -> None:
    assert [(row.place, row.name, row.depth, row.status) for row in Board(news).rows] == [
        ("news/edit", "edit", 0, "waiting"),
        ("news/edit/write", "write", 1, "waiting"),
        ("news/edit/review", "review", 1, "waiting"),
        ("news/archive", "archive", 0, "waiting"),
    ]


def test_branches_and_what_is_in_them_have_rows_too() -> None:
    both = Step(parallel(archive, edit_once), name="both")

    @flow
    def branching() -> Wiring[Nothing]:
        return [both.then(END)]

    assert [(row.place, row.depth) for row in Board(branching).rows] == [
        ("branching/both", 0),
        ("branching/both/archive", 1),
        ("branching/both/once", 1),
        ("branching/both/once/edit", 2),
        ("branching/both/once/edit/write", 3),
        ("branching/both/once/edit/review", 3),
    ]


def test_a_row_shows_how_many_of_its_items_are_done_if_that_is_known() -> None:
    board = Board(news)
    tell = begin(board)
    row = rows(board)["news/archive"]
    tell(NodeStarted, "news/archive", 11.0)
    tell(BatchDone, "news/archive[7]", 11.5, done=3, failed=1, total=None)
    assert row.fraction is None
    tell(BatchDone, "news/archive[7]", 11.5, done=3, failed=1, total=8)
    assert row.fraction == 0.5


def test_a_row_counts_visits_and_adds_up_their_time() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/edit/write", 11.0)
    tell(NodeSucceeded, "news/edit/write", 13.0, exit=None)
    tell(NodeStarted, "news/edit/write#2", 20.0)
    row = rows(board)["news/edit/write"]
    assert (row.visits, row.status, row.elapsed(20.5)) == (2, "running", 2.5)
    tell(NodeSucceeded, "news/edit/write#2", 21.0, exit=None)
    assert (row.visits, row.status, row.elapsed(99.0)) == (2, "done", 3.0)
    assert (board.visits, board.run_id, board.elapsed(25.0)) == (2, "r1", 15.0)


@pytest.mark.parametrize(
    ("kind", "fields", "status", "text"),
    [
        (NodeSucceeded, {"exit": "good"}, "done", "→ good"),
        (NodeSucceeded, {"exit": None}, "done", ""),
        (
            NodeFailed,
            {"phase": "exec", "attempt": 1, "error": "ValueError", "message": "no"},
            "failed",
            "ValueError: no",
        ),
        (NodeCancelled, {"phase": "post", "attempt": 1}, "cancelled", "in post"),
    ],
)
def test_a_row_says_how_its_last_visit_ended(
    kind: type[ExecutionEvent], fields: dict[str, object], status: str, text: str
) -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/archive", 11.0)
    tell(kind, "news/archive", 12.0, **fields)
    row = rows(board)["news/archive"]
    assert (row.status, row.text, row.fraction, row.running) == (status, text, None, 0)


def test_a_row_shows_the_last_progress_until_a_new_visit_begins() -> None:
    board = Board(news)
    tell = begin(board)
    row = rows(board)["news/archive"]
    tell(NodeStarted, "news/archive", 11.0)
    tell(Progress, "news/archive", 11.5, fraction=0.5, text="half")
    assert (row.fraction, row.text) == (0.5, "half")
    tell(NodeSucceeded, "news/archive", 12.0, exit=None)
    assert (row.fraction, row.text) == (None, "half")
    tell(NodeStarted, "news/archive#2", 13.0)
    assert (row.fraction, row.text) == (None, "")


def test_a_row_says_what_was_caught_and_what_fell_back() -> None:
    board = Board(news)
    tell = begin(board)
    row = rows(board)["news/archive"]
    tell(NodeStarted, "news/archive", 11.0)
    tell(FallbackUsed, "news/archive", 12.0, error="OSError", message="gone", guard="fallback")
    assert row.text == "fallback for OSError"
    tell(Caught, "news/archive", 12.0, error="ValueError", message="no", target="write")
    assert row.text == "ValueError → write"
    tell(Routed, "news/archive", 12.0, exit=None, target="end")
    assert row.text == "ValueError → write"


def test_several_visits_at_once_are_one_row_that_runs_until_the_last_has_ended() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/archive[0]", 11.0)
    tell(NodeStarted, "news/archive[1]", 12.0)
    tell(NodeSucceeded, "news/archive[0]", 13.0, exit=None)
    row = rows(board)["news/archive"]
    assert (row.running, row.status, row.elapsed(14.0)) == (1, "running", 3.0)


def test_what_the_wiring_does_not_show_gets_a_row_where_it_belongs() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/edit/extra", 11.0)
    tell(NodeStarted, "news/later", 11.0)
    tell(NodeStarted, "elsewhere/deep", 11.0)
    assert [row.place for row in board.rows] == [
        "news/edit",
        "news/edit/write",
        "news/edit/review",
        "news/edit/extra",
        "news/archive",
        "news/later",
        "elsewhere/deep",
    ]


def test_visits_attempts_and_items_are_no_part_of_a_place() -> None:
    assert place_of("news/edit#2@3/write[17]/deep") == "news/edit/write/deep"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("success", "done"), ("error", "failed"), ("cancelled", "cancelled")],
)
def test_the_board_knows_how_and_when_the_run_ended(outcome: str, status: str) -> None:
    board = Board(news)
    tell = begin(board)
    assert (board.outcome, board.exit, board.ended) == ("running", None, None)
    end(tell, 12.5, outcome, "done")
    assert (board.outcome, board.exit, board.elapsed(99.0)) == (status, "done", 2.5)


# ---------------------------------------------------------------- the table


def drawn(
    board: Board, now: float, *, width: int = 60, height: int = 20, ascii_only: bool = False
) -> list[str]:
    """The table as lines of text."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    table = picture(board, now, size=ConsoleDimensions(width, height), ascii_only=ascii_only)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def half_way() -> Board:
    """A board in the middle of a run."""
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/edit", 10.0)
    tell(NodeStarted, "news/edit/write", 10.0)
    tell(NodeSucceeded, "news/edit/write", 11.0, exit=None)
    tell(NodeStarted, "news/edit/review", 11.0)
    tell(NodeSucceeded, "news/edit/review", 11.5, exit="bad")
    tell(NodeStarted, "news/edit/write#2", 11.5)
    tell(Progress, "news/edit/write#2", 12.0, fraction=0.25, text="a\nfirst   draft")
    return board


def test_the_table_shows_the_tree_of_steps_with_progress_and_times() -> None:
    assert drawn(half_way(), 12.0) == [
        "⠋ news          4 visits                           2.0 s",
        "  ⠋ edit        running                            2.0 s",
        "    ⠋ write  x2 ━━━━────────────  25% a first   d… 1.5 s",
        "    ✓ review    → bad                              0.5 s",
        "  · archive",
    ]


def test_before_the_run_begins_no_time_has_passed() -> None:
    assert (
        drawn(Board(news), 5e6)[0] == "· news        0 visits                             0.0 s"
    )


def test_the_table_can_do_with_ascii() -> None:
    lines = drawn(half_way(), 12.0, ascii_only=True)
    assert all(line.isascii() for line in lines)
    assert "####............  25%" in lines[2]
    assert "-> bad" in lines[3]


def test_every_status_has_its_sign() -> None:
    board = half_way()
    tell = Teller(board)
    tell(NodeCancelled, "news/edit/write#2", 12.0, phase="exec", attempt=1)
    tell(NodeCancelled, "news/edit", 12.0, phase="exec", attempt=1)
    tell(
        NodeFailed,
        "news/archive",
        12.0,
        phase="exec",
        attempt=1,
        error="E",
        message="[b]no[/b]",
    )
    end(tell, 12.0, "error")
    signs = [line.strip()[0] for line in drawn(board, 12.0)]
    assert signs == ["✗", "◌", "◌", "✓", "✗"]
    assert "E: [b]no[/b]" in drawn(board, 12.0)[4]


def test_the_head_says_which_exit_was_taken() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/archive", 10.0)
    end(tell, 11.0, "success", "done")
    assert "1 visit, exit done" in drawn(board, 12.0)[0]


def test_visits_at_once_are_counted() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/archive[0]", 10.0)
    tell(NodeStarted, "news/archive[1]", 10.0)
    assert "2 at once running" in drawn(board, 10.0)[4]
    tell(Progress, "news/archive[1]", 10.0, fraction=1.0, text="")
    assert "2 at once ━━━━━━━━━━━━━━━━ 100%" in drawn(board, 10.0)[4]


@pytest.mark.parametrize("width", [20, 30, 44, 60, 200])
def test_no_line_is_as_wide_as_the_terminal(width: int) -> None:
    board = half_way()
    Teller(board)(Progress, "news/edit/write#2", 12.0, fraction=0.5, text="long " * 100)
    assert max(map(len, drawn(board, 12.0, width=width))) <= max(20, width - 4)


@pytest.mark.parametrize("height", [1, 4, 5, 6])
def test_a_low_terminal_shows_what_runs_and_counts_the_rest(height: int) -> None:
    lines = drawn(half_way(), 12.0, height=height)
    assert "news" in lines[0]
    assert any("write" in line for line in lines)
    shown = len(lines) - 2
    assert lines[-1] == f"  {4 - shown} more steps"
    assert len(lines) <= max(3, height)


def live(*inside: VisitSnapshot) -> RunSnapshot:
    return RunSnapshot(
        run_id="r1", flow="news", state="running", age=2.0, steps=4, inside=inside
    )


def visit(
    path: str, waits_for: str = "", at: str | None = None, **fields: Any
) -> VisitSnapshot:
    known = {"phase": "exec", "age": 1.0, "path": path, "waits_for": waits_for, "at": at}
    return VisitSnapshot(**{**known, **fields})


def drawn_live(board: Board, snapshot: RunSnapshot, *, height: int = 20) -> list[str]:
    console = Console(file=io.StringIO(), width=100, height=height, force_terminal=False)
    size = ConsoleDimensions(100, height)
    with console.capture() as capture:
        console.print(picture(board, 12.0, size=size, ascii_only=False, live=snapshot))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_live_table_says_what_each_step_that_runs_waits_for_and_where() -> None:
    write_ = visit("news/edit/write#2", "pool 'db'", "/a/b.py:7 Ask.exec", attempt=3)
    lines = drawn_live(half_way(), live(visit("news/edit", "its steps", inside=(write_,))))
    assert [" ".join(line.split()) for line in lines[:3]] == [
        "⠋ news 4 visits 2.0 s",
        "⠋ edit exec, its steps 2.0 s",
        "⠋ write x2 ━━━━──────────── 25% a first draft exec, attempt 3, pool 'db' at b.py:… 1.5 s",
    ]
    assert lines[3].split()[:2] == ["✓", "review"]  # it does not run


def test_items_of_a_live_table_have_lines_below_their_step() -> None:
    items = [visit(f"news/edit/write#2[{n}]", item=n) for n in (3, 5)]
    whole = visit("news/edit/write#2", "2 items", inside=tuple(items))
    lines = drawn_live(half_way(), live(whole))
    assert [line.split() for line in lines[3:5]] == [
        ["#2[3]", "exec,", "running"],
        ["#2[5]", "exec,", "running"],
    ]


def test_of_many_items_in_a_live_table_those_that_are_alike_share_a_line() -> None:
    sleeps = [visit(f"news/archive[{n}]", f"a sleep, {n}.5 s more", item=n) for n in range(990)]
    kinds = [visit(f"news/archive[{n}]", f"wait{n}", item=n) for n in range(990, 996)]
    board = Board(news)
    begin(board)(NodeStarted, "news/archive", 10.0)
    lines = drawn_live(board, live(visit("news/archive", inside=(*sleeps, *kinds))))
    assert [" ".join(line.split()) for line in lines[5:]] == [
        "[0] and 989 more exec, a sleep, 0.5 s more",
        "[990] exec, wait990",
        "[991] exec, wait991",
        "[992] exec, wait992",
        "... 3 more kinds of waiting",
    ]
    few = drawn_live(board, live(visit("news/archive", inside=(*sleeps, *kinds))), height=9)
    assert len(few) <= 9
    assert few[-2].split()[:2] == ["[0]", "and"]


def test_visits_at_once_in_a_live_table_have_a_line_each_and_several_of_a_kind_one() -> None:
    board = Board(news)
    tell = begin(board)
    tell(NodeStarted, "news/archive", 10.0)
    tell(NodeStarted, "news/archive#2", 10.0)
    many = [visit(f"news/archive#{n}", "Event.wait") for n in range(2, 8)]
    lines = drawn_live(board, live(*many[:2]))
    assert [" ".join(line.split()) for line in lines[5:]] == [
        "#2 exec, Event.wait",
        "#3 exec, Event.wait",
    ]
    assert (
        " ".join(drawn_live(board, live(*many))[5].split()) == "#2 and 5 more exec, Event.wait"
    )


async def test_a_live_display_looks_before_it_draws_and_not_at_the_end(
    autojump_clock: MockClock,
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=20, color_system=None)
    board = Board(news)
    with Display(board, console, live=True) as display:
        tell = begin(board)
        tell(NodeStarted, "news/archive", 10.0)
        with trio.move_on_after(0.05):
            await display.keep_drawing(lambda: live(visit("news/archive", "Event.wait")))
        assert "exec, Event.wait" in out.getvalue()
        tell(NodeSucceeded, "news/archive", 11.0, exit=None)
        end(tell, 11.0, "success")
    assert "Event.wait" not in out.getvalue().rpartition("news")[2]


def nobody_looks() -> RunSnapshot:
    pytest.fail("without --live nobody looks")


async def test_the_display_redraws_ten_times_a_second_and_leaves_the_final_table(
    autojump_clock: MockClock,
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=20, color_system=None)
    board = Board(news)
    display = Display(board, console)
    assert display.observer is board
    with display:
        tell = begin(board)
        with trio.move_on_after(1.05):
            await display.keep_drawing(nobody_looks)
        assert out.getvalue().count("archive") == 11
        display.say("a word")
        display.restore()
        end(tell, 11.0, "success")
    assert "a word" in out.getvalue()
    assert "✓ news" in out.getvalue().rpartition("news")[0].rpartition("\n")[2] + "news"
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


# ---------------------------------------------------------------- lines


def test_lines_say_everything_but_routes_and_progress() -> None:
    out = io.StringIO()
    lines = Lines(out)
    assert lines.observer is lines
    tell = begin(lines)
    tell(NodeStarted, "news/edit", 10.5)
    tell(Progress, "news/edit", 10.5, fraction=0.5, text="half")
    tell(FallbackUsed, "news/edit", 10.5, error="OSError", message="gone", guard="fallback")
    tell(Caught, "news/edit", 10.5, error="OSError", message="gone", target="archive")
    tell(Routed, "news/edit", 10.5, exit=None, target="archive")
    tell(
        NodeFailed,
        "news/edit",
        11.0,
        duration_ms=500.0,
        phase="prep",
        attempt=2,
        error="E",
        message="a\x1b[31m\nb",
    )
    tell(NodeCancelled, "news/edit#2", 11.0, duration_ms=250.0, phase="exec", attempt=1)
    tell(BranchCancelled, "news/all/x", 11.0, duration_ms=250.0, reason="too slow")
    tell(CleanupOverrun, "news/edit#2", 11.0, callback="close", grace=5.0, stack=())
    for tolerated in (True, False):
        tell(
            ItemFailed,
            "news/edit#2[3]",
            11.0,
            duration_ms=250.0,
            attempt=1,
            error="E",
            message="a",
            tolerated=tolerated,
        )
    tell(ThreadAbandoned, "news/edit#2", 11.0, function="spin")
    tell(
        ThreadEnded,
        "news/edit#2",
        11.0,
        duration_ms=1.0,
        function="spin",
        error=None,
        message=None,
    )
    tell(
        ThreadEnded,
        "news/edit#2",
        11.0,
        duration_ms=1.0,
        function="spin",
        error="E",
        message="a",
    )
    for stack in (("a.py:1 in f", "b.py:7 in spin"), ()):
        tell(LoopBlocked, "news/edit#2", 11.0, seconds=0.25, task="f", stack=stack)
    tell(ObserverFailed, "news", 11.0, observer="spy", reason="slow")
    tell(
        RunEnded,
        "news",
        12.0,
        duration_ms=2000.0,
        flow="news",
        outcome="cancelled",
        exit=None,
        steps=1,
        error=None,
    )
    lines.restore()
    assert out.getvalue().splitlines() == [
        "    0.000  news started, run r1, seed 7",
        "    0.500  news/edit started",
        "    0.500  news/edit fell back after OSError: gone",
        "    0.500  news/edit caught OSError, goes to archive",
        "    1.000  news/edit failed in prep after 0.500 s: E: a [31m b",
        "    1.000  news/edit#2 cancelled in exec after 0.250 s",
        "    1.000  news/all/x left out after 0.250 s: too slow",
        "    1.000  news/edit#2 cleanup close did not end within 5 s",
        "    1.000  news/edit#2[3] failed after 0.250 s, the step goes on: E: a",
        "    1.000  news/edit#2[3] failed after 0.250 s: E: a",
        "    1.000  news/edit#2 abandoned its thread, which works on: spin",
        "    1.000  news/edit#2 abandoned thread ended: spin",
        "    1.000  news/edit#2 abandoned thread ended by E: a: spin",
        "    1.000  news/edit#2 blocked the loop for 0.250 s at b.py:7 in spin",
        "    1.000  news/edit#2 blocked the loop for 0.250 s",
        "    1.000  news observer spy was switched off: slow",
        "    2.000  news ended: cancelled after 2.000 s, 1 step",
    ]


WHAT_GUARDS_DO: list[tuple[type[ExecutionEvent], dict[str, Any], str]] = [
    (
        CallRejected,
        {"reason": "open", "retry_after": 1.5},
        "rejected by web: open, again in 1.5 s",
    ),
    (CallRejected, {"reason": "full", "retry_after": None}, "rejected by web: full"),
    (
        AttemptFailed,
        {"attempt": 1, "error": "OSError", "message": "gone"},
        "attempt 1 failed: OSError: gone",
    ),
    (RetryScheduled, {"attempt": 2, "delay": 0.12345}, "attempt 2 in 0.123 s"),
    (
        GaveUp,
        {"attempts": 3, "elapsed": 1.5, "reason": "attempts"},
        "gave up after 3 attempts, 1.500 s: attempts",
    ),
    (
        GaveUp,
        {"attempts": 1, "elapsed": 0.0, "reason": "permanent"},
        "gave up after 1 attempt, 0.000 s: permanent",
    ),
    (
        CircuitChanged,
        {
            "before": "closed",
            "state": "open",
            "generation": 2,
            "cause": "failures",
            "retry_after": 30.0,
        },
        "circuit web is open, was closed: failures, again in 30 s",
    ),
    (
        CircuitChanged,
        {
            "before": "half_open",
            "state": "closed",
            "generation": 4,
            "cause": "probe",
            "retry_after": None,
        },
        "circuit web is closed, was half_open: probe",
    ),
    (CallTimedOut, {"seconds": 0.25}, "timed out by web after 0.25 s"),
    (RuleFailed, {"error": "E", "message": "a"}, "a rule of web failed: E: a"),
    (
        HedgeStarted,
        {"attempt": 2, "reason": "delay"},
        "web begins attempt 2: so far none has ended",
    ),
    (HedgeStarted, {"attempt": 3, "reason": "failure"}, "web begins attempt 3: one failed"),
    (
        FaultInjected,
        {"fault": "latency", "delay": 0.25, "error": ""},
        "chaos web injected 0.25 s of latency",
    ),
    (
        FaultInjected,
        {"fault": "behaviour", "delay": 0.0, "error": ""},
        "chaos web injected its behaviour",
    ),
    (
        FaultInjected,
        {"fault": "error", "delay": 0.0, "error": "OSError"},
        "chaos web injected OSError",
    ),
    (
        FaultInjected,
        {"fault": "outcome", "delay": 0.0, "error": ""},
        "chaos web injected another outcome",
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    WHAT_GUARDS_DO,
    ids=[words for _, _, words in WHAT_GUARDS_DO],
)
def test_what_a_guard_does_is_a_line_and_the_text_of_its_row(
    kind: type[ExecutionEvent], fields: dict[str, Any], words: str
) -> None:
    out = io.StringIO()
    board = Board(news)
    for tell in (begin(Lines(out)), begin(board)):
        tell(NodeStarted, "news/edit", 10.0)
        tell(kind, "news/edit[3]", 10.5, guard="web", **fields)
        tell(WaitStarted, "news/edit[3]", 10.5, guard="web", waiting=1)
    assert out.getvalue().splitlines()[2:] == [f"    0.500  news/edit[3] {words}"]
    assert rows(board)["news/edit"].text == words


def alert(observer: Observer, kind: type[AlertFired | AlertResolved], **fields: Any) -> None:
    observer.observe(
        kind(**{
            "timestamp": 12.5,
            "alert": "slow",
            "severity": "critical",
            "condition": "p95(news.duration_ms[5m])",
            "value": 1234.5678,
            "threshold": 1000,
            **fields,
        })
    )


NOW = "p95(news.duration_ms[5m]) is 1234.57, threshold 1000"


def test_an_alert_is_a_line_when_it_fires_and_when_it_is_resolved() -> None:
    out = io.StringIO()
    lines = Lines(out)
    begin(lines)
    alert(lines, AlertFired)
    alert(lines, AlertResolved, duration_ms=250.0)
    alert(lines, AlertResolved, value=None)
    assert out.getvalue().splitlines()[1:] == [
        f"    2.500  alert slow fired (critical): {NOW}",
        f"    2.500  alert slow resolved after 0.250 s: {NOW}",
        "    2.500  alert slow resolved: p95(news.duration_ms[5m]) is no data, threshold 1000",
    ]


def test_an_alert_stays_in_the_table_and_takes_no_room_that_is_not_there() -> None:
    board = half_way()
    alert(board, AlertFired)
    assert drawn(board, 12.0, width=120)[5:] == [
        f"  ✗             alert slow fired (critical): {NOW}"
    ]
    alert(board, AlertResolved, duration_ms=250.0)
    assert drawn(board, 12.0, width=120)[5:] == [
        f"  ✓             alert slow resolved after 0.250 s: {NOW}"
    ]
    assert [len(drawn(board, 12.0, height=height)) for height in (4, 5, 6, 20)] == [3, 4, 4, 6]


def test_a_line_stays_a_line() -> None:
    assert one_line(" a\r\nb\x1b\x9bc\t") == "a b c"


def test_rows_are_plain_data() -> None:
    assert attrs.asdict(Row("news/edit"))["place"] == "news/edit"
