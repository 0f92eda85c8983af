"""What kind of failure an error is, which decides what may help: the seed's "classification".

Layer: robustness, a core: sans-IO, no clock. Rules: a rule of the user's comes before what is known here; of a group the
kind that helps least counts, for all of it must be dealt with.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, get_args

import attrs
import trio

from ..errors import (
    DeadlineExceededError,
    DefinitionError,
    GuardMisuseError,
    NoStepError,
    NotAwaitableError,
    PoolClosedError,
    RejectedError,
    ResourceError,
    SelfWaitError,
    StateForkError,
    StateTypeError,
    StepEndedError,
    WrongExitError,
    WrongItemsError,
    WrongOutputsError,
)
from ._retry_core import retry_after_of
from ._verdict_core import Errors, Judge, leaves_of

__all__ = ["ErrorKind", "RecoveryRule", "classify", "of_kind"]

ErrorKind: TypeAlias = Literal[
    "transient", "timeout", "rejected", "permanent", "invalid", "bug"
]
"""What may help: trying again; trying again, or a longer limit; waiting for the guard; nothing but a fallback or another
way; another input; a change of the program. In this order: of a group, the last kind counts."""

_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)


def _is_kind(_: object, __: object, value: object) -> None:
    if value not in _KINDS:
        words = ", ".join(map(repr, _KINDS))
        raise ValueError(f"RecoveryRule: kind must be one of {words}, not {value!r}")


def _are_errors(_: object, __: object, value: Errors) -> None:
    try:
        Judge(value)
    except TypeError:
        must = "classes of Exceptions or a plain function"
        raise ValueError(f"RecoveryRule: errors must be {must}, not {value!r}") from None


@attrs.frozen
class RecoveryRule:
    """These errors are of that kind: ``RecoveryRule(HTTPStatusError, "transient")``.

    Attributes:
        errors: a class, a tuple of classes, or a plain function of the error. A function that raises says no.
        kind: what they are.
    """

    errors: Errors = attrs.field(validator=_are_errors)
    kind: ErrorKind = attrs.field(validator=_is_kind)

    def fits(self, error: Exception, /) -> bool:
        """Whether it says something of *error*. Not a checkpoint; never raises."""
        kinds = self.errors
        if isinstance(kinds, type | tuple):
            return isinstance(error, kinds)
        try:
            return bool(kinds(error))
        except Exception:  # noqa: BLE001 - a rule of the user's must not hide the error that is asked about
            return False


def classify(error: Exception, /, *rules: RecoveryRule) -> ErrorKind:
    """What kind of failure *error* is. Not a checkpoint; never raises.

    The first of *rules* that fits decides; else, in this order: a `RejectedError` is "rejected"; a limit of time that
    ran out is "timeout"; whatever has a ``retry_after``, connections that fail and what the system may do next time
    are "transient"; misuse of Python or of this package is a "bug"; a `ValueError` is "invalid"; all else "permanent".

    Args:
        error: of a group, each leaf is asked about, and the kind that helps least counts.
        rules: what this program knows better.
    """
    leaves = [leaf for leaf in leaves_of(error) if isinstance(leaf, Exception)]
    worst = max(_KINDS.index(_kind_of(leaf, rules)) for leaf in leaves)
    return _KINDS[worst]


def of_kind(
    *kinds: ErrorKind, rules: Sequence[RecoveryRule] = ()
) -> Callable[[Exception], bool]:
    """Make a test for guards and retries: ``RetryPolicy(on=of_kind("transient", "timeout"))``.

    Args:
        kinds: those for which it is true, at least one.
        rules: as for `classify`.

    Raises:
        ValueError: there is no kind of that name, or none was given.
    """
    wrong = [kind for kind in kinds if kind not in _KINDS]
    if wrong or not kinds:
        words = ", ".join(map(repr, _KINDS))
        given = ", ".join(map(repr, wrong)) or "nothing"
        raise ValueError(f"of_kind: kinds must be some of {words}, not {given}")
    known = tuple(rules)

    def is_of_kind(error: Exception, /) -> bool:
        return classify(error, *known) in kinds

    return is_of_kind


def _kind_of(error: Exception, rules: Sequence[RecoveryRule]) -> ErrorKind:
    for rule in rules:
        if rule.fits(error):
            return rule.kind
    for known, kind in _KNOWN:
        if isinstance(error, known):
            return kind
    if isinstance(error, OSError):
        return "transient" if error.errno in _PASSING else "permanent"
    if retry_after_of(error) > 0.0:
        return "transient"
    return _last_resort(error)


def _last_resort(error: Exception) -> ErrorKind:
    if isinstance(error, _BUGS):
        return "bug"
    return "invalid" if isinstance(error, ValueError) else "permanent"


_KNOWN: Final[tuple[tuple[tuple[type[Exception], ...], ErrorKind], ...]] = (
    ((RejectedError,), "rejected"),
    ((DeadlineExceededError, trio.TooSlowError, TimeoutError), "timeout"),
    ((ConnectionError, trio.BrokenResourceError), "transient"),
)

_PASSING: Final = frozenset({
    errno.EAGAIN,
    errno.EINTR,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENOBUFS,
})
"""What the system may well do next time."""

_BUGS: Final = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    DefinitionError,
    GuardMisuseError,
    NoStepError,
    NotAwaitableError,
    PoolClosedError,
    ResourceError,
    SelfWaitError,
    StateForkError,
    StateTypeError,
    StepEndedError,
    WrongExitError,
    WrongItemsError,
    WrongOutputsError,
)
"""What no other input and no other moment will mend."""
