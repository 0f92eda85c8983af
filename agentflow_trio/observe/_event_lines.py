"""Events as lines of JSON, and back: what a file of events holds is the very events that were told.

Layer: observe. Rules: one line is one event, and reading gives the same record again; what was cut off at the end, or
comes from a later version, is told and left out; anything else that is wrong ends the reading with its place.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, final

import attrs

from .._typing import override
from ..errors import AgentFlowError
from ..events import EVENT_TYPES, ExecutionEvent
from ._event_fields_core import (
    HEAD,
    Read,
    WrongKindError,
    is_object,
    own_fields,
    plain,
    readers,
)

__all__ = ["EventLineError", "read_events", "write_event"]

_MISSING: Final = object()


@final
@attrs.define(eq=False, kw_only=True)
class EventLineError(AgentFlowError, ValueError):
    """A line is no event.

    Attributes:
        line: its number, from 1.
        field: which of its fields is wrong; empty if it is the line as a whole.
        problem: what is wrong with it.
        remedy: what to do.
    """

    line: int
    field: str
    problem: str
    remedy: str

    @override
    def __str__(self) -> str:
        where = f"line {self.line}, field {self.field!r}" if self.field else f"line {self.line}"
        return f"{where}: {self.problem}; {self.remedy}"


def write_event(event: ExecutionEvent) -> str:
    """Return *event* as one line of JSON, in ASCII and without the line break.

    ``metadata`` has what only this kind of event says as text, as `metadata` of the event does; ``fields`` has the same
    with its types, None included. A number that is not finite is a text there, as JSON has none: ``"inf"``.
    """
    own = {name: plain(getattr(event, name)) for name in own_fields(event.event_type)}
    return json.dumps({
        "event_type": event.event_type,
        "seq": event.seq,
        "path": event.path,
        "node_id": event.node_id,
        "timestamp": plain(event.timestamp),
        "duration_ms": plain(event.duration_ms),
        "run_id": event.run_id,
        "metadata": event.metadata,
        "fields": own,
    })


def read_events(
    lines: Iterable[str], *, tell: Callable[[str], None] | None = None
) -> Iterator[ExecutionEvent]:
    """Read what `write_event` wrote, line by line as it is asked for; empty lines are passed over.

    Args:
        lines: an open file, or any lines with or without their line breaks.
        tell: called with a sentence for what is left out: a last line that was cut off, as when the process was killed;
            events and fields that a later version wrote, once for each kind. Without it that is a `UserWarning`.

    Raises:
        EventLineError: a line is no event; raised when it is reached.
    """
    reader = _Reader(_warn if tell is None else tell)
    held: tuple[int, str] | None = None  # it may be the last one, which may have been cut off
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if held is not None and (event := reader.read(*held)) is not None:
            yield event
        held = number, line
    if held is not None and (event := reader.read_last(*held)) is not None:
        yield event


@final
class _Reader:
    """Reads lines, and remembers what it told."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: dict[str, None] = {}

    def read(self, number: int, line: str) -> ExecutionEvent | None:
        """The event of a line; None if this version does not know it."""
        try:
            record: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _not_written_by_us(number, "", f"it is not JSON ({error})") from error
        if not is_object(record):
            raise _not_written_by_us(number, "", "it is not a JSON object")
        kind = self._kind(number, record)
        return None if kind is None else self._event(number, kind, record)

    def read_last(self, number: int, line: str) -> ExecutionEvent | None:
        """The same for the last line, which may have been cut off."""
        if not line.endswith("\n"):
            try:
                json.loads(line)
            except ValueError:
                self._tell(f"line {number}, the last one, was cut off and is left out")
                return None
        return self.read(number, line)

    def _kind(self, number: int, record: Mapping[str, object]) -> type[ExecutionEvent] | None:
        name = record.get("event_type", _MISSING)
        if not isinstance(name, str):
            problem = "is missing" if name is _MISSING else f"is {_shown(name)}, not a text"
            raise _not_written_by_us(number, "event_type", problem)
        kind = EVENT_TYPES.get(name)
        if kind is None:
            self._tell_once(
                f"line {number}: {_shown(name)} is no event that this version knows; "
                "all of that type are left out"
            )
        return kind

    def _event(
        self, number: int, kind: type[ExecutionEvent], record: Mapping[str, object]
    ) -> ExecutionEvent:
        own = record.get("fields")
        if not is_object(own):
            problem = "is missing" if own is None else f"is {_shown(own)}, not a JSON object"
            raise _not_written_by_us(number, "fields", problem)
        known = readers(kind.event_type)
        for name in own:
            if name not in known or name in HEAD:
                self._tell_once(
                    f"line {number}: {kind.event_type} has a field {_shown(name)} that this version does not know; "
                    "it is left out"
                )
        values: dict[str, Any] = {
            name: _value(
                number, name, (record if name in HEAD else own).get(name, _MISSING), read
            )
            for name, read in known.items()
        }
        return kind(**values)

    def _tell_once(self, sentence: str) -> None:
        what = sentence.partition(": ")[2]
        if what not in self._told:
            self._told[what] = None
            self._tell(sentence)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, UserWarning, stacklevel=2)


def _not_written_by_us(number: int, field: str, problem: str) -> EventLineError:
    remedy = "give a file that `agentflow run --events` or `write_event` has written"
    return EventLineError(line=number, field=field, problem=problem, remedy=remedy)


def _value(number: int, name: str, value: object, read: Read) -> object:
    if value is _MISSING:
        raise _not_written_by_us(number, name, "is missing")
    try:
        return read(value)
    except WrongKindError as error:
        problem = f"is {_shown(value)}, not {error.expected}"
        raise _not_written_by_us(number, name, problem) from error


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a look at it is enough
