"""How a retry behaves: plain settings, checked where they are written.

Layer: robustness. Rule: a setting that makes no sense is an error that names the field and its bound.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypeAlias, final

import attrs

from .._typing import override
from ._bounds import Bound, Number, Whole
from ._budget_core import RetryBudget
from ._verdict_core import Errors, check_errors, check_plain

__all__ = ["Backoff", "JitterKind", "OnRejected", "RetryPolicy"]

Backoff: TypeAlias = Literal["exponential", "linear", "constant"] | Callable[[int], float]
"""How delays grow. A function is given the number of the attempt to come, 2 at first, and returns seconds."""

JitterKind: TypeAlias = Literal["ratio", "none", "full", "equal", "decorrelated"]
"""What chance makes of a delay d: d ± jitter * d; d; 0 to d; d/2 to d; base_delay to three times the delay before."""

OnRejected: TypeAlias = Literal["raise", "retry", "wait"]
"""What is done when another guard did not let the body run."""


@final
@attrs.frozen
class _OneOf(Bound):
    """One of these words; with *or_function*, also a plain function."""

    words: tuple[str, ...]
    or_function: bool = False

    @override
    def holds(self, value: object, /) -> bool:
        if self.or_function and callable(value):
            return not (isinstance(value, type) or inspect.iscoroutinefunction(value))
        return value in self.words

    @override
    def __str__(self) -> str:
        words = ", ".join(map(repr, self.words))
        return f"one of {words}{' or a plain function' if self.or_function else ''}"


@final
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When to try again, and after how long.

    Before attempt k a retry sleeps ``min(base_delay * multiplier ** (k - 2), max_delay)``, and from k = 3 on ``jitter``
    of that more or less: by default 0, 0.1, 0.2 ± 0.02, 0.4 ± 0.04 ... seconds. The cap comes first, so the longest
    delay is ``max_delay * (1 + jitter)``.

    Attributes:
        max_attempts: how often the body may run, the first time included, >= 1.
        base_delay: seconds before attempt 2, >= 0.
        multiplier: how much longer each delay is than the one before, >= 1; for "exponential" only.
        max_delay: seconds, the cap before jitter, >= ``base_delay``.
        jitter: share of the delay, 0 to 1; for the kind "ratio" only.
        jitter_kind: "ratio"; "none"; "full", 0 to the delay; "equal", half the delay to all of it; "decorrelated",
            ``base_delay`` to three times the delay before.
        jitter_first: whether "ratio" disturbs the delay before attempt 2 too. Default: no, as in the seed's table.
        backoff: "exponential"; "linear", ``base_delay * (k - 1)``; "constant"; or a plain function of k that returns
            seconds >= 0, capped like the others. If it raises or returns anything else, the body's error is raised.
        on: the errors that are tried again: a class, a tuple of classes or a function of the error. A group is if each
            of its leaves is. Cancellation never is.
        ignore: the errors that are not, even if they are ``on``.
        on_rejected: what to do with a `RejectedError`: "raise" it; "retry" it like any other error, whatever ``on``
            says; or "wait" its ``retry_after``, which spends no attempt (it does if nobody can tell how long).
        retry_after: a plain function of an error that returns the seconds >= 0 it asks for, or None if it does not say:
            a header of a response, for example. Default, and after None: the error's own ``retry_after``, if that is a
            number. The delay is no shorter than that. If the function fails, the body's error is raised.
        max_retry_after: seconds, >= 0. If an error asks for a longer wait than this, the retry gives up at once.
        max_elapsed: seconds, > 0. No attempt begins this long after the first one began, or later. Default: any time.
        budget: the budget that pays for retries. Default: none, they are free.
    """

    max_attempts: int = attrs.field(default=3, validator=Whole(1))
    base_delay: float = attrs.field(default=0.1, validator=Number())
    multiplier: float = attrs.field(default=2.0, validator=Number(what="", at_least=1.0))
    max_delay: float = attrs.field(default=30.0, validator=Number())
    jitter: float = attrs.field(default=0.1, validator=Number(what="", at_most=1.0))
    jitter_kind: JitterKind = attrs.field(
        default="ratio", validator=_OneOf(("ratio", "none", "full", "equal", "decorrelated"))
    )
    jitter_first: bool = attrs.field(
        default=False, validator=attrs.validators.instance_of(bool)
    )
    backoff: Backoff = attrs.field(
        default="exponential",
        validator=_OneOf(("exponential", "linear", "constant"), or_function=True),
    )
    on: Errors = (Exception,)
    ignore: Errors = ()
    on_rejected: OnRejected = attrs.field(
        default="raise", validator=_OneOf(("raise", "retry", "wait"))
    )
    retry_after: Callable[[Exception], float | None] | None = None
    max_retry_after: float = attrs.field(default=60.0, validator=Number())
    max_elapsed: float | None = attrs.field(
        default=None, validator=Number(above=0.0, optional=True)
    )
    budget: RetryBudget | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of(RetryBudget)),
    )

    def __attrs_post_init__(self) -> None:
        instead = "say on_rejected='retry' or on_rejected='wait'"
        check_errors("RetryPolicy: on", self.on, rejected=instead)
        check_errors("RetryPolicy: ignore", self.ignore)
        if self.retry_after is not None:
            check_plain("retry_after", self.retry_after)
        if self.base_delay > self.max_delay:
            raise ValueError(
                f"RetryPolicy: base_delay must be <= max_delay={self.max_delay!r}, "
                f"not {self.base_delay!r}"
            )
        if self.jitter_kind == "decorrelated" and self.backoff != "exponential":
            raise ValueError(
                "RetryPolicy: backoff must be left out with jitter_kind='decorrelated', "
                f"which grows by itself, not {self.backoff!r}"
            )
