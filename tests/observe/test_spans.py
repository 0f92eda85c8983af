"""Spans begin and end where events say so, for all shapes, and also where the events stop too early or begin too late."""

from __future__ import annotations

from typing import Literal

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio import (
    Bulkhead,
    BulkheadPolicy,
    Hedge,
    HedgePolicy,
    Retry,
    RetryPolicy,
    Step,
    current_step,
    each,
    step,
)
from agentflow_trio.events import (
    AlertFired,
    AttemptFailed,
    BatchDone,
    Caught,
    ExecutionEvent,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    RetryScheduled,
    ThreadEnded,
    WaitEnded,
    WaitStarted,
)
from agentflow_trio.observe import Profile, Wait, spans_of

from .profile_kit import (
    RETRY,
    Notes,
    Sleepers,
    begun,
    chapters,
    ended,
    every_shape,
    failing,
    lines,
    recorded,
    row,
    taking,
    tolerant,
    visited,
    with_fallback,
)


def test_a_run_of_every_shape() -> None:
    (run,) = spans_of(recorded(every_shape()))
    assert run.missing == 0
    assert lines(run) == [
        "shapes 0-34 success",
        "shapes/flaky 0-6 success @1:0-1:error @2:2-3:error @3:5-6:success <a retry 1-2> <a retry 3-5>",
        "shapes/loop 6-6.5 success exit=again",
        "shapes/loop#2 6.5-7 success exit=done",
        "shapes/items 7-16 success @1:7-9:error @2:10-16:success <a retry 9-10>",
        "shapes/items[0] 7-8 success",
        "shapes/items[1] 7-9 error (tried again)",
        "shapes/items[0] 10-11 success",
        "shapes/items[1] 10-12 success",
        "shapes/items[2] 11-14 success",
        "shapes/items[3] 12-16 success",
        "shapes/both 16-18 success",
        "shapes/both/b 16-17 success",
        "shapes/both/a 16-18 success <guard 'db' 16-17>",
        "shapes/nested 18-31 success @1:18-24:error @2:25-31:success <a retry 24-25>",
        "shapes/nested/slow 18-23 success",
        "shapes/nested/bad 23-24 error (tried again)",
        "shapes/nested@2/slow 25-30 success",
        "shapes/nested@2/bad 30-31 success",
        "shapes/first 31-32 success",
        "shapes/first/hare 31-32 success",
        "shapes/first/tortoise 31-32 cancelled",
        "shapes/fails 32-33 error (caught by rescue)",
        "shapes/rescue 33-34 success",
    ]


def test_a_span_knows_where_it_is() -> None:
    (run,) = spans_of(recorded(every_shape()))
    spans = {span.path: span for span in run.root.walk()}
    assert [(span.kind, span.place, span.parent) for span in spans.values()][:5] == [
        ("run", "shapes", ""),
        ("visit", "shapes/flaky", "shapes"),
        ("visit", "shapes/loop", "shapes"),
        ("visit", "shapes/loop", "shapes"),
        ("visit", "shapes/items", "shapes"),
    ]
    item, again = spans["shapes/items[1]"], spans["shapes/nested@2/bad"]
    assert (item.kind, item.place, item.parent) == ("item", "shapes/items[*]", "shapes/items")
    assert (again.place, again.parent) == ("shapes/nested/bad", "shapes/nested@2")
    assert (item.tries, spans["shapes/flaky"].tries, item.duration) == (1, 3, 2.0)
    assert (spans["shapes/fails"].handled, spans["shapes/rescue"].handled) == (
        "caught by rescue",
        "",
    )


def test_an_attempt_that_failed_names_the_class_of_the_error() -> None:
    (run,) = spans_of(recorded(every_shape()))
    flaky, *_ = run.root.children
    assert [one.error for one in flaky.attempts] == ["ValueError", "ValueError", None]
    (cut_off,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        failed_once("f/a", at=1.0, seq=2),
        pause("f/a", at=1.0, seq=3, attempt=2),
        cancelled("f/a", at=3.0, seq=4),
    ])
    (visit,) = cut_off.root.children
    first, second = visit.attempts
    assert (first.error, second.outcome, second.error) == ("E", "cancelled", "OSError")


