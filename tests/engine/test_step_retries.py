"""A step that fails is tried again as its policy says: prep and post once, exec for each attempt, nothing left of a failed one."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitPolicy,
    Count,
    DeadlineExceededError,
    Engine,
    Fallback,
    FlowAbortedError,
    FlowFailedError,
    Next,
    Retry,
    RetryBudget,
    RetryPolicy,
    Step,
    StepLimitError,
    Wiring,
    batch,
    current_step,
    each,
    flow,
    fold,
    parallel,
    race,
    step,
)
from agentflow_trio.testing import Faults, first, simulate

from .engine_kit import Acts, Notes, Opened, Recorder, chain, picture, saying, told
from .policies_kit import EXACT, Tape, exact, guarding, playing

X, Y = ValueError("x"), OSError("y")


# ---------------------------------------------------------------- when


async def test_the_delays_are_those_of_the_seeds_table(autojump_clock: object) -> None:
    """Attempt 1 at once, 2 after 100 ms, 3 after 200 ± 20, 4 after 400 ± 40, 5 after 800 ± 80."""
    tape = Tape([X, X, X, X, None])
    await playing(tape, retry=RetryPolicy(max_attempts=5)).run(Notes(), seed=7)
    starts = tape.starts
    delays = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert starts[:2] == [0.0, 0.1]
    for delay, middle in zip(delays[1:], (0.2, 0.4, 0.8), strict=True):
        assert middle * 0.9 <= delay < middle * 1.1
        assert delay != middle


async def starts_of(name: str, seed: int) -> list[float]:
    tape = Tape([X, X, X, None])
    begun = trio.current_time()
    await playing(tape, name, retry=RetryPolicy(max_attempts=4)).run(Notes(), seed=seed)
    return [round(start - begun, 9) for start in tape.starts]


async def test_the_same_seed_gives_the_same_delays_at_the_same_place(
    autojump_clock: object,
) -> None:
    assert await starts_of("a", 1) == await starts_of("a", 1)
    assert await starts_of("a", 1) != await starts_of("a", 2)
    assert await starts_of("a", 1) != await starts_of("b", 1)


async def test_branches_do_not_disturb_each_others_delays(autojump_clock: object) -> None:
    async def delays(*others: str) -> list[float]:
        tape, begun = Tape([X, X, X, None]), trio.current_time()
        policy = RetryPolicy(max_attempts=4)
        steps = [
            Step(Acts(work=Tape([X, X, X, None])), name=name, retry=policy) for name in others
        ]
        first = Step(Acts(work=tape), name="first", retry=policy)
        branches = Step(parallel(first, *steps), name="all")
        await branches.run(Notes(), seed=1)
        return [round(start - begun, 9) for start in tape.starts]

    assert await delays() == await delays("other", "third")


async def test_each_visit_has_dice_of_its_own(autojump_clock: object) -> None:
    tape = Tape([X, X, None] * 2)

    @step(retry=RetryPolicy())
    async def play(notes: Notes, *, again: Next, done: Next) -> Next:
        await tape()
        notes.count += 1
        return again if notes.count < 2 else done

    @flow
    def playing_twice() -> Wiring[Notes]:
        return [play.to(again=play, done=END)]

    await playing_twice.run(Notes(), seed=1)
    assert [attempt for _, attempt in tape.seen] == [1, 2, 3, 1, 2, 3]
    starts = tape.starts
    assert starts[2] - starts[1] != pytest.approx(starts[5] - starts[4])


async def test_a_retry_in_a_nodes_own_code_has_the_dice_of_its_place(
    autojump_clock: object,
) -> None:
    retry = Retry(RetryPolicy(max_attempts=4), name="own")

    async def starts(seed: int) -> list[float]:
        tape, begun = Tape([X, X, X, None]), trio.current_time()
        await Step(Acts(work=lambda: retry.call(tape))).run(Notes(), seed=seed)
        return [round(start - begun, 9) for start in tape.starts]

    assert await starts(1) == await starts(1) != await starts(2)


async def test_bodies_in_one_visit_have_dice_of_their_own(autojump_clock: object) -> None:
    retry, tape = Retry(RetryPolicy(max_attempts=3), name="own"), Tape([X, X, None])
    seen = list[float]()

    async def draw() -> None:
        for _ in range(2):
            tape.seen.clear()
            await retry.call(tape)
            seen.append(tape.starts[2] - tape.starts[1])

    await Step(Acts(work=draw)).run(Notes(), seed=1)
    assert len({round(delay, 9) for delay in seen}) == 2


async def test_no_sleep_is_begun_that_would_end_at_the_steps_deadline(
    autojump_clock: object,
) -> None:
    for timeout, attempts, ends in ((3.0, 2, 1.0), (3.1, 3, 3.0)):
        tape, begun = Tape([X]), trio.current_time()
        with pytest.raises(FlowFailedError) as caught:
            await playing(tape, retry=EXACT, timeout=timeout).run(Notes())
        assert caught.value.only() is X
        assert len(tape.seen) == attempts
        assert trio.current_time() - begun == ends


async def test_the_deadlines_of_run_and_caller_count_too(autojump_clock: object) -> None:
    tape = Tape([X])
    with pytest.raises(FlowFailedError):
        await playing(tape, retry=EXACT).run(Notes(), timeout=1.0)
    assert tape.starts == [0.0]
    with trio.fail_after(1.0), pytest.raises(FlowFailedError):
        await playing(tape, retry=EXACT).run(Notes())
    assert tape.starts == [0.0, 0.0]
    assert "the next attempt would not begin before the deadline" in "".join(X.__notes__)


async def test_the_timeout_bounds_all_attempts_and_waits(autojump_clock: object) -> None:
    tape = Tape([X, 10.0])
    with pytest.raises(FlowFailedError) as caught:
        await playing(tape, retry=EXACT, timeout=5.0).run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert (error.limit, error.spent) == ("timeout of play", {"play": 5.0})
    assert trio.current_time() == 5.0
    failure = caught.value.find(error)
    assert failure is not None
    assert failure.attempt == 2


async def test_the_attempt_timeout_bounds_one_attempt(autojump_clock: object) -> None:
    tape = Tape([10.0, 10.0, 1.0])
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(
            chain("f", playing(tape, retry=EXACT, attempt_timeout=2.0, timeout=60.0)), Notes()
        )
    assert tape.seen == [(0.0, 1), (3.0, 2), (7.0, 3)]
    assert trio.current_time() == 8.0
    assert guarding(recorder.events)[0] == (
        "2 attempt_failed f/play guard=play attempt=1 error=DeadlineExceededError "
        "message=attempt_timeout of f/play (2 s) ran out; spent: f/play 2 s"
    )
    failed = [event for event in recorder.events if event.event_type == "attempt_failed"]
    assert [event.duration_ms for event in failed] == [2000.0, 2000.0]


async def test_a_budget_of_one_name_is_shared_by_steps(autojump_clock: object) -> None:
    budget = RetryBudget("llm", ratio=0.0, reserve=3)
    tapes = [Tape([X]) for _ in range(3)]
    steps = [
        playing(tape, name, retry=exact(budget=budget))
        for tape, name in zip(tapes, "abc", strict=True)
    ]
    for one in steps:
        with pytest.raises(FlowFailedError):
            await one.run(Notes())
    assert [len(tape.seen) for tape in tapes] == [3, 2, 1]


# ---------------------------------------------------------------- what


async def test_prep_and_post_run_once_and_exec_for_each_attempt(autojump_clock: object) -> None:
    calls = list[str]()

    class Node:
        async def prep(self, shared: Notes, /) -> list[str]:
            calls.append("prep")
            return calls

        async def exec(self, prepared: list[str], /) -> int:
            assert prepared is calls
            calls.append(f"exec {current_step().attempt}")
            if len(calls) < 4:
                raise X
            return current_step().attempt

        async def post(self, shared: Notes, prepared: list[str], result: int, /) -> None:
            calls.append(f"post {result} {current_step().attempt}")

    await Step(Node(), retry=EXACT).run(Notes())
    assert calls == ["prep", "exec 1", "exec 2", "exec 3", "post 3 3"]


async def test_prep_and_post_are_not_tried_again(autojump_clock: object) -> None:
    for phase in ("prep", "post"):
        tape = Tape([X])
        node = Acts(prep=tape) if phase == "prep" else Acts(post=tape)
        with pytest.raises(FlowFailedError):
            await Step(node, retry=EXACT).run(Notes())
        assert len(tape.seen) == 1


async def test_each_attempt_of_a_function_has_a_fork_of_its_own(autojump_clock: object) -> None:
    result = await playing(Tape([X, X, None]), retry=EXACT).run(Notes(["old"]))
    assert result.state.log == ["old", "play begins", "play"]


async def test_every_attempt_has_random_numbers_of_its_own(autojump_clock: object) -> None:
    drawn = list[float]()

    async def draw() -> None:
        drawn.append(current_step().random.random())
        if len(drawn) < 3:
            raise X

    await Step(Acts(work=draw), retry=EXACT).run(Notes(), seed=1)
    assert len({*drawn}) == 3


async def test_the_step_after_a_retried_one_is_at_its_first_attempt(
    autojump_clock: object,
) -> None:
    after, target = Tape([None]), Tape([None])
    row = chain("f", playing(Tape([X, None]), "a", retry=EXACT), playing(after, "b"))
    await row.run(Notes())
    assert after.seen == [(1.0, 1)]

    play, caught = playing(Tape([X]), "a", retry=EXACT), playing(target, "c")

    @flow
    def catching() -> Wiring[Notes]:
        return [play.then(END).catch(ValueError, to=caught), caught.then(END)]

    await catching.run(Notes())
    assert target.seen == [(4.0, 1)]


async def test_a_fallback_stands_in_after_the_last_attempt(autojump_clock: object) -> None:
    tape = Tape([X])
    node = Acts(work=tape)
    result = await Step(node, retry=EXACT, fallback=Fallback("instead")).run(Notes())
    assert result.state.log == ["instead"]
    assert len(tape.seen) == 3


async def test_cancellation_is_not_tried_again(autojump_clock: object) -> None:
    tape = Tape([10.0])
    with trio.move_on_after(2.0) as scope:
        await playing(tape, retry=EXACT).run(Notes())
    assert scope.cancelled_caught
    assert len(tape.seen) == 1
    with trio.move_on_after(2.5) as scope:
        scope.deadline = trio.current_time() + 100.0
        tape = Tape([X])

        async def cancel_in_the_wait() -> None:
            await trio.sleep(0.5)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_in_the_wait)
            await playing(tape, retry=EXACT).run(Notes())
    assert scope.cancelled_caught
    assert len(tape.seen) == 1


async def test_the_step_limit_is_not_tried_again(autojump_clock: object) -> None:
    tape = Tape([None])
    inner = chain("inner", playing(tape, "a"), saying("b"), saying("c"))
    outer = chain("outer", Step(inner, retry=EXACT))
    async with Engine(max_steps=3) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(outer, Notes())
    assert isinstance(caught.value.only(), StepLimitError)
    assert len(tape.seen) == 1


async def test_a_step_limit_in_a_later_attempt_ends_the_attempts(
    autojump_clock: object,
) -> None:
    tape = Tape([X, None])
    outer = chain("outer", Step(chain("inner", playing(tape, "a"), saying("b")), retry=EXACT))
    async with Engine(max_steps=3) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(outer, Notes())
    assert isinstance(caught.value.only(), StepLimitError)
    assert len(tape.seen) == 2


async def test_only_what_the_policy_is_on_is_tried_again(autojump_clock: object) -> None:
    tape = Tape([Y, X])
    with pytest.raises(FlowFailedError) as caught:
        await playing(tape, retry=exact(on=OSError)).run(Notes())
    assert caught.value.only() is X
    assert len(tape.seen) == 2


async def test_the_last_failure_says_attempt_elapsed_time_and_reason(
    autojump_clock: object,
) -> None:
    error = KeyError("k")
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", playing(Tape([X, Y, error]), retry=EXACT)).run(Notes())
    assert caught.value.only() is error
    failure = caught.value.find(error)
    assert failure is not None
    assert (failure.path, failure.phase, failure.attempt, failure.elapsed) == (
        "f/play",
        "exec",
        3,
        3.0,
    )
    assert error.__notes__ == [
        "retry 'play': gave up after 3 attempts in 3 s: max_attempts=3",
        "in exec of f/play, attempt 3, after 3 s",
    ]


async def test_what_an_attempt_opened_is_closed_before_the_next(autojump_clock: object) -> None:
    log = list[str]()

    async def work() -> None:
        await current_step().enter(Opened(log, str(current_step().attempt)))
        log.append("work")
        if current_step().attempt < 3:
            raise X

    await Step(Acts(work=work), retry=EXACT).run(Notes())
    assert log == [
        *("open 1", "work", "close 1"),
        *("open 2", "work", "close 2"),
        *("open 3", "work", "close 3"),
    ]


async def test_what_prep_opened_stays_open_for_all_attempts(autojump_clock: object) -> None:
    log = list[str]()

    async def prepare() -> None:
        await current_step().enter(Opened(log))

    async def work() -> None:
        log.append(f"work {current_step().attempt}")
        if current_step().attempt < 2:
            raise X

    await Step(Acts(prep=prepare, work=work), retry=EXACT).run(Notes())
    assert log == ["open it", "work 1", "work 2", "close it"]


async def test_a_cleanup_that_fails_is_part_of_its_attempt(autojump_clock: object) -> None:
    """It is dropped with it, or raised with the last one; the policy must be on both."""

    async def run(policy: RetryPolicy) -> tuple[object, int]:
        attempts = 0

        async def work() -> None:
            nonlocal attempts
            attempts += 1
            await current_step().enter(Opened([], raises=Y))
            raise X

        with pytest.raises(FlowFailedError) as caught:
            await Step(Acts(work=work), name="s", retry=policy).run(Notes())
        return picture(caught.value), attempts

    both = ("s", [("s", [X, Y])])
    assert await run(EXACT) == (both, 3)
    assert await run(exact(on=ValueError)) == (both, 1)


async def test_a_cleanup_that_ends_the_program_ends_the_attempts(
    autojump_clock: object,
) -> None:
    tape = Tape([X])

    async def leave() -> None:
        raise SystemExit(3)

    async def work() -> None:
        current_step().on_cleanup(leave)
        await tape()

    with pytest.raises(FlowAbortedError) as caught:
        await Step(Acts(work=work), retry=EXACT).run(Notes())
    assert [type(leaf) for leaf in caught.value.leaves()] == [ValueError, SystemExit]
    assert len(tape.seen) == 1


async def test_an_attempt_that_comes_too_late_does_not_begin(autojump_clock: MockClock) -> None:
    """The loop was busy from 0.5 s to 20.5 s."""
    tape = Tape([X])

    async def busy() -> None:
        await trio.sleep(0.5)
        autojump_clock.jump(20.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        with pytest.raises(FlowFailedError) as caught:
            await playing(tape, retry=exact(max_elapsed=10.0)).run(Notes())
    assert caught.value.only() is X
    assert tape.starts == [0.0]


async def test_the_failure_of_a_cleanup_is_kept_if_the_next_attempt_comes_too_late(
    autojump_clock: MockClock,
) -> None:
    async def work() -> None:
        await current_step().enter(Opened([], raises=Y))
        raise X

    async def busy() -> None:
        await trio.sleep(0.5)
        autojump_clock.jump(20.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        one = Step(Acts(work=work), name="s", retry=exact(max_elapsed=10.0))
        with pytest.raises(FlowFailedError) as caught:
            await one.run(Notes())
    assert picture(caught.value) == ("s", [("s", [X, Y])])


async def test_what_a_dropped_attempt_raised_is_kept_by_nobody(autojump_clock: object) -> None:
    class DroppedError(Exception):
        pass

    kept = list[weakref.ref[DroppedError]]()

    def made() -> DroppedError:
        error = DroppedError()
        kept.append(weakref.ref(error))
        return error

    async def work() -> None:
        if len(kept) < 2:
            raise made()

    gc.collect()
    gc.disable()
    try:
        await Step(Acts(work=work), retry=EXACT).run(Notes())
        assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()


# ---------------------------------------------------------------- flows and shapes


def nested(tape: Tape, **options: Any) -> tuple[list[tuple[str, str]], Step[Notes, []]]:
    """A nested flow of two steps; and paths and keys as seen in the second."""
    seen = list[tuple[str, str]]()

    @step
    async def look(notes: Notes) -> None:
        seen.append((current_step().path, current_step().idempotency_key))
        await tape()

    return seen, Step(chain("inner", saying("write"), look), name="edit", **options)


async def test_a_flow_that_is_tried_again_says_so_in_its_path(autojump_clock: object) -> None:
    tape = Tape([X, X, None])
    seen, edit = nested(tape, retry=EXACT)
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(chain("f", edit, saying("last")), Notes(["old"]), run_id="r")
    assert seen == [
        ("f/edit/look", "r/f/edit/look"),
        ("f/edit@2/look", "r/f/edit/look"),
        ("f/edit@3/look", "r/f/edit/look"),
    ]
    assert result.state.log == ["old", "write", "last"]
    assert result.visits == {"f/edit": 1, "f/edit/write": 3, "f/edit/look": 3, "f/last": 1}
    assert [attempt for _, attempt in tape.seen] == [1, 1, 1]
    assert [line for line in recorder.lines() if line.startswith("node_error")] == [
        "node_error f/edit/look phase=exec attempt=1 error=ValueError message=x",
        "node_error f/edit@2/look phase=exec attempt=1 error=ValueError message=x",
    ]
    assert [line.split(" message=")[0] for line in guarding(recorder.events)] == [
        "0 attempt_failed f/edit guard=edit attempt=1 error=FlowFailedError",
        "0 retry_scheduled f/edit guard=edit attempt=2 delay=1.0",
        "1 attempt_failed f/edit guard=edit attempt=2 error=FlowFailedError",
        "1 retry_scheduled f/edit guard=edit attempt=3 delay=2.0",
    ]


async def test_a_flow_given_up_tells_the_attempt(autojump_clock: object) -> None:
    _, edit = nested(Tape([X]), retry=exact(max_attempts=2))
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", edit), Notes())
    assert picture(caught.value) == ("f", [("f/edit@2", [X])])
    assert [line.split(" message=")[0] for line in recorder.lines()[-3:-1]] == [
        "gave_up f/edit guard=edit attempts=2 elapsed=1.0 reason=attempts",
        "node_error f/edit phase=exec attempt=2 error=FlowFailedError",
    ]


async def test_second_visits_and_attempts_are_told_apart(autojump_clock: object) -> None:
    seen = list[str]()

    @step
    async def look(notes: Notes) -> None:
        seen.append(current_step().path)
        if len(seen) in {1, 3}:
            raise X

    edit = Step(chain("inner", look), name="edit", retry=EXACT)

    @step
    async def again(notes: Notes, *, more: Next, done: Next) -> Next:
        return more if len(seen) < 4 else done

    @flow
    def f() -> Wiring[Notes]:
        return [edit.then(again), again.to(more=edit, done=END)]

    result = await f.run(Notes())
    assert seen == ["f/edit/look", "f/edit@2/look", "f/edit#2/look", "f/edit#2@2/look"]
    assert result.tail == (
        *("f/edit", "f/edit/look", "f/edit@2/look", "f/again"),
        *("f/edit#2", "f/edit#2/look", "f/edit#2@2/look", "f/again#2"),
    )


@pytest.mark.parametrize("shape", [parallel, race])
async def test_branches_are_tried_again_as_a_whole(
    autojump_clock: object, shape: object
) -> None:
    paths = list[str]()

    @step
    async def look(notes: Notes) -> None:
        paths.append(current_step().path)
        if len(paths) < 3:
            raise X
        notes.count += 1

    both = Step((parallel if shape is parallel else race)(look), name="both", retry=EXACT)
    result = await chain("f", both, saying("last")).run(Notes())
    assert paths == ["f/both/look", "f/both@2/look", "f/both@3/look"]
    assert (result.state.count, result.state.log) == (1, ["last"])
    assert result.visits == {"f/both": 1, "f/both/look": 3, "f/last": 1}


async def test_inner_and_outer_retries_multiply_unless_they_share_a_budget(
    autojump_clock: object,
) -> None:
    for budget, calls in ((None, 9), (RetryBudget("b", ratio=0.0, reserve=4), 5)):
        tape = Tape([X])
        policy = exact(budget=budget)
        with pytest.raises(FlowFailedError):
            await Step(chain("inner", playing(tape, retry=policy)), retry=policy).run(Notes())
        assert len(tape.seen) == calls


# ---------------------------------------------------------------- items


class Sections:
    """Items 0 to 3, each handled by *tape* of its number."""

    def __init__(self, **tapes: Tape) -> None:
        self.tapes = tapes

    async def prep(self, shared: Notes, /) -> list[str]:
        return [*self.tapes]

    async def exec(self, item: str, /) -> str:
        await self.tapes[item]()
        return f"{item}{current_step().attempt}"

    async def post(self, shared: Notes, items: object, received: object, /) -> None:
        shared.log.append(str(received))


async def test_each_item_is_tried_again_for_itself(autojump_clock: object) -> None:
    tapes = {"a": Tape([X, None]), "b": Tape([1.5]), "c": Tape([Y, Y, None])}
    node = each(Sections(**tapes), concurrent=2, retry=EXACT)
    result = await Step(node).run(Notes())
    assert result.state.log == ["['a2', 'b1', 'c3']"]
    assert tapes["a"].seen == [(0.0, 1), (1.0, 2)]
    assert tapes["b"].seen == [(0.0, 1)]
    assert tapes["c"].seen == [(1.0, 1), (2.0, 2), (4.0, 3)]


async def test_an_item_that_is_given_up_says_its_attempt(autojump_clock: object) -> None:
    recorder = Recorder()
    node = each(Sections(a=Tape([None]), b=Tape([X])), concurrent=1, retry=EXACT)
    async with Engine(observers=[recorder]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", Step(node)), Notes())
    failure = caught.value.find(X)
    assert failure is not None
    assert (failure.path, failure.attempt, failure.elapsed) == ("f/sections[1]", 3, 3.0)
    assert [line for line in told(recorder.events) if "item_failed" in line] == [
        "item_failed f/sections[1] attempt=3 error=ValueError message=x tolerated=False"
    ]
    assert "1 retry_scheduled f/sections[1] guard=sections attempt=3 delay=2.0" in guarding(
        recorder.events
    )


async def test_an_item_has_time_and_guards_of_its_own(autojump_clock: object) -> None:
    breaker = CircuitBreaker("b", CircuitPolicy(failure_threshold=2))
    tapes = {"a": Tape([10.0]), "b": Tape([1.0]), "c": Tape([10.0]), "d": Tape([None])}
    node = each(
        Sections(**tapes),
        concurrent=1,
        attempt_timeout=2.0,
        guards=(breaker,),
        tolerate=Count(4),
    )
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(Step(node, timeout=60.0), Notes())
    assert [len(tape.seen) for tape in tapes.values()] == [1, 1, 1, 1]
    assert trio.current_time() == 5.0
    assert breaker.statistics().failed == 2
    (log,) = result.state.log
    assert "attempt_timeout of sections[0] (2 s) ran out" in str([
        event.metadata for event in recorder.events
    ])
    assert "b1" in log


async def test_items_have_dice_of_their_own(autojump_clock: object) -> None:
    async def delays(seed: int, **tapes: Tape) -> list[float]:
        node = each(Sections(**tapes), concurrent=3, retry=RetryPolicy())
        await Step(node).run(Notes(), seed=seed)
        return [round(tape.starts[2] - tape.starts[1], 9) for tape in tapes.values()]

    def again() -> Tape:
        return Tape([X, X, None])

    three = await delays(1, a=again(), b=again(), c=again())
    assert len({*three}) == 3
    assert await delays(1, a=again()) == three[:1]


async def test_a_flow_for_an_item_that_is_tried_again_says_so_in_its_path(
    autojump_clock: object,
) -> None:
    paths = list[str]()

    @step
    async def look(notes: Notes) -> None:
        paths.append(current_step().path)
        if len(paths) in {1, 3}:
            raise X
        notes.log.append("kept")

    def split(notes: Notes) -> list[Notes]:
        return [Notes(["one"]), Notes(["two"])]

    def join(notes: Notes, parts: Sequence[Notes]) -> None:
        notes.log = [line for part in parts for line in part.log]

    breaker = CircuitBreaker("b")
    items = chain("inner", look).over(split, join)
    node = each(items, concurrent=1, retry=EXACT, guards=(breaker,))
    result = await chain("f", Step(node, name="all")).run(Notes())
    assert paths == [
        *("f/all[0]/look", "f/all[0]@2/look"),
        *("f/all[1]/look", "f/all[1]@2/look"),
    ]
    assert result.state.log == ["one", "kept", "two", "kept"]
    seen = breaker.statistics()
    assert (seen.succeeded, seen.failed) == (2, 2)


async def test_a_part_is_tried_again_as_a_whole(autojump_clock: object) -> None:
    calls = list[tuple[float, list[int]]]()

    class Embed:
        async def prep(self, shared: Notes, /) -> list[int]:
            return [1, 2, 3]

        async def exec(self, items: Sequence[int], /) -> Sequence[int]:
            calls.append((trio.current_time(), [*items]))
            if len(calls) == 1:
                raise X
            return items

        async def post(self, shared: Notes, items: object, received: object, /) -> None:
            shared.log.append(str(received))

    result = await Step(batch(Embed(), size=2, retry=EXACT)).run(Notes())
    assert calls == [(0.0, [1, 2]), (1.0, [1, 2]), (1.0, [3])]
    assert result.state.log == ["[1, 2, 3]"]


async def test_policies_of_the_step_are_for_all_items_together(autojump_clock: object) -> None:
    tapes = {"a": Tape([None]), "b": Tape([X, None])}
    result = await Step(each(Sections(**tapes), concurrent=1), retry=EXACT).run(Notes())
    assert [tape.starts for tape in tapes.values()] == [[0.0, 1.0], [0.0, 1.0]]
    assert result.state.log == ["['a1', 'b1']"]


async def test_a_source_that_is_read_only_once_is_not_read_again(
    autojump_clock: object,
) -> None:
    tape = Tape([X])

    class Lines:
        async def prep(self, shared: Notes, /) -> Iterator[str]:
            return iter("abc")

        async def exec(self, item: str, /) -> str:
            await tape()
            return item

        async def post(self, shared: Notes, items: object, received: object, /) -> None: ...

    with pytest.raises(FlowFailedError) as caught:
        await Step(
            each(Lines(), concurrent=1, into=fold(int, lambda total, _: total + 1)), retry=EXACT
        ).run(Notes())
    assert len(tape.seen) == 1
    assert caught.value.only() is X


# ---------------------------------------------------------------- wrapped


async def test_a_copy_may_have_another_policy(autojump_clock: object) -> None:
    tape = Tape([X])
    play = playing(tape, retry=EXACT)
    with pytest.raises(FlowFailedError):
        await play.with_(retry=None).run(Notes())
    assert len(tape.seen) == 1
    with pytest.raises(FlowFailedError):
        await play.with_(retry=exact(max_attempts=2)).run(Notes())
    assert len(tape.seen) == 3


async def test_a_replaced_node_keeps_the_policies_of_its_step(autojump_clock: object) -> None:
    play = playing(Tape([None]), retry=EXACT)
    tape = Tape([X, None])
    fake = playing(tape)
    result = await chain("f", play).replacing({play: fake}).run(Notes())
    assert result.state.log == ["play begins", "play"]
    assert tape.seen == [(0.0, 1), (1.0, 2)]


def test_a_fault_strikes_an_attempt() -> None:
    tape = Tape([None])

    async def program() -> list[tuple[float, int]]:
        await playing(tape, retry=EXACT).run(Notes())
        return tape.seen

    with simulate(program, faults=Faults(play=first(2, X))) as sim:
        sim.run()
        assert sim.result == [(3.0, 3)]
