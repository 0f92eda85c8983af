"""A hedged step begins another attempt beside a slow one: each is what a single one would be, and of all of them one counts."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import trio

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitPolicy,
    Count,
    DeadlineExceededError,
    Engine,
    Fallback,
    Flow,
    FlowFailedError,
    Hedge,
    HedgePolicy,
    Next,
    Retry,
    RetryBudget,
    RetryPolicy,
    RunCancelledError,
    RunResult,
    Step,
    StepEndedError,
    StepLimitError,
    Stream,
    VisitSnapshot,
    Wiring,
    current_step,
    each,
    flow,
    parallel,
    race,
    step,
)
from agentflow_trio.engine import Live
from agentflow_trio.testing import (
    Cut,
    Delay,
    Duplicate,
    Faults,
    Policy,
    assert_no_leaks,
    cancel_everywhere,
    explore,
    first,
    simulate,
)

from .engine_kit import Acts, Notes, Opened, Recorder, chain, looping, picture, saying
from .policies_kit import Tape, exact, guarding
from .scopes_kit import Surrounding

X, Y = ValueError("x"), OSError("y")


def hedge(attempts: int = 2, after: float = 1.0, **policy: Any) -> Hedge:
    return Hedge(HedgePolicy(after=after, max_attempts=attempts, **policy), name="h")


class Attempts:
    """Work whose n-th attempt does the n-th move, and what each of them noted."""

    def __init__(self, *moves: BaseException | float) -> None:
        self.moves = moves
        self.seen: list[tuple[float, int]] = []
        self.ended: list[tuple[float, int, str]] = []

    async def __call__(self) -> int:
        mine = current_step()
        number, how = mine.attempt, "well"
        self.seen.append((trio.current_time(), number))
        move = self.moves[min(number, len(self.moves)) - 1]
        try:
            await _made(move)
        except BaseException as error:
            how = type(error).__name__
            raise
        finally:
            self.ended.append((trio.current_time(), number, how))
        return number


async def _made(move: BaseException | float) -> None:
    if isinstance(move, BaseException):
        raise move
    await trio.sleep(move)


def playing(work: Callable[[], Any], name: str = "play", **options: Any) -> Step[Notes, []]:
    """A function step that notes what *work* gave; before it, a mark that only its attempt sees."""

    async def play(notes: Notes) -> None:
        notes.log.append(f"{name} begins")
        notes.log.append(f"{name} {await work()}")

    return step(name=name, **options)(play)


async def events_of(one: Step[Notes, []], notes: Notes | None = None) -> list[str]:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(chain("f", one), notes or Notes(), seed=1)
    return guarding(recorder.events)


# ---------------------------------------------------------------- who wins


async def test_the_first_to_end_well_counts_and_the_other_is_cut_off_and_joined(
    autojump_clock: object,
) -> None:
    work = Attempts(9.0, 2.0)
    result = await playing(work, hedge=hedge()).run(Notes())
    assert work.seen == [(0.0, 1), (1.0, 2)]
    assert work.ended == [(3.0, 2, "well"), (3.0, 1, "Cancelled")]
    assert trio.current_time() == 3.0
    assert result.state.log == ["play begins", "play 2"]
    assert result.suppressed == ()
    assert (result.visits, result.steps) == ({"play": 1}, 1)


async def test_an_attempt_that_is_quick_enough_stays_alone(autojump_clock: object) -> None:
    work = Attempts(0.5)
    assert (await playing(work, hedge=hedge()).run(Notes())).state.log[-1] == "play 1"
    assert work.seen == [(0.0, 1)]


async def test_of_those_that_end_at_one_moment_the_first_counts(autojump_clock: object) -> None:
    work = Attempts(3.0, 2.0, 1.0)
    result = await playing(work, hedge=hedge(3)).run(Notes())
    assert result.state.log == ["play begins", "play 1"]
    assert trio.current_time() == 3.0


async def test_prep_and_post_are_done_once_and_post_gets_what_the_winner_gave(
    autojump_clock: object,
) -> None:
    calls, work = list[str](), Attempts(9.0, 1.0)

    class Node:
        async def prep(self, shared: Notes, /) -> list[str]:
            calls.append("prep")
            return calls

        async def exec(self, prepared: list[str], /) -> int:
            assert prepared is calls
            return await work()

        async def post(self, shared: Notes, prepared: list[str], result: int, /) -> None:
            calls.append(f"post {result}, attempt {current_step().attempt}")

    await Step(Node(), hedge=hedge()).run(Notes())
    assert calls == ["prep", "post 2, attempt 2"]


async def test_each_attempt_of_a_function_has_a_fork_and_only_the_winners_is_kept(
    autojump_clock: object,
) -> None:
    @step(hedge=hedge(3))
    async def play(notes: Notes, *, well: Next, ill: Next) -> Next:
        assert notes.log == ["old"]
        notes.log.append(f"attempt {current_step().attempt}")
        await trio.sleep(4.0 - current_step().attempt)
        return ill if current_step().attempt == 1 else well

    @flow
    def f(*, well: Next, ill: Next) -> Wiring[Notes]:
        return [play.to(well=well, ill=ill)]

    result = await f.run(Notes(["old"]))
    assert (result.state.log, result.exit) == (["old", "attempt 1"], "ill")


# ---------------------------------------------------------------- failures


async def test_after_a_failure_the_next_begins_at_once(autojump_clock: object) -> None:
    work = Attempts(X, 2.0)
    result = await playing(work, hedge=hedge()).run(Notes())
    assert work.seen == [(0.0, 1), (0.0, 2)]
    assert result.state.log == ["play begins", "play 2"]
    assert result.suppressed == (X,)
    assert X.__notes__[-1] == "in exec of play, after 0 s"


async def test_if_all_fail_the_last_error_is_raised_and_the_others_are_told(
    autojump_clock: object,
) -> None:
    errors = ValueError("x"), OSError("y")
    late = iter(errors)

    async def fail() -> None:
        await trio.sleep(3.0)
        raise next(late)

    with pytest.raises(FlowFailedError) as caught:
        await playing(fail, hedge=hedge()).run(Notes())
    assert caught.value.only() is errors[1]
    assert caught.value.suppressed == errors[:1]
    failure = caught.value.find(errors[1])
    assert failure is not None
    assert str(failure) == "exec of play, attempt 2, after 4 s"
    assert errors[0].__notes__ == ["in exec of play, after 3 s"]
    assert [note.split(":")[0] for note in errors[1].__notes__] == [
        "in exec of play, attempt 2, after 4 s",
        "hedge 'h'",
    ]


async def test_an_error_that_is_not_handled_ends_all(autojump_clock: object) -> None:
    work = Attempts(9.0, X)
    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge(on=OSError)).run(Notes())
    assert caught.value.only() is X
    assert trio.current_time() == 1.0
    assert work.ended == [(1.0, 2, "ValueError"), (1.0, 1, "Cancelled")]


async def test_what_fails_while_a_loser_unwinds_is_told(autojump_clock: object) -> None:
    async def fail_late() -> int:
        try:
            await trio.sleep(9.0 if current_step().attempt == 1 else 1.0)
        except trio.Cancelled:
            raise OSError("late") from None
        return current_step().attempt

    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(chain("f", playing(fail_late, hedge=hedge())), Notes())
    assert result.state.log[-1] == "play 2"
    assert [str(error) for error in result.suppressed] == ["late"]
    assert result.suppressed[0].__notes__ == ["in exec of f/play, after 2 s"]
    assert guarding(recorder.events)[1].startswith(
        "2 attempt_failed f/play guard=h attempt=1 error=OSError message=late"
    )


async def test_a_rejected_attempt_does_not_end_those_that_go_on(autojump_clock: object) -> None:
    breaker = CircuitBreaker("b", CircuitPolicy(failure_threshold=1))

    async def work() -> int:
        breaker.open()
        await trio.sleep(2.0)
        return current_step().attempt

    result = await playing(work, hedge=hedge(), guards=(breaker,)).run(Notes())
    assert result.state.log[-1] == "play 1"
    assert [type(error).__name__ for error in result.suppressed] == ["CircuitOpenError"]


async def test_a_loser_is_no_verdict_for_its_guards_and_a_hang_is_one(
    autojump_clock: object,
) -> None:
    breaker = CircuitBreaker("b", CircuitPolicy(failure_threshold=9))
    await playing(Attempts(9.0, 1.0), hedge=hedge(), guards=(breaker,)).run(Notes())
    seen = breaker.statistics()
    assert (seen.succeeded, seen.failed, seen.cancelled) == (1, 0, 1)
    with pytest.raises(FlowFailedError):
        await playing(Attempts(9.0), hedge=hedge(), guards=(breaker,), timeout=3.0).run(Notes())
    seen = breaker.statistics()
    assert (seen.succeeded, seen.failed, seen.cancelled) == (1, 2, 1)


async def test_a_keyboard_interrupt_of_a_loser_passes_bare(autojump_clock: object) -> None:
    stop = KeyboardInterrupt()

    async def work() -> int:
        try:
            await trio.sleep(9.0 if current_step().attempt == 1 else 1.0)
        except trio.Cancelled:
            raise stop from None
        return 0

    with pytest.raises(KeyboardInterrupt) as caught:
        await playing(work, hedge=hedge()).run(Notes())
    assert caught.value is stop


async def test_the_step_limit_is_a_reason_for_no_other_attempt(autojump_clock: object) -> None:
    again = looping(100)

    @flow
    def loop() -> Wiring[Notes]:
        return [again.to(more=again, done=END)]

    one = Step(loop, hedge=hedge())
    async with Engine(max_steps=20) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(chain("f", one), Notes())
    error = caught.value.only()
    assert isinstance(error, StepLimitError)
    assert error.busiest == {"f/loop/again": 19, "f/loop": 1}


async def test_a_cleanup_that_fails_fails_its_attempt_and_goes_with_its_error(
    autojump_clock: object,
) -> None:
    log = list[str]()

    async def work() -> int:
        await current_step().enter(Opened(log, raises=OSError("close")))
        if current_step().attempt == 1:
            raise KeyError("exec")
        await trio.sleep(1.0)
        return 0

    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge()).run(Notes())
    assert picture(caught.value)[1] == [caught.value.only()]
    assert str(caught.value.only()) == "close"
    assert [str(error) for error in caught.value.suppressed] == ["'exec'", "close"]
    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge(1)).run(Notes())
    assert [str(leaf) for leaf in caught.value.leaves()] == ["'exec'", "close"]


async def test_an_edge_and_a_fallback_take_what_the_hedge_raises(
    autojump_clock: object,
) -> None:
    play, backup = playing(Attempts(X), hedge=hedge()), saying("backup")

    @flow
    def f() -> Wiring[Notes]:
        return [play.then(END).catch(ValueError, to=backup), backup.then(END)]

    assert (await f.run(Notes())).state.log == ["backup"]
    node = Acts(work=Attempts(X))
    one = Step(node, hedge=hedge(), fallback=Fallback("instead", on=(ValueError,)))
    assert (await one.run(Notes())).state.log == ["instead"]


async def test_what_is_neither_raised_nor_told_is_kept_by_nobody(
    autojump_clock: object,
) -> None:
    class DroppedError(Exception): ...

    kept = list[weakref.ref[DroppedError]]()

    def made() -> DroppedError:
        error = DroppedError()
        kept.append(weakref.ref(error))
        return error

    async def fail() -> int:
        if len(kept) < 2:
            raise made()
        return 0

    gc.collect()
    gc.disable()
    try:
        await playing(fail, hedge=hedge(1), retry=exact()).run(Notes())
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()


# ---------------------------------------------------------------- what an attempt sees


async def test_an_attempt_is_the_visit_with_a_number_and_dice_of_its_own(
    autojump_clock: object,
) -> None:
    retry, seen = Retry(RetryPolicy(max_attempts=3), name="own"), dict[str, list[Any]]()

    def note(name: str, value: object) -> None:
        seen.setdefault(name, []).append(value)

    async def work() -> int:
        mine = current_step()
        tape, begun = Tape([X, X, None]), trio.current_time()
        for name in ("path", "visit", "item", "idempotency_key", "caught", "deadline"):
            note(name, getattr(mine, name))
        note("attempt", mine.attempt)
        note("random", mine.random.random())
        await retry.call(tape)
        note("delay", round(tape.starts[2] - begun, 9))
        await trio.sleep(2.0)
        return mine.attempt

    await playing(work, hedge=hedge(), timeout=30.0).run(Notes(), seed=7, run_id="r")
    alone = dict(seen)
    seen.clear()
    assert alone["path"] == ["play", "play"]
    assert alone["attempt"] == [1, 2]
    assert alone["visit"] == [1, 1]
    assert alone["item"] == [None, None]
    assert alone["idempotency_key"] == ["r/play"] * 2
    assert alone["deadline"] == [30.0, 30.0]
    assert alone["random"][0] != alone["random"][1]
    assert alone["delay"][0] != alone["delay"][1]
    # the first is what it would be without a hedge
    await playing(work, timeout=30.0).run(Notes(), seed=7, run_id="r")
    for name in ("random", "delay"):
        assert seen[name] == alone[name][:1]


async def test_what_a_catch_routed_is_told_to_every_attempt(autojump_clock: object) -> None:
    seen = list[BaseException | None]()

    async def look() -> int:
        seen.append(current_step().caught)
        await trio.sleep(2.0)
        return 0

    bad, play = playing(Attempts(X), "bad"), playing(look, hedge=hedge())

    @flow
    def f() -> Wiring[Notes]:
        return [bad.then(END).catch(ValueError, to=play), play.then(END)]

    await f.run(Notes())
    assert seen == [X, X]


async def test_what_an_attempt_opened_is_closed_before_the_hedge_ends(
    autojump_clock: object,
) -> None:
    log = list[str]()

    async def work() -> int:
        number = current_step().attempt
        await current_step().enter(Opened(log, f"attempt {number}"))
        await trio.sleep(9.0 if number == 1 else 1.0)
        return number

    async def note() -> None:
        log.append("post")

    await Step(Acts(work=work, post=note), hedge=hedge()).run(Notes())
    assert log == [
        *("open attempt 1", "open attempt 2", "close attempt 2", "close attempt 1", "post")
    ]


async def test_cleanups_of_losers_have_one_grace_together(autojump_clock: object) -> None:
    async def stubborn() -> None:
        await trio.sleep(100.0)

    async def work() -> int:
        number = current_step().attempt
        if number < 3:
            for _ in range(2):
                current_step().on_cleanup(stubborn)
        await trio.sleep(9.0 if number < 3 else 1.0)
        return number

    async with Engine(cleanup_grace=2.0) as engine:
        result = await engine.run(chain("f", playing(work, hedge=hedge(3))), Notes())
    assert result.state.log[-1] == "play 3"
    assert trio.current_time() == 3.0 + 2.0
    assert [type(error).__name__ for error in result.suppressed] == ["CleanupOverrunError"] * 4


async def test_when_the_run_is_cancelled_all_cleanups_share_the_grace(
    autojump_clock: object,
) -> None:
    async def stubborn() -> None:
        await trio.sleep(100.0)

    async def work() -> int:
        current_step().on_cleanup(stubborn)
        await trio.sleep(50.0)
        return 0

    async def prepare() -> None:
        current_step().on_cleanup(stubborn)

    one = Step(Acts(prep=prepare, work=work), name="play", hedge=hedge())
    async with (
        Engine(cleanup_grace=2.0) as engine,
        engine.start(chain("f", one), Notes()) as run,
    ):
        await trio.sleep(3.0)
        report = await run.cancel("enough")
    assert trio.current_time() == 5.0
    assert [(cut.path, cut.phase, cut.attempt) for cut in report.cut_off] == [
        ("f/play", "exec", 2)
    ]
    assert len(report.overruns) == 3


async def test_a_context_that_outlives_its_attempt_says_so(autojump_clock: object) -> None:
    kept = list[Any]()

    async def work() -> int:
        kept.append(current_step())
        await trio.sleep(9.0 if current_step().attempt == 1 else 1.0)
        return 0

    async def post() -> None:
        for mine in kept:
            with pytest.raises(StepEndedError):
                _ = mine.attempt

    await Step(Acts(work=work, post=post), hedge=hedge()).run(Notes())
    assert len(kept) == 2


async def test_reports_and_chunks_of_all_attempts_pass(autojump_clock: object) -> None:
    tokens = Stream("tokens", str)

    async def work() -> int:
        number = current_step().attempt
        current_step().report(0.5, f"attempt {number}")
        await current_step().emit(tokens, f"chunk {number}")
        await trio.sleep(2.0)
        return number

    recorder, read = Recorder(), list[str]()
    flow_ = chain("f", playing(work, hedge=hedge()))
    async with Engine(observers=[recorder]) as engine, engine.start(flow_, Notes()) as run:
        async for chunk in run.stream(tokens):
            read.append(chunk)
    assert read == ["chunk 1", "chunk 2"]
    assert [line for line in recorder.lines() if line.startswith("progress")] == [
        "progress f/play fraction=0.5 text=attempt 1",
        "progress f/play fraction=0.5 text=attempt 2",
    ]


async def test_a_report_of_any_attempt_keeps_the_step_alive(autojump_clock: object) -> None:
    async def work() -> int:
        if current_step().attempt == 1:
            await trio.sleep(4.0)
        for _ in range(4):
            await trio.sleep(0.5)
            current_step().report(0.5)
        await trio.sleep(9.0)
        return 0

    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge(), idle_timeout=1.6).run(Notes())
    assert isinstance(caught.value.only(), DeadlineExceededError)
    assert trio.current_time() == 7.6


# ---------------------------------------------------------------- with other policies


async def test_a_retry_begins_another_round_and_numbers_go_on(autojump_clock: object) -> None:
    work = Attempts(X, Y, 9.0, 1.0)
    one = playing(work, hedge=hedge(), retry=exact(max_attempts=2))
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(chain("f", one), Notes())
    assert work.seen == [(0.0, 1), (0.0, 2), (1.0, 3), (2.0, 4)]
    assert result.state.log[-1] == "play 4"
    assert result.suppressed == (X,)
    assert [line.split(" message")[0] for line in guarding(recorder.events)] == [
        "0 attempt_failed f/play guard=h attempt=1 error=ValueError",
        "0 hedge_start f/play guard=h attempt=2 reason=failure",
        "0 attempt_failed f/play guard=h attempt=2 error=OSError",
        "0 gave_up f/play guard=h attempts=2 elapsed=0.0 reason=attempts",
        "0 attempt_failed f/play guard=play attempt=2 error=OSError",
        "0 retry_scheduled f/play guard=play attempt=3 delay=1.0",
        "2 hedge_start f/play guard=h attempt=4 reason=delay",
        "3 hedge_won f/play guard=h attempt=4 attempts=2",
    ]


async def test_a_budget_pays_for_retries_and_hedges(autojump_clock: object) -> None:
    budget = RetryBudget("llm", ratio=0.0, reserve=2)
    work = Attempts(5.0)
    one = playing(work, hedge=hedge(4, budget=budget))
    await one.run(Notes())
    assert work.seen == [(0.0, 1), (1.0, 2), (2.0, 3)]


async def test_the_attempt_timeout_is_for_each_attempt(autojump_clock: object) -> None:
    work = Attempts(9.0, 9.0, 1.0)
    result = await playing(work, hedge=hedge(3), attempt_timeout=2.0).run(Notes())
    assert work.seen == [(0.0, 1), (1.0, 2), (2.0, 3)]
    assert work.ended[0] == (2.0, 1, "Cancelled")
    assert [str(error) for error in result.suppressed] == [
        *("attempt_timeout of play (2 s) ran out; spent: play 2 s",) * 2
    ]
    assert result.state.log[-1] == "play 3"
    assert trio.current_time() == 3.0


async def test_time_beside_each_other_is_accounted_once(autojump_clock: object) -> None:
    one = playing(Attempts(9.0), hedge=hedge())
    with pytest.raises(FlowFailedError) as caught:
        await Step(chain("f", saying("a"), one), timeout=5.0).run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert error.spent == {"f/play": 5.0, "f/a": 0.0}
    with pytest.raises(FlowFailedError) as caught:
        await playing(Attempts(9.0), hedge=hedge(), timeout=5.0).run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert (error.limit, error.spent) == ("timeout of play", {"play": 5.0})


async def test_what_a_flow_spends_in_several_attempts_is_added_up(
    autojump_clock: object,
) -> None:
    inner = chain("inner", playing(Attempts(9.0), "slow"))
    with pytest.raises(FlowFailedError) as caught:
        await Step(inner, hedge=hedge(), timeout=5.0).run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert error.spent == {"inner/slow": 9.0}  # 5 and 4


async def test_limits_of_attempts_that_had_run_out_before_are_told(
    autojump_clock: object,
) -> None:
    async def slow_to_end() -> int:
        try:
            await trio.sleep(9.0)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5.0)
        return 0

    one = playing(slow_to_end, hedge=hedge(), attempt_timeout=1.0, timeout=3.0)
    with pytest.raises(FlowFailedError) as caught:
        await one.run(Notes())
    error = caught.value.only()
    assert isinstance(error, DeadlineExceededError)
    assert (error.limit, error.earlier) == ("timeout of play", ("attempt_timeout of play",) * 2)
    assert trio.current_time() == 7.0


async def test_a_hedge_that_cannot_be_used_is_a_failure_of_the_step(
    autojump_clock: object,
) -> None:
    work = Attempts(0.0)
    used, another = (RetryBudget("llm", reserve=reserve) for reserve in (2, 3))
    await playing(work, hedge=hedge(budget=used)).run(Notes())
    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge(budget=another)).run(Notes())
    assert isinstance(caught.value.only(), ValueError)
    assert len(work.seen) == 1


async def test_the_caller_cancels_all_attempts(autojump_clock: object) -> None:
    work = Attempts(9.0)
    with trio.move_on_after(2.0) as scope:
        await playing(work, hedge=hedge(3)).run(Notes())
    assert scope.cancelled_caught
    assert [how for _, _, how in work.ended] == ["Cancelled", "Cancelled"]
    assert trio.current_time() == 2.0


async def test_what_fails_while_the_caller_cancels_is_raised(autojump_clock: object) -> None:
    async def fail_late() -> None:
        try:
            await trio.sleep(9.0)
        finally:
            if current_step().attempt != 2:
                raise OSError(f"late {current_step().attempt}")

    before = KeyError("before")

    async def fail() -> None:
        if current_step().attempt == 1:
            raise before
        await fail_late()

    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(3.5):
        await playing(fail_late, hedge=hedge(4)).run(Notes())
    assert [str(leaf) for leaf in caught.value.leaves()] == ["late 1", "late 3", "late 4"]
    assert caught.value.suppressed == ()
    with pytest.raises(FlowFailedError) as caught, trio.move_on_after(2.5):
        await playing(fail, hedge=hedge(4)).run(Notes())
    assert [str(leaf) for leaf in caught.value.leaves()] == ["late 3", "late 4"]
    assert caught.value.suppressed == (before,)


async def test_what_fails_while_a_limit_cuts_all_off_goes_with_the_limits_error(
    autojump_clock: object,
) -> None:
    async def work() -> None:
        try:
            await trio.sleep(9.0)
        finally:
            if current_step().attempt == 2:
                raise OSError("late")

    with pytest.raises(FlowFailedError) as caught:
        await playing(work, hedge=hedge(), timeout=3.0).run(Notes())
    assert [type(leaf).__name__ for leaf in caught.value.leaves()] == [
        *("DeadlineExceededError", "OSError"),
    ]


# ---------------------------------------------------------------- what has steps in it


def inner_flow(log: list[str]) -> Step[Notes, []]:
    """A flow of a and b, in which b is slow but in the second attempt."""

    async def a() -> str:
        log.append(f"{trio.current_time():g} {current_step().path} {current_step().attempt}")
        await trio.sleep(1.0)
        return current_step().path

    async def b() -> str:
        log.append(f"{trio.current_time():g} {current_step().path} {current_step().attempt}")
        await trio.sleep(1.0 if "@" in current_step().path else 9.0)
        return current_step().path

    return Step(chain("inner", playing(a, "a"), playing(b, "b")), name="inner", hedge=hedge())


async def test_a_flow_is_hedged_as_a_whole_and_only_the_winners_fork_is_kept(
    autojump_clock: object,
) -> None:
    log, recorder = list[str](), Recorder()
    async with Engine(observers=[recorder]) as engine:
        result = await engine.run(chain("f", inner_flow(log)), Notes(["old"]))
    assert log == ["0 f/inner/a 1", "1 f/inner/b 1", "1 f/inner@2/a 1", "2 f/inner@2/b 1"]
    assert trio.current_time() == 3.0
    assert result.state.log == [
        *("old", "a begins", "a f/inner@2/a", "b begins", "b f/inner@2/b"),
    ]
    assert result.visits == {"f/inner": 1, "f/inner/a": 2, "f/inner/b": 2}
    assert result.steps == 5
    assert result.tail == ("f/inner", "f/inner/a", "f/inner/b", "f/inner@2/a", "f/inner@2/b")
    assert [line for line in recorder.lines() if "node" in line] == [
        "node_start f/inner",
        "node_start f/inner/a",
        "node_success f/inner/a",
        "node_start f/inner/b",
        "node_start f/inner@2/a",
        "node_success f/inner@2/a",
        "node_start f/inner@2/b",
        "node_success f/inner@2/b",
        "node_cancelled f/inner/b phase=exec attempt=1",
        "node_success f/inner",
    ]


async def test_attempts_of_a_retried_flow_have_paths_of_their_own(
    autojump_clock: object,
) -> None:
    paths = list[str]()

    async def fail() -> None:
        paths.append(current_step().path)
        raise X

    inner = Step(chain("inner", playing(fail, "a")), hedge=hedge(), retry=exact(max_attempts=2))
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", inner).run(Notes())
    assert paths == ["f/inner/a", "f/inner@2/a", "f/inner@3/a", "f/inner@4/a"]
    tree = caught.value
    assert picture(tree) == ("f", [("f/inner@4", [X])])
    failure = tree.find(X)
    assert failure is not None
    assert failure.path == "f/inner@4/a"


async def test_a_flow_that_no_guard_let_in_was_never_entered(autojump_clock: object) -> None:
    breaker = CircuitBreaker("b")
    breaker.isolate()
    one = Step(chain("inner", saying("a")), name="inner", hedge=hedge(), guards=(breaker,))
    after = saying("after")

    @flow
    def f() -> Wiring[Notes]:
        return [one.then(END).catch(Exception, to=after), after.then(END)]

    result = await f.run(Notes())
    assert result.visits == {"f/inner": 1, "f/after": 1}


class Closed:
    """A guard that refuses the first who comes."""

    name = "closed"

    def __init__(self) -> None:
        self.came = 0

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        self.came += 1
        if self.came == 1:
            raise X

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_path_has_the_number_of_the_attempt_also_if_another_was_not_let_in(
    autojump_clock: object,
) -> None:
    inner = chain("inner", playing(Attempts(0.0), "a"), saying("b"))
    one = Step(inner, hedge=hedge(3), guards=(Closed(),))
    result = await chain("f", one).run(Notes())
    assert result.tail == ("f/inner", "f/inner@2/a", "f/inner@2/b")
    assert result.visits == {"f/inner": 1, "f/inner/a": 1, "f/inner/b": 1}


def test_an_attempt_that_is_made_twice_by_a_fault_is_logged_twice() -> None:
    async def program() -> RunResult[Notes]:
        inner = chain("inner", playing(Attempts(0.5), "a"))
        return await chain("f", Step(inner, hedge=hedge()), saying("b")).run(Notes())

    with simulate(program, seed=1, faults=Faults(h=first(1, Duplicate()))) as sim:
        sim.run()
    assert sim.result.tail == ("f/inner", "f/inner/a", "f/inner/a", "f/b")
    assert sim.result.visits == {"f/inner": 1, "f/inner/a": 2, "f/b": 1}


async def test_a_cancelled_run_says_nothing_of_losers_that_were_ended_before(
    autojump_clock: object,
) -> None:
    row = chain("f", inner_flow([]), playing(Attempts(9.0)))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        await trio.sleep(4.0)
        report = await run.cancel("enough")
    assert [cut.path for cut in report.cut_off] == ["f/play"]


async def test_a_flow_within_another_state_is_hedged_too(autojump_clock: object) -> None:
    inner = chain("inner", playing(Attempts(1.0), "a"))

    def enter(notes: Notes) -> Notes:
        return Notes(["within"])

    def leave(notes: Notes, left: Notes) -> None:
        notes.log += left.log

    one = Step(inner.within(enter, leave), hedge=hedge(after=0.5))
    result = await one.run(Notes(["outer"]))
    assert result.state.log == ["outer", "within", "a begins", "a 1"]


@pytest.mark.parametrize("shape", [parallel, race])
async def test_branches_are_hedged_as_a_whole(
    shape: Callable[..., Any], autojump_clock: object
) -> None:
    async def slow() -> str:
        await trio.sleep(1.0 if "@" in current_step().path else 9.0)
        return current_step().path

    @step(name="c")
    async def counting(notes: Notes) -> None:
        notes.count += 1
        await trio.sleep(20.0 if shape is race else 0.5)

    one: Step[Notes, []] = Step(shape(playing(slow, "a"), counting), name="both", hedge=hedge())
    result = await chain("f", one).run(Notes())
    assert trio.current_time() == 2.0
    assert result.state.log == ["a begins", "a f/both@2/a"]
    assert result.state.count == (0 if shape is race else 1)
    assert result.visits == {"f/both": 1, "f/both/a": 2, "f/both/c": 2}
    assert result.steps == 5


async def test_branches_that_fail_in_each_attempt_are_a_tree(autojump_clock: object) -> None:
    one = Step(parallel(playing(Attempts(X), "a"), saying("b")), name="both", hedge=hedge())
    with pytest.raises(FlowFailedError) as caught:
        await chain("f", one).run(Notes())
    assert picture(caught.value) == ("f", [("f/both", [X])])


async def test_a_hedged_step_in_a_hedged_flow_in_a_branch(autojump_clock: object) -> None:
    work = Attempts(9.0, 3.0)
    inner = Step(chain("inner", playing(work, hedge=hedge())), hedge=hedge())
    both = Step(parallel(inner, Step(chain("other", looping_once()))), name="both")
    result = await chain("f", both).run(Notes())
    # the first attempt of the flow had its second attempt at 1, which ends at 4
    assert trio.current_time() == 4.0
    assert result.state.log == ["play begins", "play 2"]
    assert result.visits["f/both/inner/play"] == 2


def looping_once() -> Step[Notes, []]:
    @step(name="once")
    async def once(notes: Notes) -> None:
        notes.count += 1

    return once


# ---------------------------------------------------------------- items


class Items:
    """Items that take what *work* says, which are noted by number and attempt."""

    def __init__(self, items: Sequence[int], work: Callable[[int], Any]) -> None:
        self.items, self.work = items, work

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return self.items

    async def exec(self, item: int, /) -> int:
        await self.work(item)
        return item * 10 + current_step().attempt

    async def post(self, shared: Notes, items: object, received: Sequence[int], /) -> None:
        shared.log = [str(one) for one in received]


async def test_items_are_hedged_one_by_one(autojump_clock: object) -> None:
    seen = list[tuple[int | None, int, str]]()

    async def work(item: int) -> None:
        mine = current_step()
        seen.append((mine.item, mine.attempt, mine.idempotency_key))
        await trio.sleep(9.0 if (item, mine.attempt) == (2, 1) else 0.5)

    node = each(Items([1, 2, 3], work), concurrent=2, hedge=hedge())
    result = await Step(node, name="all").run(Notes(), run_id="r")
    assert result.state.log == ["11", "22", "31"]
    assert sorted(seen) == [
        *((0, 1, "r/all[0]"), (1, 1, "r/all[1]"), (1, 2, "r/all[1]"), (2, 1, "r/all[2]")),
    ]
    assert trio.current_time() == 1.5
    assert (result.visits, result.steps) == ({"all": 1}, 1)


async def test_items_with_flows_are_hedged_too(autojump_clock: object) -> None:
    paths = list[str]()

    async def work() -> int:
        path = current_step().path
        paths.append(path)
        assert current_step().item == int(path[path.index("[") + 1])
        await trio.sleep(9.0 if "@" not in path else 1.0)
        return 0

    inner = chain("inner", playing(work, "a"))

    def split(notes: Notes) -> Sequence[Notes]:
        return [Notes([str(number)]) for number in range(2)]

    def join(notes: Notes, done: Sequence[Notes]) -> None:
        notes.log = [" ".join(one.log) for one in done]

    node = each(inner.over(split, join), concurrent=2, hedge=hedge())
    result = await chain("f", Step(node, name="all")).run(Notes())
    assert result.state.log == ["0 a begins a 0", "1 a begins a 0"]
    assert sorted(paths) == [
        *("f/all[0]/a", "f/all[0]@2/a", "f/all[1]/a", "f/all[1]@2/a"),
    ]
    assert result.visits == {"f/all": 1, "f/all/a": 4}
    assert result.steps == 5
    assert trio.current_time() == 2.0


async def test_an_item_whose_attempts_all_fail_has_failed(autojump_clock: object) -> None:
    errors = [ValueError(str(number)) for number in range(4)]
    given = iter(errors)

    async def work(item: int) -> None:
        if item == 2:
            raise next(given)

    node = each(
        Items([1, 2, 3], work), concurrent=1, hedge=hedge(), retry=exact(max_attempts=2)
    )
    with pytest.raises(FlowFailedError) as caught:
        await Step(node, name="all").run(Notes())
    assert caught.value.only() is errors[3]
    failure = caught.value.find(errors[3])
    assert failure is not None
    assert (failure.path, failure.attempt) == ("all[1]", 4)
    assert caught.value.suppressed == (errors[0], errors[2])


# ---------------------------------------------------------------- what others see


async def test_each_attempt_is_surrounded_in_its_own_task(autojump_clock: object) -> None:
    surrounding = Surrounding()
    work = Attempts(9.0, 2.0)
    async with Engine(observers=[surrounding]) as engine:
        await engine.run(chain("f", playing(work, hedge=hedge())), Notes())
    assert surrounding.story == [
        "> run f",
        "> step f/play",
        "> attempt f/play @1",
        "> attempt f/play @2",
        "< attempt f/play @2",
        "< attempt f/play @1 by Cancelled",
        "< step f/play",
        "< run f",
    ]
    assert surrounding.open == []


@pytest.mark.parametrize("name", ["play", "h"])
def test_faults_strike_attempt_by_attempt(name: str) -> None:
    async def program() -> tuple[float, list[str]]:
        result = await playing(Attempts(2.0), hedge=hedge()).run(Notes())
        return trio.current_time(), result.state.log

    with simulate(program, seed=1, faults=Faults({name: first(1, Delay(9.0))})) as sim:
        sim.run()
    assert sim.result == (3.0, ["play begins", "play 2"])


async def test_a_drained_flow_ends_when_all_its_attempts_have_stopped(
    autojump_clock: object,
) -> None:
    log = list[str]()
    async with Engine() as engine:
        run = engine.start(chain("f", inner_flow(log)), Notes())
        async with run as handle:
            await trio.sleep(1.5)
            report = await engine.drain(grace=60.0)
            assert report.drained == (handle.run_id,)
            with pytest.raises(RunCancelledError):
                await handle.result()
    # b of the first attempt was in flight and came to its end; the second never began its b
    assert log == ["0 f/inner/a 1", "1 f/inner/b 1", "1 f/inner@2/a 1"]


async def test_a_drained_flow_is_drained_also_if_its_other_attempt_fails(
    autojump_clock: object,
) -> None:
    async def work() -> int:
        await trio.sleep(1.0)
        if "@" in current_step().path:
            raise X
        return 0

    inner = chain("inner", playing(work, "a"), saying("b"))
    one = Step(inner, hedge=hedge(after=0.5, on=ValueError))
    async with Engine() as engine, engine.start(chain("f", one), Notes()) as run:
        await trio.sleep(0.75)
        report = await engine.drain(grace=60.0)
        assert report.drained == (run.run_id,)
        with pytest.raises(RunCancelledError) as caught:
            await run.result()
        assert caught.value.reason == "drain"
    assert trio.current_time() == 1.5


async def test_a_hedged_item_can_be_cancelled_alone(autojump_clock: object) -> None:
    async def sleep(_: int) -> None:
        await trio.sleep(3.0)

    class Tolerant(Items):
        async def post(self, shared: Notes, items: object, received: Any, /) -> None:
            shared.log = [type(one).__name__ for one in received]

    node = each(Tolerant([1, 2], sleep), concurrent=2, tolerate=Count(1), hedge=hedge())
    row = chain("f", Step(node, name="all"))
    async with Engine() as engine, engine.start(row, Notes()) as run:
        await trio.sleep(1.5)
        report = await run.cancel("no", at="f/all[1]")
        result = await run.result()
    assert [(cut.path, cut.attempt) for cut in report.cut_off] == [("f/all[1]", 2)]
    assert result.state.log == ["Value", "Error"]
    assert trio.current_time() == 3.0


async def test_a_branch_in_an_attempt_can_be_cancelled_alone(autojump_clock: object) -> None:
    async def slow() -> int:
        await trio.sleep(3.0)
        return 0

    both = Step(parallel(playing(slow, "a"), saying("b")), name="both")
    one = Step(chain("inner", both), hedge=hedge())
    async with Engine() as engine, engine.start(chain("f", one), Notes()) as run:
        await trio.sleep(1.5)
        report = await run.cancel("no", at="f/inner/both/a")
        result = await run.result()
    assert [cut.path for cut in report.cut_off] == ["f/inner/both/a"]
    assert result.state.log == ["b"]
    assert trio.current_time() == 1.5


def drawn(inside: Sequence[Live]) -> list[tuple[str, int, str]]:
    """Visits and what is inside of each: path, attempt, and what it waits for."""
    lines = list[tuple[str, int, str]]()
    for one in inside:
        assert isinstance(one, VisitSnapshot)
        lines += [(one.path, one.attempt, one.waits_for), *drawn(one.inside)]
    return lines


async def test_looking_in_shows_the_attempts(autojump_clock: object) -> None:
    async with Engine() as engine, trio.open_nursery() as nursery:
        nursery.start_soon(engine.run, chain("f", inner_flow([])), Notes())
        await trio.sleep(1.5)
        (run,) = engine.snapshot().runs
        assert drawn(run.inside) == [
            ("f/inner", 2, "hedge 'h'"),
            ("f/inner", 1, "its steps"),
            ("f/inner/b", 1, "a sleep, 8.5 s more"),
            ("f/inner", 2, "its steps"),
            ("f/inner@2/a", 1, "a sleep, 0.5 s more"),
        ]
        assert run.steps == 4
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- in any order, and cut off anywhere


def mixed() -> tuple[list[str], Flow[Notes, []]]:
    """A hedged function, a hedged flow and hedged items, all of which open something, and what was opened and closed."""
    log = list[str]()

    async def work() -> int:
        mine = current_step()
        await mine.enter(Opened(log, f"{mine.path} {mine.attempt}"))
        late = mine.attempt > 1 or "@" in mine.path
        await trio.sleep(1.0 if late else 3.0)
        return 0

    node = each(Items([1, 2], lambda _: work()), concurrent=2, hedge=hedge())
    inner = Step(chain("inner", playing(work, "a"), saying("b")), hedge=hedge())
    return log, chain("f", playing(work, hedge=hedge()), inner, Step(node, name="all"))


@pytest.mark.parametrize("policy", get_args(Policy))
def test_in_whatever_order_one_attempt_counts_and_the_others_leave_nothing(
    policy: Policy,
) -> None:
    async def program() -> tuple[float, list[str], Sequence[str], list[str]]:
        log, row = mixed()
        with assert_no_leaks():
            result = await row.run(Notes())
        return trio.current_time(), result.state.log, result.tail, sorted(log)

    def check(ended: tuple[float, list[str], Sequence[str], list[str]]) -> None:
        assert ended[:3] == (
            6.0,
            ["12", "22"],
            (*("f/play", "f/inner", "f/inner/a", "f/inner@2/a", "f/inner@2/b", "f/all"),),
        )
        opened = [line.removeprefix("open ") for line in ended[3] if line.startswith("open")]
        closed = [line.removeprefix("close ") for line in ended[3] if line.startswith("close")]
        assert opened == closed
        assert len(opened) == 8

    explore(program, check=check, seeds=10, policy=policy).raise_on_failure()


def test_cancelled_at_every_step_it_leaves_nothing() -> None:
    async def program() -> tuple[list[str], list[str]]:
        log, row = mixed()
        try:
            with assert_no_leaks():
                return (await row.run(Notes())).state.log, log
        finally:
            many = [sum(line.startswith(what) for line in log) for what in ("open", "close")]
            assert many[0] == many[1]

    def check(cut: Cut[tuple[list[str], list[str]]]) -> None:
        assert cut.cancelled or (cut.result is not None and cut.result[0] == ["12", "22"])

    cancel_everywhere(program, check=check, seeds=1)


def test_the_same_seed_gives_the_same_run() -> None:
    async def program() -> list[str]:
        recorder = Recorder()
        _, row = mixed()
        async with Engine(observers=[recorder]) as engine:
            await engine.run(row, Notes())
        return [
            f"{event.timestamp} {line}"
            for event, line in zip(recorder.events, recorder.lines(), strict=True)
        ]

    def run() -> list[str]:
        with simulate(program, seed=3) as sim:
            sim.run()
        return sim.result

    assert run() == run()
