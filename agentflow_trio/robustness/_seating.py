"""Which member is what, as far as its place in a pipeline matters.

Layer: robustness. Rule: members are known by the names of their classes, so that a pipeline of two guards does not load
all the others, which take five times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._typing import TypeIs
from ..errors import Problem
from ._guard import Guard, Member
from ._pipeline_core import Kind, Seat

__all__ = [
    "is_guard",
    "is_member",
    "judges_results",
    "kind_of",
    "own_limit",
    "seat_of",
    "stranger",
]


def is_guard(value: object) -> TypeIs[Guard]:
    """Whether *value* can be entered around a body, and lends nothing."""
    phases = all(hasattr(value, name) for name in ("__aenter__", "__aexit__", "name"))
    return phases and not isinstance(value, type) and _class_of(value) not in _POOLS


def is_member(value: object) -> TypeIs[Guard | Member[object]]:
    """Whether *value* can stand in a pipeline."""
    return isinstance(value, Member) or is_guard(value)


def kind_of(member: Guard | Member[object]) -> Kind:
    """What *member* does."""
    return _KINDS.get(_class_of(member), "guard" if is_guard(member) else "member")


def seat_of(member: Guard | Member[object]) -> Seat:
    """The place of *member*."""
    seat = Seat(kind_of(member), member.name, member)
    known: Any = member
    match seat.kind:
        case "fallback":
            return seat._replace(catches_all=Exception in known.on)
        case "timeout" if not known.adaptive:
            return seat._replace(seconds=known.seconds)
        case "retry" | "hedge" if known.policy.budget is not None:
            return seat._replace(budget=known.policy.budget.name)
        case _:
            return seat


def own_limit(guard: Guard) -> Guard:
    """What is entered for *guard*: of a timeout, one whose cutting off is a failure for the guards inside it."""
    known: Any = guard
    own: Guard = known.as_own_limit() if kind_of(guard) == "timeout" else guard
    return own


def judges_results(guard: Guard) -> bool:
    """Whether the permit of *guard* can tell of a result whether it is a failure."""
    known: Any = guard
    may = kind_of(guard) in {"breaker", "adaptive limit"}
    return may and known.policy.failed_result is not None


def stranger(value: object) -> Problem:
    """What to say of *value*, which is no member."""
    sentence = f"members must be guards, or what repeats or replaces a body, not {value!r}"
    hint = _INSTEAD.get(_class_of(value), "a guard has a name and is entered with 'async with'")
    if isinstance(value, type):
        hint = f"write {value.__name__}(...)"
    return Problem("not_a_member", "", sentence, hint)


def _class_of(value: object) -> str:
    """The name of the class of *value*, if it is one of this package's."""
    sort = type(value)
    return sort.__name__ if sort.__module__.startswith(f"{__package__}.") else ""


_POOLS: Final = ("OpenPool", "ResourcePool")

_KINDS: Final[Mapping[str, Kind]] = {
    "AdaptiveLimit": "adaptive limit",
    "Bulkhead": "bulkhead",
    "Chaos": "chaos",
    "ChaosOutcome": "chaos",
    "CircuitBreaker": "breaker",
    "Fallback": "fallback",
    "Hedge": "hedge",
    "LoadShedder": "load shedder",
    "RateLimiter": "limiter",
    "Retry": "retry",
    "Timeout": "timeout",
    "WeightedEntry": "limiter",
}

_INSTEAD: Final = {
    "HedgePolicy": "write Hedge(policy)",
    "KeyedRateLimiter": "say whose it is: limits.of(user)",
    "RetryPolicy": "write Retry(policy)",
    **dict.fromkeys(
        _POOLS, "it lends something, which a pipeline cannot pass on: lend in the body"
    ),
}
