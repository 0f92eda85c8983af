"""What is wrong with ``retry=``, ``hedge=`` and ``guards=``: each by itself, and where guards meet.

Layer: flow. Loaded when a step is made that has some. Rule: what cannot work, or could never do what it is for, is an
error where it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from .._typing import TypeIs
from ..errors import Problem
from ..robustness import (
    AdaptiveLimit,
    Bulkhead,
    Fallback,
    Guard,
    Hedge,
    HedgePolicy,
    Member,
    OpenPool,
    Repeating,
    ResourcePool,
    RetryPolicy,
    as_entered,
    is_guard,
    misplaced_chaos,
    seated_twice,
    seats_of,
    unseen_hang,
)

if TYPE_CHECKING:
    from ._policies import Policies

__all__ = ["PROBLEMS", "exclusive_in", "order_problems"]

_HOW: Final = 'write guards=(CircuitBreaker("search"),)'


def _retry_problems(step: str, value: object) -> Iterator[Problem]:
    """Whether *value* can be the retry of the step called *step*."""
    if isinstance(value, RetryPolicy):
        return
    hint = "write retry=RetryPolicy(max_attempts=5)"
    if isinstance(value, Member):
        hint = "a policy holds no count of its own: write retry=RetryPolicy(...)"
    yield Problem("bad_policy", step, f"retry must be a RetryPolicy, not {value!r}", hint)


def _hedge_problems(step: str, value: object) -> Iterator[Problem]:
    """Whether *value* can be the hedge of the step called *step*."""
    if isinstance(value, Hedge):
        return
    hint = "write hedge=Hedge(after=0.5)"
    if isinstance(value, HedgePolicy):
        hint = "a hedge learns and counts, for all who share it: write hedge=Hedge(policy)"
    yield Problem("bad_policy", step, f"hedge must be a Hedge, not {value!r}", hint)


def _guard_problems(step: str, value: object) -> Iterator[Problem]:
    """Whether *value* can be the guards of the step called *step*."""
    if not _is_sequence(value):
        hint = "write guards=(breaker,)" if is_guard(value) else _HOW
        yield Problem("bad_policy", step, f"guards must be a tuple, not {value!r}", hint)
        return
    for guard in value:
        if not is_guard(guard):
            sentence = f"guards must be guards, not {guard!r}"
            yield Problem("bad_policy", step, sentence, _instead_of(guard))
    seats = seats_of([guard for guard in value if is_guard(guard)])
    yield from seated_twice(step, seats, "guards")


PROBLEMS: Final[Mapping[str, Callable[[str, object], Iterator[Problem]]]] = {
    "retry": _retry_problems,
    "hedge": _hedge_problems,
    "guards": _guard_problems,
}
"""What is wrong with each by itself."""


def order_problems(step: str, policies: Policies) -> Iterator[Problem]:
    """Whether a guard of the step called *step* hides from another what that is for."""
    seats = seats_of(policies.guards)
    if policies.attempt_timeout is None:
        hint = "put the timeout after the breaker, or write attempt_timeout="
        yield from unseen_hang(step, seats, hint)
    yield from misplaced_chaos(step, seats)


def exclusive_in(guards: Sequence[Guard]) -> Sequence[Guard]:
    """Those that nobody can enter inside their own body, where he would wait for himself; also those in pipelines."""
    return [
        guard for guard in as_entered(guards) if isinstance(guard, Bulkhead | AdaptiveLimit)
    ]


def _instead_of(value: object) -> str:
    if isinstance(value, type):
        return f"write {value.__name__}(...)"
    if isinstance(value, Repeating):
        return "it repeats or replaces exec, for which there are options: retry=, hedge=, fallback="
    if isinstance(value, RetryPolicy | Fallback | Member):
        return (
            "what repeats or replaces exec has an option of its own: retry=, hedge=, fallback="
        )
    if isinstance(value, OpenPool | ResourcePool):
        return "it lends something, which a guard cannot pass on: lend in exec"
    return "a guard has a name and is entered with 'async with'"


def _is_sequence(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
