"""Write the tables of the pages from the code they tell of: ``python tests/docs/tables.py``.

A table stands between the comments ``<!-- table: NAME -->`` and ``<!-- end of table -->`` of its page; what is there is
replaced. The test suite fails while a table is not what this writes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from agentflow_trio.events import (
    EVENT_TYPES,
    AlertEvent,
    AlertFired,
    CallRejected,
    ExecutionEvent,
    GuardEvent,
    RunEnded,
    RunStarted,
)
from agentflow_trio.observe import METRICS, AlertRule, Metric
from agentflow_trio.observe.logs import BY_OUTCOME, LEVELS, OWN
from agentflow_trio.types import Phase

PAGES: Final = Path(__file__).parents[2] / "docs"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a ``|`` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def replaced(page: str, name: str, text: str) -> str:
    """*page* with *text* as its table called *name*.

    Raises:
        ValueError: there is no such table, or more than one.
    """
    before, mark, rest = page.partition(f"<!-- table: {name} -->\n")
    _, end, after = rest.partition("<!-- end of table -->")
    if not end or mark in after:
        raise ValueError(f"the page has not exactly one table {name!r}")
    return f"{before}{mark}\n{text}\n{end}{after}"


# ---------------------------------------------------------------- events

_NAMED: Final = re.compile(r"(``\w+``(?:(?:, | and )``\w+``)*): ")
"""In the docstring of an event the fields that the text behind them is about."""
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
"""A line of an ``Attributes:`` section."""

Kind = type[ExecutionEvent]


def code(text: str) -> str:
    """*text* of a docstring as Markdown."""
    return re.sub(r"(?<!`)`(\w+)`(?!`)", r"``\1``", text).replace("``", "`")


def when(kind: Kind) -> str:
    """When it happens."""
    return code(_NAMED.split(prose(kind))[0].strip())


def prose(kind: type[Any]) -> str:
    return " ".join(str(inspect.getdoc(kind)).split())


def meanings(kind: Kind) -> list[tuple[list[str], str]]:
    """What its docstring says of the fields that it names."""
    _, *rest = _NAMED.split(prose(kind))
    return [
        (re.findall(r"``(\w+)``", names), code(text.strip().removesuffix(".")))
        for names, text in zip(rest[::2], rest[1::2], strict=True)
    ]


def typed(kind: Kind, name: str) -> str:
    """The name of a field with its type, in words as written: whoever resolves the types changes the fields of attrs."""
    written = next(
        str(own[name])
        for base in kind.__mro__
        if name in (own := inspect.get_annotations(base))
    )
    told = written.removesuffix(" | None")
    options = get_args(Phase) if told == "Phase" else re.findall(r"'(\w+)'", told)
    if options:
        told = " or ".join(f"`{each}`" for each in options)
    return f"`{name}` ({told}{', or None' if written.endswith(' | None') else ''})"


def rows_of_events(kinds: Iterable[Kind]) -> Iterable[Sequence[str]]:
    for kind in kinds:
        told = [
            f"{', '.join(typed(kind, name) for name in names)}: {text}"
            for names, text in meanings(kind)
        ]
        named = f"`{kind.event_type}`<br>{{class}}`~agentflow_trio.events.{kind.__name__}`"
        yield named, when(kind), "<br>".join(told)


def events_of(kinds: Iterable[Kind]) -> str:
    return table(("event", "when", "fields of its own"), rows_of_events(kinds))


def common_fields(base: type[Any]) -> str:
    """What all events with this base have: the attributes in its docstring, and its properties."""
    attributes = str(inspect.getdoc(base)).partition("Attributes:\n")[2].partition("\n\n")[0]
    said = dict(_ATTRIBUTE.findall(attributes))
    for name, value in vars(base).items():
        if isinstance(value, property):
            said[name] = str(inspect.getdoc(value))
    cells = {
        name: code(" ".join(text.split()).removesuffix(".")) for name, text in said.items()
    }
    return table(("field", "is"), ((f"`{name}`", text) for name, text in cells.items()))


# ---------------------------------------------------------------- logs


def rows_of_records() -> Iterable[Sequence[str]]:
    for kind, level in LEVELS.items():
        levels = {level: ""}
        if kind is RunEnded:
            levels = {each: f" ({outcome})" for outcome, each in BY_OUTCOME.items()}
        told = ", ".join(f"`{each}`{when}" for each, when in levels.items())
        fields = ", ".join(f"`{called}`" for _, called in OWN[kind])
        yield f"`{kind.event_type}`", told, fields


GUARDS: Final = get_args(GuardEvent)
ALERTS: Final = get_args(AlertEvent)
OF_RUNS: Final = [kind for kind in EVENT_TYPES.values() if kind not in {*GUARDS, *ALERTS}]


# ---------------------------------------------------------------- metrics


def metrics_of(*owners: tuple[str, ...]) -> str:
    """The metrics that belong to these."""
    chosen = (metric for metric in METRICS if metric.owner in owners)
    return table(("for Prometheus", "by name", "counts", "fed by"), map(row_of, chosen))


def row_of(metric: Metric) -> Sequence[str]:
    kinds = [kind for kind in EVENT_TYPES.values() if kind in metric.events]
    events = [f"`{kind.event_type}`" for kind in kinds]
    fields = [f"`{field}`" for field in metric.live]
    rest = "".join(f", {label}" for label in metric.labels[len(metric.owner) :])
    return (
        f"`{metric.name}`<br>{metric.kind}{rest and ', by' + rest[1:]}",
        "<br>".join(f"`.{suffix}`" for suffix in metric.seed),
        metric.help,
        "<br>".join([*events, *(["live: " + ", ".join(fields)] if fields else [])]),
    )


TABLES: Final[dict[tuple[str, str], Callable[[], str]]] = {
    ("reference/events.md", "every event"): lambda: common_fields(RunStarted.__mro__[1]),
    ("reference/events.md", "events of runs"): lambda: events_of(OF_RUNS),
    ("reference/events.md", "guards"): lambda: common_fields(CallRejected.__mro__[1]),
    ("reference/events.md", "events of guards"): lambda: events_of(GUARDS),
    ("reference/events.md", "alerts"): lambda: common_fields(AlertFired.__mro__[1]),
    ("reference/events.md", "events of alerts"): lambda: events_of(ALERTS),
    ("reference/alerts.md", "rules"): lambda: common_fields(AlertRule),
    ("reference/logs.md", "records"): lambda: table(
        ("event", "level", "fields of its own"), rows_of_records()
    ),
    ("reference/metrics.md", "flows"): lambda: metrics_of(("flow",)),
    ("reference/metrics.md", "steps"): lambda: metrics_of(("flow", "node")),
    ("reference/metrics.md", "guards"): lambda: metrics_of(("guard",)),
    ("reference/metrics.md", "others"): lambda: metrics_of(
        ("alert",), ("observer",), ("metric",), ()
    ),
}
"""What is written: page, below the folder of the pages, and name -> how."""


if __name__ == "__main__":
    for (name, title), write in TABLES.items():
        page = PAGES / name
        text = page.read_text(encoding="utf-8")
        page.write_text(replaced(text, title, write()), encoding="utf-8")
