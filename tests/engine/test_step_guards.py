"""A step's guards: entered for each attempt, outermost first; they learn of hangs, of nothing that the caller cut off, and are never left entered."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytest
import trio
import trio.lowlevel

from agentflow_trio import (
    END,
    Bulkhead,
    BulkheadFullError,
    BulkheadPolicy,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    DeadlineExceededError,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    GuardReentryError,
    RateLimitedError,
    RateLimiter,
    RetryPolicy,
    Step,
    Timeout,
    Wiring,
    current_step,
    each,
    flow,
    parallel,
    step,
)
from agentflow_trio.events import WaitStarted
from agentflow_trio.robustness import AROUND
from agentflow_trio.testing import assert_no_leaks, cancel_everywhere, explore

from .engine_kit import Acts, Notes, Recorder, chain, saying
from .policies_kit import EXACT, Tape, exact, guarding, playing

X, Y = ValueError("x"), OSError("y")
OPEN = "circuit 'search' is open; retry in 3 s"


def circuit(threshold: int = 1, **policy: Any) -> CircuitBreaker:
    return CircuitBreaker("search", CircuitPolicy(failure_threshold=threshold, **policy))


def verdicts(breaker: CircuitBreaker) -> tuple[int, int, int]:
    """Successes, failures, cancelled."""
    seen = breaker.statistics()
    assert seen.running == 0
    return seen.succeeded, seen.failed, seen.cancelled


class Logged:
    """A guard of one's own."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self._log = name, log

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        self._log.append(f"in {self.name}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._log.append(f"out {self.name} {kind and kind.__name__}")


# ---------------------------------------------------------------- around what


async def test_they_are_entered_for_each_attempt_in_the_order_given(
    autojump_clock: object,
) -> None:
    log = list[str]()
    guards = tuple(Logged(name, log) for name in "abc")

    async def work() -> None:
        log.append("work")

        async def close() -> None:
            log.append("close")

        current_step().on_cleanup(close)
        if log.count("work") < 2:
            raise X

    async def note(what: str) -> None:
        log.append(what)

    node = Acts(prep=lambda: note("prep"), work=work, post=lambda: note("post"))
    await Step(node, guards=guards, retry=EXACT).run(Notes())
    attempt = ["in a", "in b", "in c", "work", "close"]
    assert log == [
        "prep",
        *(*attempt, "out c ValueError", "out b ValueError", "out a ValueError"),
        *(*attempt, "out c None", "out b None", "out a None"),
        "post",
    ]


async def test_prep_and_post_are_outside(autojump_clock: object) -> None:
    breaker = circuit()
    for node in (Acts(prep=Tape([X])), Acts(post=Tape([X]))):
        with pytest.raises(FlowFailedError):
            await Step(node, guards=(breaker,)).run(Notes())
    assert verdicts(breaker) == (1, 0, 0)


async def test_they_guard_a_flow_and_branches_as_a_whole(autojump_clock: object) -> None:
    for node in (chain("inner", saying("a"), saying("b")), parallel(saying("a"))):
        breaker = circuit()
        await Step(node, guards=(breaker,)).run(Notes())
        assert verdicts(breaker) == (1, 0, 0)


async def test_a_flow_that_no_guard_let_in_was_never_entered(autojump_clock: object) -> None:
    breaker = circuit()
    breaker.isolate()
    edit = Step(chain("inner", saying("a")), name="edit", guards=(breaker,))
    after = saying("after")

    @flow
    def f() -> Wiring[Notes]:
        return [edit.then(after).catch(CircuitOpenError, to=after), after.then(END)]

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(f, Notes())
    assert result.visits == {"f/edit": 1, "f/after": 1}
    assert result.state.log == ["after"]
    assert [line for line in recorder.lines() if "node_start" in line] == [
        "node_start f/edit",
        "node_start f/after",
    ]


# ---------------------------------------------------------------- rejections


async def test_a_rejection_is_routed_like_any_error(autojump_clock: object) -> None:
    breaker, tape = circuit(), Tape([X])
    play, backup = playing(tape, guards=(breaker,)), saying("backup")

    @flow
    def f() -> Wiring[Notes]:
        caught = play.then(END).catch(ValueError, to=END).catch(CircuitOpenError, to=backup)
        return [caught, backup.then(END)]

    assert (await f.run(Notes())).state.log == []
    assert (await f.run(Notes())).state.log == ["backup"]
    assert len(tape.seen) == 1


async def test_a_fallback_stands_in_for_a_rejected_exec(autojump_clock: object) -> None:
    breaker, tape = circuit(), Tape([X])
    instead = Fallback("instead", on=(CircuitOpenError,))
    one = Step(Acts(work=tape), guards=(breaker,), fallback=instead)
    with pytest.raises(FlowFailedError):
        await one.run(Notes())
    assert (await one.run(Notes())).state.log == ["instead"]


async def test_a_rejection_after_failed_attempts_has_the_last_failure_as_cause(
    autojump_clock: object,
) -> None:
    breaker, tape = circuit(2), Tape([X, Y])
    with pytest.raises(FlowFailedError) as caught:
        await playing(tape, guards=(breaker,), retry=exact(max_attempts=5)).run(Notes())
    error = caught.value.only()
    assert isinstance(error, CircuitOpenError)
    assert error.__cause__ is Y
    assert tape.starts == [0.0, 1.0]
    assert trio.current_time() == 3.0
    assert error.__notes__[0] == (
        "retry 'play': gave up after 3 attempts in 3 s: CircuitOpenError is not tried again"
    )


async def test_a_rejection_of_the_first_attempt_can_be_tried_again(
    autojump_clock: object,
) -> None:
    breaker, tape = circuit(recovery_timeout=20.0), Tape([X, None])
    with pytest.raises(FlowFailedError):
        await playing(tape, guards=(breaker,)).run(Notes())
    policy = exact(max_attempts=2, on_rejected="retry")
    await playing(tape, guards=(breaker,), retry=policy).run(Notes())
    assert tape.seen == [(0.0, 1), (20.0, 2)]
    assert breaker.statistics().rejected == 1


async def test_waiting_for_the_circuit_spends_no_attempt(autojump_clock: object) -> None:
    breaker, tape = circuit(recovery_timeout=20.0), Tape([X, None])
    policy = exact(max_attempts=2, on_rejected="wait")
    await playing(tape, guards=(breaker,), retry=policy).run(Notes())
    assert tape.seen == [(0.0, 1), (20.0, 2)]
    assert breaker.statistics().rejected == 1


async def test_a_limiter_refuses_at_once_what_would_begin_after_the_deadline(
    autojump_clock: object,
) -> None:
    limiter = RateLimiter("l", limit=1, window=10.0)
    tape = Tape([None])
    await playing(tape, guards=(limiter,)).run(Notes())
    with pytest.raises(FlowFailedError) as caught:
        await playing(tape, guards=(limiter,), timeout=5.0).run(Notes())
    error = caught.value.only()
    assert isinstance(error, RateLimitedError)
    assert (error.reason, error.retry_after) == ("deadline", 10.0)
    assert trio.current_time() == 0.0
    await playing(tape, guards=(limiter,), timeout=11.0, attempt_timeout=1.0).run(Notes())
    assert tape.starts == [0.0, 10.0]


async def test_a_full_bulkhead_refuses(autojump_clock: object) -> None:
    bulkhead = Bulkhead("b", BulkheadPolicy(limit=1, max_waiters=0))
    node = Step(Acts(work=Tape([1.0])), name="a", guards=(bulkhead,))
    both = Step(parallel(node, node.with_(name="b")), name="both")
    with pytest.raises(FlowFailedError) as caught:
        await both.run(Notes())
    assert isinstance(caught.value.only(), BulkheadFullError)
    assert bulkhead.statistics().inside == 0


# ---------------------------------------------------------------- hangs


@pytest.mark.parametrize("options", [{"timeout": 2.0}, {"attempt_timeout": 2.0}])
async def test_a_hang_that_the_steps_own_limit_cuts_off_is_a_failure(
    autojump_clock: object, options: dict[str, Any]
) -> None:
    breaker, inside = circuit(), circuit(5)
    tape = Tape([100.0])

    async def work() -> None:
        async with inside:
            await tape()

    kinds = list[type[BaseException]]()
    for _ in range(2):
        with pytest.raises(FlowFailedError) as caught:
            await Step(Acts(work=work), guards=(breaker,), **options).run(Notes())
        kinds.append(type(caught.value.only()))
    assert kinds == [DeadlineExceededError, CircuitOpenError]
    assert verdicts(breaker) == (0, 1, 0)
    assert verdicts(inside) == (0, 1, 0)
    assert trio.current_time() == 2.0


async def test_an_idle_limit_is_the_steps_own_too(autojump_clock: object) -> None:
    breaker = circuit()
    with pytest.raises(FlowFailedError):
        await Step(Acts(work=Tape([9.0])), guards=(breaker,), idle_timeout=2.0).run(Notes())
    assert verdicts(breaker) == (0, 1, 0)


async def test_a_hang_that_others_cut_off_is_no_verdict(autojump_clock: object) -> None:
    """The caller's scope, the run's timeout, and the limit of a step around."""
    breaker = circuit()
    guarded = Step(Acts(work=Tape([9.0])), name="hangs", guards=(breaker,), timeout=5.0)
    with trio.move_on_after(2.0):
        await guarded.run(Notes())
    assert verdicts(breaker) == (0, 0, 1)
    with pytest.raises(FlowFailedError):
        await guarded.run(Notes(), timeout=2.0)
    assert verdicts(breaker) == (0, 0, 2)
    inner = chain("inner", guarded)
    for number, outer in enumerate(
        (
            Step(inner, timeout=2.0),
            Step(inner, attempt_timeout=2.0),
            Step(parallel(guarded), timeout=2.0),
            Step(Acts(work=lambda: inner.run(Notes())), timeout=2.0),
        ),
        3,
    ):
        with pytest.raises(FlowFailedError) as caught:
            await outer.run(Notes())
        assert isinstance(caught.value.only(), DeadlineExceededError)
        assert verdicts(breaker) == (0, 0, number)


async def test_the_limit_of_the_whole_is_a_failure_for_an_items_guard(
    autojump_clock: object,
) -> None:
    breaker = circuit()

    class Hangs:
        async def prep(self, shared: Notes, /) -> list[int]:
            return [1]

        async def exec(self, item: int, /) -> int:
            await trio.sleep(9.0)
            return item

        async def post(self, shared: Notes, items: object, received: object, /) -> None: ...

    with pytest.raises(FlowFailedError):
        await Step(each(Hangs(), concurrent=2, guards=(breaker,)), timeout=2.0).run(Notes())
    assert verdicts(breaker) == (0, 1, 0)


async def test_an_item_cut_off_by_anothers_failure_is_no_verdict(
    autojump_clock: object,
) -> None:
    breaker, tapes = circuit(5), {1: Tape([9.0]), 2: Tape([X])}

    class Items:
        async def prep(self, shared: Notes, /) -> list[int]:
            return [1, 2]

        async def exec(self, item: int, /) -> int:
            await tapes[item]()
            return item

        async def post(self, shared: Notes, items: object, received: object, /) -> None: ...

    with pytest.raises(FlowFailedError):
        await Step(each(Items(), concurrent=2, guards=(breaker,)), timeout=20.0).run(Notes())
    assert verdicts(breaker) == (0, 1, 1)


async def test_a_slow_call_counts_from_when_the_innermost_guard_let_it_in(
    autojump_clock: object,
) -> None:
    slow = circuit(1, slow_after=1.0, slow_rate=0.5, min_calls=1)
    limiter = RateLimiter("l", limit=1, window=10.0)
    one = Step(Acts(work=Tape([0.5])), guards=(slow, limiter))
    await one.run(Notes())
    await one.run(Notes())
    assert trio.current_time() == 10.5
    assert slow.statistics().state.value == "closed"


async def test_a_breaker_met_again_inside_counts_its_slow_call_from_the_outer_start(
    autojump_clock: object,
) -> None:
    slow = circuit(1, slow_after=1.0, slow_rate=0.5, min_calls=1)
    limiter, wide = RateLimiter("l", limit=9, window=1.0), RateLimiter("w", limit=9, window=1.0)
    inner = Step(Acts(work=Tape([0.6])), name="b", guards=(slow, limiter))
    row = chain("f", Step(Acts(work=Tape([0.6])), name="a"), inner)
    await Step(row, guards=(slow, wide)).run(Notes())
    assert slow.statistics().state.value == "open"


# ---------------------------------------------------------------- shared


async def test_a_breaker_met_again_inside_passes_on_its_permit(autojump_clock: object) -> None:
    breaker = circuit(1)
    inner = chain("inner", playing(Tape([X]), guards=(breaker,)))
    with pytest.raises(FlowFailedError) as caught:
        await Step(inner, guards=(breaker,)).run(Notes())
    assert caught.value.only() is X
    assert verdicts(breaker) == (0, 1, 0)


async def test_a_half_open_breaker_met_again_inside_lets_its_probe_through(
    autojump_clock: object,
) -> None:
    breaker = circuit(1, recovery_timeout=1.0)
    tape = Tape([None])
    inner = Step(parallel(playing(tape, guards=(breaker,))), name="inner", guards=(breaker,))
    outer = Step(chain("f", inner), guards=(breaker,))
    breaker.open()
    await trio.sleep(1.0)
    await outer.run(Notes())
    assert breaker.statistics().state.value == "closed"
    assert len(tape.seen) == 1


async def test_a_bulkhead_met_again_inside_is_an_error_and_no_deadlock(
    autojump_clock: object,
) -> None:
    bulkhead = Bulkhead("b", limit=1)

    async def work() -> None:
        async with bulkhead:
            pass

    with pytest.raises(FlowFailedError) as caught:
        await Step(Acts(work=work), guards=(bulkhead,)).run(Notes())
    assert isinstance(caught.value.only(), GuardReentryError)
    assert bulkhead.statistics().inside == 0


def test_a_guard_is_blank_in_a_second_run_of_trio() -> None:
    breaker, limiter, tape = circuit(), RateLimiter("l", limit=1, window=9.0), Tape([X])
    play = playing(tape, guards=(breaker, limiter), retry=RetryPolicy(on=OSError))

    async def main() -> float:
        begun = trio.current_time()
        with pytest.raises(FlowFailedError) as caught:
            await play.run(Notes())
        assert caught.value.only() is X
        assert verdicts(breaker) == (0, 1, 0)
        return trio.current_time() - begun

    for _ in range(2):
        assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == 0.0


def test_a_flow_with_a_retry_may_run_in_two_threads_at_once() -> None:
    """A policy belongs to no run of Trio, however many use it."""
    entered, done = list[int](), list[str]()

    async def work() -> None:
        entered.append(1)
        while len(entered) < 2:
            await trio.lowlevel.checkpoint()
        if current_step().attempt == 1:
            raise X

    one = Step(Acts(work=work), retry=RetryPolicy(base_delay=0.0))

    def alone() -> None:
        trio.run(one.run, Notes())
        done.append("done")

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(trio.to_thread.run_sync, alone)

    trio.run(both)
    assert done == ["done", "done"]


async def test_instances_are_shared_by_flows(autojump_clock: object) -> None:
    breaker = circuit(2)
    flows: list[Flow[Notes, []]] = [
        chain(name, playing(Tape([X]), guards=(breaker,))) for name in "abc"
    ]
    leaves = list[BaseException]()
    for one in flows:
        with pytest.raises(FlowFailedError) as caught:
            await one.run(Notes())
        leaves.append(caught.value.only())
    assert leaves[:2] == [X, X]
    assert isinstance(leaves[2], CircuitOpenError)


async def test_steps_that_share_a_limiter_begin_in_the_order_they_came(
    autojump_clock: object,
) -> None:
    limiter = RateLimiter("l", limit=1, window=1.0)
    begun = dict[str, float]()

    def arriving(name: str, at: float) -> Step[Notes, []]:
        async def come() -> None:
            await trio.sleep(at)

        async def work() -> None:
            begun[name] = trio.current_time()

        return Step(Acts(prep=come, work=work), name=name, guards=(limiter,))

    arrivals = {"c": 0.3, "a": 0.1, "d": 0.4, "b": 0.2}
    branches = [arriving(name, at) for name, at in arrivals.items()]
    await Step(parallel(*branches), name="all").run(Notes())
    assert begun == {"a": 0.1, "b": 1.1, "c": 2.1, "d": 3.1}
    assert [*begun] == ["a", "b", "c", "d"]


# ---------------------------------------------------------------- told


async def test_every_decision_is_an_event_with_its_place(autojump_clock: object) -> None:
    breaker = circuit(1, recovery_timeout=5.0)
    limiter = RateLimiter("l", limit=1, window=2.0)
    tape = Tape([X, None])
    policy = exact(on_rejected="wait")
    row = chain("f", playing(tape, retry=policy, guards=(limiter, breaker)))
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(row, Notes())
    changed, failed = "circuit_changed f/play guard=search", "attempt_failed f/play guard=play"
    scheduled, opened = "retry_scheduled f/play guard=play", "cause=failure_threshold"
    assert guarding(recorder.events) == [
        f"0 {changed} before=closed state=open generation=1 {opened} retry_after=5.0",
        f"0 {failed} attempt=1 error=ValueError message=x",
        f"0 {scheduled} attempt=2 delay=1.0",
        "1 wait_start f/play guard=l waiting=1",
        "2 wait_end f/play guard=l outcome=admitted waited=1.0",
        "2 rejected f/play guard=search reason=open retry_after=3.0",
        f"2 {failed} attempt=2 error=CircuitOpenError message={OPEN}",
        f"2 {scheduled} attempt=2 delay=3.0",
        f"5 {changed} before=open state=half_open generation=2 cause=recovery_timeout",
        f"5 {changed} before=half_open state=closed generation=3 cause=probes_succeeded",
    ]
    assert [event.seq for event in recorder.events] == [*range(len(recorder.events))]
    assert {event.run_id for event in recorder.events} == {recorder.events[0].run_id}


async def test_guards_in_a_nodes_own_code_are_told_of_too(autojump_clock: object) -> None:
    told_itself = list[Any]()
    limiter = RateLimiter("l", limit=1, window=2.0, on_event=told_itself.append)

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(limiter.acquire)

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", Step(Acts(work=work), name="asks")), Notes())
    assert guarding(recorder.events) == [
        "0 wait_start f/asks guard=l waiting=1",
        "2 wait_end f/asks guard=l outcome=admitted waited=2.0",
    ]
    assert [event.run_id for event in told_itself] == ["", ""]


async def test_what_a_guard_reports_where_nobody_listens_goes_nowhere(
    autojump_clock: object,
) -> None:
    told = list[bool]()

    async def work() -> None:
        around = AROUND.find()
        assert around is not None
        told.append(around.listening)
        around.tell(WaitStarted(guard="l", timestamp=0.0, waiting=1))

    await Step(Acts(work=work)).run(Notes())
    assert told == [False]


async def test_a_circuits_jitter_comes_from_the_seed_of_the_run(autojump_clock: object) -> None:
    async def wait(seed: int) -> float | None:
        breaker = circuit(jitter=1.0)
        once = playing(Tape([X]), guards=(breaker,))
        with pytest.raises(FlowFailedError):
            await once.run(Notes(), seed=seed)
        with pytest.raises(FlowFailedError) as caught:
            await once.run(Notes(), seed=seed)
        refused = caught.value.only()
        assert isinstance(refused, CircuitOpenError)
        return refused.retry_after

    waits = [await wait(seed) for seed in (1, 1, 2)]
    assert waits[0] == waits[1] != waits[2]


async def test_a_wait_that_is_cancelled_is_told_at_its_place(autojump_clock: object) -> None:
    limiter = RateLimiter("l", limit=1, window=20.0)
    waiting = chain("f", Step(Acts(), name="asks", guards=(limiter,)))
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(waiting, Notes())
        async with engine.start(waiting, Notes()) as run:
            await trio.sleep(3.0)
            await run.cancel("enough")
    assert guarding(recorder.events) == [
        "0 wait_start f/asks guard=l waiting=1",
        "3 wait_end f/asks guard=l outcome=cancelled waited=3.0",
    ]


async def test_a_wait_outside_any_step_is_told_to_no_run(autojump_clock: object) -> None:
    limiter, recorder = RateLimiter("l", limit=1, window=2.0), Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", saying("a")), Notes())
        await limiter.acquire()
        await limiter.acquire()
    assert guarding(recorder.events) == []


# ---------------------------------------------------------------- explored


def shared_flow(
    breaker: CircuitBreaker, limiter: RateLimiter, bulkhead: Bulkhead
) -> Flow[Notes, []]:
    """Three branches and a flow that share all guards, with failures, retries and waits."""

    def work(number: int) -> Acts:
        async def fail_once() -> None:
            await trio.sleep(0.5)
            if current_step().attempt == 1 and number != 1:
                raise X

        return Acts(work=fail_once)

    policy = RetryPolicy(max_attempts=4, on_rejected="wait")
    guards = (breaker, limiter, bulkhead)
    branches = [
        Step(work(number), name=f"b{number}", retry=policy, guards=guards, timeout=60.0)
        for number in range(3)
    ]
    last = Step(work(0), name="last", attempt_timeout=5.0, retry=policy, guards=guards)
    inner = Step(chain("inner", last), name="inner", retry=policy, guards=(breaker,))
    return chain("f", Step(parallel(*branches), name="all"), inner)


def test_no_order_of_tasks_leaks_a_permit_or_changes_the_result() -> None:
    async def program() -> tuple[list[str], int]:
        breaker = circuit(2, recovery_timeout=3.0)
        limiter, bulkhead = RateLimiter("l", limit=2, window=1.0), Bulkhead("b", limit=2)
        with assert_no_leaks(breaker, limiter, bulkhead):
            result = await shared_flow(breaker, limiter, bulkhead).run(Notes())
        seen = breaker.statistics()
        return result.state.log, seen.running + bulkhead.statistics().inside

    def check(seen: tuple[list[str], int]) -> None:
        assert seen == ([], 0)

    explore(program, check=check, seeds=60).raise_on_failure()


def test_cancelled_anywhere_nothing_stays_entered() -> None:
    async def program() -> None:
        breaker = circuit(2, recovery_timeout=3.0)
        limiter, bulkhead = RateLimiter("l", limit=2, window=1.0), Bulkhead("b", limit=2)
        with assert_no_leaks(breaker, limiter, bulkhead):
            try:
                await shared_flow(breaker, limiter, bulkhead).run(Notes())
            finally:
                assert breaker.statistics().running == 0
                assert bulkhead.statistics().inside == 0

    assert cancel_everywhere(program, seeds=2) > 20


async def test_a_timeout_may_be_one_of_the_guards(autojump_clock: object) -> None:
    breaker = circuit()
    hangs = Step(Acts(work=Tape([9.0])), guards=(breaker, Timeout(2.0, name="mine")))
    with pytest.raises(FlowFailedError) as caught:
        await hangs.run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert error.limit == "mine"
    assert verdicts(breaker) == (0, 1, 0)


async def test_a_function_of_the_state_may_have_guards(autojump_clock: object) -> None:
    breaker = circuit()

    @step(guards=[breaker])
    async def fails(notes: Notes) -> None:
        raise X

    with pytest.raises(FlowFailedError):
        await fails.run(Notes())
    assert verdicts(breaker) == (0, 1, 0)
