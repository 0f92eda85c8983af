"""A profile as plain text: aligned columns, no colours, the same on every terminal.

Layer: observe. Pure.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ._profile_records_core import FailureProfile, PlaceProfile, RunProfile

if TYPE_CHECKING:
    from ._profile_core import Profile

__all__ = ["counted", "table_of", "unit_of"]

_HEADS: Final = (
    "place", "visits", "total", "self", "waits", "attempts", "failed", "p50", "p95", "waits for",
)  # fmt: skip
_GAP: Final = "  "
_FAILURES: Final = 20
_NARROWEST: Final = 12
"""Columns that a place has at least, whatever the width; what was waited for has as many, or none."""


def table_of(profile: Profile, *, width: int, top: int | None) -> str:
    """See `Profile.table`."""
    if profile.slowest is None:
        return "no runs\n"
    unit, scale = unit_of(profile.slowest.root.duration)
    parts = [
        *_head(profile, unit, scale),
        "",
        *_places(profile.places, width, top, unit, scale),
        "",
        *_critical(profile, width, top, unit, scale),
        *_failures(profile.failures, width, top, unit, scale),
    ]
    return "\n".join(_printable(line).rstrip() for line in parts) + "\n"


def _printable(line: str) -> str:
    """*line* without what moves a cursor or turns the direction of reading: paths and errors have texts from anywhere."""
    return "".join(each if each.isprintable() else " " for each in line)


def unit_of(seconds: float) -> tuple[str, float]:
    """Return the unit in which times are told beside one of *seconds*, and how many of it a second has."""
    return ("s", 1.0) if seconds >= 1.0 else ("ms", 1000.0)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _head(profile: Profile, unit: str, scale: float) -> Iterator[str]:
    counts, slowest = profile.counts, profile.runs[0]
    if counts.runs == 1:
        yield _run(slowest, unit, scale)
    else:
        kinds = {
            "ended well": counts.succeeded,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
            "unfinished": counts.unfinished,
        }
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
        yield f"{counts.runs:,} runs: {told}; the slowest: {_run(slowest, unit, scale)}"
    yield ", ".join([
        counted(counts.steps, "step"),
        counted(counts.failures, "failure"),
        counted(counts.retries, "retry", "retries"),
        counted(counts.rejections, "rejection"),
        *(
            counted(number, one)
            for number, one in (
                (counts.hedges, "hedge"),
                (counts.fallbacks, "fallback"),
                (counts.hits, "cache hit"),
                (counts.injected, "injected fault"),
            )
            if number
        ),
    ])
    missing = sum(run.missing for run in profile.runs)
    if missing:
        yield f"{counted(missing, 'event')} of these runs {'is' if missing == 1 else 'are'} missing: the figures are too low"
    if counts.blocked:
        yield f"the loop was blocked for {counts.blocked * scale:,.3f} {unit}"


def _run(run: RunProfile, unit: str, scale: float) -> str:
    said = run.outcome if run.exit is None else f"{run.outcome} ({run.exit})"
    return f"{run.flow}, run {run.run_id}, {said}, {run.duration * scale:,.3f} {unit}"


def _places(
    places: Sequence[PlaceProfile], width: int, top: int | None, unit: str, scale: float
) -> Iterator[str]:
    def time(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds * scale:,.3f}"

    rows = [
        (
            place.place,
            f"{place.visits:,}",
            time(place.total),
            time(place.own),
            time(place.waited),
            f"{place.attempts:,}",
            f"{place.failed:,}",
            time(place.p50),
            time(place.p95),
            ", ".join(f"{reason} {time(seconds)}" for reason, seconds in place.waiting.items()),
        )
        for place in places[:top]
    ]
    yield from _aligned([_HEADS, *rows], width)
    left = len(places) - len(rows)
    after = f"; {counted(left, 'more place')} not shown" if left else ""
    yield f"times in {unit}{after}"


def _critical(
    profile: Profile, width: int, top: int | None, unit: str, scale: float
) -> Iterator[str]:
    slowest = profile.runs[0]
    yield f"critical path of run {slowest.run_id}, {slowest.duration * scale:,.3f} {unit}"
    rows = [
        (
            share.place + (f", waits for {share.reason}" if share.reason else ""),
            f"{share.share:.1%}",
            f"{share.seconds * scale:,.3f}",
            f"{share.times:,}",
        )
        for share in profile.shares()[:top]
    ]
    yield from _aligned([("place", "share", unit, "times"), *rows], width)


def _failures(
    failures: Sequence[FailureProfile], width: int, top: int | None, unit: str, scale: float
) -> Iterator[str]:
    """What failed and why, what nobody handled first; last of all, for that is what a terminal shows."""
    if not failures:
        return
    yield from ("", "what failed")
    by_weight = sorted(failures, key=lambda failure: bool(failure.handled))
    shown = by_weight[: _FAILURES if top is None else top]
    for each in shown:
        became = each.handled or "not handled"
        after = f", after {each.when * scale:,.3f} {unit}, {became}"
        yield f"{_shortened(each.path, max(width - _wide(after), _NARROWEST))}{after}"
        told = [each.error, *each.message.split()]
        told[0] += ":" if each.message else ""
        yield _cut(f"    {' '.join(told)}", width)
    left = len(failures) - len(shown)
    if left:
        yield f"{counted(left, 'more failure')} not shown"


def _aligned(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """The first column and a tenth to the left, the others to the right; what is too wide loses its middle."""
    widths = [max(map(_wide, column)) for column in zip(*rows, strict=True)]
    others = sum(size + len(_GAP) for size in widths[1:9])
    widths[0] = min(widths[0], max(width - others, _NARROWEST))
    for row in rows:
        numbers = [_left(text, size) for text, size in zip(row[1:9], widths[1:9], strict=True)]
        line = _GAP.join([_right(_shortened(row[0], widths[0]), widths[0]), *numbers])
        rest = row[9] if len(row) > len(widths[:9]) else ""
        room = width - _wide(line) - len(_GAP)
        yield f"{line}{_GAP}{_cut(rest, room)}" if rest and room >= _NARROWEST else line


def _left(text: str, size: int) -> str:
    return " " * (size - _wide(text)) + text


def _right(text: str, size: int) -> str:
    return text + " " * (size - _wide(text))


def _wide(text: str) -> int:
    """How many columns *text* takes on a terminal."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"F", "W"} else 1


def _shortened(text: str, size: int) -> str:
    """*text* in at most *size* columns: its beginning and its end, which say the most of a path."""
    if _wide(text) <= size:
        return text
    room = size - len("...")
    end = _fitting(text[::-1], room - room // 3)
    return f"{_fitting(text, room // 3)}...{end[::-1]}"


def _cut(text: str, size: int) -> str:
    """*text* in at most *size* columns: its beginning."""
    return text if _wide(text) <= size else f"{_fitting(text, size - len('...'))}..."


def _fitting(text: str, size: int) -> str:
    """As many characters as fit in *size* columns."""
    reached = itertools.accumulate(map(_columns, text))
    return "".join(each for each, columns in zip(text, reached, strict=True) if columns <= size)
