"""How Hypothesis shows what was drawn: as code that makes it again, without what goes without saying.

Layer: testing. Registered by name with Hypothesis' printer when the package is imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import attrs
from typing_extensions import TypeIs

from ...robustness import (
    AdaptiveDelay,
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    AdaptiveTimeout,
    Bulkhead,
    BulkheadPolicy,
    CachePolicy,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Hedge,
    HedgePolicy,
    Pipeline,
    PoolPolicy,
    Rate,
    RateLimiter,
    RetryBudget,
    RetryPolicy,
    TokenBucketPolicy,
    WindowPolicy,
)
from ...types import Secret
from .._faults import Delay, LostReply
from ._hypothesis import (
    DrawFn,
    RepresentationPrinter,
    SearchStrategy,
    for_type_by_name,
    st,
)

__all__ = ["as_code", "made"]

_SETTINGS: Final = (
    AdaptiveDelay,
    AdaptiveLimitPolicy,
    AdaptiveTimeout,
    BulkheadPolicy,
    CachePolicy,
    ChaosPolicy,
    CircuitPolicy,
    HedgePolicy,
    PoolPolicy,
    Rate,
    RetryBudget,
    RetryPolicy,
    TokenBucketPolicy,
    WindowPolicy,
)


_GUARDS: Final = (AdaptiveLimit, Bulkhead, CircuitBreaker, RateLimiter)

_DRAWN: Final = re.compile(r"secret-\d")


Value = TypeVar("Value")


@st.composite  # and no builds, which would have Hypothesis show every argument, as it was drawn
def made(
    draw: DrawFn, /, kind: Callable[..., Value], **arguments: SearchStrategy[object]
) -> Value:
    """What *kind* makes of arguments that are drawn; shown as below."""
    return kind(**{name: draw(argument) for name, argument in arguments.items()})


def as_code(value: object) -> str:
    """*value* as one would write it: of settings, those that are not the default."""
    if isinstance(value, _SETTINGS):
        return f"{type(value).__name__}({', '.join(_given(value))})"
    if isinstance(value, _GUARDS):
        return f"{type(value).__name__}({value.name!r}, {as_code(value.policy)})"
    if isinstance(value, Hedge):
        return f"Hedge({as_code(value.policy)})"
    if isinstance(value, Pipeline):
        return f"pipeline({', '.join(map(as_code, value.members))})"
    return _plain(value)


def _plain(value: object) -> str:
    if _is_tuple(value):
        return _tuple([as_code(each) for each in value])
    if isinstance(value, type):
        return value.__name__
    return "math.inf" if value == math.inf else repr(value)


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def _tuple(parts: Sequence[str]) -> str:
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def _given(settings: attrs.AttrsInstance) -> Iterator[str]:
    for field in attrs.fields(type(settings)):
        value = getattr(settings, field.name)
        if not field.kw_only:
            yield as_code(value)
        elif value != field.default:
            yield f"{field.name}={as_code(value)}"


def _show(value: object, printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: ARG001, FBT001 - as Hypothesis calls it
    printer.text(as_code(value))


def _show_secret(secret: Secret, printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: ARG001, FBT001 - the same
    """One that was drawn, which is none; any other stays hidden."""
    text = secret.reveal()
    printer.text(f"Secret({text!r})" if _DRAWN.fullmatch(text) else repr(secret))


for_type_by_name(Secret.__module__, Secret.__name__, _show_secret)

for _kind in (*_SETTINGS, *_GUARDS, Hedge, Pipeline, Delay, LostReply):
    for_type_by_name(_kind.__module__, _kind.__name__, _show)
