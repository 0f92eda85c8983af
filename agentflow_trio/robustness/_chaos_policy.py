"""The settings of chaos: frozen, checked where they are written.

Layer: robustness. Plain data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, final

import attrs

from .._typing import TypeIs
from ._bounds import Number
from ._verdict_core import is_async

__all__ = ["SHARE", "ChaosPolicy", "MakesError"]

MakesError: TypeAlias = Callable[[], Exception]
"""A class of errors, or a plain function that makes one: each body that is struck gets an error of its own."""

SHARE: Final = Number(what="", at_most=1.0)
_SECONDS: Final = Number()


@final
@attrs.frozen(kw_only=True)
class ChaosPolicy:
    """How many bodies are struck, and what goes wrong with one that is.

    Attributes:
        rate: this share of bodies is struck, 0 (never) to 1 (always).
        latency: so many seconds before the body, >= 0; or two, and it is any number between them. Default: none.
        behaviour: an async function that is called then, as to close a connection. What it raises is raised.
        errors: a class of errors or a plain function that makes one, or a tuple of them, each at the same odds: write
            one twice for twice the odds. It is raised in the body's place. Default: none.
        when: a plain function that is asked first; if it says no, the body is left alone and nothing is drawn.
            If it raises, that is a `RuleFailed` event, and a no.
    """

    rate: float = attrs.field(validator=SHARE)
    latency: float | tuple[float, float] = 0.0
    behaviour: Callable[[], Awaitable[object]] | None = None
    errors: MakesError | tuple[MakesError, ...] = ()
    when: Callable[[], bool] | None = None

    def __attrs_post_init__(self) -> None:
        _check_latency(self.latency)
        errors: object = self.errors
        for maker in errors if _is_tuple(errors) else (errors,):
            _check_maker(maker)
        if self.behaviour is not None and not callable(self.behaviour):
            raise TypeError(
                f"ChaosPolicy: behaviour must be an async function, not {self.behaviour!r}"
            )
        when: object = self.when
        if when is not None and (not callable(when) or is_async(when)):
            raise TypeError(f"ChaosPolicy: when must be a plain function, not {when!r}")

    @property
    def makers(self) -> tuple[MakesError, ...]:
        """What makes the errors, as a tuple."""
        errors = self.errors
        return (errors,) if callable(errors) else errors

    @property
    def bounds(self) -> tuple[float, float]:
        """The shortest and the longest latency, in seconds."""
        return self.latency if isinstance(self.latency, tuple) else (self.latency, self.latency)


def _check_latency(latency: object) -> None:
    if not _is_tuple(latency):
        _SECONDS.check("ChaosPolicy", "latency", latency)
        return
    if len(latency) != 2:  # noqa: PLR2004 - the two are the point
        raise ValueError(
            f"ChaosPolicy: latency must be seconds or two of them, not {latency!r}"
        )
    shortest, longest = latency
    _SECONDS.check("ChaosPolicy", "latency[0]", shortest)
    least = shortest if isinstance(shortest, int | float) else 0.0
    Number(at_least=least).check("ChaosPolicy", "latency[1]", longest)


def _check_maker(maker: object) -> None:
    if isinstance(maker, BaseException):
        hint = f"write errors={type(maker).__name__}, or lambda: {maker!r}"
        raise TypeError(f"ChaosPolicy: an error of its own is made for each body; {hint}")
    if not _makes_errors(maker):
        raise TypeError(
            f"ChaosPolicy: errors must be classes of Exceptions or plain functions, not {maker!r}"
        )


def _makes_errors(maker: object) -> bool:
    if isinstance(maker, type):
        return issubclass(maker, Exception)
    return callable(maker) and not is_async(maker)


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)
