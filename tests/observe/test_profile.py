"""Profiles: exact numbers of simulated runs, and what must hold for any run."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from shape_trees import Ledger, Tree, Words, row_of, trees

from agentflow_trio import CircuitBreaker, CircuitPolicy, Engine, FlowFailedError, Timeout, step
from agentflow_trio.events import (
    CacheHit,
    CallRejected,
    CallTimedOut,
    CircuitChanged,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    HedgeStarted,
    HedgeWon,
    LoadEnded,
    LoopBlocked,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    RetryScheduled,
    RunEnded,
    WaitEnded,
)
from agentflow_trio.observe import Profile, Profiler, Span, percentile
from agentflow_trio.testing import simulate

from .profile_kit import (
    Notes,
    begun,
    chapters,
    ended,
    every_shape,
    failing,
    recorded,
    row,
    taking,
    tolerant,
    visited,
    with_fallback,
)

EVENTS = recorded(every_shape())


def shapes() -> Profile:
    """The profile of a run of every shape."""
    return Profile.of(EVENTS)


def test_a_run_of_every_shape_place_by_place() -> None:
    rows = [
        (one.place, one.visits, one.attempts, one.failed, one.total, one.own, one.waited, one.p50, one.p95, one.critical)
        for one in shapes().places
    ]  # fmt: skip
    assert rows == [
        ("shapes/items[*]", 6, 6, 1, 13.0, 13.0, 0.0, 2.0, 4.0, 8.0),
        ("shapes/nested/slow", 2, 2, 0, 10.0, 10.0, 0.0, 5.0, 5.0, 10.0),
        ("shapes/flaky", 1, 3, 0, 6.0, 3.0, 3.0, 6.0, 6.0, 6.0),
        ("shapes/both/a", 1, 1, 0, 2.0, 1.0, 1.0, 2.0, 2.0, 2.0),
        ("shapes/nested/bad", 2, 2, 1, 2.0, 2.0, 0.0, 1.0, 1.0, 2.0),
        ("shapes/loop", 2, 2, 0, 1.0, 1.0, 0.0, 0.5, 0.5, 1.0),
        ("shapes/items", 1, 2, 0, 9.0, 0.0, 1.0, 9.0, 9.0, 1.0),
        ("shapes/both/b", 1, 1, 0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0),
        ("shapes/nested", 1, 2, 0, 13.0, 0.0, 1.0, 13.0, 13.0, 1.0),
        ("shapes/first/hare", 1, 1, 0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0),
        ("shapes/first/tortoise", 1, 1, 0, 1.0, 1.0, 0.0, None, None, 0.0),
        ("shapes/fails", 1, 1, 1, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0),
        ("shapes/rescue", 1, 1, 0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0),
        ("shapes", 1, 1, 0, 34.0, 0.0, 0.0, 34.0, 34.0, 0.0),
        ("shapes/both", 1, 1, 0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0),
        ("shapes/first", 1, 1, 0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0),
    ]
    places = {one.place: one for one in shapes().places}
    assert places["shapes/flaky"].waiting == {"a retry": 3.0}
    assert places["shapes/both/a"].waiting == {"guard 'db'": 1.0}
    assert places["shapes/first/tortoise"].cancelled == 1
    assert (places["shapes/items[*]"].kind, places["shapes/items[*]"].succeeded) == ("item", 5)


def test_the_critical_path_of_every_shape() -> None:
    critical = shapes().critical
    assert [(link.path, link.start, link.end, link.reason) for link in critical] == [
        ("shapes/flaky", 0.0, 1.0, None),
        ("shapes/flaky", 1.0, 2.0, "a retry"),
        ("shapes/flaky", 2.0, 3.0, None),
        ("shapes/flaky", 3.0, 5.0, "a retry"),
        ("shapes/flaky", 5.0, 6.0, None),
        ("shapes/loop", 6.0, 6.5, None),
        ("shapes/loop#2", 6.5, 7.0, None),
        ("shapes/items[1]", 7.0, 9.0, None),
        ("shapes/items", 9.0, 10.0, "a retry"),
        ("shapes/items[1]", 10.0, 12.0, None),
        ("shapes/items[3]", 12.0, 16.0, None),
        ("shapes/both/a", 16.0, 17.0, "guard 'db'"),
        ("shapes/both/a", 17.0, 18.0, None),
        ("shapes/nested/slow", 18.0, 23.0, None),
        ("shapes/nested/bad", 23.0, 24.0, None),
        ("shapes/nested", 24.0, 25.0, "a retry"),
        ("shapes/nested@2/slow", 25.0, 30.0, None),
        ("shapes/nested@2/bad", 30.0, 31.0, None),
        ("shapes/first/hare", 31.0, 32.0, None),
        ("shapes/fails", 32.0, 33.0, None),
        ("shapes/rescue", 33.0, 34.0, None),
    ]


def test_the_shares_of_a_critical_path_are_those_of_places_and_what_they_waited_for() -> None:
    shares = shapes().shares()
    assert [(one.place, one.reason, one.seconds, one.times) for one in shares[:4]] == [
        ("shapes/nested/slow", None, 10.0, 2),
        ("shapes/items[*]", None, 8.0, 3),
        ("shapes/flaky", None, 3.0, 3),
        ("shapes/flaky", "a retry", 3.0, 2),
    ]
    assert [one.share for one in shares[:2]] == [10 / 34, 8 / 34]
    assert math.fsum(one.share for one in shares) == pytest.approx(1.0)


def test_the_run_its_counts_and_its_guards() -> None:
    (run,) = shapes().runs
    assert (run.flow, run.outcome, run.exit, run.duration, run.missing) == (
        "shapes",
        "success",
        None,
        34.0,
        0,
    )
    counts = shapes().counts
    assert (counts.events, counts.runs, counts.succeeded, counts.steps) == (67, 1, 1, 17)
    assert (counts.failures, counts.retries, counts.rejections, counts.timeouts) == (3, 4, 0, 0)
    assert [one.longest for one in shapes().guards] == [1.0, 0.0, 0.0, 0.0]
    assert [(one.guard, one.waits, one.waited, one.retries) for one in shapes().guards] == [
        ("db", 1, 1.0, 0),
        ("flaky", 0, 0.0, 2),
        ("items", 0, 0.0, 1),
        ("nested", 0, 0.0, 1),
    ]


def test_failures_are_the_innermost_with_what_became_of_them() -> None:
    assert [(one.path, one.when, one.error, one.message, one.handled) for one in shapes().failures] == [
        ("shapes/items[1]", 9.0, "OSError", "gone", "tried again"),
        ("shapes/nested/bad", 24.0, "ValueError", "bad, time 1", "tried again"),
        ("shapes/fails", 33.0, "ValueError", "fails, time 1", "caught by rescue"),
    ]  # fmt: skip
    made = Profile.of(
        recorded(row("f", tolerant(1.0, bad=(0,)), with_fallback(), failing(9, "bad")))
    )
    assert [(one.path, one.handled, one.tries) for one in made.failures] == [
        ("f/items[0]", "tolerated", 1),
        ("f/bad", "", 1),
    ]
    assert {one.run_id for one in made.failures} == {made.runs[0].run_id}
    (only,) = Profile.of(recorded(row("f", failing(9, "bad")))).failures
    assert only.path == "f/bad"


def test_what_fails_the_run_around_all_steps_is_a_failure_too() -> None:
    """A time limit of the run: no visit failed."""
    end = RunEnded(
        run_id="r",
        seq=1,
        path="f",
        timestamp=2.0,
        flow="f",
        outcome="error",
        exit=None,
        steps=0,
        error="DeadlineExceededError: too late",
    )
    made = Profile.of([attrs.evolve(begun(at=0.5), seed=7, wall_time=9.0), end])
    (failure,), (run,) = made.failures, made.runs
    assert (failure.path, failure.when) == ("f", 1.5)
    assert (failure.error, failure.message) == ("DeadlineExceededError: too late", "")
    assert (run.error, run.start) == (failure.error, 0.5)
    assert (run.seed, run.wall_time) == (7, 9.0)
    (nameless,) = Profile.of([begun(), attrs.evolve(end, error=None)]).failures
    assert nameless.error == ""
    visit = visited("f/a", at=0.0, seq=1)
    done = NodeSucceeded(run_id="r", seq=2, path="f/a", timestamp=1.0, exit=None)
    after = Profile.of([begun(), visit, done, attrs.evolve(end, seq=3)]).failures
    assert [one.path for one in after] == ["f"]


def test_several_runs_share_places_and_the_slowest_has_the_critical_path() -> None:
    flows = [row("f", taking(seconds, "a")) for seconds in (1.0, 3.0, 2.0)]
    made = Profile.of(recorded(*flows, row("g", failing(1, "bad"))))
    assert [(run.flow, run.duration, run.outcome) for run in made.runs] == [
        ("f", 3.0, "success"),
        ("f", 2.0, "success"),
        ("f", 1.0, "success"),
        ("g", 1.0, "error"),
    ]
    rows = [(one.place, one.visits, one.total, one.p50, one.p95) for one in made.places]
    assert rows[0] == ("f/a", 3, 6.0, 2.0, 3.0)
    assert [link.seconds for link in made.critical] == [3.0]
    assert made.slowest is not None
    assert made.slowest.run_id == made.runs[0].run_id
    assert made.counts.failed == 1


def test_a_profiler_says_of_runs_that_go_on_how_far_they_came() -> None:
    profiler = Profiler()

    async def main() -> tuple[Profile, Profile]:
        async with Engine(observers=[profiler]) as engine, trio.open_nursery() as nursery:
            nursery.start_soon(
                engine.run,
                row("f", taking(1.0, "a"), taking(2.0, "b"), taking(1.0, "c")),
                Notes(),
            )
            await trio.sleep(2.0)
            early = profiler.profile()
        return early, profiler.profile()

    with simulate(main) as sim:
        sim.run()
    early, late = sim.result
    assert (early.counts.unfinished, early.runs[0].duration, late.runs[0].duration) == (
        1,
        1.0,
        4.0,
    )
    assert [(one.place, one.unfinished, one.p50) for one in early.places] == [
        ("f/a", 0, 1.0),
        ("f", 1, None),
        ("f/b", 1, None),
    ]
    assert {one.place: one.own for one in late.places} == {
        "f/b": 2.0,
        "f/a": 1.0,
        "f/c": 1.0,
        "f": 0.0,
    }


def test_every_kind_of_use_of_a_guard_is_counted_also_outside_of_runs() -> None:
    fields: dict[str, Any] = {"guard": "g", "timestamp": 1.0}
    made = Profile.of([
        CallRejected(**fields, reason="full", retry_after=None),
        CallTimedOut(**fields, seconds=1.0),
        RetryScheduled(**fields, attempt=2, delay=1.0),
        GaveUp(**fields, attempts=2, elapsed=1.0, reason="r"),
        WaitEnded(**fields, outcome="rejected", waited=2.0),
        WaitEnded(**fields, outcome="admitted", waited=3.0),
        CircuitChanged(
            **fields,
            before="closed",
            state="open",
            generation=1,
            cause="failures",
            retry_after=1.0,
        ),
        CircuitChanged(
            **fields,
            before="open",
            state="half_open",
            generation=2,
            cause="time",
            retry_after=None,
        ),
        *(HedgeStarted(**fields, attempt=attempt, reason="delay") for attempt in (2, 3)),
        *(HedgeWon(**fields, attempt=attempt, attempts=3) for attempt in (1, 2, 3)),
        *3 * [FallbackUsed(**fields, error="E", message="")],
        *4 * [CacheHit(**fields, source="stored")],
        *5 * [LoadEnded(**fields, outcome="loaded", callers=1)],
        *6 * [FaultInjected(**fields, fault="error", delay=0.0, error="E")],
        LoopBlocked(run_id="", seq=-1, path="", timestamp=1.0, seconds=0.5, task="t", stack=()),
    ])
    (guard,) = made.guards
    assert (guard.waits, guard.waited, guard.longest) == (2, 5.0, 3.0)
    assert (guard.rejections, guard.timeouts, guard.retries) == (1, 1, 1)
    assert (guard.gave_up, guard.opened) == (1, 1)
    assert (guard.hedges, guard.won_late, guard.fallbacks) == (2, 2, 3)
    assert (guard.hits, guard.loads, guard.injected) == (4, 5, 6)
    counts = made.counts
    assert (counts.hedges, counts.fallbacks, counts.hits, counts.injected) == (2, 3, 4, 6)
    assert (counts.rejections, counts.timeouts, counts.blocked) == (1, 1, 0.5)
    assert (made.runs, made.slowest, made.critical, made.shares()) == ((), None, (), ())


def test_a_run_that_was_cut_off_is_counted_as_one() -> None:
    counts = Profile.of(recorded(row("f", taking(9.0, "a")), at=1.0)).counts
    assert (counts.runs, counts.succeeded, counts.failed, counts.cancelled) == (1, 0, 0, 1)


def test_rejections_and_timeouts_of_real_guards() -> None:
    breaker = CircuitBreaker("api", CircuitPolicy(failure_threshold=1, recovery_timeout=9.0))
    limit = Timeout(1.0, name="limit")
    down = failing(9, "down").with_(guards=(breaker,))

    @step
    async def slow(notes: Notes) -> None:
        async with limit:
            await trio.sleep(5.0)

    made = Profile.of(recorded(*(row("f", one) for one in (down, down, slow))))
    assert [(one.guard, one.rejections, one.timeouts, one.opened) for one in made.guards] == [
        ("api", 1, 0, 1),
        ("limit", 0, 1, 0),
    ]


def test_the_items_of_a_step_are_a_place_of_their_own_and_what_is_inside_them_is_not() -> None:
    made = Profile.of(recorded(row("f", chapters(False, False, True))))
    assert {(one.place, one.visits, one.total) for one in made.places} == {
        ("f", 1, 13.0),
        ("f/chapters", 1, 13.0),
        ("f/chapters[*]", 3, 16.0),
        ("f/chapters/read", 3, 3.0),
        ("f/chapters/write", 3, 13.0),
    }


# ---------------------------------------------------------------- what must hold for any run


def events_of(tree: Tree) -> list[object]:
    """What a run of a random tree tells, in simulation; also if it fails."""
    profiler = Profiler()
    told: list[object] = []

    class Both:
        name = "both"

        def observe(self, event: object) -> None:
            told.append(event)

    async def main() -> None:
        async with Engine(observers=[profiler, Both()], cleanup_grace=1000) as engine:
            try:
                await engine.run(row_of([(tree, "t")], "f", Ledger()), Words())
            except FlowFailedError:
                return

    with simulate(main) as sim:
        sim.run()
    return [profiler.profile(), *told]


@given(trees)
def test_of_any_run_the_critical_path_is_one_chain_from_its_beginning_to_its_end(
    tree: Tree,
) -> None:
    made, *_ = events_of(tree)
    assert isinstance(made, Profile)
    assert made.slowest is not None
    root = made.slowest.root
    edges = [root.start, *(link.end for link in made.critical)]
    assert [link.start for link in made.critical] == edges[:-1]
    assert edges[-1] == root.end
    assert all(link.seconds > 0.0 for link in made.critical)
    paths = {span.path for span in root.walk()}
    assert {link.path for link in made.critical} <= paths


@given(trees)
def test_of_any_run_the_totals_agree_with_its_events(tree: Tree) -> None:
    made, *told = events_of(tree)
    assert isinstance(made, Profile)
    visits = [one for one in made.places if one.kind == "visit"]
    assert sum(one.visits for one in visits) == sum(
        isinstance(one, NodeStarted) for one in told
    )
    assert sum(one.failed for one in visits) == sum(isinstance(one, NodeFailed) for one in told)
    assert made.counts.events == len(told)
    assert made.slowest is not None
    for span in made.slowest.root.walk():
        in_order(span)


def in_order(span: Span) -> None:
    """Nothing inside a span is outside of it, and its own time and that inside make up its length at least."""
    assert 0.0 <= span.own <= span.duration
    slack = 1e-9
    for one in span.children:
        assert span.start - slack <= one.start <= one.end <= span.end + slack
    inside = math.fsum(one.duration for one in span.children)
    waited = math.fsum(one.end - one.start for one in span.waits)
    assert span.own + inside + waited >= span.duration - slack


@given(trees)
def test_of_any_run_the_own_times_make_up_all_of_it_and_no_more_than_the_totals(
    tree: Tree,
) -> None:
    made, *_ = events_of(tree)
    assert isinstance(made, Profile)
    assert made.slowest is not None
    own = math.fsum(one.own + one.waited for one in made.places)
    assert own >= made.runs[0].duration - 1e-9
    assert all(one.own <= one.total for one in made.places)


@given(st.lists(st.floats(0, 100), min_size=1).map(sorted), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_the_smallest_value_that_reaches_the_share(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    reach = [
        one for one in values if sum(each <= one for each in values) >= share * len(values)
    ]
    assert found == min(reach)


def test_a_percentile_is_exact_where_multiplying_is_not() -> None:
    """0.95 * 20 is 19.000000000000004 on no machine, but 0.07 * 100 is 7.000000000000001 on all."""
    assert percentile(range(1, 101), 0.07) == 7
    assert percentile(range(1, 21), 0.95) == 19
    assert percentile([4.0], 0.0) == 4.0
    assert percentile([1, 2, 3, 4, 5], 0.5) == 3


def test_a_run_that_takes_no_time_has_an_empty_critical_path() -> None:
    made = Profile.of([begun(), ended(at=0.0, seq=1)])
    assert (made.critical, made.shares()) == ((), ())
    assert "critical path of run r, 0.000 ms" in made.table()