def test_own_time_is_what_is_left_when_everything_inside_and_every_wait_is_taken_away() -> None:
    (run,) = spans_of(recorded(every_shape()))
    own = {span.path: span.own for span in run.root.walk()}
    assert own["shapes/flaky"] == 3.0
    assert own["shapes/both/a"] == 1.0
    assert own["shapes/items[3]"] == 4.0
    assert (
        own["shapes"]
        == own["shapes/items"]
        == own["shapes/both"]
        == own["shapes/nested"]
        == 0.0
    )


def test_a_flow_for_each_item_is_inside_its_item() -> None:
    (run,) = spans_of(recorded(row("f", chapters(False, False, False))))
    assert sorted(lines(run)) == [
        "f 0-6 success",
        "f/chapters 0-6 success",
        "f/chapters[0] 0-3 success",
        "f/chapters[0]/read 0-1 success",
        "f/chapters[0]/write 1-3 success",
        "f/chapters[1] 0-3 success",
        "f/chapters[1]/read 0-1 success",
        "f/chapters[1]/write 1-3 success",
        "f/chapters[2] 3-6 success",
        "f/chapters[2]/read 3-4 success",
        "f/chapters[2]/write 4-6 success",
    ]


def test_an_item_that_was_cut_off_ends_with_what_is_around_it() -> None:
    """Its own end is no event; what happened inside says that it was there."""
    (run,) = spans_of(recorded(row("f", chapters(False, True)), at=4.0))
    assert sorted(lines(run)) == [
        "f 0-4 cancelled",
        "f/chapters 0-4 cancelled",
        "f/chapters[0] 0-3 success",
        "f/chapters[0]/read 0-1 success",
        "f/chapters[0]/write 1-3 success",
        "f/chapters[1] 0-4 cancelled",
        "f/chapters[1]/read 0-1 success",
        "f/chapters[1]/write 1-4 cancelled",
    ]


def test_failures_that_something_was_done_about_say_so() -> None:
    (run,) = spans_of(recorded(row("f", tolerant(1.0, 2.0, bad=(1,)), with_fallback())))
    assert lines(run) == [
        "f 0-6 success",
        "f/items 0-3 success",
        "f/items[0] 0-1 success",
        "f/items[1] 1-3 error (tolerated)",
        "f/work 3-6 success (a fallback stood in) @1:3-4:error @2:5-6:error <a retry 4-5>",
    ]


def test_a_failure_says_class_and_text() -> None:
    (run,) = spans_of(recorded(row("f", failing(1, "bad"))))
    (bad,) = run.root.children
    assert (bad.error, bad.message) == ("ValueError", "bad, time 1")
    assert run.root.outcome == "error"
    assert run.root.error is not None
    assert run.root.error.startswith("FlowFailedError: ")


def test_a_retry_in_the_nodes_own_code_is_a_pause_but_no_attempt_of_the_visit() -> None:
    retry = Retry(RETRY, name="http")
    times = 0

    @step
    async def fetch(notes: Notes) -> None:
        nonlocal times
        async for attempt in retry:
            async with attempt:
                times += 1
                if times < 2:
                    raise OSError

    (run,) = spans_of(recorded(row("f", fetch)))
    assert lines(run) == ["f 0-1 success", "f/fetch 0-1 success <a retry 0-1>"]
    (visit,) = run.root.children
    assert visit.waits == (Wait(guard="http", retry=True, start=0.0, end=1.0),)


def test_a_wait_that_is_cut_off_lasts_as_long_as_its_span() -> None:
    lock = Bulkhead("lock", BulkheadPolicy(limit=1))
    items = Step(each(Sleepers(9.0, 9.0), concurrent=2, guards=(lock,)), name="items")
    (run,) = spans_of(recorded(row("f", items), at=4.0))
    assert lines(run) == [
        "f 0-4 cancelled",
        "f/items 0-4 cancelled",
        "f/items[1] 0-4 cancelled <guard 'lock' 0-4>",
    ]


def test_a_pause_that_is_cut_off_is_followed_by_no_attempt() -> None:
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        failed_once("f/a", at=1.0, seq=2),
        pause("f/a", at=1.0, seq=3, attempt=2),
        failed_once("f/a", at=3.0, seq=4, attempt=2),
        pause("f/a", at=3.0, seq=5, attempt=3),
        cancelled("f/a", at=3.5, seq=6),
    ])
    attempts, waits = "@1:0-1:error @2:2-3:error", "<a retry 1-2> <a retry 3-3.5>"
    assert lines(run)[1] == f"f/a 0-3.5 cancelled {attempts} {waits}"
    (visit,) = run.root.children
    assert visit.waits[1] == Wait(guard="a", retry=True, start=3.0, end=3.5)


