"""A rule is a value that makes sense; all that does not is told at once, with its place and what to write instead."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from agentflow_trio.observe import AlertRule, AlertRulesError, RuleProblem, load_rules

RULE: Final = AlertRule("errors", "rate(editing.error_count[60s])", 0.5, "log")


def test_what_is_not_said_has_a_default() -> None:
    assert attrs.astuple(RULE) == (
        "errors",
        "rate(editing.error_count[60s])",
        0.5,
        "log",
        ">",
        0.0,
        "warning",
        None,
    )
    assert pickle.loads(pickle.dumps(RULE)) == RULE
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        RULE.__setattr__("threshold", 1.0)


WRONG: Final[list[tuple[str, Any, str]]] = [
    ("name", "", "'' is not a name; use letters, digits, spaces and _ . : / -"),
    ("name", " x", "' x' is not a name"),
    ("name", "x ", "'x ' is not a name"),
    ("name", "{{ x }}", "'{{ x }}' is not a name"),
    ("name", "x\ny", "is not a name"),
    ("name", 5, "5 is not a name"),
    ("condition", 5, "5 is not a text; write one, as 'editing.error_count'"),
    (
        "condition",
        "rate(a.error_count[60])",
        "column 20 of 'rate(a.error_count[60])': '60' has no unit; write 60s, 60m or 60h",
    ),
    ("threshold", "soon", "'soon' is not a finite number; write one, as 0.05"),
    ("threshold", True, "True is not a finite number"),
    ("threshold", None, "None is not a finite number"),
    ("threshold", math.nan, "nan is not a finite number"),
    ("threshold", math.inf, "inf is not a finite number"),
    ("threshold", -math.inf, "-inf is not a finite number"),
    ("action", "page me", "'page me' is not a word; use letters, digits and _ . -"),
    ("action", "", "'' is not a word"),
    ("action", print, "is not a word"),
    ("severity", None, "None is not a word; use letters, digits and _ . -"),
    ("op", "=>", "'=>' is not a comparison; write one of > >= < <="),
    ("op", [], "[] is not a comparison"),
    ("for_", -1.0, "-1.0 is not a number of seconds >= 0; write one, as 60.0"),
    ("for_", "5m", "'5m' is not a number of seconds >= 0"),
    ("for_", math.nan, "nan is not a number of seconds >= 0"),
    ("resolve_below", "low", "'low' is not a finite number; write one, or leave it out"),
    ("resolve_below", False, "False is not a finite number"),
    ("resolve_below", math.inf, "inf is not a finite number"),
]


@pytest.mark.parametrize(("field", "value", "said"), WRONG)
def test_a_field_that_makes_no_sense_is_refused_with_a_remedy(
    field: str, value: Any, said: str
) -> None:
    with pytest.raises(AlertRulesError) as caught:
        attrs.evolve(RULE, **{field: value})
    (problem,) = caught.value.problems
    assert problem.field == field
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("op", "threshold", "resolve", "fits"),
    [
        (">", 5, 5, True),
        (">", 5, 4.5, True),
        (">", 5, 5.1, False),
        (">=", 5, 5, True),
        (">=", 5, 6, False),
        ("<", 5, 5, True),
        ("<", 5, 6, True),
        ("<", 5, 4.9, False),
        ("<=", 5, 5, True),
        ("<=", 5, 4, False),
    ],
)
def test_hysteresis_lies_where_the_alert_does_not_hold(
    op: Any, threshold: float, resolve: float, fits: bool
) -> None:
    def make() -> AlertRule:
        return AlertRule("r", "a.error_count", threshold, "log", op=op, resolve_below=resolve)

    if fits:
        assert make().resolve_below == resolve
        return
    with pytest.raises(AlertRulesError) as caught:
        make()
    side, other = ("above", "<=") if ">" in op else ("below", ">=")
    assert str(caught.value) == (
        f"rule 'r', resolve_below: {resolve} is {side} the threshold, 5: an alert on {op} would be resolved "
        f"while it holds; write a number {other} 5, or leave it out"
    )


def test_hysteresis_says_nothing_while_the_comparison_is_unknown() -> None:
    wrong: Any = "=>"
    with pytest.raises(AlertRulesError) as caught:
        AlertRule("r", "a.error_count", 5, "log", op=wrong, resolve_below=9)
    assert [problem.field for problem in caught.value.problems] == ["op"]


def test_all_mistakes_come_at_once() -> None:
    wrong: Any = "x"
    with pytest.raises(AlertRulesError) as caught:
        AlertRule("r", "", wrong, "")
    assert str(caught.value) == (
        "3 problems in rules of alerts:\n"
        "  rule 'r', condition: column 1 of '': a metric is missing; write a metric, rate(metric[60s]), "
        "increase(metric[5m]) or p95(metric[5m])\n"
        "  rule 'r', threshold: 'x' is not a finite number; write one, as 0.05\n"
        "  rule 'r', action: '' is not a word; use letters, digits and _ . -"
    )
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.problems) == (str(caught.value), caught.value.problems)
    assert copy.copy(caught.value).problems == caught.value.problems


def test_a_problem_says_what_it_knows() -> None:
    problem = RuleProblem(rule="", field="", sentence="no", remedy="do")
    assert str(problem) == "no; do"
    assert str(attrs.evolve(problem, field="op")) == "op: no; do"
    assert str(attrs.evolve(problem, file="a.toml", rule="r")) == "a.toml: rule 'r': no; do"
    assert str(attrs.evolve(problem, file="a.toml", line=3)) == "a.toml:3: no; do"


# ---------------------------------------------------------------- files


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def told(folder: Path, text: str) -> list[str]:
    with pytest.raises(AlertRulesError) as caught:
        load_rules(written(folder, text))
    return [
        str(problem).removeprefix(f"{folder}/rules.toml") for problem in caught.value.problems
    ]


def test_a_file_has_the_fields_of_a_rule(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [[rule]]
        name = "errors"
        condition = "rate(editing.error_count[60s])"
        threshold = 0.5
        action = "log"

        [[rule]]
        name = "slow"
        condition = "p95(editing.duration_ms[5m])"
        threshold = 2000
        action = "page"
        op = ">="
        for = "2m"
        severity = "critical"
        resolve_below = 1500

        [[rule]]
        name = "idle"
        condition = "editing.active"
        threshold = 1
        op = "<"
        for = 2.5
        action = "log"
        """,
    )
    slow = AlertRule(
        "slow",
        "p95(editing.duration_ms[5m])",
        2000,
        "page",
        op=">=",
        for_=120.0,
        severity="critical",
        resolve_below=1500,
    )
    idle = AlertRule("idle", "editing.active", 1, "log", op="<", for_=2.5)
    assert load_rules(path) == load_rules(str(path)) == (RULE, slow, idle)


