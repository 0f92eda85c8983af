"""What the README shows is what happens: its commands, its output, its picture, its links."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: Final[list[tuple[str, str, str]]] = re.findall(
    r"^(<!-- type-error -->\n)?```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)


def blocks(language: str, *, wrong: bool = False) -> list[str]:
    return [text for mark, name, text in BLOCKS if name == language and bool(mark) is wrong]


def python(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the interpreter; who has the package on PYTHONPATH has it there too."""
    own = {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **(environ or {})}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **own, "PYTHONPATH": package_path()},
    )


def package_path() -> str:
    """PYTHONPATH as it is, its relative folders made absolute."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(str(Path(folder).resolve()) for folder in given if folder)


def settled(text: str) -> str:
    """*text* with every duration the same."""
    return re.sub(r"after \S+ s$", "after 0 s", text, flags=re.MULTILINE)


def test_its_program_prints_what_stands_below_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("".join(blocks("python")), encoding="utf-8")
    done = python(str(program), cwd=tmp_path)
    assert done.stderr == ""
    first, _, page, report, race = blocks("text")
    assert settled(done.stdout) == settled(first + page + report + placed(race, program))


def placed(text: str, program: Path) -> str:
    """*text* as it is when the program of the page is that file."""
    return text.replace("race.py", program.name)


@pytest.mark.types
def test_mypy_says_what_stands_below_the_mistake(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("".join([*blocks("python"), *blocks("python", wrong=True)]))
    ours = {"MYPYPATH": str(ROOT)}
    done = python("-m", "mypy", "--strict", program.name, cwd=tmp_path, environ=ours)
    said = re.findall(r"^program\.py:(\d+): (error: .*)$", done.stdout, re.MULTILINE)
    assert len(said) == 1
    line, message = said[0]
    assert f"{message}\n" == blocks("text")[1]
    assert "# error" in program.read_text().splitlines()[int(line) - 1]


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    here = [link for link in links if not link.startswith("https://")]
    assert len(here) >= 8
    assert [link for link in here if not (ROOT / link).exists()] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone has of the docs."""
    ignored = shutil.ignore_patterns("_*", "__pycache__")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=ignored)
    return tmp_path


def command() -> list[str]:
    """The first command of the README, from ``agentflow`` on."""
    line = blocks("console")[0]
    return shlex.split(line.rpartition("&& agentflow ")[2])


@pytest.mark.cli
def test_its_first_command_writes_a_digest_and_says_where(clone: Path) -> None:
    done = python("-m", "agentflow_trio", *command(), cwd=clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["    published='digest.md'", ")"]
    digest = (clone / "digest.md").read_text(encoding="utf-8")
    assert digest.startswith("# Digest of docs\n")
    assert "](docs/tutorials/first-flow.md)" in digest
    assert str(clone) not in digest


def test_the_agent_comes_through_an_outage_as_shown(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("console") if "outage.py" in block]
    line, _, below = shown.partition("\n")
    _, script = shlex.split(line.removeprefix("$ "))
    # a script finds what lies beside it, as it does for a reader
    done = python(str(ROOT / script), cwd=tmp_path, environ={"PYTHONSAFEPATH": ""})
    assert done.stderr == ""
    assert done.stdout == below
    assert below.count("503") == 8


def numberless(text: str) -> str:
    """*text* with every number and every id of a run the same."""
    return re.sub(r"\d+(\.\d+)?", "0", re.sub(r"run [0-9a-f-]{36}", "run 0", text))


@pytest.mark.cli
def test_what_is_seen_of_it_is_what_stands_below_the_command(clone: Path) -> None:
    (shown,) = [block for block in blocks("console") if "--report" in block]
    line, _, below = shown.partition("\n")
    tokens = shlex.split(line.removeprefix("$ agentflow ").replace("9464", "0"))
    done = python("-m", "agentflow_trio", *tokens, cwd=clone)
    assert done.returncode == 0, done.stderr
    seen = iter(numberless(done.stderr).splitlines())
    for expected in numberless(below).splitlines():
        assert expected == "..." or expected in seen, f"{expected}: not there, or not in order"
    assert "critical" in (clone / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.cli
def test_the_digest_is_the_same_in_every_process(clone: Path) -> None:
    pages = list[bytes]()
    for seed in ("1", "2"):
        done = python(
            "-m", "agentflow_trio", *command(), cwd=clone, environ={"PYTHONHASHSEED": seed}
        )
        assert done.returncode == 0, done.stderr
        pages.append((clone / "digest.md").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.cli
def test_a_folder_without_text_fails_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    target = f"{ROOT / 'docs' / 'examples' / 'digest.py'}:digest"
    done = python("-m", "agentflow_trio", "run", target, "--set", "folder=empty", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "NothingToReadError: no Markdown or text to condense in empty\n" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.cli
def test_its_picture_is_that_of_the_digest() -> None:
    target = "docs/examples/digest.py:digest"
    done = python("-m", "agentflow_trio", "graph", target, "--format", "mermaid", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert blocks("mermaid") == [done.stdout]
