"""`Faults` make steps and fault points fail, the same way for the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import attrs
import pytest
import trio
from outcome import Maybe, Value
from typing_extensions import override

from agentflow_trio import (
    END,
    Bulkhead,
    CircuitBreaker,
    Count,
    FlowFailedError,
    Retry,
    RetryPolicy,
    RunCancelledError,
    Step,
    Wiring,
    each,
    flow,
    step,
)
from agentflow_trio.testing import (
    Cancel,
    Delay,
    Duplicate,
    Fault,
    Faults,
    InjectedError,
    LostReply,
    UnusedFaultError,
    always,
    cancel_everywhere,
    chance,
    error_rate,
    explore,
    fault_point,
    first,
    record,
    script,
    simulate,
)
from agentflow_trio.testing._fault_plan import Used


@attrs.define
class Article:
    calls: int = 0


@step
async def model(article: Article) -> None:
    article.calls += 1


@flow
def asking() -> Wiring[Article]:
    return [model.then(END)]


@flow
def asking_again() -> Wiring[Article]:
    return [model.then(END).catch(InjectedError, to=model)]


async def three_calls() -> list[str]:
    told: list[str] = []
    for _ in range(3):
        try:
            await fault_point("reply lost")
        except Exception as error:  # noqa: BLE001 - they are compared
            told.append(repr(error))
        else:
            told.append("fine")
    return told


def with_faults(faults: Faults, seed: int = 0) -> list[str]:
    with simulate(three_calls, faults=faults, seed=seed) as sim:
        sim.run()
        return sim.result


# ---------------------------------------------------------------- what strikes


def test_a_fault_point_does_nothing_unless_a_test_says_so() -> None:
    with simulate(three_calls) as sim:
        sim.run()
        assert sim.result == ["fine"] * 3
    assert trio.run(three_calls) == ["fine"] * 3


def test_every_call_fails() -> None:
    assert with_faults(Faults(**{"reply lost": always()})) == ["InjectedError()"] * 3
    error = TimeoutError("slow")
    assert with_faults(Faults(**{"reply lost": always(error)})) == ["TimeoutError('slow')"] * 3


def test_the_first_calls_fail() -> None:
    assert with_faults(Faults(**{"reply lost": first(2, OSError)})) == [
        "OSError()",
        "OSError()",
        "fine",
    ]
    assert with_faults(Faults(**{"reply lost": first(0)})) == ["fine"] * 3


def test_a_function_of_the_number_of_the_call_decides() -> None:
    def second(call: int) -> Exception | None:
        return LookupError(call) if call == 2 else None

    assert with_faults(Faults(**{"reply lost": second})) == ["fine", "LookupError(2)", "fine"]


def test_a_fault_of_ones_own_gets_dice_of_its_own() -> None:
    class Coin(Fault):
        @override
        def strike(self, call: int, dice: Random, /) -> Exception | None:
            return LookupError(call, dice.random())

    told = with_faults(Faults(**{"reply lost": Coin()}))
    assert len(set(told)) == 3
    assert told == with_faults(Faults(**{"reply lost": Coin()}))
    assert told != with_faults(Faults(**{"reply lost": Coin()}), seed=1)


def test_a_rate_strikes_the_same_calls_for_the_same_seed() -> None:
    faults = Faults(**{"reply lost": error_rate(0.5)})
    by_seed = [with_faults(faults, seed) for seed in range(30)]
    assert by_seed == [with_faults(faults, seed) for seed in range(30)]
    struck = sum(told.count("InjectedError()") for told in by_seed)
    assert 30 < struck < 60
    assert with_faults(Faults(**{"reply lost": error_rate(0)})) == ["fine"] * 3
    assert with_faults(Faults(**{"reply lost": error_rate(1, OSError)})) == ["OSError()"] * 3


def test_another_fault_does_not_disturb_a_rate() -> None:
    async def program() -> list[str]:
        for name in ("other", "other"):
            await fault_point(name)
        return await three_calls()

    alone = [with_faults(Faults(**{"reply lost": error_rate(0.5)}), seed) for seed in range(9)]
    both = Faults(**{"reply lost": error_rate(0.5), "other": error_rate(0)})
    for seed in range(9):
        with simulate(program, faults=both, seed=seed) as sim:
            sim.run()
            assert sim.result == alone[seed]


def test_calls_are_counted_by_each_execution_for_itself() -> None:
    told: list[list[str]] = []
    explore(three_calls, seeds=4, check=told.append, faults=Faults(**{"reply lost": first(1)}))
    assert told == [["InjectedError()", "fine", "fine"]] * 4


def test_tasks_of_the_program_meet_its_faults() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fault_point, "reply lost")

    with (
        simulate(program, faults=Faults(**{"reply lost": always(OSError)})) as sim,
        pytest.raises(ExceptionGroup) as caught,
    ):
        sim.run()
    assert caught.group_contains(OSError)


# ---------------------------------------------------------------- steps


def test_a_step_fails_by_its_name() -> None:
    with (
        simulate(asking, Article(), faults=Faults(model=always(LookupError))) as sim,
        pytest.raises(FlowFailedError) as caught,
    ):
        sim.run()
    assert caught.group_contains(LookupError)


def test_every_visit_of_a_step_is_a_call() -> None:
    with simulate(asking_again, Article(), faults=Faults(model=first(2))) as sim:
        sim.run()
        assert sim.result.visits == {"asking_again/model": 3}
        assert sim.result.state.calls == 1


def test_after_a_simulation_nothing_fails_any_more() -> None:
    with (
        simulate(asking, Article(), faults=Faults(model=always())) as sim,
        pytest.raises(ExceptionGroup),
    ):
        sim.run()
    assert trio.run(asking.run, Article()).state.calls == 1


# ---------------------------------------------------------------- misspelt


def test_a_name_that_nothing_asked_for_is_an_error_when_the_simulation_ends() -> None:
    faults = Faults(model=first(0), modle=always(), other=always())
    with (
        simulate(asking, Article(), faults=faults) as sim,
        pytest.raises(UnusedFaultError) as caught,
    ):
        sim.run()
    assert caught.value.names == ("modle", "other")
    assert str(caught.value) == (
        "nothing asked for the faults planned at 'modle', 'other': "
        "no step that ran, item, guard of a step or of call() and no fault_point() has such a name; "
        "did you mean 'model' by 'modle'?"
    )


def test_of_a_guard_that_is_only_entered_it_is_said_that_its_body_is_no_call() -> None:
    async def program() -> None:
        async with CircuitBreaker("db"):
            await trio.sleep(1)

    with pytest.raises(UnusedFaultError) as caught:
        record(program, faults=Faults(db=always()))
    assert str(caught.value) == (
        "the guard 'db' is entered with `async with`, and nobody knows its body as a call that could fail: "
        'write `await guard.call(fn)`, or put `await fault_point("db")` into the body'
    )
    with pytest.raises(UnusedFaultError, match=r"planned at 'bd': .*; the guard 'db' is"):
        record(program, faults=Faults(db=always(), bd=always()))


def test_of_many_names_not_all_are_looked_through_for_one_that_is_near() -> None:
    async def program() -> None:
        for number in range(400):
            await fault_point(f"place {number}")

    with pytest.raises(UnusedFaultError) as caught:
        record(program, faults=Faults({"plaice 7": always()}))
    assert caught.value.near == {"plaice 7": "place 7"}


def test_it_is_an_error_too_where_the_program_ended_on_the_way() -> None:
    def simulated() -> None:
        with simulate(three_calls, faults=Faults(reply_lost=always())) as sim:
            sim.run_until(100)
            assert sim.ended

    with pytest.raises(UnusedFaultError):
        simulated()


def test_a_search_asks_all_its_executions() -> None:
    async def program(rng: Random) -> None:
        if rng.random() < 0.3:
            await fault_point("rare")

    explore(program, seeds=30, faults=Faults(rare=first(0))).raise_on_failure()
    with pytest.raises(UnusedFaultError):
        explore(program, seeds=30, faults=Faults(never=first(0)))


# ---------------------------------------------------------------- arguments


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be >= 0, not -1"):
        first(-1)
    for rate in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"rate must be between 0 and 1, not {rate}"):
            error_rate(rate)
    nonsense: Any = 7
    error: Any = OSError
    with pytest.raises(TypeError, match=r"what goes wrong with every call is always"):
        Faults(model=error)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"a chance must be between 0 and 1, not {share}"):
            chance(share, Cancel())
    for seconds, most in ((-1.0, None), (2.0, 1.0), (1.0, math.inf), (math.nan, None)):
        with pytest.raises(ValueError, match="Delay takes seconds >= 0, or two"):
            Delay(seconds, most)
    with pytest.raises(
        TypeError, match=r"Faults\(model=...\) takes a fault or a function, not 7"
    ):
        Faults(model=nonsense)


def test_a_plan_shows_what_it_is_made_of() -> None:
    faults = Faults(model=first(2, OSError), save=always())
    assert faults.names == ("model", "save")
    assert repr(faults) == "Faults(model=first(2, OSError), save=always(InjectedError))"
    several = Faults(a=chance(0.5, Delay(1.0)), b=script([None, LostReply(OSError)]))
    assert (
        repr(several)
        == "Faults(a=chance(0.5, Delay(1.0)), b=script([None, LostReply(OSError)]))"
    )
    of_an_item = Faults({
        "condense[17]": always(Delay(1.0, 2.0, then=OSError)),
        "b": always(LostReply()),
    })
    assert (
        repr(of_an_item)
        == "Faults({'condense[17]': always(Delay(1.0, 2.0, then=OSError))}, b=always(LostReply()))"
    )
    assert issubclass(InjectedError, Exception)


# ---------------------------------------------------------------- effects


class Shop:
    """Counts what was done, however the caller was told of it."""

    def __init__(self) -> None:
        self.sold = 0
        self.told: list[str] = []

    async def sell(self) -> int:
        await trio.sleep(1)
        self.sold += 1
        return self.sold


def shopping(fault: Fault, calls: int = 3) -> tuple[list[str], int]:
    """Sell behind a guard; what each caller was told and when, and what was sold."""

    async def program() -> tuple[list[str], int]:
        shop, guard = Shop(), Bulkhead("shop", limit=1)
        for _ in range(calls):
            try:
                told = str(await guard.call(shop.sell))
            except Exception as error:  # noqa: BLE001 - they are compared
                told = repr(error)
            shop.told.append(f"{trio.current_time():g}: {told}")
        return shop.told, shop.sold

    with simulate(program, faults=Faults(shop=fault)) as sim:
        sim.run()
        return sim.result


def test_a_delay_comes_before_the_call_and_may_end_in_something_else() -> None:
    assert shopping(first(1, Delay(5))) == (["6: 1", "7: 2", "8: 3"], 3)
    assert shopping(always(Delay(5, then=OSError))) == (
        ["5: OSError()", "10: OSError()", "15: OSError()"],
        0,
    )
    assert shopping(first(1, Delay(5, then=Delay(1, then=LostReply(OSError))))) == (
        ["7: OSError()", "8: 2", "9: 3"],
        3,
    )


def test_a_delay_between_two_is_drawn_for_each_call() -> None:
    one, two = shopping(always(Delay(1, 2))), shopping(always(Delay(1, 2)))
    assert one == two
    times = [float(told.split(":")[0]) for told in one[0]]
    assert 2 < times[0] < 3
    assert times[1] != 2 * times[0]


def test_a_lost_reply_is_of_work_that_is_done() -> None:
    assert shopping(first(1, LostReply(TimeoutError))) == (
        ["1: TimeoutError()", "2: 2", "3: 3"],
        3,
    )


def test_a_duplicate_does_the_work_twice_and_tells_once() -> None:
    assert shopping(script([None, Duplicate()])) == (["1: 1", "3: 3", "4: 4"], 4)


def test_a_script_says_what_happens_call_by_call_and_then_nothing() -> None:
    told, sold = shopping(script([OSError, None, LostReply(OSError())]), calls=5)
    assert told == ["0: OSError()", "1: 1", "2: OSError()", "3: 3", "4: 4"]
    assert sold == 4


def test_whoever_is_cancelled_there_is_cancelled_with_the_whole_program() -> None:
    done: list[str] = []

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.sleep(2)
            await fault_point("gone")
            done.append("gone")

    async def other() -> None:
        try:
            await trio.sleep(10)
        finally:
            done.append(f"other at {trio.current_time():g}")

    timeline = record(program, faults=Faults(gone=always(Cancel())))
    assert timeline.cancelled
    assert timeline.error is None
    assert done == ["other at 2"]
    with pytest.raises(RunCancelledError):
        _ = timeline.result
    assert "was cancelled" in str(timeline.diff(timeline.fork(at=1, faults=Faults())))
    cancel_everywhere(program, faults=Faults(gone=always(Cancel())))


def test_a_fault_point_can_wait_and_has_no_reply_to_lose() -> None:
    async def program() -> float:
        with suppress(OSError):
            await fault_point("here")
        return trio.current_time()

    for fault, time in ((Delay(3), 3.0), (LostReply(OSError), 0.0), (Duplicate(), 0.0)):
        with simulate(program, faults=Faults(here=always(fault))) as sim:
            sim.run()
            assert sim.result == time


# ---------------------------------------------------------------- steps, items, guards


@attrs.define
class Pages:
    seen: list[str] = attrs.field(factory=list[str])


class Reads:
    async def prep(self, shared: Pages) -> Sequence[str]:
        return "abc"

    async def exec(self, page: str) -> str:
        return page

    async def post(
        self, shared: Pages, pages: Sequence[str], read: Sequence[Maybe[str]]
    ) -> None:
        shared.seen += [
            str(page.unwrap() if isinstance(page, Value) else page.error) for page in read
        ]


agency = CircuitBreaker("agency")
read = Step(each(Reads(), concurrent=2, tolerate=Count(3)), name="read", guards=(agency,))


@step(guards=(agency,))
async def call(pages: Pages) -> None:
    pages.seen.append("called")


@flow
def reading() -> Wiring[Pages]:
    return [read.then(call), call.then(END)]


def seen(faults: Faults) -> list[str]:
    with simulate(reading, Pages(), faults=faults) as sim:
        sim.run()
        return sim.state.seen


def test_one_item_of_a_step_or_at_a_path_is_struck() -> None:
    for name in ("read[1]", "reading/read[1]"):
        assert seen(Faults({name: always(OSError("torn"))})) == ["a", "torn", "c", "called"]
    assert seen(Faults(read=first(2, OSError("torn")))) == ["torn", "torn", "c", "called"]


def test_what_steps_do_behind_a_guard_is_struck_by_the_name_of_the_guard() -> None:
    faults = Faults(agency=script([LostReply(OSError("dropped")), Duplicate()]))
    with (
        simulate(reading, Pages(), faults=faults) as sim,
        pytest.raises(FlowFailedError, match="reading"),
    ):
        sim.run()
    assert agency.statistics().failed == 1
    faults = Faults(agency=script([None, Duplicate()]))
    assert seen(faults) == ["a", "b", "c", "called"]
    assert agency.statistics().succeeded == 2


def test_a_retry_meets_the_faults_of_its_name_attempt_by_attempt() -> None:
    async def program() -> int:
        async def ask() -> int:
            return 7

        return await Retry(RetryPolicy(max_attempts=3), name="asking").call(ask)

    for fails, result in ((2, 7), (3, None)):
        timeline = record(program, faults=Faults(asking=first(fails)))
        assert (timeline.result if timeline.error is None else None) == result


def test_the_first_name_that_fits_decides_and_each_counts_the_call() -> None:
    def only_second(number: int) -> Exception | None:
        return LookupError("second") if number == 2 else None

    faults = Faults({"read[0]": always(OSError("item"))}, read=only_second)
    assert seen(faults) == ["item", "second", "c", "called"]
    faults = Faults({"reading/read[1]": always(OSError("item"))}, read=only_second)
    assert seen(faults) == ["a", "item", "c", "called"]


async def test_outside_of_a_simulation_nobody_is_cancelled_by_a_fault() -> None:
    async def program(_seed: int) -> str:
        await fault_point("here")
        return "went on"

    assert await Used(Faults(here=always(Cancel()))).around(program)(0) == "went on"