def test_every_mistake_is_told_with_its_line_rule_and_field(tmp_path: Path) -> None:
    text = '''title = "x"

[[rule]]
name = "a"
condition = """
rate(a.error_count[60])
"""
threshold = "high"
acton = "log"

[[ rule ]] # the second
name = "a"
for = "soon"
action = "log"
threshold = 1
condition = "a.error_count"
wibble = 1

[[rule]]
for = -1
'''
    assert told(tmp_path, text) == [
        ": title: it is not known here; write a table [[rule]] for each rule",
        ":3: rule 'a', action: it is missing; write action = \"log\"",
        ":9: rule 'a', acton: it is not known here; did you mean 'action'?",
        (
            ":5: rule 'a', condition: column 20 of 'rate(a.error_count[60])\\n': '60' has no unit; "
            "write 60s, 60m or 60h"
        ),
        ":8: rule 'a', threshold: 'high' is not a finite number; write one, as 0.05",
        ":13: rule 'a', for: 'soon' is not a duration; write 60s, 5m or 1h",
        (
            ":17: rule 'a', wibble: it is not known here; there are name, condition, threshold, action, op, for, "
            "severity, resolve_below"
        ),
        ":12: rule 'a', name: rule #1 has that name, too; give each its own",
        ":19: rule '#3', name: it is missing; write name = \"many-errors\"",
        ":19: rule '#3', condition: it is missing; write condition = \"rate(editing.error_count[60s])\"",
        ":19: rule '#3', threshold: it is missing; write threshold = 0.5",
        ":19: rule '#3', action: it is missing; write action = \"log\"",
        ":20: rule '#3', for: -1 is not a number of seconds >= 0; write one, as 60.0",
    ]


