"""Rules of alerts: values, checked where they are made.

Layer: observe. Rule: all mistakes at once, each with its place, rule, field and remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, TypeAlias, final

import attrs

from .._typing import TypeIs, override
from ..errors import AgentFlowError
from ._condition_core import ConditionError, parse

__all__ = ["AlertRule", "AlertRulesError", "Op", "RuleProblem", "problems_of"]

Op: TypeAlias = Literal[">", ">=", "<", "<="]
"""How the value of a condition is compared with the threshold."""

_OPS: Final = (">", ">=", "<", "<=")


@final
@attrs.frozen(kw_only=True)
class RuleProblem:
    """One mistake in a rule.

    Attributes:
        rule: the name of the rule; its number in the file, as ``#2``, if it has none; empty if it is not about one rule.
        field: which of its fields; empty if it is about the whole.
        sentence: what is wrong.
        remedy: what to do.
        file: where the rule is written; empty for one made in Python.
        line: the line of the field, or of the rule, from 1; 0 where it is not known.
    """

    rule: str
    field: str
    sentence: str
    remedy: str
    file: str = ""
    line: int = 0

    @override
    def __str__(self) -> str:
        where = (
            f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        )
        about = [f"rule {self.rule!r}"] if self.rule else []
        about += [self.field] if self.field else []
        return f"{where}{', '.join(about)}{': ' if about else ''}{self.sentence}; {self.remedy}"


@final
@attrs.define(eq=False, kw_only=True)
class AlertRulesError(AgentFlowError, ValueError):
    """Rules of alerts make no sense.

    Attributes:
        problems: every mistake found, in the order written.
    """

    problems: tuple[RuleProblem, ...]

    @override
    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems in rules of alerts:{lines}"


@final
@attrs.frozen
class AlertRule:
    """When somebody is to be told, and how.

    Attributes:
        name: what the alert is called; unique among the rules of one `Alerts`. Letters, digits, spaces and ``_.:/-``.
        condition: what is looked at: a metric, ``rate(metric[60s])``, ``increase(metric[5m])``, ``p95(metric[5m])``, or a
            quotient of two of these, as ``rate(editing.error_count[5m]) / rate(editing.execution_count[5m])``.
        threshold: what its value is compared with; finite.
        action: what is done when it fires and when it is resolved: "log", or the name of a callback.
        op: how it is compared: ``value > threshold`` by default.
        for_: for how many seconds it must hold without a break before the alert fires, >= 0; 0.0 for at once.
        severity: a word for whoever is told: "info", "warning", "critical" or your own.
        resolve_below: a fired alert is resolved when the value is below this, at most ``threshold``; for ``<`` and ``<=``
            when it is above this, at least ``threshold``. Default: as soon as the comparison does not hold.

    Raises:
        AlertRulesError: a field makes no sense; with all that is wrong.
    """

    name: str
    condition: str
    threshold: float
    action: str
    op: Op = attrs.field(default=">", kw_only=True)
    for_: float = attrs.field(default=0.0, kw_only=True)
    severity: str = attrs.field(default="warning", kw_only=True)
    resolve_below: float | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems = tuple(problems_of(attrs.asdict(self)))
        if problems:
            raise AlertRulesError(problems=problems)


# ---------------------------------------------------------------- what makes sense


def problems_of(fields: Mapping[str, object]) -> Iterator[RuleProblem]:
    """What is wrong with those fields of a rule that are there."""
    name = fields.get("name")
    rule = name if isinstance(name, str) else ""
    for field, value in fields.items():
        said = _wrong(field, value)
        if said is not None:
            yield RuleProblem(rule=rule, field=field, sentence=said[0], remedy=said[1])
    yield from _misplaced(rule, fields)


def _wrong(field: str, value: object) -> tuple[str, str] | None:
    """What is wrong with *value*, and what to do."""
    if field == "condition":
        return _wrong_condition(value)
    check = _CHECKS.get(field)
    if check is None or check.holds(value):
        return None
    return f"{value!r} is not {check.what}", check.remedy


def _wrong_condition(value: object) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return f"{value!r} is not a text", "write one, as 'editing.error_count'"
    try:
        parse(value)
    except ConditionError as error:
        return f"column {error.column} of {value!r}: {error.problem}", error.remedy
    return None


def _misplaced(rule: str, fields: Mapping[str, object]) -> Iterator[RuleProblem]:
    """Whether ``resolve_below`` lies on the side of the threshold where an alert may well be resolved."""
    threshold, resolve = fields.get("threshold"), fields.get("resolve_below")
    if not (is_number(threshold) and is_number(resolve)):
        return
    op = fields.get("op", ">")
    falls = op in _OPS[:2]
    if op in _OPS and (resolve > threshold if falls else resolve < threshold):
        yield RuleProblem(
            rule=rule,
            field="resolve_below",
            sentence=f"{resolve!r} is {'above' if falls else 'below'} the threshold, {threshold!r}: "
            f"an alert on {op} would be resolved while it holds",
            remedy=f"write a number {'<=' if falls else '>='} {threshold!r}, or leave it out",
        )


def is_number(value: object) -> TypeIs[float]:
    """Whether it is a finite number; True and False are none."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -math.inf < value < math.inf
    )


@final
@attrs.frozen
class _Check:
    """What a field must be."""

    holds: Callable[[object], bool]
    what: str
    remedy: str


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


_WORDS: Final = _Check(
    _matches(re.compile(r"\w[\w.-]*")), "a word", "use letters, digits and _ . -"
)
_CHECKS: Final = {
    "name": _Check(
        _matches(re.compile(r"\w[\w .:/-]*(?<! )")),
        "a name",
        "use letters, digits, spaces and _ . : / -",
    ),
    "threshold": _Check(is_number, "a finite number", "write one, as 0.05"),
    "action": _WORDS,
    "op": _Check(lambda value: value in _OPS, "a comparison", "write one of > >= < <="),
    "for_": _Check(
        lambda value: is_number(value) and value >= 0.0,
        "a number of seconds >= 0",
        "write one, as 60.0",
    ),
    "severity": _WORDS,
    "resolve_below": _Check(
        lambda value: value is None or is_number(value),
        "a finite number",
        "write one, or leave it out",
    ),
}