def test_an_attempt_that_takes_no_time_is_one() -> None:
    times = 0

    @step(name="a", retry=RETRY)
    async def fails_once(notes: Notes) -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise OSError

    (run,) = spans_of(recorded(row("f", fails_once)))
    assert lines(run)[1] == "f/a 0-1 success @1:0-0:error @2:1-1:success <a retry 0-1>"


def test_a_step_that_runs_alone_is_a_visit_with_the_path_of_its_run() -> None:
    events = recorded(taking(1.0, "alone"))
    (run,) = spans_of(events)
    assert lines(run) == ["alone 0-1 success", "alone 0-1 success"]
    assert [span.kind for span in run.root.walk()] == ["run", "visit"]
    made = Profile.of(events)
    assert [
        (one.kind, one.place, one.visits, one.own, one.critical) for one in made.places
    ] == [
        ("visit", "alone", 1, 1.0, 1.0),
        ("run", "alone", 1, 0.0, 0.0),
    ]
    (late,) = spans_of(events[2:])
    assert lines(late) == lines(run)


def test_attempts_of_a_step_that_runs_alone_are_its_own_wherever_the_events_begin() -> None:
    """It has the path of its run, and a run is not tried again."""
    events = recorded(failing(1, "alone").with_(retry=RETRY))
    attempts = "@1:0-1:error @2:2-3:success <a retry 1-2>"
    expected = ["alone 0-3 success", f"alone 0-3 success {attempts}"]
    for many in (0, 1, 2):
        (run,) = spans_of(events[many:])
        assert lines(run) == expected
    (lost,) = spans_of(event for event in events if not isinstance(event, NodeStarted))
    assert (lost.root.attempts, lost.root.tries) == ((), 1)


@pytest.mark.parametrize("name", ["h", "inner"], ids=["own", "the step's"])
def test_attempts_beside_each_other_have_spans_beside_each_other_whatever_the_hedge_is_called(
    name: str,
) -> None:
    @step(name="b")
    async def once_slow_and_bad(notes: Notes) -> None:
        late = "@" in current_step().path
        await trio.sleep(3.0 if late else 1.5)
        if not late:
            raise OSError("down")

    inner = row("inner", taking(1.0, "a"), once_slow_and_bad)
    (run,) = spans_of(recorded(row("f", Step(inner, hedge=Hedge(after=1.0, name=name)))))
    assert lines(run) == [
        "f 0-5 success",
        "f/inner 0-5 success ~1:0-2.5:error ~2:1-5:success",
        "f/inner/a 0-1 success",
        "f/inner@2/a 1-2 success",
        "f/inner/b 1-2.5 error (another attempt won)",
        "f/inner@2/b 2-5 success",
    ]


def hedged(*behaviours: tuple[float, bool], retry: RetryPolicy | None = None) -> list[str]:
    """The spans of a step whose attempts take so many seconds each and fail or not; the hedge waits one second."""
    count = 0

    @step(name="a", hedge=Hedge(HedgePolicy(after=1.0, max_attempts=3)), retry=retry)
    async def asks(notes: Notes) -> None:
        nonlocal count
        seconds, bad = behaviours[count]
        count += 1
        await trio.sleep(seconds)
        if bad:
            raise OSError("down")

    (run,) = spans_of(recorded(row("f", asks)))
    return lines(run)[1:]


def test_attempts_of_a_hedge_have_their_own_beginning_and_end() -> None:
    assert hedged((9.0, False), (0.5, False)) == [
        "f/a 0-1.5 success ~1:0-1.5:cancelled ~2:1-1.5:success"
    ]
    assert hedged((0.5, True), (2.0, False), (9.0, False)) == [
        "f/a 0-2.5 success ~1:0-0.5:error ~2:0.5-2.5:success ~3:1.5-2.5:cancelled"
    ]
    assert hedged((0.5, False)) == ["f/a 0-0.5 success"]
    assert hedged((0.5, True), (0.25, True), (0.5, False)) == [
        "f/a 0-1.25 success ~1:0-0.5:error ~2:0.5-0.75:error ~3:0.75-1.25:success"
    ]


