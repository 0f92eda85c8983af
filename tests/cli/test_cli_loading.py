"""Targets: how ``module:flow`` and ``file.py:flow`` are found, and what is said when they are not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Project

TWO = """
    @define
    class Nothing:
        pass

    @step
    async def idle(nothing: Nothing) -> None: ...

    @flow
    def one() -> Wiring[Nothing]:
        return [idle.then(END)]

    @flow
    def two() -> Wiring[Nothing]:
        return [idle.then(END)]

    uno = one
"""
ONE = TWO.partition("    @flow\n    def two")[0]


def name_of(project: Project, target: str) -> str:
    """The name of the flow that *target* is."""
    answer = project.run("graph", target)
    assert answer.code == 0, answer.err
    return answer.out.split()[1]


def complaint(project: Project, target: str) -> str:
    """What is said of a target that cannot be used."""
    answer = project.run("graph", target)
    assert (answer.code, answer.out) == (2, "")
    return answer.err


@pytest.mark.parametrize(
    "target",
    ["deep/flows.py:two", "./deep/flows.py:two", "deep.flows:two"],
    ids=["file", "dotted path", "module"],
)
def test_a_flow_is_found_by_file_and_by_module(project: Project, target: str) -> None:
    project.write("deep/flows.py", TWO)
    assert name_of(project, target) == "two"


def test_the_folder_of_a_file_comes_first_on_the_path_so_that_it_can_import_its_neighbours(
    project: Project,
) -> None:
    project.write("deep/near.py", "NAME = 'from next door'\n")
    project.write(
        "deep/far.py", ONE.replace("@flow", "import near\n\n    @flow(name=near.NAME)")
    )
    assert project.run("graph", "deep/far.py").out.startswith("flow from next door\n")
    assert sys.path[0] == str(project.folder / "deep")


def test_a_flow_may_be_left_out_where_there_is_only_one(project: Project) -> None:
    project.write("single.py", ONE + "    also_one = one\n")
    assert name_of(project, "single.py") == name_of(project, "single") == "one"


def test_a_flow_may_be_called_by_any_of_its_names(project: Project) -> None:
    project.write("flows.py", TWO)
    assert name_of(project, "flows:uno") == "one"


def test_a_file_already_imported_is_not_run_again(project: Project) -> None:
    project.write("counted.py", ONE + "    from pathlib import Path\n    Path('run').mkdir()\n")
    assert name_of(project, "counted.py") == name_of(project, "counted") == "one"


def test_several_flows_are_listed_to_choose_from(project: Project) -> None:
    project.write("flows.py", TWO)
    assert complaint(project, "flows.py") == (
        "error: flows.py has 2 flows; say which one:\n  flows.py:one\n  flows.py:two\n"
    )


def test_a_misspelt_flow_is_guessed(project: Project) -> None:
    project.write("flows.py", TWO)
    assert complaint(project, "flows:onee") == (
        "error: there is no 'onee' in flows; did you mean 'one'?\n  flows:one\n  flows:two\n"
    )
    assert complaint(project, "flows:zzz").startswith("error: there is no 'zzz' in flows\n")


def test_something_else_than_a_flow_is_called_what_it_is(project: Project) -> None:
    project.write("single.py", ONE)
    assert complaint(project, "single:idle") == (
        "error: 'idle' in single is a Step, not a flow\n  single:one\n"
    )


def test_a_module_without_flows_is_told_how_flows_are_made(project: Project) -> None:
    project.write("empty.py", "")
    assert (
        complaint(project, "empty")
        == "error: there is no flow in empty\nA flow is made with @flow.\n"
    )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("flow.py:one", "there is no file flow.py; did you mean 'flows.py'?"),
        ("nowhere/else.py", "there is no file nowhere/else.py"),
        ("flow:one", "there is no module 'flow'; did you mean 'flows'?"),
        ("missing.part", "there is no module 'missing.part'"),
        ("deep.missing.part", "there is no module 'deep.missing.part'"),
        ("not-a-module", "'not-a-module' is neither a module nor a .py file"),
        ("", "'' is neither a module nor a .py file"),
        (":one", "'' is neither a module nor a .py file"),
    ],
)
def test_a_place_that_is_not_there_is_named(project: Project, target: str, said: str) -> None:
    project.write("flows.py", TWO)
    project.write("deep/__init__.py", "")
    assert complaint(project, target) == f"error: {said}\n"


def test_a_file_named_like_another_module_is_refused(project: Project) -> None:
    project.write("json.py", ONE)
    said = complaint(project, "json.py")
    assert said.startswith(
        "error: json.py cannot be imported as 'json'\n  that name belongs to /"
    )
    assert said.endswith("json/__init__.py\nRename the file.\n")


def test_a_file_whose_name_cannot_be_imported_is_refused(project: Project) -> None:
    project.write("my.flows.py", ONE)
    assert complaint(project, "my.flows.py") == (
        "error: my.flows.py cannot be imported as 'my.flows'\nRename the file.\n"
    )


# ---------------------------------------------------------------- errors while importing


def test_an_error_at_import_is_shown_with_the_users_own_lines(project: Project) -> None:
    project.write(
        "deep/helper.py", "import json\n\ndef read():\n    return json.loads('{')\n", head=""
    )
    project.write("broken.py", "from deep import helper\n\nhelper.read()\n", head="")
    assert complaint(project, "broken.py").splitlines() == [
        "error: broken.py cannot be imported:",
        "  broken.py:3, in <module>",
        "      helper.read()",
        "  deep/helper.py:4, in read",
        "      return json.loads('{')",
        "  json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]


def test_a_file_elsewhere_is_shown_with_its_whole_path(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.write("elsewhere.py", "1 / 0\n", head="")
    project.write("deep/here.py", "")
    monkeypatch.chdir(project.folder / "deep")
    assert f"  {path}:1, in <module>\n" in complaint(project, str(path))


def test_a_syntax_error_is_shown_with_its_place(project: Project) -> None:
    project.write("unfinished.py", "x = (\n", head="")
    assert complaint(project, "unfinished.py").endswith(
        "unfinished.py\", line 1\n      x = (\n          ^\n  SyntaxError: '(' was never closed\n"
    )


def test_a_module_that_lacks_another_module_says_which(project: Project) -> None:
    project.write("lacking.py", "import nothing_of_that_name\n", head="")
    assert complaint(project, "lacking").endswith(
        "  ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    )


def test_a_package_that_lacks_another_module_says_which(project: Project) -> None:
    project.write("pack/__init__.py", "import nothing_of_that_name\n", head="")
    project.write("pack/flows.py", ONE)
    assert complaint(project, "pack.flows").endswith(
        "  ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    )


def test_a_module_that_ends_the_program_is_an_error_like_others(project: Project) -> None:
    project.write("leaving.py", "raise SystemExit(3)\n", head="")
    assert complaint(project, "leaving.py").endswith("  SystemExit: 3\n")


def test_a_module_that_failed_is_tried_again(project: Project) -> None:
    project.write("broken.py", "1 / 0\n", head="")
    assert "ZeroDivisionError" in complaint(project, "broken.py")
    assert "ZeroDivisionError" in complaint(project, "broken.py")


def test_a_wrong_flow_points_to_check(project: Project) -> None:
    project.write("wrong.py", ONE.replace("idle.then(END)", "idle.then(END), idle.then(END)"))
    said = complaint(project, "wrong.py")
    assert "FlowDefinitionError: flow 'one': " in said
    assert said.endswith("\nagentflow check wrong.py  lists every mistake.\n")


def test_what_a_module_prints_is_not_part_of_the_answer(project: Project) -> None:
    project.write("chatty.py", "print('hello')\n" + ONE.replace("\n    ", "\n"))
    answer = project.run("graph", "chatty.py")
    assert (answer.out.partition("\n")[0], answer.err) == ("flow one", "hello\n")
