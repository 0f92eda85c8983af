"""The tables of a report, and the legend of its timeline.

Layer: observe. Rules: a number that a program may want stands exactly in a ``data-`` attribute; a table that would be too
long says how many rows it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, final

import attrs

from .._markup import Markup, joined, tag
from ._guard_use_core import GuardProfile
from ._profile_records_core import FailureProfile, PathShare, PlaceProfile, RunProfile
from ._profile_table_core import counted, unit_of

__all__ = [
    "brief_text",
    "failures",
    "guards",
    "legend",
    "path_text",
    "places",
    "runs",
    "shares",
    "time",
]

_ROWS: Final = 200
_TEXT: Final = 300  # characters of a message


def time(seconds: float | None, whole: float) -> str:
    """Return *seconds* in the unit of a run that took *whole* seconds."""
    if seconds is None:
        return "\N{EN DASH}"
    unit, scale = unit_of(whole)
    return f"{seconds * scale:,.3f} {unit}"


def shares(rows: Sequence[PathShare], whole: float) -> Markup:
    """What the critical path consists of."""
    return _table(
        "What the slowest run's duration consists of, the largest share first",
        ("place", "waits for", "share", "time", "stretches"),
        [
            _row(
                _name(row.place),
                tag("td", row.reason) if row.reason else None,
                tag("td", _gauge(row.share), _percent(row.share), class_="number"),
                _number(time(row.seconds, whole)),
                _number(f"{row.times:,}"),
                data_place=row.place,
                data_reason=row.reason,
                data_seconds=row.seconds,
                data_share=row.share,
            )
            for row in rows[:_ROWS]
        ],
        len(rows),
    )


def failures(rows: Sequence[FailureProfile], whole: float) -> Markup:
    """What failed."""
    return _table(
        "Visits and items that failed, with what became of that; what failed around them because of it is not listed",
        ("where", "when", "error", "message", "attempts", "handled"),
        [
            _row(
                _name(row.path),
                _number(time(row.when, whole)),
                tag("td", row.error),
                tag("td", brief_text(row.message), class_="message"),
                _number(f"{row.tries:,}"),
                tag("td", row.handled or "no: it failed what is around it"),
                data_path=row.path,
                data_error=row.error,
                data_run=row.run_id,
            )
            for row in rows[:_ROWS]
        ],
        len(rows),
    )


def places(rows: Sequence[PlaceProfile], whole: float) -> Markup:
    """Where the time went."""
    return _table(
        "Where most time went that was work of the place itself, or waiting, stands first",
        (
            "place",
            "visits",
            "total",
            "self",
            "waits",
            "attempts",
            "failed",
            "p50",
            "p95",
            "waits for",
        ),
        [
            _row(
                _name(row.place),
                _number(f"{row.visits:,}"),
                _number(time(row.total, whole)),
                _number(time(row.own, whole)),
                _number(time(row.waited, whole)) if row.waiting else None,
                _number(f"{row.attempts:,}"),
                _number(f"{row.failed:,}"),
                _number(time(row.p50, whole)),
                _number(time(row.p95, whole)),
                _reasons(row.waiting, whole) if row.waiting else None,
                data_place=row.place,
                data_visits=row.visits,
                data_total=row.total,
                data_self=row.own,
                data_waits=row.waited,
                data_attempts=row.attempts,
                data_failed=row.failed,
                data_p50=row.p50,
                data_p95=row.p95,
            )
            for row in rows[:_ROWS]
        ],
        len(rows),
    )


def guards(rows: Sequence[GuardProfile], whole: float) -> Markup:
    """How guards were used."""
    return _table(
        "Guards, and the retries, timeouts, hedges, fallbacks, caches and chaos of steps",
        (
            "guard",
            "waits",
            "waited",
            "longest",
            "rejected",
            "timed out",
            "retries",
            "gave up",
            "opened",
            "hedged",
            "won late",
            "stood in",
            "hits",
            "loads",
            "injected",
        ),
        [
            _row(
                _name(row.guard),
                _count(row.waits),
                _number(time(row.waited, whole)) if row.waits else None,
                _number(time(row.longest, whole)) if row.waits else None,
                _count(row.rejections),
                _count(row.timeouts),
                _count(row.retries),
                _count(row.gave_up),
                _count(row.opened),
                _count(row.hedges),
                _count(row.won_late),
                _count(row.fallbacks),
                _count(row.hits),
                _count(row.loads),
                _count(row.injected),
                data_guard=row.guard,
                data_waits=row.waits,
                data_waited=row.waited,
                data_rejections=row.rejections,
                data_timeouts=row.timeouts,
                data_retries=row.retries,
            )
            for row in rows[:_ROWS]
        ],
        len(rows),
    )


def runs(rows: Sequence[RunProfile], whole: float) -> Markup:
    """All runs."""
    return _table(
        "The slowest run stands first",
        ("run", "flow", "outcome", "exit", "duration", "error"),
        [
            _row(
                _name(row.run_id),
                tag("td", row.flow),
                tag("td", row.outcome),
                tag("td", row.exit) if row.exit else None,
                _number(time(row.duration, whole)),
                tag("td", brief_text(row.error), class_="message") if row.error else None,
                data_run=row.run_id,
                data_outcome=row.outcome,
                data_duration=row.duration,
            )
            for row in rows[:_ROWS]
        ],
        len(rows),
    )


_WORDS: Final = frozenset({
    "place", "where", "guard", "run", "flow", "outcome", "exit", "error", "message", "handled", "waits for",
})  # fmt: skip
"""Columns of words; all others are of numbers."""

Cell: TypeAlias = Markup | None
"""None: there is nothing to say."""


@final
@attrs.frozen
class _Row:
    cells: tuple[Cell, ...]
    data: Mapping[str, str | float | None]


def _row(*cells: Cell, **data: str | float | None) -> _Row:
    return _Row(cells, data)


def _table(caption: str, heads: Sequence[str], rows: Sequence[_Row], many: int) -> Markup:
    """A table without those columns that have nothing to say in any row."""
    told = [at for at in range(len(heads)) if any(row.cells[at] is not None for row in rows)]
    head = [
        tag("th", heads[at], scope="col", class_=None if heads[at] in _WORDS else "number")
        for at in told
    ]
    body = [
        tag("tr", *(row.cells[at] or _nothing(heads[at]) for at in told), **row.data)
        for row in rows
    ]
    left = many - len(rows)
    more = (
        tag("p", f"{counted(left, 'more row')} not shown.", class_="note") if left else joined()
    )
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )
    # a wide table scrolls by itself, also by keyboard
    return joined(
        tag("div", table, class_="wide", role="region", tabindex="0", aria_label=caption), more
    )


def _nothing(head: str) -> Markup:
    return tag("td") if head in _WORDS else _number("0")


def _count(number: int) -> Cell:
    return _number(f"{number:,}") if number else None


def _reasons(waiting: Mapping[str, float], whole: float) -> Markup:
    return tag("td", ", ".join(f"{why} {time(long, whole)}" for why, long in waiting.items()))


def path_text(path: str) -> Markup:
    """Return *path* as code, which is broken after a slash if it must be."""
    first, *others = path.split("/")
    return tag("code", first, *(joined("/", tag("wbr"), name) for name in others))


def _name(text: str) -> Markup:
    return tag("th", path_text(text), scope="row")


def _number(text: str) -> Markup:
    nothing = not text.strip("0. ms")
    return tag("td", text, class_="number none" if nothing else "number")


def _percent(share: float) -> Markup:
    return tag("span", f"{share:.1%}", class_="share")


def _gauge(share: float) -> Markup:
    return tag(
        "span", tag("span", style=f"width:{share:.2%}"), class_="gauge", aria_hidden="true"
    )


def brief_text(text: str) -> str:
    """Return the beginning of *text*, if it is long."""
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}\N{HORIZONTAL ELLIPSIS}"


def legend() -> Markup:
    """Return what the patterns of a timeline mean."""
    entries = (
        ("body visit success", "a visit"),
        ("body item success", "an item; of many, how many at once"),
        ("failing", "failed"),
        ("cut-off", "cancelled, or unfinished"),
        ("waiting", "waits for a guard"),
        ("pausing", "pauses before a retry"),
    )
    drawn = [
        tag(
            "li",
            tag(
                "svg",
                tag("rect", x=2, y=2, width=26, height=12, rx=2, class_=class_),
                viewBox="0 0 30 16",
                class_="key",
                aria_hidden="true",
            ),
            meaning,
        )
        for class_, meaning in entries
    ]
    marks = (
        (tag("path", d="M11,4 h8 l-4,7 z", class_="failed-attempt"), "an attempt failed here"),
        (
            joined(
                tag("rect", x=2, y=2, width=26, height=10, rx=2, class_="body visit success"),
                tag("rect", x=2, y=11, width=26, height=4, class_="critical"),
            ),
            "on the critical path, which the strip on top shows as a whole",
        ),
    )
    drawn += [
        tag(
            "li",
            tag("svg", mark, viewBox="0 0 30 16", class_="key", aria_hidden="true"),
            meaning,
        )
        for mark, meaning in marks
    ]
    return tag("ul", *drawn, class_="legend")