def hedge_began(
    *, at: float, seq: int, attempt: int, reason: Literal["delay", "failure"] = "delay"
) -> HedgeStarted:
    """An attempt of a hedge ``h`` in the code of a node."""
    return HedgeStarted(
        run_id="r",
        seq=seq,
        path="f/a",
        timestamp=at,
        guard="h",
        attempt=attempt,
        reason=reason,
    )


def test_the_first_attempt_of_a_hedge_began_with_its_visit_or_after_the_last_pause() -> None:
    told: list[ExecutionEvent] = [begun(), visited("f/a", at=0.0, seq=1)]
    (first,) = spans_of([*told, hedge_began(at=1.0, seq=2, attempt=2)])
    assert lines(first)[1] == "f/a 0-1 unfinished ~1:0-1:unfinished ~2:1-1:unfinished"
    told += [failed_once("f/a", at=1.0, seq=2), pause("f/a", at=1.0, seq=3, attempt=2)]
    (later,) = spans_of([*told, hedge_began(at=3.0, seq=4, attempt=3)])
    assert lines(later)[1].split(" ~")[1:] == [
        "2:2-3:unfinished",
        "3:3-3:unfinished <a retry 1-2>",
    ]


def test_a_failure_before_a_hedge_is_that_of_its_first_attempt_only_if_it_says_so() -> None:
    def spans(reason: Literal["delay", "failure"]) -> str:
        failed = attrs.evolve(failed_once("f/a", at=1.0, seq=2), guard="h", own=False)
        second = hedge_began(at=2.0, seq=3, attempt=2, reason=reason)
        (run,) = spans_of([begun(), visited("f/a", at=0.0, seq=1), failed, second])
        return lines(run)[1]

    assert spans("failure") == "f/a 0-2 unfinished ~1:0-1:error ~2:2-2:unfinished"
    assert spans("delay") == "f/a 0-2 unfinished ~1:0-2:unfinished ~2:2-2:unfinished"


def test_of_attempts_beside_each_other_the_one_fails_that_is_told_of() -> None:
    second = attrs.evolve(failed_once("f/a", at=2.0, seq=3, attempt=2), guard="h", own=False)
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        hedge_began(at=1.0, seq=2, attempt=2),
        second,
        hedge_began(at=2.0, seq=4, attempt=3, reason="failure"),
        hedge_began(at=3.0, seq=5, attempt=4),
        HedgeWon(
            run_id="r", seq=6, path="f/a", timestamp=4.0, guard="h", attempt=3, attempts=4
        ),
        cancelled("f/a", at=5.0, seq=7),
    ])
    assert lines(run)[1] == (
        "f/a 0-5 cancelled ~1:0-4:cancelled ~2:1-2:error ~3:2-4:success ~4:3-4:cancelled"
    )
    (visit,) = run.root.children
    assert [one.error for one in visit.hedges] == [None, "E", None, None]


def test_a_failure_in_the_nodes_own_code_ends_nothing_inside() -> None:
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        visited("f/a/b", at=1.0, seq=2),
        attrs.evolve(failed_once("f/a", at=2.0, seq=3), guard="http", own=False),
        succeeded("f/a/b", at=3.0, seq=4, took=None),
    ])
    assert lines(run)[2:] == ["f/a/b 1-3 success"]


def test_a_pause_in_the_nodes_own_code_is_none_of_the_retry_of_its_step() -> None:
    inner = attrs.evolve(pause("f/a", at=2.5, seq=4, attempt=2), guard="http", own=False)
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        failed_once("f/a", at=1.0, seq=2),
        pause("f/a", at=1.0, seq=3, attempt=2),
        inner,
        cancelled("f/a", at=4.0, seq=5),
    ])
    assert lines(run)[1] == (
        "f/a 0-4 cancelled @1:0-1:error @2:2-4:cancelled <a retry 1-2> <a retry 2.5-3.5>"
    )


def test_a_hedge_in_each_attempt_of_a_retry_begins_with_it() -> None:
    again = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)
    assert hedged(
        (2.0, True), (2.0, True), (2.0, True), (9.0, False), (1.0, False), retry=again
    ) == [
        (
            "f/a 0-7 success @1:0-4:error @4:5-7:success ~1:0-2:error ~2:1-3:error ~3:2-4:error"
            " ~4:5-7:cancelled ~5:6-7:success <a retry 4-5>"
        )
    ]


