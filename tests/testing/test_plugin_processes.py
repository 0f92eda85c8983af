"""The plugin in processes of their own: workers, and commands that are pasted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

import agentflow_trio
from agentflow_trio.testing._overrides import PLUGIN

pytestmark = pytest.mark.slow

HOME: Final = Path(agentflow_trio.__file__).parents[1]

SOURCE: Final = """
import pytest, trio
from agentflow_trio.testing import explore

class Store:
    def __init__(self):
        self.number = 0

    async def add(self):
        number = self.number
        await trio.lowlevel.checkpoint()
        self.number = number + 1

async def program():
    store = Store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.add)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        nursery.start_soon(store.add)
    return store.number

def check(number):
    assert number == 2

@pytest.mark.simulation
@pytest.mark.parametrize("word", ["it's", "b c"])
async def test_marked(sim, word):
    await trio.sleep(sim.rng.random())
    check(await program())

def test_explored():
    explore(program, check=check).raise_on_failure()

def test_fine():
    explore(program).raise_on_failure()

if __name__ == "__main__":
    print(explore(program, check=check))
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python there, as from a shell; where CI is set, pytest tells every failure twice."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith("PYTEST")
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(HOME), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.joinpath("test_race.py").write_text(SOURCE)
    settings = (
        "[pytest]\nfilterwarnings = error\ntrio_mode = true\naddopts = -p no:cacheprovider\n"
    )
    tmp_path.joinpath("pytest.ini").write_text(settings)
    return tmp_path


def pasted(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """What comes of a command that was printed."""
    first, *words = shlex.split(command)
    assert first in {"pytest", "python"}
    return python(folder, *(["-m", "pytest"] if first == "pytest" else []), *words)


def test_workers_report_commands_that_repeat_each_failure_in_a_fresh_process(
    folder: Path,
) -> None:
    done = python(folder, "-m", "pytest", "-p", PLUGIN, "-n", "2", "--agentflow-seeds=60")
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    commands = re.findall(r"^replay: (pytest .*)$", done.stdout, re.MULTILINE)
    commands += re.findall(
        r"^E +replay: (pytest .*test_explored.*)$", done.stdout, re.MULTILINE
    )
    assert len(commands) == 3
    for command in commands[::2]:  # a marked one, and one that calls explore
        again = pasted(folder, command)
        assert "1 failed in" in again.stdout, again.stdout + again.stderr
        assert "assert 1 == 2" in again.stdout
        assert "schedule 1 fails" in again.stdout
        assert command in again.stdout


def test_what_a_script_prints_repeats_the_failure_too(folder: Path) -> None:
    done = python(folder, "test_race.py")
    assert not done.stderr
    (command,) = re.findall(r"^replay: (python .*)$", done.stdout, re.MULTILINE)
    again = pasted(folder, command)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "assert number == 2" in again.stdout
    assert command in again.stdout


def test_the_entry_point_has_the_name_of_the_module() -> None:
    """Else naming the plugin with ``-p`` would register it twice."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
