"""Files and standard streams of a command: none is lost, none is missing without a word."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from .conftest import Project

QUICK = """
    @define
    class Seen:
        word: str = "x"

    @step
    async def look(seen: Seen) -> None: ...

    @flow
    def quick() -> Wiring[Seen]:
        return [look.then(END)]
"""


@pytest.mark.parametrize(
    ("tokens", "names"),
    [
        (["run", "quick.py", "--events", "a", "--report", "./a"], "--events and --report"),
        (["run", "quick.py", "--report", "quick.py"], "TARGET and --report"),
        (["run", "quick.py:quick", "--events", "link.py"], "TARGET and --events"),
        (["run", "quick.py", "--input", "i", "--events", "i"], "--input and --events"),
        (["run", "quick.py", "--alerts", "r", "--report", "r"], "--alerts and --report"),
        (["graph", "quick.py", "--output", "quick.py"], "TARGET and --output"),
        (["profile", "run.jsonl", "--html", "run.jsonl"], "EVENTS and --html"),
        (["alerts", "export", "rules.toml", "--output", "rules.toml"], "RULES and --output"),
    ],
)
def test_no_file_is_written_twice_or_over_what_is_read(
    project: Project, tokens: list[str], names: str
) -> None:
    source = project.write("quick.py", QUICK)
    (project.folder / "link.py").symlink_to(source)
    (project.folder / "rules.toml").write_text("", encoding="utf-8")
    before = source.read_text(encoding="utf-8")
    answer = project.run(*tokens)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {names} are the same file, ")
    assert answer.err.endswith("would be lost\nGive each a file of its own.\n")
    assert source.read_text(encoding="utf-8") == before
    found = {path.name for path in project.folder.iterdir()}
    assert found == {"quick.py", "link.py", "rules.toml"}


def test_what_is_no_file_may_be_named_twice(project: Project) -> None:
    project.write("quick.py", QUICK)
    answer = project.run("run", "quick.py", "--events", "/dev/null", "--report", "/dev/null")
    assert (answer.code, answer.out) == (0, "Seen(word='x')\n")
    assert "warning" not in answer.err


@contextmanager
def closed(*names: str) -> Generator[None]:
    """Without these standard streams; what stands in for them is closed in the end."""
    before = {name: getattr(sys, name) for name in names}
    for name in names:
        setattr(sys, name, None)
    try:
        yield
    finally:
        for name, stream in before.items():
            getattr(sys, name).close()
            setattr(sys, name, stream)


def test_an_answer_without_a_stdout_is_lost_and_that_is_said(project: Project) -> None:
    project.write("quick.py", QUICK)
    with closed("stdout"):
        answer = project.run("run", "quick.py")
    assert answer.code == 2
    assert "error: the answer cannot be written: " in answer.err


def test_without_stderr_and_stdin_a_command_does_what_it_should(project: Project) -> None:
    project.write("quick.py", QUICK)
    with closed("stderr", "stdin"):
        answer = project.run("run", "quick.py")
        wrong = project.run("run", "quick.py", "--input", "-")
    assert (answer.code, answer.out) == (0, "Seen(word='x')\n")
    assert wrong.code == 2


def test_no_error_of_a_node_moves_the_cursor_or_turns_the_direction_of_reading(
    project: Project,
) -> None:
    project.write(
        "evil.py",
        """
        @define
        class Seen: ...

        @step
        async def look(seen: Seen) -> None:
            raise ValueError("\\x1b]0;title\\x07\\x1b[2J\\u202egone\\nfor good")

        @flow
        def evil() -> Wiring[Seen]:
            return [look.then(END)]
        """,
    )
    answer = project.run("run", "evil.py", "--events", "run.jsonl")
    assert answer.err.endswith("ValueError:  ]0;title [2J gone\n      for good\n")
    printed = answer.err + project.run("profile", "run.jsonl").out
    assert all(each.isprintable() for each in printed.replace("\n", ""))
