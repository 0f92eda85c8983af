"""``agentflow alerts``: mistakes in rules with their lines, names that no flow has, and the same rules for Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from agentflow_trio.observe import as_prometheus, load_rules

if TYPE_CHECKING:
    from tests.cli.conftest import Project

RULES: Final = """\
[[rule]]
name = "errors"
condition = "rate(editing.error_count[60s])"
threshold = 0.5
action = "log"

[[rule]]
name = "rejected"
condition = "db.rejected_count / write.execution_count"
threshold = 0.1
action = "page"
"""

FLOWS: Final = """
    @define
    class Draft:
        pass

    @step
    async def write(draft: Draft) -> None: ...

    @step
    async def review(draft: Draft) -> None: ...

    @flow
    def editing() -> Wiring[Draft]:
        return [write.then(review), review.then(END)]

    nested = Step(editing)

    @flow
    def editorial() -> Wiring[Draft]:
        return [nested.then(END)]
"""


def test_rules_that_are_right_are_counted(project: Project) -> None:
    project.write("rules.toml", RULES, head="")
    answer = project.run("alerts", "check", "rules.toml")
    assert (answer.code, answer.out, answer.err) == (0, "rules.toml: ok, 2 rules\n", "")
    project.write("one.toml", RULES.partition("\n\n")[0], head="")
    assert project.run("alerts", "check", "one.toml").out == "one.toml: ok, 1 rule\n"


def test_every_mistake_is_told_with_its_line(project: Project) -> None:
    project.write("rules.toml", RULES.replace("0.5", '"high"').replace("60s", "60"), head="")
    answer = project.run("alerts", "check", "rules.toml")
    assert answer.code == 1
    assert answer.out == (
        "rules.toml:3: rule 'errors', condition: column 26 of 'rate(editing.error_count[60])': "
        "'60' has no unit; write 60s, 60m or 60h\n"
        "rules.toml:4: rule 'errors', threshold: 'high' is not a finite number; write one, as 0.05\n"
    )


def test_a_target_tells_of_names_that_it_does_not_have(project: Project) -> None:
    project.write("flows.py", FLOWS)
    project.write("rules.toml", RULES, head="")
    check = ("alerts", "check", "rules.toml", "--target")
    assert project.run(*check, "flows.py:editorial").code == 0
    assert project.run(*check, "flows.py:editing").code == 0

    project.write("rules.toml", RULES.replace("editing", "editing.reveiw"), head="")
    answer = project.run(*check, "flows.py:editorial")
    assert answer.code == 1
    assert answer.out == (
        "rules.toml:3: rule 'errors', condition: column 6 of 'rate(editing.reveiw.error_count[60s])': "
        "there is no flow or step 'editing.reveiw'; did you mean 'editorial.editing.review'?\n"
    )


def test_json_has_the_rules_or_the_problems_and_an_error(project: Project) -> None:
    project.write("rules.toml", RULES, head="")
    check = ("alerts", "check", "rules.toml", "--json")
    assert project.run(*check).data == {
        "file": "rules.toml",
        "rules": ["errors", "rejected"],
        "problems": [],
    }
    project.write("rules.toml", RULES.replace('"page"', '""'), head="")
    answer = project.run(*check)
    assert answer.code == 1
    said = "rules.toml:11: rule 'rejected', action: '' is not a word; use letters, digits and _ . -"
    assert answer.data == {
        "file": "rules.toml",
        "rules": [],
        "problems": [
            {
                "rule": "rejected",
                "field": "action",
                "sentence": "'' is not a word",
                "remedy": "use letters, digits and _ . -",
                "file": "rules.toml",
                "line": 11,
            }
        ],
        "error": {
            "type": "AlertRulesError",
            "message": "1 problem found",
            "details": [said],
            "hint": "",
        },
    }


def test_several_problems_are_counted(project: Project) -> None:
    project.write("rules.toml", "[[rule]]\n", head="")
    data = project.run("alerts", "check", "rules.toml", "--json").data
    assert data["error"]["message"] == "4 problems found"


@pytest.mark.parametrize("command", ["check", "export"])
def test_a_file_that_is_not_there_is_an_error_of_usage(project: Project, command: str) -> None:
    project.write("rules.toml", RULES, head="")
    answer = project.run("alerts", command, "rule.toml")
    assert answer.code == 2
    assert answer.err == "error: there is no file rule.toml; did you mean 'rules.toml'?\n"


def test_the_same_rules_are_exported_to_prometheus(project: Project) -> None:
    path = project.write("rules.toml", RULES, head="")
    answer = project.run("alerts", "export", "rules.toml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == as_prometheus(load_rules(path))
    assert json.loads(answer.out)["groups"][0]["rules"][1]["alert"] == "rejected"

    assert project.run("alerts", "export", "rules.toml", "--output", "out.yml").out == ""
    assert (project.folder / "out.yml").read_text(encoding="utf-8") == answer.out


def test_what_cannot_be_exported_is_told(project: Project) -> None:
    project.write("rules.toml", RULES.replace("0.5", "nan"), head="")
    answer = project.run("alerts", "export", "rules.toml")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == (
        "error: rules.toml is not right:\n"
        "  rules.toml:4: rule 'errors', threshold: nan is not a finite number; write one, as 0.05\n"
    )
    project.write("rules.toml", RULES, head="")
    answer = project.run("alerts", "export", "rules.toml", "--output", "no/out.yml")
    assert answer.code == 2
    assert answer.err == "error: no/out.yml cannot be written: No such file or directory\n"
