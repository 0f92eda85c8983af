"""What goes on in the steps of the table just now, from a snapshot.

Layer: cli.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

from ..engine import RunSnapshot, VisitSnapshot
from ._board import place_of

__all__ = ["going_on"]

_LINES: Final = 4
"""So many things side by side have lines of their own."""


def going_on(live: RunSnapshot | None) -> Mapping[str, tuple[str, list[tuple[str, str]]]]:
    """For each place: what its only visit does, and name and doing of each line below it.

    Of items, and of visits at once, those that are alike share a line.
    """
    at = dict[str, list[VisitSnapshot]]()
    for visit in () if live is None else live.visits():
        at.setdefault(place_of(visit.path), []).append(visit)
    return {place: _told(visits) for place, visits in at.items()}


def _told(visits: Sequence[VisitSnapshot]) -> tuple[str, list[tuple[str, str]]]:
    whole = [visit for visit in visits if visit.item is None]
    if len(whole) == 1:
        return _doing(whole[0]), _lines([visit for visit in visits if visit.item is not None])
    return "", _lines(visits)


def _lines(visits: Sequence[VisitSnapshot]) -> list[tuple[str, str]]:
    if len(visits) <= _LINES:
        return [(_name(visit), _doing(visit)) for visit in visits]
    alike = dict[str, list[VisitSnapshot]]()
    for visit in visits:
        alike.setdefault(re.sub(r"\d[\d.]* s more", "", _doing(visit)), []).append(visit)
    lines = [
        (f"{_name(first)}{f' and {len(others)} more' if others else ''}", _doing(first))
        for first, *others in alike.values()
    ]
    left = len(lines) - _LINES
    return [*lines[:_LINES], *([("...", f"{left} more kinds of waiting")] if left > 0 else [])]


def _name(visit: VisitSnapshot) -> str:
    """``[17]`` of an item, ``#2`` of a visit; the name of a branch's step."""
    segment = visit.path.rpartition("/")[2]
    return re.sub(r"^[^\[#]*(?=[\[#])", "", segment)


def _doing(visit: VisitSnapshot) -> str:
    """Phase, attempt, what is waited for, and where: ``exec, attempt 2, pool 'db' at nodes.py:17 Ask.exec``."""
    words: list[str] = [visit.phase]
    if visit.attempt > 1:
        words.append(f"attempt {visit.attempt}")
    words.append(visit.waits_for or "running")
    text = ", ".join(words)
    if visit.at is None:
        return text
    file, _, rest = visit.at.rpartition(":")
    return f"{text} at {PurePath(file).name}:{rest}"
