"""A fallback stands in for a failed result: a value, or what a function makes of the error."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import attrs
import pytest
import trio

from agentflow_trio import Fallback, FlowFailedError, Step


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
