"""A log record as one line of text, for people or as JSON. Pure.

Layer: observe. Rules: whatever a record holds, it makes no second line that could pass for a record, moves no cursor of a
terminal, and raises nothing. The same record makes the same line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from .._typing import TypeIs

__all__ = ["console_line", "iso", "json_line", "ordered"]

_FIRST: Final = ("timestamp", "level", "event")
_PLACE: Final = ("run_id", "seq", "flow", "path", "node_id", "visit", "attempt", "item")
_ASIDE: Final = ("flow", "node_id", "run_id", "seq")
_HEAD: Final = (*_FIRST, *_PLACE)
_MILLION: Final = 1_000_000
_TEXTS: Final = ("exception", "stack")
_DEEP: Final = 8
_BITS: Final = 14_000


def ordered(
    record: Mapping[str, object], around: Mapping[str, object], first: Mapping[str, object]
) -> dict[str, object]:
    """One record of what is said (*record*) and what holds where it is said (*around*), *first* before both.

    Always in the same order, which that of context variables is not.
    """
    merged: dict[str, object] = {**around, **record, **first}
    line: dict[str, object] = {name: merged[name] for name in _HEAD if name in merged}
    more = [name for name in around if name not in line and name not in record]
    for name in sorted(more):
        line[name] = around[name]
    line.update(record)
    line.update(first)
    return line


def iso(wall: float) -> str:
    """A time of the day, as ``2026-01-31T09:30:00.000000Z``."""
    try:
        fraction, whole = math.modf(wall)
        micro = round(fraction * 1e6)
        if 0 <= micro < _MILLION:
            return f"{_second(whole)}.{micro:06d}Z"
        at = datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds")
    except (OverflowError, OSError, ValueError):  # no clock's time
        return str(wall)
    return at.replace("+00:00", "Z")


# one for all lines of a second: a fifth of what a line takes
@lru_cache(maxsize=16)
def _second(whole: float) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat().replace("+00:00", "")


def json_line(record: Mapping[str, object]) -> str:
    """*record* as JSON, in ASCII."""
    try:
        return _ENCODER.encode(record)
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # keys that are no text, not-a-number, a circle
        return _ENCODER.encode(_plain(record, -1))


def console_line(record: Mapping[str, object]) -> str:
    """*record* for people, in a line; tracebacks in further lines that begin with a bar."""
    when, level, event = (_visible(_shown(record.get(name, ""))) for name in _FIRST)
    head = [when, f"[{level:<8}]", event]
    rest = [name for name in record if name not in (*_FIRST, *_TEXTS, *_ASIDE)]
    rest += [name for name in _ASIDE if name in record]  # what people look at last
    pairs = [f"{_word(str(name))}={_value(record[name])}" for name in rest]
    texts = [_shown(record[name]) for name in _TEXTS if name in record]
    below = [f"    | {_visible(line)}" for text in texts for line in text.splitlines()]
    return "\n".join([" ".join([*head, *pairs]), *below])


def _value(value: object) -> str:
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, float) and abs(value) < 1e15:  # noqa: PLR2004 - beyond, digits after the point are no news
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if value is None or isinstance(value, bool):
        return str(value)
    return _visible(json.dumps(_plain(value), ensure_ascii=False))


def _word(text: str) -> str:
    """*text* as it is if it cannot be mistaken for more than one word; otherwise quoted."""
    plain = text.isprintable() and not any(mark in text for mark in ' "=')
    return text if text and plain else _visible(json.dumps(text, ensure_ascii=False))


def _visible(text: str) -> str:
    """*text* with an escape for what does not print: it may end lines, or move the cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return ascii(char)[1:-1]


def _plain(value: object, deep: int = 0) -> object:
    """*value* as what JSON knows; anything else as a text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    try:
        return "..." if deep == _DEEP else _inside(value, deep + 1)
    except Exception:  # noqa: BLE001 - a class of its own may raise anything when it is read
        return _shown(value)


def _inside(value: object, deep: int) -> object:
    if _is_mapping(value):
        return {_shown(key): _plain(each, deep) for key, each in value.items()}
    if _is_row(value):
        return [_plain(each, deep) for each in value]
    if _is_set(value):
        return sorted(_shown(each) for each in value)  # it has no order of its own
    return _shown(value)


def _is_mapping(value: object) -> TypeIs[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_row(value: object) -> TypeIs[list[object] | tuple[object, ...]]:
    return isinstance(value, list | tuple)


def _is_set(value: object) -> TypeIs[AbstractSet[object]]:
    return isinstance(value, AbstractSet)


def _number(value: float) -> float | str:
    if isinstance(value, int):
        # beyond 4,300 digits Python refuses to write it
        return value if value.bit_length() < _BITS else f"<{value.bit_length()} bits>"
    return value if math.isfinite(value) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a repr may raise anything, and a log line must not
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


_ENCODER: Final = json.JSONEncoder(allow_nan=False, default=_plain)
