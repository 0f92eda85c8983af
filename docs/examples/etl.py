"""Load a CSV file of any length into sqlite, in little memory, and set aside the rows that are no good.

    python docs/examples/etl.py --rows 100000
    agentflow run docs/examples/etl.py:etl --set file=mine.csv --set database=mine.db

The rows stream through `batch`: a thread reads a thousand, another checks and writes them. A row
that is wrong, or that the database refuses, goes to the table ``rejects`` with its line and the
reason. A batch is one transaction: however this ends, each of its rows is in one of the two tables
or none is. If it cannot be written, say for a locked database, it is lost and counted; with more
than 1 % of the rows lost, the run fails.
"""

from __future__ import annotations

import argparse
import csv
import re
import sqlite3
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Final, Self

import trio
from attrs import define, frozen
from outcome import Maybe, Value

from agentflow_trio import (
    END,
    Engine,
    Share,
    Source,
    Step,
    Wiring,
    batch,
    current_step,
    flow,
    fold,
    step,
)
from agentflow_trio.events import NodeSucceeded, Progress

SIZE: Final = 1000  # rows read at once, and in a transaction
TABLES: Final = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
DROP TABLE IF EXISTS orders; DROP TABLE IF EXISTS rejects;
CREATE TABLE orders (id INTEGER PRIMARY KEY, day TEXT, customer TEXT, cents INTEGER);
CREATE TABLE rejects (line INTEGER PRIMARY KEY, reason TEXT, text TEXT);
"""
MISTAKES: Final = [(0, 1), (1, "2026-02-30"), (2, ""), (3, "n/a")]  # column, what stands there


@define
class Orders:
    """The state: the first three are given, the others are what came of it."""

    file: str = "orders.csv"
    database: str = "orders.db"
    rows: int = 0  # make a file with so many first
    accepted: int = 0
    rejected: int = 0
    lost: int = 0


@frozen
class Row:
    line: int
    cells: list[str]
    database: sqlite3.Connection


class Rows:
    """The rows of a file, read as they are asked for. The engine closes it, however the step ends."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._size, self._database, self._waiting = path.stat().st_size, database, deque[Row]()
        self._bytes = path.open("rb")
        text = TextIOWrapper(self._bytes, "utf-8", errors="surrogateescape", newline="")
        self._reader = csv.reader(text)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        if not self._waiting:
            self._waiting += await current_step().to_thread(self._read)
            if not self._waiting:
                raise StopAsyncIteration
            done = f"{self._reader.line_num:,} lines"
            current_step().report(min(1.0, self._bytes.tell() / self._size), done)
        return self._waiting.popleft()

    def _read(self) -> list[Row]:
        rows = list[Row]()
        while len(rows) < SIZE:
            try:
                cells = next(self._reader)
            except StopIteration:
                break
            except csv.Error as error:
                cells = [str(error)]
            if self._reader.line_num > 1:  # the names of the columns
                rows.append(Row(self._reader.line_num, cells, self._database))
        return rows

    async def aclose(self) -> None:
        self._bytes.close()


def write(rows: Sequence[Row]) -> list[str]:
    """Write rows in one transaction; say what became of each."""
    became = list[str]()
    with rows[0].database as database:  # commits, or rolls back
        for row in rows:
            try:
                database.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", order(row.cells))
                became.append("accepted")
            except (ValueError, OverflowError, sqlite3.IntegrityError) as error:
                text = ",".join(row.cells).encode(errors="replace").decode()
                rejected = row.line, str(error), text
                database.execute("INSERT INTO rejects VALUES (?, ?, ?)", rejected)
                became.append("rejected")
    return became


def order(cells: Sequence[str]) -> tuple[int, str, str, int]:
    """What to write of a row; an error says what is wrong with it."""
    number, day, customer, amount = cells
    if not customer or not customer.isprintable():
        raise ValueError(f"no customer: {customer!r}")
    euros = re.fullmatch(r"(\d{1,12})\.(\d\d)", amount)
    if euros is None:
        raise ValueError(f"no amount: {amount!r}")
    return int(number), str(date.fromisoformat(day)), customer, int(euros[1] + euros[2])


def connected(database: str) -> sqlite3.Connection:
    """Make the tables anew."""
    connection = sqlite3.connect(database, check_same_thread=False)
    connection.executescript(TABLES)
    return connection


@step
async def make(orders: Orders) -> None:
    """Make the file, if that was asked for."""
    if orders.rows:
        await current_step().to_thread(make_file, Path(orders.file), orders.rows)


def make_file(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "day", "customer", "amount"])
        for number in range(1, rows + 1):
            day = date(2026, 1, 1) + timedelta(number % 365)
            row = [number, day, f"customer {number % 997}", f"{number % 500}.{number % 100:02}"]
            if number % 50 == 0:
                column, mistake = MISTAKES[number // 50 % len(MISTAKES)]
                row[column] = mistake
            writer.writerow(row)


class Load:
    async def prep(self, shared: Orders) -> Source[Row]:
        here = current_step()
        database = await here.to_thread(connected, shared.database)
        here.on_cleanup(here.to_thread, database.close)  # when the step ends, however it does
        return await here.to_thread(Rows, Path(shared.file), database)

    async def exec(self, rows: Sequence[Row]) -> Sequence[str]:
        return await current_step().to_thread(write, rows)

    async def post(self, shared: Orders, _: Source[Row], total: Counter[str]) -> None:
        shared.accepted, shared.rejected = total["accepted"], total["rejected"]
        shared.lost = total["lost"]


def add(total: Counter[str], became: Maybe[str]) -> Counter[str]:
    total[became.value if isinstance(became, Value) else "lost"] += 1
    return total


loading = batch(Load(), size=SIZE, into=fold(Counter[str], add), tolerate=Share(0.01))
load = Step(loading, name="load")


@flow
def etl() -> Wiring[Orders]:
    """Load orders from a CSV file into sqlite."""
    return [make.then(load), load.then(END)]


async def main(orders: Orders) -> None:
    async with Engine() as engine, engine.start(etl, orders) as run:
        async for event in run.events():
            match event:
                case Progress():
                    print(f"\r{event.fraction:4.0%} {event.text}", end="", flush=True)
                case NodeSucceeded(node_id="load", duration_ms=float(ms)):
                    rows = run.state.accepted + run.state.rejected
                    print(f"\r{rows:,} rows in {ms / 1000:.2f} s, {rows / ms * 1000:,.0f}/s")
                case _:
                    pass
        done = (await run.result()).state
    print(f"{done.accepted:,} accepted, {done.rejected:,} rejected, {done.lost:,} lost")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=etl.__doc__)
    parser.add_argument("--file", default="orders.csv")
    parser.add_argument("--database", default="orders.db")
    parser.add_argument("--rows", type=int, default=0, help="make a file with so many first")
    given = parser.parse_args()
    trio.run(main, Orders(given.file, given.database, given.rows))
    with suppress(ImportError):  # Windows has none
        import resource

        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
