"""What a guard concludes of a body is the same for all guards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import pytest
import trio

from agentflow_trio.errors import CircuitOpenError, RejectedError
from agentflow_trio.robustness._guard import conclude, own_limits
from agentflow_trio.robustness._verdict_core import Errors, Judge, is_cancelled, leaves_of

REJECTED: Final = RejectedError(guard="g", reason="full")


async def be_cancelled() -> trio.Cancelled:
    """Nobody but Trio makes them."""
    caught = list[trio.Cancelled]()
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            caught.append(error)
            raise
    return caught[0]


CANCELLED: Final = trio.run(be_cancelled)


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("g", errors)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, "success"),
        (ValueError(), "failure"),
        (KeyboardInterrupt(), "ignored"),
        (SystemExit(), "ignored"),
        (GeneratorExit(), "ignored"),
        (REJECTED, "ignored"),
        (CircuitOpenError(guard="g", reason="open", retry_after=1.0), "ignored"),
        (CANCELLED, "cancelled"),
        (group(ValueError(), CANCELLED), "cancelled"),
        (group(ValueError(), group(KeyError(), CANCELLED)), "cancelled"),
        (group(KeyboardInterrupt(), ValueError()), "failure"),
        (group(KeyboardInterrupt(), SystemExit()), "ignored"),
        (group(REJECTED, group(REJECTED)), "ignored"),
        (group(REJECTED, group(ValueError())), "failure"),
    ],
)
def test_the_verdict_of_a_body(error: BaseException | None, expected: str) -> None:
    assert Judge().verdict(error) == expected
    assert conclude(Judge(), error) == expected


@pytest.mark.parametrize(
    ("record", "ignore", "error", "expected"),
    [
        (ValueError, (), ValueError(), "failure"),
        (ValueError, (), UnicodeError(), "failure"),
        (ValueError, (), KeyError(), "ignored"),
        ((ValueError, KeyError), (), KeyError(), "failure"),
        ((), (), ValueError(), "ignored"),
        (Exception, ValueError, UnicodeError(), "ignored"),
        (ValueError, ValueError, ValueError(), "ignored"),
        (lambda error: "bad" in str(error), (), ValueError("bad"), "failure"),
        (lambda error: "bad" in str(error), (), ValueError("good"), "ignored"),
        (Exception, lambda error: "bad" in str(error), ValueError("bad"), "ignored"),
        (ValueError, (), group(KeyError(), ValueError()), "failure"),
        (ValueError, (), group(KeyError(), KeyError()), "ignored"),
        (Exception, (), REJECTED, "ignored"),
        (RejectedError, (), REJECTED, "ignored"),
        (BlockingIOError, (), CANCELLED, "cancelled"),
    ],
)
def test_which_errors_are_failures(
    record: Errors, ignore: Errors, error: BaseException, expected: str
) -> None:
    assert Judge(record, ignore).verdict(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), True),
        (KeyError(), False),
        (KeyboardInterrupt(), False),
        (REJECTED, False),
        (CANCELLED, False),
        (group(ValueError(), group(ValueError())), True),
        (group(ValueError(), KeyError()), False),
        (group(ValueError(), CANCELLED), False),
    ],
)
def test_whether_every_leaf_is_a_failure(error: BaseException, *, expected: bool) -> None:
    assert Judge(ValueError).every(error) is expected


def test_a_rule_that_raises_loses_nothing() -> None:
    complaints = list[Exception]()

    def broken(error: Exception) -> bool:
        raise ZeroDivisionError(str(error))

    assert Judge(broken, complain=complaints.append).verdict(ValueError("x")) == "failure"
    assert repr(complaints) == "[ZeroDivisionError('x')]"
    assert Judge(broken).verdict(ValueError()) == "failure"
    assert Judge(ignore=broken, unsure="ignored").verdict(ValueError()) == "ignored"
    assert not Judge(broken, unsure="ignored").every(ValueError())


@pytest.mark.parametrize(
    "wrong",
    [3, "ValueError", KeyboardInterrupt, (ValueError, KeyboardInterrupt), (ValueError(),)],
)
@pytest.mark.parametrize("name", ["record", "ignore"])
def test_what_is_neither_classes_nor_a_function_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be classes of Exceptions"):
        Judge(**{name: wrong})


async def anyway(error: Exception) -> bool:
    return False


class Anyway:
    async def __call__(self, error: Exception) -> bool:
        return False


@pytest.mark.parametrize(
    "rule", [anyway, functools.partial(anyway), Anyway()], ids=["function", "partial", "object"]
)
@pytest.mark.parametrize("name", ["record", "ignore"])
def test_nobody_would_wait_for_an_async_rule(name: str, rule: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a plain function"):
        Judge(**{name: rule})


def test_the_leaves_of_a_group_in_order() -> None:
    first, second, third = ValueError(), KeyError(), KeyboardInterrupt()
    assert [*leaves_of(group(first, group(second), third))] == [first, second, third]
    assert [*leaves_of(first)] == [first]
    assert not is_cancelled(group(first, third))


# ---------------------------------------------------------------- limits of one's own


async def verdicts(
    around: Callable[[trio.CancelScope], tuple[trio.CancelScope, ...]],
) -> list[str]:
    found = list[str]()
    with trio.move_on_after(1.0) as scope:
        with own_limits(*around(scope)):
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                found = [
                    conclude(Judge(), each)
                    for each in (error, group(ValueError(), error), None, SystemExit())
                ]
                raise
    assert scope.cancelled_caught
    return found


async def test_a_limit_of_the_step_itself_is_a_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outer = trio.CancelScope()
    assert await verdicts(lambda scope: (scope,)) == [
        "failure",
        "failure",
        "success",
        "ignored",
    ]
    assert (await verdicts(lambda scope: (outer, scope)))[0] == "failure"


async def test_a_limit_of_the_callers_is_not(autojump_clock: trio.testing.MockClock) -> None:
    assert await verdicts(lambda _: ()) == ["cancelled", "cancelled", "success", "ignored"]
    with trio.CancelScope(deadline=9.0) as mine:
        assert (await verdicts(lambda _: (mine,)))[0] == "cancelled"


async def test_child_tasks_know_the_limits_around_them_and_a_nested_step_its_own_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    found = list[str]()

    async def hang() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            found.append(conclude(Judge(), error))
            with own_limits():
                found.append(conclude(Judge(), error))
            found.append(conclude(Judge(), error))
            raise

    with trio.move_on_after(1.0) as scope, own_limits(scope):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang)
    assert found == ["failure", "cancelled", "failure"]
