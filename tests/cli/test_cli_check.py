"""``agentflow check``: every mistake with its line, not only the first."""

from __future__ import annotations

import importlib
import py_compile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Project

RIGHT = """
    @define
    class Nothing:
        pass

    @step
    async def one(nothing: Nothing) -> None: ...

    @step
    async def two(nothing: Nothing) -> None: ...

    @flow
    def right() -> Wiring[Nothing]:
        return [one.then(two), two.then(END)]
"""
WRONG = (
    RIGHT
    + """
    @step
    def hasty(nothing: Nothing) -> None: ...

    @flow
    def first() -> Wiring[Nothing]:
        return [
            one.then(END),
            two.then(END),
            one.then(END),
        ]

    @flow
    def second() -> Wiring[Nothing]:
        return [one.then(two)]

    outer_step = Step(first)

    @flow
    def outer() -> Wiring[Nothing]:
        return [outer_step.then(END)]

    hurry = hasty.with_(name="hurry")
"""
)


def test_flows_that_are_right_are_listed_with_their_steps(project: Project) -> None:
    project.write("right.py", RIGHT)
    answer = project.run("check", "right.py", "right")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "right.py:right: ok, 2 steps\nright:right: ok, 2 steps\n"


def test_every_mistake_of_every_flow_is_reported_with_its_line(project: Project) -> None:
    project.write("wrong.py", WRONG)
    answer = project.run("check", "wrong.py")
    assert (answer.code, answer.err) == (1, "")
    lines = (project.folder / "wrong.py").read_text().splitlines()
    number = {line.strip(): place for place, line in reversed([*enumerate(lines, 1)])}
    found = [line.split(": ") for line in answer.out.splitlines()]
    assert [(where, what) for where, what, *_ in found] == [
        (f"wrong.py:{number['def hasty(nothing: Nothing) -> None: ...'] - 1}", "step 'hasty'"),
        (f"wrong.py:{number['one.then(END),']}", "flow 'first'"),
        (f"wrong.py:{number['two.then(END),']}", "flow 'first'"),
        (f"wrong.py:{number['return [one.then(two)]']}", "flow 'second'"),
        ("wrong.py", "outer_step was not checked; it uses something wrong"),
        ("wrong.py", "outer was not checked; it uses something wrong"),
        ("wrong.py", "hurry was not checked; it uses something wrong"),
        ("wrong.py:right", "ok, 2 steps"),
    ]
    assert "write 'async def hasty'" in answer.out


def test_a_mistake_in_a_module_that_is_imported_is_reported_where_it_is(
    project: Project,
) -> None:
    project.write("wrong.py", WRONG)
    project.write(
        "user.py",
        "import wrong as other\nfrom wrong import first\nx = Step(first)\ny = other.one\n",
    )
    answer = project.run("check", "user.py")
    assert answer.code == 1
    assert "wrong.py:" in answer.out
    assert "step 'hasty'" in answer.out
    assert "user.py: x was not checked; it uses something wrong\n" in answer.out
    assert "user.py: y was not checked; it uses something wrong\n" in answer.out


def test_a_mistake_of_a_flow_of_another_name_is_reported_at_its_definition(
    project: Project,
) -> None:
    source = (
        RIGHT
        + "\n    def wiring() -> Wiring[Nothing]:\n        return []\n    empty = flow(wiring)\n"
    )
    project.write("renamed.py", source)
    answer = project.run("check", "renamed.py")
    assert answer.code == 1
    assert answer.out.startswith(
        f"renamed.py:{(project.folder / 'renamed.py').read_text().count(chr(10))}: flow 'wiring': "
    )


def test_one_flow_of_a_module_can_be_named(project: Project) -> None:
    project.write(
        "right.py",
        RIGHT
        + "\n    @flow\n    def other() -> Wiring[Nothing]:\n        return [one.then(END)]\n",
    )
    answer = project.run("check", "right.py:other")
    assert (answer.code, answer.out) == (0, "right.py:other: ok, 1 step\n")


def test_a_named_flow_that_is_wrong_or_depends_on_something_wrong_is_found(
    project: Project,
) -> None:
    project.write("wrong.py", WRONG)
    assert project.run("check", "wrong.py:first").code == 1
    assert project.run("check", "wrong.py:outer").code == 1


