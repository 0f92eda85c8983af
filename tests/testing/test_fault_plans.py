"""`Faults` make steps and fault points fail, the same way for the same seed."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
import pytest
import trio
from typing_extensions import override

from agentflow_trio import END, FlowFailedError, Wiring, flow, step
from agentflow_trio.testing import (
    Fault,
    Faults,
    InjectedError,
    UnusedFaultError,
    always,
    error_rate,
    explore,
    fault_point,
    first,
    simulate,
)


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
        "no step that ran and no fault_point() has such a name"
    )


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
    with pytest.raises(
        TypeError, match=r"Faults\(model=...\) takes a fault or a function, not 7"
    ):
        Faults(model=nonsense)


def test_a_plan_shows_what_it_is_made_of() -> None:
    faults = Faults(model=first(2, OSError), save=always())
    assert faults.names == ("model", "save")
    assert repr(faults).startswith(
        "Faults(model=_First(count=2, error=<class 'OSError'>), save="
    )
    assert issubclass(InjectedError, Exception)
