"""A fallback stands in for a failed result: a value, or what a function makes of the error."""

from __future__ import annotations

import copy
import functools
import logging
import pickle
from typing import Any, TypeVar

import attrs
import pytest
import trio

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitOpenError,
    DeadlineExceededError,
    Fallback,
    FlowFailedError,
    LoadFailedError,
    Step,
    Timeout,
    Wiring,
    flow,
)
from agentflow_trio.robustness import CircuitPolicy, FallbackUsed, GuardEvent, Member
from agentflow_trio.testing import Cut, cancel_everywhere, explore, record

Found = TypeVar("Found")


async def coroutine(error: Exception) -> str:
    return str(error)


class Callee:
    async def __call__(self, error: Exception) -> str:
        return str(error)


def test_a_value_stands_in_for_every_exception() -> None:
    fallback = Fallback("nothing")
    assert fallback.instead_of(ValueError("x")) == "nothing"
    assert (fallback.on, fallback.name) == ((Exception,), "fallback")


def test_none_is_a_value() -> None:
    assert Fallback(None).instead_of(ValueError()) is None


def test_the_value_itself_is_handed_out_and_by_makes_a_new_one() -> None:
    shared: list[int] = []
    assert Fallback(shared).instead_of(ValueError()) is shared
    fresh = Fallback(by=lambda _: list[int]())
    assert fresh.instead_of(ValueError()) is not fresh.instead_of(ValueError())


def test_a_function_is_given_the_error() -> None:
    fallback = Fallback(by=repr, on=(ValueError, KeyError), name="sorry")
    assert fallback.instead_of(ValueError("x")) == "ValueError('x')"
    assert (fallback.on, fallback.name) == ((ValueError, KeyError), "sorry")


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Fallback(by=lambda _: 1 // 0).instead_of(ValueError())


def test_a_fallback_is_a_value() -> None:
    change: Any = Fallback("x")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        change.name = "y"
    assert Fallback("x") == Fallback("x")
    assert Fallback("x") != Fallback("y")
    assert hash(Fallback("x")) == hash(Fallback("x"))
    assert Fallback("x") != Fallback(by=str)
    assert copy.deepcopy(change) == pickle.loads(pickle.dumps(change)) == change
    assert "value='x'" in repr(change)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Fallback: give either a value or by=, a function of the error"),
        (
            {"value": 1, "by": str},
            "Fallback: give either a value or by=, a function of the error",
        ),
        ({"by": 3}, "Fallback: by must be a plain function of the error, not 3"),
        (
            {"by": coroutine},
            f"Fallback: by must be a plain function of the error, not {coroutine!r}",
        ),
        ({"value": 1, "on": ()}, "Fallback: on must be a tuple of Exception classes, not ()"),
        (
            {"value": 1, "on": ValueError},
            "Fallback: on must be a tuple of Exception classes, not <class 'ValueError'>",
        ),
        (
            {"value": 1, "on": (ValueError(),)},
            "Fallback: on must be a tuple of Exception classes, not (ValueError(),)",
        ),
        (
            {"value": 1, "on": (KeyboardInterrupt,)},
            (
                "Fallback: on must be a tuple of Exception classes, not "
                "(<class 'KeyboardInterrupt'>,)"
            ),
        ),
    ],
    ids=["neither", "both", "number", "async", "empty", "class", "instance", "base"],
)
def test_a_fallback_that_makes_no_sense(arguments: dict[str, Any], text: str) -> None:
    value = [arguments.pop("value")] if "value" in arguments else []
    with pytest.raises(TypeError) as caught:
        Fallback(*value, **arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "by", [Callee(), functools.partial(coroutine)], ids=["object", "partial"]
)
def test_nobody_would_wait_for_an_async_function(by: Any) -> None:
    with pytest.raises(TypeError, match="by must be a plain function of the error"):
        Fallback(by=by)


# ---------------------------------------------------------------- around any body


async def fails(error: BaseException) -> str:
    await trio.lowlevel.checkpoint()
    raise error


async def works(found: Found) -> Found:
    await trio.lowlevel.checkpoint()
    return found


async def test_a_result_is_handed_through_and_an_error_replaced() -> None:
    told: list[GuardEvent] = []
    fallback = Fallback("sorry", on_event=told.append)
    found = object()
    assert await fallback.call(works, found) is found
    assert told == []
    assert await fallback.call(fails, ValueError("x")) == "sorry"
    assert [type(event) for event in told] == [FallbackUsed]
    assert isinstance(fallback, Member)


