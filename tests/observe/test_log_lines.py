"""Lines of a log: one per record, however odd what it holds, and never one that could pass for another."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from agentflow_trio.observe._log_lines_core import iso
from agentflow_trio.observe.logs import console_logger, json_logger

WHEN = "2026-01-31T09:30:00.000000Z"

made = pytest.mark.parametrize("logger", [console_logger, json_logger])
Made = Callable[[io.StringIO], FilteringBoundLogger]


class Hostile:
    """Raises when it is looked at."""

    @override
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Unreadable(Mapping[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        return 1

    @override
    def __repr__(self) -> str:
        return "Unreadable()"


def circle() -> list[object]:
    round_: list[object] = []
    round_.append(round_)
    return round_


def round_trip() -> dict[str, object]:
    there: dict[str, object] = {}
    there["back"] = there
    return there


def nested(inside: object) -> object:
    for _ in range(8):
        inside = {"back": inside}
    return inside


def fail(text: str) -> None:
    raise ValueError(text)


def read(file: io.StringIO) -> dict[str, Any]:
    (line,) = file.getvalue().splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def test_a_line_for_people_is_when_how_much_what_and_the_fields() -> None:
    file = io.StringIO()
    console_logger(file).warning("slow", timestamp=WHEN, path="f/a", seconds=0.25, tries=3)
    console_logger(file).info("two words", timestamp=WHEN, why="it said so", note=None, ok=True)
    assert file.getvalue() == (
        f"{WHEN} [warning ] slow path=f/a seconds=0.25 tries=3\n"
        f'{WHEN} [info    ] two words why="it said so" note=None ok=True\n'
    )


def test_a_line_of_json_has_the_same_fields_with_their_types() -> None:
    file = io.StringIO()
    json_logger(file).error("slow", timestamp=WHEN, path="f/a", seconds=0.25, tries=3)
    assert file.getvalue() == (
        f'{{"timestamp": "{WHEN}", "level": "error", "event": "slow", "path": "f/a", '
        '"seconds": 0.25, "tries": 3}\n'
    )


@made
@given(text=st.text(), key=st.text(min_size=1), event=st.text())
def test_no_text_forges_a_line_or_moves_the_cursor(
    logger: Made, text: str, key: str, event: str
) -> None:
    file = io.StringIO(newline="")
    logger(file).bind(**{key: text}).info(event, timestamp=WHEN, message=text)
    line = file.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_an_error_text_with_a_forged_record_in_it_stays_a_field() -> None:
    forged = f"oops\n{WHEN} [info    ] run_end outcome=success\x1b[2K\r\u2028\u202e"
    file = io.StringIO(newline="")
    console_logger(file).error("node_error", timestamp=WHEN, message=forged)
    assert file.getvalue() == (
        f'{WHEN} [error   ] node_error message="oops\\n{WHEN} [info    ] run_end '
        'outcome=success\\u001b[2K\\r\\u2028\\u202e"\n'
    )


def test_a_traceback_in_which_a_record_is_forged_has_a_bar_before_every_line() -> None:
    file = io.StringIO(newline="")
    log = console_logger(file)
    try:
        fail(f"oops\n{WHEN} [info    ] run_end outcome=success\x1b[2K")
    except ValueError:
        log.exception("it broke", timestamp=WHEN)
    first, *below = file.getvalue().splitlines()
    assert first == f"{WHEN} [error   ] it broke"
    assert below[0] == "    | Traceback (most recent call last):"
    assert below[-1] == f"    | {WHEN} [info    ] run_end outcome=success\\x1b[2K"
    assert {line[:6] for line in below} == {"    | "}


def test_a_traceback_is_a_field_of_json() -> None:
    file = io.StringIO()
    try:
        fail("oops")
    except ValueError:
        json_logger(file).exception("it broke")
    assert read(file)["exception"].splitlines()[-1] == "ValueError: oops"


@pytest.mark.parametrize(
    ("value", "plain", "shown"),
    [
        (math.nan, "nan", '"nan"'),
        (math.inf, "inf", '"inf"'),
        (1e300, 1e300, "1e+300"),
        (1e15, 1e15, "1000000000000000.0"),
        (-0.1234567, -0.1234567, "-0.123457"),
        pytest.param(2**20_000, "<20001 bits>", '"<20001 bits>"', id="a huge number"),
        pytest.param(2**13_999, 2**13_999, '"<14000 bits>"', id="too long for people"),
        pytest.param(2**13_998, 2**13_998, None, id="long"),
        (2**5, 32, "32"),
        (("a\n", 1), ["a\n", 1], '["a\\n", 1]'),
        ({3: {"x": b"\x00"}}, {"3": {"x": "b'\\x00'"}}, '{"3": {"x": "b\'\\\\x00\'"}}'),
        ({"b", "a"}, ["a", "b"], '["a", "b"]'),
        (Hostile(), "<Hostile: its repr raised RuntimeError>", None),
        (Unreadable(), "Unreadable()", '"Unreadable()"'),
        ({(1, 2): Hostile()}, {"(1, 2)": "<Hostile: its repr raised RuntimeError>"}, None),
        ([None, True, "日本"], [None, True, "日本"], '[null, true, "日本"]'),
        (round_trip(), nested("..."), None),
        (circle(), [[[[[[[["..."]]]]]]]], '[[[[[[[["..."]]]]]]]]'),
        ("\udc80", "\udc80", '"\\udc80"'),
        ("", "", '""'),
        ("a=b", "a=b", '"a=b"'),
        ("X", "X", "X"),
        ("日 本", "日 本", '"日 本"'),
        ('say "x"', 'say "x"', '"say \\"x\\""'),
    ],
)
def test_odd_values_are_logged_as_something(
    value: object, plain: object, shown: str | None
) -> None:
    file = io.StringIO()
    json_logger(file).info("odd", value=value)
    assert read(file)["value"] == plain
    file = io.StringIO()
    console_logger(file).info("odd", timestamp=WHEN, value=value)
    shown = shown or json.dumps(plain)
    assert file.getvalue() == f"{WHEN} [info    ] odd value={shown}\n"


def test_what_is_said_need_not_be_a_text() -> None:
    file = io.StringIO()
    said: Any = Hostile()
    console_logger(file).info(said, timestamp=WHEN)
    json_logger(file).info(said, timestamp=WHEN)
    hostile = "<Hostile: its repr raised RuntimeError>"
    assert file.getvalue().splitlines()[0] == f"{WHEN} [info    ] {hostile}"
    assert json.loads(file.getvalue().splitlines()[1])["event"] == hostile


def test_nothing_need_be_said() -> None:
    file = io.StringIO()
    nothing: Any = None
    console_logger(file).info(nothing, timestamp=WHEN, seconds=1)
    assert file.getvalue() == f"{WHEN} [info    ]  seconds=1\n"


def test_a_terminal_that_knows_ascii_only_gets_escapes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as file:
        console_logger(file).info("heiß", timestamp=WHEN, ort="日本")
        json_logger(file).info("heiß", timestamp=WHEN)
    console, as_json = path.read_text(encoding="ascii").splitlines()
    assert console == f"{WHEN} [info    ] hei\\xdf ort=\\u65e5\\u672c"
    assert json.loads(as_json)["event"] == "heiß"


class Full(io.StringIO):
    """A file on a disk that is full for a while."""

    full = True

    @override
    def write(self, text: str, /) -> int:
        if self.full:
            raise OSError("no space left on device")
        return super().write(text)


@made
def test_lines_that_cannot_be_written_are_counted_in_the_next_that_can(logger: Made) -> None:
    file = Full()
    log = logger(file)
    log.info("one")
    log.info("two")
    file.full = False
    log.info("three")
    log.info("four")
    three, four = file.getvalue().splitlines()
    assert "three" in three
    assert ("lines_lost=2" if logger is console_logger else '"lines_lost": 2') in three
    assert "lines_lost" not in four


@made
def test_a_closed_file_is_no_reason_to_fail(logger: Made) -> None:
    file = io.StringIO()
    log = logger(file)
    file.close()
    log.info("nobody reads this")


def test_values_bound_to_the_logger_are_in_its_lines() -> None:
    file = io.StringIO()
    log = json_logger(file).bind(tenant="acme")
    log.info("begun")
    assert read(file)["tenant"] == "acme"


def test_no_clock_can_make_a_line_fail() -> None:
    file = io.StringIO()
    log = console_logger(file)
    log.info("when?", timestamp=Hostile())
    log.info("when?", timestamp="now\nor never")
    assert [line.partition(" [")[0] for line in file.getvalue().splitlines()] == [
        "<Hostile: its repr raised RuntimeError>",
        "now\\nor never",
    ]


@given(st.floats(min_value=-1e10, max_value=1e10))
def test_a_time_is_what_python_makes_of_it(wall: float) -> None:
    at = datetime.fromtimestamp(wall, UTC).isoformat(timespec="microseconds")

    assert iso(wall) == at.replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("wall", "told"),
    [
        (0.999_999_6, "1970-01-01T00:00:01.000000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (-0.0, "1970-01-01T00:00:00.000000Z"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1e300, "1e+300"),
    ],
)
def test_a_time_that_is_odd(wall: float, told: str) -> None:
    assert iso(wall) == told
