"""From any moment on, any step of a flow may be another, whatever kind of step either is; until then nobody notices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    Next,
    Retry,
    RetryPolicy,
    Step,
    Wiring,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.events import NodeStarted, RetryScheduled
from agentflow_trio.testing import (
    DeadlockError,
    Faults,
    Timeline,
    always,
    fault_point,
    record,
)


@attrs.define
class Paper:
    notes: list[str] = attrs.field(factory=list[str])
    left: str = ""
    right: str = ""
    round: int = 0


@step
async def gather(paper: Paper) -> None:
    await trio.sleep(1)
    paper.notes.append("gathered")


@step
async def order(paper: Paper) -> None:
    await trio.sleep(2)
    paper.notes.append("ordered")


@flow
def research() -> Wiring[Paper]:
    return [gather.then(order), order.then(END)]


@step
async def guess(paper: Paper) -> None:
    await trio.sleep(0.5)
    paper.notes.append("guessed")


@flow
def guessing() -> Wiring[Paper]:
    return [guess.then(END)]


@step
async def left(paper: Paper) -> None:
    await trio.sleep(1)
    paper.left += "l"


@step
async def right(paper: Paper) -> None:
    await trio.sleep(2)
    paper.right += "r"


both = Step(parallel(left, right), name="both")


@step
async def check(paper: Paper, *, again: Next, done: Next) -> Next:
    await trio.sleep(1)
    paper.round += 1
    return done if paper.round == 3 else again


study = Step(research, name="study")


@flow
def writing() -> Wiring[Paper]:
    return [study.then(both), both.then(check), check.to(again=study, done=END)]


def begun(timeline: Timeline[Paper]) -> Sequence[tuple[float, str]]:
    return [
        (event.timestamp, event.path.removeprefix("writing/"))
        for event in timeline.select(NodeStarted)
    ]


ROUND = 6.0  # 3 s of study, 2 s of both, 1 s of check


# ---------------------------------------------------------------- whole steps


def test_a_flow_in_it_is_another_from_its_next_visit_on() -> None:
    timeline = record(writing, Paper())
    fork = timeline.fork(at=0.5, replacing={study: guessing})
    assert begun(fork)[:3] == [(0.0, "study"), (0.0, "study/gather"), (1.0, "study/order")]
    assert [each for each in begun(fork) if each[1].startswith("study#2")] == [
        (6.0, "study#2"),
        (6.0, "study#2/guess"),
    ]
    assert fork.duration == ROUND + 2 * (ROUND - 2.5)
    assert fork.final.state.notes == ["gathered", "ordered", "guessed", "guessed"]


def test_a_step_in_a_flow_in_it_is_another_although_the_flow_was_entered_before() -> None:
    fork = record(writing, Paper()).fork(at=0.5, replacing={order: guess})
    assert begun(fork)[2] == (1.0, "study/order")
    assert fork.final.state.notes == ["gathered", "guessed"] * 3


def test_a_function_becomes_branches_and_branches_a_function() -> None:
    timeline = record(writing, Paper())
    at_once = timeline.fork(at=ROUND, replacing={order: parallel(left, right)})
    assert (6.0 + 1.0, "study#2/order/left") in begun(at_once)
    assert at_once.final.state == Paper(
        ["gathered", "ordered", *["gathered"] * 2], "l" * 5, "r" * 5, 3
    )
    alone = timeline.fork(at=ROUND, replacing={both: left})
    assert alone.final.state.right == "r"
    first = timeline.fork(at=ROUND, replacing={both: race(left, right)})
    assert (first.final.state.left, first.final.state.right) == ("lll", "r")


def test_a_branch_is_another_from_the_next_visit_on() -> None:
    fork = record(writing, Paper()).fork(at=4.0, replacing={right: guess})
    assert fork.final.state.right == "r"
    assert fork.final.state.notes.count("guessed") == 2


def test_visits_are_numbered_on_and_counted_with_those_before() -> None:
    timeline = record(writing, Paper())
    fork = timeline.fork(at=ROUND, replacing={check: check.with_(max_visits=2)})
    assert fork.duration == 2 * ROUND + 5.0
    assert "MaxVisitsError" in repr(fork.error)
    paths = [path for _, path in begun(timeline)]
    assert [path for _, path in begun(fork)] == paths


def test_a_fork_of_a_fork_keeps_other_steps_in_a_step_that_gets_other_options() -> None:
    fork = record(writing, Paper()).fork(at=0.5, replacing={order: guess})
    again = fork.fork(at=ROUND, replacing={study: study.with_(timeout=1.25)})
    assert "study" in repr(again.error)
    assert again.final.state.notes == ["gathered", "guessed"] * 2
    assert fork.fork(at=1.0, replacing={both: left}).final.state.notes == fork.final.state.notes


@pytest.mark.parametrize("at", [0.0, 0.5, 3.0, 7.25, 1_000.0])
def test_with_the_same_steps_the_fork_is_the_same_to_the_last_step(at: float) -> None:
    timeline = record(writing, Paper(), seed=5)
    fork = timeline.fork(
        at=at, replacing={study: research, both: parallel(left, right), check: check}
    )
    assert not timeline.diff(fork)
    assert fork.trace == timeline.trace
    assert fork.events == timeline.events
    assert fork.to_svg() == timeline.to_svg()


# ---------------------------------------------------------------- items, attempts, errors


@attrs.define
class Batch:
    numbers: list[int]
    done: list[str] = attrs.field(factory=list[str])
    seen: int = 0


@attrs.define
class One:
    number: int
    word: str = ""


@step
async def spell(one: One) -> None:
    await trio.sleep(1)
    one.word = f"slowly {one.number}"


@step
async def shout(one: One) -> None:
    one.word = f"at once {one.number}"
    await trio.lowlevel.checkpoint()


@flow
def spelling() -> Wiring[One]:
    return [spell.then(END)]


def split(batch: Batch) -> Sequence[One]:
    return [One(number) for number in batch.numbers]


def join(batch: Batch, ones: Sequence[One]) -> None:
    batch.done = [one.word for one in ones]


spell_all = Step(each(spelling.over(split, join), concurrent=1), name="spell_all")


@flow
def batching() -> Wiring[Batch]:
    return [spell_all.then(END)]


def test_an_item_that_begins_from_then_on_meets_the_other_steps() -> None:
    fork = record(batching, Batch([1, 2, 3])).fork(at=1.5, replacing={spell: shout})
    assert fork.final.state.done == ["slowly 1", "slowly 2", "at once 3"]


@step(retry=RetryPolicy(max_attempts=4, base_delay=1.0, multiplier=1.0, jitter=0.0))
async def fetch(batch: Batch) -> None:
    await fault_point("wire")
    batch.seen += 1


fetch_again = fetch.with_(name="fetch_again")


@step
async def give_up(batch: Batch) -> None:
    batch.done.append("gave up")
    await trio.lowlevel.checkpoint()


@flow
def fetching() -> Wiring[Batch]:
    return [
        fetch.then(fetch_again).catch(OSError, to=give_up),
        fetch_again.then(END).catch(OSError, to=give_up),
        give_up.then(END),
    ]


@step
async def shrug(batch: Batch) -> None:
    batch.done.append("shrugged")
    await trio.lowlevel.checkpoint()


def test_other_options_hold_from_then_on() -> None:
    timeline = record(
        fetching, Batch([]), faults=Faults(wire=lambda call: OSError() if call < 3 else None)
    )
    fork = timeline.fork(
        at=1.5,
        faults=Faults(wire=always(OSError)),
        replacing={fetch_again: fetch_again.with_(retry=None), give_up: shrug},
    )
    assert [(e.timestamp, e.path) for e in fork.select(RetryScheduled)] == [
        (0.0, "fetching/fetch"),
        (1.0, "fetching/fetch"),
        (2.0, "fetching/fetch"),
    ]
    assert fork.final.state.done == ["shrugged"]


def test_a_guard_of_a_step_is_another_from_then_on() -> None:
    wary = CircuitBreaker("wire", CircuitPolicy(failure_threshold=1, recovery_timeout=100.0))
    down = Faults(wire=always(OSError))
    plain = record(fetching, Batch([]), faults=down)
    assert plain.duration == 3.0
    fork = plain.fork(at=0.5, replacing={fetch: fetch.with_(guards=[wary])})
    assert fork.trace == plain.trace  # the visit began before
    begun_anew = plain.fork(replacing={fetch: fetch.with_(guards=[wary])})
    assert begun_anew.final.of(wary).opened == 1


def test_a_flow_that_is_tried_again_begins_with_the_other_step() -> None:
    fetch_once = fetch.with_(name="once", retry=None)

    @flow
    def wiring() -> Wiring[Batch]:
        return [fetch_once.then(END)]

    again = Step(
        wiring, name="again", retry=RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0)
    )

    @flow
    def trying() -> Wiring[Batch]:
        return [again.then(END)]

    timeline = record(trying, Batch([]), faults=Faults(wire=always(OSError)))
    assert timeline.error is not None
    fork = timeline.fork(at=0.5, replacing={fetch_once: shrug})
    assert fork.error is None
    assert fork.duration == 1.0
    assert fork.final.state.done == ["shrugged"]


# ---------------------------------------------------------------- doing something


breaker = CircuitBreaker("db", CircuitPolicy(failure_threshold=5, recovery_timeout=10.0))


async def asking() -> int:
    served = 0
    for second in range(20):
        await trio.sleep_until(second)
        with suppress(CircuitOpenError):
            async with breaker:
                await trio.lowlevel.checkpoint()
                served += 1
    return served


def test_something_is_done_then_before_anything_that_is_due() -> None:
    timeline = record(asking)
    for at in (5.0, 4.5):
        fork = timeline.fork(at=at, doing=breaker.open)
        assert fork.at(at).of(breaker) == timeline.at(at).of(breaker)
        assert fork.at(5.25).of(breaker).opened == 1
        assert fork.result == 10
        with fork.live(at) as sim:
            assert sim.moment.guards == timeline.at(at).guards
            sim.run()
            assert sim.result == 10
        assert timeline.diff(fork).time == at


def test_what_was_stuck_goes_on() -> None:
    came: trio.Event

    async def waiting() -> float:
        nonlocal came
        came = trio.Event()
        await trio.sleep(2)
        await came.wait()
        return trio.current_time()

    def come() -> None:
        came.set()

    timeline = record(waiting)
    assert isinstance(timeline.error, DeadlockError)
    assert timeline.fork(at=7.5, doing=come).result == 7.5
    with timeline.fork(at=7.5, doing=come).live(1.0) as sim:
        sim.run()
        assert sim.time == 7.5
    twice = timeline.fork(at=7.5, doing=come).fork(at=1.0, doing=lambda: None)
    assert twice.result == 7.5


def test_a_flow_that_is_stuck_stays_so_whatever_its_steps_become() -> None:
    came: trio.Event

    @step
    async def wait(batch: Batch) -> None:
        nonlocal came
        came = trio.Event()
        await came.wait()

    def come() -> None:
        came.set()

    @flow
    def waiting() -> Wiring[Batch]:
        return [wait.then(give_up), give_up.then(END)]

    timeline = record(waiting, Batch([]))
    fork = timeline.fork(at=3.0, replacing={give_up: shrug})
    assert isinstance(fork.error, DeadlockError)
    assert fork.duration == 0.0
    assert not timeline.diff(fork)
    woken = fork.fork(at=5.0, doing=come)
    assert woken.final.state.done == ["shrugged"]
    assert woken.duration == 5.0


def test_what_cannot_be_done_is_an_error() -> None:
    timeline = record(asking)

    def slip() -> None:
        raise LookupError("not there")

    async def slow() -> None: ...

    with pytest.raises(LookupError, match="not there"):
        timeline.fork(at=3, doing=slip)
    with pytest.raises(
        TypeError, match=r"slow\(\) is async; what is done at a moment is plain"
    ):
        timeline.fork(at=3, doing=slow)
    with pytest.raises(ValueError, match="nothing can be done at 99 s: all was over at 19 s"):
        timeline.fork(at=99, doing=breaker.open)


def test_a_retry_of_a_program_is_none_of_its_steps() -> None:
    retry = Retry(RetryPolicy(max_attempts=2))

    async def program() -> None:
        await retry.call(trio.lowlevel.checkpoint)

    with pytest.raises(TypeError, match="has no steps to replace"):
        record(program).fork(at=1, replacing={fetch: shrug})
