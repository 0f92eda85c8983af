"""Guards of drawn settings, as steps have them.

Layer: testing.
"""

from __future__ import annotations

from typing import Any, Final

from ...robustness import (
    AdaptiveLimit,
    Bulkhead,
    CircuitBreaker,
    Guard,
    RateLimiter,
    pipeline,
)
from ._hypothesis import DrawFn, SearchStrategy, st
from ._policies import (
    adaptive_limit_policies,
    bulkhead_policies,
    circuit_policies,
    token_bucket_policies,
    window_policies,
)

__all__ = ["guards"]

_KINDS: Final = ("places", "breaker", "limiter", "limit")


def guards(*, longest: float = 10.0, most: int = 3) -> SearchStrategy[list[Guard]]:
    """Guards for a step, the outermost first: bulkheads, breakers, rate and adaptive limits; some within a pipeline.

    No two are of one kind, and each is called what it is for: ``places``, ``breaker``, ``limiter``, ``limit``, ``pipeline``.
    Nothing in them is left to chance. Shrinks to none, and then to a bulkhead with a single place.

    Args:
        longest: at most so many seconds for each setting that is a time, unless it is any time.
        most: at most so many, those in a pipeline included; 4 at the most.
    """
    return _guards(longest, most)


@st.composite
def _guards(draw: DrawFn, longest: float, most: int) -> list[Guard]:
    names = draw(st.lists(st.sampled_from(_KINDS), max_size=most, unique=True))
    found = [_guard(draw, name, longest) for name in names]
    if len(found) > 1 and draw(st.booleans()):
        apart = draw(st.integers(0, len(found) - 1))  # so many stand before the pipeline
        return [*found[:apart], pipeline(*found[apart:])]
    return found


def _guard(draw: DrawFn, name: str, longest: float) -> Guard:
    match name:
        case "breaker":
            return CircuitBreaker(name, draw(circuit_policies(longest=longest, exact=True)))
        case "limiter":
            policies: Any = window_policies(longest=longest)
            return RateLimiter(name, draw(policies | token_bucket_policies(longest=longest)))
        case "limit":
            return AdaptiveLimit(name, draw(adaptive_limit_policies(longest=longest)))
        case _:
            return Bulkhead(name, draw(bulkhead_policies(longest=longest)))
