"""``agentflow graph``: the pictures on stdout or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Project

SOURCE = """
    @define
    class Nothing:
        pass

    @step
    async def idle(nothing: Nothing) -> None: ...

    @flow
    def single() -> Wiring[Nothing]:
        return [idle.then(END)]
"""


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ((), "flow single"),
        (("--format", "text"), "flow single"),
        (("--format", "mermaid"), "flowchart TB"),
        (("--format", "dot"), "digraph flow {"),
    ],
)
def test_the_picture_goes_to_stdout_in_the_format_asked_for(
    project: Project, options: tuple[str, ...], first: str
) -> None:
    project.write("single.py", SOURCE)
    answer = project.run("graph", "single.py", *options)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.partition("\n")[0] == first
    assert answer.out.endswith("\n")


def test_the_picture_goes_to_a_file_if_one_is_named(project: Project) -> None:
    project.write("single.py", SOURCE)
    printed = project.run("graph", "single.py", "--format", "mermaid").out
    answer = project.run("graph", "single.py", "--format", "mermaid", "--output", "single.mmd")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (project.folder / "single.mmd").read_text(encoding="utf-8") == printed


def test_a_file_that_cannot_be_written_is_a_usage_error(project: Project) -> None:
    project.write("single.py", SOURCE)
    answer = project.run("graph", "single.py", "--output", "nowhere/single.txt")
    assert (answer.code, answer.err) == (
        2,
        "error: nowhere/single.txt cannot be written: No such file or directory\n",
    )
