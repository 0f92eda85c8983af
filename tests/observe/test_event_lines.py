"""A file of events gives back the very events that were written; what is wrong with one is said with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.events import (
    EVENT_TYPES,
    CallRejected,
    ExecutionEvent,
    ItemFailed,
    LoopBlocked,
    NodeFailed,
    NodeStarted,
    RunEnded,
)
from agentflow_trio.observe import EventLineError, read_events, write_event

STARTED: Final = NodeStarted(run_id="r1", seq=3, path="editorial/review#2", timestamp=1.5)

Line = dict[str, Any]


def read_all(*lines: str) -> tuple[list[ExecutionEvent], list[str]]:
    """The events of *lines*, and what was told about them."""
    told: list[str] = []
    return list(read_events(lines, tell=told.append)), told


def changed(line: str, *, fields: Mapping[str, object] | None = None, **head: object) -> str:
    """The line with other values."""
    record: Line = json.loads(line)
    record |= head
    if fields is not None:
        record["fields"] |= fields
    return json.dumps(record)


def without(line: str, name: str) -> str:
    """The line with a field less."""
    record: Line = json.loads(line)
    del (record if name in record else record["fields"])[name]
    return json.dumps(record)


@st.composite
def events(draw: st.DrawFn, kind: type[ExecutionEvent]) -> ExecutionEvent:
    """Any event of a kind, with values that its annotations allow."""
    attrs.resolve_types(kind)
    fields = attrs.fields(kind)
    values = {field.name: draw(st.from_type(field.type)) for field in fields}
    return kind(**values)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
@given(data=st.data())
def test_what_is_read_is_what_was_written(
    kind: type[ExecutionEvent], data: st.DataObject
) -> None:
    event = data.draw(events(kind))
    line = write_event(event)
    assert line.isascii()
    assert "\n" not in line
    read, told = read_all(line)
    assert told == []
    assert type(read[0]) is kind
    assert repr(read) == repr([event])  # `nan` is not equal to itself


def test_a_line_says_what_only_its_event_has_as_text_and_with_its_types() -> None:
    event = CallRejected(
        run_id="r1",
        seq=0,
        path="f/a",
        timestamp=2.0,
        guard="db",
        reason="full",
        retry_after=None,
    )
    assert json.loads(write_event(event)) == {
        "event_type": "rejected",
        "seq": 0,
        "path": "f/a",
        "node_id": "a",
        "timestamp": 2.0,
        "duration_ms": None,
        "run_id": "r1",
        "metadata": {"guard": "db", "reason": "full"},
        "fields": {"guard": "db", "reason": "full", "retry_after": None},
    }


def test_numbers_that_json_does_not_have_are_texts() -> None:
    """Other programs refuse a file with ``Infinity`` in it."""
    event = attrs.evolve(STARTED, timestamp=math.inf, duration_ms=-math.inf)
    line = write_event(event)
    assert "Infinity" not in line
    assert read_all(line) == ([event], [])


def test_numbers_keep_every_digit_and_lists_are_tuples_again() -> None:
    event = LoopBlocked(
        run_id="r",
        seq=1,
        path="f/a",
        timestamp=0.1 + 0.2,
        seconds=1e-300,
        task="t",
        stack=("a", "b"),
    )
    assert read_all(write_event(event)) == ([event], [])


def test_line_breaks_and_empty_lines_make_no_difference() -> None:
    line = write_event(STARTED)
    assert read_all("\n", f"{line}\r\n", " \n", line, "") == ([STARTED, STARTED], [])


def test_lines_are_read_as_they_are_asked_for() -> None:
    """A file of a day is not held in memory; only the next line is."""
    taken: list[int] = []

    def endless() -> Any:
        number = 0
        while True:
            taken.append(number)
            yield write_event(attrs.evolve(STARTED, seq=number))
            number += 1

    events = read_events(endless())
    assert next(events).seq == 0
    assert next(events).seq == 1
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("length", [1, 20, -1])
def test_a_last_line_that_was_cut_off_is_told_and_left_out(length: int) -> None:
    """The process was killed while it wrote."""
    line = write_event(STARTED)
    events, told = read_all(f"{line}\n", line[:length])
    assert events == [STARTED]
    assert told == ["line 2, the last one, was cut off and is left out"]


def test_a_whole_last_line_needs_no_line_break() -> None:
    assert read_all(write_event(STARTED)) == ([STARTED], [])


def test_events_of_a_later_version_are_told_once_and_left_out() -> None:
    line = write_event(STARTED)
    later = changed(line, event_type="node_moved")
    assert read_all(later, line, later) == (
        [STARTED],
        [
            'line 1: "node_moved" is no event that this version knows; all of that type are left out'
        ],
    )


def test_fields_of_a_later_version_are_told_once_and_left_out() -> None:
    line = write_event(STARTED)
    later = changed(line, fields={"colour": "red"})
    assert read_all(later, later) == (
        [STARTED, STARTED],
        [
            'line 1: node_start has a field "colour" that this version does not know; it is left out'
        ],
    )


def test_who_does_not_say_how_is_told_by_a_warning() -> None:
    with pytest.warns(UserWarning, match="line 1, the last one, was cut off"):
        assert list(read_events(["{"])) == []


FAILED: Final = write_event(
    NodeFailed(
        run_id="r",
        seq=0,
        path="f/a",
        timestamp=0.0,
        phase="exec",
        attempt=1,
        error="OSError",
        message="gone",
    )
)
ENDED: Final = write_event(
    RunEnded(
        run_id="r",
        seq=0,
        path="f",
        timestamp=0.0,
        flow="f",
        outcome="error",
        exit=None,
        steps=1,
        error="x",
    )
)
BLOCKED: Final = write_event(
    LoopBlocked(run_id="r", seq=0, path="f", timestamp=0.0, seconds=1.0, task="t", stack=())
)
ITEM: Final = write_event(
    ItemFailed(
        run_id="r",
        seq=0,
        path="f[0]",
        timestamp=0.0,
        attempt=1,
        error="OSError",
        message="gone",
        tolerated=True,
    )
)


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("nonsense\n", "", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("[]", "", "it is not a JSON object"),
        ("[" * 100_000 + "\n", "", "it is not JSON (maximum recursion depth exceeded"),
        ("{}", "event_type", "is missing"),
        ('{"event_type": 5}', "event_type", "is 5, not a text"),
        ('{"event_type": "routed"}', "fields", "is missing"),
        (
            '{"event_type": "routed", "fields": [1]}',
            "fields",
            "is [1], not a JSON object",
        ),
        (without(FAILED, "seq"), "seq", "is missing"),
        (without(FAILED, "message"), "message", "is missing"),
        (changed(FAILED, seq="1"), "seq", 'is "1", not a whole number'),
        (changed(FAILED, seq=True), "seq", "is true, not a whole number"),
        (changed(FAILED, path=None), "path", "is null, not a text"),
        (changed(FAILED, timestamp="soon"), "timestamp", 'is "soon", not a number'),
        (changed(FAILED, timestamp=False), "timestamp", "is false, not a number"),
        (changed(FAILED, duration_ms=[]), "duration_ms", "is [], not a number or null"),
        (
            changed(FAILED, fields={"phase": "x" * 99}),
            "phase",
            f'is "{"x" * 56}..., not one of "prep", "exec", "post", "cleanup", "flow"',
        ),
        (changed(ITEM, fields={"tolerated": 1}), "tolerated", "is 1, not true or false"),
        (changed(ENDED, fields={"outcome": []}), "outcome", "is [], not one of"),
        (changed(BLOCKED, fields={"stack": "a"}), "stack", 'is "a", not a list of texts'),
        (changed(BLOCKED, fields={"stack": [1]}), "stack", "is [1], not a list of texts"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_field(
    line: str, field: str, problem: str
) -> None:
    events = read_events(["\n", write_event(STARTED), line])
    assert next(events) == STARTED
    with pytest.raises(EventLineError) as caught:
        next(events)
    error = caught.value
    assert (error.line, error.field) == (3, field)
    assert error.problem.startswith(problem)
    place = f"line 3, field '{field}'" if field else "line 3"
    assert str(error) == (
        f"{place}: {error.problem}; "
        "give a file that `agentflow run --events` or `write_event` has written"
    )