def test_a_profile_counts_each_attempt_once_beside_others_or_after_them() -> None:
    """Two beside each other fail, one alone ends well; what hedges in the node's code do is not the visit's."""
    again = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)
    inner = Hedge(after=0.1)

    @step(name="a", hedge=Hedge(after=1.0), retry=again)
    async def asks(notes: Notes) -> None:
        await inner.call(trio.sleep, 0.2)
        if current_step().attempt < 3:
            await trio.sleep(2.0)
            raise OSError("down")

    (run,) = spans_of(recorded(row("f", asks)))
    (visit,) = run.root.children
    assert visit.tries == 3
    assert [one.number for one in visit.attempts] == [1, 3]
    assert sorted(one.number for one in visit.hedges if one.own) == [1, 2]


def test_attempts_of_a_hedge_that_goes_on_end_with_their_step() -> None:
    events = recorded(row("f", taking(9.0, "a").with_(hedge=Hedge(after=1.0))), at=4.0)
    (run,) = spans_of(events)
    assert lines(run)[1:] == ["f/a 0-4 cancelled ~1:0-4:cancelled ~2:1-4:cancelled"]
    (killed,) = spans_of(
        event
        for event in events
        if event.event_type in {"run_start", "node_start", "hedge_start"}
    )
    assert lines(killed)[1:] == ["f/a 0-1 unfinished ~1:0-1:unfinished ~2:1-1:unfinished"]
    (visit,) = run.root.children
    assert visit.tries == 2


def test_what_a_hedge_is_told_of_that_nobody_saw_begin_is_passed_over() -> None:
    events = recorded(row("f", taking(9.0, "a").with_(hedge=Hedge(after=1.0))))
    (run,) = spans_of(event for event in events if event.event_type != "hedge_start")
    assert lines(run)[1:] == ["f/a 0-9 success"]


def test_hedges_in_a_nodes_own_code_are_told_apart_by_their_names_and_numbers() -> None:
    """What fits none of them, as it is of a retry, changes nothing."""

    def begins(seq: int, guard: str) -> HedgeStarted:
        return HedgeStarted(
            run_id="r",
            path="f/a",
            seq=seq,
            timestamp=1.0,
            guard=guard,
            attempt=2,
            reason="delay",
        )

    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        begins(2, "g"),
        begins(3, "h"),
        HedgeWon(
            run_id="r", path="f/a", seq=4, timestamp=2.0, guard="other", attempt=1, attempts=2
        ),
        GaveUp(
            run_id="r",
            path="f/a",
            seq=5,
            timestamp=2.0,
            guard="h",
            attempts=3,
            elapsed=2.0,
            reason="x",
        ),
        AttemptFailed(
            run_id="r",
            path="f/a",
            seq=6,
            timestamp=3.0,
            guard="h",
            attempt=1,
            error="E",
            message="",
        ),
        HedgeWon(
            run_id="r", path="f/a", seq=7, timestamp=4.0, guard="h", attempt=2, attempts=2
        ),
        succeeded("f/a", at=9.0, seq=8, took=9.0),
    ])
    assert lines(run)[1:] == [
        "f/a 0-9 success ~1:0-3:error ~2:1-4:success ~1:0-9:cancelled ~2:1-9:cancelled"
    ]


# ---------------------------------------------------------------- any events


def wait_start(*, at: float, seq: int, guard: str = "g", path: str = "f/a") -> WaitStarted:
    return WaitStarted(run_id="r", seq=seq, path=path, timestamp=at, guard=guard, waiting=1)


def succeeded(path: str, *, at: float, seq: int, took: float | None) -> NodeSucceeded:
    length = None if took is None else took * 1000.0
    return NodeSucceeded(
        run_id="r", seq=seq, path=path, timestamp=at, duration_ms=length, exit=None
    )


def failed_once(path: str, *, at: float, seq: int, attempt: int = 1) -> AttemptFailed:
    """An attempt of *path*, of the retry of a step ``a``."""
    return AttemptFailed(
        run_id="r",
        seq=seq,
        path=path,
        timestamp=at,
        guard="a",
        own=True,
        attempt=attempt,
        error="E",
        message="",
    )


