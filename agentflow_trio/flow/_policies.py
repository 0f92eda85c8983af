"""The policies of a step: plain settings, checked when the step is made.

Layer: flow. Rule: a policy that makes no sense is an error where it is written, with its bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, final

import attrs

from .._typing import TypeIs
from ..errors import Problem
from ..types import Resource
from ._words import did_you_mean

if TYPE_CHECKING:
    from ..engine import Trying
    from ..robustness import Fallback, Guard, Hedge, RetryPolicy

__all__ = [
    "ItemPolicies",
    "Policies",
    "StepOptions",
    "combination_problems",
    "item_option_problems",
    "option_problems",
    "trying_of",
]


class ItemPolicies(TypedDict, total=False):
    """The keywords of ``each`` and ``batch`` for one call of exec: for each item, or each part.

    Those on the Step around it are for the whole. They mean what they mean there.

    attempt_timeout: seconds for each attempt of exec, > 0. Default: none.
    retry: when to call exec again after it failed. Default: never.
    hedge: when to call it again while that call goes on; the first to end well counts. Default: never.
    guards: what each attempt enters, outermost first. Default: none.
    """

    attempt_timeout: float | None
    retry: RetryPolicy | None
    hedge: Hedge | None
    guards: Sequence[Guard]


class StepOptions(TypedDict, total=False):
    """The keywords of ``Step``, ``@step`` and ``with_`` that do not depend on the node's types.

    name: its segment of paths and its ``node_id``; by default the class in snake_case, or the
        function's or flow's name.
    timeout: seconds for prep and exec together, all attempts and waits included, > 0. Default: none.
    attempt_timeout: seconds for exec in each attempt, once its guards have let it in, > 0. Default: none.
    retry: when to call exec again after it failed, and after how long. Default: never.
    hedge: when to begin another attempt of exec beside one that is slow; the first to end well counts. Default: never.
    guards: what each attempt enters, in this order, the outermost first. Default: none.
    idle_timeout: seconds without a ``current_step().report(...)``, > 0. Default: none.
    max_visits: how often one execution of its flow may come here, >= 1. Default: any number.
    uses: the resources it may ask for with ``current_step().use(...)``. Default: none.
    version: a word to change when the step's meaning changes; part of the definition hash.
    """

    name: str
    timeout: float | None
    attempt_timeout: float | None
    idle_timeout: float | None
    retry: RetryPolicy | None
    hedge: Hedge | None
    guards: Sequence[Guard]
    max_visits: int | None
    uses: Sequence[Resource[object]]
    version: str


@final
@attrs.frozen(kw_only=True)
class Policies:
    """How a step is run; see `StepOptions` for the meaning of each.

    Attributes:
        fallback: what stands in for a failed result of exec; only ``Step(...)`` can set it.
    """

    timeout: float | None = None
    attempt_timeout: float | None = None
    idle_timeout: float | None = None
    retry: RetryPolicy | None = None
    hedge: Hedge | None = None
    guards: tuple[Guard, ...] = ()
    max_visits: int | None = None
    uses: tuple[Resource[object], ...] = ()
    version: str = ""
    fallback: Fallback[object] | None = None

    def with_options(self, options: StepOptions) -> Policies:
        """Return these policies with those of *options*, which the caller has checked."""
        return Policies(
            timeout=options.get("timeout", self.timeout),
            attempt_timeout=options.get("attempt_timeout", self.attempt_timeout),
            idle_timeout=options.get("idle_timeout", self.idle_timeout),
            retry=options.get("retry", self.retry),
            hedge=options.get("hedge", self.hedge),
            guards=tuple(options.get("guards", self.guards)),
            max_visits=options.get("max_visits", self.max_visits),
            uses=tuple(options.get("uses", self.uses)),
            version=options.get("version", self.version),
            fallback=self.fallback,
        )


def trying_of(policies: Policies) -> Trying | None:
    """What the engine needs to know of how exec is tried; None if there is nothing."""
    retry, hedge, guards = policies.retry, policies.hedge, policies.guards
    attempt_timeout = policies.attempt_timeout
    if retry is None and hedge is None and not guards and attempt_timeout is None:
        return None
    from ..engine import Trying  # noqa: PLC0415 - most programs import but a part of the guards

    if guards:
        from ..robustness import as_entered  # noqa: PLC0415 - the same

        guards = tuple(as_entered(guards))
    return Trying(retry=retry, hedge=hedge, guards=guards, attempt_timeout=attempt_timeout)


_OPTIONS = tuple(StepOptions.__annotations__)  # their names; the values stay unevaluated text
_ITEM_OPTIONS = tuple(ItemPolicies.__annotations__)
_OF_THE_WHOLE = "it is for the whole: give it to the Step around this node"
_FALLBACK_FIXED = (
    "a step no longer knows the type of its exec's result; write Step(node, fallback=...)"
)


def option_problems(
    step: str, options: Mapping[str, object], *, fallback: bool = False
) -> Iterator[Problem]:
    """Whether *options* exist and make sense, for the step called *step*.

    Callers without a type checker need to be told too. *fallback*: that option exists here.
    """
    known = (*_OPTIONS, "fallback") if fallback else _OPTIONS
    hints = {} if fallback else {"fallback": _FALLBACK_FIXED}
    yield from _problems(step, options, known, hints)


def item_option_problems(node: str, options: Mapping[str, object]) -> Iterator[Problem]:
    """Whether *options* of ``each`` or ``batch`` exist and make sense, for the node called *node*."""
    yield from _problems(node, options, _ITEM_OPTIONS, dict.fromkeys(_OPTIONS, _OF_THE_WHOLE))


def _problems(
    step: str, options: Mapping[str, object], known: Sequence[str], hints: Mapping[str, str]
) -> Iterator[Problem]:
    for name, value in options.items():
        if name in known:
            yield from _policy_problems(step, name, value)
        else:
            hint = did_you_mean(name, known, otherwise=f"there are {', '.join(known)}")
            yield Problem(
                "unknown_option", step, f"there is no option {name!r}", hints.get(name, hint)
            )


def _policy_problems(step: str, name: str, value: object) -> Iterator[Problem]:
    must, hint = "", ""
    match name:
        case "timeout" | "attempt_timeout" | "idle_timeout" if (
            value is not None and not _is_seconds(value)
        ):
            must = "be a number of seconds > 0"
        case "retry" | "hedge" | "guards":
            yield from _guarding_problems(step, name, value)
            return
        case "max_visits" if value is not None and not _is_count(value):
            must = "be a whole number >= 1"
        case "uses" if not _are_resources(value):
            must, hint = "be a tuple of Resources", "write uses=(HTTP,)"
        case "version" if not isinstance(value, str):
            must = "be a str"
        case "fallback" if value is not None and not _is_fallback(value):
            must, hint = "be a Fallback", "write fallback=Fallback(value)"
        case _:
            return
    yield Problem("bad_policy", step, f"{name} must {must}, not {value!r}", hint)


def _is_fallback(value: object) -> bool:
    from ..robustness import Fallback  # noqa: PLC0415 - most programs have none, and it takes 10 ms

    return isinstance(value, Fallback)


def _guarding_problems(step: str, name: str, value: object) -> Iterator[Problem]:
    if value == () or (value is None and name != "guards"):
        return
    from ._guarding import PROBLEMS  # noqa: PLC0415 - see there

    yield from PROBLEMS[name](step, value)


def combination_problems(step: str, policies: Policies) -> Iterator[Problem]:
    """What is wrong with policies that make sense each by itself."""
    if policies.guards:
        from ._guarding import order_problems  # noqa: PLC0415 - see there

        yield from order_problems(step, policies)


def _is_seconds(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_resources(value: object) -> bool:
    return _is_sequence(value) and all(isinstance(each, Resource) for each in value)


def _is_sequence(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, Sequence)
