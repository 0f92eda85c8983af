"""The language of conditions: what a rule looks at, read once from its text, then computed from samples.

    condition  =  term  |  term / term
    term       =  editing.error_count                what the metric is now
               |  increase(editing.error_count[5m])  how much it grew within the last five minutes
               |  rate(editing.error_count[60s])     the same, per second
               |  p95(editing.duration_ms[5m])       the quantile of what was measured within the last five minutes

Layer: observe. Pure: `now` is an argument. Rules, as Prometheus has them: what nobody counted yet is 0; a quantile of
nothing, 0 / 0 and a gauge that nobody set are no data; a quotient of something by 0 is infinite.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, Generic, Literal, TypeAlias, TypeVar, final

import attrs

from ._metric_names_core import Selection, selections
from ._metric_table_core import METRICS

__all__ = [
    "SLACK",
    "Condition",
    "ConditionError",
    "How",
    "Lookback",
    "Term",
    "parse",
    "seconds",
]

Value = TypeVar("Value")

How: TypeAlias = Literal["value", "increase", "rate", "quantile"]
"""What is made of a metric."""

SLACK: Final = 1e-6
"""Seconds by which two instants may differ and still count as one: sums of floats."""

_LONGEST: Final = 24 * 3600.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]+)([a-z]*)")
_QUANTILE: Final = re.compile(r"p([0-9]{1,2}(\.[0-9]+)?)")
_TOKEN: Final = re.compile(r'\s*("[^"]*"|[^\s()\[\]/"<>=!+*]+|[<>=!]+|\S)')
_TERMS: Final = "write a metric, rate(metric[60s]), increase(metric[5m]) or p95(metric[5m])"


class ConditionError(ValueError):
    """A condition cannot be read.

    Attributes:
        column: where in its text, from 1.
        problem: what is wrong there.
        remedy: what to write instead.
    """

    def __init__(self, column: int, problem: str, remedy: str) -> None:
        super().__init__(column, problem, remedy)
        self.column = column
        self.problem = problem
        self.remedy = remedy


@final
@attrs.frozen
class Term:
    """A number made of one metric.

    Attributes:
        metric: its name.
        how: what is made of it.
        window: how many seconds are looked back; 0.0 for a value.
        share: of a quantile, above 0 and below 1; 0.0 otherwise.
        unseen: what it is before anything of its metric was seen; None: there is no data.
        column: where its metric begins in the text, from 1; the same term elsewhere is equal.
    """

    metric: str
    how: How = "value"
    window: float = 0.0
    share: float = 0.0
    unseen: float | None = 0.0
    column: int = attrs.field(default=1, eq=False)


@final
@attrs.frozen
class Condition:
    """What a rule looks at.

    Attributes:
        term: a number.
        over: what it is divided by, if anything.
    """

    term: Term
    over: Term | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """All its terms, in the order written."""
        return (self.term,) if self.over is None else (self.term, self.over)

    def value(self, read: Callable[[Term], float | None]) -> float | None:
        """Compute it from what *read* tells of its terms; None: there is no data."""
        value = read(self.term)
        if value is None or self.over is None:
            return value
        over = read(self.over)
        if over is None:
            return None
        if over == 0.0:
            return math.copysign(math.inf, value) if value else None
        return value / over


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        ConditionError: it is not one.
    """
    reader = _Reader(text)
    term = reader.term()
    over = reader.term() if reader.takes("/") else None
    reader.end()
    return Condition(term, over)


def seconds(text: str) -> float:
    """Read a duration: ``90s``, ``5m`` or ``1h``.

    Raises:
        ConditionError: it is not one, or not between 1 s and 24 h.
    """
    return _seconds(text, 1)


def _seconds(text: str, column: int) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConditionError(column, f"{text!r} is not a duration", "write 60s, 5m or 1h")
    number, unit = found.groups()
    if unit not in _UNITS:
        problem = f"{text!r} has no unit" if not unit else f"{unit!r} is not a unit"
        raise ConditionError(column, problem, f"write {number}s, {number}m or {number}h")
    length = int(number) * _UNITS[unit]
    if not 0.0 < length <= _LONGEST:
        raise ConditionError(column, f"{text!r} is out of bounds", "write 1s to 24h")
    return length


def _meaning(metric: str, column: int) -> tuple[Selection, ...]:
    """What is asked of which metrics of the table.

    Raises:
        ConditionError: there is no such metric, whoever's.
    """
    found = next(selections(metric), None)
    if found is not None:
        return found
    if metric[0].isdigit():
        remedy = "leave numbers to the rule's threshold"
        raise ConditionError(column, f"{metric!r} is a number, not a metric", remedy)
    if metric.startswith("agentflow_") or "{" in metric:
        problem = f"{metric!r} is what Prometheus calls it"
        raise ConditionError(column, problem, "write whose it is and what: editing.error_count")
    owner, dot, suffix = metric.rpartition(".")
    if not dot:
        problem = f"{metric!r} does not say whose metric it is"
        raise ConditionError(
            column, problem, f"write the flow or step before it: editing.{metric}"
        )
    known = [name for entry in METRICS for name in entry.seed]
    near = get_close_matches(suffix, known) or _alike(suffix, known)
    remedy = (
        f"did you mean {owner}.{near[0]}?"
        if near
        else "as editing.error_count: see the table of metrics"
    )
    raise ConditionError(column, f"there is no metric {suffix!r}", remedy)