def cancelled(path: str, *, at: float, seq: int) -> NodeCancelled:
    return NodeCancelled(
        run_id="r",
        seq=seq,
        path=path,
        timestamp=at,
        phase="exec",
        attempt=1,
        error="OSError",
        message="gone",
    )


def pause(path: str, *, at: float, seq: int, attempt: int) -> RetryScheduled:
    """A second, before an attempt of the retry of a step ``a``."""
    return RetryScheduled(
        run_id="r",
        seq=seq,
        path=path,
        timestamp=at,
        guard="a",
        own=True,
        attempt=attempt,
        delay=1.0,
    )


def wait_end(*, at: float, seq: int, waited: float, guard: str = "g") -> WaitEnded:
    return WaitEnded(
        run_id="r",
        seq=seq,
        path="f/a",
        timestamp=at,
        guard=guard,
        outcome="admitted",
        waited=waited,
    )


def test_waits_of_several_tasks_of_one_node_are_told_apart_by_their_length() -> None:
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        wait_start(at=0.0, seq=2),
        wait_start(at=1.0, seq=3),
        wait_start(at=1.0, seq=4, guard="h"),
        wait_end(at=2.0, seq=5, waited=1.0),
    ])
    (visit,) = run.root.children
    assert visit.waits == (
        Wait(guard="g", start=1.0, end=2.0),
        Wait(guard="g", start=0.0, end=2.0),
        Wait(guard="h", start=1.0, end=2.0),
    )


def test_events_that_stop_leave_unfinished_spans_that_last_until_the_last_of_them() -> None:
    """The process was killed; one pause would have lasted longer."""
    events = recorded(every_shape())
    (run,) = spans_of(event for event in events if event.timestamp < 10.5)
    assert lines(run) == [
        "shapes 0-10 unfinished" if run.root.end == 10.0 else "shapes 0-9 unfinished",
        "shapes/flaky 0-6 success @1:0-1:error @2:2-3:error @3:5-6:success <a retry 1-2> <a retry 3-5>",
        "shapes/loop 6-6.5 success exit=again",
        "shapes/loop#2 6.5-7 success exit=done",
        "shapes/items 7-9 unfinished @1:7-9:error <a retry 9-9>",
        "shapes/items[0] 7-8 success",
        "shapes/items[1] 7-9 error (tried again)",
    ]


SHAPES = recorded(every_shape())


@given(st.integers(0, len(SHAPES)))
def test_wherever_the_events_stop_all_that_began_is_there_and_nothing_else(many: int) -> None:
    events = SHAPES[:many]
    spans = [span for run in spans_of(events) for span in run.root.walk()]
    visits = [span for span in spans if span.kind == "visit"]
    assert len(visits) == sum(isinstance(event, NodeStarted) for event in events)
    ends = sum(isinstance(event, NodeSucceeded) for event in events)
    assert sum(span.outcome == "success" for span in visits) == ends
    assert all(span.start <= span.end <= events[-1].timestamp for span in spans)


@given(st.integers(1, len(SHAPES) - 1))
def test_wherever_the_events_begin_what_ended_is_there_with_its_whole_length(many: int) -> None:
    """As when a subscriber lagged, or a file was filtered."""
    (run,) = spans_of(SHAPES[many:])
    assert run.missing == many
    assert run.root.start <= min(span.start for span in run.root.walk())
    whole = {(span.path, span.end): span for span in next(iter(spans_of(SHAPES))).root.walk()}
    for event in SHAPES[many:]:
        if isinstance(event, NodeSucceeded | NodeFailed | NodeCancelled | BatchDone):
            (found,) = [
                span
                for span in run.root.walk()
                if (span.path, span.end) == (event.path, event.timestamp)
            ]
            assert found.start == whole[event.path, event.timestamp].start
            assert found.outcome == whole[event.path, event.timestamp].outcome


def test_runs_may_be_mixed_and_come_in_the_order_of_their_ends() -> None:
    first, second, third = spans_of([
        begun("f", run_id="1"),
        begun("g", run_id="2", at=1.0),
        begun("h", run_id="3", at=1.0),
        visited("f/a", run_id="1", at=1.0, seq=1),
        ended("g", run_id="2", at=2.0, seq=1),
        NodeSucceeded(
            run_id="1", seq=2, path="f/a", timestamp=3.0, duration_ms=2000.0, exit=None
        ),
        ended("f", run_id="1", at=3.0, seq=3),
    ])
    assert [(run.run_id, run.root.outcome) for run in (first, second, third)] == [
        ("2", "success"),
        ("1", "success"),
        ("3", "unfinished"),
    ]
    assert lines(second) == ["f 0-3 success", "f/a 1-3 success"]