async def test_it_is_told_when_and_for_what(autojump_clock: trio.testing.MockClock) -> None:
    told: list[GuardEvent] = []
    fallback = Fallback("sorry", name="apology", on_event=told.append)
    await trio.sleep(1.5)
    await fallback.call(fails, ValueError("x"))
    await fallback.call(fails, ExceptionGroup("g", [KeyError("k"), OSError("o")]))
    assert told == [
        FallbackUsed(guard="apology", timestamp=1.5, error="ValueError", message="x"),
        FallbackUsed(
            guard="apology",
            timestamp=1.5,
            error="ExceptionGroup",
            message="KeyError: 'k'; OSError: o",
        ),
    ]


async def test_above_an_async_function_it_keeps_arguments_and_name() -> None:
    @Fallback(by=lambda error: f"no: {error}", on=(ValueError,))
    async def divide(over: int, *, under: int) -> str:
        await trio.lowlevel.checkpoint()
        if under == 0:
            raise ValueError(over)
        return str(over / under)

    assert [await divide(3, under=2), await divide(3, under=0)] == ["1.5", "no: 3"]
    assert divide.__name__ == "divide"


@pytest.mark.parametrize("kinds", [(ValueError,), (ExceptionGroup, ValueError)], ids=repr)
async def test_a_group_counts_if_it_or_every_leaf_does(
    kinds: tuple[type[Exception], ...],
) -> None:
    fallback = Fallback("sorry", on=kinds)
    bad = ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError(2)])])
    good = ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [UnicodeError()])])
    assert await fallback.call(fails, good) == "sorry"
    if ExceptionGroup in kinds:
        assert await fallback.call(fails, bad) == "sorry"
    else:
        with pytest.raises(ExceptionGroup) as caught:
            await fallback.call(fails, bad)
        assert caught.value is bad


async def test_a_load_that_failed_for_others_counts_as_what_it_failed_with() -> None:
    shared = LoadFailedError(guard="cache")
    shared.__cause__ = OSError()
    assert await Fallback("sorry", on=(OSError,)).call(fails, shared) == "sorry"
    with pytest.raises(LoadFailedError) as caught:
        await Fallback("sorry", on=(KeyError,)).call(fails, shared)
    assert caught.value is shared


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        KeyError("x"),
        BaseExceptionGroup("g", [ValueError(), KeyboardInterrupt()]),
    ],
    ids=repr,
)
async def test_anything_else_is_raised_itself(error: BaseException) -> None:
    told: list[GuardEvent] = []
    fallback = Fallback("sorry", on=(ValueError,), on_event=told.append)
    with pytest.raises(type(error)) as caught:
        await fallback.call(fails, error)
    assert caught.value is error
    assert told == []


async def test_what_by_raises_is_raised_with_the_bodys_error_as_its_context() -> None:
    def worse(error: Exception) -> str:
        raise LookupError("worse") from None

    told: list[GuardEvent] = []
    fallback = Fallback(by=worse, on_event=told.append)
    with pytest.raises(LookupError) as caught:
        await fallback.call(fails, error := ValueError("x"))
    assert caught.value.__context__ is error
    assert told == []


