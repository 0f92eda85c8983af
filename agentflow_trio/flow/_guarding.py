"""What is wrong with ``retry=`` and ``guards=``: each by itself, and where guards meet.

Layer: flow. Loaded when a step is made that has some. Rule: what cannot work, or could never do what it is for, is an
error where it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from .._typing import TypeIs
from ..errors import Problem
from ..robustness import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Guard,
    Member,
    OpenPool,
    ResourcePool,
    RetryPolicy,
    Timeout,
)

if TYPE_CHECKING:
    from ._policies import Policies

__all__ = ["guard_problems", "hang_problems", "is_exclusive", "retry_problems"]

_HOW: Final = 'write guards=(CircuitBreaker("search"),)'


def retry_problems(step: str, value: object) -> Iterator[Problem]:
    """Whether *value* can be the retry of the step called *step*."""
    if isinstance(value, RetryPolicy):
        return
    hint = "write retry=RetryPolicy(max_attempts=5)"
    if isinstance(value, Member):
        hint = "a policy holds no count of its own: write retry=RetryPolicy(...)"
    yield Problem("bad_policy", step, f"retry must be a RetryPolicy, not {value!r}", hint)


def guard_problems(step: str, value: object) -> Iterator[Problem]:
    """Whether *value* can be the guards of the step called *step*."""
    if not _is_sequence(value):
        hint = "write guards=(breaker,)" if _is_guard(value) else _HOW
        yield Problem("bad_policy", step, f"guards must be a tuple, not {value!r}", hint)
        return
    guards = list[Guard]()
    for guard in value:
        if not _is_guard(guard):
            sentence = f"guards must be guards, not {guard!r}"
            yield Problem("bad_policy", step, sentence, _instead_of(guard))
        elif any(guard is one for one in guards):
            sentence = f"guard {guard.name!r} stands in guards twice"
            yield Problem("guard_twice", step, sentence, "keep one of the two")
        else:
            guards.append(guard)


def hang_problems(step: str, policies: Policies) -> Iterator[Problem]:
    """Whether a breaker of the step called *step* could never learn of hangs."""
    if policies.attempt_timeout is not None:
        return
    outer: Guard | None = None
    unseen: CircuitBreaker | None = None
    for guard in policies.guards:
        if isinstance(guard, Timeout):
            outer, unseen = guard, None
        elif outer is not None and isinstance(guard, CircuitBreaker):
            unseen = unseen or guard
    if outer is not None and unseen is not None:
        sentence = (
            f"breaker {unseen.name!r} stands inside timeout {outer.name!r}, "
            "so it would never learn of what hangs"
        )
        hint = "put the timeout after the breaker, or write attempt_timeout="
        yield Problem("hang_unseen", step, sentence, hint)


def is_exclusive(guard: Guard) -> bool:
    """Whether nobody can enter it inside its own body, where he would wait for himself."""
    return isinstance(guard, Bulkhead)


def _instead_of(value: object) -> str:
    if isinstance(value, type):
        return f"write {value.__name__}(...)"
    if isinstance(value, RetryPolicy | Fallback | Member):
        return "what repeats or replaces exec has an option of its own: retry=, fallback="
    if isinstance(value, OpenPool | ResourcePool):
        return "it lends something, which a guard cannot pass on: lend in exec"
    return "a guard has a name and is entered with 'async with'"


def _is_guard(value: object) -> TypeIs[Guard]:
    phases = all(hasattr(value, name) for name in ("__aenter__", "__aexit__", "name"))
    return phases and not isinstance(value, type | OpenPool | ResourcePool)


def _is_sequence(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
