"""A retry policy is a frozen value; settings that make no sense are refused with field and bound."""

from __future__ import annotations

import math
import pickle
from typing import Any

import attrs
import pytest

from agentflow_trio.errors import CircuitOpenError, RejectedError
from agentflow_trio.robustness import RetryBudget, RetryPolicy

ERRORS = "must be a class or a tuple of classes of Exceptions, or a plain function, not"
LEAVES = "each of its leaves is asked about; name their classes"


def test_what_a_policy_is_by_default() -> None:
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.base_delay, policy.multiplier) == (3, 0.1, 2.0)
    assert (policy.max_delay, policy.jitter, policy.jitter_kind) == (30.0, 0.1, "ratio")
    assert (policy.jitter_first, policy.backoff) == (False, "exponential")
    assert (policy.on, policy.ignore, policy.on_rejected) == ((Exception,), (), "raise")
    assert (policy.max_retry_after, policy.max_elapsed, policy.budget) == (60.0, None, None)
    assert policy.retry_after is None


def test_a_policy_is_a_value() -> None:
    change: Any = RetryPolicy(budget=RetryBudget("llm"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        change.max_attempts = 4
    assert pickle.loads(pickle.dumps(change)) == RetryPolicy(budget=RetryBudget("llm"))


async def later(_: object) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("max_attempts", 0, "be a whole number >= 1"),
        ("max_attempts", 2.0, "be a whole number >= 1"),
        ("max_attempts", True, "be a whole number >= 1"),
        ("base_delay", -0.1, "be a number of seconds >= 0 and finite"),
        ("base_delay", math.nan, "be a number of seconds >= 0 and finite"),
        ("base_delay", "1", "be a number of seconds >= 0 and finite"),
        ("multiplier", 0.5, "be a number >= 1 and finite"),
        ("max_delay", math.inf, "be a number of seconds >= 0 and finite"),
        ("jitter", 1.5, "be a number >= 0 and <= 1"),
        ("jitter", -0.5, "be a number >= 0 and <= 1"),
        (
            "jitter_kind",
            "some",
            "be one of 'ratio', 'none', 'full', 'equal', 'decorrelated'",
        ),
        (
            "backoff",
            "quadratic",
            "be one of 'exponential', 'linear', 'constant' or a plain function",
        ),
        ("on_rejected", "sleep", "be one of 'raise', 'retry', 'wait'"),
        ("max_retry_after", -1.0, "be a number of seconds >= 0 and finite"),
        ("max_elapsed", 0.0, "be a number of seconds > 0 and finite or None"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(field: str, value: Any, must: str) -> None:
    settings: dict[str, Any] = {field: value}
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**settings)
    assert str(caught.value) == f"RetryPolicy: {field} must {must}, not {value!r}"


def test_what_reads_retry_after_is_a_plain_function() -> None:
    wrong: Any = later
    with pytest.raises(TypeError, match="retry_after"):
        RetryPolicy(retry_after=wrong)


@pytest.mark.parametrize("backoff", [later, float], ids=["async", "class"])
def test_a_backoff_is_a_plain_function(backoff: Any) -> None:
    with pytest.raises(ValueError, match="or a plain function, not"):
        RetryPolicy(backoff=backoff)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"base_delay": 31.0},
            "RetryPolicy: base_delay must be <= max_delay=30.0, not 31.0",
        ),
        (
            {"jitter_kind": "decorrelated", "backoff": "linear"},
            (
                "RetryPolicy: backoff must be left out with jitter_kind='decorrelated', "
                "which grows by itself, not 'linear'"
            ),
        ),
        ({"on": (3,)}, f"RetryPolicy: on {ERRORS} (3,)"),
        ({"ignore": "x"}, f"RetryPolicy: ignore {ERRORS} 'x'"),
        (
            {"on": (ValueError, CircuitOpenError)},
            (
                f"RetryPolicy: on {ERRORS} CircuitOpenError: say on_rejected='retry' "
                "or on_rejected='wait'"
            ),
        ),
        ({"on": ExceptionGroup}, f"RetryPolicy: on {ERRORS} ExceptionGroup: {LEAVES}"),
        ({"ignore": ExceptionGroup}, f"RetryPolicy: ignore {ERRORS} ExceptionGroup: {LEAVES}"),
    ],
)
def test_settings_that_make_no_sense_together(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        RetryPolicy(**settings)
    assert str(caught.value) == text


@pytest.mark.parametrize("field", ["jitter_first", "budget"])
def test_a_setting_of_another_type_is_refused(field: str) -> None:
    settings: dict[str, Any] = {field: 3}
    with pytest.raises(TypeError, match=field):
        RetryPolicy(**settings)


def test_what_counts_is_a_class_classes_or_a_function() -> None:
    RetryPolicy(on=ValueError, ignore=(UnicodeError, RejectedError))
    RetryPolicy(on=lambda error: "busy" in str(error), base_delay=30.0, max_delay=30.0)


@pytest.mark.parametrize(
    ("settings", "must"),
    [
        ({"ratio": 1.5}, "ratio must be a number >= 0 and <= 1, not 1.5"),
        ({"reserve": -1}, "reserve must be a whole number >= 0, not -1"),
        ({"window": 0.0}, "window must be a number of seconds > 0 and finite, not 0.0"),
    ],
)
def test_a_budget_that_makes_no_sense(settings: dict[str, Any], must: str) -> None:
    with pytest.raises(ValueError) as caught:
        RetryBudget("llm", **settings)
    assert str(caught.value) == f"RetryBudget: {must}"
