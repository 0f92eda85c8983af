"""What measures searches on planted bugs tells found from missed, and a false alarm from none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUN = Path(__file__).parents[1] / "corpus" / "run.py"

RACE = """
import trio

async def program(rng, buggy):
    lock, stored = trio.Lock(), [0]
    async def add():
        if not buggy:
            await lock.acquire()
        read = stored[0]
        await trio.lowlevel.checkpoint()
        stored[0] = read + 1
        if not buggy:
            lock.release()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(add)
        nursery.start_soon(add)
    return stored[0]
"""
RAISES = RACE + "\ndef check(seen): assert seen == 2\n"
RETURNS_FALSE = RACE + "\ndef check(seen): return seen == 2\n"
RETURNS_TEXT = RACE + "\ndef check(seen): return '' if seen == 2 else f'{seen} were added'\n"
HANGS = """
import trio

async def program(rng, buggy):
    if buggy:
        await trio.Event().wait()

def check(seen): return None
"""
FLAWLESS = "async def program(rng, buggy): return True\ndef check(seen): return seen\n"
FALSE_TWIN = "async def program(rng, buggy): return False\ndef check(seen): return seen\n"
NO_CASE = "import trio\n"
BROKEN = "raise SystemExit('broken')\n"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def test_bugs_of_every_kind_are_found_and_repeated_in_a_fresh_process(tmp_path: Path) -> None:
    write(tmp_path, a=RAISES, b=RETURNS_FALSE, c=RETURNS_TEXT, d=HANGS, _helper=BROKEN)
    done = run(tmp_path, "--twins", "20", "--policy", "portfolio")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "portfolio: found 4 of 4" in done.stdout
    assert "0 false alarms in 20 schedules of each twin" in done.stdout
    assert "failed again in a fresh process: 4 of 4" in done.stdout
    assert "WRONG" not in done.stdout
    assert "4/4 d: found by schedule 1" in done.stderr


def test_all_that_is_wrong_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path, a=FLAWLESS, b=FALSE_TWIN, c=NO_CASE, d=BROKEN, e=RETURNS_FALSE)
    done = run(tmp_path, "--twins", "2", "--seeds", "20", "--policy", "portfolio")
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG ")]
    assert wrong[0] == "WRONG a: not found by portfolio"
    assert wrong[1:] == [
        "WRONG b: false alarm of portfolio: os1000000: AssertionError('check() returned False for False')",
        "WRONG c: has no program()",
        "WRONG d: cannot be imported: SystemExit('broken')",
    ]
    assert "portfolio: found 2 of 3" in done.stdout


def test_one_case_or_one_schedule_alone(tmp_path: Path) -> None:
    write(tmp_path, a=RAISES, b=FLAWLESS)
    one = run(tmp_path, "--case", "a", "--policy", "batch", "--twins", "5")
    assert (one.returncode, "batch: found 1 of 1" in one.stdout) == (0, True)
    usual = run(tmp_path, "--replay", "a", "os0:")
    assert usual.returncode == 1 - ("no failure" in usual.stdout)
    fine = run(tmp_path, "--replay", "b", "os0:1")
    assert (fine.returncode, "no failure" in fine.stdout) == (0, True)


def test_cases_of_ours_are_found() -> None:
    names = "--case", "lockstep_pair", "--case", "near_tie_timers"
    done = run(RUN.parent, *names, "--policy", "portfolio", "--twins", "50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "portfolio: found 2 of 2" in done.stdout
