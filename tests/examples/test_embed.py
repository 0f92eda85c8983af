"""docs/examples/embed.py: a flow in somebody's own Trio program."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import embed

CUPS = [
    f"serving/pour {share} cup {cup} of 3"
    for cup, share in enumerate((" 33%", " 67%", "100%"), 1)
]


async def test_progress_is_told_while_it_runs(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await embed.main()
    assert capsys.readouterr().out.splitlines() == [*CUPS, "served in 0.3 s"]


async def test_their_cancellation_ends_it(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    with trio.move_on_after(0.25) as scope:
        await embed.main()
    assert scope.cancelled_caught
    assert trio.current_time() == 0.25
    assert capsys.readouterr().out.splitlines() == CUPS[:2]


def test_it_is_a_page_long() -> None:
    assert len(Path(embed.__file__).read_text(encoding="utf-8").splitlines()) < 40
