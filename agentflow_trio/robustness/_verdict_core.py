"""What a guard concludes of a body: success, failure, ignored or cancelled. Decided once for all guards.

Layer: robustness, a core: sans-IO, no clock; of Trio it knows one word, the class `trio.Cancelled`. Rules: any
Cancelled leaf means cancelled, which is no verdict; what is no `Exception` and what another guard rejected is
ignored; a group is a failure if any leaf is one; ``ignore`` wins over ``record``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias, final

import trio

from .._typing import TypeIs
from ..errors import LoadFailedError, RejectedError

__all__ = [
    "Errors",
    "Judge",
    "Verdict",
    "check_errors",
    "check_plain",
    "is_async",
    "is_cancelled",
    "is_group",
    "leaves_of",
]

Verdict: TypeAlias = Literal["success", "failure", "ignored", "cancelled"]
"""What a guard concludes of a body."""

Errors: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which errors: a class, a tuple of classes, or a plain function that is asked about each leaf."""

NO_FAULT: Final = (RejectedError,)
"""Errors that say nothing about what the body wanted to reach."""


@final
class Judge:
    """Tells verdicts by ``record`` and ``ignore``. One per guard; it holds nothing that changes.

    A function that raises is no reason to lose the body's error: the leaf counts as *unsure* says, and *complain* is
    told what the function raised.
    """

    __slots__ = ("_complain", "_ignores", "_records", "_unsure")

    def __init__(
        self,
        record: Errors = (Exception,),
        ignore: Errors = (),
        *,
        unsure: Verdict = "failure",
        complain: Callable[[Exception], object] | None = None,
    ) -> None:
        """Make a judge.

        Raises:
            TypeError: *record* or *ignore* is neither classes of errors nor a plain function.
        """
        self._records = _test_of("record", record)
        self._ignores = _test_of("ignore", ignore)
        self._unsure: Verdict = unsure
        self._complain = complain

    def verdict(self, error: BaseException | None, /) -> Verdict:
        """What a body that ended with *error* comes to; None is success. Never raises."""
        if error is None:
            return "success"
        if is_cancelled(error):
            return "cancelled"
        found = [self._leaf(leaf) for leaf in leaves_of(error)]
        return "failure" if "failure" in found else "ignored"

    def every(self, error: BaseException, /) -> bool:
        """Whether each leaf of *error* counts as a failure: the rule by which a group is retried. Never raises."""
        return all(self._leaf(leaf) == "failure" for leaf in leaves_of(error))

    def _leaf(self, leaf: BaseException) -> Verdict:
        if not isinstance(leaf, Exception) or isinstance(leaf, NO_FAULT):
            return "ignored"
        try:
            counts = not self._ignores(leaf) and self._records(leaf)
        except Exception as wrong:  # noqa: BLE001 - a rule of the user's must not hide the body's error
            if self._complain is not None:
                self._complain(wrong)
            return self._unsure
        return "failure" if counts else "ignored"


def is_cancelled(error: BaseException, /) -> bool:
    """Whether *error* is a cancellation, or a group with one in it."""
    if is_group(error):
        return any(is_cancelled(each) for each in error.exceptions)
    return isinstance(error, trio.Cancelled)


def leaves_of(error: BaseException, /) -> Iterator[BaseException]:
    """The errors in a group, in order; of a load that others shared, the error it failed with; of anything else, itself."""
    if is_group(error):
        for each in error.exceptions:
            yield from leaves_of(each)
    elif isinstance(error, LoadFailedError) and error.__cause__ is not None:
        yield from leaves_of(error.__cause__)
    else:
        yield error


def is_group(error: BaseException, /) -> TypeIs[BaseExceptionGroup[BaseException]]:
    """Whether *error* is an exception group."""
    return isinstance(error, BaseExceptionGroup)


def is_async(function: Callable[..., object], /) -> bool:
    """Whether *function* returns a coroutine, which would count as true, whatever it came to."""
    layers = (function, getattr(type(function), "__call__", None))  # noqa: B004 - how it is called
    return any(map(inspect.iscoroutinefunction, layers))


def check_errors(what: str, errors: Errors, /, *, rejected: str = "") -> None:
    """Make sure that *errors*, which a policy calls *what*, can be what is tried again.

    Args:
        what: owner and field.
        errors: what was given.
        rejected: why there may be no `RejectedError` among them, and what to do; empty: there may.

    Raises:
        ValueError: they can not.
    """
    but = ""
    try:
        Judge(errors)
    except TypeError:
        but = f"not {errors!r}"
    else:
        for kind in _classes(errors):
            if issubclass(kind, BaseExceptionGroup):
                but = f"not {kind.__name__}: each of its leaves is asked about; name their classes"
            elif rejected and issubclass(kind, RejectedError):
                but = f"not {kind.__name__}: {rejected}"
    if but:
        must = "be a class or a tuple of classes of Exceptions, or a plain function"
        raise ValueError(f"{what} must {must}, {but}")


def _classes(errors: Errors) -> tuple[type[Exception], ...]:
    if isinstance(errors, type):
        return (errors,)
    return () if callable(errors) else errors


def check_plain(name: str, function: object) -> None:
    """Make sure that *function*, which is to be called *name* in the error, can be called and not only awaited.

    Raises:
        TypeError: it is no plain function.
    """
    if not callable(function) or is_async(function):
        raise TypeError(f"{name} must be a plain function, not {function!r}")


def _test_of(name: str, errors: Errors) -> Callable[[Exception], bool]:
    kinds: object = (errors,) if isinstance(errors, type) else errors
    if _is_tuple(kinds):
        classes = tuple(kind for kind in kinds if _is_error_class(kind))
        if len(classes) < len(kinds):
            raise TypeError(f"{name} must be classes of Exceptions, not {errors!r}")
        return _IsOne(classes)
    if isinstance(errors, type | tuple) or not callable(errors):
        raise TypeError(f"{name} must be classes of Exceptions or a function, not {errors!r}")
    if is_async(errors):
        raise TypeError(f"{name} must be a plain function, not {errors!r}")
    return errors


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def _is_error_class(kind: object) -> TypeIs[type[Exception]]:
    return isinstance(kind, type) and issubclass(kind, Exception)


@final
class _IsOne:
    """Whether an error is of one of the classes."""

    __slots__ = ("_kinds",)

    def __init__(self, kinds: tuple[type[Exception], ...]) -> None:
        self._kinds = kinds

    def __call__(self, error: Exception, /) -> bool:
        return isinstance(error, self._kinds)