async def test_rejections_and_limits_that_ran_out_are_errors(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fallback = Fallback(by=lambda error: type(error).__name__)
    breaker = CircuitBreaker("search", CircuitPolicy(failure_threshold=1))
    breaker.open()
    assert await fallback.call(breaker.call, works, "x") == CircuitOpenError.__name__
    timeout = Timeout(2.0)
    assert await fallback.call(timeout.call, trio.sleep, 9.0) == DeadlineExceededError.__name__
    assert trio.current_time() == 2.0


async def test_a_cancelled_body_is_not_replaced(autojump_clock: trio.testing.MockClock) -> None:
    told: list[GuardEvent] = []
    fallback = Fallback("sorry", on_event=told.append)

    with trio.move_on_after(3.0) as scope:
        await fallback.call(trio.sleep_forever)
    assert scope.cancelled_caught
    assert told == []


async def test_nor_is_one_that_fails_while_others_of_it_are_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def body() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError

    with (
        pytest.raises(ExceptionGroup) as caught,
        trio.move_on_after(3.0) as scope,
    ):
        await Fallback("sorry").call(body)
    assert caught.group_contains(ValueError)
    assert scope.cancelled_caught


async def test_who_is_cancelled_already_does_not_begin() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await Fallback("sorry").call(fails, AssertionError())
    assert scope.cancelled_caught


def test_wherever_it_is_cancelled_nothing_stands_in() -> None:
    async def program() -> str:
        return await Fallback("sorry").call(fails, ValueError())

    def check(cut: Cut[str]) -> None:
        assert cut.cancelled or cut.result == "sorry"

    assert cancel_everywhere(program, check=check) >= 2


async def test_a_listener_that_raises_is_logged_and_told_nothing_more_in_this_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    def wrong(event: GuardEvent) -> None:
        heard.append(event.guard)
        raise ZeroDivisionError

    fallback = Fallback("sorry", on_event=wrong)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert await fallback.call(fails, ValueError()) == "sorry"
    assert heard == ["fallback"]
    assert len(caplog.records) == 1


def test_it_is_told_again_in_each_execution_of_a_simulation() -> None:
    heard: list[str] = []

    def wrong(event: GuardEvent) -> None:
        heard.append(event.guard)
        raise ZeroDivisionError

    fallback = Fallback("sorry", on_event=wrong)

    async def program() -> None:
        for _ in range(2):
            await fallback.call(fails, ValueError())

    explore(program, seeds=3).raise_on_failure()
    assert len(heard) == 3


async def test_any_number_of_tasks_use_one_and_each_is_given_its_own() -> None:
    fallback: Fallback[str] = Fallback(by=str)
    seen: dict[int, str] = {}

    async def one(number: int) -> None:
        seen[number] = await fallback.call(fails, ValueError(number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(one, number)
    assert seen == {number: str(number) for number in range(5)}


def test_a_used_one_can_be_pickled() -> None:
    fallback = Fallback("sorry", name="apology", on_event=print)

    async def program() -> Fallback[str]:
        await fallback.call(fails, ValueError())
        copied: Fallback[str] = pickle.loads(pickle.dumps(fallback))
        return copied

    assert trio.run(program) == fallback


# ---------------------------------------------------------------- in a step


@attrs.define
class Article:
    text: str = ""


@attrs.frozen
class Ask:
    error: BaseException

    async def prep(self, shared: Article) -> str:
        return shared.text

    async def exec(self, text: str) -> str:
        raise self.error

    async def post(self, shared: Article, text: str, answer: str) -> None:
        shared.text = answer


async def test_the_result_of_exec_is_replaced() -> None:
    ask = Step(Ask(ValueError("x")), fallback=Fallback(by=str))
    assert (await ask.run(Article())).state.text == "x"


async def test_other_errors_are_not() -> None:
    ask = Step(Ask(error := KeyError("x")), fallback=Fallback("", on=(ValueError,)))
    with pytest.raises(FlowFailedError) as caught:
        await ask.run(Article())
    assert caught.value.only() is error


async def test_a_group_is_if_every_error_in_it_is() -> None:
    fallback = Fallback("sorry", on=(ValueError,))
    good = ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [UnicodeError()])])
    bad = ExceptionGroup("g", [ValueError(1), KeyError(2)])
    result = await Step(Ask(good), fallback=fallback).run(Article())
    assert result.state.text == "sorry"
    with pytest.raises(FlowFailedError) as caught:
        await Step(Ask(bad), fallback=fallback).run(Article())
    assert caught.value.only() is bad


async def test_cancellation_is_no_failure(autojump_clock: trio.testing.MockClock) -> None:
    class Hang(Ask):
        async def exec(self, text: str) -> str:
            await trio.sleep_forever()
            raise AssertionError

    hang = Step(Hang(ValueError()), fallback=Fallback("sorry"))
    with trio.move_on_after(3.0) as scope:
        await hang.run(Article())
    assert scope.cancelled_caught
    assert trio.current_time() == 3.0


async def test_what_the_function_raises_is_the_failure_of_the_step() -> None:
    def worse(error: Exception) -> str:
        raise LookupError("worse")

    ask = Step(Ask(error := ValueError("x")), fallback=Fallback(by=worse))
    with pytest.raises(FlowFailedError) as caught:
        await ask.run(Article())
    assert repr(caught.value.only()) == "LookupError('worse')"
    assert caught.value.only().__context__ is error


# ---------------------------------------------------------------- who is told


class AskWithin(Ask):
    async def exec(self, text: str) -> str:
        return await WITHIN.call(super().exec, text)


WITHIN = Fallback("within", name="within")


def used(ask: Step[Article, []]) -> list[FallbackUsed]:
    @flow
    def night() -> Wiring[Article]:
        return [ask.then(END)]

    events = record(night, Article()).events
    return [event for event in events if isinstance(event, FallbackUsed)]


def test_in_a_step_its_listener_is_told_beside_the_run() -> None:
    told: list[GuardEvent] = []
    fallback = Fallback("sorry", name="apology", on_event=told.append)
    [event] = used(Step(Ask(ValueError("x")), fallback=fallback))
    assert (event.guard, event.path, event.message) == ("apology", "night/ask", "x")
    assert told == [
        FallbackUsed(guard="apology", timestamp=0.0, error="ValueError", message="x")
    ]


def test_within_a_step_the_run_is_told_too() -> None:
    [event] = used(Step(AskWithin(ValueError("x"))))
    assert (event.guard, event.path, event.message) == ("within", "night/ask_within", "x")
