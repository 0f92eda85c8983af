"""docs/reference/command-line.md names every command, option and exit code there is, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from agentflow_trio.cli._exit import MEANING
from agentflow_trio.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text(
    encoding="utf-8"
)
SECTIONS = {
    heading.strip(): body
    for heading, _, body in (
        part.partition("\n") for part in re.split("^## ", PAGE, flags=re.MULTILINE)
    )
}
COMMANDS = {
    " ".join(word for word in heading.split()[1:] if word.islower()): body
    for heading, body in SECTIONS.items()
    if heading.startswith("agentflow ")
}


def table(body: str) -> Iterator[tuple[str, str]]:
    """The rows of a two-column table."""
    rows = re.findall(r"^\| (.*) \| (.*) \|$", body, re.MULTILINE)
    return (
        (first, second) for first, second in rows if first not in {"option", "code", "target"}
    )


def options(command: str) -> dict[str, str]:
    """Each option of *command* with the word for its value, if it takes one and the help names it."""
    found: dict[str, str] = {}
    found_app = app
    for word in command.split():
        found_app = found_app[word]
    for argument in found_app.assemble_argument_collection():
        if argument.field_info.is_keyword:
            found[argument.name] = argument.parameter.metavar or ""
    return found


def commands(of: App, *before: str) -> Iterator[str]:
    """The commands of *of*, those of its groups too: ``alerts check``."""
    names = [name for name in of if not name.startswith("-")]
    if not names:
        yield " ".join(before)
    for name in names:
        yield from commands(of[name], *before, name)


def test_every_command_has_a_section() -> None:
    assert sorted(COMMANDS) == sorted(commands(app))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_table_of_its_command(command: str) -> None:
    cells = [first.strip("`").partition(" ") for first, _ in table(COMMANDS[command])]
    written = {name: value for name, _, value in cells}
    named = {name: value or written.get(name) for name, value in options(command).items()}
    assert written == named


def test_the_options_of_all_commands_are_named() -> None:
    written = [
        name
        for first, _ in table(SECTIONS["Everywhere"])
        for name in re.findall("`(-[^`]*)`", first)
    ]
    assert sorted(written) == sorted([*app.help_flags, *app.version_flags])


def test_every_exit_code_is_in_the_table_with_its_meaning() -> None:
    assert list(table(SECTIONS["Exit codes"])) == [
        (str(code.value), text) for code, text in MEANING.items()
    ]
