"""Rows of figures, as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from attrs import asdict, evolve, frozen
from bench_pairs import Rounds, quantile
from bench_workloads import Workload

__all__ = [
    "OURS",
    "Row",
    "as_json",
    "as_markdown",
    "as_table",
    "failed",
    "figure_row",
    "pair_row",
]

OURS = "agentflow_trio"
COLUMNS = (
    "workload",
    "side",
    "limit",
    "takes",
    "unit",
    "ratio",
    "p10-p90",
    "rounds",
    "must",
    "aim",
    "verdict",
    "note",
)
RIGHT = {2, 3, 5, 6, 7}


@frozen
class Row:
    """One workload on one side.

    Attributes:
        workload: its short name.
        side: who ran it.
        unit: of limit and value, per unit of work.
        limit: what the hand-written code takes, median.
        value: what the side takes, median; None when it could not be measured.
        ratio: median of the ratios of the rounds.
        low, high: the ratios between which 80 % of the rounds lie.
        rounds: how many there were.
        must, aim: the promises, in words.
        verdict: "aim", "ok", "MISSED", "failed", or nothing where there is no promise.
        note: what else there is to say.
    """

    workload: str
    side: str
    unit: str
    limit: float | None = None
    value: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int | None = None
    must: str = ""
    aim: str = ""
    verdict: str = ""
    note: str = ""


def promised(row: Row, workload: Workload) -> Row:
    """*row* with the promises of *workload* and the verdict on them; peers have made none."""
    if row.side != OURS or row.value is None or workload.must is None:
        return row
    figures = (row.value, row.limit, row.ratio)
    verdict = "ok" if workload.must.holds(*figures) else "MISSED"
    told = ""
    if workload.aim is not None:
        told = workload.aim.told(workload.unit)
        if verdict == "ok" and workload.aim.holds(*figures):
            verdict = "aim"
    return evolve(row, must=workload.must.told(workload.unit), aim=told, verdict=verdict)


def pair_row(workload: Workload, side: str, rounds: Rounds, units: int, note: str = "") -> Row:
    """The row of paired rounds; their figures are nanoseconds for *units* units."""
    per_unit = units * (1_000_000 if workload.unit == "ms" else 1_000)
    ratios = [
        other / limit for limit, other in zip(rounds.limit_ns, rounds.other_ns, strict=True)
    ]
    row = Row(
        workload.name,
        side,
        workload.unit,
        limit=quantile(rounds.limit_ns, 0.5) / per_unit,
        value=quantile(rounds.other_ns, 0.5) / per_unit,
        ratio=quantile(ratios, 0.5),
        low=quantile(ratios, 0.1),
        high=quantile(ratios, 0.9),
        rounds=len(ratios),
        note=note,
    )
    return promised(row, workload)


def figure_row(
    workload: Workload, side: str, value: float, limit: float | None = None, note: str = ""
) -> Row:
    """The row of a figure measured once."""
    ratio = value / limit if limit else None
    return promised(
        Row(workload.name, side, workload.unit, limit, value, ratio, note=note), workload
    )


def failed(workload: Workload, side: str, reason: str) -> Row:
    """The row of what could not be measured. Only ours is blamed for it."""
    verdict = "failed" if side == OURS else ""
    return Row(workload.name, side, workload.unit, verdict=verdict, note=reason)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low is None or row.high is None else f"{row.low:.2f}-{row.high:.2f}"
    return (
        row.workload,
        row.side,
        number(row.limit),
        number(row.value),
        row.unit,
        "-" if row.ratio is None else f"{row.ratio:.2f}x",
        spread,
        "" if row.rounds is None else str(row.rounds),
        row.must,
        row.aim,
        row.verdict,
        row.note,
    )


def as_table(rows: Sequence[Row]) -> str:
    """The rows in columns."""
    lines = [COLUMNS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]

    def told(line: tuple[str, ...]) -> str:
        parts = (
            cell.rjust(width) if column in RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join(parts).rstrip()

    return "\n".join(told(line) for line in lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    ruler = ["---:" if column in RIGHT else "---" for column in range(len(COLUMNS))]
    lines = [COLUMNS, ruler, *(cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def as_json(
    rows: Sequence[Row], options: Mapping[str, object], packages: Sequence[str]
) -> dict[str, object]:
    """Everything needed to read the figures later: the rows, the options, the machine and the versions."""
    return {
        "rows": [asdict(row) for row in rows],
        "options": dict(options),
        "machine": {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "versions": {package: installed(package) for package in packages},
    }