def test_a_target_that_cannot_be_checked_has_the_code_2_and_the_others_are_checked(
    project: Project,
) -> None:
    project.write("right.py", RIGHT)
    project.write("wrong.py", WRONG)
    project.write("crash.py", "1 / 0\n")
    project.write("misnamed.py", "print(no_such_name)\n")
    project.write("empty.py", "")
    answer = project.run(
        "check",
        "crash.py",
        "misnamed.py",
        "empty.py",
        "missing",
        "right.py:rihgt",
        "wrong.py",
        "right.py",
    )
    assert answer.code == 2
    assert "right.py:right: ok, 2 steps\n" in answer.out
    assert [line for line in answer.err.splitlines() if line.startswith("error")] == [
        "error: crash.py cannot be imported:",
        "error: misnamed.py cannot be imported:",
        "error: there is no flow in empty.py",
        "error: there is no module 'missing'",
        "error: there is no flow 'rihgt' in right.py; did you mean 'right'?",
    ]
    assert "  ZeroDivisionError: division by zero\n" in answer.err
    assert "  NameError: name 'no_such_name' is not defined\n" in answer.err


def test_json_has_flows_problems_and_what_could_not_be_checked(project: Project) -> None:
    project.write("wrong.py", WRONG)
    answer = project.run("check", "wrong.py", "missing", "--json")
    assert (answer.code, answer.err) == (2, "")
    data = answer.data
    assert list(data) == ["flows", "problems", "not_checked", "errors", "error"]
    assert data["flows"] == [{"target": "wrong.py:right", "name": "right", "steps": 2}]
    assert data["not_checked"] == ["wrong.py:outer_step", "wrong.py:outer", "wrong.py:hurry"]
    assert data["errors"] == ["there is no module 'missing'"]
    assert list(data["problems"][0]) == [
        "file",
        "line",
        "definition",
        "code",
        "step",
        "sentence",
        "hint",
    ]
    assert [problem["definition"] for problem in data["problems"]] == [
        "step 'hasty'",
        "flow 'first'",
        "flow 'first'",
        "flow 'second'",
    ]


def test_json_has_an_error_exactly_when_the_code_is_not_0(project: Project) -> None:
    project.write("right.py", RIGHT)
    project.write("wrong.py", WRONG)
    right = project.run("check", "right.py", "--json")
    assert (right.code, list(right.data)) == (
        0,
        ["flows", "problems", "not_checked", "errors"],
    )
    wrong = project.run("check", "wrong.py", "right.py", "--json")
    assert wrong.code == 1
    problems, error = wrong.data["problems"], wrong.data["error"]
    assert {**error, "details": len(error["details"])} == {
        "type": "DefinitionError",
        "message": "4 problems found",
        "details": 4,
        "hint": "",
    }
    assert error["details"][0].startswith(
        f"wrong.py:{problems[0]['line']}: step 'hasty': {problems[0]['sentence']}"
    )
    missing = project.run("check", "missing", "right.py", "--json")
    assert (missing.code, missing.data["error"]) == (
        2,
        {
            "type": "UsageError",
            "message": "1 target cannot be checked",
            "details": ["there is no module 'missing'"],
            "hint": "",
        },
    )
    both = project.run("check", "missing", "gone.py", "wrong.py:first", "--json")
    assert both.code == 2
    assert both.data["error"]["type"] == "UsageError"
    assert both.data["error"]["message"] == "2 targets cannot be checked, 4 problems found"
    assert len(both.data["error"]["details"]) == 6


def test_a_module_runs_as_it_would_when_imported(project: Project) -> None:
    head = '''\
"""The docstring."""
from __future__ import annotations
import sys
from attrs import define
from agentflow_trio import *

assert __name__ == "careful"
assert __doc__ == "The docstring."
assert vars(sys.modules[__name__]) is globals()

def unresolved(x: NoSuchType) -> None: ...
'''
    project.write("careful.py", RIGHT, head=head)
    answer = project.run("check", "careful.py")
    assert (answer.code, answer.err) == (0, "")


def test_a_module_without_source_is_imported(project: Project) -> None:
    path = project.write("compiled.py", RIGHT)
    py_compile.compile(str(path), cfile=str(project.folder / "compiled.pyc"))
    path.unlink()
    importlib.invalidate_caches()
    assert project.run("check", "compiled").out == "compiled:right: ok, 2 steps\n"