def _alike(suffix: str, known: Sequence[str]) -> list[str]:
    """Those that say the same thing in other words: ``hedges`` for ``hedge_count``."""
    stem = suffix.partition("_")[0].rstrip("s")
    return [name for name in known if stem and name.partition("_")[0] == stem]


def _counts(meaning: Sequence[Selection]) -> bool:
    """Whether it only ever grows."""
    return all(
        asked.metric.kind == "counter" or asked.reading in {"count", "sum"} for asked in meaning
    )


def _make_sense(function: str, metric: str, column: int) -> None:
    """Make sure that *function* can be asked of *metric*.

    Raises:
        ConditionError: it cannot.
    """
    meaning = _meaning(metric, column)
    if function not in {"rate", "increase"}:
        suffixes = [suffix for asked in meaning for suffix in asked.metric.seed]
        if not all(asked.metric.kind == "histogram" for asked in meaning):
            problem = f"{metric!r} is one number, which has no quantile"
            raise ConditionError(column, problem, f"write {function}(editing.duration_ms[5m])")
        if metric.rpartition(".")[2] not in suffixes:
            whole = metric.rpartition(".")[0]
            problem = f"{metric!r} is one number of a histogram"
            raise ConditionError(column, problem, f"write {function}({whole}[5m])")
    elif not _counts(meaning):
        problem = f"{metric!r} goes up and down, which has no {function}"
        raise ConditionError(column, problem, f"leave {function}() out")


@final
class _Reader:
    """Reads a text token by token."""

    def __init__(self, text: str) -> None:
        self._tokens = [(found[1], found.start(1) + 1) for found in _TOKEN.finditer(text)]
        self._tokens.append(("", len(text) + 1))
        self._at = 0

    def term(self) -> Term:
        text, column = self._tokens[self._at]
        if text and self._tokens[self._at + 1][0] == "(":
            return self._call(text, column)
        metric = self._metric()
        return Term(
            metric, unseen=0.0 if _counts(_meaning(metric, column)) else None, column=column
        )

    def _call(self, function: str, column: int) -> Term:
        how: How
        share = 0.0
        if function in {"rate", "increase"}:
            how = "rate" if function == "rate" else "increase"
        elif (found := _QUANTILE.fullmatch(function)) and float(found[1]):
            how, share = "quantile", float(found[1]) / 100.0
        else:
            raise ConditionError(column, f"there is no function {function!r}", _TERMS)
        self._at += 2
        at = self._tokens[self._at][1]
        metric = self._metric()
        _make_sense(function, metric, at)
        example = f"write {function}({metric}[5m])"
        self._demand("[", "there is no window", example)
        window = _seconds(*self._tokens[self._at])
        self._at += 1
        self._demand("]", "the window is not closed", example)
        self._demand(")", f"{function}( is not closed", example)
        return Term(metric, how, window, share, None if share else 0.0, at)

    def _metric(self) -> str:
        text, column = self._tokens[self._at]
        if not text:
            raise ConditionError(column, "a metric is missing", _TERMS)
        if text[0] in "()[]/<>=!+*" or text == '"':
            raise ConditionError(column, f"{text!r} stands where a metric should", _TERMS)
        self._at += 1
        return text.strip('"')

    def takes(self, text: str) -> bool:
        """Pass over *text*, if it comes next."""
        if self._tokens[self._at][0] != text:
            return False
        self._at += 1
        return True

    def _demand(self, text: str, problem: str, remedy: str) -> None:
        if not self.takes(text):
            raise ConditionError(self._tokens[self._at][1], problem, remedy)

    def end(self) -> None:
        """Make sure that nothing is left.

        Raises:
            ConditionError: something is.
        """
        text, column = self._tokens[self._at]
        if not text:
            return
        if text[0] in "<>=!":
            remedy = "leave the comparison to the rule's op and threshold"
        elif text == "/":
            remedy = "there can be one quotient, of two terms"
        elif text == "[":
            remedy = "a window belongs into a function: rate(metric[60s])"
        else:
            remedy = "a condition is one term, or a quotient of two: a / b"
        raise ConditionError(column, f"{text!r} is too much", remedy)


@final
class Lookback(Generic[Value]):
    """What something was when a window began, for as long as it is looked at, in the order of time.

    It keeps a value only where it changed, and as far back as the window reaches.
    """

    __slots__ = ("_kept", "_span")

    def __init__(self, span: float, value: Value) -> None:
        """*span*: the length of the window; *value*: what it is before anybody looked."""
        self._span = span
        self._kept = deque([(-math.inf, value)])

    def back(self, now: float, value: Value) -> Value:
        """Take note that it is *value* now, and return what it was when the window that ends now began."""
        kept = self._kept
        if value != kept[-1][1]:
            kept.append((now, value))
        while len(kept) > 1 and kept[1][0] <= now - self._span + SLACK:
            kept.popleft()
        return kept[0][1]

    def restart(self) -> None:
        """Forget when it became what it is: from here on another clock may tell the time."""
        self._kept = deque([(-math.inf, self._kept[-1][1])])

    def __len__(self) -> int:
        return len(self._kept)
