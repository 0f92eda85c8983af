"""`record` keeps a run so that any moment of it can be looked at, lived again, and led elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import attrs
import pytest
import trio
from newsdesk import Desk, LineDownError, ask, newsdesk, sort_out

from agentflow_trio import (
    END,
    BreakerState,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    FlowDefinitionError,
    FlowFailedError,
    Next,
    RateLimiter,
    Retry,
    RetryPolicy,
    RunResult,
    Step,
    Wiring,
    flow,
    open_pool,
    parallel,
    step,
)
from agentflow_trio.events import NodeSucceeded, RunEnded
from agentflow_trio.robustness import PoolStatistics
from agentflow_trio.testing import (
    DeadlockError,
    Diff,
    Faults,
    InjectedError,
    Moment,
    MomentOverError,
    NondeterminismError,
    Scripted,
    Timeline,
    UnusedFaultError,
    _looking,
    always,
    error_rate,
    explore,
    fault_point,
    first,
    record,
    simulate,
)


@attrs.define
class Article:
    drafts: list[str] = attrs.field(factory=list[str])
    read: int = 0


@step
async def draft(article: Article) -> None:
    article.drafts.append("draft")
    await trio.sleep(1)


@step
async def review(article: Article, *, again: Next, done: Next) -> Next:
    await trio.sleep(10)
    article.read += 1
    return again if article.read < 3 else done


@flow
def writing() -> Wiring[Article]:
    return [draft.then(review), review.to(again=draft, done=END)]


breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=2, recovery_timeout=30.0))


async def outage() -> None:
    if 100 <= trio.current_time() < 200:
        raise ConnectionError


async def client(dice: Random) -> int:
    """Asks a service once in 10 s; it is down from 100 s to 200 s."""
    served = 0
    while trio.current_time() < 400:
        try:
            async with breaker:
                await trio.sleep(0.5 + dice.random())
                await fault_point("reply")
                await outage()
                served += 1
        except (ConnectionError, InjectedError, CircuitOpenError):
            pass
        await trio.sleep(10 - trio.current_time() % 10)
    return served


async def napping() -> float:
    async with trio.open_nursery() as nursery:
        for seconds in (1.0, 2.0, 2.0, 3.0):
            nursery.start_soon(trio.sleep, seconds, name=f"nap {seconds:g}")
    return trio.current_time()


# ---------------------------------------------------------------- at a time


def test_a_moment_shows_what_was_due_before_it_and_nothing_that_is_due_at_it() -> None:
    timeline = record(writing, Article())
    assert timeline.at(1).state == Article()
    assert [len(timeline.at(time).state.drafts) for time in (0, 1, 1.5, 12, 12.5)] == [
        0,
        0,
        1,
        1,
        2,
    ]
    assert timeline.at(11).state.read == 0
    assert timeline.at(math.nextafter(11, 12)).state.read == 1
    assert timeline.at(10.5).time == 10.5


def test_what_is_seen_at_a_time_is_a_copy() -> None:
    timeline = record(writing, Article())
    timeline.at(20).state.drafts.clear()
    timeline.final.state.drafts.clear()
    assert len(timeline.at(20).state.drafts) == 2
    assert len(timeline.final.state.drafts) == 3


def test_after_the_end_is_the_end() -> None:
    timeline = record(writing, Article())
    assert timeline.duration == 33.0
    assert timeline.at(1_000) == timeline.final == timeline.at(math.inf)
    assert timeline.final.time == 33.0
    assert timeline.final.state.read == 3
    assert timeline.at(33).state.read == 2
    assert timeline.final.tasks == ()


def test_events_are_those_before_and_can_be_selected() -> None:
    timeline = record(writing, Article())
    assert isinstance(timeline.final.events[-1], RunEnded)
    assert [event.timestamp for event in timeline.at(12).events] == [0, 0, 1, 1, 1, 11, 11, 11]
    ends = timeline.select(NodeSucceeded, path="writing/review")
    assert [event.timestamp for event in ends] == [11, 22, 33]
    assert [event.exit for event in ends] == ["again", "again", "done"]
    assert timeline.select(NodeSucceeded, path="writing/review#2") == ends[1:2]
    assert (
        timeline.select(NodeSucceeded, path="writing/review", since=11, before=22) == ends[:1]
    )
    assert timeline.select() == list(timeline.events)
    assert timeline.select(path="writin") == []
    with pytest.raises(ValueError, match="a moment is virtual seconds"):
        timeline.select(since=math.nan)


def test_guards_outside_begin_anew_and_their_statistics_are_known_at_any_time() -> None:
    for _ in range(2):
        timeline = record(client, seed=1)
        assert timeline.at(0).guards == {}
        assert timeline.at(0).of(breaker).succeeded == 0
        assert timeline.at(99).of(breaker).succeeded == 10
        assert timeline.at(115).of(breaker).state is BreakerState.OPEN
        assert timeline.at(115).guards == {"db": timeline.at(115).of(breaker)}
        assert timeline.final.of(breaker).state is BreakerState.CLOSED
        assert timeline.final.of(breaker).opened == 3


def test_guards_that_the_program_makes_are_known_by_name() -> None:
    made: list[Retry] = []

    async def program() -> None:
        async def connect() -> int:
            return 3

        own = [Retry(RetryPolicy(max_attempts=2, base_delay=4.0), name="own") for _ in "ab"]
        made[:] = own
        async with open_pool(connect, size=2, name="pool") as pool:
            for retry in own:
                with pytest.raises(OSError):
                    await retry.call(fails)
                async with pool.lend():
                    await trio.sleep(1)

    async def fails() -> None:
        raise OSError

    timeline = record(program)
    assert list(timeline.final.guards) == ["pool", "own", "own#2"]
    assert timeline.at(1).of(made[0]).retries == 0
    assert timeline.at(1).of(made[0]).waiting == 1
    assert timeline.final.of(made[1]).retries == 1
    pools = [timeline.at(time).guards["pool"] for time in (2.0, 5.0, math.inf)]
    assert [isinstance(pool, PoolStatistics) and pool.lent for pool in pools] == [0, 1, 0]


def test_a_rate_limiter_is_told_as_it_was_at_that_time_though_it_changes_by_itself() -> None:
    pace = RateLimiter("pace", limit=3, window=10.0)

    async def program() -> None:
        for seconds in (1, 2, 30):
            async with pace:
                await trio.sleep(seconds)

    timeline = record(program)
    assert [timeline.at(time).of(pace).free for time in (0.5, 1.5, 9, 10.5, 11.5, 14)] == [
        2,
        1,
        0,
        1,
        2,
        3,
    ]
    assert timeline.at(0).of(pace).free == 3


def test_what_tasks_did_is_told_by_running_again() -> None:
    timeline = record(napping)
    assert [task.name for task in timeline.at(1.5).tasks] == [
        "main",
        "nap 2",
        "nap 2#2",
        "nap 3",
    ]
    main, *naps = timeline.at(2.5).tasks
    assert len(naps) == 1
    assert naps[0].limit == 3.0
    assert main.waits_for == f"its children {naps[0].name}"


def test_a_moment_is_a_value() -> None:
    timeline = record(writing, Article())
    assert repr(timeline.at(12.5)) == "<Moment 12.5 s>"
    assert repr(timeline) == f"<Timeline of 33 s, {len(timeline.events)} events>"
    assert timeline.at(5) == timeline.at(5)
    assert hash(timeline.at(5)) == hash(timeline.at(5))
    assert timeline.at(5) != timeline.at(6)
    assert timeline.at(5) != 5
    assert list(timeline.times) == [0, 1, 11, 12, 22, 23, 33]


# ---------------------------------------------------------------- how it ended


def test_how_it_ended_is_kept_and_not_raised() -> None:
    good, bad = (
        record(napping),
        record(writing, Article(), faults=Faults(draft=always(OSError))),
    )
    assert (good.result, good.error, good.cancelled) == (3.0, None, False)
    assert isinstance(bad.error, FlowFailedError)
    with pytest.raises(FlowFailedError):
        _ = bad.result
    result = record(writing, Article()).result
    assert isinstance(result, RunResult)


def test_a_deadlock_can_be_looked_at() -> None:
    async def program() -> None:
        await trio.sleep(3)
        await trio.Event().wait()

    timeline = record(program)
    assert isinstance(timeline.error, DeadlockError)
    assert timeline.duration == 3.0
    for time in (math.inf, 3.5):  # as whoever ended it left it
        live = timeline.live(time)
        assert repr(live) == "<live(inf), to be entered: with timeline.live(...) as sim>"
        with live as sim:
            assert sim.ended
            assert sim.time == 3.0


def test_a_fault_that_was_never_met_is_an_error() -> None:
    with pytest.raises(UnusedFaultError):
        record(writing, Article(), faults=Faults(dratf=always()))


def test_what_cannot_be_recorded_is_refused() -> None:
    nonsense: Any = 7
    with pytest.raises(TypeError, match="a program is an async function or a flow, not 7"):
        record(nonsense)
    timeline = record(napping)
    for time in (-1.0, math.nan):
        with pytest.raises(ValueError, match="a moment is virtual seconds since the beginning"):
            timeline.at(time)
        with pytest.raises(ValueError, match="a moment is virtual seconds since the beginning"):
            timeline.live(time)
        with pytest.raises(ValueError, match="a moment is virtual seconds since the beginning"):
            timeline.fork(at=time)


# ---------------------------------------------------------------- live


def _timelines() -> Sequence[Timeline[Desk]]:
    """Of random runs; some fail, some have faults."""
    faults = [
        None,
        Faults(ask=error_rate(0.3, LineDownError)),
        Faults(ask=first(3), listen=error_rate(0.2)),
    ]
    return [record(newsdesk, Desk(), seed=seed, faults=faults[seed % 3]) for seed in range(30)]


def test_live_at_a_thousand_times_of_random_runs_is_what_was_recorded() -> None:
    """Most of them by going on from one to the next; of each run two by going there directly."""
    compared = 0
    for number, timeline in enumerate(_timelines()):
        dice = Random(number)
        times = sorted(dice.uniform(0, 1.05 * timeline.duration) for _ in range(30))
        times[3:3] = [*dice.sample(list(timeline.times), 3)]
        for time in times[-2:]:
            with timeline.live(time) as sim:
                assert sim.moment == timeline.at(time)
                compared += 1
        with timeline.live(0) as sim:
            for time in sorted(times):
                if not sim.ended:
                    _run_until(sim.run_until, time)
                assert sim.moment == timeline.at(time)
                compared += 1
    assert compared >= 1_000


def _run_until(run_until: Callable[[float], None], time: float) -> None:
    try:
        run_until(time)
    except FlowFailedError:
        assert time > 0


def test_live_goes_on_as_it_did_unless_it_is_told_otherwise() -> None:
    timeline = record(writing, Article())
    with timeline.live(12.5) as sim:
        sim.run()
        assert sim.moment == timeline.final
    with timeline.live(12.5) as sim:
        sim.cancel("enough")
        sim.run()
        assert sim.moment != timeline.final


def test_a_recorded_run_is_the_simulated_one() -> None:
    for seed in range(5):
        timeline = record(newsdesk, Desk(), seed=seed)
        with simulate(newsdesk, Desk(), seed=seed) as sim:
            try:
                sim.run()
            except FlowFailedError:
                assert timeline.error is not None
            assert sim.events == timeline.events


def test_a_schedule_that_explore_found_can_be_recorded() -> None:
    async def program() -> None:
        value = 0

        async def add() -> None:
            nonlocal value
            before = value
            await trio.lowlevel.checkpoint()
            value = before + 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            nursery.start_soon(add)
        assert value == 2

    failure = explore(program, seeds=50).failures[0]
    timeline = record(program, replay=failure.code)
    assert isinstance(timeline.error, AssertionError)
    assert not timeline.diff(timeline.fork())


def test_timers_that_almost_meet_may_be_chosen_otherwise_by_a_fork() -> None:
    async def program() -> list[str]:
        order: list[str] = []

        async def steps() -> None:
            for _ in range(10):
                await trio.sleep(0.1)
            order.append("ten")

        async def leap() -> None:
            await trio.sleep(1.0)
            order.append("one")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(steps)
            nursery.start_soon(leap)
        return order

    timeline = record(program, replay="os3:")
    forks = [timeline.fork(at=0.95, seed=seed) for seed in range(8)]
    assert {str(fork.result) for fork in forks} == {"['ten', 'one']", "['one', 'ten']"}


def test_what_is_not_deterministic_is_not_made_up() -> None:
    runs: list[int] = []

    async def program() -> None:
        runs.append(1)
        await trio.sleep(1)
        if len(runs) > 1:
            await trio.lowlevel.checkpoint()
        await trio.sleep(1)

    timeline = record(program)
    with pytest.raises(NondeterminismError) as caught, timeline.live(1.5):
        pytest.fail("it is another run")
    assert "steps made before 1.5 s" in str(caught.value)
    for ask_again in (
        lambda: timeline.watch("runs", lambda _: 0),
        lambda: timeline.fork(at=1.5),
    ):
        with pytest.raises(NondeterminismError, match=r"1.0 s: \d+ steps made"):
            ask_again()


# ---------------------------------------------------------------- watching


def test_a_value_is_watched_over_time() -> None:
    drafts = record(writing, Article()).watch("drafts", lambda now: len(now.state.drafts))
    assert (drafts.name, drafts.start) == ("drafts", 0)
    assert drafts.changes == ((1.0, 1), (12.0, 2), (23.0, 3))
    assert [drafts.at(time) for time in (0, 1, 1.5, 12, 13, 1_000)] == [0, 0, 1, 1, 2, 3]
    assert drafts.values == (0, 1, 2, 3)
    assert drafts.first(lambda count: count >= 2) == 12.0
    assert drafts.first(lambda count: count > 3) is None
    assert drafts.seconds(lambda count: count == 1, until=33.0) == 11.0
    assert drafts.seconds(lambda count: count <= 1, until=5.0) == 5.0
    with pytest.raises(ValueError, match="a moment is"):
        drafts.at(-1)


def test_a_guard_is_watched_over_time() -> None:
    circuit = record(client, seed=1).watch("circuit", lambda now: now.of(breaker).state)
    assert circuit.values[:3] == (
        BreakerState.CLOSED,
        BreakerState.OPEN,
        BreakerState.HALF_OPEN,
    )
    assert circuit.values[-1] is BreakerState.CLOSED


def test_what_is_watched_must_be_looked_at_while_it_is_present() -> None:
    kept: list[Moment[None]] = []
    timeline = record(napping)
    timeline.watch("kept", kept.append)
    with pytest.raises(MomentOverError, match="this moment is over"):
        _ = kept[0].events
    tasks = timeline.watch("tasks", lambda now: len(now.tasks))
    assert tasks.values == (1, 5, 4, 2, 1)


def test_what_watching_raises_is_raised() -> None:
    def stumble(now: Moment[None]) -> int:
        if now.time > 1:
            raise LookupError(now.time)
        return 0

    with pytest.raises(LookupError, match=r"2\.0"):
        record(napping).watch("nothing", stumble)


# ---------------------------------------------------------------- forks


def test_a_fork_with_nothing_changed_is_the_same_to_the_last_step() -> None:
    for timeline in _timelines()[:6]:
        base = "\n".join(timeline.trace).encode()
        for at in (0.0, timeline.duration / 2):
            fork = timeline.fork(at=at)
            assert "\n".join(fork.trace).encode() == base
            assert not timeline.diff(fork)
            assert str(timeline.diff(fork)) == "no difference"
            assert fork.final == timeline.final


def test_a_fork_has_the_same_history_before_and_another_future() -> None:
    timeline = record(writing, Article())
    fork = timeline.fork(at=12, faults=Faults(review=always(OSError)))
    assert isinstance(fork.error, FlowFailedError)
    diff = timeline.diff(fork)
    assert diff
    assert diff.first is not None
    assert [event and event.timestamp for event in diff.first] == [22.0, 12.0]
    assert (diff.time, diff.step) == (12.0, None)
    assert timeline.events[: diff.same] == fork.events[: diff.same]
    assert timeline.at(12) == fork.at(12)
    lines = str(diff).splitlines()
    assert lines[0] == f"the same up to 12 s, {diff.same} events; then"
    assert lines[1] == "  1 22 s writing/review#2: node_success exit='again'"
    assert lines[2].startswith("  2 12 s writing/review#2: node_error phase='exec' ")
    assert lines[3].startswith("the first ended well, the second FlowFailedError: ")


def test_random_forks_part_no_earlier_than_they_were_forked() -> None:
    for number, timeline in enumerate(_timelines()[:12]):
        at = Random(number).uniform(0, timeline.duration)
        forks = [
            timeline.fork(at=at, seed=99),
            timeline.fork(at=at, replacing={ask: Scripted(Desk, [1.0, None] * 20)}),
        ]
        for fork in forks:
            parted = timeline.diff(fork).time
            assert parted is None or parted >= at
            assert timeline.at(at) == fork.at(at)


def test_a_fork_ends_an_outage() -> None:
    down = record(writing, Article(), faults=Faults(review=first(9)))
    up = record(client, seed=1, faults=Faults(reply=always()))
    better = up.fork(at=50, faults=Faults())
    assert isinstance(down.error, FlowFailedError)
    assert up.final.of(breaker).succeeded == 0
    assert better.at(50).of(breaker).failed == up.at(50).of(breaker).failed
    assert better.final.of(breaker).succeeded > 10


def test_faults_of_a_fork_are_counted_from_there_and_must_be_met() -> None:
    timeline = record(client, faults=Faults(reply=first(1)))
    fork = timeline.fork(at=55, faults=Faults(reply=first(2)))
    assert fork.at(55).of(breaker).failed == 1
    assert fork.at(80).of(breaker).failed == 3
    with pytest.raises(UnusedFaultError):
        timeline.fork(at=399.9, faults=Faults(reply=first(1)))
    timeline.fork(at=55, faults=Faults(reply=first(0)))


def test_another_seed_orders_tasks_otherwise_from_then_on() -> None:
    async def program() -> list[int]:
        order: list[int] = []

        async def come(number: int) -> None:
            for _ in range(2):
                await trio.sleep(1)
                order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(come, number)
        return order

    timeline = record(program)
    forks = [timeline.fork(at=1.5, seed=seed) for seed in range(1, 4)]
    assert {tuple(str(fork.result)[:18]) for fork in forks} == {
        tuple(str(timeline.result)[:18])
    }
    assert any(fork.result != timeline.result for fork in forks)
    diff = timeline.diff(next(fork for fork in forks if fork.result != timeline.result))
    assert diff.first is None
    assert diff.step is not None
    assert diff.time == 2.0
    assert "come" in str(diff)


# ---------------------------------------------------------------- other nodes


class Proofread:
    """Phases that take 3 s."""

    async def prep(self, shared: Article) -> int:
        await trio.sleep(1)
        return len(shared.drafts)

    async def exec(self, count: int) -> int:
        await trio.sleep(1)
        return count

    async def post(
        self, shared: Article, count: int, found: int, *, again: Next, done: Next
    ) -> Next:
        await trio.sleep(1)
        shared.read += 10 * found
        return again if shared.read < 100 else done


class Hasty:
    """The same in no time."""

    async def prep(self, shared: Article) -> None: ...

    async def exec(self, nothing: None) -> None: ...

    async def post(
        self, shared: Article, nothing: None, nothing_: None, *, again: Next, done: Next
    ) -> Next:
        shared.read += 1_000
        return again if shared.read < 1_000 else done


proofread: Step[Article, ...] = Step(Proofread(), name="proofread")


@flow
def proofreading() -> Wiring[Article]:
    return [draft.then(proofread), proofread.to(again=draft, done=END)]


@step
async def skim(article: Article, *, again: Next, done: Next) -> Next:
    await trio.sleep(0.25)
    article.read += 500
    return again if article.read < 500 else done


def test_visits_that_begin_from_then_on_are_the_other_nodes() -> None:
    timeline = record(writing, Article())
    fork = timeline.fork(
        at=11.5, replacing={review: Scripted(Article, [2.0, "done"], exits=("again",))}
    )
    assert fork.duration == 14.0
    assert fork.at(11.5) == timeline.at(11.5)
    assert fork.final.state == Article(["draft", "draft"], 1)
    inside = timeline.fork(
        at=5, replacing={review: Scripted(Article, ["done"], exits=("again",))}
    )
    assert inside.duration == 12.0


def test_phases_and_functions_can_stand_in_for_each_other() -> None:
    functions, phases = record(writing, Article()), record(proofreading, Article())
    assert phases.duration == 4 * 4
    for node, read in ((skim, 501), (Hasty(), 1_001)):
        fork = functions.fork(at=11.5, replacing={review: node})
        assert fork.final.state == Article(["draft"] * 2, read)
    for node, read in ((skim, 510), (Hasty(), 1_010)):
        fork = phases.fork(at=4, replacing={proofread: node})
        assert fork.at(4) == phases.at(4)
        assert fork.final.state == Article(["draft"] * 2, read)


def test_until_then_the_first_node_goes_its_way_step_by_step() -> None:
    for timeline, place in (
        (record(writing, Article()), review),
        (record(proofreading, Article()), proofread),
    ):
        fork = timeline.fork(at=1_000, replacing={place: Hasty()})
        assert fork.trace == timeline.trace
        assert fork.at(12) == timeline.at(12)


def test_until_then_a_step_behind_retry_and_guards_goes_its_way_too() -> None:
    for timeline in _timelines()[:6]:
        fork = timeline.fork(at=1_000, replacing={ask: Scripted(Desk, [1.0])})
        assert fork.trace == timeline.trace


def test_from_the_beginning_any_step_can_be_replaced() -> None:
    timeline = record(newsdesk, Desk(), seed=3)
    fork = timeline.fork(replacing={sort_out: Scripted(Desk, [1.0, None] * 9)})
    assert fork.error is None
    assert fork.final.state.words == 0


@pytest.mark.parametrize("at", [0.0, 2.0, 7.5, 1_000.0])
def test_until_then_nothing_is_otherwise_whatever_is_replaced(at: float) -> None:
    timeline = record(newsdesk, Desk(), seed=3)
    other = parallel(ask.with_(name="a"), ask.with_(name="b"))
    for replacing in ({sort_out: Scripted(Desk, [1.0, None] * 9)}, {ask: other}):
        fork = timeline.fork(at=at, replacing=replacing)
        assert fork.at(at) == timeline.at(at)
        assert [line for line in fork.trace if float(line.split()[0]) < at] == [
            line for line in timeline.trace if float(line.split()[0]) < at
        ]


def test_what_cannot_replace_a_step_is_refused() -> None:
    timeline = record(newsdesk, Desk(), seed=3)
    with pytest.raises(FlowDefinitionError, match="draft"):
        timeline.fork(at=2, replacing={draft: Scripted(Desk, [1.0])})
    with pytest.raises(
        TypeError, match=r"napping\(\) has no steps to replace; only a flow has"
    ):
        record(napping).fork(at=2, replacing={draft: Scripted(Article, [1.0])})


def test_a_fork_of_a_fork_keeps_what_comes_later_unless_it_changes_that() -> None:
    timeline = record(writing, Article())
    late = timeline.fork(
        at=15, replacing={review: Scripted(Article, [1.0, "done"], exits=("again",))}, seed=4
    )
    assert late.duration == 24.0
    assert not late.diff(late.fork(at=5))
    later = late.fork(at=5, faults=Faults(draft=first(0)), seed=5)
    assert later.duration == 24.0
    sooner = late.fork(
        at=2, replacing={review: Scripted(Article, [0.5, "done"], exits=("again",))}
    )
    assert sooner.duration == 12.5


def test_what_a_program_returned_or_left_is_compared_too() -> None:
    outcomes = iter([1, 2, 2])

    async def program() -> None:
        await trio.sleep(1)
        if next(outcomes) == 1:
            raise LookupError

    one, two = record(program), record(program)
    diff = one.diff(two)
    assert (diff.time, diff.first, diff.step) == (1.0, None, None)
    assert str(diff).splitlines() == [
        "the same up to 1 s, 0 events; then",
        "  1 LookupError: ",
        "  2 ended well",
        "the first LookupError: , the second ended well",
    ]
    assert isinstance(diff, Diff)


# ---------------------------------------------------------------- what there is no room for


@attrs.define
class Ledger:
    rows: list[int] = attrs.field(factory=list[int])


@step
async def book(ledger: Ledger, *, again: Next, done: Next) -> Next:
    await trio.sleep(1)
    ledger.rows.append(len(ledger.rows))
    async with breaker:
        return done if len(ledger.rows) == 40 else again


@flow
def booking() -> Wiring[Ledger]:
    return [book.to(again=book, done=END)]


def test_what_there_was_no_room_for_is_had_by_running_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_looking, "_ROOM", 30)
    timeline = record(booking, Ledger())
    for time in (0, 0.5, 1.5, 7.5, 13.5, 22.5, 39.5, 40, 41):
        rows = min(int(time), 40) if time != 40 else 39
        moment = timeline.at(time)
        assert moment.of(breaker).succeeded == rows
        assert len(moment.state.rows) == rows
        assert len(moment.guards) == (time >= 1.5)
        if time <= 40:
            with timeline.live(time) as sim:
                assert sim.moment == moment


# ---------------------------------------------------------------- what it rests on


def test_a_retry_without_a_seed_draws_from_that_of_the_simulation() -> None:
    again = Retry(RetryPolicy(max_attempts=4, jitter=0.5))

    async def program() -> float:
        async def fail() -> None:
            raise OSError

        with pytest.raises(OSError):
            await again.call(fail)
        return trio.current_time()

    one, two, other = (record(program, seed=seed).result for seed in (1, 1, 2))
    assert one == two == 0.7116496545775448
    assert other != one


def test_a_limiter_asked_first_in_a_new_run_is_blank() -> None:
    pace = RateLimiter("pace", limit=3, window=10.0)

    async def use() -> None:
        async with pace:
            pass

    async def look() -> tuple[int, int]:
        await trio.lowlevel.checkpoint()
        told = pace.statistics()
        return told.admitted, told.free

    trio.run(use)
    assert trio.run(look) == (0, 3)
    assert record(look).result == (0, 3)
