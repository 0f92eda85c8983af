"""What kind of failure an error is: what is known of it, what rules say, and of a group the kind that helps least."""

from __future__ import annotations

import errno
from typing import Any, get_args

import pytest
import trio

from agentflow_trio import (
    BulkheadFullError,
    CircuitOpenError,
    CodecError,
    DeadlineExceededError,
    ErrorKind,
    GuardReentryError,
    MaxVisitsError,
    RecoveryRule,
    RetryPolicy,
    StepEndedError,
    WrongExitError,
    classify,
    of_kind,
)


class BusyError(Exception):
    retry_after = 0.5


class StatusError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


KINDS: list[tuple[Exception, ErrorKind]] = [
    (CircuitOpenError(guard="b", reason="open", retry_after=1.0), "rejected"),
    (BulkheadFullError(guard="b", reason="full"), "rejected"),
    (DeadlineExceededError(limit="l", seconds=1.0), "timeout"),
    (trio.TooSlowError(), "timeout"),
    (TimeoutError(), "timeout"),
    (ConnectionResetError(), "transient"),
    (BrokenPipeError(), "transient"),
    (trio.BrokenResourceError(), "transient"),
    (BusyError(), "transient"),
    *(
        (OSError(number, "no"), "transient")
        for number in (
            *(errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EMFILE, errno.ENFILE),
            *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.ENOBUFS),
            *(errno.EHOSTUNREACH, errno.EHOSTDOWN),
        )
    ),
    (FileNotFoundError(), "permanent"),
    (OSError(errno.ENOSPC, "full"), "permanent"),
    (RuntimeError(), "permanent"),
    (Exception(), "permanent"),
    (MaxVisitsError(step="s", max_visits=1), "permanent"),
    (ValueError(), "invalid"),
    (UnicodeDecodeError("utf-8", b"", 0, 1, "bad"), "invalid"),
    (CodecError(kind="Article", mismatches=()), "invalid"),
    (TypeError(), "bug"),
    (KeyError(), "bug"),
    (IndexError(), "bug"),
    (AssertionError(), "bug"),
    (AttributeError(), "bug"),
    (NameError(), "bug"),
    (NotImplementedError(), "bug"),
    (RecursionError(), "bug"),
    (ImportError(), "bug"),
    (SyntaxError(), "bug"),
    (WrongExitError(step="s", returned="None", exits=("a",)), "bug"),
    (GuardReentryError(guard="b"), "bug"),
    (StepEndedError(path="f/s"), "bug"),
]


@pytest.mark.parametrize(
    ("error", "kind"),
    KINDS,
    ids=[f"{type(error).__name__}{n}" for n, (error, _) in enumerate(KINDS)],
)
def test_what_is_known(error: Exception, kind: ErrorKind) -> None:
    assert classify(error) == kind


def test_of_a_group_the_kind_that_helps_least_counts() -> None:
    in_order = [
        BusyError(),
        TimeoutError(),
        CircuitOpenError(guard="b", reason="open"),
        RuntimeError(),
        ValueError(),
        TypeError(),
    ]
    assert [classify(error) for error in in_order] == [*get_args(ErrorKind)]
    for number, error in enumerate(in_order):
        group = ExceptionGroup("", [error, ExceptionGroup("", in_order[: number + 1])])
        assert classify(group) == get_args(ErrorKind)[number]


def test_the_first_rule_that_fits_decides() -> None:
    def is_ours(error: Exception) -> bool:
        return isinstance(error, StatusError) and error.code >= 500

    rules = (
        RecoveryRule(is_ours, "transient"),
        RecoveryRule((StatusError, KeyError), "permanent"),
        RecoveryRule(Exception, "bug"),
    )
    assert classify(StatusError(503)) == "permanent"
    assert classify(StatusError(503), *rules) == "transient"
    assert classify(StatusError(404), *rules) == "permanent"
    assert classify(KeyError(), *rules) == "permanent"
    assert classify(TimeoutError(), *rules) == "bug"
    assert (
        classify(ExceptionGroup("", [StatusError(503), StatusError(404)]), *rules)
        == "permanent"
    )


def test_a_rule_that_raises_says_nothing() -> None:
    def broken(error: Exception) -> bool:
        raise RuntimeError

    assert classify(ValueError(), RecoveryRule(broken, "transient")) == "invalid"


def test_a_policy_asks_for_kinds() -> None:
    test = of_kind("transient", "timeout", rules=[RecoveryRule(StatusError, "timeout")])
    assert [
        test(error) for error in (BusyError(), TimeoutError(), StatusError(1), ValueError())
    ] == [*(True, True, True, False)]
    assert RetryPolicy(on=test).on is test


def test_what_makes_no_sense_is_refused() -> None:
    words = "'transient', 'timeout', 'rejected', 'permanent', 'invalid', 'bug'"
    unknown: Any = "fatal"
    with pytest.raises(ValueError, match=r"^RecoveryRule: kind must be one of ") as caught:
        RecoveryRule(ValueError, unknown)
    assert str(caught.value) == f"RecoveryRule: kind must be one of {words}, not 'fatal'"
    no_errors: Any = 3
    with pytest.raises(ValueError, match=r"^RecoveryRule: errors must be ") as caught:
        RecoveryRule(no_errors, "bug")
    must = "classes of Exceptions or a plain function"
    assert str(caught.value) == f"RecoveryRule: errors must be {must}, not 3"
    with pytest.raises(ValueError, match=r"^of_kind: ") as caught:
        of_kind("bug", unknown, "bug", unknown)
    assert str(caught.value) == f"of_kind: kinds must be some of {words}, not 'fatal', 'fatal'"
    with pytest.raises(ValueError, match=r"^of_kind: ") as caught:
        of_kind()
    assert str(caught.value) == f"of_kind: kinds must be some of {words}, not nothing"