def test_an_id_that_begins_again_is_another_run() -> None:
    """As in a file of several simulations, whose ids are the same; the first was killed."""
    killed, whole = spans_of([begun(at=0.0), begun(at=5.0), ended(at=6.0, seq=1)])
    assert (lines(killed), lines(whole)) == (["f 0-0 unfinished"], ["f 5-6 success"])


def test_events_of_no_run_and_those_after_its_end_change_nothing() -> None:
    run: list[ExecutionEvent] = [begun(), ended(at=1.0, seq=1)]
    others: list[ExecutionEvent] = [
        WaitStarted(guard="alone", timestamp=0.5, waiting=1),
        AlertFired(
            timestamp=0.5, alert="a", severity="page", condition="x", value=1.0, threshold=0.0
        ),
        ThreadEnded(
            run_id="r", seq=2, path="f/a", timestamp=2.0, function="f", error=None, message=None
        ),
        ObserverFailed(
            run_id="r", seq=3, path="f", timestamp=2.0, observer="o", reason="too slow"
        ),
    ]
    assert spans_of([*run, *others]) == spans_of(run)


def test_what_is_told_of_a_visit_that_is_over_counts_for_what_is_around_it() -> None:
    """A thread that was abandoned used a guard."""
    (run,) = spans_of([begun(), wait_start(at=1.0, seq=1), wait_end(at=3.0, seq=2, waited=2.0)])
    assert lines(run) == ["f 0-3 unfinished <guard 'g' 1-3>"]


def test_a_catch_of_a_visit_that_was_not_read_is_passed_over() -> None:
    caught = Caught(
        run_id="r", seq=1, path="f/a", timestamp=1.0, error="E", message="", target="b"
    )
    assert spans_of([begun(), caught])[0].root.children == ()


def test_a_visit_begins_where_the_length_of_its_end_says() -> None:
    """What its first event says is a little late; without a length it is all there is."""
    told: list[ExecutionEvent] = [begun(), visited("f/a", at=0.25, seq=1)]
    (run,) = spans_of([*told, succeeded("f/a", at=2.0, seq=2, took=2.0)])
    assert lines(run)[1] == "f/a 0-2 success"
    (run,) = spans_of([*told, succeeded("f/a", at=2.0, seq=2, took=None)])
    assert lines(run)[1] == "f/a 0.25-2 success"


def test_a_run_whose_first_event_was_not_read_began_with_the_first_thing_inside() -> None:
    (run,) = spans_of([
        succeeded("f/a", at=5.0, seq=2, took=2.0),
        succeeded("f/b", at=6.0, seq=3, took=6.0),
    ])
    assert lines(run) == ["f 0-6 unfinished", "f/b 0-6 success", "f/a 3-5 success"]


def test_a_run_whose_first_event_was_read_began_then() -> None:
    """The beginning of what is inside is computed, and misses by what a clock cannot tell."""
    early = succeeded("f/a", at=2.0, seq=1, took=1.0 + 1e-11)
    (run,) = spans_of([begun(at=1.0), early])
    assert run.root.start == 1.0


def test_an_item_began_with_the_first_thing_inside() -> None:
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        succeeded("f/a[0]/b", at=5.0, seq=2, took=3.0),
    ])
    assert lines(run)[2:] == ["f/a[0] 2-5 unfinished", "f/a[0]/b 2-5 success"]


def test_what_is_still_open_inside_ends_with_what_is_around_it() -> None:
    told: list[ExecutionEvent] = [
        begun(),
        visited("f/a", at=0.0, seq=1),
        visited("f/a/b", at=1.0, seq=2),
        visited("f/a/b/c", at=2.0, seq=3),
    ]
    inside = ["f/a/b 1-4 cancelled", "f/a/b/c 2-4 cancelled"]
    (run,) = spans_of([*told, ended(at=4.0, seq=4)])
    assert lines(run) == ["f 0-4 success", "f/a 0-4 cancelled", *inside]
    (run,) = spans_of([*told, failed_once("f/a", at=4.0, seq=4), ended(at=6.0, seq=5)])
    assert lines(run) == ["f 0-6 success", "f/a 0-6 cancelled @1:0-4:error", *inside]


