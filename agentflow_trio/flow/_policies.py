"""The policies of a step: plain settings, checked when the step is made.

Layer: flow. Rule: a policy that makes no sense is an error where it is written, with the field and its bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TypedDict, final

import attrs

from ..errors import Problem
from ..robustness import Fallback
from ..types import Resource

__all__ = ["Policies", "StepOptions", "did_you_mean", "name_problems", "option_problems"]

_NAME = re.compile(r"[^\s/#@\[\]\x00-\x1f]([^/#@\[\]\x00-\x1f]*[^\s/#@\[\]\x00-\x1f])?")


class StepOptions(TypedDict, total=False):
    """The keywords of ``Step``, ``@step`` and ``with_`` that do not depend on the node's types.

    name: its segment of paths and its ``node_id``; by default the class in snake_case, or the function's or flow's name.
    timeout: seconds for prep and exec together, all attempts included. Default: none.
    idle_timeout: seconds without a ``current_step().report(...)``. Default: none.
    max_visits: how often one execution of its flow may come here, >= 1. Default: any number.
    uses: the resources it may ask for with ``current_step().use(...)``.
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
    """How a step is run; see `StepOptions` for the meaning of each."""

    timeout: float | None = None
    idle_timeout: float | None = None
    max_visits: int | None = None
    uses: tuple[Resource[object], ...] = attrs.field(default=(), converter=tuple[Resource[object], ...])
    version: str = ""
    fallback: Fallback[object] | None = None

    def with_options(self, options: StepOptions) -> Policies:
        """Return these policies with those that *options* name."""
        return Policies(
            timeout=options.get("timeout", self.timeout),
            idle_timeout=options.get("idle_timeout", self.idle_timeout),
            max_visits=options.get("max_visits", self.max_visits),
            uses=options.get("uses", self.uses),
            version=options.get("version", self.version),
            fallback=self.fallback,
        )

    def problems(self, step: str) -> Iterator[Problem]:
        """What makes no sense, for the step called *step*."""
        for name in ("timeout", "idle_timeout"):
            seconds: object = getattr(self, name)
            number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if seconds is not None and not (number and 0 < float(str(seconds)) < math.inf):
                yield Problem("bad_policy", step, f"{name} must be a number of seconds > 0, not {seconds!r}")
        visits: object = self.max_visits
        if visits is not None and not (isinstance(visits, int) and not isinstance(visits, bool) and visits >= 1):
            yield Problem("bad_policy", step, f"max_visits must be a whole number >= 1, not {visits!r}")
        for resource in self.uses:
            if _is_not(resource, Resource):
                yield Problem("bad_policy", step, f"uses must hold Resources, not {resource!r}", 'HTTP = Resource("http", Client)')
        if self.fallback is not None and _is_not(self.fallback, Fallback):
            yield Problem("bad_policy", step, f"fallback must be a Fallback, not {self.fallback!r}", "write fallback=Fallback(value)")
        if _is_not(self.version, str):
            yield Problem("bad_policy", step, f"version must be a str, not {self.version!r}")


def _is_not(value: object, kind: type) -> bool:
    """What a type checker would have said; callers without one need it too."""
    return not isinstance(value, kind)


def option_problems(step: str, options: Mapping[str, object]) -> Iterator[Problem]:
    """Whether every option is one there is."""
    known = list(StepOptions.__annotations__)
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"there are {', '.join(known)}")
            yield Problem("unknown_option", step, f"there is no option {name!r}", hint)


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint that names what *name* looks like among the *known*."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else otherwise


def name_problems(what: str, name: object) -> Iterator[Problem]:
    """Whether *name* can be a segment of a path."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield Problem("bad_name", str(name), f"{what} cannot be called {name!r}", "a name is text without / # @ [ ] and without spaces at its ends")
