"""Chaos with exact times: off unless turned on, what befalls a body and in which order, who is told, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from agentflow_trio import (
    END,
    Chaos,
    ChaosOutcome,
    ChaosPolicy,
    CircuitBreaker,
    DeadlineExceededError,
    Drill,
    Fallback,
    GuardInUseError,
    GuardMisuseError,
    Retry,
    RetryPolicy,
    Timeout,
    Wiring,
    flow,
    pipeline,
    step,
)
from agentflow_trio.events import FaultInjected, RuleFailed
from agentflow_trio.robustness import ChaosStatistics, Drilled, GuardEvent
from agentflow_trio.testing import Cut, Faults, always, cancel_everywhere, explore, record

ALWAYS = ChaosPolicy(rate=1.0, errors=ConnectionError)
LATE = ChaosPolicy(rate=1.0, latency=2.0)
RUN: list[str] = []


@pytest.fixture(autouse=True)
def begin_anew() -> Iterator[None]:
    RUN.clear()
    yield
    RUN.clear()


async def body(found: str = "found") -> str:
    RUN.append(found)
    await trio.lowlevel.checkpoint()
    return found


async def enter(chaos: Chaos) -> None:
    async with chaos:
        await body()


def injected(fault: Any, *, at: float = 0.0, **fields: Any) -> FaultInjected:
    return FaultInjected(**{
        "guard": "model",
        "timestamp": at,
        "fault": fault,
        "delay": 0.0,
        "error": "",
        **fields,
    })


def pattern(chaos: Chaos | ChaosOutcome[str], calls: int = 200) -> str:
    """Which of so many bodies are struck, once it is turned on, in a run of Trio of its own."""

    async def strikes() -> str:
        chaos.enable(RATE.pop() if RATE else None)
        seen = ""
        for _ in range(calls):
            before = chaos.statistics().struck
            with suppress(ConnectionError):
                await chaos.call(body)
            seen += "x" if chaos.statistics().struck > before else "."
        return seen

    return trio.run(strikes)


RATE: list[float] = []


# ---------------------------------------------------------------- on and off


async def test_it_is_off_unless_turned_on() -> None:
    chaos = Chaos("model", ALWAYS)
    assert chaos.rate is None
    await enter(chaos)
    assert await chaos.call(body) == "found"
    assert chaos.statistics() == ChaosStatistics(
        name="model", rate=None, calls=2, struck=0, injected={}
    )


async def test_a_program_turns_it_on_and_off() -> None:
    chaos = Chaos("model", ALWAYS)
    chaos.enable()
    assert chaos.rate == 1.0
    with pytest.raises(ConnectionError):
        await enter(chaos)
    chaos.enable(rate=0.0)
    assert chaos.rate == 0.0
    await enter(chaos)
    chaos.disable()
    assert chaos.statistics().rate is None
    await enter(chaos)
    assert RUN == ["found", "found"]
    assert chaos.statistics().struck == 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), True])
async def test_a_rate_is_a_share(rate: float) -> None:
    chaos = Chaos("model", ALWAYS)
    with pytest.raises(ValueError) as caught:
        chaos.enable(rate)
    assert str(caught.value) == f"Chaos: rate must be a number >= 0 and <= 1, not {rate!r}"
    assert chaos.rate is None
    with pytest.raises(ValueError) as caught:
        Drill({"model": rate})
    must = "the rate of 'model' must be a number >= 0 and <= 1"
    assert str(caught.value) == f"Drill: {must}, not {rate!r}"


def test_turning_it_on_needs_a_run_of_trio() -> None:
    chaos = Chaos("model", ALWAYS)
    with pytest.raises(RuntimeError):
        chaos.enable()
    assert chaos.rate is None


def test_in_the_next_run_it_is_off_again_and_knows_nothing() -> None:
    chaos = Chaos("model", ALWAYS)

    async def on() -> None:
        chaos.enable()
        with pytest.raises(ConnectionError):
            await enter(chaos)

    async def next_run() -> ChaosStatistics:
        await enter(chaos)
        return chaos.statistics()

    trio.run(on)
    assert chaos.statistics().struck == 1
    assert trio.run(next_run) == ChaosStatistics(
        name="model", rate=None, calls=1, struck=0, injected={}
    )


async def test_it_belongs_to_one_run_at_a_time() -> None:
    chaos = Chaos("model", ALWAYS)
    await enter(chaos)

    def another() -> None:
        trio.run(enter, chaos)

    with pytest.raises(GuardInUseError):
        await trio.to_thread.run_sync(another)


# ---------------------------------------------------------------- drills


async def test_a_drill_turns_it_on_by_name_for_what_is_called_inside() -> None:
    chaos, other = Chaos("model", ALWAYS), Chaos("search", ALWAYS)
    with Drill({"model": None}) as drill:
        assert (chaos.rate, other.rate) == (1.0, None)
        await enter(other)
        with pytest.raises(ConnectionError):
            await enter(chaos)
    await enter(chaos)
    assert drill.did == {"model": Drilled(calls=1, struck=1, injected={"error": 1})}


def test_a_drill_around_a_run_reaches_every_task_of_it() -> None:
    chaos = Chaos("model", ALWAYS)

    async def one() -> None:
        with suppress(ConnectionError):
            await enter(chaos)

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)

    with Drill({"model": None}) as drill:
        trio.run(program)
        trio.run(program)
    trio.run(program)
    assert drill.did["model"] == Drilled(calls=6, struck=6, injected={"error": 6})
    assert RUN == ["found"] * 3


async def test_a_drill_that_begins_beside_reaches_nobody_else() -> None:
    chaos = Chaos("model", ALWAYS)
    held, over = trio.Event(), trio.Event()

    async def hold() -> None:
        with Drill({"model": None}):
            held.set()
            await over.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await held.wait()
        await enter(chaos)
        over.set()
    assert chaos.statistics().struck == 0


async def test_what_the_program_says_comes_before_the_drill() -> None:
    chaos = Chaos("model", ALWAYS)
    chaos.disable()
    with Drill({"model": None}) as drill:
        await enter(chaos)
        assert drill.did == {"model": Drilled(calls=1)}
        chaos.enable()
        with pytest.raises(ConnectionError):
            await enter(chaos)
    assert chaos.rate == 1.0


async def test_of_two_drills_the_inner_one_says_the_rate_and_both_are_told() -> None:
    chaos, search = Chaos("model", ALWAYS), Chaos("search", ALWAYS)
    with Drill({"model": 0.0, "search": None}) as outer, Drill({"model": 1.0}) as inner:
        assert (chaos.rate, search.rate) == (1.0, 1.0)
        for one in (chaos, search):
            with pytest.raises(ConnectionError):
                await enter(one)
    struck = Drilled(calls=1, struck=1, injected={"error": 1})
    assert outer.did == {"model": struck, "search": struck}
    assert inner.did == {"model": struck}


async def test_a_drill_may_be_held_again_but_not_twice_at_once() -> None:
    chaos = Chaos("model", LATE)
    drill = Drill({"model": 0.0})
    with drill:
        with pytest.raises(GuardMisuseError) as caught:
            drill.__enter__()
        assert str(caught.value) == "guard 'drill': it is held already; hold another one"
        await enter(chaos)
    with drill:
        await enter(chaos)
    drill.__exit__()
    assert drill.did == {"model": Drilled(calls=2)}


def test_a_drill_knows_what_it_can_turn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[object, str] = {}
    monkeypatch.setattr("agentflow_trio.robustness._drill.KNOWN", known)
    chaos = [Chaos(name, ALWAYS) for name in ("b", "a", "b")]
    outcome = ChaosOutcome("c", "?", ChaosPolicy(rate=1.0))
    assert Drill.names() == ("b", "a", "c")
    assert [*known] == [*chaos, outcome]


# ---------------------------------------------------------------- what befalls a body


async def test_a_body_that_is_struck_by_an_error_does_not_run(
    autojump_clock: MockClock,
) -> None:
    events: list[GuardEvent] = []
    chaos = Chaos("model", ALWAYS, on_event=events.append)
    chaos.enable()
    errors: list[BaseException] = []
    for _ in range(2):
        with pytest.raises(ConnectionError) as caught:
            await chaos.call(body)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert RUN == []
    assert events == [injected("error", error="ConnectionError")] * 2


async def test_a_body_that_is_struck_by_latency_begins_late(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    chaos = Chaos("model", LATE, on_event=events.append)
    chaos.enable()
    async with chaos:
        assert trio.current_time() == 2.0
    assert await chaos.call(body) == "found"
    assert trio.current_time() == 4.0
    assert events == [
        injected("latency", at=0.0, delay=2.0),
        injected("latency", at=2.0, delay=2.0),
    ]


async def test_latency_comes_before_behaviour_and_behaviour_before_the_error(
    autojump_clock: MockClock,
) -> None:
    events: list[GuardEvent] = []

    async def cut_the_line() -> None:
        await trio.sleep(1.0)
        RUN.append(f"cut at {trio.current_time()}")

    policy = ChaosPolicy(rate=1.0, latency=2.0, behaviour=cut_the_line, errors=OSError)
    chaos = Chaos("model", policy, on_event=events.append)
    chaos.enable()
    with pytest.raises(OSError):
        await enter(chaos)
    assert RUN == ["cut at 3.0"]
    assert events == [
        injected("latency", at=0.0, delay=2.0),
        injected("behaviour", at=2.0),
        injected("error", at=3.0, error="OSError"),
    ]
    assert chaos.statistics() == ChaosStatistics(
        name="model",
        rate=1.0,
        calls=1,
        struck=1,
        injected={"latency": 1, "behaviour": 1, "error": 1},
    )


async def test_what_the_behaviour_raises_is_raised_in_the_bodys_place() -> None:
    async def worse() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("worse")

    chaos = Chaos("model", ChaosPolicy(rate=1.0, behaviour=worse, errors=OSError))
    chaos.enable()
    with pytest.raises(LookupError):
        await enter(chaos)
    assert RUN == []
    assert chaos.statistics().injected == {"behaviour": 1}


async def test_an_error_may_be_made_by_a_function() -> None:
    chaos = Chaos("model", ChaosPolicy(rate=1.0, errors=lambda: OSError(7, "no")))
    chaos.enable()
    with pytest.raises(OSError) as caught:
        await enter(chaos)
    assert caught.value.errno == 7


async def test_a_function_that_makes_no_error_is_told() -> None:
    make: Any = dict
    nothing: Any = lambda: make()  # noqa: E731, PLW0108 - dict is a class, and no error
    chaos = Chaos("model", ChaosPolicy(rate=1.0, errors=nothing))
    chaos.enable()
    with pytest.raises(TypeError) as caught:
        await enter(chaos)
    assert str(caught.value) == f"ChaosPolicy: errors: {nothing!r} made no Exception, but {{}}"


async def test_another_outcome_comes_in_place_of_the_bodys(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    policy = ChaosPolicy(rate=1.0, latency=1.0)
    garbled = ChaosOutcome("model", "???", policy, on_event=events.append)
    assert await garbled.call(body, "fine") == "fine"
    garbled.enable()
    assert await garbled.call(body) == "???"
    assert RUN == ["fine"]
    assert events == [
        injected("latency", at=0.0, delay=1.0),
        injected("outcome", at=1.0),
    ]
    assert garbled.rate == 1.0
    garbled.disable()
    assert garbled.policy is policy
    assert garbled.statistics() == ChaosStatistics(
        name="model", rate=None, calls=2, struck=1, injected={"latency": 1, "outcome": 1}
    )


async def test_none_is_an_outcome_and_by_makes_one_for_each() -> None:
    nothing = ChaosOutcome("model", None, ChaosPolicy(rate=1.0))
    fresh = ChaosOutcome("model", by=list[int], policy=ChaosPolicy(rate=1.0))
    with Drill({"model": None}):
        assert await nothing.call(body) is None
        assert await fresh.call(body) is not await fresh.call(body)


async def test_above_an_async_function() -> None:
    garbled = ChaosOutcome("model", "???", ChaosPolicy(rate=1.0))

    @garbled
    async def ask(question: str, *, loudly: bool) -> str:
        return await body(f"{question} {loudly}")

    assert await ask("why", loudly=True) == "why True"
    garbled.enable()
    assert await ask("why", loudly=True) == "???"
    assert ask.__name__ == "ask"


# ---------------------------------------------------------------- chance


def test_the_same_seed_strikes_the_same_bodies() -> None:
    policy = ChaosPolicy(rate=0.5, errors=ConnectionError)
    first, again = Chaos("model", policy, seed=7), Chaos("model", policy, seed=7)
    assert pattern(first) == pattern(again) == pattern(first)
    assert pattern(first) != pattern(Chaos("model", policy, seed=8))
    assert pattern(first) != pattern(Chaos("search", policy, seed=7))


def test_at_a_higher_rate_those_are_struck_and_more() -> None:
    chaos = Chaos("model", ChaosPolicy(rate=0.25, errors=ConnectionError), seed=7)
    few = pattern(chaos)
    RATE.append(0.75)
    many = pattern(chaos)
    assert few.count("x") == 50
    assert many.count("x") == 148
    assert all(more == "x" for one, more in zip(few, many, strict=True) if one == "x")


def test_what_is_off_or_not_asked_for_costs_no_draw() -> None:
    policy = ChaosPolicy(rate=0.5, errors=ConnectionError)
    asked = ChaosPolicy(rate=0.5, errors=ConnectionError, when=lambda: SAYS[0])

    async def strikes(policy: ChaosPolicy, *, idle: bool) -> str:
        chaos, seen = Chaos("model", policy, seed=7), ""
        for number in range(40):
            if idle:
                SAYS[0] = False
                chaos.disable() if number % 2 else chaos.enable()
                if number % 2 or policy.when is not None:
                    await enter(chaos)
            SAYS[0] = True
            chaos.enable()
            try:
                await enter(chaos)
                seen += "."
            except ConnectionError:
                seen += "x"
        return seen

    async def all_three() -> list[str]:
        return [
            await strikes(policy, idle=False),
            await strikes(policy, idle=True),
            await strikes(asked, idle=True),
        ]

    plain, switched, refused = trio.run(all_three)
    assert plain == switched == refused
    assert {*plain} == {"x", "."}


SAYS = [True]


async def test_latency_between_two_bounds_is_drawn_anew_for_each(
    autojump_clock: MockClock,
) -> None:
    delays: list[float] = []
    policy = ChaosPolicy(rate=1.0, latency=(1.0, 3.0))
    chaos = Chaos("model", policy, seed=7)
    chaos.enable()
    for _ in range(100):
        begun = trio.current_time()
        await enter(chaos)
        delays.append(trio.current_time() - begun)
    assert 1.0 <= min(delays) < 1.1
    assert 2.9 < max(delays) <= 3.0
    assert len({*delays}) > 90


async def test_an_error_that_is_written_twice_has_twice_the_odds() -> None:
    policy = ChaosPolicy(rate=1.0, errors=(OSError, KeyError, OSError))
    chaos = Chaos("model", policy, seed=7)
    chaos.enable()
    seen: list[str] = []
    for _ in range(300):
        try:
            await chaos.__aenter__()
        except (OSError, KeyError) as error:
            seen.append(type(error).__name__)
    assert (seen.count("OSError"), seen.count("KeyError")) == (204, 96)


@define
class Night:
    calls: int = 0


SHARED = Chaos("shared", ChaosPolicy(rate=0.5, errors=ConnectionError))


@step(guards=(SHARED,), retry=RetryPolicy(max_attempts=50, base_delay=1.0, jitter=0.0))
async def work(night: Night) -> None:
    night.calls += 1
    await trio.lowlevel.checkpoint()


@flow
def nightly() -> Wiring[Night]:
    return [work.then(END)]


def test_without_a_seed_of_its_own_it_has_that_of_the_run() -> None:
    def events(seed: int) -> list[tuple[float, str, str]]:
        timeline = record(nightly, Night(), seed=seed)
        return [
            (event.timestamp, event.guard, event.path)
            for event in timeline.events
            if isinstance(event, FaultInjected)
        ]

    assert events(0) == []
    with Drill({"shared": None}):
        seen = [events(seed) for seed in range(6)]
        assert seen == [events(seed) for seed in range(6)]
    assert len({len(each) for each in seen}) > 1
    struck = next(each for each in seen if each)
    assert struck[0] == (0.0, "shared", "nightly/work")


# ---------------------------------------------------------------- when


async def test_when_is_asked_first() -> None:
    events: list[GuardEvent] = []
    answers = [True, False, True]
    policy = ChaosPolicy(rate=1.0, errors=ConnectionError, when=answers.pop)
    chaos = Chaos("model", policy, on_event=events.append)
    await enter(chaos)
    assert len(answers) == 3
    chaos.enable()
    for struck in (True, False, True):
        if struck:
            with pytest.raises(ConnectionError):
                await enter(chaos)
        else:
            await enter(chaos)
    assert len(events) == 2


async def test_a_when_that_raises_is_a_no_and_is_told(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []

    def wrong() -> bool:
        raise LookupError("who?")

    policy = ChaosPolicy(rate=1.0, errors=ConnectionError, when=wrong)
    for told in (events.append, None):
        chaos = Chaos("model", policy, on_event=told)
        chaos.enable()
        await enter(chaos)
        assert chaos.statistics().struck == 0
    assert events == [
        RuleFailed(guard="model", timestamp=0.0, error="LookupError", message="who?")
    ]


# ---------------------------------------------------------------- with others


async def test_whoever_is_around_meets_it_as_the_bodys_own(autojump_clock: MockClock) -> None:
    chaos = Chaos("model", LATE)
    breaker = CircuitBreaker("breaker")
    chaos.enable()
    whole = pipeline(
        Fallback(by=lambda error: type(error).__name__),
        Retry(RetryPolicy(max_attempts=2, base_delay=1.0)),
        breaker,
        Timeout(1.5),
        chaos,
    )
    assert await whole.call(body) == DeadlineExceededError.__name__
    assert trio.current_time() == 4.0
    assert breaker.statistics().failed == 2
    assert RUN == []


async def test_an_outcome_is_the_last_of_a_pipeline() -> None:
    garbled = ChaosOutcome("model", "???", ChaosPolicy(rate=1.0))
    whole = pipeline(Timeout(1.0), garbled)
    assert await whole.call(body) == "found"
    garbled.enable()
    assert await whole.call(body) == "???"


def test_a_test_can_let_what_is_behind_it_fail() -> None:
    chaos = Chaos("model", LATE)
    garbled = ChaosOutcome("garbled", "?", ChaosPolicy(rate=1.0))

    async def program() -> list[str]:
        seen: list[str] = []
        for one in (chaos, garbled):
            try:
                seen.append(await one.call(body))
            except OSError:
                seen.append("failed")
        return seen

    faults = Faults({"model": always(OSError), "garbled": always(OSError)})
    assert explore(program, faults=faults, seeds=1, check=RESULTS.append).seeds == 1
    assert RESULTS == [["failed", "failed"]]


RESULTS: list[list[str]] = []


async def test_a_listener_that_raises_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wrong(event: GuardEvent) -> None:
        raise ZeroDivisionError

    chaos = Chaos("model", ALWAYS, on_event=wrong)
    chaos.enable()
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await enter(chaos)
    assert len(caplog.records) == 1


# ---------------------------------------------------------------- cancellation


async def test_who_is_cancelled_already_meets_nothing() -> None:
    chaos = Chaos("model", ALWAYS)
    chaos.enable()
    with trio.CancelScope() as scope:
        scope.cancel()
        await enter(chaos)
    assert scope.cancelled_caught
    assert chaos.statistics().calls == 0


async def test_who_is_cancelled_while_late_goes(autojump_clock: MockClock) -> None:
    policy = ChaosPolicy(rate=1.0, latency=2.0, errors=OSError)
    chaos = Chaos("model", policy)
    chaos.enable()
    with trio.move_on_after(1.0) as scope:
        await enter(chaos)
    assert scope.cancelled_caught
    assert trio.current_time() == 1.0
    assert chaos.statistics().injected == {"latency": 1}


async def test_entering_yields_only_for_latency(autojump_clock: MockClock) -> None:
    policies = [(ALWAYS, False), (ChaosPolicy(rate=0.0, latency=2.0), False), (LATE, True)]
    for policy, yields in policies:
        chaos = Chaos("model", policy)
        chaos.enable()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body, "beside")
            with suppress(ConnectionError):
                await chaos.__aenter__()
            assert (["beside"] if yields else []) == RUN
        RUN.clear()


def test_wherever_it_is_cancelled_the_body_runs_whole_or_not_at_all() -> None:
    async def program() -> None:
        RUN.clear()
        chaos = Chaos("model", LATE)
        chaos.enable()
        async with chaos:
            RUN.append("in")
            await trio.lowlevel.checkpoint()
            RUN.append("out")

    def check(cut: Cut[None]) -> None:
        assert RUN in (["in", "out"], ["in"], [])
        assert cut.cancelled or RUN == ["in", "out"]

    assert cancel_everywhere(program, check=check) >= 2


def test_in_whatever_order_tasks_go_on_so_many_are_struck() -> None:
    chaos = Chaos("model", ChaosPolicy(rate=0.5, latency=1.0), seed=7)

    async def program() -> ChaosStatistics:
        assert chaos.rate is None
        chaos.enable()
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(enter, chaos)
        return chaos.statistics()

    def check(seen: ChaosStatistics) -> None:
        assert (seen.calls, seen.struck, seen.injected) == (6, 5, {"latency": 5})

    explore(program, check=check, seeds=20).raise_on_failure()


# ---------------------------------------------------------------- what makes no sense


async def plain() -> bool:
    await trio.lowlevel.checkpoint()
    return True


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate": 1.5}, "rate must be a number >= 0 and <= 1, not 1.5"),
        ({"rate": True}, "rate must be a number >= 0 and <= 1, not True"),
        ({"latency": -1.0}, "latency must be a number of seconds >= 0 and finite, not -1.0"),
        ({"latency": (1.0,)}, "latency must be seconds or two of them, not (1.0,)"),
        (
            {"latency": (-1.0, 1.0)},
            "latency[0] must be a number of seconds >= 0 and finite, not -1.0",
        ),
        (
            {"latency": (2.0, 1.0)},
            "latency[1] must be a number of seconds >= 2 and finite, not 1.0",
        ),
        ({"behaviour": 3}, "behaviour must be an async function, not 3"),
        (
            {"errors": "x"},
            "errors must be classes of Exceptions or plain functions, not 'x'",
        ),
        (
            {"errors": KeyboardInterrupt},
            (
                "errors must be classes of Exceptions or plain functions, "
                "not <class 'KeyboardInterrupt'>"
            ),
        ),
        (
            {"errors": (OSError, plain)},
            f"errors must be classes of Exceptions or plain functions, not {plain!r}",
        ),
        (
            {"errors": OSError(3)},
            (
                "an error of its own is made for each body; "
                "write errors=OSError, or lambda: OSError(3)"
            ),
        ),
        ({"when": plain}, f"when must be a plain function, not {plain!r}"),
        ({"when": 3}, "when must be a plain function, not 3"),
    ],
    ids=map(str, range(99)),
)
def test_settings_that_make_no_sense(settings: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        ChaosPolicy(**{"rate": 0.5, **settings})
    assert str(caught.value) == f"ChaosPolicy: {text}"


@pytest.mark.parametrize(
    "policy", [ChaosPolicy(rate=1.0), ChaosPolicy(rate=1.0, latency=(0, 0))]
)
def test_chaos_that_would_do_nothing(policy: ChaosPolicy) -> None:
    with pytest.raises(ValueError) as caught:
        Chaos("model", policy)
    assert str(caught.value) == (
        "Chaos: nothing would go wrong; give its policy latency=, behaviour= or errors="
    )


@pytest.mark.parametrize(
    ("arguments", "settings", "text"),
    [
        (["model", 1], {}, "give a policy, and either an outcome or by="),
        (["model"], {"policy": LATE}, "give a policy, and either an outcome or by="),
        (
            ["model", 1],
            {"policy": LATE, "by": dict},
            "give a policy, and either an outcome or by=",
        ),
        (
            ["model"],
            {"policy": LATE, "by": plain},
            f"by must be a plain function, not {plain!r}",
        ),
        (["model", 1, ALWAYS], {}, "errors are raised by a Chaos of their own"),
        ([3, 1, LATE], {}, "name must be a string, not 3"),
    ],
    ids=map(str, range(99)),
)
def test_an_outcome_that_makes_no_sense(
    arguments: list[Any], settings: dict[str, Any], text: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        ChaosOutcome(*arguments, **settings)
    assert str(caught.value) == f"ChaosOutcome: {text}"


def test_a_name_is_a_string() -> None:
    name: Any = LATE
    with pytest.raises(TypeError, match="Chaos: name must be a string"):
        Chaos(name, LATE)


def test_a_policy_is_a_value() -> None:
    policy = ChaosPolicy(rate=0.5, latency=(1.0, 2.0), errors=(OSError, KeyError))
    same = ChaosPolicy(rate=0.5, latency=(1.0, 2.0), errors=(OSError, KeyError))
    assert policy == same
    assert hash(policy) == hash(same)
    assert Chaos("model", policy).policy is policy
