"""Progress on a terminal: a table of the steps, redrawn in place (needs rich).

Layer: cli. Rule: it shows a `Board` and knows nothing else of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, final

import trio
from rich.console import Console, ConsoleDimensions, OverflowMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..engine import RunSnapshot
from ._board import Board, Row, Status
from ._lines import one_line
from ._live import going_on
from ._showing import shown
from .complaint import complain

__all__ = ["Display", "picture"]

PERIOD: Final = 0.1
"""Seconds between two redraws."""

_SIGNS: dict[Status, tuple[str, str, str]] = {  # sign, where only ASCII can be shown, style
    "waiting": ("·", ".", "dim"),
    "running": ("●", "*", "cyan"),
    "done": ("✓", "+", "green"),
    "failed": ("✗", "x", "bold red"),
    "cancelled": ("◌", "-", "yellow"),
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_WIDTH: Final = 16


@final
class Display:
    """The table while a run goes on: ``with Display(board, console) as display:``, and `keep_drawing` in a task."""

    def __init__(self, board: Board, console: Console, *, live: bool = False) -> None:
        """Show *board* on *console*; if *live*, with what goes on in the steps that run."""
        self._board = board
        self._looks = live
        self._now: RunSnapshot | None = None
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    @property
    def observer(self) -> Board:
        """What it shows."""
        return self._board

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._now = None
        self.draw()
        self._live.stop()

    def say(self, text: str) -> None:
        """Write a line above the table."""
        self._console.print(Text(shown(text), style="bold yellow"))

    def fail(self, text: str) -> None:
        """Write below the table what the run failed with."""
        complain(text)

    def draw(self) -> None:
        """Draw the table as things stand. Not a checkpoint."""
        table = picture(
            self._board,
            trio.current_time(),
            size=self._console.size,
            ascii_only=self._console.options.ascii_only,
            live=self._now,
        )
        self._live.update(table, refresh=True)

    def restore(self) -> None:
        """Leave the terminal usable although the program ends here and now."""
        self._console.show_cursor()

    async def keep_drawing(self, look: Callable[[], RunSnapshot], /) -> None:
        """Redraw until cancelled. Always a checkpoint."""
        while True:
            begun = time.perf_counter()
            if self._looks:
                self._now = look()
            self.draw()
            # of many thousand branches a look takes long: a tenth of the time is enough for it
            took = time.perf_counter() - begun if self._looks else 0.0
            await trio.sleep(max(PERIOD, 9.0 * took))


def picture(
    board: Board,
    now: float,
    *,
    size: ConsoleDimensions,
    ascii_only: bool,
    live: RunSnapshot | None = None,
) -> Table:
    """The table of *board* at *now* for a terminal of *size*; what happens comes before what has happened.

    With *live*, a step that runs says what it waits for, and what goes on in it at once has lines of its own.
    The last columns stay empty: there a terminal puts its ``^C``, which would otherwise move the cursor on a line.
    """
    rows = board.rows
    alerts = [*board.alerts.values()][: max(0, size.height - 4)]
    shown = _most_interesting(rows, max(1, size.height - 3 - len(alerts)))
    cut: OverflowMethod = "crop" if ascii_only else "ellipsis"
    table = Table.grid(padding=(0, 1), expand=True)
    table.width = max(20, size.width - 4)
    table.add_column(no_wrap=True, overflow=cut, max_width=max(8, size.width // 2))
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow=cut, ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_row(*_head(board, now, ascii_only=ascii_only))
    room = max(0, size.height - 3 - len(alerts) - len(shown))
    goes_on = going_on(live)
    for row in shown:
        own, inside = goes_on.get(row.place, ("", []))
        table.add_row(*_cells(row, now, own, ascii_only=ascii_only))
        for name, text in inside[:room]:
            margin = "  " * (row.depth + 2)
            table.add_row(Text(margin + one_line(name)), Text(), Text(one_line(text), "cyan"))
        room -= min(room, len(inside))
    for status, words in alerts:
        sign, style = _sign(status, now, ascii_only=ascii_only)
        table.add_row(Text.assemble("  ", (sign, style)), Text(), Text(one_line(words), style))
    if len(shown) < len(rows):
        table.add_row(Text(f"  {len(rows) - len(shown)} more steps", style="dim"))
    return table


def _most_interesting(rows: Sequence[Row], room: int) -> list[Row]:
    if len(rows) <= room:
        return [*rows]
    ranked = sorted(
        rows, key=lambda row: (row.running == 0, row.status != "failed", -row.changed)
    )
    chosen = {row.place for row in ranked[: max(1, room - 1)]}
    return [row for row in rows if row.place in chosen]


def _head(board: Board, now: float, *, ascii_only: bool) -> tuple[Text, Text, Text, Text]:
    sign, style = _sign(board.outcome, now, ascii_only=ascii_only)
    visits = f"{board.visits} visit{'s' * (board.visits != 1)}" + (
        f", exit {board.exit}" if board.exit else ""
    )
    return (
        Text.assemble((f"{sign} ", style), (one_line(board.flow), "bold")),
        Text(),
        Text(visits, style="dim"),
        Text(f"{board.elapsed(now):.1f} s", style="bold"),
    )


def _cells(
    row: Row, now: float, own: str, *, ascii_only: bool
) -> tuple[Text, Text, Text, Text]:
    sign, style = _sign(row.status, now, ascii_only=ascii_only)
    name_style = "dim" if row.status == "waiting" else ""
    return (
        Text.assemble(
            "  " * (row.depth + 1), (f"{sign} ", style), (one_line(row.name), name_style)
        ),
        Text(f"x{row.visits}" if row.visits > 1 else "", style="dim"),
        _status(row, own, ascii_only=ascii_only),
        Text(
            f"{row.elapsed(now):.1f} s" if row.visits else "",
            style="dim" if not row.running else "",
        ),
    )


def _sign(status: Status, now: float, *, ascii_only: bool) -> tuple[str, str]:
    sign, plain, style = _SIGNS[status]
    if status == "running" and not ascii_only:
        return _SPINNER[int(now / PERIOD) % len(_SPINNER)], style
    return plain if ascii_only else sign, style


def _status(row: Row, own: str, *, ascii_only: bool) -> Text:
    said = one_line(f"{row.text} {own}" if row.running else row.text)
    if ascii_only:
        said = said.replace("→", "->")
    if not row.running:
        return Text(said, style="red" if row.status == "failed" else "")
    several = f"{row.running} at once " if row.running > 1 else ""
    if row.fraction is None:
        return Text(several + (said or "running"), style="cyan")
    full = round(row.fraction * _WIDTH)
    done, left = ("#", ".") if ascii_only else ("━", "─")
    return Text.assemble(
        several,
        (done * full, "cyan"),
        (left * (_WIDTH - full), "dim"),
        f" {row.fraction:4.0%} {said}",
    )