@pytest.mark.parametrize("path", ["f/a", "f/a#2", "f/g/a", "f/g@2/a#3"])
def test_attempts_are_those_of_the_retry_of_the_step_wherever_it_is(path: str) -> None:
    (run,) = spans_of([
        begun(),
        visited(path, at=0.0, seq=1),
        failed_once(path, at=1.0, seq=2),
    ])
    (visit,) = run.root.children
    assert [(one.start, one.end) for one in visit.attempts] == [(0.0, 1.0)]


def test_a_visit_is_inside_the_flow_around_it_in_whichever_attempt_that_is_inside_of_others() -> (
    None
):
    """An attempt of ``h`` is told by the paths inside, and ``h`` itself is inside the second of ``g``."""
    (run,) = spans_of([
        begun(),
        visited("f/g", at=0.0, seq=1),
        visited("f/g@2/h", at=1.0, seq=2),
        visited("f/g@2/h@3/a", at=2.0, seq=3),
    ])
    (outer,) = run.root.children
    (inner,) = outer.children
    (visit,) = inner.children
    assert (outer.path, inner.path, visit.path) == ("f/g", "f/g@2/h", "f/g@2/h@3/a")


def test_what_was_cut_off_says_what_failed_while_it_unwound() -> None:
    (run,) = spans_of([
        begun(),
        visited("f/a", at=0.0, seq=1),
        cancelled("f/a", at=1.0, seq=2),
    ])
    (visit,) = run.root.children
    assert (visit.outcome, visit.error, visit.message) == ("cancelled", "OSError", "gone")


def test_an_attempt_lasts_as_long_as_its_event_says_also_if_its_pause_was_not_read() -> None:
    """What is before exec, as waiting for a guard of the visit, is none of it."""

    def failed(number: int, *, at: float, took: float | None) -> AttemptFailed:
        length = None if took is None else took * 1000.0
        return AttemptFailed(
            run_id="r",
            seq=number + 1,
            path="f/a",
            timestamp=at,
            duration_ms=length,
            guard="a",
            own=True,
            attempt=number,
            error="E",
            message="",
        )

    events: list[ExecutionEvent] = [
        begun(),
        visited("f/a", at=0.0, seq=1),
        failed(1, at=3.0, took=1.0),
        failed(2, at=6.0, took=None),
    ]
    (run,) = spans_of(events)
    assert lines(run)[1] == "f/a 0-6 unfinished @1:2-3:error @2:6-6:error"
    (told,) = spans_of([*events[:3], pause("f/a", at=3.0, seq=2, attempt=2), *events[3:]])
    assert lines(told)[1] == "f/a 0-6 unfinished @1:2-3:error @2:4-6:error <a retry 3-4>"


def test_walking_goes_by_beginnings_and_keeps_the_order_of_what_began_together() -> None:
    (run,) = spans_of(recorded(row("f", taking(1.0, "a"), taking(1.0, "b"))))
    twice = attrs.evolve(run.root, children=(*run.root.children[::-1], *run.root.children))
    assert [span.path for span in twice.walk()] == ["f", "f/a", "f/a", "f/b", "f/b"]
    a, b = run.root.children
    apart = attrs.evolve(run.root, children=(attrs.evolve(b, start=0.25), a))
    assert [span.path for span in apart.walk()] == ["f", "f/a", "f/b"]
    a_tick = attrs.evolve(run.root, children=(attrs.evolve(b, start=4e-10), a))
    assert [span.path for span in a_tick.walk()] == ["f", "f/b", "f/a"]


@pytest.mark.parametrize("path", ["f/a[3]", "f/a@2[3]", "f/a#2[3]", "f/g@3/a[3]"])
def test_items_are_known_by_their_number(path: str) -> None:
    done = BatchDone(
        run_id="r",
        seq=1,
        path=path,
        timestamp=2.0,
        duration_ms=500.0,
        done=1,
        failed=0,
        total=None,
    )
    (run,) = spans_of([begun(), done])
    (item,) = [span for span in run.root.walk() if span.kind == "item"]
    assert (item.start, item.end) == (1.5, 2.0)
