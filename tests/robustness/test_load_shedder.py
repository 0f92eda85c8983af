"""What a load shedder promises: shed above the threshold and only there, and nobody hurt by a broken gauge."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    CircuitBreaker,
    CircuitPolicy,
    FlowFailedError,
    load_of,
    step,
)
from agentflow_trio.errors import GuardInUseError, LoadShedError
from agentflow_trio.events import CallRejected, RuleFailed
from agentflow_trio.robustness import GuardEvent, LoadShedder, LoadShedderStatistics
from agentflow_trio.robustness._load_shedder_core import LoadShedderCore
from agentflow_trio.testing import assert_no_leaks, cancel_everywhere


@define
class Gauge:
    """A load that a test sets; asked: how often it was asked."""

    level: float = 0.0
    asked: int = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.level


@define
class Jobs:
    """The state of a step."""


def settled(shedder: LoadShedder, **changed: Any) -> LoadShedderStatistics:
    """What a shedder tells at first, but for what *changed*."""
    blank = LoadShedderStatistics(
        threshold=shedder.threshold, load=None, entered=0, refused=0, unmeasured=0
    )
    return evolve(blank, **changed)


async def outcome(shedder: LoadShedder) -> str:
    try:
        async with shedder:
            return "in"
    except LoadShedError as error:
        return error.reason


# ---------------------------------------------------------------- the rule


async def test_it_sheds_above_the_threshold_and_not_at_it() -> None:
    """As in the seed: strictly above."""
    gauge = Gauge()
    shedder = LoadShedder("web", gauge, threshold=0.8)
    seen = list[str]()
    for gauge.level in (0.0, 0.8, math.nextafter(0.8, 1.0), 100.0, math.inf, 0.8, -1.0):
        seen.append(await outcome(shedder))
    assert seen == ["in", "in", "load", "load", "load", "in", "in"]
    assert shedder.statistics() == settled(shedder, load=-1.0, entered=4, refused=3)


@given(
    threshold=st.floats(0.0, 4.0),
    loads=st.lists(st.none() | st.integers(-2, 6) | st.floats(-2.0, 6.0)),
)
def test_the_counts_are_those_of_a_list(threshold: float, loads: list[float | None]) -> None:
    core = LoadShedderCore(threshold)
    assert core.statistics().load is None
    admitted = [core.admit(load) for load in loads]
    shed = [load for load in loads if load is not None and load > threshold]
    assert [load for load, is_in in zip(loads, admitted, strict=True) if not is_in] == shed
    assert core.statistics() == LoadShedderStatistics(
        threshold=threshold,
        load=loads[-1] if loads else None,
        entered=len(loads) - len(shed),
        refused=len(shed),
        unmeasured=loads.count(None),
    )


def test_a_load_that_is_no_number_changes_nothing() -> None:
    core, text = LoadShedderCore(1.0), Gauge()
    core.admit(0.5)
    before = core.statistics()
    nonsense: Any = text
    with pytest.raises(TypeError):
        core.admit(nonsense)
    assert core.statistics() == before


async def test_the_error_says_who_shed_and_that_nobody_knows_for_how_long() -> None:
    shedder = LoadShedder("web", lambda: 1.5, threshold=1)
    with pytest.raises(LoadShedError) as caught:
        await shedder.call(trio.sleep, 1.0)
    assert str(caught.value) == "load shedder 'web' sheds load"
    assert (caught.value.guard, caught.value.retry_after) == ("web", None)


async def test_the_load_is_asked_for_once_at_each_entry_and_not_in_between() -> None:
    gauge = Gauge()
    shedder = LoadShedder("web", gauge, threshold=1.0)
    async with shedder:
        gauge.level = 2.0
        assert shedder.statistics().load == 0.0
        assert await outcome(shedder) == "load"  # its own body asks again
    assert gauge.asked == 2


async def test_who_is_inside_is_left_alone(autojump_clock: MockClock) -> None:
    gauge = Gauge()
    shedder = LoadShedder("web", gauge, threshold=1.0)
    async with shedder:
        gauge.level = 2.0
        await trio.sleep(1.0)
    assert trio.current_time() == 1.0


# ---------------------------------------------------------------- entering and leaving


async def test_entering_and_leaving_never_yield() -> None:
    gauge = Gauge()
    shedder = LoadShedder("web", gauge, threshold=1.0)
    others = list[str]()

    async def other() -> None:
        others.append("ran")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert await outcome(shedder) == "in"
        gauge.level = 2.0
        assert await outcome(shedder) == "load"
        assert others == []


async def test_a_cancelled_caller_asks_for_nothing() -> None:
    gauge = Gauge()
    shedder = LoadShedder("web", gauge, threshold=1.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with shedder:
            raise AssertionError
    assert scope.cancelled_caught
    assert (gauge.asked, shedder.statistics().entered) == (0, 0)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
async def test_the_error_of_the_body_comes_out_as_it_is(error: BaseException) -> None:
    shedder = LoadShedder("web", Gauge(), threshold=1.0)
    with pytest.raises(type(error)) as caught:
        async with shedder:
            raise error
    assert caught.value is error


async def test_what_is_shed_is_no_failure_for_a_breaker_around_it() -> None:
    breaker = CircuitBreaker("b", CircuitPolicy(failure_threshold=1))
    with pytest.raises(LoadShedError):
        async with breaker, LoadShedder("web", lambda: 2.0, threshold=1.0):
            raise AssertionError
    assert breaker.statistics().ignored == 1


def test_cancelled_anywhere_nothing_is_left() -> None:
    async def program() -> None:
        shedder = LoadShedder("web", Gauge(), threshold=1.0)
        with assert_no_leaks(shedder):
            async with shedder:
                await trio.sleep(1.0)
        assert shedder.statistics().entered == 1

    assert cancel_everywhere(program) >= 2


# ---------------------------------------------------------------- a load that cannot be told


def broken() -> float:
    raise OSError("no such gauge")


wordy: Any = lambda: "high"  # noqa: E731 - it is of any type, so that it may be given


@pytest.mark.parametrize(
    ("load", "error", "message"),
    [
        (broken, "OSError", "no such gauge"),
        (wordy, "TypeError", "'>' not supported between instances of 'str' and 'float'"),
    ],
)
async def test_callers_are_let_in_when_the_load_cannot_be_told_and_it_is_told_why(
    autojump_clock: MockClock, load: Callable[[], float], error: str, message: str
) -> None:
    events: list[GuardEvent] = []
    shedder = LoadShedder("web", load, threshold=1.0, on_event=events.append)
    assert [await outcome(shedder) for _ in "ab"] == ["in", "in"]
    assert shedder.statistics() == settled(shedder, entered=2, unmeasured=2)
    expected = RuleFailed(guard="web", timestamp=0.0, error=error, message=message)
    assert events == [expected, expected]


async def test_a_load_that_is_no_number_at_all_is_above_nothing() -> None:
    shedder = LoadShedder("web", lambda: math.nan, threshold=1.0)
    assert await outcome(shedder) == "in"


async def test_what_is_shed_is_told_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    shedder = LoadShedder("web", lambda: 2.0, threshold=1.0, on_event=events.append)
    await trio.sleep(3.0)
    assert await outcome(shedder) == "load"
    assert events == [CallRejected(guard="web", timestamp=3.0, reason="load", retry_after=None)]


async def test_nobody_listens_and_nothing_breaks() -> None:
    shedder = LoadShedder("web", broken, threshold=1.0)
    assert await outcome(shedder) == "in"


# ---------------------------------------------------------------- the load of other guards


async def test_the_load_of_a_bulkhead_is_who_is_inside_and_who_waits(
    autojump_clock: MockClock,
) -> None:
    model = Bulkhead("model", limit=2)
    load = load_of(model)
    loads, seen = [load()], list[str]()
    web = LoadShedder("web", load, threshold=1.0)

    async def request() -> None:
        try:
            async with web, model:
                await trio.sleep(1.0)
        except LoadShedError:
            seen.append("shed")
        else:
            seen.append("served")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(request)
            await wait_all_tasks_blocked()
            loads.append(load())
    assert loads == [0.0, 0.5, 1.0, 1.5, 1.5, 1.5]
    assert sorted(seen) == ["served"] * 3 + ["shed"] * 2
    assert trio.current_time() == 2.0


async def test_the_load_of_an_adaptive_limit_goes_up_when_the_limit_goes_down() -> None:
    limit = AdaptiveLimit("model", AdaptiveLimitPolicy(initial=4, backoff=0.5))
    load = load_of(limit)

    async def failing() -> None:
        with pytest.raises(OSError, match="down"):
            async with limit:
                raise OSError("down")

    async with limit:
        assert load() == 0.25
        async with trio.open_nursery() as nursery:
            # a task that the body does not wait for: of a nursery around it
            trio.lowlevel.spawn_system_task(failing)
            nursery.start_soon(wait_all_tasks_blocked)
        assert load() == 0.5


# ---------------------------------------------------------------- one run of Trio, and steps


def test_in_another_run_it_starts_blank() -> None:
    events: list[GuardEvent] = []
    shedder = LoadShedder("web", lambda: 2.0, threshold=1.0, on_event=events.append)

    async def look() -> LoadShedderStatistics:
        return shedder.statistics()

    for _ in range(2):
        assert trio.run(outcome, shedder) == "load"
        assert shedder.statistics() == settled(shedder, load=2.0, refused=1)
    assert trio.run(look) == settled(shedder)
    assert len(events) == 2


async def test_under_two_runs_at_once_it_is_refused() -> None:
    shedder = LoadShedder("web", Gauge(), threshold=1.0)
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            trio.run(outcome, shedder)
        except GuardInUseError as error:
            found.append(error)

    async with shedder:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
    assert [type(error) for error in found] == [GuardInUseError]


async def test_a_step_is_shed_before_it_begins() -> None:
    door = LoadShedder("door", lambda: 2.0, threshold=1.0)

    @step(guards=(door,))
    async def work(jobs: Jobs) -> None:
        raise AssertionError

    with pytest.raises(FlowFailedError) as caught:
        await work.run(Jobs())
    assert isinstance(caught.value.only(), LoadShedError)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf, "1", True, None])
def test_a_threshold_that_makes_no_sense_is_named(threshold: Any) -> None:
    with pytest.raises(ValueError) as caught:
        LoadShedder("web", Gauge(), threshold=threshold)
    assert str(caught.value) == (
        f"LoadShedder: threshold must be a number >= 0 and finite, not {threshold!r}"
    )


async def sleepy() -> float:
    return 0.0


@pytest.mark.parametrize("load", [sleepy, partial(sleepy), 0.5, None])
def test_a_load_must_be_a_plain_function(load: Any) -> None:
    with pytest.raises(TypeError, match=r"^LoadShedder: load must be a plain function, not"):
        LoadShedder("web", load, threshold=1.0)
