"""docs/examples/etl.py with real files and real databases: what it counts, what it keeps, what it holds."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import etl as example
from agentflow_trio import Engine, FlowFailedError, Share, Step, batch, fold
from agentflow_trio.events import Progress
from etl import Orders, Row

pytestmark = pytest.mark.slow


def orders(folder: Path, rows: int = 0) -> Orders:
    return Orders(str(folder / "orders.csv"), str(folder / "orders.db"), rows)


def selected(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "orders.db")) as database:
        return database.execute(query).fetchall()


def open_files(folder: Path) -> list[str]:
    """What this process has open below the folder, where the system tells."""
    places = Path("/proc/self/fd")
    links = [str(place.readlink()) for place in places.iterdir() if place.is_symlink()]
    return [link for link in links if link.startswith(str(folder))]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- from start to end


async def test_every_row_is_accepted_or_set_aside_with_its_line_and_the_reason(
    tmp_path: Path,
) -> None:
    result = await example.etl.run(orders(tmp_path, 10_000))
    done = result.state
    assert (done.accepted, done.rejected, done.lost) == (9_800, 200, 0)
    assert selected(tmp_path, "SELECT count(*) FROM orders") == [(9_800,)]
    assert selected(tmp_path, "SELECT line FROM rejects ORDER BY line") == [
        (number + 1,) for number in range(50, 10_001, 50)
    ]
    assert selected(tmp_path, "SELECT reason, count(*) FROM rejects GROUP BY reason") == [
        ("UNIQUE constraint failed: orders.id", 50),
        ("day is out of range for month", 50),
        ("no amount: 'n/a'", 50),
        ("no customer: ''", 50),
    ]
    assert selected(tmp_path, "SELECT * FROM orders WHERE id = 1234") == [
        (1234, "2026-05-20", "customer 237", 23434)
    ]
    assert selected(tmp_path, "SELECT text FROM rejects WHERE line = 51") == [
        ("50,2026-02-30,customer 50,50.50",)
    ]
    assert open_files(tmp_path) == []
    assert files(tmp_path) == ["orders.csv", "orders.db"]


async def test_a_file_of_ones_own_is_loaded_and_what_is_odd_in_it_set_aside(
    tmp_path: Path,
) -> None:
    (tmp_path / "orders.csv").write_bytes(
        b"id,day,customer,amount\r\n"
        b'1,2026-01-01,"Last, First",0.05\r\n'
        b"2,2026-01-01,too few\r\n"
        b"\r\n"
        b'3,2026-01-01,"two\nlines",1.00\r\n'
        b"4,2026-01-01,not UTF-8 \xff,1.00\r\n"
        b"5,2026-01-01,too exact,1.001\r\n"
        b"99999999999999999999,2026-01-01,too large,1.00\r\n"
        b"x,2026-01-01,no number,1.00\r\n"
        b"6,2026-01-02,last,7.00"
    )
    result = await example.etl.run(orders(tmp_path))
    assert (result.state.accepted, result.state.rejected, result.state.lost) == (2, 7, 0)
    assert selected(tmp_path, "SELECT * FROM orders ORDER BY id") == [
        (1, "2026-01-01", "Last, First", 5),
        (6, "2026-01-02", "last", 700),
    ]
    assert selected(tmp_path, "SELECT line, reason FROM rejects ORDER BY line") == [
        (3, "not enough values to unpack (expected 4, got 3)"),
        (4, "not enough values to unpack (expected 4, got 0)"),
        (6, "no customer: 'two\\nlines'"),
        (7, "no customer: 'not UTF-8 \\udcff'"),
        (8, "no amount: '1.001'"),
        (9, "Python int too large to convert to SQLite INTEGER"),
        (10, "invalid literal for int() with base 10: 'x'"),
    ]


async def test_a_row_that_is_too_long_for_a_csv_reader_costs_no_other(tmp_path: Path) -> None:
    rows = ["id,day,customer,amount", "1,2026-01-01," + "x" * 200_000 + ",1.00"]
    rows += [f"{number},2026-01-01,fine,1.00" for number in range(2, 5)]
    (tmp_path / "orders.csv").write_text("\n".join(rows), encoding="utf-8")
    done = (await example.etl.run(orders(tmp_path))).state
    assert (done.accepted, done.rejected) == (3, 1)
    ((text,),) = selected(tmp_path, "SELECT text FROM rejects")
    assert text == "field larger than field limit (131072)"


async def test_no_file_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(FlowFailedError) as caught:
        await example.etl.run(orders(tmp_path))
    assert isinstance(caught.value.only(), FileNotFoundError)
    assert open_files(tmp_path) == []


# ---------------------------------------------------------------- memory


async def peak(folder: Path, rows: int) -> int:
    """The most bytes that Python held while it loaded so many rows."""
    example.make_file(folder / "orders.csv", rows)
    tracemalloc.start()
    try:
        done = (await example.etl.run(orders(folder))).state
        assert done.accepted + done.rejected == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_ten_times_as_many_rows_need_no_more_memory(tmp_path: Path) -> None:
    few, many = await peak(tmp_path, 4_000), await peak(tmp_path, 40_000)
    assert many < 1.2 * few
    assert many < 2_000_000  # the file has 1,500,000, its rows as objects ten times that


# ---------------------------------------------------------------- when it does not come to its end


async def test_cancelled_half_way_the_database_is_consistent_and_nothing_is_open(
    tmp_path: Path,
) -> None:
    example.make_file(tmp_path / "orders.csv", 20_000)
    async with Engine() as engine, engine.start(example.etl, orders(tmp_path)) as run:
        async for event in run.events():
            if isinstance(event, Progress) and event.fraction >= 0.5:
                report = await run.cancel("half is enough")
                assert [cut.path for cut in report.cut_off][-1].startswith("etl/load")
    assert open_files(tmp_path) == []
    assert files(tmp_path) == ["orders.csv", "orders.db"]
    assert selected(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    many = lines_of_sample(tmp_path)
    assert 0 < many < 20_000
    assert many % example.SIZE == 0


def lines_of_sample(folder: Path) -> int:
    """How many rows of a file made by the example are in the database: the first ones, each once."""
    found = selected(folder, "SELECT id FROM orders UNION ALL SELECT line - 1 FROM rejects")
    assert sorted(found) == [(number,) for number in range(1, len(found) + 1)]
    return len(found)


class Faulty(example.Load):
    """The database refuses the second batch as a whole."""

    async def exec(self, rows: Sequence[Row]) -> Sequence[str]:
        if rows[0].line == example.SIZE + 2:
            raise sqlite3.OperationalError("disk I/O error")
        return await super().exec(rows)


async def test_a_batch_that_cannot_be_written_is_lost_and_counted(tmp_path: Path) -> None:
    faulty = batch(
        Faulty(),
        size=example.SIZE,
        into=fold(Counter[str], example.add),
        tolerate=Share(0.2),
    )
    flow = example.etl.replacing({example.load: Step(faulty, name="load")})
    result = await flow.run(orders(tmp_path, 10_000))
    done = result.state
    assert (done.accepted, done.rejected, done.lost) == (8_820, 180, 1_000)
    assert [str(error) for error in result.suppressed] == ["disk I/O error"]
    assert selected(tmp_path, "SELECT count(*) FROM orders") == [(8_820,)]


async def test_more_than_one_in_a_hundred_lost_is_a_failure(tmp_path: Path) -> None:
    faulty = batch(
        Faulty(),
        size=example.SIZE,
        into=fold(Counter[str], example.add),
        tolerate=Share(0.01),
    )
    flow = example.etl.replacing({example.load: Step(faulty, name="load")})
    with pytest.raises(FlowFailedError) as caught:
        await flow.run(orders(tmp_path, 10_000))
    assert str(caught.value.only()) == "disk I/O error"
    assert open_files(tmp_path) == []


# ---------------------------------------------------------------- the command line


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = os.pathsep.join(str(Path(folder).resolve()) for folder in given if folder)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONPATH": places, "NO_COLOR": "1"},
    )


def test_it_prints_how_far_it_is_and_figures_in_the_end(tmp_path: Path) -> None:
    done = python(example.__file__, "--rows", "3000", cwd=tmp_path)
    assert done.stderr == ""
    said = done.stdout.replace("\r", "\n").splitlines()
    assert "100% 3,001 lines" in said
    assert re.fullmatch(r"3,000 rows in [\d.]+ s, [\d,]+/s", said[-3])
    assert said[-2] == "2,940 accepted, 60 rejected, 0 lost"
    assert re.fullmatch(r"peak memory \d+ MB", said[-1])


@pytest.mark.cli
def test_agentflow_runs_it_too(tmp_path: Path) -> None:
    target = f"{example.__file__}:etl"
    done = python("-m", "agentflow_trio", "run", target, "--set", "rows=1000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "    accepted=980,\n    rejected=20,\n    lost=0\n" in done.stdout