def test_in_a_file_it_is_called_for(tmp_path: Path) -> None:
    text = RULE_TEXT + "for_ = 1\n"
    assert told(tmp_path, text) == [
        ":6: rule 'r', for_: it is not known here; did you mean 'for'?"
    ]


def test_where_lines_cannot_be_told_they_are_left_out(tmp_path: Path) -> None:
    text = "rule = [{name = 'r', condition = 'a.error_count', threshold = 1, action = ''}]"
    assert told(tmp_path, text) == [
        ": rule 'r', action: '' is not a word; use letters, digits and _ . -"
    ]


RULE_TEXT: Final = """[[rule]]
name = "r"
condition = "a.error_count"
threshold = 1
action = "log"
"""


def test_a_text_of_many_lines_is_not_read_as_fields(tmp_path: Path) -> None:
    text = """[[rule]]
condition = '''
[[rule]]
op = 1
'''
name = 'x'  # '''
action = ''''''
threshold = 1
op = "x"
"""
    found = told(tmp_path, text)
    assert [line.partition(" ")[0] for line in found] == [":2:", ":7:", ":9:"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": there is no rule; write a table [[rule]] for each rule"),
        ("[rule]\nname = 'x'\n", ": 'rule' is not a list of tables; write a table [[rule]]"),
        ("rule = [1]", ": 'rule' is not a list of tables; write a table [[rule]]"),
        ("[[rules]]\nname = 'x'", ": rules: it is not known here; write a table [[rule]]"),
        ("x = 1\nx = 2\n", ":2: it is not TOML: Cannot overwrite a value; correct that first"),
        ("x", ": it is not TOML: "),
    ],
)
def test_a_file_without_rules_says_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    (found,) = told(tmp_path, text)
    assert found.startswith(said)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(AlertRulesError) as caught:
        load_rules(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"{tmp_path}/none.toml: it cannot be read: No such file or directory; give a TOML file"
    )
    (tmp_path / "rules.toml").write_bytes(b"\xff")
    with pytest.raises(AlertRulesError, match="it is not UTF-8; save it as UTF-8"):
        load_rules(tmp_path / "rules.toml")


# ---------------------------------------------------------------- names of flows and steps

PLACES: Final = ("editorial", "editorial/editing", "editorial/editing/review")


@pytest.mark.parametrize(
    "condition",
    [
        "editorial.error_count",
        "editing.error_count",
        "review.routed_count.approve",
        "editing.review.error_count",
        "rate(editorial.editing.review.error_count[5m]) / rate(editorial.execution_count[5m])",
        "editorial.active",
        "any_guard.retry_count",
        "p95(db.wait_ms[5m])",
    ],
)
def test_a_condition_may_name_a_place_by_any_ending_of_its_path(
    tmp_path: Path, condition: str
) -> None:
    path = written(tmp_path, RULE_TEXT.replace("a.error_count", condition))
    (rule,) = load_rules(path, places=PLACES)
    assert rule.condition == condition


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            "reviews.error_count",
            "column 1 of 'reviews.error_count': there is no flow or step 'reviews'; did you mean 'review'?",
        ),
        (
            "review.error_count / iting.error_count",
            (
                "column 22 of 'review.error_count / iting.error_count': there is no flow or step 'iting'; "
                "did you mean 'editing'?"
            ),
        ),
        (
            "editing.active",
            (
                "column 1 of 'editing.active': 'editing' is a step, which has no such metric; "
                "write it for the flow, 'editorial'"
            ),
        ),
        (
            "x.error_count",
            (
                "column 1 of 'x.error_count': there is no flow or step 'x'; "
                "there are editorial, editorial.editing, editorial.editing.review"
            ),
        ),
    ],
)
def test_a_place_that_is_not_there_is_told(tmp_path: Path, condition: str, said: str) -> None:
    path = written(tmp_path, RULE_TEXT.replace("a.error_count", condition))
    with pytest.raises(AlertRulesError) as caught:
        load_rules(path, places=PLACES)
    assert str(caught.value) == f"{path}:3: rule 'r', condition: {said}"
