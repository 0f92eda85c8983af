"""The policies of a step: plain settings, checked when the step is made.

Layer: flow. Rule: a policy that makes no sense is an error where it is written, with its bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, final

import attrs

from .._typing import TypeIs
from ..errors import Problem
from ..robustness import Fallback
from ..types import Resource
from ._words import did_you_mean

__all__ = ["Policies", "StepOptions", "option_problems"]


class StepOptions(TypedDict, total=False):
    """The keywords of ``Step``, ``@step`` and ``with_`` that do not depend on the node's types.

    name: its segment of paths and its ``node_id``; by default the class in snake_case, or the
        function's or flow's name.
    timeout: seconds for prep and exec together, all attempts included, > 0. Default: none.
    idle_timeout: seconds without a ``current_step().report(...)``, > 0. Default: none.
    max_visits: how often one execution of its flow may come here, >= 1. Default: any number.
    uses: the resources it may ask for with ``current_step().use(...)``. Default: none.
    version: a word to change when the step's meaning changes; part of the definition hash.
    """

    name: str
    timeout: float | None
    idle_timeout: float | None
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
    idle_timeout: float | None = None
    max_visits: int | None = None
    uses: tuple[Resource[object], ...] = ()
    version: str = ""
    fallback: Fallback[object] | None = None

    def with_options(self, options: StepOptions) -> Policies:
        """Return these policies with those of *options*, which the caller has checked."""
        return Policies(
            timeout=options.get("timeout", self.timeout),
            idle_timeout=options.get("idle_timeout", self.idle_timeout),
            max_visits=options.get("max_visits", self.max_visits),
            uses=tuple(options.get("uses", self.uses)),
            version=options.get("version", self.version),
            fallback=self.fallback,
        )


_OPTIONS = tuple(StepOptions.__annotations__)  # their names; the values stay unevaluated text
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
    for name, value in options.items():
        if name in known:
            yield from _policy_problems(step, name, value)
        else:
            hint = did_you_mean(name, known, otherwise=f"there are {', '.join(known)}")
            hint = _FALLBACK_FIXED if name == "fallback" else hint
            yield Problem("unknown_option", step, f"there is no option {name!r}", hint)


def _policy_problems(step: str, name: str, value: object) -> Iterator[Problem]:
    must, hint = "", ""
    match name:
        case "timeout" | "idle_timeout" if value is not None and not _is_seconds(value):
            must = "be a number of seconds > 0"
        case "max_visits" if value is not None and not _is_count(value):
            must = "be a whole number >= 1"
        case "uses" if not _are_resources(value):
            must, hint = "be a tuple of Resources", "write uses=(HTTP,)"
        case "version" if not isinstance(value, str):
            must = "be a str"
        case "fallback" if value is not None and not isinstance(value, Fallback):
            must, hint = "be a Fallback", "write fallback=Fallback(value)"
        case _:
            return
    yield Problem("bad_policy", step, f"{name} must {must}, not {value!r}", hint)


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
